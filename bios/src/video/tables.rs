//! Register values of the video modes, and default colours. IBM VGA Technical Reference, "Video Parameter Table" and
//! "Default Color Palette"; the order of the entries is IBM's, so that the video save pointer can lead to them.

/// Registers of one mode: columns, rows less one, character height, page size; sequencer 1-4; miscellaneous output; CRT
/// controller 0-18h; attribute controller 0-13h; graphics controller 0-8.
pub(crate) struct Entry {
    size: [u8; 3],
    page: u16,
    sequencer: [u8; 4],
    misc: u8,
    crtc: [u8; 25],
    attribute: [u8; 20],
    graphics: [u8; 9],
}

/// Bytes of an entry in the ROM.
pub(crate) const ENTRY_SIZE: i32 = 64;

impl Entry {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut all = self.size.to_vec();
        all.extend(self.page.to_le_bytes());
        all.extend(self.sequencer);
        all.push(self.misc);
        all.extend(self.crtc);
        all.extend(self.attribute);
        all.extend(self.graphics);
        all
    }
}

// Horizontal timing: registers 0-5, by columns and kind.
const H40_TEXT: [u8; 6] = [0x2D, 0x27, 0x28, 0x90, 0x2B, 0xA0];
const H40_GRAPHICS: [u8; 6] = [0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80];
const H80_TEXT: [u8; 6] = [0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81];
const H80_GRAPHICS: [u8; 6] = [0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80];

// Vertical timing: registers 6, 7, 10h-12h, 15h, 16h, by scan lines.
const V200: [u8; 7] = [0xBF, 0x1F, 0x9C, 0x8E, 0x8F, 0x96, 0xB9]; // also 400
const V350: [u8; 7] = [0xBF, 0x1F, 0x83, 0x85, 0x5D, 0x63, 0xBA];
const V480: [u8; 7] = [0x0B, 0x3E, 0xEA, 0x8C, 0xDF, 0xE7, 0x04];

// Attribute controller palettes.
const COLOR64: [u8; 16] =
    [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F];
const COLOR16: [u8; 16] =
    [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17];
const CGA4: [u8; 16] =
    [0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17];
const CGA2: [u8; 16] = two(0x17);
const VGA2: [u8; 16] = two(0x3F);
const MONO: [u8; 16] =
    [0x00, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x08, 0x10, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18, 0x18];
const MONO_GRAPHICS: [u8; 16] =
    [0x00, 0x08, 0x00, 0x00, 0x18, 0x18, 0x00, 0x00, 0x00, 0x08, 0x00, 0x00, 0x00, 0x18, 0x00, 0x00];
const DIRECT: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

const fn two(foreground: u8) -> [u8; 16] {
    let mut all = [foreground; 16];
    all[0] = 0;
    all
}

/// CRT controller registers from their parts.
const fn crtc(
    h: [u8; 6],
    v: [u8; 7],
    max_scan: u8,
    cursor: [u8; 2],
    offset: u8,
    underline: u8,
    mode: u8,
) -> [u8; 25] {
    [
        h[0], h[1], h[2], h[3], h[4], h[5], v[0], v[1], 0, max_scan, cursor[0], cursor[1], 0, 0, 0, 0, v[2],
        v[3], v[4], offset, underline, v[5], v[6], mode, 0xFF,
    ]
}

/// Attribute registers from the palette and registers 10h to 13h.
const fn attribute(p: [u8; 16], rest: [u8; 4]) -> [u8; 20] {
    [
        p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11], p[12], p[13], p[14], p[15],
        rest[0], rest[1], rest[2], rest[3],
    ]
}

const fn graphics(mode: u8, misc: u8, dont_care: u8) -> [u8; 9] {
    [0, 0, 0, 0, 0, mode, misc, dont_care, 0xFF]
}

