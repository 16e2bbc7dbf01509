//! Going back in time: a bounded ring of snapshots in memory and the log of what came from outside. Back = restore the
//! last snapshot before and run forward to just before (DESIGN §5).
//!
//! A snapshot holds the state of processors and chips and the frames of memory that were stored to since the snapshot
//! before it; a frame's bytes only once they have changed since (`lucid86_cpu::memory` keeps them). When a snapshot is
//! dropped its frames go to the next ([`ring`]). How often one is taken follows from what it and the copies for the one
//! before have cost, by the clock, so that recording costs a small share of the run ([`budget`]). Going through the past
//! again leaves a few snapshots too, around where the machine is: the next step back from there is short. In the past
//! output is muted and media read through their undo log; at its end the machine is what it was when it was left
//! ([`present`]). [`travel`] goes where it is asked to.

mod budget;
mod present;
mod ring;
mod travel;

use crate::Machine;
use crate::board::{Chips, Request, Signal};
use crate::machine::{Progress, SavedFeed};
use crate::media::Mark;
use crate::outcome::Outcome;
use crate::record::Stamp;
use crate::script::Position;
use budget::Budget;
use lucid86_cpu::Cpu;
use lucid86_cpu::memory::{PAGE, Page};
use present::Present;
use std::time::Duration;

/// Memory that the ring takes by default.
pub const DEFAULT_LIMIT: usize = 1 << 30;

/// Frames, ascending, with their bytes if these have changed since.
type Frames = Vec<(u32, Option<Page>)>;

/// The machine at one moment.
struct Snapshot {
    at: Stamp,
    cpus: Vec<Cpu>,
    chips: Chips,
    progress: Progress,
    feed: SavedFeed,
    script: Option<Position>,
    recent: [Option<crate::report::Delivery>; 4],
    request: Option<Request>,
    signals: Vec<Signal>,
    ended: Option<Outcome>,
    log: usize,
    media: Vec<Option<Mark>>,
    /// Names it in [`History::owners`].
    id: u32,
    /// Frames stored to since the snapshot before; in the first, all that were ever stored to.
    frames: Frames,
    name: Option<String>,
    /// Taken while the past was gone through again.
    passing: bool,
    /// Made by hand: a run from before doesn't lead here, and nothing may drop it.
    poked: bool,
    /// When it was taken, by [`spent`].
    taken: Duration,
}

/// The ring.
pub struct History {
    /// Ascending.
    snapshots: Vec<Snapshot>,
    /// For each frame the snapshot that is to have its bytes when they change.
    owners: Vec<u32>,
    /// Snapshots ever taken.
    ids: u32,
    limit: usize,
    /// The snapshot that memory comes from.
    base: usize,
    /// The end of what is known, while in the past.
    present: Option<Present>,
    /// When the last one was taken, by [`spent`].
    last: Duration,
    budget: Budget,
}

/// What this thread has had of the host's processor: what others do there makes neither snapshots nor runs dearer.
fn spent() -> Duration {
    #[cfg(unix)]
    {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(t.tv_sec.unsigned_abs(), t.tv_nsec as u32)
    }
    #[cfg(not(unix))]
    {
        static BEGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        BEGIN.get_or_init(std::time::Instant::now).elapsed()
    }
}

impl Snapshot {
    /// Bytes of the pages that it has.
    fn held(&self) -> usize {
        self.frames.iter().filter_map(|f| f.1.as_ref()).map(Page::size).sum()
    }
}

impl Machine {
    /// Keeps a history from now on, in at most `limit` bytes.
    pub fn keep_history(&mut self, limit: usize) {
        if self.debug.history.is_some() {
            return;
        }
        self.log.start();
        for image in self.board.outside.media.iter_mut().flatten() {
            image.start_journal();
        }
        self.debug.history = Some(History {
            snapshots: Vec::new(),
            owners: vec![0; self.mem.frames()],
            ids: 0,
            limit,
            base: 0,
            present: None,
            last: spent(),
            budget: Budget::default(),
        });
        self.mem.list_stores();
        self.take_snapshot(None, false);
    }

    /// Whether a history is kept.
    pub fn has_history(&self) -> bool {
        self.debug.history.is_some()
    }

