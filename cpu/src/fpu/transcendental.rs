//! FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: computed here on every host, in integers, so that one
//! program has one result everywhere. Before it is rounded, a result is good to 75 bits or more, so that it is within
//! 0.501 ulp, the manual's bound being 1 ulp. Arguments of sine, cosine and tangent are reduced by a pi of 66 bits, as the real units
//! do (Intel SDM volume 1, section 8.3.8); the bound is against the function with that pi.
//!
//! Special values follow the result tables of SDM volume 2. Tested against identities and against the host's unit.

use super::float::{Class, EXT, Num, Round, Wide, ex, shift_right_sticky};
use super::soft::{C1, Out, finish, nan_result, nan_result1, rounding};
use super::wide::{self, high, mulhi, mulhi64};
use crate::state::F80;

// A table holds the function for every 1/64 of the argument, and a short series takes what is left, d, of 2^-7 at most.
// The first term of a series is kept in 128 bits. The others are so much smaller that 64 bits do for them: d counts
// 2^-70 ("70 fraction bits") and its square 2^-77, so that what is lost lies 77 bits below the result or more.

const ONE_127: u128 = 1 << 127;
const ONE_126: u128 = 1 << 126;
/// Pi as 2.126 fixed point (half of pi as 1.127).
const PI_126: u128 = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1;
/// The 66-bit pi of the hardware, times 2^64.
const PI_66: u128 = 0x3_243f_6a88_85a3_08d3;
/// 2 / pi as a fraction of 2^64.
const QUARTERS: u64 = ((u128::MAX / PI_66) << 1) as u64;
/// ln 2 as a fraction of 2^128.
const LN2: u128 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af;
/// 1 / ln 2 = 1.442... as 1.127 fixed point.
const LOG2E: u128 = 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88;

/// `2^128 / n!`, rounded down, for n >= 2.
const fn inverse_factorial(n: u32) -> u128 {
    let mut f = ONE_127;
    let mut k = 3;
    while k <= n {
        f /= k as u128;
        k += 1;
    }
    f
}

/// `2^128 / n`, rounded down, for n >= 2.
const fn inverse(n: u128) -> u128 {
    u128::MAX / n
}

/// `1/(first)!, 1/(first+2)!, ...` as fractions.
const fn factorials<const N: usize>(first: u32) -> [u128; N] {
    let mut c = [0; N];
    let mut n = 0;
    while n < N {
        c[n] = inverse_factorial(first + 2 * n as u32);
        n += 1;
    }
    c
}

/// `1/(first), 1/(first+2), ...` as fractions.
const fn inverses<const N: usize>(first: u128) -> [u128; N] {
    let mut c = [0; N];
    let mut n = 0;
    while n < N {
        c[n] = inverse(first + 2 * n as u128);
        n += 1;
    }
    c
}

/// Sum of `c[n] z^n`, or of `c[n] (-z)^n`, in 128 bits: for tables.
const fn sum(z: u128, c: &[u128], alternating: bool) -> u128 {
    let mut n = c.len();
    let mut t = 0;
    while n > 0 {
        n -= 1;
        let p = mulhi(z, t);
        t = if alternating { c[n] - p } else { c[n] + p };
    }
    t
}

/// Coefficients for [`series`]: the first has `bits` fraction bits, each other 13 fewer, as z has 77.
const fn coefficients<const N: usize>(exact: &[u128], bits: u32) -> [u64; N] {
    let mut c = [0; N];
    let mut n = 0;
    while n < N {
        c[n] = (exact[n] >> (128 - bits + 13 * n as u32)) as u64;
        n += 1;
    }
    c
}

/// Sum of `c[n] z^n`, or of `c[n] (-z)^n`.
#[inline(always)]
fn series<const N: usize>(z: u64, c: &[u64; N], alternating: bool) -> u64 {
    c.iter().rev().fold(0, |t, &c| {
        let p = high(z, t);
        if alternating { c - p } else { c + p }
    })
}

