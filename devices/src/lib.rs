//! The chips of the PC. A chip is a struct of its registers and nothing else; it knows no CPU, no address, no IRQ
//! number and no clock of its own. The board (in `machine`) calls it, hands it a [`Ctx`] for that one call, and asks
//! for its lines afterwards.
//!
//! What a chip implements:
//! - [`Ports`] and/or [`Registers`]: reads and writes at offsets from wherever the board put it;
//! - [`Timed`], if time alone changes it: it says when, as a pure function of its state;
//! - lines as plain methods (`fn irq(&self) -> bool`): pure functions of its state;
//! - `reset()`, and `derive(Serialize, Deserialize, Clone, PartialEq, Debug)`.

pub mod floppy;
pub mod ide;
pub mod net;
pub mod pci;
pub mod vga;

use serde::{Deserialize, Serialize};

pub mod apic_bus;
#[cfg(test)]
mod bench;
pub mod clock;
pub mod debug;
pub mod dma;
pub mod fpu_error;
pub mod fuzz;
pub mod fw_cfg;
pub mod hpet;
pub mod i8042;
pub mod ioapic;
pub mod keyboard;
pub mod keys;
pub mod lapic;
pub mod mouse;
pub mod parallel;
pub mod pic;
pub mod pit;
pub mod pm;
pub mod port92;
pub mod rtc;
pub mod smbus;
pub mod speaker;
pub mod uart;

/// Virtual time in nanoseconds since the machine was switched on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time(pub u64);

/// Bytes moved by one access.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Width {
    Byte = 1,
    Word = 2,
    Dword = 4,
    Qword = 8,
}

/// Guest-physical memory as a bus master reaches it. Chips and holes read FFh and ignore writes.
pub trait Dma {
    /// Reads bytes from guest-physical `addr` on.
    fn read(&mut self, addr: u64, to: &mut [u8]);
    /// Writes bytes from guest-physical `addr` on.
    fn write(&mut self, addr: u64, from: &[u8]);
}

/// A medium with bytes: a disk, floppy or CD image. Offsets and lengths in bytes; out-of-range access is an error.
pub trait Medium {
    /// Size in bytes.
    fn len(&self) -> u64;
    /// Whether it has no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Whether writes are refused.
    fn read_only(&self) -> bool;
    /// Fills `to` from `offset`.
    fn read(&mut self, offset: u64, to: &mut [u8]) -> std::io::Result<()>;
    /// Stores `from` at `offset`.
    fn write(&mut self, offset: u64, from: &[u8]) -> std::io::Result<()>;
    /// Makes all writes so far durable.
    fn flush(&mut self) -> std::io::Result<()>;
}

/// The host's side of chips that reach outside, by index. The board decides which index is whose.
pub trait Host {
    /// A character leaves serial port `port`.
    fn serial_out(&mut self, port: usize, byte: u8);
    /// A character leaves parallel port `port`.
    fn parallel_out(&mut self, port: usize, byte: u8);
    /// A character leaves the debug console.
    fn debug_out(&mut self, byte: u8);
    /// A frame leaves network card `card` ([`net`]). Where no cable is plugged in it is lost.
    fn packet_out(&mut self, card: usize, frame: &[u8]) {
        let _ = (card, frame);
    }
    /// The medium in drive `slot`, if one is in.
    fn medium(&mut self, slot: usize) -> Option<&mut dyn Medium>;
}

/// What a chip gets for the length of one call.
pub struct Ctx<'a> {
    /// Virtual time, exact to the instruction.
    pub now: Time,
    /// Guest memory, for bus masters.
    pub dma: &'a mut dyn Dma,
    /// The outside.
    pub host: &'a mut dyn Host,
}

/// A chip with I/O ports. Offsets count from the start of the range that the board gave it.
pub trait Ports {
    /// IN.
    fn read(&mut self, ctx: &mut Ctx, offset: u16, width: Width) -> u32;
    /// OUT.
    fn write(&mut self, ctx: &mut Ctx, offset: u16, width: Width, value: u32);
}

/// Reads a chip that is eight bits wide: a wider access is one read for each port that it covers, lowest first.
pub fn read_bytes(offset: u16, width: Width, mut port: impl FnMut(u16) -> u8) -> u32 {
    let bytes = (width as u16).min(4);
    (0..bytes).fold(0, |sum, i| sum | u32::from(port(offset.wrapping_add(i))) << (8 * i))
}

/// Writes a chip that is eight bits wide: a wider access is one write for each port that it covers, lowest first.
pub fn write_bytes(offset: u16, width: Width, value: u32, mut port: impl FnMut(u16, u8)) {
    let bytes = (width as u16).min(4);
    for i in 0..bytes {
        port(offset.wrapping_add(i), (value >> (8 * i)) as u8);
    }
}

/// A chip with memory-mapped registers.
pub trait Registers {
    /// Load.
    fn load(&mut self, ctx: &mut Ctx, offset: u64, width: Width) -> u64;
    /// Store.
    fn store(&mut self, ctx: &mut Ctx, offset: u64, width: Width, value: u64);
}

/// A chip that time alone changes.
pub trait Timed {
    /// When its lines or visible state next change by themselves, as far as anyone outside must act on it; `None` if
    /// never. A pure function of the chip's state.
    fn deadline(&self) -> Option<Time>;
    /// Catches up to `ctx.now`, in time that does not depend on how long that is.
    fn advance(&mut self, ctx: &mut Ctx);
}

/// Bytes of video memory, wherever the machine keeps them. Offsets wrap nowhere: out of range reads FFh.
pub trait VideoMemory {
    /// Size in bytes.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// One byte.
    fn get(&self, offset: usize) -> u8;
    /// Four bytes: what the planes hold at one address. `offset` is a multiple of four.
    fn four(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }
    /// Stores one byte.
    fn set(&mut self, offset: usize, value: u8);
    /// Stores two bytes, the low one at `offset`, which is even.
    fn set_word(&mut self, offset: usize, value: u16) {
        let [low, high] = value.to_le_bytes();
        self.set(offset, low);
        self.set(offset + 1, high);
    }
    /// Copies bytes out.
    fn read(&self, offset: usize, to: &mut [u8]);
    /// Stores `value` in `len` bytes from `offset` on.
    fn fill(&mut self, offset: usize, len: usize, value: u8) {
        for at in offset..offset.saturating_add(len).min(self.len()) {
            self.set(at, value);
        }
    }
}
