//! The main loop (DESIGN §5): apply inputs, run the processors up to the next deadline or until something that they did
//! ends the slice, fire what is due. Everything from outside enters in [`Machine::boundary`] and nowhere else.

use super::{Machine, Until};
use crate::board::{Request, Signal};
use crate::config::ClockKind;
use crate::input::Input;
use crate::outcome::{HostIo, Outcome};
use crossbeam_channel::{RecvTimeoutError, TryRecvError};
use lucid86_cpu::exec::Stop;
use lucid86_cpu::state::{Activity, Shadow, flag};
use lucid86_cpu::{Clock, Cpu, Exec};
use lucid86_devices::Time;
use std::time::{Duration, Instant};

/// Instructions of the longest slice. Under the virtual clock slices end at its multiples.
const SLICE: u64 = 1 << 20;
/// Instructions of a processor's turn when there are several.
pub(crate) const TURN: u64 = 20_000;
/// Idle virtual time after which timers that wake nobody count as nothing.
const IDLE_LIMIT_NS: u64 = 24 * 3_600_000_000_000;

impl Machine {
    /// Runs until the machine ends.
    pub fn run(&mut self, io: &mut dyn HostIo) -> Outcome {
        loop {
            if let Some(outcome) = self.run_until(io, Until::default()) {
                return outcome;
            }
        }
    }

    /// Runs until the machine ends (`Some`) or `until` is reached (`None`).
    pub fn run_until(&mut self, io: &mut dyn HostIo, until: Until) -> Option<Outcome> {
        self.sender = None;
        self.pacer.set(self.time_ns());
        loop {
            if let Some(outcome) = self.boundary(io) {
                self.deliver_output(io);
                return Some(outcome);
            }
            if until.count.is_some_and(|n| self.progress.count >= n)
                || until.time_ns.is_some_and(|t| self.time_ns() >= t)
            {
                return None;
            }
            match self.choose() {
                Some(cpu) => self.run_slice(cpu, until),
                None => {
                    if let Some(outcome) = self.idle(io, until) {
                        return Some(outcome);
                    }
                }
            }
            if self.debug_wants(until.count) {
                return None;
            }
        }
    }

    /// Between slices: output out, inputs in, due chips fired, requests carried out.
    fn boundary(&mut self, io: &mut dyn HostIo) -> Option<Outcome> {
        let serial = std::mem::take(&mut self.board.outside.wrote);
        if serial {
            self.deliver_output(io);
        }
        self.drain_inputs();
        let now = self.now();
        if let Some(mut script) = self.script.take() {
            let ended = script.step(self, now.0);
            self.script = Some(script);
            if ended.is_some() {
                return ended;
            }
        }
        self.feed.run(&mut self.board, now);
        if self.board.deadline().is_some_and(|d| d <= now) {
            self.board.advance(&mut self.mem, now);
        } else {
            self.board.update_lines(now);
        }
        if let Some(outcome) = self.carry_out() {
            return Some(outcome);
        }
        self.board.set_ferr(self.cpus[0].ferr);
        self.carry_signals();
        for cpu in &mut self.cpus {
            cpu.intr = lucid86_cpu::Board::interrupt_line(&self.board, cpu.index);
        }
        if !self.board.log_lines.is_empty() {
            for line in std::mem::take(&mut self.board.log_lines) {
                io.log(&line);
            }
        }
        self.keep_recording();
        self.tick(io, false);
        if let Some(outcome) = self.ended_by.take() {
            return Some(outcome);
        }
        if self.replaying() && !self.in_past() && self.log.ends_at(self.stamp()) {
            return Some(Outcome::Quit);
        }
        let ran_out = self.stop_count.is_some_and(|n| self.progress.count >= n)
            || self.stop_ns.is_some_and(|t| self.time_ns() >= t);
        ran_out.then_some(Outcome::StopAfter)
    }

