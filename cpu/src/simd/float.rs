//! The floating-point instructions of SSE to SSE4.1 as operations: for each its soft form, and on x86-64 hosts its host
//! form. With every exception masked the host computes (in the guest's rounding, DAZ and FTZ); else the soft form does.
//!
//! Follows Intel SDM volume 1, chapters 10 and 11, and volume 2 per instruction.

use super::fast;
use super::lanes::{from_words, words};
use super::soft::{D, Env, Kind, Op, S};
use crate::ops::{Vec128, VecOp};
use crate::{Exec, Fault, insn::Insn, state::cr4};
use core::cmp::Ordering;

/// A floating-point operation: `a` is the old destination, `b` the source.
pub trait FloatOp {
    /// In software.
    fn soft(e: &mut Env, a: Vec128, b: Vec128, imm: u8) -> Vec128;
    /// The usual case beats the host's instruction with its look at MXCSR (conversions), too.
    const FAST_FIRST: bool = false;
    /// The usual case, if this is one: see [`super::fast`].
    #[inline(always)]
    fn fast(mxcsr: u32, a: Vec128, b: Vec128) -> Option<Vec128> {
        let _ = (mxcsr, a, b);
        None
    }
    /// On the host, all exceptions masked: the result and exception flags that include the new ones; `None` if the host
    /// lacks the instruction.
    #[cfg(target_arch = "x86_64")]
    #[inline(always)]
    fn host(mxcsr: u32, a: Vec128, b: Vec128, imm: u8) -> Option<(Vec128, u32)> {
        let _ = (mxcsr, a, b, imm);
        None
    }
}

/// All six exceptions masked.
pub const MASKS: u32 = 0x1f80;

/// A [`FloatOp`] as a vector operation.
#[derive(Clone, Copy, Debug)]
pub struct Float<T>(core::marker::PhantomData<T>);

impl<T: FloatOp> VecOp for Float<T> {
    const FLOAT: bool = true;
    #[inline(always)]
    fn run(x: &mut Exec<'_>, i: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault> {
        if (T::FAST_FIRST || cfg!(not(target_arch = "x86_64")))
            && let Some(r) = T::fast(x.cpu.mxcsr, a, b)
        {
            return Ok(r);
        }
        #[cfg(target_arch = "x86_64")]
        {
            let csr = x.cpu.mxcsr;
            if csr & MASKS == MASKS
                && let Some((r, flags)) = T::host(csr, a, b, i.imm as u8)
            {
                x.cpu.mxcsr = csr | flags & 0x3f;
                return Ok(r);
            }
        }
        run_soft::<T>(x, i, a, b)
    }
}

#[inline(never)]
fn run_soft<T: FloatOp>(x: &mut Exec<'_>, i: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault> {
    let mut e = Env::new(x.cpu.mxcsr);
    let r = T::soft(&mut e, a, b, i.imm as u8);
    report(x, &e)?;
    Ok(r)
}

/// Sets the flags in MXCSR and raises #XM (or #UD) if one of the new ones is not masked.
pub fn report(x: &mut Exec<'_>, e: &Env) -> Result<(), Fault> {
    let flags = e.flags();
    x.cpu.mxcsr |= flags;
    if flags & !(x.cpu.mxcsr >> 7) & 0x3f == 0 {
        return Ok(());
    }
    Err(if x.cpu.cr4 & cr4::OSXMMEXCPT != 0 { Fault::xm() } else { Fault::ud() })
}

#[inline(always)]
fn packed_s(a: Vec128, b: Vec128, mut f: impl FnMut(u64, u64) -> u64) -> Vec128 {
    let (a, b) = (words(a), words(b));
    from_words([0, 1, 2, 3].map(|i| f(a[i].into(), b[i].into()) as u32))
}

#[inline(always)]
fn packed_d(a: Vec128, b: Vec128, mut f: impl FnMut(u64, u64) -> u64) -> Vec128 {
    Vec128([f(a.0[0], b.0[0]), f(a.0[1], b.0[1])])
}

#[inline(always)]
fn scalar_s(a: Vec128, b: Vec128, mut f: impl FnMut(u64, u64) -> u64) -> Vec128 {
    let v = f(a.0[0] & 0xffff_ffff, b.0[0] & 0xffff_ffff);
    Vec128([a.0[0] & !0xffff_ffff | v & 0xffff_ffff, a.0[1]])
}

