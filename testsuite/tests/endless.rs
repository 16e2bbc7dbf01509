//! A guest that writes code without end: translated code stays within the memory that it was given, and every call runs the
//! code that was written last (self-modifying code, SDM volume 3, section 13.6).

mod long;
use iced_x86::code_asm::*;
use long::{halts, machine, on_both};
use lucid86_cpu::derived::{Derived, Engine};
use lucid86_cpu::state::gpr;

const ROUNDS: u32 = 12_000;
/// Routines of six bytes are written from here on, one each 64 bytes, in 256 places.
const PLACES: u64 = 0x5_0000;

#[test]
fn code_written_without_end_stays_within_its_memory() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let mut top = a.create_label();
            a.xor(ebx, ebx)?;
            a.mov(ecx, ROUNDS)?;
            a.set_label(&mut top)?;
            a.movzx(edi, cl)?;
            a.shl(edi, 6)?;
            a.add(rdi, PLACES as i32)?;
            // MOV EAX, ECX as an immediate; RET.
            a.mov(byte_ptr(rdi), 0xb8u32)?;
            a.mov(ptr(rdi + 1), ecx)?;
            a.mov(byte_ptr(rdi + 5), 0xc3u32)?;
            a.call(rdi)?;
            a.add(rbx, rax)?;
            a.dec(ecx)?;
            a.jne(top)?;
            a.hlt()
        });
        r.derived = Derived::new(engine).eager().code_memory(1 << 20);
        assert_eq!(halts(&mut r), None);
        assert_eq!(r.cpu.gpr[gpr::RBX], (1..=u64::from(ROUNDS)).sum::<u64>());
        // Where the host lets us translate at all: all code has been dropped more than once.
        if let (Engine::Translator, Some(jit)) = (engine, &r.derived.jit) {
            let s = &jit.statistics;
            assert!(s.translated >= u64::from(ROUNDS) && s.flushed > 1, "{s:?}");
        }
    });
}

/// Rounds of the test below, and how often each runs its routine.
const REWRITTEN: u32 = 400;
const CALLS: u32 = 30;

#[test]
fn code_that_is_always_written_anew_is_soon_left_to_the_interpreter() {
    on_both(|engine| {
        let mut r = machine(engine, |a| {
            let (mut top, mut again) = (a.create_label(), a.create_label());
            a.xor(ebx, ebx)?;
            a.mov(esi, REWRITTEN)?;
            a.set_label(&mut top)?;
            // The place changes, the page does not.
            a.mov(edi, esi)?;
            a.and(edi, 0x3f)?;
            a.shl(edi, 6)?;
            a.add(rdi, PLACES as i32)?;
            // MOV EAX, ESI as an immediate; RET.
            a.mov(byte_ptr(rdi), 0xb8u32)?;
            a.mov(ptr(rdi + 1), esi)?;
            a.mov(byte_ptr(rdi + 5), 0xc3u32)?;
            a.mov(ecx, CALLS)?;
            a.set_label(&mut again)?;
            a.call(rdi)?;
            a.add(rbx, rax)?;
            a.dec(ecx)?;
            a.jne(again)?;
            a.dec(esi)?;
            a.jne(top)?;
            a.hlt()
        });
        r.derived = Derived::new(engine);
        assert_eq!(halts(&mut r), None);
        let sum = (1..=u64::from(REWRITTEN)).sum::<u64>() * u64::from(CALLS);
        assert_eq!(r.cpu.gpr[gpr::RBX], sum);
        if let (Engine::Translator, Some(jit)) = (engine, &r.derived.jit) {
            // The first time in each place, and until it is known that it doesn't last.
            assert!(jit.statistics.translated < 64 + 16, "{:?}", jit.statistics);
        }
    });
}
