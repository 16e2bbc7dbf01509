//! gdb's side of the machine: what `gdbstub` asks of a target. Running is not done here: [`super::Control`] does it.

use super::inbox::Inbox;
use super::registers::{Description, Register, description};
use crate::host::Host;
use gdbstub::arch::{Arch, RegId, Registers};
use gdbstub::common::{Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::{
    MultiThreadBase, MultiThreadResume, MultiThreadResumeOps, MultiThreadSchedulerLocking,
    MultiThreadSchedulerLockingOps, MultiThreadSingleStep, MultiThreadSingleStepOps,
};
use gdbstub::target::ext::base::reverse_exec::{ReverseCont, ReverseContOps, ReverseStep, ReverseStepOps};
use gdbstub::target::ext::base::single_register_access::{SingleRegisterAccess, SingleRegisterAccessOps};
use gdbstub::target::ext::breakpoints::{
    Breakpoints, BreakpointsOps, HwBreakpoint, HwBreakpointOps, HwWatchpoint, HwWatchpointOps, SwBreakpoint,
    SwBreakpointOps, WatchKind,
};
use gdbstub::target::ext::monitor_cmd::{ConsoleOutput, MonitorCmd, MonitorCmdOps, output};
use gdbstub::target::ext::target_description_xml_override::{
    TargetDescriptionXmlOverride, TargetDescriptionXmlOverrideOps,
};
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{Target, TargetError, TargetResult};
use lucid86_machine::Machine;
use lucid86_machine::debug::command::{Act, Session};
use lucid86_machine::debug::{Bytes, Kind, Motion, Stopped, Why};
use std::num::NonZeroUsize;

/// The architecture as gdb sees it.
pub enum X86 {}

/// All registers of a `g` packet, as bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AllRegisters {
    bytes: Vec<u8>,
}

impl Registers for AllRegisters {
    type ProgramCounter = u64;
    fn pc(&self) -> u64 {
        0
    }
    fn gdb_serialize(&self, mut write_byte: impl FnMut(Option<u8>)) {
        self.bytes.iter().for_each(|b| write_byte(Some(*b)));
    }
    fn gdb_deserialize(&mut self, bytes: &[u8]) -> Result<(), ()> {
        self.bytes = bytes.to_vec();
        Ok(())
    }
}

/// A register's number.
#[derive(Clone, Copy, Debug)]
pub struct Number(usize);

impl RegId for Number {
    fn from_raw_id(id: usize) -> Option<(Number, Option<NonZeroUsize>)> {
        (id < 1024).then_some((Number(id), None))
    }
}

impl Arch for X86 {
    type Usize = u64;
    type Registers = AllRegisters;
    type BreakpointKind = usize;
    type RegId = Number;
    fn target_description_xml() -> Option<&'static str> {
        Some("")
    }
}

/// The machine, and what gdb and the monitors have asked for.
pub struct Stub {
    /// The machine.
    pub machine: Machine,
    /// Its outside.
    pub host: Host,
    /// What commands remember.
    pub session: Session,
    /// The motion that gdb asked for.
    pub motion: Motion,
    /// What a command asked for.
    pub act: Act,
    description: Description,
}

/// The processor that a thread is.
pub fn cpu_of(tid: Tid) -> usize {
    tid.get() - 1
}

/// The thread that a processor is.
pub fn tid_of(cpu: usize) -> Tid {
    Tid::new(cpu + 1).unwrap_or(Tid::MIN)
}

impl Stub {
    /// Around a machine.
    pub fn new(machine: Machine, host: Host) -> Stub {
        Stub {
            machine,
            host,
            session: Session::default(),
            motion: Motion::Continue,
            act: Act::None,
            description: description(),
        }
    }

    fn valid(&self, tid: Tid) -> TargetResult<usize, Stub> {
        let cpu = cpu_of(tid);
        if cpu < self.machine.processors() { Ok(cpu) } else { Err(TargetError::NonFatal) }
    }

    fn register(&self, n: usize) -> TargetResult<Register, Stub> {
        self.description.list.get(n).copied().ok_or(TargetError::NonFatal)
    }

    /// What of a stop gdb is told as a watchpoint: kind and address.
    pub fn watched(&mut self, why: &Why) -> Option<(WatchKind, u64)> {
        let Why::Points(ids) = why else { return None };
        let points = self.machine.debugger().points();
        points.iter().filter(|p| p.foreign && ids.contains(&p.id)).find_map(|p| match &p.kind {
            Kind::Data { bytes, .. } => {
                let kind = match (bytes.read, bytes.write) {
                    (true, true) => WatchKind::ReadWrite,
                    (true, false) => WatchKind::Read,
                    _ => WatchKind::Write,
                };
                Some((kind, bytes.at))
            }
            _ => None,
        })
    }

    /// Whether one of gdb's own breakpoints stopped it.
    pub fn own_breakpoint(&mut self, why: &Why) -> bool {
        let Why::Points(ids) = why else { return false };
        let points = self.machine.debugger().points();
        points.iter().any(|p| p.foreign && ids.contains(&p.id) && matches!(p.kind, Kind::Code { .. }))
    }

