//! Lockstep: the same machine, with all its devices, run twice in different ways, and its state hash compared every so
//! many instructions. On a difference it is narrowed down to the first instruction after which the two differ, and both
//! states are printed.
//!
//! Two ways to differ: in the engine, or in what is derived from the guest's state (TLB and decoded blocks dropped and
//! resized at random moments), which the guest must not see (DESIGN §2).
//!
//! Narrowing down goes by snapshots, where the difference shows from cold caches too; where it doesn't, by running both
//! again, each time in one go to the count in question, which repeats the run with warm caches.

mod command;
mod show;

pub use command::command;

use crate::rng::Rng;
use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::{Config, HostIo, Machine, Outcome, Until, View};
use std::time::Instant;

/// How a machine of the pair is run.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Who runs the code.
    pub engine: Engine,
    /// Seed of the moments at which derived state is dropped and resized, if it is.
    pub vary: Option<u64>,
    /// A count at which a byte of memory is changed from outside: shows that a difference is found where it arises.
    pub disturb: Option<u64>,
}

impl Way {
    /// Plainly, by an engine.
    pub fn engine(engine: Engine) -> Way {
        Way { engine, vary: None, disturb: None }
    }
}

/// Where a disturbance strikes: the last byte of the BIOS's scratch area between its data and a boot sector.
const DISTURBED: u64 = 0x5ff;

/// What to compare.
pub struct Plan {
    /// The machine; its clock is made the virtual one, and writes to media stay in memory.
    pub config: Config,
    /// The two ways.
    pub ways: [Way; 2],
    /// Instructions between comparisons.
    pub every: u64,
    /// No more instructions than this.
    pub limit: u64,
    /// When to stop, whatever has been reached.
    pub until: Option<Instant>,
    /// Whether to narrow a difference down.
    pub narrow: bool,
}

/// How a comparison ended.
#[derive(Debug)]
pub enum Verdict {
    /// Both ended alike after so many instructions (`None`: the limit was reached).
    Same(u64, Option<Outcome>),
    /// They differ; what is known about it, to print.
    Differ(String),
}

/// Output is thrown away, but for being counted.
#[derive(Default)]
struct Silent {
    serial: Vec<u8>,
}

impl HostIo for Silent {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if port == 0 {
            self.serial.extend_from_slice(bytes);
            let n = self.serial.len();
            if n > 1 << 16 {
                self.serial.drain(..n - 4096);
            }
        }
    }
}

/// One of the two.
struct Side {
    machine: Machine,
    io: Silent,
    rng: Option<Rng>,
    disturb: Option<u64>,
    ended: Option<Outcome>,
}

impl Side {
    fn new(plan: &Plan, way: Way) -> Result<Side, String> {
        let mut config = plan.config.clone();
        config.clock = ClockKind::Virtual;
        config.discard_writes = true;
        config.engine = way.engine;
        let machine = Machine::new(config).map_err(|e| e.to_string())?;
        let rng = way.vary.map(Rng::new);
        Ok(Side { machine, io: Silent::default(), rng, disturb: way.disturb, ended: None })
    }

    /// Runs to a count, varying on the way.
    fn to(&mut self, count: u64) {
        while self.ended.is_none() && self.machine.count() < count {
            let mut stop = count;
            if let Some(r) = &mut self.rng {
                let size = r.below(24);
                stop = stop.min(self.machine.count() + 1 + r.below(1 << size));
                match r.below(4) {
                    0 => self.machine.drop_derived(),
                    1 => self.machine.resize_tlb(2 << r.below(13), 1 + r.below(20) as usize),
                    2 => self.machine.drop_blocks(),
                    _ => {}
                }
            }
            let disturb = self.disturb.filter(|n| self.machine.count() < *n && *n <= stop);
            let until = Until { count: Some(disturb.unwrap_or(stop)), time_ns: None };
            self.ended = self.machine.run_until(&mut self.io, until);
            if disturb.is_some() {
                let mut b = [0];
                self.machine.read_memory(DISTURBED, &mut b);
                self.machine.write_memory(DISTURBED, &[b[0] ^ 1]);
            }
        }
    }

    fn mark(&mut self) -> (u64, u64, Option<Outcome>) {
        (self.machine.count(), self.machine.state_hash(), self.ended.clone())
    }
}

/// Both.
struct Pair {
    sides: [Side; 2],
}

impl Pair {
    fn new(plan: &Plan) -> Result<Pair, String> {
        Ok(Pair { sides: [Side::new(plan, plan.ways[0])?, Side::new(plan, plan.ways[1])?] })
    }

    /// Runs both to a count; whether they are the same there.
    fn to(&mut self, count: u64) -> bool {
        for s in &mut self.sides {
            s.to(count);
        }
        let [a, b] = &mut self.sides;
        a.mark() == b.mark()
    }

