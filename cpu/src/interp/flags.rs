//! Arithmetic and its flags, as pure functions, and [`Flags`], the lazy form in which the interpreter keeps the six
//! status flags: what they came from, so that most are never computed.
//!
//! Intel SDM volume 1, section 3.4.3.1, and the "Flags Affected" of each instruction in volume 2. Where those say
//! "undefined", the fixed function here is what AMD's Zen processors do (the list is complete):
//! - AND, OR, XOR, TEST: AF = 0.
//! - SHL, SHR, SAR, SHLD, SHRD: AF = 1. OF at counts above one: as if the last step were a shift by one (SHL, SHLD: CF
//!   xor sign; SHR, SHRD: the two top bits of the result differ; SAR: 0). CF past the operand's width: the zero (SAR:
//!   sign) shifted in. SHLD, SHRD of 16 bits by more than 16: the source follows once more behind itself and CF = 0. OF of SHLD
//!   by 16 and more = CF.
//! - ROL, ROR, RCL, RCR at counts above one: OF as for a count of one, from the result (left: CF xor top bit; right: the
//!   two top bits differ).
//! - MUL, IMUL: SF, ZF, AF, PF stay.
//! - DIV, IDIV: AF = 1; SF, ZF, PF = 0; CF and OF stay.
//! - BSF, BSR: CF, OF, SF, AF = 0, PF of the result's low byte (of zero where the source is zero).
//! - POPCNT clears all but ZF (defined). LZCNT, TZCNT: SF, AF, PF = 0, OF stays.
//! - BT, BTS, BTR, BTC: OF, SF, AF, PF stay.
//! - AAA, AAS, AAM, AAD: in `crate::meaning::tail`.

use crate::{
    insn::Insn,
    ops::{BitOp, Bits, Shift},
    state::flag,
};

/// The six status flags, lazily.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    /// Result, sign-extended: ZF = it is zero, SF = its sign.
    res: u64,
    /// Carries out of each bit, the operand's top bit at bit 63: CF = bit 63, OF = bit 63 xor bit 62.
    carry: u64,
    /// Bit 4 xor bit 4 of the result: AF. Bits 15:8 are xored into the result's low byte for PF, bit 16 into SF (so that
    /// any combination of flags has a form).
    aux: u32,
}

const TOP: u64 = 1 << 63;

/// Sign-extends the low `w` bytes.
#[inline(always)]
pub fn sext(w: u8, v: u64) -> u64 {
    match w {
        1 => v as i8 as u64,
        2 => v as i16 as u64,
        4 => v as i32 as u64,
        _ => v,
    }
}

#[inline(always)]
fn shift_up(w: u8) -> u32 {
    64 - 8 * w as u32
}

