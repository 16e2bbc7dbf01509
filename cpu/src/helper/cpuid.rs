//! CPUID: leaf tables computed from the model. Follows Intel SDM volume 2 (CPUID) and AMD APM volume 3, appendix E.

use crate::Exec;
use crate::fault::Fault;
use crate::model::{CpuModel, Feature, Generation};
use crate::state::cr4;
use Feature::*;

/// Frequency of TSC, core crystal and local APIC timer: 1 GHz.
pub const CRYSTAL_HZ: u32 = 1_000_000_000;

const LEAF1_EDX: &[(Feature, u8)] = &[
    (Fpu, 0),
    (Vme, 1),
    (De, 2),
    (Pse, 3),
    (Tsc, 4),
    (Msr, 5),
    (Pae, 6),
    (Mce, 7),
    (Cx8, 8),
    (Apic, 9),
    (Sep, 11),
    (Mtrr, 12),
    (Pge, 13),
    (Mca, 14),
    (Cmov, 15),
    (Pat, 16),
    (Pse36, 17),
    (Clflush, 19),
    (Mmx, 23),
    (Fxsr, 24),
    (Sse, 25),
    (Sse2, 26),
];

const LEAF1_ECX: &[(Feature, u8)] = &[
    (Sse3, 0),
    (Pclmul, 1),
    (Ssse3, 9),
    (Fma, 12),
    (Cx16, 13),
    (Pcid, 17),
    (Sse41, 19),
    (Sse42, 20),
    (X2apic, 21),
    (Movbe, 22),
    (Popcnt, 23),
    (Aes, 25),
    (Xsave, 26),
    (Avx, 28),
    (F16c, 29),
    (Rdrand, 30),
];

const LEAF7_EBX: &[(Feature, u8)] = &[
    (FsGsBase, 0),
    (TscInvariant, 1), // TSC_ADJUST
    (Bmi1, 3),
    (Avx2, 5),
    (Smep, 7),
    (Bmi2, 8),
    (Erms, 9),
    (Invpcid, 10),
    (Rdseed, 18),
    (Adx, 19),
    (Smap, 20),
    (Sha, 29),
];

const LEAF7_ECX: &[(Feature, u8)] = &[(Umip, 2)];

const EXT1_ECX: &[(Feature, u8)] = &[(Lahf64, 0), (Lzcnt, 5)];

const EXT1_EDX: &[(Feature, u8)] = &[(Syscall, 11), (Nx, 20), (Pdpe1gb, 26), (Rdtscp, 27), (LongMode, 29)];

fn bits(m: &CpuModel, table: &[(Feature, u8)]) -> u32 {
    table.iter().filter(|(f, _)| m.has(*f)).fold(0, |all, (_, b)| all | 1 << b)
}

/// The highest basic leaf of a model.
fn max_leaf(m: &CpuModel) -> u32 {
    if m.has(TscInvariant) {
        0x16
    } else if m.has(Xsave) || m.has(LongMode) {
        0xd
    } else if m.generation >= Generation::P6 {
        2
    } else {
        1
    }
}

