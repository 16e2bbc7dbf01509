//! Why the guest died, in words and as JSON: the chain of exceptions, what was wrong with the table entry or stack that each
//! of them needed, registers, stack and who called.
//!
//! Intel SDM volume 3, sections 6.12 (delivery), 6.13 (error codes), 6.14 (64-bit mode), 6.15 (double fault), 7.7 (TSS).

use super::command::{descriptor_text, gate_text, general};
use super::walk;
use crate::Machine;
use crate::report::Delivery;
use lucid86_cpu::fault::vector;
use lucid86_cpu::memory::PAGE;
use lucid86_cpu::mmu::{Access, is_canonical};
use lucid86_cpu::state::{Activity, Seg, cr0, cr4, efer, flag, gpr};
use serde::Serialize;
use std::fmt::Write;

/// One exception on its way to its handler.
#[derive(Clone, Debug, Serialize)]
pub struct Link {
    /// As the manuals write it, with error code and place.
    pub text: String,
    /// Its vector.
    pub vector: u8,
    /// Its error code.
    pub error_code: Option<u32>,
    /// The instruction that it came at.
    pub rip: u64,
    /// CR2, for a page fault.
    pub cr2: Option<u64>,
    /// That instruction.
    pub instruction: Option<String>,
    /// What raised it, where that can be told.
    pub cause: Option<String>,
    /// Why it could not be delivered.
    pub not_delivered: Option<String>,
}

/// The report.
#[derive(Clone, Debug, Serialize)]
pub struct PostMortem {
    /// What happened.
    pub what: String,
    /// The processor.
    pub cpu: usize,
    /// Instructions completed.
    pub count: u64,
    /// Virtual time.
    pub time_ns: u64,
    /// The exceptions, the first one first.
    pub chain: Vec<Link>,
    /// What is the matter, in words; the most telling line first.
    pub findings: Vec<String>,
    /// Registers.
    pub registers: String,
    /// Words of the stack, with names.
    pub stack: Vec<String>,
    /// Who called.
    pub backtrace: Vec<String>,
    /// The last instructions, where a history is kept.
    pub last_instructions: Vec<String>,
    /// The last branches taken, there too.
    pub last_branches: Vec<String>,
    /// The last accesses to ports and to chips in memory, there too: count of instructions, and what.
    pub last_accesses: Vec<String>,
}

/// Words of the stack that are shown.
const STACK: usize = 16;

impl PostMortem {
    /// As text.
    pub fn text(&self) -> String {
        let mut out = format!(
            "{} on processor {} after {} instructions, {}.{:09} s\n",
            self.what,
            self.cpu,
            self.count,
            self.time_ns / 1_000_000_000,
            self.time_ns % 1_000_000_000
        );
        for f in &self.findings {
            let _ = writeln!(out, "* {f}");
        }
        for l in &self.chain {
            let _ = writeln!(out, "{}", l.text);
            for (name, t) in
                [("instruction", &l.instruction), ("cause", &l.cause), ("not delivered", &l.not_delivered)]
            {
                if let Some(t) = t {
                    let _ = writeln!(out, "    {name}: {t}");
                }
            }
        }
        out += &self.registers;
        for (title, lines) in [
            ("stack", &self.stack),
            ("called by", &self.backtrace),
            ("last instructions", &self.last_instructions),
            ("last branches", &self.last_branches),
            ("last accesses to ports and chips", &self.last_accesses),
        ] {
            if !lines.is_empty() {
                let _ = writeln!(out, "{title}:");
                lines.iter().for_each(|l| out += &format!("  {l}\n"));
            }
        }
        out
    }

    /// Into a file: JSON if its name ends in .json, else text.
    pub fn write(&self, path: &std::path::Path) -> std::io::Result<()> {
        let json = path.extension().is_some_and(|e| e == "json");
        std::fs::write(path, if json { self.json() } else { self.text() })
    }

    /// As JSON.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

impl Machine {
    /// A triple fault: the report as text, and into the file that the configuration names.
    pub(crate) fn died(&mut self, cpu: usize) -> String {
        let report = self.post_mortem(cpu, "triple fault");
        self.write_post_mortem(&report);
        report.text()
    }

