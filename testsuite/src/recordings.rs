//! Linux recorded and replayed, saved and loaded, in other processes and from other folders (DESIGN §5). The oracle is the
//! run itself: state hash and count where it ended. What the guest wrote is checked by the guest's checksums and, where
//! there is one, by the host's `e2fsck`.

use crate::guests::fetch::{Arch, Cache};
use crate::guests::list::Scratch;
use crate::guests::net::server::Server;
use crate::guests::net::{Script, linux};
use crate::tally::{Failure, Tally};
use lucid86_machine::config::{ClockKind, Engine};
use lucid86_machine::{Config, HostIo, Input, Machine, Outcome, Until, View};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest run of one machine, by the wall.
const LIMIT: Duration = Duration::from_secs(900);
/// How often a machine is saved and loaded.
const CYCLES: u64 = 100;

/// What is typed at the recorded machine, and how its answer begins. `PORT` is the server's.
const TYPED: &[(&str, &str)] = &[
    ("net-up ne2k-pci", " UP"),
    ("uname -a; ls /proc | sort | md5sum; cat /proc/interrupts", "ttyS0"),
    ("wget -q -O /tmp/big http://10.0.2.2:PORT/big; echo G''OT", "GOT"),
    ("ping -c 3 10.0.2.2", "3 packets received"),
    ("crc32 /tmp/big; date; sleep 1; echo e''nd", "end"),
];

/// `recordings [--required] [--cycles N] [--seed N]`; the hidden words after `--child` are for the processes that it starts.
pub fn command(args: &[String]) -> Result<Tally, String> {
    let (mut required, mut cycles, mut seed) = (false, CYCLES, 1);
    let mut words = args.iter();
    while let Some(a) = words.next() {
        let mut number = || words.next().and_then(|v| v.parse().ok()).ok_or(format!("{a} wants a number"));
        match a.as_str() {
            "--required" => required = true,
            "--cycles" => cycles = number()?,
            "--seed" => seed = number()?,
            "--child" => return child(&args[1..]),
            other => return Err(format!("recordings: '{other}' is no option of it")),
        }
    }
    let guest = Cache::open().and_then(|c| Ok(linux(&c, Arch::Amd64, &[]).map(|_| c)?));
    let cache = match Tally::or_skip(guest, required, 2)? {
        Ok(c) => c,
        Err(skipped) => return Ok(skipped),
    };
    let mut tally = Tally::default();
    let results = [
        ("a recorded boot, typed at and on a network", recorded(&cache)),
        ("saved and loaded under load", saved_and_loaded(&cache, cycles, seed)),
    ];
    for (name, result) in results {
        tally.case(name, true, result.map_err(Failure::Run));
    }
    Ok(tally)
}

/// What a child process does: `replay FILE ENGINE` or `load FILE DISK`. Prints where it ended.
fn child(words: &[String]) -> Result<Tally, String> {
    let cache = Cache::open()?;
    let mut m = match words {
        [what, file, engine] if what == "replay" => {
            let engine = Engine::parse(engine)?;
            machine(Config { engine, replay: Some(PathBuf::from(file)), ..networked(&cache)? })?
        }
        [what, file, disk] if what == "load" => {
            let mut m = machine(with_disk(&cache, Path::new(disk))?)?;
            m.load(&std::fs::read(file).map_err(|e| format!("{file}: {e}"))?).map_err(|e| e.to_string())?;
            m
        }
        _ => return Err("--child replay FILE ENGINE | load FILE DISK".into()),
    };
    println!("{}", finish(&mut m, &mut Io::new())?);
    Ok(Tally { passed: 1, ..Tally::default() })
}

/// Runs this program again, elsewhere; where its machine ended.
fn in_child(words: &[&str], folder: &Path) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command = Command::new(program);
    command.args(["recordings", "--child"]).args(words).current_dir(folder);
    let out = command.output().map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&out.stdout);
    let line = text.lines().find(|l| l.starts_with("state "));
    line.map(str::to_owned).ok_or(format!("{words:?}: {}{text}", String::from_utf8_lossy(&out.stderr)))
}

fn machine(config: Config) -> Result<Machine, String> {
    Machine::new(config).map_err(|e| e.to_string())
}

