//! Whole runs of small guests by the program as a user starts it: serial ports, signals, exit statuses, files at the end.
//! The guests are multiboot kernels of a few bytes.

mod common;

use common::listens::listens_at;
use common::{ECHO, Guest, text, wait};
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, Instant};

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
    let address = listens_at(&mut errors);
    let mut peer = TcpStream::connect(&address).expect("it listens");
    peer.write_all(b"ab").expect("it takes bytes");
    let mut two = [0; 2];
    peer.read_exact(&mut two).expect("it echoes");
    drop(peer);
    let mut peer = TcpStream::connect(&address).expect("it listens again");
    peer.write_all(b"q").expect("it takes bytes");
    assert_eq!((two, wait(child)), (*b"ab", Some(11)));
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
