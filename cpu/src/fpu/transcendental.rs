//! FSIN, FCOS, FSINCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1: computed here on every host, in integers, so that one
//! program has one result everywhere. Internal precision is above 80 bits, so that results are within 0.501 ulp, the
//! manual's bound being 1 ulp. Arguments of sine, cosine and tangent are reduced by a pi of 66 bits, as the real units
//! do (Intel SDM volume 1, section 8.3.8); the bound is against the function with that pi.
//!
//! Special values follow the result tables of SDM volume 2. Tested against identities and against the host's unit.

use super::float::{Class, EXT, Num, Wide, ex};
use super::soft::{Out, finish, nan_result, nan_result1};
use super::wide::{self, mulhi};
use crate::state::F80;

const ONE_127: u128 = 1 << 127;
/// Pi as 2.126 fixed point (half of pi as 1.127).
const PI_126: u128 = 0xc90f_daa2_2168_c234_c4c6_628b_80dc_1cd1;
/// The 66-bit pi of the hardware, times 2^64.
const PI_66: u128 = 0x3_243f_6a88_85a3_08d3;
/// ln 2 as a fraction of 2^128.
const LN2: u128 = 0xb172_17f7_d1cf_79ab_c9e3_b398_03f2_f6af;
/// 2 / ln 2 = 2.885..., times 2^126.
const TWO_LOG2E_126: u128 = 0xb8aa_3b29_5c17_f0bb_be87_fed0_691d_3e88;

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

/// `1/(first)! - z/(first+2)! + ...` as fractions.
const fn alternating_factorials<const N: usize>(first: u32) -> [u128; N] {
    let mut c = [0; N];
    let mut n = 0;
    while n < N {
        c[n] = inverse_factorial(first + 2 * n as u32);
        n += 1;
    }
    c
}

const SINE: [u128; 12] = alternating_factorials(3);
const COSINE: [u128; 12] = alternating_factorials(2);

/// Terms of a series that are computed in 128 bits; what follows them is so small that 64 bits do.
const SINE_WIDE: usize = 6;
/// How far the first of the small terms of sine and cosine are scaled up, in bits: 1/15! and 1/14! stay below 1.
const SINE_SHIFT: u32 = 40;
const COSINE_SHIFT: u32 = 36;
const SINE_SMALL: [u64; 6] = small(&SINE, SINE_WIDE, SINE_SHIFT);
const COSINE_SMALL: [u64; 6] = small(&COSINE, SINE_WIDE, COSINE_SHIFT);

/// The terms from `from` on as fractions of 2^64, scaled up by `shift` bits.
const fn small<const N: usize>(c: &[u128], from: usize, shift: u32) -> [u64; N] {
    let mut t = [0; N];
    let mut n = 0;
    while n < N {
        t[n] = (c[from + n] << shift >> 64) as u64;
        n += 1;
    }
    t
}

/// `1/3, 1/5, 1/7, ...` as fractions.
const fn odd_inverses<const N: usize>() -> [u128; N] {
    let mut c = [0; N];
    let mut n = 0;
    while n < N {
        c[n] = inverse(2 * n as u128 + 3);
        n += 1;
    }
    c
}

const ODD: [u128; 24] = odd_inverses();
/// Where z is below 2^-11, four terms are enough in 128 bits, and nine in all.
const ODD_WIDE: usize = 4;
const ODD_SMALL: [u64; 5] = small(&ODD, ODD_WIDE, 0);

/// `c[0] -+ z (c[1] +- z (... -+ z rest))` times z.
#[inline]
fn series(z: u128, c: &[u128], rest: u128, alternating: bool) -> u128 {
    let t = c.iter().rev().fold(rest, |t, &c| {
        let p = mulhi(z, t);
        if alternating { c - p } else { c + p }
    });
    mulhi(z, t)
}

