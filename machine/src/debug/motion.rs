//! Ways to move through a run: forward and back, by instruction, call, and kind of instruction.

use super::disasm::{self, Flow};
use super::{Goal, Kind, Stopped, Why};
use crate::Machine;
use crate::outcome::HostIo;
use lucid86_cpu::state::gpr;

/// A way to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Motion {
    /// On, until something stops it.
    Continue,
    /// So many instructions of a processor.
    Step(usize, u64),
    /// Over a call, interrupt or repeated instruction.
    Over(usize),
    /// To where the present procedure returns to.
    Out(usize),
    /// Until the processor's next instruction is of a kind.
    Until(usize, Flow),
    /// To a linear address, once.
    To(u64),
    /// Back by so many instructions.
    ReverseStep(usize, u64),
    /// Back to the last point met.
    ReverseContinue,
    /// Back to before the call of the present procedure.
    ReverseOut(usize),
    /// To a count of instructions.
    Count(u64),
    /// To a virtual time.
    Time(u64),
}

/// Most single steps of one motion.
const MOST_STEPS: u64 = 50_000_000;

impl Machine {
    /// Moves.
    pub fn debug_move(&mut self, io: &mut dyn HostIo, motion: Motion) -> Stopped {
        self.keep_pokes();
        match motion {
            Motion::Continue => self.debug_run(io, Goal::Continue),
            Motion::Step(cpu, n) => self.debug_run(io, Goal::Step(cpu, n)),
            Motion::Over(cpu) => self.step_over(io, cpu),
            Motion::Out(cpu) => self.step_out(io, cpu),
            Motion::Until(cpu, flow) => self.step_until(io, cpu, flow),
            Motion::To(at) => self.run_to(io, at),
            Motion::ReverseStep(cpu, n) => {
                let target = self.progress.count.saturating_sub(n);
                if n <= 1 || self.cpus.len() > 1 {
                    self.reverse_step(io, cpu)
                } else {
                    self.go_to(io, target)
                }
            }
            Motion::ReverseContinue => self.reverse_continue(io),
            Motion::ReverseOut(cpu) => self.reverse_out(io, cpu),
            Motion::Count(n) => self.go_to(io, n),
            Motion::Time(t) => self.go_to_time(io, t),
        }
    }

    /// A stop at this address that nobody sees as a point; other points stop too.
    fn run_to_where(&mut self, io: &mut dyn HostIo, at: u64, there: impl Fn(&Machine) -> bool) -> Stopped {
        let id = match self.debug.add(Kind::Code { at, physical: false }) {
            Ok(id) => id,
            Err(_) => return self.debug_run(io, Goal::Continue),
        };
        let mut stopped = self.debug_run(io, Goal::Continue);
        for _ in 0..1_000_000 {
            match &stopped.why {
                Why::Points(ids) if *ids == [id] && !there(self) => {
                    stopped = self.debug_run(io, Goal::Continue);
                }
                _ => break,
            }
        }
        self.debug.remove(id);
        if let Why::Points(ids) = &mut stopped.why {
            ids.retain(|i| *i != id);
            if ids.is_empty() {
                stopped.why = Why::Done;
            }
        }
        stopped
    }

    fn run_to(&mut self, io: &mut dyn HostIo, at: u64) -> Stopped {
        self.run_to_where(io, at, |_| true)
    }

    fn step_over(&mut self, io: &mut dyn HostIo, cpu: usize) -> Stopped {
        let pc = self.pc(cpu);
        let i = self.instruction_at(cpu, pc, disasm::bits(&self.cpus[cpu]));
        match i.filter(disasm::is_stepped_over) {
            Some(i) => {
                let sp = self.cpus[cpu].gpr[gpr::RSP];
                self.run_to_where(io, pc.wrapping_add(i.len() as u64), |m| m.cpus[cpu].gpr[gpr::RSP] >= sp)
            }
            None => self.debug_run(io, Goal::Step(cpu, 1)),
        }
    }

    fn step_out(&mut self, io: &mut dyn HostIo, cpu: usize) -> Stopped {
        let sp = self.cpus[cpu].gpr[gpr::RSP];
        // Where the procedure returns to: known from the stack trace, else found by running to its RET.
        if let Some(at) = self.backtrace(cpu, 2).get(1).map(|f| f.pc) {
            return self.run_to_where(io, at, |m| m.cpus[cpu].gpr[gpr::RSP] > sp);
        }
        for _ in 0..MOST_STEPS {
            let stopped = self.step_until(io, cpu, Flow::Return);
            if stopped.why != Why::Done {
                return stopped;
            }
            let deep = self.cpus[cpu].gpr[gpr::RSP] >= sp;
            let stopped = self.debug_run(io, Goal::Step(cpu, 1));
            if deep || stopped.why != Why::Done {
                return stopped;
            }
        }
        self.debug_run(io, Goal::Step(cpu, 1))
    }

    fn step_until(&mut self, io: &mut dyn HostIo, cpu: usize, flow: Flow) -> Stopped {
        let mut n = 0;
        loop {
            let stopped = self.debug_run(io, Goal::Step(cpu, 1));
            n += 1;
            if stopped.why != Why::Done || n > MOST_STEPS {
                return stopped;
            }
            let pc = self.pc(cpu);
            let i = self.instruction_at(cpu, pc, disasm::bits(&self.cpus[cpu]));
            if i.is_some_and(|i| disasm::is(&i, flow)) {
                return stopped;
            }
        }
    }

    /// Back to the call that made the present frame.
    fn reverse_out(&mut self, io: &mut dyn HostIo, cpu: usize) -> Stopped {
        let Some(caller) = self.backtrace(cpu, 2).get(1).map(|f| f.pc) else {
            return self.reverse_step(io, cpu);
        };
        // The call ends where it returns to: the longest instruction that does.
        let bits = disasm::bits(&self.cpus[cpu]);
        let call = (2..=7).find(|n| {
            self.instruction_at(cpu, caller.wrapping_sub(*n), bits)
                .is_some_and(|i| i.len() as u64 == *n && disasm::is(&i, Flow::Call))
        });
        let Some(n) = call else { return self.reverse_step(io, cpu) };
        let sp = self.cpus[cpu].gpr[gpr::RSP];
        let Ok(id) = self.debug.add(Kind::Code { at: caller.wrapping_sub(n), physical: false }) else {
            return self.reverse_step(io, cpu);
        };
        let mut stopped = self.reverse_continue(io);
        for _ in 0..10_000 {
            match &stopped.why {
                Why::Points(ids) if *ids == [id] && self.cpus[cpu].gpr[gpr::RSP] < sp => {
                    stopped = self.reverse_continue(io);
                }
                _ => break,
            }
        }
        self.debug.remove(id);
        if matches!(&stopped.why, Why::Points(ids) if *ids == [id]) {
            stopped.why = Why::Done;
        }
        stopped
    }
}
