//! Models, their words on the command line, and CPUID. Expectations from Intel SDM volume 2 (CPUID), AN-485 (signatures)
//! and the x86-64 psABI's list of micro-architecture levels.

mod rig;
use lucid86_cpu::Fault;
use lucid86_cpu::helper;
use lucid86_cpu::helper::cpuid::leaf;
use lucid86_cpu::model::{CpuModel, Feature};
use lucid86_cpu::state::{Seg, cr4, flag};
use rig::Rig;

fn model(word: &str) -> CpuModel {
    CpuModel::parse(word).expect(word)
}

fn ask(word: &str, n: u32) -> [u32; 4] {
    leaf(&model(word), n, 0, 0, 0, 1)
}

#[test]
fn words() {
    assert_eq!(model("x86-64-v2"), CpuModel::default());
    let m = model("x86-64-v2,-sse4.2,+aes");
    assert!(!m.has(Feature::Sse42) && m.has(Feature::Aes) && m.has(Feature::Sse41));
    assert!(model("8086,+fpu").has(Feature::Fpu));
    for bad in ["", "z80", "486,sse", "486,+nothing", "x86-64-v2,+avx512", "x86-64-v2,-pae"] {
        let e = CpuModel::parse(bad).expect_err(bad);
        assert!(!e.is_empty() && !e.contains('\n'), "{bad}: {e}");
    }
    let help = CpuModel::help();
    for name in CpuModel::names() {
        assert!(help.contains(name));
        assert!(CpuModel::parse(name).is_ok());
    }
}

#[test]
fn signatures() {
    let family = |w: &str| {
        let s = model(w).signature();
        (s >> 8 & 15, (s >> 4 & 15) | (s >> 12 & 0xf0))
    };
    assert_eq!(family("486"), (4, 8));
    assert_eq!(family("pentium"), (5, 2));
    assert_eq!(family("pentium-mmx"), (5, 4));
    assert_eq!(family("pentium3"), (6, 8));
    assert_eq!(family("core2"), (6, 15));
    // RESET leaves the signature in EDX.
    assert_eq!(Rig::new("pentium3", 1).cpu.gpr[2], 0x686);
}

#[test]
fn levels() {
    // The psABI's levels: EDX of leaf 1 and 80000001h; ECX of leaf 1.
    let v1 = [0, 8, 15, 23, 24, 25, 26];
    let d = ask("x86-64-v1", 1)[3];
    assert!(v1.iter().all(|b| d >> b & 1 != 0), "FPU CX8 CMOV MMX FXSR SSE SSE2");
    let e = ask("x86-64-v1", 0x8000_0001)[3];
    assert!([11, 29].iter().all(|b| e >> b & 1 != 0), "SYSCALL LM");
    let c = ask("x86-64-v2", 1)[2];
    assert!([0, 9, 13, 19, 20, 23].iter().all(|b| c >> b & 1 != 0), "SSE3 SSSE3 CX16 SSE4.1 SSE4.2 POPCNT");
    assert_ne!(ask("x86-64-v2", 0x8000_0001)[2] & 1, 0, "LAHF");
    assert_eq!(ask("pentium", 1)[3], 0x1bf & !(1 << 9 | 1 << 6), "FPU VME DE PSE TSC MSR MCE CX8");
    assert_eq!(ask("486", 1)[3], 3);
}

#[test]
fn leaves() {
    let vendor = ask("x86-64-v2", 0);
    assert_eq!([vendor[1], vendor[3], vendor[2]].map(u32::to_le_bytes).concat(), b"GenuineIntel");
    assert_eq!(ask("x86-64-v2", 0x15), [1, 1, 1_000_000_000, 0]);
    assert_eq!(ask("x86-64-v2", 0x16)[0], 1000);
    assert_eq!(ask("x86-64-v2", 0x8000_0007)[3], 1 << 8);
    assert_eq!(ask("x86-64-v2", 0x8000_0008)[0], 48 << 8 | 40);
    assert_ne!(ask("x86-64-v2", 7)[3] & 1 << 29, 0, "ARCH_CAPABILITIES");
    // OSXSAVE mirrors CR4; XSAVE sizes follow XCR0.
    let m = model("x86-64-v2,+xsave");
    let osxsave = |cr4v| leaf(&m, 1, 0, 0, cr4v, 1)[2] >> 27 & 1;
    assert_eq!((osxsave(0), osxsave(cr4::OSXSAVE)), (0, 1));
    assert_eq!(leaf(&m, 0xd, 0, 0, 0, 3), [3, 576, 576, 0]);
    // The APIC ID is the processor's number.
    assert_eq!(leaf(&m, 1, 0, 5, 0, 1)[1] >> 24, 5);
    let mut r = Rig::new("386", 1);
    assert_eq!(helper::cpuid(&mut r.exec()), Err(Fault::ud()));
}

