//! The log of everything that came from outside: inputs, samples of the host's clock, times to which the machine slept.
//! The same configuration and the same log give the same run (DESIGN §5); going back in time and `--replay` rest on it.
//!
//! Each entry is stamped with the count of instructions and the virtual time at which it was applied. Inputs of a script are
//! not here: the script is configuration.

mod file;

use crate::Machine;
use crate::input::Input;
use lucid86_cpu::Clock;
use serde::{Deserialize, Serialize};

pub use file::Recording;

/// One thing that came from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// An input, taken at a slice boundary.
    Input(Input),
    /// An input that ended a sleep.
    InputAsleep(Input),
    /// A sample of the clock.
    Clock(Clock),
    /// The machine slept until this time.
    Slept(u64),
}

/// When.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Instructions completed.
    pub count: u64,
    /// Virtual time.
    pub now_ns: u64,
}

/// The log, and how far it has been applied: all of it, unless the machine is in its past.
#[derive(Debug, Default)]
pub struct Log {
    on: bool,
    /// A recording is made of it: nothing may be dropped that isn't in its file.
    whole: bool,
    /// Where the recording goes.
    sink: Option<file::Sink>,
    entries: std::collections::VecDeque<(Stamp, Entry)>,
    /// Entries that were dropped from the front.
    dropped: usize,
    /// The next entry to apply, counted from the very first.
    next: usize,
    /// Bytes of frames in the entries.
    frames: usize,
    /// The end of the log, if the run is known beyond its last entry.
    end: Option<Stamp>,
    /// The end of a recording that is replayed.
    recorded: Option<Stamp>,
    /// Its real end is not known.
    cut_short: bool,
}

/// Bytes of the frame that an entry holds.
fn frame_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Input(Input::Packet { frame, .. }) | Entry::InputAsleep(Input::Packet { frame, .. }) => {
            frame.len()
        }
        _ => 0,
    }
}

impl Log {
    /// Notes from now on.
    pub fn start(&mut self) {
        self.on = true;
    }

    /// Whether it is kept.
    pub fn is_on(&self) -> bool {
        self.on
    }

    /// Whether what comes from outside comes from here.
    pub fn replaying(&self) -> bool {
        self.next < self.dropped + self.entries.len() || self.end.is_some()
    }

    /// The position after everything applied so far.
    pub(crate) fn position(&self) -> usize {
        self.next
    }

    /// Goes back to a position; the run is known up to `end`.
    pub(crate) fn go_back(&mut self, position: usize, end: Stamp) {
        self.next = position.max(self.dropped);
        self.end = Some(end);
    }

    /// Whether a recording that is being replayed ends here.
    pub(crate) fn ends_at(&self, now: Stamp) -> bool {
        let all = self.next >= self.dropped + self.entries.len();
        all && self.end.is_some_and(|e| now.count >= e.count && now.now_ns >= e.now_ns)
    }

    /// The present has been reached again: what lies ahead comes from a recording, or nobody knows it.
    pub(crate) fn return_to_present(&mut self) {
        self.end = self.recorded;
    }

    /// What lies ahead is cut off.
    pub(crate) fn cut(&mut self, now: Stamp) {
        if let Some(file) = &mut self.sink {
            file.cut(self.next, now);
        }
        let behind = self.entries.split_off(self.next - self.dropped);
        self.frames = self.frames.saturating_sub(behind.iter().map(|(_, e)| frame_bytes(e)).sum());
        (self.end, self.recorded) = (None, None);
    }

    /// Drops what lies before a position: nobody will go back beyond that.
    pub(crate) fn forget_before(&mut self, position: usize) {
        let kept_for = match &mut self.sink {
            Some(file) => file.forget_before(position),
            None if self.whole => 0,
            None => usize::MAX,
        };
        let n = position.min(self.next).min(kept_for).saturating_sub(self.dropped);
        let frames: usize = self.entries.drain(..n).map(|(_, e)| frame_bytes(&e)).sum();
        self.frames = self.frames.saturating_sub(frames);
        self.dropped += n;
    }

    /// Bytes of memory that it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<(Stamp, Entry)>() + self.frames
    }

    /// Notes an entry, unless it came from here.
    pub(crate) fn note(&mut self, count: u64, now_ns: u64, entry: Entry) {
        if self.on && !self.replaying() {
            self.frames += frame_bytes(&entry);
            self.entries.push_back((Stamp { count, now_ns }, entry));
            self.next += 1;
        }
    }

    fn peek(&self) -> Option<&(Stamp, Entry)> {
        self.entries.get(self.next.checked_sub(self.dropped)?)
    }

    /// The next entry's count, if it is beyond `count`: a slice ends there.
    pub(crate) fn next_count(&self, count: u64) -> Option<u64> {
        let end = self.end.map(|e| e.count);
        [self.peek().map(|e| e.0.count), end].into_iter().flatten().filter(|c| *c > count).min()
    }

    /// The clock's sample of this moment, if there is one.
    pub(crate) fn clock_at(&mut self, count: u64, now_ns: u64) -> Option<Clock> {
        match self.peek() {
            Some((s, Entry::Clock(c))) if *s == Stamp { count, now_ns } => {
                let c = *c;
                self.next += 1;
                Some(c)
            }
            _ => None,
        }
    }

    fn take_at(&mut self, at: Stamp, f: impl Fn(&Entry) -> bool) -> Option<Entry> {
        let (s, e) = self.peek()?;
        if *s != at || !f(e) {
            return None;
        }
        let e = e.clone();
        self.next += 1;
        Some(e)
    }
}

impl Machine {
    /// Keeps a log of everything that comes from outside, from now on and for a recording.
    pub fn start_log(&mut self) {
        self.log.start();
        self.log.whole = true;
    }

    pub(crate) fn replaying(&self) -> bool {
        self.log.replaying()
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp { count: self.progress.count, now_ns: self.time_ns() }
    }

    pub(crate) fn log_and_apply(&mut self, input: Input, asleep: bool) {
        let s = self.stamp();
        // Asking for the end is not part of the run.
        if self.log.is_on() && input != Input::Quit {
            let noted = input.clone();
            let entry = if asleep { Entry::InputAsleep(noted) } else { Entry::Input(noted) };
            self.log.note(s.count, s.now_ns, entry);
        }
        self.apply(input);
    }

    pub(crate) fn replay_inputs(&mut self) {
        let now = self.stamp();
        while let Some(Entry::Input(i)) = self.log.take_at(now, |e| matches!(e, Entry::Input(_))) {
            self.apply(i);
        }
    }

    /// A sleep from the log. False if there is none at this moment.
    pub(crate) fn replay_sleep(&mut self) -> bool {
        let now = self.stamp();
        let mut any = false;
        while let Some(Entry::InputAsleep(i)) = self.log.take_at(now, |e| matches!(e, Entry::InputAsleep(_)))
        {
            self.apply(i);
            any = true;
        }
        if let Some(Entry::Slept(t)) = self.log.take_at(now, |e| matches!(e, Entry::Slept(_))) {
            self.set_time(t);
            any = true;
        }
        any
    }
}
