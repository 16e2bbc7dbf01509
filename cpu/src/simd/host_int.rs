//! Integer vector operations on the host's own unit, for x86-64 hosts: one instruction each, where [`super::int`] and
//! [`super::crypto`] take many. Same results on any operands, as `super::tests` checks.
//!
//! Intel SDM volume 2 by mnemonic.
#![allow(unsafe_code)]

use super::host::{from_host, to_host};
use crate::ops::Vec128;
use core::arch::asm;

macro_rules! baseline {
    ($($name:ident)*) => { $(
        #[doc = concat!("`", stringify!($name), "`.")]
        #[inline(always)]
        pub fn $name(a: Vec128, b: Vec128) -> Option<Vec128> {
            let mut r = to_host(a);
            // SAFETY: computes on the two registers given; part of SSE2, which every x86-64 host has.
            unsafe {
                asm!(concat!(stringify!($name), " {a}, {b}"), a = inout(xmm_reg) r, b = in(xmm_reg) to_host(b),
                    options(pure, nomem, nostack, preserves_flags));
            }
            Some(from_host(r))
        }
    )* };
}

macro_rules! detected {
    ($($name:ident $feature:tt;)*) => { $(
        #[doc = concat!("`", stringify!($name), "`, if the host has it.")]
        #[inline(always)]
        pub fn $name(a: Vec128, b: Vec128) -> Option<Vec128> {
            if !std::arch::is_x86_feature_detected!($feature) {
                return None;
            }
            let mut r = to_host(a);
            // SAFETY: computes on the two registers given; the host has the instruction.
            unsafe {
                asm!(concat!(stringify!($name), " {a}, {b}"), a = inout(xmm_reg) r, b = in(xmm_reg) to_host(b),
                    options(pure, nomem, nostack, preserves_flags));
            }
            Some(from_host(r))
        }
    )* };
}

macro_rules! with_immediate {
    ($($name:ident $text:literal $feature:tt;)*) => { $(
        #[doc = concat!("`", $text, "`, if the host has it.")]
        #[inline(always)]
        pub fn $name(a: Vec128, b: Vec128) -> Option<Vec128> {
            if !std::arch::is_x86_feature_detected!($feature) {
                return None;
            }
            let mut r = to_host(a);
            // SAFETY: computes on the two registers given; the host has the instruction.
            unsafe {
                asm!($text, a = inout(xmm_reg) r, b = in(xmm_reg) to_host(b),
                    options(pure, nomem, nostack, preserves_flags));
            }
            Some(from_host(r))
        }
    )* };
}

baseline! {
    paddsb paddsw paddusb paddusw psubsb psubsw psubusb psubusw pcmpeqb pcmpeqw pcmpeqd pcmpgtb pcmpgtw pcmpgtd pmullw pmulhw pmulhuw pmuludq pmaddwd pavgb pavgw pminub pminsw pmaxub pmaxsw psadbw packsswb packuswb packssdw punpcklbw punpcklwd punpckldq punpckhbw punpckhwd punpckhdq psllw pslld psllq psrlw psrld psrlq psraw psrad
}

detected! {
    pshufb "ssse3";
    phaddw "ssse3";
    phaddd "ssse3";
    phaddsw "ssse3";
    phsubw "ssse3";
    phsubd "ssse3";
    phsubsw "ssse3";
    pmaddubsw "ssse3";
    psignb "ssse3";
    psignw "ssse3";
    psignd "ssse3";
    pmulhrsw "ssse3";
    pabsb "ssse3";
    pabsw "ssse3";
    pabsd "ssse3";
    packusdw "sse4.1";
    pminsb "sse4.1";
    pminsd "sse4.1";
    pminuw "sse4.1";
    pminud "sse4.1";
    pmaxsb "sse4.1";
    pmaxsd "sse4.1";
    pmaxuw "sse4.1";
    pmaxud "sse4.1";
    pmulld "sse4.1";
    pmuldq "sse4.1";
    phminposuw "sse4.1";
    pcmpeqq "sse4.1";
    pcmpgtq "sse4.2";
    aesenc "aes";
    aesenclast "aes";
    aesdec "aes";
    aesdeclast "aes";
    aesimc "aes";
    sha1nexte "sha";
    sha1msg1 "sha";
    sha1msg2 "sha";
    sha256msg1 "sha";
    sha256msg2 "sha";
}

with_immediate! {
    pclmulqdq_00 "pclmulqdq {a}, {b}, 0x00" "pclmulqdq";
    pclmulqdq_01 "pclmulqdq {a}, {b}, 0x01" "pclmulqdq";
    pclmulqdq_10 "pclmulqdq {a}, {b}, 0x10" "pclmulqdq";
    pclmulqdq_11 "pclmulqdq {a}, {b}, 0x11" "pclmulqdq";
    sha1rnds4_0 "sha1rnds4 {a}, {b}, 0" "sha";
    sha1rnds4_1 "sha1rnds4 {a}, {b}, 1" "sha";
    sha1rnds4_2 "sha1rnds4 {a}, {b}, 2" "sha";
    sha1rnds4_3 "sha1rnds4 {a}, {b}, 3" "sha";
}

/// PCLMULQDQ by immediate.
#[inline]
pub fn pclmulqdq(a: Vec128, b: Vec128, imm: u8) -> Option<Vec128> {
    match imm & 0x11 {
        0 => pclmulqdq_00(a, b),
        1 => pclmulqdq_01(a, b),
        0x10 => pclmulqdq_10(a, b),
        _ => pclmulqdq_11(a, b),
    }
}

/// SHA1RNDS4 by immediate.
#[inline]
pub fn sha1rnds4(a: Vec128, b: Vec128, imm: u8) -> Option<Vec128> {
    match imm & 3 {
        0 => sha1rnds4_0(a, b),
        1 => sha1rnds4_1(a, b),
        2 => sha1rnds4_2(a, b),
        _ => sha1rnds4_3(a, b),
    }
}

/// SHA256RNDS2, if the host has it.
#[inline]
pub fn sha256rnds2(a: Vec128, b: Vec128, k: Vec128) -> Option<Vec128> {
    if !std::arch::is_x86_feature_detected!("sha") {
        return None;
    }
    let mut r = to_host(a);
    // SAFETY: computes on the registers given, XMM0 among them; the host has the instruction.
    unsafe {
        asm!("sha256rnds2 {a}, {b}", a = inout(xmm_reg) r, b = in(xmm_reg) to_host(b), in("xmm0") to_host(k),
            options(pure, nomem, nostack, preserves_flags));
    }
    Some(from_host(r))
}

/// CRC32 of a 64-bit source, if the host has it.
#[inline]
pub fn crc32_64(crc: u32, v: u64) -> Option<u32> {
    if !std::arch::is_x86_feature_detected!("sse4.2") {
        return None;
    }
    let mut r = u64::from(crc);
    // SAFETY: computes on the registers given; the host has the instruction.
    unsafe { asm!("crc32 {r}, {v}", r = inout(reg) r, v = in(reg) v, options(pure, nomem, nostack)) };
    Some(r as u32)
}

/// CRC32 of a byte, if the host has it.
#[inline]
pub fn crc32_8(crc: u32, v: u8) -> Option<u32> {
    if !std::arch::is_x86_feature_detected!("sse4.2") {
        return None;
    }
    let mut r = crc;
    // SAFETY: computes on the registers given; the host has the instruction.
    unsafe { asm!("crc32 {r:e}, {v}", r = inout(reg) r, v = in(reg_byte) v, options(pure, nomem, nostack)) };
    Some(r)
}
