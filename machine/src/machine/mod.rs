//! [`Machine`]: a PC with everything in it, as one value.

mod drives;
mod feed;
mod lull;
mod run;
mod start;
mod vary;

use crate::board::Board;
use crate::config::{Config, ConfigError, StopAfter};
use crate::inputs::{Inputs, Mailbox, mail};
use crate::outcome::View;
use crate::pacer::Pacer;
use crate::screen::{Cell, Frame, TextScreen};
use crate::script::Script;
use feed::Feed;
use lucid86_cpu::derived::Derived;
use lucid86_cpu::state::Activity;
use lucid86_cpu::{Clock, Cpu, Memory};
use lucid86_devices::Time;
use serde::{Deserialize, Serialize};
use std::time::Instant;

pub(crate) use run::TURN;

/// Where [`Machine::run_until`] pauses (the run can go on afterwards).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Until {
    /// When this many instructions have been completed since power-on, exactly.
    pub count: Option<u64>,
    /// When virtual time reaches this many nanoseconds.
    pub time_ns: Option<u64>,
}

/// Where the machine stands in time, and whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub clock: Clock,
    /// Instructions completed since power-on, by all processors together.
    pub count: u64,
    /// The processor whose turn it is, and the count at which its turn ends.
    pub turn: usize,
    pub turn_end: u64,
    /// Virtual time that was skipped since a processor last ran.
    pub idle_ns: u64,
}

impl Progress {
    /// Whether time can go on from here.
    pub fn sound(&self) -> bool {
        let c = &self.clock;
        c.n0 <= self.count
            && self.count < 1 << 62
            && c.t0_ns < 1 << 62
            && c.rate > 0
            && self.count - c.n0 < 1 << 40
    }
}

pub(crate) use feed::Feed as SavedFeed;

/// A PC.
pub struct Machine {
    config: Config,
    pub(crate) mem: Memory,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) derived: Derived,
    pub(crate) board: Board,
    pub(crate) progress: Progress,
    pub(crate) feed: Feed,
    pub(crate) script: Option<Script>,
    pub(crate) hashes: crate::hash::PageHashes,
    /// The tables that describe the machine.
    tables: crate::tables::Tables,
    stop_count: Option<u64>,
    stop_ns: Option<u64>,
    pacer: Pacer,
    lull: lull::Lull,
    sender: Option<Inputs>,
    mailbox: Mailbox,
    live: bool,
    next_tick: Option<Instant>,
    pub(crate) ended_by: Option<crate::outcome::Outcome>,
    /// What came from outside, and when.
    pub(crate) log: crate::record::Log,
    pub(crate) debug: crate::debug::Debugger,
}

impl Machine {
    /// Builds the machine and loads what the configuration names. Nothing runs yet.
    pub fn new(config: Config) -> Result<Machine, ConfigError> {
        start::build(config)
    }

    /// The configuration that it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A sender of inputs. While any lives, input is live (see the crate's head).
    pub fn connect(&mut self) -> Inputs {
        if let Some(s) = &self.sender {
            return s.clone();
        }
        let (sender, mailbox) = mail();
        self.mailbox = mailbox;
        self.live = true;
        self.sender = Some(sender.clone());
        sender
    }

    /// Virtual time in nanoseconds.
    pub fn time_ns(&self) -> u64 {
        self.progress.clock.time_ns(self.progress.count)
    }

    pub(crate) fn now(&self) -> Time {
        Time(self.time_ns())
    }

    /// A processor's registers.
    pub fn cpu(&self, index: usize) -> &Cpu {
        &self.cpus[index]
    }

    /// Reads guest-physical memory.
    pub fn read_memory(&self, addr: u64, to: &mut [u8]) {
        self.mem.read_physical(addr, to);
    }

    /// Writes guest-physical memory.
    pub fn write_memory(&mut self, addr: u64, from: &[u8]) {
        self.mem.write_physical(addr, from);
    }

    /// Lines of figures about the engine.
    pub fn engine_report(&self) -> String {
        lucid86_cpu::report::report(&self.derived, self.count())
    }

    /// Drops everything derived (translations, decoded blocks): nothing but speed changes.
    pub fn drop_derived(&mut self) {
        self.derived = start::derived(&self.config);
    }

    /// The screen as a PNG file.
    pub fn screenshot_png(&self) -> Result<Vec<u8>, String> {
        self.screen().to_png()
    }

    /// After a state was taken over: what follows from it.
    pub(crate) fn after_load(&mut self) {
        self.derived = start::derived(&self.config);
        self.hashes.forget();
        let now = self.now();
        self.board.request = None;
        self.board.signals.clear();
        self.board.video_epoch += 1;
        self.board.rebuild(&mut self.mem, now);
        self.pacer.set(now.0);
    }

    fn set_stop(&mut self) {
        match self.config.stop_after {
            Some(StopAfter::Instructions(n)) => self.stop_count = Some(n),
            Some(StopAfter::Time(t)) => self.stop_ns = Some(t),
            None => {}
        }
    }
}

impl View for Machine {
    fn screen(&self) -> Frame {
        let f = self.board.chips.vga.render(&self.board.video(&self.mem), self.now());
        Frame { width: f.width as usize, height: f.height as usize, rgb: f.pixels }
    }

    fn text_screen(&self) -> Option<TextScreen> {
        let t = self.board.chips.vga.text(&self.board.video(&self.mem))?;
        let cells = t.cells.iter().map(|c| Cell { char: c.ch, attr: c.attr }).collect();
        Some(TextScreen {
            columns: t.cols as usize,
            rows: t.rows as usize,
            cells,
            cursor: t.cursor.map(|c| (c.col as usize, c.row as usize)),
            palette: self.board.chips.vga.palette(),
            blink: self.board.chips.vga.blinks(),
        })
    }

    fn now_ns(&self) -> u64 {
        self.time_ns()
    }

    fn count(&self) -> u64 {
        self.progress.count
    }

    fn screen_epoch(&self) -> u64 {
        self.board.video_epoch
    }

    fn keyboard_lamps(&self) -> u8 {
        self.board.chips.i8042.keyboard.leds()
    }

    fn idle(&self) -> bool {
        self.cpus.iter().all(|c| c.activity != Activity::Running)
    }
}
