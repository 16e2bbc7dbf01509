//! The diskette controller, an 82077AA in AT mode, and its drives.
//!
//! Manual: Intel 82077AA CHMOS single-chip floppy disk controller datasheet (chapters 2 registers, 5 command set, 6 status
//! encoding). Here are the registers, the FIFO and the lines; `commands.rs` has the commands, `transfer.rs` their
//! execution, `geometry.rs` the diskettes.
//!
//! Times are short: what takes a real drive milliseconds takes it microseconds. Diskettes have sectors of 512 bytes whose
//! addresses are what they should be; deleted data marks, gaps and copy protections are not kept.
//!
//! The board connects [`Floppy::dreq`] to the 8237's channel 2 and moves bytes with [`Floppy::offered`], [`Floppy::taken`] and [`Floppy::give`].

mod commands;
mod geometry;
#[cfg(test)]
mod tests;
mod transfer;

pub use geometry::Geometry;
use geometry::UNSET_RATE;

use crate::{Ctx, Ports, Time, Timed, Width};
use serde::{Deserialize, Serialize};
use transfer::Transfer;

/// Drives that the controller can select.
const DRIVES: usize = 4;
const RESET_NS: u64 = 10_000;
const PULSE_NS: u64 = 20_000;

/// Register offsets from 3F0h.
mod register {
    pub const DOR: u16 = 2; // digital output: drive, reset, DMA gate, motors
    pub const TDR: u16 = 3; // tape drive
    pub const MSR: u16 = 4; // main status; written: DSR, data rate select
    pub const FIFO: u16 = 5;
    pub const DIR: u16 = 7; // digital input: disk change; written: CCR, configuration control
}

/// Digital output register.
mod dor {
    pub const N_RESET: u8 = 4;
    pub const DMA_GATE: u8 = 8;
}

/// Main status register.
mod msr {
    pub const RQM: u8 = 0x80; // request for master: the FIFO can be accessed
    pub const DIO: u8 = 0x40; // towards the host
    pub const NON_DMA: u8 = 0x20;
    pub const BUSY: u8 = 0x10;
}

/// Which way DMA bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From the diskette to memory.
    ToMemory,
    /// From memory to the diskette.
    FromMemory,
}

/// What the controller does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Phase {
    /// Held in reset, by DOR.
    Reset,
    /// Takes command bytes.
    #[default]
    Command,
    /// Works until then.
    Busy { until: Time, then: Then },
    /// Moves the buffer.
    Moving(Direction),
    /// Gives result bytes.
    Result,
}

/// What comes when the work is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Then {
    /// The reset is over: the interrupt of the first polling.
    Awake,
    /// The next sector comes under the head.
    Sector,
    /// The buffer is stored.
    Store,
    /// An ID field has been found.
    Id,
}

/// A head on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Seek {
    until: Time,
    to: u8,
    st0: u8, // how it ends
}

/// One drive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Drive {
    connected: bool,
    slot: usize,
    cylinder: u8,  // where the head stands
    pcn: u8,       // where the controller believes that it stands
    changed: bool, // DSKCHG: no diskette, or another, since the last step
    seek: Option<Seek>,
    ended: Option<u8>, // ST0 that SENSE INTERRUPT STATUS has yet to tell
}

/// The controller with its drives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floppy {
    dor: u8,
    tdr: u8,
    rate: u8, // data rate, from DSR or CCR; UNSET_RATE until one is chosen
    phase: Phase,
    command: Vec<u8>,
    result: Vec<u8>, // bytes still to be read, first one first
    interrupt: bool,
    buffer: Vec<u8>, // one sector, or a format ID
    position: usize,
    transfer: Transfer,
    drives: [Drive; DRIVES],
    specify: [u8; 2],
    configure: u8, // EIS, EFIFO, POLL, FIFOTHR
    precompensation: u8,
    perpendicular: u8,
    locked: bool,
    end_of_track: u8, // EOT or SC of the last command, for DUMPREG
}

impl Floppy {
    /// A controller with `drives` drives (0 to 2), whose media are the host's slots from `first_slot` on.
    pub fn new(drives: usize, first_slot: usize) -> Floppy {
        let mut floppy = Floppy {
            dor: 0,
            tdr: 0,
            rate: UNSET_RATE,
            phase: Phase::Reset,
            command: Vec::new(),
            result: Vec::new(),
            interrupt: false,
            buffer: Vec::new(),
            position: 0,
            transfer: Transfer::default(),
            drives: Default::default(),
            specify: [0; 2],
            configure: 0,
            precompensation: 0,
            perpendicular: 0,
            locked: false,
            end_of_track: 0,
        };
        for (i, drive) in floppy.drives.iter_mut().enumerate() {
            *drive = Drive { connected: i < drives, slot: first_slot + i, changed: true, ..Drive::default() };
        }
        floppy.reset();
        floppy
    }

