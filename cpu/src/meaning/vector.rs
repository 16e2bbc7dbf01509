//! Shapes of vector instructions over [`Ops`]: where operands come from, which must be aligned, what of the destination stays.
//! What they compute is a [`VecOp`] of `crate::simd`.
//!
//! `W` says what the second operand is: 0 a register, 16 aligned memory, 17 memory of any alignment, less: that many
//! bytes of memory, zero-extended. Intel SDM volume 2, section 2.4 (alignment) and by mnemonic.

use crate::helper::{vector, x87, xsave};
use crate::insn::Insn;
use crate::ops::*;
use crate::{Fault, meaning};

/// The second operand in an XMM register or memory.
#[inline(always)]
fn source<O: Ops, const W: u8>(o: &mut O, i: &Insn) -> Result<O::X, Bail> {
    if W == 0 {
        return Ok(o.xmm(i.src));
    }
    let ea = o.ea(i);
    if W >= 16 {
        return o.load_x(i, i.seg, ea, W == 16);
    }
    let v = o.load(i, i.seg, ea, W)?;
    let zero = o.imm(0);
    Ok(o.x_from(v, zero))
}

/// The second operand in an MMX register or memory.
#[inline(always)]
fn mmx_source<O: Ops, const W: u8>(o: &mut O, i: &Insn) -> Result<O::X, Bail> {
    let v = if W == 0 {
        o.mmx(i.src)
    } else {
        let ea = o.ea(i);
        o.load(i, i.seg, ea, W)?
    };
    let zero = o.imm(0);
    Ok(o.x_from(v, zero))
}

#[inline(always)]
fn nothing<O: Ops>(o: &mut O) -> O::X {
    let zero = o.imm(0);
    o.x_from(zero, zero)
}

