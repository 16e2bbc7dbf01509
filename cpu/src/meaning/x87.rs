//! x87 instructions: which helper each one is. Intel SDM volume 2 by mnemonic; the work is in `crate::helper::x87`.

use crate::helper::x87::*;
use crate::insn::{Insn, ModeKey};
use crate::meaning;
use crate::ops::*;
use iced_x86::{Code, Instruction};

macro_rules! calls {
    ($($name:ident: $how:ident, $helper:expr;)*) => { meaning! { $(
        #[doc = concat!("Calls `", stringify!($helper), "`.")]
        pub $name(o, i) { o.call(i, Call::$how, $helper) }
    )* } };
}

calls! {
    Faddm32fp: Inline, arith_mem::<0, { kind::M32 }>;
    Faddm64fp: Inline, arith_mem::<0, { kind::M64 }>;
    Fiaddm16int: Inline, arith_mem::<0, { kind::I16 }>;
    Fiaddm32int: Inline, arith_mem::<0, { kind::I32 }>;
    Faddst0sti: Inline, arith_reg::<0, false>;
    Faddpstist0: Inline, arith_reg::<0, true>;
    Fmulm32fp: Inline, arith_mem::<1, { kind::M32 }>;
    Fmulm64fp: Inline, arith_mem::<1, { kind::M64 }>;
    Fimulm16int: Inline, arith_mem::<1, { kind::I16 }>;
    Fimulm32int: Inline, arith_mem::<1, { kind::I32 }>;
    Fmulst0sti: Inline, arith_reg::<1, false>;
    Fmulpstist0: Inline, arith_reg::<1, true>;
    Fsubm32fp: Inline, arith_mem::<4, { kind::M32 }>;
    Fsubm64fp: Inline, arith_mem::<4, { kind::M64 }>;
    Fisubm16int: Inline, arith_mem::<4, { kind::I16 }>;
    Fisubm32int: Inline, arith_mem::<4, { kind::I32 }>;
    Fsubst0sti: Inline, arith_reg::<4, false>;
    Fsubpstist0: Inline, arith_reg::<4, true>;
    Fsubrm32fp: Inline, arith_mem::<5, { kind::M32 }>;
    Fsubrm64fp: Inline, arith_mem::<5, { kind::M64 }>;
    Fisubrm16int: Inline, arith_mem::<5, { kind::I16 }>;
    Fisubrm32int: Inline, arith_mem::<5, { kind::I32 }>;
    Fsubrst0sti: Inline, arith_reg::<5, false>;
    Fsubrpstist0: Inline, arith_reg::<5, true>;
    Fdivm32fp: Inline, arith_mem::<6, { kind::M32 }>;
    Fdivm64fp: Inline, arith_mem::<6, { kind::M64 }>;
    Fidivm16int: Inline, arith_mem::<6, { kind::I16 }>;
    Fidivm32int: Inline, arith_mem::<6, { kind::I32 }>;
    Fdivst0sti: Inline, arith_reg::<6, false>;
    Fdivpstist0: Inline, arith_reg::<6, true>;
    Fdivrm32fp: Inline, arith_mem::<7, { kind::M32 }>;
    Fdivrm64fp: Inline, arith_mem::<7, { kind::M64 }>;
    Fidivrm16int: Inline, arith_mem::<7, { kind::I16 }>;
    Fidivrm32int: Inline, arith_mem::<7, { kind::I32 }>;
    Fdivrst0sti: Inline, arith_reg::<7, false>;
    Fdivrpstist0: Inline, arith_reg::<7, true>;
    Fcomm32fp: Inline, compare_mem::<{ kind::M32 }, 0>;
    Fcompm32fp: Inline, compare_mem::<{ kind::M32 }, 1>;
    Fcomm64fp: Inline, compare_mem::<{ kind::M64 }, 0>;
    Fcompm64fp: Inline, compare_mem::<{ kind::M64 }, 1>;
    Ficomm16int: Inline, compare_mem::<{ kind::I16 }, 0>;
    Ficompm16int: Inline, compare_mem::<{ kind::I16 }, 1>;
    Ficomm32int: Inline, compare_mem::<{ kind::I32 }, 0>;
    Ficompm32int: Inline, compare_mem::<{ kind::I32 }, 1>;
    Fcomst0sti: Inline, compare_reg::<false, 0>;
    Fcompst0sti: Inline, compare_reg::<false, 1>;
    Fcompp: Inline, compare_reg::<false, 2>;
    Fucomst0sti: Inline, compare_reg::<true, 0>;
    Fucompst0sti: Inline, compare_reg::<true, 1>;
    Fucompp: Inline, compare_reg::<true, 2>;
    Fcomist0sti: InlineFlags, compare_flags::<false, false>;
    Fcomipst0sti: InlineFlags, compare_flags::<false, true>;
    Fucomist0sti: InlineFlags, compare_flags::<true, false>;
    Fucomipst0sti: InlineFlags, compare_flags::<true, true>;
    Fcmovbst0sti: InlineFlags, conditional_move::<0>;
    Fcmovest0sti: InlineFlags, conditional_move::<1>;
    Fcmovbest0sti: InlineFlags, conditional_move::<2>;
    Fcmovust0sti: InlineFlags, conditional_move::<3>;
    Fcmovnbst0sti: InlineFlags, conditional_move::<4>;
    Fcmovnest0sti: InlineFlags, conditional_move::<5>;
    Fcmovnbest0sti: InlineFlags, conditional_move::<6>;
    Fcmovnust0sti: InlineFlags, conditional_move::<7>;
    Fldm32fp: Inline, load_mem::<{ kind::M32 }>;
    Fldm64fp: Inline, load_mem::<{ kind::M64 }>;
    Fldm80fp: Inline, load_mem::<{ kind::M80 }>;
    Fildm16int: Inline, load_mem::<{ kind::I16 }>;
    Fildm32int: Inline, load_mem::<{ kind::I32 }>;
    Fildm64int: Inline, load_mem::<{ kind::I64 }>;
    Fbldm80bcd: Inline, load_mem::<{ kind::BCD }>;
    Fstm32fp: Inline, store_mem::<{ kind::M32 }, false, false>;
    Fstpm32fp: Inline, store_mem::<{ kind::M32 }, true, false>;
    Fstm64fp: Inline, store_mem::<{ kind::M64 }, false, false>;
    Fstpm64fp: Inline, store_mem::<{ kind::M64 }, true, false>;
    Fstpm80fp: Inline, store_mem::<{ kind::M80 }, true, false>;
    Fbstpm80bcd: Inline, store_mem::<{ kind::BCD }, true, false>;
    Fistm16int: Inline, store_mem::<{ kind::I16 }, false, false>;
    Fistpm16int: Inline, store_mem::<{ kind::I16 }, true, false>;
    Fistm32int: Inline, store_mem::<{ kind::I32 }, false, false>;
    Fistpm32int: Inline, store_mem::<{ kind::I32 }, true, false>;
    Fistpm64int: Inline, store_mem::<{ kind::I64 }, true, false>;
    Fisttpm16int: Inline, store_mem::<{ kind::I16 }, true, true>;
    Fisttpm32int: Inline, store_mem::<{ kind::I32 }, true, true>;
    Fisttpm64int: Inline, store_mem::<{ kind::I64 }, true, true>;
    Fldsti: Inline, load_reg;
    Fststi: Inline, store_reg::<false>;
    Fstpsti: Inline, store_reg::<true>;
    Fxchst0sti: Inline, exchange;
    Fld1: Inline, load_const::<0>;
    Fldl2t: Inline, load_const::<1>;
    Fldl2e: Inline, load_const::<2>;
    Fldpi: Inline, load_const::<3>;
    Fldlg2: Inline, load_const::<4>;
    Fldln2: Inline, load_const::<5>;
    Fldz: Inline, load_const::<6>;
    Fchs: Inline, plain::<{ op::CHS }>;
    Fabs: Inline, plain::<{ op::ABS }>;
    Fsqrt: Inline, plain::<{ op::SQRT }>;
    Frndint: Inline, plain::<{ op::RNDINT }>;
    Fsin: Inline, plain::<{ op::SIN }>;
    Fcos: Inline, plain::<{ op::COS }>;
    F2xm1: Inline, plain::<{ op::F2XM1 }>;
    Fscale: Inline, plain::<{ op::SCALE }>;
    Fprem: Inline, plain::<{ op::PREM }>;
    Fprem1: Inline, plain::<{ op::PREM1 }>;
    Ftst: Inline, plain::<{ op::TST }>;
    Fxam: Inline, plain::<{ op::XAM }>;
    Fsincos: Inline, plain::<{ op::SINCOS }>;
    Fptan: Inline, plain::<{ op::PTAN }>;
    Fxtract: Inline, plain::<{ op::XTRACT }>;
    Fpatan: Inline, plain::<{ op::PATAN }>;
    Fyl2x: Inline, plain::<{ op::YL2X }>;
    Fyl2xp1: Inline, plain::<{ op::YL2XP1 }>;
    Fincstp: Inline, plain::<{ op::INCSTP }>;
    Fdecstp: Inline, plain::<{ op::DECSTP }>;
    Fnop: Inline, plain::<{ op::NOP }>;
    Ffreesti: Inline, free::<false>;
    Ffreepsti: Inline, free::<true>;
    Fneni: Inline, nothing;
    Fninit: Inline, init;
    Fnclex: Inline, clear;
    Fldcwm2byte: Inline, load_control;
    Fnstcwm2byte: Inline, store_control;
    Fnstswm2byte: Inline, store_status;
    FnstswAX: Inline, status_to_ax;
    Fldenvm14byte: Inline, load_environment::<false>;
    Fnstenvm14byte: Inline, store_environment::<false>;
    Fldenvm28byte: Inline, load_environment::<true>;
    Fnstenvm28byte: Inline, store_environment::<true>;
    Frstorm94byte: Inline, restore::<false>;
    Fnsavem94byte: Inline, save::<false>;
    Frstorm108byte: Inline, restore::<true>;
    Fnsavem108byte: Inline, save::<true>;
    Fstpnce: Inline, store_reg_quietly;
    Wait: Inline, wait;
}