const ODD_FACTORIALS: [u128; 16] = factorials(3);
const EVEN_FACTORIALS: [u128; 16] = factorials(2);
const ODD: [u128; 24] = inverses(3);
const EVEN: [u128; 4] = inverses(4);

/// `1/3!, 1/5!, ...` with 66 bits, `1/4!, 1/6!, ...` with 68: of sine and cosine, and with all signs positive of the
/// two halves of the exponential series.
const SINE: [u64; 4] = coefficients(&ODD_FACTORIALS, 66);
const COSINE: [u64; 3] = coefficients(EVEN_FACTORIALS.split_at(1).1, 68);
/// `1/3, 1/5, ...` and `1/4, 1/6, ...`, with 65 bits: of arc tangent and logarithm.
const ARC: [u64; 5] = coefficients(&ODD, 65);
const LOGARITHM: [u64; 4] = coefficients(&EVEN, 65);

/// The square, with 77 fraction bits, of a number that has 70.
#[inline(always)]
fn square(d: u64) -> u64 {
    ((u128::from(d) * u128::from(d)) >> 63) as u64
}

/// A number of at most 2^-7 with 70 fraction bits.
#[inline(always)]
fn fixed70(exp: i32, m: u64) -> u64 {
    m.checked_shr((-7 - exp) as u32).unwrap_or(0)
}

/// `a + b` or `a - b`, without a branch, as no processor foresees such a sign.
#[inline(always)]
fn plus(a: u128, b: u128, minus: bool) -> u128 {
    let mask = u128::from(minus).wrapping_neg();
    a.wrapping_add((b ^ mask).wrapping_sub(mask))
}

/// The nearest 64th of a number below 2 with 70 fraction bits, what is left, and whether that is negative.
#[inline(always)]
fn nearest(x: u128) -> (usize, u64, bool) {
    let d = x as u64 as i64;
    ((x >> 64) as usize + usize::from(d < 0), d.unsigned_abs(), d < 0)
}

fn inexact(w: Wide) -> Wide {
    Wide { m: w.m | 1, ..w }
}

/// Rounds and delivers what lies just above `w`.
#[inline]
fn deliver(w: Wide, flags: u16, cw: u16) -> Out {
    if w.exp <= EXT.emin || w.exp >= EXT.emax {
        return with(finish(&inexact(w), EXT, cw), flags);
    }
    // No tie: something follows.
    let up = match rounding(cw) {
        Round::Nearest => w.m as u64 >> 63 != 0,
        Round::Down => w.sign,
        Round::Up => !w.sign,
        Round::Zero => false,
    };
    let (mant, carry) = ((w.m >> 64) as u64).overflowing_add(u64::from(up));
    let se = u16::from(w.sign) << 15 | (w.exp + 16383 + i32::from(carry)) as u16;
    let c1 = if up { C1 } else { 0 };
    Out { val: F80 { mant: mant | u64::from(carry) << 63, se }, flags: flags | ex::PE | c1 }
}

/// Sine and cosine of k/64 up to pi/4, as 1.127 fixed point.
static TURN: [[u128; 51]; 2] = {
    let mut t = [[0; 51]; 2];
    t[1][0] = ONE_127;
    let mut k = 1;
    while k <= 50 {
        let x = (k as u128) << 122;
        let z = mulhi(x, x);
        t[0][k] = (x >> 1) - mulhi(x, mulhi(z, sum(z, &ODD_FACTORIALS, true)) >> 1);
        t[1][k] = ONE_127 - (mulhi(z, sum(z, &EVEN_FACTORIALS, true)) >> 1);
        k += 1;
    }
    t
};

/// An angle without its sign, less the quarter turns nearest to it: `(-1)^negative (k/64 +- d)`.
struct Angle {
    /// Significand and exponent of what it was made of.
    unreduced: (u64, i32),
    negative: bool,
    quadrant: u32,
    k: usize,
    d: u64,
    d_negative: bool,
    /// `1 - sin d / d` with 79 fraction bits.
    short: u64,
    /// `1 - cos d` with 79 fraction bits.
    fall: u64,
}

