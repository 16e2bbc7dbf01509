//! Instructions in words: decoding at an address in the processor's mode, and what kind of instruction it is.

use crate::Machine;
use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, Instruction, NasmFormatter};
use lucid86_cpu::Cpu;
use lucid86_cpu::state::{Seg, attr, cr0};
use std::fmt::Write;

/// Bits of the code that a processor is in.
pub fn bits(cpu: &Cpu) -> u32 {
    if cpu.is_64() {
        64
    } else if cpu.cr0 & cr0::PE != 0 && cpu.seg[Seg::Cs as usize].attr & attr::DB != 0 && !cpu.is_v86() {
        32
    } else {
        16
    }
}

/// Kinds of instruction to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Anything that may not go on to the next instruction.
    Branch,
    /// CALL.
    Call,
    /// RET, near or far.
    Return,
    /// IRET, SYSRET, SYSEXIT.
    InterruptReturn,
}

/// Whether an instruction is of a kind.
pub fn is(i: &Instruction, flow: Flow) -> bool {
    use iced_x86::Mnemonic::{Iret, Iretd, Iretq, Rsm, Sysexit, Sysexitq, Sysret, Sysretq};
    let back = matches!(i.mnemonic(), Iret | Iretd | Iretq | Rsm | Sysexit | Sysexitq | Sysret | Sysretq);
    match flow {
        Flow::Branch => i.flow_control() != FlowControl::Next,
        Flow::Call => matches!(i.flow_control(), FlowControl::Call | FlowControl::IndirectCall),
        Flow::Return => i.flow_control() == FlowControl::Return && !back,
        Flow::InterruptReturn => back,
    }
}

/// Whether "step over" runs what the instruction calls or repeats to its end.
pub fn is_stepped_over(i: &Instruction) -> bool {
    is(i, Flow::Call)
        || i.flow_control() == FlowControl::Interrupt
        || (i.has_rep_prefix() || i.has_repne_prefix()) && i.is_string_instruction()
        || matches!(
            i.mnemonic(),
            iced_x86::Mnemonic::Loop | iced_x86::Mnemonic::Loope | iced_x86::Mnemonic::Loopne
        )
}

impl Machine {
    /// The instruction at a linear address, if its bytes can be had.
    pub fn instruction_at(&self, cpu: usize, linear: u64, bits: u32) -> Option<Instruction> {
        let mut bytes = [0; 15];
        let n = self.peek(cpu, linear, &mut bytes);
        let i = Decoder::with_ip(bits, &bytes[..n], linear, DecoderOptions::NONE).decode();
        (!i.is_invalid()).then_some(i)
    }

    /// Lines of disassembly from a linear address on.
    pub fn disassemble(&self, cpu: usize, linear: u64, count: usize, bits: u32) -> String {
        let mut out = String::new();
        let mut at = linear;
        let mut formatter = NasmFormatter::new();
        formatter.options_mut().set_branch_leading_zeros(false);
        formatter.options_mut().set_hex_prefix("0x");
        formatter.options_mut().set_hex_suffix("");
        let here = self.pc(cpu);
        let mut line = None;
        for _ in 0..count.min(4096) {
            let mut bytes = [0; 15];
            let n = self.peek(cpu, at, &mut bytes);
            if let Some(name) = self.debug.symbols.starts(at) {
                let _ = writeln!(out, "{name}:");
            }
            let now = self.debug.symbols.line(at);
            if now.is_some() && now != line {
                let _ = writeln!(out, "   ; {}", now.as_deref().unwrap_or_default());
            }
            line = now;
            let mark = if at == here { "=>" } else { "  " };
            if n == 0 {
                let _ = writeln!(out, "{mark} {at:#018x}  (no memory)");
                break;
            }
            // Targets are offsets in the code segment.
            let base = self.code_base(cpu, at, bits);
            let i = Decoder::with_ip(bits, &bytes[..n], at.wrapping_sub(base), DecoderOptions::NONE).decode();
            let len = i.len().max(1);
            let hex = bytes[..len.min(n)].iter().fold(String::new(), |s, b| s + &format!("{b:02x}"));
            let mut text = String::new();
            if i.is_invalid() {
                text.push_str("(bad)");
            } else {
                formatter.format(&i, &mut text);
            }
            let target = self.target(cpu, &i, base).and_then(|to| self.symbol_text(to));
            let target = target.map_or_else(String::new, |t| format!("  ; {t}"));
            let _ = writeln!(out, "{mark} {at:#018x}  {hex:<20} {text}{target}");
            at = at.wrapping_add(len as u64);
        }
        out
    }

    /// Where a branch in a segment with this base leads, if the instruction and the mode say so: through descriptors
    /// nothing is looked up.
    fn target(&self, cpu: usize, i: &Instruction, base: u64) -> Option<u64> {
        use iced_x86::OpKind::{FarBranch16, NearBranch16, NearBranch32, NearBranch64};
        let c = &self.cpus[cpu];
        match i.op0_kind() {
            NearBranch16 | NearBranch32 | NearBranch64 => Some(base.wrapping_add(i.near_branch_target())),
            FarBranch16 if c.cr0 & cr0::PE == 0 || c.is_v86() => {
                Some((u64::from(i.far_branch_selector()) << 4) + u64::from(i.far_branch16()))
            }
            _ => None,
        }
    }

    /// The base of the code segment that `at` is in: the processor's own if that reaches so far; else, of 16-bit code, its
    /// 64 KiB, and of 32-bit code, which may be anywhere, 0.
    fn code_base(&self, cpu: usize, at: u64, bits: u32) -> u64 {
        let (base, reach) = match bits {
            64 => return 0,
            16 => (self.segment_base(cpu, Seg::Cs), 0xffff),
            _ => (self.segment_base(cpu, Seg::Cs), 0xffff_ffff),
        };
        if at.wrapping_sub(base) <= reach {
            base
        } else if bits == 16 {
            at & !0xffff
        } else {
            0
        }
    }

    /// An address as symbol and offset, if one is near.
    pub fn symbol_text(&self, at: u64) -> Option<String> {
        let (name, offset) = self.debug.symbols.at(at)?;
        Some(if offset == 0 { name.to_string() } else { format!("{name}+{offset:#x}") })
    }
}
