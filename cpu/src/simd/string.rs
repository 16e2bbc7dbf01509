//! The string comparisons of SSE4.2: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.
//!
//! Follows Intel SDM volume 2, section 4.1 ("Imm8 control byte operation").

use super::lanes::bytes;
use crate::ops::Vec128;
use crate::state::flag;

/// Number of elements for lengths given in EAX and EDX (RAX, RDX with REX.W): their magnitude, saturated.
pub fn explicit_length(v: i64, imm: u8) -> usize {
    let n = if imm & 1 != 0 { 8 } else { 16 };
    v.unsigned_abs().min(n) as usize
}

/// Number of elements before the first zero.
pub fn implicit_length(v: Vec128, imm: u8) -> usize {
    let e = elements(v, imm);
    let n = if imm & 1 != 0 { 8 } else { 16 };
    e[..n].iter().position(|&x| x == 0).unwrap_or(n)
}

fn elements(v: Vec128, imm: u8) -> [i32; 16] {
    let b = bytes(v);
    core::array::from_fn(|i| match imm & 3 {
        0 => i32::from(b[i]),
        2 => i32::from(b[i] as i8),
        words => {
            let i = i & 7;
            let w = u16::from_le_bytes([b[2 * i], b[2 * i + 1]]);
            if words == 1 { i32::from(w) } else { i32::from(w as i16) }
        }
    })
}

/// What a comparison yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// IntRes2.
    pub bits: u16,
    /// CF, ZF, SF, OF (AF and PF clear).
    pub flags: u64,
}

/// Compares `a` (of `la` valid elements) with `b` (of `lb`).
pub fn compare(a: Vec128, la: usize, b: Vec128, lb: usize, imm: u8) -> Found {
    let n = if imm & 1 != 0 { 8 } else { 16 };
    let (ea, eb) = (elements(a, imm), elements(b, imm));
    let res1: u16 = (0..n).fold(0, |r, j| {
        let hit = match imm >> 2 & 3 {
            // Equal any: b[j] is one of the set a.
            0 => j < lb && ea[..la].contains(&eb[j]),
            // Ranges: pairs of bounds in a.
            1 => j < lb && (0..la / 2).any(|k| (ea[2 * k]..=ea[2 * k + 1]).contains(&eb[j])),
            // Equal each.
            2 => match (j < la, j < lb) {
                (true, true) => ea[j] == eb[j],
                (false, false) => true,
                _ => false,
            },
            // Equal ordered: the substring a begins at b[j].
            _ => (0..n - j).all(|k| k >= la || j + k < lb && ea[k] == eb[j + k]),
        };
        r | u16::from(hit) << j
    });
    let all = !0u16 >> (16 - n);
    let valid = if lb >= 16 { !0 } else { (1u16 << lb) - 1 };
    let bits = match imm >> 4 & 3 {
        1 => !res1 & all,
        3 => res1 ^ valid & all,
        _ => res1,
    };
    let mut flags = 0;
    for (f, set) in [(flag::CF, bits != 0), (flag::ZF, lb < n), (flag::SF, la < n), (flag::OF, bits & 1 != 0)]
    {
        if set {
            flags |= f;
        }
    }
    Found { bits, flags }
}

/// ECX of the index forms.
pub fn index(bits: u16, imm: u8) -> u32 {
    if bits == 0 {
        if imm & 1 != 0 { 8 } else { 16 }
    } else if imm & 0x40 != 0 {
        15 - bits.leading_zeros()
    } else {
        bits.trailing_zeros()
    }
}

/// XMM0 of the mask forms.
pub fn mask(bits: u16, imm: u8) -> Vec128 {
    if imm & 0x40 == 0 {
        return Vec128([u64::from(bits), 0]);
    }
    let mut r = [0u8; 16];
    for (i, b) in r.iter_mut().enumerate() {
        let element = if imm & 1 != 0 { i / 2 } else { i };
        *b = if bits >> element & 1 != 0 { 0xff } else { 0 };
    }
    super::lanes::from_bytes(r)
}