impl Angle {
    /// Of a number below 2^63.
    #[inline(always)]
    fn new(n: &Num) -> Angle {
        let (r, quadrant) = if n.exp < -7 { (fixed70(n.exp, n.mant).into(), 0) } else { reduce(n) };
        let negative = r < 0;
        let (k, d, d_negative) = nearest(r.unsigned_abs());
        let z = square(d);
        let short = high(z, series(z, &SINE, true));
        let fourth = high(z, high(z, series(z, &COSINE, true)));
        // Half of the square may be 2^64, but not what is left of it.
        let half = ((u128::from(d) * u128::from(d)) >> 62) as u64;
        let fall = half.wrapping_sub(fourth >> 15);
        Angle { unreduced: (n.mant, n.exp), negative, quadrant, k, d, d_negative, short, fall }
    }

    /// Sine of the angle that lies `turns` quarter turns ahead.
    #[inline(always)]
    fn sine(&self, turns: u32) -> Wide {
        let quadrant = self.quadrant.wrapping_add(turns);
        let odd = quadrant & 1;
        let sign = (quadrant & 2 != 0) != (self.negative && odd == 0);
        if self.k == 0 {
            return Wide { sign, ..if odd == 0 { self.small_sine() } else { self.small_cosine() } };
        }
        // sin (k/64) cos d + cos (k/64) sin d, or the cosine's likewise.
        let (a, b) = (TURN[odd as usize][self.k], TURN[(odd ^ 1) as usize][self.k]);
        let across = (mulhi64(b, self.d) >> 6) - (wide::upper(b, high(self.d, self.short)) >> 21);
        let m = a - (mulhi64(a, self.fall) >> 15);
        wide::normal(sign, 0, plus(m, across, self.d_negative != (odd != 0)))
    }

    #[inline]
    fn cosine(&self) -> Wide {
        self.sine(1)
    }

    /// Significand and exponent of it, where k is 0.
    fn small(&self) -> (u64, i32) {
        if self.unreduced.1 < -7 {
            return self.unreduced;
        }
        let shift = self.d.leading_zeros();
        (self.d << shift, -7 - shift as i32)
    }

    #[inline(never)]
    fn small_sine(&self) -> Wide {
        let (m, exp) = self.small();
        // x - x^3/6.
        let p = if exp < TINY { cubic(m, exp, SIXTH) } else { product(m, self.short, 15) };
        Wide::new(false, exp, (u128::from(m) << 64) - p.max(1))
    }

    #[inline(never)]
    fn small_cosine(&self) -> Wide {
        let (m, exp) = self.small();
        // 1 - x^2/2 + x^4/24. Half of the square is kept whole: where few bits make up x, few may make up this.
        let whole = u128::from(m) * u128::from(m);
        let half = shift_right_sticky(whole, (-2 * exp) as u32);
        let fourth = if exp < TINY {
            let fourth = high((whole >> 64) as u64, (whole >> 64) as u64);
            let fourth = u128::from(fourth) * (inverse(24) >> 64);
            fourth.checked_shr((-4 * exp - 3) as u32).unwrap_or(0)
        } else {
            let z = square(self.d);
            u128::from(high(z, high(z, series(z, &COSINE, true)))) << 33
        };
        Wide::new(false, 0, ONE_127 - half + fourth)
    }

    #[inline]
    fn tangent(&self) -> Wide {
        if self.k == 0 && self.quadrant & 1 == 0 {
            let (m, exp) = self.small();
            if exp < TINY {
                // x + x^3/3, as the quotient would not be sure to lie above x. A third is rounded up: what follows is
                // positive too.
                let p = cubic(m, exp, THIRD + 3) >> 1;
                return Wide::new(self.negative, exp + 1, (u128::from(m) << 63) + p);
            }
        }
        wide::div(&self.sine(0), &self.cosine())
    }
}

