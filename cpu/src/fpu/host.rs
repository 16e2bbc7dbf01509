//! x87 arithmetic on the host's own unit, for x86-64 hosts, with all exceptions masked and the guest's rounding and
//! precision. To the bit what [`super::soft`] yields; `super::tests` compares them.
//!
//! The host's control word is 037Fh between these functions (the System V and Windows x64 default); the register stack
//! is empty. Exception flags of the host accumulate: a result whose flags the guest has already set needs no clearing.
//!
//! Follows Intel SDM volume 1, section 8.1.5 (control word) and volume 2 (each instruction).
#![allow(unsafe_code)]

use super::soft::{Arith, C1, Out, Stored};
use crate::state::F80;
use core::arch::asm;

/// The control word that the host's code runs with.
const HOME: u16 = 0x37f;

/// Run x87 code on operands `a` and `b` (pointers), with result to `r`; yields the status word after the
/// operation. The code starts and ends with an empty register stack. `$before` stands before FNSTSW, `$after` behind it.
/// It reads and writes memory only by way of the three pointers, which callers make from references of sufficient size.
macro_rules! x87 {
    ($cw:expr, [$($before:expr),*], [$($after:expr),*], $a:expr, $b:expr, $r:expr) => {{
        let sw: u16;
        if $cw | 0x40 == HOME {
            // SAFETY: `a`, `b` and `r` come from live references; the register stack is left empty, the control word alone.
            unsafe {
                asm!($($before,)* "fnstsw ax", $($after,)*
                    a = in(reg) $a, b = in(reg) $b, r = in(reg) $r, out("ax") sw,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    options(nostack));
            }
        } else {
            let guest: u16 = $cw | 0x7f;
            let home = HOME;
            // SAFETY: as above; the control word is the guest's with everything masked inside, and the host's again after.
            unsafe {
                asm!("fldcw [{g}]", $($before,)* "fnstsw ax", $($after,)* "fldcw [{h}]",
                    a = in(reg) $a, b = in(reg) $b, r = in(reg) $r, g = in(reg) &guest, h = in(reg) &home, out("ax") sw,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                    options(nostack));
            }
        }
        sw
    }};
}

/// Clear the host's exception flags.
fn clear_flags() {
    // SAFETY: FNCLEX touches only the x87 status word, which Rust code doesn't rely on.
    unsafe { asm!("fnclex", options(nomem, nostack)) }
}

/// Run `f` (which yields a status word) so that its exception flags are exact beside those in the guest's status
/// word `sw`: flags left over from before matter only if the guest doesn't have them set already.
#[inline(always)]
fn exact_flags(sw: u16, mut f: impl FnMut() -> u16) -> u16 {
    let s = f();
    if s & !sw & 0x3f == 0 {
        return s & !0x3f;
    }
    clear_flags();
    f()
}

macro_rules! arith_body {
    ("reg", $m:literal, $cw:expr, $a:expr, $b:expr, $r:expr) => {
        x87!(
            $cw,
            ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", concat!($m, " st, st(1)")],
            ["fstp tbyte ptr [{r}]", "fstp st(0)"],
            $a,
            $b,
            $r
        )
    };
    ($load:literal, $m:literal, $cw:expr, $a:expr, $b:expr, $r:expr) => {
        x87!(
            $cw,
            ["fld tbyte ptr [{a}]", concat!($m, " ", $load, " ptr [{b}]")],
            ["fstp tbyte ptr [{r}]"],
            $a,
            $b,
            $r
        )
    };
}

macro_rules! arith_of {
    ($name:ident, $ty:ty, $load:tt, $doc:literal) => {
        #[doc = $doc]
        #[inline]
        pub fn $name(op: Arith, a: &F80, b: &$ty, cw: u16, sw: u16) -> Out {
            let mut val = F80::default();
            let r = &raw mut val;
            let s = exact_flags(sw, || arith_match!($load, op, cw, a, b, r));
            Out { val, flags: s & (0x3f | C1) }
        }
    };
}

