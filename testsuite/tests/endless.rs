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
