//! Going back in time: a bounded ring of snapshots in memory and the log of what came from outside. Back = restore the
//! last snapshot before and run forward to just before (DESIGN §5).
//!
//! A snapshot holds the state of processors and chips and the frames of memory that were stored to since the snapshot
//! before it. When one is dropped its frames go to the next. Spacing is exponential: what is dropped is what leaves the
//! smallest gap for its age. How often a snapshot is taken follows from what it costs, so that recording costs a small
//! share of the run. In the past output is muted and media read through their undo log.

use super::{Goal, Kind, Stopped, Why};
use crate::Machine;
use crate::board::{Chips, Request, Signal};
use crate::machine::{Progress, SavedFeed, Until};
use crate::media::Mark;
use crate::outcome::{HostIo, NoIo, Outcome};
use crate::record::Stamp;
use crate::script::Position;
use lucid86_cpu::Cpu;
use lucid86_cpu::memory::PAGE;
use lucid86_cpu::watch::{By, Hit};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

type Page = Box<[u8; PAGE as usize]>;

/// Memory that the ring takes by default.
pub const DEFAULT_LIMIT: usize = 1 << 30;
/// Most snapshots.
const MOST: usize = 256;
/// Shortest time between two.
const SHORTEST: Duration = Duration::from_millis(25);
/// Longest.
const LONGEST: Duration = Duration::from_millis(300);
/// Snapshots may cost one part in so many of the time.
const SHARE: u32 = 20;

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
    /// Frames stored to since the snapshot before; in the first, all that were ever stored to.
    pages: HashMap<u32, Page>,
    name: Option<String>,
}

