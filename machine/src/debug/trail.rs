//! What led to where the machine stands: its last instructions, branches, and accesses to ports and to chips in memory. Nothing
//! is noted while it runs; where a history is kept, the machine goes back a little and comes again.

use super::{Goal, Kind, Why};
use crate::Machine;
use crate::outcome::NoIo;
use lucid86_cpu::state::Activity;
use lucid86_cpu::watch::{Bytes, Event, Hit};
use std::collections::VecDeque;

/// Instructions gone through one by one.
const STEPS: u64 = 2000;
/// How far back accesses are looked for: farther only where nearer there were few.
const WINDOWS: [u64; 3] = [5_000, 100_000, 2_000_000];
/// Lines of each kind.
const MOST: usize = 24;
/// Physical addresses of chips: the VGA's window, IOAPIC, HPET, local APIC.
const CHIPS: [(u64, u64); 4] =
    [(0xa_0000, 0x2_0000), (0xfec0_0000, 0x1000), (0xfed0_0000, 0x1000), (0xfee0_0000, 0x1000)];

/// What led here.
#[derive(Clone, Debug, Default)]
pub struct Trail {
    /// Where the machine stood.
    count: u64,
    /// The last instructions.
    pub instructions: Vec<String>,
    /// The last ones that didn't go on to the next.
    pub branches: Vec<String>,
    /// The last accesses to ports and to chips in memory.
    pub accesses: Vec<String>,
}

impl Machine {
    /// Finds what led here, if a history is kept; reports from here on have it.
    pub fn find_trail(&mut self, cpu: usize) {
        let here = self.stamp();
        if !self.has_history() || self.debug.trail.as_ref().is_some_and(|t| t.count == here.count) {
            return;
        }
        self.keep_pokes();
        let died = self.cpus[cpu].activity == Activity::Shutdown;
        let points = std::mem::take(&mut self.debug.points);
        let attached = std::mem::replace(&mut self.debug.attached, true);
        let mut trail = Trail { count: here.count, ..Trail::default() };
        for window in WINDOWS {
            trail.accesses = self.last_accesses(here.count, window);
            if trail.accesses.len() >= MOST / 2 || window >= here.count {
                break;
            }
        }
        self.last_steps(cpu, here.count, &mut trail);
        self.debug.trail = Some(trail);
        self.go_to(&mut NoIo, here.count);
        if died && self.cpus[cpu].activity != Activity::Shutdown {
            self.forward(&mut NoIo, Goal::Continue);
        } else if self.time_ns() < here.now_ns {
            self.forward(&mut NoIo, Goal::Time(here.now_ns));
        }
        self.debug.points = points;
        self.debug.attached = attached;
    }

    /// What led here, if that was looked for.
    pub(super) fn trail(&self) -> Option<&Trail> {
        self.debug.trail.as_ref().filter(|t| t.count == self.progress.count)
    }

    /// Accesses in the last `window` instructions before `end`.
    fn last_accesses(&mut self, end: u64, window: u64) -> Vec<String> {
        self.go_to(&mut NoIo, end.saturating_sub(window));
        let data = |&(at, len): &(u64, u64)| Kind::Data {
            bytes: Bytes { at, len, physical: true, read: true, write: true },
            change: false,
        };
        for kind in CHIPS.iter().map(data).chain([Kind::Port(0, 0xffff)]) {
            // There is room: all others were put aside.
            let _ = self.debug.add(kind);
        }
        let mut last = VecDeque::new();
        while self.progress.count < end {
            let s = self.forward(&mut NoIo, Goal::Count(end));
            if !matches!(s.why, Why::Points(_)) {
                break;
            }
            for h in &s.hits {
                let text = match *h {
                    Hit::Event(Event::Port { port, width }) => {
                        format!(
                            "port {port:#x}, {width} bytes, by the instruction before {:#x}",
                            self.pc(s.cpu)
                        )
                    }
                    _ => self.hit_text(h),
                };
                if last.len() == MOST {
                    last.pop_front();
                }
                last.push_back(format!("{}: {text}", self.progress.count));
            }
        }
        self.debug.points.clear();
        last.into()
    }

    /// Goes through the last instructions before `end` one by one.
    fn last_steps(&mut self, cpu: usize, end: u64, trail: &mut Trail) {
        self.go_to(&mut NoIo, end.saturating_sub(STEPS));
        let (mut instructions, mut branches) = (VecDeque::new(), VecDeque::new());
        let keep = |list: &mut VecDeque<String>, line: String| {
            if list.len() == MOST {
                list.pop_front();
            }
            list.push_back(line);
        };
        while self.progress.count < end {
            let at = self.pc(cpu);
            let bits = super::disasm::bits(&self.cpus[cpu]);
            let len = self.instruction_at(cpu, at, bits).map_or(0, |i| i.len() as u64);
            let text = self.disassemble(cpu, at, 1, bits);
            let text = text.lines().last().unwrap_or_default().trim_start_matches("=>").trim().to_string();
            let s = self.forward(&mut NoIo, Goal::Step(cpu, 1));
            let to = self.pc(cpu);
            if to != at && to != at.wrapping_add(len) {
                let name = self.symbol_text(to).map_or_else(String::new, |n| format!(" {n}"));
                keep(&mut branches, format!("{text}  -> {to:#x}{name}"));
            }
            keep(&mut instructions, text);
            if s.why != Why::Done {
                break;
            }
        }
        trail.instructions = instructions.into();
        trail.branches = branches.into();
    }
}
