//! Accesses of a block that share a probe: those at constant distances from one another, such as a frame's, a structure's or
//! those of variables in one page, and those to one table by indices that can't lead out of it, such as bytes.
//!
//! The first of a group, its *leader*, probes for the whole range that the group covers; the difference between host and
//! linear addresses, which is one for the page, goes to a slot, and the others, its *followers*, take it from there. A
//! follower cannot fault or miss, so flags live across it. What keeps that true:
//! - Rights are those of one view and page, and a page that may be stored to may be read: a group that begins with a store
//!   serves loads too. One that begins with a load serves stores if the load finds a page that may be stored to already,
//!   dirty bit and all; where it doesn't, the interpreter runs the load, which sets no dirty bit.
//! - An instruction with a leader that translated code can't run itself ends the block (there is nothing in the slot).
//! - Rust code in between (a miss, an instruction that the interpreter runs) that takes any direct access away ends the
//!   block: see [`crate::mmu::Tlb::withdrawn`]. Other calls end all groups.
//! - The translated code's [`super::regs::Scratch::stack_page`] is a leader that serves many blocks: it holds under the same terms.
//! - Where addresses differ by a constant inside a sum that is cut to 32 bits, as of an index in 64-bit code, they are as far
//!   apart as that says only if none of the sums wraps: the leader looks at its own, and lets the interpreter run the
//!   instruction if others may. Outside long mode all addresses are sums of 32 bits, and a follower cuts its own.
//! - What a load of a group finds where a store of the same group has put a constant, with nothing stored since but to other places of
//!   the group, is that constant: neither can have gone to anything but RAM.
//! - Where that saves followers the sum of their own addresses (an index, a register in memory), the slot has the host address of what
//!   the leader accesses in place of the difference, and they are a constant from there.
//! - A block whose leaders fail often, because the range lies across a page's end or is only read, is translated again
//!   with fewer groups: first loads don't probe for stores, then there are no groups of tables, which are long, then none.

use super::ir::{Op, Place, Val};
use super::lower::x87;
use super::passes::full_width;
use super::regs::convention;
use crate::insn::{IP_REG, Insn, ModeKey, NO_REG};
use crate::memory::PAGE;
use crate::ops::{Alu, Pure, Shift, Unary};

/// Most bytes that a group covers: the longer, the more often it crosses a page's end.
const SPAN: i64 = 128;

/// The same for a table: 256 entries of eight bytes.
const TABLE_SPAN: i64 = 2048;

/// Which accesses share probes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All that can.
    #[default]
    All,
    /// No stores with a load that comes before them.
    Rights,
    /// As before, and none to tables.
    Near,
    /// None.
    Nothing,
}

/// Slots for groups; as many groups may there be in a block.
pub const SLOTS: usize = 8;

/// A register whose content, a sum cut to 32 bits, all addresses of a group have in them, each with another constant: where
/// none of these sums wraps they are as far from one another as their constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Register that has the leader's.
    pub r: u8,
    /// How far below that the least is.
    pub down: u32,
    /// How far above the least the largest is.
    pub span: u32,
}

/// What an access has to do with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It probes for `span` bytes from `before` bytes below its own address on, and fills the slot.
    Leads {
        #[allow(missing_docs)]
        slot: u8,
        #[allow(missing_docs)]
        before: i32,
        #[allow(missing_docs)]
        span: i32,
        /// Its own address is that of its operand's index 0.
        table: bool,
        /// It loads, and some that follow store.
        stored: bool,
        /// Its address holds a sum that is cut to 32 bits.
        cut: Option<Cut>,
        /// The slot is for the host address of what it accesses.
        anchors: bool,
    },
    /// It goes by the slot.
    Follows {
        #[allow(missing_docs)]
        slot: u8,
        /// Where it is in the group's range.
        at: i32,
        /// Bytes of that range.
        span: i32,
        /// Its base register has the same content as the leader's had.
        same: bool,
        /// Its place is that of its operand's index 0.
        table: bool,
        /// Nothing else about it can fail either.
        sure: bool,
        /// So many bytes behind what the leader accesses, if the slot has the host address of that.
        from: Option<i32>,
    },
}

