//! Lowering: micro-operations to host code.
//!
//! Guest registers live in fixed host registers ([`super::regs`]); a value is where [`Loc`] says, most often nowhere but
//! in a guest register or in an operand still to be encoded. Rules:
//! - An operation whose result goes to the register of its first operand works in place.
//! - Host EFLAGS hold the guest's flags from the operation that set them until something else needs them; whatever
//!   may leave the block finds them in memory ([`flags`]).
//! - Whatever may leave the block does so with all guest registers as at the start of the instruction, because meanings load
//!   and check before they change anything.

mod address;
mod arith;
mod cold;
mod exit;
mod flags;
mod memory;
mod recipe;
mod registers;
mod shift;
mod system;
mod temps;
mod vector;
pub mod x87;

use super::Hop;
use super::builder::first_call;
use super::encode::{Asm, Label, Mem, R, Rm};
use super::groups::{self, Groups, Sharing};
use super::ir::{Op, Val};
use super::passes::{Facts, Incoming, analyse, chased, incoming};
use super::regs::{Convention, STATE, convention, field, vector_temps};
use crate::insn::{Insn, ModeKey};
use cold::Cold;
pub use exit::{Exits, Link, displacement};
pub use recipe::Recipe;

/// The block holds an instruction that can't be lowered: its number. The block is to be cut before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub u16);

type Low<T> = Result<T, Refused>;

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Loc {
    /// Not made yet, or used up.
    Gone,
    Imm(u64),
    /// The low `w` bytes of guest register `r` (16-19: AH..BH).
    Guest {
        r: u8,
        w: u8,
    },
    /// A temporary; `clean`: zero-extended beyond its width `w`.
    Temp {
        t: R,
        w: u8,
        clean: bool,
    },
    /// A host register that holds a guest register's next value: used before anything else (MUL, DIV).
    Fixed {
        t: R,
        w: u8,
    },
    Slot {
        n: u8,
    },
    /// A condition on the flags as they are.
    Cond(u8),
    /// The memory operand's offset, computed where it is used.
    Ea,
    /// Guest register `r`, which is in a host register, plus `d`, cut to `w` bytes: computed where it is used.
    Sum {
        r: u8,
        d: i32,
        w: u8,
    },
    /// An operand in host memory, probed: its address register, if that is a temporary.
    At {
        m: Mem,
        w: u8,
    },
    /// Result of an operation that worked in place; its `Set` has nothing to do.
    InPlace,
    /// XMM register of the guest.
    Xmm(u8),
    /// A vector operand in host memory, probed; `w` bytes of it count, 16 of them are aligned.
    XAt {
        m: Mem,
        w: u8,
    },
    /// The low bytes of this host register, about to be stored.
    XLow(u8),
    /// A vector of zeros.
    XZero,
    /// Host vector register.
    Xtemp(u8),
}

/// What a group's leader probes for.
#[derive(Clone, Copy)]
struct Range {
    /// How far below its own address it begins; of a table, below what the operand points to with index 0.
    before: i32,
    /// Bytes.
    span: i32,
    /// See [`groups::Role::Leads`].
    table: bool,
    #[allow(missing_docs)]
    stored: bool,
}

/// Where in the block a cold path belongs, and what is still to be put in place there.
#[derive(Clone, Copy)]
struct Place {
    /// The instruction.
    n: u16,
    note: Option<x87::Note>,
    flags: Option<Recipe>,
}

/// The start of an instruction, and what code there relies on.
#[derive(Clone, Copy)]
struct Begin {
    at: Label,
    /// EFLAGS hold some of the flags.
    flags: bool,
    vectors: bool,
    /// The x87 unit is at work: only hot code comes here.
    fpu: bool,
    /// What temporaries hold.
    cached: [Option<(Held, u8)>; 16],
}

