//! Exact binary floating point on unpacked numbers, and the one rounding function that every format shares.
//!
//! Formats, special values and rounding follow Intel SDM volume 1, chapter 4 ("Data Types", sections 4.2, 4.8) and its
//! exception rules section 4.9: tininess is detected after rounding as if the exponent had no bounds.
//! Used by the x87 unit ([`super::soft`]) and by the SSE lanes (`crate::simd::soft`); knows neither's NaN or flag rules.

use crate::state::F80;

/// Exception bits, at the same place in the x87 status word, its control word and MXCSR.
#[allow(missing_docs)]
pub mod ex {
    pub const IE: u16 = 1;
    pub const DE: u16 = 2;
    pub const ZE: u16 = 4;
    pub const OE: u16 = 8;
    pub const UE: u16 = 16;
    pub const PE: u16 = 32;
    pub const ALL: u16 = 63;
    /// Those that are known before the result is computed.
    pub const PRE: u16 = IE | DE | ZE;
}

/// What kind of number an unpacked operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Plus or minus zero.
    Zero,
    /// A non-zero finite number, normalised.
    Finite,
    /// Infinity.
    Inf,
    /// Quiet NaN.
    QNan,
    /// Signalling NaN.
    SNan,
    /// An 80-bit encoding that the 387 and later reject (SDM volume 1, 8.2.2).
    Unsupported,
}

/// An unpacked number: `(-1)^sign * mant/2^63 * 2^exp`. For NaNs `mant` is the 80-bit significand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Num {
    /// Sign bit.
    pub sign: bool,
    /// Kind.
    pub class: Class,
    /// The operand was denormal (or pseudo-denormal) in its own format.
    pub denormal: bool,
    /// Unbiased exponent.
    pub exp: i32,
    /// Significand with bit 63 set for finite numbers.
    pub mant: u64,
}

/// Rounding control, encoded as in the control word and MXCSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// To nearest, ties to even.
    Nearest,
    /// Towards minus infinity.
    Down,
    /// Towards plus infinity.
    Up,
    /// Towards zero.
    Zero,
}

impl Round {
    /// From the two-bit field.
    #[inline]
    pub fn from_bits(bits: u16) -> Round {
        match bits & 3 {
            0 => Round::Nearest,
            1 => Round::Down,
            2 => Round::Up,
            _ => Round::Zero,
        }
    }
}

/// A binary format: precision in bits and range of exponents of normal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Significand bits, the integer bit included.
    pub p: u32,
    /// Smallest exponent of a normal number.
    pub emin: i32,
    /// Largest exponent.
    pub emax: i32,
}

/// Single precision.
pub const F32: Format = Format { p: 24, emin: -126, emax: 127 };
/// Double precision.
pub const F64: Format = Format { p: 53, emin: -1022, emax: 1023 };
/// Double extended precision.
pub const EXT: Format = Format { p: 64, emin: -16382, emax: 16383 };

impl Num {
    /// A zero.
    pub const fn zero(sign: bool) -> Num {
        Num { sign, class: Class::Zero, denormal: false, exp: 0, mant: 0 }
    }
    /// An infinity.
    pub const fn inf(sign: bool) -> Num {
        Num { sign, class: Class::Inf, denormal: false, exp: 0, mant: 1 << 63 }
    }
    /// Any NaN (not unsupported formats).
    #[inline]
    pub fn is_nan(&self) -> bool {
        matches!(self.class, Class::QNan | Class::SNan)
    }

    fn finite(sign: bool, exp: i32, mant: u64, denormal: bool) -> Num {
        let z = mant.leading_zeros();
        Num { sign, class: Class::Finite, denormal, exp: exp - z as i32, mant: mant << z }
    }

    /// Unpack an 80-bit register.
    #[inline]
    pub fn from_f80(v: F80) -> Num {
        let sign = v.se >> 15 != 0;
        let e = i32::from(v.se & 0x7fff);
        if (1..0x7fff).contains(&e) && v.mant >> 63 != 0 {
            return Num { sign, class: Class::Finite, denormal: false, exp: e - 16383, mant: v.mant };
        }
        Num::rare(sign, e, v)
    }

    fn rare(sign: bool, e: i32, v: F80) -> Num {
        match e {
            0 if v.mant == 0 => Num::zero(sign),
            0 => Num::finite(sign, EXT.emin, v.mant, true),
            _ if v.mant >> 63 == 0 => {
                Num { sign, class: Class::Unsupported, denormal: false, exp: e - 16383, mant: v.mant }
            }
            0x7fff if v.mant << 1 == 0 => Num::inf(sign),
            0x7fff => {
                let class = if v.mant >> 62 & 1 != 0 { Class::QNan } else { Class::SNan };
                Num { sign, class, denormal: false, exp: 16384, mant: v.mant }
            }
            // Unpacked by the caller.
            _ => Num { sign, class: Class::Finite, denormal: false, exp: e - 16383, mant: v.mant },
        }
    }

