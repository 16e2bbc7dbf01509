//! SSE floating point in software: lanes of single and double precision with the rounding, denormals-are-zero and
//! flush-to-zero modes of MXCSR, and its six exceptions masked or not.
//!
//! Follows Intel SDM volume 1, sections 10.2.3 (MXCSR), 11.5 (exceptions), tables 4-7 and 11-1 (NaN results).
//! Tested against the host's processor in `super::tests`.

use crate::fpu::float::{self, Class, F32, F64, Format, Num, Round, Wide, ex};
use core::cmp::Ordering;

/// A lane's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Precision and range.
    pub format: Format,
    /// Width in bits.
    pub bits: u32,
}

/// Single precision.
pub const S: Kind = Kind { format: F32, bits: 32 };
/// Double precision.
pub const D: Kind = Kind { format: F64, bits: 64 };

impl Kind {
    fn top(self) -> u64 {
        ((2 * self.format.emax + 1) as u64) << (self.format.p - 1)
    }
    fn indefinite(self) -> u64 {
        1 << (self.bits - 1) | self.top() | 1 << (self.format.p - 2)
    }
    fn sign(self, sign: bool) -> u64 {
        u64::from(sign) << (self.bits - 1)
    }
    fn raw(self, v: u64) -> Num {
        if self.bits == 32 { Num::from_f32(v as u32) } else { Num::from_f64(v) }
    }
    /// Zero, infinity or NaN as bits (a NaN's payload cut to the format, made quiet).
    fn special(self, n: &Num) -> u64 {
        let s = self.sign(n.sign);
        match n.class {
            Class::Zero => s,
            Class::Inf => s | self.top(),
            _ => s | self.top() | (n.mant | 1 << 62) << 1 >> (65 - self.format.p),
        }
    }
}

/// Two-operand arithmetic.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
}

/// Modes from MXCSR, and the exceptions seen so far in one instruction.
#[derive(Clone, Copy, Debug)]
pub struct Env {
    rc: Round,
    daz: bool,
    ftz: bool,
    masks: u16,
    pre: u16,
    post: u16,
    /// Flags of earlier stages.
    done: u16,
}

impl Env {
    /// From MXCSR.
    pub fn new(mxcsr: u32) -> Env {
        Env {
            rc: Round::from_bits((mxcsr >> 13) as u16),
            daz: mxcsr & 1 << 6 != 0,
            ftz: mxcsr & 1 << 15 != 0,
            masks: (mxcsr >> 7) as u16 & ex::ALL,
            pre: 0,
            post: 0,
            done: 0,
        }
    }

    /// The exception flags to set in MXCSR: with an unmasked exception found before computing, only those found before.
    pub fn flags(&self) -> u32 {
        let now = if self.pre & !self.masks != 0 { self.pre } else { self.pre | self.post };
        u32::from(self.done | now)
    }

    /// Between the multiplications and additions of a dot product: whether the instruction goes on.
    pub fn next_stage(&mut self) -> bool {
        self.done = self.flags() as u16;
        (self.pre, self.post) = (0, 0);
        self.done & !self.masks == 0
    }

    fn unpack(&self, k: Kind, v: u64) -> Num {
        let n = k.raw(v);
        if self.daz && n.denormal { Num::zero(n.sign) } else { n }
    }

    fn denormals(&mut self, a: &Num, b: &Num) {
        if a.denormal || b.denormal {
            self.pre |= ex::DE;
        }
    }

    fn invalid(&mut self, k: Kind) -> u64 {
        self.pre |= ex::IE;
        k.indefinite()
    }

    /// Round to the format and pack.
    fn pack(&mut self, k: Kind, w: &Wide) -> u64 {
        let r = float::round(w, k.format, self.rc);
        let s = k.sign(w.sign);
        let p = k.format.p;
        if r.overflow {
            self.post |= ex::OE;
            if self.masks & ex::OE != 0 || r.inexact {
                self.post |= ex::PE;
            }
            let inf = float::overflow_to_inf(w.sign, self.rc);
            return s | if inf { k.top() } else { k.top() - 1 };
        }
        if r.tiny {
            if self.masks & ex::UE == 0 {
                self.post |= ex::UE | if r.inexact { ex::PE } else { 0 };
                return s;
            }
            if self.ftz {
                self.post |= ex::UE | ex::PE;
                return s;
            }
            if r.denormal_inexact {
                self.post |= ex::UE | ex::PE;
            }
            return s | r.denormal >> (64 - p);
        }
        if r.inexact {
            self.post |= ex::PE;
        }
        s | ((r.exp + k.format.emax) as u64) << (p - 1) | r.mant << 1 >> (65 - p)
    }

