//! The Bochs VBE registers ("VBE_DISPI", `vbe_display_api.txt`): resolution, depth, bank and position of linear modes.

use serde::{Deserialize, Serialize};

/// Register numbers.
mod reg {
    pub const ID: u16 = 0;
    pub const XRES: u16 = 1;
    pub const YRES: u16 = 2;
    pub const BPP: u16 = 3;
    pub const ENABLE: u16 = 4;
    pub const BANK: u16 = 5;
    pub const VIRT_WIDTH: u16 = 6;
    pub const VIRT_HEIGHT: u16 = 7;
    pub const X_OFFSET: u16 = 8;
    pub const Y_OFFSET: u16 = 9;
    pub const VIDEO_MEMORY_64K: u16 = 10;
}

/// Bits of the enable register.
mod enable {
    pub const ENABLED: u16 = 0x01;
    pub const GETCAPS: u16 = 0x02;
    pub const DAC_8BIT: u16 = 0x20;
    pub const LFB: u16 = 0x40;
    pub const NO_CLEAR: u16 = 0x80;
}

/// Versions of the interface: B0C0h to B0C5h.
const ID0: u16 = 0xb0c0;
const ID5: u16 = 0xb0c5;
/// The largest picture.
pub const MAX_XRES: u16 = 2560;
/// The largest picture.
pub const MAX_YRES: u16 = 1600;
const MAX_BPP: u16 = 32;

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dispi {
    pub(super) index: u16,
    id: u16,
    xres: u16,
    yres: u16,
    bpp: u16,
    enable: u16,
    bank: u16,
    virt_width: u16,
    x_offset: u16,
    y_offset: u16,
}

impl Default for Dispi {
    fn default() -> Dispi {
        Dispi {
            index: 0,
            id: ID5,
            xres: 0,
            yres: 0,
            bpp: 8,
            enable: 0,
            bank: 0,
            virt_width: 0,
            x_offset: 0,
            y_offset: 0,
        }
    }
}

impl Dispi {
    pub(super) fn read(&self, index: u16, vram_len: usize) -> u16 {
        let caps = self.enable & enable::GETCAPS != 0;
        match index {
            reg::ID => self.id,
            reg::XRES if caps => MAX_XRES,
            reg::YRES if caps => MAX_YRES,
            reg::BPP if caps => MAX_BPP,
            reg::XRES => self.xres,
            reg::YRES => self.yres,
            reg::BPP => self.bpp,
            reg::ENABLE => self.enable,
            reg::BANK => self.bank,
            reg::VIRT_WIDTH => self.virt_width,
            reg::VIRT_HEIGHT => self.virtual_height(vram_len),
            reg::X_OFFSET => self.x_offset,
            reg::Y_OFFSET => self.y_offset,
            reg::VIDEO_MEMORY_64K => (vram_len >> 16).min(0xffff) as u16,
            _ => 0,
        }
    }

    /// Writes a register. True if the picture's memory is to be cleared.
    #[must_use]
    pub(super) fn write(&mut self, index: u16, value: u16, vram_len: usize) -> bool {
        match index {
            reg::ID if (ID0..=ID5).contains(&value) => self.id = value,
            // Resolution and depth change while the mode is off, and only to what there is.
            reg::XRES if !self.enabled() && value <= MAX_XRES => self.xres = value & !7,
            reg::YRES if !self.enabled() && value <= MAX_YRES => self.yres = value,
            reg::BPP if !self.enabled() => match value {
                0 => self.bpp = 8,
                4 | 8 | 15 | 16 | 24 | 32 => self.bpp = value,
                _ => {}
            },
            reg::ENABLE => return self.set_enable(value, vram_len),
            reg::BANK if (usize::from(value) + 1) << 16 <= vram_len >> self.plane_shift() => {
                self.bank = value;
            }
            reg::VIRT_WIDTH if self.enabled() => self.set_virtual_width(value, vram_len),
            reg::X_OFFSET if self.enabled() && self.fits_x(value) => self.x_offset = value,
            reg::Y_OFFSET if self.enabled() && self.fits_y(value, vram_len) => self.y_offset = value,
            _ => {}
        }
        false
    }