/// A constant that has been stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// This number.
    Number(u64),
    /// The RIP so many bytes from the start of the first page.
    Rip(i64),
}

/// The roles of a block's operations.
#[derive(Debug, Default)]
pub struct Groups {
    roles: Vec<Option<Role>>,
    /// What loads find.
    found: Vec<(usize, Constant)>,
    /// Addresses of accesses that are always the same, for what is in registers.
    fixed: Vec<(usize, i64)>,
}

impl Groups {
    /// None at all.
    pub fn none() -> Groups {
        Groups::default()
    }

    /// The role of operation `i`.
    pub fn role(&self, i: usize) -> Option<Role> {
        self.roles.get(i).copied().flatten()
    }

    /// What the load that is operation `i` finds, if that is known.
    pub fn found(&self, i: usize) -> Option<Constant> {
        self.found.iter().find(|f| f.0 == i).map(|f| f.1)
    }

    /// The address of the access that is operation `i`, if it is always the same because of what is in its registers.
    pub fn fixed(&self, i: usize) -> Option<i64> {
        self.fixed.iter().find(|f| f.0 == i).map(|f| f.1)
    }

    /// How the block would be translated without those of these groups that are likeliest to fail.
    pub fn fewer(&self) -> Sharing {
        let stored = |r: &Option<Role>| matches!(r, Some(Role::Leads { stored: true, .. }));
        let table = |r: &Option<Role>| matches!(r, Some(Role::Leads { table: true, .. }));
        match &self.roles {
            roles if roles.iter().any(stored) => Sharing::Rights,
            roles if roles.iter().any(table) => Sharing::Near,
            _ => Sharing::Nothing,
        }
    }

    /// Whether operation `i` follows, and can't fail.
    pub fn follows(&self, i: usize) -> bool {
        matches!(self.role(i), Some(Role::Follows { sure: true, .. }))
    }

    /// Whether operation `i` leads.
    pub fn leads(&self, i: usize) -> bool {
        matches!(self.role(i), Some(Role::Leads { .. }))
    }
}

/// Most different contents in a sum.
const MOST_TERMS: usize = 3;

/// Contents of registers, by number, each with how many times it is in a sum; in ascending order, and then unused ones.
type Terms = [(u32, i16); MOST_TERMS];

/// No content: behind all others in a sum.
const NOTHING: u32 = u32::MAX;

/// The number of the RIP of the page's first byte, which stays the same in a block.
const HERE: u32 = NOTHING - 1;

/// A value that is known as far as it is a sum of contents that registers had at some time, plus a constant. Each change of a
/// register to what isn't known makes a new number for its content.
///
/// In 64-bit code sums of 32 bits, cut and extended with zeros, have numbers, too: those that differ by a constant only have
/// the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Known {
    terms: Terms,
    plus: i64,
    /// The constant inside the one term that is a cut sum, if there is one.
    inner: i32,
}

impl Known {
    fn constant(plus: i64) -> Known {
        Known { terms: [(NOTHING, 0); MOST_TERMS], plus, inner: 0 }
    }

    fn content(number: u32) -> Known {
        let mut k = Known::constant(0);
        k.terms[0] = (number, 1);
        k
    }

    /// The content's number, if it is that once and a constant.
    fn alone(&self) -> Option<u32> {
        match self.terms {
            [(n, 1), (NOTHING, _), _] => Some(n),
            _ => None,
        }
    }

    fn is_constant(&self) -> bool {
        self.terms[0].0 == NOTHING
    }

    fn has(&self, number: u32) -> bool {
        self.terms.iter().any(|t| t.0 == number)
    }

    fn times(self, n: i16) -> Option<Known> {
        let mut k = Known { plus: self.plus.checked_mul(n.into())?, ..self };
        for t in &mut k.terms {
            t.1 = t.1.checked_mul(n)?;
        }
        Some(k)
    }

