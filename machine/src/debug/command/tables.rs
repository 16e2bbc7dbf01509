//! Commands that decode the processor's tables in memory: GDT, LDT, IDT, TSS, page tables. Intel SDM volume 3, sections
//! 3.4.5 (segment descriptors), 6.11 and 6.14.1 (gates), 7.2 and 7.7 (TSS).

use super::show::segment_text;
use super::{Entry, Session};
use crate::Machine;
use crate::debug::walk;
use lucid86_cpu::state::{Segment, attr, cr0, efer};
use std::fmt::Write;

pub(super) const COMMANDS: &[Entry] = &[
    (&["gdt"], "[SELECTOR]", "the global descriptor table"),
    (&["ldt"], "[SELECTOR]", "the local descriptor table"),
    (&["idt"], "[VECTOR]", "the interrupt descriptor table"),
    (&["tss"], "", "the task state segment"),
    (&["walk", "page"], "ADDR [CR3]", "how an address is translated, level by level, and what is refused"),
];

/// The hidden part that a descriptor would give.
fn segment_of(raw: u64) -> Segment {
    let limit = (raw & 0xffff | raw >> 32 & 0xf_0000) as u32;
    let attr = (raw >> 40) as u16 & 0xf0ff;
    let limit = if attr & attr::G != 0 { limit << 12 | 0xfff } else { limit };
    Segment { base: raw >> 16 & 0xff_ffff | raw >> 32 & 0xff00_0000, limit, attr, selector: 0 }
}

/// A descriptor of the GDT or LDT in words. `high`: the eight bytes after it.
pub fn descriptor_text(raw: u64, high: u64, long: bool) -> String {
    let s = segment_of(raw);
    if raw == 0 {
        return "null".into();
    }
    if s.attr & attr::S != 0 {
        return format!("base {:#x} limit {:#x} {}", s.base, s.limit, segment_text(&s));
    }
    let kind = s.attr & 15;
    let dpl = (s.attr & attr::DPL) >> 5;
    let absent = if s.attr & attr::P == 0 { ", not present" } else { "" };
    let base = if long { s.base | high << 32 } else { s.base };
    match kind {
        1 | 3 | 9 | 11 => format!(
            "{} TSS{}, base {base:#x} limit {:#x}, DPL {dpl}{absent}",
            if kind & 8 == 0 {
                "16-bit"
            } else if long {
                "64-bit"
            } else {
                "32-bit"
            },
            if kind & 2 != 0 { " (busy)" } else { "" },
            s.limit
        ),
        2 => format!("LDT, base {base:#x} limit {:#x}{absent}", s.limit),
        _ => gate_text(raw, high, long),
    }
}

/// A gate in words.
pub fn gate_text(raw: u64, high: u64, long: bool) -> String {
    let attr = (raw >> 40) as u16;
    let (kind, dpl) = (attr & 15, attr >> 5 & 3);
    let absent = if attr & attr::P == 0 { ", not present" } else { "" };
    let selector = raw >> 16 & 0xffff;
    let mut offset = raw & 0xffff | raw >> 32 & 0xffff_0000;
    if attr & attr::S != 0 {
        return format!("no gate: type {kind:#x} with S = 1{absent}");
    }
    let name = match kind {
        4 => "16-bit call gate",
        5 => return format!("task gate, TSS {selector:#x}, DPL {dpl}{absent}"),
        6 => "16-bit interrupt gate",
        7 => "16-bit trap gate",
        12 => "call gate",
        14 => "interrupt gate",
        15 => "trap gate",
        _ => return format!("no gate: type {kind:#x} is reserved{absent}"),
    };
    let ist = if long && raw >> 32 & 7 != 0 { format!(", IST {}", raw >> 32 & 7) } else { String::new() };
    if long {
        offset |= high << 32;
    } else if kind & 8 == 0 {
        offset &= 0xffff;
    }
    format!("{name} to {selector:#x}:{offset:#x}, DPL {dpl}{ist}{absent}")
}

impl Machine {
    fn word(&self, cpu: usize, at: u64, bytes: usize) -> Option<u64> {
        let mut b = [0; 8];
        (self.peek(cpu, at, &mut b[..bytes]) == bytes).then(|| u64::from_le_bytes(b))
    }

    pub(super) fn table_command(&mut self, s: &Session, name: &str, rest: &str) -> Result<String, String> {
        let cpu = &self.cpus[s.cpu];
        let one = if rest.is_empty() || name == "walk" { None } else { Some(self.evaluate(s.cpu, rest)?) };
        match name {
            "gdt" => Ok(self.descriptors(s.cpu, cpu.gdtr.base, cpu.gdtr.limit.into(), one)),
            "ldt" if cpu.ldtr.attr & attr::P == 0 || cpu.ldtr.selector & !3 == 0 => {
                Ok("no LDT is loaded\n".into())
            }
            "ldt" => Ok(self.descriptors(s.cpu, cpu.ldtr.base, cpu.ldtr.limit, one)),
            "idt" => Ok(self.interrupt_table(s.cpu, one)),
            "tss" => Ok(self.task_state(s.cpu)),
            _ => {
                let (e, more) = crate::debug::expr::Expr::parse_front(rest)?;
                let at = e.value(&self.eyes(s.cpu))?;
                let cr3 = if more.trim().is_empty() { None } else { Some(self.evaluate(s.cpu, more)?) };
                Ok(walk::explain(cpu, &self.mem, at, cr3))
            }
        }
    }

