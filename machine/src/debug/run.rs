//! Running under the debugger: until a point is met, a step is done, or the outside wants something.

use super::expr::Expr;
use super::{Kind, walk};
use crate::Machine;
use crate::machine::Until;
use crate::outcome::{HostIo, Outcome};
use lucid86_cpu::watch::Hit;

/// How far to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Until something stops it.
    Continue,
    /// So many instructions of this processor.
    Step(usize, u64),
    /// Until the count of instructions is this.
    Count(u64),
    /// Until virtual time is this, in nanoseconds.
    Time(u64),
}

/// Why a run stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Points of these numbers were met.
    Points(Vec<u32>),
    /// The goal was reached.
    Done,
    /// The host asked for a pause.
    Paused,
    /// The guest is about to reset after a triple fault; running on does that.
    TripleFault,
    /// The run has ended: it can't go on from here.
    Ended(Outcome),
    /// There is no earlier state.
    Beginning,
    /// The present was reached again.
    Present,
    /// The guest is in trouble: in words.
    Trouble(String),
}

/// Where and why a run stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// Why.
    pub why: Why,
    /// On which processor.
    pub cpu: usize,
    /// What was hit.
    pub hits: Vec<Hit>,
}

/// Longest run between two looks at the history.
const CHUNK: u64 = 8_000_000;
/// Longest virtual time between two looks for trouble.
const LOOK_NS: u64 = 1_000_000_000;
/// A step of a processor that others keep from running ends after so many instructions.
const STEP_LIMIT: u64 = 10_000_000;

impl Machine {
    /// Runs forward under the debugger.
    pub fn debug_run(&mut self, io: &mut dyn HostIo, goal: Goal) -> Stopped {
        self.keep_pokes();
        self.forward(io, goal)
    }

    pub(super) fn forward(&mut self, io: &mut dyn HostIo, goal: Goal) -> Stopped {
        self.came_to_present();
        self.debug.running = true;
        let stopped = self.forward_to(io, goal);
        self.debug.running = false;
        // Whatever stopped it there.
        self.came_to_present();
        stopped
    }

    fn forward_to(&mut self, io: &mut dyn HostIo, goal: Goal) -> Stopped {
        let ids = self.arm();
        self.remember_old(self.progress.turn);
        self.derived.watch.pass = Some(self.progress.count);
        self.debug.pause = false;
        let begin = self.progress.count;
        let mut left = if let Goal::Step(_, n) = goal { n } else { 0 };
        if goal == Goal::Step(self.progress.turn, 0) {
            return self.stopped(Why::Done, Vec::new());
        }
        loop {
            let until = self.next_until(goal);
            let before = self.progress.count;
            let outcome = self.run_until_or_past(io, until);
            if let Some(outcome) = outcome {
                return self.stopped(Why::Ended(outcome), Vec::new());
            }
            if let Err(e) = self.come_to_pokes() {
                return self.stopped(Why::Ended(Outcome::HostError(e)), Vec::new());
            }
            if let Some(cpu) = self.debug.triple.take() {
                return Stopped { why: Why::TripleFault, cpu, hits: Vec::new() };
            }
            if let Some((cpu, hits)) = self.debug.stopped.take() {
                let met = self.met(cpu, &hits, &ids);
                if let Some(why) = self.panicked(cpu, &met) {
                    return Stopped { why, cpu, hits };
                }
                if !met.is_empty() {
                    return Stopped { why: Why::Points(met), cpu, hits };
                }
                self.derived.watch.pass = Some(self.progress.count);
                // A step that something unwanted interrupted is done all the same if it advanced.
                if self.progress.count == before {
                    continue;
                }
            }
            if let Some(ids) = self.timed_points() {
                return self.stopped(Why::Points(ids), Vec::new());
            }
            if std::mem::take(&mut self.debug.pause) {
                return self.stopped(Why::Paused, Vec::new());
            }
            let done = match goal {
                Goal::Step(cpu, _) => {
                    if self.progress.turn == cpu && self.progress.count > before {
                        left = left.saturating_sub(1);
                    }
                    left == 0 || self.progress.count - begin > STEP_LIMIT
                }
                Goal::Count(n) => self.progress.count >= n,
                Goal::Time(t) => self.time_ns() >= t,
                Goal::Continue => false,
            };
            if done {
                return self.stopped(Why::Done, Vec::new());
            }
            if self.came_to_present() {
                return self.stopped(Why::Present, Vec::new());
            }
            if let Some(why) = self.trouble() {
                return self.stopped(why, Vec::new());
            }
            self.keep_up();
        }
    }

