//! x87 arithmetic in software, to the bit what the unit does: NaN rules, unsupported formats, all exceptions masked and
//! unmasked, rounding and precision control. Pure functions from operands and control word to result and flags.
//!
//! Follows Intel SDM volume 1, sections 4.8.3.5 (NaN results, table 4-7), 4.9 (exceptions), 8.5 (x87 exceptions) and
//! volume 2 (each instruction's result table). Tested against the host's unit in `super::tests`.

use super::float::{self, Class, EXT, F32, F64, Format, Num, Round, Wide, ex};
use crate::state::F80;
use core::cmp::Ordering;

/// Condition code C1 at its place in the status word: rounded away from zero.
pub const C1: u16 = 1 << 9;

/// The real indefinite: the default quiet NaN.
pub const INDEFINITE: F80 = F80 { mant: 0xc000_0000_0000_0000, se: 0xffff };

/// A result with the exception flags that it raises, and C1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    /// The value as delivered when [`Out::blocked`] says that something is delivered at all.
    pub val: F80,
    /// Bits of [`ex`] and [`C1`].
    pub flags: u16,
}

impl Out {
    /// A result without flags.
    pub fn exact(val: F80) -> Out {
        Out { val, flags: 0 }
    }
    /// Invalid operation: the indefinite.
    pub fn invalid() -> Out {
        Out { val: INDEFINITE, flags: ex::IE }
    }
    fn with(self, flags: u16) -> Out {
        Out { flags: self.flags | flags, ..self }
    }
    /// An unmasked exception among those raised before the computation: the destination stays as it was.
    pub fn blocked(&self, cw: u16) -> bool {
        self.flags & !cw & ex::PRE != 0
    }
}

/// The six arithmetic operations, numbered as in the opcodes' reg field.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Arith {
    Add = 0,
    Mul = 1,
    Sub = 4,
    SubR = 5,
    Div = 6,
    DivR = 7,
}

/// Rounding control of `cw`.
#[inline]
pub fn rounding(cw: u16) -> Round {
    Round::from_bits(cw >> 10)
}

/// Format that precision control of `cw` asks for.
#[inline]
pub fn precision(cw: u16) -> Format {
    match cw >> 8 & 3 {
        0 => Format { p: 24, ..EXT },
        2 => Format { p: 53, ..EXT },
        _ => EXT,
    }
}

fn quiet(n: &Num) -> F80 {
    Num { mant: n.mant | 1 << 62, ..*n }.to_f80()
}

/// The NaN that an operation on `a` and `b` yields, if one of them is a NaN or unsupported.
#[inline]
pub fn nan_result(a: &Num, b: &Num) -> Option<Out> {
    let number = |n: &Num| !matches!(n.class, Class::QNan | Class::SNan | Class::Unsupported);
    if number(a) && number(b) { None } else { Some(nan_of(*a, *b)) }
}

#[cold]
fn nan_of(a: Num, b: Num) -> Out {
    if a.class == Class::Unsupported || b.class == Class::Unsupported {
        return Out::invalid();
    }
    let flags = if a.class == Class::SNan || b.class == Class::SNan { ex::IE } else { 0 };
    let pick = match (a.class, b.class) {
        (Class::SNan, Class::QNan) => b,
        (Class::QNan, Class::SNan) => a,
        _ if !b.is_nan() => a,
        _ if !a.is_nan() => b,
        // Both of one kind: the larger significand; if equal, the positive one.
        _ => match a.mant.cmp(&b.mant) {
            Ordering::Greater => a,
            Ordering::Less => b,
            Ordering::Equal => {
                if a.sign {
                    b
                } else {
                    a
                }
            }
        },
    };
    Out { val: quiet(&pick), flags }
}

/// The NaN that an operation on `a` alone yields.
pub fn nan_result1(a: &Num) -> Option<Out> {
    match a.class {
        Class::Unsupported => Some(Out::invalid()),
        Class::SNan => Some(Out { val: quiet(a), flags: ex::IE }),
        Class::QNan => Some(Out::exact(a.to_f80())),
        _ => None,
    }
}

fn denormals(a: &Num, b: &Num) -> u16 {
    if a.denormal || b.denormal { ex::DE } else { 0 }
}

