//! SSE floating point on the host's own unit, for x86-64 hosts: the guest's rounding, DAZ and FTZ with all exceptions
//! masked. To the bit what [`super::soft`] yields; `super::tests` compares them.
//!
//! The host's MXCSR control bits are those of 1F80h between these functions. Its exception flags accumulate; flags that
//! the guest has already set need no clearing, so the usual operation costs one STMXCSR.
//!
//! Follows Intel SDM volume 1, section 10.2.3 (MXCSR) and volume 2 per instruction.
#![allow(unsafe_code)]

use crate::ops::Vec128;
use core::arch::asm;
use core::arch::x86_64::{__m128i, _mm_load_si128, _mm_store_si128};

/// The MXCSR that the host's code runs with.
const HOME: u32 = 0x1f80;
/// Rounding control, DAZ, FTZ.
const MODES: u32 = 0xe040;

/// To the host's type.
#[inline(always)]
pub fn to_host(v: Vec128) -> __m128i {
    // SAFETY: reads 16 bytes of a live value whose type is aligned to 16.
    unsafe { _mm_load_si128((&raw const v).cast()) }
}

/// From the host's type.
#[inline(always)]
pub fn from_host(v: __m128i) -> Vec128 {
    let mut r = Vec128([0; 2]);
    // SAFETY: writes 16 bytes of a live value whose type is aligned to 16.
    unsafe { _mm_store_si128((&raw mut r).cast(), v) };
    r
}

/// Whether flags left in the host's MXCSR `seen` say nothing beyond what the guest's `csr` has, and modes agree.
#[inline(always)]
fn settled(csr: u32, seen: u32) -> bool {
    seen & !csr & 0x3f == 0
}

/// Operand forms: xmm and xmm; xmm and integer; integer from xmm.
macro_rules! run {
    ($csr:expr, $insn:expr, $($operand:tt)*) => {{
        let mut seen = 0u32;
        if $csr & MODES == 0 {
            // SAFETY: computes on the registers given and stores MXCSR to `seen`; changes no control bit of MXCSR.
            unsafe { asm!($insn, "stmxcsr [{s}]", $($operand)*, s = in(reg) &raw mut seen, options(nostack)) };
        }
        ($csr & MODES == 0 && settled($csr, seen), seen)
    }};
}

macro_rules! rerun {
    ($csr:expr, $insn:expr, $($operand:tt)*) => {{
        let mut seen = 0u32;
        let modes = $csr & MODES | HOME;
        let home = HOME;
        // SAFETY: no exception is unmasked in `modes`; stores only MXCSR to `seen`, and the host's own MXCSR is back after it.
        unsafe {
            asm!("ldmxcsr [{m}]", $insn, "stmxcsr [{s}]", "ldmxcsr [{h}]", $($operand)*,
                m = in(reg) &modes, h = in(reg) &home, s = in(reg) &raw mut seen, options(nostack));
        }
        seen & 0x3f
    }};
}

macro_rules! xx {
    ($($name:ident $insn:expr;)*) => { $(
        #[doc = concat!("`", $insn, "`.")]
        #[inline(always)]
        pub fn $name(csr: u32, a: Vec128, b: Vec128) -> (Vec128, u32) {
            let b = to_host(b);
            let mut r = to_host(a);
            let (done, _) = run!(csr, $insn, a = inout(xmm_reg) r, b = in(xmm_reg) b);
            if done {
                return (from_host(r), 0);
            }
            $name::again(csr, a, b)
        }
        #[allow(missing_docs)]
        mod $name {
            use super::*;
            #[inline(never)]
            pub(super) fn again(csr: u32, a: Vec128, b: __m128i) -> (Vec128, u32) {
                let mut r = to_host(a);
                let flags = rerun!(csr, $insn, a = inout(xmm_reg) r, b = in(xmm_reg) b);
                (from_host(r), flags)
            }
        }
    )* };
}

