//! How a run ends, and the outside that a run talks to.

use crate::screen::{Frame, TextScreen};
use std::time::Duration;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest switched itself off.
    PowerOff,
    /// Someone asked to end: the window was closed, `quit` in a script, Ctrl-A x.
    Quit,
    /// The guest wrote this byte to the debug-exit port.
    DebugExit(u8),
    /// The guest reset, and `no-reboot` is on.
    Reset,
    /// `stop-after` ran out.
    StopAfter,
    /// The processors wait and nothing is pending that could wake them.
    NothingPending,
    /// A triple fault with `no-reboot`: the report, several lines.
    TripleFault(String),
    /// The host failed (an image can't be read any more, a file can't be written): one line.
    HostError(String),
}

impl Outcome {
    /// The process's exit status (DESIGN §8).
    pub fn exit_status(&self) -> u8 {
        match self {
            Outcome::PowerOff | Outcome::Quit | Outcome::Reset => 0,
            Outcome::DebugExit(v) => (v << 1) | 1,
            Outcome::StopAfter | Outcome::NothingPending => 4,
            Outcome::TripleFault(_) => 6,
            Outcome::HostError(_) => 2,
        }
    }
}

/// What can be looked at between slices.
pub trait View {
    /// The screen as pixels.
    fn screen(&self) -> Frame;
    /// The screen as characters, when the video card is in a text mode.
    fn text_screen(&self) -> Option<TextScreen>;
    /// Virtual time in nanoseconds.
    fn now_ns(&self) -> u64;
    /// Count of instructions.
    fn count(&self) -> u64;
    /// Changes whenever the picture may have changed (registers or video memory written).
    fn screen_epoch(&self) -> u64;
    /// The keyboard's lamps: bit 0 scroll lock, 1 num lock, 2 caps lock.
    fn keyboard_lamps(&self) -> u8;
    /// Whether all processors are halted.
    fn idle(&self) -> bool;
}

/// The host's side of a run. All methods are called on the machine's thread, between slices.
pub trait HostIo {
    /// Bytes that left serial port `port` (0 = COM1).
    fn serial_out(&mut self, port: usize, bytes: &[u8]);
    /// Bytes that left the debug console.
    fn debug_out(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }
    /// Bytes that left the parallel port.
    fn parallel_out(&mut self, bytes: &[u8]) {
        let _ = bytes;
    }
    /// A line of the log.
    fn log(&mut self, line: &str) {
        let _ = line;
    }
    /// Called between slices, a few hundred times a second while the machine is busy and before it sleeps. Returns when
    /// it wants to be called again at the latest; `None`: no hurry (at the next slice that happens anyway).
    fn tick(&mut self, view: &dyn View) -> Option<Duration> {
        let _ = view;
        None
    }
    /// Asked after each tick: true ends the run with [`Outcome::Quit`]. For what is not input to the guest, such as a
    /// signal; it does not make input live.
    fn quit(&mut self) -> bool {
        false
    }
    /// Asked after each tick: true leaves the run for the debugger.
    fn pause(&mut self) -> bool {
        false
    }
}

/// A host that drops everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIo;

impl HostIo for NoIo {
    fn serial_out(&mut self, _port: usize, _bytes: &[u8]) {}
}

/// Collects serial output: for tests.
#[derive(Clone, Debug, Default)]
pub struct Collect {
    /// Output of COM1.. in order.
    pub serial: [Vec<u8>; crate::config::SERIAL_PORTS],
    /// Output of the debug console.
    pub debug: Vec<u8>,
    /// Log lines.
    pub log: Vec<String>,
}

impl HostIo for Collect {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if let Some(s) = self.serial.get_mut(port) {
            s.extend_from_slice(bytes);
        }
    }
    fn debug_out(&mut self, bytes: &[u8]) {
        self.debug.extend_from_slice(bytes);
    }
    fn log(&mut self, line: &str) {
        self.log.push(line.into());
    }
}
