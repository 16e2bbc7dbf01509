//! Integer operations of MMX, SSE2, SSSE3 and SSE4.1, each once for both widths: `f::<8>` is the MMX form, `f::<16>` the SSE
//! form.
//!
//! Follows Intel SDM volume 2, the operation section of each instruction.

use super::lanes::{lane, map1, map2, set_lane};
use crate::ops::Vec128;

/// An operation on bytes of a destination `a`, a source `b` and an immediate.
pub trait IntOp {
    /// Computes.
    fn f<const N: usize>(a: [u8; N], b: [u8; N], imm: u8) -> [u8; N];
    /// As `f` of 128 bits, by one instruction of the host if it has a suitable one.
    fn host(a: Vec128, b: Vec128) -> Option<Vec128>;
}

/// The host's form of an operation, for those that are slow in portable code.
#[cfg(target_arch = "x86_64")]
macro_rules! host_form {
    (Paddsb, $a:expr, $b:expr) => {
        super::host_int::paddsb($a, $b)
    };
    (Paddsw, $a:expr, $b:expr) => {
        super::host_int::paddsw($a, $b)
    };
    (Paddusb, $a:expr, $b:expr) => {
        super::host_int::paddusb($a, $b)
    };
    (Paddusw, $a:expr, $b:expr) => {
        super::host_int::paddusw($a, $b)
    };
    (Psubsb, $a:expr, $b:expr) => {
        super::host_int::psubsb($a, $b)
    };
    (Psubsw, $a:expr, $b:expr) => {
        super::host_int::psubsw($a, $b)
    };
    (Psubusb, $a:expr, $b:expr) => {
        super::host_int::psubusb($a, $b)
    };
    (Psubusw, $a:expr, $b:expr) => {
        super::host_int::psubusw($a, $b)
    };
    (Pcmpeqb, $a:expr, $b:expr) => {
        super::host_int::pcmpeqb($a, $b)
    };
    (Pcmpeqw, $a:expr, $b:expr) => {
        super::host_int::pcmpeqw($a, $b)
    };
    (Pcmpeqd, $a:expr, $b:expr) => {
        super::host_int::pcmpeqd($a, $b)
    };
    (Pcmpgtb, $a:expr, $b:expr) => {
        super::host_int::pcmpgtb($a, $b)
    };
    (Pcmpgtw, $a:expr, $b:expr) => {
        super::host_int::pcmpgtw($a, $b)
    };
    (Pcmpgtd, $a:expr, $b:expr) => {
        super::host_int::pcmpgtd($a, $b)
    };
    (Pmullw, $a:expr, $b:expr) => {
        super::host_int::pmullw($a, $b)
    };
    (Pmulhw, $a:expr, $b:expr) => {
        super::host_int::pmulhw($a, $b)
    };
    (Pmulhuw, $a:expr, $b:expr) => {
        super::host_int::pmulhuw($a, $b)
    };
    (Pmuludq, $a:expr, $b:expr) => {
        super::host_int::pmuludq($a, $b)
    };
    (Pmaddwd, $a:expr, $b:expr) => {
        super::host_int::pmaddwd($a, $b)
    };
    (Pavgb, $a:expr, $b:expr) => {
        super::host_int::pavgb($a, $b)
    };
    (Pavgw, $a:expr, $b:expr) => {
        super::host_int::pavgw($a, $b)
    };
    (Pminub, $a:expr, $b:expr) => {
        super::host_int::pminub($a, $b)
    };
    (Pminsw, $a:expr, $b:expr) => {
        super::host_int::pminsw($a, $b)
    };
    (Pmaxub, $a:expr, $b:expr) => {
        super::host_int::pmaxub($a, $b)
    };
    (Pmaxsw, $a:expr, $b:expr) => {
        super::host_int::pmaxsw($a, $b)
    };
    (Psadbw, $a:expr, $b:expr) => {
        super::host_int::psadbw($a, $b)
    };
    (Packsswb, $a:expr, $b:expr) => {
        super::host_int::packsswb($a, $b)
    };
    (Packuswb, $a:expr, $b:expr) => {
        super::host_int::packuswb($a, $b)
    };
    (Packssdw, $a:expr, $b:expr) => {
        super::host_int::packssdw($a, $b)
    };
    (Punpcklbw, $a:expr, $b:expr) => {
        super::host_int::punpcklbw($a, $b)
    };
    (Punpcklwd, $a:expr, $b:expr) => {
        super::host_int::punpcklwd($a, $b)
    };
    (Punpckldq, $a:expr, $b:expr) => {
        super::host_int::punpckldq($a, $b)
    };
    (Punpckhbw, $a:expr, $b:expr) => {
        super::host_int::punpckhbw($a, $b)
    };
    (Punpckhwd, $a:expr, $b:expr) => {
        super::host_int::punpckhwd($a, $b)
    };
    (Punpckhdq, $a:expr, $b:expr) => {
        super::host_int::punpckhdq($a, $b)
    };
    (Psllw, $a:expr, $b:expr) => {
        super::host_int::psllw($a, $b)
    };
    (Pslld, $a:expr, $b:expr) => {
        super::host_int::pslld($a, $b)
    };
    (Psllq, $a:expr, $b:expr) => {
        super::host_int::psllq($a, $b)
    };
    (Psrlw, $a:expr, $b:expr) => {
        super::host_int::psrlw($a, $b)
    };
    (Psrld, $a:expr, $b:expr) => {
        super::host_int::psrld($a, $b)
    };
    (Psrlq, $a:expr, $b:expr) => {
        super::host_int::psrlq($a, $b)
    };
    (Psraw, $a:expr, $b:expr) => {
        super::host_int::psraw($a, $b)
    };
    (Psrad, $a:expr, $b:expr) => {
        super::host_int::psrad($a, $b)
    };
    (Pshufb, $a:expr, $b:expr) => {
        super::host_int::pshufb($a, $b)
    };
    (Phaddw, $a:expr, $b:expr) => {
        super::host_int::phaddw($a, $b)
    };
    (Phaddd, $a:expr, $b:expr) => {
        super::host_int::phaddd($a, $b)
    };
    (Phaddsw, $a:expr, $b:expr) => {
        super::host_int::phaddsw($a, $b)
    };
    (Phsubw, $a:expr, $b:expr) => {
        super::host_int::phsubw($a, $b)
    };
    (Phsubd, $a:expr, $b:expr) => {
        super::host_int::phsubd($a, $b)
    };
    (Phsubsw, $a:expr, $b:expr) => {
        super::host_int::phsubsw($a, $b)
    };
    (Pmaddubsw, $a:expr, $b:expr) => {
        super::host_int::pmaddubsw($a, $b)
    };
    (Psignb, $a:expr, $b:expr) => {
        super::host_int::psignb($a, $b)
    };
    (Psignw, $a:expr, $b:expr) => {
        super::host_int::psignw($a, $b)
    };
    (Psignd, $a:expr, $b:expr) => {
        super::host_int::psignd($a, $b)
    };
    (Pmulhrsw, $a:expr, $b:expr) => {
        super::host_int::pmulhrsw($a, $b)
    };
    (Pabsb, $a:expr, $b:expr) => {
        super::host_int::pabsb($a, $b)
    };
    (Pabsw, $a:expr, $b:expr) => {
        super::host_int::pabsw($a, $b)
    };
    (Pabsd, $a:expr, $b:expr) => {
        super::host_int::pabsd($a, $b)
    };
    (Packusdw, $a:expr, $b:expr) => {
        super::host_int::packusdw($a, $b)
    };
    (Pminsb, $a:expr, $b:expr) => {
        super::host_int::pminsb($a, $b)
    };
    (Pminsd, $a:expr, $b:expr) => {
        super::host_int::pminsd($a, $b)
    };
    (Pminuw, $a:expr, $b:expr) => {
        super::host_int::pminuw($a, $b)
    };
    (Pminud, $a:expr, $b:expr) => {
        super::host_int::pminud($a, $b)
    };
    (Pmaxsb, $a:expr, $b:expr) => {
        super::host_int::pmaxsb($a, $b)
    };
    (Pmaxsd, $a:expr, $b:expr) => {
        super::host_int::pmaxsd($a, $b)
    };
    (Pmaxuw, $a:expr, $b:expr) => {
        super::host_int::pmaxuw($a, $b)
    };
    (Pmaxud, $a:expr, $b:expr) => {
        super::host_int::pmaxud($a, $b)
    };
    (Pmulld, $a:expr, $b:expr) => {
        super::host_int::pmulld($a, $b)
    };
    (Pmuldq, $a:expr, $b:expr) => {
        super::host_int::pmuldq($a, $b)
    };
    (Phminposuw, $a:expr, $b:expr) => {
        super::host_int::phminposuw($a, $b)
    };
    (Pcmpeqq, $a:expr, $b:expr) => {
        super::host_int::pcmpeqq($a, $b)
    };
    (Pcmpgtq, $a:expr, $b:expr) => {
        super::host_int::pcmpgtq($a, $b)
    };
    ($other:ident, $a:expr, $b:expr) => {
        None
    };
}
#[cfg(not(target_arch = "x86_64"))]
macro_rules! host_form {
    ($any:ident, $a:expr, $b:expr) => {
        None
    };
}