    fn set_enable(&mut self, value: u16, vram_len: usize) -> bool {
        let was = self.enabled();
        let turns_on = value & enable::ENABLED != 0 && !was;
        if turns_on {
            self.virt_width = self.xres;
            self.x_offset = 0;
            self.y_offset = 0;
            let fits = self.xres > 0 && self.yres > 0 && self.visible_bytes() <= vram_len;
            if !fits {
                return false;
            }
        }
        if value & enable::ENABLED == 0 || turns_on {
            self.bank = 0;
        }
        self.enable = value;
        turns_on && value & enable::NO_CLEAR == 0
    }

    fn set_virtual_width(&mut self, value: u16, vram_len: usize) {
        let old = self.virt_width;
        let value = value & !7;
        self.virt_width = value;
        if value < self.xres || self.visible_bytes() > vram_len {
            self.virt_width = old;
            return;
        }
        self.x_offset = 0;
        self.y_offset = 0;
    }

    fn fits_x(&self, x: u16) -> bool {
        u32::from(x) + u32::from(self.xres) <= u32::from(self.virt_width)
    }

    fn fits_y(&self, y: u16, vram_len: usize) -> bool {
        u32::from(y) + u32::from(self.yres) <= u32::from(self.virtual_height(vram_len))
    }

    /// Lines that the memory holds at the present pitch.
    fn virtual_height(&self, vram_len: usize) -> u16 {
        match self.pitch() {
            0 => self.yres,
            pitch => (vram_len / pitch).min(0xffff) as u16,
        }
    }

    /// A VBE mode is on.
    pub fn enabled(&self) -> bool {
        self.enable & enable::ENABLED != 0
    }

    /// A VBE mode is on whose memory is linear (all but the four-bit planar one).
    pub fn linear(&self) -> bool {
        self.enabled() && self.bpp != 4
    }

    /// The guest asked for the linear frame buffer.
    pub fn lfb(&self) -> bool {
        self.enable & enable::LFB != 0
    }

    pub(super) fn dac_is_8_bit(&self) -> bool {
        self.enable & enable::DAC_8BIT != 0
    }

    /// Plane bytes are a quarter of all bytes.
    fn plane_shift(&self) -> u32 {
        if self.bpp == 4 { 2 } else { 0 }
    }

    /// Start of the bank, in bytes (of each plane for the planar mode). Zero while no VBE mode is on.
    pub(super) fn bank_offset(&self) -> usize {
        if self.enabled() { usize::from(self.bank) << 16 } else { 0 }
    }

    /// Pixels across and down, while a VBE mode is on.
    pub fn resolution(&self) -> (u32, u32) {
        (u32::from(self.xres), u32::from(self.yres))
    }

    /// Bits a pixel.
    pub fn depth(&self) -> u32 {
        u32::from(self.bpp)
    }

    /// Bytes of video memory from one line to the next, all planes together.
    pub fn pitch(&self) -> usize {
        let w = usize::from(self.virt_width);
        match self.bpp {
            4 => w / 2,
            bpp => w * usize::from(bpp.div_ceil(8)),
        }
    }

    /// Offset in video memory of the first pixel shown.
    pub fn start(&self) -> usize {
        let x = usize::from(self.x_offset);
        let across = if self.bpp == 4 { x / 8 * 4 } else { x * usize::from(self.bpp.div_ceil(8)) };
        usize::from(self.y_offset) * self.pitch() + across
    }

    /// Pixels of the X offset that no whole byte of a plane covers.
    pub(super) fn x_within_byte(&self) -> usize {
        usize::from(self.x_offset & 7)
    }

    pub(super) fn visible_bytes(&self) -> usize {
        self.pitch() * usize::from(self.yres)
    }
}