/// What a temporary may hold besides memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Held {
    /// The whole of a guest register that lives in memory.
    Guest(u8),
    /// What a group's leader put into this slot.
    Group(u8),
}

/// How a cold path finds the linear address again.
#[derive(Clone, Copy)]
enum Linear {
    /// The effective address of a memory operand.
    Ea(Mem),
    /// A register.
    Reg(R),
    /// It is always this one.
    Fixed(u64),
}

/// The lowering of one block.
pub struct Lower<'a> {
    /// Code.
    pub asm: Asm,
    insns: &'a [Insn],
    ops: &'a [Op],
    key: ModeKey,
    conv: Convention,
    facts: Facts,
    groups: Groups,
    /// See [`chased`]: where a page is guessed.
    chased: Vec<bool>,
    /// See [`Entry::certain`].
    certain: bool,
    loc: Vec<Loc>,
    /// `Set`s that are done already.
    done: Vec<bool>,
    free: u16,
    /// Temporaries that the operation at hand holds.
    locked: u16,
    /// What temporaries still hold when they are free, and the bytes beyond which it is known to be zero.
    cached: [Option<(Held, u8)>; 16],
    /// Those of them that the operation at hand reads.
    borrowed: u16,
    slots: u8,
    xfree: u16,
    /// The vector state is known to be the guest's.
    vec_ready: bool,
    /// The x87 unit is known to hold the guest's state.
    fpu_ready: bool,
    note: Option<x87::Note>,
    /// The operation at hand.
    at: usize,
    /// The guest instruction at hand.
    n: u16,
    flags: flags::State,
    /// The operation at hand leaves flags that only cold code may want to that.
    may_defer: bool,
    /// The block is never entered with a recipe for its flags.
    needs_flags: bool,
    /// Where the INC or DEC at hand finds CF, if an earlier one's recipe says so.
    carried: Option<i32>,
    /// The recipe that the block leaves with.
    left: Option<Recipe>,
    /// The value that is kept for it.
    held: Option<Val>,
    /// The instructions that read such a value from memory.
    holders: Vec<u16>,
    /// Registers that were put into slots for a recipe.
    keeps: Vec<recipe::Keep>,
    /// Instructions whose product may be noted.
    products: Vec<u16>,
    cold: Vec<Cold>,
    /// Where each instruction begins, for those that cold paths go on at.
    begins: Vec<Begin>,
    exits: Exits,
    near: usize,
    sure: usize,
    inner: usize,
    /// See [`Entry::placed`].
    placed: Option<u64>,
    /// The page of the instruction at hand, if it isn't the first.
    hop: Option<Hop>,
    hops: Vec<Hop>,
    /// See [`Lowered::guard`].
    guard: Option<usize>,
    /// It goes on in the next page, or links to it, and looks for that when it is entered; that holds until it ends, for no
    /// shared code runs in between.
    spans: bool,
    /// See [`Entry::extends`].
    extends: bool,
    common: &'a super::stubs::Stubs,
}

/// A finished block.
pub struct Lowered {
    /// Code.
    pub bytes: Vec<u8>,
    /// Where the code that is seldom run begins.
    pub hot: usize,
    /// Jumps between both parts: see [`Asm::resolve`].
    pub crossing: Vec<(u32, bool)>,
    /// Entry for jumps within the page.
    pub near: usize,
    /// The same for code that knows that the page is at the RIP that this is made for, if it is made for one.
    pub sure: usize,
    /// See [`Entry::placed`].
    pub placed: Option<u64>,
    /// Entry for its own jumps to its start.
    pub inner: usize,
    /// Entry for jumps from elsewhere: RIP in R14.
    pub far: usize,
    /// What becomes of the flags that it is entered with.
    pub incoming: Incoming,
    /// See [`Groups::fewer`].
    pub fewer: Sharing,
    /// Links to be patched.
    pub links: Vec<Link>,
    /// The other pages that it goes on in.
    pub hops: Vec<Hop>,
    /// Offset of the 32-bit number of the space in which it needn't look for the page behind its own.
    pub guard: Option<usize>,
    /// Calls and jumps to absolute addresses: (offset of the 32-bit field, target).
    pub absolute: Vec<(usize, super::stubs::Target)>,
}