/// A product less the lower `bits` bits.
#[inline(always)]
fn product(a: u64, b: u64, bits: u32) -> u128 {
    (u128::from(a) * u128::from(b)) >> bits
}

const THIRD: u64 = (inverse(3) >> 64) as u64;
const SIXTH: u64 = (inverse(6) >> 64) as u64;

/// Below this exponent the terms from the fifth power on do no more than to say on which side of the others the result
/// is. That shows where the operand has few bits.
const TINY: i32 = -20;

/// Of a number below 2^[`TINY`]: its cube times a fraction of 2^64, rounded down; as a significand beside its own.
fn cubic(mant: u64, exp: i32, factor: u64) -> u128 {
    let p = high(high(mant, mant), factor);
    (u128::from(mant) * u128::from(p)).checked_shr((-2 * exp - 2) as u32).unwrap_or(0)
}

/// What is left, with 70 fraction bits, of a number from 2^-7 to 2^63 without the quarter turns nearest to it; and these.
#[inline(always)]
fn reduce(n: &Num) -> (i128, u32) {
    const QUARTER: i128 = (PI_66 << 5) as i128;
    let mut q = 0;
    if n.exp >= -1 {
        q = ((high(n.mant, QUARTERS) >> (62 - n.exp)) + 1) >> 1;
    }
    // What lies above 128 bits goes away with the quarter turns.
    let m = u128::from(n.mant) << (n.exp + 7);
    let mut r = m.wrapping_sub(u128::from(q).wrapping_mul(QUARTER as u128)) as i128;
    if n.exp > 40 {
        // The quotient of 64 bits may miss the nearest by a few.
        let more = (2 * r + QUARTER).div_euclid(2 * QUARTER);
        r -= more * QUARTER;
        q = q.wrapping_add(more as u64);
    }
    (r, q as u32)
}

fn denormal(n: &Num) -> u16 {
    if n.denormal { ex::DE } else { 0 }
}

fn with(o: Out, flags: u16) -> Out {
    Out { flags: o.flags | flags, ..o }
}

/// What sine, cosine or both are to be taken of.
enum Operand {
    /// Sine and cosine are known without.
    Known(Out, Out),
    /// 2^63 or more.
    OutOfRange,
    Angle(Num),
}

#[inline]
fn operand(a: F80, cw: u16) -> Operand {
    let n = Num::from_f80(a);
    if let Some(nan) = nan_result1(&n) {
        return Operand::Known(nan, nan);
    }
    match n.class {
        Class::Inf => return Operand::Known(Out::invalid(), Out::invalid()),
        Class::Zero => return Operand::Known(Out::exact(a), Out::exact(super::unit::ONE)),
        _ if n.exp >= 63 => return Operand::OutOfRange,
        _ => {}
    }
    let early = Out { val: a, flags: denormal(&n) };
    if early.blocked(cw) { Operand::Known(early, early) } else { Operand::Angle(n) }
}

#[inline]
fn sine_of(n: &Num, angle: &Angle, cw: u16) -> Out {
    let s = angle.sine(0);
    let s = Wide { sign: s.sign != n.sign, ..s };
    deliver(s, denormal(n), cw)
}

#[inline]
fn cosine_of(n: &Num, angle: &Angle, cw: u16) -> Out {
    deliver(angle.cosine(), denormal(n), cw)
}

/// FSIN; `None` if the operand is out of range (2^63 or more).
pub fn sin(a: F80, cw: u16) -> Option<Out> {
    match operand(a, cw) {
        Operand::Known(s, _) => Some(s),
        Operand::OutOfRange => None,
        Operand::Angle(n) => Some(sine_of(&n, &Angle::new(&n), cw)),
    }
}

/// FCOS, likewise.
pub fn cos(a: F80, cw: u16) -> Option<Out> {
    match operand(a, cw) {
        Operand::Known(_, c) => Some(c),
        Operand::OutOfRange => None,
        Operand::Angle(n) => Some(cosine_of(&n, &Angle::new(&n), cw)),
    }
}