    fn add(&mut self, kind: Kind) -> bool {
        match self.machine.debugger().add(kind) {
            Ok(id) => {
                if let Some(p) = self.machine.debugger().point(id) {
                    p.foreign = true;
                }
                true
            }
            Err(_) => false,
        }
    }

    fn remove(&mut self, kind: &Kind) -> bool {
        let d = self.machine.debugger();
        let found = d.points().iter().find(|p| p.foreign && p.kind == *kind).map(|p| p.id);
        found.is_some_and(|id| d.remove(id))
    }
}

impl Target for Stub {
    type Arch = X86;
    type Error = String;

    fn base_ops(&mut self) -> BaseOps<'_, X86, String> {
        BaseOps::MultiThread(self)
    }
    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }
    fn support_monitor_cmd(&mut self) -> Option<MonitorCmdOps<'_, Self>> {
        Some(self)
    }
    fn support_target_description_xml_override(
        &mut self,
    ) -> Option<TargetDescriptionXmlOverrideOps<'_, Self>> {
        Some(self)
    }
}

impl MultiThreadBase for Stub {
    fn read_registers(&mut self, regs: &mut AllRegisters, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.valid(tid)?;
        let list = &self.description.list[..self.description.general];
        regs.bytes = list.iter().flat_map(|r| r.read(&self.machine, cpu, self.session.pc_offset)).collect();
        Ok(())
    }

    fn write_registers(&mut self, regs: &AllRegisters, tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.valid(tid)?;
        let mut rest = &regs.bytes[..];
        for n in 0..self.description.general {
            let r = self.description.list[n];
            let Some((bytes, more)) = rest.split_at_checked(r.bits / 8) else { break };
            rest = more;
            if r.read(&self.machine, cpu, self.session.pc_offset) != bytes {
                let _ = r.write(&mut self.machine, cpu, self.session.pc_offset, bytes);
            }
        }
        Ok(())
    }

    fn support_single_register_access(&mut self) -> Option<SingleRegisterAccessOps<'_, Tid, Self>> {
        Some(self)
    }

    fn read_addrs(&mut self, start: u64, data: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        let cpu = self.valid(tid)?;
        Ok(if self.session.physical {
            self.machine.peek_physical(start, data)
        } else {
            self.machine.peek(cpu, start, data)
        })
    }

    fn write_addrs(&mut self, start: u64, data: &[u8], tid: Tid) -> TargetResult<(), Self> {
        let cpu = self.valid(tid)?;
        let done = if self.session.physical {
            self.machine.poke_physical(start, data)
        } else {
            self.machine.poke(cpu, start, data)
        };
        if done { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn list_active_threads(&mut self, f: &mut dyn FnMut(Tid)) -> Result<(), String> {
        (0..self.machine.processors()).for_each(|i| f(tid_of(i)));
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl SingleRegisterAccess<Tid> for Stub {
    fn read_register(&mut self, tid: Tid, reg: Number, buf: &mut [u8]) -> TargetResult<usize, Self> {
        let cpu = self.valid(tid)?;
        let bytes = self.register(reg.0)?.read(&self.machine, cpu, self.session.pc_offset);
        let to = buf.get_mut(..bytes.len()).ok_or(TargetError::NonFatal)?;
        to.copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn write_register(&mut self, tid: Tid, reg: Number, val: &[u8]) -> TargetResult<(), Self> {
        let cpu = self.valid(tid)?;
        let r = self.register(reg.0)?;
        if r.write(&mut self.machine, cpu, self.session.pc_offset, val) {
            Ok(())
        } else {
            Err(TargetError::NonFatal)
        }
    }
}

impl MultiThreadResume for Stub {
    fn resume(&mut self) -> Result<(), String> {
        Ok(())
    }
    fn clear_resume_actions(&mut self) -> Result<(), String> {
        self.motion = Motion::Continue;
        Ok(())
    }
    fn set_resume_action_continue(&mut self, _tid: Tid, _signal: Option<Signal>) -> Result<(), String> {
        Ok(())
    }
    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }
    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
    fn support_reverse_step(&mut self) -> Option<ReverseStepOps<'_, Tid, Self>> {
        Some(self)
    }
    fn support_reverse_cont(&mut self) -> Option<ReverseContOps<'_, Tid, Self>> {
        Some(self)
    }
}

/// Processors take turns by a fixed rule, so that a run can be replayed: one can't be held while another runs. A step ends
/// when its processor has made it, whatever the others did meanwhile.
impl MultiThreadSchedulerLocking for Stub {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), String> {
        Ok(())
    }
}

impl MultiThreadSingleStep for Stub {
    fn set_resume_action_step(&mut self, tid: Tid, _signal: Option<Signal>) -> Result<(), String> {
        let cpu = cpu_of(tid).min(self.machine.processors() - 1);
        self.motion = Motion::Step(cpu, 1);
        Ok(())
    }
}

impl ReverseStep<Tid> for Stub {
    fn reverse_step(&mut self, tid: Tid) -> Result<(), String> {
        let cpu = cpu_of(tid).min(self.machine.processors() - 1);
        self.motion = Motion::ReverseStep(cpu, 1);
        Ok(())
    }
}

