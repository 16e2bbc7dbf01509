//! The translation cache: coherent, split in contexts that outlive CR3 loads.
//!
//! A *group* is one address space of one processor ([`Key`]); it has a table for each [`View`]. The table in use lies in
//! [`Tlb::hot`], so that a probe is one index and one compare. An entry holds a tag for each kind of access; a tag is
//! - the page's linear address: the access may go straight to `linear + delta` in [`crate::memory::Ram`];
//! - the same with [`SLOW`] flipped: rights are known and the physical page too, but the access must take the slow path
//!   (chip, ROM store, marked frame, watched bytes);
//! - [`none`].
//!
//! Only a tag of the first kind agrees with its own place in the table, so an address whose exclusive or with the tag it
//! meets is below 4096 minus the access's bytes may go there: one compare tells page, rights and page end.
//!
//! A direct store tag exists only where the leaf's D bit is set, the frame has no marks and it is dirty in the
//! current epoch. Coherence: frames that a walk read are marked, and a store to them drops what came from the
//! changed entry ([`super::walked`]). Dropping anything here at any moment is invisible to the guest.

use super::space::{Last, Paging, Space, Walk};
use super::table::{Array, HELD, PAGE_MASK, SLOW, Table, none};
use super::upper::{self, Halves};
use super::walked::Walked;
use super::{Access, View};
use crate::interp::blocks::BuildMix;
use crate::memory::{Memory, PAGE, Place, mark};
use crate::state::Cpu;
use std::collections::HashSet;

/// What names a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    cpu: usize,
    smm: bool,
    space: Space,
}

#[derive(Debug)]
struct Group {
    key: Key,
    tables: [Box<Table>; 3],
    used: u64,
    /// Uses of walked frames under an older serial are void.
    serial: u32,
    /// Names what code pages this space maps; another number once any of them changed.
    code_serial: u32,
    /// Pages that translated code jumps to without asking for their translation again.
    code_pages: HashSet<u64, BuildMix>,
    /// The upper half that it shares.
    upper: Option<usize>,
    /// It left a half: its tables may hold what was only noted for that one.
    left: bool,
    /// Frame of its top table while it has an upper half.
    top: Option<u32>,
}

/// What a translation found, for the slow path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Physical address of the page (A20 not applied).
    pub phys: u64,
}

/// Counts for `--statistics`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct TlbStatistics {
    pub walks: u64,
    pub groups_made: u64,
    pub page_table_stores: u64,
    pub pages_dropped: u64,
    pub write_voids: u64,
    pub full_voids: u64,
}

/// Last tables remembered.
const NEAR: usize = 64;

/// A walk's last table, good as long as no page table that a walk has read is stored to.
#[derive(Clone, Copy, Debug, Default)]
struct Near {
    structures: u64,
    /// Linear address / 2 MiB.
    range: u64,
    group: usize,
    serial: u32,
    /// Serial of the shared half, for addresses there.
    half: u32,
    last: Last,
}

/// Who last got a direct store tag for a frame.
#[derive(Clone, Copy, Debug, Default)]
struct Writer {
    generation: u32,
    holder: u32,
}

/// At several places.
const MANY: u32 = u32::MAX;
/// In the low byte: at one place, but in several tables, as the kernel's pages are.
const ANY_TABLE: u32 = 3;

/// All translations of one machine.
pub struct Tlb {
    hot: Box<Table>,
    /// Which group and view `hot` belongs to.
    hot_at: Option<(usize, View)>,
    /// The group of the processor's present state; `None` when that must be found anew.
    current: Option<usize>,
    groups: Vec<Group>,
    pub(super) walked: Walked,
    writers: Vec<Writer>,
    size: usize,
    max_groups: usize,
    clock: u64,
    serial: u32,
    generation: u32,
    write_generation: u32,
    seen_map: u64,
    seen_epoch: u32,
    /// Host address of RAM.
    base: u64,
    code_serial: u32,
    withdrawn: u64,
    halves: Halves,
    /// Last tables that walks have met lately, by the 2 MiB that they map.
    near: Vec<Near>,
    /// Another number once any page table that a walk read may be another.
    structures: u64,
    /// Counters.
    pub statistics: TlbStatistics,
}

