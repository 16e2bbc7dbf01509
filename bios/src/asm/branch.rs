//! Branches to names, short where the distance allows, and string instructions with their prefix.

use super::{Asm, Outcome};
use iced_x86::{Code, Instruction};

/// Farthest target of a short branch. Less than the encoding allows, so that alignment between cannot break it.
const SHORT: i32 = 120;

impl Asm {
    fn branch(&mut self, target: i32, short: Code, near: Code) -> Outcome {
        let distance = target - (self.here() + 2);
        let near_by = self.settled && distance.abs() <= SHORT;
        let code = if near_by { short } else { near };
        self.encode(&Instruction::with_branch(code, target as u32 as u64)?);
        Ok(())
    }

    fn only_short(&mut self, target: i32, code: Code) -> Outcome {
        let target = if self.settled { target } else { self.here() };
        self.encode(&Instruction::with_branch(code, target as u32 as u64)?);
        Ok(())
    }

    fn pick(&self, narrow: Code, wide: Code) -> Code {
        if self.inner.bitness() == 16 { narrow } else { wide }
    }

    /// JMP to a name.
    pub(crate) fn jmp(&mut self, target: i32) -> Outcome {
        let (s, n) =
            (self.pick(Code::Jmp_rel8_16, Code::Jmp_rel8_32), self.pick(Code::Jmp_rel16, Code::Jmp_rel32_32));
        self.branch(target, s, n)
    }

    /// CALL of a name.
    pub(crate) fn call(&mut self, target: i32) -> Outcome {
        let code = self.pick(Code::Call_rel16, Code::Call_rel32_32);
        self.encode(&Instruction::with_branch(code, target as u32 as u64)?);
        Ok(())
    }

    /// JMP through a register or memory.
    pub(crate) fn jmp_to<T>(&mut self, to: T) -> Outcome
    where
        iced_x86::code_asm::CodeAssembler: iced_x86::code_asm::asm_traits::CodeAsmJmp<T>,
    {
        self.inner.jmp(to)
    }

    /// CALL through a register or memory.
    pub(crate) fn call_to<T>(&mut self, to: T) -> Outcome
    where
        iced_x86::code_asm::CodeAssembler: iced_x86::code_asm::asm_traits::CodeAsmCall<T>,
    {
        self.inner.call(to)
    }

    /// JMP ptr16:16 (or ptr16:32 from a 32-bit segment).
    pub(crate) fn jmp_far(&mut self, selector: i32, offset: i32) -> Outcome {
        let code = self.pick(Code::Jmp_ptr1616, Code::Jmp_ptr1632);
        self.encode(&Instruction::with_far_branch(code, selector as u16, offset as u32)?);
        Ok(())
    }

    /// LOOP with CX.
    pub(crate) fn loop_(&mut self, target: i32) -> Outcome {
        let code = self.pick(Code::Loop_rel8_16_CX, Code::Loop_rel8_32_ECX);
        self.only_short(target, code)
    }

    /// JECXZ.
    pub(crate) fn jecxz(&mut self, target: i32) -> Outcome {
        let code = self.pick(Code::Jecxz_rel8_16, Code::Jecxz_rel8_32);
        self.only_short(target, code)
    }

    /// JCXZ.
    pub(crate) fn jcxz(&mut self, target: i32) -> Outcome {
        self.only_short(target, Code::Jcxz_rel8_16)
    }
}

macro_rules! conditions {
    ($($name:ident $short16:ident $near16:ident $short32:ident $near32:ident)*) => {
        // The whole set is there, whether or not the firmware uses each today.
        #[allow(dead_code)]
        impl Asm { $(
            /// Conditional branch to a name.
            pub(crate) fn $name(&mut self, target: i32) -> Outcome {
                let (s, n) = (self.pick(Code::$short16, Code::$short32), self.pick(Code::$near16, Code::$near32));
                self.branch(target, s, n)
            }
        )* }
    };
}
conditions! {
    jo Jo_rel8_16 Jo_rel16 Jo_rel8_32 Jo_rel32_32
    jno Jno_rel8_16 Jno_rel16 Jno_rel8_32 Jno_rel32_32
    jb Jb_rel8_16 Jb_rel16 Jb_rel8_32 Jb_rel32_32
    jc Jb_rel8_16 Jb_rel16 Jb_rel8_32 Jb_rel32_32
    jae Jae_rel8_16 Jae_rel16 Jae_rel8_32 Jae_rel32_32
    jnc Jae_rel8_16 Jae_rel16 Jae_rel8_32 Jae_rel32_32
    jz Je_rel8_16 Je_rel16 Je_rel8_32 Je_rel32_32
    je Je_rel8_16 Je_rel16 Je_rel8_32 Je_rel32_32
    jnz Jne_rel8_16 Jne_rel16 Jne_rel8_32 Jne_rel32_32
    jne Jne_rel8_16 Jne_rel16 Jne_rel8_32 Jne_rel32_32
    jbe Jbe_rel8_16 Jbe_rel16 Jbe_rel8_32 Jbe_rel32_32
    ja Ja_rel8_16 Ja_rel16 Ja_rel8_32 Ja_rel32_32
    js Js_rel8_16 Js_rel16 Js_rel8_32 Js_rel32_32
    jns Jns_rel8_16 Jns_rel16 Jns_rel8_32 Jns_rel32_32
    jl Jl_rel8_16 Jl_rel16 Jl_rel8_32 Jl_rel32_32
    jge Jge_rel8_16 Jge_rel16 Jge_rel8_32 Jge_rel32_32
    jle Jle_rel8_16 Jle_rel16 Jle_rel8_32 Jle_rel32_32
    jg Jg_rel8_16 Jg_rel16 Jg_rel8_32 Jg_rel32_32
}

macro_rules! strings {
    ($($name:ident $prefix:ident $op:ident)*) => {
        // The whole set is there, whether or not the firmware uses each today.
        #[allow(dead_code)]
        impl Asm { $(
            /// String instruction with its prefix.
            pub(crate) fn $name(&mut self) -> Outcome {
                self.inner.$prefix().$op()
            }
        )* }
    };
}
strings! {
    rep_movsb rep movsb rep_movsw rep movsw rep_movsd rep movsd
    rep_stosb rep stosb rep_stosw rep stosw rep_stosd rep stosd
    rep_insb rep insb rep_insw rep insw rep_insd rep insd
    rep_outsb rep outsb rep_outsw rep outsw rep_outsd rep outsd
    repe_cmpsb repe cmpsb repe_cmpsw repe cmpsw repne_scasb repne scasb
}
