//! What each key gives: scan code and character, alone and with Shift, Ctrl and Alt. IBM PS/2 BIOS Interface Technical
//! Reference, "Keyboard Extended Codes"; US layout.

use crate::asm::{Asm, asm};

/// Last scan code in the table.
pub(crate) const LAST: i32 = 0x58;

/// Plain, Shift, Ctrl, Alt: scan code in the high byte, character in the low one; 0 gives nothing.
type Key = [u16; 4];

/// Scan code and characters of the keys with Alt codes from 78h: the digit row.
const DIGITS: &[(u8, u8)] = &[
    (b'1', b'!'),
    (b'2', b'@'),
    (b'3', b'#'),
    (b'4', b'$'),
    (b'5', b'%'),
    (b'6', b'^'),
    (b'7', b'&'),
    (b'8', b'*'),
    (b'9', b'('),
    (b'0', b')'),
    (b'-', b'_'),
    (b'=', b'+'),
];

/// The letter rows and the scan code that each starts at.
const LETTERS: [(u8, &[u8]); 3] = [(0x10, b"qwertyuiop"), (0x1E, b"asdfghjkl"), (0x2C, b"zxcvbnm")];

/// Other keys with a character.
const SIGNS: [(u8, u8, u8, u8); 9] = [
    (0x1A, b'[', b'{', 0x1B),
    (0x1B, b']', b'}', 0x1D),
    (0x27, b';', b':', 0),
    (0x28, b'\'', b'"', 0),
    (0x29, b'`', b'~', 0),
    (0x2B, b'\\', b'|', 0x1C),
    (0x33, b',', b'<', 0),
    (0x34, b'.', b'>', 0),
    (0x35, b'/', b'?', 0),
];

/// The rest, as they are.
const OTHERS: [(u8, Key); 23] = [
    (0x01, [0x011B, 0x011B, 0x011B, 0x0100]),
    (0x0E, [0x0E08, 0x0E08, 0x0E7F, 0x0E00]),
    (0x0F, [0x0F09, 0x0F00, 0x9400, 0xA500]),
    (0x1C, [0x1C0D, 0x1C0D, 0x1C0A, 0x1C00]),
    (0x37, [0x372A, 0x372A, 0x9600, 0x3700]),
    (0x39, [0x3920, 0x3920, 0x3920, 0x3920]),
    (0x47, [0x4700, 0x4737, 0x7700, 0]),
    (0x48, [0x4800, 0x4838, 0x8D00, 0]),
    (0x49, [0x4900, 0x4939, 0x8400, 0]),
    (0x4A, [0x4A2D, 0x4A2D, 0x8E00, 0x4A00]),
    (0x4B, [0x4B00, 0x4B34, 0x7300, 0]),
    (0x4C, [0x4C00, 0x4C35, 0x8F00, 0]),
    (0x4D, [0x4D00, 0x4D36, 0x7400, 0]),
    (0x4E, [0x4E2B, 0x4E2B, 0x9000, 0x4E00]),
    (0x4F, [0x4F00, 0x4F31, 0x7500, 0]),
    (0x50, [0x5000, 0x5032, 0x9100, 0]),
    (0x51, [0x5100, 0x5133, 0x7600, 0]),
    (0x52, [0x5200, 0x5230, 0x9200, 0]),
    (0x53, [0x5300, 0x532E, 0x9300, 0]),
    (0x56, [0x565C, 0x567C, 0, 0]),
    (0x57, [0x8500, 0x8700, 0x8900, 0x8B00]),
    (0x58, [0x8600, 0x8800, 0x8A00, 0x8C00]),
    (0x54, [0, 0, 0, 0]),
];

fn keys() -> Vec<Key> {
    let code = |scan: u8, character: u8| u16::from(scan) << 8 | u16::from(character);
    let some = |scan: u8, character: u8| if character == 0 { 0 } else { code(scan, character) };
    let mut keys = vec![[0; 4]; LAST as usize + 1];
    for (i, &(plain, shift)) in DIGITS.iter().enumerate() {
        let scan = i as u8 + 2;
        let ctrl = match plain {
            b'2' => 0x0300,
            b'6' => 0x071E,
            b'-' => 0x0C1F,
            _ => 0,
        };
        keys[scan as usize] = [code(scan, plain), code(scan, shift), ctrl, code(i as u8 + 0x78, 0)];
    }
    for (first, row) in LETTERS {
        for (i, &letter) in row.iter().enumerate() {
            let scan = first + i as u8;
            keys[scan as usize] =
                [code(scan, letter), code(scan, letter - 32), code(scan, letter & 0x1F), code(scan, 0)];
        }
    }
    for (scan, plain, shift, ctrl) in SIGNS {
        keys[scan as usize] = [code(scan, plain), code(scan, shift), some(scan, ctrl), code(scan, 0)];
    }
    for i in 0..10 {
        let scan = 0x3B + i;
        keys[scan as usize] = [code(scan, 0), code(0x54 + i, 0), code(0x5E + i, 0), code(0x68 + i, 0)];
    }
    for (scan, key) in OTHERS {
        keys[scan as usize] = key;
    }
    keys
}

/// Four words a key, from scan code 0 to [`LAST`].
pub(crate) fn table(a: &mut Asm) {
    asm! { a; align 2; at "key_table"; }
    for key in keys() {
        a.words(&key);
    }
}

#[cfg(test)]
mod tests {
    use super::keys;

    #[test]
    fn codes_of_the_technical_reference() {
        let keys = keys();
        assert_eq!(keys[0x1E], [0x1E61, 0x1E41, 0x1E01, 0x1E00], "A");
        assert_eq!(keys[0x03], [0x0332, 0x0340, 0x0300, 0x7900], "2 and @");
        assert_eq!(keys[0x0D], [0x0D3D, 0x0D2B, 0, 0x8300], "= and +");
        assert_eq!(keys[0x44], [0x4400, 0x5D00, 0x6700, 0x7100], "F10");
        assert_eq!(keys[0x32], [0x326D, 0x324D, 0x320D, 0x3200], "M");
    }
}
