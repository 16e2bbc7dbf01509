//! Small guests, assembled here, as multiboot kernels: they start in 32-bit protected mode with flat segments.
#![allow(dead_code)]

use iced_x86::code_asm::CodeAssembler;
use lucid86_machine::config::ClockKind;
use lucid86_machine::{Collect, Config, Machine, Outcome};
use std::path::PathBuf;

/// Where the code starts.
pub const BASE: u32 = 0x10_0000;
/// Length of the multiboot header in front of it.
const HEADER: usize = 32;

/// A multiboot kernel of this code.
pub fn kernel(code: impl FnOnce(&mut CodeAssembler)) -> Vec<u8> {
    let mut a = CodeAssembler::new(32).expect("a 32-bit assembler");
    code(&mut a);
    let entry = BASE + HEADER as u32;
    let bytes = a.assemble(entry.into()).expect("the code can be assembled");
    let flags = 1u32 << 16;
    let magic = 0x1bad_b002u32;
    let sum = 0u32.wrapping_sub(magic).wrapping_sub(flags);
    let mut file: Vec<u8> =
        [magic, flags, sum, BASE, BASE, 0, 0, entry].iter().flat_map(|w| w.to_le_bytes()).collect();
    file.extend(bytes);
    file
}

/// A file that goes when the test ends.
pub struct TempFile(pub PathBuf);

impl TempFile {
    /// With this content.
    pub fn new(name: &str, bytes: &[u8]) -> TempFile {
        let path = std::env::temp_dir().join(format!("lucid86-{}-{name}", std::process::id()));
        std::fs::write(&path, bytes).expect("a temporary file");
        TempFile(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A small machine under the virtual clock that can't run for ever.
pub fn config() -> Config {
    let mut c = Config { memory: 16 << 20, clock: ClockKind::Virtual, ..Config::default() };
    c.set("stop-after", Some("20s")).expect("a time");
    c
}

/// A machine with this guest.
pub fn machine(name: &str, config: Config, code: impl FnOnce(&mut CodeAssembler)) -> Machine {
    let file = TempFile::new(name, &kernel(code));
    // The firmware reads the kernel again when its POST is done, so the file has to stay that long.
    let path = file.0.clone();
    std::mem::forget(file);
    Machine::new(Config { kernel: Some(path), ..config }).expect("a machine")
}

/// Runs it to its end; the outcome and what came out.
pub fn run(m: &mut Machine) -> (Outcome, Collect) {
    let mut io = Collect::default();
    let outcome = m.run(&mut io);
    if let Some(path) = &m.config().kernel {
        let _ = std::fs::remove_file(path);
    }
    (outcome, io)
}