/// FSINCOS, likewise: sine and cosine.
pub fn sincos(a: F80, cw: u16) -> Option<(Out, Out)> {
    match operand(a, cw) {
        Operand::Known(s, c) => Some((s, c)),
        Operand::OutOfRange => None,
        Operand::Angle(n) => {
            let angle = Angle::new(&n);
            Some((sine_of(&n, &angle, cw), cosine_of(&n, &angle, cw)))
        }
    }
}

/// FPTAN; `None` if the operand is out of range.
pub fn tan(a: F80, cw: u16) -> Option<Out> {
    let n = Num::from_f80(a);
    if let Some(nan) = nan_result1(&n) {
        return Some(nan);
    }
    match n.class {
        Class::Inf => return Some(Out::invalid()),
        Class::Zero => return Some(Out::exact(a)),
        _ if n.exp >= 63 => return None,
        _ => {}
    }
    let de = denormal(&n);
    let early = Out { val: a, flags: de };
    if early.blocked(cw) {
        return Some(early);
    }
    let mut t = Angle::new(&n).tangent();
    t.sign ^= n.sign;
    Some(deliver(t, de, cw))
}

/// `atan(k/64)` as 1.127 fixed point.
static ATAN: [u128; 65] = {
    let mut t = [0; 65];
    let mut k = 1;
    while k <= 64 {
        // atan(k/64) - atan((k-1)/64) = atan(u), u = 64 / (4096 + k (k - 1)).
        let u = inverse(4096 + (k * (k - 1)) as u128) * 64;
        let z = mulhi(u, u);
        let p = mulhi(z, sum(z, &ODD, true));
        t[k] = t[k - 1] + (mulhi(u, u128::MAX - p) >> 1);
        k += 1;
    }
    t
};

/// Arc tangent of `a / b`, which is not above 1; without signs.
#[inline]
fn atan(a: &Num, b: &Num) -> Wide {
    let e = b.exp - a.exp;
    if e > -TINY {
        // a/b to the last bit, as few may make it up, less a third of its cube.
        let u = super::float::div(a, b);
        let p = cubic((u.m >> 64) as u64, u.exp, THIRD);
        return Wide::new(false, u.exp, u.m - p.max(1));
    }
    // The nearest 64th of the quotient: c = k/64.
    let (k, negative, u) = if e > 8 {
        (0, false, wide::div(&Wide::from_num(a), &Wide::from_num(b)))
    } else {
        let k = ((a.mant >> (1 + e)) / (b.mant >> 8)).div_ceil(2);
        // atan a/b - atan c = atan u, u = (a - c b) / (b + c a); both parts exact.
        let (ma, mb) = (u128::from(a.mant), u128::from(b.mant));
        let ma = ma << ((14 - e) & 15);
        let num = ma as i128 - ((u128::from(k) * mb) << 8) as i128;
        let den = (mb << 14) + u128::from(k) * (ma >> 6);
        if num == 0 {
            return Wide::new(false, 0, ATAN[k as usize]);
        }
        let (num, negative) = (num.unsigned_abs(), num < 0);
        (k as usize, negative, wide::div(&Wide::new(false, 0, num), &wide::normal(false, 0, den)))
    };
    let z = square(fixed70(u.exp, (u.m >> 64) as u64));
    let m = u.m - product((u.m >> 64) as u64, high(z, series(z, &ARC, true)), 14).max(1);
    if k == 0 {
        return Wide::new(false, u.exp, m);
    }
    let m = m.checked_shr(-u.exp as u32).unwrap_or(0);
    wide::normal(false, 0, plus(ATAN[k], m, negative))
}