    fn nan2(&mut self, k: Kind, a: &Num, b: &Num) -> Option<u64> {
        if !a.is_nan() && !b.is_nan() {
            return None;
        }
        if a.class == Class::SNan || b.class == Class::SNan {
            self.pre |= ex::IE;
        }
        Some(k.special(if a.is_nan() { a } else { b }))
    }

    /// `a op b`.
    pub fn binary(&mut self, k: Kind, op: Op, av: u64, bv: u64) -> u64 {
        let (a, mut b) = (self.unpack(k, av), self.unpack(k, bv));
        if matches!(op, Op::Min | Op::Max) {
            return self.extreme(k, op == Op::Min, (&a, &b), bv);
        }
        if let Some(nan) = self.nan2(k, &a, &b) {
            return nan;
        }
        match op {
            Op::Add => self.add(k, &a, &b),
            Op::Sub => {
                b.sign = !b.sign;
                self.add(k, &a, &b)
            }
            Op::Mul => self.mul(k, &a, &b),
            _ => self.div(k, &a, &b),
        }
    }

    fn add(&mut self, k: Kind, a: &Num, b: &Num) -> u64 {
        if a.class == Class::Inf && b.class == Class::Inf && a.sign != b.sign {
            return self.invalid(k);
        }
        self.denormals(a, b);
        let cancelled = k.sign(self.rc == Round::Down);
        match (a.class, b.class) {
            (Class::Inf, _) => k.special(a),
            (_, Class::Inf) => k.special(b),
            (Class::Zero, Class::Zero) if a.sign == b.sign => k.sign(a.sign),
            (Class::Zero, Class::Zero) => cancelled,
            (Class::Zero, _) => self.pack(k, &Wide::from_num(b)),
            (_, Class::Zero) => self.pack(k, &Wide::from_num(a)),
            _ => match float::add(a, b) {
                Some(w) => self.pack(k, &w),
                None => cancelled,
            },
        }
    }

    fn mul(&mut self, k: Kind, a: &Num, b: &Num) -> u64 {
        let sign = a.sign != b.sign;
        match (a.class, b.class) {
            (Class::Inf, Class::Zero) | (Class::Zero, Class::Inf) => return self.invalid(k),
            _ => self.denormals(a, b),
        }
        match (a.class, b.class) {
            (Class::Inf, _) | (_, Class::Inf) => k.special(&Num::inf(sign)),
            (Class::Zero, _) | (_, Class::Zero) => k.sign(sign),
            _ => self.pack(k, &float::mul(a, b)),
        }
    }

    fn div(&mut self, k: Kind, a: &Num, b: &Num) -> u64 {
        let sign = a.sign != b.sign;
        match (a.class, b.class) {
            (Class::Inf, Class::Inf) | (Class::Zero, Class::Zero) => return self.invalid(k),
            (Class::Finite, Class::Zero) => {
                self.pre |= ex::ZE;
                return k.special(&Num::inf(sign));
            }
            _ => self.denormals(a, b),
        }
        match (a.class, b.class) {
            (Class::Inf, _) => k.special(&Num::inf(sign)),
            (Class::Zero, _) | (_, Class::Inf) => k.sign(sign),
            _ => self.pack(k, &float::div(a, b)),
        }
    }

    /// MIN, MAX: the second operand if either is a NaN or both are zero.
    fn extreme(&mut self, k: Kind, min: bool, (a, b): (&Num, &Num), bv: u64) -> u64 {
        let second = if self.daz && k.raw(bv).denormal { k.sign(b.sign) } else { bv };
        if a.is_nan() || b.is_nan() {
            self.pre |= ex::IE;
            return second;
        }
        self.denormals(a, b);
        let first = match float::compare(a, b) {
            Ordering::Equal => false,
            Ordering::Less => min,
            Ordering::Greater => !min,
        };
        if !first {
            return second;
        }
        match a.class {
            Class::Finite => self.exact(k, a),
            _ => k.special(a),
        }
    }

    /// A number that came from this format, back to its bits.
    fn exact(&self, k: Kind, n: &Num) -> u64 {
        let mut quiet =
            Env { rc: Round::Nearest, daz: false, ftz: false, masks: ex::ALL, pre: 0, post: 0, done: 0 };
        quiet.pack(k, &Wide::from_num(n))
    }

    /// Square root.
    pub fn sqrt(&mut self, k: Kind, v: u64) -> u64 {
        let n = self.unpack(k, v);
        match n.class {
            Class::Zero => k.sign(n.sign),
            Class::QNan => k.special(&n),
            Class::SNan => {
                self.pre |= ex::IE;
                k.special(&n)
            }
            _ if n.sign => self.invalid(k),
            Class::Inf => k.special(&n),
            _ => {
                self.denormals(&n, &n);
                self.pack(k, &float::sqrt(&n))
            }
        }
    }