    /// Whether the machine is in its past.
    pub fn in_past(&self) -> bool {
        self.debug.history.as_ref().is_some_and(|h| h.present.is_some())
    }

    /// The snapshots: count, virtual time, name, bytes.
    pub fn checkpoints(&self) -> Vec<(Stamp, Option<String>, usize)> {
        let all = self.debug.history.iter().flat_map(|h| &h.snapshots);
        all.map(|s| (s.at, s.name.clone(), s.held())).collect()
    }

    /// Takes a snapshot with a name, which is kept.
    pub fn checkpoint(&mut self, name: &str) -> Result<(), String> {
        if !self.has_history() {
            return Err("no history is kept".into());
        }
        self.take_snapshot(Some(name.to_string()), true);
        Ok(())
    }

    /// The stamp of a named snapshot.
    pub fn checkpoint_named(&self, name: &str) -> Option<Stamp> {
        let h = self.debug.history.as_ref()?;
        h.snapshots.iter().find(|s| s.name.as_deref() == Some(name)).map(|s| s.at)
    }

    /// Before a run: what was changed by hand is kept in a snapshot, since nothing before leads to it.
    pub(super) fn keep_pokes(&mut self) {
        if std::mem::take(&mut self.debug.poked) {
            self.take_snapshot(None, true);
            if let Some(h) = &mut self.debug.history {
                h.snapshots[h.base].poked = true;
            }
        }
    }

    /// After a chunk of a run: time for a snapshot?
    pub(super) fn keep_up(&mut self) {
        let Some(h) = &self.debug.history else { return };
        if spent().saturating_sub(h.last) < h.budget.gap() {
            return;
        }
        self.take_snapshot(None, false);
    }

    fn take_snapshot(&mut self, name: Option<String>, always: bool) {
        let began = spent();
        let Some(mut h) = self.debug.history.take() else { return };
        let at = self.stamp();
        let index = h.snapshots.partition_point(|s| s.at <= at);
        let copies = self.collect_kept(&mut h);
        let same = !always && index > 0 && h.snapshots[index - 1].at.count == at.count;
        if !same {
            h.ids += 1;
            let mut s = self.snapshot_of(h.ids);
            for f in self.stored_since_base(&h) {
                s.frames.push((f, None));
                h.owners[f as usize] = s.id;
                self.mem.keep_before_store(f);
            }
            s.name = name;
            s.passing = h.present.is_some();
            h.snapshots.insert(index, s);
            self.mem.next_epoch();
            h.base = index;
            let media = self.board.outside.media.iter().flatten();
            let journals: usize = media.map(crate::media::Image::journal_bytes).sum();
            h.thin(&mut self.mem.pages, self.log.bytes() + journals);
            self.forget_what_nobody_needs(&h);
        }
        let ran = began.saturating_sub(h.last);
        h.last = spent();
        h.budget.settle(ran, h.last.saturating_sub(began) + copies);
        self.debug.history = Some(h);
    }

    /// Frames stored to since memory was what it is in the base, ascending; at first all that ever were.
    fn stored_since_base(&mut self, h: &History) -> Vec<u32> {
        let listed = self.mem.take_stored();
        if !h.snapshots.is_empty() {
            return listed;
        }
        (0..self.mem.frames() as u32).filter(|f| self.mem.dirty_since(*f, 1)).collect()
    }

    /// Gives the snapshots what was kept for them; how long keeping it took.
    fn collect_kept(&mut self, h: &mut History) -> Duration {
        let (kept, cost) = self.mem.take_kept();
        for (f, page) in kept {
            let owner = h.owners[f as usize];
            let owner = h.snapshots.iter_mut().rev().find(|s| s.id == owner);
            let place = owner.and_then(|s| {
                let i = s.frames.binary_search_by_key(&f, |f| f.0).ok()?;
                Some(&mut s.frames[i].1)
            });
            match place {
                Some(place @ None) => *place = Some(page),
                _ => self.mem.pages.free(page),
            }
        }
        cost
    }