/// `c[0] -+ z c[1] +- ...` in 64 bits.
#[inline]
fn rest(z: u128, c: &[u64], alternating: bool) -> u64 {
    let z = z >> 64;
    c.iter().rev().fold(0, |t, &c| {
        let p = ((z * u128::from(t)) >> 64) as u64;
        if alternating { c - p } else { c + p }
    })
}

/// 1.127 fixed point `1 -+ p`, never exactly 1.
fn one_minus(p: u128) -> u128 {
    ONE_127 - (p >> 1).max(1)
}

fn one_plus(p: u128) -> u128 {
    ONE_127 + (p >> 1).max(1)
}

/// A number times a factor given as 1.127 fixed point.
fn times(a: &Wide, factor: u128) -> Wide {
    Wide::new(a.sign, a.exp + 1, mulhi(a.m, factor))
}

fn inexact(w: Wide) -> Wide {
    Wide { m: w.m | 1, ..w }
}

/// Reduce to (r, quadrant), |r| <= pi/4, for |x| below 2^63.
fn reduce(n: &Num) -> (Wide, u32) {
    if n.exp < -1 {
        return (Wide { sign: false, ..Wide::from_num(n) }, 0);
    }
    // In units of 2^-65, a quarter turn is PI_66.
    let m = u128::from(n.mant) << (n.exp + 2);
    let (q, r) = (m / PI_66, m % PI_66);
    if 2 * r > PI_66 {
        (Wide::new(true, 62, PI_66 - r), (q as u32).wrapping_add(1))
    } else {
        (Wide::new(false, 62, r), q as u32)
    }
}

/// An angle without its sign, reduced: |r| <= pi/4 and the quarter turns before it.
struct Angle {
    r: Wide,
    /// The square of r.
    z: u128,
    quadrant: u32,
}

impl Angle {
    fn new(n: &Num) -> Angle {
        let (r, quadrant) = reduce(n);
        let f = wide::fraction(&r);
        Angle { r, z: mulhi(f, f), quadrant }
    }

    /// Sine of the angle that lies `turns` quarter turns ahead.
    fn sine(&self, turns: u32) -> Wide {
        let quadrant = self.quadrant.wrapping_add(turns);
        let w = if quadrant & 1 == 0 {
            let small = u128::from(rest(self.z, &SINE_SMALL, true)) << (64 - SINE_SHIFT);
            times(&self.r, one_minus(series(self.z, &SINE[..SINE_WIDE], small, true)))
        } else {
            let small = u128::from(rest(self.z, &COSINE_SMALL, true)) << (64 - COSINE_SHIFT);
            Wide::new(false, 0, one_minus(series(self.z, &COSINE[..SINE_WIDE], small, true)))
        };
        Wide { sign: w.sign != (quadrant & 2 != 0), ..w }
    }

    fn cosine(&self) -> Wide {
        self.sine(1)
    }
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
    Angle(Num, Angle),
}

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
    if early.blocked(cw) { Operand::Known(early, early) } else { Operand::Angle(n, Angle::new(&n)) }
}

fn sine_of(n: &Num, angle: &Angle, cw: u16) -> Out {
    let s = angle.sine(0);
    let s = Wide { sign: s.sign != n.sign, ..s };
    with(finish(&inexact(s), EXT, cw), denormal(n))
}

fn cosine_of(n: &Num, angle: &Angle, cw: u16) -> Out {
    with(finish(&inexact(angle.cosine()), EXT, cw), denormal(n))
}

/// FSIN; `None` if the operand is out of range (2^63 or more).
pub fn sin(a: F80, cw: u16) -> Option<Out> {
    match operand(a, cw) {
        Operand::Known(s, _) => Some(s),
        Operand::OutOfRange => None,
        Operand::Angle(n, angle) => Some(sine_of(&n, &angle, cw)),
    }
}

/// FCOS, likewise.
pub fn cos(a: F80, cw: u16) -> Option<Out> {
    match operand(a, cw) {
        Operand::Known(_, c) => Some(c),
        Operand::OutOfRange => None,
        Operand::Angle(n, angle) => Some(cosine_of(&n, &angle, cw)),
    }
}