/// Where typed bytes go.
type Typing = Box<dyn Fn(Input)>;

/// Collects COM1, and types the next line when a prompt comes.
struct Io {
    text: String,
    /// Where what was typed last began.
    since: usize,
    typed: Vec<(String, String)>,
    type_in: Option<Typing>,
    until: Instant,
}

impl Io {
    fn new() -> Io {
        let until = Instant::now() + LIMIT;
        Io { text: String::new(), since: 0, typed: Vec::new(), type_in: None, until }
    }

    fn type_on(&mut self) {
        let Some(to) = &self.type_in else { return };
        let new = &self.text[self.since..];
        let Some(at) = new.rfind("lucid# ") else { return };
        if let Some((line, answer)) = self.typed.first().cloned() {
            if !new[..at].contains(&answer) {
                return;
            }
            for b in line.bytes().chain([b'\n']) {
                to(Input::SerialByte(0, b));
            }
            self.since = self.text.len();
            self.typed.remove(0);
        } else {
            to(Input::Quit);
        }
    }
}

impl HostIo for Io {
    fn serial_out(&mut self, port: usize, bytes: &[u8]) {
        if port == 0 {
            self.text.push_str(&String::from_utf8_lossy(bytes));
            self.type_on();
        }
    }
    fn quit(&mut self) -> bool {
        Instant::now() > self.until
    }
}

