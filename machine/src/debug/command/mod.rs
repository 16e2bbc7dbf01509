//! The monitor: the debugger's commands as text, for `--monitor`, for gdb's `monitor ...`, for scripts.

mod examine;
mod points;
mod show;
mod tables;
mod wait;

pub(super) use show::{general, system as system_text};
pub(super) use tables::{descriptor_text, gate_text};

use super::disasm::Flow;
use super::{Motion, Stopped, Why};
use crate::Machine;
use crate::outcome::View;
use lucid86_cpu::fault::vector;
use lucid86_cpu::watch::{By, Event, Hit};
use std::collections::VecDeque;
use std::fmt::Write;
use std::io::Read;

/// What a session remembers between commands.
#[derive(Clone, Debug)]
pub struct Session {
    /// The processor that commands are about.
    pub cpu: usize,
    /// gdb's `$rip` is the offset in CS, not the linear address.
    pub pc_offset: bool,
    /// gdb's memory accesses are physical.
    pub physical: bool,
    /// Where `x` and `disassemble` go on.
    next: u64,
    /// The last stop, in words.
    last: String,
    depth: u32,
    /// Lines of scripts that the command in hand has carried out.
    lines: usize,
    /// What of a script is left after a move.
    rest: VecDeque<String>,
}

impl Session {
    /// The next line of the script whose move is done.
    pub fn next_line(&mut self) -> Option<String> {
        self.rest.pop_front()
    }

    /// Whether there is such a line.
    pub fn is_in_script(&self) -> bool {
        !self.rest.is_empty()
    }

    /// The rest of the script is not wanted.
    pub fn leave_script(&mut self) {
        self.rest.clear();
    }
}

impl Default for Session {
    fn default() -> Session {
        Session {
            cpu: 0,
            pc_offset: false,
            physical: false,
            next: 0,
            last: "nothing has run yet".into(),
            depth: 0,
            lines: 0,
            rest: VecDeque::new(),
        }
    }
}

/// What is to be done after a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Nothing.
    None,
    /// Move.
    Move(Motion),
    /// Stop the machine, if it runs.
    Stop,
    /// Hear nothing more until it stands.
    Wait,
    /// End the program.
    Quit,
}

/// A command: names (the first is the full one), arguments, what it does.
type Entry = (&'static [&'static str], &'static str, &'static str);

/// Every command, by chapter.
const COMMANDS: &[(&str, &[Entry])] = &[
    ("Stop", points::COMMANDS),
    (
        "Move",
        &[
            (&["continue", "c"], "", "run on"),
            (
                &["stop", "halt"],
                "",
                "stop; drops a script's rest, and the lines that waited for the move it stops",
            ),
            (&["wait"], "", "after continue: the next lines wait until the machine stands"),
            (&["step", "s", "si", "stepi"], "[N]", "N instructions"),
            (&["next", "n", "ni"], "", "one instruction; calls, interrupts and repeats to their end"),
            (&["finish", "out"], "", "until the procedure returns"),
            (&["until"], "branch|call|ret|iret|ADDR", "until the next instruction is such"),
            (&["back", "rs", "rsi"], "[N]", "N instructions back"),
            (&["rcontinue", "rc"], "", "back to the last point met"),
            (&["rfinish"], "", "back to the call of the procedure"),
            (&["goto"], "N | time T | NAME", "to a count of instructions, a time (3s), a checkpoint"),
            (
                &["trouble"],
                "on|off",
                "stop when the guest's kernel panics (Linux) or hangs with interrupts off",
            ),
            (&["checkpoint"], "NAME", "name this moment"),
            (&["checkpoints"], "", "the snapshots kept"),
            (&["cut"], "", "in the past: make this the present; the future is void"),
            (&["quit", "q"], "", "end the program"),
        ],
    ),
    ("Look", examine::COMMANDS),
    ("Processor", show::COMMANDS),
    ("Tables", tables::COMMANDS),
    ("Machine", wait::COMMANDS),
    (
        "Session",
        &[
            (&["help", "?"], "[COMMAND]", "this list, or a command"),
            (&["cpu"], "[N]", "the processor that commands are about"),
            (&["why"], "", "why the machine stopped"),
            (&["pc"], "linear|offset", "what gdb's $rip is while CS has a base"),
            (&["phys"], "on|off", "gdb's memory accesses are physical"),
            (&["source"], "FILE", "commands from a file"),
            (&["hash"], "", "hash of the state, and the count"),
        ],
    ),
];

