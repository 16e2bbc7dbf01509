//! The time-stamp counter in the middle of a block: RDTSC and RDTSCP (SDM volume 2) read the virtual clock at their own
//! count, leave the status flags, and obey CR4.TSD (SDM volume 3, section 2.5).

mod rig;
use lucid86_cpu::Clock;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{cr4, flag, gpr};
use rig::Rig;

const CODE: u64 = 0x1000;
const OUT: u64 = 0x2000;
/// A third of a nanosecond less than ten, each instruction.
const RATE: u64 = (10 << 32) - (1 << 32) / 3;

/// Flat 32-bit code at level `cpl` that reads the counter as its second and as its eighth instruction.
fn reader(cpl: u8) -> Rig {
    let mut r = Rig::new("x86-64-v2", 16);
    r.protected(cpl);
    let code = [
        &[0x39u8, 0xd8][..],             // cmp eax, ebx
        &[0x0f, 0x31],                   // rdtsc
        &[0x9c],                         // pushfd
        &[0x8f, 0x05, 0x00, 0x20, 0, 0], // pop dword [OUT]
        &[0xa3, 0x04, 0x20, 0, 0],       // mov [OUT + 4], eax
        &[0x89, 0x15, 0x08, 0x20, 0, 0], // mov [OUT + 8], edx
        &[0x83, 0xe9, 0x05],             // sub ecx, 5
        &[0x0f, 0x01, 0xf9],             // rdtscp
        &[0x9c],                         // pushfd
        &[0x8f, 0x05, 0x0c, 0x20, 0, 0], // pop dword [OUT + 12]
        &[0xa3, 0x10, 0x20, 0, 0],       // mov [OUT + 16], eax
        &[0x89, 0x15, 0x14, 0x20, 0, 0], // mov [OUT + 20], edx
        &[0x89, 0x0d, 0x18, 0x20, 0, 0], // mov [OUT + 24], ecx
        &[0xeb, 0xfe],                   // jmp $
    ]
    .concat();
    r.mem.write_physical(CODE, &code);
    let c = &mut r.cpu;
    (c.rip, c.rflags) = (CODE, flag::ONE);
    (c.gpr[gpr::RAX], c.gpr[gpr::RBX], c.gpr[gpr::RCX], c.gpr[gpr::RSP]) = (1, 2, 5, 0x4000);
    (c.msr.tsc_offset, c.msr.tsc_aux) = (0xffff_ffff_0000_0123, 0xabcd);
    r.clock = Clock { n0: 0, t0_ns: 0x12_3456_789a, rate: RATE };
    r
}

/// What the counter says at instruction `count`, by the definition of [`Clock`].
fn counter(r: &Rig, count: u64) -> u64 {
    let ns = (u128::from(count) * u128::from(RATE)) >> 32;
    (r.clock.t0_ns + ns as u64).wrapping_add(r.cpu.msr.tsc_offset)
}

#[test]
fn the_counter_is_read_at_the_instructions_own_count() {
    for cpl in [0, 3] {
        let mut r = reader(cpl);
        assert_eq!(r.run(14), (Stop::Limit, 14));
        let word = |n: u64| u64::from(r.get32(OUT + 4 * n));
        let status = |n: u64| word(n) & flag::STATUS;
        assert_eq!(word(1) | word(2) << 32, counter(&r, 1), "RDTSC at level {cpl}");
        assert_eq!(status(0), flag::CF | flag::PF | flag::AF | flag::SF, "1 - 2");
        assert_eq!(word(4) | word(5) << 32, counter(&r, 7), "RDTSCP at level {cpl}");
        assert_eq!(status(3), flag::ZF | flag::PF, "5 - 5");
        assert_eq!(word(6), 0xabcd);
    }
}

#[test]
fn user_code_may_be_kept_from_the_counter() {
    let mut r = reader(3);
    r.cpu.cr4 |= cr4::TSD;
    // No table of gates: #GP, and then a shutdown.
    assert_eq!(r.run(14).0, Stop::TripleFault);
    assert_eq!((r.cpu.gpr[gpr::RAX], r.cpu.rip), (1, CODE + 2));
    let mut r = reader(0);
    r.cpu.cr4 |= cr4::TSD;
    assert_eq!(r.run(14), (Stop::Limit, 14));
}