    /// Writes the report where the configuration wants it; a failure is a line of the log.
    pub fn write_post_mortem(&mut self, report: &PostMortem) {
        let Some(path) = self.config().post_mortem.clone() else { return };
        if self.in_past() {
            return;
        }
        if let Err(e) = report.write(&path) {
            let now = self.now();
            self.board.note(now, format_args!("post-mortem: {}: {e}", path.display()));
        }
    }

    /// A report on a processor as it is now.
    pub fn post_mortem(&self, cpu: usize, what: &str) -> PostMortem {
        let died = self.cpus[cpu].activity == Activity::Shutdown;
        let deliveries: Vec<Delivery> = self.board.recent.iter().flatten().rev().copied().collect();
        let deliveries = if died { last_chain(&deliveries) } else { &deliveries };
        let mut chain: Vec<Link> = deliveries.iter().map(|d| self.link(cpu, d)).collect();
        if died {
            for l in &mut chain {
                l.not_delivered = self.why_not_delivered(cpu, l.vector);
            }
        }
        let mut findings = Vec::new();
        if let Some(f) = endless(deliveries) {
            findings.push(f);
        }
        // The first exception that could not be delivered is where it began.
        if let Some(why) = chain.iter().find_map(|l| l.not_delivered.clone()) {
            findings.push(why);
        }
        findings.extend(chain.iter().filter_map(|l| l.cause.clone()));
        if !died && self.cpus[cpu].activity == Activity::Halted {
            findings.insert(0, self.idle_text(cpu).trim_end().to_string());
        }
        findings.dedup();
        PostMortem {
            what: what.to_string(),
            cpu,
            count: self.progress.count,
            time_ns: self.time_ns(),
            chain,
            findings,
            registers: general(&self.cpus[cpu]) + &super::command::system_text(&self.cpus[cpu]),
            stack: self.stack_words(cpu),
            backtrace: self.backtrace_text(cpu, 30).lines().map(str::to_string).collect(),
            last_instructions: self.trail().map(|t| t.instructions.clone()).unwrap_or_default(),
            last_branches: self.trail().map(|t| t.branches.clone()).unwrap_or_default(),
            last_accesses: self.trail().map(|t| t.accesses.clone()).unwrap_or_default(),
        }
    }

    fn link(&self, cpu: usize, d: &Delivery) -> Link {
        let at = self.linear_of(cpu, d);
        let bits = super::disasm::bits(&self.cpus[cpu]);
        let instruction = self.instruction_at(cpu, at, bits).map(|_| {
            self.disassemble(cpu, at, 1, bits).lines().last().unwrap_or_default().trim().to_string()
        });
        Link {
            text: d.to_string(),
            vector: d.fault.vector,
            error_code: d.fault.code,
            rip: d.rip,
            cr2: (d.fault.vector == vector::PF).then_some(d.cr2),
            instruction,
            cause: self.cause(cpu, d, at),
            not_delivered: None,
        }
    }

    fn linear_of(&self, cpu: usize, d: &Delivery) -> u64 {
        let c = &self.cpus[cpu];
        if c.is_64() { d.rip } else { c.seg[Seg::Cs as usize].base.wrapping_add(d.rip) & 0xffff_ffff }
    }

    /// What raised an exception, where the processor's state still tells.
    fn cause(&self, cpu: usize, d: &Delivery, at: u64) -> Option<String> {
        let c = &self.cpus[cpu];
        let code = d.fault.code.unwrap_or(0);
        match d.fault.vector {
            vector::PF => {
                let access = match code {
                    e if e & 16 != 0 => Access::Execute,
                    e if e & 2 != 0 => Access::Write,
                    _ => Access::Read,
                };
                let space = walk::space_of(c, &self.mem, None);
                let told = walk::walk(&self.mem, &space, d.cr2);
                let why = walk::refusal(c, &space, &told, access, code & 4 != 0)?;
                let verb = ["load from", "store to", "fetch from"][access as usize];
                Some(format!("a {verb} {:#x} was refused: {why}", d.cr2))
            }
            vector::GP if code == 0 => self.cause_of_iret(cpu, at),
            vector::GP | vector::NP | vector::SS | vector::TS if code != 0 => {
                Some(self.selector_text(cpu, code))
            }
            _ => None,
        }
    }