/// Deepest nesting of scripts.
const SCRIPTS: u32 = 8;
/// Most lines of scripts that may wait for a move, and that one command may carry out.
const MOST_LINES: usize = 100_000;
/// Longest script, and most that one may say between two moves.
const MOST_TEXT: usize = 16 << 20;

/// The full name of a command, which may be given by any of its names or the beginning of one.
fn find(word: &str) -> Result<&'static str, String> {
    let all = || COMMANDS.iter().flat_map(|c| c.1);
    if let Some(e) = all().find(|e| e.0.contains(&word)) {
        return Ok(e.0[0]);
    }
    let near: Vec<&str> = all().map(|e| e.0[0]).filter(|n| n.starts_with(word)).collect();
    match near[..] {
        [one] => Ok(one),
        [] => Err(format!("'{word}' is no command: help lists them")),
        _ => Err(format!("'{word}' could be {}", near.join(", "))),
    }
}

/// Whether a line stops a machine that moves. All others wait for the end of a move that ends by itself.
pub fn is_stop(line: &str) -> bool {
    unfinished(line).is_none() && find(&parts(line).0.to_ascii_lowercase()) == Ok("stop")
}

/// The line before a tab at its end.
fn unfinished(line: &str) -> Option<&str> {
    line.trim_end_matches(['\r', '\n']).strip_suffix('\t')
}

/// A line's command, its format (`x/8xb` and the like) and its arguments.
fn parts(line: &str) -> (&str, &str, &str) {
    let line = line.trim();
    let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let (word, format) = word.split_once('/').unwrap_or((word, ""));
    (word, format, rest.trim())
}

/// Words that a line could go on with.
pub fn complete(machine: &Machine, line: &str) -> Vec<String> {
    let word = line.rsplit(char::is_whitespace).next().unwrap_or_default();
    let start = line.len() - word.len();
    if start == 0 {
        let names = COMMANDS.iter().flat_map(|c| c.1).flat_map(|e| e.0);
        return names.filter(|n| n.len() > 2 && n.starts_with(word)).map(|n| n.to_string()).collect();
    }
    let registers = super::registers::names().into_iter().filter(|n| n.starts_with(word)).map(str::to_string);
    registers.chain(machine.debug.symbols.starting_with(word, 100).into_iter().map(str::to_string)).collect()
}

fn help(word: &str) -> Result<String, String> {
    let line = |e: &Entry| {
        let names = e.0.join(", ");
        format!("  {:<33} {}\n", format!("{names} {}", e.1), e.2)
    };
    if !word.is_empty() {
        let name = find(word)?;
        let entry = COMMANDS.iter().flat_map(|c| c.1).find(|e| e.0[0] == name);
        return Ok(entry.map_or_else(String::new, line));
    }
    let mut out = String::new();
    for (chapter, list) in COMMANDS {
        let _ = writeln!(out, "{chapter}:");
        list.iter().for_each(|e| out += &line(e));
    }
    out += "\nA line that ends with a tab lists what its last word could be. Commands may be cut short.";
    out += "\nAddresses and values are expressions: registers, symbols, F000:FFF0, byte[rsp+4], 0x10, 10h.\n";
    Ok(out)
}

/// A script's text.
fn script(file: &str) -> Result<String, String> {
    let mut text = String::new();
    let most = MOST_TEXT as u64 + 1;
    let read = std::fs::File::open(file).and_then(|f| f.take(most).read_to_string(&mut text));
    match read {
        Ok(n) if n > MOST_TEXT => Err(format!("{file}: a script has at most {MOST_TEXT} characters")),
        Ok(_) => Ok(text),
        Err(e) => Err(format!("{file}: {e}")),
    }
}

