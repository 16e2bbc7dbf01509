//! Source lines of addresses, from an ELF's DWARF. `gimli` and `addr2line` read it; nothing is read before it is asked for.

use addr2line::Context;
use gimli::{Dwarf, EndianArcSlice, RunTimeEndian, SectionId};
use goblin::elf::Elf;
use goblin::elf::section_header::SHF_COMPRESSED;
use std::sync::Arc;

type Slice = EndianArcSlice<RunTimeEndian>;

/// The lines of one file.
pub struct Lines {
    base: u64,
    context: Context<Slice>,
}

impl Lines {
    /// Of an ELF that lies `base` higher than it says. `None` if it has none; an error if they can't be read.
    pub fn of(bytes: &[u8], base: u64) -> Result<Option<Lines>, String> {
        let elf = Elf::parse(bytes).map_err(|e| format!("not an ELF that can be read: {e}"))?;
        let endian = if elf.little_endian { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let mut any = false;
        let load = |id: SectionId| -> Result<Slice, String> {
            let named =
                |s: &&goblin::elf::SectionHeader| elf.shdr_strtab.get_at(s.sh_name) == Some(id.name());
            let data = match elf.section_headers.iter().find(named) {
                Some(s) if s.sh_flags & u64::from(SHF_COMPRESSED) != 0 => {
                    return Err(format!(
                        "{} is compressed: use objcopy --decompress-debug-sections",
                        id.name()
                    ));
                }
                Some(s) => {
                    any |= id == SectionId::DebugLine;
                    s.file_range().and_then(|r| bytes.get(r)).unwrap_or_default()
                }
                None => &[],
            };
            Ok(EndianArcSlice::new(Arc::from(data), endian))
        };
        let dwarf = Dwarf::load(load)?;
        if !any {
            return Ok(None);
        }
        let context = Context::from_dwarf(dwarf).map_err(|e| format!("its DWARF can't be read: {e}"))?;
        Ok(Some(Lines { base, context }))
    }

    /// `file:line` of an address.
    pub fn at(&self, at: u64) -> Option<String> {
        let l = self.context.find_location(at.checked_sub(self.base)?).ok()??;
        Some(format!("{}:{}", l.file?, l.line?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_function_stands_in_this_file() {
        // The compiler's own lines of this test, where it keeps them in an ELF.
        let bytes = std::env::current_exe().and_then(std::fs::read).expect("this program");
        if !bytes.starts_with(b"\x7fELF") {
            eprintln!("skipped: this host's programs are no ELF");
            return;
        }
        let names = crate::debug::symbols::files::elf(&bytes, 0x1000).expect("symbols");
        let me = names.iter().find(|n| n.0.contains("this_function_stands_in_this_file") && n.2 > 64);
        let lines = Lines::of(&bytes, 0x1000).expect("DWARF that can be read");
        let (Some((_, at, _)), Some(lines)) = (me, lines) else {
            eprintln!("skipped: this program has no lines of its own");
            return;
        };
        let line = lines.at(at + 16).unwrap_or_default();
        assert!(line.contains("symbols/lines.rs:"), "{line:?}");
        assert!(Lines::of(&bytes[..64], 0).is_err());
    }
}
