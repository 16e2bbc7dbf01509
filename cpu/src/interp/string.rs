//! String instructions: MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS with and without repetition. Intel SDM volume 2, "REP".
//!
//! The count advances by one for each iteration. Between iterations everything can happen: RCX, RSI, RDI are exact at a
//! fault, and the instruction stops (RIP stays) at the budget's end, under TF, and when the board was called, code
//! was changed or a data breakpoint hit. Where both sides are plain memory, or a port has a row of data, a page run is
//! done at once.

use crate::{
    Exec, Fault, helper,
    insn::{Insn, prefix, seg_from},
    interp::flags,
    memory::PAGE,
    mmu::Access,
    model::Generation,
    state::{Seg, flag, gpr},
};

/// Which string instruction.
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Movs,
    Cmps,
    Stos,
    Lods,
    Scas,
    Ins,
    Outs,
}

const RAX: u8 = gpr::RAX as u8;
const RCX: u8 = gpr::RCX as u8;
const RSI: u8 = gpr::RSI as u8;
const RDI: u8 = gpr::RDI as u8;

/// Runs a string instruction as far as it may go; for [`crate::ops::Call::Counted`].
pub fn run(x: &mut Exec<'_>, i: &Insn, op: Op) -> Result<(), Fault> {
    let next = x.next_rip(i);
    if i.prefix & (prefix::REP | prefix::REPNE) == 0 {
        once(x, i, op)?;
        x.count += 1;
        x.cpu.rip = next;
        return Ok(());
    }
    let mut left = x.reg(RCX, i.addr);
    if left == 0 {
        if matches!(op, Op::Ins | Op::Outs) {
            // The port's permission is looked at even when nothing is moved.
            let port = x.reg(gpr::RDX as u8, 2) as u16;
            helper::check_io(x, port, i.size)?;
        }
        x.count += 1;
        x.cpu.rip = next;
        return Ok(());
    }
    let single = x.cpu.rflags & flag::TF != 0;
    // "When a fault occurs during the execution of a CMPS or SCAS instruction that is prefixed with REPE or REPNE, the EFLAGS
    // value is restored to the state prior to the execution" (SDM volume 2, REP). So it is when the instruction is left
    // with iterations to go, lest it be seen where it was left. A 286 keeps the last comparison's (hardware captures).
    let restores = x.cpu.model.generation > Generation::I286;
    let before = x.cpu.rflags & flag::STATUS;
    loop {
        let budget = (x.limit - x.count).min(left);
        let done = if single { 0 } else { block(x, i, op, budget) };
        let done = if done == 0 {
            if let Err(f) = one(x, i, op) {
                if restores {
                    x.cpu.rflags = x.cpu.rflags & !flag::STATUS | before;
                }
                return Err(late_fault(x, i, op, f));
            }
            1
        } else {
            done
        };
        x.count += done;
        left -= done;
        x.set_reg(RCX, i.addr, left);
        if left == 0 || ended(x, i, op) {
            x.cpu.rip = next;
            return Ok(());
        }
        let look = x.derived.attention || !x.derived.code_touched.is_empty() || x.cpu.pending_debug != 0;
        if single || look || x.count >= x.limit {
            // Whatever comes now finds RF set, and so does the rest of the instruction (SDM 18.3.1.1).
            x.cpu.rflags |= flag::RF;
            if restores {
                x.cpu.rflags = x.cpu.rflags & !flag::STATUS | before;
            }
            return Ok(());
        }
    }
}

/// One iteration, of an instruction without a repeat prefix.
pub fn once(x: &mut Exec<'_>, i: &Insn, op: Op) -> Result<(), Fault> {
    one(x, i, op).map_err(|f| late_fault(x, i, op, f))
}

/// Whether REPE/REPNE ends by ZF.
#[inline]
fn ended(x: &Exec<'_>, i: &Insn, op: Op) -> bool {
    let zf = x.cpu.rflags & flag::ZF != 0;
    matches!(op, Op::Cmps | Op::Scas) && zf != (i.prefix & prefix::REP != 0)
}

fn step(x: &Exec<'_>, w: u8) -> u64 {
    if x.cpu.rflags & flag::DF != 0 { (w as u64).wrapping_neg() } else { u64::from(w) }
}

fn advance(x: &mut Exec<'_>, i: &Insn, r: u8, by: u64) {
    let v = x.reg(r, i.addr).wrapping_add(by);
    x.set_reg(r, i.addr, v);
}

