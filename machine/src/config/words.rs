//! The list of words, and what each does to a [`Config`].

use super::net::NetSpec;
use super::value::*;
use super::{Config, ConfigError, MAX_CPUS, MAX_MEMORY, MIN_MEMORY};

/// What follows a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WordKind {
    /// Nothing.
    Flag,
    /// One value.
    Value,
    /// One value, possibly empty.
    Text,
    /// One value; in a machine file a number may stand without quotes.
    Number,
    /// One value, repeatable; a list in a machine file.
    List,
}

/// One word of the command line and of machine files.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// As written, without dashes.
    pub name: &'static str,
    /// What follows it.
    pub kind: WordKind,
    /// The value's shape, for `--help` and messages.
    pub shape: &'static str,
    /// One line of help.
    pub help: &'static str,
}

impl Word {
    /// What the word wants, for messages.
    pub fn expects(&self) -> String {
        match self.kind {
            WordKind::Flag => "true or false".into(),
            WordKind::List => format!("{} (or a list of them)", self.shape),
            _ => self.shape.into(),
        }
    }
}

const fn w(name: &'static str, kind: WordKind, shape: &'static str, help: &'static str) -> Word {
    Word { name, kind, shape, help }
}

/// Every word of this version, in the order of `--help`.
pub const WORDS: &[Word] = {
    use WordKind::*;
    &[
        w("memory", Number, "SIZE such as 512M or 2G", "size of RAM (default 512M)"),
        w("cpus", Number, "N", "number of processors (default 1)"),
        w("cpu", Value, "MODEL", "processor model (default x86-64-v2; 'help' lists them)"),
        w("engine", Value, "auto|interpreter|translator", "how instructions are run (default auto)"),
        w("code-memory", Number, "SIZE from 1M to 1G", "room for translated code (default 64M)"),
        w("clock", Value, "host|virtual", "virtual: 1 ns an instruction, every run the same (default host)"),
        w("tick-slack", Value, "TIME up to 1s|off", "how late an idle guest's tick may come (default 50ms)"),
        w("rtc", Value, "utc|local|DATE", "the calendar at power-on; DATE as 2024-01-31T12:00:00"),
        w("seed", Number, "N", "seed of everything random"),
        w("hda", Value, "FILE", "first hard disk"),
        w("hdb", Value, "FILE", "second hard disk"),
        w("hdc", Value, "FILE", "third hard disk"),
        w("hdd", Value, "FILE", "fourth hard disk"),
        w("cdrom", Value, "FILE", "CD in the drive at hdc"),
        w("fda", Value, "FILE", "first floppy"),
        w("fdb", Value, "FILE", "second floppy"),
        w(
            "drive",
            List,
            "file=F[,if=ide|floppy][,media=disk|cdrom][,format=raw|qcow2|vmdk][,readonly=on]",
            "any drive, in words",
        ),
        w("boot", Value, "a|c|d|n (order, e.g. dc)", "boot from floppy, disk, CD, network"),
        w("boot-menu", Flag, "", "let the user choose what to boot"),
        w("discard-writes", Flag, "", "keep images as they are; writes last as long as the run"),
        w("bios", Value, "FILE", "another BIOS"),
        w("vga-bios", Value, "FILE", "another video BIOS"),
        w("kernel", Value, "FILE", "start a kernel directly: bzImage, multiboot or ELF"),
        w("initrd", Value, "FILE", "its initial RAM disk (multiboot: modules, separated by commas)"),
        w("append", Text, "TEXT", "its command line"),
        w("serial", List, "stdio|file:F|tcp:HOST:PORT|pty|none", "COM1, COM2, ... (repeatable)"),
        w("debugcon", Value, "stdio|file:F", "debug console at port E9h"),
        w(
            "net",
            List,
            "user|socket|tap|none[,WORDS]",
            "a network card and what its cable leads to (repeatable)",
        ),
        w("net-dump", Value, "FILE.pcapng", "record all frames there, as Wireshark reads it"),
        w("display", Value, "window|terminal|none", "where the screen is shown"),
        w("screenshot", Value, "FILE.png", "write the screen there when the run ends"),
        w("script", Value, "FILE", "wait, type, press keys, quit: a line each, in virtual time"),
        w("save", Value, "FILE", "save the state there on exit"),
        w("load", Value, "FILE", "start from a saved state"),
        w("gdb", Value, "HOST:PORT", "serve gdb there"),
        w("paused", Flag, "", "wait for gdb or the monitor before the first instruction"),
        w("monitor", Value, "stdio|tcp:HOST:PORT", "the debugger's commands as text"),
        w("history", Value, "SIZE|off", "memory for going back in time (default 1G under gdb and monitor)"),
        w("record", Value, "FILE", "write what comes from outside there, to replay the run"),
        w("replay", Value, "FILE", "take what comes from outside from a recording"),
        w(
            "post-mortem",
            Value,
            "FILE",
            "why the guest died, panics or hangs, as JSON if it ends in .json (keeps a history)",
        ),
        w("log", Value, "exceptions,interrupts,resets,unmapped,chips[:FILE]", "what to log"),
        w("statistics", Flag, "", "print figures of the run at its end"),
        w("list-blocks", Value, "N", "list the N hottest translated blocks with the statistics"),
        w("no-reboot", Flag, "", "end on reset"),
        w("no-debug-exit", Flag, "", "no isa-debug-exit at port F4h"),
        w("stop-after", Value, "TIME|INSTRUCTIONSi (10s, 500ms, 5000000i)", "end after so much guest time"),
        w("print-state-hash", Flag, "", "print the hash of all guest-visible state at the end"),
    ]
};