    /// The sum, if it has few enough terms; `inner` is that of either.
    fn add(self, other: Known) -> Option<Known> {
        let mut k = Known { plus: self.plus.checked_add(other.plus)?, ..self };
        for (number, times) in other.terms {
            if number == NOTHING {
                continue;
            }
            let old = k.terms.iter_mut().find(|t| t.0 == number);
            let t = match old {
                Some(t) => t,
                None => k.terms.iter_mut().find(|t| t.0 == NOTHING)?,
            };
            *t = (number, t.1.checked_add(times)?);
        }
        for t in &mut k.terms {
            if t.1 == 0 {
                t.0 = NOTHING;
            }
        }
        k.terms.sort_unstable();
        Some(k)
    }
}

struct Group {
    terms: Terms,
    /// The leader's: see [`Known`].
    inner: i32,
    /// How much less, and more, those of others are.
    inners: (i64, i64),
    /// Register that has the leader's cut sum, if there is one in its address.
    cut: Option<u8>,
    table: bool,
    low: i64,
    end: i64,
    /// Some store.
    write: bool,
    /// Some load is known for what was stored.
    finds: bool,
    /// The first does.
    begins_with_store: bool,
    /// Content of the base register that the leader's operand names.
    lead: Option<Known>,
    /// The leader's operation.
    leader: usize,
    /// Where in the group it is.
    led: i64,
    /// Followers to which their own addresses cost an operation at least, less what it costs the leader to give them the sum.
    gain: i32,
    members: u32,
    /// Among those of the groups that are worth one.
    slot: Option<u8>,
}

impl Group {
    /// Whether followers go by the host address of what the leader accesses.
    fn anchors(&self) -> bool {
        let fixed = self.terms[0].0 == NOTHING || self.terms.iter().any(|t| t.0 == HERE);
        self.gain > 0 && !self.table && !fixed
    }
}

/// A constant that was stored at some place of a group.
struct Stored {
    group: usize,
    place: i64,
    w: u8,
    what: Constant,
}

/// An access that belongs to a group.
struct Member {
    op: usize,
    group: usize,
    place: i64,
    /// Its base register is as the leader's was.
    same: bool,
}

/// What an access's address is made from.
#[derive(Clone, Copy)]
struct Source {
    /// Content of the base register of an operand that is that and a displacement.
    base: Option<Known>,
    /// It takes operations of its own: it has an index, or the register is in memory.
    costly: bool,
}

struct Search<'a> {
    ops: &'a [Op],
    insns: &'a [Insn],
    key: ModeKey,
    /// Whether tables are looked for.
    tabular: bool,
    /// Whether a store may go by an earlier load's probe.
    upgrades: bool,
    /// Width of a whole register.
    w: u8,
    regs: [Known; 16],
    next: u32,
    /// Values, and whether only of their lower 32 bits so much is known, in 64-bit code.
    values: Vec<Option<(Known, bool)>>,
    /// Sums of 32 bits, and the numbers of what they are with zeros above.
    cuts: Vec<(Terms, u32)>,
    /// Content of the base register of an operand that is that and a displacement.
    bases: Vec<Option<Known>>,
    /// Operands that are within a table: where its index 0 is, and how far from there they are at most.
    tables: Vec<Option<(Known, i64)>>,
    /// How large contents of registers are at most, where that is little.
    bounds: Vec<(u32, u64)>,
    /// How far the page of the instruction at hand is from the first, if that is known.
    by: Option<i64>,
    /// The same where it isn't known whether that is how far their RIPs are from one another.
    page: i64,
    /// The RIP of the first page, if the code is made for that alone.
    placed: Option<u64>,
    /// What is known to be stored.
    stored: Vec<Stored>,
    found: Vec<(usize, Constant)>,
    fixed: Vec<(usize, i64)>,
    /// From here on groups are open.
    open: usize,
    groups: Vec<Group>,
    members: Vec<Member>,
}

