//! A drive's side of the cable: the task file, the sector buffer behind the data port, its interrupt line and what it
//! is busy with (ATA/ATAPI-6, chapters 7 and 9). What the drive *does* with a command is its unit's affair.

use crate::Time;
use serde::{Deserialize, Serialize};

/// Status register bits.
pub(super) mod status {
    pub const BSY: u8 = 0x80;
    pub const DRDY: u8 = 0x40;
    pub const DF: u8 = 0x20;
    pub const DSC: u8 = 0x10;
    pub const DRQ: u8 = 0x08;
    pub const ERR: u8 = 0x01;
}

/// Error register bits.
pub(super) mod error {
    pub const UNC: u8 = 0x40;
    pub const IDNF: u8 = 0x10;
    pub const ABRT: u8 = 0x04;
}

/// A task file register that remembers its previous content for 48-bit commands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Latched {
    pub now: u8,
    pub before: u8, // what HOB shows
}

impl Latched {
    pub fn write(&mut self, value: u8) {
        self.before = self.now;
        self.now = value;
    }

    pub fn set(&mut self, now: u8) {
        *self = Latched { now, before: 0 };
    }

    pub fn read(self, hob: bool) -> u8 {
        if hob { self.before } else { self.now }
    }
}

/// The command block registers as one drive holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskFile {
    pub features: Latched,
    pub count: Latched, // sector count; for ATAPI the interrupt reason
    pub low: Latched,   // LBA 7:0, sector number
    pub mid: Latched,   // LBA 15:8, cylinder low, byte count low
    pub high: Latched,  // LBA 23:16, cylinder high, byte count high
    pub device: u8,     // device/head
    pub error: u8,
    pub status: u8, // without BSY and DRQ, which follow from the phase
}

/// What happens when a busy drive is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Then {
    /// Reset or diagnostics are over; whether to interrupt.
    Signature(bool),
    /// The command is done without data.
    Complete,
    /// The buffer is ready for the host as it is.
    Offer,
    /// The next block comes from the medium.
    Read,
    /// The buffer goes to the medium.
    Write,
    /// The medium is checked.
    Verify,
    /// The medium is made durable.
    Flush,
}

/// What a drive does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Phase {
    /// Nothing: it takes commands.
    #[default]
    Idle,
    /// SRST is held.
    Reset,
    /// Sleeping: only a reset wakes it.
    Asleep,
    Busy {
        until: Time,
        then: Then,
    },
    /// The host reads the buffer.
    DataIn,
    /// The host fills the buffer.
    DataOut,
    /// The bus master is to move data: at `until`, or when it has been started.
    Dma {
        until: Option<Time>,
    },
}

/// A drive's registers, buffer and phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interface {
    pub slot: usize, // its medium's index at the host
    pub task: TaskFile,
    pub phase: Phase,
    pub buffer: Vec<u8>, // one DRQ block
    pub position: usize,
    pub intrq: bool,
}

impl Interface {
    pub fn new(slot: usize) -> Interface {
        Interface { slot, ..Interface::default() }
    }

    /// The status register.
    pub fn status(&self) -> u8 {
        match self.phase {
            Phase::Idle | Phase::Asleep => self.task.status,
            Phase::Reset => status::BSY,
            Phase::Busy { .. } => self.task.status | status::BSY,
            Phase::DataIn | Phase::DataOut | Phase::Dma { .. } => self.task.status | status::DRQ,
        }
    }

    /// Whether the host may write the task file.
    pub fn accepts(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Asleep)
    }

    /// When it acts by itself.
    pub fn deadline(&self) -> Option<Time> {
        match self.phase {
            Phase::Busy { until, .. } | Phase::Dma { until: Some(until) } => Some(until),
            _ => None,
        }
    }

    pub fn busy(&mut self, at: Time, ns: u64, then: Then) {
        self.phase = Phase::Busy { until: Time(at.0.saturating_add(ns)), then };
    }

    /// Offers the buffer to the host.
    pub fn offer(&mut self) {
        self.position = 0;
        self.phase = Phase::DataIn;
        self.intrq = true;
    }

    /// Asks the host for `bytes` bytes.
    pub fn ask(&mut self, bytes: usize) {
        self.buffer.clear();
        self.buffer.resize(bytes, 0);
        self.position = 0;
        self.phase = Phase::DataOut;
    }

    pub fn complete(&mut self) {
        self.end(status::DRDY | status::DSC, 0);
    }

    pub fn fail(&mut self, error: u8) {
        self.end(status::DRDY | status::DSC | status::ERR, error);
    }

    /// Ends a command: these stand in the status and error registers, and the interrupt line rises.
    pub fn end(&mut self, status: u8, error: u8) {
        self.stop();
        self.task.status = status;
        self.task.error = error;
        self.intrq = true;
    }

    /// Drops whatever it did.
    pub fn stop(&mut self) {
        self.phase = Phase::Idle;
        self.buffer.clear();
        self.position = 0;
    }

    /// Bytes left in the block that the host is reading (`DataIn`) or filling (`DataOut`).
    pub fn left(&self) -> usize {
        self.buffer.len().saturating_sub(self.position)
    }
}