/// FSINCOS, likewise: sine and cosine.
pub fn sincos(a: F80, cw: u16) -> Option<(Out, Out)> {
    match operand(a, cw) {
        Operand::Known(s, c) => Some((s, c)),
        Operand::OutOfRange => None,
        Operand::Angle(n, angle) => Some((sine_of(&n, &angle, cw), cosine_of(&n, &angle, cw))),
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
    // Far below 1 the quotient would round to x itself: tan x = x (1 + x^2/3).
    let mut t = if n.exp < -40 {
        let f = wide::fraction(&Wide::from_num(&n));
        times(&Wide { sign: false, ..Wide::from_num(&n) }, one_plus(mulhi(mulhi(f, f), inverse(3))))
    } else {
        let angle = Angle::new(&n);
        wide::div(&angle.sine(0), &angle.cosine())
    };
    t.sign ^= n.sign;
    Some(with(finish(&inexact(t), EXT, cw), de))
}

/// `atan(k/32)` as 1.127 fixed point.
const ATAN: [u128; 33] = {
    let mut t = [0u128; 33];
    let mut k = 1;
    while k <= 32 {
        // atan(k/32) - atan((k-1)/32) = atan(u), u = 32 / (1024 + k (k - 1)).
        let u = inverse(1024 + (k * (k - 1)) as u128) * 32;
        let z = mulhi(u, u);
        let mut n = ODD.len();
        let mut s = 0;
        while n > 0 {
            n -= 1;
            s = ODD[n] - mulhi(z, s);
        }
        let p = mulhi(z, s);
        t[k] = t[k - 1] + (mulhi(u, u128::MAX - p) >> 1);
        k += 1;
    }
    t
};

/// Arc tangent of a positive number not above 1.
fn atan(t: &Wide) -> Wide {
    if t.exp < -6 {
        return atan_series(t);
    }
    let x = wide::fixed(t, 127);
    let k = (((x >> 121) + 1) >> 1) as usize;
    let c = (k as u128) << 122;
    let (num, negative) = if x >= c { (x - c, false) } else { (c - x, true) };
    if num == 0 {
        return Wide::new(false, 0, ATAN[k]);
    }
    let den = (1 << 126) + mulhi(x, c);
    let u = wide::div(&Wide::new(false, 0, num), &Wide::new(false, 1, den));
    let a = wide::fixed(&atan_series(&u), 127);
    Wide::new(false, 0, if negative { ATAN[k] - a } else { ATAN[k] + a })
}

fn atan_series(u: &Wide) -> Wide {
    let f = wide::fraction(u);
    let z = mulhi(f, f);
    let small = u128::from(rest(z, &ODD_SMALL, true)) << 64;
    times(u, one_minus(series(z, &ODD[..ODD_WIDE], small, true)))
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
    let quarter_turns = |eighths: u128| inexact(Wide::new(a.sign, 1, (PI_126 >> 2) * eighths));
    let angle = match (a.class, b.class) {
        (Class::Zero, _) | (Class::Finite, Class::Inf) if !b.sign => {
            return Out { val: Num::zero(a.sign).to_f80(), flags: de };
        }
        (Class::Zero, _) | (Class::Finite, Class::Inf) => quarter_turns(4),
        (Class::Inf, Class::Inf) => quarter_turns(if b.sign { 3 } else { 1 }),
        (Class::Inf, _) | (_, Class::Zero) => quarter_turns(2),
        _ => angle(&a, &b),
    };
    with(finish(&angle, EXT, cw), de)
}

fn angle(a: &Num, b: &Num) -> Wide {
    let abs = |n: &Num| Wide { sign: false, ..Wide::from_num(n) };
    let (wa, wb) = (abs(a), abs(b));
    let steep = (wa.exp, wa.m) > (wb.exp, wb.m);
    let t = if steep { wide::div(&wb, &wa) } else { wide::div(&wa, &wb) };
    let exact = !steep && b.mant == 1 << 63;
    let small = atan(&t);
    if !steep && !b.sign {
        // The quotient is the result where the square is lost: keep it exact then.
        let w = if exact && t.exp < -64 { Wide { m: t.m - 1, ..t } } else { inexact(small) };
        return Wide { sign: a.sign, ..w };
    }
    // 2.126 fixed point.
    let s = wide::fixed(&small, 126).max(1);
    let half = PI_126 >> 1;
    let m = match (steep, b.sign) {
        (true, false) => half - s,
        (true, true) => half + s,
        _ => PI_126 - s,
    };
    inexact(Wide::new(a.sign, 1, m))
}

/// `2^(k/16) - 1` for k from -16 to 16, as fixed point with 124 fraction bits.
const POWERS: [i128; 33] = {
    let mut t = [0i128; 33];
    let mut i = 0;
    while i <= 32 {
        let k: i128 = i as i128 - 16;
        // e^g, g = k ln 2 / 16; terms in 4.124.
        let g = ((LN2 >> 4) >> 4) as i128 * k;
        let (mag, negative) = (g.unsigned_abs() << 4, g < 0);
        let mut term: u128 = 1 << 124;
        let mut sum: i128 = 0;
        let mut n = 1;
        while n < 40 {
            // |g| may be ln 2 < 1: `mag` is a fraction of 2^128.
            term = mulhi(term, mag) / n as u128;
            sum += if negative && n & 1 == 1 { -(term as i128) } else { term as i128 };
            n += 1;
        }
        t[i as usize] = sum;
        i += 1;
    }
    t
};

/// `1/2!, 1/3!, ...` as fractions.
const EXPONENTIAL: [u128; 14] = {
    let mut c = [0; 14];
    let mut n = 0;
    while n < 14 {
        c[n] = inverse_factorial(n as u32 + 2);
        n += 1;
    }
    c
};

/// `e^g - 1` for small non-zero g.
fn expm1(g: &Wide) -> Wide {
    let p = series(wide::fraction(g), &EXPONENTIAL, 0, g.sign);
    times(g, if g.sign { one_minus(p) } else { one_plus(p) })
}

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
    with(finish(&inexact(power(&n)), EXT, cw), de)
}