/// The ring.
pub struct History {
    snapshots: Vec<Snapshot>,
    limit: usize,
    /// The snapshot that memory comes from, and the dirty epoch since then.
    base: usize,
    epoch: u32,
    /// The end of what is known, while in the past.
    present: Option<Stamp>,
    last: Instant,
    /// What snapshots have cost that the run has not yet paid for.
    debt: Duration,
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
            limit,
            base: 0,
            epoch: 1,
            present: None,
            last: Instant::now(),
            debt: Duration::ZERO,
        });
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
        all.map(|s| (s.at, s.name.clone(), s.pages.len() * PAGE as usize)).collect()
    }

    /// Takes a snapshot with a name, which is kept.
    pub fn checkpoint(&mut self, name: &str) -> Result<(), String> {
        if !self.has_history() {
            return Err("no history is kept".into());
        }
        if self.in_past() {
            return Err("in the past no snapshots are taken: go on first, or name a count".into());
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
        if std::mem::take(&mut self.debug.poked) && !self.in_past() {
            self.take_snapshot(None, true);
        }
    }

    /// After a chunk of a run: time for a snapshot?
    pub(super) fn keep_up(&mut self) {
        let Some(h) = &self.debug.history else { return };
        if h.present.is_some() || h.last.elapsed() < (h.debt * SHARE).clamp(SHORTEST, LONGEST) {
            return;
        }
        self.take_snapshot(None, false);
    }

    fn take_snapshot(&mut self, name: Option<String>, always: bool) {
        let began = Instant::now();
        let Some(mut h) = self.debug.history.take() else { return };
        let same = h.snapshots.last().is_some_and(|s| s.at.count == self.progress.count && !always);
        if !same {
            let mut frames: HashSet<u32> =
                (0..self.mem.frames() as u32).filter(|f| self.mem.dirty_since(*f, h.epoch)).collect();
            for s in h.snapshots.iter().skip(h.base + 1) {
                frames.extend(s.pages.keys());
            }
            let pages = frames.into_iter().map(|f| (f, self.frame(f))).collect();
            let mut s = self.snapshot_of(pages);
            s.name = name;
            h.snapshots.push(s);
            self.mem.next_epoch();
            h.epoch = self.mem.epoch();
            h.base = h.snapshots.len() - 1;
            h.thin(self.log.bytes());
            if let Some(first) = h.snapshots.first() {
                self.log.forget_before(first.log);
                for (image, mark) in self.board.outside.media.iter_mut().zip(&first.media) {
                    if let (Some(image), Some(mark)) = (image, mark) {
                        image.forget_before(mark);
                    }
                }
            }
        }
        let paid = h.last.elapsed() / SHARE;
        h.last = Instant::now();
        h.debt = (h.debt + began.elapsed()).saturating_sub(paid).min(LONGEST * 4);
        self.debug.history = Some(h);
    }

    fn frame(&self, f: u32) -> Page {
        let mut page = Box::new([0; PAGE as usize]);
        self.mem.ram.copy_out(f as usize * PAGE as usize, &mut page[..]);
        page
    }

    fn snapshot_of(&mut self, pages: HashMap<u32, Page>) -> Snapshot {
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
            pages,
            name: None,
        }
    }

    /// Makes the machine what it was at a snapshot.
    fn restore(&mut self, index: usize) -> Result<(), String> {
        let Some(mut h) = self.debug.history.take() else { return Err("no history is kept".into()) };
        let present = h.present.unwrap_or_else(|| self.stamp());
        if h.present.is_none() {
            h.present = Some(present);
        }
        let mut frames: HashSet<u32> =
            (0..self.mem.frames() as u32).filter(|f| self.mem.dirty_since(*f, h.epoch)).collect();
        let (low, high) = (h.base.min(index), h.base.max(index));
        for s in &h.snapshots[low + 1..=high] {
            frames.extend(s.pages.keys());
        }
        for f in frames {
            let page = h.snapshots[..=index].iter().rev().find_map(|s| s.pages.get(&f));
            match page {
                Some(p) => self.mem.store(f, 0, &p[..]),
                None => self.mem.store(f, 0, &[0; PAGE as usize]),
            }
        }
        self.mem.next_epoch();
        h.epoch = self.mem.epoch();
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
        self.board.outside.forget_output();
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

    /// Runs as a live machine does, or, in the past, muted and from the log up to the present.
    pub(super) fn run_until_or_past(&mut self, io: &mut dyn HostIo, until: Until) -> Option<Outcome> {
        let Some(present) = self.debug.history.as_ref().and_then(|h| h.present) else {
            return self.run_until(io, until);
        };
        let mut until = until;
        let now = self.stamp();
        if now.count < present.count {
            until.count = Some(until.count.unwrap_or(u64::MAX).min(present.count));
        } else if now.now_ns < present.now_ns {
            until.time_ns = Some(until.time_ns.unwrap_or(u64::MAX).min(present.now_ns));
        }
        let mut muted = Muted(io);
        self.run_until(&mut muted, until)
    }

    /// In the past, and all that is known has been replayed: this is the present again.
    pub(super) fn came_to_present(&mut self) -> bool {
        let now = self.stamp();
        let Some(h) = &mut self.debug.history else { return false };
        let Some(present) = h.present else { return false };
        if now.count < present.count || now.now_ns < present.now_ns {
            return false;
        }
        h.present = None;
        self.log.cut();
        for image in self.board.outside.media.iter_mut().flatten() {
            image.return_to_present();
        }
        true
    }

    /// Goes on from here: what was known of the future is void. Says whether there was any.
    pub fn cut_future(&mut self) -> Result<bool, String> {
        let now = self.progress.count;
        let index = match &self.debug.history {
            Some(h) if h.present.is_some() => {
                h.snapshots.iter().rposition(|s| s.at.count <= now).unwrap_or(0).max(h.base)
            }
            _ => return Ok(false),
        };
        for image in self.board.outside.media.iter_mut().flatten() {
            image.cut_future().map_err(|e| format!("a medium can't be rolled back: {e}"))?;
        }
        self.log.cut();
        if let Some(h) = &mut self.debug.history {
            h.snapshots.truncate(index + 1);
            h.present = None;
        }
        Ok(true)
    }

    fn snapshot_before(&self, count: u64) -> Option<usize> {
        let h = self.debug.history.as_ref()?;
        h.snapshots.iter().rposition(|s| s.at.count <= count)
    }

    /// Goes to the moment at which `count` instructions were complete, back or forward.
    pub fn go_to(&mut self, io: &mut dyn HostIo, count: u64) -> Stopped {
        if count < self.progress.count {
            let Some(i) = self.snapshot_before(count) else {
                let first = usize::from(self.debug.history.as_ref().is_none_or(|h| h.snapshots.is_empty()));
                if first == 0 {
                    let _ = self.restore(0);
                }
                return self.at(Why::Beginning);
            };
            if let Err(e) = self.restore(i) {
                return self.at(Why::Ended(Outcome::HostError(e)));
            }
        }
        self.quietly_to(io, count)
    }

    /// Goes to a virtual time.
    pub fn go_to_time(&mut self, io: &mut dyn HostIo, t_ns: u64) -> Stopped {
        if t_ns < self.time_ns() {
            let h = self.debug.history.as_ref();
            let Some(i) = h.and_then(|h| h.snapshots.iter().rposition(|s| s.at.now_ns <= t_ns)) else {
                return self.at(Why::Beginning);
            };
            if let Err(e) = self.restore(i) {
                return self.at(Why::Ended(Outcome::HostError(e)));
            }
        }
        let points = std::mem::take(&mut self.debug.points);
        let stopped = self.forward(io, Goal::Time(t_ns));
        self.debug.points = points;
        stopped
    }

    fn at(&self, why: Why) -> Stopped {
        Stopped { why, cpu: self.progress.turn, hits: Vec::new() }
    }

    /// Forward without stopping at any point.
    fn quietly_to(&mut self, io: &mut dyn HostIo, count: u64) -> Stopped {
        if self.progress.count >= count {
            return self.at(Why::Done);
        }
        let points = std::mem::take(&mut self.debug.points);
        let attached = std::mem::take(&mut self.debug.attached);
        let stopped = self.forward(io, Goal::Count(count));
        self.debug.points = points;
        self.debug.attached = attached;
        stopped
    }

    /// Back by one instruction (of this processor).
    pub fn reverse_step(&mut self, io: &mut dyn HostIo, cpu: usize) -> Stopped {
        let Some(mut target) = self.progress.count.checked_sub(1) else { return self.at(Why::Beginning) };
        for _ in 0..1000 {
            let s = self.go_to(io, target);
            if s.why != Why::Done || self.cpus.len() == 1 || self.progress.turn == cpu || target == 0 {
                return s;
            }
            target -= 1;
        }
        self.at(Why::Done)
    }

    /// Back to the last moment at which a point was met; to the beginning of what is known if none was.
    pub fn reverse_continue(&mut self, io: &mut dyn HostIo) -> Stopped {
        let mut end = self.progress.count;
        loop {
            let Some(i) = end.checked_sub(1).and_then(|n| self.snapshot_before(n)) else {
                let _ = self.restore(0);
                return self.at(Why::Beginning);
            };
            if let Err(e) = self.restore(i) {
                return self.at(Why::Ended(Outcome::HostError(e)));
            }
            let begin = self.progress.count;
            match self.last_met(io, end) {
                Ok(Some((count, stopped))) => {
                    let s = self.go_to(io, count);
                    let there = stopped.hits.iter().all(|h| match h {
                        Hit::Code { linear } => self.pc(stopped.cpu) == *linear,
                        _ => true,
                    });
                    if !there {
                        // What led there happens at the slice boundary: a reset, a kernel that starts.
                        let _ = self.run_until_or_past(io, Until { count: Some(count), time_ns: None });
                    }
                    return if s.why == Why::Done { Stopped { cpu: s.cpu, ..stopped } } else { s };
                }
                Ok(None) if i == 0 => {
                    let _ = self.restore(0);
                    return self.at(Why::Beginning);
                }
                Ok(None) => end = begin,
                Err(s) => return s,
            }
        }
    }

    /// Runs up to `end` and finds the last moment before it at which a point was met: the count to go to.
    fn last_met(&mut self, io: &mut dyn HostIo, end: u64) -> Result<Option<(u64, Stopped)>, Stopped> {
        let mut last = None;
        let saved: Vec<_> = self.debug.points.clone();
        for p in &mut self.debug.points {
            p.temporary = false;
            if matches!(p.kind, Kind::Time(_)) {
                p.enabled = false;
            }
        }
        let result = loop {
            if self.progress.count >= end {
                break Ok(());
            }
            let s = self.forward(io, Goal::Count(end));
            match &s.why {
                Why::Points(_) => {
                    // A code breakpoint is met before its instruction, everything else after it.
                    let before = s.hits.iter().any(|h| matches!(h, Hit::Code { .. }));
                    let by_cpu =
                        s.hits.iter().any(|h| !matches!(h, Hit::Code { .. } | Hit::Data { by: By::Bus, .. }));
                    let count = self.progress.count.saturating_sub(u64::from(by_cpu && !before));
                    let count = if s.hits.iter().any(|h| matches!(h, Hit::Data { by: By::Bus, .. })) {
                        count.saturating_sub(1)
                    } else {
                        count
                    };
                    if count < end {
                        last = Some((count, s));
                    }
                }
                Why::Done | Why::Present => break Ok(()),
                Why::TripleFault => {}
                _ => break Err(s),
            }
        };
        self.debug.points = saved;
        result.map(|()| last)
    }
}