    fn deliver_output(&mut self, io: &mut dyn HostIo) {
        let out = &mut self.board.outside;
        for (port, bytes) in out.serial.iter_mut().enumerate().filter(|(_, b)| !b.is_empty()) {
            if let Some(script) = &mut self.script {
                script.saw_serial(port, bytes);
            }
            io.serial_out(port, bytes);
            bytes.clear();
        }
        if !out.debug.is_empty() {
            io.debug_out(&out.debug);
            out.debug.clear();
        }
        if !out.parallel.is_empty() {
            io.parallel_out(&out.parallel);
            out.parallel.clear();
        }
    }

    fn drain_inputs(&mut self) {
        self.board.outside.cables.iter().flatten().for_each(crate::net::Plug::read_news);
        self.board.outside.muted = self.in_past();
        if self.replaying() {
            return self.replay_inputs();
        }
        while self.live {
            match self.mailbox.take() {
                Ok(input) => self.arrived(input, false),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.live = false,
            }
        }
    }

    /// An input has come from a live source.
    fn arrived(&mut self, input: Input, asleep: bool) {
        if let Input::Packet { card, .. } = input
            && let Some(Some(plug)) = self.board.outside.cables.get(card)
        {
            plug.taken();
        }
        self.log_and_apply(input, asleep);
    }

    pub(crate) fn apply(&mut self, input: Input) {
        if self.feed.take(input, &mut self.board) == Some(Input::Quit) {
            self.ended_by = Some(Outcome::Quit);
        }
    }

    /// Lets the host look, when it wants to. Returns when it wants to again.
    fn tick(&mut self, io: &mut dyn HostIo, sleeping: bool) -> Option<Duration> {
        let now = Instant::now();
        if !sleeping && self.next_tick.is_some_and(|t| now < t) {
            return None;
        }
        let again = io.tick(self);
        if io.quit() {
            self.ended_by = Some(Outcome::Quit);
        }
        if io.pause() {
            self.debug.pause = true;
        }
        self.next_tick = Some(now + again.unwrap_or(Duration::MAX).min(Duration::from_millis(5)));
        again
    }

    /// Resets, power-off, debug exit.
    fn carry_out(&mut self) -> Option<Outcome> {
        let request = self.board.request.take()?;
        let now = self.now();
        match request {
            Request::Boot => {
                if let Err(e) = self.firmware_ready() {
                    return Some(Outcome::HostError(e.to_string()));
                }
            }
            Request::PowerOff => return Some(Outcome::PowerOff),
            Request::DebugExit(v) => return Some(Outcome::DebugExit(v as u8)),
            Request::Reset(why) | Request::Init(why) => {
                if self.board.log.resets {
                    self.board.note(now, format_args!("reset: by {why}"));
                }
                if self.config.no_reboot {
                    return Some(Outcome::Reset);
                }
                if matches!(request, Request::Init(_)) && self.board.resumes_after_init() {
                    self.init_processors();
                } else {
                    self.reset();
                }
            }
        }
        None
    }

    fn carry_signals(&mut self) {
        for signal in std::mem::take(&mut self.board.signals) {
            match signal {
                Signal::Nmi(i) => self.cpus[i].nmi_pending = true,
                Signal::Smi(i) => self.cpus[i].smi_pending = true,
                Signal::Init(i) => {
                    self.cpus[i].init();
                    if i != 0 {
                        self.cpus[i].activity = Activity::WaitForSipi;
                    }
                }
                Signal::Startup(i, vector) => self.cpus[i].start_up(vector),
            }
        }
    }

    /// The processor that runs next: who has the turn keeps it until its end.
    fn choose(&mut self) -> Option<usize> {
        let n = self.cpus.len();
        if n == 1 {
            return can_run(&self.cpus[0]).then_some(0);
        }
        let p = &mut self.progress;
        if p.count < p.turn_end && can_run(&self.cpus[p.turn]) {
            return Some(p.turn);
        }
        let next = (1..=n).map(|i| (p.turn + i) % n).find(|&i| can_run(&self.cpus[i]))?;
        p.turn = next;
        p.turn_end = p.count + TURN;
        Some(next)
    }

