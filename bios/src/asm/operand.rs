//! Operands as [`asm!`](super::asm) takes them: registers and numbers as they are, a string for a name's offset, and
//! memory in brackets.

use super::Asm;
use iced_x86::code_asm::{
    AsmMemoryOperand, AsmRegister8, AsmRegister16, AsmRegister32, AsmRegisterCr, AsmRegisterSegment,
    byte_ptr, dword_ptr, ptr, word_ptr,
};

/// Something that can stand as an operand.
pub(crate) trait Arg {
    /// What `CodeAssembler` wants instead.
    type Out;
    /// Turns one into the other.
    fn arg(self, asm: &Asm) -> Self::Out;
}

macro_rules! as_it_is {
    ($($t:ty)*) => { $(
        impl Arg for $t {
            type Out = $t;
            fn arg(self, _: &Asm) -> $t {
                self
            }
        }
    )* };
}
as_it_is!(AsmRegister8 AsmRegister16 AsmRegister32 AsmRegisterSegment AsmRegisterCr AsmMemoryOperand i32 u32);

impl Arg for &str {
    type Out = i32;
    fn arg(self, asm: &Asm) -> i32 {
        asm.o(self)
    }
}

impl<M: Into<AsmMemoryOperand>> Arg for [M; 1] {
    type Out = AsmMemoryOperand;
    fn arg(self, _: &Asm) -> AsmMemoryOperand {
        let [inner] = self;
        ptr(inner)
    }
}

/// Memory of eight bits.
pub(crate) fn byte(m: impl Into<AsmMemoryOperand>) -> AsmMemoryOperand {
    byte_ptr(m)
}

/// Memory of sixteen bits.
pub(crate) fn word(m: impl Into<AsmMemoryOperand>) -> AsmMemoryOperand {
    word_ptr(m)
}

/// Memory of thirty-two bits.
pub(crate) fn dword(m: impl Into<AsmMemoryOperand>) -> AsmMemoryOperand {
    dword_ptr(m)
}

macro_rules! segments {
    ($($name:ident $segment:ident)*) => { $(
        /// Memory through this segment register.
        pub(crate) fn $name(m: impl Into<AsmMemoryOperand>) -> AsmMemoryOperand {
            ptr(m).$segment()
        }
    )* };
}
segments!(cs_at cs es_at es fs_at fs);