    fn load(&mut self, snapshot: &[u8]) -> Result<(), String> {
        for s in &mut self.sides {
            s.machine.load(snapshot).map_err(|e| format!("the snapshot {e}"))?;
            s.ended = None;
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.sides[0].machine.count()
    }

    /// All that differs, for a person.
    fn differences(&mut self) -> String {
        let [a, b] = &mut self.sides;
        let (x, y) = (a.machine.state_hash_parts(), b.machine.state_hash_parts());
        let parts: Vec<&str> = x.iter().zip(&y).filter(|(x, y)| x != y).map(|(x, _)| x.0.as_str()).collect();
        format!("  parts: {}\n{}", parts.join(", "), show::differences(&a.machine, &b.machine))
    }
}

/// Comparisons between snapshots that narrowing down may start from.
const WINDOWS: u64 = 64;

/// Runs both ways and compares them.
pub fn run(plan: &Plan) -> Result<Verdict, String> {
    let mut pair = Pair::new(plan)?;
    let mut snapshot = (0, None);
    let mut windows = 0;
    let mut good = 0;
    loop {
        let next = (good / plan.every + 1) * plan.every;
        if !pair.to(next.min(plan.limit)) {
            let seen = pair.differences();
            let head = format!("same after {good} instructions, different after {}\n{seen}", pair.count());
            if !plan.narrow {
                return Ok(Verdict::Differ(head));
            }
            let bad = pair.count().max(pair.sides[1].machine.count());
            let text = narrow(plan, &mut pair, snapshot, good, bad)?;
            return Ok(Verdict::Differ(format!("{head}\n{text}")));
        }
        good = pair.count();
        let ended = pair.sides[0].ended.clone();
        let late = plan.until.is_some_and(|t| Instant::now() > t);
        if ended.is_some() || good >= plan.limit || late {
            return Ok(Verdict::Same(good, ended));
        }
        windows += 1;
        if plan.narrow && windows % WINDOWS == 0 {
            snapshot = (good, Some(pair.sides[0].machine.save().map_err(|e| e.to_string())?));
        }
    }
}

/// Finds the first instruction after which the two differ, between `good` and `bad`.
fn narrow(
    plan: &Plan,
    pair: &mut Pair,
    snapshot: (u64, Option<Vec<u8>>),
    good: u64,
    bad: u64,
) -> Result<String, String> {
    if let Some(text) = by_snapshot(plan, pair, &snapshot, good, bad)? {
        return Ok(text);
    }
    by_repeating(plan, &snapshot, good, bad)
}

/// By snapshots. `None` if the difference does not show from cold caches.
fn by_snapshot(
    plan: &Plan,
    pair: &mut Pair,
    (at, snapshot): &(u64, Option<Vec<u8>>),
    good: u64,
    bad: u64,
) -> Result<Option<String>, String> {
    let (mut low, mut base) = match snapshot {
        Some(s) => (*at, s.clone()),
        None => {
            *pair = Pair::new(plan)?;
            (0, pair.sides[0].machine.save().map_err(|e| e.to_string())?)
        }
    };
    // On the way to where they were the same as far as that goes.
    let mut high = bad;
    pair.load(&base)?;
    if good > low && pair.to(good) {
        base = pair.sides[0].machine.save().map_err(|e| e.to_string())?;
        low = good;
    } else if good > low {
        high = good;
    }
    pair.load(&base)?;
    if pair.to(high) {
        return Ok(None);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        pair.load(&base)?;
        if pair.to(middle) && pair.count() == middle {
            base = pair.sides[0].machine.save().map_err(|e| e.to_string())?;
            low = middle;
        } else {
            high = middle;
        }
    }
    pair.load(&base)?;
    let before = show::instruction(&pair.sides[0].machine);
    if pair.to(high) {
        // It takes more than one instruction to show from cold caches.
        return Ok(None);
    }
    Ok(Some(format!(
        "first difference: instruction {high}, from a snapshot just before it\n{before}\n{}",
        pair.differences()
    )))
}

/// By running again, from the snapshot or from power-on, in one go to the count in question: caches are warm then, and
/// translated code runs up to a few instructions before it. Exact, since a run repeats; slow.
fn by_repeating(
    plan: &Plan,
    snapshot: &(u64, Option<Vec<u8>>),
    good: u64,
    bad: u64,
) -> Result<String, String> {
    for start in [snapshot, &(0, None)] {
        let (mut low, mut high) = (good, bad);
        if again(plan, start, good, high)?.1 {
            continue;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            if again(plan, start, good, middle)?.1 {
                low = middle;
            } else {
                high = middle;
            }
        }
        let before = show::instruction(&again(plan, start, good, low)?.0.sides[0].machine);
        let (mut pair, _) = again(plan, start, good, high)?;
        return Ok(format!(
            "first difference: instruction {high}, with warm caches (what made it may be earlier in the same block)\n{before}\n{}",
            pair.differences()
        ));
    }
    Ok("run again they are the same: not narrowed down".into())
}

/// Both, run again as before up to `good`, then in one go to `count`; whether they are the same there.
fn again(plan: &Plan, start: &(u64, Option<Vec<u8>>), good: u64, count: u64) -> Result<(Pair, bool), String> {
    let mut pair = Pair::new(plan)?;
    if let Some(snapshot) = &start.1 {
        pair.load(snapshot)?;
    }
    while pair.count() < good {
        let next = (pair.count() / plan.every + 1) * plan.every;
        pair.to(next.min(good));
    }
    let same = pair.to(count);
    Ok((pair, same))
}
