//! Accesses at constant distances from one register, which the translator lets share one look at the translation: where
//! they lie across a page's end, where one of them faults, and where a store in between changes what the others mean
//! (SDM volume 3, section 4.10.4: once invalidated the new entry holds; before that ours holds it at once, on both engines).

mod long;
use iced_x86::code_asm::*;
use long::{CODE, PT, WINDOW, entry_of, halts, machine, on_both};
use lucid86_cpu::derived::Engine;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::model::CpuModel;
use lucid86_cpu::state::{Segment, attr, cr0, gpr};
use testsuite::rig::Rig;

/// Frames of the window's first pages: neighbours here are not neighbours there.
const FRAMES: [u64; 3] = [0x3_4000, 0x3_0000, 0x3_8000];

fn map(r: &mut Rig, pages: usize) {
    for (n, f) in FRAMES.iter().take(pages).enumerate() {
        r.poke(PT + 8 * n as u64, &(f | 3).to_le_bytes());
    }
}

/// The word of the window at `off`, where it must have gone.
fn word(r: &Rig, off: u64) -> u64 {
    r.peek64(FRAMES[(off >> 12) as usize] + (off & 0xfff))
}

/// A structure of four words that slides over a page's end, eight bytes a time, a hundred times over.
#[test]
fn a_structure_slides_over_the_end_of_a_page() {
    on_both(|engine| {
        let (first, last) = (0xf80u64, 0x1080u64);
        let mut r = machine(engine, |a| {
            let (mut again, mut top) = (a.create_label(), a.create_label());
            a.mov(ebp, 100)?;
            a.set_label(&mut again)?;
            a.xor(eax, eax)?;
            a.mov(rbx, WINDOW + first)?;
            a.set_label(&mut top)?;
            a.mov(ptr(rbx + 0x60), rbx)?;
            a.mov(ptr(rbx), rbx)?;
            a.add(rax, qword_ptr(rbx + 0x60))?;
            a.mov(rcx, ptr(rbx + 0x20))?;
            a.inc(qword_ptr(rbx + 0x40))?;
            a.mov(ptr(rbx + 0x20), rcx)?;
            a.add(rax, qword_ptr(rbx))?;
            a.add(rbx, 8)?;
            a.cmp(rbx, (WINDOW + last) as i32)?;
            a.jb(top)?;
            a.dec(ebp)?;
            a.jne(again)?;
            a.hlt()
        });
        map(&mut r, 3);
        // The same by hand.
        let mut memory = std::collections::BTreeMap::new();
        let mut sum = 0u64;
        for _ in 0..100 {
            sum = 0;
            for at in (first..last).step_by(8) {
                let here = WINDOW + at;
                memory.insert(at + 0x60, here);
                memory.insert(at, here);
                *memory.entry(at + 0x40).or_insert(0) += 1;
                sum = sum.wrapping_add(2 * here);
            }
        }
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RAX], sum);
        for (off, v) in memory {
            assert_eq!(word(&r, off), v, "{off:x}");
        }
    });
}

/// The second access is to the next page, which isn't there: the first one's store is done, and nothing after it.
#[test]
fn the_access_that_crosses_faults_alone() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rbx, WINDOW)?;
            a.set_label(&mut top)?;
            a.mov(ptr(rbx + 0x10), rbx)?;
            a.mov(ptr(rbx + 0x18), rbx)?;
            a.inc(r8)?;
            a.mov(ptr(rbx + 0x40), rbx)?;
            a.inc(r9)?;
            a.add(rbx, 8)?;
            a.jmp(top)
        });
        map(&mut r, 1);
        assert_eq!(halts(&mut r), Some(14));
        let rounds = (0x1000 - 0x40) / 8;
        let g = &r.cpu.gpr;
        assert_eq!((g[8], g[9], r.cpu.cr2), (rounds + 1, rounds, WINDOW + 0x1000));
        assert_eq!(word(&r, rounds * 8 + 0x18), WINDOW + rounds * 8);
    });
}

/// Between two accesses the page gets another frame, or loses its right to be written, by a store to its entry. Both
/// engines see the new entry, after an INVLPG and without.
#[test]
fn an_entry_changes_between_two_accesses() {
    let run = |engine: Engine, invlpg: bool, entries: [u64; 2]| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(rbx, WINDOW)?;
            a.mov(rsi, entry_of(WINDOW))?;
            a.mov(rdx, entries[1])?;
            a.mov(rdi, entries[0])?;
            a.mov(ebp, 50)?;
            a.set_label(&mut top)?;
            a.mov(ptr(rbx), rbp)?;
            a.mov(rcx, ptr(rbx + 8))?;
            a.mov(ptr(rsi), rdx)?;
            if invlpg {
                a.invlpg(ptr(rbx))?;
            }
            a.add(rax, qword_ptr(rbx + 8))?;
            a.mov(ptr(rbx + 0x10), rbp)?;
            a.mov(ptr(rsi), rdi)?;
            if invlpg {
                a.invlpg(ptr(rbx))?;
            }
            a.add(rax, rcx)?;
            a.add(rax, qword_ptr(rbx + 8))?;
            a.dec(ebp)?;
            a.jne(top)?;
            a.hlt()
        });
        r.poke(PT, &entries[0].to_le_bytes());
        for (n, f) in FRAMES.iter().enumerate() {
            r.poke(f + 8, &(1000u64.pow(n as u32)).to_le_bytes());
        }
        let vector = halts(&mut r);
        let frames = FRAMES.map(|f| (r.peek64(f), r.peek64(f + 16)));
        (vector, r.cpu.gpr[gpr::RAX], r.cpu.gpr[gpr::RBP], frames)
    };
    let other = [FRAMES[0] | 3, FRAMES[1] | 3];
    let read_only = [FRAMES[0] | 3, FRAMES[1] | 1];
    on_both(|engine| {
        for invlpg in [true, false] {
            let (vector, sum, left, frames) = run(engine, invlpg, other);
            assert_eq!((vector, sum, left), (None, 50 * (1 + 1000 + 1), 0), "INVLPG {invlpg}");
            assert_eq!(frames[..2], [(1, 0), (0, 1)], "INVLPG {invlpg}");
            let (vector, sum, left, frames) = run(engine, invlpg, read_only);
            assert_eq!((vector, sum, left), (Some(14), 1000, 50), "INVLPG {invlpg}");
            assert_eq!(frames[..2], [(50, 0), (0, 0)], "INVLPG {invlpg}");
        }
    });
}

