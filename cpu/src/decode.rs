//! From bytes to [`Insn`]s: `iced-x86` decodes, this module compacts and asks `crate::meaning` for the handler.
//!
//! A block is a straight run within one frame, or one that begins with an instruction that leaves its frame (see
//! `crate::interp`). Intel SDM volume 2, chapter 2.

use crate::{
    Exec, Fault,
    insn::{IP_REG, Insn, ModeKey, NO_REG, prefix},
    interp::{
        Direct, Handlers,
        blocks::{self, Blocks, Choice, MAX_BLOCK},
        pairs,
    },
    meaning,
    memory::PAGE,
    model::{CpuModel, Feature, Generation},
    ops::{Bail, End, Ops, Select},
    state::Seg,
};
mod i8086;

use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction, OpKind, Register};

/// Longest instruction.
const MAX_LEN: usize = 15;

/// Decodes the block at `at` (a place in RAM) and enters it. `None` if its first instruction leaves the frame.
pub fn block(x: &mut Exec<'_>, blocks: &mut Blocks, at: u64, key: ModeKey) -> Option<u32> {
    let off = (at % PAGE) as usize;
    let mut page = [0; PAGE as usize];
    // Enough for a full block of the longest instructions.
    let end = (off + MAX_BLOCK * MAX_LEN).min(PAGE as usize);
    x.mem.ram.copy_out(at as usize, &mut page[off..end]);
    let mut insns = Vec::with_capacity(16);
    let (last, pair) = if rewrites(&x.cpu.model) {
        (one_by_one(&mut page[..end], off, key, &x.cpu.model, &mut insns), None)
    } else {
        straight(&page[..end], off, key, &x.cpu.model, &mut insns)
    };
    if insns.is_empty() {
        return None;
    }
    Some(blocks.insert(&mut x.derived.tlb, x.mem, at, key, &insns, last, pair, blocks::NONE))
}

/// Decodes the instruction at `at`, which goes on in frame `second`, and enters it as a block, with those behind it if `on`.
/// `None`: it doesn't cross.
pub fn crossing(
    x: &mut Exec<'_>,
    blocks: &mut Blocks,
    at: u64,
    key: ModeKey,
    second: u32,
    on: bool,
) -> Option<u32> {
    let off = (at % PAGE) as usize;
    let mut pages = [0; 2 * PAGE as usize];
    let most = if on { MAX_BLOCK } else { 1 };
    let end = off + most * MAX_LEN;
    let (here, there) = pages[..end].split_at_mut(PAGE as usize);
    x.mem.ram.copy_out(at as usize, &mut here[off..]);
    x.mem.ram.copy_out(second as usize * PAGE as usize, there);
    let (i, first) = one(x, &pages[off..off + MAX_LEN], off as u16, key)?;
    if off + usize::from(i.len) <= PAGE as usize {
        return None;
    }
    let mut insns = vec![i];
    let (mut last, mut pair) = (first, None);
    if on && first == End::No && !rewrites(&x.cpu.model) {
        insns.clear();
        (last, pair) = straight(&pages[..end], off, key, &x.cpu.model, &mut insns);
    }
    Some(blocks.insert(&mut x.derived.tlb, x.mem, at, key, &insns, last, pair, second))
}

/// Decodes a straight run from `off` to the end of `page`.
fn straight(
    page: &[u8],
    off: usize,
    key: ModeKey,
    model: &CpuModel,
    insns: &mut Vec<Insn>,
) -> (End, Option<pairs::Pair>) {
    let mut before = Instruction::default();
    let mut decoder = decoder(&page[off..], off as u64, key, model);
    let mut ins = Instruction::default();
    while insns.len() < MAX_BLOCK {
        let place = off + decoder.position();
        if place >= page.len() {
            break;
        }
        decoder.decode_out(&mut ins);
        if ins.code() == Code::INVALID && decoder.last_error() == DecoderError::NoMoreBytes {
            break;
        }
        let (i, e) = compact(&ins, &page[place..], place as u16, key, model);
        insns.push(i);
        if e != End::No {
            let pair = insns.len().checked_sub(2).and_then(|n| pairs::find(&before, insns[n].size, &ins));
            return (e, pair);
        }
        before = ins;
    }
    (End::No, None)
}

/// Whether bytes must be rewritten before decoding: the aliases of an 8086, and ESC without an x87.
fn rewrites(model: &CpuModel) -> bool {
    model.generation == Generation::I8086 || !model.has(Feature::Fpu)
}

/// As [`straight`] where bytes are rewritten.
fn one_by_one(page: &mut [u8], off: usize, key: ModeKey, model: &CpuModel, insns: &mut Vec<Insn>) -> End {
    let mut place = off;
    while place < page.len() && insns.len() < MAX_BLOCK {
        let Some((i, e)) = old(&mut page[place..], place as u16, key, model) else { break };
        insns.push(i);
        place += usize::from(i.len);
        if e != End::No {
            return e;
        }
    }
    End::No
}

