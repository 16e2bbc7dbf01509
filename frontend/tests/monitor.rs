//! Monitors and gdb's `monitor` on whole runs: what waits for what, whose a script is, what interrupts it.

mod common;

use common::listens::listens_at;
use common::{ECHO, Guest, text, wait};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// Counts a little, then writes 5 to the debug-exit port.
const SHORT: &[u8] = &[
    0xb9, 0x40, 0x42, 0x0f, 0x00, // mov ecx, 1000000
    0xe2, 0xfe, // loop $
    0xb0, 0x05, 0xe6, 0xf4, 0xf4, // mov al, 5; out f4h, al; hlt
];
/// A move that doesn't end by itself.
const LONG: &str = "goto 1000000000000000";

/// The counts at which a paused machine stood, by what its monitor says to lines that all come at once.
fn stops(name: &str, lines: &str) -> (Vec<u64>, String) {
    let g = Guest::new(name, ECHO);
    let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--paused"];
    let mut child = g.command(&args).spawn().expect("the binary starts");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads its input");
    let mut out = child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        out.read_to_string(&mut said).map(|_| said)
    });
    assert_eq!(wait(child), Some(0));
    let said = reader.join().expect("it reads on").expect("text");
    let counts = said.split("instruction ").skip(1).filter_map(|t| t.split(',').next()?.parse().ok());
    (counts.collect(), said)
}

#[test]
fn a_line_waits_for_the_move_before_it() {
    let (counts, said) = stops("lines", "goto 3000000\nstep 5\nregisters\nback 2\nquit\n");
    assert_eq!(counts, [3_000_000, 3_000_005, 3_000_003]);
    assert!(
        said.find("rax").is_some_and(|at| said.find("3000005") < Some(at) && Some(at) < said.find("3000003"))
    );
    // What runs on is waited for when that is asked for.
    let (counts, _) = stops("waits", "at 2000000\nc\nwait\nstep\nquit\n");
    assert_eq!(counts, [2_000_000, 2_000_001]);
}

/// In a segment with a base a branch's offset is not its address.
#[test]
fn branches_are_named_by_where_they_go() {
    let (_, said) = stops("names", "step\nquit\n");
    let line = said.lines().find(|l| l.contains("fe05b  ")).unwrap_or_default();
    assert!(line.contains("jmp") && line.ends_with("; bios.post"), "{said}");
}

#[test]
fn a_script_goes_on_after_its_moves() {
    let dir = std::env::temp_dir();
    let file = |n: u32| dir.join(format!("lucid86-run-script-{}-{n}", std::process::id()));
    let (outer, inner) = (file(1), file(2));
    fs::write(&outer, format!("goto 1000\nsource {}\n# back\nback 3\nnonsense\nstep\n", inner.display()))
        .expect("a temporary file");
    fs::write(&inner, "step\nstep 2\n").expect("a temporary file");
    let (counts, said) = stops("script", &format!("source {}\nstep\nquit\n", outer.display()));
    // A wrong line ends the script, not what comes after it.
    assert_eq!(counts, [1000, 1001, 1003, 1000, 1001]);
    assert!(said.contains("'nonsense' is no command"));
    [outer, inner].into_iter().for_each(|f| _ = fs::remove_file(f));
}

/// A file of commands, removed at the end.
struct Script(PathBuf);

impl Script {
    /// `SELF` in the text is the file's own name.
    fn new(name: &str, text: &str) -> Script {
        let path = std::env::temp_dir().join(format!("lucid86-script-{name}-{}", std::process::id()));
        fs::write(&path, text.replace("SELF", &path.display().to_string())).expect("a temporary file");
        Script(path)
    }