    /// An IRET in 64-bit mode whose frame can't be returned to.
    fn cause_of_iret(&self, cpu: usize, at: u64) -> Option<String> {
        let c = &self.cpus[cpu];
        let i = self.instruction_at(cpu, at, super::disasm::bits(c))?;
        if i.mnemonic() != iced_x86::Mnemonic::Iretq {
            return None;
        }
        let sp = c.gpr[gpr::RSP];
        let word = |n: u64| self.stack_word(cpu, sp.wrapping_add(8 * n), 8);
        let (ip, cs, up, ss) = (word(0)?, word(1)?, word(3)?, word(4)?);
        let la57 = c.cr4 & cr4::LA57 != 0;
        if !is_canonical(ip, la57) {
            return Some(format!(
                "the frame of IRETQ at {sp:#x} returns to {ip:#x}, which is not canonical (CS {cs:#x})"
            ));
        }
        if !is_canonical(up, la57) {
            return Some(format!(
                "the frame of IRETQ at {sp:#x} returns to a stack at {up:#x}, which is not canonical"
            ));
        }
        Some(format!("the frame of IRETQ at {sp:#x} returns to {cs:#x}:{ip:#x}, stack {ss:#x}:{up:#x}"))
    }

    fn stack_word(&self, cpu: usize, at: u64, width: usize) -> Option<u64> {
        let mut b = [0; 8];
        (self.peek(cpu, at, &mut b[..width]) == width).then(|| u64::from_le_bytes(b))
    }

    /// An error code that names a selector or gate (SDM 6.13).
    fn selector_text(&self, cpu: usize, code: u32) -> String {
        if code & 2 != 0 {
            return format!(
                "gate {:#x} of the IDT: {}",
                code >> 3,
                self.gate(cpu, (code >> 3) as u8).unwrap_or_else(|e| e)
            );
        }
        let c = &self.cpus[cpu];
        let (name, base, limit) = if code & 4 == 0 {
            ("GDT", c.gdtr.base, u32::from(c.gdtr.limit))
        } else {
            ("LDT", c.ldtr.base, c.ldtr.limit)
        };
        let index = code & 0xfff8;
        if index + 7 > limit {
            return format!("selector {index:#x} is beyond the limit {limit:#x} of the {name}");
        }
        let raw = self.stack_word(cpu, base.wrapping_add(index.into()), 8);
        let text = raw
            .map_or_else(|| "no memory there".into(), |r| descriptor_text(r, 0, c.msr.efer & efer::LMA != 0));
        format!("selector {index:#x} of the {name}: {text}")
    }

    fn gate_raw(&self, cpu: usize, v: u8) -> Result<(u64, u64), String> {
        let c = &self.cpus[cpu];
        let long = c.msr.efer & efer::LMA != 0;
        let size: u64 = if c.cr0 & cr0::PE == 0 {
            4
        } else if long {
            16
        } else {
            8
        };
        let end = u64::from(v) * size + size - 1;
        if end > c.idtr.limit.into() {
            return Err(format!(
                "the IDT ends before vector {v:#x}: its limit is {:#x}, the gate ends at {end:#x}",
                c.idtr.limit
            ));
        }
        let at = c.idtr.base.wrapping_add(u64::from(v) * size);
        let missing = |at: u64| {
            format!(
                "the IDT's gate for vector {v:#x} at {at:#x} can't be read: {}",
                self.unreachable(cpu, at, Access::Read)
            )
        };
        let raw = self.stack_word(cpu, at, size.min(8) as usize).ok_or_else(|| missing(at))?;
        let high = if long { self.stack_word(cpu, at + 8, 8).ok_or_else(|| missing(at + 8))? } else { 0 };
        Ok((raw, high))
    }

    fn gate(&self, cpu: usize, v: u8) -> Result<String, String> {
        let (raw, high) = self.gate_raw(cpu, v)?;
        Ok(gate_text(raw, high, self.cpus[cpu].msr.efer & efer::LMA != 0))
    }

