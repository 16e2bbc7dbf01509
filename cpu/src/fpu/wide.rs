//! 128-bit fixed point and 128-bit significands, for the transcendentals. Portable integer arithmetic only, so that
//! every host computes the same.

use super::float::Wide;

/// High 128 bits of the 256-bit product.
#[inline]
pub const fn mulhi(a: u128, b: u128) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    let (a1, a0) = (a >> 64, a & LOW);
    let (b1, b0) = (b >> 64, b & LOW);
    let (p, q, r) = (a1 * b0, a0 * b1, a0 * b0);
    let mid = (p & LOW) + (q & LOW) + (r >> 64);
    a1 * b1 + (p >> 64) + (q >> 64) + (mid >> 64)
}

/// High 128 bits of the 192-bit product.
#[inline]
pub const fn mulhi64(a: u128, b: u64) -> u128 {
    const LOW: u128 = u64::MAX as u128;
    (a >> 64) * b as u128 + (((a & LOW) * b as u128) >> 64)
}

/// High 64 bits of the 128-bit product.
#[inline]
pub const fn high(a: u64, b: u64) -> u64 {
    ((a as u128 * b as u128) >> 64) as u64
}

/// The product with the upper half of `a`.
#[inline]
pub const fn upper(a: u128, b: u64) -> u128 {
    (a >> 64) * b as u128
}

/// [`Wide::new`] where the upper half of `m` isn't zero.
#[inline]
pub fn normal(sign: bool, exp: i32, m: u128) -> Wide {
    let z = ((m >> 64) as u64 | 1).leading_zeros();
    Wide { sign, exp: exp - z as i32, m: m << z }
}

/// `2^127 / d`, or less by not more than 2^-59 of it, for `d` with bit 63 set.
#[inline]
fn reciprocal(d: u64) -> u64 {
    // 33 bits by division, never too much; a step of Newton's doubles them.
    let y = u64::MAX / ((d >> 32) + 1);
    let e = (1 << 96) - u128::from(d) * u128::from(y);
    (y << 31) + ((y * (e >> 35) as u64) >> 30)
}

/// Quotient of two non-zero numbers, below it by less than 2^-115 of it.
#[inline]
pub fn div(a: &Wide, b: &Wide) -> Wide {
    let y = reciprocal((b.m >> 64) as u64);
    // A first quotient of 59 bits with 63 fraction bits. It has to lie below, and y may not, as `b` was cut off.
    let q = high((a.m >> 64) as u64, y) - 2;
    // What is left of `a`, less at most what was cut off: 68 of 126 fraction bits.
    let rest = ((a.m >> 1) - mulhi64(b.m, q) - 1) >> 4;
    let m = (u128::from(q) << 64) + ((rest * u128::from(y)) >> 59);
    normal(a.sign != b.sign, a.exp - b.exp, m)
}

/// The magnitude of a number as fixed point with `bits` fraction bits; it must fit.
#[inline]
pub fn fixed(a: &Wide, bits: i32) -> u128 {
    a.m.checked_shr((127 - bits - a.exp) as u32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_inverts_multiplication() {
        let mut x = 0x1234_5678_9abc_def0_0fed_cba9_8765_4321u128;
        let edges =
            [0, 1, u128::MAX >> 1, u128::MAX << 64, (u64::MAX >> 1).into(), u128::from(u64::MAX) << 32];
        for n in 0..100_000 {
            x ^= x << 29;
            x ^= x >> 47;
            x ^= x << 83;
            let edge = |k: usize, or: u128| edges.get(n / k % 12).copied().unwrap_or(or) | 1 << 127;
            let (a, b) = (edge(1, x.rotate_left(31)), edge(12, x));
            let wide = |m| Wide { sign: false, exp: 0, m };
            let q = div(&wide(a), &wide(b));
            let back = mulhi(q.m, b) << (1 + q.exp);
            let gap = a.wrapping_sub(back) as i128;
            assert!((0..1 << 13).contains(&gap), "{a:x} / {b:x}: {gap:x}");
        }
    }
}