/// Round `w` to `f` (a format of the register's exponent range) and deliver it as the masks of `cw` say.
pub fn finish(w: &Wide, f: Format, cw: u16) -> Out {
    let rc = rounding(cw);
    let r = float::round(w, f, rc);
    let s = u16::from(w.sign) << 15;
    let unbounded = |exp: i32| {
        let flags = if r.inexact { ex::PE } else { 0 } | if r.up { C1 } else { 0 };
        Out { val: F80 { mant: r.mant, se: s | (exp + 16383) as u16 & 0x7fff }, flags }
    };
    if r.overflow {
        if cw & ex::OE == 0 && r.exp - 24576 <= EXT.emax {
            return unbounded(r.exp - 24576).with(ex::OE);
        }
        if cw & ex::OE == 0 {
            // Only FSCALE gets this far.
            return Out { val: Num::inf(w.sign).to_f80(), flags: ex::OE | ex::PE | C1 };
        }
        return if float::overflow_to_inf(w.sign, rc) {
            Out { val: Num::inf(w.sign).to_f80(), flags: ex::OE | ex::PE | C1 }
        } else {
            Out { val: F80 { mant: u64::MAX << (64 - f.p), se: s | 0x7ffe }, flags: ex::OE | ex::PE }
        };
    }
    if r.tiny {
        if cw & ex::UE == 0 {
            return if r.exp + 24576 >= EXT.emin {
                unbounded(r.exp + 24576).with(ex::UE)
            } else {
                Out { val: F80 { mant: 0, se: s }, flags: ex::UE | ex::PE }
            };
        }
        let flags = if r.denormal_inexact { ex::UE | ex::PE } else { 0 } | if r.denormal_up { C1 } else { 0 };
        let normal = (r.denormal >> 63) as u16;
        return Out { val: F80 { mant: r.denormal, se: s | normal }, flags };
    }
    unbounded(r.exp)
}

/// `a op b` for register, single, double or integer `b`.
pub fn arith(op: Arith, a: Num, b: Num, cw: u16) -> Out {
    if let Some(nan) = nan_result(&a, &b) {
        return nan;
    }
    let (x, mut y) = if matches!(op, Arith::SubR | Arith::DivR) { (b, a) } else { (a, b) };
    match op {
        Arith::Add | Arith::Sub | Arith::SubR => {
            if op != Arith::Add {
                y.sign = !y.sign;
            }
            sum(&x, &y, cw)
        }
        Arith::Mul => product(&x, &y, cw),
        Arith::Div | Arith::DivR => quotient(&x, &y, cw),
    }
}

fn sum(a: &Num, b: &Num, cw: u16) -> Out {
    let de = denormals(a, b);
    let early = Out { val: a.to_f80(), flags: de };
    match (a.class, b.class) {
        (Class::Inf, Class::Inf) if a.sign != b.sign => return Out::invalid(),
        (Class::Inf, _) => return early,
        (_, Class::Inf) => return Out { val: b.to_f80(), flags: de },
        _ => {}
    }
    if early.blocked(cw) {
        return early;
    }
    let w = match (a.class, b.class) {
        (Class::Zero, Class::Zero) => {
            let sign = if a.sign == b.sign { a.sign } else { rounding(cw) == Round::Down };
            return Out::exact(Num::zero(sign).to_f80());
        }
        (Class::Zero, _) => Wide::from_num(b),
        (_, Class::Zero) => Wide::from_num(a),
        _ => match float::add(a, b) {
            Some(w) => w,
            None => return Out { val: Num::zero(rounding(cw) == Round::Down).to_f80(), flags: de },
        },
    };
    finish(&w, precision(cw), cw).with(de)
}

fn product(a: &Num, b: &Num, cw: u16) -> Out {
    let de = denormals(a, b);
    let sign = a.sign != b.sign;
    match (a.class, b.class) {
        (Class::Inf, Class::Zero) | (Class::Zero, Class::Inf) => return Out::invalid(),
        (Class::Inf, _) | (_, Class::Inf) => return Out { val: Num::inf(sign).to_f80(), flags: de },
        (Class::Zero, _) | (_, Class::Zero) => return Out { val: Num::zero(sign).to_f80(), flags: de },
        _ => {}
    }
    let early = Out { val: a.to_f80(), flags: de };
    if early.blocked(cw) {
        return early;
    }
    finish(&float::mul(a, b), precision(cw), cw).with(de)
}

fn quotient(a: &Num, b: &Num, cw: u16) -> Out {
    let de = denormals(a, b);
    let sign = a.sign != b.sign;
    match (a.class, b.class) {
        (Class::Inf, Class::Inf) | (Class::Zero, Class::Zero) => return Out::invalid(),
        (Class::Inf, _) => return Out { val: Num::inf(sign).to_f80(), flags: de },
        (_, Class::Zero) => return Out { val: Num::inf(sign).to_f80(), flags: ex::ZE },
        (Class::Zero, _) | (_, Class::Inf) => return Out { val: Num::zero(sign).to_f80(), flags: de },
        _ => {}
    }
    let early = Out { val: a.to_f80(), flags: de };
    if early.blocked(cw) {
        return early;
    }
    finish(&float::div(a, b), precision(cw), cw).with(de)
}

