//! Names (and source lines) from files: the symbol table of an ELF, a `System.map` (`nm`'s three columns), and our own firmware's labels.

use crate::Machine;
use goblin::elf::Elf;
use std::path::Path;

/// Longest file.
const LONGEST: u64 = 1 << 30;

/// Symbols as name, address, size.
pub type List = Vec<(String, u64, u64)>;

/// The named functions and objects of an ELF, moved by `base`.
pub fn elf(bytes: &[u8], base: u64) -> Result<List, String> {
    let elf = Elf::parse(bytes).map_err(|e| format!("not an ELF that can be read: {e}"))?;
    let of = |tab: &goblin::elf::Symtab<'_>, names: &goblin::strtab::Strtab<'_>| -> List {
        let wanted = |t: u8| matches!(t, 0..=2); // NOTYPE, OBJECT, FUNC
        tab.iter()
            .filter(|s| s.st_shndx != 0 && s.st_value != 0 && wanted(s.st_type()))
            .filter_map(|s| {
                Some((names.get_at(s.st_name)?.to_string(), base.wrapping_add(s.st_value), s.st_size))
            })
            .collect()
    };
    let mut list = of(&elf.syms, &elf.strtab);
    if list.is_empty() {
        list = of(&elf.dynsyms, &elf.dynstrtab);
    }
    if list.is_empty() { Err("the ELF has no symbols".into()) } else { Ok(list) }
}

/// `ADDRESS TYPE NAME` a line.
pub fn system_map(text: &str, base: u64) -> Result<List, String> {
    let mut list = List::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(at), Some(_), Some(name)) = (words.next(), words.next(), words.next()) else { continue };
        if let Ok(at) = u64::from_str_radix(at, 16) {
            list.push((name.to_string(), base.wrapping_add(at), 0));
        }
    }
    if list.is_empty() { Err("no line reads ADDRESS TYPE NAME".into()) } else { Ok(list) }
}

impl Machine {
    /// Names from a file; how many.
    pub fn load_symbols(&mut self, path: &Path, base: u64) -> Result<usize, String> {
        let say = |e: String| format!("{}: {e}", path.display());
        let len = std::fs::metadata(path).map_err(|e| say(e.to_string()))?.len();
        if len > LONGEST {
            return Err(say("is too long".into()));
        }
        let bytes = std::fs::read(path).map_err(|e| say(e.to_string()))?;
        let list = if bytes.starts_with(b"\x7fELF") {
            if let Some(lines) = super::lines::Lines::of(&bytes, base).map_err(say)? {
                self.debug.symbols.lines.push(lines);
            }
            elf(&bytes, base)
        } else {
            system_map(&String::from_utf8_lossy(&bytes), base)
        };
        Ok(self.debug.symbols.add(&path.display().to_string(), list.map_err(say)?))
    }

    /// The symbols of the Linux kernel in the guest's memory; how many.
    pub fn load_linux_symbols(&mut self) -> Result<usize, String> {
        let list = super::kallsyms::find(&self.mem, self.config().memory)?;
        Ok(self.debug.symbols.add("the kernel in memory", list))
    }

    /// The labels of our own firmware; how many. None with another BIOS.
    pub fn load_bios_symbols(&mut self) -> usize {
        let config = self.config();
        let mut n = 0;
        if config.bios.is_none() {
            let rom = lucid86_bios::system_rom(&lucid86_bios::Options::default());
            let list = rom.symbols.into_iter().map(|(name, at)| (format!("bios.{name}"), at.into(), 0));
            n += self.debug.symbols.add("the BIOS", list);
        }
        if self.config().vga_bios.is_none() {
            let rom = lucid86_bios::video_rom();
            let list = rom
                .symbols
                .into_iter()
                .map(|(name, at)| (format!("vga.{name}"), 0xc_0000 + u64::from(at), 0));
            n += self.debug.symbols.add("the video BIOS", list);
        }
        n
    }
}