impl Default for Tlb {
    fn default() -> Tlb {
        Tlb::new(2048, 16)
    }
}

impl Tlb {
    /// A cache with tables of `size` entries (a power of two, at least 2) for up to `groups` address spaces.
    pub fn new(size: usize, groups: usize) -> Tlb {
        Tlb {
            hot: Box::default(),
            hot_at: None,
            current: None,
            groups: Vec::new(),
            walked: Walked::default(),
            writers: Vec::new(),
            size: size.clamp(2, 1 << 20).next_power_of_two(),
            max_groups: groups.clamp(1, 64),
            clock: 0,
            serial: 0,
            generation: 1,
            write_generation: 1,
            seen_map: 0,
            seen_epoch: 0,
            base: 0,
            code_serial: 0,
            withdrawn: 0,
            halves: Halves::default(),
            near: vec![Near::default(); NEAR],
            structures: 1,
            statistics: TlbStatistics::default(),
        }
    }

    /// A number that is another one once any direct access may have been taken away: not by a table's making room, but
    /// because a translation changed or a frame must be asked about.
    #[inline(always)]
    pub fn withdrawn(&self) -> u64 {
        self.withdrawn
    }

    /// Drops everything. Marks on walked frames stay and go when next stored to.
    pub fn clear(&mut self) {
        self.withdrawn += 1;
        self.structures += 1;
        *self.hot = Table::default();
        self.hot_at = None;
        self.current = None;
        self.groups.clear();
        self.forget_halves();
    }

    /// No space has a known upper half any more. The tables of all are void.
    fn forget_halves(&mut self) {
        for n in 0..self.halves.list.len() {
            self.half_changed(n);
            self.serial = self.serial.wrapping_add(1);
            self.halves.list[n].serial = self.serial;
        }
        for g in &mut self.groups {
            (g.upper, g.left) = (None, false);
        }
    }

    /// Drops everything and takes another shape.
    pub fn resize(&mut self, size: usize, groups: usize) {
        self.clear();
        self.size = size.clamp(2, 1 << 20).next_power_of_two();
        self.max_groups = groups.clamp(1, 64);
        self.writers.clear();
    }

    /// Entries in each table.
    pub fn size(&self) -> usize {
        self.size
    }

    /// RAM offset for a load whose last byte is at `linear + last`, if it may go there directly: not if it leaves its page.
    #[inline(always)]
    pub fn hit_read(&self, linear: u64, last: u64) -> Option<usize> {
        self.hot.hit(Array::Read, linear, last).map(|at| at.wrapping_sub(self.base) as usize)
    }

    /// As [`Tlb::hit_read`] for a store.
    #[inline(always)]
    pub fn hit_write(&self, linear: u64, last: u64) -> Option<usize> {
        self.hot.hit(Array::Write, linear, last).map(|at| at.wrapping_sub(self.base) as usize)
    }

    /// RAM offset for an access of the kind of `a` with the rights of `view`, as [`Tlb::hit_read`]; the view need not be
    /// the one in use.
    #[inline]
    pub(super) fn hit_in(&self, view: View, a: Array, linear: u64, last: u64) -> Option<usize> {
        let (g, hot) = self.hot_at?;
        let at = if hot == view {
            self.hot.hit(a, linear, last)
        } else {
            let t = &self.groups[g].tables[view as usize];
            let fresh = t.generation == self.generation && t.write_generation == self.write_generation;
            if t.is_empty() || !fresh {
                return None;
            }
            t.hit(a, linear, last)
        };
        at.map(|at| at.wrapping_sub(self.base) as usize)
    }

    /// RAM offset of an instruction byte, if its page is plain memory.
    #[inline(always)]
    pub fn hit_execute(&self, linear: u64) -> Option<usize> {
        self.hot.hit(Array::Execute, linear, 0).map(|at| at.wrapping_sub(self.base) as usize)
    }