macro_rules! xr {
    ($($name:ident $insn:expr;)*) => { $(
        #[doc = concat!("`", $insn, "`.")]
        #[inline(always)]
        pub fn $name(csr: u32, a: Vec128, b: Vec128) -> (Vec128, u32) {
            let mut r = to_host(a);
            let (done, _) = run!(csr, $insn, a = inout(xmm_reg) r, b = in(reg) b.0[0]);
            if done {
                return (from_host(r), 0);
            }
            let mut r = to_host(a);
            let flags = rerun!(csr, $insn, a = inout(xmm_reg) r, b = in(reg) b.0[0]);
            (from_host(r), flags)
        }
    )* };
}

macro_rules! rx {
    ($($name:ident $insn:expr;)*) => { $(
        #[doc = concat!("`", $insn, "`.")]
        #[inline(always)]
        pub fn $name(csr: u32, b: Vec128) -> (Vec128, u32) {
            let b = to_host(b);
            let mut r = 0u64;
            let (done, _) = run!(csr, $insn, a = inout(reg) r, b = in(xmm_reg) b);
            if done {
                return (Vec128([r, 0]), 0);
            }
            let flags = rerun!(csr, $insn, a = inout(reg) r, b = in(xmm_reg) b);
            (Vec128([r, 0]), flags)
        }
    )* };
}