macro_rules! op {
    ($($name:ident($a:ident, $b:ident, $imm:ident) $body:expr;)*) => { $(
        #[doc = concat!("The operation of ", stringify!($name), ".")]
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl IntOp for $name {
            #[inline(always)]
            #[allow(unused_variables)]
            fn f<const N: usize>($a: [u8; N], $b: [u8; N], $imm: u8) -> [u8; N] {
                $body
            }
            #[inline(always)]
            #[allow(unused_variables)]
            fn host(a: Vec128, b: Vec128) -> Option<Vec128> {
                host_form!($name, a, b)
            }
        }
    )* };
}

macro_rules! lanewise {
    ($($name:ident: $t:ty = |$x:ident, $y:ident| $body:expr;)*) => {
        op! { $($name(a, b, imm) map2::<$t, N>(a, b, |$x, $y| $body);)* }
    };
}

macro_rules! lanewise1 {
    ($($name:ident: $t:ty = |$x:ident| $body:expr;)*) => {
        op! { $($name(a, b, imm) map1::<$t, N>(b, |$x| $body);)* }
    };
}

#[inline(always)]
fn all8(c: bool) -> u8 {
    if c { !0 } else { 0 }
}
#[inline(always)]
fn all16(c: bool) -> u16 {
    if c { !0 } else { 0 }
}
#[inline(always)]
fn all32(c: bool) -> u32 {
    if c { !0 } else { 0 }
}
#[inline(always)]
fn all64(c: bool) -> u64 {
    if c { !0 } else { 0 }
}

