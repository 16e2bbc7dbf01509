//! The program as a user starts it: wrong words and wrong files end with status 2 and one line on standard error.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A folder of this test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lucid86-cli-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a temporary folder can be made");
        Folder(path)
    }
    fn file(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.0.join(name);
        fs::write(&path, bytes).expect("a temporary file can be written");
        path.display().to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn lucid86(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lucid86"))
        // What is wrongly let through ends soon.
        .args(["--clock", "virtual", "--stop-after", "1ms"])
        .args(args)
        .env_remove("DISPLAY")
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// Status 2, nothing on standard output, one line on standard error that contains `part`.
#[track_caller]
fn refused(args: &[&str], part: &str) {
    let out = lucid86(args);
    let error = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{args:?}: {error}");
    assert_eq!(out.stdout, b"", "{args:?}");
    assert_eq!(error.trim_end().lines().count(), 1, "{args:?}: {error}");
    assert!(error.starts_with("lucid86: ") && error.contains(part), "{args:?}: {error}");
}

#[test]
fn help_and_version() {
    let help = lucid86(&["--help"]);
    assert_eq!(help.status.code(), Some(0));
    let text = String::from_utf8(help.stdout).expect("help is text");
    for word in ["--memory", "--kernel", "--serial", "--display", "--stop-after"] {
        assert!(text.contains(word), "{word}");
    }
    assert!(text.lines().all(|l| l.chars().count() <= 120), "help fits a terminal");
    let models = lucid86(&["--cpu", "help"]);
    assert_eq!(models.status.code(), Some(0));
    let models = String::from_utf8(models.stdout).expect("text");
    assert!(models.starts_with("8086\n") && models.ends_with("x86-64-v2\n"), "{models}");
    let version = lucid86(&["--version"]);
    assert_eq!(version.stdout, format!("lucid86 {}\n", env!("CARGO_PKG_VERSION")).as_bytes());
}

#[test]
fn wrong_words() {
    refused(&["--bogus"], "unknown word 'bogus'");
    refused(&["--memroy", "1G"], "'memory'");
    refused(&["-q"], "unknown option '-q'");
    refused(&["--memory", "0"], "range");
    refused(&["--memory", "99999G"], "range");
    refused(&["--memory", "lots"], "not a size");
    refused(&["--memory"], "needs a value");
    refused(&["--cpus", "0"], "range");
    refused(&["--engine", "fast"], "interpreter");
    refused(&["--display", "hologram"], "window, terminal, none");
    refused(&["--stop-after", "10"], "10s");
    refused(&["--serial", "com:1"], "stdio");
    refused(&["--net", "slirp"], "user, socket, tap, none");
    refused(&["--gdb", "nowhere"], "HOST:PORT");
    refused(&["--monitor", "file:x"], "stdio, tcp:HOST:PORT");
    refused(&["--paused"], "add --gdb or --monitor");
    refused(&["qemu"], "not in this version");
    refused(&["--initrd", "x"], "--kernel");
}

#[test]
fn one_owner_of_the_terminal() {
    refused(&["--serial", "stdio", "--debugcon", "stdio"], "standard input");
    let f = Folder::new("owner");
    let disk = f.file("disk.img", &[0; 1 << 20]);
    refused(&["--serial", "stdio", "--display", "terminal", "--hda", &disk], "terminal");
    refused(&["--display", "terminal", "--hda", &disk], "needs a terminal");
    refused(&["--display", "window", "--hda", &disk], "DISPLAY");
}

#[test]
fn wrong_files() {
    let f = Folder::new("files");
    let floppy = f.file("floppy", &[0; 1024]);
    refused(&["/no/such/file"], "no such file");
    for word in ["--hda", "--cdrom", "--fda", "--kernel", "--bios", "--vga-bios", "--load", "--script"] {
        refused(&["--fda", &floppy, word, "/no/such/file"], "/no/such/file");
    }
    let empty = f.file("empty", b"");
    let one = f.file("one", b"x");
    for word in ["--hda", "--cdrom", "--fda", "--kernel", "--bios", "--vga-bios"] {
        refused(&["--fda", &floppy, word, &empty], &empty);
        // One byte is the start of a medium with zeros behind, and the firmware says that it is not bootable.
        if !["--hda", "--cdrom", "--fda"].contains(&word) {
            refused(&["--fda", &floppy, word, &one], &one);
        }
    }
    refused(&[&empty], "empty");
    refused(&[&one], "too few");
    refused(&[&f.0.display().to_string()], "folder");
}

#[test]
fn wrong_kernels() {
    let f = Folder::new("kernels");
    let mut elf = vec![0xff; 0x2000];
    elf[..20].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0");
    refused(&["--kernel", &f.file("wild.elf", &elf)], "wild.elf");
    refused(&["--kernel", &f.file("short.elf", b"\x7fELF\x01\x01\x01")], "short.elf");
    let mut bz = vec![0; 0x400];
    bz[0x1f1] = 4;
    bz[0x1fe..0x200].copy_from_slice(b"\x55\xaa");
    bz[0x202..0x206].copy_from_slice(b"HdrS");
    bz[0x206..0x208].copy_from_slice(&[0x0f, 0x02]);
    bz[0x211] = 1;
    bz[0x1f4..0x1f8].copy_from_slice(&0x8_0000u32.to_le_bytes());
    refused(&["--kernel", &f.file("short.bz", &bz)], "short.bz");
    let random: Vec<u8> = (0..5000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    refused(&["--kernel", &f.file("random", &random)], "random");
}

#[test]
fn wrong_machine_files() {
    let f = Folder::new("toml");
    for (text, part) in [
        ("memory = true", "memory"),
        ("memroy = 1", "did you mean 'memory'"),
        ("no-reboot = 3", "true or false"),
        ("memory = [", "TOML"),
        ("net = \"slirp\"", "user, socket, tap, none"),
        ("[machine]\nx = 1", "machine"),
    ] {
        let file = f.file("m.toml", text.as_bytes());
        refused(&[&file], part);
        refused(&[&file], "m.toml");
    }
}

#[test]
fn files_for_output_are_checked_before_the_run() {
    let f = Folder::new("output");
    let disk = f.file("disk.img", &[0; 1 << 20]);
    for word in ["--screenshot", "--save", "--debugcon", "--serial", "--log"] {
        let value = match word {
            "--debugcon" | "--serial" => "file:/no/such/folder/f",
            "--log" => "resets:/no/such/folder/f",
            _ => "/no/such/folder/f",
        };
        refused(&["--hda", &disk, "--display", "none", word, value], "/no/such/folder/f");
    }
}
