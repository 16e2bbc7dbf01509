//! The jump cache: which code an indirect jump, a return or an unlinked jump leads to.
//!
//! Code of 64 bits has a table for each of the address spaces that it ran in last, so that a jump finds its target by RIP alone:
//! whoever changes [`Scratch::space`](super::regs::Scratch::space) has the space's table put in place ([`Jumps::of`]). Elsewhere
//! translated code changes modes and segments by itself; that code has one table, whose entries name the space.

use super::memory::{Zero, Zeros};
use super::passes::Incoming;
use crate::insn::ModeKey;

/// An entry of the jump cache.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct JumpEntry {
    /// RIP.
    pub rip: u64,
    /// Address space and mode. In the table of a space: where a jump goes that leaves its flags as a recipe.
    pub key: u64,
    /// Code.
    pub code: u64,
    /// Bits 19-0: which recipes for flags it can't be entered with, see [`Incoming::refuses`]. From bit 20 on: one more
    /// than its place in RAM.
    pub about: u64,
}

// SAFETY: all its fields are numbers.
unsafe impl Zero for JumpEntry {}

impl JumpEntry {
    /// See [`JumpEntry::about`].
    pub fn about(at: u64, refuses: u64) -> u64 {
        (at + 1) << 20 | refuses
    }

    /// Its place in RAM; `None` if there is nothing.
    pub fn at(&self) -> Option<u64> {
        (self.about >> 20).checked_sub(1)
    }

    /// Whether it can be entered with this recipe.
    pub fn takes(&self, recipe: Option<super::lower::Recipe>) -> bool {
        recipe.is_none_or(|r| self.about as u32 & (Incoming::ANY | u32::from(r.inputs())) == 0)
    }
}

/// Entries in a table.
pub const JUMPS: usize = 1 << 16;

/// Spaces with a table: the kernel's, and those of two programs.
const SPACES: usize = 3;

/// So many entries of a table are remembered, which need not be looked for when it is emptied.
const MOST_USED: usize = 1 << 13;

/// The slot of a RIP. It may also be in the other one of the same pair, in which the lowest bit differs.
pub fn jump_slot(rip: u64) -> usize {
    rip as usize & (JUMPS - 1)
}

/// What no RIP of the first two slots is like: an entry without a code there must not be found by RIP 0 or 1.
const NOWHERE: u64 = 2;

/// An empty entry for a slot.
fn empty(slot: usize) -> JumpEntry {
    JumpEntry { rip: if slot < 2 { NOWHERE } else { 0 }, ..JumpEntry::default() }
}

/// A table.
struct Table {
    /// The space that it is of, if it is one's.
    space: u64,
    /// When it was asked for last.
    asked: u64,
    entries: Zeros<JumpEntry>,
    /// Slots that may have something in them, unless these are [`MOST_USED`].
    used: Vec<u16>,
}

impl Table {
    fn new(space: u64) -> Option<Table> {
        let mut t = Table { space, asked: 0, entries: Zeros::new(JUMPS)?, used: Vec::new() };
        t.clear();
        Some(t)
    }

    fn clear(&mut self) {
        if self.used.len() < MOST_USED {
            self.used.iter().for_each(|&k| self.entries[usize::from(k)] = empty(k.into()));
        } else {
            self.entries.clear();
        }
        self.used.clear();
        (0..2).for_each(|k| self.entries[k] = empty(k));
    }

    fn put(&mut self, slot: usize, e: JumpEntry) {
        if self.entries[slot].at().is_none() && self.used.len() < MOST_USED {
            self.used.push(slot as u16);
        }
        self.entries[slot] = e;
    }

    /// Forgets `code`, which is in these pairs of slots if it is in any; `None`: wherever it is.
    fn forget(&mut self, code: u64, pairs: Option<&[u16]>) {
        let entries = &mut self.entries;
        let mut look = |slot: usize| {
            if entries[slot].code == code {
                entries[slot] = empty(slot);
            }
        };
        match pairs {
            Some(pairs) => pairs.iter().for_each(|&k| (0..2).for_each(|n| look(2 * usize::from(k) + n))),
            None if self.used.len() < MOST_USED => self.used.iter().for_each(|&k| look(k.into())),
            None => (0..JUMPS).for_each(look),
        }
    }
}

