//! The character shapes, from the text tables beside this file.

/// Shapes of 8 by 8 dots.
pub(crate) fn glyphs8() -> Vec<[u8; 8]> {
    parse(include_str!("fonts/8x8.txt"))
}

/// Shapes of 8 by 14 dots.
pub(crate) fn glyphs14() -> Vec<[u8; 14]> {
    parse(include_str!("fonts/8x14.txt"))
}

/// Shapes of 8 by 16 dots.
pub(crate) fn glyphs16() -> Vec<[u8; 16]> {
    parse(include_str!("fonts/8x16.txt"))
}

fn parse<const H: usize>(text: &str) -> Vec<[u8; H]> {
    let mut glyphs = vec![[0; H]; 256];
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let (code, rows) = line.split_once(' ').expect("code and rows");
        let code = usize::from_str_radix(code, 16).expect("a code in hexadecimal");
        for (y, row) in glyphs[code].iter_mut().enumerate() {
            *row = u8::from_str_radix(&rows[2 * y..2 * y + 2], 16).expect("a row in hexadecimal");
        }
    }
    glyphs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shapes that follow from what code page 437 says the characters are.
    #[test]
    fn blocks_and_lines_join_up() {
        fn check<const H: usize>(glyphs: &[[u8; H]]) {
            assert_eq!(glyphs[0x20], [0; H], "space");
            assert_eq!(glyphs[0xDB], [0xFF; H], "full block");
            assert_eq!(glyphs[0xDD], [0xF0; H], "left half block");
            assert!(glyphs[0xB3].iter().all(|&row| row == glyphs[0xB3][0] && row != 0), "vertical line");
            assert_eq!(glyphs[0xC4].iter().filter(|&&row| row == 0xFF).count(), 1, "horizontal line");
            let lower = glyphs[0xDC].iter().filter(|&&row| row == 0xFF).count();
            let upper = glyphs[0xDF].iter().filter(|&&row| row == 0xFF).count();
            assert_eq!(lower + upper, H, "half blocks");
            assert!((0x21..0x7F).all(|c| glyphs[c] != [0; H]), "printable ASCII");
        }
        check(&glyphs8());
        check(&glyphs14());
        check(&glyphs16());
    }
}