#[inline(always)]
fn scalar_d(a: Vec128, b: Vec128, mut f: impl FnMut(u64, u64) -> u64) -> Vec128 {
    Vec128([f(a.0[0], b.0[0]), a.0[1]])
}

/// One operation: name, soft body, host instruction.
macro_rules! op {
    ($($(#[$doc:meta])* $name:ident($e:ident, $a:ident, $b:ident, $imm:ident) $body:expr, host $host:expr $(, fast $fast:expr)? $(, first $first:expr)?;)*) => { $(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl FloatOp for $name {
            #[allow(unused_variables)]
            fn soft($e: &mut Env, $a: Vec128, $b: Vec128, $imm: u8) -> Vec128 {
                $body
            }
            $(
                #[inline(always)]
                fn fast(csr: u32, a: Vec128, b: Vec128) -> Option<Vec128> {
                    #[allow(clippy::redundant_closure_call)]
                    ($fast)(csr, a, b)
                }
            )?
            $(
                const FAST_FIRST: bool = true;
                #[inline(always)]
                fn fast(csr: u32, a: Vec128, b: Vec128) -> Option<Vec128> {
                    #[allow(clippy::redundant_closure_call)]
                    ($first)(csr, a, b)
                }
            )?
            #[cfg(target_arch = "x86_64")]
            #[inline(always)]
            fn host(csr: u32, a: Vec128, b: Vec128, imm: u8) -> Option<(Vec128, u32)> {
                #[allow(unused_imports)]
                use super::host;
                #[allow(clippy::redundant_closure_call)]
                ($host)(csr, a, b, imm)
            }
        }
    )* };
}

#[cfg(target_arch = "x86_64")]
type HostResult = Option<(Vec128, u32)>;

#[cfg(target_arch = "x86_64")]
fn none(_: u32, _: Vec128, _: Vec128, _: u8) -> HostResult {
    None
}

macro_rules! binary {
    ($($op:ident: $ps:ident $pd:ident $ss:ident $sd:ident, $hps:ident $hpd:ident $hss:ident $hsd:ident;)*) => { op! { $(
        $ps(e, a, b, imm) packed_s(a, b, |x, y| e.binary(S, Op::$op, x, y)), host |c, a, b, _| Some(host::$hps(c, a, b)),
            fast |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::packed_s(Op::$op, a, b) } else { None };
        $pd(e, a, b, imm) packed_d(a, b, |x, y| e.binary(D, Op::$op, x, y)), host |c, a, b, _| Some(host::$hpd(c, a, b)),
            fast |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::packed_d(Op::$op, a, b) } else { None };
        $ss(e, a, b, imm) scalar_s(a, b, |x, y| e.binary(S, Op::$op, x, y)), host |c, a, b, _| Some(host::$hss(c, a, b)),
            fast |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::scalar_s(Op::$op, a, b) } else { None };
        $sd(e, a, b, imm) scalar_d(a, b, |x, y| e.binary(D, Op::$op, x, y)), host |c, a, b, _| Some(host::$hsd(c, a, b)),
            fast |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::scalar_d(Op::$op, a, b) } else { None };
    )* } };
}

binary! {
    Add: Addps Addpd Addss Addsd, addps addpd addss addsd;
    Sub: Subps Subpd Subss Subsd, subps subpd subss subsd;
    Mul: Mulps Mulpd Mulss Mulsd, mulps mulpd mulss mulsd;
    Div: Divps Divpd Divss Divsd, divps divpd divss divsd;
    Min: Minps Minpd Minss Minsd, minps minpd minss minsd;
    Max: Maxps Maxpd Maxss Maxsd, maxps maxpd maxss maxsd;
}

fn all(k: Kind, c: bool) -> u64 {
    if c { !0 >> (64 - k.bits) } else { 0 }
}

fn hadd(e: &mut Env, k: Kind, op: Op, a: Vec128, b: Vec128) -> Vec128 {
    if k == D {
        return Vec128([e.binary(D, op, a.0[0], a.0[1]), e.binary(D, op, b.0[0], b.0[1])]);
    }
    let (a, b) = (words(a), words(b));
    let mut f = |x: u32, y: u32| e.binary(S, op, x.into(), y.into()) as u32;
    from_words([f(a[0], a[1]), f(a[2], a[3]), f(b[0], b[1]), f(b[2], b[3])])
}