    fn from_ieee(bits: u64, fraction: u32, exponent: u32) -> Num {
        let bias = (1i32 << (exponent - 1)) - 1;
        let sign = bits >> (fraction + exponent) & 1 != 0;
        let top = (1u64 << exponent) - 1;
        let e = bits >> fraction & top;
        let f = (bits & ((1 << fraction) - 1)) << (63 - fraction);
        if e == top {
            let class = match f {
                0 => return Num::inf(sign),
                _ if f >> 62 != 0 => Class::QNan,
                _ => Class::SNan,
            };
            return Num { sign, class, denormal: false, exp: 16384, mant: f | 1 << 63 };
        }
        match (e, f) {
            (0, 0) => Num::zero(sign),
            (0, _) => Num::finite(sign, 1 - bias, f, true),
            _ => Num { sign, class: Class::Finite, denormal: false, exp: e as i32 - bias, mant: f | 1 << 63 },
        }
    }

    /// Unpack a single.
    pub fn from_f32(bits: u32) -> Num {
        Num::from_ieee(u64::from(bits), 23, 8)
    }

    /// Unpack a double.
    pub fn from_f64(bits: u64) -> Num {
        Num::from_ieee(bits, 52, 11)
    }

    /// Unpack a signed integer.
    pub fn from_i64(v: i64) -> Num {
        if v == 0 { Num::zero(false) } else { Num::finite(v < 0, 63, v.unsigned_abs(), false) }
    }

    /// Pack as 80 bits a number that fits exactly.
    pub fn to_f80(self) -> F80 {
        let s = u16::from(self.sign) << 15;
        match self.class {
            Class::Zero => F80 { mant: 0, se: s },
            Class::Inf => F80 { mant: 1 << 63, se: s | 0x7fff },
            Class::QNan | Class::SNan => F80 { mant: self.mant, se: s | 0x7fff },
            Class::Finite if self.exp < EXT.emin => {
                F80 { mant: self.mant >> (EXT.emin - self.exp).min(63), se: s }
            }
            Class::Finite | Class::Unsupported => F80 { mant: self.mant, se: s | (self.exp + 16383) as u16 },
        }
    }
}

/// An exact (or sticky) non-zero intermediate result: `m/2^127 * 2^exp`, bit 127 of `m` set, bit 0 of `m` sticky.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wide {
    /// Sign bit.
    pub sign: bool,
    /// Unbiased exponent.
    pub exp: i32,
    /// Significand.
    pub m: u128,
}

impl Wide {
    /// Normalise `m/2^127 * 2^exp`; `m` must not be zero.
    #[inline]
    pub fn new(sign: bool, exp: i32, m: u128) -> Wide {
        let z = m.leading_zeros();
        Wide { sign, exp: exp - z as i32, m: m << z }
    }
    /// The exact value of a finite number.
    pub fn from_num(a: &Num) -> Wide {
        Wide { sign: a.sign, exp: a.exp, m: u128::from(a.mant) << 64 }
    }
}

/// Shift right, or-ing what falls out into bit 0.
#[inline]
pub fn shift_right_sticky(m: u128, n: u32) -> u128 {
    match n {
        0 => m,
        1..=127 => m >> n | u128::from(m << (128 - n) != 0),
        _ => u128::from(m != 0),
    }
}

/// `a + b` of finite numbers; `None` when the sum is exactly zero.
pub fn add(a: &Num, b: &Num) -> Option<Wide> {
    let (big, small) = if (a.exp, a.mant) >= (b.exp, b.mant) { (a, b) } else { (b, a) };
    let d = (big.exp - small.exp) as u32;
    let hi = u128::from(big.mant) << 63;
    let lo = shift_right_sticky(u128::from(small.mant) << 63, d);
    let m = if a.sign == b.sign { hi + lo } else { hi - lo };
    if m == 0 { None } else { Some(Wide::new(big.sign, big.exp + 1, m)) }
}

/// `a * b` of finite numbers.
pub fn mul(a: &Num, b: &Num) -> Wide {
    Wide::new(a.sign != b.sign, a.exp + b.exp + 1, u128::from(a.mant) * u128::from(b.mant))
}

/// `a / b` of finite numbers.
pub fn div(a: &Num, b: &Num) -> Wide {
    let n = u128::from(a.mant) << 64;
    let d = u128::from(b.mant);
    let (q, r) = (n / d, n % d);
    let r = r << 64;
    let (q2, sticky) = (r / d, u128::from(r % d != 0));
    let sign = a.sign != b.sign;
    let exp = a.exp - b.exp;
    if q >> 64 != 0 {
        Wide::new(sign, exp, q << 63 | q2 >> 1 | q2 & 1 | sticky)
    } else {
        Wide::new(sign, exp - 1, q << 64 | q2 | sticky)
    }
}

