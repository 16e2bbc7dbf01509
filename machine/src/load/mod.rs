//! Gets kernels into memory and the first processor to their door: Linux bzImage, multiboot 1, plain ELF. Which one it is,
//! the content says. Everything in a file is an allegation: sizes and addresses are checked before they are used, and a
//! mistake is one line.

mod elf;
pub mod kind;
pub mod linux;
pub mod multiboot;
mod start;

pub use start::Entry;

use crate::board::layout::Layout;
use crate::config::{Config, ConfigError, unreadable};
use lucid86_cpu::Memory;
use std::path::Path;

/// What loaders need of the machine.
pub struct Target<'a> {
    /// Guest memory.
    pub mem: &'a mut Memory,
    /// Where RAM lies.
    pub layout: Layout,
    /// Physical address of the ACPI root pointer.
    pub rsdp: u32,
}

impl Target<'_> {
    /// Checks that `len` bytes at `base` are RAM below 4 GiB and above the first megabyte's reserved parts.
    fn check(&self, base: u64, len: u64) -> Result<(), String> {
        let end = base.checked_add(len).ok_or("has an address that wraps around")?;
        let low = end <= crate::board::layout::EBDA;
        let high = base >= 0x10_0000 && end <= self.layout.usable_end();
        if low || high {
            return Ok(());
        }
        if (0x10_0000..crate::board::layout::PCI_HOLE).contains(&base) {
            return Err(format!(
                "needs RAM up to {end:#x}, the machine has it up to {:#x}: give more with --memory",
                self.layout.usable_end()
            ));
        }
        Err(format!("wants to be at {base:#x} to {end:#x}, where there is no RAM"))
    }

    fn put(&mut self, base: u64, bytes: &[u8]) -> Result<(), String> {
        self.check(base, bytes.len() as u64)?;
        self.mem.write_physical(base, bytes);
        Ok(())
    }

    fn zero(&mut self, base: u64, len: u64) -> Result<(), String> {
        self.check(base, len)?;
        let zeros = [0; 4096];
        let mut at = base;
        while at < base + len {
            let n = (base + len - at).min(4096);
            self.mem.write_physical(at, &zeros[..n as usize]);
            at += n;
        }
        Ok(())
    }
}

/// Loads the kernel that the configuration names, and says how it starts.
pub fn load_kernel(config: &Config, kernel: &Path, target: &mut Target) -> Result<Entry, ConfigError> {
    let file = read(kernel)?;
    let append = config.append.as_deref().unwrap_or("");
    let fail = |why: String| ConfigError(format!("{}: {why}", kernel.display()));
    if linux::is_bzimage(&file) {
        let initrd = config.initrd.as_deref().map(|p| read(Path::new(p))).transpose()?;
        return linux::load(&file, initrd.as_deref(), append, target).map_err(fail);
    }
    if let Some(header) = multiboot::find_header(&file) {
        let mut modules = Vec::new();
        for word in config.initrd.as_deref().unwrap_or("").split(',').filter(|w| !w.is_empty()) {
            let path = word.split(' ').next().unwrap_or(word);
            modules.push(multiboot::Module { bytes: read(Path::new(path))?, line: word.into() });
        }
        let line = format!("{} {append}", kernel.display());
        return multiboot::load(&file, header, &modules, line.trim_end(), target).map_err(fail);
    }
    if file.starts_with(b"\x7fELF") {
        return elf::load_plain(&file, target).map_err(fail);
    }
    Err(fail("is not a kernel: neither a Linux bzImage nor multiboot nor ELF".into()))
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let bytes = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
    if bytes.is_empty() {
        return Err(ConfigError(format!("{}: is empty", path.display())));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