/// Words of the contract whose parts are not built yet.
const LATER: &[&str] = &["control"];

/// The word called `name`, or a line that helps.
pub(super) fn find(name: &str) -> Result<&'static Word, ConfigError> {
    if let Some(w) = WORDS.iter().find(|w| w.name == name) {
        return Ok(w);
    }
    if LATER.contains(&name) {
        return Err(ConfigError(format!("{name}: not in this version")));
    }
    let near = WORDS.iter().map(|w| (distance(name, w.name), w.name)).min();
    Err(ConfigError(match near {
        Some((d, w)) if d <= 2 && name.len() > d + 1 => format!("unknown word '{name}': did you mean '{w}'?"),
        _ => format!("unknown word '{name}': --help lists the words"),
    }))
}

/// Edit distance (Levenshtein), for suggestions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

pub(super) fn set_flag(c: &mut Config, name: &str) {
    match name {
        "boot-menu" => c.boot_menu = true,
        "discard-writes" => c.discard_writes = true,
        "statistics" => c.statistics = true,
        "no-reboot" => c.no_reboot = true,
        "paused" => c.paused = true,
        "no-debug-exit" => c.no_debug_exit = true,
        "print-state-hash" => c.print_state_hash = true,
        other => unreachable!("flag {other} is in the list of words"),
    }
}

/// Errors are without the word's name; the caller puts it in front.
pub(super) fn set_value(c: &mut Config, name: &str, v: &str) -> Result<(), String> {
    match name {
        "memory" => c.memory = memory(v)?,
        "cpus" => c.cpus = cpus(v)?,
        "cpu" => c.cpu = v.into(),
        "engine" => c.engine = Engine::parse(v)?,
        "code-memory" => c.code_memory = code_memory(v)?,
        "list-blocks" => {
            c.list_blocks = v.parse().map_err(|_| format!("'{v}' is not a number"))?;
            c.statistics = true;
        }
        "clock" => c.clock = ClockKind::parse(v)?,
        "tick-slack" => c.tick_slack_ns = tick_slack(v)?,
        "rtc" => c.rtc = Some(RtcStart::parse(v)?),
        "seed" => c.seed = Some(number(v)?),
        "hda" => c.hd[0] = Some(v.into()),
        "hdb" => c.hd[1] = Some(v.into()),
        "hdc" => c.hd[2] = Some(v.into()),
        "hdd" => c.hd[3] = Some(v.into()),
        "cdrom" => c.cdrom = Some(v.into()),
        "fda" => c.fd[0] = Some(v.into()),
        "fdb" => c.fd[1] = Some(v.into()),
        "drive" => c.drive.push(Drive::parse(v)?),
        "boot" => c.boot = boot_order(v)?,
        "bios" => c.bios = Some(v.into()),
        "vga-bios" => c.vga_bios = Some(v.into()),
        "kernel" => c.kernel = Some(v.into()),
        "initrd" => c.initrd = Some(v.into()),
        "append" => c.append = Some(v.into()),
        "serial" => c.serial.push(SerialTo::parse(v)?),
        "debugcon" => c.debugcon = Some(debugcon(v)?),
        "net" => c.net.push(NetSpec::parse(v)?),
        "net-dump" => c.net_dump = Some(v.into()),
        "display" => c.display = Some(Display::parse(v)?),
        "screenshot" => c.screenshot = Some(v.into()),
        "script" => c.script = Some(v.into()),
        "save" => c.save = Some(v.into()),
        "load" => c.load = Some(v.into()),
        "gdb" => c.gdb = Some(address(v)?),
        "monitor" => c.monitor = Some(monitor(v)?),
        "history" => c.history = Some(if v == "off" { 0 } else { parse_size(v)? }),
        "record" => c.record = Some(v.into()),
        "replay" => c.replay = Some(v.into()),
        "post-mortem" => c.post_mortem = Some(v.into()),
        "log" => c.log = LogSpec::parse(v)?,
        "stop-after" => c.stop_after = Some(StopAfter::parse(v)?),
        other => unreachable!("word {other} is in the list of words"),
    }
    Ok(())
}