meaning! {
    /// #UD: not available in this mode.
    pub Undefined(o, i) { Err(o.raise(Fault::ud())) }
    /// #NM: the unit's state belongs to another task.
    pub NoDevice(o, i) { Err(o.raise(Fault::nm())) }

    /// Destination register, second operand `W`; `UNARY`: the old destination doesn't matter.
    pub Vector<const W: u8, const UNARY: bool; M: VecOp>(o, i) {
        let b = source::<O, W>(o, i)?;
        let a = if UNARY { nothing(o) } else { o.xmm(i.dst) };
        let r = o.vec::<M>(i, a, b)?;
        o.set_xmm(i.dst, r);
        Ok(())
    }
    /// Only sets flags.
    pub Test<const W: u8; M: VecOp>(o, i) {
        let b = source::<O, W>(o, i)?;
        let a = o.xmm(i.dst);
        o.vec::<M>(i, a, b)?;
        Ok(())
    }
    /// A shift by the immediate.
    pub ShiftImm<; M: VecOp>(o, i) {
        let a = o.xmm(i.dst);
        let b = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        o.set_xmm(i.dst, r);
        Ok(())
    }
    /// Floating point to a general register of `TO` bytes.
    pub FloatToInt<const W: u8, const TO: u8; M: VecOp>(o, i) {
        let b = source::<O, W>(o, i)?;
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(TO, r);
        o.set(i.dst, TO, v);
        Ok(())
    }
    /// A general register or memory of `W` bytes to floating point.
    pub IntToFloat<const W: u8, const MEM: bool; M: VecOp>(o, i) {
        let v = if MEM {
            let ea = o.ea(i);
            o.load(i, i.seg, ea, W)?
        } else {
            o.get(i.src, W)
        };
        let zero = o.imm(0);
        let b = o.x_from(v, zero);
        let a = o.xmm(i.dst);
        let r = o.vec::<M>(i, a, b)?;
        o.set_xmm(i.dst, r);
        Ok(())
    }
    /// PMOVMSKB and the like.
    pub MaskToInt<; M: VecOp>(o, i) {
        let b = o.xmm(i.src);
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(4, r);
        o.set(i.dst, 4, v);
        Ok(())
    }
    /// PBLENDVB, BLENDVPS, BLENDVPD: lanes of `LANE` bytes by the top bits of XMM0.
    pub BlendVariable<const W: u8, const LANE: usize>(o, i) {
        use crate::simd::{int::{Pand, Pxor}, ops::{Spread, Sse}};
        let b = source::<O, W>(o, i)?;
        let a = o.xmm(i.dst);
        let mask = o.xmm(0);
        let unused = nothing(o);
        let mask = o.vec::<Spread<LANE>>(i, unused, mask)?;
        let d = o.vec::<Sse<Pxor>>(i, a, b)?;
        let d = o.vec::<Sse<Pand>>(i, d, mask)?;
        let r = o.vec::<Sse<Pxor>>(i, a, d)?;
        o.set_xmm(i.dst, r);
        Ok(())
    }

    /// MOVAPS and all other loads; shorter ones clear the rest.
    pub LoadVector<const W: u8>(o, i) {
        let v = source::<O, W>(o, i)?;
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// Stores of a register or its low bytes.
    pub StoreVector<const W: u8>(o, i) {
        let v = o.xmm(i.src);
        let ea = o.ea(i);
        if W >= 16 {
            return o.store_x(i, i.seg, ea, W == 16, v);
        }
        let v = o.x_low(W, v);
        o.store(i, i.seg, ea, W, v)
    }
    /// MOVAPS between registers.
    pub CopyVector(o, i) {
        let v = o.xmm(i.src);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVQ between registers: the upper half becomes zero.
    pub CopyLow(o, i) {
        let v = o.xmm(i.src);
        let v = o.x_low(8, v);
        let zero = o.imm(0);
        let v = o.x_from(v, zero);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVSS, MOVSD between registers: the rest of the destination stays.
    pub MergeLow<const W: u8>(o, i) {
        let b = o.xmm(i.src);
        let a = o.xmm(i.dst);
        let mut low = o.x_low(W, b);
        if W == 4 {
            let keep = o.imm(!0xffff_ffff);
            let old = o.x_low(8, a);
            let old = o.pure(Pure::And, old, keep);
            low = o.pure(Pure::Or, low, old);
        }
        let high = o.x_high(a);
        let v = o.x_from(low, high);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVHLPS.
    pub HighToLow(o, i) {
        let b = o.xmm(i.src);
        let a = o.xmm(i.dst);
        let low = o.x_high(b);
        let high = o.x_high(a);
        let v = o.x_from(low, high);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVLHPS.
    pub LowToHigh(o, i) {
        let b = o.xmm(i.src);
        let a = o.xmm(i.dst);
        let high = o.x_low(8, b);
        let low = o.x_low(8, a);
        let v = o.x_from(low, high);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVLPS, MOVLPD from memory.
    pub LoadLow(o, i) {
        let ea = o.ea(i);
        let low = o.load(i, i.seg, ea, 8)?;
        let a = o.xmm(i.dst);
        let high = o.x_high(a);
        let v = o.x_from(low, high);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVHPS, MOVHPD from memory.
    pub LoadHigh(o, i) {
        let ea = o.ea(i);
        let high = o.load(i, i.seg, ea, 8)?;
        let a = o.xmm(i.dst);
        let low = o.x_low(8, a);
        let v = o.x_from(low, high);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVHPS, MOVHPD to memory.
    pub StoreHigh(o, i) {
        let a = o.xmm(i.src);
        let v = o.x_high(a);
        let ea = o.ea(i);
        o.store(i, i.seg, ea, 8, v)
    }
    /// MOVD, MOVQ from a general register.
    pub FromInt<const W: u8>(o, i) {
        let v = o.get(i.src, W);
        let zero = o.imm(0);
        let v = o.x_from(v, zero);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVD, MOVQ to a general register.
    pub ToInt<const W: u8>(o, i) {
        let v = o.xmm(i.src);
        let v = o.x_low(W, v);
        o.set(i.dst, W, v);
        Ok(())
    }
    /// PINSRB and the like.
    pub InsertInt<const W: u8, const MEM: bool; M: VecOp>(o, i) {
        let v = if MEM {
            let ea = o.ea(i);
            o.load(i, i.seg, ea, W)?
        } else {
            o.get(i.src, if W == 8 { 8 } else { 4 })
        };
        let zero = o.imm(0);
        let b = o.x_from(v, zero);
        let a = o.xmm(i.dst);
        let r = o.vec::<M>(i, a, b)?;
        o.set_xmm(i.dst, r);
        Ok(())
    }
    /// PEXTRB and the like to a register, with the vector as second operand.
    pub ExtractInt<const W: u8; M: VecOp>(o, i) {
        let b = o.xmm(i.src);
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(W, r);
        o.set(i.dst, if W == 8 { 8 } else { 4 }, v);
        Ok(())
    }
    /// PEXTRW's first form.
    pub ExtractReg<; M: VecOp>(o, i) {
        let b = o.xmm(i.src);
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(4, r);
        o.set(i.dst, 4, v);
        Ok(())
    }
    /// PEXTRB and the like to memory.
    pub ExtractMem<const W: u8; M: VecOp>(o, i) {
        let b = o.xmm(i.src);
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(W, r);
        let ea = o.ea(i);
        o.store(i, i.seg, ea, W, v)
    }

    /// MMX destination.
    pub MmxVector<const W: u8, const UNARY: bool; M: VecOp>(o, i) {
        o.mmx_ready(i)?;
        let b = mmx_source::<O, W>(o, i)?;
        o.mmx_enter(i)?;
        let zero = o.imm(0);
        let a = if UNARY { zero } else { o.mmx(i.dst) };
        let a = o.x_from(a, zero);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(8, r);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// MMX shift by the immediate.
    pub MmxShiftImm<; M: VecOp>(o, i) {
        o.mmx_ready(i)?;
        o.mmx_enter(i)?;
        let zero = o.imm(0);
        let a = o.mmx(i.dst);
        let a = o.x_from(a, zero);
        let b = o.x_from(zero, zero);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(8, r);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// MOVD, MOVQ from memory.
    pub MmxLoad<const W: u8>(o, i) {
        o.mmx_ready(i)?;
        let ea = o.ea(i);
        let v = o.load(i, i.seg, ea, W)?;
        o.mmx_enter(i)?;
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// MOVD, MOVQ, MOVNTQ to memory.
    pub MmxStore<const W: u8>(o, i) {
        o.mmx_ready(i)?;
        let ea = o.ea(i);
        o.check_store(i, i.seg, ea, W)?;
        o.mmx_enter(i)?;
        let v = o.mmx(i.src);
        let v = o.zext(W, v);
        o.store(i, i.seg, ea, W, v)
    }
    /// MOVQ between MMX registers.
    pub MmxCopy(o, i) {
        o.mmx_ready(i)?;
        o.mmx_enter(i)?;
        let v = o.mmx(i.src);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// MOVD, MOVQ from a general register.
    pub MmxFromInt<const W: u8>(o, i) {
        o.mmx_ready(i)?;
        o.mmx_enter(i)?;
        let v = o.get(i.src, W);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// MOVD, MOVQ to a general register.
    pub MmxToInt<const W: u8>(o, i) {
        o.mmx_ready(i)?;
        o.mmx_enter(i)?;
        let v = o.mmx(i.src);
        let v = o.zext(W, v);
        o.set(i.dst, W, v);
        Ok(())
    }
    /// MOVQ2DQ.
    pub MmxToVector(o, i) {
        o.mmx_ready(i)?;
        o.mmx_enter(i)?;
        let v = o.mmx(i.src);
        let zero = o.imm(0);
        let v = o.x_from(v, zero);
        o.set_xmm(i.dst, v);
        Ok(())
    }
    /// MOVDQ2Q.
    pub VectorToMmx(o, i) {
        o.mmx_ready(i)?;
        o.mmx_enter(i)?;
        let v = o.xmm(i.src);
        let v = o.x_low(8, v);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// PMOVMSKB of an MMX register.
    pub MmxMaskToInt<; M: VecOp>(o, i) {
        o.mmx_ready(i)?;
        let b = mmx_source::<O, 0>(o, i)?;
        o.mmx_enter(i)?;
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(1, r);
        o.set(i.dst, 4, v);
        Ok(())
    }
    /// PINSRW of an MMX register.
    pub MmxInsert<const MEM: bool>(o, i) {
        o.mmx_ready(i)?;
        let v = if MEM {
            let ea = o.ea(i);
            o.load(i, i.seg, ea, 2)?
        } else {
            o.get(i.src, 4)
        };
        o.mmx_enter(i)?;
        let zero = o.imm(0);
        let b = o.x_from(v, zero);
        let a = o.mmx(i.dst);
        let a = o.x_from(a, zero);
        let r = o.vec::<crate::simd::ops::Insert<2, 8>>(i, a, b)?;
        let v = o.x_low(8, r);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// PEXTRW of an MMX register.
    pub MmxExtract(o, i) {
        o.mmx_ready(i)?;
        let b = mmx_source::<O, 0>(o, i)?;
        o.mmx_enter(i)?;
        let a = nothing(o);
        let r = o.vec::<crate::simd::ops::Extract<2, 8>>(i, a, b)?;
        let v = o.x_low(2, r);
        o.set(i.dst, 4, v);
        Ok(())
    }
    /// CVTPI2PS, CVTPI2PD of an MMX register. (Of memory they have nothing to do with MMX.)
    pub MmxToFloat<; M: VecOp>(o, i) {
        o.mmx_ready(i)?;
        let b = mmx_source::<O, 0>(o, i)?;
        o.mmx_enter(i)?;
        let a = o.xmm(i.dst);
        let r = o.vec::<M>(i, a, b)?;
        o.set_xmm(i.dst, r);
        Ok(())
    }
    /// CVTPS2PI, CVTPD2PI and their truncating forms.
    pub FloatToMmx<const W: u8; M: VecOp>(o, i) {
        o.mmx_ready(i)?;
        let b = source::<O, W>(o, i)?;
        o.mmx_enter(i)?;
        let a = nothing(o);
        let r = o.vec::<M>(i, a, b)?;
        let v = o.x_low(8, r);
        o.set_mmx(i.dst, v);
        Ok(())
    }
    /// EMMS.
    pub Emms(o, i) { o.call(i, Call::Inline, x87::emms) }

    /// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM.
    pub CompareStrings<const EXPLICIT: bool, const MASK: bool, const WIDE: bool>(o, i) {
        o.call(i, Call::InlineFlags, vector::compare_strings::<EXPLICIT, MASK, WIDE>)
    }
    /// MASKMOVDQU.
    pub Maskmovdqu(o, i) { o.call(i, Call::Inline, vector::maskmovdqu) }
    /// MASKMOVQ.
    pub Maskmovq(o, i) { o.call(i, Call::Inline, vector::maskmovq) }
    /// CRC32.
    pub Crc32<const W: u8>(o, i) { o.call(i, Call::Inline, vector::crc32::<W>) }
    /// SHA256RNDS2.
    pub Sha256rnds2(o, i) { o.call(i, Call::Inline, vector::sha256rnds2) }
    /// LDMXCSR.
    pub Ldmxcsr: End::Step, (o, i) { o.call(i, Call::Step, xsave::ldmxcsr) }
    /// STMXCSR.
    pub Stmxcsr(o, i) { o.call(i, Call::Inline, xsave::stmxcsr) }
    /// FXSAVE.
    pub Fxsave<const WIDE: bool>(o, i) { o.call(i, Call::Inline, xsave::fxsave::<WIDE>) }
    /// FXRSTOR.
    pub Fxrstor<const WIDE: bool>: End::Step, (o, i) { o.call(i, Call::Step, xsave::fxrstor::<WIDE>) }
    /// XSAVE, XSAVEOPT.
    pub Xsave<const WIDE: bool, const OPT: bool>(o, i) { o.call(i, Call::Inline, xsave::xsave::<WIDE, OPT>) }
    /// XSAVEC.
    pub Xsavec<const WIDE: bool>(o, i) { o.call(i, Call::Inline, xsave::xsavec::<WIDE>) }
    /// XRSTOR.
    pub Xrstor<const WIDE: bool>: End::Step, (o, i) { o.call(i, Call::Step, xsave::xrstor::<WIDE>) }
}
