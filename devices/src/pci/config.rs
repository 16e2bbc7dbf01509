//! A function's 256 bytes of configuration space: which bits a guest can write, which it clears by writing one, and
//! what the header says (PCI 2.1, chapter 6). A BAR needs no code for sizing: its low bits simply can't be written.

use crate::Width;
use serde::{Deserialize, Serialize};

const COMMAND: usize = 0x04;
const STATUS: usize = 0x06;
const BAR0: usize = 0x10;
const ROM: usize = 0x30;
const LINE: usize = 0x3c;
const PIN: usize = 0x3d;

/// Index of the expansion ROM's base address among a function's BARs.
pub const ROM_BAR: usize = 6;

/// Who a function says it is.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub vendor: u16,
    pub device: u16,
    pub revision: u8,
    /// Base class, sub-class and programming interface: 010180h is an IDE controller with bus master.
    pub class: u32,
}

/// What kind of space a BAR asks for.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BarKind {
    Io,
    Memory,
    Prefetchable,
    Rom,
}

/// A base address register: its kind and the power of two of bytes that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// Which space.
    pub kind: BarKind,
    /// Bytes, a power of two.
    pub size: u32,
}

/// Where an enabled BAR lies now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Which space.
    pub kind: BarKind,
    /// First address or port.
    pub base: u32,
    /// Bytes.
    pub size: u32,
}

/// What a write to configuration space changed for the board.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that anyone outside depends on.
    Nothing,
    /// Something that decides what answers where, or which line goes where, may have changed: derive the map again.
    Map,
}

/// A function on the PCI bus.
pub trait PciFunction {
    /// Its registers.
    fn config(&self) -> &ConfigSpace;
    /// Its registers, to be changed.
    fn config_mut(&mut self) -> &mut ConfigSpace;
    /// A configuration read.
    fn config_read(&self, register: u8, width: Width) -> u32 {
        self.config().read(register, width)
    }
    /// A configuration write.
    fn config_write(&mut self, register: u8, width: Width, value: u32) -> Effect {
        self.config_mut().write(register, width, value)
    }
}

/// The registers of one function, with what can be written of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpace {
    registers: Vec<u8>,
    writable: Vec<u8>,  // bits that a write sets and clears
    clearable: Vec<u8>, // bits that a write of one clears
    bars: Vec<Option<Bar>>,
}

impl ConfigSpace {
    /// A function with no BAR and no interrupt pin, everything disabled.
    pub fn new(id: Identity) -> ConfigSpace {
        let mut space = ConfigSpace {
            registers: vec![0; 256],
            writable: vec![0; 256],
            clearable: vec![0; 256],
            bars: vec![None; ROM_BAR + 1],
        };
        space.set16(0x00, id.vendor);
        space.set16(0x02, id.device);
        space.set32(0x08, id.class << 8 | u32::from(id.revision));
        space.allow(COMMAND, 0x0147, 2); // I/O, memory, master, parity response, SERR#
        space.clear_by_one(STATUS, 0xf900, 2);
        space.allow(0x0c, 0xffff, 2); // cache line size, latency timer
        space.allow(LINE, 0xff, 1);
        space
    }

    /// Adds a BAR: `index` 0 to 5, or [`ROM_BAR`]. `size` is rounded up to what the kind can express.
    pub fn with_bar(mut self, index: usize, kind: BarKind, size: u32) -> ConfigSpace {
        let least = match kind {
            BarKind::Io => 4,
            BarKind::Memory | BarKind::Prefetchable => 16,
            BarKind::Rom => 2048,
        };
        let size = size.clamp(least, 1 << 31).next_power_of_two();
        let (at, fixed, enable) = match kind {
            BarKind::Io => (BAR0 + 4 * index, 1, 0),
            BarKind::Memory => (BAR0 + 4 * index, 0, 0),
            BarKind::Prefetchable => (BAR0 + 4 * index, 8, 0),
            BarKind::Rom => (ROM, 0, 1),
        };
        self.set32(at, fixed);
        self.allow(at, !(size - 1) | enable, 4);
        self.bars[index] = Some(Bar { kind, size });
        self
    }

    /// Gives it interrupt pin 1 (INTA#) to 4 (INTD#).
    pub fn with_pin(mut self, pin: u8) -> ConfigSpace {
        self.registers[PIN] = pin;
        self
    }