const fn text(columns: u8, height: u8) -> Entry {
    let wide = columns == 80;
    let (v, misc, max_scan, cursor) = match height {
        8 => (V200, 0x63, 0xC7, [0x06, 0x07]),
        14 => (V350, 0xA3, 0x4D, [0x0B, 0x0C]),
        _ => (V200, 0x67, 0x4F, [0x0D, 0x0E]),
    };
    let nine = height == 16; // dots a character
    let clock = if nine { 0x00 } else { 0x01 } | if wide { 0x00 } else { 0x08 };
    let h = if wide { H80_TEXT } else { H40_TEXT };
    Entry {
        size: [columns, 24, height],
        page: if wide { 0x1000 } else { 0x0800 },
        sequencer: [clock, 0x03, 0x00, 0x02],
        misc,
        crtc: crtc(h, v, max_scan, cursor, if wide { 0x28 } else { 0x14 }, 0x1F, 0xA3),
        attribute: attribute(
            if height == 8 { COLOR16 } else { COLOR64 },
            [0x08 | if nine { 4 } else { 0 }, 0, 0x0F, if nine { 8 } else { 0 }],
        ),
        graphics: graphics(0x10, 0x0E, 0x00),
    }
}

const fn mono(height: u8) -> Entry {
    let (v, misc, max_scan, cursor) = match height {
        14 => (V350, 0xA6, 0x4D, [0x0B, 0x0C]),
        _ => (V200, 0x66, 0x4F, [0x0D, 0x0E]),
    };
    Entry {
        size: [80, 24, height],
        page: 0x1000,
        sequencer: [0x00, 0x03, 0x00, 0x02],
        misc,
        crtc: crtc(H80_TEXT, v, max_scan, cursor, 0x28, if height == 14 { 0x0D } else { 0x0F }, 0xA3),
        attribute: attribute(MONO, [0x0E, 0, 0x0F, 0x08]),
        graphics: graphics(0x10, 0x0A, 0x00),
    }
}

const fn cga4() -> Entry {
    Entry {
        size: [40, 24, 8],
        page: 0x4000,
        sequencer: [0x09, 0x03, 0x00, 0x02],
        misc: 0x63,
        crtc: crtc(H40_GRAPHICS, V200, 0xC1, [0, 0], 0x14, 0x00, 0xA2),
        attribute: attribute(CGA4, [0x01, 0, 0x03, 0]),
        graphics: graphics(0x30, 0x0F, 0x00),
    }
}

const fn cga2() -> Entry {
    Entry {
        size: [80, 24, 8],
        page: 0x4000,
        sequencer: [0x01, 0x01, 0x00, 0x06],
        misc: 0x63,
        crtc: crtc(H80_GRAPHICS, V200, 0xC1, [0, 0], 0x28, 0x00, 0xC2),
        attribute: attribute(CGA2, [0x01, 0, 0x01, 0]),
        graphics: graphics(0x00, 0x0D, 0x00),
    }
}

const fn planar200(columns: u8) -> Entry {
    let wide = columns == 80;
    Entry {
        size: [columns, 24, 8],
        page: if wide { 0x4000 } else { 0x2000 },
        sequencer: [if wide { 0x01 } else { 0x09 }, 0x0F, 0x00, 0x06],
        misc: 0x63,
        crtc: crtc(
            if wide { H80_GRAPHICS } else { H40_GRAPHICS },
            V200,
            0xC0,
            [0, 0],
            if wide { 0x28 } else { 0x14 },
            0x00,
            0xE3,
        ),
        attribute: attribute(COLOR16, [0x01, 0, 0x0F, 0]),
        graphics: graphics(0x00, 0x05, 0x0F),
    }
}

const fn planar350(color: bool) -> Entry {
    Entry {
        size: [80, 24, 14],
        page: 0x8000,
        sequencer: [0x01, 0x0F, 0x00, 0x06],
        misc: if color { 0xA3 } else { 0xA2 },
        crtc: crtc(H80_GRAPHICS, V350, 0x40, [0, 0], 0x28, 0x0F, 0xE3),
        attribute: if color {
            attribute(COLOR64, [0x01, 0, 0x0F, 0])
        } else {
            attribute(MONO_GRAPHICS, [0x0B, 0, 0x05, 0])
        },
        graphics: graphics(0x00, 0x05, if color { 0x0F } else { 0x05 }),
    }
}

