//! Which instructions a [`CpuModel`] has: `iced-x86`'s CPUID features of an encoding against the model's.

use crate::model::{CpuModel, Feature, Generation};
use iced_x86::{CpuidFeature as C, Instruction, Mnemonic};

/// Whether the model has this encoding at all.
pub fn has(ins: &Instruction, model: &CpuModel) -> bool {
    match ins.mnemonic() {
        // Decode as what they were before; `select` looks at the feature.
        Mnemonic::Tzcnt | Mnemonic::Lzcnt => return true,
        // In the space of hints, 0F 18 to 0F 1F: newer instructions there do nothing on processors that don't know them
        // (SDM volume 1, section 17.3.6, has RDSSP so).
        Mnemonic::Endbr32
        | Mnemonic::Endbr64
        | Mnemonic::Rdsspd
        | Mnemonic::Rdsspq
        | Mnemonic::Cldemote
        | Mnemonic::Prefetchit0
        | Mnemonic::Prefetchit1
        | Mnemonic::Reservednop => {
            return model.generation >= Generation::P6;
        }
        Mnemonic::Prefetchw | Mnemonic::Prefetch | Mnemonic::Prefetchwt1 => {
            return model.generation >= Generation::P6;
        }
        _ => {}
    }
    ins.cpuid_features().iter().all(|&f| feature(f, model))
}

fn feature(f: C, m: &CpuModel) -> bool {
    let since = |g| m.generation >= g;
    match f {
        C::INTEL8086 => true,
        C::INTEL8086_ONLY => m.generation == Generation::I8086,
        C::INTEL186 | C::INTEL286 => since(Generation::I286),
        C::INTEL386 => since(Generation::I386),
        C::INTEL486 => since(Generation::I486),
        C::PAUSE => true,
        C::MULTIBYTENOP => since(Generation::P6),
        C::FPU => true,
        C::FPU287 => since(Generation::I286),
        C::FPU387 => since(Generation::I386),
        C::X64 => m.has(Feature::LongMode),
        C::CPUID => m.has(Feature::Cpuid),
        C::TSC => m.has(Feature::Tsc),
        C::MSR => m.has(Feature::Msr),
        C::CX8 => m.has(Feature::Cx8),
        C::CMPXCHG16B => m.has(Feature::Cx16),
        C::CMOV => m.has(Feature::Cmov),
        C::RDPMC => since(Generation::P6) || m.has(Feature::Mmx),
        C::SEP => m.has(Feature::Sep),
        C::SYSCALL => m.has(Feature::Syscall),
        C::SMM => since(Generation::P5),
        C::CLFSH => m.has(Feature::Clflush),
        C::FXSR => m.has(Feature::Fxsr),
        C::MMX => m.has(Feature::Mmx),
        C::SSE => m.has(Feature::Sse),
        C::SSE2 => m.has(Feature::Sse2),
        C::SSE3 => m.has(Feature::Sse3),
        C::SSSE3 => m.has(Feature::Ssse3),
        C::SSE4_1 => m.has(Feature::Sse41),
        C::SSE4_2 => m.has(Feature::Sse42),
        C::AES => m.has(Feature::Aes),
        C::PCLMULQDQ => m.has(Feature::Pclmul),
        C::SHA => m.has(Feature::Sha),
        C::POPCNT => m.has(Feature::Popcnt),
        C::MOVBE => m.has(Feature::Movbe),
        C::LZCNT => m.has(Feature::Lzcnt),
        C::BMI1 => m.has(Feature::Bmi1),
        C::BMI2 => m.has(Feature::Bmi2),
        C::ADX => m.has(Feature::Adx),
        C::AVX => m.has(Feature::Avx),
        C::AVX2 => m.has(Feature::Avx2),
        C::FMA => m.has(Feature::Fma),
        C::F16C => m.has(Feature::F16c),
        C::RDRAND => m.has(Feature::Rdrand),
        C::RDSEED => m.has(Feature::Rdseed),
        C::RDTSCP => m.has(Feature::Rdtscp),
        C::FSGSBASE => m.has(Feature::FsGsBase),
        C::INVPCID => m.has(Feature::Invpcid),
        C::SMAP => m.has(Feature::Smap),
        C::XSAVE => m.has(Feature::Xsave),
        C::XSAVEOPT | C::XSAVEC => m.has(Feature::Xsaveopt),
        _ => false,
    }
}