    fn line(&self) -> String {
        format!("source {}", self.0.display())
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A machine with sockets for a monitor and for gdb.
struct Served {
    _guest: Guest,
    child: Option<Child>,
    monitor: TcpStream,
    gdb: String,
}

impl Served {
    fn start(name: &str, args: &[&str]) -> Served {
        let guest = Guest::new(name, ECHO);
        let sockets = ["--gdb", "127.0.0.1:0", "--monitor", "tcp:127.0.0.1:0", "--serial", "none"];
        let mut child = guest
            .command(&[&["--clock", "virtual"], &sockets[..], args].concat())
            .spawn()
            .expect("the binary starts");
        let mut errors = child.stderr.take().expect("piped");
        let (gdb, monitor) = (listens_at(&mut errors), listens_at(&mut errors));
        std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
        let monitor = TcpStream::connect(monitor).expect("it listens");
        Served { _guest: guest, child: Some(child), monitor, gdb }
    }

    fn say(&mut self, line: &str) {
        self.monitor.write_all(format!("{line}\n").as_bytes()).expect("it hears");
    }

    /// Waits until the monitor says this. Gives all it said until then.
    fn hear(&mut self, what: &str) -> String {
        self.monitor.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let mut said = Vec::new();
        while !text(&said).contains(what) {
            let mut byte = [0];
            let n = self.monitor.read(&mut byte);
            assert_eq!(n.ok(), Some(1), "no '{what}' in '{}'", text(&said));
            said.push(byte[0]);
        }
        text(&said)
    }

    fn gdb(&self) -> Gdb {
        let mut gdb = Gdb(TcpStream::connect(&self.gdb).expect("it listens"));
        gdb.say("QStartNoAckMode");
        assert_eq!(gdb.hear(PATIENCE).as_deref(), Some("OK"));
        gdb.0.write_all(b"+").expect("it hears");
        gdb
    }

    /// Whether the program ends with this status.
    #[track_caller]
    fn ends_with(mut self, status: i32) {
        assert_eq!(self.child.take().and_then(wait), Some(status));
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long something that is not to happen is waited for.
const QUIET: Duration = Duration::from_millis(700);

/// The protocol by hand (GDB manual, appendix E).
struct Gdb(TcpStream);

impl Gdb {
    fn say(&mut self, body: &str) {
        let sum = body.bytes().fold(0u8, |s, b| s.wrapping_add(b));
        self.0.write_all(format!("${body}#{sum:02x}").as_bytes()).expect("it hears");
    }

    fn monitor(&mut self, line: &str) {
        let hex: String = line.bytes().map(|b| format!("{b:02x}")).collect();
        self.say(&format!("qRcmd,{hex}"));
    }

    fn ctrl_c(&mut self) {
        self.0.write_all(&[3]).expect("it hears");
    }

    /// The next packet's body, if one comes in time.
    fn hear(&mut self, patience: Duration) -> Option<String> {
        self.0.set_read_timeout(Some(patience)).expect("a time-out");
        let mut said = Vec::new();
        while !said.contains(&b'#') {
            let mut byte = [0];
            if self.0.read(&mut byte).ok()? == 0 {
                return None;
            }
            match said.last() {
                // The character again, so many times (GDB manual, section E.1).
                Some(b'*') => {
                    said.pop();
                    let last = said.last().copied().unwrap_or_default();
                    said.extend((29..byte[0]).map(|_| last));
                }
                _ if byte[0] == b'+' => {}
                _ => said.push(byte[0]),
            }
        }
        self.0.read_exact(&mut [0; 2]).ok()?;
        Some(text(&said).trim_matches(['$', '#']).to_string())
    }

    /// What a command says until its end.
    #[track_caller]
    fn answer(&mut self) -> String {
        let mut said = String::new();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.hear(PATIENCE).expect("an answer").as_str() {
                "OK" => return said,
                output => said += output.strip_prefix('O').expect("a command's output"),
            }
        }
        panic!("it says more and more");
    }
}

/// The text of hexadecimal digits.
fn plain(hex: &str) -> String {
    let byte = |i| u8::from_str_radix(&hex[i..i + 2], 16).expect("digits");
    text(&(0..hex.len()).step_by(2).map(byte).collect::<Vec<_>>())
}

#[test]
fn a_script_answers_whoever_gave_it() {
    let mut served = Served::start("owner", &[]);
    let script = Script::new("owner", "stop\nregisters\nnonsense\nstep\n");
    served.say(&script.line());
    served.say("why\nquit");
    let said = served.hear("'nonsense' is no command");
    assert!(said.contains("stopped by hand") && said.contains("rax"), "{said}");
    let mut rest = String::new();
    served.monitor.read_to_string(&mut rest).expect("text");
    assert!(rest.contains("stopped by hand"), "the step was not made: {rest}");
    served.ends_with(0);
}

#[test]
fn a_refused_move_ends_a_script() {
    let mut served = Served::start("refused", &["--paused"]);
    let _gdb = served.gdb();
    let script = Script::new("refused", "step\ncheckpoint wrong\n");
    served.say(&script.line());
    served.hear("gdb holds the machine");
    served.say("checkpoints\nhash");
    let said = served.hear("state ");
    assert!(!said.contains("wrong"), "{said}");
}

/// What has been said counts, not what is read: nobody is there in between.
#[test]
fn the_end_of_input_does_not_outlive_the_guest() {
    let g = Guest::new("short", SHORT);
    for lines in ["c\nwait\n", "goto 1000000000\n"] {
        let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--paused"];
        let mut child = g.command(&args).spawn().expect("the binary starts");
        child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads its input");
        assert_eq!(wait(child), Some(11), "{lines}");
    }
    // The same where the monitor shares its input with a serial port.
    let args = ["--clock", "virtual", "--serial", "stdio", "--monitor", "stdio"];
    let mut child = g.command(&args).spawn().expect("the binary starts");
    drop(child.stdin.take());
    assert_eq!(wait(child), Some(11));
    assert_eq!(g.run(&["--clock", "virtual"], b"").status.code(), Some(11));
}

#[test]
fn a_cut_makes_the_end_void() {
    let g = Guest::new("cut", SHORT);
    let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--paused"];
    let out = g.run(&args, b"c\nwait\nback 10\ncut\nstep\nregisters\nquit\n");
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("rax"));
    // It comes again.
    assert_eq!(g.run(&args, b"c\nwait\nback 10\ncut\nc\nwait\n").status.code(), Some(11));
}

#[test]
fn a_monitor_that_does_not_listen_is_left() {
    let served = Served::start("deaf", &["--paused"]);
    let mut deaf = served.monitor.try_clone().expect("a socket");
    let address = deaf.peer_addr().expect("a peer");
    deaf.set_write_timeout(Some(PATIENCE)).expect("a time-out");
    let begun = Instant::now();
    while deaf.write_all("registers\n".repeat(1000).as_bytes()).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is heard for ever");
    }
    let mut other = TcpStream::connect(address).expect("it listens still");
    other.write_all(b"quit\n").expect("it hears");
    served.ends_with(0);
}

#[test]
fn stop_ends_an_endless_script() {
    for (n, lines) in
        ["continue\nsource SELF\n", "wait\nsource SELF\n", "step\nsource SELF\n"].iter().enumerate()
    {
        let mut served = Served::start(&format!("endless{n}"), &["--paused"]);
        let script = Script::new(&format!("endless{n}"), lines);
        served.say(&script.line());
        std::thread::sleep(Duration::from_millis(200));
        served.say("stop");
        served.say("quit");
        std::thread::spawn({
            let mut monitor = served.monitor.try_clone().expect("a socket");
            move || std::io::copy(&mut monitor, &mut std::io::sink())
        });
        served.ends_with(0);
    }
}

#[test]
fn scripts_in_scripts_are_bounded() {
    let mut served = Served::start("nested", &["--paused"]);
    let mut inner = Script::new("nested", "why\n");
    let mut all = Vec::new();
    for n in 0..5 {
        let outer = Script::new(&format!("nested{n}"), &format!("{}\n", inner.line()).repeat(50));
        all.push(std::mem::replace(&mut inner, outer));
    }
    served.say(&inner.line());
    served.hear("lines without a move");
    served.say("source /dev/zero");
    served.hear("a script has at most");
}

#[test]
fn stop_takes_back_what_waits_before_it() {
    let (counts, said) = stops("stop", &format!("{LONG}\n{LONG}0\nregisters\nstop\nwhy\nquit\n"));
    assert_eq!(counts.len(), 2, "the stop, and why: {said}");
    assert_eq!(said.matches("stopped by hand").count(), 2, "{said}");
    assert!(!said.contains("rax"), "{said}");
}

#[test]
fn ctrl_c_of_gdb_ends_a_script_of_its_own() {
    let served = Served::start("rcmd", &["--paused"]);
    let mut gdb = served.gdb();
    let scripts = [
        Script::new("rcmd", &format!("{LONG}\n{LONG}0\nregisters\n")),
        Script::new("rcmd-step", "step\nsource SELF\n"),
        Script::new("rcmd-wait", "wait\nsource SELF\n"),
    ];
    for script in &scripts {
        gdb.monitor(&script.line());
        std::thread::sleep(Duration::from_millis(300));
        gdb.ctrl_c();
        let said = plain(&gdb.answer());
        assert!(said.matches("stopped by hand").count() <= 1 && !said.contains("rax"), "{said}");
    }
    // It has been obeyed: what comes next is not interrupted.
    gdb.say("vCont;c");
    assert_eq!(gdb.hear(QUIET), None);
    gdb.ctrl_c();
    assert!(gdb.hear(PATIENCE).is_some_and(|s| s.starts_with("T02")));
    // A script ends with the program.
    let script = Script::new("rcmd-quit", "step\nquit\nstep\n");
    gdb.monitor(&script.line());
    served.ends_with(0);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_script_of_gdbs() {
    let served = Served::start("signal", &["--paused"]);
    let mut gdb = served.gdb();
    let script = Script::new("signal", "wait\nsource SELF\n");
    gdb.monitor(&script.line());
    std::thread::sleep(Duration::from_millis(300));
    let kill = std::process::Command::new("kill")
        .args(["-TERM", &served.child.as_ref().map_or(0, Child::id).to_string()])
        .status();
    assert!(kill.expect("kill is there").success());
    served.ends_with(128 + 15);
}

#[test]
fn an_interrupt_is_told_once() {
    let mut served = Served::start("once", &["--paused"]);
    let mut gdb = served.gdb();
    gdb.say("vCont;c");
    served.say("wait");
    std::thread::sleep(Duration::from_millis(300));
    gdb.ctrl_c();
    assert!(gdb.hear(PATIENCE).is_some_and(|s| s.starts_with("T02")));
    gdb.say("vCont;c");
    assert_eq!(gdb.hear(QUIET), None);
    gdb.ctrl_c();
    assert!(gdb.hear(PATIENCE).is_some_and(|s| s.starts_with("T02")));
}

/// Lines that nobody can take yet stay with whoever sends them.
#[test]
fn what_waits_is_bounded() {
    let g = Guest::new("flood", ECHO);
    let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--gdb", "127.0.0.1:0"];
    let mut child = g.command(&args).spawn().expect("the binary starts");
    let at = listens_at(child.stderr.as_mut().expect("piped"));
    let mut input = child.stdin.take().expect("piped");
    let mut out = child.stdout.take().expect("piped");
    std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
    let (tell, sent) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = input.write_all(format!("stop\n{LONG}\n").as_bytes());
        let lines = "registers\n".repeat(10_000);
        while input.write_all(lines.as_bytes()).is_ok() && tell.send(lines.len()).is_ok() {}
    });
    let mut all = 0;
    while let Ok(n) = sent.recv_timeout(QUIET) {
        all += n;
        assert!(all < 50_000_000, "it takes more and more");
    }
    // gdb gets through all the same, and holds the machine.
    let mut gdb = Gdb(TcpStream::connect(at).expect("it listens"));
    gdb.say("?");
    assert!(gdb.hear(PATIENCE).is_some_and(|s| s.starts_with('T')));
    let _ = child.kill();
    let _ = child.wait();
}