fn power(n: &Num) -> Wide {
    let x = Wide::from_num(n);
    // ln 2 = LN2 / 2^128 has bit 127 set: exponent -1.
    let ln2 = Wide { sign: false, exp: -1, m: LN2 };
    if n.exp < -5 {
        return expm1(&wide::mul(&x, &ln2));
    }
    let t = wide::fixed(&x, 127);
    let k = ((t >> 122) + 1) >> 1;
    let c = k << 123;
    let (f, below) = if t >= c { (t - c, false) } else { (c - t, true) };
    let index = if n.sign { 16 - k as usize } else { 16 + k as usize };
    let base = POWERS[index];
    let e = if f == 0 {
        0
    } else {
        let g = wide::mul(&Wide::new(n.sign != below, 0, f), &ln2);
        let e = expm1(&g);
        let v = wide::fixed(&e, 124) as i128;
        if e.sign { -v } else { v }
    };
    let cross = (mulhi(base.unsigned_abs() << 2, e.unsigned_abs() << 2)) as i128;
    let cross = if (base < 0) != (e < 0) { -cross } else { cross };
    let sum = base + e + cross;
    Wide::new(sum < 0, 3, sum.unsigned_abs())
}

/// `log2(j/32)` for j from 22 to 46, fixed point with 112 fraction bits.
const LOG2: [i128; 25] = {
    let mut t = [0i128; 25];
    let mut i = 0;
    while i < 25 {
        let j = i as i128 + 22;
        let d = j - 32;
        let s = inverse((j + 32) as u128) * d.unsigned_abs();
        let z = mulhi(s, s);
        let mut n = ODD.len();
        let mut p = 0;
        while n > 0 {
            n -= 1;
            p = ODD[n] + mulhi(z, p);
        }
        // s (1 + z p) 2/ln 2: fraction of 2^128 times 2.126 gives 2.126 in the high half.
        let atanh = s + mulhi(s, mulhi(z, p));
        let v = (mulhi(atanh, TWO_LOG2E_126) >> 14) as i128;
        t[i] = if d < 0 { -v } else { v };
        i += 1;
    }
    t
};

