//! Arithmetic, logic, shifts, multiplication, division, bits. Intel SDM volume 2, by mnemonic.

use super::operand::{Operand, Rd};
use crate::{
    meaning,
    ops::*,
    state::{flag, gpr},
};

const RAX: u8 = gpr::RAX as u8;
const RDX: u8 = gpr::RDX as u8;
/// AH.
const AH: u8 = 16;

meaning! {
    /// ADD, OR, ADC, SBB, AND, SUB, XOR.
    pub Arith<const OP: u8, const W: u8; D: Operand, S: Operand>(o, i) {
        let b = S::read(o, i, W)?;
        D::update(o, i, W, |o, a| o.alu(Alu::of(OP), W, a, b))
    }
    /// CMP.
    pub Compare<const W: u8; D: Operand, S: Operand>(o, i) {
        let a = D::read(o, i, W)?;
        let b = S::read(o, i, W)?;
        o.alu(Alu::Sub, W, a, b);
        Ok(())
    }
    /// TEST.
    pub Test<const W: u8; D: Operand, S: Operand>(o, i) {
        let a = D::read(o, i, W)?;
        let b = S::read(o, i, W)?;
        o.alu(Alu::And, W, a, b);
        Ok(())
    }
    /// INC, DEC, NOT, NEG.
    pub One<const OP: u8, const W: u8; D: Operand>(o, i) {
        D::update(o, i, W, |o, a| o.unary(Unary::of(OP), W, a))
    }
    /// ROL, ROR, RCL, RCR, SHL, SHR, SAR.
    pub Shifts<const OP: u8, const W: u8; D: Operand, S: Operand>(o, i) {
        let n = S::read(o, i, 1)?;
        D::update(o, i, W, |o, a| o.shift(Shift::of(OP), W, a, n))
    }
    /// SHLD (LEFT = 1), SHRD.
    pub DoubleShift<const LEFT: u8, const W: u8; D: Operand, S: Operand>(o, i) {
        let n = S::read(o, i, 1)?;
        let b = o.get(i.src, W);
        D::update(o, i, W, |o, a| o.double_shift(LEFT != 0, W, a, b, n))
    }
    /// MUL, IMUL with one operand.
    pub Mul<const SIGNED: u8, const W: u8; S: Operand>(o, i) {
        let b = S::read(o, i, W)?;
        let a = o.get(RAX, W);
        let (lo, hi) = o.mul(SIGNED != 0, W, a, b);
        o.set(RAX, W, lo);
        o.set(if W == 1 { AH } else { RDX }, W, hi);
        Ok(())
    }
    /// IMUL with two operands.
    pub Imul2<const W: u8; S: Operand>(o, i) {
        let b = S::read(o, i, W)?;
        let a = o.get(i.dst, W);
        let (lo, _) = o.mul(true, W, a, b);
        o.set(i.dst, W, lo);
        Ok(())
    }
    /// IMUL with an immediate.
    pub Imul3<const W: u8; S: Operand>(o, i) {
        let a = S::read(o, i, W)?;
        let b = o.imm(i.imm & crate::insn::Insn::mask(W));
        let (lo, _) = o.mul(true, W, a, b);
        o.set(i.dst, W, lo);
        Ok(())
    }
    /// DIV, IDIV.
    pub Div<const SIGNED: u8, const W: u8; S: Operand>(o, i) {
        let d = S::read(o, i, W)?;
        let high = if W == 1 { AH } else { RDX };
        let lo = o.get(RAX, W);
        let hi = o.get(high, W);
        let (q, r) = o.div(SIGNED != 0, W, hi, lo, d)?;
        o.set(RAX, W, q);
        o.set(high, W, r);
        Ok(())
    }
    /// CBW, CWDE, CDQE: to W bytes.
    pub Widen<const W: u8>(o, i) {
        let v = o.get(RAX, W / 2);
        let v = o.sext(W / 2, v);
        o.set(RAX, W, v);
        Ok(())
    }
    /// CWD, CDQ, CQO.
    pub SignRdx<const W: u8>(o, i) {
        let v = o.get(RAX, W);
        let v = o.sext(W, v);
        let n = o.imm(63);
        let v = o.pure(Pure::Sar, v, n);
        o.set(RDX, W, v);
        Ok(())
    }
    /// POPCNT, LZCNT, TZCNT.
    pub Count<const OP: u8, const W: u8; S: Operand>(o, i) {
        let v = S::read(o, i, W)?;
        let r = o.bits(Bits::of(OP), W, v, v);
        o.set(i.dst, W, r);
        Ok(())
    }
    /// BSF, BSR: a source of zero leaves the whole destination register alone.
    pub Scan<const OP: u8, const W: u8; S: Operand>(o, i) {
        let v = S::read(o, i, W)?;
        let old = o.get(i.dst, W);
        let r = o.bits(Bits::of(OP), W, v, old);
        if W == 4 {
            let zero = o.cond(Cond::E);
            let all = o.get(i.dst, 8);
            let r = o.select(zero, all, r);
            o.set(i.dst, 8, r);
        } else {
            o.set(i.dst, W, r);
        }
        Ok(())
    }
    /// BT, BTS, BTR, BTC on a register, or on memory with an immediate.
    pub BitTest<const OP: u8, const W: u8; D: Operand, S: Operand>(o, i) {
        let n = S::read(o, i, W)?;
        if OP == 0 {
            let v = D::read(o, i, W)?;
            o.bit_test(BitOp::Test, W, v, n);
            return Ok(());
        }
        D::update(o, i, W, |o, v| o.bit_test(BitOp::of(OP), W, v, n))
    }
    /// BT, BTS, BTR, BTC on a bit string in memory: the register's upper bits move the address.
    pub BitString<const OP: u8, const W: u8>(o, i) {
        let n = o.get(i.src, W);
        let bits = 8 * u64::from(W);
        let ea = o.ea(i);
        let index = o.sext(W, n);
        let down = o.imm(u64::from(bits.trailing_zeros()));
        let index = o.pure(Pure::Sar, index, down);
        let up = o.imm(u64::from(W.trailing_zeros()));
        let bytes = o.pure(Pure::Shl, index, up);
        let ea = o.pure(Pure::Add, ea, bytes);
        let ea = o.zext(i.addr, ea);
        if OP == 0 {
            let v = o.load(i, i.seg, ea, W)?;
            o.bit_test(BitOp::Test, W, v, n);
            return Ok(());
        }
        o.rmw(i, ea, W, |o, v| o.bit_test(BitOp::of(OP), W, v, n))
    }
    /// SETcc.
    pub SetCond<const C: u8; D: Operand>(o, i) {
        let c = o.cond(Cond(C));
        D::write(o, i, 1, c)
    }
    /// CMOVcc.
    pub MoveCond<const C: u8, const W: u8; S: Operand>(o, i) {
        let new = S::read(o, i, W)?;
        let old = Rd::read(o, i, W)?;
        let c = o.cond(Cond(C));
        let v = o.select(c, new, old);
        o.set(i.dst, W, v);
        Ok(())
    }
    /// LAHF.
    pub Lahf(o, i) {
        let f = o.flags();
        let one = o.imm(flag::ONE);
        let f = o.pure(Pure::Or, f, one);
        o.set(AH, 1, f);
        Ok(())
    }
    /// SAHF.
    pub Sahf(o, i) {
        let f = o.get(AH, 1);
        o.set_flags(flag::STATUS & 0xff, f);
        Ok(())
    }
    /// CLC, STC.
    pub Carry<const ON: u8>(o, i) {
        let v = o.imm(u64::from(ON));
        o.set_flags(flag::CF, v);
        Ok(())
    }
    /// CMC.
    pub Cmc(o, i) {
        let c = o.cond(Cond(3));
        o.set_flags(flag::CF, c);
        Ok(())
    }
    /// CLD, STD.
    pub Direction<const ON: u8>(o, i) {
        let v = o.imm(u64::from(ON) << 10);
        o.set_flags(flag::DF, v);
        Ok(())
    }
    /// SALC (D6h): AL = CF ? FFh : 0.
    pub Salc(o, i) {
        let c = o.cond(Cond::B);
        let zero = o.imm(0);
        let v = o.pure(Pure::Sub, zero, c);
        o.set(RAX, 1, v);
        Ok(())
    }
}