    /// The order of two lanes, `None` when unordered. `signal`: a quiet NaN is invalid too.
    pub fn order(&mut self, k: Kind, av: u64, bv: u64, signal: bool) -> Option<Ordering> {
        let (a, b) = (self.unpack(k, av), self.unpack(k, bv));
        if a.is_nan() || b.is_nan() {
            if signal || a.class == Class::SNan || b.class == Class::SNan {
                self.pre |= ex::IE;
            }
            return None;
        }
        self.denormals(&a, &b);
        Some(float::compare(&a, &b))
    }

    /// CMPxx by predicate 0-7 (EQ LT LE UNORD NEQ NLT NLE ORD).
    pub fn compare(&mut self, k: Kind, predicate: u8, a: u64, b: u64) -> bool {
        let signal = matches!(predicate & 3, 1 | 2);
        let o = self.order(k, a, b, signal);
        let holds = match predicate & 3 {
            0 => o == Some(Ordering::Equal),
            1 => o == Some(Ordering::Less),
            2 => matches!(o, Some(Ordering::Less | Ordering::Equal)),
            _ => o.is_none(),
        };
        holds != (predicate & 4 != 0)
    }

    /// To a signed integer of `bits` bits.
    pub fn to_int(&mut self, k: Kind, v: u64, bits: u32, truncate: bool) -> u64 {
        let n = self.unpack(k, v);
        let rc = if truncate { Round::Zero } else { self.rc };
        let limit = 1u64 << (bits - 1);
        let rounded = match n.class {
            Class::Zero => return 0,
            Class::Finite => float::round_to_int(&n, rc),
            _ => None,
        };
        match rounded {
            Some((m, inexact, _)) if m < limit || m == limit && n.sign => {
                if inexact {
                    self.post |= ex::PE;
                }
                let v = if n.sign { m.wrapping_neg() } else { m };
                v & !0 >> (64 - bits)
            }
            _ => {
                self.pre |= ex::IE;
                limit
            }
        }
    }

    /// From a signed integer.
    pub fn from_int(&mut self, k: Kind, v: i64) -> u64 {
        let n = Num::from_i64(v);
        if v == 0 { 0 } else { self.pack(k, &Wide::from_num(&n)) }
    }

    /// From one precision to the other.
    pub fn convert(&mut self, from: Kind, to: Kind, v: u64) -> u64 {
        let n = self.unpack(from, v);
        match n.class {
            Class::Finite => {
                self.denormals(&n, &n);
                self.pack(to, &Wide::from_num(&n))
            }
            Class::SNan => {
                self.pre |= ex::IE;
                to.special(&n)
            }
            _ => to.special(&n),
        }
    }

    /// ROUNDxx.
    pub fn round(&mut self, k: Kind, v: u64, imm: u8) -> u64 {
        let n = self.unpack(k, v);
        let rc = if imm & 4 != 0 { self.rc } else { Round::from_bits(u16::from(imm)) };
        match n.class {
            Class::SNan => {
                self.pre |= ex::IE;
                return k.special(&n);
            }
            Class::Finite => {}
            _ => return k.special(&n),
        }
        let Some((m, inexact, _)) = float::round_to_int(&n, rc).filter(|_| n.exp < 63) else { return v };
        if inexact && imm & 8 == 0 {
            self.post |= ex::PE;
        }
        if m == 0 {
            return k.sign(n.sign);
        }
        let z = m.leading_zeros();
        self.exact(k, &Num { exp: 63 - z as i32, mant: m << z, ..n })
    }
}

/// RCPSS: the one result on every host: the reciprocal rounded to 12 fraction bits (relative error at most 2^-13; the manual
/// allows 1.5 * 2^-12). Denormal operands count as zero, denormal results are zero.
pub fn reciprocal(v: u32) -> u32 {
    estimate(v, |x| 1.0 / x)
}

/// RSQRTSS, likewise.
pub fn reciprocal_sqrt(v: u32) -> u32 {
    if v >> 31 != 0 && v << 1 > 0x0100_0000 - 1 && !f32::from_bits(v).is_nan() {
        return 0xffc0_0000;
    }
    estimate(v, |x| x.signum() / x.abs().sqrt())
}

fn estimate(v: u32, f: impl Fn(f64) -> f64) -> u32 {
    let sign = v & 0x8000_0000;
    match v >> 23 & 0xff {
        0 => sign | 0x7f80_0000,
        0xff if v << 9 != 0 => v | 0x0040_0000,
        0xff => sign,
        _ => {
            let r = f(f64::from(f32::from_bits(v))).to_bits();
            // Round to 12 fraction bits, to nearest.
            let r = r.wrapping_add(1 << 39) >> 40 << 40;
            let e = (r >> 52 & 0x7ff) as i32 - 1023 + 127;
            if e <= 0 { sign } else { sign | (e as u32) << 23 | (r >> 29) as u32 & 0x7f_ffff }
        }
    }
}
