//! System behaviour that has no home in the processor's own tests: privileges of clocks and counters, string instructions
//! that wrap at their address size, canonical addresses. On both engines.

mod long;
use iced_x86::code_asm::*;
use long::{halts, machine, on_both, to_ring_3};
use lucid86_cpu::state::{cr4, gpr};

/// RDTSC at ring 3 is #GP with CR4.TSD set, RDPMC with CR4.PCE clear (SDM volume 2, RDTSC, RDPMC; volume 3, section 2.5).
#[test]
fn clock_and_counter_privileges() {
    on_both(|engine| {
        for (pmc, bits, ring, want) in [
            (false, 0, 3, 3),
            (false, cr4::TSD, 3, 13),
            (false, cr4::TSD, 0, 3),
            (true, 0, 3, 13),
            (true, cr4::PCE, 3, 3),
            (true, 0, 0, 3),
        ] {
            let mut r = machine(engine, |a| {
                a.xor(ecx, ecx)?;
                if pmc {
                    a.rdpmc()?
                } else {
                    a.rdtsc()?
                }
                a.int3()
            });
            // INT3 may come from ring 3.
            let gate = r.peek64(0x6000 + 48) | 3 << 45;
            r.poke(0x6000 + 48, &gate.to_le_bytes());
            r.cpu.cr4 |= bits;
            if ring == 3 {
                to_ring_3(&mut r);
            }
            assert_eq!(halts(&mut r), Some(want), "pmc {pmc}, CR4 {bits:x}, ring {ring}");
        }
    });
}

/// With a 32-bit address size in 64-bit code ESI and EDI wrap at 4 GiB, and the upper halves become zero (SDM volume 1,
/// section 3.6.1).
#[test]
fn string_addresses_wrap() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            a.mov(rdi, 0xffff_ffff_0000_2ff8u64)?;
            a.mov(rcx, 0x1234_0000_0010u64)?;
            a.mov(eax, 0x5a)?;
            // A32 REP STOSB.
            a.db(&[0x67, 0xf3, 0xaa])?;
            a.hlt()
        });
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RDI], 0x3008);
        assert_eq!(r.cpu.gpr[gpr::RCX], 0);
        assert_eq!((r.peek64(0x2ff8), r.peek64(0x3000)), (0x5a5a_5a5a_5a5a_5a5a, 0x5a5a_5a5a_5a5a_5a5a));
        assert_eq!(r.peek(0x3008), 0);
    });
}

/// Downwards through zero with a 32-bit address size: the next address is FFFFFFFFh, which isn't mapped here.
#[test]
fn string_addresses_wrap_downwards() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            a.mov(edi, 7)?;
            a.mov(ecx, 0x10)?;
            a.mov(eax, 0x33)?;
            a.std()?;
            a.db(&[0x67, 0xf3, 0xaa])?;
            a.hlt()
        });
        assert_eq!(halts(&mut r), Some(14));
        assert_eq!(r.cpu.cr2, 0xffff_ffff);
        assert_eq!((r.cpu.gpr[gpr::RDI], r.cpu.gpr[gpr::RCX]), (0xffff_ffff, 8));
        assert_eq!(r.peek64(0), 0x3333_3333_3333_3333);
    });
}

/// Addresses that are not canonical: #GP(0), through the stack pointer #SS(0) (SDM volume 1, section 3.3.7.1); a jump there
/// is refused before it is taken.
#[test]
fn canonical_addresses() {
    on_both(|engine| {
        type Program = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;
        let programs: [(Program, u8); 5] = [
            (|a| a.mov(rax, qword_ptr(rbx)), 13),
            (|a| a.mov(qword_ptr(rbx), rax), 13),
            (|a| a.mov(rax, qword_ptr(rbp)), 12),
            (|a| a.jmp(rbx), 13),
            (|a| a.call(rbx), 13),
        ];
        for (n, (program, want)) in programs.into_iter().enumerate() {
            let mut r = machine(engine, |a| {
                a.mov(rbx, 0x8000_0000_0000u64)?;
                a.mov(rbp, rbx)?;
                program(a)?;
                a.hlt()
            });
            assert_eq!(halts(&mut r), Some(want), "program {n}");
            assert_eq!(r.peek64(r.cpu.gpr[gpr::RSP]), 0, "program {n}: error code");
            // Of the refused instruction, not of its target.
            assert!(r.peek64(r.cpu.gpr[gpr::RSP] + 8) < 0x2000, "program {n}");
        }
    });
}

/// Code that runs off the end of the lower half: #GP(0) at the first address that isn't canonical (SDM volume 3, 6.15, #GP).
#[test]
fn running_off_the_canonical_addresses() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            a.mov(rax, 0x7fff_ffff_ffffu64)?;
            a.jmp(rax)
        });
        for (at, v) in [
            (long::PML4 + 8 * 255, 0x3_0003u64),
            (0x3_0ff8, 0x3_1003),
            (0x3_1ff8, 0x3_2003),
            (0x3_2ff8, 0x3_3003),
        ] {
            r.poke(at, &v.to_le_bytes());
        }
        r.poke(0x3_3fff, &[0x90]);
        assert_eq!(halts(&mut r), Some(13));
        let frame = r.cpu.gpr[gpr::RSP];
        assert_eq!((r.peek64(frame), r.peek64(frame + 8)), (0, 0x8000_0000_0000));
    });
}

/// At level 3 with CR0.AM and EFLAGS.AC an unaligned access is #AC(0), also in code that has run without (SDM volume 3, 6.15, #AC).
#[test]
fn alignment_checks_begin_with_the_flag() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let (mut routine, mut top) = (a.create_label(), a.create_label());
            a.mov(ecx, 40)?;
            a.mov(rsi, long::CODE + 1)?;
            a.set_label(&mut top)?;
            a.call(routine)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.pushfq()?;
            a.or(qword_ptr(rsp), 1 << 18)?;
            a.popfq()?;
            a.call(routine)?;
            a.hlt()?;
            a.set_label(&mut routine)?;
            a.add(eax, dword_ptr(rsi))?;
            a.ret()
        });
        to_ring_3(&mut r);
        r.cpu.cr0 |= lucid86_cpu::state::cr0::AM;
        assert_eq!(halts(&mut r), Some(17));
        assert_eq!(r.peek64(r.cpu.gpr[gpr::RSP]), 0, "error code");
    });
}

/// TF over SYSCALL: no single-step trap when IA32_FMASK clears TF (SDM volume 3, section 5.8.8; Linux relies on it, its
/// entry code runs on the user's stack at first).
#[test]
fn single_step_ends_at_syscall() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            a.push(0x302)?;
            a.popfq()?;
            a.syscall()?;
            a.hlt()
        });
        to_ring_3(&mut r);
        r.cpu.msr.star = 8 << 32;
        r.cpu.msr.lstar = 0x8800;
        r.cpu.msr.fmask = 0x300;
        r.poke(0x8800, &[0x90, 0x90, 0xf4]);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.rip, 0x8803);
        assert_eq!(r.cpu.gpr[11] & 0x100, 0x100, "R11 has the flags from before");
        assert_eq!(r.cpu.cpl, 0);
    });
}