    /// Subsystem vendor and device.
    pub fn with_subsystem(mut self, vendor: u16, device: u16) -> ConfigSpace {
        self.set16(0x2c, vendor);
        self.set16(0x2e, device);
        self
    }

    /// Makes exactly the bits of `mask` writable in the `bytes` bytes from `register` on.
    pub fn allow(&mut self, register: usize, mask: u32, bytes: usize) {
        self.writable[register..register + bytes].copy_from_slice(&mask.to_le_bytes()[..bytes]);
    }

    /// Makes exactly the bits of `mask` clear when one is written to them.
    pub fn clear_by_one(&mut self, register: usize, mask: u32, bytes: usize) {
        self.clearable[register..register + bytes].copy_from_slice(&mask.to_le_bytes()[..bytes]);
    }

    /// A configuration read. Bytes past the end read 0.
    pub fn read(&self, register: u8, width: Width) -> u32 {
        let mut value = [0; 4];
        for (i, byte) in value.iter_mut().enumerate().take(width as usize) {
            *byte = self.registers.get(usize::from(register) + i).copied().unwrap_or(0);
        }
        u32::from_le_bytes(value)
    }

    /// A configuration write, by the masks.
    pub fn write(&mut self, register: u8, width: Width, value: u32) -> Effect {
        let mut effect = Effect::Nothing;
        for (i, byte) in value.to_le_bytes().into_iter().enumerate().take(width as usize) {
            let at = usize::from(register) + i;
            let Some(&old) = self.registers.get(at) else { break };
            let new = (old & !self.writable[at] | byte & self.writable[at]) & !(byte & self.clearable[at]);
            self.registers[at] = new;
            if new != old && !matches!(at, STATUS | 0x07 | 0x0c | 0x0d | LINE) {
                effect = Effect::Map;
            }
        }
        effect
    }

    /// One register, as the chip itself sees it.
    pub fn get8(&self, register: usize) -> u8 {
        self.registers[register]
    }

    /// Two bytes.
    pub fn get16(&self, register: usize) -> u16 {
        u16::from_le_bytes([self.registers[register], self.registers[register + 1]])
    }

    /// Four bytes.
    pub fn get32(&self, register: usize) -> u32 {
        u32::from(self.get16(register)) | u32::from(self.get16(register + 2)) << 16
    }

    /// Sets a register whatever its masks say.
    pub fn set8(&mut self, register: usize, value: u8) {
        self.registers[register] = value;
    }

