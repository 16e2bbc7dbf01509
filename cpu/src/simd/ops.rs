//! [`VecOp`]s: integer operations for both register widths, and the operations that exist in one width only.

use super::int::IntOp;
use super::lanes::{bytes, from_bytes, from_words, words};
use super::{crypto, soft};
use crate::insn::Insn;
use crate::ops::{Vec128, VecOp};
use crate::state::flag;
use crate::{Exec, Fault};
use core::marker::PhantomData;

/// An integer operation on 128 bits.
#[derive(Clone, Copy, Debug)]
pub struct Sse<T>(PhantomData<T>);

impl<T: IntOp> VecOp for Sse<T> {
    #[inline(always)]
    fn run(_: &mut Exec<'_>, i: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault> {
        if let Some(r) = T::host(a, b) {
            return Ok(r);
        }
        Ok(from_bytes(T::f::<16>(bytes(a), bytes(b), i.imm as u8)))
    }
}

/// An integer operation on 64 bits, in the low halves.
#[derive(Clone, Copy, Debug)]
pub struct Mmx<T>(PhantomData<T>);

impl<T: IntOp> VecOp for Mmx<T> {
    #[inline(always)]
    fn run(_: &mut Exec<'_>, i: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault> {
        let r = T::f::<8>(a.0[0].to_le_bytes(), b.0[0].to_le_bytes(), i.imm as u8);
        Ok(Vec128([u64::from_le_bytes(r), 0]))
    }
}

/// The host's instruction if it has one, else portable code.
macro_rules! host_or {
    ($name:ident($($arg:expr),*), $soft:expr) => {{
        #[cfg(target_arch = "x86_64")]
        let r = super::host_int::$name($($arg),*);
        #[cfg(not(target_arch = "x86_64"))]
        let r: Option<Vec128> = None;
        r.unwrap_or_else(|| $soft)
    }};
}

