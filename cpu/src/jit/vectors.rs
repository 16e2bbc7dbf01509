//! Which guest vector instructions have a host twin of the shape `op xmm, xmm[, imm8]`, and how that is encoded. Read off
//! iced-x86's opcode tables.

use iced_x86::{Code, EncodingKind, MandatoryPrefix, OpCodeOperandKind, OpCodeTableKind};
use std::sync::OnceLock;

/// A legacy-SSE encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Mandatory prefix or 0.
    pub prefix: u8,
    /// REX.W.
    pub w: bool,
    /// Opcode map.
    pub map: &'static [u8],
    #[allow(missing_docs)]
    pub opcode: u8,
    #[allow(missing_docs)]
    pub shape: Shape,
}

/// What an encoding works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `op xmm, xmm/m`, with an immediate byte or not.
    Two {
        #[allow(missing_docs)]
        imm: bool,
    },
    /// `op xmm, imm8`, where the ModRM byte's register field is part of the opcode.
    ShiftImm {
        #[allow(missing_docs)]
        group: u8,
    },
    /// `op r32/r64, xmm/m`.
    ToInt {
        /// 64 bits.
        wide: bool,
    },
}

/// The encoding of the host's twin, if the instruction is of that shape and the host has it.
pub fn encoding(code: Code) -> Option<Encoding> {
    static TABLE: OnceLock<Vec<Option<Encoding>>> = OnceLock::new();
    TABLE.get_or_init(|| Code::values().map(find).collect()).get(code as usize).copied().flatten()
}

/// What the host must have for a feature that is not part of every x86-64 processor.
fn host_has(code: Code) -> bool {
    use iced_x86::CpuidFeature as F;
    code.cpuid_features().iter().all(|f| match f {
        F::SSE | F::SSE2 | F::MMX => true,
        #[cfg(target_arch = "x86_64")]
        F::SSE3 => std::is_x86_feature_detected!("sse3"),
        #[cfg(target_arch = "x86_64")]
        F::SSSE3 => std::is_x86_feature_detected!("ssse3"),
        #[cfg(target_arch = "x86_64")]
        F::SSE4_1 => std::is_x86_feature_detected!("sse4.1"),
        #[cfg(target_arch = "x86_64")]
        F::SSE4_2 => std::is_x86_feature_detected!("sse4.2"),
        #[cfg(target_arch = "x86_64")]
        F::AES => std::is_x86_feature_detected!("aes"),
        #[cfg(target_arch = "x86_64")]
        F::PCLMULQDQ => std::is_x86_feature_detected!("pclmulqdq"),
        #[cfg(target_arch = "x86_64")]
        F::SHA => std::is_x86_feature_detected!("sha"),
        _ => false,
    })
}

fn find(code: Code) -> Option<Encoding> {
    use OpCodeOperandKind as K;
    let o = code.op_code();
    if o.encoding() != EncodingKind::Legacy || !o.is_instruction() {
        return None;
    }
    let n = o.op_count();
    let source = matches!(o.op_kind(1), K::xmm_or_mem | K::xmm_rm);
    let shift = n == 2 && o.op_kind(0) == K::xmm_rm && o.op_kind(1) == K::imm8 && o.group_index() >= 0;
    let to_int = n == 2
        && matches!(o.op_kind(0), K::r32_reg | K::r64_reg)
        && matches!(o.op_kind(1), K::xmm_or_mem | K::xmm_rm)
        // CVT(T)Sx2SI, MOVMSKPx, PMOVMSKB.
        && matches!(o.op_code(), 0x2c | 0x2d | 0x50 | 0xd7);
    let shape = n >= 2 && o.op_kind(0) == K::xmm_reg && source;
    let imm = n == 3 && o.op_kind(2) == K::imm8;
    // Implicit XMM0 (PBLENDVB), registers that differ per generation, approximations that are ours everywhere, sums of
    // several NaNs (Intel's processors take another of them than AMD's).
    let ours = matches!(
        code,
        Code::Rcpps_xmm_xmmm128
            | Code::Rcpss_xmm_xmmm32
            | Code::Rsqrtps_xmm_xmmm128
            | Code::Rsqrtss_xmm_xmmm32
            | Code::Dpps_xmm_xmmm128_imm8
            | Code::Dppd_xmm_xmmm128_imm8
            | Code::Pblendvb_xmm_xmmm128
            | Code::Blendvps_xmm_xmmm128
            | Code::Blendvpd_xmm_xmmm128
            | Code::Sha256rnds2_xmm_xmmm128
            | Code::Pcmpestri_xmm_xmmm128_imm8
            | Code::Pcmpistri_xmm_xmmm128_imm8
            | Code::Pcmpestrm_xmm_xmmm128_imm8
            | Code::Pcmpistrm_xmm_xmmm128_imm8
            | Code::Pcmpestri64_xmm_xmmm128_imm8
            | Code::Pcmpestrm64_xmm_xmmm128_imm8
    );
    if !shape && !shift && !to_int
        || shape && n == 3 && !imm
        || n > 3
        || ours
        || !host_has(code)
        || o.op_code() > 0xff
    {
        return None;
    }
    let map: &'static [u8] = match o.table() {
        OpCodeTableKind::T0F => &[0x0f],
        OpCodeTableKind::T0F38 => &[0x0f, 0x38],
        OpCodeTableKind::T0F3A => &[0x0f, 0x3a],
        _ => return None,
    };
    let prefix = match o.mandatory_prefix() {
        MandatoryPrefix::None | MandatoryPrefix::PNP => 0,
        MandatoryPrefix::P66 => 0x66,
        MandatoryPrefix::PF3 => 0xf3,
        MandatoryPrefix::PF2 => 0xf2,
    };
    let shape = if shift {
        Shape::ShiftImm { group: o.group_index() as u8 }
    } else if to_int {
        Shape::ToInt { wide: o.op_kind(0) == K::r64_reg }
    } else {
        Shape::Two { imm }
    };
    Some(Encoding { prefix, w: o.w() == 1, map, opcode: o.op_code() as u8, shape })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_encodings() {
        let e = |prefix, map, opcode, imm| {
            Some(Encoding { prefix, w: false, map, opcode, shape: Shape::Two { imm } })
        };
        assert_eq!(encoding(Code::Addsd_xmm_xmmm64), e(0xf2, &[0x0f][..], 0x58, false));
        assert_eq!(encoding(Code::Pshufd_xmm_xmmm128_imm8), e(0x66, &[0x0f][..], 0x70, true));
        assert_eq!(encoding(Code::Mulps_xmm_xmmm128), e(0, &[0x0f][..], 0x59, false));
        assert_eq!(encoding(Code::Rcpps_xmm_xmmm128), None);
        assert_eq!(encoding(Code::Dpps_xmm_xmmm128_imm8), None);
        assert_eq!(encoding(Code::Dppd_xmm_xmmm128_imm8), None);
        let e = encoding(Code::Cvttsd2si_r64_xmmm64).map(|e| (e.prefix, e.opcode, e.shape));
        assert_eq!(e, Some((0xf2, 0x2c, Shape::ToInt { wide: true })));
        let e = encoding(Code::Psrldq_xmm_imm8).map(|e| (e.prefix, e.opcode, e.shape));
        assert_eq!(e, Some((0x66, 0x73, Shape::ShiftImm { group: 3 })));
    }
}