lanewise! {
    Paddb: u8 = |x, y| x.wrapping_add(y);
    Paddw: u16 = |x, y| x.wrapping_add(y);
    Paddd: u32 = |x, y| x.wrapping_add(y);
    Paddq: u64 = |x, y| x.wrapping_add(y);
    Psubb: u8 = |x, y| x.wrapping_sub(y);
    Psubw: u16 = |x, y| x.wrapping_sub(y);
    Psubd: u32 = |x, y| x.wrapping_sub(y);
    Psubq: u64 = |x, y| x.wrapping_sub(y);
    Paddsb: i8 = |x, y| x.saturating_add(y);
    Paddsw: i16 = |x, y| x.saturating_add(y);
    Paddusb: u8 = |x, y| x.saturating_add(y);
    Paddusw: u16 = |x, y| x.saturating_add(y);
    Psubsb: i8 = |x, y| x.saturating_sub(y);
    Psubsw: i16 = |x, y| x.saturating_sub(y);
    Psubusb: u8 = |x, y| x.saturating_sub(y);
    Psubusw: u16 = |x, y| x.saturating_sub(y);
    Pand: u64 = |x, y| x & y;
    Pandn: u64 = |x, y| !x & y;
    Por: u64 = |x, y| x | y;
    Pxor: u64 = |x, y| x ^ y;
    Pcmpeqb: u8 = |x, y| all8(x == y);
    Pcmpeqw: u16 = |x, y| all16(x == y);
    Pcmpeqd: u32 = |x, y| all32(x == y);
    Pcmpeqq: u64 = |x, y| all64(x == y);
    Pcmpgtb: u8 = |x, y| all8((x as i8) > y as i8);
    Pcmpgtw: u16 = |x, y| all16((x as i16) > y as i16);
    Pcmpgtd: u32 = |x, y| all32((x as i32) > y as i32);
    Pcmpgtq: u64 = |x, y| all64((x as i64) > y as i64);
    Pmullw: u16 = |x, y| x.wrapping_mul(y);
    Pmulhw: i16 = |x, y| ((i32::from(x) * i32::from(y)) >> 16) as i16;
    Pmulhuw: u16 = |x, y| ((u32::from(x) * u32::from(y)) >> 16) as u16;
    Pmulhrsw: i16 = |x, y| ((((i32::from(x) * i32::from(y)) >> 14) + 1) >> 1) as i16;
    Pmulld: u32 = |x, y| x.wrapping_mul(y);
    Pmuludq: u64 = |x, y| (x & 0xffff_ffff) * (y & 0xffff_ffff);
    Pmuldq: u64 = |x, y| (i64::from(x as i32) * i64::from(y as i32)) as u64;
    Pavgb: u8 = |x, y| ((u16::from(x) + u16::from(y) + 1) >> 1) as u8;
    Pavgw: u16 = |x, y| ((u32::from(x) + u32::from(y) + 1) >> 1) as u16;
    Pminub: u8 = |x, y| x.min(y);
    Pminsb: i8 = |x, y| x.min(y);
    Pminuw: u16 = |x, y| x.min(y);
    Pminsw: i16 = |x, y| x.min(y);
    Pminud: u32 = |x, y| x.min(y);
    Pminsd: i32 = |x, y| x.min(y);
    Pmaxub: u8 = |x, y| x.max(y);
    Pmaxsb: i8 = |x, y| x.max(y);
    Pmaxuw: u16 = |x, y| x.max(y);
    Pmaxsw: i16 = |x, y| x.max(y);
    Pmaxud: u32 = |x, y| x.max(y);
    Pmaxsd: i32 = |x, y| x.max(y);
    Psignb: i8 = |x, y| if y < 0 { x.wrapping_neg() } else if y == 0 { 0 } else { x };
    Psignw: i16 = |x, y| if y < 0 { x.wrapping_neg() } else if y == 0 { 0 } else { x };
    Psignd: i32 = |x, y| if y < 0 { x.wrapping_neg() } else if y == 0 { 0 } else { x };
}