fn dot_s(e: &mut Env, a: Vec128, b: Vec128, imm: u8) -> Vec128 {
    let (a, b) = (words(a), words(b));
    let mut product = |i: usize| {
        if imm >> (4 + i) & 1 != 0 { e.binary(S, Op::Mul, a[i].into(), b[i].into()) } else { 0 }
    };
    let p = [product(0), product(1), product(2), product(3)];
    if !e.next_stage() {
        return Vec128([0; 2]);
    }
    let low = e.binary(S, Op::Add, p[0], p[1]);
    let high = e.binary(S, Op::Add, p[2], p[3]);
    if !e.next_stage() {
        return Vec128([0; 2]);
    }
    let sum = e.binary(S, Op::Add, low, high) as u32;
    from_words([0, 1, 2, 3].map(|i| if imm >> i & 1 != 0 { sum } else { 0 }))
}

fn dot_d(e: &mut Env, a: Vec128, b: Vec128, imm: u8) -> Vec128 {
    let mut product =
        |i: usize| if imm >> (4 + i) & 1 != 0 { e.binary(D, Op::Mul, a.0[i], b.0[i]) } else { 0 };
    let p = [product(0), product(1)];
    if !e.next_stage() {
        return Vec128([0; 2]);
    }
    let sum = e.binary(D, Op::Add, p[0], p[1]);
    Vec128([0, 1].map(|i| if imm >> i & 1 != 0 { sum } else { 0 }))
}

/// Two 32-bit results in the low half.
fn low2(a: u64, b: u64) -> Vec128 {
    Vec128([a & 0xffff_ffff | b << 32, 0])
}

fn ints(v: Vec128) -> [i64; 4] {
    words(v).map(|w| i64::from(w as i32))
}

