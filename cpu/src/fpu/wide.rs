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

/// `floor(n * 2^128 / d)` for `n < d`, bit 127 of `d` set.
pub fn div_fraction(n: u128, d: u128) -> u128 {
    let (q1, r) = divide_step(n, d);
    let (q0, _) = divide_step(r, d);
    u128::from(q1) << 64 | u128::from(q0)
}

/// One 64-bit digit of a long division: `rem * 2^64 / d` and the remainder.
fn divide_step(rem: u128, d: u128) -> (u64, u128) {
    let (d1, d0) = (d >> 64, d & u128::from(u64::MAX));
    let mut q = rem / d1;
    // Not `%`: that would divide once more.
    let mut r = rem - q * d1;
    while q >> 64 != 0 || q * d0 > r << 64 {
        q -= 1;
        r += d1;
        if r >> 64 != 0 {
            break;
        }
    }
    (q as u64, (r << 64).wrapping_sub(q.wrapping_mul(d0)))
}

/// Product of two non-zero numbers, relative error below 2^-126.
#[inline]
pub fn mul(a: &Wide, b: &Wide) -> Wide {
    Wide::new(a.sign != b.sign, a.exp + b.exp + 1, mulhi(a.m, b.m))
}

/// Quotient of two non-zero numbers, relative error below 2^-126.
pub fn div(a: &Wide, b: &Wide) -> Wide {
    let sign = a.sign != b.sign;
    if a.m < b.m {
        Wide::new(sign, a.exp - b.exp - 1, div_fraction(a.m, b.m))
    } else {
        Wide::new(sign, a.exp - b.exp, div_fraction(a.m - b.m, b.m) >> 1 | 1 << 127)
    }
}

/// The magnitude of a number below 1 as a fraction of 2^128.
#[inline]
pub fn fraction(a: &Wide) -> u128 {
    a.m.checked_shr((-1 - a.exp) as u32).unwrap_or(0)
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
        for _ in 0..10_000 {
            x ^= x << 29;
            x ^= x >> 47;
            x ^= x << 83;
            let d = x | 1 << 127;
            let n = mulhi(x.rotate_left(31), d - 1);
            let q = div_fraction(n, d);
            let back = mulhi(q, d);
            assert!(n - back <= 1, "{n:x} / {d:x}");
        }
    }
}
