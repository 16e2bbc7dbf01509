//! AES-NI, PCLMULQDQ, SHA and CRC32, computed in portable integers.
//!
//! Follows Intel SDM volume 2 (operation sections), FIPS 197 (AES), FIPS 180-4 (SHA).

use super::lanes::{bytes, from_bytes, from_words, words};
use crate::ops::Vec128;

/// Multiplication by x in AES's field.
const fn double(v: u8) -> u8 {
    v << 1 ^ if v & 0x80 != 0 { 0x1b } else { 0 }
}

const fn field_mul(a: u8, b: u8) -> u8 {
    let (mut a, mut r, mut n) = (a, 0, 0);
    while n < 8 {
        if b >> n & 1 != 0 {
            r ^= a;
        }
        a = double(a);
        n += 1;
    }
    r
}

/// FIPS 197, 5.1.1: the inverse in the field, then an affine transformation.
const SBOX: [u8; 256] = {
    let mut t = [0u8; 256];
    let mut x = 0usize;
    while x < 256 {
        // x^254 is the inverse (and 0 for 0).
        let (mut inverse, mut n) = (1u8, 0);
        while n < 254 {
            inverse = field_mul(inverse, x as u8);
            n += 1;
        }
        let i = inverse;
        t[x] = i ^ i.rotate_left(1) ^ i.rotate_left(2) ^ i.rotate_left(3) ^ i.rotate_left(4) ^ 0x63;
        x += 1;
    }
    t
};

const INVERSE_SBOX: [u8; 256] = {
    let mut t = [0u8; 256];
    let mut x = 0;
    while x < 256 {
        t[SBOX[x] as usize] = x as u8;
        x += 1;
    }
    t
};

fn sub_bytes(s: [u8; 16], table: &[u8; 256]) -> [u8; 16] {
    s.map(|b| table[usize::from(b)])
}

fn shift_rows(s: [u8; 16]) -> [u8; 16] {
    core::array::from_fn(|i| s[(i + 4 * (i & 3)) & 15])
}

fn inverse_shift_rows(s: [u8; 16]) -> [u8; 16] {
    core::array::from_fn(|i| s[(i + 16 - 4 * (i & 3)) & 15])
}

fn mix_columns(s: [u8; 16]) -> [u8; 16] {
    core::array::from_fn(|i| {
        let c = i & !3;
        let at = |k: usize| s[c + ((i + k) & 3)];
        double(at(0)) ^ double(at(1)) ^ at(1) ^ at(2) ^ at(3)
    })
}

fn inverse_mix_columns(s: [u8; 16]) -> [u8; 16] {
    core::array::from_fn(|i| {
        let c = i & !3;
        let at = |k: usize| s[c + ((i + k) & 3)];
        let twice = |v: u8, n: u32| (0..n).fold(v, |v, _| double(v));
        let (a, b, d, e) = (at(0), at(1), at(2), at(3));
        // 14 a + 11 b + 13 d + 9 e.
        twice(a ^ b ^ d ^ e, 3) ^ twice(a ^ d, 2) ^ twice(a ^ b, 1) ^ b ^ d ^ e
    })
}

fn xor(a: Vec128, b: Vec128) -> Vec128 {
    Vec128([a.0[0] ^ b.0[0], a.0[1] ^ b.0[1]])
}

/// AESENC, and AESENCLAST if `last`.
pub fn aesenc(a: Vec128, key: Vec128, last: bool) -> Vec128 {
    let s = sub_bytes(shift_rows(bytes(a)), &SBOX);
    xor(from_bytes(if last { s } else { mix_columns(s) }), key)
}

/// AESDEC, and AESDECLAST if `last`.
pub fn aesdec(a: Vec128, key: Vec128, last: bool) -> Vec128 {
    let s = sub_bytes(inverse_shift_rows(bytes(a)), &INVERSE_SBOX);
    xor(from_bytes(if last { s } else { inverse_mix_columns(s) }), key)
}

/// AESIMC.
pub fn aesimc(b: Vec128) -> Vec128 {
    from_bytes(inverse_mix_columns(bytes(b)))
}

/// AESKEYGENASSIST.
pub fn aeskeygenassist(b: Vec128, rcon: u8) -> Vec128 {
    let w = words(b);
    let sub = |w: u32| u32::from_le_bytes(w.to_le_bytes().map(|b| SBOX[usize::from(b)]));
    let (x1, x3) = (sub(w[1]), sub(w[3]));
    let rcon = u32::from(rcon);
    from_words([x1, x1.rotate_right(8) ^ rcon, x3, x3.rotate_right(8) ^ rcon])
}

/// PCLMULQDQ.
pub fn pclmulqdq(a: Vec128, b: Vec128, imm: u8) -> Vec128 {
    let (x, y) = (a.0[usize::from(imm & 1)], b.0[usize::from(imm >> 4 & 1)]);
    let mut r = 0u128;
    for n in 0..64 {
        let mask = (u128::from(y >> n & 1)).wrapping_neg();
        r ^= u128::from(x) << n & mask;
    }
    Vec128([r as u64, (r >> 64) as u64])
}

