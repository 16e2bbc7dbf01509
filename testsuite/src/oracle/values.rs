//! Operands: numbers of each kind near the places where arithmetic changes its mind (IEEE 754; SDM volume 1, chapter 4).

use super::state::State;
use crate::rng::Rng;
use lucid86_cpu::state::F80;

/// A single-precision pattern.
pub fn f32(r: &mut Rng) -> u32 {
    const EDGES: [u32; 17] = [
        0,
        1,
        0x7f_ffff,
        0x80_0000,
        0x3f80_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7f80_0001,
        0x7fc0_0000,
        0x4f00_0000,
        0x4eff_ffff,
        0x5f00_0000,
        0x3f00_0000,
        0x3fc0_0000,
        0x4020_0000,
        0x7fff_ffff,
        0x4120_0000,
    ];
    let v = match r.below(4) {
        0 => r.pick(&EDGES),
        1 => r.bits() as u32 & 0x807f_ffff,
        2 => (r.bits() as u32 >> 9) | (0x3e00_0000 + r.below(64) as u32 * 0x80_0000),
        _ => r.bits() as u32,
    };
    v ^ (r.below(2) as u32) << 31
}

/// A double-precision pattern.
pub fn f64(r: &mut Rng) -> u64 {
    const EDGES: [u64; 17] = [
        0,
        1,
        (1 << 52) - 1,
        1 << 52,
        0x3ff0 << 48,
        0x7fef_ffff_ffff_ffff,
        0x7ff0 << 48,
        (0x7ff0 << 48) + 1,
        0x7ff8 << 48,
        0x41df_ffff_ffc0_0000,
        0x41e0 << 48,
        0x43e0 << 48,
        0x3fe0 << 48,
        0x4004 << 48,
        0x36a0 << 48,
        0x3810 << 48,
        0x47ef_ffff_e000_0000,
    ];
    let v = match r.below(5) {
        0 => r.pick(&EDGES),
        1 => r.bits() >> 12,
        2 => (r.bits() >> 12) | ((0x3fe0 << 48) + (r.below(64) << 52)),
        3 => f64::from(f32::from_bits(f32(r))).to_bits(),
        _ => r.bits(),
    };
    v ^ r.below(2) << 63
}

/// An x87 pattern, unnormals and pseudo-numbers among them.
pub fn f80(r: &mut Rng) -> F80 {
    const MANTISSAS: [u64; 10] = [
        0,
        1,
        1 << 62,
        1 << 63,
        (1 << 63) + 1,
        !0,
        3 << 62,
        (3 << 62) + 1,
        0xffff_ff00_0000_0000,
        0x8000_0000_0000_0400,
    ];
    const EXPONENTS: [u16; 12] = [
        0,
        1,
        0x7fff,
        0x7ffe,
        16383,
        16382,
        16384,
        16383 - 126,
        16383 + 127,
        16383 + 63,
        16383 + 31,
        16383 - 1022,
    ];
    let mant = match r.below(4) {
        0 => r.pick(&MANTISSAS),
        1 => r.bits() | 1 << 63,
        2 => r.bits() & !0 << r.below(64) | 1 << 63,
        _ if r.one_in(4) => r.bits(),
        _ => r.bits() | 1 << 63,
    };
    let se = match r.below(4) {
        0 => r.pick(&EXPONENTS),
        1 => r.below(0x8000) as u16,
        _ => 16383 - 40 + r.below(100) as u16,
    };
    F80 { mant, se: se | (r.below(2) as u16) << 15 }
}

/// A vector of one kind or another.
pub fn vector(r: &mut Rng) -> [u64; 2] {
    match r.below(6) {
        0 | 1 => {
            let mut pair = || u64::from(f32(r)) | u64::from(f32(r)) << 32;
            [pair(), pair()]
        }
        2 | 3 => [f64(r), f64(r)],
        4 => [r.integer(), r.integer()],
        _ => [r.bits(), r.bits()],
    }
}

/// Fills memory with values of all kinds.
pub fn memory(r: &mut Rng, bytes: &mut [u8]) {
    for chunk in bytes.chunks_exact_mut(16) {
        let (mut v, mut odd) = (vector(r), 0);
        if r.one_in(4) {
            let x = f80(r);
            v = [x.mant, u64::from(x.se) | r.bits() << 16];
            odd = r.below(2) as u32 * 8;
        }
        let w = u128::from(v[0]) | u128::from(v[1]) << 64;
        chunk.copy_from_slice(&w.rotate_left(odd).to_le_bytes());
    }
}

/// Registers of every kind, the floating-point control words included. What a case needs in particular is put on top.
pub fn state(r: &mut Rng) -> State {
    let mut s = State::default();
    for g in &mut s.gpr {
        *g = r.integer();
    }
    // Status flags at random; DF, NT, AC and ID at times.
    s.rflags = 0x202 | r.bits() & 0x8d5;
    for (bit, n) in [(10, 4), (14, 16), (18, 16), (21, 8)] {
        s.rflags |= u64::from(r.one_in(n)) << bit;
    }
    for x in &mut s.st {
        *x = f80(r);
    }
    for x in &mut s.xmm {
        *x = vector(r);
    }
    let masks = if r.one_in(4) { r.below(64) as u16 } else { 0x3f };
    let precision = r.pick(&[0u16, 2, 3, 3, 3]);
    s.cw = 0x40 | masks | precision << 8 | (r.below(4) as u16) << 10;
    s.tag = match r.below(4) {
        0 => r.bits() as u8,
        1 => 0,
        _ => 0xff,
    };
    let flags = if r.one_in(3) { r.below(128) as u16 } else { 0 };
    // Pending unmasked errors are rare: with them little else happens.
    let flags = if r.one_in(16) { flags } else { flags & (masks | 0x40) };
    s.sw = flags | (r.bits() as u16 & 0x4700) | (r.below(8) as u16) << 11;
    if flags & 0x3f & !masks != 0 {
        s.sw |= 0x8080;
    }
    let masks = if r.one_in(4) { r.below(64) as u32 } else { 0x3f };
    s.mxcsr = masks << 7 | (r.below(4) as u32) << 13;
    if r.one_in(3) {
        s.mxcsr |= r.bits() as u32 & 0x8040;
    }
    if r.one_in(3) {
        s.mxcsr |= r.bits() as u32 & 0x3f;
    }
    s
}