const fn planar480(color: bool) -> Entry {
    Entry {
        size: [80, 29, 16],
        page: 0xA000,
        sequencer: [0x01, 0x0F, 0x00, 0x06],
        misc: 0xE3,
        crtc: crtc(H80_GRAPHICS, V480, 0x40, [0, 0], 0x28, 0x00, if color { 0xE3 } else { 0xC3 }),
        attribute: attribute(if color { COLOR64 } else { VGA2 }, [0x01, 0, 0x0F, 0]),
        graphics: graphics(0x00, 0x05, if color { 0x0F } else { 0x01 }),
    }
}

const fn linear200() -> Entry {
    Entry {
        size: [40, 24, 8],
        page: 0x0000,
        sequencer: [0x01, 0x0F, 0x00, 0x0E],
        misc: 0x63,
        crtc: crtc(H80_GRAPHICS, V200, 0x41, [0, 0], 0x28, 0x40, 0xA3),
        attribute: attribute(DIRECT, [0x41, 0, 0x0F, 0]),
        graphics: graphics(0x40, 0x05, 0x0F),
    }
}

/// The 29 entries, in IBM's order.
pub(crate) const ENTRIES: [Entry; 29] = [
    text(40, 8),
    text(40, 8),
    text(80, 8),
    text(80, 8),
    cga4(),
    cga4(),
    cga2(),
    mono(14),
    text(80, 8), // 08h-0Ch: not used on a VGA
    text(80, 8),
    text(80, 8),
    text(80, 8),
    text(80, 8),
    planar200(40),
    planar200(80),
    planar350(false),
    planar350(true),
    planar350(false),
    planar350(true),
    text(40, 14),
    text(40, 14),
    text(80, 14),
    text(80, 14),
    text(40, 16),
    text(80, 16),
    mono(16),
    planar480(false),
    planar480(true),
    linear200(),
];

/// How characters and pixels are drawn.
pub(crate) mod kind {
    pub(crate) const TEXT: u8 = 0;
    pub(crate) const CGA: u8 = 1; // 4 to 6
    pub(crate) const PLANAR: u8 = 2;
    pub(crate) const LINEAR: u8 = 3;
    pub(crate) const OTHER: u8 = 4; // not ours: VBE, or no such mode
}

/// Default colours a mode loads.
pub(crate) mod colors {
    pub(crate) const MONO: u8 = 0;
    pub(crate) const CGA: u8 = 1;
    pub(crate) const EGA: u8 = 2;
    pub(crate) const VGA: u8 = 3;
}

/// Entry, kind and colours of modes 0 to 13h; entries of the text modes are those with 400 lines.
pub(crate) const MODES: [[u8; 3]; 20] = [
    [0x17, kind::TEXT, colors::EGA],
    [0x17, kind::TEXT, colors::EGA],
    [0x18, kind::TEXT, colors::EGA],
    [0x18, kind::TEXT, colors::EGA],
    [0x04, kind::CGA, colors::CGA],
    [0x05, kind::CGA, colors::CGA],
    [0x06, kind::CGA, colors::CGA],
    [0x19, kind::TEXT, colors::MONO],
    [0xFF, kind::OTHER, 0],
    [0xFF, kind::OTHER, 0],
    [0xFF, kind::OTHER, 0],
    [0xFF, kind::OTHER, 0],
    [0xFF, kind::OTHER, 0],
    [0x0D, kind::PLANAR, colors::CGA],
    [0x0E, kind::PLANAR, colors::CGA],
    [0x11, kind::PLANAR, colors::MONO],
    [0x12, kind::PLANAR, colors::EGA],
    [0x1A, kind::PLANAR, colors::EGA],
    [0x1B, kind::PLANAR, colors::EGA],
    [0x1C, kind::LINEAR, colors::VGA],
];

/// Red, green and blue of the first 64 DAC registers in monochrome modes.
pub(crate) fn mono_colors() -> Vec<u8> {
    (0..64).flat_map(|i| [[0x00, 0x2A, 0x15, 0x3F][i / 8 % 4]; 3]).collect()
}

/// One of the sixteen colours of the first colour adapter.
fn cga(i: usize) -> [u8; 3] {
    let light = if i & 8 != 0 { 0x15 } else { 0 };
    let part = |bit: usize| if i & bit != 0 { 0x2A } else { 0 } + light;
    if i == 6 { [0x2A, 0x15, 0x00] } else { [part(4), part(2), part(1)] }
}