/// Packets that nobody fetches the answers of.
#[test]
fn a_gdb_that_does_not_listen_is_left() {
    let mut served = Served::start("deaf-gdb", &["--paused"]);
    let deaf = served.gdb();
    let mut flood = deaf.0.try_clone().expect("a socket");
    let sent = std::thread::spawn(move || while flood.write_all(&b"$m0,1000#8a".repeat(100)).is_ok() {});
    served.hear("(lucid86) ");
    let begun = Instant::now();
    while !sent.is_finished() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it is answered for ever");
        std::thread::sleep(QUIET);
    }
    // Another is served.
    let mut gdb = served.gdb();
    gdb.say("?");
    assert!(gdb.hear(PATIENCE).is_some_and(|s| s.starts_with('T')));
    served.say("quit");
    served.ends_with(0);
}

#[test]
fn monitors_hear_that_gdb_stops_the_machine() {
    let mut served = Served::start("heard", &["--paused"]);
    let mut gdb = served.gdb();
    served.hear("(lucid86) ");
    gdb.say("vCont;c");
    assert_eq!(gdb.hear(QUIET), None);
    gdb.ctrl_c();
    assert!(gdb.hear(PATIENCE).is_some_and(|s| s.starts_with("T02")));
    served.hear("stopped by hand");
    // It detaches and comes back, and the machine, which a monitor had run on, stands.
    gdb.say("D");
    assert_eq!(gdb.hear(PATIENCE).as_deref(), Some("OK"));
    drop(gdb);
    served.say("continue");
    served.say("registers");
    served.hear("rax");
    let _gdb = served.gdb();
    served.hear("stopped by hand");
    served.say("quit");
    served.ends_with(0);
}

