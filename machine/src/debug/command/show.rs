//! Commands that show a processor's registers, decoded.

use super::{Entry, Session};
use crate::Machine;
use lucid86_cpu::state::{Activity, Segment, Shadow, attr};
use lucid86_cpu::watch::Mode;
use lucid86_cpu::{Cpu, mmu::Space};
use std::fmt::Write;

pub(super) const COMMANDS: &[Entry] = &[
    (&["registers", "r", "regs"], "[all]", "the general registers, flags and segments"),
    (&["system", "sregs"], "", "control, table, debug registers and MSRs"),
    (&["fpu"], "", "the x87 unit"),
    (&["vector-registers", "sse", "xmm"], "", "XMM/YMM and MXCSR"),
];

/// Flags as letters, those set.
pub fn flags_text(rflags: u64) -> String {
    const NAMES: [&str; 22] = [
        "CF", "", "PF", "", "AF", "", "ZF", "SF", "TF", "IF", "DF", "OF", "", "", "NT", "", "RF", "VM", "AC",
        "VIF", "VIP", "ID",
    ];
    let mut s: Vec<String> = NAMES
        .iter()
        .enumerate()
        .filter(|(i, n)| !n.is_empty() && rflags >> i & 1 != 0)
        .map(|(_, n)| n.to_string())
        .collect();
    if rflags >> 12 & 3 != 0 {
        s.push(format!("IOPL{}", rflags >> 12 & 3));
    }
    s.join(" ")
}

fn bits(v: u64, names: &[(u32, &str)]) -> String {
    names.iter().filter(|(b, _)| v >> b & 1 != 0).map(|(_, n)| *n).collect::<Vec<_>>().join(" ")
}

/// What a segment's hidden part allows, in words.
pub fn segment_text(s: &Segment) -> String {
    if s.attr & attr::UNUSABLE != 0 {
        return "null".into();
    }
    if s.attr & attr::P == 0 {
        return "not present".into();
    }
    let mut out = if s.attr & attr::CODE != 0 {
        let size = match (s.attr & attr::L != 0, s.attr & attr::DB != 0) {
            (true, _) => "64-bit",
            (_, true) => "32-bit",
            _ => "16-bit",
        };
        let read = if s.attr & attr::RW != 0 { ", readable" } else { ", execute only" };
        let conforming = if s.attr & attr::DC != 0 { ", conforming" } else { "" };
        format!("{size} code{read}{conforming}")
    } else {
        let write = if s.attr & attr::RW != 0 { "writable" } else { "read-only" };
        let down = if s.attr & attr::DC != 0 { ", expand-down" } else { "" };
        format!("data, {write}{down}")
    };
    let _ = write!(out, ", DPL {}", (s.attr & attr::DPL) >> 5);
    out
}

/// General registers, flags, segments.
pub fn general(cpu: &Cpu) -> String {
    const NAMES: [&str; 16] = [
        "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
        "r14", "r15",
    ];
    let mut out = String::new();
    for (i, (name, v)) in NAMES.iter().zip(cpu.gpr).enumerate() {
        let _ = write!(out, "{name:>3} {v:016x}{}", if i % 4 == 3 { '\n' } else { ' ' });
    }
    let _ = writeln!(
        out,
        "rip {:016x}  rflags {:08x} [{}]  {}, CPL {}",
        cpu.rip,
        cpu.rflags,
        flags_text(cpu.rflags),
        Mode::of(cpu).name(),
        cpu.cpl
    );
    for (name, s) in ["es", "cs", "ss", "ds", "fs", "gs"].iter().zip(&cpu.seg) {
        let _ = writeln!(
            out,
            "{name:>3} {:04x} base {:016x} limit {:08x}  {}",
            s.selector,
            s.base,
            s.limit,
            segment_text(s)
        );
    }
    let waits = match cpu.activity {
        Activity::Running => "",
        Activity::Halted => "halted; ",
        Activity::Shutdown => "shut down; ",
        Activity::WaitForSipi => "waits for a start-up IPI; ",
    };
    let shadow = match cpu.shadow {
        Shadow::None => "",
        Shadow::Sti => "in the shadow of STI; ",
        Shadow::MovSs => "in the shadow of MOV SS; ",
    };
    let pending = [
        (cpu.intr, "INTR is up; "),
        (cpu.nmi_pending, "an NMI is pending; "),
        (cpu.nmi_blocked, "NMIs are blocked; "),
        (cpu.smi_pending, "an SMI is pending; "),
    ];
    let pending: String = pending.iter().filter(|p| p.0).map(|p| p.1).collect();
    let all = format!("{waits}{shadow}{pending}");
    if !all.is_empty() {
        let _ = writeln!(out, "{}", all.trim_end_matches("; "));
    }
    out
}

