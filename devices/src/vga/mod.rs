//! The VGA chip with the Bochs VBE extensions: registers, memory window, timing and picture.
//!
//! Follows "IBM Personal System/2 Hardware Interface Technical Reference: Video Subsystem" (VGA function) with the
//! FreeVGA project's register notes, and the `VBE_DISPI` interface of the Bochs VGA (`vbe_display_api.txt`); the
//! memory-mapped registers are those of QEMU's "Standard VGA" (`docs/specs/standard-vga.txt`).
//!
//! The chip does not own its memory: the machine keeps it and hands it in as [`VideoMemory`]. Byte plane `p` at plane
//! address `a` is at offset `a * 4 + p`, so that chain-4 modes, the banked VBE window and the linear frame buffer are
//! the same bytes in the same order.
//!
//! Not here: where ports and windows are (the board), the video BIOS, border (overscan) pixels, the feature connector.

pub mod dac;
pub mod dispi;
pub mod memory;
pub mod registers;
pub mod render;
pub mod text;
pub mod timing;

#[cfg(test)]
mod tests;

use crate::{Time, VideoMemory, Width};
pub use dispi::Dispi;
pub use memory::DirectWindow;
use registers::{Attribute, Crtc, Graphics, Sequencer};
pub use render::Frame;
use serde::{Deserialize, Serialize};
pub use text::{Cell, Cursor, TextScreen};

/// Offsets of the VGA's ports from 3B0h.
mod port {
    pub const MONO_CRTC_INDEX: u16 = 0x04;
    pub const MONO_CRTC_DATA: u16 = 0x05;
    pub const MONO_STATUS1: u16 = 0x0a;
    pub const ATTRIBUTE: u16 = 0x10;
    pub const ATTRIBUTE_READ: u16 = 0x11;
    pub const MISC_WRITE: u16 = 0x12; // read: input status 0
    pub const ENABLE: u16 = 0x13;
    pub const SEQ_INDEX: u16 = 0x14;
    pub const SEQ_DATA: u16 = 0x15;
    pub const PEL_MASK: u16 = 0x16;
    pub const DAC_READ_INDEX: u16 = 0x17; // read: DAC state
    pub const DAC_WRITE_INDEX: u16 = 0x18;
    pub const DAC_DATA: u16 = 0x19;
    pub const FEATURE_READ: u16 = 0x1a;
    pub const MISC_READ: u16 = 0x1c;
    pub const GC_INDEX: u16 = 0x1e;
    pub const GC_DATA: u16 = 0x1f;
    pub const CRTC_INDEX: u16 = 0x24;
    pub const CRTC_DATA: u16 = 0x25;
    pub const STATUS1: u16 = 0x2a; // write: feature control
}

/// Bits of the miscellaneous output register.
mod misc {
    pub const COLOUR: u8 = 1 << 0; // CRTC and status 1 at 3Dx instead of 3Bx
    pub const RAM_ENABLE: u8 = 1 << 1;
    pub const CLOCK: u8 = 3 << 2;
}

/// The chip's registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vga {
    misc: u8,
    feature: u8,
    enable: u8,
    seq: Sequencer,
    crtc: Crtc,
    gc: Graphics,
    attr: Attribute,
    dac: dac::Dac,
    dispi: Dispi,
    /// The four bytes of the last memory read, plane 0 in the low byte.
    latch: u32,
    /// When the vertical retrace interrupt was last cleared (CRTC 11h, bit 4).
    retrace_cleared: Time,
    /// Byte order of the frame buffer as the guest asked for it (kept and reported; the picture is little-endian).
    big_endian: bool,
}

impl Vga {
    /// A chip as it comes out of power-on reset.
    pub fn new() -> Vga {
        Vga { enable: 1, ..Vga::default() }
    }

    /// The reset line.
    pub fn reset(&mut self) {
        *self = Vga::new();
    }

    /// The Bochs VBE registers.
    pub fn dispi(&self) -> &Dispi {
        &self.dispi
    }

    /// IN from a port 3B0h-3DFh; `offset` counts from 3B0h. Wider accesses are made of bytes.
    pub fn read_port(&mut self, now: Time, offset: u16, width: Width) -> u32 {
        let mut value = 0;
        for i in 0..(width as u16).min(4) {
            value |= u32::from(self.read_byte(now, offset.wrapping_add(i))) << (8 * i);
        }
        value
    }

    /// OUT to a port 3B0h-3DFh; `offset` counts from 3B0h. Wider accesses are made of bytes, low one first.
    pub fn write_port(&mut self, now: Time, offset: u16, width: Width, value: u32) {
        for i in 0..(width as u16).min(4) {
            self.write_byte(now, offset.wrapping_add(i), (value >> (8 * i)) as u8);
        }
    }

    fn colour(&self) -> bool {
        self.misc & misc::COLOUR != 0
    }

    /// Maps a port of the address range that is not selected to nothing, and mono ports to their colour twins.
    fn normal_port(&self, offset: u16) -> Option<u16> {
        match offset {
            port::MONO_CRTC_INDEX | port::MONO_CRTC_DATA | port::MONO_STATUS1 => {
                (!self.colour()).then_some(offset + 0x20)
            }
            port::CRTC_INDEX | port::CRTC_DATA | port::STATUS1 => self.colour().then_some(offset),
            _ => Some(offset),
        }
    }

