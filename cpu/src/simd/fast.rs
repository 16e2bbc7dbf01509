//! The usual case of a floating-point operation, on every host: ordinary numbers in, an ordinary number out, rounding to
//! nearest, everything masked, and the precision flag already set, so that no flag can change. Rust's own arithmetic then
//! gives the result (IEEE 754, correctly rounded), without a look at the host's MXCSR.
//!
//! Everything else goes to the host's or the soft form. `super::tests` compares them.

use super::float::MASKS;
use super::lanes::{from_words, words};
use super::soft::Op;
use crate::ops::Vec128;

/// Masked, to nearest, no DAZ, no FTZ, precision flag set.
#[inline(always)]
pub fn usual(mxcsr: u32) -> bool {
    mxcsr & (MASKS | 0xe060) == MASKS | 0x20
}

/// Masked, to nearest, no DAZ, no FTZ: enough for what is exact.
#[inline(always)]
pub fn exact(mxcsr: u32) -> bool {
    mxcsr & (MASKS | 0xe040) == MASKS
}

/// A normal number whose exponent is not the smallest (tiny results may be rounded up to that).
#[inline(always)]
fn plain64(v: u64) -> bool {
    (v >> 52 & 0x7ff).wrapping_sub(2) < 0x7fd
}
#[inline(always)]
fn zero64(v: u64) -> bool {
    v << 1 == 0
}
#[inline(always)]
fn plain32(v: u32) -> bool {
    (v >> 23 & 0xff).wrapping_sub(2) < 0xfd
}
#[inline(always)]
fn zero32(v: u32) -> bool {
    v << 1 == 0
}

macro_rules! arithmetic {
    ($name:ident, $bits:ty, $float:ty, $plain:ident, $zero:ident) => {
        /// `a op b` (add, subtract, multiply, divide), and whether that is all there is to it.
        #[inline(always)]
        pub fn $name(op: Op, a: $bits, b: $bits) -> ($bits, bool) {
            let (x, y) = (<$float>::from_bits(a), <$float>::from_bits(b));
            let operands = ($plain(a) || $zero(a)) && ($plain(b) || $zero(b));
            match op {
                Op::Add | Op::Sub => {
                    let r = if op == Op::Add { x + y } else { x - y }.to_bits();
                    (r, operands && ($plain(r) || $zero(r)))
                }
                Op::Mul => {
                    let r = (x * y).to_bits();
                    (r, operands && ($plain(r) || $zero(a) || $zero(b)))
                }
                Op::Div => {
                    let r = (x / y).to_bits();
                    (r, operands && !$zero(b) && ($plain(r) || $zero(a)))
                }
                Op::Min => (if x < y { a } else { b }, operands),
                Op::Max => (if x > y { a } else { b }, operands),
            }
        }
    };
}
arithmetic!(binary64, u64, f64, plain64, zero64);
arithmetic!(binary32, u32, f32, plain32, zero32);

/// Scalar double.
#[inline(always)]
pub fn scalar_d(op: Op, a: Vec128, b: Vec128) -> Option<Vec128> {
    let (r, ok) = binary64(op, a.0[0], b.0[0]);
    ok.then_some(Vec128([r, a.0[1]]))
}

/// Scalar single.
#[inline(always)]
pub fn scalar_s(op: Op, a: Vec128, b: Vec128) -> Option<Vec128> {
    let (r, ok) = binary32(op, a.0[0] as u32, b.0[0] as u32);
    ok.then_some(Vec128([a.0[0] & !0xffff_ffff | u64::from(r), a.0[1]]))
}

/// Packed doubles.
#[inline(always)]
pub fn packed_d(op: Op, a: Vec128, b: Vec128) -> Option<Vec128> {
    let (r0, ok0) = binary64(op, a.0[0], b.0[0]);
    let (r1, ok1) = binary64(op, a.0[1], b.0[1]);
    (ok0 & ok1).then_some(Vec128([r0, r1]))
}

/// Packed singles.
#[inline(always)]
pub fn packed_s(op: Op, a: Vec128, b: Vec128) -> Option<Vec128> {
    let (a, b) = (words(a), words(b));
    let mut r = [0; 4];
    let mut all = true;
    for i in 0..4 {
        let (v, ok) = binary32(op, a[i], b[i]);
        r[i] = v;
        all &= ok;
    }
    all.then_some(from_words(r))
}

/// Square root of a double. (Rust's `sqrt` is IEEE's.)
#[inline(always)]
pub fn sqrt_d(a: Vec128, b: Vec128) -> Option<Vec128> {
    let v = b.0[0];
    (plain64(v) && v >> 63 == 0).then(|| Vec128([f64::from_bits(v).sqrt().to_bits(), a.0[1]]))
}

/// Square root of a single.
#[inline(always)]
pub fn sqrt_s(a: Vec128, b: Vec128) -> Option<Vec128> {
    let v = b.0[0] as u32;
    let r = || u64::from(f32::from_bits(v).sqrt().to_bits());
    (plain32(v) && v >> 31 == 0).then(|| Vec128([a.0[0] & !0xffff_ffff | r(), a.0[1]]))
}

/// Single to double: exact.
#[inline(always)]
pub fn widen(a: Vec128, b: Vec128) -> Option<Vec128> {
    let v = b.0[0] as u32;
    (plain32(v) || zero32(v)).then(|| Vec128([f64::from(f32::from_bits(v)).to_bits(), a.0[1]]))
}

/// Double to single.
#[inline(always)]
pub fn narrow(a: Vec128, b: Vec128) -> Option<Vec128> {
    let v = b.0[0];
    let r = (f64::from_bits(v) as f32).to_bits();
    let ok = zero64(v) || plain64(v) && plain32(r);
    ok.then_some(Vec128([a.0[0] & !0xffff_ffff | u64::from(r), a.0[1]]))
}

/// Truncation of a double to a signed integer of `bits` bits.
#[inline(always)]
pub fn truncate_d(b: Vec128, bits: u32) -> Option<Vec128> {
    let v = f64::from_bits(b.0[0]);
    let limit = (1u64 << (bits - 1)) as f64;
    (v.abs() < limit).then(|| Vec128([v as i64 as u64 & !0 >> (64 - bits), 0]))
}

/// Truncation of a single.
#[inline(always)]
pub fn truncate_s(b: Vec128, bits: u32) -> Option<Vec128> {
    let v = f32::from_bits(b.0[0] as u32);
    let limit = (1u64 << (bits - 1)) as f32;
    (v.abs() < limit).then(|| Vec128([v as i64 as u64 & !0 >> (64 - bits), 0]))
}