    /// A hard reset: the controller waits for DOR to release it.
    pub fn reset(&mut self) {
        self.locked = false;
        self.dor = 0;
        self.tdr = 0;
        self.rate = UNSET_RATE;
        self.specify = [0; 2];
        self.perpendicular = 0;
        self.soft_reset();
        self.phase = Phase::Reset;
    }

    /// Drive 0 or 1 has another diskette, or none.
    pub fn medium_changed(&mut self, drive: usize) {
        if let Some(drive) = self.drives.get_mut(drive) {
            drive.changed = true;
        }
    }

    /// The interrupt line (IRQ 6).
    pub fn irq(&self) -> bool {
        let byte_waits = self.non_dma() && matches!(self.phase, Phase::Moving(_));
        self.dor & dor::DMA_GATE != 0 && (self.interrupt || byte_waits)
    }

    /// The DMA request line (DRQ 2), and which way bytes will go.
    pub fn dreq(&self) -> Option<Direction> {
        match self.phase {
            Phase::Moving(direction) if self.dor & dor::DMA_GATE != 0 && !self.non_dma() => Some(direction),
            _ => None,
        }
    }

    /// Bytes that can be moved at once while [`Floppy::dreq`] stands.
    pub fn ready(&self) -> usize {
        if self.dreq().is_some() { self.buffer.len() - self.position } else { 0 }
    }

    /// The bytes that wait to go to memory.
    pub fn offered(&self) -> &[u8] {
        if self.dreq() == Some(Direction::ToMemory) { &self.buffer[self.position..] } else { &[] }
    }

    /// DMA cycles towards memory have taken the first `n` bytes of [`Floppy::offered`]. `terminal_count` comes with
    /// the last of them.
    pub fn taken(&mut self, ctx: &mut Ctx, n: usize, terminal_count: bool) {
        if self.dreq() == Some(Direction::ToMemory) {
            self.moved(ctx.now, n.min(self.ready()), terminal_count);
        }
    }

    /// DMA cycles from memory bring bytes, at most [`Floppy::ready`], likewise.
    pub fn give(&mut self, ctx: &mut Ctx, from: &[u8], terminal_count: bool) {
        if self.dreq() == Some(Direction::FromMemory) {
            let n = from.len().min(self.ready());
            self.buffer[self.position..self.position + n].copy_from_slice(&from[..n]);
            self.moved(ctx.now, n, terminal_count);
        }
    }

    fn non_dma(&self) -> bool {
        self.specify[1] & 1 != 0
    }

    /// What a reset by DOR or DSR does: settings survive as LOCK says.
    fn soft_reset(&mut self) {
        self.command.clear();
        self.result.clear();
        self.buffer.clear();
        self.position = 0;
        self.interrupt = false;
        self.transfer = Transfer::default();
        for drive in &mut self.drives {
            drive.seek = None;
            drive.ended = None;
            drive.pcn = 0;
        }
        const EFIFO: u8 = 0x20;
        if self.locked {
            self.configure &= 0x2f;
        } else {
            self.configure = EFIFO;
            self.precompensation = 0;
        }
        self.perpendicular &= !3; // GAP and WGATE
    }

    fn wake(&mut self, now: Time) {
        self.busy(now, RESET_NS, Then::Awake);
    }

    fn busy(&mut self, at: Time, ns: u64, then: Then) {
        self.phase = Phase::Busy { until: Time(at.0.saturating_add(ns)), then };
    }

    /// Does everything whose time has come.
    fn catch_up(&mut self, ctx: &mut Ctx) {
        while let Some(at) = self.deadline().filter(|&at| at <= ctx.now) {
            for i in 0..DRIVES {
                if let Some(seek) = self.drives[i].seek.filter(|s| s.until <= at) {
                    self.arrive(ctx, i, seek);
                }
            }
            if let Phase::Busy { until, then } = self.phase
                && until <= at
            {
                self.go_on(ctx, at, then);
            }
        }
    }

    fn go_on(&mut self, ctx: &mut Ctx, at: Time, then: Then) {
        match then {
            Then::Awake => {
                // The drives' ready lines are polled: each seems to have changed once.
                for (i, drive) in self.drives.iter_mut().enumerate() {
                    drive.ended = Some(0xc0 | i as u8);
                }
                self.phase = Phase::Command;
                self.interrupt = true;
            }
            Then::Sector => self.sector(ctx, at),
            Then::Store => self.store(ctx, at),
            Then::Id => self.id(ctx, at),
        }
    }