lanewise1! {
    Pabsb: i8 = |x| x.wrapping_abs();
    Pabsw: i16 = |x| x.wrapping_abs();
    Pabsd: i32 = |x| x.wrapping_abs();
}

/// Sum of products of pairs of lanes.
#[inline(always)]
fn pairs32<const N: usize>(a: [u8; N], b: [u8; N]) -> [u8; N] {
    let mut r = [0; N];
    for i in 0..N / 4 {
        let p =
            |k: usize| i32::from(lane::<i16, N>(&a, 2 * i + k)) * i32::from(lane::<i16, N>(&b, 2 * i + k));
        set_lane(&mut r, i, p(0).wrapping_add(p(1)));
    }
    r
}

macro_rules! shifts {
    ($($left:ident $right:ident $il:ident $ir:ident: $t:ty;)*) => {
        op! { $(
            $left(a, b, imm) { let n = lane::<u64, N>(&b, 0); map1::<$t, N>(a, |x| if n < <$t>::BITS.into() { x << n } else { 0 }) };
            $right(a, b, imm) { let n = lane::<u64, N>(&b, 0); map1::<$t, N>(a, |x| if n < <$t>::BITS.into() { x >> n } else { 0 }) };
            $il(a, b, imm) { let n = u32::from(imm); map1::<$t, N>(a, |x| x.checked_shl(n).unwrap_or(0)) };
            $ir(a, b, imm) { let n = u32::from(imm); map1::<$t, N>(a, |x| x.checked_shr(n).unwrap_or(0)) };
        )* }
    };
}
shifts! {
    Psllw Psrlw PsllwI PsrlwI: u16;
    Pslld Psrld PslldI PsrldI: u32;
    Psllq Psrlq PsllqI PsrlqI: u64;
}