fn compare(x: &mut Exec<'_>, w: u8, a: u64, b: u64) {
    let (_, f) = flags::sub(w, a, b, 0);
    x.cpu.rflags = x.cpu.rflags & !flag::STATUS | f.bits();
}

/// One iteration: everything that can fault first, then memory, then registers.
fn one(x: &mut Exec<'_>, i: &Insn, op: Op) -> Result<(), Fault> {
    let w = i.size;
    let n = u64::from(w);
    let by = step(x, w);
    let (si, di) = (x.reg(RSI, i.addr), x.reg(RDI, i.addr));
    let source = seg_from(i.seg);
    match op {
        Op::Movs => {
            let from = x.linear(source, si, n, Access::Read)?;
            let to = match x.linear(Seg::Es, di, n, Access::Write) {
                Ok(to) => to,
                // The source is read first.
                Err(f) => return Err(x.load_wide(from, w).err().unwrap_or(f)),
            };
            let plain = x.derived.tlb.hit_read(from, n - 1).is_some();
            if plain {
                let v = x.load_wide(from, w)?;
                x.store_wide(to, w, v)?;
            } else {
                let view = crate::mmu::own_view(x.cpu);
                x.probe_view(from, w as usize, Access::Read, view)?;
                let h = x.probe_write(to, w as usize)?;
                let v = x.load_wide(from, w)?;
                store_probed(x, &h, w, v);
            }
            advance(x, i, RSI, by);
            advance(x, i, RDI, by);
        }
        Op::Cmps => {
            let from = x.linear(source, si, n, Access::Read)?;
            let a = x.load_wide(from, w)?;
            let b = x.load_at(Seg::Es, di, w)?;
            compare(x, w, a, b);
            advance(x, i, RSI, by);
            advance(x, i, RDI, by);
        }
        Op::Stos => {
            let v = x.reg(RAX, w);
            x.store_at(Seg::Es, di, w, v)?;
            advance(x, i, RDI, by);
        }
        Op::Lods => {
            let v = x.load_at(source, si, w)?;
            x.set_reg(RAX, w, v);
            advance(x, i, RSI, by);
        }
        Op::Scas => {
            let b = x.load_at(Seg::Es, di, w)?;
            let a = x.reg(RAX, w);
            compare(x, w, a, b);
            advance(x, i, RDI, by);
        }
        Op::Ins => {
            let port = x.reg(gpr::RDX as u8, 2) as u16;
            helper::check_io(x, port, w)?;
            let to = x.linear(Seg::Es, di, n, Access::Write)?;
            let h = x.probe_write(to, w as usize)?;
            let v = helper::port_in(x, port, w);
            store_probed(x, &h, w, u64::from(v));
            advance(x, i, RDI, by);
        }
        Op::Outs => {
            let port = x.reg(gpr::RDX as u8, 2) as u16;
            helper::check_io(x, port, w)?;
            let v = x.load_at(source, si, w)?;
            helper::port_out(x, port, w, v as u32);
            advance(x, i, RSI, by);
        }
    }
    Ok(())
}

/// A 286 in real mode notices a word at the segment's end late: it has moved on (hardware captures). `f` is what
/// [`one`] was about to raise.
#[cold]
fn late_fault(x: &mut Exec<'_>, i: &Insn, op: Op, f: Fault) -> Fault {
    if x.cpu.model.generation != Generation::I286 || x.cpu.is_protected() {
        return f;
    }
    let by = step(x, i.size);
    let (si, di) = (x.reg(RSI, 2), x.reg(RDI, 2));
    let (end_si, end_di) = (si == 0xffff, di == 0xffff);
    // Iterations that CX has lost already, and what has moved.
    let (lost, move_si, move_di) = match op {
        Op::Movs if end_si => (1, true, false),
        Op::Movs => (2, true, true),
        Op::Stos | Op::Ins => (2, false, true),
        Op::Lods | Op::Outs => (1, true, false),
        Op::Scas => (1, false, true),
        Op::Cmps if end_di => (0, false, true),
        Op::Cmps => (1, true, true),
    };
    if op == Op::Ins {
        let port = x.reg(gpr::RDX as u8, 2) as u16;
        helper::port_in(x, port, i.size);
    }
    if move_si {
        advance(x, i, RSI, by);
    }
    if move_di {
        advance(x, i, RDI, by);
    }
    if i.prefix & (prefix::REP | prefix::REPNE) != 0 {
        advance(x, i, RCX, 0u64.wrapping_sub(lost));
    }
    f
}

