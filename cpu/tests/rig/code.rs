//! Programs for the rig, assembled with `iced-x86`, and processors in the modes to run them.

use super::Rig;
use iced_x86::IcedError;
use iced_x86::code_asm::CodeAssembler;
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{Seg, gpr};

/// Where programs are.
pub const CODE: u64 = 0x1000;

pub fn assemble(bits: u32, at: u64, f: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> Vec<u8> {
    let mut a = CodeAssembler::new(bits).expect("assembler");
    f(&mut a).expect("program");
    a.assemble(at).expect("assembled")
}
pub fn run(r: &mut Rig, limit: u64) -> (Stop, u64) {
    r.run(limit)
}

pub fn flat32() -> Rig {
    let mut r = Rig::new("x86-64-v2", 256);
    r.protected(0);
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}

pub fn real16() -> Rig {
    let mut r = Rig::new("x86-64-v2", 300);
    r.cpu.seg[Seg::Cs as usize].base = 0;
    r.cpu.seg[Seg::Cs as usize].selector = 0;
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}

/// 64-bit mode over an identity map of the first 2 MiB by one large page.
pub fn long64() -> Rig {
    let mut r = Rig::new("x86-64-v2", 512);
    r.long(0, 0x10_0000);
    r.put64(0x10_0000, 0x10_1003);
    r.put64(0x10_1000, 0x10_2003);
    r.put64(0x10_2000, 0x83);
    r.cpu.rip = CODE;
    r.cpu.gpr[gpr::RSP] = 0x8000;
    r
}
