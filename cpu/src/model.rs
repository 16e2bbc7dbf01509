//! Processor models: what CPUID says, which instructions exist, how generations differ.
//! Follows Intel SDM volume 2 (CPUID) and AMD APM volume 3, appendix E.

use serde::{Deserialize, Serialize};

/// Instruction-set features, each with its CPUID bit elsewhere in this module.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Feature {
    Fpu,
    Vme,
    De,
    Pse,
    Tsc,
    Msr,
    Pae,
    Mce,
    Cx8,
    Apic,
    Sep,
    Mtrr,
    Pge,
    Mca,
    Cmov,
    Pat,
    Pse36,
    Clflush,
    Mmx,
    Fxsr,
    Sse,
    Sse2,
    Sse3,
    Pclmul,
    Ssse3,
    Cx16,
    Pcid,
    Sse41,
    Sse42,
    X2apic,
    Movbe,
    Popcnt,
    Aes,
    Xsave,
    Rdrand,
    Lahf64,
    Syscall,
    Nx,
    Pdpe1gb,
    Rdtscp,
    LongMode,
    FsGsBase,
    Smep,
    Erms,
    Invpcid,
    Rdseed,
    Smap,
    Sha,
    Umip,
    Cpuid,
    TscInvariant,
    Avx,
    Avx2,
    Bmi1,
    Bmi2,
    Fma,
    F16c,
    Lzcnt,
    Adx,
    Xsaveopt,
}

/// The generation, which decides behaviour that no feature bit names (DIV faults, shift counts, PUSH SP, flags bits).
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Generation {
    I8086,
    I286,
    I386,
    I486,
    P5,
    P6,
}

/// What a processor claims to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuModel {
    /// Name as given on the command line.
    pub name: String,
    /// Generation.
    pub generation: Generation,
    /// Bit set over [`Feature`].
    pub features: u64,
}

impl CpuModel {
    /// Whether the model has `f`.
    #[inline(always)]
    pub fn has(&self, f: Feature) -> bool {
        self.features >> (f as u8) & 1 != 0
    }
}

impl CpuModel {
    /// Width of physical addresses in bits.
    pub fn phys_bits(&self) -> u8 {
        if self.has(Feature::LongMode) {
            40
        } else if self.has(Feature::Pae) || self.has(Feature::Pse36) {
            36
        } else {
            32
        }
    }
}
