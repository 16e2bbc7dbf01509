//! A processor's registers by name: what expressions, the monitor and gdb read and write.
//!
//! A selector written in real mode or virtual-8086 mode sets base and limit as a load would; in protected mode only the
//! selector changes (`*_base` sets the base).

use lucid86_cpu::Cpu;
use lucid86_cpu::state::{Seg, cr0, cr4, efer, flag};

/// General registers, in the processor's numbering.
pub const GPR64: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];
const GPR32: [&str; 8] = ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"];
const GPR16: [&str; 8] = ["ax", "cx", "dx", "bx", "sp", "bp", "si", "di"];
const GPR8: [&str; 8] = ["al", "cl", "dl", "bl", "ah", "ch", "dh", "bh"];
/// Segment registers, in the processor's numbering.
pub const SEGMENTS: [&str; 6] = ["es", "cs", "ss", "ds", "fs", "gs"];
const FLAGS: [(&str, u64); 17] = [
    ("cf", flag::CF),
    ("pf", flag::PF),
    ("af", flag::AF),
    ("zf", flag::ZF),
    ("sf", flag::SF),
    ("tf", flag::TF),
    ("if", flag::IF),
    ("df", flag::DF),
    ("of", flag::OF),
    ("iopl", flag::IOPL),
    ("nt", flag::NT),
    ("rf", flag::RF),
    ("vm", flag::VM),
    ("ac", flag::AC),
    ("vif", flag::VIF),
    ("vip", flag::VIP),
    ("id", flag::ID),
];

/// Those that an operating system sets, and offsets where gdb's own registers are linear addresses.
pub const SYSTEM: [&str; 33] = [
    "ip",
    "cs_base",
    "ss_base",
    "ds_base",
    "es_base",
    "k_gs_base",
    "cr0",
    "cr2",
    "cr3",
    "cr4",
    "xcr0",
    "efer",
    "cpl",
    "dr0",
    "dr1",
    "dr2",
    "dr3",
    "dr6",
    "dr7",
    "gdt",
    "gdt_limit",
    "idt",
    "idt_limit",
    "tr",
    "ldtr",
    "star",
    "lstar",
    "cstar",
    "fmask",
    "sysenter_cs",
    "sysenter_esp",
    "sysenter_eip",
    "pat",
];

/// Names of the registers that stand for themselves, for help and completion.
pub fn names() -> Vec<&'static str> {
    let rest = ["rip", "pc", "rflags", "mxcsr", "fs_base", "gs_base"];
    GPR64.into_iter().chain(SEGMENTS).chain(rest).chain(SYSTEM).collect()
}

fn place<const N: usize>(list: &[&str; N], name: &str) -> Option<usize> {
    list.iter().position(|n| *n == name)
}

/// The linear address of the next instruction.
pub fn pc(cpu: &Cpu) -> u64 {
    if cpu.is_64() { cpu.rip } else { cpu.seg[Seg::Cs as usize].base.wrapping_add(cpu.rip) & 0xffff_ffff }
}

/// Sets the linear address of the next instruction, in the present code segment.
pub fn set_pc(cpu: &mut Cpu, linear: u64) {
    cpu.rip =
        if cpu.is_64() { linear } else { linear.wrapping_sub(cpu.seg[Seg::Cs as usize].base) & 0xffff_ffff };
}

/// The registers of the MSRs with names of their own, once for reading and once for writing.
macro_rules! msrs {
    ($($name:literal => $field:ident),* $(,)?) => {
        fn msr(cpu: &Cpu, name: &str) -> Option<u64> {
            match name {
                $($name => Some(cpu.msr.$field),)*
                _ => None,
            }
        }
        fn msr_mut<'a>(cpu: &'a mut Cpu, name: &str) -> Option<&'a mut u64> {
            match name {
                $($name => Some(&mut cpu.msr.$field),)*
                _ => None,
            }
        }
    };
}
msrs! {
    "efer" => efer,
    "star" => star,
    "lstar" => lstar,
    "cstar" => cstar,
    "fmask" => fmask,
    "k_gs_base" => kernel_gs_base,
    "kernel_gs_base" => kernel_gs_base,
    "sysenter_cs" => sysenter_cs,
    "sysenter_esp" => sysenter_esp,
    "sysenter_eip" => sysenter_eip,
    "pat" => pat,
    "tsc_aux" => tsc_aux,
    "misc_enable" => misc_enable,
    "debugctl" => debugctl,
    "mtrr_def_type" => mtrr_def_type,
}

