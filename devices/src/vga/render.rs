//! The picture: a pure function of registers, video memory and time. One pixel is one dot and one scan line, as a monitor
//! gets them; so mode 13h is 640 by 400 and 80-column text 720 by 400. IBM PS/2 Video Subsystem, "CRT Controller",
//! "Attribute Controller"; FreeVGA, "VGA Text Mode Operation", "VGA Sequencer Operation".
//!
//! Not here: overscan, cursor and display-enable skew, the shift-load bits of the sequencer.

use super::{Vga, dispi};
use crate::{Time, VideoMemory};

/// A finished picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
    /// 00RRGGBBh, row by row.
    pub pixels: Vec<u32>,
}

/// What the address counters hold during one scan line.
struct Line {
    /// Address count of the first character.
    count: u32,
    /// Scan line within the character row.
    scan: u32,
    /// Pixel panning register.
    panning: u32,
}

/// The memory that standard modes can show: 64 KiB in each plane.
struct Planes(Vec<u8>);

impl Planes {
    fn new(vram: &dyn VideoMemory) -> Planes {
        let mut bytes = vec![0; 0x4_0000];
        let len = bytes.len().min(vram.len());
        vram.read(0, &mut bytes[..len]);
        Planes(bytes)
    }
    fn at(&self, address: u32) -> [u8; 4] {
        let i = (address as usize & 0xffff) * 4;
        [self.0[i], self.0[i + 1], self.0[i + 2], self.0[i + 3]]
    }
}

impl Vga {
    /// Pixels across and down of the picture that [`Vga::render`] would make.
    pub fn frame_size(&self) -> (u32, u32) {
        if self.dispi.enabled() {
            let (w, h) = self.dispi.resolution();
            return (w.clamp(1, u32::from(dispi::MAX_XRES)), h.clamp(1, u32::from(dispi::MAX_YRES)));
        }
        let dots = if self.gc.graphics() { 8 } else { self.seq.dots() };
        let width = (self.crtc.horizontal_display() * dots) << u32::from(self.seq.half_clock());
        (width, self.crtc.vertical_display())
    }

    /// The picture as a monitor would show it at `now`.
    pub fn render(&self, vram: &dyn VideoMemory, now: Time) -> Frame {
        let (width, height) = self.frame_size();
        let mut pixels = Vec::with_capacity(width as usize * height as usize);
        if !self.attr.display_on() || !self.dispi.enabled() && self.seq.screen_off() {
            pixels.resize(width as usize * height as usize, 0);
        } else if self.dispi.enabled() {
            self.draw_vbe(vram, width as usize, height as usize, &mut pixels);
        } else if self.gc.graphics() {
            self.draw_graphics(&Planes::new(vram), now, width as usize, &mut pixels);
        } else {
            self.draw_text(&Planes::new(vram), now, width as usize, &mut pixels);
        }
        Frame { width, height, pixels }
    }

    /// The scan lines of a frame, top to bottom.
    fn lines(&self) -> impl Iterator<Item = Line> {
        let crtc = &self.crtc;
        let (mut count, mut scan, mut panning) = (crtc.start(), crtc.preset_scan(), self.attr.panning());
        let mut repeated = false;
        (0..crtc.vertical_display()).map(move |y| {
            let line = Line { count, scan, panning };
            if y == crtc.line_compare() {
                (count, scan, repeated) = (0, 0, false);
                if self.attr.pan_compatible() {
                    panning = 0;
                }
            } else if crtc.double_scan() && !repeated {
                repeated = true;
            } else {
                repeated = false;
                if scan >= crtc.max_scan() {
                    scan = 0;
                    count = count.wrapping_add(crtc.row_step());
                } else {
                    scan += 1;
                }
            }
            line
        })
    }

    /// The sixteen colours of text and planar modes.
    pub fn palette(&self) -> [u32; 16] {
        std::array::from_fn(|i| self.dac.colour(self.attr.dac_index(i as u8)))
    }

    /// Appends one line's dots, `pan` of them skipped, each twice at half dot clock, to `width` pixels.
    fn push_line(&self, dots: &[u32], pan: u32, width: usize, out: &mut Vec<u32>) {
        let end = out.len() + width;
        let repeat = 1 + usize::from(self.seq.half_clock());
        let shown = dots.iter().skip(pan as usize).flat_map(|&d| std::iter::repeat_n(d, repeat));
        out.extend(shown.take(width));
        out.resize(end, 0);
    }

    fn draw_text(&self, planes: &Planes, now: Time, width: usize, out: &mut Vec<u32>) {
        let palette = self.palette();
        let frame = self.frame_number(now);
        let cursor_on = (frame / 8).is_multiple_of(2);
        let blink_off = frame / 16 % 2 == 1;
        let nine = self.seq.dots() == 9;
        let mut dots = Vec::new();
        for line in self.lines() {
            dots.clear();
            for column in 0..=self.crtc.horizontal_display() {
                let count = line.count.wrapping_add(column >> self.crtc.count_shift()) & 0xffff;
                let [ch, attr, ..] = planes.at(self.crtc.fetch_address(count, line.scan, false));
                let font = self.seq.font_offset(attr & 8 != 0);
                let mut bits = planes.at(font + u32::from(ch) * 32 + line.scan)[2];
                let (mut fg, bg) = self.text_colours(attr);
                let underlined = attr & 7 == 1 && line.scan == self.crtc.underline();
                let under_cursor = cursor_on && count == self.crtc.cursor() && self.cursor_covers(line.scan);
                if underlined {
                    bits = 0xff;
                }
                if self.attr.blink() && attr & 0x80 != 0 && blink_off {
                    fg = bg;
                }
                if under_cursor {
                    (bits, fg) = (0xff, self.text_colours(attr).0);
                }
                let (fg, bg) = (palette[usize::from(fg)], palette[usize::from(bg)]);
                dots.extend((0..8).map(|i| if bits & 0x80 >> i != 0 { fg } else { bg }));
                if nine {
                    let extends = self.attr.line_graphics() && (0xc0..=0xdf).contains(&ch);
                    let solid = underlined || under_cursor;
                    dots.push(if bits & 1 != 0 && extends || solid { fg } else { bg });
                }
            }
            let pan = match (nine, line.panning) {
                (true, p @ 0..=7) => p + 1,
                (true, _) => 0,
                (false, p) => p & 7,
            };
            self.push_line(&dots, pan, width, out);
        }
    }