    /// The same, of the second entry of its place, too, which then is the first.
    pub fn find_execute(&mut self, linear: u64) -> Option<usize> {
        if self.hot.bring(linear) { self.hit_execute(linear) } else { None }
    }

    /// The processor's paging state (CR0, CR3, CR4, EFER, SMM) may have changed, or another processor runs.
    #[inline]
    pub fn space_changed(&mut self) {
        self.park();
        self.current = None;
    }

    /// CPL or AC may have changed: makes the table of the processor's view hot if there is one already.
    pub(super) fn switch_view(&mut self, cpu: &Cpu, view: View) {
        let g = self.group(cpu);
        if self.hot_at == Some((g, view)) {
            return;
        }
        self.park();
        if !self.groups[g].tables[view as usize].is_empty() {
            self.activate(cpu, view);
        }
    }

    /// Puts the hot table back in its group.
    #[inline]
    fn park(&mut self) {
        if let Some((g, v)) = self.hot_at.take() {
            std::mem::swap(&mut self.hot, &mut self.groups[g].tables[v as usize]);
        }
    }

    /// Looks whether memory's map or dirty epoch changed since last asked; to be called whenever either may have.
    #[inline]
    pub fn sync(&mut self, mem: &Memory) {
        self.base = mem.ram.base() as u64;
        if mem.map_epoch() != self.seen_map {
            self.seen_map = mem.map_epoch();
            self.void_all();
        }
        if mem.epoch() != self.seen_epoch {
            self.seen_epoch = mem.epoch();
            self.void_writes();
        }
    }

    /// Voids every translation, lazily.
    pub fn void_all(&mut self) {
        self.statistics.full_voids += 1;
        self.structures += 1;
        self.withdrawn += 1;
        self.generation = self.generation.wrapping_add(1);
        for g in 0..self.groups.len() {
            self.code_changed(g);
        }
        self.forget_halves();
        self.freshen_hot();
    }

    /// Sends every direct store through the slow path once, lazily.
    pub fn void_writes(&mut self) {
        self.statistics.write_voids += 1;
        self.withdrawn += 1;
        self.write_generation = self.write_generation.wrapping_add(1);
        self.freshen_hot();
    }

    fn freshen_hot(&mut self) {
        if self.hot_at.is_some() {
            Self::freshen(&mut self.hot, self.generation, self.write_generation);
        }
    }

    fn freshen(t: &mut Table, generation: u32, write_generation: u32) {
        if t.generation != generation {
            t.generation = generation;
            t.write_generation = write_generation;
            t.clear();
        } else if t.write_generation != write_generation {
            t.write_generation = write_generation;
            t.void_writes();
        }
    }

    /// The table of a view of the current group, up to date. Makes it if it is new.
    fn table(&mut self, group: usize, view: View) -> &mut Table {
        let (generation, write_generation, size) = (self.generation, self.write_generation, self.size);
        let t = if self.hot_at == Some((group, view)) {
            &mut self.hot
        } else {
            &mut self.groups[group].tables[view as usize]
        };
        if t.is_empty() {
            **t = Table::new(size);
            t.generation = generation;
            t.write_generation = write_generation;
        }
        Self::freshen(t, generation, write_generation);
        t
    }

    /// Finds or makes the group of the processor's state.
    #[inline(always)]
    fn group(&mut self, cpu: &Cpu) -> usize {
        match self.current {
            Some(g) => g,
            None => self.find_group(cpu),
        }
    }

    #[inline(never)]
    fn find_group(&mut self, cpu: &Cpu) -> usize {
        let key = Key { cpu: cpu.index, smm: cpu.smm, space: Space::of(cpu) };
        self.clock += 1;
        let same = |g: &Group| g.key.space.root == key.space.root && g.key == key;
        let g = match self.groups.iter().position(same) {
            Some(g) => g,
            None => self.new_group(key),
        };
        self.groups[g].used = self.clock;
        self.current = Some(g);
        g
    }

