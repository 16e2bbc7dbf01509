//! The soft implementation against the host's unit, to the bit: values, exception flags, C1, condition codes.

use super::float::Num;
use super::{host, soft};
use crate::state::F80;
use soft::{Arith, C1};

/// xorshift64*: the same cases on every run.
pub(crate) struct Rng(pub u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[(self.next() >> 33) as usize % from.len()]
    }
}

const OPS: [Arith; 6] = [Arith::Add, Arith::Mul, Arith::Sub, Arith::SubR, Arith::Div, Arith::DivR];

fn mantissa(r: &mut Rng) -> u64 {
    let corner = [
        0,
        1,
        2,
        3,
        1 << 62,
        1 << 63,
        (1 << 63) + 1,
        u64::MAX,
        u64::MAX - 1,
        3 << 62,
        (3 << 62) + 1,
        0xa << 60,
        0xffff_ff00_0000_0000,
        0xffff_ff80_0000_0000,
        0xffff_ffff_ffff_f800,
        0xffff_ffff_ffff_fc00,
        0x8000_0000_0000_0400,
        0x8000_0000_0000_0800,
        0x8000_0080_0000_0000,
        0x8000_0100_0000_0000,
        (1 << 63) - 1,
        0xffff_ffff_0000_0000,
    ];
    match r.next() >> 62 {
        0 => r.pick(&corner),
        1 => r.next() & !0 << (r.next() & 63) | 1 << 63,
        2 => r.next(),
        _ => r.next() | 1 << 63,
    }
}

fn f80(r: &mut Rng) -> F80 {
    let corner = [
        0u16,
        0,
        1,
        2,
        23,
        64,
        0x7fff,
        0x7fff,
        0x7ffe,
        0x7ffd,
        16383,
        16382,
        16384,
        16383 - 126,
        16383 - 127,
        16383 + 127,
        16383 + 128,
        16383 - 149,
        16383 - 150,
        16383 - 1022,
        16383 - 1023,
        16383 + 1023,
        16383 + 1024,
        16383 - 1074,
        16383 + 63,
        16383 + 62,
        16383 + 30,
        16383 + 31,
        16383 + 15,
        16383 + 14,
        16383 + 59,
    ];
    let e = match r.next() >> 62 {
        0 => r.pick(&corner),
        1 => (r.next() >> 49) as u16,
        _ => 16383 - 70 + (r.next() >> 33) as u16 % 140,
    };
    F80 { mant: mantissa(r), se: e | ((r.next() >> 63) as u16 * 0x8000) }
}

fn f80_near(r: &mut Rng, a: F80) -> F80 {
    let mut b = f80(r);
    if r.next() & 1 != 0 {
        b.se = a.se.wrapping_add((r.next() >> 33) as u16 % 140).wrapping_sub(70)
            ^ ((r.next() >> 63) as u16 * 0x8000);
    }
    b
}

fn control(r: &mut Rng) -> u16 {
    let n = r.next();
    if n & 3 == 0 { 0x37f } else { 0x7f | ((n >> 8 & 3) as u16 * 0x400) | r.pick(&[0u16, 2, 3]) << 8 }
}

#[test]
fn arithmetic_matches_the_host() {
    let mut r = Rng(0x1234_5678_9abc_def1);
    for i in 0..3_000_000u32 {
        let (a, op, cw) = (f80(&mut r), OPS[i as usize % 6], control(&mut r));
        let b = f80_near(&mut r, a);
        let h = host::arith(op, &a, &b, cw, 0);
        let s = soft::arith(op, Num::from_f80(a), Num::from_f80(b), cw);
        assert_eq!(h, s, "{op:?} {a:x?} {b:x?} cw {cw:x}");
        let mut regs = [a; 8];
        regs[3] = b;
        let sw = if i & 1 == 0 { 0 } else { 0x3f };
        let flags = host::arith_regs(op, &mut regs, 5, 3, cw, sw);
        assert_eq!((regs[5], flags | sw), (s.val, s.flags | sw), "in place: {op:?} {a:x?} {b:x?} cw {cw:x}");
        let m = if r.next() & 1 != 0 { r.next() as u32 } else { soft::store_f32(b, cw).bits as u32 };
        let h = host::arith_m32(op, &a, &m, cw, 0);
        let s = soft::arith(op, Num::from_f80(a), Num::from_f32(m), cw);
        assert_eq!(h, s, "{op:?} {a:x?} {m:x?} cw {cw:x}");
        let m = if r.next() & 1 != 0 { r.next() } else { soft::store_f64(b, cw).bits };
        let h = host::arith_m64(op, &a, &m, cw, 0);
        let s = soft::arith(op, Num::from_f80(a), Num::from_f64(m), cw);
        assert_eq!(h, s, "{op:?} {a:x?} {m:x?} cw {cw:x}");
    }
}

