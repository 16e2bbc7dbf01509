//! Arithmetic and flags against the host's own processor where it has the same instructions (x86-64), through the
//! expectations of the manual for what it defines, and of AMD's Zen for what it leaves undefined (`interp::flags`).

use lucid86_cpu::insn::Insn;
use lucid86_cpu::interp::flags::{self, Flags};
use lucid86_cpu::ops::Shift;
use lucid86_cpu::state::flag;

const CF: u64 = flag::CF;
const OF: u64 = flag::OF;
const ZF: u64 = flag::ZF;
const SF: u64 = flag::SF;
const AF: u64 = flag::AF;
const PF: u64 = flag::PF;

/// Any combination of flags survives the lazy form, and conditions follow appendix B of SDM volume 1.
#[test]
fn every_combination_of_flags() {
    for n in 0..64u64 {
        let f = n & 1
            | (n >> 1 & 1) << 2
            | (n >> 2 & 1) << 4
            | (n >> 3 & 1) << 6
            | (n >> 4 & 1) << 7
            | (n >> 5) << 11;
        let lazy = Flags::from_rflags(f);
        assert_eq!(lazy.bits(), f);
        let has = |b: u64| f & b != 0;
        let conditions = [
            has(OF),
            has(CF),
            has(ZF),
            has(CF) || has(ZF),
            has(SF),
            has(PF),
            has(SF) != has(OF),
            has(ZF) || has(SF) != has(OF),
        ];
        for (c, yes) in conditions.into_iter().enumerate() {
            assert_eq!(lazy.cond(2 * c as u8), yes);
            assert_eq!(lazy.cond(2 * c as u8 + 1), !yes);
        }
        assert_eq!(lazy.divided().bits(), f & (CF | OF) | AF);
        assert_eq!(lazy.with_cf(true).bits(), f | CF);
    }
}

/// ADD, ADC, SUB, SBB, INC, DEC from the definition of each flag.
#[test]
fn addition_and_subtraction() {
    let interesting = |w: u8| {
        let m = Insn::mask(w);
        [0, 1, 2, 0xf, 0x10, 0x7f, 0x80, 0xff, m >> 1, (m >> 1) + 1, m - 1, m, 0x1234_5678_9abc_def0 & m]
            .map(|v| v & m)
    };
    for w in [1u8, 2, 4, 8] {
        let bits = 8 * u32::from(w);
        let m = Insn::mask(w);
        for a in interesting(w) {
            for b in interesting(w) {
                for c in 0..2u64 {
                    let (r, f) = flags::add(w, a, b, c);
                    let wide = u128::from(a) + u128::from(b) + u128::from(c);
                    let s = i128::from(flags::sext(w, a) as i64)
                        + i128::from(flags::sext(w, b) as i64)
                        + i128::from(c);
                    assert_eq!(r, wide as u64 & m);
                    let half = (a & 15) + (b & 15) + c > 15;
                    assert_eq!(
                        f.bits(),
                        expected(w, r, wide >> bits != 0, s != i128::from(flags::sext(w, r) as i64), half)
                    );
                    let (r, f) = flags::sub(w, a, b, c);
                    let s = i128::from(flags::sext(w, a) as i64)
                        - i128::from(flags::sext(w, b) as i64)
                        - i128::from(c);
                    let borrow = u128::from(a) < u128::from(b) + u128::from(c);
                    let half = (a & 15) < (b & 15) + c;
                    assert_eq!(
                        f.bits(),
                        expected(w, r, borrow, s != i128::from(flags::sext(w, r) as i64), half)
                    );
                }
            }
            for old in [0, CF] {
                let (r, f) = flags::keep_cf(flags::add(w, a, 1, 0), Flags::from_rflags(old));
                let over = r == (m >> 1) + 1;
                assert_eq!(f.bits(), expected(w, r, old != 0, over, a & 15 == 15));
            }
        }
    }
}