/// CPUID for a leaf and subleaf: EAX, EBX, ECX, EDX. What depends on the processor's number or on CR4 is passed in.
pub fn leaf(m: &CpuModel, n: u32, sub: u32, index: usize, cr4v: u64, xcr0: u64) -> [u32; 4] {
    let extended = m.has(LongMode) || m.has(Nx);
    let n = match n {
        0x8000_0000.. if extended && n <= 0x8000_0008 => n,
        0x4000_0000..=0x4fff_ffff => return [0; 4],
        n if n <= max_leaf(m) => n,
        // Beyond the last leaf a processor answers as for the highest basic one.
        _ => max_leaf(m),
    };
    match n {
        0 => [max_leaf(m), 0x756e_6547, 0x6c65_746e, 0x4965_6e69],
        1 => leaf1(m, index, cr4v),
        2 => [0x0066_5001, 0, 0, 0x007a_7040],
        4 => leaf4(sub),
        6 => [1 << 2, 0, 0, 0], // ARAT: the APIC timer always runs
        7 if sub == 0 => {
            // SPEC_CTRL is not announced: there is nothing to control. ARCH_CAPABILITIES is.
            let edx = if m.has(LongMode) { 1 << 29 } else { 0 };
            [0, bits(m, LEAF7_EBX), bits(m, LEAF7_ECX), edx]
        }
        0xb => [0, 0, sub & 0xff, index as u32],
        0xd if m.has(Xsave) => leaf_d(m, sub, xcr0),
        0x15 => [1, 1, CRYSTAL_HZ, 0],
        0x16 => [CRYSTAL_HZ / 1_000_000, CRYSTAL_HZ / 1_000_000, 100, 0],
        0x8000_0000 => [0x8000_0008, 0, 0, 0],
        0x8000_0001 => [0, 0, bits(m, EXT1_ECX), bits(m, EXT1_EDX)],
        0x8000_0002..=0x8000_0004 => brand(m, n - 0x8000_0002),
        0x8000_0006 => [0, 0, 0x0400_8040, 0],
        0x8000_0007 => [0, 0, 0, u32::from(m.has(TscInvariant)) << 8],
        0x8000_0008 => [u32::from(m.phys_bits()) | 48 << 8, 0, 0, 0],
        _ => [0; 4],
    }
}

fn leaf1(m: &CpuModel, index: usize, cr4v: u64) -> [u32; 4] {
    let clflush = if m.has(Clflush) { 8 << 8 } else { 0 };
    let mut ecx = bits(m, LEAF1_ECX);
    if m.has(Xsave) && cr4v & cr4::OSXSAVE != 0 {
        ecx |= 1 << 27;
    }
    [m.signature(), (index as u32) << 24 | 1 << 16 | clflush, ecx, bits(m, LEAF1_EDX)]
}

/// Deterministic cache parameters: 32 KiB L1 data and code, 1 MiB L2, 64-byte lines.
fn leaf4(sub: u32) -> [u32; 4] {
    let (kind, level, ways, sets) = match sub {
        0 => (1, 1, 8, 64),
        1 => (2, 1, 8, 64),
        2 => (3, 2, 16, 1024),
        _ => return [0; 4],
    };
    [kind | level << 5 | 1 << 8, 63 | (ways - 1) << 22, sets - 1, 0]
}

/// XSAVE areas: x87 and SSE in the legacy part, AVX at 576.
fn leaf_d(m: &CpuModel, sub: u32, xcr0: u64) -> [u32; 4] {
    let known = super::control::known_xcr0(m) as u32;
    let size = |mask: u64| if mask & 4 != 0 { 832 } else { 576 };
    match sub {
        0 => [known, size(xcr0), size(u64::from(known)), 0],
        // XSAVEOPT and XSAVEC; the compacted format is as large as the standard one, there being one extended component.
        1 if m.has(Xsaveopt) => [3, size(xcr0), 0, 0],
        2 if known & 4 != 0 => [256, 576, 0, 0],
        _ => [0; 4],
    }
}

/// The brand string, 16 bytes of it.
fn brand(m: &CpuModel, part: u32) -> [u32; 4] {
    let mut text = [0u8; 48];
    let name = format!("Lucid86 {}", m.name);
    let n = name.len().min(47);
    text[..n].copy_from_slice(&name.as_bytes()[..n]);
    let at = part as usize * 16;
    std::array::from_fn(|i| {
        let b = &text[at + 4 * i..at + 4 * i + 4];
        u32::from_le_bytes([b[0], b[1], b[2], b[3]])
    })
}

/// The instruction.
pub fn cpuid(x: &mut Exec) -> Result<(), Fault> {
    if !x.cpu.model.has(Cpuid) {
        return Err(Fault::ud());
    }
    let (n, sub) = (x.cpu.gpr[0] as u32, x.cpu.gpr[1] as u32);
    let [a, b, c, d] = leaf(&x.cpu.model, n, sub, x.cpu.index, x.cpu.cr4, x.cpu.xcr0);
    x.cpu.gpr[0] = u64::from(a);
    x.cpu.gpr[3] = u64::from(b);
    x.cpu.gpr[1] = u64::from(c);
    x.cpu.gpr[2] = u64::from(d);
    Ok(())
}