/// All tables of the jump cache.
pub struct Jumps {
    /// For code other than 64-bit code.
    keyed: Table,
    /// At least one.
    spaces: Vec<Table>,
    asked: u64,
}

/// A jump to RIP in a space, by code of a mode.
#[derive(Clone, Copy)]
pub struct Jump {
    #[allow(missing_docs)]
    pub rip: u64,
    #[allow(missing_docs)]
    pub mode: ModeKey,
    /// Address space and mode.
    pub space: u64,
}

impl Jumps {
    /// Empty ones; `None` if there is no memory for them.
    pub fn new() -> Option<Jumps> {
        Some(Jumps { keyed: Table::new(0)?, spaces: vec![Table::new(0)?], asked: 0 })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.keyed.clear();
        self.spaces.iter_mut().for_each(Table::clear);
    }

    /// The table for code of a mode in a space, as an address for translated code. It stays that space's until another one asks.
    pub fn of(&mut self, mode: ModeKey, space: u64) -> u64 {
        self.table(mode, space).entries.as_ptr() as u64
    }

    fn table(&mut self, mode: ModeKey, space: u64) -> &mut Table {
        if !mode.code64() {
            return &mut self.keyed;
        }
        let n = self.spaces.iter().position(|t| t.space == space).unwrap_or_else(|| self.take(space));
        self.asked += 1;
        let t = &mut self.spaces[n];
        t.asked = self.asked;
        t
    }

    /// Number of a table that is `space`'s from now on.
    fn take(&mut self, space: u64) -> usize {
        if self.spaces.len() < SPACES
            && let Some(t) = Table::new(space)
        {
            self.spaces.push(t);
            return self.spaces.len() - 1;
        }
        let n = (0..self.spaces.len()).min_by_key(|&n| self.spaces[n].asked).unwrap_or(0);
        self.spaces[n].clear();
        self.spaces[n].space = space;
        n
    }

    /// Remembers the code for a jump. `gate`: where one goes that leaves its flags as a recipe, to a target that needs them.
    pub fn put(&mut self, jump: Jump, code: u64, about: u64, gate: u64) {
        let needs = about as u32 & Incoming::ANY != 0;
        let gate = if needs { gate } else { code };
        let key = if jump.mode.code64() { gate } else { jump.space };
        let slot = jump_slot(jump.rip);
        let t = self.table(jump.mode, jump.space);
        let old = t.entries[slot];
        if old.rip != jump.rip && old.at().is_some() {
            // What is displaced may still be found in the other.
            t.put(slot ^ 1, old);
        }
        t.put(slot, JumpEntry { rip: jump.rip, key, code, about });
    }

    /// What is known of a jump to what is `at` in RAM; of another space perhaps, which maps the same code there.
    pub fn find(&self, jump: Jump, at: u64) -> Option<JumpEntry> {
        let slot = jump_slot(jump.rip);
        let same = |e: &&JumpEntry| e.rip == jump.rip && e.at() == Some(at);
        let pair = |t: &'_ Table| [t.entries[slot], t.entries[slot ^ 1]];
        if !jump.mode.code64() {
            let same = |e: &&JumpEntry| same(e) && e.key as u32 == jump.space as u32;
            return pair(&self.keyed).iter().find(same).copied();
        }
        let alike = self.spaces.iter().filter(|t| t.space as u32 == jump.space as u32);
        alike.flat_map(pair).find(|e| same(&e))
    }

    /// Forgets `code`, which the pairs of slots in `pairs` may name, or (`None`) any.
    pub fn forget(&mut self, code: u64, pairs: Option<&[u16]>) {
        self.keyed.forget(code, pairs);
        self.spaces.iter_mut().for_each(|t| t.forget(code, pairs));
    }
}
