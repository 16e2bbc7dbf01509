//! Whole runs of small guests by the program as a user starts it: serial ports, signals, exit statuses, files at the end.
//! The guests are multiboot kernels of a few bytes.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Sets COM1 to 115,200 bit/s, 8 bits, and echoes until `q`, then writes 5 to the debug-exit port.
const ECHO: &[u8] = &[
    0x66, 0xba, 0xfb, 0x03, // mov dx, 3fbh
    0xb0, 0x83, 0xee, // mov al, 83h; out dx, al: divisor latch
    0x66, 0xba, 0xf8, 0x03, // mov dx, 3f8h
    0xb0, 0x01, 0xee, // mov al, 1; out dx, al
    0x66, 0xba, 0xfb, 0x03, // mov dx, 3fbh
    0xb0, 0x03, 0xee, // mov al, 3; out dx, al: 8 bits, no parity
    0x66, 0xba, 0xfd, 0x03, // next: mov dx, 3fdh
    0xec, // in al, dx
    0xa8, 0x01, // test al, 1
    0x74, 0xf7, // jz next
    0x66, 0xba, 0xf8, 0x03, // mov dx, 3f8h
    0xec, // in al, dx
    0xee, // out dx, al
    0x3c, 0x71, // cmp al, 'q'
    0x75, 0xed, // jne next
    0xb0, 0x05, // mov al, 5
    0xe6, 0xf4, // out f4h, al
    0xf4, // hlt
];
/// Says D on the debug console, then stops for good.
const DEBUG_THEN_HALT: &[u8] = &[0xb0, b'D', 0xe6, 0xe9, 0xfa, 0xf4, 0xeb, 0xfd];
/// Loads an empty IDT and raises a breakpoint: a triple fault.
const TRIPLE: &[u8] = &[
    0x6a, 0x00, 0x6a, 0x00, // push 0; push 0
    0x0f, 0x01, 0x1c, 0x24, // lidt [esp]
    0xcc, // int3
];
/// Pulses the reset line of the keyboard controller.
const RESET: &[u8] = &[0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd];

/// Writes sector after sector to the first disk by WRITE SECTORS, each filled with its own number in double words; after
/// sector 8 it gives FLUSH CACHE (ATA/ATAPI-6 8.12), waits for its end and says F on the debug console; it never ends.
const WRITER: &[u8] = &[
    0xbb, 0x01, 0x00, 0x00, 0x00, // mov ebx, 1
    0xbf, 0x00, 0x00, 0x30, 0x00, // next: mov edi, 300000h
    0x89, 0xd8, // mov eax, ebx
    0xb9, 0x80, 0x00, 0x00, 0x00, // mov ecx, 128
    0xf3, 0xab, // rep stosd
    0x66, 0xba, 0xf7, 0x01, // mov dx, 1f7h
    0xec, 0xa8, 0x80, 0x75, 0xfb, // in al, dx; test al, 80h; jnz back: BSY
    0x66, 0xba, 0xf6, 0x01, // mov dx, 1f6h
    0xb0, 0xe0, 0xee, // mov al, e0h; out dx, al: device 0, LBA
    0x66, 0xba, 0xf2, 0x01, // mov dx, 1f2h
    0xb0, 0x01, 0xee, // mov al, 1; out dx, al: one sector
    0x42, 0x88, 0xd8, 0xee, // inc edx; mov al, bl; out dx, al
    0x42, 0x88, 0xf8, 0xee, // inc edx; mov al, bh; out dx, al
    0x42, 0x30, 0xc0, 0xee, // inc edx; xor al, al; out dx, al
    0x66, 0xba, 0xf7, 0x01, // mov dx, 1f7h
    0xb0, 0x30, 0xee, // mov al, 30h; out dx, al: WRITE SECTORS
    0xec, 0x24, 0x88, 0x3c, 0x08, // in al, dx; and al, 88h; cmp al, 8: DRQ without BSY
    0x75, 0xf9, // jne back
    0x66, 0xba, 0xf0, 0x01, // mov dx, 1f0h
    0xbe, 0x00, 0x00, 0x30, 0x00, // mov esi, 300000h
    0xb9, 0x00, 0x01, 0x00, 0x00, // mov ecx, 256
    0xf3, 0x66, 0x6f, // rep outsw
    0x66, 0xba, 0xf7, 0x01, // mov dx, 1f7h
    0xec, 0xa8, 0x80, 0x75, 0xfb, // in al, dx; test al, 80h; jnz back
    0x80, 0xfb, 0x08, 0x75, 0x0c, // cmp bl, 8; jne over
    0xb0, 0xe7, 0xee, // mov al, e7h; out dx, al: FLUSH CACHE
    0xec, 0xa8, 0x80, 0x75, 0xfb, // in al, dx; test al, 80h; jnz back
    0xb0, 0x46, 0xe6, 0xe9, // mov al, 'F'; out e9h, al
    0x43, 0x81, 0xe3, 0xff, 0x07, 0x00, 0x00, // over: inc ebx; and ebx, 7ffh
    0x75, 0x8d, // jnz next
    0x43, 0xeb, 0x8a, // inc ebx; jmp next
];
/// Compares memory with itself, 4 G iterations at a time, for ever and with interrupts off.
const ENDLESS_REP: &[u8] = &[
    0xfa, // cli
    0xbe, 0x00, 0x00, 0x40, 0x00, // again: mov esi, 400000h
    0xbf, 0x00, 0x00, 0x40, 0x00, // mov edi, 400000h
    0x31, 0xc9, 0x49, // xor ecx, ecx; dec ecx
    0xf3, 0xa6, // repe cmpsb
    0xeb, 0xef, // jmp again
];