/// Finds the groups of a block.
/// `placed`: the RIP of its page, if it is made for that alone.
pub fn find(ops: &[Op], insns: &[Insn], key: ModeKey, sharing: Sharing, placed: Option<u64>) -> Groups {
    // In 16-bit code, and in compatibility mode, addresses are made step by step.
    if sharing == Sharing::Nothing || key.bits() == 16 || key.long_mode() && !key.code64() {
        return Groups::none();
    }
    let mut s = Search {
        ops,
        insns,
        key,
        tabular: matches!(sharing, Sharing::All | Sharing::Rights),
        upgrades: sharing == Sharing::All,
        w: full_width(key),
        regs: std::array::from_fn(|r| Known::content(r as u32)),
        next: 16,
        values: vec![None; ops.len()],
        cuts: Vec::new(),
        bases: vec![None; ops.len()],
        tables: vec![None; ops.len()],
        bounds: Vec::new(),
        by: Some(0),
        page: 0,
        placed,
        stored: Vec::new(),
        found: Vec::new(),
        fixed: Vec::new(),
        open: 0,
        groups: Vec::with_capacity(insns.len()),
        members: Vec::with_capacity(insns.len()),
    };
    let mut n = 0;
    for (i, op) in ops.iter().enumerate() {
        if let Op::Begin(k) = op {
            n = usize::from(*k);
        }
        s.look(i, n);
    }
    let mut roles = vec![None; ops.len()];
    // Those first that something rests on.
    let mut slots = 0..SLOTS as u8;
    for finds in [true, false] {
        for g in s.groups.iter_mut().filter(|g| g.members > 1 && g.finds == finds) {
            g.slot = slots.next();
        }
    }
    for m in &s.members {
        let g = &s.groups[m.group];
        let Some(slot) = g.slot else { continue };
        let (before, span, table) = ((m.place - g.low) as i32, (g.end - g.low) as i32, g.table);
        let cut = g.cut.filter(|_| g.inners != (0, 0)).map(|r| {
            let (low, high) = g.inners;
            Cut { r, down: -low as u32, span: (high - low) as u32 }
        });
        roles[m.op] = Some(if m.op == g.leader {
            let stored = g.write && !g.begins_with_store;
            Role::Leads { slot, before, span, table, stored, cut, anchors: g.anchors() }
        } else {
            let sure = !matches!(ops[m.op], Op::Call { .. });
            let from = g.anchors().then_some((m.place - g.led) as i32);
            Role::Follows { slot, at: before, span, same: m.same, table, sure, from }
        });
    }
    Groups { roles, found: s.found, fixed: s.fixed }
}