/// What the entry of a block does beside taking its budget.
#[derive(Clone, Copy, Default)]
pub struct Entry {
    /// Leaves unless the next page is still the one at this host address.
    pub second: Option<u64>,
    /// Counts here.
    pub counter: Option<u64>,
    /// Which accesses share probes: see [`groups`].
    pub sharing: Sharing,
    /// No pages are guessed.
    pub certain: bool,
    /// The RIP of the code's page is a number of 32 bits with its sign extended, as far as is known.
    pub extends: bool,
    /// The RIP of the code's page, a number of 32 bits with its sign extended, if the code is made for that alone.
    pub placed: Option<u64>,
}

/// Translates `ops`, made of `insns`.
pub fn lower(
    insns: &[Insn],
    ops: &[Op],
    key: ModeKey,
    ends: bool,
    entry: Entry,
    stubs: &super::stubs::Stubs,
) -> Low<Lowered> {
    let conv = convention(key.code64());
    let groups = groups::find(ops, insns, key, entry.sharing, entry.placed);
    let fewer = groups.fewer();
    let incoming = incoming(ops, &groups);
    let n = ops.len();
    let mut l = Lower {
        asm: Asm::for_insns(insns.len()),
        insns,
        ops,
        key,
        conv,
        facts: analyse(ops, &groups),
        chased: if entry.certain { Vec::new() } else { chased(ops, insns) },
        certain: entry.certain,
        groups,
        loc: vec![Loc::Gone; n],
        done: vec![false; n],
        free: conv.temps,
        locked: 0,
        cached: [None; 16],
        borrowed: 0,
        slots: 0,
        xfree: vector_temps(key.code64()),
        vec_ready: false,
        fpu_ready: false,
        note: None,
        at: 0,
        n: 0,
        flags: flags::State::in_memory(),
        may_defer: false,
        needs_flags: incoming.needed,
        carried: None,
        left: None,
        held: None,
        holders: Vec::new(),
        keeps: Vec::new(),
        products: Vec::new(),
        cold: Vec::with_capacity(2 * insns.len()),
        begins: Vec::with_capacity(insns.len() + 1),
        exits: Exits::default(),
        near: 0,
        sure: 0,
        inner: 0,
        placed: entry.placed,
        hop: None,
        hops: Vec::new(),
        guard: None,
        spans: entry.second.is_some() && first_call(ops, insns).is_none(),
        extends: entry.extends,
        common: stubs,
    };
    l.enter(entry);
    for (i, &op) in ops.iter().enumerate() {
        l.at = i;
        l.locked = 0;
        l.free |= std::mem::take(&mut l.borrowed);
        // No code is made for a direct target that lies in the segment anyway.
        let nothing = matches!(op, Op::CheckDirect) && key.code_flat();
        if !nothing && !temps::keeps_temporaries(&op) && !l.keeps_flags_apart(&op) {
            l.cached = [None; 16];
        }
        l.op(op)?;
        l.release(i);
    }
    if !ends {
        l.begin();
        l.fall_through();
    }
    let hot = l.asm.here();
    l.cold_paths();
    Ok(Lowered { incoming, fewer, ..l.finish(hot) })
}

