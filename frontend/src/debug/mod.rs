//! Serving debuggers: gdb on a socket, monitors as text. One [`Control`] on the machine's thread runs the machine, hears
//! everyone, and tells everyone of stops. Reader threads only carry bytes to it.

mod console;
mod editor;
mod gdb;
mod inbox;
mod listen;
mod mail;
mod monitor;
mod packets;
mod registers;
mod target;

use crate::end::Ending;
use crate::host::Host;
use crossbeam_channel::{Receiver, Sender};
pub use inbox::Inbox;
use lucid86_machine::config::MonitorTo;
use lucid86_machine::debug::command::{Act, complete};
use lucid86_machine::debug::{DEFAULT_LIMIT, Motion, Stopped, Why};
use lucid86_machine::{Config, HostIo, Machine, Outcome, View};
pub use mail::Mail;
pub use monitor::{FULL, Output};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use target::Stub;

/// How long a machine that stands waits before it looks around.
const IDLE: Duration = Duration::from_millis(50);

/// Something from a debugger.
pub enum Event {
    /// gdb has come.
    GdbCame(TcpStream),
    /// What came from gdb.
    Gdb(packets::Part),
    /// gdb is gone.
    GdbGone,
    /// A monitor has come.
    MonitorCame(u32, monitor::Output),
    /// A line from a monitor.
    Line(u32, String),
    /// What could the last word of a line be that is being typed?
    Complete(String, Sender<Vec<String>>),
    /// A monitor is gone.
    MonitorGone(u32),
}

/// The debuggers of a run, before it starts.
pub struct Debuggers {
    events: Receiver<mail::Posted>,
    mail: Mail,
}

impl Debuggers {
    /// Listens where the configuration says. `None` if nobody can come.
    pub fn open(config: &Config, ending: &Arc<Ending>) -> Result<Option<Debuggers>, String> {
        // A report on what led to a death needs a history: the machine goes back a little.
        let reports = config.post_mortem.is_some() && config.history != Some(0);
        if config.gdb.is_none() && config.monitor.is_none() && !reports {
            return Ok(None);
        }
        let (mail, events) = Mail::new();
        if let Some(address) = &config.gdb {
            gdb::listen(address, mail.of_another(), ending)?;
        }
        match &config.monitor {
            Some(MonitorTo::Tcp(address)) => monitor::listen(address, mail.of_another(), ending)?,
            Some(MonitorTo::Stdio) if !crate::choose::monitor_shares(config) => {
                monitor::stdio(mail.of_another(), ending)
            }
            _ => {}
        }
        Ok(Some(Debuggers { events, mail }))
    }

    /// Where a monitor that shares standard input sends its lines.
    pub fn mail(&self) -> Mail {
        self.mail.clone()
    }

    /// Runs the machine to its end.
    pub fn run(self, machine: Machine, mut host: Host) -> (Machine, Outcome) {
        host.inbox = Some(Inbox::new(self.events));
        let mut control = Control {
            stub: Stub::new(machine, host),
            gdb: None,
            monitors: Vec::new(),
            running: None,
            awaited: false,
            script: 0,
            ended: None,
            open: false,
        };
        let outcome = control.run();
        (control.stub.machine, outcome)
    }
}

/// The machine and everyone who debugs it.
struct Control {
    stub: Stub,
    gdb: Option<gdb::Session>,
    monitors: Vec<(u32, monitor::Output)>,
    /// How the machine moves, unless it stands.
    running: Option<Motion>,
    /// A machine that runs on is waited for, too (`wait`).
    awaited: bool,
    /// The monitor whose script the session's waiting lines are, if there are any: it gets their answers.
    script: u32,
    /// The run has ended at this count: it can only go back from there.
    ended: Option<(u64, Outcome)>,
    /// Debuggers may still come, by a socket.
    open: bool,
}