    /// The next moment at which something is to be done: by chips, script or input.
    fn next_event(&self) -> Option<u64> {
        [self.board.deadline().map(|t| t.0), self.next_outside()].into_iter().flatten().min()
    }

    /// The next moment at which script or input do something.
    fn next_outside(&self) -> Option<u64> {
        let script = self.script.as_ref().and_then(|s| s.due());
        [script, self.feed.due(&self.board)].into_iter().flatten().min()
    }

    fn run_slice(&mut self, cpu: usize, until: Until) {
        let event = [self.next_event(), until.time_ns, self.stop_ns].into_iter().flatten().min();
        let p = &mut self.progress;
        let mut limit = match self.config.clock {
            ClockKind::Virtual => (p.count / SLICE + 1) * SLICE,
            ClockKind::Host if self.log.replaying() => {
                let (count, now) = (p.count, p.clock.time_ns(p.count));
                if let Some(clock) = self.log.clock_at(count, now) {
                    p.clock = clock;
                }
                (p.count / SLICE + 1) * SLICE
            }
            ClockKind::Host => {
                let plan = self.pacer.plan(p.count, p.clock, event);
                if plan.clock != p.clock {
                    let now = p.clock.time_ns(p.count);
                    self.log.note(p.count, now, crate::record::Entry::Clock(plan.clock));
                }
                p.clock = plan.clock;
                // After a long string instruction the guest seems far faster than it goes on: the wall is looked at often.
                plan.limit.min(p.count + SLICE)
            }
        };
        if let Some(t) = event {
            limit = limit.min(p.clock.count_at(t));
        }
        for n in [until.count, self.stop_count, self.log.next_count(p.count)].into_iter().flatten() {
            limit = limit.min(n);
        }
        if self.cpus.len() > 1 {
            limit = limit.min(p.turn_end);
        }
        // A deadline that has passed may not stop the world.
        let limit = limit.max(p.count + 1);
        let end = p.clock.time_ns(limit);
        p.idle_ns = 0;
        let (clock, count) = (p.clock, p.count);
        self.board.show_smram(&mut self.mem, self.cpus[cpu].smm);
        self.board.begin_slice(Time(end));
        for (offset, cpu) in self.board.tsc_offsets.iter_mut().zip(&self.cpus) {
            *offset = cpu.msr.tsc_offset;
        }
        let mut exec = Exec {
            cpu: &mut self.cpus[cpu],
            mem: &mut self.mem,
            derived: &mut self.derived,
            board: &mut self.board,
            clock,
            count,
            limit,
        };
        let stop = lucid86_cpu::interp::run(&mut exec);
        self.progress.count = exec.count;
        match stop {
            Stop::TripleFault => self.triple_fault(cpu),
            Stop::Yield => self.progress.turn_end = self.progress.count,
            Stop::Debug => self.debug_stop(cpu),
            Stop::Limit | Stop::Board | Stop::Halted => {}
        }
    }

    fn triple_fault(&mut self, cpu: usize) {
        let report = self.died(cpu);
        if self.board.log.resets {
            let now = self.now();
            self.board.note(now, format_args!("reset: triple fault on processor {cpu}"));
        }
        if self.debug.attached {
            self.debug.triple = Some(cpu);
        }
        if self.config.no_reboot {
            self.ended_by = Some(Outcome::TripleFault(report));
        } else {
            self.board.request.get_or_insert(Request::Init("a triple fault"));
        }
    }

