//! The end of what is known: how the machine leaves it for its past, and how it comes back to it.
//!
//! A stamp doesn't say whether the machine stood before the slice boundary or behind it, so what waited to be put out is
//! kept; all else that a boundary does may be done again. What was changed by hand is in a snapshot of its own, taken up
//! where a run through the past comes to it.

use super::travel::Muted;
use crate::Machine;
use crate::board::Waiting;
use crate::machine::Until;
use crate::outcome::{HostIo, Outcome};
use crate::record::Stamp;

/// The present, while the machine is in its past.
pub(super) struct Present {
    pub(super) at: Stamp,
    /// What had not been put out.
    output: Waiting,
    log_lines: Vec<String>,
}

impl Present {
    fn is_reached(&self, now: Stamp) -> bool {
        now.count >= self.at.count && now.now_ns >= self.at.now_ns
    }
}

/// Not beyond a stamp.
fn limit(until: &mut Until, now: Stamp, to: Stamp) {
    let least = |v: Option<u64>, n: u64| Some(v.map_or(n, |v| v.min(n)));
    if now.count < to.count {
        until.count = least(until.count, to.count);
    } else if now.now_ns < to.now_ns {
        until.time_ns = least(until.time_ns, to.now_ns);
    }
}

impl Machine {
    /// What has to be kept of the present.
    pub(super) fn leave_present(&mut self) -> Present {
        Present {
            at: self.stamp(),
            output: self.board.outside.take_output(),
            log_lines: std::mem::take(&mut self.board.log_lines),
        }
    }

    /// Runs as a live machine does, or, in the past, muted and from the log up to the present.
    pub(in crate::debug) fn run_until_or_past(
        &mut self,
        io: &mut dyn HostIo,
        until: Until,
    ) -> Option<Outcome> {
        let Some(h) = &self.debug.history else { return self.run_until(io, until) };
        let Some(present) = &h.present else { return self.run_until(io, until) };
        let (mut until, now) = (until, self.stamp());
        limit(&mut until, now, present.at);
        if let Some(poked) = h.snapshots[h.base + 1..].iter().find(|s| s.poked) {
            limit(&mut until, now, poked.at);
        }
        self.run_until(&mut Muted(io), until)
    }

    /// In the past, where the machine was changed by hand: so it is again.
    pub(in crate::debug) fn come_to_pokes(&mut self) -> Result<(), String> {
        let now = self.stamp();
        let Some(h) = self.debug.history.as_ref().filter(|h| h.present.is_some()) else { return Ok(()) };
        let here = |s: &super::Snapshot| s.poked && s.at.count <= now.count && s.at.now_ns <= now.now_ns;
        match h.snapshots.iter().rposition(here) {
            Some(i) if i > h.base => {
                let (stopped, triple) = (self.debug.stopped.take(), self.debug.triple.take());
                let done = self.restore(i);
                (self.debug.stopped, self.debug.triple) = (stopped, triple);
                done
            }
            _ => Ok(()),
        }
    }

    /// In the past, and all that is known has been replayed: this is the present again.
    pub(in crate::debug) fn came_to_present(&mut self) -> bool {
        let now = self.stamp();
        let Some(h) = &mut self.debug.history else { return false };
        let Some(present) = h.present.take_if(|p| p.is_reached(now)) else { return false };
        self.board.outside.put_output(present.output);
        self.board.log_lines = present.log_lines;
        self.log.return_to_present();
        for image in self.board.outside.media.iter_mut().flatten() {
            image.return_to_present();
        }
        true
    }

    /// Goes on from here: what was known of the future is void. Says whether there was any.
    pub fn cut_future(&mut self) -> Result<bool, String> {
        if !self.in_past() {
            return Ok(false);
        }
        for image in self.board.outside.media.iter_mut().flatten() {
            image.cut_future().map_err(|e| format!("a medium can't be rolled back: {e}"))?;
        }
        self.log.cut(self.stamp());
        if let Some(h) = &mut self.debug.history {
            // Undo logs end where the machine was last restored: no later snapshot can be gone back to.
            let gone = h.snapshots.split_off(h.base + 1);
            let pages = gone.into_iter().flat_map(|s| s.frames).filter_map(|f| f.1);
            pages.for_each(|p| self.mem.pages.free(p));
            h.snapshots.iter_mut().for_each(|s| s.passing = false);
            h.present = None;
        }
        Ok(true)
    }
}
