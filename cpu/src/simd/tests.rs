//! Soft lanes against the host's processor, to the bit: values and exception flags in every mode of MXCSR.

use super::float::*;
use super::soft::Env;
use crate::fpu::tests::Rng;
use crate::ops::Vec128;

fn single(r: &mut Rng) -> u32 {
    let corner = [
        0u32,
        1,
        0x7f_ffff,
        0x80_0000,
        0x80_0001,
        0x3f80_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7f80_0001,
        0x7fc0_0000,
        0x7fff_ffff,
        0x4f00_0000,
        0x4eff_ffff,
        0x5f00_0000,
        0x3f00_0000,
        0x3fc0_0000,
        0x4020_0000,
        0x40_0000,
    ];
    let n = r.next();
    let v = match n >> 61 {
        0 | 1 => corner[(n & 0xffff) as usize % corner.len()],
        2 => (n as u32 >> 9) | (0x3e00_0000 + ((n >> 40) as u32 & 0x3f) * 0x80_0000),
        3 => n as u32 & 0x807f_ffff,
        4 => (n as u32 & 0xfff0_0000).wrapping_add((n >> 40) as u32 & 3),
        _ => n as u32,
    };
    v | ((n >> 39) as u32) << 31
}

fn double(r: &mut Rng) -> u64 {
    let corner = [
        0u64,
        1,
        0xf_ffff_ffff_ffff,
        1 << 52,
        (1 << 52) + 1,
        0x3ff0 << 48,
        0x7fef_ffff_ffff_ffff,
        0x7ff0 << 48,
        (0x7ff0 << 48) + 1,
        0x7ff8 << 48,
        u64::MAX >> 1,
        0x41df_ffff_ffc0_0000,
        0x41e0 << 48,
        0x43e0 << 48,
        0x43df_ffff_ffff_ffff,
        0x3fe0 << 48,
        0x4004 << 48,
        0x36a0 << 48,
        0x3810 << 48,
        0x380f_ffff_f000_0000,
        0x47ef_ffff_f000_0000,
        0x47ef_ffff_e000_0000,
    ];
    let n = r.next();
    let m = r.next();
    let v = match n >> 61 {
        0 | 1 => corner[(n & 0xffff) as usize % corner.len()],
        2 => m >> 12 | 0x3fe0 << 48 | (n & 0x3f) << 52,
        3 => m & 0xf_ffff_ffff_ffff,
        4 => f64::from(single_value(m as u32)).to_bits(),
        5 => (m >> 12) | (0x380 + (n >> 8 & 0xff)) << 52,
        _ => m,
    };
    v | (n >> 9) << 63
}

fn single_value(v: u32) -> f32 {
    f32::from_bits(v)
}

fn vector(r: &mut Rng, singles: bool) -> Vec128 {
    if singles {
        super::lanes::from_words([single(r), single(r), single(r), single(r)])
    } else {
        Vec128([double(r), double(r)])
    }
}

fn check<T: FloatOp>(name: &str, singles: bool) {
    let mut r = Rng(0xdead_beef_1234_5677);
    for n in 0..60_000u32 {
        let a = vector(&mut r, singles);
        let mut b = vector(&mut r, singles);
        if n & 15 == 0 {
            b = a;
        }
        let modes = (r.next() >> 20) as u32 & 0xe040;
        let csr = 0x1f80 | if n & 3 == 0 { 0 } else { modes };
        let imm = (r.next() >> 30) as u8;
        let Some((h, flags)) = T::host(csr, a, b, imm) else { return };
        if let Some(r) = T::fast(csr | 0x20, a, b) {
            assert_eq!((r, flags & 0x1f), (h, 0), "{name}, usual case: {a:x?} {b:x?} mxcsr {csr:x}");
        }
        if let Some(r) = T::fast(csr, a, b) {
            assert_eq!((r, flags & 0x3f), (h, 0), "{name}, exact case: {a:x?} {b:x?} mxcsr {csr:x}");
        }
        let mut e = Env::new(csr);
        let s = T::soft(&mut e, a, b, imm);
        assert_eq!((h, flags & 0x3f), (s, e.flags()), "{name} {a:x?} {b:x?} imm {imm:x} mxcsr {csr:x}");
    }
}

macro_rules! check {
    ($singles:literal: $($op:ident)*) => { $(check::<$op>(stringify!($op), $singles);)* };
}

#[test]
fn singles_match_the_host() {
    check!(true: Addps Subps Mulps Divps Minps Maxps Sqrtps Cmpps Roundps Addss Subss Mulss Divss Minss Maxss Sqrtss Cmpss Roundss
        Cvtps2pd Cvtss2sd Cvtps2dq Cvttps2dq Cvtss2si32 Cvtss2si64 Cvttss2si32 Cvttss2si64 Cvtdq2ps Cvtdq2pd Cvtsi2ss32 Cvtsi2sd32);
}

