//! Small guests, and the program as a user starts it with them.

pub mod listens;

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Sets COM1 to 115,200 bit/s, 8 bits, and echoes until `q`, then writes 5 to the debug-exit port.
pub const ECHO: &[u8] = &[
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

/// A multiboot kernel in a file of its own, removed at the end.
pub struct Guest(pub PathBuf);

/// Tests of a program run side by side, so that each guest's files need names that no other guest's have.
static GUESTS: AtomicU32 = AtomicU32::new(0);

impl Guest {
    pub fn new(name: &str, code: &[u8]) -> Guest {
        let (magic, flags, load) = (0x1bad_b002u32, 0x1_0000u32, 0x10_0000u32);
        let check = magic.wrapping_add(flags).wrapping_neg();
        let stack = [0xbc, 0x00, 0x00, 0x20, 0x00]; // mov esp, 200000h
        let mut file: Vec<u8> =
            [magic, flags, check, load, load, 0, 0, load + 32].iter().flat_map(|w| w.to_le_bytes()).collect();
        file.extend(stack.iter().chain(code));
        file.resize(512, 0xf4);
        let number = GUESTS.fetch_add(1, Ordering::Relaxed);
        let file_name = format!("lucid86-run-{name}-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(file_name);
        fs::write(&path, file).expect("a temporary file can be written");
        Guest(path)
    }

    pub fn beside(&self, extension: &str) -> PathBuf {
        self.0.with_extension(extension)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lucid86"));
        command.args(["--display", "none", "--memory", "8M", "--kernel"]).arg(&self.0).args(args);
        command.env_remove("DISPLAY").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str], input: &[u8]) -> Output {
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

/// Bytes as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Its exit status, if it ends soon.
pub fn wait(mut child: Child) -> Option<i32> {
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
