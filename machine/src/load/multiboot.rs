//! Multiboot 1 kernels ("Multiboot Specification version 0.6.96").

use super::{Entry, Target, elf};

const HEADER_MAGIC: u32 = 0x1bad_b002;
/// EAX at the kernel's start.
const LOADER_MAGIC: u32 = 0x2bad_b002;
const ADDRESS_FIELDS: u32 = 1 << 16;
/// Features 0-15 are required; these three are known: page-aligned modules, memory map, video mode.
const KNOWN: u32 = 7;
/// Where the information structure stands; strings and tables follow it.
const INFO: u64 = 0x9_4000;
const INFO_END: u64 = 0x9_fc00;

/// A module.
pub struct Module {
    /// Its content.
    pub bytes: Vec<u8>,
    /// Its command line.
    pub line: String,
}

fn dword(file: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(file.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Offset of the multiboot header in the first 8 KiB (section 3.1.1), if there is one whose checksum is right.
pub fn find_header(file: &[u8]) -> Option<usize> {
    (0..8192usize.min(file.len())).step_by(4).find(|&at| {
        dword(file, at) == Some(HEADER_MAGIC)
            && dword(file, at + 4)
                .zip(dword(file, at + 8))
                .is_some_and(|(flags, sum)| HEADER_MAGIC.wrapping_add(flags).wrapping_add(sum) == 0)
    })
}

/// Loads the kernel whose header is at `header`, and its modules.
pub fn load(
    file: &[u8],
    header: usize,
    modules: &[Module],
    line: &str,
    t: &mut Target,
) -> Result<Entry, String> {
    let flags = dword(file, header + 4).unwrap_or(0);
    if flags & 0xffff & !KNOWN != 0 {
        return Err(format!("asks for multiboot features that don't exist here (flags {flags:#x})"));
    }
    let (entry, end) = if flags & ADDRESS_FIELDS != 0 {
        load_by_fields(file, header, t)?
    } else {
        let image = elf::load(file, t)?;
        (image.entry as u32, image.end)
    };
    let info = Info::build(modules, line, end, t)?;
    t.put(INFO, &info)?;
    Ok(Entry::Protected { eip: entry, eax: LOADER_MAGIC, ebx: INFO as u32, esi: 0 })
}

/// Section 3.1.3: the header's own addresses. Returns entry point and end of the image.
fn load_by_fields(file: &[u8], header: usize, t: &mut Target) -> Result<(u32, u64), String> {
    let field = |i: usize| dword(file, header + 12 + 4 * i).ok_or("is cut short inside its multiboot header");
    let (header_addr, load_addr, load_end, bss_end, entry) =
        (field(0)?, field(1)?, field(2)?, field(3)?, field(4)?);
    let skip = header_addr.checked_sub(load_addr).map(|n| n as usize);
    let start = skip
        .and_then(|n| header.checked_sub(n))
        .ok_or("has a damaged multiboot header: the load address is not in the file")?;
    let len = match load_end {
        0 => file.len() - start,
        end => end.checked_sub(load_addr).ok_or("has a damaged multiboot header: it ends before it starts")?
            as usize,
    };
    let bytes = start.checked_add(len).and_then(|end| file.get(start..end)).ok_or_else(|| {
        format!("is cut short: its header promises {} bytes, the file has {}", start + len, file.len())
    })?;
    let load_at = u64::from(load_addr);
    t.put(load_at, bytes)?;
    let end = load_at + len as u64;
    let bss_end = u64::from(bss_end);
    if bss_end > end {
        t.zero(end, bss_end - end)?;
    }
    Ok((entry, end.max(bss_end)))
}

/// The information structure of section 3.3 under construction: fixed part, then what it points at.
struct Info {
    bytes: Vec<u8>,
}

impl Info {
    fn build(modules: &[Module], line: &str, kernel_end: u64, t: &mut Target) -> Result<Vec<u8>, String> {
        let mut info = Info { bytes: vec![0; 120] };
        // Memory sizes (0), command line (2), modules (3), memory map (6), loader's name (9).
        info.set(0, 1 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9);
        info.set(4, 639);
        info.set(8, (t.layout.usable_end().saturating_sub(0x10_0000) >> 10) as u32);
        let line_at = info.string(line);
        info.set(16, line_at);
        let list = info.modules(modules, kernel_end, t)?;
        info.set(20, modules.len() as u32);
        info.set(24, list);
        info.memory_map(t);
        let name = info.string("Lucid86");
        info.set(64, name);
        if INFO + info.bytes.len() as u64 > INFO_END {
            return Err("has too many modules or too long a command line".into());
        }
        Ok(info.bytes)
    }

    fn set(&mut self, at: usize, v: u32) {
        self.bytes[at..at + 4].copy_from_slice(&v.to_le_bytes());
    }

    fn here(&mut self) -> u32 {
        self.bytes.resize(self.bytes.len().next_multiple_of(8), 0);
        INFO as u32 + self.bytes.len() as u32
    }

    fn string(&mut self, s: &str) -> u32 {
        let at = self.here();
        self.bytes.extend(s.bytes());
        self.bytes.push(0);
        at
    }

    /// Modules on page boundaries after the kernel.
    fn modules(&mut self, modules: &[Module], kernel_end: u64, t: &mut Target) -> Result<u32, String> {
        let mut at = kernel_end.max(0x10_0000).next_multiple_of(4096);
        let mut rows = Vec::new();
        for m in modules {
            t.put(at, &m.bytes)?;
            let line = self.string(&m.line);
            let end = at + m.bytes.len() as u64;
            rows.extend([at as u32, end as u32, line, 0]);
            at = end.next_multiple_of(4096);
        }
        let list = self.here();
        self.bytes.extend(rows.iter().flat_map(|r| r.to_le_bytes()));
        Ok(list)
    }

    fn memory_map(&mut self, t: &Target) {
        let at = self.here();
        let ranges = t.layout.ranges();
        for r in &ranges {
            self.bytes.extend(20u32.to_le_bytes());
            self.bytes.extend(r.base.to_le_bytes());
            self.bytes.extend(r.len.to_le_bytes());
            self.bytes.extend((r.kind as u32).to_le_bytes());
        }
        self.set(44, 24 * ranges.len() as u32);
        self.set(48, at);
    }
}