fn store_probed(x: &mut Exec<'_>, h: &crate::mmu::WriteHandle, w: u8, v: u64) {
    match w {
        1 => x.store_probed(h, v as u8),
        2 => x.store_probed(h, v as u16),
        4 => x.store_probed(h, v as u32),
        _ => x.store_probed(h, v),
    }
}

/// Lowest linear address of a run of `n` elements that begins at `seg:offset`, upwards or downwards, and how many of them lie in
/// its page.
fn run_of(x: &mut Exec<'_>, i: &Insn, seg: Seg, offset: u64, n: u64, access: Access) -> Option<(u64, u64)> {
    let w = u64::from(i.size);
    let down = x.cpu.rflags & flag::DF != 0;
    let linear = if i.is_flat(seg as u8) { offset } else { x.linear(seg, offset, w, access).ok()? };
    let place = linear % PAGE;
    let most = match (PAGE - place) / w {
        0 => return None,
        _ if down => place / w + 1,
        up => up,
    };
    let n = n.min(most);
    let before = if down { (n - 1) * w } else { 0 };
    // The run must not wrap, nor leave its segment.
    let (first, bytes) = (offset.checked_sub(before)?, n * w);
    if first.checked_add(bytes - 1)? > Insn::mask(i.addr) {
        return None;
    }
    if !i.is_flat(seg as u8) {
        x.linear(seg, first, bytes, access).ok()?;
    }
    Some((linear - before, n))
}

/// Does as many iterations as one page run allows, up to `n`; zero where that is none.
fn block(x: &mut Exec<'_>, i: &Insn, op: Op, n: u64) -> u64 {
    let checked = x.cpu.rflags & flag::AC != 0 && x.cpu.cpl == 3;
    let down = x.cpu.rflags & flag::DF != 0;
    if n < 2 || checked || down && !matches!(op, Op::Movs | Op::Stos | Op::Lods) {
        return 0;
    }
    let done = match op {
        Op::Ins => block_in(x, i, n),
        Op::Outs => block_out(x, i, n),
        _ => block_of(x, i, op, n),
    };
    done.unwrap_or(0)
}

/// Bytes that go between a port and memory at once: a sector.
const ROW: usize = 512;

/// INS from a port that has a row of data ready.
fn block_in(x: &mut Exec<'_>, i: &Insn, n: u64) -> Option<u64> {
    let w = u64::from(i.size);
    let (linear, n) = run_of(x, i, Seg::Es, x.reg(RDI, i.addr), n.min(ROW as u64 / w), Access::Write)?;
    let to = x.derived.tlb.hit_write(linear, n * w - 1)?;
    let mut row = [0; ROW];
    let port = x.reg(gpr::RDX as u8, 2) as u16;
    let got = helper::port_in_row(x, port, i.size, &mut row[..(n * w) as usize]);
    x.mem.ram.copy_in(to, &row[..got]);
    advance(x, i, RDI, got as u64);
    Some(got as u64 / w)
}

/// OUTS to a port that takes a row of data.
fn block_out(x: &mut Exec<'_>, i: &Insn, n: u64) -> Option<u64> {
    let w = u64::from(i.size);
    let si = x.reg(RSI, i.addr);
    let (linear, n) = run_of(x, i, seg_from(i.seg), si, n.min(ROW as u64 / w), Access::Read)?;
    let from = x.derived.tlb.hit_read(linear, n * w - 1)?;
    let mut row = [0; ROW];
    let row = &mut row[..(n * w) as usize];
    x.mem.ram.copy_out(from, row);
    let port = x.reg(gpr::RDX as u8, 2) as u16;
    let gone = helper::port_out_row(x, port, i.size, row);
    advance(x, i, RSI, gone as u64);
    Some(gone as u64 / w)
}