    /// Two bytes.
    pub fn set16(&mut self, register: usize, value: u16) {
        self.registers[register..register + 2].copy_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn set32(&mut self, register: usize, value: u32) {
        self.registers[register..register + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Whether it answers I/O accesses (command register, bit 0).
    pub fn io_enabled(&self) -> bool {
        self.registers[COMMAND] & 1 != 0
    }

    /// Whether it answers memory accesses (command register, bit 1).
    pub fn memory_enabled(&self) -> bool {
        self.registers[COMMAND] & 2 != 0
    }

    /// Whether it may act as a bus master (command register, bit 2).
    pub fn bus_master(&self) -> bool {
        self.registers[COMMAND] & 4 != 0
    }

    /// Interrupt line, as firmware wrote it.
    pub fn interrupt_line(&self) -> u8 {
        self.registers[LINE]
    }

    /// Interrupt pin, 1 (INTA#) to 4 (INTD#), if it has one.
    pub fn interrupt_pin(&self) -> Option<u8> {
        matches!(self.registers[PIN], 1..=4).then_some(self.registers[PIN])
    }

    /// What BAR `index` asks for.
    pub fn bar(&self, index: usize) -> Option<Bar> {
        self.bars.get(index).copied().flatten()
    }

    /// Where BAR `index` lies, if it is there, enabled and has been given an address: neither 0 nor the all ones of
    /// sizing count as one.
    pub fn mapping(&self, index: usize) -> Option<Mapping> {
        let Bar { kind, size } = self.bar(index)?;
        let raw = self.get32(if index == ROM_BAR { ROM } else { BAR0 + 4 * index });
        let base = raw & !(size - 1);
        let enabled = match kind {
            BarKind::Io => self.io_enabled(),
            BarKind::Memory | BarKind::Prefetchable => self.memory_enabled(),
            BarKind::Rom => self.memory_enabled() && raw & 1 != 0,
        };
        let last = if kind == BarKind::Io { 0xffff } else { 0xffff_fffe };
        let fits = base.checked_add(size - 1).is_some_and(|end| end <= last);
        (enabled && base != 0 && fits).then_some(Mapping { kind, base, size })
    }

    /// All enabled BARs with their indices.
    pub fn mappings(&self) -> impl Iterator<Item = (usize, Mapping)> + '_ {
        (0..=ROM_BAR).filter_map(|i| Some((i, self.mapping(i)?)))
    }

    /// What a bus reset does to every function: nothing answers, nothing masters, BARs are empty.
    pub fn reset_header(&mut self) {
        self.set16(COMMAND, 0);
        self.registers[LINE] = 0;
        for index in 0..=ROM_BAR {
            let at = if index == ROM_BAR { ROM } else { BAR0 + 4 * index };
            if let Some(Bar { kind, .. }) = self.bars[index] {
                self.set32(
                    at,
                    match kind {
                        BarKind::Io => 1,
                        BarKind::Prefetchable => 8,
                        BarKind::Memory | BarKind::Rom => 0,
                    },
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn card() -> ConfigSpace {
        ConfigSpace::new(Identity { vendor: 0x1234, device: 0x1111, revision: 2, class: 0x030000 })
            .with_bar(0, BarKind::Prefetchable, 16 << 20)
            .with_bar(1, BarKind::Io, 32)
            .with_bar(ROM_BAR, BarKind::Rom, 40_000)
            .with_pin(1)
    }

    #[test]
    fn header_fields_lie_where_the_specification_puts_them() {
        let c = card();
        assert_eq!(c.read(0, Width::Dword), 0x1111_1234);
        assert_eq!(c.read(8, Width::Dword), 0x0300_0002);
        assert_eq!(c.read(0x0a, Width::Word), 0x0300);
        assert_eq!(c.read(0x3d, Width::Byte), 1);
    }

    #[test]
    fn a_bar_is_sized_by_writing_ones() {
        let mut c = card();
        let _ = c.write(0x10, Width::Dword, !0);
        assert_eq!(c.read(0x10, Width::Dword), 0xff00_0008);
        let _ = c.write(0x14, Width::Dword, !0);
        assert_eq!(c.read(0x14, Width::Dword), 0xffff_ffe1);
        let _ = c.write(0x30, Width::Dword, 0xffff_fffe);
        assert_eq!(c.read(0x30, Width::Dword), 0xffff_0000);
        let _ = c.write(0x18, Width::Dword, !0);
        assert_eq!(c.read(0x18, Width::Dword), 0);
    }

    #[test]
    fn a_bar_answers_only_when_enabled_and_placed() {
        let mut c = card();
        assert_eq!(c.write(0x10, Width::Dword, 0xe000_0000), Effect::Map);
        assert_eq!(c.mapping(0), None);
        assert_eq!(c.write(4, Width::Word, 7), Effect::Map);
        assert_eq!(
            c.mapping(0),
            Some(Mapping { kind: BarKind::Prefetchable, base: 0xe000_0000, size: 16 << 20 })
        );
        assert_eq!(c.mapping(1), None);
        let _ = c.write(0x14, Width::Dword, 0xc021);
        assert_eq!(c.mapping(1).map(|m| m.base), Some(0xc020));
        let _ = c.write(0x14, Width::Dword, !0);
        assert_eq!(c.mapping(1), None);
        let _ = c.write(0x30, Width::Dword, 0xfeb0_0000);
        assert_eq!(c.mapping(ROM_BAR), None);
        let _ = c.write(0x30, Width::Byte, 1);
        assert_eq!(c.mapping(ROM_BAR).map(|m| (m.base, m.size)), Some((0xfeb0_0000, 65536)));
        assert_eq!(c.mappings().count(), 2);
    }

    #[test]
    fn status_clears_by_one_and_identity_stays() {
        let mut c = card();
        c.set16(6, 0x2280);
        assert_eq!(c.write(4, Width::Dword, 0x2000_0000), Effect::Nothing);
        assert_eq!(c.read(6, Width::Word), 0x0280);
        assert_eq!(c.write(0, Width::Dword, 0), Effect::Nothing);
        assert_eq!(c.read(0, Width::Dword), 0x1111_1234);
        assert_eq!(c.write(0x3c, Width::Byte, 11), Effect::Nothing);
        assert_eq!(c.interrupt_line(), 11);
    }
}
