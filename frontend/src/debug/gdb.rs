//! gdb's side of the protocol, by `gdbstub`: its state machine, fed with what comes from the socket.

use super::monitor::PATIENCE;
use super::packets::{Filter, LONGEST, Own, packet};
use super::target::{Stub, tid_of};
use super::{Event, Mail, listen};
use crate::end::Ending;
use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{DisconnectReason, GdbStub, MultiThreadStopReason};
use gdbstub::target::ext::base::reverse_exec::ReplayLogPosition;
use lucid86_machine::debug::{Stopped, Why};
use std::io::Read;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

/// The socket, written whole packets at a time.
struct Wire {
    stream: TcpStream,
    waiting: Vec<u8>,
}

impl Connection for Wire {
    type Error = std::io::Error;

    fn write(&mut self, byte: u8) -> Result<(), std::io::Error> {
        self.waiting.push(byte);
        Ok(())
    }
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), std::io::Error> {
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }
    fn flush(&mut self) -> Result<(), std::io::Error> {
        let done = std::io::Write::write_all(&mut self.stream, &self.waiting);
        self.waiting.clear();
        // Who reads nothing for so long is gone, and a part of a packet is no use.
        done.inspect_err(|_| _ = self.stream.shutdown(Shutdown::Both))
    }
}

type Stage = GdbStubStateMachine<'static, Stub, Wire>;

/// A gdb at work.
pub struct Session {
    stage: Stage,
}

/// What gdb's bytes led to.
pub enum After {
    /// The machine stands.
    Stands(Session),
    /// It is to run.
    Runs(Session),
    /// gdb has left.
    Left {
        /// And wants the machine to end.
        kill: bool,
    },
}

/// Listens for gdb.
pub fn listen(address: &str, to: Mail, ending: &Arc<Ending>) -> Result<(), String> {
    listen::listen("gdb", address, ending, move |mut stream| {
        let Ok(out) = stream.try_clone() else { return true };
        let _ = out.set_write_timeout(Some(PATIENCE));
        if !to.send(Event::GdbCame(out)) {
            return false;
        }
        let mut buffer = [0; 4096];
        let mut filter = Filter::default();
        while let Ok(n) = stream.read(&mut buffer)
            && n > 0
        {
            if filter.feed(&buffer[..n]).into_iter().any(|p| !to.send(Event::Gdb(p))) {
                break;
            }
        }
        to.send(Event::GdbGone)
    })
}

impl Session {
    /// gdb has connected.
    pub fn new(stream: TcpStream, stub: &mut Stub) -> Option<Session> {
        let wire = Wire { stream, waiting: Vec::new() };
        let gdb = GdbStub::builder(wire).packet_buffer_size(LONGEST).build().ok()?;
        let stage = gdb.run_state_machine(stub).ok()?;
        Some(Session { stage })
    }

    /// Feeds bytes. `standing`: the machine stands.
    pub fn incoming(self, stub: &mut Stub, bytes: &[u8], standing: bool) -> After {
        let mut stage = self.stage;
        let mut runs = !standing;
        for &b in bytes {
            let next = match stage {
                GdbStubStateMachine::Idle(s) => s.incoming_data(stub, b),
                GdbStubStateMachine::Running(s) => s.incoming_data(stub, b),
                other => Ok(other),
            };
            stage = match next {
                Ok(s) => s,
                // A broken packet or a broken socket: this gdb can't be served any longer.
                Err(e) => {
                    stub.host.ending.say(&format!("gdb: {}", crate::one_line(&e.to_string())));
                    return After::Left { kill: false };
                }
            };
            stage = match stage {
                GdbStubStateMachine::CtrlCInterrupt(s) => {
                    let tid = tid_of(stub.machine.current_cpu());
                    let reason = MultiThreadStopReason::SignalWithThread { tid, signal: Signal::SIGINT };
                    runs = false;
                    match s.interrupt_handled(stub, Some(reason)) {
                        Ok(s) => s,
                        Err(_) => return After::Left { kill: false },
                    }
                }
                GdbStubStateMachine::Disconnected(s) => {
                    let kill = s.get_reason() == DisconnectReason::Kill;
                    return After::Left { kill };
                }
                GdbStubStateMachine::Running(s) => {
                    runs = true;
                    GdbStubStateMachine::Running(s)
                }
                idle => {
                    runs = false;
                    idle
                }
            };
        }
        let session = Session { stage };
        if runs { After::Runs(session) } else { After::Stands(session) }
    }

    /// Answers a packet that `gdbstub` doesn't know. None is sent while the machine runs.
    pub fn answer(&mut self, stub: &mut Stub, own: Own, acknowledge: bool) {
        let GdbStubStateMachine::Idle(s) = &mut self.stage else { return };
        let physical = &mut stub.session.physical;
        let text = match own {
            Own::Supported => "PhyMemMode",
            Own::IsPhysical if *physical => "1",
            Own::IsPhysical => "0",
            Own::TooLong => "E01",
            Own::SetPhysical(on) => {
                *physical = on;
                "OK"
            }
        };
        let wire = s.borrow_conn();
        wire.waiting.extend(acknowledge.then_some(b'+'));
        wire.waiting.extend(packet(text));
        // A broken socket is found by whoever reads it.
        let _ = wire.flush();
    }

    /// Reports a stop, with words for the user where gdb has none. `None` when gdb has gone.
    pub fn stopped(self, stub: &mut Stub, stopped: &Stopped, text: &str) -> Option<Session> {
        let GdbStubStateMachine::Running(mut s) = self.stage else { return Some(self) };
        let tid = tid_of(stopped.cpu);
        let signal = |signal| MultiThreadStopReason::SignalWithThread { tid, signal };
        let own = stub.own_breakpoint(&stopped.why);
        let watched = stub.watched(&stopped.why);
        let (reason, words) = match (&stopped.why, watched) {
            (Why::Points(_), Some((kind, addr))) => {
                let by_bus = text.contains("bus master");
                (MultiThreadStopReason::Watch { tid, kind, addr }, by_bus)
            }
            (Why::Points(_), None) if own => (MultiThreadStopReason::SwBreak(tid), false),
            (Why::Points(_), None) => (signal(Signal::SIGTRAP), true),
            (Why::Done, _) => (signal(Signal::SIGTRAP), false),
            (Why::Paused, _) => (signal(Signal::SIGINT), false),
            (Why::Trouble(_), _) => (signal(Signal::SIGABRT), true),
            (Why::TripleFault, _) => (signal(Signal::SIGSEGV), true),
            (Why::Ended(o), _) if !stub.machine.has_history() => {
                (MultiThreadStopReason::Exited(o.exit_status()), true)
            }
            (Why::Ended(_), _) => (signal(Signal::SIGTERM), true),
            (Why::Beginning, _) => {
                (MultiThreadStopReason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::Begin }, false)
            }
            (Why::Present, _) => {
                (MultiThreadStopReason::ReplayLog { tid: Some(tid), pos: ReplayLogPosition::End }, false)
            }
        };
        if words {
            let wire = s.borrow_conn();
            wire.waiting.extend(console_packet(text));
            wire.flush().ok()?;
        }
        match s.report_stop(stub, reason) {
            Ok(GdbStubStateMachine::Disconnected(_)) | Err(_) => None,
            Ok(stage) => Some(Session { stage }),
        }
    }
}

/// Text for gdb's console, as a packet (GDB manual, section E.3, Stop Reply Packets: `O`).
fn console_packet(text: &str) -> Vec<u8> {
    packet(&text.bytes().fold(String::from("O"), |s, b| s + &format!("{b:02x}")))
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