/// Nobody can come by a socket: the end of the input leaves the machine to itself.
#[test]
fn a_machine_that_nobody_holds_runs_on() {
    let g = Guest::new("left", SHORT);
    for lines in ["", "step\n", "at 100100\nc\nwait\n"] {
        let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--paused"];
        let mut child = g.command(&args).spawn().expect("the binary starts");
        child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads its input");
        assert_eq!(wait(child), Some(11), "{lines}");
    }
}

/// A terminal's other end.
#[cfg(unix)]
struct Terminal {
    keys: fs::File,
    screen: std::sync::mpsc::Receiver<u8>,
    near: fs::File,
}

#[cfg(unix)]
impl Terminal {
    fn open() -> Terminal {
        use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
        let far = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudoterminal");
        grantpt(&far).and_then(|()| unlockpt(&far)).expect("a pseudoterminal");
        let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&far, size).expect("a size");
        let name = ptsname(&far, Vec::new()).expect("a name").into_string().expect("text");
        let near = fs::File::options().read(true).write(true).open(name).expect("it opens");
        let keys = fs::File::from(far);
        let mut from = keys.try_clone().expect("a handle");
        let (tell, screen) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let mut byte = [0];
            while from.read(&mut byte).is_ok_and(|n| n == 1) && tell.send(byte[0]).is_ok() {}
        });
        Terminal { keys, screen, near }
    }

    fn stdio(&self) -> std::process::Stdio {
        self.near.try_clone().expect("a handle").into()
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it hears");
    }

    /// Waits until this is on the screen. Gives all that came until then.
    #[track_caller]
    fn hear(&self, what: &str) -> String {
        let mut said = Vec::new();
        while !text(&said).contains(what) {
            let byte = self.screen.recv_timeout(PATIENCE);
            said.push(byte.unwrap_or_else(|_| panic!("no '{what}' in '{}'", text(&said))));
        }
        text(&said)
    }
}