op! {
    Sqrtps(e, a, b, imm) packed_s(a, b, |_, y| e.sqrt(S, y)), host |c, a, b, _| Some(host::sqrtps(c, a, b));
    Sqrtpd(e, a, b, imm) packed_d(a, b, |_, y| e.sqrt(D, y)), host |c, a, b, _| Some(host::sqrtpd(c, a, b));
    Sqrtss(e, a, b, imm) scalar_s(a, b, |_, y| e.sqrt(S, y)), host |c, a, b, _| Some(host::sqrtss(c, a, b)), fast |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::sqrt_s(a, b) } else { None };
    Sqrtsd(e, a, b, imm) scalar_d(a, b, |_, y| e.sqrt(D, y)), host |c, a, b, _| Some(host::sqrtsd(c, a, b)), fast |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::sqrt_d(a, b) } else { None };

    Cmpps(e, a, b, imm) packed_s(a, b, |x, y| all(S, e.compare(S, imm, x, y))), host |c, a, b, i| Some(host::cmpps(c, a, b, i));
    Cmppd(e, a, b, imm) packed_d(a, b, |x, y| all(D, e.compare(D, imm, x, y))), host |c, a, b, i| Some(host::cmppd(c, a, b, i));
    Cmpss(e, a, b, imm) scalar_s(a, b, |x, y| all(S, e.compare(S, imm, x, y))), host |c, a, b, i| Some(host::cmpss(c, a, b, i));
    Cmpsd(e, a, b, imm) scalar_d(a, b, |x, y| all(D, e.compare(D, imm, x, y))), host |c, a, b, i| Some(host::cmpsd(c, a, b, i));

    Roundps(e, a, b, imm) packed_s(a, b, |_, y| e.round(S, y, imm)), host host::roundps;
    Roundpd(e, a, b, imm) packed_d(a, b, |_, y| e.round(D, y, imm)), host host::roundpd;
    Roundss(e, a, b, imm) scalar_s(a, b, |_, y| e.round(S, y, imm)), host host::roundss;
    Roundsd(e, a, b, imm) scalar_d(a, b, |_, y| e.round(D, y, imm)), host host::roundsd;

    Haddps(e, a, b, imm) hadd(e, S, Op::Add, a, b), host none;
    Haddpd(e, a, b, imm) hadd(e, D, Op::Add, a, b), host none;
    Hsubps(e, a, b, imm) hadd(e, S, Op::Sub, a, b), host none;
    Hsubpd(e, a, b, imm) hadd(e, D, Op::Sub, a, b), host none;
    Addsubps(e, a, b, imm) {
        let mut odd = false;
        packed_s(a, b, |x, y| {
            let op = if odd { Op::Add } else { Op::Sub };
            odd = !odd;
            e.binary(S, op, x, y)
        })
    }, host none;
    Addsubpd(e, a, b, imm) Vec128([e.binary(D, Op::Sub, a.0[0], b.0[0]), e.binary(D, Op::Add, a.0[1], b.0[1])]), host none;
    Dpps(e, a, b, imm) dot_s(e, a, b, imm), host none;
    Dppd(e, a, b, imm) dot_d(e, a, b, imm), host none;

    Cvtps2pd(e, a, b, imm) {
        let w = words(b);
        Vec128([e.convert(S, D, w[0].into()), e.convert(S, D, w[1].into())])
    }, host |c, a, b, _| Some(host::cvtps2pd(c, a, b));
    Cvtpd2ps(e, a, b, imm) low2(e.convert(D, S, b.0[0]), e.convert(D, S, b.0[1])), host |c, a, b, _| Some(host::cvtpd2ps(c, a, b));
    Cvtss2sd(e, a, b, imm) Vec128([e.convert(S, D, b.0[0] & 0xffff_ffff), a.0[1]]), host |c, a, b, _| Some(host::cvtss2sd(c, a, b)), first |c: u32, a: Vec128, b: Vec128| if fast::exact(c) { fast::widen(a, b) } else { None };
    Cvtsd2ss(e, a, b, imm) scalar_s(a, b, |_, _| e.convert(D, S, b.0[0])), host |c, a, b, _| Some(host::cvtsd2ss(c, a, b)), first |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { fast::narrow(a, b) } else { None };
    Cvtdq2ps(e, a, b, imm) from_words(ints(b).map(|v| e.from_int(S, v) as u32)), host |c, a, b, _| Some(host::cvtdq2ps(c, a, b));
    Cvtdq2pd(e, a, b, imm) Vec128([e.from_int(D, ints(b)[0]), e.from_int(D, ints(b)[1])]), host |c, a, b, _| Some(host::cvtdq2pd(c, a, b));
    Cvtps2dq(e, a, b, imm) packed_s(a, b, |_, y| e.to_int(S, y, 32, false)), host |c, a, b, _| Some(host::cvtps2dq(c, a, b));
    Cvttps2dq(e, a, b, imm) packed_s(a, b, |_, y| e.to_int(S, y, 32, true)), host |c, a, b, _| Some(host::cvttps2dq(c, a, b));
    Cvtpd2dq(e, a, b, imm) low2(e.to_int(D, b.0[0], 32, false), e.to_int(D, b.0[1], 32, false)), host |c, a, b, _| Some(host::cvtpd2dq(c, a, b));
    Cvttpd2dq(e, a, b, imm) low2(e.to_int(D, b.0[0], 32, true), e.to_int(D, b.0[1], 32, true)), host |c, a, b, _| Some(host::cvttpd2dq(c, a, b));

    // Two integers of an MMX operand in the low half of `b`.
    Cvtpi2ps(e, a, b, imm) {
        let w = ints(b);
        Vec128([u64::from(e.from_int(S, w[0]) as u32) | e.from_int(S, w[1]) << 32, a.0[1]])
    }, host none;
    // Two singles to an MMX result.
    Cvtps2pi(e, a, b, imm) { let w = words(b); low2(e.to_int(S, w[0].into(), 32, false), e.to_int(S, w[1].into(), 32, false)) }, host none;
    Cvttps2pi(e, a, b, imm) { let w = words(b); low2(e.to_int(S, w[0].into(), 32, true), e.to_int(S, w[1].into(), 32, true)) }, host none;

    // General registers: the integer is in the low word of `b`, or of the result.
    Cvtsi2ss32(e, a, b, imm) scalar_s(a, b, |_, y| e.from_int(S, i64::from(y as i32))), host |c, a, b, _| Some(host::cvtsi2ss32(c, a, b));
    Cvtsi2ss64(e, a, b, imm) scalar_s(a, b, |_, _| e.from_int(S, b.0[0] as i64)), host |c, a, b, _| Some(host::cvtsi2ss64(c, a, b));
    Cvtsi2sd32(e, a, b, imm) scalar_d(a, b, |_, y| e.from_int(D, i64::from(y as i32))), host |c, a, b, _| Some(host::cvtsi2sd32(c, a, b)), first |c: u32, a: Vec128, b: Vec128| if fast::exact(c) { Some(Vec128([f64::from(b.0[0] as i32).to_bits(), a.0[1]])) } else { None };
    Cvtsi2sd64(e, a, b, imm) scalar_d(a, b, |_, y| e.from_int(D, y as i64)), host |c, a, b, _| Some(host::cvtsi2sd64(c, a, b)), first |c: u32, a: Vec128, b: Vec128| if fast::usual(c) { Some(Vec128([(b.0[0] as i64 as f64).to_bits(), a.0[1]])) } else { None };
    Cvtss2si32(e, a, b, imm) Vec128([e.to_int(S, b.0[0] & 0xffff_ffff, 32, false), 0]), host |c, _, b, _| Some(host::cvtss2si32(c, b));
    Cvtss2si64(e, a, b, imm) Vec128([e.to_int(S, b.0[0] & 0xffff_ffff, 64, false), 0]), host |c, _, b, _| Some(host::cvtss2si64(c, b));
    Cvtsd2si32(e, a, b, imm) Vec128([e.to_int(D, b.0[0], 32, false), 0]), host |c, _, b, _| Some(host::cvtsd2si32(c, b));
    Cvtsd2si64(e, a, b, imm) Vec128([e.to_int(D, b.0[0], 64, false), 0]), host |c, _, b, _| Some(host::cvtsd2si64(c, b));
    Cvttss2si32(e, a, b, imm) Vec128([e.to_int(S, b.0[0] & 0xffff_ffff, 32, true), 0]), host |c, _, b, _| Some(host::cvttss2si32(c, b)), first |c: u32, _: Vec128, b: Vec128| if fast::usual(c) { fast::truncate_s(b, 32) } else { None };
    Cvttss2si64(e, a, b, imm) Vec128([e.to_int(S, b.0[0] & 0xffff_ffff, 64, true), 0]), host |c, _, b, _| Some(host::cvttss2si64(c, b)), first |c: u32, _: Vec128, b: Vec128| if fast::usual(c) { fast::truncate_s(b, 64) } else { None };
    Cvttsd2si32(e, a, b, imm) Vec128([e.to_int(D, b.0[0], 32, true), 0]), host |c, _, b, _| Some(host::cvttsd2si32(c, b)), first |c: u32, _: Vec128, b: Vec128| if fast::usual(c) { fast::truncate_d(b, 32) } else { None };
    Cvttsd2si64(e, a, b, imm) Vec128([e.to_int(D, b.0[0], 64, true), 0]), host |c, _, b, _| Some(host::cvttsd2si64(c, b)), first |c: u32, _: Vec128, b: Vec128| if fast::usual(c) { fast::truncate_d(b, 64) } else { None };
}

