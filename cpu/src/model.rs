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

    /// Family, model and stepping, packed as in CPUID 1's EAX.
    pub fn signature(&self) -> u32 {
        signature(&self.name, self.generation)
    }

    /// The names of all models, from the oldest on.
    pub fn names() -> impl Iterator<Item = &'static str> {
        MODELS.iter().map(|r| r.name)
    }

    /// The model that `word` asks for: `NAME[,+feature|-feature]...`. The error is one line for a person.
    pub fn parse(word: &str) -> Result<CpuModel, String> {
        let mut parts = word.split(',').map(str::trim);
        let name = parts.next().unwrap_or("");
        let row = MODELS.iter().find(|r| r.name == name).ok_or_else(|| {
            let names: Vec<_> = CpuModel::names().collect();
            format!("unknown CPU model '{name}'; known are {}", names.join(", "))
        })?;
        let mut m = CpuModel { name: row.name.into(), generation: row.generation, features: row.bits() };
        for part in parts {
            let (on, feature) = match (part.strip_prefix('+'), part.strip_prefix('-')) {
                (Some(f), _) => (true, f),
                (_, Some(f)) => (false, f),
                _ => return Err(format!("'{part}' is neither +feature nor -feature")),
            };
            let f = NAMES
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(feature) || n.replace('.', "_") == feature)
                .map(|(_, f)| *f)
                .ok_or_else(|| format!("unknown CPU feature '{feature}'"))?;
            if on && !IMPLEMENTED.contains(&f) {
                return Err(format!("CPU feature '{feature}' is not in this version"));
            }
            let bit = 1u64 << f as u8;
            m.features = if on { m.features | bit } else { m.features & !bit };
        }
        if m.has(Feature::LongMode) && !m.has(Feature::Pae) {
            return Err("long mode needs pae".into());
        }
        Ok(m)
    }

    /// The text of `--cpu help`.
    pub fn help() -> String {
        let mut s = String::from("CPU models:\n");
        for r in MODELS {
            s += &format!("  {:<12} {}\n", r.name, r.gloss);
        }
        s += "Features (+NAME adds, -NAME takes away):\n ";
        for (n, f) in NAMES {
            if IMPLEMENTED.contains(f) {
                s += " ";
                s += n;
            }
        }
        s += "\n";
        s
    }
}

impl Default for CpuModel {
    fn default() -> CpuModel {
        let r = &MODELS[MODELS.len() - 1];
        CpuModel { name: r.name.into(), generation: r.generation, features: r.bits() }
    }
}

/// A row of the list of models: what it adds to the row named in `base`.
struct Row {
    name: &'static str,
    gloss: &'static str,
    generation: Generation,
    base: Option<&'static str>,
    adds: &'static [Feature],
    signature: u32,
}

impl Row {
    fn bits(&self) -> u64 {
        let base = self.base.and_then(|b| MODELS.iter().find(|r| r.name == b)).map_or(0, Row::bits);
        self.adds.iter().fold(base, |bits, f| bits | 1 << *f as u8)
    }
}

fn signature(name: &str, generation: Generation) -> u32 {
    MODELS.iter().find(|r| r.name == name).map_or(
        match generation {
            Generation::I486 => 0x480,
            Generation::P5 => 0x52c,
            _ => 0x106ca,
        },
        |r| r.signature,
    )
}

use Feature::*;