/// Bytes of `a` (if `high` is false the low half) interleaved with those of `b`, in lanes of `w` bytes.
#[inline(always)]
fn interleave<const N: usize>(a: [u8; N], b: [u8; N], w: usize, high: bool) -> [u8; N] {
    let mut r = [0; N];
    let from = if high { N / 2 } else { 0 };
    for i in 0..N / 2 / w {
        for k in 0..w {
            r[2 * i * w + k] = a[from + i * w + k];
            r[(2 * i + 1) * w + k] = b[from + i * w + k];
        }
    }
    r
}

/// Lanes of `a` then of `b`, each made narrower by `f`.
#[inline(always)]
fn narrow16<const N: usize>(a: [u8; N], b: [u8; N], f: impl Fn(i16) -> u8) -> [u8; N] {
    let mut r = [0; N];
    for i in 0..N / 2 {
        r[i] = f(lane::<i16, N>(&a, i));
        r[N / 2 + i] = f(lane::<i16, N>(&b, i));
    }
    r
}

#[inline(always)]
fn narrow32<const N: usize>(a: [u8; N], b: [u8; N], f: impl Fn(i32) -> u16) -> [u8; N] {
    let mut r = [0; N];
    for i in 0..N / 4 {
        set_lane(&mut r, i, f(lane::<i32, N>(&a, i)));
        set_lane(&mut r, N / 4 + i, f(lane::<i32, N>(&b, i)));
    }
    r
}

/// Neighbours combined: pairs of `a`, then pairs of `b`.
#[inline(always)]
fn horizontal16<const N: usize>(a: [u8; N], b: [u8; N], f: impl Fn(i16, i16) -> i16) -> [u8; N] {
    let mut r = [0; N];
    for i in 0..N / 4 {
        set_lane(&mut r, i, f(lane(&a, 2 * i), lane(&a, 2 * i + 1)));
        set_lane(&mut r, N / 4 + i, f(lane(&b, 2 * i), lane(&b, 2 * i + 1)));
    }
    r
}

#[inline(always)]
fn horizontal32<const N: usize>(a: [u8; N], b: [u8; N], f: impl Fn(i32, i32) -> i32) -> [u8; N] {
    let mut r = [0; N];
    for i in 0..N / 8 {
        set_lane(&mut r, i, f(lane(&a, 2 * i), lane(&a, 2 * i + 1)));
        set_lane(&mut r, N / 8 + i, f(lane(&b, 2 * i), lane(&b, 2 * i + 1)));
    }
    r
}

/// Four words from `at`, chosen by the immediate; the rest of `b`.
#[inline(always)]
fn shuffle_words<const N: usize>(b: [u8; N], at: usize, imm: u8) -> [u8; N] {
    let mut r = b;
    for i in 0..4 {
        set_lane(&mut r, at + i, lane::<u16, N>(&b, at + usize::from(imm >> (2 * i) & 3)));
    }
    r
}

#[inline(always)]
fn widen<const N: usize>(b: [u8; N], from: usize, to: usize, signed: bool) -> [u8; N] {
    let mut r = [0; N];
    for i in 0..N / to {
        let fill = if signed && b[(i + 1) * from - 1] & 0x80 != 0 { 0xff } else { 0 };
        for k in 0..to {
            r[i * to + k] = if k < from { b[i * from + k] } else { fill };
        }
    }
    r
}