#[cfg(unix)]
#[test]
fn a_line_is_edited_at_a_terminal() {
    use rustix::termios::{LocalModes, tcgetattr};
    let g = Guest::new("terminal", ECHO);
    let mut t = Terminal::open();
    let before = tcgetattr(&t.near).expect("a terminal").local_modes;
    let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--paused"];
    let mut command = g.command(&args);
    command.env("TERM", "xterm").stdin(t.stdio()).stdout(t.stdio()).stderr(t.stdio());
    let child = command.spawn().expect("the binary starts");
    t.hear("(lucid86) ");
    // A word is completed.
    t.press("regi\t");
    t.hear("registers");
    t.press("\r");
    t.hear("rax");
    t.hear("(lucid86) ");
    // A letter that was forgotten.
    t.press("stp\x1b[De\r");
    t.hear("instruction 1,");
    // The line before.
    t.press("\x1b[A\r");
    t.hear("instruction 2,");
    t.hear("(lucid86) ");
    t.press(&format!("{LONG}\r"));
    std::thread::sleep(Duration::from_millis(300));
    t.press("\x03");
    t.hear("stopped by hand");
    t.hear("(lucid86) ");
    let raw = tcgetattr(&t.near).expect("a terminal").local_modes;
    assert!(!raw.intersects(LocalModes::ICANON | LocalModes::ECHO));
    t.press("quit\r");
    assert_eq!(wait(child), Some(0));
    assert_eq!(tcgetattr(&t.near).expect("a terminal").local_modes, before);
}