    fn cursor_covers(&self, scan: u32) -> bool {
        self.crtc.cursor_lines().is_some_and(|(first, last)| (first..=last).contains(&scan))
    }

    /// Palette numbers of a text attribute's foreground and background.
    pub(super) fn text_colours(&self, attr: u8) -> (u8, u8) {
        let bg = attr >> 4;
        (attr & 15, if self.attr.blink() { bg & 7 } else { bg })
    }

    fn draw_graphics(&self, planes: &Planes, now: Time, width: usize, out: &mut Vec<u32>) {
        let mut sixteen = self.palette();
        if self.attr.blink() && self.frame_number(now) / 16 % 2 == 1 {
            // Blinking pixels alternate between intense and normal.
            sixteen.copy_within(0..8, 8);
        }
        let all = self.dac.colours();
        let chain4 = self.seq.chain4();
        let wide = self.gc.shift256() && self.attr.pixels_256();
        let mut dots = Vec::new();
        for line in self.lines() {
            dots.clear();
            for column in 0..=self.crtc.horizontal_display() {
                let count = line.count.wrapping_add(column >> self.crtc.count_shift());
                let bytes = planes.at(self.crtc.fetch_address(count, line.scan, chain4));
                if wide {
                    dots.extend(bytes.iter().flat_map(|&b| [all[usize::from(b)]; 2]));
                } else {
                    dots.extend(self.shift_out(bytes).map(|p| sixteen[usize::from(p)]));
                }
            }
            self.push_line(&dots, line.panning & 7, width, out);
        }
    }

    /// The eight four-bit pixels of one character clock, by shift register mode.
    fn shift_out(&self, bytes: [u8; 4]) -> [u8; 8] {
        if self.gc.shift256() {
            std::array::from_fn(|i| bytes[i / 2] >> (if i % 2 == 0 { 4 } else { 0 }) & 15)
        } else if self.gc.interleave() {
            std::array::from_fn(|i| {
                let (pair, shift) = (i / 4, 6 - 2 * (i % 4));
                (bytes[pair] >> shift & 3) | (bytes[pair + 2] >> shift & 3) << 2
            })
        } else {
            planar_pixels(bytes)
        }
    }

    fn draw_vbe(&self, vram: &dyn VideoMemory, width: usize, height: usize, out: &mut Vec<u32>) {
        let (pitch, start, depth) = (self.dispi.pitch(), self.dispi.start(), self.dispi.depth());
        let pan = if depth == 4 { self.dispi.x_within_byte() } else { 0 };
        let bytes = match depth {
            4 => (width + pan).div_ceil(8) * 4,
            d => width * d.div_ceil(8) as usize,
        };
        let palette = self.palette();
        let all = self.dac.colours();
        let mut line = vec![0; bytes];
        for y in 0..height {
            let at = start + y * pitch;
            let there = bytes.min(vram.len().saturating_sub(at));
            line.fill(0);
            vram.read(at, &mut line[..there]);
            match depth {
                4 => {
                    let (groups, _) = line.as_chunks::<4>();
                    let pixels = groups.iter().flat_map(|&g| planar_pixels(g));
                    out.extend(pixels.skip(pan).take(width).map(|p| palette[usize::from(p)]));
                }
                8 => out.extend(line.iter().map(|&b| all[usize::from(b)])),
                15 => out.extend(line.as_chunks().0.iter().map(|&p| rgb555(u16::from_le_bytes(p)))),
                16 => out.extend(line.as_chunks().0.iter().map(|&p| rgb565(u16::from_le_bytes(p)))),
                24 => {
                    out.extend(line.as_chunks().0.iter().map(|&[b, g, r]| u32::from_le_bytes([b, g, r, 0])))
                }
                _ => out.extend(line.as_chunks().0.iter().map(|&p| u32::from_le_bytes(p) & 0xff_ffff)),
            }
        }
        out.resize(width * height, 0);
    }
}

/// Eight pixels from four plane bytes, leftmost in bit 7.
fn planar_pixels(bytes: [u8; 4]) -> [u8; 8] {
    std::array::from_fn(|i| {
        bytes.iter().enumerate().fold(0, |pixel, (p, byte)| pixel | (byte >> (7 - i) & 1) << p)
    })
}

/// Widens `bits` bits to eight, so that full intensity is 255.
fn widen(value: u16, bits: u32) -> u32 {
    let v = u32::from(value) & ((1 << bits) - 1);
    v << (8 - bits) | v >> (2 * bits - 8)
}

fn rgb555(p: u16) -> u32 {
    widen(p >> 10, 5) << 16 | widen(p >> 5, 5) << 8 | widen(p, 5)
}

fn rgb565(p: u16) -> u32 {
    widen(p >> 11, 5) << 16 | widen(p >> 5, 6) << 8 | widen(p, 5)
}