impl Search<'_> {
    fn constant(&self, v: Val) -> Option<i64> {
        match self.ops[v.n()] {
            Op::Imm(c) => Some(crate::interp::flags::sext(self.w, c) as i64),
            _ => None,
        }
    }

    fn forget(&mut self, r: u8) {
        self.regs[usize::from(r & 15)] = Known::content(self.next);
        self.next += 1;
    }

    /// Register `r` is set to the lower `w` bytes of `v`, of whose origin nothing is known.
    fn renew(&mut self, r: u8, w: u8, v: Val) {
        self.forget(r);
        if w < self.w
            && let Some(k) = self.cut(self.regs[usize::from(r)])
        {
            self.regs[usize::from(r)] = k;
        }
        if let (Some(most), Some(n)) = (self.bound(v), self.regs[usize::from(r)].alone()) {
            self.bounds.push((n, most));
        }
    }

    /// The cut sum among the terms of an address: what it is made of, and how many times it is there.
    fn cut_in(&self, terms: &Terms) -> Option<(Terms, u32, i16)> {
        terms.iter().find_map(|t| {
            let (inside, number) = self.cuts.iter().find(|c| c.1 == t.0)?;
            Some((*inside, *number, t.1))
        })
    }

    /// The lower 32 bits of a value of 64 bits.
    fn low(&self, k: Known) -> Option<Known> {
        let Some((inside, number, times)) = self.cut_in(&k.terms) else { return Some(k) };
        let mut rest = k;
        rest.inner = 0;
        let cut = Known { terms: inside, plus: k.inner.into(), inner: 0 };
        let without = rest.add(Known::content(number).times(-times)?)?;
        without.add(cut.times(times)?)
    }

    /// A sum of 32 bits with zeros above.
    fn cut(&mut self, k: Known) -> Option<Known> {
        if k.is_constant() {
            return None;
        }
        let inner = k.plus as i32;
        let old = self.cuts.iter().find(|c| c.0 == k.terms).map(|c| c.1);
        let number = old.unwrap_or_else(|| {
            self.cuts.push((k.terms, self.next));
            self.next += 1;
            self.next - 1
        });
        Some(Known { inner, ..Known::content(number) })
    }

    /// The sum of two values of 64 bits, of which one may have a cut sum in it.
    fn add(&self, a: Known, b: Known) -> Option<Known> {
        match (self.cut_in(&a.terms), self.cut_in(&b.terms)) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => b.add(a),
            _ => a.add(b),
        }
    }

    /// What is known of an operand: see [`Search::values`].
    fn value(&self, v: Val, low: bool) -> Option<Known> {
        if let Some(c) = self.constant(v) {
            return Some(Known::constant(c));
        }
        match self.values[v.n()]? {
            (k, l) if l == low => Some(k),
            (k, false) => self.low(k),
            _ => None,
        }
    }

    /// `a` + `b` * `times`.
    fn sum(&self, a: Val, b: Val, times: i16, low: bool) -> Option<(Known, bool)> {
        Some((self.add(self.value(a, low)?, self.value(b, low)?.times(times)?)?, low))
    }

    /// The most that a value can be, if that is little.
    fn bound(&self, v: Val) -> Option<u64> {
        let most = match self.ops[v.n()] {
            Op::Get { w: 1, .. } | Op::Zext { w: 1, .. } | Op::Load(Place { w: 1, .. }) => 0xff,
            Op::Shift { op: Shift::Shr, w, count, .. } => {
                let count = self.constant(count).filter(|c| (0..i64::from(8 * w)).contains(c))?;
                Insn::mask(w) >> count
            }
            Op::Pure { op: Pure::And, a, b } | Op::Alu { op: Alu::And, a, b, .. } => {
                let least = |v: Val| self.constant(v).and_then(|c| u64::try_from(c).ok());
                least(a).into_iter().chain(least(b)).min()?
            }
            _ => return None,
        };
        (most < TABLE_SPAN as u64).then_some(most)
    }

    /// Where the operand of an instruction points with index 0, and how far from there it can be, if its index is so small.
    fn table(&self, i: &Insn) -> Option<(Known, i64)> {
        if !self.tabular || i.index >= 16 || i.addr != self.w || i.base >= 16 && i.base != NO_REG {
            return None;
        }
        let index = self.regs[usize::from(i.index)];
        let number = index.alone().filter(|_| index.plus == 0 && index.inner == 0)?;
        let (_, most) = self.bounds.iter().find(|(content, _)| *content == number)?;
        let base = match i.base {
            NO_REG => Known::constant(0),
            r => self.regs[usize::from(r)],
        };
        i.disp.checked_sub(TABLE_SPAN as i32)?;
        let k = Known { plus: base.plus.checked_add(i64::from(i.disp))?, ..base };
        (k.is_constant() || k.alone().is_some()).then_some((k, (*most as i64) << (i.scale & 3)))
    }

    /// The offset of the instruction's memory operand.
    fn operand(&self, i: &Insn) -> Option<Known> {
        if i.addr != self.w {
            return None;
        }
        // A leader looks up to a span below its own operand: that must be a displacement, too.
        i.disp.checked_sub(PAGE as i32)?;
        let base = match i.base {
            NO_REG => Known::constant(0),
            IP_REG => Known { plus: self.by? + i64::from(i.off) + i64::from(i.len), ..Known::content(HERE) },
            r => *self.regs.get(usize::from(r))?,
        };
        let mut k = Known { plus: base.plus.checked_add(i64::from(i.disp))?, ..base };
        if i.index < 16 {
            k = self.add(k, self.regs[usize::from(i.index)].times(1 << (i.scale & 3))?)?;
        }
        // Outside long mode a sum is cut to 32 bits; with a register and a small displacement it isn't, as none agrees with a tag
        // that wrapped. Accesses of both kinds don't meet: see `Lower::follow`.
        let far = i.index >= 16 && i.base != NO_REG && i.disp.unsigned_abs() >= 1 << 12;
        // One that is known is the same in either case, and taken as it is.
        let whole = k.is_constant() && base.is_constant() && i.base != NO_REG;
        if whole && !self.key.code64() {
            return (k.plus as u32 <= i32::MAX as u32).then_some(Known::constant(k.plus as u32 as i64));
        }
        (self.key.code64() || !far).then_some(k)
    }

    fn look(&mut self, i: usize, n: usize) {
        let w = self.w;
        self.values[i] = match self.ops[i] {
            Op::Get { r, w: gw } if r < 16 && gw >= w => Some((self.regs[usize::from(r)], false)),
            Op::Get { r, w: 4 } if r < 16 => self.low(self.regs[usize::from(r)]).map(|k| (k, true)),
            Op::Pure { op: Pure::Add, a, b } => self.sum(a, b, 1, false),
            Op::Pure { op: Pure::Sub, a, b } => self.sum(a, b, -1, false),
            Op::Alu { op: Alu::Add, a, b, w: aw } => self.domain(aw).and_then(|l| self.sum(a, b, 1, l)),
            Op::Alu { op: Alu::Sub, a, b, w: aw } => self.domain(aw).and_then(|l| self.sum(a, b, -1, l)),
            Op::Unary { op: op @ (Unary::Inc | Unary::Dec), a, w: aw } => self.domain(aw).and_then(|l| {
                let one = Known::constant(if op == Unary::Inc { 1 } else { -1 });
                Some((self.add(self.value(a, l)?, one)?, l))
            }),
            Op::Shift { op: Shift::Shl, a, count, w: aw } => self.domain(aw).and_then(|l| {
                let count = self.constant(count).filter(|c| (0..8).contains(c))?;
                Some((self.value(a, l)?.times(1 << count)?, l))
            }),
            Op::Zext { w: zw, v } if zw == w => self.values[v.n()],
            Op::Zext { w: 4, v } => self.value(v, true).and_then(|k| self.cut(k)).map(|k| (k, false)),
            Op::Ea => self.operand(&self.insns[n]).map(|k| (k, false)),
            _ => None,
        };
        if let Op::Ea = self.ops[i]
            && let insn = &self.insns[n]
            && insn.base < 16
            && insn.index >= 16
        {
            self.bases[i] = Some(self.regs[usize::from(insn.base)]);
        }
        if let Op::Ea = self.ops[i] {
            self.tables[i] = self.table(&self.insns[n]);
        }
        if let Op::StoreX { aligned: true, .. }
        | Op::StoreIn { .. }
        | Op::StoreAt { .. }
        | Op::CmpXchg { .. }
        | Op::Call { .. } = self.ops[i]
        {
            self.stored.clear();
        }
        match self.ops[i] {
            Op::Set { r, w: sw, v } if r < 16 && self.domain(sw).is_some() => {
                let low = sw != w;
                let known = self.value(v, low).filter(|k| !k.has(HERE));
                match if low { known.and_then(|k| self.cut(k)) } else { known } {
                    Some(k) if !k.is_constant() || self.known(v) => self.regs[usize::from(r)] = k,
                    _ => self.renew(r, sw, v),
                }
            }
            Op::Set { r, .. } => self.forget(if r < 16 { r } else { r & 3 }),
            // Their results are in place before they are set. (Those of a product are only set where they are the accumulator and
            // its upper half, by what follows; a product of two registers leaves both alone.)
            Op::Div { .. } | Op::CmpXchg { .. } => {
                self.forget(0);
                self.forget(2);
            }
            Op::Call { how, .. } if let Some(use_) = x87::operand(how, &self.insns[n]) => match use_ {
                x87::Use::Load(w) => self.access_operand(i, n, w, false),
                x87::Use::Store(w) => self.access_operand(i, n, w, true),
                x87::Use::None => {}
                x87::Use::SetsAx => self.forget(0),
            },
            Op::Call { .. } => {
                (0..16).for_each(|r| self.forget(r));
                self.values.fill(None);
                self.tables.fill(None);
                self.open = self.groups.len();
            }
            Op::Inner(Some(hop)) => {
                self.page = hop.by.into();
                self.by = Some(self.page).filter(|by| self.placed.is_some() || *by == 0);
            }
            Op::Load(at) => {
                if let Some(place) = self.access(i, n, at, false) {
                    self.find_stored(i, place, at.w);
                }
            }
            Op::LoadX { at, aligned: false } => {
                self.access(i, n, at, false);
            }
            Op::Store { at, v } => {
                let place = self.access(i, n, at, true);
                self.note_stored(place, at.w, self.constant_stored(v, at.w, n));
            }
            Op::StoreX { at, aligned: false, .. } | Op::CheckStore(at) | Op::Probe(at) => {
                let place = self.access(i, n, at, true);
                self.note_stored(place, at.w, None);
            }
            _ => {}
        }
    }

    /// Whether a value is one that was found, or made of such.
    fn known(&self, v: Val) -> bool {
        match self.ops[v.n()] {
            Op::Load(_) => self.found.iter().any(|f| f.0 == v.n()),
            Op::Alu { a, b, .. } => [a, b].into_iter().all(|v| self.constant(v).is_some() || self.known(v)),
            Op::Get { r, .. } => self.regs.get(usize::from(r)).is_some_and(Known::is_constant),
            _ => false,
        }
    }

    /// What instruction `n` stores, if that is a constant.
    fn constant_stored(&self, v: Val, w: u8, n: usize) -> Option<Constant> {
        match self.ops[v.n()] {
            Op::Imm(c) => Some(Constant::Number(c & Insn::mask(w))),
            Op::NextIp if w == self.w => {
                let i = &self.insns[n];
                Some(Constant::Rip(self.page + i64::from(i.off) + i64::from(i.len)))
            }
            _ => None,
        }
    }

    /// `what` has been stored in `w` bytes at a place of a group, if it is known where and what.
    fn note_stored(&mut self, at: Option<(usize, i64)>, w: u8, what: Option<Constant>) {
        let Some((group, place)) = at else { return self.stored.clear() };
        self.stored.retain(|s| {
            s.group == group && (s.place + i64::from(s.w) <= place || place + i64::from(w) <= s.place)
        });
        self.stored.extend(what.map(|what| Stored { group, place, w, what }));
    }

    /// Operation `i` loads `w` bytes from a place of a group.
    fn find_stored(&mut self, i: usize, (group, place): (usize, i64), w: u8) {
        let s = self.stored.iter().find(|s| (s.group, s.place, s.w) == (group, place, w));
        let Some(what) = s.map(|s| s.what) else { return };
        if !self.groups[group].finds && self.groups.iter().filter(|g| g.finds).count() == SLOTS {
            return;
        }
        self.groups[group].finds = true;
        self.found.push((i, what));
        let c = match what {
            Constant::Number(c) => Some(crate::interp::flags::sext(w, c) as i64),
            Constant::Rip(by) => self.placed.map(|p| p.wrapping_add_signed(by) as i64),
        };
        if w == self.w {
            self.values[i] = c.map(|c| (Known::constant(c), false));
        }
    }

    /// Whether an operation of `w` bytes is about the lower 32 bits only. None: of another part of the register.
    fn domain(&self, w: u8) -> Option<bool> {
        (w == self.w || w == 4).then_some(w != self.w)
    }

    /// Whether the address of an instruction's operand takes operations of its own.
    fn is_costly(&self, i: &Insn) -> bool {
        let map = convention(self.key.code64()).map;
        i.index < 16 || map.get(usize::from(i.base)).is_some_and(Option::is_none)
    }

    /// Which group it belongs to, and where in there it is.
    fn access(&mut self, i: usize, n: usize, at: Place, write: bool) -> Option<(usize, i64)> {
        let table = self.tables[at.ea.n()];
        let value = self.values[at.ea.n()].filter(|v| !v.1).map(|v| (v.0, 0));
        let (k, most) = table.or(value)?;
        // Those that are relative to RIP go by a slot of another kind.
        if k.has(HERE) && !matches!(self.ops[at.ea.n()], Op::Ea) {
            return None;
        }
        let base = self.bases[at.ea.n()];
        let table = table.is_some();
        let costly = matches!(self.ops[at.ea.n()], Op::Ea) && self.is_costly(&self.insns[n]);
        let from = Source { base, costly };
        let place = self.join(i, at.seg, (k, most + i64::from(at.w), table), from, write)?;
        if k.is_constant() && base.is_some() {
            self.fixed.push((i, k.plus));
        }
        (!table).then_some(place)
    }

    /// An access of `w` bytes to the operand of instruction `n`, by an operation that finds its address itself.
    fn access_operand(&mut self, i: usize, n: usize, w: u8, write: bool) {
        let insn = self.insns[n];
        if write {
            self.stored.clear();
        }
        let Some(k) = self.operand(&insn) else { return };
        let base = if insn.index < 16 { None } else { self.regs.get(usize::from(insn.base)).copied() };
        let costly = self.is_costly(&insn);
        self.join(i, insn.seg, (k, w.into(), false), Source { base, costly }, write);
    }

    /// Enters an access of operation `i` to `bytes` from `k` on into a group.
    fn join(
        &mut self,
        i: usize,
        seg: u8,
        (k, bytes, table): (Known, i64, bool),
        Source { base, costly }: Source,
        write: bool,
    ) -> Option<(usize, i64)> {
        if self.key.flat() >> seg & 1 == 0 {
            return None;
        }
        let limit = if table { TABLE_SPAN } else { SPAN };
        let end = k.plus.saturating_add(bytes);
        let cut = self.cut_in(&k.terms);
        let holds = |r: &u8| {
            let content = self.regs[usize::from(*r)];
            content.plus == 0 && content.inner == k.inner && content.alone() == cut.map(|c| c.1)
        };
        let holder = cut.and_then(|_| (0..16).find(holds));
        let open = &mut self.groups[self.open..];
        // What lies at fixed places of one page can't cross its end.
        let fixed = !table && (k.is_constant() || k.alone() == Some(HERE));
        let page = |place: i64| place.div_euclid(PAGE as i64);
        // How many times an address has the cut sum in it, whose constant is `inner`, and how much it is more for that than
        // the leader's.
        let times = cut.map_or(0, |c| i64::from(c.2));
        let inner = |g: &Group| i64::from(k.inner.wrapping_sub(g.inner));
        let more = |g: &Group| times * inner(g);
        let fits = |g: &Group| {
            let (low, end) = (more(g).saturating_add(k.plus), more(g).saturating_add(end));
            let (low, end) = (low.min(g.low), end.max(g.end));
            // Nothing could tell whether the sum wraps on the way from one to the other.
            let apart = inner(g) != 0 && g.cut.is_none();
            g.terms == k.terms
                && g.table == table
                && !apart
                && if fixed {
                    page(low) == page(end - 1)
                } else {
                    end.checked_sub(low).is_some_and(|n| n <= limit)
                }
        };
        // The latest that serves, or can be made to.
        let joined = open.iter().rposition(|g| fits(g) && (g.write || !write));
        let joined = joined.or_else(|| open.iter().rposition(|g| self.upgrades && fits(g)));
        let mut place = k.plus;
        let same = match joined.map(|n| &mut open[n]) {
            Some(g) => {
                let more = more(g);
                place += more;
                g.inners = (g.inners.0.min(inner(g)), g.inners.1.max(inner(g)));
                g.write |= write;
                g.low = g.low.min(place);
                g.end = g.end.max(end + more);
                g.members += 1;
                g.gain += i32::from(costly);
                base.is_some() && base == g.lead
            }
            None => {
                self.groups.push(Group {
                    terms: k.terms,
                    inner: k.inner,
                    inners: (0, 0),
                    cut: holder,
                    table,
                    low: k.plus,
                    end,
                    write,
                    finds: false,
                    begins_with_store: write,
                    lead: base,
                    leader: i,
                    led: k.plus,
                    gain: if costly { 0 } else { -1 },
                    members: 1,
                    slot: None,
                });
                false
            }
        };
        let group = joined.map_or(self.groups.len() - 1, |n| self.open + n);
        self.members.push(Member { op: i, group, place, same });
        Some((group, place))
    }
}