/// A multiboot kernel in a file of its own, removed at the end.
struct Guest(PathBuf);

impl Guest {
    fn new(name: &str, code: &[u8]) -> Guest {
        let (magic, flags, load) = (0x1bad_b002u32, 0x1_0000u32, 0x10_0000u32);
        let check = magic.wrapping_add(flags).wrapping_neg();
        let stack = [0xbc, 0x00, 0x00, 0x20, 0x00]; // mov esp, 200000h
        let mut file: Vec<u8> =
            [magic, flags, check, load, load, 0, 0, load + 32].iter().flat_map(|w| w.to_le_bytes()).collect();
        file.extend(stack.iter().chain(code));
        file.resize(512, 0xf4);
        let path = std::env::temp_dir().join(format!("lucid86-run-{name}-{}", std::process::id()));
        fs::write(&path, file).expect("a temporary file can be written");
        Guest(path)
    }

    fn beside(&self, extension: &str) -> PathBuf {
        self.0.with_extension(extension)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lucid86"));
        command.args(["--display", "none", "--memory", "8M", "--kernel"]).arg(&self.0).args(args);
        command.env_remove("DISPLAY").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).spawn().expect("the binary starts");
        child.stdin.take().expect("piped").write_all(input).expect("it reads its input");
        child.wait_with_output().expect("it ends")
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        for path in [self.0.clone(), self.beside("png"), self.beside("out"), self.beside("sav")] {
            let _ = fs::remove_file(path);
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn serial_port_on_pipes() {
    let g = Guest::new("echo", ECHO);
    let out = g.run(&["--serial", "stdio"], b"hello\r\n\x00\xffq");
    assert_eq!(out.stdout, b"hello\r\n\x00\xffq");
    assert_eq!((out.status.code(), text(&out.stderr)), (Some(11), String::new()));
    // Ctrl-A a is Ctrl-A; Ctrl-A x ends.
    assert_eq!(g.run(&["--serial", "stdio"], b"\x01aq").stdout, b"\x01q");
    assert_eq!(g.run(&["--serial", "stdio"], b"\x01x").status.code(), Some(0));
}

#[test]
fn a_recording_of_a_killed_run_replays_to_where_it_stops() {
    let g = Guest::new("killed", ECHO);
    let file = g.beside("sav");
    let name = file.to_str().expect("a name");
    let mut child = g.command(&["--serial", "stdio", "--record", name]).spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"ab").expect("it reads its input");
    let mut seen = [0; 2];
    child.stdout.take().expect("piped").read_exact(&mut seen).expect("it echoes");
    // A piece is written each second.
    let (begin, len) = (Instant::now(), || fs::metadata(&file).map_or(0, |m| m.len()));
    let head = len();
    while len() < head + 20 && begin.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let out = g.run(&["--serial", "stdio", "--replay", name], b"");
    assert_eq!((out.status.code(), out.stdout), (Some(0), b"ab".to_vec()), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("was cut short: known up to instruction"), "{}", text(&out.stderr));
    fs::write(&file, b"Lucid86 recording\x01\0\0\0").expect("it can be written");
    let out = g.run(&["--replay", name], b"");
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("recording of another version"), "{}", text(&out.stderr));
}

