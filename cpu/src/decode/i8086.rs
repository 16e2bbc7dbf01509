//! The 8086's opcode aliases (it does not decode all bits; Intel's iAPX 86 manual leaves them undefined, what they do is in
//! the hardware captures of `testsuite`), and ESC where there is no x87.

/// Rewrites an alias at the start of `bytes` to the opcode it stands for. `Some(length)`: it is POP CS, which later
/// processors don't have.
pub(super) fn canonical(bytes: &mut [u8]) -> Option<u8> {
    let at = bytes.iter().position(|b| !matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0xf0..=0xf3))?;
    // F1 is LOCK's alias.
    for b in &mut bytes[..at] {
        if *b == 0xf1 {
            *b = 0xf0;
        }
    }
    let op = bytes[at];
    match op {
        0x0f => return Some(at as u8 + 1),
        0x60..=0x6f => bytes[at] = op + 0x10,
        0xc0 | 0xc1 | 0xc8 | 0xc9 => bytes[at] = op + 2,
        // Segment registers have two bits.
        0x8c | 0x8e => group(bytes, at, |r| r & 3),
        0x8f | 0xc6 | 0xc7 => group(bytes, at, |_| 0),
        // /1 is TEST too.
        0xf6 | 0xf7 => group(bytes, at, |r| if r == 1 { 0 } else { r }),
        0xff => group(bytes, at, |r| if r == 7 { 6 } else { r }),
        _ => {}
    }
    None
}

/// Rewrites ESC (D8h-DFh) at the start of `bytes` to MOV r, r/m. Yields the opcode's two bytes as a word.
pub(super) fn escape(bytes: &mut [u8]) -> Option<u16> {
    let at =
        bytes.iter().position(|b| !matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0..=0xf3))?;
    let (op, &modrm) = (bytes[at], bytes.get(at + 1)?);
    if op & 0xf8 != 0xd8 {
        return None;
    }
    bytes[at] = 0x8b;
    Some(u16::from(modrm) << 8 | u16::from(op))
}

/// Changes the register field of the ModRM byte after the opcode.
fn group(bytes: &mut [u8], at: usize, f: impl FnOnce(u8) -> u8) {
    if let Some(m) = bytes.get_mut(at + 1) {
        *m = *m & !0x38 | f(*m >> 3 & 7) << 3;
    }
}
