//! Break and watch points: what stops a run, under which condition.

use super::{Debugger, MOST_POINTS, expr::Expr};
use crate::Machine;
use lucid86_cpu::watch::{Bytes, Event, Hit, Wanted};
use std::fmt::Write;

/// What a point waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An instruction at this address.
    Code {
        /// Linear or physical address.
        at: u64,
        /// Physical.
        physical: bool,
    },
    /// Accesses to bytes; `change`: only stores that change them.
    Data {
        /// Which bytes, and which accesses.
        bytes: Bytes,
        /// Stores that leave them as they were don't count.
        change: bool,
    },
    /// Exceptions and interrupts from one vector to another.
    Vector(u8, u8),
    /// Ports, first and last.
    Port(u16, u16),
    /// Model-specific registers, first and last.
    Msr(u32, u32),
    /// Writes to a control register; with a value: only of that value.
    Cr(u8, Option<u64>),
    /// Accesses to a debug register.
    Dr(u8),
    /// A change of the processor's mode.
    Mode,
    /// A task switch.
    Task,
    /// A count of instructions.
    Count(u64),
    /// A virtual time in nanoseconds.
    Time(u64),
}

/// A point.
#[derive(Clone, Debug)]
pub struct Point {
    /// Its number.
    pub id: u32,
    /// What it waits for.
    pub kind: Kind,
    /// Stops only where this is not zero.
    pub condition: Option<Expr>,
    /// The condition as written.
    pub condition_text: String,
    /// Hits that are let pass.
    pub ignore: u64,
    /// Hits so far.
    pub hits: u64,
    /// Asked at all.
    pub enabled: bool,
    /// Goes when it has stopped the run.
    pub temporary: bool,
    /// Belongs to gdb: not listed by the monitor.
    pub foreign: bool,
    /// What the watched bytes were.
    pub(super) old: Vec<u8>,
}

/// Most pages of a watched range that are looked up beforehand.
const MOST_PAGES: usize = 256;
/// Most bytes whose changes are followed by value.
const MOST_OLD: u64 = 4096;

impl Point {
    /// Whether a hit is this point's.
    pub(super) fn meets(&self, hit: &Hit, data: &[u32]) -> bool {
        match (&self.kind, hit) {
            (Kind::Code { at, physical: false }, Hit::Code { linear }) => at == linear,
            (Kind::Data { .. }, Hit::Data { index, .. }) => data.get(*index) == Some(&self.id),
            (Kind::Vector(a, b), Hit::Event(Event::Vector { vector, .. })) => (a..=b).contains(&vector),
            (Kind::Port(a, b), Hit::Event(Event::Port { port, width })) => {
                *port <= *b && *a <= port.saturating_add(u16::from(*width) - 1)
            }
            (Kind::Msr(a, b), Hit::Event(Event::Msr { msr, .. })) => (a..=b).contains(&msr),
            (Kind::Cr(n, want), Hit::Event(Event::Cr { n: m, value })) => {
                n == m && want.is_none_or(|w| w == *value)
            }
            (Kind::Dr(n), Hit::Event(Event::Dr { n: m, .. })) => n == m,
            (Kind::Mode, Hit::Event(Event::Mode { .. })) => true,
            (Kind::Task, Hit::Event(Event::Task { .. })) => true,
            _ => false,
        }
    }

    /// In words.
    pub fn text(&self) -> String {
        let mut s = match &self.kind {
            Kind::Code { at, physical } => format!("break {}{at:#x}", if *physical { "phys " } else { "" }),
            Kind::Data { bytes: b, change } => format!(
                "{} {}{:#x} {}",
                match (b.read, b.write, change) {
                    (_, _, true) => "watch",
                    (true, true, _) => "awatch",
                    (true, false, _) => "rwatch",
                    _ => "wwatch",
                },
                if b.physical { "phys " } else { "" },
                b.at,
                b.len
            ),
            Kind::Vector(a, b) if a == b => format!("vector {a:#x}"),
            Kind::Vector(a, b) => format!("vector {a:#x}-{b:#x}"),
            Kind::Port(a, b) if a == b => format!("port {a:#x}"),
            Kind::Port(a, b) => format!("port {a:#x}-{b:#x}"),
            Kind::Msr(a, b) if a == b => format!("msr {a:#x}"),
            Kind::Msr(a, b) => format!("msr {a:#x}-{b:#x}"),
            Kind::Cr(n, None) => format!("cr {n}"),
            Kind::Cr(n, Some(v)) => format!("cr {n} == {v:#x}"),
            Kind::Dr(n) => format!("dr {n}"),
            Kind::Mode => "mode switch".into(),
            Kind::Task => "task switch".into(),
            Kind::Count(n) => format!("count {n}"),
            Kind::Time(t) => format!("time {}.{:09}", t / 1_000_000_000, t % 1_000_000_000),
        };
        if !self.condition_text.is_empty() {
            let _ = write!(s, " if {}", self.condition_text);
        }
        s
    }
}