/// Place in RAM of `bytes` at `linear`, which lie in one page, if they may be accessed directly. Both sides of a move may
/// share an entry of the TLB: the place of the first stays good when the second replaces it.
fn ram_at(x: &mut Exec<'_>, linear: u64, bytes: u64, access: Access) -> Option<usize> {
    let hit = |x: &Exec<'_>| match access {
        Access::Write => x.derived.tlb.hit_write(linear, bytes - 1),
        _ => x.derived.tlb.hit_read(linear, bytes - 1),
    };
    if let Some(at) = hit(x) {
        return Some(at);
    }
    if !x.cpu.canonical(linear) {
        return None;
    }
    let view = crate::mmu::own_view(x.cpu);
    x.prefetch(linear, access, view).ok()?;
    let quiet = !x.derived.attention && x.derived.code_touched.is_empty();
    if quiet { hit(x) } else { None }
}

fn block_of(x: &mut Exec<'_>, i: &Insn, op: Op, n: u64) -> Option<u64> {
    let w = u64::from(i.size);
    let down = x.cpu.rflags & flag::DF != 0;
    let (si, di) = (x.reg(RSI, i.addr), x.reg(RDI, i.addr));
    let (mut n, mut from, mut to) = (n, 0, 0);
    if matches!(op, Op::Movs | Op::Cmps | Op::Lods) {
        let (linear, m) = run_of(x, i, seg_from(i.seg), si, n, Access::Read)?;
        n = m;
        from = ram_at(x, linear, n * w, Access::Read)?;
    }
    if op != Op::Lods {
        let access = if matches!(op, Op::Movs | Op::Stos) { Access::Write } else { Access::Read };
        let (linear, m) = run_of(x, i, Seg::Es, di, n, access)?;
        if down && op == Op::Movs {
            from += ((n - m) * w) as usize;
        }
        n = m;
        to = match ram_at(x, linear, n * w, access) {
            Some(to) => to,
            None if access == Access::Write => {
                let row = table_row(x, i, op, from, linear, n);
                return row.or_else(|| chip_row(x, i, op, from, linear, n));
            }
            None => return None,
        };
    }
    let bytes = (n * w) as usize;
    match op {
        Op::Movs => {
            let ahead = if down { from.wrapping_sub(to) } else { to.wrapping_sub(from) };
            if ahead == 0 || ahead >= bytes {
                x.mem.ram.copy_within(from, to, bytes);
            } else {
                // The destination runs into the source: a pattern spreads.
                for k in (0..bytes).step_by(w as usize) {
                    let k = if down { bytes - w as usize - k } else { k };
                    let v = read(x, from + k, i.size);
                    write(x, to + k, i.size, v);
                }
            }
        }
        Op::Stos => fill(x, to, i.size, bytes),
        Op::Lods => {
            let last = if down { 0 } else { bytes - w as usize };
            let v = read(x, from + last, i.size);
            x.set_reg(RAX, i.size, v);
        }
        Op::Scas | Op::Cmps => n = search(x, i, op, from, to, n),
        Op::Ins | Op::Outs => return None,
    }
    pass(x, i, op, n);
    Some(n)
}

/// Moves the index registers of `op` on by `n` elements.
fn pass(x: &mut Exec<'_>, i: &Insn, op: Op, n: u64) {
    let by = step(x, i.size).wrapping_mul(n);
    if matches!(op, Op::Movs | Op::Cmps | Op::Lods) {
        advance(x, i, RSI, by);
    }
    if op != Op::Lods {
        advance(x, i, RDI, by);
    }
}

/// STOS, or MOVS from plain memory at `from`, to a page that serves or served as a page table.
fn table_row(x: &mut Exec<'_>, i: &Insn, op: Op, from: usize, linear: u64, n: u64) -> Option<u64> {
    let frame = x.table_for_row(linear)?;
    let start = (linear % PAGE) as usize;
    let bytes = (n * u64::from(i.size)) as usize;
    let mut row = [0; PAGE as usize];
    let row = &mut row[..bytes];
    if op == Op::Movs {
        let to = frame as usize * PAGE as usize + start;
        let down = x.cpu.rflags & flag::DF != 0;
        if (if down { from.wrapping_sub(to) } else { to.wrapping_sub(from) }) < bytes {
            return None;
        }
        x.mem.ram.copy_out(from, row);
    } else {
        pattern(row, x.reg(RAX, i.size), i.size);
    }
    x.store_row(frame, start, row);
    pass(x, i, op, n);
    Some(n)
}