impl ReverseCont<Tid> for Stub {
    fn reverse_cont(&mut self) -> Result<(), String> {
        self.motion = Motion::ReverseContinue;
        Ok(())
    }
}

impl Breakpoints for Stub {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }
    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

/// Nothing is written to the guest's memory for a breakpoint, so hardware and software ones are the same.
fn code(at: u64) -> Kind {
    Kind::Code { at, physical: false }
}

impl SwBreakpoint for Stub {
    fn add_sw_breakpoint(&mut self, at: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.add(code(at)))
    }
    fn remove_sw_breakpoint(&mut self, at: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.remove(&code(at)))
    }
}

impl HwBreakpoint for Stub {
    fn add_hw_breakpoint(&mut self, at: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.add(code(at)))
    }
    fn remove_hw_breakpoint(&mut self, at: u64, _kind: usize) -> TargetResult<bool, Self> {
        Ok(self.remove(&code(at)))
    }
}

fn data(at: u64, len: u64, kind: WatchKind) -> Kind {
    let bytes = Bytes {
        at,
        len: len.max(1),
        physical: false,
        read: kind != WatchKind::Write,
        write: kind != WatchKind::Read,
    };
    Kind::Data { bytes, change: kind == WatchKind::Write }
}

impl HwWatchpoint for Stub {
    fn add_hw_watchpoint(&mut self, at: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.add(data(at, len, kind)))
    }
    fn remove_hw_watchpoint(&mut self, at: u64, len: u64, kind: WatchKind) -> TargetResult<bool, Self> {
        Ok(self.remove(&data(at, len, kind)))
    }
}

impl MonitorCmd for Stub {
    fn handle_monitor_cmd(&mut self, cmd: &[u8], mut out: ConsoleOutput<'_>) -> Result<(), String> {
        let mut next = Some(String::from_utf8_lossy(cmd).into_owned());
        while let Some(line) = next {
            match self.machine.command(&mut self.session, &line) {
                Ok((text, act)) => {
                    output!(out, "{text}");
                    match act {
                        // gdb believes that nothing moves while it waits for the answer, so it is told of the new place
                        // by its next look at the registers.
                        Act::Move(motion) => output!(out, "{}", self.move_now(motion)),
                        Act::Quit => {
                            self.act = act;
                            self.session.leave_script();
                        }
                        Act::Stop | Act::Wait | Act::None => {}
                    }
                }
                Err(e) => {
                    self.session.leave_script();
                    output!(out, "{e}\n");
                }
            }
            // A script may be endless: what it says is kept no longer than a line takes.
            out.flush();
            if self.session.is_in_script() && self.is_called_away() {
                self.leave();
            }
            // A script goes on after its moves.
            next = self.session.next_line();
        }
        Ok(())
    }
}

impl Stub {
    /// Moves the machine. `finishing`: only what is urgent interrupts that.
    pub fn move_by(&mut self, motion: Motion, finishing: bool) -> Stopped {
        if let Some(inbox) = &mut self.host.inbox {
            inbox.finishing = finishing;
        }
        self.machine.debug_move(&mut self.host, motion)
    }

    /// Whether someone wants more than that a script goes on.
    fn is_called_away(&mut self) -> bool {
        self.host.ending.asked() || self.host.inbox.as_mut().is_some_and(Inbox::is_urgent)
    }

    /// A move or a script is left because someone wants that.
    pub fn leave(&mut self) {
        self.session.leave_script();
        if let Some(inbox) = &mut self.host.inbox {
            inbox.obeyed();
        }
    }

    /// Carries out a motion that was asked for as a command of gdb's.
    fn move_now(&mut self, motion: Motion) -> String {
        if motion == Motion::Continue {
            return "use gdb's own continue\n".into();
        }
        let stopped = self.move_by(motion, true);
        if stopped.why == Why::Paused {
            self.leave();
        } else if let Why::Ended(_) = stopped.why {
            self.session.leave_script();
        }
        self.machine.describe(&mut self.session, &stopped) + "(gdb: say 'maintenance flush register-cache')\n"
    }
}

impl TargetDescriptionXmlOverride for Stub {
    fn target_description_xml(
        &self,
        _annex: &[u8],
        offset: u64,
        length: usize,
        buf: &mut [u8],
    ) -> TargetResult<usize, Self> {
        let text = self.description.xml.as_bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let n = length.min(buf.len()).min(text.len() - from);
        buf[..n].copy_from_slice(&text[from..from + n]);
        Ok(n)
    }
}

impl ThreadExtraInfo for Stub {
    fn thread_extra_info(&self, tid: Tid, buf: &mut [u8]) -> Result<usize, String> {
        let cpu = cpu_of(tid);
        if cpu >= self.machine.processors() {
            return Ok(0);
        }
        let text = format!("processor {cpu}, {}", lucid86_machine::debug::mode_name(&self.machine, cpu));
        let n = text.len().min(buf.len());
        buf[..n].copy_from_slice(&text.as_bytes()[..n]);
        Ok(n)
    }
}