/// Control, table and debug registers, MSRs.
pub fn system(cpu: &Cpu) -> String {
    let mut out = String::new();
    let cr0 = [
        (0, "PE"),
        (1, "MP"),
        (2, "EM"),
        (3, "TS"),
        (4, "ET"),
        (5, "NE"),
        (16, "WP"),
        (18, "AM"),
        (29, "NW"),
        (30, "CD"),
        (31, "PG"),
    ];
    let cr4 = [
        (0, "VME"),
        (1, "PVI"),
        (2, "TSD"),
        (3, "DE"),
        (4, "PSE"),
        (5, "PAE"),
        (6, "MCE"),
        (7, "PGE"),
        (8, "PCE"),
        (9, "OSFXSR"),
        (10, "OSXMMEXCPT"),
        (11, "UMIP"),
        (12, "LA57"),
        (16, "FSGSBASE"),
        (17, "PCIDE"),
        (18, "OSXSAVE"),
        (20, "SMEP"),
        (21, "SMAP"),
    ];
    let efer = [(0, "SCE"), (8, "LME"), (10, "LMA"), (11, "NXE")];
    let m = &cpu.msr;
    let _ = writeln!(out, "cr0  {:016x} [{}]", cpu.cr0, bits(cpu.cr0, &cr0));
    let _ = writeln!(out, "cr2  {:016x} (address of the last page fault)", cpu.cr2);
    let _ = writeln!(out, "cr3  {:016x} ({:?} paging)", cpu.cr3, Space::of(cpu).paging);
    let _ = writeln!(out, "cr4  {:016x} [{}]", cpu.cr4, bits(cpu.cr4, &cr4));
    let _ = writeln!(out, "efer {:016x} [{}]  xcr0 {:x}", m.efer, bits(m.efer, &efer), cpu.xcr0);
    let _ = writeln!(out, "gdtr base {:016x} limit {:04x}", cpu.gdtr.base, cpu.gdtr.limit);
    let _ = writeln!(out, "idtr base {:016x} limit {:04x}", cpu.idtr.base, cpu.idtr.limit);
    for (name, s) in [("ldtr", &cpu.ldtr), ("tr  ", &cpu.tr)] {
        let kind = s.attr & 15;
        let _ = writeln!(
            out,
            "{name} {:04x} base {:016x} limit {:08x} type {kind:x}{}",
            s.selector,
            s.base,
            s.limit,
            if s.attr & attr::P == 0 { ", not present" } else { "" }
        );
    }
    for i in 0..4 {
        let control = cpu.dr7 >> (16 + 4 * i);
        let on = cpu.dr7 >> (2 * i) & 3 != 0;
        let kind = ["execution", "stores", "I/O", "loads and stores"][(control & 3) as usize];
        let len = [1, 2, 8, 4][(control >> 2 & 3) as usize];
        let what = if on { format!(" armed for {kind}, {len} bytes") } else { String::new() };
        let _ = writeln!(out, "dr{i}  {:016x}{what}", cpu.dr[i]);
    }
    let _ = writeln!(out, "dr6  {:016x}  dr7 {:016x}", cpu.dr6, cpu.dr7);
    let msrs = [
        ("star", m.star),
        ("lstar", m.lstar),
        ("cstar", m.cstar),
        ("fmask", m.fmask),
        ("kernel_gs_base", m.kernel_gs_base),
        ("sysenter_cs", m.sysenter_cs),
        ("sysenter_esp", m.sysenter_esp),
        ("sysenter_eip", m.sysenter_eip),
        ("pat", m.pat),
        ("tsc_aux", m.tsc_aux),
        ("misc_enable", m.misc_enable),
        ("mtrr_def_type", m.mtrr_def_type),
    ];
    for pair in msrs.chunks(2) {
        for (name, v) in pair {
            let _ = write!(out, "{name:<14} {v:016x}  ");
        }
        out.push('\n');
    }
    if cpu.smm {
        let _ = writeln!(out, "in system-management mode, SMBASE {:x}", cpu.smbase);
    }
    out
}

fn fpu(cpu: &Cpu) -> String {
    let f = &cpu.fpu;
    let top = usize::from(f.sw >> 11 & 7);
    let mut out = String::new();
    for i in 0..8 {
        let r = (top + i) & 7;
        let v = &f.regs[r];
        let state = if f.tag >> r & 1 == 0 { "empty" } else { "" };
        let _ = writeln!(out, "st({i}) {:04x} {:016x} {state}", v.se, v.mant);
    }
    let _ = writeln!(
        out,
        "cw {:04x} sw {:04x} tag {:02x} fop {:03x} fip {:04x}:{:x} fdp {:04x}:{:x}",
        f.cw, f.sw, f.tag, f.fop, f.fcs, f.fip, f.fds, f.fdp
    );
    out
}

fn vectors(cpu: &Cpu) -> String {
    let mut out = String::new();
    for (i, v) in cpu.vec.iter().enumerate() {
        let [a, b, c, d] = v.0;
        let _ = writeln!(out, "ymm{i:<2} {d:016x} {c:016x} {b:016x} {a:016x}");
    }
    let _ = writeln!(out, "mxcsr {:08x}", cpu.mxcsr);
    out
}

impl Machine {
    pub(super) fn show_command(&mut self, s: &Session, name: &str, rest: &str) -> Result<String, String> {
        let cpu = &self.cpus[s.cpu];
        Ok(match name {
            "registers" if rest == "all" => general(cpu) + &system(cpu) + &fpu(cpu) + &vectors(cpu),
            "registers" if rest.is_empty() => general(cpu),
            "registers" => {
                let v = self.evaluate(s.cpu, rest)?;
                format!("{rest} {v:#x} {v}\n")
            }
            "system" => system(cpu),
            "fpu" => fpu(cpu),
            _ => vectors(cpu),
        })
    }
}