/// FSQRT.
pub fn sqrt(a: F80, cw: u16) -> Out {
    let n = Num::from_f80(a);
    if let Some(nan) = nan_result1(&n) {
        return nan;
    }
    match n.class {
        Class::Zero => return Out::exact(a),
        _ if n.sign => return Out::invalid(),
        Class::Inf => return Out::exact(a),
        _ => {}
    }
    let early = Out { val: a, flags: denormals(&n, &n) };
    if early.blocked(cw) {
        return early;
    }
    finish(&float::sqrt(&n), precision(cw), cw).with(early.flags)
}

/// The result of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Relation {
    Greater,
    Less,
    Equal,
    Unordered,
}

/// Compare: FCOM (`quiet` false), FUCOM (`quiet` true: a quiet NaN is not an invalid operation).
pub fn compare(a: Num, b: Num, quiet: bool) -> (Relation, u16) {
    let bad = |n: &Num| n.class == Class::Unsupported || n.class == Class::SNan;
    if bad(&a) || bad(&b) {
        return (Relation::Unordered, ex::IE);
    }
    if a.is_nan() || b.is_nan() {
        return (Relation::Unordered, if quiet { 0 } else { ex::IE });
    }
    let relation = match float::compare(&a, &b) {
        Ordering::Less => Relation::Less,
        Ordering::Equal => Relation::Equal,
        Ordering::Greater => Relation::Greater,
    };
    (relation, denormals(&a, &b))
}

/// FRNDINT.
pub fn round_to_integral(a: F80, cw: u16) -> Out {
    let n = Num::from_f80(a);
    if let Some(nan) = nan_result1(&n) {
        return nan;
    }
    if n.class != Class::Finite || n.exp >= 63 {
        return Out::exact(a);
    }
    let de = denormals(&n, &n);
    let early = Out { val: a, flags: de };
    if early.blocked(cw) {
        return early;
    }
    let Some((k, inexact, up)) = float::round_to_int(&n, rounding(cw)) else { return early };
    let flags = de | if inexact { ex::PE } else { 0 } | if up { C1 } else { 0 };
    let mut r = if k == 0 {
        Num::zero(n.sign)
    } else {
        let z = k.leading_zeros();
        Num { exp: 63 - z as i32, mant: k << z, ..n }
    };
    r.denormal = false;
    Out { val: r.to_f80(), flags }
}

/// FSCALE: `a * 2^trunc(b)`.
pub fn scale(a: F80, b: F80, cw: u16) -> Out {
    let (x, y) = (Num::from_f80(a), Num::from_f80(b));
    if let Some(nan) = nan_result(&x, &y) {
        return nan;
    }
    let de = denormals(&x, &y);
    let early = Out { val: a, flags: de };
    match (x.class, y.class) {
        (Class::Inf, Class::Inf) if y.sign => return Out::invalid(),
        (Class::Zero, Class::Inf) if !y.sign => return Out::invalid(),
        (Class::Inf | Class::Zero, _) => return early,
        (_, Class::Inf) => {
            let r = if y.sign { Num::zero(x.sign) } else { Num::inf(x.sign) };
            return Out { val: r.to_f80(), flags: de };
        }
        _ => {}
    }
    if early.blocked(cw) {
        return early;
    }
    let n = match y.class {
        Class::Zero => 0,
        _ if y.exp < 0 => 0,
        _ if y.exp > 16 => 1 << 17,
        _ => (y.mant >> (63 - y.exp)) as i32,
    };
    let mut w = Wide::from_num(&x);
    w.exp += if y.sign { -n } else { n };
    finish(&w, EXT, cw).with(de)
}

/// FXTRACT: (significand, exponent) of `a`; flags in the first.
pub fn extract(a: F80) -> (Out, F80) {
    let n = Num::from_f80(a);
    if let Some(nan) = nan_result1(&n) {
        return (nan, nan.val);
    }
    match n.class {
        Class::Zero => (Out { val: a, flags: ex::ZE }, Num::inf(true).to_f80()),
        Class::Inf => (Out::exact(a), Num::inf(false).to_f80()),
        _ => {
            let sig = Num { exp: 0, denormal: false, ..n };
            (Out { val: sig.to_f80(), flags: denormals(&n, &n) }, Num::from_i64(i64::from(n.exp)).to_f80())
        }
    }
}

