//! The window at A0000h-BFFFFh: how the processor's bytes become plane bytes and back. IBM PS/2 Video Subsystem,
//! "Graphics Controller", write modes 0-3 and read modes 0-1; FreeVGA, "Accessing the VGA Display Memory".
//!
//! Under odd/even addressing the plane address keeps its other bits and loses bit 0 (replaced by A16 where the window
//! is 128 KiB). Under chain 4 bits 1:0 choose the plane and the others, shifted down, are the plane address.

use super::{Vga, misc};
use crate::{VideoMemory, Width};

/// A part of the window that is plain memory now: the board may map it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectWindow {
    /// Offset from A0000h.
    pub base: u32,
    /// Offset in video memory.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
}

/// Bit `p` of the index becomes FFh in byte `p`.
const EXPAND: [u32; 16] = {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let mut p = 0;
        while p < 4 {
            if i >> p & 1 != 0 {
                table[i] |= 0xff << (8 * p);
            }
            p += 1;
        }
        i += 1;
    }
    table
};

fn expand(bits: u8) -> u32 {
    EXPAND[usize::from(bits & 15)]
}

fn spread(byte: u8) -> u32 {
    u32::from(byte) * 0x0101_0101
}

/// Where a byte of the window goes.
enum Target {
    /// One byte of video memory, untouched by the graphics controller.
    Linear(usize),
    /// The four bytes at a plane address; `planes` are reachable, `select` is what a plain read returns.
    Planes { at: usize, planes: u8, select: u8 },
}

impl Vga {
    /// Loads from the window; `offset` counts from A0000h.
    pub fn load(&mut self, vram: &dyn VideoMemory, offset: u32, width: Width) -> u64 {
        (0..width as u32)
            .fold(0, |v, i| v | u64::from(self.load_byte(vram, offset.wrapping_add(i))) << (8 * i))
    }

    /// Stores to the window, low byte first; `offset` counts from A0000h.
    pub fn store(&mut self, vram: &mut dyn VideoMemory, offset: u32, width: Width, value: u64) {
        if width == Width::Word
            && let Some(at) = self.pair(offset)
        {
            return vram.set_word(at, value as u16);
        }
        for i in 0..width as u32 {
            self.store_byte(vram, offset.wrapping_add(i), (value >> (8 * i)) as u8);
        }
    }

    /// Offset within the window that the graphics controller selects.
    fn in_window(&self, offset: u32) -> Option<u32> {
        if self.misc & misc::RAM_ENABLE == 0 {
            return None;
        }
        let (base, len) = self.gc.window();
        offset.checked_sub(base).filter(|&o| o < len)
    }

    fn target(&self, offset: u32, write: bool) -> Option<Target> {
        if self.dispi.linear() {
            return (offset < 0x1_0000).then(|| Target::Linear(self.dispi.bank_offset() + offset as usize));
        }
        let bank = self.dispi.bank_offset(); // of 64 KiB in each plane
        let a = self.in_window(offset)?;
        let low = (a & 1) as u8;
        let (at, planes, select) = if self.seq.chain4() {
            ((a & 0xffff) >> 2, 1 << (a & 3), (a & 3) as u8)
        } else if if write { self.seq.odd_even() } else { self.gc.odd_even_read() } {
            (self.odd_even_address(a), 0b0101 << low, (self.gc.read_map() & 2) | low)
        } else {
            (self.odd_even_address(a), 0b1111, self.gc.read_map())
        };
        Some(Target::Planes { at: ((at & 0xffff) as usize + bank) * 4, planes, select })
    }

    /// Where a character and its attribute, written as one word, lie side by side: a text mode whose odd addresses are
    /// plane 1, with the graphics controller passing bytes through.
    fn pair(&self, offset: u32) -> Option<usize> {
        let beside = self.seq.odd_even()
            && self.gc.chain_odd_even()
            && !self.seq.chain4()
            && !self.dispi.linear()
            && self.seq.map_mask() == 0b11;
        if offset & 1 != 0 || !beside || !self.passes() {
            return None;
        }
        match self.target(offset, true)? {
            Target::Planes { at, .. } => Some(at),
            Target::Linear(_) => None,
        }
    }

