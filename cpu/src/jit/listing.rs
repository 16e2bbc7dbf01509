//! A person's view of a translated block: guest code, micro-operations, host code, and how often it ran.

use super::Jit;
use crate::insn::{Insn, ModeKey};
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, NasmFormatter};
use std::fmt::Write;

/// What a listing needs beside the code; kept only where listings are wanted.
pub(super) struct Source {
    /// Place of the block in RAM.
    pub at: u64,
    /// Mode.
    pub key: ModeKey,
    /// Bytes of its instructions, one after the other.
    pub bytes: Box<[u8]>,
    /// Micro-operations, a line each.
    pub ops: Vec<String>,
    /// Instructions that were translated.
    pub insns: Box<[Insn]>,
    /// How often the block was entered: translated code counts here.
    pub entered: Box<u64>,
}

fn disassemble(s: &mut String, bits: u32, bytes: &[u8], at: u64) {
    let mut decoder = Decoder::with_ip(bits, bytes, at, DecoderOptions::NONE);
    let mut formatter = NasmFormatter::new();
    let mut i = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut i);
        let mut text = String::new();
        formatter.format(&i, &mut text);
        let _ = writeln!(s, "    {:6x}  {text}", i.ip());
    }
}

impl Jit {
    /// The `n` blocks that ran the most instructions, as text.
    pub fn hottest(&self, n: usize) -> String {
        let weight = |s: &Source| *s.entered * s.insns.len() as u64;
        let mut all: Vec<_> =
            self.natives.iter().flatten().filter_map(|b| b.source.as_ref().map(|s| (b, s))).collect();
        all.sort_by_key(|(_, s)| std::cmp::Reverse(weight(s)));
        let total: u64 = all.iter().map(|(_, s)| weight(s)).sum();
        let mut out = String::new();
        for (b, s) in all.iter().take(n) {
            let part = 100.0 * weight(s) as f64 / total.max(1) as f64;
            let _ = writeln!(
                out,
                "block at {:x}h in RAM: entered {} times, {} instructions, {part:.2}% of all; {} host bytes at {:x}h, {} at {:x}h",
                s.at,
                s.entered,
                s.insns.len(),
                b.site.length,
                b.site.hot,
                b.host_bytes as usize - b.site.length,
                b.site.cold
            );
            out.push_str("  guest code\n");
            let mut rest = &*s.bytes;
            for i in &s.insns {
                let (bytes, behind) = rest.split_at(usize::from(i.len).min(rest.len()));
                disassemble(&mut out, s.key.bits(), bytes, u64::from(i.off));
                rest = behind;
            }
            out.push_str("  micro-operations\n");
            for (k, op) in s.ops.iter().enumerate() {
                let _ = writeln!(out, "    {k:6}  {op}");
            }
            out.push_str("  host code\n");
            let length = b.site.length;
            disassemble(&mut out, 64, self.memory.read(b.site.hot, length), 0);
            out.push_str("  seldom run\n");
            let cold = self.memory.read(b.site.cold, b.host_bytes as usize - length);
            disassemble(&mut out, 64, cold, (b.site.cold as u64).wrapping_sub(b.site.hot as u64));
        }
        out
    }
}
