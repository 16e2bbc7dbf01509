//! The four indexed register files: sequencer, CRT controller, graphics controller, attribute controller.
//! IBM PS/2 Video Subsystem, "VGA Programming Considerations"; FreeVGA, one page a file.

use serde::{Deserialize, Serialize};

/// Sequencer (3C4h/3C5h).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequencer {
    pub(super) index: u8,
    reset: u8,
    clocking: u8,
    map_mask: u8,
    character_map: u8,
    memory_mode: u8,
}

impl Sequencer {
    pub(super) fn read(&self) -> u8 {
        match self.index & 7 {
            0 => self.reset,
            1 => self.clocking,
            2 => self.map_mask,
            3 => self.character_map,
            4 => self.memory_mode,
            _ => 0,
        }
    }

    pub(super) fn write(&mut self, value: u8) {
        match self.index & 7 {
            0 => self.reset = value & 0x03,
            1 => self.clocking = value & 0x3d,
            2 => self.map_mask = value & 0x0f,
            3 => self.character_map = value & 0x3f,
            4 => self.memory_mode = value & 0x0e,
            _ => {}
        }
    }

    /// Dots in a character clock: 8 or 9.
    pub(super) fn dots(&self) -> u32 {
        if self.clocking & 1 != 0 { 8 } else { 9 }
    }

    /// The dot clock is halved (320- and 360-dot modes).
    pub(super) fn half_clock(&self) -> bool {
        self.clocking & 1 << 3 != 0
    }

    /// Screen off: the memory is the processor's alone.
    pub(super) fn screen_off(&self) -> bool {
        self.clocking & 1 << 5 != 0
    }

    /// The planes that a store may change, one bit each.
    pub(super) fn map_mask(&self) -> u8 {
        self.map_mask
    }

    /// Even addresses go to planes 0 and 2, odd ones to 1 and 3.
    pub(super) fn odd_even(&self) -> bool {
        self.memory_mode & 1 << 2 == 0
    }

    /// Address bits 1:0 choose the plane.
    pub(super) fn chain4(&self) -> bool {
        self.memory_mode & 1 << 3 != 0
    }

    /// Plane-2 offset of the font for characters whose attribute bit 3 is `bit3` (map A when set, B when clear).
    pub(super) fn font_offset(&self, bit3: bool) -> u32 {
        let r = u32::from(self.character_map);
        let n = if bit3 { (r >> 2 & 3) | (r >> 3 & 4) } else { (r & 3) | (r >> 2 & 4) };
        // 0-3 are 0, 16, 32 and 48 KiB; 4-7 lie 8 KiB above each.
        (n & 3) * 0x4000 + (n >> 2) * 0x2000
    }
}

/// CRT controller (3D4h/3D5h or 3B4h/3B5h).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crtc {
    pub(super) index: u8,
    regs: [u8; 0x19],
}

impl Crtc {
    /// Register `n` of 0-18h; zero beyond.
    pub(super) fn reg(&self, n: usize) -> u32 {
        self.regs.get(n).copied().map_or(0, u32::from)
    }

    pub(super) fn read(&self) -> u8 {
        self.reg(usize::from(self.index)) as u8
    }

    /// Writes the indexed register, minding the protection of 0-7 (11h bit 7), which leaves bit 4 of the overflow
    /// register writable. True if the write cleared the vertical retrace interrupt.
    #[must_use]
    pub(super) fn write(&mut self, value: u8) -> bool {
        let n = usize::from(self.index);
        let protect = self.regs[0x11] & 0x80 != 0;
        match n {
            7 if protect => self.regs[7] = (self.regs[7] & !0x10) | (value & 0x10),
            0..=7 if protect => {}
            0..=0x18 => self.regs[n] = value,
            _ => {}
        }
        n == 0x11 && value & 0x10 == 0
    }

    fn overflow(&self, bit: u32) -> u32 {
        self.reg(7) >> bit & 1
    }