/// STOS, or MOVS from plain memory at `from`, to a chip, until something has come up: an element at a time, each at its moment.
fn chip_row(x: &mut Exec<'_>, i: &Insn, op: Op, from: usize, linear: u64, n: u64) -> Option<u64> {
    let w = u64::from(i.size);
    let down = x.cpu.rflags & flag::DF != 0;
    let (count, epoch) = (x.count, x.mem.map_epoch());
    let mut done = 0;
    while done < n {
        let at = w * if down { n - 1 - done } else { done };
        let v = if op == Op::Movs { read(x, from + at as usize, i.size) } else { x.reg(RAX, i.size) };
        if x.store_chip(linear + at, w, v).is_none() {
            break;
        }
        done += 1;
        x.count = count + done;
        let up = x.derived.attention || !x.derived.code_touched.is_empty() || x.cpu.pending_debug != 0;
        if up || x.mem.map_epoch() != epoch {
            break;
        }
    }
    // The caller counts.
    x.count = count;
    if done == 0 {
        return None;
    }
    pass(x, i, op, done);
    Some(done)
}

/// SCAS and CMPS over plain memory: how many iterations until ZF ends them, or `n`.
fn search(x: &mut Exec<'_>, i: &Insn, op: Op, from: usize, to: usize, n: u64) -> u64 {
    let while_equal = i.prefix & prefix::REP != 0;
    let w = i.size as usize;
    let (mut a, mut b, mut k) = (x.reg(RAX, i.size), 0, 0);
    // Eight bytes at a time as long as nothing among them ends it; at least one element is left for the loop below.
    let per = 8 / w as u64;
    let low = u64::MAX / (u64::MAX >> (64 - 8 * w));
    let wanted = a.wrapping_mul(low);
    while n - k > per {
        let at = k as usize * w;
        let other = if op == Op::Cmps { read(x, from + at, 8) } else { wanted };
        let differ = other ^ read(x, to + at, 8);
        // Of elements that are not zero the subtraction leaves the highest bit as it was or clears it, until one is.
        let some_equal = differ.wrapping_sub(low) & !differ & low << (8 * w - 1) != 0;
        if if while_equal { differ != 0 } else { some_equal } {
            break;
        }
        k += per;
    }
    while k < n {
        let at = k as usize * w;
        if op == Op::Cmps {
            a = read(x, from + at, i.size);
        }
        b = read(x, to + at, i.size);
        k += 1;
        if (a == b) != while_equal {
            break;
        }
    }
    compare(x, i.size, a, b);
    k
}

#[inline(always)]
fn read(x: &Exec<'_>, at: usize, w: u8) -> u64 {
    match w {
        1 => x.mem.ram.read::<u8>(at).into(),
        2 => x.mem.ram.read::<u16>(at).into(),
        4 => x.mem.ram.read::<u32>(at).into(),
        _ => x.mem.ram.read::<u64>(at),
    }
}

#[inline(always)]
fn write(x: &Exec<'_>, at: usize, w: u8, v: u64) {
    match w {
        1 => x.mem.ram.write(at, v as u8),
        2 => x.mem.ram.write(at, v as u16),
        4 => x.mem.ram.write(at, v as u32),
        _ => x.mem.ram.write(at, v),
    }
}

/// Fills `buffer` with elements of `w` bytes.
fn pattern(buffer: &mut [u8], v: u64, w: u8) {
    let v = match w {
        1 => (v & 0xff).wrapping_mul(0x0101_0101_0101_0101),
        2 => (v & 0xffff).wrapping_mul(0x0001_0001_0001_0001),
        4 => v & 0xffff_ffff | v << 32,
        _ => v,
    };
    let mut chunks = buffer.chunks_exact_mut(8);
    for c in &mut chunks {
        c.copy_from_slice(&v.to_le_bytes());
    }
    let rest = chunks.into_remainder();
    let n = rest.len();
    rest.copy_from_slice(&v.to_le_bytes()[..n]);
}

/// STOS over plain memory.
fn fill(x: &Exec<'_>, to: usize, w: u8, bytes: usize) {
    let v = x.reg(RAX, w);
    let mut one = [0; 8];
    pattern(&mut one, v, w);
    if one == [one[0]; 8] {
        x.mem.ram.fill(to, bytes, one[0]);
        return;
    }
    let mut buffer = [0; 256];
    pattern(&mut buffer, v, w);
    let mut done = 0;
    while done < bytes {
        let n = (bytes - done).min(buffer.len());
        x.mem.ram.copy_in(to + done, &buffer[..n]);
        done += n;
    }
}
