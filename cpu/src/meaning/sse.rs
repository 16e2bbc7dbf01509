//! MMX and SSE instructions: from encoding to meaning. The shapes are in [`super::vector`], what is computed in
//! `crate::simd`. Intel SDM volume 2 by mnemonic.

use super::vector::*;
use crate::insn::{Insn, ModeKey};
use crate::ops::*;
use crate::simd::{float as f, float::Float, int as n, ops::*};
use iced_x86::{Code, Instruction, Register};

/// The meaning of a vector instruction, or the selector back.
pub fn select<S: Select>(s: S, ins: &Instruction, i: &mut Insn, key: ModeKey) -> Result<S::Out, S> {
    let code = ins.code();
    let s = match areas(s, code, key) {
        Ok(m) => return Ok(m),
        Err(s) => s,
    };
    // CRC32, MOVNTI and fences work on general registers: no vector state to be there.
    let s = match integer(s, code, i) {
        Ok(m) => return Ok(m),
        Err(s) => s,
    };
    if !known(code) {
        return Err(s);
    }
    let mmx = is_mmx(ins);
    let undefined = key.em() || !mmx && !key.osfxsr();
    if undefined {
        return Ok(s.take::<Undefined>());
    }
    if key.ts() {
        return Ok(s.take::<NoDevice>());
    }
    table(s, code, i.is_mem())
}

/// Whether the instruction works on MMX registers alone (then CR4.OSFXSR doesn't matter).
fn is_mmx(ins: &Instruction) -> bool {
    let mut seen = ins.code() == Code::Emms;
    for n in 0..ins.op_count() {
        let r = ins.op_register(n);
        if r.is_xmm() {
            return false;
        }
        seen |= (Register::MM0..=Register::MM7).contains(&r);
    }
    seen
}

/// Whether `code` is a vector instruction.
pub fn known(code: Code) -> bool {
    struct Known;
    impl Select for Known {
        type Out = ();
        fn take<M: Meaning>(self) {}
    }
    table(Known, code, false).is_ok()
}

fn integer<S: Select>(s: S, code: Code, i: &Insn) -> Result<S::Out, S> {
    let _ = i;
    use super::{
        moves::Mov,
        operand::{Mem, Rs},
    };
    Ok(match code {
        Code::Crc32_r32_rm8 | Code::Crc32_r64_rm8 => s.take::<Crc32<1>>(),
        Code::Crc32_r32_rm16 => s.take::<Crc32<2>>(),
        Code::Crc32_r32_rm32 => s.take::<Crc32<4>>(),
        Code::Crc32_r64_rm64 => s.take::<Crc32<8>>(),
        Code::Movnti_m32_r32 => s.take::<Mov<4, Mem, Rs>>(),
        Code::Movnti_m64_r64 => s.take::<Mov<8, Mem, Rs>>(),
        _ => return Err(s),
    })
}

/// FXSAVE, XSAVE and their kin.
fn areas<S: Select>(s: S, code: Code, key: ModeKey) -> Result<S::Out, S> {
    let fx = matches!(
        code,
        Code::Fxsave_m512byte | Code::Fxsave64_m512byte | Code::Fxrstor_m512byte | Code::Fxrstor64_m512byte
    );
    if fx && (key.em() || key.ts()) {
        return Ok(s.take::<NoDevice>());
    }
    let x = matches!(
        code,
        Code::Xsave_mem
            | Code::Xsave64_mem
            | Code::Xrstor_mem
            | Code::Xrstor64_mem
            | Code::Xsaveopt_mem
            | Code::Xsaveopt64_mem
            | Code::Xsavec_mem
            | Code::Xsavec64_mem
    );
    if x && !key.osxsave() {
        return Ok(s.take::<Undefined>());
    }
    if x && key.ts() {
        return Ok(s.take::<NoDevice>());
    }
    Ok(match code {
        Code::Fxsave_m512byte => s.take::<Fxsave<false>>(),
        Code::Fxsave64_m512byte => s.take::<Fxsave<true>>(),
        Code::Fxrstor_m512byte => s.take::<Fxrstor<false>>(),
        Code::Fxrstor64_m512byte => s.take::<Fxrstor<true>>(),
        Code::Xsave_mem => s.take::<Xsave<false, false>>(),
        Code::Xsave64_mem => s.take::<Xsave<true, false>>(),
        Code::Xsaveopt_mem => s.take::<Xsave<false, true>>(),
        Code::Xsaveopt64_mem => s.take::<Xsave<true, true>>(),
        Code::Xsavec_mem => s.take::<Xsavec<false>>(),
        Code::Xsavec64_mem => s.take::<Xsavec<true>>(),
        Code::Xrstor_mem => s.take::<Xrstor<false>>(),
        Code::Xrstor64_mem => s.take::<Xrstor<true>>(),
        _ => return Err(s),
    })
}

