//! Going through time: to a moment, back by a step, back to the last point met.

use crate::Machine;
use crate::debug::{Goal, Kind, Stopped, Why};
use crate::machine::{TURN, Until};
use crate::outcome::{HostIo, NoIo, Outcome};
use lucid86_cpu::watch::{By, Hit};
use std::time::Duration;

/// Instructions between the snapshot that a long way through the past leaves and the moment that it leads to.
const NEAR: u64 = 500_000;

impl Machine {
    fn snapshot_before(&self, count: u64) -> Option<usize> {
        let h = self.debug.history.as_ref()?;
        h.snapshots.iter().rposition(|s| s.at.count <= count)
    }

    /// Whether the way to a moment is shorter from this snapshot before it than from here: always if it lies behind, and
    /// in the past if the snapshot lies far enough ahead.
    fn is_nearer(&self, index: usize, behind: bool) -> bool {
        let at = self.debug.history.as_ref().map(|h| h.snapshots[index].at.count);
        behind || self.in_past() && at.is_some_and(|n| n > self.progress.count + 8 * NEAR)
    }

    /// Goes to the moment at which `count` instructions were complete, back or forward.
    pub fn go_to(&mut self, io: &mut dyn HostIo, count: u64) -> Stopped {
        let behind = count < self.progress.count;
        match self.snapshot_before(count) {
            Some(i) if self.is_nearer(i, behind) => {
                if let Err(e) = self.restore(i) {
                    return self.at(Why::Ended(Outcome::HostError(e)));
                }
                if self.came_to_present() && self.progress.count < count {
                    return self.at(Why::Present);
                }
            }
            None if behind => return self.go_to_beginning(),
            _ => {}
        }
        self.quietly_to(io, count)
    }

    /// Goes to a virtual time.
    pub fn go_to_time(&mut self, io: &mut dyn HostIo, t_ns: u64) -> Stopped {
        let behind = t_ns < self.time_ns();
        let h = self.debug.history.as_ref();
        match h.and_then(|h| h.snapshots.iter().rposition(|s| s.at.now_ns <= t_ns)) {
            Some(i) if self.is_nearer(i, behind) => {
                if let Err(e) = self.restore(i) {
                    return self.at(Why::Ended(Outcome::HostError(e)));
                }
                if self.came_to_present() && self.time_ns() < t_ns {
                    return self.at(Why::Present);
                }
            }
            None if behind => return self.at(Why::Beginning),
            _ => {}
        }
        let points = std::mem::take(&mut self.debug.points);
        let stopped = self.forward(io, Goal::Time(t_ns));
        self.debug.points = points;
        stopped
    }

    fn go_to_beginning(&mut self) -> Stopped {
        if self.debug.history.as_ref().is_some_and(|h| !h.snapshots.is_empty()) {
            let _ = self.restore(0);
            self.came_to_present();
        }
        self.at(Why::Beginning)
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
        let mut stopped = self.at(Why::Done);
        if count - self.progress.count > 8 * NEAR {
            stopped = self.forward(io, Goal::Count(count - NEAR));
            // From here the next steps back are short.
            if stopped.why == Why::Done && self.in_past() {
                self.take_snapshot(None, false);
            }
        }
        if stopped.why == Why::Done {
            stopped = self.forward(io, Goal::Count(count));
        }
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
            // Another one's turn: to before it began.
            let began = self.progress.turn_end.saturating_sub(TURN);
            target = began.min(target).saturating_sub(1);
        }
        self.at(Why::Done)
    }

    /// Back to the last moment at which a point was met; to the beginning of what is known if none was.
    pub fn reverse_continue(&mut self, io: &mut dyn HostIo) -> Stopped {
        let mut end = self.progress.count;
        loop {
            let Some(i) = end.checked_sub(1).and_then(|n| self.snapshot_before(n)) else {
                return self.go_to_beginning();
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
                Ok(None) if i == 0 => return self.go_to_beginning(),
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

/// A host that hears nothing but may still look and stop.
pub(super) struct Muted<'a>(pub(super) &'a mut dyn HostIo);

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