/// The eleven opcode bits that the unit remembers, from the instruction's bytes: the low three bits of the escape byte,
/// then the ModRM byte. Zero if it is no x87 instruction.
pub fn opcode(bytes: &[u8]) -> u64 {
    match bytes.iter().position(|b| b & 0xf8 == 0xd8) {
        Some(n) if n + 1 < bytes.len() => u64::from(bytes[n] & 7) << 8 | u64::from(bytes[n + 1]),
        _ => 0,
    }
}

/// The meaning of an x87 instruction, or the selector back.
pub fn select<S: Select>(s: S, ins: &Instruction, _: &mut Insn, key: ModeKey) -> Result<S::Out, S> {
    if ins.code() == Code::Wait {
        return Ok(if key.mp() && key.ts() { s.take::<super::vector::NoDevice>() } else { s.take::<Wait>() });
    }
    if key.em() || key.ts() {
        return if known(ins.code()) { Ok(s.take::<super::vector::NoDevice>()) } else { Err(s) };
    }
    table(s, ins.code())
}

/// Whether `code` is an x87 instruction.
pub fn known(code: Code) -> bool {
    struct Known;
    impl Select for Known {
        type Out = ();
        fn take<M: Meaning>(self) {}
    }
    table(Known, code).is_ok()
}

