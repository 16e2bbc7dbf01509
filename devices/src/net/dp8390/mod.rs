//! The network interface controller DP8390D of National Semiconductor, the heart of every NE2000: two DMA channels (local,
//! between wire and buffer memory; remote, between buffer memory and the computer), a ring of 256-byte receive buffers, an
//! address filter.
//!
//! Follows the DP8390D/NS32490D datasheet (July 1995) and application note AN-937 (loopback). Section numbers in comments are
//! the datasheet's. Here are the registers' state and the command register; [`registers`] are the four pages, [`receive`] the
//! ring, [`transmit`] sending and loopback, [`remote`] the remote DMA. Tests stand in `tests.rs`.
//!
//! What it deliberately is not: a model of the wire's speed. A frame is sent and received in no time, and there are no
//! collisions, so that the machine is as fast as its processor.

pub mod crc;
mod receive;
mod registers;
mod remote;
#[cfg(test)]
mod tests;
mod transmit;

use serde::{Deserialize, Serialize};

/// Buffer memory as both DMA channels address it.
pub trait BufferMemory {
    /// One byte.
    fn get(&self, addr: u16) -> u8;
    /// Stores one byte, if something can be stored there.
    fn set(&mut self, addr: u16, value: u8);
    /// Consecutive bytes; addresses wrap at 64 KiB.
    fn read(&self, addr: u16, to: &mut [u8]) {
        for (i, byte) in to.iter_mut().enumerate() {
            *byte = self.get(addr.wrapping_add(i as u16));
        }
    }
    /// Stores consecutive bytes.
    fn write(&mut self, addr: u16, from: &[u8]) {
        for (i, byte) in from.iter().enumerate() {
            self.set(addr.wrapping_add(i as u16), *byte);
        }
    }
}

/// CR: the command register.
pub(crate) mod cr {
    pub const STP: u8 = 1; // stop: no packets are received or sent
    pub const STA: u8 = 2; // start
    pub const TXP: u8 = 4; // transmit packet
    pub const RD_SHIFT: u8 = 3; // remote DMA command, three bits
    pub const PAGE_SHIFT: u8 = 6;
}

/// ISR and IMR: interrupts.
pub(crate) mod isr {
    pub const PRX: u8 = 1; // packet received
    pub const PTX: u8 = 2; // packet transmitted
    pub const OVW: u8 = 0x10; // overwrite warning: no room in the ring
    pub const CNT: u8 = 0x20; // a tally counter is half full
    pub const RDC: u8 = 0x40; // remote DMA complete
    pub const RST: u8 = 0x80; // in the reset state, or the ring overflowed: a status, no interrupt
}

/// DCR: data configuration.
pub(crate) mod dcr {
    pub const WTS: u8 = 1; // word transfers
    pub const BOS: u8 = 2; // byte order of the 68000
    pub const LAS: u8 = 4; // long addresses
    pub const LS: u8 = 8; // loopback select: clear for loopback through the FIFO
}

/// TCR: transmit configuration.
pub(crate) mod tcr {
    pub const CRC: u8 = 1; // inhibit the CRC: software supplies it
    pub const LB: u8 = 6; // loopback mode
}

/// RCR: receive configuration.
pub(crate) mod rcr {
    pub const AR: u8 = 2; // accept runts
    pub const AB: u8 = 4; // accept broadcast
    pub const AM: u8 = 8; // accept multicast, by the hash
    pub const PRO: u8 = 0x10; // promiscuous: all physical addresses
    pub const MON: u8 = 0x20; // monitor: check and count, don't buffer
}

/// RSR: receive status.
pub(crate) mod rsr {
    pub const PRX: u8 = 1; // received intact
    pub const CRC: u8 = 2; // CRC error
    pub const MPA: u8 = 0x10; // missed packet
    pub const PHY: u8 = 0x20; // to a multicast or broadcast address
    pub const DIS: u8 = 0x40; // receiver disabled: monitor mode
}

