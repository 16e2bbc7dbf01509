//! Status flags that translated code leaves to be made when somebody asks: from the operands of the last comparison, which
//! must still be what they were (SDM volume 1, section 3.4.3.1).

mod long;
use iced_x86::code_asm::*;
use long::{PT, WINDOW, halts, machine, on_both};
use lucid86_cpu::state::{flag, gpr};
use testsuite::rig::Rig;

const FRAME: u64 = 0x3_0000;

/// The first pages of the window.
fn map(r: &mut Rig, pages: u64) {
    for n in 0..pages {
        r.poke(PT + 8 * n, &((FRAME + 0x1000 * n) | 3).to_le_bytes());
    }
}

/// The comparison's operand lies across a page's end, so that translated code has it read elsewhere; the flags are asked for
/// behind the branch.
#[test]
fn a_comparison_with_memory_across_pages() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let (mut top, mut equal, mut on) = (a.create_label(), a.create_label(), a.create_label());
            a.mov(rbx, WINDOW + 0xffe)?;
            a.mov(ebp, 50)?;
            a.set_label(&mut top)?;
            a.mov(dword_ptr(rbx), ebp)?;
            a.mov(eax, 25)?;
            a.cmp(eax, dword_ptr(rbx))?;
            a.je(equal)?;
            a.setb(cl)?;
            a.jmp(on)?;
            a.set_label(&mut equal)?;
            a.xor(ecx, ecx)?;
            a.set_label(&mut on)?;
            a.movzx(ecx, cl)?;
            a.add(r8, rcx)?;
            a.dec(ebp)?;
            a.jne(top)?;
            a.hlt()
        });
        map(&mut r, 2);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[8], 25, "25 is below 26 to 50");
    });
}

/// Between a comparison and a fault, an instruction changes a register that was compared: FNSTSW AX, RDTSC, RDTSCP.
#[test]
fn an_operand_changes_before_the_flags_are_asked_for() {
    type Change = fn(&mut CodeAssembler) -> Result<(), iced_x86::IcedError>;
    let changes: [(&str, u8, Change); 3] =
        [("FNSTSW AX", 0, |a| a.fnstsw(ax)), ("RDTSC", 2, |a| a.rdtsc()), ("RDTSCP", 1, |a| a.rdtscp())];
    for (name, register, change) in changes {
        for jump in [false, true] {
            on_both(|engine| {
                let compared = [eax, ecx, edx][usize::from(register)];
                let mut r = machine(engine, |a| {
                    let (mut top, mut never) = (a.create_label(), a.create_label());
                    a.fninit()?;
                    a.mov(rdi, WINDOW)?;
                    a.set_label(&mut top)?;
                    a.mov(compared, 5)?;
                    a.cmp(compared, 7)?;
                    if jump {
                        a.je(never)?;
                    }
                    change(a)?;
                    // Faults in the end, when all jumps are linked.
                    a.mov(esi, dword_ptr(rdi))?;
                    a.test(esi, esi)?;
                    a.add(rdi, 0x1000)?;
                    a.jmp(top)?;
                    a.set_label(&mut never)?;
                    a.hlt()
                });
                map(&mut r, 40);
                assert_eq!(halts(&mut r), Some(14), "{name}");
                let pushed = r.peek64(r.cpu.gpr[gpr::RSP] + 24) & flag::STATUS;
                assert_eq!(pushed, flag::CF | flag::AF | flag::SF, "5 - 7 before {name}, with a jump {jump}");
            });
        }
    }
}