impl Lower<'_> {
    fn insn(&self) -> &Insn {
        &self.insns[usize::from(self.n)]
    }

    fn refuse<T>(&self) -> Low<T> {
        Err(Refused(self.n))
    }

    fn long(&self) -> bool {
        self.key.code64()
    }

    /// Frees what was used for the last time by operation `i`.
    fn release(&mut self, i: usize) {
        let mut dead = [Val(u32::MAX); 4];
        let mut k = 0;
        let last = &self.facts.last;
        self.ops[i].uses(|v| {
            if last[v.n()] == i as u32 {
                dead[k & 3] = v;
                k += 1;
            }
        });
        for v in dead.iter().take(k.min(4)) {
            self.drop_value(*v);
        }
        // A result that nobody wants.
        if self.facts.uses[i] == 0 {
            self.drop_value(Val(i as u32));
        }
    }

    fn drop_value(&mut self, v: Val) {
        match std::mem::replace(&mut self.loc[v.n()], Loc::Gone) {
            Loc::Temp { t, .. } => self.give(t),
            Loc::At { m, .. } | Loc::XAt { m, .. } => self.give_mem(m),
            Loc::Slot { n } => self.slots &= !(1 << n),
            Loc::Xtemp(x) => self.xfree |= 1 << x,
            _ => {}
        }
    }

    fn set_temp(&mut self, v: Val, t: R, w: u8, clean: bool) {
        self.cached[usize::from(t.0)] = None;
        self.loc[v.n()] = Loc::Temp { t, w, clean };
    }

    /// The value of the operation at hand is in temporary `t`.
    fn result(&mut self, t: R, w: u8, clean: bool) {
        self.set_temp(Val(self.at as u32), t, w, clean || w == 8);
    }

    fn constant(&self, v: Val) -> Option<u64> {
        match self.ops[v.n()] {
            Op::Imm(c) => Some(c),
            _ => None,
        }
    }

    /// A constant that fits a sign-extended 32-bit immediate of width `w`.
    fn imm32(&self, v: Val, w: u8) -> Option<i32> {
        let made = match self.loc[v.n()] {
            Loc::Imm(c) => Some(c),
            _ => None,
        };
        let c = crate::interp::flags::sext(w, self.constant(v).or(made)?);
        i32::try_from(c as i64).ok()
    }

    /// Value `v` as an operand of width `w`: a register or memory. Widths above the value's own see zeros.
    fn operand(&mut self, v: Val, w: u8) -> Low<Rm> {
        match self.loc[v.n()] {
            Loc::Guest { r, w: vw } if r < 16 && vw >= w => {
                if let Some(t) = self.lent(r) {
                    self.lock(t);
                    return Ok(t.into());
                }
                if let Some((t, _)) = self.cached(Held::Guest(r))
                    && (self.free & !(1 << t.0)).count_ones() > 1
                {
                    self.borrow(t);
                    return Ok(t.into());
                }
                Ok(self.guest_rm(r))
            }
            Loc::Temp { t, w: vw, clean } if clean || vw >= w => {
                self.lock(t);
                Ok(t.into())
            }
            Loc::Fixed { t, w: vw } if vw >= w => Ok(t.into()),
            Loc::Slot { n } => Ok(field::slot(n).into()),
            Loc::At { m, w: vw } if vw >= w => {
                self.lock_mem(m);
                Ok(m.into())
            }
            _ => Ok(self.temp(v)?.into()),
        }
    }

    /// Value `v` in some register, at least its low `w` bytes.
    fn reg(&mut self, v: Val, w: u8) -> Low<R> {
        match self.operand(v, w)? {
            Rm::Reg(r) => Ok(r),
            _ => self.temp(v),
        }
    }

    /// Value `v` in a temporary of its own, zero-extended; that is where it then lives.
    fn temp(&mut self, v: Val) -> Low<R> {
        if let Loc::Temp { t, w, clean } = self.loc[v.n()] {
            self.lock(t);
            if !clean {
                self.asm.movzx(w, t, t);
                self.set_temp(v, t, w, true);
            }
            return Ok(t);
        }
        let w = match self.loc[v.n()] {
            Loc::Guest { w, .. } | Loc::Fixed { w, .. } | Loc::At { w, .. } => w,
            _ => 8,
        };
        let t = self.copy(v)?;
        self.drop_value(v);
        self.set_temp(v, t, w, true);
        Ok(t)
    }

    /// A fresh temporary with value `v`, zero-extended. The value stays where it is.
    fn copy(&mut self, v: Val) -> Low<R> {
        match self.loc[v.n()] {
            Loc::At { m, w } => {
                // The address register may become the value's own.
                self.lock_mem(m);
                let t = self.fresh()?;
                self.asm.movzx(w, t, m);
                return Ok(t);
            }
            Loc::Temp { t, .. } => self.lock(t),
            Loc::Guest { r, w } if r < 16 => {
                if let Some((t, known)) = self.cached(Held::Guest(r)) {
                    self.take(t);
                    if w < known {
                        self.asm.movzx(w, t, t);
                    }
                    return Ok(t);
                }
            }
            _ => {}
        }
        let t = self.fresh()?;
        match self.loc[v.n()] {
            Loc::Imm(c) => self.asm.mov_imm(t, c),
            Loc::Guest { r, w } if r >= 16 => {
                debug_assert_eq!(w, 1);
                match self.host(r & 3) {
                    Some(h) => {
                        self.asm.rorx(8, t, h, 8);
                        self.asm.movzx(1, t, t);
                    }
                    None => self.asm.movzx(1, t, field::plus(field::gpr(r & 3), 1)),
                }
            }
            Loc::Guest { r, w } => {
                let rm = self.guest_rm(r);
                self.asm.movzx(w, t, rm);
            }
            Loc::Temp { t: from, w, clean } => self.asm.movzx(if clean { 8 } else { w }, t, from),
            Loc::Fixed { t: from, w } => self.asm.movzx(w, t, from),
            Loc::Slot { n } => self.asm.load(8, t, field::slot(n)),
            Loc::Cond(c) => {
                self.need_for_cond(c)?;
                self.asm.setcc(c, t);
                self.asm.movzx(1, t, t);
            }
            Loc::Ea => {
                let (m, w) = self.ea_mem(t)?;
                self.lea(t, m, w);
            }
            Loc::Sum { r, d, w } => {
                let m = self.sum(r, d)?;
                self.lea(t, m, w);
            }
            Loc::Gone
            | Loc::InPlace
            | Loc::At { .. }
            | Loc::Xmm(_)
            | Loc::XAt { .. }
            | Loc::XZero
            | Loc::XLow(_)
            | Loc::Xtemp(_) => return self.refuse(),
        }
        Ok(t)
    }

    /// Values that are an alias of guest register `r` and still needed after the operation at hand move away, because
    /// `r` is about to change.
    fn preserve(&mut self, r: u8) -> Low<()> {
        let r = if r >= 16 { r & 3 } else { r };
        self.changes_input(r)?;
        self.move_away(r)
    }

    /// The same for values alone: no recipe minds.
    fn move_away(&mut self, r: u8) -> Low<()> {
        for c in &mut self.cached {
            if c.is_some_and(|c| c.0 == Held::Guest(r)) {
                *c = None;
            }
        }
        let host = self.host(r);
        for v in 0..self.at {
            if self.facts.last[v] <= self.at as u32 {
                continue;
            }
            let hit = match self.loc[v] {
                Loc::Guest { r: g, .. } => {
                    if g >= 16 {
                        g & 3 == r
                    } else {
                        g == r
                    }
                }
                Loc::At { m, .. } => {
                    host.is_some_and(|h| m.base == Some(h) || m.index.is_some_and(|i| i.0 == h))
                }
                Loc::Ea => {
                    let i = self.insn();
                    i.base == r || i.index == r
                }
                Loc::Sum { r: g, .. } => g == r,
                _ => false,
            };
            if hit {
                self.temp(Val(v as u32))?;
            }
        }
        Ok(())
    }

    /// Whether, after operation `set`, the next that has to do with guest register `r` works on it again: then it had better
    /// be in a temporary still.
    fn works_again(&self, set: usize, r: u8) -> bool {
        let next = self.ops[set + 1..].iter().position(|op| match *op {
            Op::Get { r: g, .. } | Op::Set { r: g, .. } => g == r,
            Op::Call { .. } => true,
            _ => false,
        });
        let Some(k) = next.map(|k| set + 1 + k).filter(|&k| matches!(self.ops[k], Op::Get { .. })) else {
            return false;
        };
        let used = self.facts.last[k] as usize;
        let works = match self.ops[used] {
            Op::Alu { a, .. } | Op::Unary { a, .. } | Op::Shift { a, .. } => a.n() == k,
            _ => false,
        };
        let set = self.facts.last[used] as usize;
        works && matches!(self.ops[set], Op::Set { r: to, .. } if to == r)
    }

    /// If the result of the operation at hand goes straight to guest register `r` (`w` bytes) and `a` is that register,
    /// the operand to work on in place.
    fn in_place(&mut self, a: Val, w: u8) -> Low<Option<Rm>> {
        let Loc::Guest { r, w: aw } = self.loc[a.n()] else { return Ok(None) };
        let v = self.at;
        let set = self.facts.last[v] as usize;
        // A register in memory is stored to whole: the host's stores are handed on to loads only if these fit in them.
        if r >= 16
            || aw != w
            || self.facts.uses[v] != 1
            || set == v
            || self.host(r).is_none() && (w < 8 || self.works_again(set, r))
        {
            return Ok(None);
        }
        let Op::Set { r: to, w: tw, .. } = self.ops[set] else { return Ok(None) };
        if to != r || tw != w {
            return Ok(None);
        }
        for (k, op) in self.ops[v + 1..set].iter().enumerate() {
            let touches = match *op {
                Op::Begin(_) | Op::Ea => true,
                Op::Get { r: g, .. } | Op::Set { r: g, .. } => g == r || g >= 16 && g & 3 == r,
                _ => super::passes::may_leave(op) && !self.groups.follows(v + 1 + k),
            };
            if touches {
                return Ok(None);
            }
        }
        self.preserve(r)?;
        self.done[set] = true;
        self.loc[v] = Loc::InPlace;
        Ok(Some(self.guest_rm(r)))
    }

    /// The `Set` of a whole register, in a host register, that is all the value at hand, of `w` bytes, is for, if nothing in
    /// between has to do with that register or may leave: the operation, the guest register, its width.
    fn goes_to(&self, w: u8) -> Option<(usize, u8, u8)> {
        let v = self.at;
        let set = self.facts.last[v] as usize;
        let Op::Set { r, w: sw, .. } = self.ops[set] else { return None };
        if self.facts.uses[v] != 1 || r >= 16 || sw < w || sw < 4 {
            return None;
        }
        self.host(r)?;
        let apart = |op: &Op| match *op {
            Op::Imm(_) | Op::Pure { .. } | Op::Zext { .. } | Op::High(_) => true,
            Op::Get { r: g, .. } | Op::Set { r: g, .. } => g != r && g < 16,
            _ => false,
        };
        self.ops[v + 1..set].iter().all(apart).then_some((set, r, sw))
    }

    /// Makes way for the value at hand in the register of guest register `r`, as [`Lower::goes_to`] found: whoever calls
    /// writes all of it, with an instruction that reads its operands first.
    fn land(&mut self, set: usize, r: u8) -> Low<R> {
        self.preserve(r)?;
        let Some(h) = self.host(r) else { return self.refuse() };
        self.loc[self.at] = Loc::InPlace;
        self.done[set] = true;
        Ok(h)
    }

    /// One operation.
    fn op(&mut self, op: Op) -> Low<()> {
        self.may_defer = matches!(
            op,
            Op::Load(_)
                | Op::Store { .. }
                | Op::CheckStore(_)
                | Op::Probe(_)
                | Op::LoadX { .. }
                | Op::StoreX { .. }
                | Op::Pure { .. }
                | Op::SetSegment { .. }
                | Op::CheckFar
                | Op::Vector(_)
                | Op::CheckIret
                | Op::CheckDirect
                | Op::CheckIndirect(_)
                | Op::Expect { .. }
                | Op::Inner(_)
                | Op::GoBack(_)
        ) || self.keeps_flags_apart(&op);
        let partly = match op {
            Op::Call { .. } if self.may_defer => false,
            Op::Shift { .. }
            | Op::DoubleShift { .. }
            | Op::Mul { .. }
            | Op::Div { .. }
            | Op::Bits { .. }
            | Op::BitTest { .. }
            | Op::Flags
            | Op::SetFlags { .. }
            | Op::CmpXchg { .. }
            | Op::Call { .. }
            | Op::Vec { native: false, .. }
            | Op::Vec { flags: true, .. } => true,
            Op::Unary { op, .. } => matches!(op, crate::ops::Unary::Inc | crate::ops::Unary::Dec),
            _ => false,
        };
        self.carried = None;
        if partly && self.flags.deferred && !self.may_step(&op) && self.wants_old_flags(&op) {
            self.carried = self.hands_carry_on(&op);
            if self.carried.is_none() {
                self.spill_flags()?;
            }
        }
        if op.is_vector() && !self.vec_ready {
            self.vectors_on()?;
        }
        let v = Val(self.at as u32);
        match op {
            Op::Begin(n) => {
                self.n = n;
                self.begin();
            }
            Op::Imm(c) => self.loc[v.n()] = Loc::Imm(c),
            Op::Get { r, w } => self.loc[v.n()] = Loc::Guest { r, w },
            Op::Set { r, w, v } => {
                if !self.done[self.at] {
                    self.set(r, w, v)?;
                }
            }
            Op::Ea => self.loc[v.n()] = Loc::Ea,
            Op::NextIp => {
                let i = *self.insn();
                let next = i32::from(i.off) + i32::from(i.len);
                if let Some(at) = self.known(next.into()).filter(|_| i.code_width() >= 4) {
                    self.loc[self.at] = Loc::Imm(i64::from(at) as u64);
                    return Ok(());
                }
                let t = self.fresh()?;
                self.asm.load(8, t, field::page_rip());
                self.lea(t, Mem::at(t, next), i.code_width());
                self.result(t, 8, true);
            }
            Op::SystemFlags => {
                self.expose()?;
                let t = self.fresh()?;
                self.asm.load(4, t, field::rflags());
                self.asm.alu_imm(4, 4, t, crate::ops::SYSTEM_FLAGS as i32);
                self.result(t, 8, true);
            }
            Op::Stride(w) => self.stride(w)?,
            Op::SetSegment { seg, v } => self.set_segment(seg, v)?,
            Op::CheckFar => self.check_far()?,
            Op::Vector(n) => self.vector(n)?,
            Op::CheckIret => self.check_iret()?,
            Op::StoreIn { p, skip, w, v } => self.store_in(p, skip, w, v)?,
            Op::ClearFlags(mask) => {
                self.clobber()?;
                self.asm.alu_imm(4, 8, field::rflags(), !mask as i32);
            }
            Op::JumpFar { cs, ip } => self.jump_to_segment(cs, ip)?,
            Op::PopFlags { w, v } => self.pop_flags(w, v)?,
            Op::Selector(seg) => {
                let t = self.fresh()?;
                self.asm.movzx(2, t, field::selector(seg));
                self.result(t, 8, true);
            }
            Op::Cond(c) => {
                if self.flags.deferred {
                    self.need_for_cond(c.0)?;
                }
                self.loc[v.n()] = Loc::Cond(c.0);
                if self.flags.deferred {
                    // EFLAGS have what it reads, but may have to go when a register changes that the other flags' recipe needs.
                    self.temp(v)?;
                }
            }
            Op::Fence => {}
            Op::Pure { op, a, b } => self.pure(op, a, b)?,
            Op::Zext { w, v } => self.zext(w, v)?,
            Op::Sext { w, v } => self.sext(w, v)?,
            Op::Select { c, a, b } => self.select(c, a, b)?,
            Op::Bswap { w, v } => self.bswap(w, v)?,
            Op::Alu { op, w, a, b } => self.alu(op, w, a, b)?,
            Op::Unary { op, w, a } => self.unary(op, w, a)?,
            Op::Shift { op, w, a, count } => self.shift(op, w, a, count)?,
            Op::DoubleShift { left, w, a, b, count } => self.double_shift(left, w, a, b, count)?,
            Op::Mul { signed, w, a, b } => self.mul(signed, w, a, b)?,
            Op::Div { signed, w, hi, lo, d } => self.div(signed, w, hi, lo, d)?,
            // Placed by the operation before.
            Op::High(_) | Op::Remainder(_) => {}
            Op::Bits { op, w, v, old } => self.bits(op, w, v, old)?,
            Op::BitTest { op, w, v, n } => self.bit_test(op, w, v, n)?,
            Op::Flags => self.read_flags()?,
            Op::SetFlags { mask, v } => self.write_flags(mask, v)?,
            Op::Load(at) => self.load(at)?,
            Op::Store { at, v } => self.store(at, v)?,
            Op::CheckStore(at) => self.check_store(at)?,
            Op::Probe(at) => self.probe_rmw(at)?,
            Op::LoadAt { p, w } => self.load_at(p, w)?,
            Op::StoreAt { p, w, v } => self.store_at(p, w, v)?,
            Op::CmpXchg { p, w, new } => self.compare_exchange(p, w, new)?,
            Op::CheckDirect => self.check_direct()?,
            Op::CheckIndirect(v) => self.check_indirect(v)?,
            Op::JumpDirect(_) | Op::JumpIndirect(..) | Op::Branch(_) | Op::BranchCond(_) | Op::GoBack(_)
                if self.note.is_some() =>
            {
                self.flush_note()?;
                return self.op(op);
            }
            Op::JumpDirect(_) => self.jump_direct()?,
            Op::JumpIndirect(why, v) => self.jump_indirect(why, v)?,
            Op::Branch(c) => self.branch(c)?,
            Op::BranchCond(c) => self.branch_cond(c.0)?,
            Op::SideExit { c, to } => self.side_exit(c.0, to)?,
            Op::Inner(Some(hop)) => self.go_on_in(hop)?,
            Op::Inner(None) => {}
            Op::Expect { v, to } => self.expect(v, to)?,
            Op::GoBack(to) => self.go_back(to)?,
            Op::Call { how, f } => self.call(how, f)?,
            Op::Xmm(r) => self.loc[v.n()] = Loc::Xmm(r),
            Op::SetXmm { r, x } => {
                if !self.done[self.at] {
                    self.set_xmm(r, x)?;
                }
            }
            Op::LoadX { at, aligned } => self.load_x(at, aligned)?,
            Op::StoreX { at, aligned, x } => self.store_x(at, aligned, x)?,
            Op::XLow { w, x } => self.x_low(w, x)?,
            Op::XHigh(x) => self.x_high(x)?,
            Op::XFrom { low, high } => self.x_from(low, high)?,
            Op::Vec { f, native, flags, a, b } => self.vec(f, native, flags, a, b)?,
            Op::Mmx(_) | Op::SetMmx { .. } | Op::MmxReady | Op::MmxEnter => return self.refuse(),
        }
        Ok(())
    }

    /// `[rbp + ...]` operands never need a temporary; this asserts the convention in one place.
    fn state_is_reserved(&self) -> bool {
        !self.is_temp(STATE)
    }
}