macro_rules! arith_match {
    ($load:tt, $op:expr, $cw:expr, $a:expr, $b:expr, $r:expr) => {
        match $op {
            Arith::Add => arith_body!($load, "fadd", $cw, $a, $b, $r),
            Arith::Mul => arith_body!($load, "fmul", $cw, $a, $b, $r),
            Arith::Sub => arith_body!($load, "fsub", $cw, $a, $b, $r),
            Arith::SubR => arith_body!($load, "fsubr", $cw, $a, $b, $r),
            Arith::Div => arith_body!($load, "fdiv", $cw, $a, $b, $r),
            Arith::DivR => arith_body!($load, "fdivr", $cw, $a, $b, $r),
        }
    };
}

/// Runs `f` on register `d` in place; flags as from [`exact_flags`].
#[inline(always)]
fn in_place(regs: &mut [F80; 8], d: usize, sw: u16, mut f: impl FnMut(*mut F80) -> u16) -> u16 {
    let r = &mut regs[d & 7];
    let (mant, se) = (r.mant, r.se);
    let s = f(r);
    if s & !sw & 0x3f == 0 {
        return s & C1;
    }
    clear_flags();
    (r.mant, r.se) = (mant, se);
    f(r) & (0x3f | C1)
}

/// Register `d` = register `d` op register `s`; yields the flags. The result goes straight to its place: a copy would
/// wait for the store of ten bytes.
#[inline(always)]
pub fn arith_regs(op: Arith, regs: &mut [F80; 8], d: usize, s: usize, cw: u16, sw: u16) -> u16 {
    let b = &raw const regs[s & 7];
    in_place(regs, d, sw, |r| arith_match!("reg", op, cw, r, b, r))
}

/// Register `d` = register `d` op a single.
#[inline(always)]
pub fn arith_reg_m32(op: Arith, regs: &mut [F80; 8], d: usize, b: u32, cw: u16, sw: u16) -> u16 {
    let b = &raw const b;
    in_place(regs, d, sw, |r| arith_match!("dword", op, cw, r, b, r))
}

/// Register `d` = register `d` op a double.
#[inline(always)]
pub fn arith_reg_m64(op: Arith, regs: &mut [F80; 8], d: usize, b: u64, cw: u16, sw: u16) -> u16 {
    let b = &raw const b;
    in_place(regs, d, sw, |r| arith_match!("qword", op, cw, r, b, r))
}

arith_of!(arith, F80, "reg", "`a op b` of two registers.");
arith_of!(arith_m32, u32, "dword", "`a op b` of a register and a single.");
arith_of!(arith_m64, u64, "qword", "`a op b` of a register and a double.");

macro_rules! unary {
    ($name:ident, $m:literal, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(a: &F80, cw: u16, sw: u16) -> Out {
            let mut val = F80::default();
            let r = &raw mut val;
            let s = exact_flags(sw, || {
                x87!(cw, ["fld tbyte ptr [{a}]", "/* {b} */", $m], ["fstp tbyte ptr [{r}]"], a, a, r)
            });
            Out { val, flags: s & (0x3f | C1) }
        }
    };
}

unary!(sqrt, "fsqrt", "FSQRT.");
unary!(round_to_integral, "frndint", "FRNDINT.");

macro_rules! store {
    ($name:ident, $ty:ty, $m:literal, $doc:literal) => {
        #[doc = $doc]
        pub fn $name(a: &F80, cw: u16, sw: u16) -> Stored {
            let mut v: $ty = 0;
            let r = &raw mut v;
            let s = exact_flags(sw, || x87!(cw, ["fld tbyte ptr [{a}]", "/* {b} */", $m], [], a, a, r));
            Stored { bits: u64::from(v), flags: s & (0x3f | C1) }
        }
    };
}

store!(store_f32, u32, "fstp dword ptr [{r}]", "FST m32.");
store!(store_f64, u64, "fstp qword ptr [{r}]", "FST m64.");
store!(store_i16, u16, "fistp word ptr [{r}]", "FIST m16.");
store!(store_i32, u32, "fistp dword ptr [{r}]", "FIST m32.");
store!(store_i64, u64, "fistp qword ptr [{r}]", "FISTP m64.");

