//! What is said when the guest has driven itself into the wall.

use lucid86_cpu::state::Seg;
use lucid86_cpu::{Cpu, Memory};
use std::fmt::Write;

/// Explains a triple fault: where the processor stood.
pub fn triple_fault(cpu: &Cpu, mem: &Memory, count: u64) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "triple fault on processor {} after {count} instructions", cpu.index);
    out.push_str(&registers(cpu));
    let _ = mem;
    out
}

/// A processor's registers, several lines.
pub fn registers(cpu: &Cpu) -> String {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8 ", "r9 ", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut out = String::new();
    for (i, (name, v)) in NAMES.iter().zip(cpu.gpr).enumerate() {
        let _ = write!(out, "{name} {v:016x}{}", if i % 4 == 3 { '\n' } else { ' ' });
    }
    let _ = writeln!(
        out,
        "rip {:016x} rflags {:08x} cpl {} cr0 {:08x} cr2 {:016x} cr3 {:016x} cr4 {:08x} efer {:x}",
        cpu.rip, cpu.rflags, cpu.cpl, cpu.cr0, cpu.cr2, cpu.cr3, cpu.cr4, cpu.msr.efer
    );
    for (name, s) in
        [("es", Seg::Es), ("cs", Seg::Cs), ("ss", Seg::Ss), ("ds", Seg::Ds), ("fs", Seg::Fs), ("gs", Seg::Gs)]
    {
        let s = &cpu.seg[s as usize];
        let _ = writeln!(
            out,
            "{name} {:04x} base {:016x} limit {:08x} attr {:04x}",
            s.selector, s.base, s.limit, s.attr
        );
    }
    let _ = writeln!(
        out,
        "tr {:04x} base {:x} gdtr {:x}+{:x} idtr {:x}+{:x}",
        cpu.tr.selector, cpu.tr.base, cpu.gdtr.base, cpu.gdtr.limit, cpu.idtr.base, cpu.idtr.limit
    );
    out
}