    fn new_group(&mut self, key: Key) -> usize {
        self.park();
        // A table may become another's.
        self.withdrawn += 1;
        self.statistics.groups_made += 1;
        self.serial = self.serial.wrapping_add(1);
        self.code_serial = self.code_serial.wrapping_add(1);
        if self.groups.len() < self.max_groups {
            self.groups.push(Group {
                key,
                tables: Default::default(),
                used: 0,
                serial: self.serial,
                code_serial: self.code_serial,
                code_pages: HashSet::default(),
                upper: None,
                left: false,
                top: None,
            });
            return self.groups.len() - 1;
        }
        let oldest = (0..self.groups.len()).min_by_key(|&g| self.groups[g].used).unwrap_or(0);
        let group = &mut self.groups[oldest];
        group.key = key;
        group.serial = self.serial;
        group.code_serial = self.code_serial;
        group.code_pages.clear();
        (group.upper, group.left) = (None, false);
        for t in &mut group.tables {
            t.clear();
        }
        oldest
    }

    /// The upper half that the processor's space shares with others.
    fn half(&mut self, cpu: &Cpu, mem: &mut Memory) -> Option<usize> {
        let g = self.group(cpu);
        if self.groups[g].upper.is_some() {
            return self.groups[g].upper;
        }
        let key = self.groups[g].key;
        let (frame, top) = upper::top_of(mem, &key.space)?;
        if std::mem::take(&mut self.groups[g].left) {
            self.clear_group(g);
        }
        let (serial, code) = (&mut self.serial, &mut self.code_serial);
        let fresh = || {
            *serial = serial.wrapping_add(1);
            *code = code.wrapping_add(1);
            (*serial, *code)
        };
        let (n, replaced) = self.halves.find(key.smm, &key.space, top, fresh);
        if replaced {
            for group in &mut self.groups {
                if group.upper == Some(n) {
                    (group.upper, group.left) = (None, true);
                }
            }
        }
        if let Some(f) = frame {
            self.mark_frame(mem, f, mark::WALKED);
        }
        let group = &mut self.groups[g];
        (group.upper, group.top) = (Some(n), frame);
        Some(n)
    }

    fn clear_group(&mut self, g: usize) {
        self.withdrawn += 1;
        if self.hot_at.is_some_and(|(h, _)| h == g) {
            self.hot.clear();
        }
        for t in &mut self.groups[g].tables {
            t.clear();
        }
    }

    /// Bytes up to `end` of `frame` were stored to: spaces whose upper top-level entries these may be leave their half.
    fn leave_halves(&mut self, frame: u32, end: u16) {
        for g in 0..self.groups.len() {
            let group = &self.groups[g];
            if group.upper.is_none() || group.top != Some(frame) {
                continue;
            }
            if upper::upper_start(group.key.space.paging).is_some_and(|start| end > start) {
                (self.groups[g].upper, self.groups[g].left) = (None, true);
                self.code_changed(g);
            }
        }
    }

    fn half_changed(&mut self, n: usize) {
        self.code_serial = self.code_serial.wrapping_add(1);
        let half = &mut self.halves.list[n];
        half.code_serial = self.code_serial;
        half.pages.clear();
    }

    /// The space of the processor's state.
    pub(super) fn space(&mut self, cpu: &Cpu) -> Space {
        let g = self.group(cpu);
        self.groups[g].key.space
    }

    /// Makes the table of `view` the one that hit paths probe.
    #[inline]
    pub(super) fn activate(&mut self, cpu: &Cpu, view: View) {
        if let (Some(g), Some((hot, v))) = (self.current, self.hot_at)
            && g == hot
            && v == view
        {
            return;
        }
        self.activate_other(cpu, view);
    }

    #[inline(never)]
    fn activate_other(&mut self, cpu: &Cpu, view: View) {
        let g = self.group(cpu);
        self.park();
        self.table(g, view);
        std::mem::swap(&mut self.hot, &mut self.groups[g].tables[view as usize]);
        self.hot_at = Some((g, view));
    }