impl Flags {
    /// From RFLAGS.
    #[inline]
    pub fn from_rflags(f: u64) -> Flags {
        let zf = f & flag::ZF != 0;
        let res = u64::from(!zf);
        // Result 0 has even parity, 1 odd.
        let pf = f & flag::PF != 0;
        let delta = u32::from(pf != zf);
        let af = u32::from(f & flag::AF != 0) << 4;
        let sf = u32::from(f & flag::SF != 0) << 16;
        let cf = f & flag::CF;
        let of = f >> 11 & 1;
        Flags { res, carry: cf << 63 | (cf ^ of) << 62, aux: af | delta << 8 | sf }
    }
    #[inline(always)]
    #[allow(missing_docs)]
    pub fn cf(&self) -> bool {
        self.carry >> 63 != 0
    }
    #[inline(always)]
    #[allow(missing_docs)]
    pub fn zf(&self) -> bool {
        self.res == 0
    }
    #[inline(always)]
    #[allow(missing_docs)]
    pub fn sf(&self) -> bool {
        (self.res >> 63 ^ u64::from(self.aux) >> 16) & 1 != 0
    }
    #[inline(always)]
    #[allow(missing_docs)]
    pub fn of(&self) -> bool {
        (self.carry ^ self.carry << 1) >> 63 != 0
    }
    #[inline(always)]
    #[allow(missing_docs)]
    pub fn pf(&self) -> bool {
        (self.res as u8 ^ (self.aux >> 8) as u8).count_ones() & 1 == 0
    }
    #[inline(always)]
    #[allow(missing_docs)]
    pub fn af(&self) -> bool {
        (self.res ^ u64::from(self.aux)) >> 4 & 1 != 0
    }
    /// All six at their places in RFLAGS.
    #[inline]
    pub fn bits(&self) -> u64 {
        u64::from(self.cf())
            | u64::from(self.pf()) << 2
            | u64::from(self.af()) << 4
            | u64::from(self.zf()) << 6
            | u64::from(self.sf()) << 7
            | u64::from(self.of()) << 11
    }
    /// Whether a condition (low four bits of Jcc) holds.
    #[inline(always)]
    pub fn cond(&self, c: u8) -> bool {
        let yes = match c >> 1 & 7 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() | self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() | (self.sf() != self.of()),
        };
        yes != (c & 1 != 0)
    }
    /// As a logic operation leaves them.
    #[inline(always)]
    pub fn logic(w: u8, r: u64) -> Flags {
        Flags { res: sext(w, r), carry: 0, aux: r as u8 as u32 }
    }
    /// Result flags of `r`, AF = 0, CF and OF as given.
    #[inline(always)]
    pub fn result(w: u8, r: u64, cf: bool, of: bool) -> Flags {
        Flags { res: sext(w, r), carry: u64::from(cf) << 63 | u64::from(cf != of) << 62, aux: r as u8 as u32 }
    }
    /// As [`Flags::result`] with AF = 1.
    #[inline(always)]
    pub fn shifted(w: u8, r: u64, cf: bool, of: bool) -> Flags {
        let mut f = Flags::result(w, r, cf, of);
        f.aux ^= 0x10;
        f
    }
    /// As DIV leaves them.
    #[inline(always)]
    pub fn divided(self) -> Flags {
        Flags { res: 1, carry: self.carry, aux: 0x10 }
    }
    /// CF and OF replaced, the rest kept.
    #[inline(always)]
    pub fn with_cf_of(mut self, cf: bool, of: bool) -> Flags {
        self.carry = u64::from(cf) << 63 | u64::from(cf != of) << 62;
        self
    }
    /// CF replaced, the rest kept.
    #[inline(always)]
    pub fn with_cf(self, cf: bool) -> Flags {
        let of = self.of();
        self.with_cf_of(cf, of)
    }
}

/// `a + b + c`, truncated, and flags.
#[inline(always)]
pub fn add(w: u8, a: u64, b: u64, c: u64) -> (u64, Flags) {
    let r = a.wrapping_add(b).wrapping_add(c) & Insn::mask(w);
    let carry = (a & b | (a | b) & !r) << shift_up(w);
    (r, Flags { res: sext(w, r), carry, aux: (a ^ b) as u8 as u32 })
}

/// `a - b - c`, truncated, and flags.
#[inline(always)]
pub fn sub(w: u8, a: u64, b: u64, c: u64) -> (u64, Flags) {
    let r = a.wrapping_sub(b).wrapping_sub(c) & Insn::mask(w);
    let carry = (!a & b | (!a | b) & r) << shift_up(w);
    (r, Flags { res: sext(w, r), carry, aux: (a ^ b) as u8 as u32 })
}

/// INC or DEC: as add or sub of one, CF kept.
#[inline(always)]
pub fn keep_cf((r, mut f): (u64, Flags), old: Flags) -> (u64, Flags) {
    let cf = old.carry & TOP;
    let of = (f.carry ^ f.carry << 1) & TOP;
    f.carry = cf | (cf ^ of) >> 1;
    (r, f)
}

/// Shifts and rotates of the low `w` bytes of `a` by `count`, which is masked here (to 5 bits, 6 for `w` = 8). `None`: a
/// count of zero, nothing changes.
#[inline(always)]
pub fn shift(op: Shift, w: u8, a: u64, count: u64, old: &Flags) -> Option<(u64, Flags)> {
    let n = (count & if w == 8 { 63 } else { 31 }) as u32;
    if n == 0 { None } else { shift_by(op, w, a, n, old) }
}