impl Machine {
    /// Carries out a command. Gives what it says, and what is to be done then. Errors are a line.
    pub fn command(&mut self, s: &mut Session, line: &str) -> Result<(String, Act), String> {
        if let Some(begun) = unfinished(line) {
            let words = complete(self, begun.trim_start());
            return Ok((words.join(" ") + "\n", Act::None));
        }
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok((String::new(), Act::None));
        }
        if line.contains(|c: char| c.is_control() && c != '\t') {
            return Err("a command is one line of text".into());
        }
        if line.len() > 4096 {
            return Err("a command has at most 4096 characters".into());
        }
        s.cpu = s.cpu.min(self.cpus.len() - 1);
        let (word, format, rest) = parts(line);
        let name = find(&word.to_ascii_lowercase())?;
        let say = |text: String| Ok((text, Act::None));
        if points::COMMANDS.iter().any(|e| e.0[0] == name) {
            return say(self.point_command(s, name, rest)?);
        }
        if examine::COMMANDS.iter().any(|e| e.0[0] == name) {
            return say(self.examine_command(s, name, format, rest)?);
        }
        if show::COMMANDS.iter().any(|e| e.0[0] == name) {
            return say(self.show_command(s, name, rest)?);
        }
        if tables::COMMANDS.iter().any(|e| e.0[0] == name) {
            return say(self.table_command(s, name, rest)?);
        }
        if wait::COMMANDS.iter().any(|e| e.0[0] == name) {
            return say(self.machine_command(s, name, rest)?);
        }
        match name {
            "help" => say(help(rest)?),
            "why" => say(s.last.clone()),
            "hash" => say(format!("state {:016x} at {}\n", self.state_hash(), self.count())),
            "source" => self.source(s, rest),
            "cpu" => {
                if !rest.is_empty() {
                    let n = self.evaluate(s.cpu, rest)?;
                    s.cpu = usize::try_from(n)
                        .ok()
                        .filter(|n| *n < self.cpus.len())
                        .ok_or_else(|| format!("there are processors 0 to {}", self.cpus.len() - 1))?;
                }
                say(format!("processor {} of {}\n", s.cpu, self.cpus.len()))
            }
            "pc" => {
                s.pc_offset = one_of(rest, &["linear", "offset"])? == 1;
                say(String::new())
            }
            "phys" => {
                s.physical = one_of(rest, &["off", "on"])? == 1;
                say(String::new())
            }
            "trouble" => {
                self.look_out(one_of(rest, &["off", "on"])? == 1);
                say(String::new())
            }
            "checkpoint" => {
                self.checkpoint(rest)?;
                say(format!("{rest} is count {}\n", self.count()))
            }
            "checkpoints" => say(self.list_checkpoints()),
            "cut" => {
                let text = match self.cut_future()? {
                    true => "this is the present now; the future that was known is void\n",
                    false => "this is the present already\n",
                };
                say(text.into())
            }
            _ => self.motion(s, name, rest),
        }
    }

    fn motion(&mut self, s: &Session, name: &str, rest: &str) -> Result<(String, Act), String> {
        let go = |m: Motion| Ok((String::new(), Act::Move(m)));
        let number = |m: &Machine| if rest.is_empty() { Ok(1) } else { m.evaluate(s.cpu, rest) };
        let back = matches!(name, "back" | "rcontinue" | "rfinish" | "goto");
        if back && !self.has_history() {
            return Err("no history is kept: give --history SIZE".into());
        }
        match name {
            "quit" => Ok((String::new(), Act::Quit)),
            "stop" => Ok((String::new(), Act::Stop)),
            "wait" => Ok((String::new(), Act::Wait)),
            "continue" => go(Motion::Continue),
            "step" => go(Motion::Step(s.cpu, number(self)?.max(1))),
            "next" => go(Motion::Over(s.cpu)),
            "finish" => go(Motion::Out(s.cpu)),
            "until" => match rest {
                "branch" => go(Motion::Until(s.cpu, Flow::Branch)),
                "call" => go(Motion::Until(s.cpu, Flow::Call)),
                "ret" => go(Motion::Until(s.cpu, Flow::Return)),
                "iret" => go(Motion::Until(s.cpu, Flow::InterruptReturn)),
                _ => go(Motion::To(self.evaluate(s.cpu, rest)?)),
            },
            "back" => go(Motion::ReverseStep(s.cpu, number(self)?.max(1))),
            "rcontinue" => go(Motion::ReverseContinue),
            "rfinish" => go(Motion::ReverseOut(s.cpu)),
            "goto" => {
                if let Some(t) = rest.strip_prefix("time ") {
                    let t = crate::config::parse_duration_ns(t.trim())
                        .ok_or_else(|| format!("'{}' is no time such as 3s or 250ms", t.trim()))?;
                    return go(Motion::Time(t));
                }
                if let Some(at) = self.checkpoint_named(rest) {
                    return go(Motion::Count(at.count));
                }
                go(Motion::Count(self.evaluate(s.cpu, rest)?))
            }
            other => Err(format!("'{other}' can't be done")),
        }
    }

    fn list_checkpoints(&self) -> String {
        let mut out = String::new();
        for (at, name, bytes) in self.checkpoints() {
            let name = name.unwrap_or_default();
            let _ = writeln!(
                out,
                "{:>14} {:>6}.{:09} s {:>8} KiB {name}",
                at.count,
                at.now_ns / 1_000_000_000,
                at.now_ns % 1_000_000_000,
                bytes >> 10
            );
        }
        out + if self.in_past() { "the machine is in its past\n" } else { "" }
    }

    fn source(&mut self, s: &mut Session, file: &str) -> Result<(String, Act), String> {
        if s.depth >= SCRIPTS {
            return Err("scripts are nested too deeply".into());
        }
        let text = script(file)?;
        if s.depth == 0 {
            s.lines = 0;
        }
        // What an outer script has left comes after this one's rest.
        let outer = if s.depth == 0 { std::mem::take(&mut s.rest) } else { VecDeque::new() };
        s.depth += 1;
        let mut out = String::new();
        let mut act = Act::None;
        let text: Vec<&str> = text.lines().collect();
        let mut lines = text.into_iter().enumerate();
        while let Some((n, line)) = lines.next() {
            s.lines += 1;
            let done = if s.lines > MOST_LINES {
                Err(format!("more than {MOST_LINES} lines without a move"))
            } else if out.len() > MOST_TEXT {
                Err(format!("more than {MOST_TEXT} characters without a move"))
            } else {
                self.command(s, line)
            };
            match done {
                Ok((t, Act::None)) => out += &t,
                Ok((t, a)) => {
                    out += &t;
                    // The rest is for when the move is done. A script within this one has left its own.
                    let left = MOST_LINES.saturating_sub(s.rest.len() + outer.len());
                    if lines.len() > left {
                        s.rest.clear();
                        s.depth -= 1;
                        return Err(format!("{file}: more than {MOST_LINES} lines wait for moves"));
                    }
                    s.rest.extend(lines.map(|l| l.1.to_string()));
                    act = a;
                    break;
                }
                Err(e) => {
                    s.depth -= 1;
                    return Err(format!("{file}, line {}: {e}", n + 1));
                }
            }
        }
        s.depth -= 1;
        s.rest.extend(outer);
        Ok((out, act))
    }

    /// Remembers and describes a stop.
    pub fn describe(&self, s: &mut Session, stopped: &Stopped) -> String {
        s.cpu = stopped.cpu;
        s.next = self.pc(stopped.cpu);
        let mut out = self.reason(stopped);
        for h in &stopped.hits {
            let _ = writeln!(out, "  {}", self.hit_text(h));
        }
        let past = if self.in_past() { ", in the past" } else { "" };
        let t = self.now_ns();
        let _ = writeln!(
            out,
            "processor {}, instruction {}, {}.{:09} s{past}",
            stopped.cpu,
            self.count(),
            t / 1_000_000_000,
            t % 1_000_000_000
        );
        s.last.clone_from(&out);
        let bits = super::disasm::bits(&self.cpus[stopped.cpu]);
        out + &self.disassemble(stopped.cpu, s.next, 1, bits)
    }

    fn reason(&self, stopped: &Stopped) -> String {
        match &stopped.why {
            Why::Points(ids) => {
                let texts = ids.iter().map(|id| {
                    let p = self.debug.points().iter().find(|p| p.id == *id);
                    p.map_or_else(|| format!("point {id}"), |p| format!("point {id}: {}", p.text()))
                });
                texts.collect::<Vec<_>>().join("; ") + "\n"
            }
            Why::Done => String::new(),
            Why::Paused => "stopped by hand\n".into(),
            Why::TripleFault => {
                let report = self.post_mortem(stopped.cpu, "a triple fault").text();
                format!("{report}running on resets the machine\n")
            }
            Why::Ended(o) => format!("the run has ended: {o:?}\n"),
            Why::Beginning => "this is the beginning of what is known\n".into(),
            Why::Present => "this is the present\n".into(),
            Why::Trouble(text) => format!("{text}\n"),
        }
    }

    pub(super) fn hit_text(&self, h: &Hit) -> String {
        let place = |at: u64| self.symbol_text(at).map_or_else(String::new, |s| format!(" ({s})"));
        match *h {
            Hit::Code { linear } => format!("at {linear:#x}{}", place(linear)),
            Hit::Data { at, len, write, by, .. } => {
                let what = if write { "stored to" } else { "loaded from" };
                match by {
                    By::Cpu { rip } => {
                        format!(
                            "{len} bytes {what} {at:#x}{} by the instruction at {rip:#x}{}",
                            place(at),
                            place(rip)
                        )
                    }
                    By::Bus => format!("{len} bytes {what} {at:#x}{} by a bus master (DMA)", place(at)),
                }
            }
            Hit::Event(Event::Vector { vector: v, code, external, rip }) => {
                let kind = if external { "interrupt" } else { "exception or INT" };
                let code = code.map_or_else(String::new, |c| format!(", error code {c:#x}"));
                let cr2 = if v == vector::PF && !external {
                    format!(", CR2 {:#x}", self.cpus[self.progress.turn].cr2)
                } else {
                    String::new()
                };
                format!("{kind} {v:#x}{code}{cr2} came at {rip:#x}{}", place(rip))
            }
            Hit::Event(Event::Port { port, width }) => format!("port {port:#x}, {width} bytes"),
            Hit::Event(Event::Msr { msr, written: Some(v) }) => format!("MSR {msr:#x} written: {v:#x}"),
            Hit::Event(Event::Msr { msr, written: None }) => format!("MSR {msr:#x} read"),
            Hit::Event(Event::Cr { n, value }) => format!("CR{n} written: {value:#x}"),
            Hit::Event(Event::Dr { n, written: Some(v) }) => format!("DR{n} written: {v:#x}"),
            Hit::Event(Event::Dr { n, written: None }) => format!("DR{n} read"),
            Hit::Event(Event::Mode { from, to }) => format!("from {} to {}", from.name(), to.name()),
            Hit::Event(Event::Task { selector }) => format!("switch to the task at selector {selector:#x}"),
        }
    }
}

/// Which of a few words this is.
fn one_of(word: &str, words: &[&str]) -> Result<usize, String> {
    words
        .iter()
        .position(|w| *w == word)
        .ok_or_else(|| format!("'{word}' is not one of: {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::is_stop;

    #[test]
    fn what_stops_is_what_the_command_is_found_by() {
        assert!(["stop", " STOP\r\n", "halt", "stop now", "stop/x", "sto"].into_iter().all(is_stop));
        assert!(!["stop\t", "stop now\t\n", "s", "stopped", "# stop", "", "/"].into_iter().any(is_stop));
    }
}