const TWO_LOG2E: Wide = Wide { sign: false, exp: 1, m: TWO_LOG2E_126 };

/// `2 atanh(s) / ln 2` for small non-zero s. `tiny`: s is below 2^-6.
fn log_series(s: &Wide, tiny: bool) -> Wide {
    let f = wide::fraction(s);
    let z = mulhi(f, f);
    let p = if tiny {
        let small = u128::from(rest(z, &ODD_SMALL, false)) << 64;
        series(z, &ODD[..ODD_WIDE], small, false)
    } else {
        series(z, &ODD, 0, false)
    };
    wide::mul(&times(s, one_plus(p)), &TWO_LOG2E)
}

/// log2 of a positive number that is not 1: the value, and whether it is exact.
fn log2(x: &Wide) -> (Wide, bool) {
    if x.m == ONE_127 {
        let e = x.exp.unsigned_abs();
        return (Wide::new(x.exp < 0, 127, u128::from(e)), true);
    }
    // m in [sqrt(1/2), sqrt 2) as 1.127.
    let (e, m) = if x.m > 0xb504_f333_f9de_6484_u128 << 64 { (x.exp + 1, x.m >> 1) } else { (x.exp, x.m) };
    let lost = x.m & 1;
    let j = ((m >> 121) + 1) >> 1;
    let c = j << 122;
    let (num, negative) = if m >= c { (m - c, false) } else { (c - m, true) };
    if num == 0 {
        let sum = (i128::from(e) << 112) + LOG2[j as usize - 22];
        return (Wide::new(sum < 0, 15, sum.unsigned_abs()), false);
    }
    // m + c stays below 3: 2.126.
    let den = Wide::new(false, 1, (m >> 1) + (c >> 1));
    // Halving x.m may have lost its last bit; double instead where it matters, near 1.
    let num = Wide::new(
        negative,
        -1,
        if e == x.exp {
            num << 1
        } else if negative {
            (num << 1) - lost
        } else {
            (num << 1) + lost
        },
    );
    let l = log_series(&wide::div(&num, &den), true);
    if e == 0 && j == 32 {
        return (l, false);
    }
    let v = wide::fixed(&l, 112) as i128;
    let sum = (i128::from(e) << 112) + LOG2[j as usize - 22] + if l.sign { -v } else { v };
    (Wide::new(sum < 0, 15, sum.unsigned_abs()), false)
}

fn times_log(y: &Num, log: Wide, exact: bool, cw: u16, de: u16) -> Out {
    let y = Wide::from_num(y);
    let product = wide::mul(&y, &log);
    // The unit reports an inexact result even where it is exact.
    if exact {
        let r = finish(&product, EXT, cw);
        // And so is one that is too small.
        let tiny = if Num::from_f80(r.val).denormal { ex::UE } else { 0 };
        with(r, de | ex::PE | tiny)
    } else {
        with(finish(&inexact(product), EXT, cw), de)
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
    if b.exp < -2 {
        // s = x / (2 + x); 2 + x as 2.126.
        let f = wide::fixed(&w, 126).max(1);
        let two = ONE_127;
        let den = Wide::new(false, 1, if b.sign { two - f } else { two + f });
        let log = log_series(&wide::div(&w, &den), false);
        return times_log(&a, log, false, cw, de);
    }
    let sum = match b.exp {
        64.. => w,
        // 64 bits of fraction hold x; 1 + x needs at most 65 more.
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