fn expected(w: u8, r: u64, cf: bool, of: bool, af: bool) -> u64 {
    let bits = 8 * u32::from(w);
    u64::from(cf)
        | u64::from((r as u8).count_ones().is_multiple_of(2)) << 2
        | u64::from(af) << 4
        | u64::from(r == 0) << 6
        | (r >> (bits - 1)) << 7
        | u64::from(of) << 11
}

/// A few results read off a Zen 5 (flags in, operand, count; result, flags out).
#[test]
fn shifts_as_on_zen() {
    use Shift::*;
    let all = CF | PF | AF | ZF | SF | OF;
    let cases = [
        (Shl, 0, 0x80, 1, 0x00, OF | ZF | AF | PF | CF),
        (Shl, 0, 0x81, 8, 0x00, OF | ZF | AF | PF | CF),
        (Shl, 0, 0x81, 9, 0x00, ZF | AF | PF),
        (Shl, 0, 0xaa, 4, 0xa0, OF | SF | AF | PF),
        (Shr, 0, 0xaa, 1, 0x55, OF | AF | PF),
        (Shr, 0, 0x81, 8, 0x00, ZF | AF | PF | CF),
        (Sar, 0, 0xaa, 4, 0xfa, SF | AF | PF | CF),
        (Sar, 0, 0x81, 9, 0xff, SF | AF | PF | CF),
        (Rol, 0, 0x81, 8, 0x81, CF),
        (Ror, 0, 0x81, 8, 0x81, OF | CF),
        (Rcl, 0, 0x81, 9, 0x81, OF),
        (Rcr, 0, 0x41, 9, 0x41, OF),
        (Rcl, 0, 0xaa, 14, 0x4a, OF | CF),
        (Rcr, all, 0xaa, 4, 0x5a, all),
        (Rcl, all, 0xaa, 3, 0x56, all),
        (Rcl, all, 0x80, 9, 0x80, all & !OF),
    ];
    for (op, old, v, n, result, f) in cases {
        let (r, got) = flags::shift(op, 1, v, n, &Flags::from_rflags(old)).expect("a count");
        assert_eq!((r, got.bits()), (result, f), "{op:?} {v:x} {n}");
    }
    let cases = [
        (true, 0xabcd, 0x1234, 20, 0x2341, AF | PF),
        (true, 0xabcd, 0x9234, 16, 0x9234, OF | SF | AF | CF),
        (true, 0xabcd, 0x9234, 17, 0x2469, AF | PF),
        (false, 0xabcd, 0x1234, 20, 0x4123, OF | AF),
        (false, 0xabcd, 0x9235, 17, 0xc91a, SF | AF),
        (false, 0xabcd, 0x9234, 16, 0x9234, OF | SF | AF | CF),
    ];
    for (left, a, b, n, result, f) in cases {
        let (r, got) = flags::double_shift(left, 2, a, b, n).expect("a count");
        assert_eq!((r, got.bits()), (result, f), "{left} {n}");
    }
}

/// Division in all widths against wide arithmetic.
#[test]
fn division() {
    assert_eq!(flags::div(false, 1, 0x12, 0x34, 0x77), Some((0x27, 0x13)));
    assert_eq!(flags::div(false, 8, 5, 0x1234_5678, 0x77), Some((0x0ac1_9d0a_c1c4_345b, 0x2b)));
    assert_eq!(flags::div(true, 4, 0xffff_ffff, 0xffff_ff9c, 7), Some((0xffff_fff2, 0xffff_fffe)));
    assert_eq!(flags::div(true, 8, 1 << 63, 0, u64::MAX), None);
    assert_eq!(flags::div(true, 8, u64::MAX, 1 << 63, 1), Some((1 << 63, 0)));
    assert_eq!(flags::div(true, 8, u64::MAX, 1 << 63, u64::MAX), None);
    assert_eq!(flags::div(true, 1, 0xff, 0x80, 1), Some((0x80, 0)));
    assert_eq!(flags::div(true, 1, 0, 0x80, 1), None);
    assert_eq!(flags::div(false, 2, 7, 0, 7), None);
    assert_eq!(flags::div(true, 2, 0, 7, 0), None);
}