/// Square root of a positive finite number.
pub fn sqrt(a: &Num) -> Wide {
    let odd = a.exp & 1 != 0;
    let half = a.exp >> 1;
    // The radicand in [1, 4) as 2.126 fixed point, taken two bits a step; 70 bits of root.
    let radicand = u128::from(a.mant) << if odd { 64 } else { 63 };
    let (mut root, mut rem) = (0u128, 0u128);
    for i in 0..70u32 {
        let two = if i < 64 { radicand >> (126 - 2 * i) & 3 } else { 0 };
        rem = rem << 2 | two;
        let trial = root << 2 | 1;
        root <<= 1;
        if rem >= trial {
            rem -= trial;
            root |= 1;
        }
    }
    Wide::new(false, half, root << 58 | u128::from(rem != 0))
}

/// A rounded finite result before it meets the exception masks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounded {
    /// Rounded as if the exponent had no bounds: exponent and significand (bit 63 set).
    pub exp: i32,
    /// Significand of that.
    pub mant: u64,
    /// That rounding was inexact.
    pub inexact: bool,
    /// That rounding went away from zero.
    pub up: bool,
    /// The exponent is above the format's range.
    pub overflow: bool,
    /// The exponent is below the range of normal numbers.
    pub tiny: bool,
    /// For tiny results: the denormal significand, scaled so that bit 63 has weight `2^emin`.
    pub denormal: u64,
    /// The denormal result is inexact.
    pub denormal_inexact: bool,
    /// The denormal result was rounded away from zero.
    pub denormal_up: bool,
}

/// Round to the top `p` bits: (significand, carry out of bit 63, inexact, up).
#[inline]
fn round_at(sign: bool, m: u128, p: u32, rc: Round) -> (u64, bool, bool, bool) {
    let shift = 128 - p;
    let low = m << p;
    let kept = m >> shift;
    let inexact = low != 0;
    let half = 1u128 << 127;
    let up = match rc {
        Round::Nearest => low > half || low == half && kept & 1 != 0,
        Round::Down => sign && inexact,
        Round::Up => !sign && inexact,
        Round::Zero => false,
    };
    let k = kept as u64;
    let unit = 64 - p;
    let (r, carry) = (k << unit).overflowing_add(u64::from(up) << unit);
    (r, carry, inexact, up)
}

/// Round `w` to format `f`.
pub fn round(w: &Wide, f: Format, rc: Round) -> Rounded {
    let (mant, carry, inexact, up) = round_at(w.sign, w.m, f.p, rc);
    let (exp, mant) = if carry { (w.exp + 1, 1 << 63) } else { (w.exp, mant) };
    let mut r = Rounded {
        exp,
        mant,
        inexact,
        up,
        overflow: exp > f.emax,
        tiny: exp < f.emin,
        denormal: 0,
        denormal_inexact: false,
        denormal_up: false,
    };
    if r.tiny {
        let m = shift_right_sticky(w.m, (f.emin - w.exp) as u32);
        let (d, _, inexact, up) = round_at(w.sign, m, f.p, rc);
        r.denormal = d;
        r.denormal_inexact = inexact;
        r.denormal_up = up;
    }
    r
}

/// Whether an overflow in direction `rc` becomes infinity (else the largest finite number).
pub fn overflow_to_inf(sign: bool, rc: Round) -> bool {
    match rc {
        Round::Nearest => true,
        Round::Down => sign,
        Round::Up => !sign,
        Round::Zero => false,
    }
}

/// Round to an integral value: (magnitude, inexact, up). `None` when it needs more than 64 bits.
pub fn round_to_int(a: &Num, rc: Round) -> Option<(u64, bool, bool)> {
    if a.exp > 63 {
        return None;
    }
    let m = shift_right_sticky(u128::from(a.mant) << 64, (63 - a.exp) as u32);
    let (k, low) = ((m >> 64) as u64, m as u64);
    let inexact = low != 0;
    let half = 1u64 << 63;
    let up = match rc {
        Round::Nearest => low > half || low == half && k & 1 != 0,
        Round::Down => a.sign && inexact,
        Round::Up => !a.sign && inexact,
        Round::Zero => false,
    };
    Some((k.checked_add(u64::from(up))?, inexact, up))
}

/// Compare finite or infinite or zero numbers (no NaN).
pub fn compare(a: &Num, b: &Num) -> core::cmp::Ordering {
    let key = |n: &Num| match n.class {
        Class::Zero => (0, 0, 0),
        Class::Inf => (1, i32::MAX, 0),
        _ => (1, n.exp, n.mant),
    };
    let (ka, kb) = (key(a), key(b));
    match (a.sign && ka.0 != 0, b.sign && kb.0 != 0) {
        (false, false) => ka.cmp(&kb),
        (true, true) => kb.cmp(&ka),
        (true, false) => core::cmp::Ordering::Less,
        (false, true) => core::cmp::Ordering::Greater,
    }
}