fn old(bytes: &mut [u8], off: u16, key: ModeKey, model: &CpuModel) -> Option<(Insn, End)> {
    if model.generation == Generation::I8086
        && let Some(n) = i8086::canonical(bytes)
    {
        // POP CS: one byte and its prefixes.
        let mut i = blank(off, key);
        i.len = n;
        i.size = 2;
        let choice = meaning::pop_cs(Handlers);
        i.handler = choice.handler;
        i.build = choice.build;
        return Some((i, choice.end));
    }
    if !model.has(Feature::Fpu)
        && let Some(opcode) = i8086::escape(bytes)
    {
        // Decoded as MOV, for its operand.
        let (mut i, _) = fresh(bytes, off, key, model)?;
        i.imm = u64::from(opcode);
        let choice = meaning::escape(Handlers);
        i.handler = choice.handler;
        i.build = choice.build;
        return Some((i, choice.end));
    }
    fresh(bytes, off, key, model)
}

fn fresh(bytes: &[u8], off: u16, key: ModeKey, model: &CpuModel) -> Option<(Insn, End)> {
    let mut d = decoder(bytes, u64::from(off), key, model);
    let ins = d.decode();
    if ins.code() == Code::INVALID && d.last_error() == DecoderError::NoMoreBytes && bytes.len() < MAX_LEN {
        return None;
    }
    Some(compact(&ins, bytes, off, key, model))
}

/// Decodes the one instruction at the start of `bytes`, which lies at `off` in its page. `None`: it needs more bytes.
pub fn one(x: &Exec<'_>, bytes: &[u8], off: u16, key: ModeKey) -> Option<(Insn, End)> {
    if rewrites(&x.cpu.model) {
        let mut b = [0; 16];
        let n = bytes.len().min(16);
        b[..n].copy_from_slice(&bytes[..n]);
        return old(&mut b[..n], off, key, &x.cpu.model);
    }
    fresh(bytes, off, key, &x.cpu.model)
}

/// Decodes the instruction at the start of `bytes`, which lies at `off` in its page, and hands its meaning to another
/// selector than the interpreter's: for a translator, tests and tools. The handler of the [`Insn`] is the interpreter's
/// too. `None`: it needs more bytes, or does not exist.
pub fn with<S: Select>(
    s: S,
    bytes: &[u8],
    off: u16,
    key: ModeKey,
    model: &CpuModel,
) -> Option<(Instruction, Insn, S::Out)> {
    let ins = decoder(bytes, u64::from(off), key, model).decode();
    if ins.code() == Code::INVALID {
        return None;
    }
    let (mut i, _) = compact(&ins, bytes, off, key, model);
    let out = meaning::select(s, &ins, &mut i, key, model);
    Some((ins, i, out))
}

fn decoder<'a>(bytes: &'a [u8], ip: u64, key: ModeKey, model: &CpuModel) -> Decoder<'a> {
    let mut options = DecoderOptions::NO_WBNOINVD;
    if model.generation <= Generation::I286 {
        // LOCK goes with every instruction.
        options |= DecoderOptions::NO_INVALID_CHECK;
    }
    Decoder::with_ip(key.bits(), bytes, ip, options)
}

/// An instruction that is not there.
fn undefined(d: &mut Direct<'_>, _: &Insn) -> Result<(), Bail> {
    Err(d.raise(Fault::ud()))
}

/// More than 15 bytes.
fn too_long(d: &mut Direct<'_>, _: &Insn) -> Result<(), Bail> {
    Err(d.raise(Fault::gp(0)))
}

fn compact(ins: &Instruction, bytes: &[u8], off: u16, key: ModeKey, model: &CpuModel) -> (Insn, End) {
    let mut i = blank(off, key);
    if ins.code() == Code::INVALID {
        let long = bytes.len() >= MAX_LEN && bytes[..MAX_LEN - 1].iter().all(|&b| is_prefix(b, key));
        i.handler = if long { too_long } else { undefined };
        i.len = 1;
        return (i, End::Transfer);
    }
    if model.generation == Generation::I286 && ins.len() > 10 {
        i.handler = too_long;
        i.len = 1;
        return (i, End::Transfer);
    }
    fill(&mut i, ins, key);
    i.flat |= u8::from(i.is_flat(i.seg)) << 7;
    if meaning::x87::known(ins.code()) {
        i.imm = meaning::x87::opcode(bytes);
    }
    let choice: Choice = meaning::select(Handlers, ins, &mut i, key, model);
    i.handler = choice.handler;
    i.build = choice.build;
    (i, choice.end)
}

fn is_prefix(b: u8, key: ModeKey) -> bool {
    matches!(b, 0x26 | 0x2e | 0x36 | 0x3e | 0x64..=0x67 | 0xf0 | 0xf2 | 0xf3)
        || key.code64() && b & 0xf0 == 0x40
}

fn blank(off: u16, key: ModeKey) -> Insn {
    Insn {
        handler: undefined,
        build: crate::jit::builder::refuse,
        imm: 0,
        disp: 0,
        code: 0,
        off,
        len: 0,
        dst: 0,
        src: 0,
        third: 0,
        base: NO_REG,
        index: NO_REG,
        scale: 0,
        seg: Seg::Ds as u8,
        size: 0,
        addr: 0,
        flat: key.flat(),
        prefix: 0,
        kind: 0,
        mode: key.insn_mode(),
    }
}