/// FPATAN: the angle of the point (x, y).
pub fn patan(y: F80, x: F80, cw: u16) -> Out {
    let (b, a) = (Num::from_f80(x), Num::from_f80(y));
    if let Some(nan) = nan_result(&b, &a) {
        return nan;
    }
    let de = denormal(&a) | denormal(&b);
    let early = Out { val: y, flags: de };
    if early.blocked(cw) {
        return early;
    }
    let quarter_turns = |eighths: u128| Wide::new(a.sign, 1, (PI_126 >> 2) * eighths);
    let angle = match (a.class, b.class) {
        (Class::Zero, _) | (Class::Finite, Class::Inf) if !b.sign => {
            return Out { val: Num::zero(a.sign).to_f80(), flags: de };
        }
        (Class::Zero, _) | (Class::Finite, Class::Inf) => quarter_turns(4),
        (Class::Inf, Class::Inf) => quarter_turns(if b.sign { 3 } else { 1 }),
        (Class::Inf, _) | (_, Class::Zero) => quarter_turns(2),
        _ => angle(&a, &b),
    };
    deliver(angle, de, cw)
}

#[inline]
fn angle(a: &Num, b: &Num) -> Wide {
    let steep = (a.exp, a.mant) > (b.exp, b.mant);
    let small = if steep { atan(b, a) } else { atan(a, b) };
    if small.exp < -8 && !steep && !b.sign {
        return Wide { sign: a.sign, ..small };
    }
    // 2.126 fixed point.
    static FROM: [u128; 4] = [0, PI_126, PI_126 >> 1, PI_126 >> 1];
    let from = FROM[usize::from(steep) << 1 | usize::from(b.sign)];
    let m = plus(from, wide::fixed(&small, 126).max(1), steep != b.sign);
    wide::normal(a.sign, 1, m)
}

/// `2^(k/64)` as 2.126 fixed point.
static POWERS: [u128; 65] = {
    let mut t = [ONE_126; 65];
    let mut k = 1;
    while k <= 64 {
        // e^g, g = k ln 2 / 64.
        let g = (LN2 >> 6) * k as u128;
        let mut term = ONE_126;
        let mut n = 1;
        while n < 36 {
            term = mulhi(term, g) / n;
            t[k] += term;
            n += 1;
        }
        k += 1;
    }
    t
};

/// F2XM1. Beyond -1..1, where the manual leaves the result open, the operand comes back.
pub fn f2xm1(a: F80, cw: u16) -> Out {
    let n = Num::from_f80(a);
    if let Some(nan) = nan_result1(&n) {
        return nan;
    }
    match n.class {
        Class::Inf if n.sign => return Out::exact(F80 { mant: 1 << 63, se: 0xbfff }),
        Class::Inf | Class::Zero => return Out::exact(a),
        // Exact for 1 and -1, where the unit nevertheless reports an inexact result.
        _ if n.exp == 0 && n.mant == 1 << 63 && n.sign => {
            return Out { val: F80 { mant: 1 << 63, se: 0xbffe }, flags: ex::PE };
        }
        _ if n.exp >= 0 => return Out { val: a, flags: ex::PE },
        _ => {}
    }
    let de = denormal(&n);
    let early = Out { val: a, flags: de };
    if early.blocked(cw) {
        return early;
    }
    deliver(power(&n), de, cw)
}

/// `2^x - 1`.
#[inline]
fn power(n: &Num) -> Wide {
    let (k, m, exp, negative) = if n.exp < -7 {
        (0, n.mant, n.exp, n.sign)
    } else {
        let (k, d, below) = nearest(u128::from(n.mant) << (n.exp + 7));
        let shift = d.leading_zeros();
        // No shift by 64: nothing is left then.
        (k, d << (shift & 63), -7 - shift as i32, n.sign != below)
    };
    // What is left times ln 2.
    let g = mulhi64(LN2, m);
    let g70 = fixed70(exp, (g >> 64) as u64);
    let z = square(g70);
    // e^g - 1 = g (1 + u), u = g/2 + g^2 (1/3! + g/4! + ...) as a fraction of 2^128.
    let odd = u128::from(high(g70, high(z, series(z, &COSINE, false)))) << 41;
    let odd = g.checked_shr(-exp as u32).unwrap_or(0) + odd;
    let even = u128::from(high(z, series(z, &SINE, false))) << 49;
    let e = plus(g, mulhi(g, plus(odd, even, negative)), negative);
    if k == 0 {
        return Wide::new(negative, exp, e);
    }
    let base = if n.sign { POWERS[64 - k] >> 1 } else { POWERS[k] };
    let e = mulhi(base, e.checked_shr((-1 - exp) as u32).unwrap_or(0));
    let sum = plus(base.wrapping_sub(ONE_126), e, negative) as i128;
    Wide::new(sum < 0, 1, sum.unsigned_abs())
}