/// A partial remainder with the condition codes that go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rem {
    /// The remainder and its flags.
    pub out: Out,
    /// The low three bits of the quotient.
    pub quotient: u8,
    /// Reduction is not complete (C2).
    pub partial: bool,
}

/// FPREM (`nearest` false) and FPREM1 (`nearest` true).
pub fn remainder(a: F80, b: F80, nearest: bool, cw: u16) -> Rem {
    let (x, y) = (Num::from_f80(a), Num::from_f80(b));
    let done = |out| Rem { out, quotient: 0, partial: false };
    if let Some(nan) = nan_result(&x, &y) {
        return done(nan);
    }
    if x.class == Class::Inf || y.class == Class::Zero {
        return done(Out::invalid());
    }
    let de = denormals(&x, &y);
    let early = Out { val: a, flags: de };
    if early.blocked(cw) || x.class == Class::Zero {
        return done(early);
    }
    let deliver = |w: Option<Wide>| match w {
        Some(w) => finish(&w, EXT, cw).with(de),
        None => Out { val: Num::zero(x.sign).to_f80(), flags: de },
    };
    if y.class == Class::Inf {
        return done(deliver(Some(Wide::from_num(&x))));
    }
    let d = x.exp - y.exp;
    if d < -1 || d < 0 && !nearest {
        return done(deliver(Some(Wide::from_num(&x))));
    }
    if d >= 64 {
        // Reduce by N bits, 32 <= N <= 63, such that the rest of the exponent difference is a multiple of 32.
        let n = (d & 31) | 32;
        let (_, r) = long_division(x.mant, y.mant, n as u32);
        let w = (r != 0).then(|| Wide::new(x.sign, y.exp + d - n, r << 64));
        return Rem { out: deliver(w), quotient: 0, partial: true };
    }
    let (mut q, mut r) =
        if d < 0 { (0, u128::from(x.mant)) } else { long_division(x.mant, y.mant, d as u32) };
    let mut sign = x.sign;
    let mut exp = y.exp;
    let mut m = u128::from(y.mant);
    if d < 0 {
        // Half of b against a: one more bit of scale.
        exp -= 1;
        m <<= 1;
    }
    if nearest && (2 * r > m || 2 * r == m && q & 1 != 0) {
        r = m - r;
        sign = !sign;
        q = q.wrapping_add(1);
    }
    let w = (r != 0).then(|| Wide::new(sign, exp + 1, r << 63));
    Rem { out: deliver(w), quotient: (q & 7) as u8, partial: false }
}

/// `a * 2^n` divided by `b`: (quotient, remainder), `n` below 64.
fn long_division(a: u64, b: u64, n: u32) -> (u128, u128) {
    let (a, b) = (u128::from(a) << n, u128::from(b));
    (a / b, a % b)
}

/// FXAM: C3, C2, C0 of a non-empty register, at their places in the status word.
pub fn examine(a: F80) -> u16 {
    const C0: u16 = 1 << 8;
    const C2: u16 = 1 << 10;
    const C3: u16 = 1 << 14;
    let n = Num::from_f80(a);
    match n.class {
        Class::Unsupported => 0,
        Class::QNan | Class::SNan => C0,
        Class::Finite if n.denormal && a.mant >> 63 == 0 => C2 | C3,
        // A pseudo-denormal.
        Class::Finite if n.denormal => C2 | C3,
        Class::Finite => C2,
        Class::Inf => C2 | C0,
        Class::Zero => C3,
    }
}

/// FLD of a single or double already unpacked.
pub fn load(n: Num) -> Out {
    match nan_result1(&n) {
        Some(nan) => nan,
        None => Out { val: n.to_f80(), flags: denormals(&n, &n) },
    }
}

/// A value for memory with flags: [`Stored::blocked`] says that memory and stack stay as they were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The bits to store.
    pub bits: u64,
    /// Exception flags and C1.
    pub flags: u16,
}

impl Stored {
    /// Whether an unmasked exception keeps the store from happening (all but precision do).
    pub fn blocked(&self, cw: u16) -> bool {
        self.flags & !cw & (ex::ALL & !ex::PE) != 0
    }
}