    /// A translation known from before that allows `access`.
    pub(super) fn find(&mut self, cpu: &Cpu, linear: u64, access: Access, view: View) -> Option<Found> {
        let g = self.group(cpu);
        let t = self.table(g, view);
        if !t.bring(linear) {
            return None;
        }
        let index = t.index(linear);
        let tag = match access {
            Access::Read => t.get(Array::Read, index),
            Access::Write => t.get(Array::Write, index),
            Access::Execute => t.get(Array::Execute, index),
        };
        (tag & !SLOW == linear & PAGE_MASK & !SLOW).then(|| Found { phys: t.get(Array::Phys, index) })
    }

    /// Enters a page. `read`, `write`, `execute` say what rights (and D) allow; `watched` keeps it from direct access.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn install(
        &mut self,
        cpu: &Cpu,
        mem: &mut Memory,
        linear: u64,
        phys: u64,
        view: View,
        (read, write, execute): (bool, bool, bool),
        watched: bool,
    ) {
        let g = self.group(cpu);
        let page = linear & PAGE_MASK;
        let index = (linear >> 12) as usize & (self.size - 1);
        let base = mem.ram.base() as u64;
        let mut delta = 0;
        let at = mem.mask(phys) / PAGE;
        let (from, to) = (mem.read_place(at), mem.write_place(at));
        let mut slow_read = SLOW;
        let mut slow_write = SLOW;
        if let Place::Frame(f) = from {
            delta = (u64::from(f) * PAGE).wrapping_sub(page).wrapping_add(base);
            slow_read = if watched || mem.marks(f) & mark::WATCHED != 0 { SLOW } else { 0 };
            if write && !watched && to == from && mem.fast_write_ok(f) {
                slow_write = 0;
                self.note_writer(mem, f, g, view, index);
            }
        }
        let slow_execute = if matches!(from, Place::Frame(_)) { 0 } else { SLOW };
        let t = self.table(g, view);
        t.make_room(page);
        let tags = [
            (Array::Read, read, slow_read),
            (Array::Write, write, slow_write),
            (Array::Execute, execute, slow_execute),
        ];
        for (a, allowed, slow) in tags {
            t.put(a, index, if allowed { page ^ slow } else { none(index) });
        }
        t.put(Array::Delta, index, delta);
        t.put(Array::Key, index, page | HELD);
        t.put(Array::Phys, index, phys);
        t.put(Array::Noted, index, 0);
    }

    /// Makes a store tag direct after all, if the frame now allows it.
    pub(super) fn upgrade_write(&mut self, cpu: &Cpu, mem: &mut Memory, linear: u64, frame: u32, view: View) {
        let g = self.group(cpu);
        let page = linear & PAGE_MASK;
        let index = (linear >> 12) as usize & (self.size - 1);
        let base = mem.ram.base() as u64;
        let t = self.table(g, view);
        let delta = (u64::from(frame) * PAGE).wrapping_sub(page).wrapping_add(base);
        if t.get(Array::Write, index) == page ^ SLOW
            && t.get(Array::Read, index) == page
            && t.get(Array::Delta, index) == delta
            && mem.fast_write_ok(frame)
        {
            t.put(Array::Write, index, page);
            self.note_writer(mem, frame, g, view, index);
        }
    }

    fn note_writer(&mut self, mem: &Memory, frame: u32, group: usize, view: View, index: usize) {
        if self.writers.len() < mem.frames() {
            self.writers.resize(mem.frames(), Writer::default());
        }
        let holder = 1 + ((index as u32) << 8 | (group as u32) << 2 | view as u32);
        let w = &mut self.writers[frame as usize];
        if w.generation != self.write_generation || w.holder == 0 {
            *w = Writer { generation: self.write_generation, holder };
        } else if w.holder != holder {
            let same_place = w.holder != MANY && (w.holder - 1) >> 8 == index as u32;
            w.holder = if same_place { 1 + ((index as u32) << 8 | ANY_TABLE) } else { MANY };
        }
    }

    /// Marks a frame and takes away direct stores to it.
    pub fn mark_frame(&mut self, mem: &mut Memory, frame: u32, marks: u8) {
        if mem.marks(frame) & marks == marks {
            return;
        }
        mem.add_marks(frame, marks);
        self.withdrawn += 1;
        if marks & mark::WATCHED != 0 {
            self.void_all();
            return;
        }
        let Some(w) = self.writers.get_mut(frame as usize) else { return };
        let holder = std::mem::take(&mut w.holder);
        if w.generation != self.write_generation || holder == 0 {
            return;
        }
        if holder == MANY {
            self.void_writes();
            return;
        }
        let at = holder - 1;
        let (index, group, view) = ((at >> 8) as usize, (at >> 2 & 63) as usize, at & 3);
        if at & 0xff == ANY_TABLE {
            let hot = self.hot_at.map(|_| &mut self.hot);
            let parked = self.groups.iter_mut().flat_map(|g| &mut g.tables);
            for t in parked.chain(hot).filter(|t| index < t.size() && !t.is_empty()) {
                t.slow_down(Array::Write, index);
            }
            return;
        }
        let view = [View::User, View::Supervisor, View::SupervisorAc][view as usize];
        if group < self.groups.len() {
            let t = self.table(group, view);
            if index < t.size() {
                t.slow_down(Array::Write, index);
            }
        }
    }

    /// Remembers that a translation of `linear` in the current group came from the entries `steps`.
    pub(super) fn note_walk(&mut self, cpu: &Cpu, mem: &mut Memory, linear: u64, w: &Walk) {
        self.statistics.walks += 1;
        let steps = &w.steps[..w.count];
        let g = self.group(cpu);
        let serial = self.groups[g].serial;
        let paging = self.groups[g].key.space.paging;
        let shared = if upper::is_upper(paging, linear) { self.half(cpu, mem) } else { None };
        for (level, s) in steps.iter().enumerate() {
            if s.frame == u32::MAX {
                continue;
            }
            let mut fresh = self.walked.note(s, linear, g as u32, serial);
            if let Some(n) = shared
                && (level > 0 || paging == Paging::Pae)
            {
                let serial = self.halves.list[n].serial;
                fresh |= self.walked.note(s, linear, upper::FIRST + n as u32, serial);
            }
            if fresh {
                self.mark_frame(mem, s.frame, mark::WALKED);
            }
        }
        if let Some(last) = w.last
            && steps.iter().all(|s| s.frame != u32::MAX)
            && shared.is_some() == upper::is_upper(paging, linear)
        {
            let half = shared.map_or(0, |n| self.halves.list[n].serial);
            let range = linear >> 21;
            let structures = self.structures;
            self.near[near_slot(range)] = Near { structures, range, group: g, serial, half, last };
        }
    }

    /// The last table of the walk for `linear`, if it is known.
    pub(super) fn near(&mut self, cpu: &Cpu, linear: u64) -> Option<Last> {
        let g = self.group(cpu);
        let range = linear >> 21;
        let n = self.near[near_slot(range)];
        let group = &self.groups[g];
        if n.structures != self.structures || (n.range, n.group, n.serial) != (range, g, group.serial) {
            return None;
        }
        let half = match upper::is_upper(group.key.space.paging, linear) {
            false => 0,
            true => self.halves.list[group.upper?].serial,
        };
        (n.half == half).then_some(n.last)
    }

    /// Notes a walk that began at the table that [`Tlb::near`] gave. False if that is void by now: the walk has to be made
    /// from the top.
    pub(super) fn note_near(&mut self, cpu: &Cpu, linear: u64, w: &Walk) -> bool {
        let good = self.near(cpu, linear).is_some() && self.walked.note_more(&w.steps[0]);
        self.statistics.walks += u64::from(good);
        good
    }

    /// A store hit bytes `start..end` of a frame with [`mark::WALKED`]: drops what came from them.
    pub fn page_table_stored(&mut self, mem: &mut Memory, frame: u32, start: u16, end: u16) {
        self.statistics.page_table_stores += 1;
        self.structures += 1;
        self.leave_halves(frame, end);
        let mut walked = std::mem::take(&mut self.walked);
        let keep = walked.stored(frame, start, end, self);
        self.walked = walked;
        match keep {
            super::walked::Kept::Used => {}
            super::walked::Kept::Unused => {
                if !self.groups.iter().any(|g| g.upper.is_some() && g.top == Some(frame)) {
                    mem.clear_marks(frame, mark::WALKED);
                }
            }
            super::walked::Kept::Overflow => {
                mem.clear_marks(frame, mark::WALKED);
                self.void_all();
            }
        }
    }

    /// Whether a group still is what it was under `serial`.
    pub(super) fn alive(&self, group: u32, serial: u32) -> bool {
        if group >= upper::FIRST {
            let half = self.halves.list.get((group - upper::FIRST) as usize);
            return half.is_some_and(|h| h.serial == serial);
        }
        self.groups.get(group as usize).is_some_and(|g| g.serial == serial)
    }

    /// Whether a jump from supervisor code to `linear` rests on what the space shares with others.
    pub fn is_shared(&mut self, cpu: &Cpu, linear: u64) -> bool {
        cpu.cpl < 3 && upper::is_upper(self.space(cpu).paging, linear)
    }

    /// A number for the code that the processor's space maps (`shared`: in its upper half): another one once any page
    /// noted by [`Tlb::note_code`] has changed.
    pub fn code_serial(&mut self, cpu: &Cpu, mem: &mut Memory, shared: bool) -> u32 {
        if shared && let Some(n) = self.half(cpu, mem) {
            return self.halves.list[n].code_serial;
        }
        let g = self.group(cpu);
        self.groups[g].code_serial
    }

    /// A number that is another one once [`Tlb::code_serial`] may be for any space.
    #[inline(always)]
    pub fn code_changes(&self) -> u32 {
        self.code_serial
    }

    /// Translated code will go to the page at `linear` as long as [`Tlb::code_serial`] stays.
    pub fn note_code(&mut self, cpu: &Cpu, mem: &mut Memory, linear: u64, shared: bool) {
        let page = linear & PAGE_MASK;
        let serial = u64::from(self.code_serial(cpu, mem, shared));
        let index = self.hot.index(page);
        let here = self.hot.get(Array::Key, index) == page | HELD;
        if here && self.hot.get(Array::Noted, index) == serial {
            return;
        }
        if shared && let Some(n) = self.half(cpu, mem) {
            self.halves.list[n].pages.insert(page);
        } else {
            let g = self.group(cpu);
            self.groups[g].code_pages.insert(page);
        }
        // The hot table is of the processor's own group, whose number this is.
        if here {
            self.hot.put(Array::Noted, index, serial);
        }
    }

    fn code_changed(&mut self, group: usize) {
        self.code_serial = self.code_serial.wrapping_add(1);
        self.groups[group].code_serial = self.code_serial;
        self.groups[group].code_pages.clear();
    }

    /// The table in use, for translated code: see [`super::table::displacement`].
    pub fn table_in_use(&mut self, cpu: &Cpu, view: View) -> u64 {
        self.activate(cpu, view);
        self.hot.address()
    }

    pub(super) fn drop_range(&mut self, group: usize, base: u64, pages: u64) {
        let half = group.checked_sub(upper::FIRST as usize);
        let code = match half {
            Some(n) => &self.halves.list[n].pages,
            None => &self.groups[group].code_pages,
        };
        let hit = if pages <= 16 {
            (0..pages).any(|i| code.contains(&base.wrapping_add(i * PAGE)))
        } else {
            code.iter().any(|p| p.wrapping_sub(base) < pages * PAGE)
        };
        if let Some(n) = half {
            if hit {
                self.half_changed(n);
            }
            return;
        }
        self.statistics.pages_dropped += 1;
        self.withdrawn += 1;
        if hit {
            self.code_changed(group);
        }
        let hot = self.hot_at;
        for view in [View::User, View::Supervisor, View::SupervisorAc] {
            let t = if hot == Some((group, view)) {
                &mut self.hot
            } else {
                &mut self.groups[group].tables[view as usize]
            };
            t.drop_range(base, pages);
        }
    }
}

fn near_slot(range: u64) -> usize {
    (range ^ range >> 9) as usize % NEAR
}
