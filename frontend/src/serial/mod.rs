//! Where serial ports lead: standard output, a file, a TCP peer, a pseudo-terminal, nowhere. The guest's side never waits
//! for a peer longer than [`PATIENCE`]: a UART without flow control loses characters that nobody takes.

pub mod escape;
mod peer;
#[cfg(unix)]
mod pty;
mod stdin;
mod tcp;

use crate::debug::Mail;
use crate::end::Ending;
use crossbeam_channel::{SendTimeoutError, Sender};
use lucid86_machine::config::SerialTo;
use lucid86_machine::{Input, Inputs};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long the guest waits for a peer that does not read, before characters are lost.
const PATIENCE: Duration = Duration::from_millis(500);
/// Inputs that may wait for the machine before a reader pauses.
const BACKLOG: usize = 4096;

/// The host's end of an output.
#[derive(Debug)]
pub enum Output {
    /// Nowhere.
    None,
    /// Standard output.
    Stdout,
    /// A file.
    File(File),
    /// A thread that writes to a peer; `stalled` once it fell behind.
    Peer {
        /// Chunks for it.
        chunks: Sender<Vec<u8>>,
        /// It did not keep up: nothing waits for it until it does.
        stalled: bool,
    },
}

impl Output {
    /// Sends bytes, as they are and at once.
    pub fn send(&mut self, bytes: &[u8], ending: &Ending) {
        let written = match self {
            Output::None => return,
            Output::Stdout => write_stdout(bytes),
            Output::File(file) => file.write_all(bytes),
            Output::Peer { chunks, stalled } => {
                let patience = if *stalled { Duration::ZERO } else { PATIENCE };
                let sent = chunks.send_timeout(bytes.to_vec(), patience);
                *stalled = matches!(sent, Err(SendTimeoutError::Timeout(_)));
                return;
            }
        };
        if let Err(e) = written {
            if matches!(self, Output::Stdout) {
                ending.say(&format!("standard output: {e}: the run ends"));
                ending.ask();
            } else {
                ending.say(&format!("serial file: {e}: nothing more is written to it"));
            }
            *self = Output::None;
        }
    }
}

/// Standard output without the line buffer of `std::io::Stdout`.
fn write_stdout(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

/// Opens what serial port `port` leads to. Readers hold a sender for as long as input can come.
pub fn open(
    port: usize,
    to: &SerialTo,
    connect: &mut dyn FnMut() -> Inputs,
    ending: &Arc<Ending>,
    monitor: Option<Mail>,
) -> Result<Output, String> {
    let name = format!("COM{}", port + 1);
    match to {
        SerialTo::None => Ok(Output::None),
        SerialTo::Stdio => {
            stdin::start(port, connect(), ending, monitor)?;
            Ok(Output::Stdout)
        }
        SerialTo::File(path) => create(path).map(Output::File),
        SerialTo::Tcp(address) => tcp::listen(port, &name, address, connect(), ending),
        #[cfg(unix)]
        SerialTo::Pty => pty::open(port, &name, connect(), ending),
        #[cfg(not(unix))]
        SerialTo::Pty => Err("serial: pty: this system has no pseudo-terminals".into()),
    }
}

/// Opens what the debug console leads to.
pub fn open_debug(to: Option<&SerialTo>) -> Result<Output, String> {
    match to {
        Some(SerialTo::Stdio) => Ok(Output::Stdout),
        Some(SerialTo::File(path)) => create(path).map(Output::File),
        _ => Ok(Output::None),
    }
}

/// Creates a file for output.
pub fn create(path: &Path) -> Result<File, String> {
    File::create(path).map_err(|e| format!("{}: can't be written: {e}", path.display()))
}

/// Hands bytes to a serial port, waiting while the guest is far behind. False when the machine is gone.
fn feed(port: usize, bytes: &[u8], to: &Inputs) -> bool {
    bytes.iter().all(|&b| {
        while to.waiting() >= BACKLOG {
            std::thread::sleep(Duration::from_millis(2));
        }
        to.send(Input::SerialByte(port, b)).is_ok()
    })
}