impl Control {
    fn run(&mut self) -> Outcome {
        let config = self.stub.machine.config().clone();
        self.stub.machine.debugger().attached = true;
        self.stub.machine.load_bios_symbols();
        if config.built_in_floppy.is_some() {
            let list = lucid86_examples::tour::symbols().into_iter().map(|(name, at)| (name, at, 0));
            self.stub.machine.debugger().symbols.add("the tour", list);
        }
        let limit = config.history.map_or(DEFAULT_LIMIT, |h| usize::try_from(h).unwrap_or(usize::MAX));
        if limit > 0 {
            self.stub.machine.keep_history(limit);
        }
        self.stub.machine.look_out(config.post_mortem.is_some());
        self.running = (!config.paused).then_some(Motion::Continue);
        self.open = config.gdb.is_some() || matches!(config.monitor, Some(MonitorTo::Tcp(_)));
        loop {
            if self.stub.host.ending.asked() {
                return Outcome::Quit;
            }
            let outcome = match self.running {
                Some(motion) if self.is_waited_for() => self.go(motion),
                _ if self.stub.session.is_in_script() => self.script_line(),
                running => {
                    let patience = if running.is_some() { Duration::ZERO } else { IDLE };
                    match (self.next_event(patience), running) {
                        (Some(e), _) => self.event(e),
                        (None, Some(motion)) => self.go(motion),
                        (None, None) => None,
                    }
                }
            };
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
    }

    /// Whether what debuggers say next waits for the end of the machine's move.
    fn is_waited_for(&self) -> bool {
        self.awaited || self.running.is_some_and(|m| m != Motion::Continue)
    }

    /// The next line of a script, unless something urgent is to be heard. A script may be endless.
    fn script_line(&mut self) -> Option<Outcome> {
        if let Some(e) = self.stub.host.inbox.as_mut().and_then(Inbox::next_urgent) {
            // What gdb asks about a machine that stands takes nothing from the script.
            if !matches!(e, Event::Gdb(packets::Part::Bytes(_) | packets::Part::Own(..))) {
                self.stub.session.leave_script();
            }
            return self.event(e);
        }
        let line = self.stub.session.next_line()?;
        self.line(self.script, &line)
    }

    fn next_event(&mut self, patience: Duration) -> Option<Event> {
        self.stub.host.inbox.as_mut()?.next(patience)
    }

    fn stand(&mut self) {
        (self.running, self.awaited) = (None, false);
    }

    fn go(&mut self, motion: Motion) -> Option<Outcome> {
        let forward =
            !matches!(motion, Motion::ReverseContinue | Motion::ReverseOut(_) | Motion::ReverseStep(..));
        if let (Some(outcome), true) = (self.end(), forward)
            && !self.stub.machine.in_past()
        {
            return Some(outcome);
        }
        let waited_for = self.is_waited_for();
        let stopped = self.stub.move_by(motion, waited_for);
        if stopped.why == Why::Paused && self.stub.host.pause() {
            // Someone wants to be heard; a continue goes on afterwards, anything else has been left.
            if waited_for {
                self.stub.leave();
                self.stand();
                self.tell(&stopped);
            }
            return None;
        }
        if let Why::Ended(outcome) = &stopped.why {
            let nobody = self.gdb.is_none() && self.monitors.is_empty();
            let asked = *outcome == Outcome::Quit;
            if nobody || asked || !self.stub.machine.has_history() {
                self.tell(&stopped);
                return Some(outcome.clone());
            }
            self.ended = Some((self.stub.machine.count(), outcome.clone()));
        }
        if let Why::TripleFault | Why::Trouble(_) = &stopped.why {
            self.report(&stopped);
            if self.gdb.is_none() && self.monitors.is_empty() {
                // Nobody is here to see it: the machine resets, as machines do, or goes on.
                return None;
            }
        }
        self.stand();
        self.tell(&stopped);
        None
    }

    /// Writes down why the guest died or is in trouble, with what led there.
    fn report(&mut self, stopped: &Stopped) {
        let machine = &mut self.stub.machine;
        machine.find_trail(stopped.cpu);
        let what = match &stopped.why {
            Why::Trouble(text) => text,
            _ => "triple fault",
        };
        let report = machine.post_mortem(stopped.cpu, what);
        machine.write_post_mortem(&report);
    }

    /// Tells everyone of a stop.
    fn tell(&mut self, stopped: &Stopped) {
        let text = self.tell_monitors(stopped);
        if let Some(g) = self.gdb.take() {
            self.gdb = g.stopped(&mut self.stub, stopped, &text);
        }
    }

    fn tell_monitors(&mut self, stopped: &Stopped) -> String {
        let text = self.stub.machine.describe(&mut self.stub.session, stopped);
        for (_, output) in &mut self.monitors {
            output.say(&text);
            output.prompt();
        }
        text
    }

    /// gdb has the machine stand, and knows it.
    fn stand_for_gdb(&mut self) {
        if self.running.is_some() {
            self.stand();
            let stopped = self.stub.machine.stopped_by_hand();
            self.tell_monitors(&stopped);
        }
    }

    fn event(&mut self, event: Event) -> Option<Outcome> {
        match event {
            Event::GdbCame(stream) => {
                self.stand_for_gdb();
                self.gdb = gdb::Session::new(stream, &mut self.stub);
            }
            Event::Gdb(packets::Part::Own(own, acknowledge)) => {
                if let Some(g) = &mut self.gdb {
                    g.answer(&mut self.stub, own, acknowledge);
                }
            }
            Event::Gdb(packets::Part::Bytes(bytes)) => return self.gdb_says(&bytes),
            Event::Gdb(packets::Part::Interrupt) => return self.gdb_says(&[packets::INTERRUPT]),
            Event::GdbGone => {
                // It may have been given up before.
                self.gdb = None;
                return self.gdb_left();
            }
            Event::MonitorCame(id, mut output) => {
                if self.running.is_none() {
                    output.prompt();
                }
                self.monitors.push((id, output));
            }
            Event::MonitorGone(id) => {
                self.monitors.retain(|m| m.0 != id);
                if !self.open && self.monitors.is_empty() && self.running.is_none() && self.end().is_none() {
                    // Nobody can have it go on any more.
                    self.running = Some(Motion::Continue);
                }
                return self.end_if_left();
            }
            Event::Line(id, line) => {
                // Its rest, if it is a script.
                self.script = id;
                return self.line(id, &line);
            }
            Event::Complete(line, to) => {
                // Who asked may have gone on.
                let _ = to.try_send(complete(&self.stub.machine, line.trim_start()));
            }
        }
        None
    }

    fn gdb_says(&mut self, bytes: &[u8]) -> Option<Outcome> {
        let standing = self.running.is_none();
        match self.gdb.take()?.incoming(&mut self.stub, bytes, standing) {
            gdb::After::Stands(g) => {
                self.gdb = Some(g);
                self.stand_for_gdb();
            }
            gdb::After::Runs(g) => {
                self.gdb = Some(g);
                self.running = Some(self.stub.motion);
            }
            gdb::After::Left { kill: true } => return Some(Outcome::Quit),
            gdb::After::Left { kill: false } => return self.gdb_left(),
        }
        (self.stub.act == Act::Quit).then_some(Outcome::Quit)
    }

    /// gdb has gone: its points go, and the machine runs on.
    fn gdb_left(&mut self) -> Option<Outcome> {
        self.stub.machine.debugger().remove_where(|p| p.foreign);
        if self.monitors.is_empty() && self.end().is_none() {
            self.running = Some(Motion::Continue);
        }
        self.end_if_left()
    }

    /// A run that has ended is over when nobody is left to look at it.
    fn end_if_left(&mut self) -> Option<Outcome> {
        let nobody = self.gdb.is_none() && self.monitors.is_empty();
        self.end().filter(|_| nobody)
    }

    /// How the run has ended, unless that end has become void: the present is before it (`cut`).
    fn end(&mut self) -> Option<Outcome> {
        let machine = &self.stub.machine;
        self.ended.take_if(|e| !machine.in_past() && machine.count() < e.0);
        self.ended.as_ref().map(|e| e.1.clone())
    }

    fn line(&mut self, id: u32, line: &str) -> Option<Outcome> {
        let done = self.stub.machine.command(&mut self.stub.session, line);
        let Some((_, output)) = self.monitors.iter_mut().find(|m| m.0 == id) else {
            self.stub.session.leave_script();
            return matches!(done, Ok((_, Act::Quit))).then_some(Outcome::Quit);
        };
        match done {
            Ok((text, act)) => {
                output.say(&text);
                match act {
                    Act::Quit => return Some(Outcome::Quit),
                    Act::Move(_) if self.gdb.is_some() && self.running.is_none() => {
                        self.stub.session.leave_script();
                        output.say("gdb holds the machine: continue there, or detach\n");
                    }
                    Act::Move(motion) => {
                        self.running = Some(motion);
                        self.awaited = false;
                        return None;
                    }
                    Act::Wait => self.awaited = self.running.is_some(),
                    Act::Stop if self.running.is_some() => {
                        self.stand();
                        let stopped = self.stub.machine.stopped_by_hand();
                        self.tell(&stopped);
                        return None;
                    }
                    Act::Stop | Act::None => {}
                }
            }
            Err(e) => {
                self.stub.session.leave_script();
                output.say(&format!("{e}\n"));
            }
        }
        if self.running.is_none() {
            output.prompt();
        }
        None
    }
}