    /// Log and undo logs from before the first snapshot.
    fn forget_what_nobody_needs(&mut self, h: &History) {
        if let Some(log) = h.snapshots.iter().map(|s| s.log).min() {
            self.log.forget_before(log);
        }
        for (slot, image) in self.board.outside.media.iter_mut().enumerate() {
            let marks = h.snapshots.iter().filter_map(|s| s.media.get(slot)?.as_ref());
            if let (Some(image), Some(first)) = (image, marks.min_by_key(|m| m.position())) {
                image.forget_before(first);
            }
        }
    }

    fn snapshot_of(&mut self, id: u32) -> Snapshot {
        Snapshot {
            at: self.stamp(),
            cpus: self.cpus.clone(),
            chips: self.board.chips.clone(),
            progress: self.progress,
            feed: self.feed.clone(),
            script: self.script.as_ref().map(|s| s.position.clone()),
            recent: self.board.recent,
            request: self.board.request,
            signals: self.board.signals.clone(),
            ended: self.ended_by.clone(),
            log: self.log.position(),
            media: self.board.outside.media.iter_mut().map(|m| m.as_mut().map(|i| i.mark())).collect(),
            id,
            frames: Frames::new(),
            name: None,
            passing: false,
            poked: false,
            taken: spent(),
        }
    }

    /// Makes the machine what it was at a snapshot.
    fn restore(&mut self, index: usize) -> Result<(), String> {
        let Some(mut h) = self.debug.history.take() else { return Err("no history is kept".into()) };
        let known = match h.present.take() {
            Some(p) => p,
            None => self.leave_present(),
        };
        let present = known.at;
        h.present = Some(known);
        self.restore_memory(&mut h, index);
        self.mem.next_epoch();
        h.base = index;
        let s = &h.snapshots[index];
        self.cpus.clone_from(&s.cpus);
        self.board.chips = s.chips.clone();
        self.progress = s.progress;
        self.feed = s.feed.clone();
        if let (Some(script), Some(p)) = (&mut self.script, &s.script) {
            script.position = p.clone();
        }
        self.log.go_back(s.log, present);
        let mut failed = None;
        for (image, mark) in self.board.outside.media.iter_mut().zip(&s.media) {
            if let (Some(image), Some(mark)) = (image, mark)
                && let Err(e) = image.go_back(mark)
            {
                failed = Some(format!("a medium can't go back: {e}"));
            }
        }
        let now = self.now();
        self.board.rebuild(&mut self.mem, now);
        self.board.recent = s.recent;
        self.board.request = s.request;
        self.board.signals.clone_from(&s.signals);
        self.board.outside.take_output();
        self.board.log_lines.clear();
        self.board.video_epoch += 1;
        self.ended_by.clone_from(&s.ended);
        self.debug.stopped = None;
        self.debug.triple = None;
        self.derived.settle_quietly(&mut self.mem);
        self.derived.watch.take_hits();
        self.debug.history = Some(h);
        failed.map_or(Ok(()), Err)
    }

    /// Makes memory what it was at a snapshot, by storing to what differs.
    fn restore_memory(&mut self, h: &mut History, index: usize) {
        self.collect_kept(h);
        let mut differs = vec![false; self.mem.frames()];
        self.stored_since_base(h).into_iter().for_each(|f| differs[f as usize] = true);
        let (low, high) = (h.base.min(index), h.base.max(index));
        for (f, _) in h.snapshots[low + 1..=high].iter().flat_map(|s| &s.frames) {
            differs[*f as usize] = true;
        }
        let mut now = [0; PAGE as usize];
        let mut put = |mem: &mut lucid86_cpu::Memory, f: u32, page: &[u8; PAGE as usize]| {
            mem.ram.copy_out(f as usize * PAGE as usize, &mut now);
            // What is the same keeps what was derived from it.
            if now != *page {
                mem.store(f, 0, page);
            }
        };
        for (f, page) in h.snapshots[..=index].iter().rev().flat_map(|s| &s.frames) {
            // Without bytes of its own it is what it was then.
            if std::mem::take(&mut differs[*f as usize])
                && let Some(page) = page
            {
                let page = self.mem.pages.bytes(page);
                put(&mut self.mem, *f, &page);
            }
        }
        for (f, _) in differs.iter().enumerate().filter(|d| *d.1) {
            put(&mut self.mem, f as u32, &[0; PAGE as usize]);
        }
        // Restoring stored, too.
        self.collect_kept(h);
        self.mem.take_stored();
    }
}