#[test]
fn unary_and_stores_match_the_host() {
    let mut r = Rng(0x9876_5432_1abc_def1);
    for _ in 0..1_000_000u32 {
        let (a, cw) = (f80(&mut r), control(&mut r));
        assert_eq!(host::sqrt(&a, cw, 0), soft::sqrt(a, cw), "sqrt {a:x?} cw {cw:x}");
        assert_eq!(
            host::round_to_integral(&a, cw, 0),
            soft::round_to_integral(a, cw),
            "rndint {a:x?} cw {cw:x}"
        );
        assert_eq!(host::store_f32(&a, cw, 0), soft::store_f32(a, cw), "fst m32 {a:x?} cw {cw:x}");
        assert_eq!(host::store_f64(&a, cw, 0), soft::store_f64(a, cw), "fst m64 {a:x?} cw {cw:x}");
        let rc = soft::rounding(cw);
        assert_eq!(host::store_i16(&a, cw, 0), soft::store_int(a, 16, rc), "fist m16 {a:x?} cw {cw:x}");
        assert_eq!(host::store_i32(&a, cw, 0), soft::store_int(a, 32, rc), "fist m32 {a:x?} cw {cw:x}");
        assert_eq!(host::store_i64(&a, cw, 0), soft::store_int(a, 64, rc), "fist m64 {a:x?} cw {cw:x}");
        assert_eq!(host::store_bcd(&a, cw), soft::store_bcd(a, cw), "fbstp {a:x?} cw {cw:x}");
        let (x, e, sw) = host::extract(&a);
        let (sx, se) = soft::extract(a);
        assert_eq!((x, e, sw & 0x3f), (sx.val, se, sx.flags), "fxtract {a:x?}");
        assert_eq!(host::examine(&a) & 0x4500, soft::examine(a), "fxam {a:x?}");
    }
}

#[test]
fn comparisons_match_the_host() {
    let mut r = Rng(0x5555_5432_1abc_def1);
    for _ in 0..1_000_000u32 {
        let a = f80(&mut r);
        let b = if r.next() & 7 == 0 { a } else { f80_near(&mut r, a) };
        for quiet in [false, true] {
            let h = host::compare(&a, &b, quiet, 0);
            let (rel, flags) = soft::compare(Num::from_f80(a), Num::from_f80(b), quiet);
            assert_eq!(h & 0x453f, super::condition(rel) | flags, "compare {a:x?} {b:x?} {quiet}");
            assert_eq!(
                (rel, flags),
                super::compare(a, super::Operand::Ext(b), quiet),
                "short compare {a:x?} {b:x?}"
            );
        }
    }
}

#[test]
fn scale_and_remainder_match_the_host() {
    let mut r = Rng(0x1111_5432_1abc_def1);
    for _ in 0..1_000_000u32 {
        let (a, cw) = (f80(&mut r), control(&mut r));
        let mut b = f80_near(&mut r, a);
        for nearest in [false, true] {
            let (v, sw) = host::remainder(&a, &b, nearest, cw);
            let s = soft::remainder(a, b, nearest, cw);
            let q = if s.partial { 0x400 } else { super::quotient_condition(s.quotient) };
            let nan = s.out.val.se & 0x7fff == 0x7fff;
            let mask = if nan { 0x3f } else { 0x473f };
            assert_eq!(
                (v, sw & mask),
                (s.out.val, (s.out.flags & 0x3f | q) & mask),
                "fprem {a:x?} {b:x?} {nearest} {cw:x}"
            );
        }
        if r.next() & 1 != 0 {
            b.se = b.se & 0x8000 | (16383 + (r.next() >> 33) as u16 % 18);
        }
        assert_eq!(host::scale(&a, &b, cw), soft::scale(a, b, cw), "fscale {a:x?} {b:x?} {cw:x}");
    }
    let _ = C1;
}

/// Distance in units of the last place.
fn ulps(a: F80, b: F80) -> u64 {
    let key = |v: F80| {
        let m = i128::from(v.se & 0x7fff) << 63 | i128::from(v.mant & !(1 << 63));
        if v.se >> 15 != 0 { -m } else { m }
    };
    u64::try_from((key(a) - key(b)).unsigned_abs()).unwrap_or(u64::MAX)
}

/// The host's transcendentals err by less than one unit in the last place too, so that both lie next to each other.
#[test]
fn transcendentals_lie_beside_the_hosts() {
    use super::transcendental as t;
    let mut r = Rng(0x7777_5432_1abc_def1);
    let mut worst = [(0u64, F80::default(), F80::default()); 7];
    for _ in 0..300_000u32 {
        let mut num = |lo: i32, hi: i32, sign: bool| {
            let e = 16383 + lo + ((r.next() >> 40) as i32 % (hi - lo));
            let m = if r.next() & 3 == 0 { r.next() & !0 << (r.next() & 63) } else { r.next() };
            F80 { mant: m | 1 << 63, se: e as u16 | if sign { (r.next() >> 63) as u16 * 0x8000 } else { 0 } }
        };
        let small = num(-70, 2, true);
        let below_one = num(-80, 0, true);
        let positive = num(-70, 70, false);
        let any = num(-200, 200, true);
        let near = F80 { mant: 1 << 63 | num(-1, 0, false).mant >> (any.mant & 31), se: 0x3fff };
        let tiny = num(-80, -2, true);
        let cases = [
            (0, small, small, t::sincos(small, 0x37f).unwrap().0.val),
            (1, small, small, t::sincos(small, 0x37f).unwrap().1.val),
            (2, small, small, t::tan(small, 0x37f).unwrap().val),
            (3, any, positive, t::patan(positive, any, 0x37f).val),
            (3, any, small, t::patan(small, any, 0x37f).val),
            (3, small, below_one, t::patan(below_one, small, 0x37f).val),
            (4, below_one, small, t::f2xm1(below_one, 0x37f).val),
            (5, positive, any, t::yl2x(any, positive, 0x37f).val),
            (5, near, any, t::yl2x(any, near, 0x37f).val),
            (6, tiny, any, t::yl2xp1(any, tiny, 0x37f).val),
        ];
        for (op, a, b, ours) in cases {
            let d = ulps(host::transcendental(op, &a, &b), ours);
            if d > worst[op].0 {
                worst[op] = (d, a, b);
            }
        }
    }
    assert!(worst.iter().all(|w| w.0 <= 1), "{worst:x?}");
}