#[test]
fn the_end_of_input_is_not_the_end() {
    let g = Guest::new("eof", ECHO);
    let out = g.run(&["--serial", "stdio", "--clock", "virtual", "--stop-after", "20ms"], b"ab");
    assert_eq!((out.status.code(), out.stdout), (Some(4), b"ab".to_vec()), "{}", text(&out.stderr));
}

#[test]
fn outputs_to_files() {
    let g = Guest::new("files", DEBUG_THEN_HALT);
    let (file, picture) = (g.beside("out"), g.beside("png"));
    let to = format!("file:{}", file.display());
    let out = g.run(&["--debugcon", &to, "--screenshot", &picture.display().to_string()], b"");
    assert_eq!(out.status.code(), Some(4), "{}", text(&out.stderr));
    assert_eq!(fs::read(&file).expect("it was written"), b"D");
    assert_eq!(&fs::read(&picture).expect("it was written")[..8], b"\x89PNG\r\n\x1a\n");
    let out = g.run(&["--debugcon", "stdio"], b"");
    assert_eq!(out.stdout, b"D");
}

#[test]
fn exit_statuses_of_the_contract() {
    let g = Guest::new("triple", TRIPLE);
    let out = g.run(&["--no-reboot"], b"");
    assert_eq!(out.status.code(), Some(6), "{}", text(&out.stderr));
    assert!(!out.stderr.is_empty(), "a triple fault is reported");
    let g = Guest::new("reset", RESET);
    let out = g.run(&["--no-reboot"], b"");
    assert_eq!(out.status.code(), Some(0), "{}", text(&out.stderr));
}