xx! {
    addps "addps {a}, {b}";
    addpd "addpd {a}, {b}";
    addss "addss {a}, {b}";
    addsd "addsd {a}, {b}";
    subps "subps {a}, {b}";
    subpd "subpd {a}, {b}";
    subss "subss {a}, {b}";
    subsd "subsd {a}, {b}";
    mulps "mulps {a}, {b}";
    mulpd "mulpd {a}, {b}";
    mulss "mulss {a}, {b}";
    mulsd "mulsd {a}, {b}";
    divps "divps {a}, {b}";
    divpd "divpd {a}, {b}";
    divss "divss {a}, {b}";
    divsd "divsd {a}, {b}";
    minps "minps {a}, {b}";
    minpd "minpd {a}, {b}";
    minss "minss {a}, {b}";
    minsd "minsd {a}, {b}";
    maxps "maxps {a}, {b}";
    maxpd "maxpd {a}, {b}";
    maxss "maxss {a}, {b}";
    maxsd "maxsd {a}, {b}";
    sqrtps "sqrtps {a}, {b}";
    sqrtpd "sqrtpd {a}, {b}";
    sqrtss "sqrtss {a}, {b}";
    sqrtsd "sqrtsd {a}, {b}";
    cvtps2pd "cvtps2pd {a}, {b}";
    cvtpd2ps "cvtpd2ps {a}, {b}";
    cvtss2sd "cvtss2sd {a}, {b}";
    cvtsd2ss "cvtsd2ss {a}, {b}";
    cvtdq2ps "cvtdq2ps {a}, {b}";
    cvtdq2pd "cvtdq2pd {a}, {b}";
    cvtps2dq "cvtps2dq {a}, {b}";
    cvttps2dq "cvttps2dq {a}, {b}";
    cvtpd2dq "cvtpd2dq {a}, {b}";
    cvttpd2dq "cvttpd2dq {a}, {b}";
    cmpps_0 "cmpps {a}, {b}, 0";
    cmpps_1 "cmpps {a}, {b}, 1";
    cmpps_2 "cmpps {a}, {b}, 2";
    cmpps_3 "cmpps {a}, {b}, 3";
    cmpps_4 "cmpps {a}, {b}, 4";
    cmpps_5 "cmpps {a}, {b}, 5";
    cmpps_6 "cmpps {a}, {b}, 6";
    cmpps_7 "cmpps {a}, {b}, 7";
    cmppd_0 "cmppd {a}, {b}, 0";
    cmppd_1 "cmppd {a}, {b}, 1";
    cmppd_2 "cmppd {a}, {b}, 2";
    cmppd_3 "cmppd {a}, {b}, 3";
    cmppd_4 "cmppd {a}, {b}, 4";
    cmppd_5 "cmppd {a}, {b}, 5";
    cmppd_6 "cmppd {a}, {b}, 6";
    cmppd_7 "cmppd {a}, {b}, 7";
    cmpss_0 "cmpss {a}, {b}, 0";
    cmpss_1 "cmpss {a}, {b}, 1";
    cmpss_2 "cmpss {a}, {b}, 2";
    cmpss_3 "cmpss {a}, {b}, 3";
    cmpss_4 "cmpss {a}, {b}, 4";
    cmpss_5 "cmpss {a}, {b}, 5";
    cmpss_6 "cmpss {a}, {b}, 6";
    cmpss_7 "cmpss {a}, {b}, 7";
    cmpsd_0 "cmpsd {a}, {b}, 0";
    cmpsd_1 "cmpsd {a}, {b}, 1";
    cmpsd_2 "cmpsd {a}, {b}, 2";
    cmpsd_3 "cmpsd {a}, {b}, 3";
    cmpsd_4 "cmpsd {a}, {b}, 4";
    cmpsd_5 "cmpsd {a}, {b}, 5";
    cmpsd_6 "cmpsd {a}, {b}, 6";
    cmpsd_7 "cmpsd {a}, {b}, 7";
    roundps_0 "roundps {a}, {b}, 0";
    roundps_1 "roundps {a}, {b}, 1";
    roundps_2 "roundps {a}, {b}, 2";
    roundps_3 "roundps {a}, {b}, 3";
    roundps_4 "roundps {a}, {b}, 4";
    roundps_5 "roundps {a}, {b}, 5";
    roundps_6 "roundps {a}, {b}, 6";
    roundps_7 "roundps {a}, {b}, 7";
    roundps_8 "roundps {a}, {b}, 8";
    roundps_9 "roundps {a}, {b}, 9";
    roundps_10 "roundps {a}, {b}, 10";
    roundps_11 "roundps {a}, {b}, 11";
    roundps_12 "roundps {a}, {b}, 12";
    roundps_13 "roundps {a}, {b}, 13";
    roundps_14 "roundps {a}, {b}, 14";
    roundps_15 "roundps {a}, {b}, 15";
    roundpd_0 "roundpd {a}, {b}, 0";
    roundpd_1 "roundpd {a}, {b}, 1";
    roundpd_2 "roundpd {a}, {b}, 2";
    roundpd_3 "roundpd {a}, {b}, 3";
    roundpd_4 "roundpd {a}, {b}, 4";
    roundpd_5 "roundpd {a}, {b}, 5";
    roundpd_6 "roundpd {a}, {b}, 6";
    roundpd_7 "roundpd {a}, {b}, 7";
    roundpd_8 "roundpd {a}, {b}, 8";
    roundpd_9 "roundpd {a}, {b}, 9";
    roundpd_10 "roundpd {a}, {b}, 10";
    roundpd_11 "roundpd {a}, {b}, 11";
    roundpd_12 "roundpd {a}, {b}, 12";
    roundpd_13 "roundpd {a}, {b}, 13";
    roundpd_14 "roundpd {a}, {b}, 14";
    roundpd_15 "roundpd {a}, {b}, 15";
    roundss_0 "roundss {a}, {b}, 0";
    roundss_1 "roundss {a}, {b}, 1";
    roundss_2 "roundss {a}, {b}, 2";
    roundss_3 "roundss {a}, {b}, 3";
    roundss_4 "roundss {a}, {b}, 4";
    roundss_5 "roundss {a}, {b}, 5";
    roundss_6 "roundss {a}, {b}, 6";
    roundss_7 "roundss {a}, {b}, 7";
    roundss_8 "roundss {a}, {b}, 8";
    roundss_9 "roundss {a}, {b}, 9";
    roundss_10 "roundss {a}, {b}, 10";
    roundss_11 "roundss {a}, {b}, 11";
    roundss_12 "roundss {a}, {b}, 12";
    roundss_13 "roundss {a}, {b}, 13";
    roundss_14 "roundss {a}, {b}, 14";
    roundss_15 "roundss {a}, {b}, 15";
    roundsd_0 "roundsd {a}, {b}, 0";
    roundsd_1 "roundsd {a}, {b}, 1";
    roundsd_2 "roundsd {a}, {b}, 2";
    roundsd_3 "roundsd {a}, {b}, 3";
    roundsd_4 "roundsd {a}, {b}, 4";
    roundsd_5 "roundsd {a}, {b}, 5";
    roundsd_6 "roundsd {a}, {b}, 6";
    roundsd_7 "roundsd {a}, {b}, 7";
    roundsd_8 "roundsd {a}, {b}, 8";
    roundsd_9 "roundsd {a}, {b}, 9";
    roundsd_10 "roundsd {a}, {b}, 10";
    roundsd_11 "roundsd {a}, {b}, 11";
    roundsd_12 "roundsd {a}, {b}, 12";
    roundsd_13 "roundsd {a}, {b}, 13";
    roundsd_14 "roundsd {a}, {b}, 14";
    roundsd_15 "roundsd {a}, {b}, 15";
}