/// As [`shift`], by a count that is not masked (8086) and not zero.
#[inline(always)]
pub fn shift_by(op: Shift, w: u8, a: u64, n: u32, old: &Flags) -> Option<(u64, Flags)> {
    let bits = 8 * w as u32;
    let mask = Insn::mask(w);
    let top = |v: u64| v >> (bits - 1) & 1 != 0;
    let second = |v: u64| v >> (bits - 2) & 1 != 0;
    Some(match op {
        Shift::Shl => {
            let wide = u128::from(a) << n.min(127);
            let r = wide as u64 & mask;
            let cf = wide >> bits & 1 != 0 && n <= bits;
            (r, Flags::shifted(w, r, cf, cf != top(r)))
        }
        Shift::Shr => {
            let r = if n < bits { a >> n } else { 0 };
            let cf = n <= bits && a >> (n - 1) & 1 != 0;
            (r, Flags::shifted(w, r, cf, top(r) != second(r)))
        }
        Shift::Sar => {
            let s = sext(w, a) as i64;
            let r = (s >> n.min(63)) as u64 & mask;
            let cf = s >> (n - 1).min(63) & 1 != 0;
            (r, Flags::shifted(w, r, cf, false))
        }
        Shift::Rol => {
            let k = n % bits;
            let r = if k == 0 { a } else { (a << k | a >> (bits - k)) & mask };
            let cf = r & 1 != 0;
            (r, old.with_cf_of(cf, cf != top(r)))
        }
        Shift::Ror => {
            let k = n % bits;
            let r = if k == 0 { a } else { (a >> k | a << (bits - k)) & mask };
            (r, old.with_cf_of(top(r), top(r) != second(r)))
        }
        Shift::Rcl | Shift::Rcr => {
            let k = n % (bits + 1);
            if k == 0 {
                let of = if op == Shift::Rcl { old.cf() != top(a) } else { top(a) != second(a) };
                return Some((a, old.with_cf_of(old.cf(), of)));
            }
            let wide = u128::from(a) | u128::from(old.cf()) << bits;
            let all = (1u128 << (bits + 1)) - 1;
            let k = if op == Shift::Rcl { k } else { bits + 1 - k };
            let v = (wide << k | wide >> (bits + 1 - k)) & all;
            let (r, cf) = (v as u64 & mask, v >> bits != 0);
            let of = if op == Shift::Rcl { cf != top(r) } else { top(r) != second(r) };
            (r, old.with_cf_of(cf, of))
        }
    })
}

/// SHLD (`left`) and SHRD. `None`: count of zero.
#[inline(always)]
pub fn double_shift(left: bool, w: u8, a: u64, b: u64, count: u64) -> Option<(u64, Flags)> {
    let bits = 8 * w as u32;
    let n = (count & if w == 8 { 63 } else { 31 }) as u32;
    if n == 0 {
        return None;
    }
    let mask = Insn::mask(w);
    let top = |v: u64| v >> (bits - 1) & 1 != 0;
    let second = |v: u64| v >> (bits - 2) & 1 != 0;
    if w == 2 {
        // a:b:b, so that counts above 16 have a meaning.
        let (r, cf) = if left {
            let all = a << 32 | b << 16 | b;
            ((all << n) >> 32 & mask, all << n >> 48 & 1 != 0)
        } else {
            let all = b << 32 | b << 16 | a;
            (all >> n & mask, all >> (n - 1) & 1 != 0)
        };
        let cf = cf && n <= 16;
        let of = if left { cf != (n < 16 && top(r)) } else { top(r) != second(r) };
        return Some((r, Flags::shifted(w, r, cf, of)));
    }
    let (r, cf) = if left {
        ((a << n | b >> (bits - n)) & mask, a >> (bits - n) & 1 != 0)
    } else {
        ((a >> n | b << (bits - n)) & mask, a >> (n - 1) & 1 != 0)
    };
    let of = if left { cf != top(r) } else { top(r) != second(r) };
    Some((r, Flags::shifted(w, r, cf, of)))
}