    /// All processors wait: passes time until something happens.
    fn idle(&mut self, io: &mut dyn HostIo, until: Until) -> Option<Outcome> {
        let now = self.time_ns();
        // With interrupts off everywhere no timer wakes anyone.
        let deaf = self.cpus.iter().all(|c| c.rflags & flag::IF == 0 || c.activity != Activity::Halted);
        let mut event = self.next_event();
        if deaf && self.script.is_none() && self.feed.due(&self.board).is_none() {
            event = None;
        }
        let pending = event.is_some();
        let event = [event, until.time_ns, self.stop_ns].into_iter().flatten().min();
        if self.replaying() && self.replay_sleep() {
            return None;
        }
        match (event, self.live) {
            (None, false) => return Some(Outcome::NothingPending),
            (Some(t), false) if self.config.clock == ClockKind::Virtual => {
                self.progress.idle_ns += t.saturating_sub(now);
                if self.progress.idle_ns > IDLE_LIMIT_NS || !pending && until.time_ns.is_none() {
                    return Some(Outcome::NothingPending);
                }
                self.set_time(t);
            }
            _ => {
                let event = self.nap(now, event, until);
                self.sleep(io, now, event);
            }
        }
        None
    }

    /// Until when the guest may sleep that waits for `event`: longer, where that is something that nobody hears, or a tick
    /// that may be late.
    fn nap(&mut self, now: u64, event: Option<u64>, until: Until) -> Option<u64> {
        let acted = std::mem::take(&mut self.board.stored) | std::mem::take(&mut self.derived.outer_ran);
        if self.config.clock == ClockKind::Virtual || event.is_none() {
            return event;
        }
        let tick = self.board.tick().map(|t| t.0);
        let wakes = self.board.wakes().map(|t| t.0).filter(|t| Some(*t) != tick).min();
        let others = [wakes, self.next_outside(), until.time_ns, self.stop_ns].into_iter().flatten().min();
        match tick {
            Some(tick) if others.is_none_or(|t| t > tick) => {
                let late = tick.saturating_add(self.lull.slack_ns(now, self.progress.count, tick, acted));
                Some(others.map_or(late, |t| t.min(late)))
            }
            _ => {
                self.lull.end(now);
                // If nothing ever wakes the guest, input may; without input the thread has to sleep until something.
                if self.live { others } else { others.or(event) }
            }
        }
    }

    /// Makes it `t_ns` now, if that is later.
    pub(crate) fn set_time(&mut self, t_ns: u64) {
        let p = &mut self.progress;
        let t0_ns = t_ns.max(p.clock.time_ns(p.count));
        p.clock = Clock { n0: p.count, t0_ns, rate: p.clock.rate };
    }

    /// Sleeps until the event, an input, or when the host wants to look; time passes with the wall.
    fn sleep(&mut self, io: &mut dyn HostIo, now: u64, event: Option<u64>) {
        if let Some(dump) = &mut self.board.outside.dump {
            dump.flush();
        }
        self.pacer.pause(self.progress.count);
        if self.config.clock == ClockKind::Virtual {
            self.pacer.set(now);
        }
        let again = self.tick(io, true);
        let wait = event.map(|t| self.pacer.until(t));
        let wait = [wait, again].into_iter().flatten().min();
        if self.live {
            match self.mailbox.wait(wait) {
                Ok(input) => {
                    self.lull.end(now);
                    self.arrived(input, true);
                }
                Err(RecvTimeoutError::Disconnected) => self.live = false,
                Err(RecvTimeoutError::Timeout) => {}
            }
        } else if let Some(w) = wait {
            std::thread::sleep(w);
        }
        let wall = match event {
            // The sleep was on purpose: only what goes beyond its end is a gap.
            Some(t) if self.pacer.wall_ns() >= t => self.pacer.wall_after_gap(t).max(t),
            _ => self.pacer.wall_ns(),
        };
        let wall =
            if self.config.clock == ClockKind::Virtual { wall.min(event.unwrap_or(wall)) } else { wall };
        self.log.note(self.progress.count, now, crate::record::Entry::Slept(wall));
        self.set_time(wall);
    }
}

/// Whether the processor has something to do.
fn can_run(cpu: &Cpu) -> bool {
    match cpu.activity {
        Activity::Running => true,
        Activity::Halted => {
            let intr = cpu.intr && cpu.rflags & flag::IF != 0 && cpu.shadow == Shadow::None;
            intr || cpu.smi_pending && !cpu.smm || cpu.nmi_pending && !cpu.nmi_blocked
        }
        Activity::Shutdown | Activity::WaitForSipi => false,
    }
}