/// A frame with the return address, saved registers and locals, whose stack lies across a page's end.
#[test]
fn a_stack_lies_across_the_end_of_a_page() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let (mut top, mut f, mut done) = (a.create_label(), a.create_label(), a.create_label());
            a.mov(ebp, 200)?;
            a.mov(rsp, WINDOW + 0x1040)?;
            a.set_label(&mut top)?;
            a.call(f)?;
            // Another place each time.
            a.sub(rsp, 8)?;
            a.test(ebp, 15)?;
            a.jne(done)?;
            a.mov(rsp, WINDOW + 0x1040)?;
            a.set_label(&mut done)?;
            a.dec(ebp)?;
            a.jne(top)?;
            a.hlt()?;
            a.set_label(&mut f)?;
            a.push(rbx)?;
            a.push(rbp)?;
            a.sub(rsp, 0x18)?;
            a.mov(ptr(rsp + 8), rbp)?;
            a.mov(ptr(rsp), rbp)?;
            a.add(rax, qword_ptr(rsp + 8))?;
            a.xor(ebp, ebp)?;
            a.mov(rbx, ptr(rsp))?;
            a.add(rsp, 0x18)?;
            a.pop(rbp)?;
            a.pop(rbx)?;
            a.ret()
        });
        map(&mut r, 2);
        assert_eq!(halts(&mut r), None);
        assert_eq!((r.cpu.gpr[gpr::RAX], r.cpu.gpr[gpr::RBX]), ((1..=200).sum(), 0));
    });
}

/// The displacement is as low as can be, and another access of the group lies below.
#[test]
fn the_lowest_displacement() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.mov(ebp, 20)?;
            a.set_label(&mut top)?;
            a.mov(rbx, WINDOW + 0x40 + (1 << 31))?;
            a.mov(ptr(rbx + i32::MIN), rbp)?;
            a.sub(rbx, 8)?;
            a.add(rax, qword_ptr(rbx + i32::MIN))?;
            a.mov(ptr(rbx + i32::MIN), rbp)?;
            a.dec(ebp)?;
            a.jne(top)?;
            a.hlt()
        });
        map(&mut r, 1);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RAX], (2..=20).sum::<u64>());
        assert_eq!((word(&r, 0x38), word(&r, 0x40)), (1, 1));
    });
}

/// 32-bit code without paging. Where a register wraps between two accesses the second one's address is cut to 32 bits; where
/// it points at what is being read all the time, nothing wraps.
#[test]
fn registers_that_wrap_between_two_accesses() {
    on_both(|engine| {
        let mut a = CodeAssembler::new(32).expect("assembler");
        let mut program = || {
            let mut top = a.create_label();
            a.mov(ecx, 50)?;
            a.set_label(&mut top)?;
            // Down through zero and back by the displacement.
            a.mov(ebp, 0x100)?;
            a.mov(eax, dword_ptr(ebp))?;
            a.sub(ebp, 0x200)?;
            a.mov(edx, dword_ptr(ebp + 0x204))?;
            a.mov(dword_ptr(ebp + 0x208), edx)?;
            // Up by a step, down by the displacement; then a stack.
            a.add(ebp, 0x210)?;
            a.add(eax, dword_ptr(ebp - 8))?;
            a.mov(dword_ptr(ebp), eax)?;
            a.mov(esp, ebp)?;
            a.push(eax)?;
            a.push(edx)?;
            a.pop(ebx)?;
            a.add(ebx, dword_ptr(esp + 4))?;
            a.mov(dword_ptr(esp + 8), ebx)?;
            // Below zero there is nothing: it floats.
            a.mov(esi, dword_ptr(ebp - 0x118))?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        };
        program().expect("program");
        let code = a.assemble(CODE).expect("assembled");
        let mut r = Rig::eager(CpuModel::parse("x86-64-v2").expect("model"), 1 << 20, engine);
        r.poke(CODE, &code);
        r.poke(0x100, &[1, 0, 0, 0, 2, 0, 0, 0]);
        let flat = |attr| Segment { limit: !0, attr, ..Segment::default() };
        r.cpu.cr0 = cr0::PE | cr0::ET;
        r.cpu.seg = [flat(0x93 | attr::G | attr::DB); 6];
        r.cpu.seg[1] = flat(0x9b | attr::G | attr::DB);
        r.cpu.rip = CODE;
        assert_eq!(r.run(10_000), Stop::Halted);
        // 1 + 2; 2 + 3 on top of it.
        let sees = [(gpr::RAX, 3), (gpr::RDX, 2), (gpr::RBX, 5), (gpr::RSI, 0xffff_ffff)];
        sees.iter().for_each(|(n, v)| assert_eq!(r.cpu.gpr[*n], *v, "register {n}"));
        let words: Vec<u64> = (0x108..0x118).step_by(4).map(|at| r.peek64(at) & 0xffff_ffff).collect();
        assert_eq!(words, [2, 3, 3, 5]);
    });
}