/// What the remote DMA does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Remote {
    Idle,
    Read,
    Write,
    /// Send packet: reads the next packet of the ring, then moves BNRY on.
    Send,
}

/// The controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dp8390 {
    cr: u8,
    isr: u8,
    imr: u8,
    dcr: u8,
    tcr: u8,
    rcr: u8,
    tsr: u8,
    rsr: u8,
    pstart: u8, // first page of the receive ring
    pstop: u8,  // page behind the ring
    bnry: u8,   // boundary: first page that is not to be overwritten
    curr: u8,   // current page: where the next packet goes
    tpsr: u8,   // page where the packet to be sent starts
    tbcr: u16,  // its bytes
    clda: u16,  // current local DMA address
    rsar: u16,  // remote start address
    crda: u16,  // current remote DMA address
    rbcr: u16,  // bytes that the remote DMA still moves
    next: u16,  // local and remote next packet pointers, as diagnostics write them
    par: [u8; 6],
    mar: [u8; 8],
    tally: [u8; 3], // alignment errors, CRC errors, missed packets
    fifo: [u8; 8],
    fifo_at: u8,
    remote: Remote,
    overflowed: bool,
}

impl Default for Dp8390 {
    fn default() -> Self {
        Dp8390::new()
    }
}

impl Dp8390 {
    /// After power-on. What the datasheet leaves undefined is zero.
    pub fn new() -> Dp8390 {
        let mut chip = Dp8390 {
            cr: 0,
            isr: 0,
            imr: 0,
            dcr: 0,
            tcr: 0,
            rcr: 0,
            tsr: 0,
            rsr: 0,
            pstart: 0,
            pstop: 0,
            bnry: 0,
            curr: 0,
            tpsr: 0,
            tbcr: 0,
            clda: 0,
            rsar: 0,
            crda: 0,
            rbcr: 0,
            next: 0,
            par: [0; 6],
            mar: [0; 8],
            tally: [0; 3],
            fifo: [0; 8],
            fifo_at: 0,
            remote: Remote::Idle,
            overflowed: false,
        };
        chip.reset();
        chip
    }

    /// The reset pin (section 11): only what is listed there changes.
    pub fn reset(&mut self) {
        self.cr = cr::STP | 4 << cr::RD_SHIFT;
        self.isr = 0;
        self.imr = 0;
        self.dcr |= dcr::LAS;
        self.tcr &= !tcr::LB;
        self.remote = Remote::Idle;
        self.overflowed = false;
    }

    /// The interrupt pin.
    pub fn irq(&self) -> bool {
        self.isr & self.imr & !isr::RST != 0
    }

    /// In the reset state: neither sends nor receives.
    pub fn stopped(&self) -> bool {
        self.cr & cr::STP != 0
    }

    /// Whether the remote DMA moves words.
    pub fn words(&self) -> bool {
        self.dcr & dcr::WTS != 0
    }

    fn loopback(&self) -> u8 {
        (self.tcr & tcr::LB) >> 1
    }

    /// The command register (section 10.3). A frame that is sent comes back.
    fn command(&mut self, memory: &mut impl BufferMemory, value: u8) -> Option<Vec<u8>> {
        // Neither STP nor STA: as it was. TXP stays until the packet is sent, which takes no time.
        let state = match value & (cr::STP | cr::STA) {
            0 => self.cr & (cr::STP | cr::STA),
            both if both & cr::STP != 0 => both,
            start => start,
        };
        self.cr = value & !(cr::STP | cr::STA | cr::TXP) | state;
        if self.stopped() {
            self.overflowed = false;
        }
        self.remote_command(memory, value >> cr::RD_SHIFT & 7);
        let send = value & cr::TXP != 0 && !self.stopped();
        send.then(|| self.transmit(memory)).flatten()
    }

    /// A tally counter (section 10.4): stops at 192, says so at 128.
    fn count(&mut self, which: usize) {
        let counter = &mut self.tally[which];
        *counter = counter.saturating_add(1).min(192);
        if *counter & 0x80 != 0 {
            self.isr |= isr::CNT;
        }
    }
}