/// SHA1RNDS4.
pub fn sha1rnds4(a: Vec128, b: Vec128, imm: u8) -> Vec128 {
    const K: [u32; 4] = [0x5a82_7999, 0x6ed9_eba1, 0x8f1b_bcdc, 0xca62_c1d6];
    let [mut d, mut c, mut bb, mut aa] = words(a);
    let w = words(b);
    let mut e = 0u32;
    for (n, &w) in w.iter().rev().enumerate() {
        let f = match imm & 3 {
            0 => bb & c ^ !bb & d,
            2 => bb & c ^ bb & d ^ c & d,
            _ => bb ^ c ^ d,
        };
        let _ = n;
        let t = f
            .wrapping_add(aa.rotate_left(5))
            .wrapping_add(w)
            .wrapping_add(e)
            .wrapping_add(K[usize::from(imm & 3)]);
        (e, d, c, bb, aa) = (d, c, bb.rotate_left(30), aa, t);
    }
    from_words([d, c, bb, aa])
}

/// SHA1NEXTE.
pub fn sha1nexte(a: Vec128, b: Vec128) -> Vec128 {
    let mut w = words(b);
    w[3] = w[3].wrapping_add(words(a)[3].rotate_left(30));
    from_words(w)
}

/// SHA1MSG1.
pub fn sha1msg1(a: Vec128, b: Vec128) -> Vec128 {
    let ([w3, w2, w1, w0], [_, _, w5, w4]) = (words(a), words(b));
    from_words([w5 ^ w3, w4 ^ w2, w3 ^ w1, w2 ^ w0])
}

/// SHA1MSG2.
pub fn sha1msg2(a: Vec128, b: Vec128) -> Vec128 {
    let ([a0, a1, a2, a3], [w15, w14, w13, _]) = (words(a), words(b));
    let w16 = (a3 ^ w13).rotate_left(1);
    let w17 = (a2 ^ w14).rotate_left(1);
    let w18 = (a1 ^ w15).rotate_left(1);
    let w19 = (a0 ^ w16).rotate_left(1);
    from_words([w19, w18, w17, w16])
}

/// SHA256RNDS2; `k` is XMM0.
pub fn sha256rnds2(x: Vec128, y: Vec128, k: Vec128) -> Vec128 {
    let ([mut h, mut g, mut d, mut c], [mut f, mut e, mut b, mut a]) = (words(x), words(y));
    for wk in [k.0[0] as u32, (k.0[0] >> 32) as u32] {
        let ch = e & f ^ !e & g;
        let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
        let maj = a & b ^ a & c ^ b & c;
        let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
        let t = ch.wrapping_add(s1).wrapping_add(wk).wrapping_add(h);
        let next = t.wrapping_add(maj).wrapping_add(s0);
        (h, g, f, e, d, c, b, a) = (g, f, e, t.wrapping_add(d), c, b, a, next);
    }
    let _ = (h, g, d, c);
    from_words([f, e, b, a])
}

/// SHA256MSG1.
pub fn sha256msg1(a: Vec128, b: Vec128) -> Vec128 {
    let w = words(a);
    let next = [w[1], w[2], w[3], words(b)[0]];
    let s0 = |v: u32| v.rotate_right(7) ^ v.rotate_right(18) ^ v >> 3;
    from_words(core::array::from_fn(|i| w[i].wrapping_add(s0(next[i]))))
}

/// SHA256MSG2.
pub fn sha256msg2(a: Vec128, b: Vec128) -> Vec128 {
    let (w, [_, _, w14, w15]) = (words(a), words(b));
    let s1 = |v: u32| v.rotate_right(17) ^ v.rotate_right(19) ^ v >> 10;
    let w16 = w[0].wrapping_add(s1(w14));
    let w17 = w[1].wrapping_add(s1(w15));
    let w18 = w[2].wrapping_add(s1(w16));
    let w19 = w[3].wrapping_add(s1(w17));
    from_words([w16, w17, w18, w19])
}

/// CRC32-C of `n` bytes of `v`, continuing from `crc`.
pub fn crc32(crc: u32, v: u64, n: u8) -> u32 {
    const TABLE: [u32; 256] = {
        let mut t = [0u32; 256];
        let mut i = 0;
        while i < 256 {
            let (mut c, mut k) = (i as u32, 0);
            while k < 8 {
                c = c >> 1 ^ if c & 1 != 0 { 0x82f6_3b78 } else { 0 };
                k += 1;
            }
            t[i] = c;
            i += 1;
        }
        t
    };
    v.to_le_bytes()[..usize::from(n.min(8))]
        .iter()
        .fold(crc, |c, &b| c >> 8 ^ TABLE[usize::from(c as u8 ^ b)])
}