    /// Character clocks in a line.
    pub(super) fn horizontal_total(&self) -> u32 {
        self.reg(0) + 5
    }
    /// Displayed character clocks in a line.
    pub(super) fn horizontal_display(&self) -> u32 {
        self.reg(1) + 1
    }
    /// Vertical counts are in pairs of lines (17h bit 2).
    fn vertical_scale(&self) -> u32 {
        1 + (self.reg(0x17) >> 2 & 1)
    }
    /// Lines in a frame.
    pub(super) fn vertical_total(&self) -> u32 {
        ((self.reg(6) | self.overflow(0) << 8 | self.overflow(5) << 9) + 2) * self.vertical_scale()
    }
    /// Displayed lines.
    pub(super) fn vertical_display(&self) -> u32 {
        ((self.reg(0x12) | self.overflow(1) << 8 | self.overflow(6) << 9) + 1) * self.vertical_scale()
    }
    /// Line at which vertical retrace starts.
    pub(super) fn retrace_start(&self) -> u32 {
        (self.reg(0x10) | self.overflow(2) << 8 | self.overflow(7) << 9) * self.vertical_scale()
    }
    /// Lines that vertical retrace lasts: the end is given by its low four bits.
    pub(super) fn retrace_length(&self) -> u32 {
        let n = self.reg(0x11).wrapping_sub(self.reg(0x10)) & 0xf;
        (if n == 0 { 16 } else { n }) * self.vertical_scale()
    }
    /// Line after which the address counter starts again from zero.
    pub(super) fn line_compare(&self) -> u32 {
        (self.reg(0x18) | self.overflow(4) << 8 | (self.reg(9) >> 6 & 1) << 9) * self.vertical_scale()
    }
    /// The last scan line of a character row.
    pub(super) fn max_scan(&self) -> u32 {
        self.reg(9) & 0x1f
    }
    /// Each scan line is shown twice.
    pub(super) fn double_scan(&self) -> bool {
        self.reg(9) & 0x80 != 0
    }
    /// Address counter at the top of the screen, byte panning included.
    pub(super) fn start(&self) -> u32 {
        (self.reg(0xc) << 8 | self.reg(0xd)) + (self.reg(8) >> 5 & 3)
    }
    /// Address counts from one character row to the next.
    pub(super) fn row_step(&self) -> u32 {
        self.reg(0x13) * 2
    }
    /// Scan line at which the first row starts.
    pub(super) fn preset_scan(&self) -> u32 {
        self.reg(8) & 0x1f
    }
    /// Address count of the cursor.
    pub(super) fn cursor(&self) -> u32 {
        self.reg(0xe) << 8 | self.reg(0xf)
    }
    /// First and last scan line of the cursor; `None` when it is off.
    pub(super) fn cursor_lines(&self) -> Option<(u32, u32)> {
        let (start, end) = (self.reg(0xa), self.reg(0xb) & 0x1f);
        (start & 0x20 == 0 && start & 0x1f <= end).then_some((start & 0x1f, end))
    }
    /// Scan line of the underline.
    pub(super) fn underline(&self) -> u32 {
        self.reg(0x14) & 0x1f
    }
    /// Character clocks for one address count, as a shift (17h bit 3, 14h bit 5).
    pub(super) fn count_shift(&self) -> u32 {
        match (self.reg(0x14) & 0x20 != 0, self.reg(0x17) & 8 != 0) {
            (true, _) => 2,
            (false, true) => 1,
            _ => 0,
        }
    }

    /// Plane address that address count `count` fetches in scan line `scan` of its row: byte, word or doubleword
    /// addressing, and the CGA and Hercules bank bits. Under chain 4 doubleword counts are plane addresses, as stored.
    pub(super) fn fetch_address(&self, count: u32, scan: u32, chain4: bool) -> u32 {
        let (c, mode) = (count & 0xffff, self.reg(0x17));
        let mut a = if self.reg(0x14) & 0x40 != 0 {
            if chain4 {
                return c;
            }
            c << 2 | (c >> 12 & 3)
        } else if mode & 0x40 != 0 {
            c
        } else {
            c << 1 | (c >> (if mode & 0x20 != 0 { 15 } else { 13 }) & 1)
        };
        if mode & 1 == 0 {
            a = (a & !(1 << 13)) | (scan & 1) << 13;
        }
        if mode & 2 == 0 {
            a = (a & !(1 << 14)) | (scan >> 1 & 1) << 14;
        }
        a & 0xffff
    }
}

/// Graphics controller (3CEh/3CFh).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graphics {
    pub(super) index: u8,
    regs: [u8; 9],
}

/// Where the window lies within A0000h-BFFFFh: first byte and length.
pub type Window = (u32, u32);