/// COMISS, COMISD, UCOMISS, UCOMISD: ZF, PF, CF; the other status flags cleared. The same code on every host: ordinary
/// numbers are compared as integers.
#[derive(Clone, Copy, Debug)]
pub struct Comis<const DOUBLE: bool, const QUIET: bool>;

impl<const DOUBLE: bool, const QUIET: bool> VecOp for Comis<DOUBLE, QUIET> {
    const FLOAT: bool = true;
    const FLAGS: bool = true;
    #[inline(always)]
    fn run(x: &mut Exec<'_>, _: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault> {
        use crate::state::flag;
        let k = if DOUBLE { D } else { S };
        let cut = |v: Vec128| v.0[0] & !0 >> (64 - k.bits);
        let mut e = Env::new(x.cpu.mxcsr);
        let order = match ordinary::<DOUBLE>(cut(a), cut(b)) {
            Some(o) => Some(o),
            None => {
                let o = e.order(k, cut(a), cut(b), !QUIET);
                report(x, &e)?;
                o
            }
        };
        let f = match order {
            Some(Ordering::Greater) => 0,
            Some(Ordering::Less) => flag::CF,
            Some(Ordering::Equal) => flag::ZF,
            None => flag::CF | flag::ZF | flag::PF,
        };
        x.cpu.rflags = x.cpu.rflags & !flag::STATUS | f;
        Ok(a)
    }
}

/// The order of two numbers that are neither denormal nor NaN.
#[inline(always)]
fn ordinary<const DOUBLE: bool>(a: u64, b: u64) -> Option<Ordering> {
    if DOUBLE {
        let plain = |v: u64| v << 1 == 0 || (v >> 52 & 0x7ff).wrapping_sub(1) < 0x7fe;
        if plain(a) && plain(b) { f64::from_bits(a).partial_cmp(&f64::from_bits(b)) } else { None }
    } else {
        let (a, b) = (a as u32, b as u32);
        let plain = |v: u32| v << 1 == 0 || (v >> 23 & 0xff).wrapping_sub(1) < 0xfe;
        if plain(a) && plain(b) { f32::from_bits(a).partial_cmp(&f32::from_bits(b)) } else { None }
    }
}
