//! The VBE modes: VESA's numbers where there is one, else those that Bochs' display ROM gave.

use crate::asm::{Asm, asm};

/// Number, width, height, bits a pixel.
const MODES: &[(u16, u16, u16, u8)] = &[
    (0x100, 640, 400, 8),
    (0x101, 640, 480, 8),
    (0x103, 800, 600, 8),
    (0x105, 1024, 768, 8),
    (0x107, 1280, 1024, 8),
    (0x10D, 320, 200, 15),
    (0x10E, 320, 200, 16),
    (0x10F, 320, 200, 24),
    (0x110, 640, 480, 15),
    (0x111, 640, 480, 16),
    (0x112, 640, 480, 24),
    (0x113, 800, 600, 15),
    (0x114, 800, 600, 16),
    (0x115, 800, 600, 24),
    (0x116, 1024, 768, 15),
    (0x117, 1024, 768, 16),
    (0x118, 1024, 768, 24),
    (0x119, 1280, 1024, 15),
    (0x11A, 1280, 1024, 16),
    (0x11B, 1280, 1024, 24),
    (0x11C, 1600, 1200, 8),
    (0x11D, 1600, 1200, 15),
    (0x11E, 1600, 1200, 16),
    (0x11F, 1600, 1200, 24),
    (0x140, 320, 200, 32),
    (0x141, 640, 400, 32),
    (0x142, 640, 480, 32),
    (0x143, 800, 600, 32),
    (0x144, 1024, 768, 32),
    (0x145, 1280, 1024, 32),
    (0x146, 320, 200, 8),
    (0x147, 1600, 1200, 32),
    (0x148, 1152, 864, 8),
    (0x149, 1152, 864, 15),
    (0x14A, 1152, 864, 16),
    (0x14B, 1152, 864, 24),
    (0x14C, 1152, 864, 32),
    (0x175, 1280, 768, 16),
    (0x176, 1280, 768, 24),
    (0x177, 1280, 768, 32),
    (0x178, 1280, 800, 16),
    (0x179, 1280, 800, 24),
    (0x17A, 1280, 800, 32),
    (0x17B, 1280, 960, 16),
    (0x17C, 1280, 960, 24),
    (0x17D, 1280, 960, 32),
    (0x17E, 1440, 900, 16),
    (0x17F, 1440, 900, 24),
    (0x180, 1440, 900, 32),
    (0x181, 1400, 1050, 16),
    (0x182, 1400, 1050, 24),
    (0x183, 1400, 1050, 32),
    (0x184, 1680, 1050, 16),
    (0x185, 1680, 1050, 24),
    (0x186, 1680, 1050, 32),
    (0x187, 1920, 1200, 16),
    (0x188, 1920, 1200, 24),
    (0x189, 1920, 1200, 32),
    (0x18A, 2560, 1600, 16),
    (0x18B, 2560, 1600, 24),
    (0x18C, 2560, 1600, 32),
    (0x18D, 1280, 720, 16),
    (0x18E, 1280, 720, 24),
    (0x18F, 1280, 720, 32),
    (0x190, 1920, 1080, 16),
    (0x191, 1920, 1080, 24),
    (0x192, 1920, 1080, 32),
];

/// Bytes of a row in the ROM: number, width, height, bits.
pub(crate) const ROW: i32 = 7;

/// Sizes and places of red, green, blue and the rest, for 15, 16, 24 and 32 bits.
const FIELDS: [[u8; 9]; 4] = [
    [15, 5, 10, 5, 5, 5, 0, 1, 15],
    [16, 5, 11, 6, 5, 5, 0, 0, 0],
    [24, 8, 16, 8, 8, 8, 0, 0, 0],
    [32, 8, 16, 8, 8, 8, 0, 8, 24],
];

/// What the display says about itself: an EDID 1.3 block. VESA E-EDID Standard, release A.
pub(crate) fn edid() -> [u8; 128] {
    let mut e = [0u8; 128];
    e[..8].copy_from_slice(&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x00]);
    let letter = |c: u8| u16::from(c - b'@');
    let maker = letter(b'L') << 10 | letter(b'U') << 5 | letter(b'C');
    e[8..10].copy_from_slice(&maker.to_be_bytes());
    e[10] = 86; // product
    e[16] = 1; // week
    e[17] = 36; // year from 1990
    e[18] = 1;
    e[19] = 3;
    e[20] = 0x80; // digital
    e[21] = 36; // centimetres
    e[22] = 27;
    e[23] = 120; // gamma 2.2
    e[24] = 0x0A; // RGB, the first timing is preferred
    e[25..35].copy_from_slice(&[0xEE, 0x91, 0xA3, 0x54, 0x4C, 0x99, 0x26, 0x0F, 0x50, 0x54]); // sRGB
    e[35] = 0x21; // 720x400 aside: 640x480, 800x600 at 60 Hz
    e[36] = 0x08; // 1024x768 at 60 Hz
    // Standard timings: width / 8 - 31, shape and rate - 60.
    let standard = [
        (1280u16, 0x80u8),
        (1280, 0x00),
        (1440, 0x00),
        (1600, 0x40),
        (1680, 0x00),
        (1920, 0xC0),
        (1920, 0x00),
    ];
    for (i, (width, shape)) in standard.into_iter().enumerate() {
        e[38 + 2 * i] = (width / 8 - 31) as u8;
        e[39 + 2 * i] = shape;
    }
    e[52] = 1;
    e[53] = 1;
    // 1024x768 at 60 Hz: 65 MHz, 1344 by 806 dots in all.
    e[54..72].copy_from_slice(&[
        0x64, 0x19, 0x00, 0x40, 0x41, 0x00, 0x26, 0x30, 0x18, 0x88, 0x36, 0x00, 0x68, 0x0E, 0x11, 0x00, 0x00,
        0x18,
    ]);
    // Name, then limits: 50-125 Hz, 30-160 kHz, 600 MHz.
    e[72..90].copy_from_slice(b"\0\0\0\xFC\0Lucid86\n     ");
    e[90..108].copy_from_slice(b"\0\0\0\xFD\0\x32\x7D\x1E\xA0\x3C\0\n      ");
    e[108..126].copy_from_slice(b"\0\0\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0\0");
    e[127] = e.iter().fold(0u8, |s, &b| s.wrapping_add(b)).wrapping_neg();
    e
}

pub(crate) fn table(a: &mut Asm) {
    asm! { a; at "vbe_modes"; }
    for &(number, width, height, bits) in MODES {
        a.words(&[number, width, height]);
        a.db(i32::from(bits));
    }
    asm! { a; dw 0xFFFF; at "vbe_fields"; }
    for row in FIELDS {
        a.db(&row);
    }
    asm! { a; at "edid"; }
    a.db(&edid());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// VESA VBE 3.0, table of mode numbers; E-EDID Standard, section 3.
    #[test]
    fn standard_numbers_and_a_sound_edid() {
        let find = |n| MODES.iter().find(|m| m.0 == n).map(|m| (m.1, m.2, m.3));
        assert_eq!(find(0x101), Some((640, 480, 8)));
        assert_eq!(find(0x117), Some((1024, 768, 16)));
        assert_eq!(find(0x11B), Some((1280, 1024, 24)));
        assert!(MODES.windows(2).all(|w| w[0].0 < w[1].0));
        assert!(MODES.len() * 2 + 2 <= 222, "fits the reserved area of the information block");
        assert!(MODES.iter().all(|m| m.1 % 8 == 0));
        assert_eq!(edid().iter().fold(0u8, |s, &b| s.wrapping_add(b)), 0);
    }
}