fn tick_slack(v: &str) -> Result<u64, String> {
    match parse_duration_ns(v) {
        _ if v == "off" => Ok(0),
        Some(ns) if ns <= 1_000_000_000 => Ok(ns),
        Some(_) => Err(format!("'{v}' is more than 1s")),
        None => Err(format!("'{v}' is not a time such as 50ms, or off")),
    }
}

fn code_memory(v: &str) -> Result<u64, String> {
    let bytes = parse_size(v)?;
    if (1 << 20..=1 << 30).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(format!("{} is not between 1M and 1G", format_size(bytes)))
    }
}

fn memory(v: &str) -> Result<u64, String> {
    let bytes = parse_size(v)?;
    if !(MIN_MEMORY..=MAX_MEMORY).contains(&bytes) {
        return Err(range_text(v));
    }
    if bytes % (64 << 10) != 0 {
        return Err(format!("'{v}' is not a multiple of 64K"));
    }
    Ok(bytes)
}

fn range_text(v: &str) -> String {
    format!("'{v}' is out of range: {} to {}", format_size(MIN_MEMORY), format_size(MAX_MEMORY))
}

pub(super) fn memory_range(bytes: u64) -> ConfigError {
    ConfigError(format!("memory: {}", range_text(&format_size(bytes))))
}

fn cpus(v: &str) -> Result<usize, String> {
    match v.parse() {
        Ok(n @ 1..=MAX_CPUS) => Ok(n),
        _ => Err(format!("'{v}' is out of range: 1 to {MAX_CPUS}")),
    }
}

fn number(v: &str) -> Result<u64, String> {
    let parsed = match v.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => v.parse(),
    };
    parsed.map_err(|_| format!("'{v}' is not a number from 0 to {}", u64::MAX))
}

fn boot_order(v: &str) -> Result<String, String> {
    for (i, c) in v.char_indices() {
        match c {
            'a' | 'c' | 'd' | 'n' if !v[..i].contains(c) => {}
            'a' | 'c' | 'd' | 'n' => return Err(format!("'{c}' stands twice in '{v}'")),
            _ => {
                return Err(format!(
                    "'{v}' is not an order: use a (floppy), c (disk), d (CD), n (network), e.g. dc"
                ));
            }
        }
    }
    Ok(v.into())
}

/// HOST:PORT; a port alone (:1234) means this host.
fn address(v: &str) -> Result<String, String> {
    let v = if v.starts_with(':') { format!("localhost{v}") } else { v.to_string() };
    match v.rsplit_once(':') {
        Some((h, p)) if !h.is_empty() && p.parse::<u16>().is_ok() => Ok(v),
        _ => Err(format!("'{v}' is not HOST:PORT, such as localhost:1234")),
    }
}

fn monitor(v: &str) -> Result<MonitorTo, String> {
    match SerialTo::parse(v) {
        Ok(s @ (SerialTo::Stdio | SerialTo::Tcp(_))) => Ok(s),
        _ => Err(format!("'{v}' is not one of: stdio, tcp:HOST:PORT")),
    }
}

fn debugcon(v: &str) -> Result<SerialTo, String> {
    match SerialTo::parse(v) {
        Ok(s @ (SerialTo::Stdio | SerialTo::File(_) | SerialTo::None)) => Ok(s),
        _ => Err(format!("'{v}' is not one of: stdio, file:F")),
    }
}