/// The value of a register; the name without `$`, in small letters.
pub fn get(cpu: &Cpu, name: &str) -> Option<u64> {
    if let Some(i) = place(&GPR64, name) {
        return Some(cpu.gpr[i]);
    }
    if let Some(i) = place(&GPR32, name) {
        return Some(cpu.gpr[i] & 0xffff_ffff);
    }
    if let Some(i) = place(&GPR16, name) {
        return Some(cpu.gpr[i] & 0xffff);
    }
    if let Some(i) = place(&GPR8, name) {
        return Some(cpu.gpr[i & 3] >> (if i > 3 { 8 } else { 0 }) & 0xff);
    }
    if let Some(i) = place(&SEGMENTS, name) {
        return Some(cpu.seg[i].selector.into());
    }
    if let Some((s, what)) = name.split_once('_')
        && let Some(i) = place(&SEGMENTS, s)
    {
        return match what {
            "base" => Some(cpu.seg[i].base),
            "limit" => Some(cpu.seg[i].limit.into()),
            "attr" => Some(cpu.seg[i].attr.into()),
            _ => None,
        };
    }
    if let Some((_, mask)) = FLAGS.iter().find(|f| f.0 == name) {
        return Some((cpu.rflags & mask) >> mask.trailing_zeros());
    }
    Some(match name {
        "rip" | "ip" | "eip" => cpu.rip,
        "pc" => pc(cpu),
        "rflags" | "eflags" | "flags" => cpu.rflags,
        "cpl" => cpu.cpl.into(),
        "cr0" => cpu.cr0,
        "cr2" => cpu.cr2,
        "cr3" => cpu.cr3,
        "cr4" => cpu.cr4,
        "xcr0" => cpu.xcr0,
        "mxcsr" => cpu.mxcsr.into(),
        "dr0" | "dr1" | "dr2" | "dr3" => cpu.dr[usize::from(name.as_bytes()[2] - b'0')],
        "dr6" => cpu.dr6,
        "dr7" => cpu.dr7,
        "gdt" | "gdtr" => cpu.gdtr.base,
        "idt" | "idtr" => cpu.idtr.base,
        "gdt_limit" => cpu.gdtr.limit.into(),
        "idt_limit" => cpu.idtr.limit.into(),
        "tr" => cpu.tr.selector.into(),
        "tr_base" => cpu.tr.base,
        "ldtr" => cpu.ldtr.selector.into(),
        "ldtr_base" => cpu.ldtr.base,
        other => return msr(cpu, other),
    })
}

/// Sets a register. False if there is none of this name or it can't be written.
pub fn set(cpu: &mut Cpu, name: &str, v: u64) -> bool {
    let part = |old: u64, mask: u64, shift: u32| old & !(mask << shift) | (v & mask) << shift;
    if let Some(i) = place(&GPR64, name) {
        cpu.gpr[i] = v;
    } else if let Some(i) = place(&GPR32, name) {
        cpu.gpr[i] = v & 0xffff_ffff;
    } else if let Some(i) = place(&GPR16, name) {
        cpu.gpr[i] = part(cpu.gpr[i], 0xffff, 0);
    } else if let Some(i) = place(&GPR8, name) {
        cpu.gpr[i & 3] = part(cpu.gpr[i & 3], 0xff, if i > 3 { 8 } else { 0 });
    } else if let Some(i) = place(&SEGMENTS, name) {
        let s = &mut cpu.seg[i];
        s.selector = v as u16;
        if cpu.cr0 & cr0::PE == 0 || cpu.rflags & flag::VM != 0 {
            s.base = (v & 0xffff) << 4;
        }
    } else if let Some((s, "base")) = name.split_once('_')
        && let Some(i) = place(&SEGMENTS, s)
    {
        cpu.seg[i].base = v;
    } else if let Some((_, mask)) = FLAGS.iter().find(|f| f.0 == name) {
        cpu.rflags = cpu.rflags & !mask | v << mask.trailing_zeros() & mask;
    } else {
        return set_system(cpu, name, v);
    }
    true
}