/// FCOM (or FUCOM): the status word after the comparison (C3, C2, C0 and exception flags).
pub fn compare(a: &F80, b: &F80, quiet: bool, sw: u16) -> u16 {
    let mut unused = 0u16;
    let r = &raw mut unused;
    exact_flags(sw, || {
        if quiet {
            x87!(HOME, ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fucompp"], ["/* {r} */"], a, b, r)
        } else {
            x87!(HOME, ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fcompp"], ["/* {r} */"], a, b, r)
        }
    })
}

/// FPREM or FPREM1 on the host: result and status word. Not used by the unit (reduction in several steps differs
/// between processors), only to test the soft one.
#[cfg(test)]
pub fn remainder(a: &F80, b: &F80, nearest: bool, cw: u16) -> (F80, u16) {
    let mut val = F80::default();
    let r = &raw mut val;
    clear_flags();
    let s = if nearest {
        x87!(
            cw,
            ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fprem1"],
            ["fstp tbyte ptr [{r}]", "fstp st(0)"],
            a,
            b,
            r
        )
    } else {
        x87!(
            cw,
            ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fprem"],
            ["fstp tbyte ptr [{r}]", "fstp st(0)"],
            a,
            b,
            r
        )
    };
    (val, s)
}

/// FSCALE on the host, for tests.
#[cfg(test)]
pub fn scale(a: &F80, b: &F80, cw: u16) -> Out {
    let mut val = F80::default();
    let r = &raw mut val;
    clear_flags();
    let s = x87!(
        cw,
        ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", "fscale"],
        ["fstp tbyte ptr [{r}]", "fstp st(0)"],
        a,
        b,
        r
    );
    Out { val, flags: s & (0x3f | C1) }
}

/// FXTRACT on the host, for tests: significand, exponent, status word.
#[cfg(test)]
pub fn extract(a: &F80) -> (F80, F80, u16) {
    let mut val = [F80::default(); 2];
    let r = &raw mut val;
    clear_flags();
    let s = x87!(
        HOME,
        ["fld tbyte ptr [{a}]", "/* {b} */", "fxtract"],
        ["fstp tbyte ptr [{r}]", "fstp tbyte ptr [{r} + 16]"],
        a,
        a,
        r
    );
    (val[0], val[1], s)
}

/// FXAM on the host, for tests: the status word.
#[cfg(test)]
pub fn examine(a: &F80) -> u16 {
    let mut val = 0u16;
    let r = &raw mut val;
    x87!(HOME, ["fld tbyte ptr [{a}]", "/* {b} {r} */", "fxam"], ["fstp st(0)"], a, a, r)
}

/// FBSTP on the host, for tests.
#[cfg(test)]
pub fn store_bcd(a: &F80, cw: u16) -> ([u8; 10], u16) {
    let mut val = [0u8; 10];
    let r = &raw mut val;
    clear_flags();
    let s = x87!(cw, ["fld tbyte ptr [{a}]", "/* {b} */", "fbstp tbyte ptr [{r}]"], [], a, a, r);
    (val, s & (0x3f | C1))
}

/// A transcendental on the host, for tests: by mnemonic index, operands ST(0) = `a`, ST(1) = `b`.
#[cfg(test)]
pub fn transcendental(op: usize, a: &F80, b: &F80) -> F80 {
    let mut val = F80::default();
    let r = &raw mut val;
    macro_rules! two {
        ($m:literal) => {
            x87!(HOME, ["fld tbyte ptr [{b}]", "fld tbyte ptr [{a}]", $m], ["fstp tbyte ptr [{r}]"], a, b, r)
        };
    }
    macro_rules! one {
        ($m:literal, $($more:literal),*) => {
            x87!(HOME, ["fld tbyte ptr [{a}]", "/* {b} */", $m], [$($more,)* "fstp tbyte ptr [{r}]"], a, b, r)
        };
    }
    match op {
        0 => one!("fsin",),
        1 => one!("fcos",),
        2 => one!("fptan", "fstp st(0)"),
        3 => two!("fpatan"),
        4 => one!("f2xm1",),
        5 => two!("fyl2x"),
        _ => two!("fyl2xp1"),
    };
    val
}