impl Graphics {
    fn reg(&self, n: usize) -> u8 {
        self.regs.get(n).copied().unwrap_or(0)
    }
    pub(super) fn read(&self) -> u8 {
        self.reg(usize::from(self.index & 0xf))
    }
    pub(super) fn write(&mut self, value: u8) {
        const MASK: [u8; 9] = [0x0f, 0x0f, 0x0f, 0x1f, 0x03, 0x7b, 0x0f, 0x0f, 0xff];
        let n = usize::from(self.index & 0xf);
        if let Some(r) = self.regs.get_mut(n) {
            *r = value & MASK[n];
        }
    }
    pub(super) fn set_reset(&self) -> u8 {
        self.reg(0)
    }
    pub(super) fn enable_set_reset(&self) -> u8 {
        self.reg(1)
    }
    pub(super) fn colour_compare(&self) -> u8 {
        self.reg(2)
    }
    pub(super) fn rotate(&self) -> u32 {
        u32::from(self.reg(3) & 7)
    }
    /// Replace, AND, OR, XOR with the latches.
    pub(super) fn logic(&self) -> u8 {
        self.reg(3) >> 3 & 3
    }
    pub(super) fn read_map(&self) -> u8 {
        self.reg(4) & 3
    }
    pub(super) fn write_mode(&self) -> u8 {
        self.reg(5) & 3
    }
    /// Read mode 1: compare colours.
    pub(super) fn compares(&self) -> bool {
        self.reg(5) & 8 != 0
    }
    /// Reads choose the plane pair by address bit 0.
    pub(super) fn odd_even_read(&self) -> bool {
        self.reg(5) & 0x10 != 0
    }
    /// Shift registers take two bits a pixel from plane pairs (CGA).
    pub(super) fn interleave(&self) -> bool {
        self.reg(5) & 0x20 != 0
    }
    /// Shift registers take four bits at a time (256 colours).
    pub(super) fn shift256(&self) -> bool {
        self.reg(5) & 0x40 != 0
    }
    /// Graphics rather than text.
    pub(super) fn graphics(&self) -> bool {
        self.reg(6) & 1 != 0
    }
    /// Address bit 0 is replaced by a higher one.
    pub(super) fn chain_odd_even(&self) -> bool {
        self.reg(6) & 2 != 0
    }
    pub(super) fn window(&self) -> Window {
        match self.reg(6) >> 2 & 3 {
            0 => (0, 0x2_0000),
            1 => (0, 0x1_0000),
            2 => (0x1_0000, 0x8000),
            _ => (0x1_8000, 0x8000),
        }
    }
    pub(super) fn colour_care(&self) -> u8 {
        self.reg(7)
    }
    pub(super) fn bit_mask(&self) -> u8 {
        self.reg(8)
    }
}

/// Attribute controller (3C0h/3C1h).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attribute {
    /// Index in bits 4:0; bit 5 gives the palette to the display.
    pub(super) index: u8,
    /// The flip-flop: the next write to 3C0h is data.
    pub(super) expects_data: bool,
    regs: [u8; 0x15],
}

impl Attribute {
    fn reg(&self, n: usize) -> u8 {
        self.regs.get(n).copied().unwrap_or(0)
    }
    pub(super) fn read(&self) -> u8 {
        self.reg(usize::from(self.index & 0x1f))
    }

    /// A write to 3C0h: index or data by the flip-flop. The palette is writable only while the display has no use of it.
    pub(super) fn write(&mut self, value: u8) {
        if !self.expects_data {
            self.index = value & 0x3f;
        } else {
            let n = usize::from(self.index & 0x1f);
            match n {
                0..=0xf if !self.display_on() => self.regs[n] = value & 0x3f,
                0x10 => self.regs[n] = value & 0xef,
                0x11 => self.regs[n] = value,
                0x12 => self.regs[n] = value & 0x3f,
                0x13 | 0x14 => self.regs[n] = value & 0x0f,
                _ => {}
            }
        }
        self.expects_data = !self.expects_data;
    }

    /// The palette address source bit: pixels reach the screen.
    pub(super) fn display_on(&self) -> bool {
        self.index & 0x20 != 0
    }
    /// Characters C0h-DFh extend into the ninth dot.
    pub(super) fn line_graphics(&self) -> bool {
        self.reg(0x10) & 4 != 0
    }
    /// Attribute bit 7 blinks instead of choosing a bright background.
    pub(super) fn blink(&self) -> bool {
        self.reg(0x10) & 8 != 0
    }
    /// Line compare also ends pixel panning.
    pub(super) fn pan_compatible(&self) -> bool {
        self.reg(0x10) & 0x20 != 0
    }
    /// Eight bits a pixel reach the DAC.
    pub(super) fn pixels_256(&self) -> bool {
        self.reg(0x10) & 0x40 != 0
    }
    /// Pixel panning register.
    pub(super) fn panning(&self) -> u32 {
        u32::from(self.reg(0x13))
    }
    /// Planes that reach the palette.
    pub(super) fn plane_enable(&self) -> u8 {
        self.reg(0x12) & 0xf
    }
    /// Which two of the pixel's bits status 1 shows.
    pub(super) fn video_status(&self) -> u8 {
        self.reg(0x12) >> 4 & 3
    }

    /// DAC index of the four-bit pixel `colour`.
    pub(super) fn dac_index(&self, colour: u8) -> u8 {
        let p = self.reg(usize::from(colour & self.plane_enable()));
        let select = self.reg(0x14);
        if self.reg(0x10) & 0x80 != 0 {
            (p & 0x0f) | (select & 0x0f) << 4
        } else {
            (p & 0x3f) | (select & 0x0c) << 4
        }
    }
}