    /// A stop that someone asked for between two runs.
    pub fn stopped_by_hand(&self) -> Stopped {
        self.stopped(Why::Paused, Vec::new())
    }

    fn stopped(&self, why: Why, hits: Vec<Hit>) -> Stopped {
        Stopped { why, cpu: self.progress.turn, hits }
    }

    fn next_until(&self, goal: Goal) -> Until {
        let count = self.progress.count;
        let mut until = Until::default();
        let least = |to: &mut Option<u64>, v: u64| *to = Some(to.map_or(v, |t| t.min(v)));
        match goal {
            Goal::Step(..) => least(&mut until.count, count + 1),
            Goal::Count(n) => least(&mut until.count, n),
            Goal::Time(t) => least(&mut until.time_ns, t),
            Goal::Continue => {}
        }
        for p in self.debug.points.iter().filter(|p| p.enabled) {
            match p.kind {
                Kind::Count(n) if n > count => least(&mut until.count, n),
                Kind::Time(t) if t > self.time_ns() => least(&mut until.time_ns, t),
                _ => {}
            }
        }
        if self.has_history() || self.debug.lookout.is_some() {
            least(&mut until.count, count + CHUNK);
        }
        if self.debug.lookout.is_some() && !self.in_past() {
            least(&mut until.time_ns, self.time_ns() + LOOK_NS);
        }
        until
    }

    /// Points that wait for a moment which is now.
    fn timed_points(&mut self) -> Option<Vec<u32>> {
        let (count, now) = (self.progress.count, self.time_ns());
        let mut ids = Vec::new();
        for p in self.debug.points.iter_mut().filter(|p| p.enabled) {
            let met = match p.kind {
                Kind::Count(n) => n == count,
                Kind::Time(t) => t <= now,
                _ => false,
            };
            if met {
                p.hits += 1;
                p.enabled = false;
                ids.push(p.id);
            }
        }
        (!ids.is_empty()).then_some(ids)
    }

    /// The points that these hits make stop the run.
    pub(super) fn met(&mut self, cpu: usize, hits: &[Hit], data: &[u32]) -> Vec<u32> {
        let mut met = Vec::new();
        let mut points = std::mem::take(&mut self.debug.points);
        for p in points.iter_mut().filter(|p| p.enabled) {
            let hit = hits.iter().any(|h| p.meets(h, data) || self.meets_physical(cpu, &p.kind, h));
            if !hit {
                continue;
            }
            if let Kind::Data { bytes, change: true } = &p.kind {
                let now = self.watched_bytes(cpu, bytes);
                // A whole range too long to be kept: every store counts.
                if now == p.old && bytes.len <= now.len() as u64 {
                    continue;
                }
                p.old = now;
            }
            // A condition that can't be told counts as true.
            let holds = |e: &Expr| e.value(&self.eyes(cpu)) != Ok(0);
            if !p.condition.as_ref().is_none_or(holds) {
                continue;
            }
            p.hits += 1;
            if p.ignore > 0 {
                p.ignore -= 1;
                continue;
            }
            met.push(p.id);
        }
        points.retain(|p| !(p.temporary && met.contains(&p.id)));
        self.debug.points = points;
        met
    }

    fn meets_physical(&self, cpu: usize, kind: &Kind, hit: &Hit) -> bool {
        match (kind, hit) {
            (Kind::Code { at, physical: true }, Hit::Code { linear }) => {
                let phys = walk::physical(&self.mem, &self.eyes(cpu).space, *linear);
                phys == Some(self.mem.mask(*at))
            }
            _ => false,
        }
    }

    /// Takes a stop of the engine over.
    pub(crate) fn debug_stop(&mut self, cpu: usize) {
        let hits = self.derived.watch.take_hits();
        self.debug.stopped = Some((cpu, hits));
    }

    /// Whether the run has to be left for the debugger.
    pub(crate) fn debug_wants(&self, count: Option<u64>) -> bool {
        let d = &self.debug;
        // At the goal the run is left as at a breakpoint: before the slice boundary that follows.
        let there = d.running && count.is_some_and(|n| self.progress.count >= n);
        d.stopped.is_some() || d.triple.is_some() || d.pause || there
    }
}