/// 256 / m, rounded, in the middle of the 128th of [1, 2) that has the number j; but 256 and 128 at the ends, so that
/// near powers of 2 nothing cancels.
static NEAR_INVERSE: [u16; 128] = {
    let mut t = [256; 128];
    let mut j = 1;
    while j < 127 {
        let m = 257 + 2 * j as u32;
        t[j] = ((65536 + m / 2) / m) as u16;
        j += 1;
    }
    t[127] = 128;
    t
};

/// The first of them whose numbers are above the root of 2, about.
const ABOVE_ROOT: usize = 53;

/// The logarithm to base 2 of 256 over these, less 1 from [`ABOVE_ROOT`] on; with 112 fraction bits.
static LOG2: [i128; 128] = {
    let mut t = [0; 128];
    let mut j = 1;
    while j < 127 {
        let c = NEAR_INVERSE[j] as u128;
        // ln ((1 + s) / (1 - s)) = 2 (s + s^3/3 + ...).
        let (d, of) = if j < ABOVE_ROOT { (256 - c, 256 + c) } else { (c - 128, c + 128) };
        let s = inverse(of) * d;
        let z = mulhi(s, s);
        let atanh = s + mulhi(s, mulhi(z, sum(z, &ODD, false)));
        let v = (mulhi(atanh, LOG2E) >> 14) as i128;
        t[j] = if j < ABOVE_ROOT { v } else { -v };
        j += 1;
    }
    t
};

/// `log2(1 + r)`, for r not above 2^-7.
#[inline]
fn log2_near_1(r: &Wide) -> Wide {
    let r70 = fixed70(r.exp, (r.m >> 64) as u64);
    let z = square(r70);
    // ln (1 + r) = r (1 - u), u = r/2 - r^2/3 + r^3/4 - ... as a fraction of 2^128.
    let odd = u128::from(high(r70, high(z, series(z, &LOGARITHM, false)))) << 44;
    let odd = r.m.checked_shr(-r.exp as u32).unwrap_or(0) + odd;
    let even = u128::from(high(z, series(z, &ARC, false))) << 50;
    let h = mulhi(r.m, LOG2E);
    let m = plus(h, mulhi(h, plus(odd, even, !r.sign)), !r.sign);
    Wide { sign: r.sign, exp: r.exp + 1, m }
}

/// log2 of a positive number that is not 1: the value, and whether it is exact.
#[inline]
fn log2(x: &Wide) -> (Wide, bool) {
    if x.m == ONE_127 {
        let e = x.exp.unsigned_abs();
        return (Wide::new(x.exp < 0, 127, u128::from(e)), true);
    }
    let j = (x.m >> 120) as usize & 127;
    let e = x.exp + i32::from(j >= ABOVE_ROOT);
    // x is 2^exp 256/c (1 + r).
    let r = ((x.m >> 8) * u128::from(NEAR_INVERSE[j])).wrapping_sub(ONE_127) as i128;
    let mut sum = (i128::from(e) << 112) + LOG2[j];
    if r != 0 {
        let l = log2_near_1(&Wide::new(r < 0, 0, r.unsigned_abs()));
        if sum == 0 {
            return (Wide::new(l.sign, l.exp, l.m), false);
        }
        let v = wide::fixed(&l, 112) as i128;
        sum = plus(sum as u128, v as u128, l.sign) as i128;
    }
    (Wide::new(sum < 0, 15, sum.unsigned_abs()), false)
}