/// A register's number as [`Insn::dst`] has it.
pub fn number(r: Register) -> u8 {
    match r {
        Register::AH => 16,
        Register::CH => 17,
        Register::DH => 18,
        Register::BH => 19,
        // iced-x86 counts AH to BH before SPL.
        _ if r.is_gpr8() && r.number() >= 8 => r.number() as u8 - 4,
        _ => r.number() as u8,
    }
}

/// Copies operands and prefixes.
fn fill(i: &mut Insn, ins: &Instruction, key: ModeKey) {
    i.code = ins.code() as u16;
    i.len = ins.len() as u8;
    i.prefix = (u8::from(ins.has_lock_prefix()) * prefix::LOCK)
        | (u8::from(ins.has_rep_prefix()) * prefix::REP)
        | (u8::from(ins.has_repne_prefix()) * prefix::REPNE)
        | (u8::from(ins.segment_prefix() != Register::None) * prefix::SEGMENT);
    for n in 0..ins.op_count() {
        match ins.op_kind(n) {
            OpKind::Register => {
                let r = number(ins.op_register(n));
                match n {
                    0 => i.dst = r,
                    1 => i.src = r,
                    2 => i.third = r,
                    _ => {}
                }
            }
            OpKind::Memory => memory(i, ins, key),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64 => {
                i.imm = ins.near_branch_target().wrapping_sub(ins.next_ip());
            }
            OpKind::FarBranch16 => {
                i.imm = u64::from(ins.far_branch16()) | u64::from(ins.far_branch_selector()) << 32;
            }
            OpKind::FarBranch32 => {
                i.imm = u64::from(ins.far_branch32()) | u64::from(ins.far_branch_selector()) << 32;
            }
            OpKind::Immediate8_2nd => i.imm |= u64::from(ins.immediate8_2nd()) << 16,
            OpKind::MemorySegSI
            | OpKind::MemorySegESI
            | OpKind::MemorySegRSI
            | OpKind::MemorySegDI
            | OpKind::MemorySegEDI
            | OpKind::MemorySegRDI
            | OpKind::MemoryESDI
            | OpKind::MemoryESEDI
            | OpKind::MemoryESRDI => implicit_memory(i, ins, n, key),
            _ => i.imm = ins.immediate(n),
        }
    }
    i.kind = Insn::kind_of(ins.code(), i.dst);
}

fn memory(i: &mut Insn, ins: &Instruction, key: ModeKey) {
    i.mode |= 16;
    i.seg = segment(ins, key);
    let (base, index) = (ins.memory_base(), ins.memory_index());
    let wide = match (base, index) {
        (Register::None, Register::None) => ins.memory_displ_size() as u8,
        (Register::None, r) | (r, _) => r.size() as u8,
    };
    i.addr = match wide {
        2 | 4 | 8 => wide,
        // A displacement of one byte or none, without a register, does not exist.
        _ => 2 << (key.0 & 3),
    };
    i.scale = ins.memory_index_scale().trailing_zeros() as u8;
    if base == Register::RIP || base == Register::EIP {
        i.base = IP_REG;
        i.disp = ins.memory_displacement64().wrapping_sub(ins.next_ip()) as i32;
        return;
    }
    i.disp = ins.memory_displacement64() as i32;
    if base != Register::None {
        i.base = base.number() as u8;
    }
    if index != Register::None {
        i.index = index.number() as u8;
    }
    if base == Register::None && index == Register::None && ins.memory_displ_size() == 8 {
        // A 64-bit absolute address: MOV's moffs forms find it in `imm`.
        i.imm = ins.memory_displacement64();
    }
}

/// String instructions: segment and address size.
fn implicit_memory(i: &mut Insn, ins: &Instruction, n: u32, key: ModeKey) {
    let (addr, source) = match ins.op_kind(n) {
        OpKind::MemorySegSI | OpKind::MemorySegDI => (2, true),
        OpKind::MemorySegESI | OpKind::MemorySegEDI => (4, true),
        OpKind::MemorySegRSI | OpKind::MemorySegRDI => (8, true),
        OpKind::MemoryESDI => (2, false),
        OpKind::MemoryESEDI => (4, false),
        _ => (8, false),
    };
    i.addr = addr;
    if source {
        i.seg = segment(ins, key);
    }
}

/// The segment of the memory operand. In 64-bit code the prefixes of ES, CS, SS and DS mean nothing, not even which
/// exception a non-canonical address raises (SDM volume 2, section 2.1.1; APM volume 3, section 1.2.4).
fn segment(ins: &Instruction, key: ModeKey) -> u8 {
    let named = ins.memory_segment().number() as u8;
    if !key.code64() || named >= Seg::Fs as u8 {
        return named;
    }
    let stack = matches!(ins.memory_base(), Register::RSP | Register::ESP | Register::RBP | Register::EBP);
    if stack { Seg::Ss as u8 } else { Seg::Ds as u8 }
}