fn store(a: F80, f: Format, width: u32, cw: u16) -> Stored {
    let n = Num::from_f80(a);
    let fraction = f.p - 1;
    let sign = u64::from(n.sign) << (width - 1);
    let top = ((2 * f.emax + 1) as u64) << fraction;
    let implicit = |mant: u64| mant << 1 >> (65 - f.p);
    match n.class {
        Class::Unsupported => {
            return Stored { bits: 1 << (width - 1) | top | 1 << (fraction - 1), flags: ex::IE };
        }
        Class::QNan => return Stored { bits: sign | top | implicit(n.mant), flags: 0 },
        Class::SNan => return Stored { bits: sign | top | implicit(n.mant | 1 << 62), flags: ex::IE },
        Class::Inf => return Stored { bits: sign | top, flags: 0 },
        Class::Zero => return Stored { bits: sign, flags: 0 },
        Class::Finite => {}
    }
    let rc = rounding(cw);
    let r = float::round(&Wide::from_num(&n), f, rc);
    let precise = |inexact, up| if inexact { ex::PE } else { 0 } | if up { C1 } else { 0 };
    if r.overflow {
        // Unmasked: nothing is stored.
        if cw & ex::OE == 0 {
            return Stored { bits: 0, flags: ex::OE };
        }
        return if float::overflow_to_inf(n.sign, rc) {
            Stored { bits: sign | top, flags: ex::OE | ex::PE | C1 }
        } else {
            Stored { bits: sign | (top - 1), flags: ex::OE | ex::PE }
        };
    }
    if r.tiny {
        if cw & ex::UE == 0 {
            return Stored { bits: 0, flags: ex::UE };
        }
        let ue = if r.denormal_inexact { ex::UE } else { 0 };
        let bits = r.denormal >> (64 - f.p);
        return Stored { bits: sign | bits, flags: ue | precise(r.denormal_inexact, r.denormal_up) };
    }
    let e = ((r.exp + f.emax) as u64) << fraction;
    Stored { bits: sign | e | implicit(r.mant), flags: precise(r.inexact, r.up) }
}

/// FST m32.
pub fn store_f32(a: F80, cw: u16) -> Stored {
    store(a, F32, 32, cw)
}

/// FST m64.
pub fn store_f64(a: F80, cw: u16) -> Stored {
    store(a, F64, 64, cw)
}

/// FIST of `bits` (16, 32, 64) bits with rounding `rc`.
pub fn store_int(a: F80, bits: u32, rc: Round) -> Stored {
    let n = Num::from_f80(a);
    let mask = u64::MAX >> (64 - bits);
    let indefinite = Stored { bits: 1 << (bits - 1), flags: ex::IE };
    let (k, inexact, up) = match n.class {
        Class::Zero => return Stored { bits: 0, flags: 0 },
        Class::Finite => match float::round_to_int(&n, rc) {
            Some(r) => r,
            None => return indefinite,
        },
        _ => return indefinite,
    };
    let limit = 1u64 << (bits - 1);
    if k > limit || k == limit && !n.sign {
        return indefinite;
    }
    let v = if n.sign { k.wrapping_neg() } else { k };
    Stored { bits: v & mask, flags: if inexact { ex::PE } else { 0 } | if up { C1 } else { 0 } }
}

/// FBSTP: ten bytes of packed decimal.
pub fn store_bcd(a: F80, cw: u16) -> ([u8; 10], u16) {
    let n = Num::from_f80(a);
    let indefinite = ([0, 0, 0, 0, 0, 0, 0, 0xc0, 0xff, 0xff], ex::IE);
    let (mut k, inexact, up) = match n.class {
        Class::Zero => (0, false, false),
        Class::Finite => match float::round_to_int(&n, rounding(cw)) {
            Some(r) if r.0 < 1_000_000_000_000_000_000 => r,
            _ => return indefinite,
        },
        _ => return indefinite,
    };
    let mut out = [0u8; 10];
    for byte in &mut out[..9] {
        *byte = (k % 10) as u8 | ((k / 10 % 10) as u8) << 4;
        k /= 100;
    }
    out[9] = u8::from(n.sign) << 7;
    (out, if inexact { ex::PE } else { 0 } | if up { C1 } else { 0 })
}

/// FBLD.
pub fn load_bcd(bytes: [u8; 10]) -> F80 {
    let k = bytes[..9].iter().rev().fold(0u64, |k, b| {
        k.wrapping_mul(100).wrapping_add(u64::from(b >> 4) * 10).wrapping_add(u64::from(b & 15))
    });
    let mut v = Num::from_i64(k as i64).to_f80();
    v.se |= u16::from(bytes[9] & 0x80) << 8;
    v
}