impl Debugger {
    /// Adds a point; its number.
    pub fn add(&mut self, kind: Kind) -> Result<u32, String> {
        if self.points.len() >= MOST_POINTS {
            return Err(format!("there are {MOST_POINTS} points already"));
        }
        if let Kind::Data { bytes, .. } = &kind
            && (bytes.len == 0 || bytes.at.checked_add(bytes.len - 1).is_none())
        {
            return Err("a watched range has at least one byte and doesn't wrap".into());
        }
        self.next_id += 1;
        self.points.push(Point {
            id: self.next_id,
            kind,
            condition: None,
            condition_text: String::new(),
            ignore: 0,
            hits: 0,
            enabled: true,
            temporary: false,
            foreign: false,
            old: Vec::new(),
        });
        Ok(self.next_id)
    }

    /// A point by its number, to be changed.
    pub fn point(&mut self, id: u32) -> Option<&mut Point> {
        self.points.iter_mut().find(|p| p.id == id)
    }

    /// All points.
    pub fn points(&self) -> &[Point] {
        &self.points
    }

    /// Removes a point; false if there is none of this number.
    pub fn remove(&mut self, id: u32) -> bool {
        let n = self.points.len();
        self.points.retain(|p| p.id != id);
        n != self.points.len()
    }

    /// Removes all points that meet a condition.
    pub fn remove_where(&mut self, f: impl Fn(&Point) -> bool) {
        self.points.retain(|p| !f(p));
    }
}

impl Machine {
    /// Tells the processors what to watch. Gives the numbers of the data points, in the order of the hits' indices.
    pub(super) fn arm(&mut self) -> Vec<u32> {
        let (mut linear, mut physical, mut data, mut ids) = (vec![], vec![], vec![], vec![]);
        let mut wanted = Wanted::default();
        for p in self.debug.points.iter().filter(|p| p.enabled) {
            match &p.kind {
                Kind::Code { at, physical: false } => linear.push(*at),
                Kind::Code { at, physical: true } => physical.push(*at),
                Kind::Data { bytes, .. } => {
                    data.push(*bytes);
                    ids.push(p.id);
                }
                Kind::Vector(a, b) => (*a..=*b).for_each(|v| wanted.vector(v)),
                Kind::Port(a, b) => wanted.ports.push((*a, *b)),
                Kind::Msr(a, b) => wanted.msrs.push((*a, *b)),
                Kind::Cr(n, _) => wanted.cr |= 1 << (n & 15),
                Kind::Dr(n) => wanted.dr |= 1 << (n & 7),
                Kind::Mode => wanted.mode = true,
                Kind::Task => wanted.task = true,
                Kind::Count(_) | Kind::Time(_) => {}
            }
        }
        self.derived.set_watch(&mut self.mem, &linear, &physical, &data, &wanted);
        let space = self.eyes(self.progress.turn).space;
        for b in data.iter().filter(|b| !b.physical && b.write) {
            for page in (b.at >> 12..=(b.at + (b.len - 1)) >> 12).take(MOST_PAGES) {
                if let Some(phys) = super::walk::physical(&self.mem, &space, page << 12) {
                    self.derived.watch_lies_at(&mut self.mem, page << 12, phys);
                }
            }
        }
        ids
    }

    /// Remembers what bytes watched for changes hold now.
    pub(super) fn remember_old(&mut self, cpu: usize) {
        for i in 0..self.debug.points.len() {
            if let Kind::Data { bytes, change: true } = self.debug.points[i].kind.clone() {
                self.debug.points[i].old = self.watched_bytes(cpu, &bytes);
            }
        }
    }

    pub(super) fn watched_bytes(&self, cpu: usize, b: &Bytes) -> Vec<u8> {
        let mut now = vec![0; b.len.min(MOST_OLD) as usize];
        let n = if b.physical { self.peek_physical(b.at, &mut now) } else { self.peek(cpu, b.at, &mut now) };
        now.truncate(n);
        now
    }
}
