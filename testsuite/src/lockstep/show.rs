//! What two machines differ in, for a person.

use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};
use lucid86_cpu::Cpu;
use lucid86_cpu::insn::ModeKey;
use lucid86_cpu::state::{Seg, cr0, cr4, efer};
use lucid86_machine::{Machine, View};
use std::fmt::Write;

const GPR: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// All that differs: registers by name, other parts by name, the first bytes of memory.
pub fn differences(a: &Machine, b: &Machine) -> String {
    let mut out = String::new();
    if a.count() != b.count() || a.now_ns() != b.now_ns() {
        let _ = writeln!(
            out,
            "  count {} and {}, time {} and {} ns",
            a.count(),
            b.count(),
            a.now_ns(),
            b.now_ns()
        );
    }
    for n in 0..a.config().cpus {
        processors(&mut out, n, a.cpu(n), b.cpu(n));
    }
    memory(&mut out, a, b);
    if out.is_empty() {
        out.push_str("  processors and memory are the same: a chip differs\n");
    }
    let _ = writeln!(out, "  {}", instruction(a));
    out
}

fn processors(out: &mut String, n: usize, a: &Cpu, b: &Cpu) {
    let mut line = |name: &str, x: &dyn std::fmt::Debug, y: &dyn std::fmt::Debug| {
        let _ = writeln!(out, "  cpu {n} {name}: {x:x?} and {y:x?}");
    };
    for (i, name) in GPR.iter().enumerate() {
        if a.gpr[i] != b.gpr[i] {
            line(name, &a.gpr[i], &b.gpr[i]);
        }
    }
    macro_rules! fields {
        ($($f:ident)*) => {$(
            if a.$f != b.$f {
                line(stringify!($f), &a.$f, &b.$f);
            }
        )*};
    }
    fields!(rip rflags ldtr tr gdtr idtr cr0 cr2 cr3 cr4 xcr0 pdpte dr dr6 dr7 cpl msr mxcsr activity shadow);
    fields!(nmi_blocked intr nmi_pending smi_pending pending_debug ferr smm smbase seed);
    for i in 0..6 {
        if a.seg[i] != b.seg[i] {
            line(["es", "cs", "ss", "ds", "fs", "gs"][i], &a.seg[i], &b.seg[i]);
        }
    }
    for i in 0..16 {
        if a.vec[i] != b.vec[i] {
            line(&format!("ymm{i}"), &a.vec[i].0, &b.vec[i].0);
        }
    }
    for i in 0..8 {
        if a.fpu.regs[i] != b.fpu.regs[i] {
            line(&format!("x87 R{i}"), &a.fpu.regs[i], &b.fpu.regs[i]);
        }
    }
    let status = |c: &Cpu| {
        let f = &c.fpu;
        (f.cw, f.sw, f.tag, f.fop, f.fip, f.fcs, f.fdp, f.fds)
    };
    if status(a) != status(b) {
        line("x87 cw sw tag fop fip fcs fdp fds", &status(a), &status(b));
    }
}

fn memory(out: &mut String, a: &Machine, b: &Machine) {
    let (mut x, mut y) = ([0; 4096], [0; 4096]);
    let mut shown = 0;
    for page in 0..a.config().memory / 4096 + 0x100 {
        a.read_memory(page * 4096, &mut x);
        b.read_memory(page * 4096, &mut y);
        let Some(first) = (0..4096).find(|&i| x[i] != y[i]) else { continue };
        if shown < 8 {
            let end = (first + 16).min(4096);
            let at = page * 4096 + first as u64;
            let _ = writeln!(out, "  memory {at:x}: {:02x?} and {:02x?}", &x[first..end], &y[first..end]);
        }
        shown += 1;
    }
    if shown > 8 {
        let _ = writeln!(out, "  {} more pages of memory", shown - 8);
    }
}

/// Physical address of a linear one, by the processor's tables, without touching anything.
fn physical(m: &Machine, c: &Cpu, linear: u64) -> Option<u64> {
    if c.cr0 & cr0::PG == 0 {
        return Some(linear & 0xffff_ffff);
    }
    let entry = |at: u64, wide: bool| {
        let mut e = [0; 8];
        m.read_memory(at, &mut e[..if wide { 8 } else { 4 }]);
        u64::from_le_bytes(e)
    };
    const ADDRESS: u64 = 0xf_ffff_ffff_f000;
    if c.cr4 & cr4::PAE == 0 {
        let pde = entry((c.cr3 & 0xffff_f000) + (linear >> 22 & 0x3ff) * 4, false);
        if pde & 1 == 0 {
            return None;
        }
        if pde & 0x80 != 0 && c.cr4 & cr4::PSE != 0 {
            return Some(pde & 0xffc0_0000 | (pde >> 13 & 0xff) << 32 | linear & 0x3f_ffff);
        }
        let pte = entry((pde & 0xffff_f000) + (linear >> 12 & 0x3ff) * 4, false);
        return (pte & 1 != 0).then_some(pte & 0xffff_f000 | linear & 0xfff);
    }
    let (mut table, levels) = if c.msr.efer & efer::LMA != 0 {
        (c.cr3 & ADDRESS, 4)
    } else {
        (c.pdpte[(linear >> 30 & 3) as usize] & ADDRESS, 2)
    };
    for level in (0..levels).rev() {
        let shift = 12 + 9 * level;
        let e = entry(table + (linear >> shift & 0x1ff) * 8, true);
        if e & 1 == 0 {
            return None;
        }
        if level == 0 || e & 0x80 != 0 && level < 3 {
            let low = (1u64 << shift) - 1;
            return Some(e & ADDRESS & !low | linear & low);
        }
        table = e & ADDRESS;
    }
    None
}

/// The instruction that the first processor is about to run.
pub fn instruction(m: &Machine) -> String {
    let c = m.cpu(0);
    let key = ModeKey::of(c);
    let cs = &c.seg[Seg::Cs as usize];
    let linear = if key.code64() { c.rip } else { cs.base.wrapping_add(c.rip) & 0xffff_ffff };
    let mut bytes = Vec::new();
    for i in 0..15 {
        let Some(at) = physical(m, c, linear.wrapping_add(i)) else { break };
        let mut b = [0];
        m.read_memory(at, &mut b);
        bytes.push(b[0]);
    }
    let ins = Decoder::with_ip(key.bits(), &bytes, c.rip, DecoderOptions::NONE).decode();
    let mut text = String::new();
    NasmFormatter::new().format(&ins, &mut text);
    format!(
        "at {:04x}:{:x}, ring {}, {}-bit: {text}  [{:02x?}]",
        cs.selector,
        c.rip,
        c.cpl,
        key.bits(),
        &bytes[..ins.len().min(bytes.len())]
    )
}