    fn read_byte(&mut self, now: Time, offset: u16) -> u8 {
        match self.normal_port(offset) {
            Some(port::ATTRIBUTE) => self.attr.index,
            Some(port::ATTRIBUTE_READ) => self.attr.read(),
            Some(port::MISC_WRITE) => self.status0(now),
            Some(port::ENABLE) => self.enable,
            Some(port::SEQ_INDEX) => self.seq.index,
            Some(port::SEQ_DATA) => self.seq.read(),
            Some(port::PEL_MASK) => self.dac.mask,
            Some(port::DAC_READ_INDEX) => self.dac.state(),
            Some(port::DAC_WRITE_INDEX) => self.dac.write_index,
            Some(port::DAC_DATA) => self.dac.read_data(),
            Some(port::FEATURE_READ) => self.feature,
            Some(port::MISC_READ) => self.misc,
            Some(port::GC_INDEX) => self.gc.index,
            Some(port::GC_DATA) => self.gc.read(),
            Some(port::CRTC_INDEX) => self.crtc.index,
            Some(port::CRTC_DATA) => self.read_crtc(),
            Some(port::STATUS1) => {
                self.attr.expects_data = false;
                self.status1(now)
            }
            _ => 0xff,
        }
    }

    fn write_byte(&mut self, now: Time, offset: u16, value: u8) {
        match self.normal_port(offset) {
            Some(port::ATTRIBUTE) => self.attr.write(value),
            Some(port::MISC_WRITE) => self.misc = value,
            Some(port::ENABLE) => self.enable = value & 1,
            Some(port::SEQ_INDEX) => self.seq.index = value,
            Some(port::SEQ_DATA) => self.seq.write(value),
            Some(port::PEL_MASK) => self.dac.mask = value,
            Some(port::DAC_READ_INDEX) => self.dac.set_read_index(value),
            Some(port::DAC_WRITE_INDEX) => self.dac.set_write_index(value),
            Some(port::DAC_DATA) => self.dac.write_data(value),
            Some(port::GC_INDEX) => self.gc.index = value,
            Some(port::GC_DATA) => self.gc.write(value),
            Some(port::CRTC_INDEX) => self.crtc.index = value,
            Some(port::CRTC_DATA) => self.write_crtc(now, value),
            Some(port::STATUS1) => self.feature = value,
            _ => {}
        }
    }

    /// CRTC data with the two widely known read-back registers: the latch that read map select names (22h) and the
    /// attribute controller's flip-flop and index (24h).
    fn read_crtc(&self) -> u8 {
        match self.crtc.index {
            0x22 => (self.latch >> (8 * u32::from(self.gc.read_map()))) as u8,
            0x24 => (u8::from(self.attr.expects_data) << 7) | (self.attr.index & 0x3f),
            _ => self.crtc.read(),
        }
    }

    fn write_crtc(&mut self, now: Time, value: u8) {
        if self.crtc.write(value) {
            self.retrace_cleared = now;
        }
    }

    /// Reads a VBE register port: `offset` 0 is the index (1CEh), 1 and 2 the data (1CFh; 1D0h for aligned access).
    pub fn read_dispi(&self, vram: &dyn VideoMemory, offset: u16, width: Width) -> u32 {
        let whole = match offset {
            0 => self.dispi.index,
            _ => self.dispi.read(self.dispi.index, vram.len()),
        };
        match width {
            Width::Byte => u32::from(whole & 0xff),
            _ => u32::from(whole),
        }
    }

    /// Writes a VBE register port. The registers are words; a byte is taken as a word with zeros above.
    pub fn write_dispi(&mut self, vram: &mut dyn VideoMemory, offset: u16, _width: Width, value: u32) {
        match offset {
            0 => self.dispi.index = value as u16,
            _ => self.set_dispi(vram, self.dispi.index, value as u16),
        }
    }

    fn set_dispi(&mut self, vram: &mut dyn VideoMemory, index: u16, value: u16) {
        let dac8 = self.dispi.dac_is_8_bit();
        if self.dispi.write(index, value, vram.len()) {
            vram.fill(0, self.dispi.visible_bytes().min(vram.len()), 0);
        }
        if self.dispi.dac_is_8_bit() != dac8 {
            self.dac.set_8_bit(!dac8);
        }
    }

    /// Loads from the memory-mapped registers (PCI BAR 2, 4 KiB): the ports 3C0h-3DFh at 400h, the VBE registers at
    /// 500h, the byte-order switch at 600h.
    pub fn read_mmio(&mut self, vram: &dyn VideoMemory, now: Time, offset: u64, width: Width) -> u64 {
        match offset {
            0x400..0x420 => u64::from(self.read_port(now, offset as u16 - 0x400 + 0x10, width)),
            0x500..0x516 => {
                let whole = self.dispi.read((offset as u16 - 0x500) / 2, vram.len()) >> (8 * (offset & 1));
                u64::from(if width == Width::Byte { whole & 0xff } else { whole })
            }
            0x600 => 8,
            0x604 if self.big_endian => 0xbebe_bebe,
            0x604 => 0x1e1e_1e1e,
            _ => 0,
        }
    }

    /// Stores to the memory-mapped registers.
    pub fn write_mmio(
        &mut self,
        vram: &mut dyn VideoMemory,
        now: Time,
        offset: u64,
        width: Width,
        value: u64,
    ) {
        match offset {
            0x400..0x420 => self.write_port(now, offset as u16 - 0x400 + 0x10, width, value as u32),
            0x500..0x516 => self.set_dispi(vram, (offset as u16 - 0x500) / 2, value as u16),
            0x604 if value as u32 == 0xbebe_bebe => self.big_endian = true,
            0x604 if value as u32 == 0x1e1e_1e1e => self.big_endian = false,
            _ => {}
        }
    }
}