impl History {
    fn bytes(&self) -> usize {
        self.snapshots.iter().map(|s| s.pages.len() * PAGE as usize + 32 * 1024).sum()
    }

    /// Drops snapshots while there are too many, those first that leave the smallest gap for their age.
    fn thin(&mut self, log: usize) {
        while self.snapshots.len() > 3 && (self.snapshots.len() > MOST || self.bytes() + log > self.limit) {
            let now = self.snapshots.last().map_or(0, |s| s.at.count);
            let victim = (1..self.snapshots.len() - 1)
                .filter(|&i| self.snapshots[i].name.is_none())
                .min_by_key(|&i| {
                    let gap = self.snapshots[i + 1].at.count - self.snapshots[i - 1].at.count;
                    let age = (now - self.snapshots[i].at.count).max(1);
                    (u128::from(gap) << 32) / u128::from(age)
                });
            // Only named ones are left: the oldest goes.
            let victim = victim.unwrap_or(0);
            let gone = self.snapshots.remove(victim);
            let next = &mut self.snapshots[victim];
            for (f, p) in gone.pages {
                next.pages.entry(f).or_insert(p);
            }
            self.base = self.base.saturating_sub(usize::from(self.base > victim));
        }
    }
}

/// A host that hears nothing but may still look and stop.
struct Muted<'a>(&'a mut dyn HostIo);

impl HostIo for Muted<'_> {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        NoIo.serial_out(port, bytes);
    }
    fn tick(&mut self, view: &dyn crate::View) -> Option<Duration> {
        self.0.tick(view)
    }
    fn quit(&mut self) -> bool {
        self.0.quit()
    }
    fn pause(&mut self) -> bool {
        self.0.pause()
    }
}
