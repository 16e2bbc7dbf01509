//! String instructions that store rows of entries into page tables: after an invalidation the new entries hold (SDM
//! volume 3, section 4.10.4), on both engines; and a row comes out the same whether it runs at once or an iteration at
//! a time, even where it changes the translation of its own destination.

mod long;
use iced_x86::code_asm::*;
use long::{PT, WINDOW, entry_of, halts, machine, on_both};
use lucid86_cpu::derived::Engine;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::gpr;
use testsuite::rig::Rig;

/// Frames that the window's pages map before and after.
const BEFORE: u64 = 0x3_0000;
const AFTER: u64 = 0x4_0000;
const PAGES: u64 = 8;

/// Maps the window's first pages to [`BEFORE`] and marks each frame of both rows with its own number.
fn lay_out(r: &mut Rig) {
    for n in 0..PAGES {
        r.poke(PT + 8 * n, &((BEFORE + 0x1000 * n) | 3).to_le_bytes());
        r.poke(BEFORE + 0x1000 * n, &(100 + n).to_le_bytes());
        r.poke(AFTER + 0x1000 * n, &(200 + n).to_le_bytes());
    }
}

/// RAX += the sum of the pages' numbers.
fn add_up(a: &mut CodeAssembler) -> Result<(), iced_x86::IcedError> {
    a.xor(eax, eax)?;
    for n in 0..PAGES {
        a.mov(rsi, WINDOW + 0x1000 * n)?;
        a.add(rax, ptr(rsi))?;
    }
    Ok(())
}

#[test]
fn moved_entries_hold_after_an_invalidation() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            add_up(a)?;
            a.mov(rbx, rax)?;
            // The entries lie ready at 8000h.
            a.mov(rsi, 0x8000u64)?;
            a.mov(rdi, entry_of(WINDOW))?;
            a.mov(ecx, PAGES as u32)?;
            a.rep().movsq()?;
            a.mov(rdx, cr3)?;
            a.mov(cr3, rdx)?;
            add_up(a)?;
            a.hlt()
        });
        lay_out(&mut r);
        for n in 0..PAGES {
            r.poke(0x8000 + 8 * n, &((AFTER + 0x1000 * n) | 3).to_le_bytes());
        }
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBX], (0..PAGES).map(|n| 100 + n).sum::<u64>());
        assert_eq!(r.cpu.gpr[gpr::RAX], (0..PAGES).map(|n| 200 + n).sum::<u64>());
    });
}

#[test]
fn cleared_entries_fault_after_an_invalidation() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            add_up(a)?;
            a.mov(rdi, entry_of(WINDOW + 0x1000))?;
            a.mov(ecx, PAGES as u32 - 1)?;
            a.xor(eax, eax)?;
            a.rep().stosq()?;
            for n in 0..PAGES {
                a.mov(rsi, WINDOW + 0x1000 * n)?;
                a.invlpg(ptr(rsi))?;
            }
            add_up(a)?;
            a.hlt()
        });
        lay_out(&mut r);
        assert_eq!(halts(&mut r), Some(14));
        assert_eq!((r.cpu.gpr[gpr::RAX], r.cpu.cr2), (100, WINDOW + 0x1000));
    });
}

/// A row over entries of which one maps the row itself: where its later stores go is not ours to say, but it must not hang
/// on how the run is cut.
#[test]
fn a_row_through_itself_does_not_hang_on_the_budget() {
    let run = |engine: Engine, at_once: u64| {
        let mut r = machine(engine, |a| {
            add_up(a)?;
            // Page 4 of the window is the window's table.
            a.mov(rdi, WINDOW + 0x4000)?;
            a.mov(ecx, 12)?;
            a.mov(rax, AFTER | 3)?;
            a.rep().stosq()?;
            a.hlt()
        });
        lay_out(&mut r);
        r.poke(PT + 8 * 4, &(PT | 3).to_le_bytes());
        for _ in 0..10_000 {
            match r.run(at_once) {
                Stop::Halted => break,
                Stop::Limit => {}
                other => panic!("{other:?}"),
            }
        }
        let row = |at: u64| (0..16).map(|n| r.peek64(at + 8 * n)).collect::<Vec<_>>();
        (row(PT), row(AFTER), r.cpu.gpr[gpr::RDI], r.cpu.rip)
    };
    let one = run(Engine::Interpreter, 1);
    assert_eq!(one.2, WINDOW + 0x4000 + 12 * 8, "the row is done");
    for engine in [Engine::Interpreter, Engine::Translator] {
        for at_once in [1, 3, 1_000_000] {
            assert_eq!(run(engine, at_once), one, "{engine:?}, {at_once} at once");
        }
    }
}