#[inline]
fn times_log(y: &Num, log: Wide, exact: bool, cw: u16, de: u16) -> Out {
    let product = Wide::new(y.sign != log.sign, y.exp + log.exp + 1, mulhi64(log.m, y.mant));
    // The unit reports an inexact result even where it is exact.
    if exact {
        let r = finish(&product, EXT, cw);
        // And so is one that is too small.
        let tiny = if Num::from_f80(r.val).denormal { ex::UE } else { 0 };
        with(r, de | ex::PE | tiny)
    } else {
        deliver(product, de, cw)
    }
}

/// FYL2X: `y * log2(x)`.
pub fn yl2x(y: F80, x: F80, cw: u16) -> Out {
    let (b, a) = (Num::from_f80(x), Num::from_f80(y));
    if let Some(nan) = nan_result(&b, &a) {
        return nan;
    }
    if b.sign && b.class != Class::Zero {
        return Out::invalid();
    }
    let de = denormal(&a) | denormal(&b);
    let one = b.class == Class::Finite && b.exp == 0 && b.mant == 1 << 63;
    let below_one = b.class == Class::Zero || b.class == Class::Finite && b.exp < 0;
    let inf = |sign| Out { val: Num::inf(sign).to_f80(), flags: de };
    match (a.class, b.class) {
        (Class::Zero, Class::Zero | Class::Inf) => return Out::invalid(),
        (Class::Inf, _) if one => return Out::invalid(),
        (Class::Inf, _) | (_, Class::Inf) => return inf(a.sign != below_one),
        (_, Class::Zero) => return Out { val: Num::inf(!a.sign).to_f80(), flags: ex::ZE },
        (Class::Zero, _) => return Out { val: Num::zero(a.sign != below_one).to_f80(), flags: de },
        _ => {}
    }
    let early = Out { val: y, flags: de };
    if early.blocked(cw) {
        return early;
    }
    if one {
        return Out { val: Num::zero(a.sign).to_f80(), flags: de };
    }
    let (log, exact) = log2(&Wide::from_num(&b));
    times_log(&a, log, exact, cw, de)
}

/// FYL2XP1: `y * log2(x + 1)`. Beyond the manual's range of x the result is as exact as within.
pub fn yl2xp1(y: F80, x: F80, cw: u16) -> Out {
    let (b, a) = (Num::from_f80(x), Num::from_f80(y));
    if let Some(nan) = nan_result(&b, &a) {
        return nan;
    }
    let de = denormal(&a) | denormal(&b);
    let inf = |sign| Out { val: Num::inf(sign).to_f80(), flags: de };
    if b.sign && b.class == Class::Inf {
        return Out::invalid();
    }
    match (a.class, b.class) {
        (Class::Zero, Class::Inf) | (Class::Inf, Class::Zero) => return Out::invalid(),
        (Class::Inf, _) | (_, Class::Inf) => return inf(a.sign != b.sign),
        (Class::Zero, _) | (_, Class::Zero) => {
            return Out { val: Num::zero(a.sign != b.sign).to_f80(), flags: de };
        }
        _ => {}
    }
    let early = Out { val: y, flags: de };
    if early.blocked(cw) {
        return early;
    }
    if b.sign && b.class == Class::Finite && b.exp >= 0 {
        // Undefined by the manual: what a real unit was seen to do.
        return Out { val: x, flags: de | ex::PE };
    }
    let w = Wide::from_num(&b);
    if b.exp < -7 {
        let l = log2_near_1(&w);
        return times_log(&a, Wide::new(l.sign, l.exp, l.m), false, cw, de);
    }
    let sum = match b.exp {
        e if e >= 0 => {
            let one = Num { sign: false, class: Class::Finite, denormal: false, exp: 0, mant: 1 << 63 };
            super::float::add(&b, &one).unwrap_or(w)
        }
        _ => {
            let f = wide::fixed(&w, 127);
            Wide::new(false, 0, if b.sign { ONE_127 - f } else { ONE_127 + f })
        }
    };
    let (log, exact) = log2(&sum);
    times_log(&a, log, exact, cw, de)
}