macro_rules! op {
    ($($(#[$doc:meta])* $name:ident $(<$(const $c:ident: $ct:ty),*>)? ($a:ident, $b:ident, $imm:ident) $body:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name $(<$(const $c: $ct),*>)?;
        impl $(<$(const $c: $ct),*>)? VecOp for $name $(<$($c),*>)? {
            #[inline(always)]
            #[allow(unused_variables)]
            fn run(_: &mut Exec<'_>, i: &Insn, $a: Vec128, $b: Vec128) -> Result<Vec128, Fault> {
                let $imm = i.imm as u8;
                Ok($body)
            }
        }
    )* };
}

/// Bit `i` of the result = top bit of lane `i`.
fn signs(v: Vec128, lane_bytes: usize) -> u64 {
    bytes(v)
        .chunks_exact(lane_bytes)
        .enumerate()
        .fold(0, |m, (n, lane)| m | u64::from(lane[lane_bytes - 1] >> 7) << n)
}

/// All ones in each lane whose top bit is set.
fn spread(v: Vec128, lane_bytes: usize) -> Vec128 {
    let mut r = [0; 16];
    for (to, from) in r.chunks_exact_mut(lane_bytes).zip(bytes(v).chunks_exact(lane_bytes)) {
        to.fill(if from[lane_bytes - 1] & 0x80 != 0 { 0xff } else { 0 });
    }
    from_bytes(r)
}

op! {
    /// PMOVMSKB, MOVMSKPS, MOVMSKPD: top bits of the source's lanes of `W` bytes.
    Signs<const W: usize>(a, b, imm) Vec128([signs(b, W), 0]);
    /// The mask of a variable blend: all ones where the top bit of a lane of `W` bytes is set.
    Spread<const W: usize>(a, b, imm) spread(b, W);
    /// PINSRB, PINSRW, PINSRD, PINSRQ; lanes of `W` bytes in a register of `N`.
    Insert<const W: usize, const N: usize>(a, b, imm) {
        let mut r = bytes(a);
        let at = (usize::from(imm) & (N / W - 1)) * W;
        r[at..at + W].copy_from_slice(&bytes(b)[..W]);
        from_bytes(r)
    };
    /// PEXTRB, PEXTRW, PEXTRD, PEXTRQ.
    Extract<const W: usize, const N: usize>(a, b, imm) {
        let at = (usize::from(imm) & (N / W - 1)) * W;
        let mut r = [0; 16];
        r[..W].copy_from_slice(&bytes(b)[at..at + W]);
        from_bytes(r)
    };
    /// INSERTPS from memory: the source is the one single.
    InsertpsMem(a, b, imm) from_bytes(super::int::Insertps::f::<16>(bytes(a), bytes(b), imm & 0x3f));
    /// RCPPS.
    Rcpps(a, b, imm) from_words(words(b).map(soft::reciprocal));
    /// RSQRTPS.
    Rsqrtps(a, b, imm) from_words(words(b).map(soft::reciprocal_sqrt));
    /// RCPSS.
    Rcpss(a, b, imm) Vec128([a.0[0] & !0xffff_ffff | u64::from(soft::reciprocal(b.0[0] as u32)), a.0[1]]);
    /// RSQRTSS.
    Rsqrtss(a, b, imm) Vec128([a.0[0] & !0xffff_ffff | u64::from(soft::reciprocal_sqrt(b.0[0] as u32)), a.0[1]]);
    /// AESENC.
    Aesenc(a, b, imm) host_or!(aesenc(a, b), crypto::aesenc(a, b, false));
    /// AESENCLAST.
    Aesenclast(a, b, imm) host_or!(aesenclast(a, b), crypto::aesenc(a, b, true));
    /// AESDEC.
    Aesdec(a, b, imm) host_or!(aesdec(a, b), crypto::aesdec(a, b, false));
    /// AESDECLAST.
    Aesdeclast(a, b, imm) host_or!(aesdeclast(a, b), crypto::aesdec(a, b, true));
    /// AESIMC.
    Aesimc(a, b, imm) host_or!(aesimc(a, b), crypto::aesimc(b));
    /// AESKEYGENASSIST.
    Aeskeygenassist(a, b, imm) crypto::aeskeygenassist(b, imm);
    /// PCLMULQDQ.
    Pclmulqdq(a, b, imm) host_or!(pclmulqdq(a, b, imm), crypto::pclmulqdq(a, b, imm));
    /// SHA1RNDS4.
    Sha1rnds4(a, b, imm) host_or!(sha1rnds4(a, b, imm), crypto::sha1rnds4(a, b, imm));
    /// SHA1NEXTE.
    Sha1nexte(a, b, imm) host_or!(sha1nexte(a, b), crypto::sha1nexte(a, b));
    /// SHA1MSG1.
    Sha1msg1(a, b, imm) host_or!(sha1msg1(a, b), crypto::sha1msg1(a, b));
    /// SHA1MSG2.
    Sha1msg2(a, b, imm) host_or!(sha1msg2(a, b), crypto::sha1msg2(a, b));
    /// SHA256MSG1.
    Sha256msg1(a, b, imm) host_or!(sha256msg1(a, b), crypto::sha256msg1(a, b));
    /// SHA256MSG2.
    Sha256msg2(a, b, imm) host_or!(sha256msg2(a, b), crypto::sha256msg2(a, b));
}

/// PTEST: ZF = (a & b == 0), CF = (!a & b == 0).
#[derive(Clone, Copy, Debug)]
pub struct Ptest;

impl VecOp for Ptest {
    const FLAGS: bool = true;
    #[inline(always)]
    fn run(x: &mut Exec<'_>, _: &Insn, a: Vec128, b: Vec128) -> Result<Vec128, Fault> {
        let zf = a.0[0] & b.0[0] | a.0[1] & b.0[1] == 0;
        let cf = !a.0[0] & b.0[0] | !a.0[1] & b.0[1] == 0;
        let f = (u64::from(zf) * flag::ZF) | (u64::from(cf) * flag::CF);
        x.cpu.rflags = x.cpu.rflags & !flag::STATUS | f;
        Ok(a)
    }
}