fn set_system(cpu: &mut Cpu, name: &str, v: u64) -> bool {
    match name {
        "rip" | "ip" | "eip" => cpu.rip = v,
        "pc" => set_pc(cpu, v),
        "rflags" | "eflags" | "flags" => cpu.rflags = v & 0x003f_7fd5 | flag::ONE,
        "cr0" => {
            cpu.cr0 = v & 0xffff_ffff;
            let long = cpu.cr0 & cr0::PG != 0 && cpu.msr.efer & efer::LME != 0;
            cpu.msr.efer = cpu.msr.efer & !efer::LMA | if long { efer::LMA } else { 0 };
        }
        "cr2" => cpu.cr2 = v,
        "cr3" => cpu.cr3 = v,
        "cr4" => cpu.cr4 = v & (lucid86_cpu::helper::control::known_cr4(&cpu.model) | cr4::PSE),
        "mxcsr" => cpu.mxcsr = v as u32 & 0xffff,
        "fcw" => cpu.fpu.cw = v as u16 & 0x1f7f | 0x40,
        "fsw" => cpu.fpu.sw = v as u16,
        "dr0" | "dr1" | "dr2" | "dr3" => cpu.dr[usize::from(name.as_bytes()[2] - b'0')] = v,
        "dr6" => cpu.dr6 = v & 0xe00f | 0xffff_0ff0,
        "dr7" => cpu.dr7 = v & 0xffff_2bff | 1 << 10,
        "gdt" | "gdtr" => cpu.gdtr.base = v,
        "idt" | "idtr" => cpu.idtr.base = v,
        "efer" => cpu.msr.efer = v & 0xd01 & !efer::LMA | cpu.msr.efer & efer::LMA,
        other => match msr_mut(cpu, other) {
            Some(m) => *m = v,
            None => return false,
        },
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid86_cpu::state::attr;

    #[test]
    fn every_name_is_a_register() {
        let c = Cpu::new(0, lucid86_cpu::model::CpuModel::default());
        assert!(names().into_iter().all(|n| get(&c, n).is_some()));
    }

    #[test]
    fn pc_is_linear_wherever_cs_has_a_base() {
        // SDM volume 1, section 3.3.4: EIP is an offset in CS outside 64-bit code; there bases don't count.
        let mut c = Cpu::new(0, lucid86_cpu::model::CpuModel::default());
        assert_eq!(
            (pc(&c), get(&c, "ip"), get(&c, "cs_base")),
            (0xffff_fff0, Some(0xfff0), Some(0xffff_0000))
        );
        assert!(set(&mut c, "cs", 0x07c0) && set(&mut c, "ip", 5));
        assert_eq!(get(&c, "pc"), Some(0x7c05));
        assert!(set(&mut c, "pc", 0x7c10));
        assert_eq!(get(&c, "ip"), Some(0x10));
        // Compatibility mode: EFER.LMA with CS.L clear.
        (c.cr0, c.msr.efer) = (c.cr0 | cr0::PE | cr0::PG, efer::LME | efer::LMA);
        let cs = &mut c.seg[Seg::Cs as usize];
        (cs.base, cs.attr) = (0x1_0000, cs.attr & !attr::L | attr::DB);
        assert!(set(&mut c, "pc", 0x1_0123));
        assert_eq!((get(&c, "ip"), get(&c, "pc")), (Some(0x123), Some(0x1_0123)));
        c.seg[Seg::Cs as usize].attr = attr::L | attr::CODE | attr::S | attr::P;
        assert!(set(&mut c, "pc", 0xffff_ffff_8100_0000));
        assert_eq!(get(&c, "rip"), Some(0xffff_ffff_8100_0000));
    }
}
