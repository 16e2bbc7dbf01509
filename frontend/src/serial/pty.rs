//! A serial port on a pseudo-terminal, whose name is told on standard error. The other end is kept open here too, so that
//! programs may come and go.

use super::{Output, peer};
use crate::end::Ending;
use crossbeam_channel::bounded;
use lucid86_machine::Inputs;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::fs::File;
use std::sync::Arc;

pub(super) fn open(port: usize, name: &str, to: Inputs, ending: &Arc<Ending>) -> Result<Output, String> {
    let (ours, theirs, path) = pair().map_err(|e| format!("serial: pty: {e}"))?;
    ending.say(&format!("{name} is {path}"));
    let reader = ours.try_clone().map_err(|e| format!("serial: pty: {e}"))?;
    let (chunks, waiting) = bounded(peer::QUEUE);
    std::thread::spawn(move || {
        peer::read_from(reader, port, &to);
        drop(theirs);
    });
    std::thread::spawn(move || peer::write_to(ours, &waiting));
    Ok(Output::Peer { chunks, stalled: false })
}

/// Both ends, and the name of the other one, in raw mode so that nothing is echoed or changed.
fn pair() -> rustix::io::Result<(File, File, String)> {
    let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let path = ptsname(&ours, Vec::new())?.to_string_lossy().into_owned();
    let theirs = rustix::fs::open(path.as_str(), OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
    let mut modes = tcgetattr(&theirs)?;
    modes.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &modes)?;
    Ok((File::from(ours), File::from(theirs), path))
}