xr! {
    cvtsi2ss32 "cvtsi2ss {a}, {b:e}";
    cvtsi2ss64 "cvtsi2ss {a}, {b:r}";
    cvtsi2sd32 "cvtsi2sd {a}, {b:e}";
    cvtsi2sd64 "cvtsi2sd {a}, {b:r}";
}

rx! {
    cvtss2si32 "cvtss2si {a:e}, {b}";
    cvtss2si64 "cvtss2si {a:r}, {b}";
    cvtsd2si32 "cvtsd2si {a:e}, {b}";
    cvtsd2si64 "cvtsd2si {a:r}, {b}";
    cvttss2si32 "cvttss2si {a:e}, {b}";
    cvttss2si64 "cvttss2si {a:r}, {b}";
    cvttsd2si32 "cvttsd2si {a:e}, {b}";
    cvttsd2si64 "cvttsd2si {a:r}, {b}";
}

/// `cmpps` by predicate.
#[inline]
pub fn cmpps(csr: u32, a: Vec128, b: Vec128, predicate: u8) -> (Vec128, u32) {
    match predicate & 7 {
        0 => cmpps_0(csr, a, b),
        1 => cmpps_1(csr, a, b),
        2 => cmpps_2(csr, a, b),
        3 => cmpps_3(csr, a, b),
        4 => cmpps_4(csr, a, b),
        5 => cmpps_5(csr, a, b),
        6 => cmpps_6(csr, a, b),
        _ => cmpps_7(csr, a, b),
    }
}

/// `cmppd` by predicate.
#[inline]
pub fn cmppd(csr: u32, a: Vec128, b: Vec128, predicate: u8) -> (Vec128, u32) {
    match predicate & 7 {
        0 => cmppd_0(csr, a, b),
        1 => cmppd_1(csr, a, b),
        2 => cmppd_2(csr, a, b),
        3 => cmppd_3(csr, a, b),
        4 => cmppd_4(csr, a, b),
        5 => cmppd_5(csr, a, b),
        6 => cmppd_6(csr, a, b),
        _ => cmppd_7(csr, a, b),
    }
}

/// `cmpss` by predicate.
#[inline]
pub fn cmpss(csr: u32, a: Vec128, b: Vec128, predicate: u8) -> (Vec128, u32) {
    match predicate & 7 {
        0 => cmpss_0(csr, a, b),
        1 => cmpss_1(csr, a, b),
        2 => cmpss_2(csr, a, b),
        3 => cmpss_3(csr, a, b),
        4 => cmpss_4(csr, a, b),
        5 => cmpss_5(csr, a, b),
        6 => cmpss_6(csr, a, b),
        _ => cmpss_7(csr, a, b),
    }
}

/// `cmpsd` by predicate.
#[inline]
pub fn cmpsd(csr: u32, a: Vec128, b: Vec128, predicate: u8) -> (Vec128, u32) {
    match predicate & 7 {
        0 => cmpsd_0(csr, a, b),
        1 => cmpsd_1(csr, a, b),
        2 => cmpsd_2(csr, a, b),
        3 => cmpsd_3(csr, a, b),
        4 => cmpsd_4(csr, a, b),
        5 => cmpsd_5(csr, a, b),
        6 => cmpsd_6(csr, a, b),
        _ => cmpsd_7(csr, a, b),
    }
}