    fn descriptors(&self, cpu: usize, base: u64, limit: u32, one: Option<u64>) -> String {
        let long = self.cpus[cpu].msr.efer & efer::LMA != 0;
        let mut out = format!("base {base:#x} limit {limit:#x}\n");
        let mut at = 0;
        while at + 7 <= u64::from(limit) {
            let Some(raw) = self.word(cpu, base.wrapping_add(at), 8) else {
                let _ = writeln!(out, "{at:04x}  no memory at {:#x}", base.wrapping_add(at));
                break;
            };
            let system = raw != 0 && raw >> 44 & 1 == 0;
            let high = self.word(cpu, base.wrapping_add(at + 8), 8).unwrap_or(0);
            let wanted = one.map_or(raw != 0, |o| o & !7 == at);
            if wanted {
                let _ = writeln!(out, "{at:04x}  {}", descriptor_text(raw, high, long));
            }
            at += if long && system { 16 } else { 8 };
        }
        out
    }

    fn interrupt_table(&self, cpu: usize, one: Option<u64>) -> String {
        let c = &self.cpus[cpu];
        let (base, limit) = (c.idtr.base, u64::from(c.idtr.limit));
        let long = c.msr.efer & efer::LMA != 0;
        let real = c.cr0 & cr0::PE == 0;
        let size = if real {
            4
        } else if long {
            16
        } else {
            8
        };
        let mut out = format!("base {base:#x} limit {limit:#x}\n");
        for v in 0..256 {
            if one.is_some_and(|o| o != v) {
                continue;
            }
            if v * size + size - 1 > limit {
                let _ =
                    writeln!(out, "{v:02x}{} beyond the limit", if one.is_some() { "" } else { " and up" });
                break;
            }
            let at = base.wrapping_add(v * size);
            let Some(raw) = self.word(cpu, at, if real { 4 } else { 8 }) else {
                let _ = writeln!(out, "{v:02x}  no memory at {at:#x}");
                continue;
            };
            let high = if long { self.word(cpu, at + 8, 8).unwrap_or(0) } else { 0 };
            let (text, target) = if real {
                let (seg, off) = (raw >> 16, raw & 0xffff);
                (format!("{seg:04x}:{off:04x}"), (seg << 4) + off)
            } else {
                (gate_text(raw, high, long), raw & 0xffff | raw >> 32 & 0xffff_0000 | high << 32)
            };
            if raw != 0 || one.is_some() {
                let name = self.symbol_text(target).map_or_else(String::new, |n| format!("  {n}"));
                let _ = writeln!(out, "{v:02x}  {text}{name}");
            }
        }
        out
    }

    fn task_state(&self, cpu: usize) -> String {
        let c = &self.cpus[cpu];
        let mut out = format!("tr {:#x} base {:#x} limit {:#x}\n", c.tr.selector, c.tr.base, c.tr.limit);
        let mut field = |name: &str, offset: u64, bytes: usize| {
            if offset + bytes as u64 - 1 > c.tr.limit.into() {
                return;
            }
            match self.word(cpu, c.tr.base.wrapping_add(offset), bytes) {
                Some(v) => {
                    let _ = writeln!(out, "  {name:<9} {v:#x}");
                }
                None => {
                    let _ = writeln!(out, "  {name:<9} no memory");
                }
            }
        };
        if c.msr.efer & efer::LMA != 0 {
            for i in 0..3 {
                field(["RSP0", "RSP1", "RSP2"][i as usize], 4 + 8 * i, 8);
            }
            for i in 0..7 {
                field(["IST1", "IST2", "IST3", "IST4", "IST5", "IST6", "IST7"][i as usize], 36 + 8 * i, 8);
            }
            field("I/O map", 102, 2);
        } else if c.tr.attr & 8 != 0 {
            const FIELDS: [&str; 26] = [
                "link", "ESP0", "SS0", "ESP1", "SS1", "ESP2", "SS2", "CR3", "EIP", "EFLAGS", "EAX", "ECX",
                "EDX", "EBX", "ESP", "EBP", "ESI", "EDI", "ES", "CS", "SS", "DS", "FS", "GS", "LDT", "trap",
            ];
            FIELDS.iter().enumerate().for_each(|(i, f)| field(f, 4 * i as u64, 4));
            field("I/O map", 102, 2);
        } else {
            const FIELDS: [&str; 22] = [
                "link", "SP0", "SS0", "SP1", "SS1", "SP2", "SS2", "IP", "FLAGS", "AX", "CX", "DX", "BX",
                "SP", "BP", "SI", "DI", "ES", "CS", "SS", "DS", "LDT",
            ];
            FIELDS.iter().enumerate().for_each(|(i, f)| field(f, 2 * i as u64, 2));
        }
        out
    }
}