    fn arrive(&mut self, ctx: &mut Ctx, index: usize, seek: Seek) {
        let drive = &mut self.drives[index];
        drive.seek = None;
        if drive.cylinder != seek.to && ctx.host.medium(drive.slot).is_some() {
            drive.changed = false; // a step pulse clears the line when there is a diskette
        }
        drive.cylinder = seek.to;
        drive.ended = Some(seek.st0);
        self.interrupt = true;
    }

    fn status(&self) -> u8 {
        let seeking = (0..DRIVES).filter(|&i| self.drives[i].seek.is_some()).fold(0, |m, i| m | 1 << i);
        seeking
            | match self.phase {
                Phase::Reset | Phase::Busy { then: Then::Awake, .. } => 0,
                Phase::Command if self.command.is_empty() => msr::RQM,
                Phase::Command => msr::RQM | msr::BUSY,
                Phase::Busy { .. } => msr::BUSY,
                Phase::Moving(direction) if self.non_dma() => {
                    let dio = if direction == Direction::ToMemory { msr::DIO } else { 0 };
                    msr::RQM | msr::NON_DMA | msr::BUSY | dio
                }
                Phase::Moving(_) => msr::BUSY,
                Phase::Result => msr::RQM | msr::DIO | msr::BUSY,
            }
    }

    fn write_dor(&mut self, now: Time, value: u8) {
        let before = std::mem::replace(&mut self.dor, value);
        match (before & dor::N_RESET != 0, value & dor::N_RESET != 0) {
            (true, false) => {
                self.soft_reset();
                self.phase = Phase::Reset;
            }
            (false, true) => self.wake(now),
            _ => {}
        }
    }

    fn write_dsr(&mut self, now: Time, value: u8) {
        const SOFTWARE_RESET: u8 = 0x80;
        self.rate = value & 3;
        if value & SOFTWARE_RESET != 0 && self.phase != Phase::Reset {
            self.soft_reset();
            self.wake(now);
        }
    }

    /// DIR: the selected drive's disk change line, if its motor runs.
    fn digital_input(&self) -> u8 {
        let selected = usize::from(self.dor & 3);
        let drive = &self.drives[selected];
        let motor = self.dor >> 4 & 1 << selected != 0;
        if motor && drive.connected && drive.changed { 0x80 } else { 0 }
    }

    fn read_fifo(&mut self, now: Time) -> u8 {
        match self.phase {
            Phase::Moving(Direction::ToMemory) if self.non_dma() => {
                let byte = self.buffer[self.position];
                self.moved(now, 1, false);
                byte
            }
            Phase::Result if !self.result.is_empty() => {
                self.interrupt = false;
                let byte = self.result.remove(0);
                if self.result.is_empty() {
                    self.phase = Phase::Command;
                    // Another drive's seek may have ended meanwhile; after a reset, one interrupt stands for all.
                    self.interrupt =
                        self.drives.iter().any(|d| d.ended.is_some_and(|st0| st0 & 0xc0 != 0xc0));
                }
                byte
            }
            _ => 0xff,
        }
    }

    fn write_fifo(&mut self, ctx: &mut Ctx, value: u8) {
        match self.phase {
            Phase::Moving(Direction::FromMemory) if self.non_dma() => {
                self.buffer[self.position] = value;
                self.moved(ctx.now, 1, false);
            }
            Phase::Command => {
                self.command.push(value);
                if self.command.len() >= commands::length(self.command[0]) {
                    self.execute(ctx);
                }
            }
            _ => {}
        }
    }
}

impl Ports for Floppy {
    /// Offsets 0 to 7 from 3F0h (or 370h); offset 6 is the IDE channel's.
    fn read(&mut self, ctx: &mut Ctx, offset: u16, _width: Width) -> u32 {
        self.catch_up(ctx);
        u32::from(match offset {
            register::DOR => self.dor,
            register::TDR => self.tdr,
            register::MSR => self.status(),
            register::FIFO => self.read_fifo(ctx.now),
            register::DIR => self.digital_input(),
            _ => 0xff, // SRA and SRB exist in PS/2 mode only
        })
    }

    fn write(&mut self, ctx: &mut Ctx, offset: u16, _width: Width, value: u32) {
        self.catch_up(ctx);
        let value = value as u8;
        match offset {
            register::DOR => self.write_dor(ctx.now, value),
            register::TDR => self.tdr = value & 3,
            register::MSR => self.write_dsr(ctx.now, value),
            register::FIFO => self.write_fifo(ctx, value),
            register::DIR => self.rate = value & 3,
            _ => {}
        }
    }
}

impl Timed for Floppy {
    fn deadline(&self) -> Option<Time> {
        let busy = match self.phase {
            Phase::Busy { until, .. } => Some(until),
            _ => None,
        };
        self.drives.iter().filter_map(|d| d.seek.map(|s| s.until)).chain(busy).min()
    }

    fn advance(&mut self, ctx: &mut Ctx) {
        self.catch_up(ctx);
    }
}