fn table<S: Select>(s: S, code: Code, mem: bool) -> Result<S::Out, S> {
    macro_rules! xm {
        ($w:literal, $unary:literal, $m:ty) => {
            if mem { s.take::<Vector<$w, $unary, $m>>() } else { s.take::<Vector<0, $unary, $m>>() }
        };
    }
    macro_rules! mm {
        ($w:literal, $unary:literal, $m:ty) => {
            if mem { s.take::<MmxVector<$w, $unary, $m>>() } else { s.take::<MmxVector<0, $unary, $m>>() }
        };
    }
    macro_rules! test {
        ($w:literal, $m:ty) => {
            if mem { s.take::<Test<$w, $m>>() } else { s.take::<Test<0, $m>>() }
        };
    }
    macro_rules! to_int {
        ($w:literal, $to:literal, $m:ty) => {
            if mem { s.take::<FloatToInt<$w, $to, $m>>() } else { s.take::<FloatToInt<0, $to, $m>>() }
        };
    }
    macro_rules! from_int {
        ($w:literal, $m:ty) => {
            if mem { s.take::<IntToFloat<$w, true, $m>>() } else { s.take::<IntToFloat<$w, false, $m>>() }
        };
    }
    Ok(match code {
        Code::Addps_xmm_xmmm128 => xm!(16, false, Float<f::Addps>),
        Code::Addpd_xmm_xmmm128 => xm!(16, false, Float<f::Addpd>),
        Code::Addss_xmm_xmmm32 => xm!(4, false, Float<f::Addss>),
        Code::Addsd_xmm_xmmm64 => xm!(8, false, Float<f::Addsd>),
        Code::Subps_xmm_xmmm128 => xm!(16, false, Float<f::Subps>),
        Code::Subpd_xmm_xmmm128 => xm!(16, false, Float<f::Subpd>),
        Code::Subss_xmm_xmmm32 => xm!(4, false, Float<f::Subss>),
        Code::Subsd_xmm_xmmm64 => xm!(8, false, Float<f::Subsd>),
        Code::Mulps_xmm_xmmm128 => xm!(16, false, Float<f::Mulps>),
        Code::Mulpd_xmm_xmmm128 => xm!(16, false, Float<f::Mulpd>),
        Code::Mulss_xmm_xmmm32 => xm!(4, false, Float<f::Mulss>),
        Code::Mulsd_xmm_xmmm64 => xm!(8, false, Float<f::Mulsd>),
        Code::Divps_xmm_xmmm128 => xm!(16, false, Float<f::Divps>),
        Code::Divpd_xmm_xmmm128 => xm!(16, false, Float<f::Divpd>),
        Code::Divss_xmm_xmmm32 => xm!(4, false, Float<f::Divss>),
        Code::Divsd_xmm_xmmm64 => xm!(8, false, Float<f::Divsd>),
        Code::Minps_xmm_xmmm128 => xm!(16, false, Float<f::Minps>),
        Code::Minpd_xmm_xmmm128 => xm!(16, false, Float<f::Minpd>),
        Code::Minss_xmm_xmmm32 => xm!(4, false, Float<f::Minss>),
        Code::Minsd_xmm_xmmm64 => xm!(8, false, Float<f::Minsd>),
        Code::Maxps_xmm_xmmm128 => xm!(16, false, Float<f::Maxps>),
        Code::Maxpd_xmm_xmmm128 => xm!(16, false, Float<f::Maxpd>),
        Code::Maxss_xmm_xmmm32 => xm!(4, false, Float<f::Maxss>),
        Code::Maxsd_xmm_xmmm64 => xm!(8, false, Float<f::Maxsd>),
        Code::Sqrtps_xmm_xmmm128 => xm!(16, true, Float<f::Sqrtps>),
        Code::Cmpps_xmm_xmmm128_imm8 => xm!(16, false, Float<f::Cmpps>),
        Code::Roundps_xmm_xmmm128_imm8 => xm!(16, true, Float<f::Roundps>),
        Code::Sqrtpd_xmm_xmmm128 => xm!(16, true, Float<f::Sqrtpd>),
        Code::Cmppd_xmm_xmmm128_imm8 => xm!(16, false, Float<f::Cmppd>),
        Code::Roundpd_xmm_xmmm128_imm8 => xm!(16, true, Float<f::Roundpd>),
        Code::Sqrtss_xmm_xmmm32 => xm!(4, false, Float<f::Sqrtss>),
        Code::Cmpss_xmm_xmmm32_imm8 => xm!(4, false, Float<f::Cmpss>),
        Code::Roundss_xmm_xmmm32_imm8 => xm!(4, false, Float<f::Roundss>),
        Code::Sqrtsd_xmm_xmmm64 => xm!(8, false, Float<f::Sqrtsd>),
        Code::Cmpsd_xmm_xmmm64_imm8 => xm!(8, false, Float<f::Cmpsd>),
        Code::Roundsd_xmm_xmmm64_imm8 => xm!(8, false, Float<f::Roundsd>),
        Code::Rcpps_xmm_xmmm128 => xm!(16, true, Rcpps),
        Code::Rsqrtps_xmm_xmmm128 => xm!(16, true, Rsqrtps),
        Code::Rcpss_xmm_xmmm32 => xm!(4, false, Rcpss),
        Code::Rsqrtss_xmm_xmmm32 => xm!(4, false, Rsqrtss),
        Code::Haddps_xmm_xmmm128 => xm!(16, false, Float<f::Haddps>),
        Code::Haddpd_xmm_xmmm128 => xm!(16, false, Float<f::Haddpd>),
        Code::Hsubps_xmm_xmmm128 => xm!(16, false, Float<f::Hsubps>),
        Code::Hsubpd_xmm_xmmm128 => xm!(16, false, Float<f::Hsubpd>),
        Code::Addsubps_xmm_xmmm128 => xm!(16, false, Float<f::Addsubps>),
        Code::Addsubpd_xmm_xmmm128 => xm!(16, false, Float<f::Addsubpd>),
        Code::Dpps_xmm_xmmm128_imm8 => xm!(16, false, Float<f::Dpps>),
        Code::Dppd_xmm_xmmm128_imm8 => xm!(16, false, Float<f::Dppd>),
        Code::Cvtps2pd_xmm_xmmm64 => xm!(8, true, Float<f::Cvtps2pd>),
        Code::Cvtpd2ps_xmm_xmmm128 => xm!(16, true, Float<f::Cvtpd2ps>),
        Code::Cvtss2sd_xmm_xmmm32 => xm!(4, false, Float<f::Cvtss2sd>),
        Code::Cvtsd2ss_xmm_xmmm64 => xm!(8, false, Float<f::Cvtsd2ss>),
        Code::Cvtdq2ps_xmm_xmmm128 => xm!(16, true, Float<f::Cvtdq2ps>),
        Code::Cvtdq2pd_xmm_xmmm64 => xm!(8, true, Float<f::Cvtdq2pd>),
        Code::Cvtps2dq_xmm_xmmm128 => xm!(16, true, Float<f::Cvtps2dq>),
        Code::Cvttps2dq_xmm_xmmm128 => xm!(16, true, Float<f::Cvttps2dq>),
        Code::Cvtpd2dq_xmm_xmmm128 => xm!(16, true, Float<f::Cvtpd2dq>),
        Code::Cvttpd2dq_xmm_xmmm128 => xm!(16, true, Float<f::Cvttpd2dq>),
        Code::Ucomiss_xmm_xmmm32 => test!(4, f::Comis<false, true>),
        Code::Comiss_xmm_xmmm32 => test!(4, f::Comis<false, false>),
        Code::Cvtss2si_r32_xmmm32 => to_int!(4, 4, Float<f::Cvtss2si32>),
        Code::Cvtss2si_r64_xmmm32 => to_int!(4, 8, Float<f::Cvtss2si64>),
        Code::Cvttss2si_r32_xmmm32 => to_int!(4, 4, Float<f::Cvttss2si32>),
        Code::Cvttss2si_r64_xmmm32 => to_int!(4, 8, Float<f::Cvttss2si64>),
        Code::Cvtsi2ss_xmm_rm32 => from_int!(4, Float<f::Cvtsi2ss32>),
        Code::Cvtsi2ss_xmm_rm64 => from_int!(8, Float<f::Cvtsi2ss64>),
        Code::Ucomisd_xmm_xmmm64 => test!(8, f::Comis<true, true>),
        Code::Comisd_xmm_xmmm64 => test!(8, f::Comis<true, false>),
        Code::Cvtsd2si_r32_xmmm64 => to_int!(8, 4, Float<f::Cvtsd2si32>),
        Code::Cvtsd2si_r64_xmmm64 => to_int!(8, 8, Float<f::Cvtsd2si64>),
        Code::Cvttsd2si_r32_xmmm64 => to_int!(8, 4, Float<f::Cvttsd2si32>),
        Code::Cvttsd2si_r64_xmmm64 => to_int!(8, 8, Float<f::Cvttsd2si64>),
        Code::Cvtsi2sd_xmm_rm32 => from_int!(4, Float<f::Cvtsi2sd32>),
        Code::Cvtsi2sd_xmm_rm64 => from_int!(8, Float<f::Cvtsi2sd64>),
        Code::Ptest_xmm_xmmm128 => test!(16, Ptest),
        Code::Andps_xmm_xmmm128 => xm!(16, false, Sse<n::Pand>),
        Code::Andpd_xmm_xmmm128 => xm!(16, false, Sse<n::Pand>),
        Code::Andnps_xmm_xmmm128 => xm!(16, false, Sse<n::Pandn>),
        Code::Andnpd_xmm_xmmm128 => xm!(16, false, Sse<n::Pandn>),
        Code::Orps_xmm_xmmm128 => xm!(16, false, Sse<n::Por>),
        Code::Orpd_xmm_xmmm128 => xm!(16, false, Sse<n::Por>),
        Code::Xorps_xmm_xmmm128 => xm!(16, false, Sse<n::Pxor>),
        Code::Xorpd_xmm_xmmm128 => xm!(16, false, Sse<n::Pxor>),
        Code::Shufps_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Shufps>),
        Code::Shufpd_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Shufpd>),
        Code::Unpcklps_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckldq>),
        Code::Unpckhps_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckhdq>),
        Code::Unpcklpd_xmm_xmmm128 => xm!(16, false, Sse<n::Punpcklqdq>),
        Code::Unpckhpd_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckhqdq>),
        Code::Paddb_xmm_xmmm128 => xm!(16, false, Sse<n::Paddb>),
        Code::Paddb_mm_mmm64 => mm!(8, false, Mmx<n::Paddb>),
        Code::Paddw_xmm_xmmm128 => xm!(16, false, Sse<n::Paddw>),
        Code::Paddw_mm_mmm64 => mm!(8, false, Mmx<n::Paddw>),
        Code::Paddd_xmm_xmmm128 => xm!(16, false, Sse<n::Paddd>),
        Code::Paddd_mm_mmm64 => mm!(8, false, Mmx<n::Paddd>),
        Code::Paddq_xmm_xmmm128 => xm!(16, false, Sse<n::Paddq>),
        Code::Paddq_mm_mmm64 => mm!(8, false, Mmx<n::Paddq>),
        Code::Psubb_xmm_xmmm128 => xm!(16, false, Sse<n::Psubb>),
        Code::Psubb_mm_mmm64 => mm!(8, false, Mmx<n::Psubb>),
        Code::Psubw_xmm_xmmm128 => xm!(16, false, Sse<n::Psubw>),
        Code::Psubw_mm_mmm64 => mm!(8, false, Mmx<n::Psubw>),
        Code::Psubd_xmm_xmmm128 => xm!(16, false, Sse<n::Psubd>),
        Code::Psubd_mm_mmm64 => mm!(8, false, Mmx<n::Psubd>),
        Code::Psubq_xmm_xmmm128 => xm!(16, false, Sse<n::Psubq>),
        Code::Psubq_mm_mmm64 => mm!(8, false, Mmx<n::Psubq>),
        Code::Paddsb_xmm_xmmm128 => xm!(16, false, Sse<n::Paddsb>),
        Code::Paddsb_mm_mmm64 => mm!(8, false, Mmx<n::Paddsb>),
        Code::Paddsw_xmm_xmmm128 => xm!(16, false, Sse<n::Paddsw>),
        Code::Paddsw_mm_mmm64 => mm!(8, false, Mmx<n::Paddsw>),
        Code::Paddusb_xmm_xmmm128 => xm!(16, false, Sse<n::Paddusb>),
        Code::Paddusb_mm_mmm64 => mm!(8, false, Mmx<n::Paddusb>),
        Code::Paddusw_xmm_xmmm128 => xm!(16, false, Sse<n::Paddusw>),
        Code::Paddusw_mm_mmm64 => mm!(8, false, Mmx<n::Paddusw>),
        Code::Psubsb_xmm_xmmm128 => xm!(16, false, Sse<n::Psubsb>),
        Code::Psubsb_mm_mmm64 => mm!(8, false, Mmx<n::Psubsb>),
        Code::Psubsw_xmm_xmmm128 => xm!(16, false, Sse<n::Psubsw>),
        Code::Psubsw_mm_mmm64 => mm!(8, false, Mmx<n::Psubsw>),
        Code::Psubusb_xmm_xmmm128 => xm!(16, false, Sse<n::Psubusb>),
        Code::Psubusb_mm_mmm64 => mm!(8, false, Mmx<n::Psubusb>),
        Code::Psubusw_xmm_xmmm128 => xm!(16, false, Sse<n::Psubusw>),
        Code::Psubusw_mm_mmm64 => mm!(8, false, Mmx<n::Psubusw>),
        Code::Pand_xmm_xmmm128 => xm!(16, false, Sse<n::Pand>),
        Code::Pand_mm_mmm64 => mm!(8, false, Mmx<n::Pand>),
        Code::Pandn_xmm_xmmm128 => xm!(16, false, Sse<n::Pandn>),
        Code::Pandn_mm_mmm64 => mm!(8, false, Mmx<n::Pandn>),
        Code::Por_xmm_xmmm128 => xm!(16, false, Sse<n::Por>),
        Code::Por_mm_mmm64 => mm!(8, false, Mmx<n::Por>),
        Code::Pxor_xmm_xmmm128 => xm!(16, false, Sse<n::Pxor>),
        Code::Pxor_mm_mmm64 => mm!(8, false, Mmx<n::Pxor>),
        Code::Pcmpeqb_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpeqb>),
        Code::Pcmpeqb_mm_mmm64 => mm!(8, false, Mmx<n::Pcmpeqb>),
        Code::Pcmpeqw_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpeqw>),
        Code::Pcmpeqw_mm_mmm64 => mm!(8, false, Mmx<n::Pcmpeqw>),
        Code::Pcmpeqd_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpeqd>),
        Code::Pcmpeqd_mm_mmm64 => mm!(8, false, Mmx<n::Pcmpeqd>),
        Code::Pcmpgtb_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpgtb>),
        Code::Pcmpgtb_mm_mmm64 => mm!(8, false, Mmx<n::Pcmpgtb>),
        Code::Pcmpgtw_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpgtw>),
        Code::Pcmpgtw_mm_mmm64 => mm!(8, false, Mmx<n::Pcmpgtw>),
        Code::Pcmpgtd_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpgtd>),
        Code::Pcmpgtd_mm_mmm64 => mm!(8, false, Mmx<n::Pcmpgtd>),
        Code::Pmullw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmullw>),
        Code::Pmullw_mm_mmm64 => mm!(8, false, Mmx<n::Pmullw>),
        Code::Pmulhw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmulhw>),
        Code::Pmulhw_mm_mmm64 => mm!(8, false, Mmx<n::Pmulhw>),
        Code::Pmulhuw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmulhuw>),
        Code::Pmulhuw_mm_mmm64 => mm!(8, false, Mmx<n::Pmulhuw>),
        Code::Pmuludq_xmm_xmmm128 => xm!(16, false, Sse<n::Pmuludq>),
        Code::Pmuludq_mm_mmm64 => mm!(8, false, Mmx<n::Pmuludq>),
        Code::Pmaddwd_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaddwd>),
        Code::Pmaddwd_mm_mmm64 => mm!(8, false, Mmx<n::Pmaddwd>),
        Code::Pavgb_xmm_xmmm128 => xm!(16, false, Sse<n::Pavgb>),
        Code::Pavgb_mm_mmm64 => mm!(8, false, Mmx<n::Pavgb>),
        Code::Pavgw_xmm_xmmm128 => xm!(16, false, Sse<n::Pavgw>),
        Code::Pavgw_mm_mmm64 => mm!(8, false, Mmx<n::Pavgw>),
        Code::Pminub_xmm_xmmm128 => xm!(16, false, Sse<n::Pminub>),
        Code::Pminub_mm_mmm64 => mm!(8, false, Mmx<n::Pminub>),
        Code::Pminsw_xmm_xmmm128 => xm!(16, false, Sse<n::Pminsw>),
        Code::Pminsw_mm_mmm64 => mm!(8, false, Mmx<n::Pminsw>),
        Code::Pmaxub_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaxub>),
        Code::Pmaxub_mm_mmm64 => mm!(8, false, Mmx<n::Pmaxub>),
        Code::Pmaxsw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaxsw>),
        Code::Pmaxsw_mm_mmm64 => mm!(8, false, Mmx<n::Pmaxsw>),
        Code::Psadbw_xmm_xmmm128 => xm!(16, false, Sse<n::Psadbw>),
        Code::Psadbw_mm_mmm64 => mm!(8, false, Mmx<n::Psadbw>),
        Code::Packsswb_xmm_xmmm128 => xm!(16, false, Sse<n::Packsswb>),
        Code::Packsswb_mm_mmm64 => mm!(8, false, Mmx<n::Packsswb>),
        Code::Packuswb_xmm_xmmm128 => xm!(16, false, Sse<n::Packuswb>),
        Code::Packuswb_mm_mmm64 => mm!(8, false, Mmx<n::Packuswb>),
        Code::Packssdw_xmm_xmmm128 => xm!(16, false, Sse<n::Packssdw>),
        Code::Packssdw_mm_mmm64 => mm!(8, false, Mmx<n::Packssdw>),
        Code::Punpckhbw_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckhbw>),
        Code::Punpckhbw_mm_mmm64 => mm!(8, false, Mmx<n::Punpckhbw>),
        Code::Punpckhwd_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckhwd>),
        Code::Punpckhwd_mm_mmm64 => mm!(8, false, Mmx<n::Punpckhwd>),
        Code::Punpckhdq_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckhdq>),
        Code::Punpckhdq_mm_mmm64 => mm!(8, false, Mmx<n::Punpckhdq>),
        Code::Psllw_xmm_xmmm128 => xm!(16, false, Sse<n::Psllw>),
        Code::Psllw_mm_mmm64 => mm!(8, false, Mmx<n::Psllw>),
        Code::Pslld_xmm_xmmm128 => xm!(16, false, Sse<n::Pslld>),
        Code::Pslld_mm_mmm64 => mm!(8, false, Mmx<n::Pslld>),
        Code::Psllq_xmm_xmmm128 => xm!(16, false, Sse<n::Psllq>),
        Code::Psllq_mm_mmm64 => mm!(8, false, Mmx<n::Psllq>),
        Code::Psrlw_xmm_xmmm128 => xm!(16, false, Sse<n::Psrlw>),
        Code::Psrlw_mm_mmm64 => mm!(8, false, Mmx<n::Psrlw>),
        Code::Psrld_xmm_xmmm128 => xm!(16, false, Sse<n::Psrld>),
        Code::Psrld_mm_mmm64 => mm!(8, false, Mmx<n::Psrld>),
        Code::Psrlq_xmm_xmmm128 => xm!(16, false, Sse<n::Psrlq>),
        Code::Psrlq_mm_mmm64 => mm!(8, false, Mmx<n::Psrlq>),
        Code::Psraw_xmm_xmmm128 => xm!(16, false, Sse<n::Psraw>),
        Code::Psraw_mm_mmm64 => mm!(8, false, Mmx<n::Psraw>),
        Code::Psrad_xmm_xmmm128 => xm!(16, false, Sse<n::Psrad>),
        Code::Psrad_mm_mmm64 => mm!(8, false, Mmx<n::Psrad>),
        Code::Pshufb_xmm_xmmm128 => xm!(16, false, Sse<n::Pshufb>),
        Code::Pshufb_mm_mmm64 => mm!(8, false, Mmx<n::Pshufb>),
        Code::Phaddw_xmm_xmmm128 => xm!(16, false, Sse<n::Phaddw>),
        Code::Phaddw_mm_mmm64 => mm!(8, false, Mmx<n::Phaddw>),
        Code::Phaddd_xmm_xmmm128 => xm!(16, false, Sse<n::Phaddd>),
        Code::Phaddd_mm_mmm64 => mm!(8, false, Mmx<n::Phaddd>),
        Code::Phaddsw_xmm_xmmm128 => xm!(16, false, Sse<n::Phaddsw>),
        Code::Phaddsw_mm_mmm64 => mm!(8, false, Mmx<n::Phaddsw>),
        Code::Phsubw_xmm_xmmm128 => xm!(16, false, Sse<n::Phsubw>),
        Code::Phsubw_mm_mmm64 => mm!(8, false, Mmx<n::Phsubw>),
        Code::Phsubd_xmm_xmmm128 => xm!(16, false, Sse<n::Phsubd>),
        Code::Phsubd_mm_mmm64 => mm!(8, false, Mmx<n::Phsubd>),
        Code::Phsubsw_xmm_xmmm128 => xm!(16, false, Sse<n::Phsubsw>),
        Code::Phsubsw_mm_mmm64 => mm!(8, false, Mmx<n::Phsubsw>),
        Code::Pmaddubsw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaddubsw>),
        Code::Pmaddubsw_mm_mmm64 => mm!(8, false, Mmx<n::Pmaddubsw>),
        Code::Psignb_xmm_xmmm128 => xm!(16, false, Sse<n::Psignb>),
        Code::Psignb_mm_mmm64 => mm!(8, false, Mmx<n::Psignb>),
        Code::Psignw_xmm_xmmm128 => xm!(16, false, Sse<n::Psignw>),
        Code::Psignw_mm_mmm64 => mm!(8, false, Mmx<n::Psignw>),
        Code::Psignd_xmm_xmmm128 => xm!(16, false, Sse<n::Psignd>),
        Code::Psignd_mm_mmm64 => mm!(8, false, Mmx<n::Psignd>),
        Code::Pmulhrsw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmulhrsw>),
        Code::Pmulhrsw_mm_mmm64 => mm!(8, false, Mmx<n::Pmulhrsw>),
        Code::Pabsb_xmm_xmmm128 => xm!(16, true, Sse<n::Pabsb>),
        Code::Pabsb_mm_mmm64 => mm!(8, true, Mmx<n::Pabsb>),
        Code::Pabsw_xmm_xmmm128 => xm!(16, true, Sse<n::Pabsw>),
        Code::Pabsw_mm_mmm64 => mm!(8, true, Mmx<n::Pabsw>),
        Code::Pabsd_xmm_xmmm128 => xm!(16, true, Sse<n::Pabsd>),
        Code::Pabsd_mm_mmm64 => mm!(8, true, Mmx<n::Pabsd>),
        Code::Punpcklbw_xmm_xmmm128 => xm!(16, false, Sse<n::Punpcklbw>),
        Code::Punpcklbw_mm_mmm32 => mm!(4, false, Mmx<n::Punpcklbw>),
        Code::Punpcklwd_xmm_xmmm128 => xm!(16, false, Sse<n::Punpcklwd>),
        Code::Punpcklwd_mm_mmm32 => mm!(4, false, Mmx<n::Punpcklwd>),
        Code::Punpckldq_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckldq>),
        Code::Punpckldq_mm_mmm32 => mm!(4, false, Mmx<n::Punpckldq>),
        Code::Punpcklqdq_xmm_xmmm128 => xm!(16, false, Sse<n::Punpcklqdq>),
        Code::Punpckhqdq_xmm_xmmm128 => xm!(16, false, Sse<n::Punpckhqdq>),
        Code::Pcmpeqq_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpeqq>),
        Code::Pcmpgtq_xmm_xmmm128 => xm!(16, false, Sse<n::Pcmpgtq>),
        Code::Pmuldq_xmm_xmmm128 => xm!(16, false, Sse<n::Pmuldq>),
        Code::Pmulld_xmm_xmmm128 => xm!(16, false, Sse<n::Pmulld>),
        Code::Packusdw_xmm_xmmm128 => xm!(16, false, Sse<n::Packusdw>),
        Code::Pminsb_xmm_xmmm128 => xm!(16, false, Sse<n::Pminsb>),
        Code::Pminsd_xmm_xmmm128 => xm!(16, false, Sse<n::Pminsd>),
        Code::Pminuw_xmm_xmmm128 => xm!(16, false, Sse<n::Pminuw>),
        Code::Pminud_xmm_xmmm128 => xm!(16, false, Sse<n::Pminud>),
        Code::Pmaxsb_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaxsb>),
        Code::Pmaxsd_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaxsd>),
        Code::Pmaxuw_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaxuw>),
        Code::Pmaxud_xmm_xmmm128 => xm!(16, false, Sse<n::Pmaxud>),
        Code::Phminposuw_xmm_xmmm128 => xm!(16, true, Sse<n::Phminposuw>),
        Code::Psllw_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsllwI>>>(),
        Code::Psllw_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsllwI>>>(),
        Code::Pslld_xmm_imm8 => s.take::<ShiftImm<Sse<n::PslldI>>>(),
        Code::Pslld_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PslldI>>>(),
        Code::Psllq_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsllqI>>>(),
        Code::Psllq_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsllqI>>>(),
        Code::Psrlw_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsrlwI>>>(),
        Code::Psrlw_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsrlwI>>>(),
        Code::Psrld_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsrldI>>>(),
        Code::Psrld_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsrldI>>>(),
        Code::Psrlq_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsrlqI>>>(),
        Code::Psrlq_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsrlqI>>>(),
        Code::Psraw_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsrawI>>>(),
        Code::Psraw_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsrawI>>>(),
        Code::Psrad_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsradI>>>(),
        Code::Psrad_mm_imm8 => s.take::<MmxShiftImm<Mmx<n::PsradI>>>(),
        Code::Pslldq_xmm_imm8 => s.take::<ShiftImm<Sse<n::PslldqI>>>(),
        Code::Psrldq_xmm_imm8 => s.take::<ShiftImm<Sse<n::PsrldqI>>>(),
        Code::Pshufd_xmm_xmmm128_imm8 => xm!(16, true, Sse<n::Pshufd>),
        Code::Pshufhw_xmm_xmmm128_imm8 => xm!(16, true, Sse<n::Pshufhw>),
        Code::Pshuflw_xmm_xmmm128_imm8 => xm!(16, true, Sse<n::Pshuflw>),
        Code::Pshufw_mm_mmm64_imm8 => mm!(8, true, Mmx<n::Pshufw>),
        Code::Palignr_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Palignr>),
        Code::Palignr_mm_mmm64_imm8 => mm!(8, false, Mmx<n::Palignr>),
        Code::Pmovsxbw_xmm_xmmm64 => xm!(8, true, Sse<n::Pmovsxbw>),
        Code::Pmovzxbw_xmm_xmmm64 => xm!(8, true, Sse<n::Pmovzxbw>),
        Code::Pmovsxbd_xmm_xmmm32 => xm!(4, true, Sse<n::Pmovsxbd>),
        Code::Pmovzxbd_xmm_xmmm32 => xm!(4, true, Sse<n::Pmovzxbd>),
        Code::Pmovsxbq_xmm_xmmm16 => xm!(2, true, Sse<n::Pmovsxbq>),
        Code::Pmovzxbq_xmm_xmmm16 => xm!(2, true, Sse<n::Pmovzxbq>),
        Code::Pmovsxwd_xmm_xmmm64 => xm!(8, true, Sse<n::Pmovsxwd>),
        Code::Pmovzxwd_xmm_xmmm64 => xm!(8, true, Sse<n::Pmovzxwd>),
        Code::Pmovsxwq_xmm_xmmm32 => xm!(4, true, Sse<n::Pmovsxwq>),
        Code::Pmovzxwq_xmm_xmmm32 => xm!(4, true, Sse<n::Pmovzxwq>),
        Code::Pmovsxdq_xmm_xmmm64 => xm!(8, true, Sse<n::Pmovsxdq>),
        Code::Pmovzxdq_xmm_xmmm64 => xm!(8, true, Sse<n::Pmovzxdq>),
        Code::Pblendw_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Pblendw>),
        Code::Blendps_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Blendps>),
        Code::Blendpd_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Blendpd>),
        Code::Mpsadbw_xmm_xmmm128_imm8 => xm!(16, false, Sse<n::Mpsadbw>),
        Code::Insertps_xmm_xmmm32_imm8 => {
            if mem {
                s.take::<Vector<4, false, InsertpsMem>>()
            } else {
                s.take::<Vector<0, false, Sse<n::Insertps>>>()
            }
        }
        Code::Movddup_xmm_xmmm64 => xm!(8, true, Sse<n::Movddup>),
        Code::Movsldup_xmm_xmmm128 => xm!(16, true, Sse<n::Movsldup>),
        Code::Movshdup_xmm_xmmm128 => xm!(16, true, Sse<n::Movshdup>),
        Code::Pblendvb_xmm_xmmm128 => {
            if mem {
                s.take::<BlendVariable<16, 1>>()
            } else {
                s.take::<BlendVariable<0, 1>>()
            }
        }
        Code::Blendvps_xmm_xmmm128 => {
            if mem {
                s.take::<BlendVariable<16, 4>>()
            } else {
                s.take::<BlendVariable<0, 4>>()
            }
        }
        Code::Blendvpd_xmm_xmmm128 => {
            if mem {
                s.take::<BlendVariable<16, 8>>()
            } else {
                s.take::<BlendVariable<0, 8>>()
            }
        }
        Code::Aesenc_xmm_xmmm128 => xm!(16, false, Aesenc),
        Code::Aesenclast_xmm_xmmm128 => xm!(16, false, Aesenclast),
        Code::Aesdec_xmm_xmmm128 => xm!(16, false, Aesdec),
        Code::Aesdeclast_xmm_xmmm128 => xm!(16, false, Aesdeclast),
        Code::Aesimc_xmm_xmmm128 => xm!(16, true, Aesimc),
        Code::Aeskeygenassist_xmm_xmmm128_imm8 => xm!(16, true, Aeskeygenassist),
        Code::Pclmulqdq_xmm_xmmm128_imm8 => xm!(16, false, Pclmulqdq),
        Code::Sha1nexte_xmm_xmmm128 => xm!(16, false, Sha1nexte),
        Code::Sha1msg1_xmm_xmmm128 => xm!(16, false, Sha1msg1),
        Code::Sha1msg2_xmm_xmmm128 => xm!(16, false, Sha1msg2),
        Code::Sha256msg1_xmm_xmmm128 => xm!(16, false, Sha256msg1),
        Code::Sha256msg2_xmm_xmmm128 => xm!(16, false, Sha256msg2),
        Code::Sha1rnds4_xmm_xmmm128_imm8 => xm!(16, false, Sha1rnds4),
        Code::Sha256rnds2_xmm_xmmm128 => s.take::<Sha256rnds2>(),
        Code::Pcmpestrm_xmm_xmmm128_imm8 => s.take::<CompareStrings<true, true, false>>(),
        Code::Pcmpestrm64_xmm_xmmm128_imm8 => s.take::<CompareStrings<true, true, true>>(),
        Code::Pcmpestri_xmm_xmmm128_imm8 => s.take::<CompareStrings<true, false, false>>(),
        Code::Pcmpestri64_xmm_xmmm128_imm8 => s.take::<CompareStrings<true, false, true>>(),
        Code::Pcmpistrm_xmm_xmmm128_imm8 => s.take::<CompareStrings<false, true, false>>(),
        Code::Pcmpistri_xmm_xmmm128_imm8 => s.take::<CompareStrings<false, false, false>>(),
        Code::Movaps_xmm_xmmm128 => {
            if mem {
                s.take::<LoadVector<16>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movaps_xmmm128_xmm => {
            if mem {
                s.take::<StoreVector<16>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movapd_xmm_xmmm128 => {
            if mem {
                s.take::<LoadVector<16>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movapd_xmmm128_xmm => {
            if mem {
                s.take::<StoreVector<16>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movdqa_xmm_xmmm128 => {
            if mem {
                s.take::<LoadVector<16>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movdqa_xmmm128_xmm => {
            if mem {
                s.take::<StoreVector<16>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movups_xmm_xmmm128 => {
            if mem {
                s.take::<LoadVector<17>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movups_xmmm128_xmm => {
            if mem {
                s.take::<StoreVector<17>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movupd_xmm_xmmm128 => {
            if mem {
                s.take::<LoadVector<17>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movupd_xmmm128_xmm => {
            if mem {
                s.take::<StoreVector<17>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movdqu_xmm_xmmm128 => {
            if mem {
                s.take::<LoadVector<17>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Movdqu_xmmm128_xmm => {
            if mem {
                s.take::<StoreVector<17>>()
            } else {
                s.take::<CopyVector>()
            }
        }
        Code::Lddqu_xmm_m128 => s.take::<LoadVector<17>>(),
        Code::Movntdqa_xmm_m128 => s.take::<LoadVector<16>>(),
        Code::Movntps_m128_xmm => s.take::<StoreVector<16>>(),
        Code::Movntpd_m128_xmm => s.take::<StoreVector<16>>(),
        Code::Movntdq_m128_xmm => s.take::<StoreVector<16>>(),
        Code::Movss_xmm_xmmm32 => {
            if mem {
                s.take::<LoadVector<4>>()
            } else {
                s.take::<MergeLow<4>>()
            }
        }
        Code::Movsd_xmm_xmmm64 => {
            if mem {
                s.take::<LoadVector<8>>()
            } else {
                s.take::<MergeLow<8>>()
            }
        }
        Code::Movss_xmmm32_xmm => {
            if mem {
                s.take::<StoreVector<4>>()
            } else {
                s.take::<MergeLow<4>>()
            }
        }
        Code::Movsd_xmmm64_xmm => {
            if mem {
                s.take::<StoreVector<8>>()
            } else {
                s.take::<MergeLow<8>>()
            }
        }
        Code::Movq_xmm_xmmm64 => {
            if mem {
                s.take::<LoadVector<8>>()
            } else {
                s.take::<CopyLow>()
            }
        }
        Code::Movq_xmmm64_xmm => {
            if mem {
                s.take::<StoreVector<8>>()
            } else {
                s.take::<CopyLow>()
            }
        }
        Code::Movhlps_xmm_xmm => s.take::<HighToLow>(),
        Code::Movlhps_xmm_xmm => s.take::<LowToHigh>(),
        Code::Movlps_xmm_m64 => s.take::<LoadLow>(),
        Code::Movhps_xmm_m64 => s.take::<LoadHigh>(),
        Code::Movlps_m64_xmm => s.take::<StoreVector<8>>(),
        Code::Movhps_m64_xmm => s.take::<StoreHigh>(),
        Code::Movmskps_r32_xmm => s.take::<MaskToInt<Signs<4>>>(),
        Code::Movmskps_r64_xmm => s.take::<MaskToInt<Signs<4>>>(),
        Code::Movlpd_xmm_m64 => s.take::<LoadLow>(),
        Code::Movhpd_xmm_m64 => s.take::<LoadHigh>(),
        Code::Movlpd_m64_xmm => s.take::<StoreVector<8>>(),
        Code::Movhpd_m64_xmm => s.take::<StoreHigh>(),
        Code::Movmskpd_r32_xmm => s.take::<MaskToInt<Signs<8>>>(),
        Code::Movmskpd_r64_xmm => s.take::<MaskToInt<Signs<8>>>(),
        Code::Pmovmskb_r32_xmm => s.take::<MaskToInt<Signs<1>>>(),
        Code::Pmovmskb_r32_mm => s.take::<MmxMaskToInt<Signs<1>>>(),
        Code::Pmovmskb_r64_xmm => s.take::<MaskToInt<Signs<1>>>(),
        Code::Pmovmskb_r64_mm => s.take::<MmxMaskToInt<Signs<1>>>(),
        Code::Movd_xmm_rm32 => {
            if mem {
                s.take::<LoadVector<4>>()
            } else {
                s.take::<FromInt<4>>()
            }
        }
        Code::Movd_rm32_xmm => {
            if mem {
                s.take::<StoreVector<4>>()
            } else {
                s.take::<ToInt<4>>()
            }
        }
        Code::Movd_mm_rm32 => {
            if mem {
                s.take::<MmxLoad<4>>()
            } else {
                s.take::<MmxFromInt<4>>()
            }
        }
        Code::Movd_rm32_mm => {
            if mem {
                s.take::<MmxStore<4>>()
            } else {
                s.take::<MmxToInt<4>>()
            }
        }
        Code::Movq_xmm_rm64 => {
            if mem {
                s.take::<LoadVector<8>>()
            } else {
                s.take::<FromInt<8>>()
            }
        }
        Code::Movq_rm64_xmm => {
            if mem {
                s.take::<StoreVector<8>>()
            } else {
                s.take::<ToInt<8>>()
            }
        }
        Code::Movq_mm_rm64 => {
            if mem {
                s.take::<MmxLoad<8>>()
            } else {
                s.take::<MmxFromInt<8>>()
            }
        }
        Code::Movq_rm64_mm => {
            if mem {
                s.take::<MmxStore<8>>()
            } else {
                s.take::<MmxToInt<8>>()
            }
        }
        Code::Movq_mm_mmm64 => {
            if mem {
                s.take::<MmxLoad<8>>()
            } else {
                s.take::<MmxCopy>()
            }
        }
        Code::Movq_mmm64_mm => {
            if mem {
                s.take::<MmxStore<8>>()
            } else {
                s.take::<MmxCopy>()
            }
        }
        Code::Movntq_m64_mm => s.take::<MmxStore<8>>(),
        Code::Movq2dq_xmm_mm => s.take::<MmxToVector>(),
        Code::Movdq2q_mm_xmm => s.take::<VectorToMmx>(),
        Code::Pinsrw_xmm_r32m16_imm8 => {
            if mem {
                s.take::<InsertInt<2, true, Insert<2, 16>>>()
            } else {
                s.take::<InsertInt<2, false, Insert<2, 16>>>()
            }
        }
        Code::Pinsrb_xmm_r32m8_imm8 => {
            if mem {
                s.take::<InsertInt<1, true, Insert<1, 16>>>()
            } else {
                s.take::<InsertInt<1, false, Insert<1, 16>>>()
            }
        }
        Code::Pinsrw_mm_r32m16_imm8 => {
            if mem {
                s.take::<MmxInsert<true>>()
            } else {
                s.take::<MmxInsert<false>>()
            }
        }
        Code::Pextrw_r32_xmm_imm8 => s.take::<ExtractReg<Extract<2, 16>>>(),
        Code::Pextrw_r32_mm_imm8 => s.take::<MmxExtract>(),
        Code::Pextrb_r32m8_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<1, Extract<1, 16>>>()
            } else {
                s.take::<ExtractInt<1, Extract<1, 16>>>()
            }
        }
        Code::Pextrw_r32m16_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<2, Extract<2, 16>>>()
            } else {
                s.take::<ExtractInt<2, Extract<2, 16>>>()
            }
        }
        Code::Pinsrw_xmm_r64m16_imm8 => {
            if mem {
                s.take::<InsertInt<2, true, Insert<2, 16>>>()
            } else {
                s.take::<InsertInt<2, false, Insert<2, 16>>>()
            }
        }
        Code::Pinsrb_xmm_r64m8_imm8 => {
            if mem {
                s.take::<InsertInt<1, true, Insert<1, 16>>>()
            } else {
                s.take::<InsertInt<1, false, Insert<1, 16>>>()
            }
        }
        Code::Pinsrw_mm_r64m16_imm8 => {
            if mem {
                s.take::<MmxInsert<true>>()
            } else {
                s.take::<MmxInsert<false>>()
            }
        }
        Code::Pextrw_r64_xmm_imm8 => s.take::<ExtractReg<Extract<2, 16>>>(),
        Code::Pextrw_r64_mm_imm8 => s.take::<MmxExtract>(),
        Code::Pextrb_r64m8_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<1, Extract<1, 16>>>()
            } else {
                s.take::<ExtractInt<1, Extract<1, 16>>>()
            }
        }
        Code::Pextrw_r64m16_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<2, Extract<2, 16>>>()
            } else {
                s.take::<ExtractInt<2, Extract<2, 16>>>()
            }
        }
        Code::Pinsrd_xmm_rm32_imm8 => {
            if mem {
                s.take::<InsertInt<4, true, Insert<4, 16>>>()
            } else {
                s.take::<InsertInt<4, false, Insert<4, 16>>>()
            }
        }
        Code::Pinsrq_xmm_rm64_imm8 => {
            if mem {
                s.take::<InsertInt<8, true, Insert<8, 16>>>()
            } else {
                s.take::<InsertInt<8, false, Insert<8, 16>>>()
            }
        }
        Code::Pextrd_rm32_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<4, Extract<4, 16>>>()
            } else {
                s.take::<ExtractInt<4, Extract<4, 16>>>()
            }
        }
        Code::Pextrq_rm64_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<8, Extract<8, 16>>>()
            } else {
                s.take::<ExtractInt<8, Extract<8, 16>>>()
            }
        }
        Code::Extractps_rm32_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<4, Extract<4, 16>>>()
            } else {
                s.take::<ExtractInt<4, Extract<4, 16>>>()
            }
        }
        Code::Extractps_r64m32_xmm_imm8 => {
            if mem {
                s.take::<ExtractMem<4, Extract<4, 16>>>()
            } else {
                s.take::<ExtractInt<4, Extract<4, 16>>>()
            }
        }
        Code::Cvtpi2ps_xmm_mmm64 => {
            if mem {
                s.take::<Vector<8, false, Float<f::Cvtpi2ps>>>()
            } else {
                s.take::<MmxToFloat<Float<f::Cvtpi2ps>>>()
            }
        }
        Code::Cvtpi2pd_xmm_mmm64 => {
            if mem {
                s.take::<Vector<8, true, Float<f::Cvtdq2pd>>>()
            } else {
                s.take::<MmxToFloat<Float<f::Cvtdq2pd>>>()
            }
        }
        Code::Cvtps2pi_mm_xmmm64 => {
            if mem {
                s.take::<FloatToMmx<8, Float<f::Cvtps2pi>>>()
            } else {
                s.take::<FloatToMmx<0, Float<f::Cvtps2pi>>>()
            }
        }
        Code::Cvtpd2pi_mm_xmmm128 => {
            if mem {
                s.take::<FloatToMmx<16, Float<f::Cvtpd2dq>>>()
            } else {
                s.take::<FloatToMmx<0, Float<f::Cvtpd2dq>>>()
            }
        }
        Code::Cvttps2pi_mm_xmmm64 => {
            if mem {
                s.take::<FloatToMmx<8, Float<f::Cvttps2pi>>>()
            } else {
                s.take::<FloatToMmx<0, Float<f::Cvttps2pi>>>()
            }
        }
        Code::Cvttpd2pi_mm_xmmm128 => {
            if mem {
                s.take::<FloatToMmx<16, Float<f::Cvttpd2dq>>>()
            } else {
                s.take::<FloatToMmx<0, Float<f::Cvttpd2dq>>>()
            }
        }
        Code::Maskmovdqu_rDI_xmm_xmm => s.take::<Maskmovdqu>(),
        Code::Maskmovq_rDI_mm_mm => s.take::<Maskmovq>(),
        Code::Emms => s.take::<Emms>(),
        Code::Ldmxcsr_m32 => s.take::<Ldmxcsr>(),
        Code::Stmxcsr_m32 => s.take::<Stmxcsr>(),
        _ => return Err(s),
    })
}