    fn unreachable(&self, cpu: usize, at: u64, access: Access) -> String {
        let c = &self.cpus[cpu];
        if c.msr.efer & efer::LMA != 0 && !c.canonical(at) {
            return "the address is not canonical".into();
        }
        let space = walk::space_of(c, &self.mem, None);
        let told = walk::walk(&self.mem, &space, at);
        walk::refusal(c, &space, &told, access, false).unwrap_or_else(|| "nothing answers there".into())
    }

    /// Why the processor can't deliver a vector from its present state; `None` if nothing is seen to be wrong.
    fn why_not_delivered(&self, cpu: usize, v: u8) -> Option<String> {
        let c = &self.cpus[cpu];
        let (raw, high) = match self.gate_raw(cpu, v) {
            Ok(g) => g,
            Err(why) => return Some(why),
        };
        if c.cr0 & cr0::PE == 0 {
            return None;
        }
        let long = c.msr.efer & efer::LMA != 0;
        let text = gate_text(raw, high, long);
        let kind = raw >> 40 & 0x1f;
        if raw >> 47 & 1 == 0 {
            return Some(format!("the gate for vector {v:#x} is not present: {text}"));
        }
        if !matches!(kind, 14 | 15) && (long || !matches!(kind, 5..=7)) {
            return Some(format!("the gate for vector {v:#x} is none: {text}"));
        }
        if kind == 5 {
            return None;
        }
        let selector = raw >> 16 & 0xffff;
        let descriptor = self.stack_word(cpu, c.gdtr.base.wrapping_add(selector & 0xfff8), 8);
        let code = match descriptor {
            _ if selector & 0xfff8 == 0 => {
                return Some(format!("the gate for vector {v:#x} has a null selector"));
            }
            _ if selector & 4 == 0 && (selector | 7) > c.gdtr.limit.into() => {
                return Some(format!(
                    "the gate for vector {v:#x} names selector {selector:#x}, beyond the GDT's limit {:#x}",
                    c.gdtr.limit
                ));
            }
            Some(d) => d,
            None => {
                return Some(format!(
                    "the descriptor of selector {selector:#x} can't be read: {}",
                    self.unreachable(cpu, c.gdtr.base.wrapping_add(selector & 0xfff8), Access::Read)
                ));
            }
        };
        if code >> 43 & 3 != 3 || code >> 47 & 1 == 0 {
            return Some(format!(
                "the gate for vector {v:#x} names {selector:#x}, which is no code segment: {}",
                descriptor_text(code, 0, long)
            ));
        }
        let inner = code >> 45 & 3 < u64::from(c.cpl) && code >> 42 & 1 == 0;
        self.stack_trouble(cpu, v, raw, inner, long)
    }

    /// What is wrong with the stack that a delivery pushes to.
    fn stack_trouble(&self, cpu: usize, v: u8, gate: u64, inner: bool, long: bool) -> Option<String> {
        let c = &self.cpus[cpu];
        let ist = if long { gate >> 32 & 7 } else { 0 };
        let base = if long { 0 } else { c.seg[Seg::Ss as usize].base };
        let (top, which) = if ist > 0 || inner {
            let (offset, width, name) = match (long, ist) {
                (true, 0) => (4, 8, "RSP0".to_string()),
                (true, n) => (36 + 8 * (n - 1), 8, format!("IST{n}")),
                (false, _) => (4, 4, "ESP0".to_string()),
            };
            if offset + width - 1 > c.tr.limit.into() {
                return Some(format!("{name} lies beyond the TSS's limit {:#x}", c.tr.limit));
            }
            let at = c.tr.base.wrapping_add(offset);
            let Some(top) = self.stack_word(cpu, at, width as usize) else {
                return Some(format!(
                    "{name} of the TSS at {at:#x} can't be read: {}",
                    self.unreachable(cpu, at, Access::Read)
                ));
            };
            if !long && let Some(why) = self.bad_ss0(cpu) {
                return Some(format!("vector {v:#x} enters ring 0: {why}"));
            }
            (top, format!("{name} of the TSS"))
        } else {
            (c.gpr[gpr::RSP], "the current stack pointer".to_string())
        };
        if long && !c.canonical(top) {
            return Some(format!("vector {v:#x} pushes to {which}, {top:#x}, which is not canonical"));
        }
        let top = if long { top & !15 } else { top & 0xffff_ffff };
        let bytes: u64 = if long {
            40
        } else if inner {
            20
        } else {
            12
        };
        let push = base.wrapping_add(top.wrapping_sub(bytes));
        let push = if long { push } else { push & 0xffff_ffff };
        let space = walk::space_of(c, &self.mem, None);
        for at in [push, push.wrapping_add(bytes - 1)] {
            let told = walk::walk(&self.mem, &space, at);
            if let Some(why) = walk::refusal(c, &space, &told, Access::Write, false) {
                return Some(format!(
                    "vector {v:#x} pushes to {which}, {top:#x}: the page at {:#x} can't be written: {why}",
                    at & !(PAGE - 1)
                ));
            }
        }
        None
    }

