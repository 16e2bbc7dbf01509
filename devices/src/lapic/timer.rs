//! The local APIC's timer: one-shot, periodic, or by TSC deadline. SDM volume 3, 11.5.4.

use crate::Time;
use serde::{Deserialize, Serialize};

/// Timer mode: bits 18:17 of its entry in the local vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    OneShot,
    Periodic,
    TscDeadline,
}

impl Mode {
    pub fn of(entry: u32) -> Mode {
        match entry >> 17 & 3 {
            0 => Mode::OneShot,
            1 => Mode::Periodic,
            _ => Mode::TscDeadline,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Timer {
    initial: u32,       // initial count
    divide: u8,         // divide configuration: bits 3, 1, 0
    next: Option<Time>, // when the count comes to zero
    deadline: u64,      // IA32_TSC_DEADLINE while armed
}

impl Timer {
    pub fn initial(&self) -> u32 {
        self.initial
    }

    pub fn divide(&self) -> u32 {
        self.divide.into()
    }

    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    pub fn next(&self) -> Option<Time> {
        self.next
    }

    /// Nanoseconds of one count.
    fn count_ns(&self, tick_ns: u32) -> u64 {
        let code = self.divide >> 1 & 4 | self.divide & 3;
        u64::from(tick_ns.max(1)) << ((code + 1) & 7) // 0 divides by 2, 6 by 128, 7 by 1
    }

    fn period_ns(&self, tick_ns: u32) -> u64 {
        (u64::from(self.initial) * self.count_ns(tick_ns)).max(1)
    }

    /// Catches up; true if the count came to zero, however often.
    pub fn settle(&mut self, now: Time, tick_ns: u32, mode: Mode) -> bool {
        let Some(at) = self.next.filter(|at| *at <= now) else {
            return false;
        };
        self.deadline = 0;
        self.next = None;
        if mode == Mode::Periodic && self.initial != 0 {
            let period = self.period_ns(tick_ns);
            let periods = (now.0 - at.0) / period + 1;
            self.next = Some(Time(at.0.saturating_add(periods.saturating_mul(period))));
        }
        true
    }

    /// Current count, of a timer that has been settled.
    pub fn current(&self, now: Time, tick_ns: u32, mode: Mode) -> u32 {
        match self.next {
            Some(at) if mode != Mode::TscDeadline => {
                let left = at.0.saturating_sub(now.0).div_ceil(self.count_ns(tick_ns));
                u32::try_from(left).unwrap_or(u32::MAX)
            }
            _ => 0,
        }
    }

    /// Writes the initial count, which starts the timer.
    pub fn start(&mut self, now: Time, tick_ns: u32, mode: Mode, initial: u32) {
        if mode == Mode::TscDeadline {
            return;
        }
        self.initial = initial;
        let end = Time(now.0.saturating_add(self.period_ns(tick_ns)));
        self.next = (initial != 0).then_some(end);
    }

    /// Writes the divide configuration. A count that runs goes on from where it is.
    pub fn set_divide(&mut self, now: Time, tick_ns: u32, mode: Mode, divide: u32) {
        let current = self.current(now, tick_ns, mode);
        self.divide = divide as u8 & 0xB;
        if mode != Mode::TscDeadline && self.next.is_some() {
            let left = u64::from(current) * self.count_ns(tick_ns);
            self.next = Some(Time(now.0.saturating_add(left)));
        }
    }

    /// Arms the deadline at `deadline` of a TSC that shows `tsc` now and counts nanoseconds. Zero disarms.
    pub fn set_deadline(&mut self, now: Time, tsc: u64, deadline: u64) {
        self.deadline = deadline;
        let left = deadline.saturating_sub(tsc);
        self.next = (deadline != 0).then_some(Time(now.0.saturating_add(left)));
    }

    /// The mode changes: into or out of TSC deadline disarms.
    pub fn change_mode(&mut self, from: Mode, to: Mode) {
        if (from == Mode::TscDeadline) != (to == Mode::TscDeadline) {
            self.next = None;
            self.deadline = 0;
            self.initial = 0;
        }
    }
}