/// `roundps` by immediate; `None` on a host without SSE4.1.
#[inline]
pub fn roundps(csr: u32, a: Vec128, b: Vec128, imm: u8) -> Option<(Vec128, u32)> {
    if !std::arch::is_x86_feature_detected!("sse4.1") {
        return None;
    }
    Some(match imm & 15 {
        0 => roundps_0(csr, a, b),
        1 => roundps_1(csr, a, b),
        2 => roundps_2(csr, a, b),
        3 => roundps_3(csr, a, b),
        4 => roundps_4(csr, a, b),
        5 => roundps_5(csr, a, b),
        6 => roundps_6(csr, a, b),
        7 => roundps_7(csr, a, b),
        8 => roundps_8(csr, a, b),
        9 => roundps_9(csr, a, b),
        10 => roundps_10(csr, a, b),
        11 => roundps_11(csr, a, b),
        12 => roundps_12(csr, a, b),
        13 => roundps_13(csr, a, b),
        14 => roundps_14(csr, a, b),
        _ => roundps_15(csr, a, b),
    })
}

/// `roundpd` by immediate; `None` on a host without SSE4.1.
#[inline]
pub fn roundpd(csr: u32, a: Vec128, b: Vec128, imm: u8) -> Option<(Vec128, u32)> {
    if !std::arch::is_x86_feature_detected!("sse4.1") {
        return None;
    }
    Some(match imm & 15 {
        0 => roundpd_0(csr, a, b),
        1 => roundpd_1(csr, a, b),
        2 => roundpd_2(csr, a, b),
        3 => roundpd_3(csr, a, b),
        4 => roundpd_4(csr, a, b),
        5 => roundpd_5(csr, a, b),
        6 => roundpd_6(csr, a, b),
        7 => roundpd_7(csr, a, b),
        8 => roundpd_8(csr, a, b),
        9 => roundpd_9(csr, a, b),
        10 => roundpd_10(csr, a, b),
        11 => roundpd_11(csr, a, b),
        12 => roundpd_12(csr, a, b),
        13 => roundpd_13(csr, a, b),
        14 => roundpd_14(csr, a, b),
        _ => roundpd_15(csr, a, b),
    })
}

/// `roundss` by immediate; `None` on a host without SSE4.1.
#[inline]
pub fn roundss(csr: u32, a: Vec128, b: Vec128, imm: u8) -> Option<(Vec128, u32)> {
    if !std::arch::is_x86_feature_detected!("sse4.1") {
        return None;
    }
    Some(match imm & 15 {
        0 => roundss_0(csr, a, b),
        1 => roundss_1(csr, a, b),
        2 => roundss_2(csr, a, b),
        3 => roundss_3(csr, a, b),
        4 => roundss_4(csr, a, b),
        5 => roundss_5(csr, a, b),
        6 => roundss_6(csr, a, b),
        7 => roundss_7(csr, a, b),
        8 => roundss_8(csr, a, b),
        9 => roundss_9(csr, a, b),
        10 => roundss_10(csr, a, b),
        11 => roundss_11(csr, a, b),
        12 => roundss_12(csr, a, b),
        13 => roundss_13(csr, a, b),
        14 => roundss_14(csr, a, b),
        _ => roundss_15(csr, a, b),
    })
}

/// `roundsd` by immediate; `None` on a host without SSE4.1.
#[inline]
pub fn roundsd(csr: u32, a: Vec128, b: Vec128, imm: u8) -> Option<(Vec128, u32)> {
    if !std::arch::is_x86_feature_detected!("sse4.1") {
        return None;
    }
    Some(match imm & 15 {
        0 => roundsd_0(csr, a, b),
        1 => roundsd_1(csr, a, b),
        2 => roundsd_2(csr, a, b),
        3 => roundsd_3(csr, a, b),
        4 => roundsd_4(csr, a, b),
        5 => roundsd_5(csr, a, b),
        6 => roundsd_6(csr, a, b),
        7 => roundsd_7(csr, a, b),
        8 => roundsd_8(csr, a, b),
        9 => roundsd_9(csr, a, b),
        10 => roundsd_10(csr, a, b),
        11 => roundsd_11(csr, a, b),
        12 => roundsd_12(csr, a, b),
        13 => roundsd_13(csr, a, b),
        14 => roundsd_14(csr, a, b),
        _ => roundsd_15(csr, a, b),
    })
}