    /// Whether the graphics controller stores bytes as they come.
    fn passes(&self) -> bool {
        self.gc.write_mode() == 0
            && self.gc.enable_set_reset() == 0
            && self.gc.rotate() == 0
            && self.gc.logic() == 0
            && self.gc.bit_mask() == 0xff
    }

    fn odd_even_address(&self, a: u32) -> u32 {
        if self.gc.chain_odd_even() { (a & !1) | (a >> 16 & 1) } else { a }
    }

    fn load_byte(&mut self, vram: &dyn VideoMemory, offset: u32) -> u8 {
        match self.target(offset, false) {
            None => 0xff,
            Some(Target::Linear(at)) => vram.get(at),
            Some(Target::Planes { at, select, .. }) => {
                self.latch = vram.four(at);
                if self.gc.compares() { self.compare() } else { (self.latch >> (8 * (select & 3))) as u8 }
            }
        }
    }

    /// Read mode 1: a bit is set where all planes that matter equal the colour compare register.
    fn compare(&self) -> u8 {
        let differs = (self.latch ^ expand(self.gc.colour_compare())) & expand(self.gc.colour_care());
        let [a, b, c, d] = differs.to_le_bytes();
        !(a | b | c | d)
    }

    fn store_byte(&mut self, vram: &mut dyn VideoMemory, offset: u32, value: u8) {
        match self.target(offset, true) {
            None => {}
            Some(Target::Linear(at)) => vram.set(at, value),
            Some(Target::Planes { at, planes, .. }) => {
                let bytes = if self.passes() { spread(value) } else { self.plane_bytes(value) };
                let planes = planes & self.seq.map_mask();
                for p in 0..4 {
                    if planes >> p & 1 != 0 {
                        vram.set(at + p, (bytes >> (8 * p)) as u8);
                    }
                }
            }
        }
    }

    /// What the graphics controller makes of a byte: one byte for each plane.
    fn plane_bytes(&self, value: u8) -> u32 {
        let rotated = value.rotate_right(self.gc.rotate());
        let (data, mask) = match self.gc.write_mode() {
            0 => {
                let enabled = expand(self.gc.enable_set_reset());
                let data = (spread(rotated) & !enabled) | (expand(self.gc.set_reset()) & enabled);
                (data, self.gc.bit_mask())
            }
            1 => return self.latch,
            2 => (expand(value), self.gc.bit_mask()),
            _ => (expand(self.gc.set_reset()), self.gc.bit_mask() & rotated),
        };
        let data = match self.gc.logic() {
            0 => data,
            1 => data & self.latch,
            2 => data | self.latch,
            _ => data ^ self.latch,
        };
        let mask = spread(mask);
        (data & mask) | (self.latch & !mask)
    }

    /// The part of the window that is plain memory under the registers as they are: banked VBE modes, and chain 4 with
    /// the graphics controller passing bytes through. Loads that bypass the chip do not fill the latches.
    pub fn direct_window(&self, vram_len: usize) -> Option<DirectWindow> {
        let window = if self.dispi.linear() {
            DirectWindow { base: 0, offset: self.dispi.bank_offset(), len: 0x1_0000 }
        } else {
            let passes = self.seq.chain4()
                && self.seq.map_mask() == 0xf
                && self.passes()
                && !self.gc.compares()
                && self.misc & misc::RAM_ENABLE != 0
                && self.gc.graphics();
            let (base, len) = self.gc.window();
            if !passes || self.dispi.bank_offset() != 0 {
                return None;
            }
            DirectWindow { base, offset: 0, len: len.min(0x1_0000) as usize }
        };
        (window.offset.checked_add(window.len)? <= vram_len).then_some(window)
    }
}
