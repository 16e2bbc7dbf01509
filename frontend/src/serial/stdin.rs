//! Standard input as a serial port's input. A terminal is put in raw mode; the end of a pipe is only the end of input.

use super::escape::{Escape, KEYS, Meaning};
use super::feed;
use crate::end::Ending;
use crossbeam_channel::Sender;
use lucid86_machine::Input;
use std::io::{IsTerminal, Read};
use std::sync::Arc;

/// Starts reading. The reader holds the sender until the input ends.
pub(super) fn start(port: usize, to: Sender<Input>, ending: &Arc<Ending>) -> Result<(), String> {
    if std::io::stdin().is_terminal() {
        ending.say(KEYS);
        ending.make_raw().map_err(|e| format!("the terminal can't be put in raw mode: {e}"))?;
    }
    let ending = Arc::clone(ending);
    std::thread::spawn(move || read(port, &to, &ending));
    Ok(())
}

fn read(port: usize, to: &Sender<Input>, ending: &Ending) {
    let mut escape = Escape::default();
    let mut buffer = [0; 512];
    loop {
        let n = match std::io::stdin().lock().read(&mut buffer) {
            Ok(0) => return,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        for &byte in &buffer[..n] {
            let goes_on = match escape.take(byte) {
                Meaning::Prefix => true,
                Meaning::Guest(b) => feed(port, &[b], to),
                Meaning::End => {
                    ending.ask();
                    let _ = to.send(Input::Quit);
                    false
                }
                Meaning::Switch => {
                    ending.say("the monitor is not in this version");
                    true
                }
                Meaning::Help => {
                    ending.say(KEYS);
                    true
                }
            };
            if !goes_on {
                return;
            }
        }
    }
}