    /// What is wrong with SS0 of a 32-bit TSS.
    fn bad_ss0(&self, cpu: usize) -> Option<String> {
        let c = &self.cpus[cpu];
        let selector = self.stack_word(cpu, c.tr.base.wrapping_add(8), 2)?;
        if selector & 0xfffc == 0 {
            return Some("SS0 of the TSS is null".into());
        }
        if (selector | 7) > c.gdtr.limit.into() && selector & 4 == 0 {
            return Some(format!(
                "SS0 of the TSS is {selector:#x}, beyond the GDT's limit {:#x}",
                c.gdtr.limit
            ));
        }
        let d = self.stack_word(cpu, c.gdtr.base.wrapping_add(selector & 0xfff8), 8)?;
        let writable = d >> 43 & 3 == 2 && d >> 41 & 1 != 0;
        let ok = writable && d >> 47 & 1 != 0 && d >> 45 & 3 == 0 && selector & 3 == 0;
        (!ok).then(|| {
            format!(
                "SS0 of the TSS is {selector:#x}, no writable data segment of ring 0: {}",
                descriptor_text(d, 0, false)
            )
        })
    }

    fn stack_words(&self, cpu: usize) -> Vec<String> {
        let c = &self.cpus[cpu];
        let width = super::disasm::bits(c) as usize / 8;
        let base = if width == 8 { 0 } else { c.seg[Seg::Ss as usize].base };
        let start = base.wrapping_add(c.gpr[gpr::RSP]);
        let mut out = Vec::new();
        for n in 0..STACK {
            let at = start.wrapping_add((n * width) as u64);
            let Some(v) = self.stack_word(cpu, at, width) else {
                out.push(format!("{at:#x}: {}", self.unreachable(cpu, at, Access::Read)));
                break;
            };
            let name = self.symbol_text(v).map_or_else(String::new, |n| format!("  {n}"));
            out.push(format!("{at:#x}: {v:0w$x}{name}", w = 2 * width));
        }
        out
    }

    /// Whether the guest hangs for good: halted or looping with interrupts off.
    pub fn hangs(&self, cpu: usize) -> bool {
        let c = &self.cpus[cpu];
        c.activity == Activity::Halted && c.rflags & flag::IF == 0
    }
}

/// The deliveries that belong to a triple fault: the double fault and what came before it.
fn last_chain(all: &[Delivery]) -> &[Delivery] {
    let df = all.iter().rposition(|d| d.fault.vector == vector::DF);
    match df {
        Some(i) => &all[i.saturating_sub(2)..=i],
        None => &all[all.len().saturating_sub(2)..],
    }
}

/// The same exception at the same place over and over.
fn endless(list: &[Delivery]) -> Option<String> {
    let last = list.last()?;
    let same =
        list.iter().rev().take_while(|d| d.fault.vector == last.fault.vector && d.rip == last.rip).count();
    (same >= 3).then(|| {
        format!(
            "the same exception comes again and again at {:#x}: its handler raises it itself, without end",
            last.rip
        )
    })
}