/// The first 64 DAC registers in modes with 200 lines: bit 4 of the number is the intensity.
pub(crate) fn cga_colors() -> Vec<u8> {
    (0..64usize).flat_map(|i| cga(i & 7 | i >> 1 & 8)).collect()
}

/// The first 64 DAC registers otherwise: two bits each of red, green and blue.
pub(crate) fn ega_colors() -> Vec<u8> {
    let part = |i: usize, high: usize, low: usize| (i >> high & 1) as u8 * 0x2A + (i >> low & 1) as u8 * 0x15;
    (0..64).flat_map(|i| [part(i, 2, 5), part(i, 1, 4), part(i, 0, 3)]).collect()
}

/// All DAC registers in mode 13h: sixteen colours, sixteen grays, then circles of 24 hues in three saturations at each of
/// three intensities.
pub(crate) fn vga_colors() -> Vec<u8> {
    const GRAYS: [u8; 16] =
        [0x00, 0x05, 0x08, 0x0B, 0x0E, 0x11, 0x14, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2D, 0x32, 0x38, 0x3F];
    const LEVELS: [[u8; 5]; 9] = [
        [0x00, 0x10, 0x1F, 0x2F, 0x3F],
        [0x1F, 0x27, 0x2F, 0x37, 0x3F],
        [0x2D, 0x31, 0x36, 0x3A, 0x3F],
        [0x00, 0x07, 0x0E, 0x15, 0x1C],
        [0x0E, 0x11, 0x15, 0x18, 0x1C],
        [0x14, 0x16, 0x18, 0x1A, 0x1C],
        [0x00, 0x04, 0x08, 0x0C, 0x10],
        [0x08, 0x0A, 0x0C, 0x0E, 0x10],
        [0x0B, 0x0C, 0x0D, 0x0F, 0x10],
    ];
    // From blue by magenta, red, yellow, green and cyan back to blue.
    let level = |hue: i32, peak: i32| {
        (4 - ((hue - peak).rem_euclid(24).min((peak - hue).rem_euclid(24)) - 4).clamp(0, 4)) as usize
    };
    let mut all: Vec<u8> = (0..16).flat_map(cga).collect();
    all.extend(GRAYS.iter().flat_map(|&g| [g; 3]));
    for row in LEVELS {
        for hue in 0..24 {
            all.extend([row[level(hue, 8)], row[level(hue, 16)], row[level(hue, 0)]]);
        }
    }
    all.resize(768, 0);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_have_the_length_of_the_manual() {
        for entry in &ENTRIES {
            assert_eq!(entry.bytes().len(), ENTRY_SIZE as usize);
        }
    }

    /// IBM VGA Technical Reference, default palette of mode 13h.
    #[test]
    fn colors_of_the_manual() {
        let vga = vga_colors();
        let color = |i: usize| [vga[3 * i], vga[3 * i + 1], vga[3 * i + 2]];
        assert_eq!(color(6), [0x2A, 0x15, 0x00], "brown");
        assert_eq!(color(15), [0x3F; 3]);
        assert_eq!(color(32), [0x00, 0x00, 0x3F], "blue");
        assert_eq!(color(36), [0x3F, 0x00, 0x3F], "magenta");
        assert_eq!(color(40), [0x3F, 0x00, 0x00], "red");
        assert_eq!(color(44), [0x3F, 0x3F, 0x00], "yellow");
        assert_eq!(color(48), [0x00, 0x3F, 0x00], "green");
        assert_eq!(color(52), [0x00, 0x3F, 0x3F], "cyan");
        assert_eq!(color(33), [0x10, 0x00, 0x3F]);
        assert_eq!(color(248), [0; 3]);
        let ega = ega_colors();
        assert_eq!(ega[0x14 * 3..0x14 * 3 + 3], [0x2A, 0x15, 0x00], "brown");
        assert_eq!(ega[0x38 * 3..0x38 * 3 + 3], [0x15, 0x15, 0x15], "dark gray");
    }
}
