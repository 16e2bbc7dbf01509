//! What is said when the guest has driven itself into the wall.

use lucid86_cpu::fault::vector;
use lucid86_cpu::state::Seg;
use lucid86_cpu::{Cpu, Fault, Vector};
use std::fmt::Write;

/// An exception on its way to its handler.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Which, with its error code.
    pub fault: Fault,
    /// Where: CS, instruction pointer, privilege level.
    pub cs: u16,
    #[allow(missing_docs)]
    pub rip: u64,
    #[allow(missing_docs)]
    pub cpl: u8,
    /// CR2, for page faults.
    pub cr2: u64,
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", name(self.fault.vector))?;
        if let Some(code) = self.fault.code {
            write!(f, "({code:#x})")?;
        }
        if self.fault.vector == vector::PF {
            write!(f, " on {:#x}", self.cr2)?;
        }
        write!(f, " at {:04x}:{:x} in ring {}", self.cs, self.rip, self.cpl)
    }
}

/// An exception's name as the manuals write it.
fn name(v: Vector) -> String {
    const NAMES: [&str; 20] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#CSO", "#TS", "#NP", "#SS", "#GP",
        "#PF", "#15", "#MF", "#AC", "#MC", "#XM",
    ];
    NAMES.get(usize::from(v)).map_or_else(|| format!("INT {v:02X}h"), |n| (*n).to_string())
}

/// Explains a triple fault: what led to it, and where the processor stood.
pub fn triple_fault(cpu: &Cpu, recent: &[Option<Delivery>], count: u64) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "triple fault on processor {} after {count} instructions; the last exceptions were",
        cpu.index
    );
    // The double fault, and what it came of.
    let chain: Vec<&Delivery> = recent.iter().flatten().take(3).collect();
    for d in chain.iter().rev() {
        let _ = writeln!(out, "  {d}");
    }
    out.push_str(&registers(cpu));
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