fn table<S: Select>(s: S, code: Code) -> Result<S::Out, S> {
    Ok(match code {
        Code::Fadd_m32fp => s.take::<Faddm32fp>(),
        Code::Fadd_m64fp => s.take::<Faddm64fp>(),
        Code::Fiadd_m16int => s.take::<Fiaddm16int>(),
        Code::Fiadd_m32int => s.take::<Fiaddm32int>(),
        Code::Fadd_st0_sti => s.take::<Faddst0sti>(),
        Code::Fadd_sti_st0 => s.take::<Faddst0sti>(),
        Code::Faddp_sti_st0 => s.take::<Faddpstist0>(),
        Code::Fmul_m32fp => s.take::<Fmulm32fp>(),
        Code::Fmul_m64fp => s.take::<Fmulm64fp>(),
        Code::Fimul_m16int => s.take::<Fimulm16int>(),
        Code::Fimul_m32int => s.take::<Fimulm32int>(),
        Code::Fmul_st0_sti => s.take::<Fmulst0sti>(),
        Code::Fmul_sti_st0 => s.take::<Fmulst0sti>(),
        Code::Fmulp_sti_st0 => s.take::<Fmulpstist0>(),
        Code::Fsub_m32fp => s.take::<Fsubm32fp>(),
        Code::Fsub_m64fp => s.take::<Fsubm64fp>(),
        Code::Fisub_m16int => s.take::<Fisubm16int>(),
        Code::Fisub_m32int => s.take::<Fisubm32int>(),
        Code::Fsub_st0_sti => s.take::<Fsubst0sti>(),
        Code::Fsub_sti_st0 => s.take::<Fsubst0sti>(),
        Code::Fsubp_sti_st0 => s.take::<Fsubpstist0>(),
        Code::Fsubr_m32fp => s.take::<Fsubrm32fp>(),
        Code::Fsubr_m64fp => s.take::<Fsubrm64fp>(),
        Code::Fisubr_m16int => s.take::<Fisubrm16int>(),
        Code::Fisubr_m32int => s.take::<Fisubrm32int>(),
        Code::Fsubr_st0_sti => s.take::<Fsubrst0sti>(),
        Code::Fsubr_sti_st0 => s.take::<Fsubrst0sti>(),
        Code::Fsubrp_sti_st0 => s.take::<Fsubrpstist0>(),
        Code::Fdiv_m32fp => s.take::<Fdivm32fp>(),
        Code::Fdiv_m64fp => s.take::<Fdivm64fp>(),
        Code::Fidiv_m16int => s.take::<Fidivm16int>(),
        Code::Fidiv_m32int => s.take::<Fidivm32int>(),
        Code::Fdiv_st0_sti => s.take::<Fdivst0sti>(),
        Code::Fdiv_sti_st0 => s.take::<Fdivst0sti>(),
        Code::Fdivp_sti_st0 => s.take::<Fdivpstist0>(),
        Code::Fdivr_m32fp => s.take::<Fdivrm32fp>(),
        Code::Fdivr_m64fp => s.take::<Fdivrm64fp>(),
        Code::Fidivr_m16int => s.take::<Fidivrm16int>(),
        Code::Fidivr_m32int => s.take::<Fidivrm32int>(),
        Code::Fdivr_st0_sti => s.take::<Fdivrst0sti>(),
        Code::Fdivr_sti_st0 => s.take::<Fdivrst0sti>(),
        Code::Fdivrp_sti_st0 => s.take::<Fdivrpstist0>(),
        Code::Fcom_m32fp => s.take::<Fcomm32fp>(),
        Code::Fcomp_m32fp => s.take::<Fcompm32fp>(),
        Code::Fcom_m64fp => s.take::<Fcomm64fp>(),
        Code::Fcomp_m64fp => s.take::<Fcompm64fp>(),
        Code::Ficom_m16int => s.take::<Ficomm16int>(),
        Code::Ficomp_m16int => s.take::<Ficompm16int>(),
        Code::Ficom_m32int => s.take::<Ficomm32int>(),
        Code::Ficomp_m32int => s.take::<Ficompm32int>(),
        Code::Fcom_st0_sti => s.take::<Fcomst0sti>(),
        Code::Fcom_st0_sti_DCD0 => s.take::<Fcomst0sti>(),
        Code::Fcomp_st0_sti => s.take::<Fcompst0sti>(),
        Code::Fcomp_st0_sti_DCD8 => s.take::<Fcompst0sti>(),
        Code::Fcomp_st0_sti_DED0 => s.take::<Fcompst0sti>(),
        Code::Fcompp => s.take::<Fcompp>(),
        Code::Fucom_st0_sti => s.take::<Fucomst0sti>(),
        Code::Fucomp_st0_sti => s.take::<Fucompst0sti>(),
        Code::Fucompp => s.take::<Fucompp>(),
        Code::Fcomi_st0_sti => s.take::<Fcomist0sti>(),
        Code::Fcomip_st0_sti => s.take::<Fcomipst0sti>(),
        Code::Fucomi_st0_sti => s.take::<Fucomist0sti>(),
        Code::Fucomip_st0_sti => s.take::<Fucomipst0sti>(),
        Code::Fcmovb_st0_sti => s.take::<Fcmovbst0sti>(),
        Code::Fcmove_st0_sti => s.take::<Fcmovest0sti>(),
        Code::Fcmovbe_st0_sti => s.take::<Fcmovbest0sti>(),
        Code::Fcmovu_st0_sti => s.take::<Fcmovust0sti>(),
        Code::Fcmovnb_st0_sti => s.take::<Fcmovnbst0sti>(),
        Code::Fcmovne_st0_sti => s.take::<Fcmovnest0sti>(),
        Code::Fcmovnbe_st0_sti => s.take::<Fcmovnbest0sti>(),
        Code::Fcmovnu_st0_sti => s.take::<Fcmovnust0sti>(),
        Code::Fld_m32fp => s.take::<Fldm32fp>(),
        Code::Fld_m64fp => s.take::<Fldm64fp>(),
        Code::Fld_m80fp => s.take::<Fldm80fp>(),
        Code::Fild_m16int => s.take::<Fildm16int>(),
        Code::Fild_m32int => s.take::<Fildm32int>(),
        Code::Fild_m64int => s.take::<Fildm64int>(),
        Code::Fbld_m80bcd => s.take::<Fbldm80bcd>(),
        Code::Fst_m32fp => s.take::<Fstm32fp>(),
        Code::Fstp_m32fp => s.take::<Fstpm32fp>(),
        Code::Fst_m64fp => s.take::<Fstm64fp>(),
        Code::Fstp_m64fp => s.take::<Fstpm64fp>(),
        Code::Fstp_m80fp => s.take::<Fstpm80fp>(),
        Code::Fbstp_m80bcd => s.take::<Fbstpm80bcd>(),
        Code::Fist_m16int => s.take::<Fistm16int>(),
        Code::Fistp_m16int => s.take::<Fistpm16int>(),
        Code::Fist_m32int => s.take::<Fistm32int>(),
        Code::Fistp_m32int => s.take::<Fistpm32int>(),
        Code::Fistp_m64int => s.take::<Fistpm64int>(),
        Code::Fisttp_m16int => s.take::<Fisttpm16int>(),
        Code::Fisttp_m32int => s.take::<Fisttpm32int>(),
        Code::Fisttp_m64int => s.take::<Fisttpm64int>(),
        Code::Fld_sti => s.take::<Fldsti>(),
        Code::Fst_sti => s.take::<Fststi>(),
        Code::Fstp_sti => s.take::<Fstpsti>(),
        Code::Fstpnce_sti => s.take::<Fstpnce>(),
        Code::Fstp_sti_DFD0 => s.take::<Fstpsti>(),
        Code::Fstp_sti_DFD8 => s.take::<Fstpsti>(),
        Code::Fxch_st0_sti => s.take::<Fxchst0sti>(),
        Code::Fxch_st0_sti_DDC8 => s.take::<Fxchst0sti>(),
        Code::Fxch_st0_sti_DFC8 => s.take::<Fxchst0sti>(),
        Code::Fld1 => s.take::<Fld1>(),
        Code::Fldl2t => s.take::<Fldl2t>(),
        Code::Fldl2e => s.take::<Fldl2e>(),
        Code::Fldpi => s.take::<Fldpi>(),
        Code::Fldlg2 => s.take::<Fldlg2>(),
        Code::Fldln2 => s.take::<Fldln2>(),
        Code::Fldz => s.take::<Fldz>(),
        Code::Fchs => s.take::<Fchs>(),
        Code::Fabs => s.take::<Fabs>(),
        Code::Fsqrt => s.take::<Fsqrt>(),
        Code::Frndint => s.take::<Frndint>(),
        Code::Fsin => s.take::<Fsin>(),
        Code::Fcos => s.take::<Fcos>(),
        Code::F2xm1 => s.take::<F2xm1>(),
        Code::Fscale => s.take::<Fscale>(),
        Code::Fprem => s.take::<Fprem>(),
        Code::Fprem1 => s.take::<Fprem1>(),
        Code::Ftst => s.take::<Ftst>(),
        Code::Fxam => s.take::<Fxam>(),
        Code::Fsincos => s.take::<Fsincos>(),
        Code::Fptan => s.take::<Fptan>(),
        Code::Fxtract => s.take::<Fxtract>(),
        Code::Fpatan => s.take::<Fpatan>(),
        Code::Fyl2x => s.take::<Fyl2x>(),
        Code::Fyl2xp1 => s.take::<Fyl2xp1>(),
        Code::Fincstp => s.take::<Fincstp>(),
        Code::Fdecstp => s.take::<Fdecstp>(),
        Code::Fnop => s.take::<Fnop>(),
        Code::Ffree_sti => s.take::<Ffreesti>(),
        Code::Ffreep_sti => s.take::<Ffreepsti>(),
        Code::Fneni => s.take::<Fneni>(),
        Code::Fndisi => s.take::<Fneni>(),
        Code::Fnsetpm => s.take::<Fneni>(),
        Code::Fninit => s.take::<Fninit>(),
        Code::Fnclex => s.take::<Fnclex>(),
        Code::Fldcw_m2byte => s.take::<Fldcwm2byte>(),
        Code::Fnstcw_m2byte => s.take::<Fnstcwm2byte>(),
        Code::Fnstsw_m2byte => s.take::<Fnstswm2byte>(),
        Code::Fnstsw_AX => s.take::<FnstswAX>(),
        Code::Fldenv_m14byte => s.take::<Fldenvm14byte>(),
        Code::Fnstenv_m14byte => s.take::<Fnstenvm14byte>(),
        Code::Fldenv_m28byte => s.take::<Fldenvm28byte>(),
        Code::Fnstenv_m28byte => s.take::<Fnstenvm28byte>(),
        Code::Frstor_m94byte => s.take::<Frstorm94byte>(),
        Code::Fnsave_m94byte => s.take::<Fnsavem94byte>(),
        Code::Frstor_m108byte => s.take::<Frstorm108byte>(),
        Code::Fnsave_m108byte => s.take::<Fnsavem108byte>(),
        _ => return Err(s),
    })
}
