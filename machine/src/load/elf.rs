//! ELF segments into memory, and plain ELF programs for the bare machine (System V ABI, chapter 5).
//!
//! A 32-bit program starts in protected mode; a 64-bit one in 64-bit mode with the first 4 GiB mapped one to one. Both
//! are loaded by physical address; an entry point inside a segment is translated the same way.

use super::{Entry, Target};
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::{Elf, ProgramHeader, header};

/// Where RAM goes on above the ROMs.
const HIGH_MEMORY: u64 = 0x10_0000;

/// What was loaded.
pub struct Image {
    /// Physical address of the entry point.
    pub entry: u64,
    /// One past the highest byte.
    pub end: u64,
    /// Whether it is a 64-bit file.
    pub long: bool,
}

/// Loads all segments of `file`.
pub fn load(file: &[u8], t: &mut Target) -> Result<Image, String> {
    let elf = Elf::parse(file).map_err(|e| format!("is a damaged ELF file: {e}"))?;
    let machine = elf.header.e_machine;
    if !matches!(machine, header::EM_386 | header::EM_X86_64) || !elf.little_endian {
        return Err(format!(
            "is an ELF file for another processor (machine {machine}): i386 or x86-64 is needed"
        ));
    }
    if elf.header.e_type != header::ET_EXEC && elf.header.e_type != header::ET_DYN {
        return Err("is an ELF file that can't be run: link it into an executable".into());
    }
    let mut image = Image { entry: elf.entry, end: 0, long: elf.is_64 };
    let mut found = false;
    for s in elf.program_headers.iter().filter(|s| s.p_type == PT_LOAD && s.p_memsz > 0) {
        let bytes = usize::try_from(s.p_offset)
            .ok()
            .zip(usize::try_from(s.p_filesz).ok())
            .and_then(|(at, n)| file.get(at..at.checked_add(n)?))
            .ok_or_else(|| format!("is cut short: a segment reaches past its {} bytes", file.len()))?;
        if s.p_filesz > s.p_memsz {
            return Err("is a damaged ELF file: a segment is larger in the file than in memory".into());
        }
        let (mut at, mut bytes) = (s.p_paddr, bytes);
        if t.check(at, s.p_memsz).is_err() {
            // A kernel linked to 1 MiB without a script for the linker has the file's headers below it, among the ROMs.
            let skip = own_headers(&elf, s, bytes).min(HIGH_MEMORY.saturating_sub(at));
            if skip == s.p_memsz {
                continue;
            }
            (at, bytes) = (at + skip, &bytes[skip as usize..]);
        }
        let end = s.p_paddr.checked_add(s.p_memsz).ok_or("has an address that wraps around")?;
        t.check(at, end - at)?;
        t.put(at, bytes)?;
        let loaded = at + bytes.len() as u64;
        t.zero(loaded, end - loaded)?;
        image.end = image.end.max(end);
        if let Some(within) = elf.entry.checked_sub(s.p_vaddr).filter(|w| *w < s.p_memsz) {
            image.entry = s.p_paddr + within;
            found = true;
        }
    }
    if image.end == 0 {
        return Err("is an ELF file without anything to load".into());
    }
    if !found {
        return Err(format!("is a damaged ELF file: its entry point {:#x} is in no segment", elf.entry));
    }
    Ok(image)
}

/// How many bytes of a segment's content are nothing but the file's own headers and zeros behind them.
fn own_headers(elf: &Elf, segment: &ProgramHeader, bytes: &[u8]) -> u64 {
    if segment.p_offset != 0 {
        return 0;
    }
    let table = u64::from(elf.header.e_phnum) * u64::from(elf.header.e_phentsize);
    let end = elf.header.e_phoff.saturating_add(table).min(bytes.len() as u64);
    end + bytes[end as usize..].iter().take_while(|b| **b == 0).count() as u64
}

/// A program without any boot protocol.
pub fn load_plain(file: &[u8], t: &mut Target) -> Result<Entry, String> {
    let image = load(file, t)?;
    Ok(if image.long {
        Entry::Long { rip: image.entry }
    } else {
        Entry::Protected { eip: image.entry as u32, eax: 0, ebx: 0, esi: 0 }
    })
}