op! {
    Psraw(a, b, imm) { let n = lane::<u64, N>(&b, 0).min(15); map1::<i16, N>(a, |x| x >> n) };
    Psrad(a, b, imm) { let n = lane::<u64, N>(&b, 0).min(31); map1::<i32, N>(a, |x| x >> n) };
    PsrawI(a, b, imm) { let n = imm.min(15); map1::<i16, N>(a, |x| x >> n) };
    PsradI(a, b, imm) { let n = imm.min(31); map1::<i32, N>(a, |x| x >> n) };
    PslldqI(a, b, imm) {
        let n = usize::from(imm).min(N);
        let mut r = [0; N];
        r[n..].copy_from_slice(&a[..N - n]);
        r
    };
    PsrldqI(a, b, imm) {
        let n = usize::from(imm).min(N);
        let mut r = [0; N];
        r[..N - n].copy_from_slice(&a[n..]);
        r
    };
    Pmaddwd(a, b, imm) pairs32(a, b);
    Pmaddubsw(a, b, imm) {
        let mut r = [0; N];
        for i in 0..N / 2 {
            let p = |k: usize| i32::from(a[2 * i + k]) * i32::from(b[2 * i + k] as i8);
            set_lane(&mut r, i, (p(0) + p(1)).clamp(-0x8000, 0x7fff) as i16);
        }
        r
    };
    Punpcklbw(a, b, imm) interleave(a, b, 1, false);
    Punpcklwd(a, b, imm) interleave(a, b, 2, false);
    Punpckldq(a, b, imm) interleave(a, b, 4, false);
    Punpcklqdq(a, b, imm) interleave(a, b, 8, false);
    Punpckhbw(a, b, imm) interleave(a, b, 1, true);
    Punpckhwd(a, b, imm) interleave(a, b, 2, true);
    Punpckhdq(a, b, imm) interleave(a, b, 4, true);
    Punpckhqdq(a, b, imm) interleave(a, b, 8, true);
    Packsswb(a, b, imm) narrow16(a, b, |x| x.clamp(-128, 127) as u8);
    Packuswb(a, b, imm) narrow16(a, b, |x| x.clamp(0, 255) as u8);
    Packssdw(a, b, imm) narrow32(a, b, |x| x.clamp(-0x8000, 0x7fff) as u16);
    Packusdw(a, b, imm) narrow32(a, b, |x| x.clamp(0, 0xffff) as u16);
    Phaddw(a, b, imm) horizontal16(a, b, i16::wrapping_add);
    Phaddsw(a, b, imm) horizontal16(a, b, i16::saturating_add);
    Phsubw(a, b, imm) horizontal16(a, b, i16::wrapping_sub);
    Phsubsw(a, b, imm) horizontal16(a, b, i16::saturating_sub);
    Phaddd(a, b, imm) horizontal32(a, b, i32::wrapping_add);
    Phsubd(a, b, imm) horizontal32(a, b, i32::wrapping_sub);
    Pshufb(a, b, imm) {
        b.map(|n| if n & 0x80 != 0 { 0 } else { a[usize::from(n) & (N - 1)] })
    };
    Palignr(a, b, imm) {
        core::array::from_fn(|i| match usize::from(imm) + i {
            k if k < N => b[k],
            k if k < 2 * N => a[k - N],
            _ => 0,
        })
    };
    Psadbw(a, b, imm) {
        let mut r = [0; N];
        for q in 0..N / 8 {
            let sum: u32 = (8 * q..8 * q + 8).map(|i| u32::from(a[i].abs_diff(b[i]))).sum();
            set_lane(&mut r, q, u64::from(sum));
        }
        r
    };
    Pshufw(a, b, imm) shuffle_words(b, 0, imm);
    Pshuflw(a, b, imm) shuffle_words(b, 0, imm);
    Pshufhw(a, b, imm) shuffle_words(b, 4, imm);
    Pshufd(a, b, imm) {
        let mut r = [0; N];
        for i in 0..N / 4 {
            set_lane(&mut r, i, lane::<u32, N>(&b, usize::from(imm >> (2 * i) & 3)));
        }
        r
    };
    Shufps(a, b, imm) {
        let mut r = [0; N];
        for i in 0..N / 4 {
            set_lane(&mut r, i, lane::<u32, N>(if i < 2 { &a } else { &b }, usize::from(imm >> (2 * i) & 3)));
        }
        r
    };
    Shufpd(a, b, imm) {
        let mut r = [0; N];
        set_lane(&mut r, 0, lane::<u64, N>(&a, usize::from(imm & 1)));
        set_lane(&mut r, 1, lane::<u64, N>(&b, usize::from(imm >> 1 & 1)));
        r
    };
    Pmovsxbw(a, b, imm) widen(b, 1, 2, true);
    Pmovsxbd(a, b, imm) widen(b, 1, 4, true);
    Pmovsxbq(a, b, imm) widen(b, 1, 8, true);
    Pmovsxwd(a, b, imm) widen(b, 2, 4, true);
    Pmovsxwq(a, b, imm) widen(b, 2, 8, true);
    Pmovsxdq(a, b, imm) widen(b, 4, 8, true);
    Pmovzxbw(a, b, imm) widen(b, 1, 2, false);
    Pmovzxbd(a, b, imm) widen(b, 1, 4, false);
    Pmovzxbq(a, b, imm) widen(b, 1, 8, false);
    Pmovzxwd(a, b, imm) widen(b, 2, 4, false);
    Pmovzxwq(a, b, imm) widen(b, 2, 8, false);
    Pmovzxdq(a, b, imm) widen(b, 4, 8, false);
    Pblendw(a, b, imm) {
        let mut r = a;
        for i in 0..N / 2 {
            if imm >> i & 1 != 0 {
                set_lane(&mut r, i, lane::<u16, N>(&b, i));
            }
        }
        r
    };
    Blendps(a, b, imm) {
        let mut r = a;
        for i in 0..N / 4 {
            if imm >> i & 1 != 0 {
                set_lane(&mut r, i, lane::<u32, N>(&b, i));
            }
        }
        r
    };
    Blendpd(a, b, imm) {
        let mut r = a;
        for i in 0..N / 8 {
            if imm >> i & 1 != 0 {
                set_lane(&mut r, i, lane::<u64, N>(&b, i));
            }
        }
        r
    };
    Insertps(a, b, imm) {
        let v = lane::<u32, N>(&b, usize::from(imm >> 6));
        let mut r = a;
        set_lane(&mut r, usize::from(imm >> 4 & 3), v);
        for i in 0..N / 4 {
            if imm >> i & 1 != 0 {
                set_lane(&mut r, i, 0u32);
            }
        }
        r
    };
    Mpsadbw(a, b, imm) {
        let (from_a, from_b) = (usize::from(imm >> 2 & 1) * 4, usize::from(imm & 3) * 4);
        let mut r = [0; N];
        for i in 0..N / 2 {
            let sum: u16 = (0..4).map(|k| u16::from(a[from_a + i + k].abs_diff(b[from_b + k]))).sum();
            set_lane(&mut r, i, sum);
        }
        r
    };
    Phminposuw(a, b, imm) {
        let mut best = (u16::MAX, 0u16);
        for i in (0..N / 2).rev() {
            let v = lane::<u16, N>(&b, i);
            if v <= best.0 {
                best = (v, i as u16);
            }
        }
        let mut r = [0; N];
        set_lane(&mut r, 0, best.0);
        set_lane(&mut r, 1, best.1);
        r
    };
    Movddup(a, b, imm) interleave(b, b, 8, false);
    Movsldup(a, b, imm) {
        let mut r = b;
        for i in 0..N / 4 {
            set_lane(&mut r, i, lane::<u32, N>(&b, i & !1));
        }
        r
    };
    Movshdup(a, b, imm) {
        let mut r = b;
        for i in 0..N / 4 {
            set_lane(&mut r, i, lane::<u32, N>(&b, i | 1));
        }
        r
    };
}
