//! The machine's outside: where its serial ports, debug console, log and pictures go. Called on the machine's thread.

use crate::debug::Inbox;
use crate::end::Ending;
use crate::picture::{Camera, Picture};
use crate::serial::Output;
use lucid86_machine::{HostIo, View};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// How often the machine looks up when nothing else makes it.
const LOOK_UP: Duration = Duration::from_millis(200);

/// The same while debuggers may come.
const HEAR: Duration = Duration::from_millis(10);

/// All outputs of a run.
pub struct Host {
    /// COM1, COM2, ...
    pub serial: Vec<Output>,
    /// The debug console.
    pub debug: Output,
    /// The log, when not on standard error.
    pub log: Option<File>,
    /// Takes pictures for the display, if there is one.
    pub camera: Option<(Camera, Arc<Picture>)>,
    /// How the run ends.
    pub ending: Arc<Ending>,
    /// Debuggers that want to be heard.
    pub inbox: Option<Inbox>,
}

impl HostIo for Host {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if let Some(output) = self.serial.get_mut(port) {
            output.send(bytes, &self.ending);
        }
    }

    fn debug_out(&mut self, bytes: &[u8]) {
        self.debug.send(bytes, &self.ending);
    }

    fn log(&mut self, line: &str) {
        match &mut self.log {
            Some(file) => {
                if let Err(e) = writeln!(file, "{line}") {
                    self.ending.say(&format!("log: {e}: the log ends here"));
                    self.log = None;
                }
            }
            None => self.ending.say(line),
        }
    }

    fn tick(&mut self, view: &dyn View) -> Option<Duration> {
        let again = match &mut self.camera {
            Some((camera, picture)) => camera.shoot(view, picture),
            None => LOOK_UP,
        };
        Some(if self.inbox.is_some() { again.min(HEAR) } else { again })
    }

    fn pause(&mut self) -> bool {
        self.inbox.as_mut().is_some_and(Inbox::interrupts)
    }

    fn quit(&mut self) -> bool {
        self.ending.asked()
    }
}