/// Runs to the end; the line on where that was.
fn finish(m: &mut Machine, io: &mut Io) -> Result<String, String> {
    match m.run(io) {
        Outcome::Quit if !io.quit() => Ok(format!("state {:016x} at {}", m.state_hash(), m.count())),
        other => {
            let tail: Vec<&str> = io.text.lines().rev().take(6).collect();
            Err(format!(
                "ended with {other:?} after\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            ))
        }
    }
}

fn networked(cache: &Cache) -> Result<Config, String> {
    let c = linux(cache, Arch::Amd64, &["user,host=on,model=ne2k_pci".into()])?;
    Ok(Config { clock: ClockKind::Host, ..c })
}

/// A file in a folder of its own, gone with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Result<Folder, String> {
        let path = std::env::temp_dir().join(format!("lucid86-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Folder(path))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// By the host's clock, typed at live, with a network to a live server; replayed by each engine in another process.
fn recorded(cache: &Cache) -> Result<String, String> {
    let server = Server::start(2 << 20)?;
    let mut m = machine(networked(cache)?)?;
    m.start_log();
    m.plug_in(&(Arc::new(|line: &str| println!("  {line}")) as _)).map_err(|e| e.to_string())?;
    let mut io = Io::new();
    let sender = m.connect();
    io.type_in = Some(Box::new(move |i| drop(sender.send(i))));
    // Each line follows the answer to the one before.
    let mut before = "LUCID86 READY";
    for (line, answer) in TYPED {
        io.typed.push((line.replace("PORT", &server.port.to_string()), before.into()));
        before = answer;
    }
    let end = finish(&mut m, &mut io)?;
    let recording = m.recording();
    let (seconds, packets) = (m.now_ns() / 1_000_000_000, io.text.contains("3 packets received"));
    drop(m);
    if !packets || !io.text.contains("GOT") {
        return Err(format!("the network didn't work:\n{}", io.text));
    }
    let folder = Folder::new("replay")?;
    let file = folder.put("boot.rec", &recording)?;
    for engine in ["translator", "interpreter"] {
        let again = in_child(&["replay", &file.display().to_string(), engine], &folder.0)?;
        if again != end {
            return Err(format!("the {engine} ends with {again}, recorded was {end}"));
        }
    }
    let kib = recording.len() >> 10;
    Ok(format!(
        "{end}, {seconds} s and {kib} KiB recorded; replayed alike by both engines in other processes"
    ))
}

/// A file system made, filled, read back and checked while frames go out.
fn load_script() -> String {
    Script::ready()
        .step("for m in crc32c_generic crc16 mbcache jbd2 ext4; do insmod /lib/$m.ko; done; echo lo''aded", "loaded")
        .step("for m in af_packet 8390 ne2k-pci; do insmod /lib/$m.ko; done; ifconfig eth0 10.0.2.15; echo ca''rd", "card")
        .step("arp -s 10.0.2.2 52:54:00:12:34:57; ping -s 1400 -i 0.02 10.0.2.2 > /dev/null & echo pi''nging", "pinging")
        .step("mke2fs /dev/sda > /dev/null && mount -t ext4 /dev/sda /mnt && echo mou''nted", "mounted")
        .step("cd /mnt; for i in $(seq 12); do seq $i 150000 > f$i; sync; cp f$i g$i; done; sync; echo fil''led", "filled")
        .step("for i in $(seq 12); do seq $i 150000 | cmp - g$i && cmp f$i g$i || echo BAD; done; echo com''pared", "compared")
        .step("md5sum f* g* | md5sum; cat /proc/net/dev | tail -1; cd /; umount /mnt; echo unmou''nted", "unmounted")
        .0
        + "quit\n"
}

fn with_disk(cache: &Cache, disk: &Path) -> Result<Config, String> {
    let mut c = linux(cache, Arch::Amd64, &["none,model=ne2k_pci".into()])?;
    c.memory = 192 << 20;
    c.clock = ClockKind::Virtual;
    c.hd[0] = Some(disk.to_owned());
    c.script_text = Some(load_script());
    Ok(c)
}

/// The file system on a disk, by the host's own checker. False if it has none.
fn checked(disk: &Path) -> Result<bool, String> {
    match Command::new("e2fsck").args(["-f", "-n"]).arg(disk).output() {
        Err(_) => Ok(false),
        Ok(out) if out.status.success() => Ok(true),
        Ok(out) => Err(format!("e2fsck says: {}", String::from_utf8_lossy(&out.stdout))),
    }
}

fn saved_and_loaded(cache: &Cache, cycles: u64, seed: u64) -> Result<String, String> {
    const DISK: usize = 48 << 20;
    let scratch = Scratch::new(cache, "whole", DISK)?;
    let mut m = machine(with_disk(cache, scratch.path())?)?;
    let mut io = Io::new();
    let end = finish(&mut m, &mut io)?;
    if io.text.contains("BAD") {
        return Err("the guest found other bytes than it wrote".into());
    }
    let total = m.count();
    drop(m);
    let fsck = checked(scratch.path())?;
    // Half way through, in another process.
    let scratch = Scratch::new(cache, "half", DISK)?;
    let mut m = machine(with_disk(cache, scratch.path())?)?;
    let until = Until { count: Some(total * 3 / 4), ..Until::default() };
    if let Some(o) = m.run_until(&mut Io::new(), until) {
        return Err(format!("ended half way with {o:?}"));
    }
    let folder = Folder::new("saved")?;
    let file = folder.put("half.state", &m.save().map_err(|e| e.to_string())?)?;
    drop(m);
    let words = ["load", &file.display().to_string(), &scratch.path().display().to_string()];
    let half = in_child(&words, &folder.0)?;
    if half != end {
        return Err(format!("loaded in another process it ends with {half}, whole was {end}"));
    }
    checked(scratch.path())?;
    // Again and again, at random moments.
    let scratch = Scratch::new(cache, "cycles", DISK)?;
    let mut rng = crate::rng::Rng::new(seed);
    let mut moments: Vec<u64> = (0..cycles).map(|_| rng.below(total)).collect();
    moments.sort_unstable();
    let mut m = machine(with_disk(cache, scratch.path())?)?;
    let mut io = Io::new();
    for count in moments {
        let until = Until { count: Some(count), ..Until::default() };
        if let Some(o) = m.run_until(&mut io, until) {
            return Err(format!("ended with {o:?} before {count}"));
        }
        let state = m.save().map_err(|e| e.to_string())?;
        // Its disk is its own until it is gone.
        drop(m);
        m = machine(with_disk(cache, scratch.path())?)?;
        m.load(&state).map_err(|e| e.to_string())?;
    }
    let last = finish(&mut m, &mut io)?;
    if last != end {
        return Err(format!("saved and loaded {cycles} times it ends with {last}, whole was {end}"));
    }
    checked(scratch.path())?;
    let by = if fsck { "e2fsck finds no fault" } else { "no e2fsck here" };
    Ok(format!(
        "{end} whole, in another process from three quarters on, and with {cycles} saves and loads; {by}"
    ))
}