#[test]
fn doubles_match_the_host() {
    check!(false: Addpd Subpd Mulpd Divpd Minpd Maxpd Sqrtpd Cmppd Roundpd Addsd Subsd Mulsd Divsd Minsd Maxsd Sqrtsd Cmpsd Roundsd
        Cvtpd2ps Cvtsd2ss Cvtpd2dq Cvttpd2dq Cvtsd2si32 Cvtsd2si64 Cvttsd2si32 Cvttsd2si64 Cvtsi2ss64 Cvtsi2sd64);
}

#[test]
fn estimates_meet_the_bound() {
    let mut r = Rng(0x1357_9bdf_1234_5677);
    for _ in 0..1_000_000 {
        let v = (r.next() >> 33) as u32 & 0x7fff_ffff;
        let x = f64::from(f32::from_bits(v));
        if !(1.2e-38..8e37).contains(&x) {
            continue;
        }
        let bound = 1.5 / 4096.0;
        let rcp = f64::from(f32::from_bits(super::soft::reciprocal(v)));
        assert!((rcp * x - 1.0).abs() <= bound, "rcp {x}");
        let rsqrt = f64::from(f32::from_bits(super::soft::reciprocal_sqrt(v)));
        assert!((rsqrt * x.sqrt() - 1.0).abs() <= bound, "rsqrt {x}");
    }
}

/// Integer operations and those of AES, SHA and PCLMULQDQ: portable code beside the host's instruction.
#[test]
fn integers_match_the_host() {
    use super::int::*;
    use super::lanes::{bytes, from_bytes};
    use super::{crypto, host_int};
    let mut r = Rng(0x2468_ace0_1357_9bdf);
    let mut mix = || {
        let (a, b) = (r.next(), r.next());
        match a & 3 {
            0 => Vec128([a & b & 0x7f80_ff01_8000_00ff, b]),
            1 => Vec128([b & 63, a]),
            2 => Vec128([a | 0x8000_7fff_0080_ff7f, b & 0x0f8f_0f8f_7f80_8000]),
            _ => Vec128([a, b]),
        }
    };
    macro_rules! compare {
        ($($op:ident)*) => { $(
            for _ in 0..3000 {
                let (a, b) = (mix(), mix());
                if let Some(h) = $op::host(a, b) {
                    let s = from_bytes($op::f::<16>(bytes(a), bytes(b), 0));
                    assert_eq!(h, s, "{} {a:x?} {b:x?}", stringify!($op));
                }
            }
        )* };
    }
    compare!(Paddsb Paddsw Paddusb Paddusw Psubsb Psubsw Psubusb Psubusw Pcmpeqb Pcmpeqw Pcmpeqd Pcmpgtb Pcmpgtw Pcmpgtd
        Pmullw Pmulhw Pmulhuw Pmuludq Pmaddwd Pavgb Pavgw Pminub Pminsw Pmaxub Pmaxsw Psadbw Packsswb Packuswb Packssdw
        Punpcklbw Punpcklwd Punpckldq Punpckhbw Punpckhwd Punpckhdq Psllw Pslld Psllq Psrlw Psrld Psrlq Psraw Psrad
        Pshufb Phaddw Phaddd Phaddsw Phsubw Phsubd Phsubsw Pmaddubsw Psignb Psignw Psignd Pmulhrsw Pabsb Pabsw Pabsd
        Packusdw Pminsb Pminsd Pminuw Pminud Pmaxsb Pmaxsd Pmaxuw Pmaxud Pmulld Pmuldq Phminposuw Pcmpeqq Pcmpgtq);
    for _ in 0..20_000 {
        let (a, b, k) = (mix(), mix(), mix());
        let n = k.0[1] as u8;
        let pairs = [
            (host_int::aesenc(a, b), crypto::aesenc(a, b, false)),
            (host_int::aesenclast(a, b), crypto::aesenc(a, b, true)),
            (host_int::aesdec(a, b), crypto::aesdec(a, b, false)),
            (host_int::aesdeclast(a, b), crypto::aesdec(a, b, true)),
            (host_int::aesimc(a, b), crypto::aesimc(b)),
            (host_int::pclmulqdq(a, b, n), crypto::pclmulqdq(a, b, n)),
            (host_int::sha1rnds4(a, b, n), crypto::sha1rnds4(a, b, n)),
            (host_int::sha1nexte(a, b), crypto::sha1nexte(a, b)),
            (host_int::sha1msg1(a, b), crypto::sha1msg1(a, b)),
            (host_int::sha1msg2(a, b), crypto::sha1msg2(a, b)),
            (host_int::sha256msg1(a, b), crypto::sha256msg1(a, b)),
            (host_int::sha256msg2(a, b), crypto::sha256msg2(a, b)),
            (host_int::sha256rnds2(a, b, k), crypto::sha256rnds2(a, b, k)),
        ];
        let (seed, v) = (a.0[0] as u32, b.0[1]);
        assert_eq!(host_int::crc32_64(seed, v).unwrap_or(0), crypto::crc32(seed, v, 8));
        assert_eq!(host_int::crc32_8(seed, n).unwrap_or(0), crypto::crc32(seed, u64::from(n), 1));
        for (which, (host, soft)) in pairs.into_iter().enumerate() {
            assert_eq!(host.unwrap_or(soft), soft, "{which}: {a:x?} {b:x?} {k:x?}");
        }
    }
}