/// Full product: (low, high), and CF = OF.
#[inline(always)]
pub fn mul(signed: bool, w: u8, a: u64, b: u64) -> (u64, u64, bool) {
    let bits = 8 * w as u32;
    let mask = Insn::mask(w);
    if signed {
        let p = i128::from(sext(w, a) as i64) * i128::from(sext(w, b) as i64);
        let lo = p as u64 & mask;
        let over = p != i128::from(sext(w, lo) as i64);
        (lo, (p >> bits) as u64 & mask, over)
    } else {
        let p = u128::from(a) * u128::from(b);
        let lo = p as u64 & mask;
        let hi = (p >> bits) as u64 & mask;
        (lo, hi, hi != 0)
    }
}

/// Quotient and remainder of `hi:lo` by `d`; `None` is #DE.
#[inline(always)]
pub fn div(signed: bool, w: u8, hi: u64, lo: u64, d: u64) -> Option<(u64, u64)> {
    let bits = 8 * w as u32;
    let mask = Insn::mask(w);
    if d == 0 {
        return None;
    }
    if !signed {
        if hi >= d {
            return None;
        }
        if w == 8 {
            let n = u128::from(hi) << 64 | u128::from(lo);
            return Some(((n / u128::from(d)) as u64, (n % u128::from(d)) as u64));
        }
        let n = hi << bits | lo;
        return Some((n / d, n % d));
    }
    let n = if w == 8 {
        (u128::from(hi) << 64 | u128::from(lo)) as i128
    } else {
        i128::from(sext(2 * w, hi << bits | lo) as i64)
    };
    let d = i128::from(sext(w, d) as i64);
    let (q, r) = match (i64::try_from(n), i64::try_from(d)) {
        (Ok(n), Ok(d)) if n != i64::MIN => (i128::from(n / d), i128::from(n % d)),
        _ => (n.checked_div(d)?, n.checked_rem(d)?),
    };
    let limit = 1i128 << (bits - 1);
    if q >= limit || q < -limit {
        return None;
    }
    Some((q as u64 & mask, r as u64 & mask))
}

/// Scans and counts.
#[inline(always)]
pub fn bits(op: Bits, w: u8, v: u64, old: u64, flags: &Flags) -> (u64, Flags) {
    let n = 8 * w as u32;
    match op {
        Bits::Bsf | Bits::Bsr => {
            if v == 0 {
                return (old, Flags::logic(w, 0));
            }
            let r = u64::from(if op == Bits::Bsf { v.trailing_zeros() } else { 63 - v.leading_zeros() });
            // ZF tells of the source, which is not zero.
            let pf = (r as u8).count_ones() & 1;
            (r, Flags { res: 1, carry: 0, aux: 1 | (pf ^ 1) << 8 })
        }
        Bits::Popcnt => {
            let r = u64::from(v.count_ones());
            let zero = v == 0;
            // All but ZF clear: an odd low byte where the result is not zero, a parity correction where it is.
            (r, Flags { res: u64::from(!zero), carry: 0, aux: u32::from(zero) << 8 | u32::from(!zero) })
        }
        Bits::Lzcnt | Bits::Tzcnt => {
            let r = if op == Bits::Lzcnt { v.leading_zeros() - (64 - n) } else { v.trailing_zeros().min(n) };
            let r = u64::from(r);
            // SF, AF, PF clear; ZF of the result.
            let aux = if r == 0 { 1 << 8 } else { 1 };
            let f = Flags { res: u64::from(r != 0), carry: 0, aux };
            (r, f.with_cf_of(v == 0, flags.of()))
        }
    }
}

/// The value with bit `n` (modulo width) changed, and the bit before.
#[inline(always)]
pub fn bit_test(op: BitOp, w: u8, v: u64, n: u64) -> (u64, bool) {
    let bit = 1u64 << (n & u64::from(8 * w - 1));
    let r = match op {
        BitOp::Test => v,
        BitOp::Set => v | bit,
        BitOp::Reset => v & !bit,
        BitOp::Complement => v ^ bit,
    };
    (r, v & bit != 0)
}