/// Which flags software can change: the classic ways to tell processors apart.
#[test]
fn flags_of_generations() {
    let changed = |w: &str| {
        let mut r = Rig::new(w, 1);
        r.protected(0);
        helper::popf(&mut r.exec(), 0xffff_ffff & !flag::TF, 4).unwrap();
        r.cpu.rflags
    };
    assert_eq!(changed("386") & (flag::AC | flag::ID), 0);
    assert_eq!(changed("486") & (flag::AC | flag::ID), flag::AC | flag::ID, "this 486 has CPUID");
    assert_ne!(changed("x86-64-v2") & flag::ID, 0);
    // 8086: bits 15:12 read as ones; 286 in real mode: as zeros.
    let mut r = Rig::new("8086", 1);
    helper::popf(&mut r.exec(), 0, 2).unwrap();
    assert_eq!(helper::pushf(&mut r.exec(), 2).unwrap() & 0xf000, 0xf000);
    let mut r = Rig::new("286", 1);
    helper::popf(&mut r.exec(), 0xffff & !flag::TF, 2).unwrap();
    assert_eq!(helper::pushf(&mut r.exec(), 2).unwrap() & 0xf000, 0);
}

/// 0F 18 to 0F 1F are hints: what a processor doesn't know there does nothing, whatever the prefix and operand, or programs made for
/// newer ones (RDSSP, ENDBR, CLDEMOTE, MPX) would not run (SDM volume 1, sections 17.3.6 and 18.2.8; volume 2, NOP).
#[test]
fn unknown_hints_do_nothing() {
    const AT: u64 = 0x2000;
    let frames = 4;
    let real = || {
        let mut r = Rig::new("x86-64-v2", frames);
        r.cpu.seg[Seg::Cs as usize].base = 0;
        r
    };
    let protected = || {
        let mut r = real();
        r.protected(0);
        r
    };
    let long = || {
        let mut r = real();
        // One large page; its directory is frame 0.
        r.put64(0x1000, 0x3003);
        r.put64(0x3000, 3);
        r.put64(0, 0x83);
        r.long(0, 0x1000);
        r
    };
    let mut ran = 0;
    for mut r in [real(), protected(), long()] {
        let before = r.cpu.clone();
        for prefix in [None, Some(0x66), Some(0xf3), Some(0xf2), Some(0x48)] {
            let wide = r.cpu.is_64();
            if prefix == Some(0x48) && !wide {
                continue;
            }
            for opcode in 0x18..=0x1f {
                for modrm in 0..=255 {
                    let code: Vec<u8> =
                        prefix.into_iter().chain([0x0f, opcode, modrm]).chain([0; 9]).collect();
                    r.mem.write_physical(AT, &code);
                    r.derived = Default::default();
                    r.cpu = before.clone();
                    r.cpu.rip = AT;
                    let mut x = r.exec();
                    x.limit = 1;
                    let _ = lucid86_cpu::interp::run(&mut x);
                    let moved = r.cpu.rip.wrapping_sub(AT);
                    assert!((3..12).contains(&moved), "{:x?}: rip {:x}", &code[..4], r.cpu.rip);
                    assert_eq!(r.cpu.gpr, before.gpr, "{:x?}", &code[..4]);
                    ran += 1;
                }
            }
        }
    }
    assert_eq!(ran, 8 * 256 * (4 + 4 + 5));
}