#[test]
fn the_state_hash_is_printed_and_reproducible() {
    let g = Guest::new("hash", ECHO);
    let run = || {
        let args = ["--clock", "virtual", "--stop-after", "100000i", "--print-state-hash"];
        text(&g.run(&args, b"").stderr)
    };
    let first = run();
    let words: Vec<&str> = first.lines().last().unwrap_or("").split(' ').collect();
    let ["state", hex, "at", "100000"] = words[..] else { panic!("{first}") };
    assert!(hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
    assert_eq!(run(), first);
}

#[test]
fn a_saved_run_goes_on() {
    let g = Guest::new("save", ECHO);
    let file = g.beside("sav").display().to_string();
    let virt = ["--clock", "virtual", "--print-state-hash", "--stop-after"];
    let whole = text(&g.run(&[&virt[..], &["60000i"]].concat(), b"").stderr);
    g.run(&[&virt[..], &["30000i", "--save", &file]].concat(), b"");
    let rest = text(&g.run(&[&virt[..], &["60000i", "--load", &file]].concat(), b"").stderr);
    assert_eq!(rest, whole);
}

#[test]
fn a_serial_port_on_tcp_listens() {
    let g = Guest::new("tcp", ECHO);
    let mut child = g.command(&["--serial", "tcp:127.0.0.1:0"]).spawn().expect("the binary starts");
    let mut errors = child.stderr.take().expect("piped");
    let mut said = String::new();
    while !said.contains('\n') {
        let mut byte = [0];
        assert_eq!(errors.read(&mut byte).ok(), Some(1), "{said}");
        said.push(byte[0].into());
    }
    let address = said.trim().rsplit(' ').next().expect("an address").to_string();
    let mut peer = TcpStream::connect(&address).expect("it listens");
    peer.write_all(b"ab").expect("it takes bytes");
    let mut two = [0; 2];
    peer.read_exact(&mut two).expect("it echoes");
    drop(peer);
    let mut peer = TcpStream::connect(&address).expect("it listens again");
    peer.write_all(b"q").expect("it takes bytes");
    assert_eq!((two, wait(child)), (*b"ab", Some(11)));
}

fn wait(mut child: Child) -> Option<i32> {
    let patience = Instant::now() + Duration::from_secs(30);
    while Instant::now() < patience {
        if let Ok(Some(status)) = child.try_wait() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("it does not end");
}

#[test]
fn what_the_guest_flushed_outlives_the_program() {
    let g = Guest::new("killed", WRITER);
    let image = g.beside("out");
    fs::write(&image, vec![0; 2048 * 512]).unwrap();
    let disk = image.display().to_string();
    let mut child = g.command(&["--hda", &disk, "--debugcon", "stdio"]).spawn().unwrap();
    let mut said = [0];
    child.stdout.take().unwrap().read_exact(&mut said).unwrap();
    child.kill().unwrap(); // SIGKILL: nothing of the program runs any more
    child.wait().unwrap();
    assert_eq!(&said, b"F");
    let bytes = fs::read(&image).unwrap();
    assert_eq!(bytes.len(), 2048 * 512);
    for lba in 1..=8u32 {
        let at = lba as usize * 512;
        assert!(bytes[at..at + 512].chunks(4).all(|w| w == lba.to_le_bytes()), "sector {lba}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_an_endless_string_instruction() {
    let g = Guest::new("rep", ENDLESS_REP);
    let child = g.command(&["--clock", "virtual"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(wait(child), Some(128 + 15));
}

#[cfg(target_os = "linux")]
#[test]
fn untouched_memory_costs_nothing() {
    let g = Guest::new("memory", ECHO);
    let mut child = g.command(&["--memory", "2G", "--serial", "stdio"]).spawn().expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"a").expect("it reads");
    child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("the guest runs");
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).expect("it runs");
    let resident = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("the kernel says");
    let kib: u64 = resident.trim().trim_end_matches(" kB").parse().expect("a number");
    input.write_all(b"q").expect("it reads");
    assert_eq!(wait(child), Some(11));
    assert!(kib < 150 << 10, "{kib} KiB resident");
}

#[cfg(unix)]
#[test]
fn a_signal_ends_in_order() {
    let g = Guest::new("signal", ECHO);
    let picture = g.beside("png");
    let mut child = g
        .command(&["--serial", "stdio", "--screenshot", &picture.display().to_string()])
        .spawn()
        .expect("the binary starts");
    let mut input = child.stdin.take().expect("piped");
    input.write_all(b"a").expect("it reads");
    let mut echoed = [0];
    child.stdout.as_mut().expect("piped").read_exact(&mut echoed).expect("the guest runs");
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill is there").success());
    assert_eq!(wait(child), Some(128 + 15));
    assert_eq!(&fs::read(&picture).expect("it was written")[..4], b"\x89PNG");
}

/// The counts at which a paused machine stood, by what its monitor says to lines that all come at once.
fn stops(name: &str, lines: &str) -> (Vec<u64>, String) {
    let g = Guest::new(name, ECHO);
    let args = ["--clock", "virtual", "--serial", "none", "--monitor", "stdio", "--paused"];
    let mut child = g.command(&args).spawn().expect("the binary starts");
    child.stdin.take().expect("piped").write_all(lines.as_bytes()).expect("it reads its input");
    let mut out = child.stdout.take().expect("piped");
    let mut said = String::new();
    assert_eq!(wait(child), Some(0));
    out.read_to_string(&mut said).expect("text");
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

#[test]
fn stop_interrupts_a_move() {
    let (counts, said) = stops("stop", "until iret\nregisters\nstop\nquit\n");
    assert_eq!(counts.len(), 1);
    assert!(said.contains("stopped by hand"));
}