/// The models. Signatures are those of real parts: an Intel 486DX4, a Pentium of stepping C, a Pentium MMX, a Coppermine,
/// a Conroe. The x86-64 levels carry the number of an in-order core, for which no system believes in speculation
/// bugs: software has none, and mitigations would only cost time.
static MODELS: &[Row] = &[
    Row {
        name: "8086",
        gloss: "Intel 8086 (+fpu: with 8087)",
        generation: Generation::I8086,
        base: None,
        adds: &[],
        signature: 0,
    },
    Row {
        name: "286",
        gloss: "Intel 80286 (+fpu: with 80287)",
        generation: Generation::I286,
        base: None,
        adds: &[],
        signature: 0,
    },
    Row {
        name: "386",
        gloss: "Intel 386 with 387 (-fpu: without)",
        generation: Generation::I386,
        base: None,
        adds: &[Fpu],
        signature: 0x303,
    },
    Row {
        name: "486",
        gloss: "Intel 486DX4",
        generation: Generation::I486,
        base: None,
        adds: &[Fpu, Vme, Cpuid],
        signature: 0x480,
    },
    Row {
        name: "pentium",
        gloss: "Intel Pentium",
        generation: Generation::P5,
        base: Some("486"),
        adds: &[De, Pse, Tsc, Msr, Mce, Cx8],
        signature: 0x52c,
    },
    Row {
        name: "pentium-mmx",
        gloss: "Intel Pentium with MMX",
        generation: Generation::P5,
        base: Some("pentium"),
        adds: &[Mmx],
        signature: 0x543,
    },
    Row {
        name: "pentium3",
        gloss: "Intel Pentium III (Coppermine)",
        generation: Generation::P6,
        base: Some("pentium-mmx"),
        adds: &[Pae, Apic, Sep, Mtrr, Pge, Mca, Cmov, Pat, Pse36, Fxsr, Sse],
        signature: 0x686,
    },
    Row {
        name: "core2",
        gloss: "Intel Core 2 (Conroe)",
        generation: Generation::P6,
        base: Some("x86-64-v1"),
        adds: &[Sse3, Ssse3, Cx16, Lahf64, Nx],
        signature: 0x6fb,
    },
    Row {
        name: "x86-64-v1",
        gloss: "the first level of x86-64",
        generation: Generation::P6,
        base: Some("pentium3"),
        adds: &[Clflush, Sse2, LongMode, Syscall, Nx],
        signature: 0x106ca,
    },
    Row {
        name: "x86-64-v2",
        gloss: "the second level of x86-64, with system features (default)",
        generation: Generation::P6,
        base: Some("x86-64-v1"),
        adds: &[
            Sse3,
            Ssse3,
            Cx16,
            Lahf64,
            Sse41,
            Sse42,
            Popcnt,
            Pdpe1gb,
            Rdtscp,
            FsGsBase,
            Smep,
            Smap,
            Umip,
            Pcid,
            Invpcid,
            Erms,
            Rdrand,
            Rdseed,
            TscInvariant,
        ],
        signature: 0x106ca,
    },
];

/// Features that this version implements; the others can't be asked for.
const IMPLEMENTED: &[Feature] = &[
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
    Ssse3,
    Cx16,
    Pcid,
    Sse41,
    Sse42,
    Popcnt,
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
    Smap,
    Umip,
    Cpuid,
    TscInvariant,
    Movbe,
    Rdrand,
    Rdseed,
    Xsave,
    Pclmul,
    Aes,
    Sha,
    Xsaveopt,
];

/// Names as Linux's /proc/cpuinfo has them, with `sse4.1` and `sse4.2` also so.
static NAMES: &[(&str, Feature)] = &[
    ("fpu", Fpu),
    ("vme", Vme),
    ("de", De),
    ("pse", Pse),
    ("tsc", Tsc),
    ("msr", Msr),
    ("pae", Pae),
    ("mce", Mce),
    ("cx8", Cx8),
    ("apic", Apic),
    ("sep", Sep),
    ("mtrr", Mtrr),
    ("pge", Pge),
    ("mca", Mca),
    ("cmov", Cmov),
    ("pat", Pat),
    ("pse36", Pse36),
    ("clflush", Clflush),
    ("mmx", Mmx),
    ("fxsr", Fxsr),
    ("sse", Sse),
    ("sse2", Sse2),
    ("sse3", Sse3),
    ("pclmulqdq", Pclmul),
    ("ssse3", Ssse3),
    ("cx16", Cx16),
    ("pcid", Pcid),
    ("sse4.1", Sse41),
    ("sse4.2", Sse42),
    ("x2apic", X2apic),
    ("movbe", Movbe),
    ("popcnt", Popcnt),
    ("aes", Aes),
    ("xsave", Xsave),
    ("rdrand", Rdrand),
    ("lahf_lm", Lahf64),
    ("syscall", Syscall),
    ("nx", Nx),
    ("pdpe1gb", Pdpe1gb),
    ("rdtscp", Rdtscp),
    ("lm", LongMode),
    ("fsgsbase", FsGsBase),
    ("smep", Smep),
    ("erms", Erms),
    ("invpcid", Invpcid),
    ("rdseed", Rdseed),
    ("smap", Smap),
    ("sha", Sha),
    ("umip", Umip),
    ("cpuid", Cpuid),
    ("invtsc", TscInvariant),
    ("avx", Avx),
    ("avx2", Avx2),
    ("bmi1", Bmi1),
    ("bmi2", Bmi2),
    ("fma", Fma),
    ("f16c", F16c),
    ("lzcnt", Lzcnt),
    ("adx", Adx),
    ("xsaveopt", Xsaveopt),
];
