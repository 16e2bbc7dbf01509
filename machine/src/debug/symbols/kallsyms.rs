//! Linux's own table of symbols, found in the guest's memory, without any file: the compressed names of `kallsyms` and
//! their addresses, relative or absolute, wherever the kernel lies (KASLR: the base in memory is the relocated one).
//!
//! Linux source, `scripts/kallsyms.c` (what is written, in which order) and `kernel/kallsyms.c` (how it is read). Kernels up
//! to 6.3 write addresses first, later ones last; both are tried, and the one that gives ascending addresses is right.

use super::files::List;
use lucid86_cpu::Memory;

/// The tokens of the digits stand in the table one after another, as themselves.
const DIGITS: &[u8] = b"0\x001\x002\x003\x004\x005\x006\x007\x008\x009\x00";
/// Most symbols of a kernel.
const MOST: u64 = 2 << 20;
/// Bytes searched at a time.
const CHUNK: usize = 1 << 20;

struct Ram<'a> {
    mem: &'a Memory,
    size: u64,
}

impl Ram<'_> {
    fn bytes(&self, at: u64, n: usize) -> Vec<u8> {
        let mut b = vec![0; n];
        self.mem.read_physical(at, &mut b);
        b
    }
    fn u16(&self, at: u64) -> u16 {
        let mut b = [0; 2];
        self.mem.read_physical(at, &mut b);
        u16::from_le_bytes(b)
    }
    fn u32(&self, at: u64) -> u32 {
        let mut b = [0; 4];
        self.mem.read_physical(at, &mut b);
        u32::from_le_bytes(b)
    }
    fn word(&self, at: u64, size: u64) -> u64 {
        let mut b = [0; 8];
        self.mem.read_physical(at, &mut b[..size as usize]);
        u64::from_le_bytes(b)
    }
}

fn align(at: u64, to: u64) -> u64 {
    at.div_ceil(to) * to
}

/// Finds a kernel's symbols in memory of `size` bytes.
pub fn find(mem: &Memory, size: u64) -> Result<List, String> {
    let ram = Ram { mem, size };
    let mut at = 0;
    while at < size {
        let n = CHUNK.min((size - at) as usize);
        let chunk = ram.bytes(at, n + DIGITS.len());
        for i in memchr_all(&chunk, DIGITS) {
            if let Some(list) = at_digits(&ram, at + i as u64) {
                return Ok(list);
            }
        }
        at += n as u64;
    }
    Err("no kallsyms table is in memory: not Linux, not yet unpacked, or built without".into())
}

fn memchr_all(within: &[u8], what: &[u8]) -> Vec<usize> {
    within
        .windows(what.len())
        .enumerate()
        .filter(|(_, w)| w[0] == what[0] && *w == what)
        .map(|(i, _)| i)
        .collect()
}

/// The tokens, when the digits' ones are at `at`.
fn at_digits(ram: &Ram<'_>, at: u64) -> Option<List> {
    // Back over the 48 tokens before "0".
    let back = ram.bytes(at.checked_sub(1024)?, 1024);
    let mut ends = back.iter().enumerate().rev().filter(|(_, b)| **b == 0).map(|(i, _)| i as u64);
    // The end of the 49th before is where the table begins; its first token begins there.
    let table = at - 1024 + ends.nth(48)? + 1;
    let text = ram.bytes(table, 4096);
    let mut tokens: Vec<Vec<u8>> = Vec::new();
    let mut offsets = Vec::new();
    let mut pos = 0;
    while tokens.len() < 256 {
        let end = text[pos..].iter().position(|b| *b == 0)? + pos;
        offsets.push(pos as u16);
        tokens.push(text[pos..end].to_vec());
        pos = end + 1;
    }
    // The first tokens may be wrong by padding zeros in front: the index tells.
    for pointer in [8u64, 4] {
        for shift in 0..pointer {
            let table = table + shift;
            if !table.is_multiple_of(pointer) {
                continue;
            }
            let index = align(table + (pos as u64 - shift), pointer);
            if (0..256).all(|i| {
                u64::from(ram.u16(index + 2 * i)) + shift == u64::from(offsets[i as usize]).max(shift)
            }) {
                let mut tokens = tokens.clone();
                if shift > 0 {
                    tokens[0] = tokens[0].get(shift as usize..).unwrap_or(&[]).to_vec();
                }
                if let Some(list) = with_tokens(ram, table, index + 512, &tokens, pointer) {
                    return Some(list);
                }
            }
        }
    }
    None
}

/// How far before the tokens the markers may lie: the sequence of names by name is between them from 6.2 on.
const FAR: u64 = 8 << 20;

/// Whether two neighbouring markers can be 256 names apart.
fn apart(a: u32, b: u32) -> bool {
    b.checked_sub(a).is_some_and(|d| (512..256 * 128).contains(&d))
}

fn with_tokens(ram: &Ram<'_>, table: u64, after: u64, tokens: &[Vec<u8>], pointer: u64) -> Option<List> {
    let mut markers = table;
    let lowest = table.saturating_sub(FAR);
    while markers > lowest {
        markers -= pointer;
        let start = ram.u32(markers) == 0
            && (0..4).all(|i| apart(ram.u32(markers + 4 * i), ram.u32(markers + 4 * i + 4)));
        if !start {
            continue;
        }
        let mut count = 1;
        while apart(ram.u32(markers + 4 * count - 4), ram.u32(markers + 4 * count)) && count < MOST / 256 {
            count += 1;
        }
        // The names begin after the number of them, and end before the markers.
        let mut names = markers;
        while names > markers.saturating_sub(FAR) {
            names -= pointer;
            let num = u64::from(ram.u32(names.checked_sub(pointer)?));
            if num.div_ceil(256).abs_diff(count) <= 2
                && let Some(list) = names_at(ram, names, num, markers, tokens, pointer, after)
            {
                return Some(list);
            }
        }
    }
    None
}

/// Reads the names, and their addresses from wherever they make sense.
fn names_at(
    ram: &Ram<'_>,
    names: u64,
    num: u64,
    markers: u64,
    tokens: &[Vec<u8>],
    pointer: u64,
    after: u64,
) -> Option<List> {
    let bytes = ram.bytes(names, (markers - names) as usize);
    let mut pos = 0usize;
    let mut out = Vec::with_capacity(num as usize);
    for i in 0..num {
        if i % 256 == 0 && pos as u64 != u64::from(ram.u32(markers + i / 256 * 4)) {
            return None;
        }
        let mut len = usize::from(*bytes.get(pos)?);
        pos += 1;
        if len & 0x80 != 0 {
            len = len & 0x7f | usize::from(*bytes.get(pos)?) << 7;
            pos += 1;
        }
        let mut name = Vec::new();
        for t in bytes.get(pos..pos + len)? {
            name.extend_from_slice(&tokens[usize::from(*t)]);
        }
        pos += len;
        // The first character is the type.
        out.push(String::from_utf8(name.get(1..)?.to_vec()).ok()?);
    }
    let addresses = addresses_before(ram, names - pointer, num, pointer)
        .or_else(|| addresses_after(ram, after, num, pointer))?;
    Some(with_sizes(out, &addresses))
}

/// Each symbol reaches to the next.
fn with_sizes(names: Vec<String>, addresses: &[u64]) -> List {
    let mut sorted: Vec<u64> = addresses.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let size = |at: u64| {
        let next = sorted.partition_point(|a| *a <= at);
        sorted.get(next).map_or(0, |n| n - at)
    };
    names.into_iter().zip(addresses).map(|(n, a)| (n, *a, size(*a))).collect()
}

fn is_kernel(at: u64, pointer: u64) -> bool {
    if pointer == 8 { at >= 0xffff_8000_0000_0000 } else { (0x4000_0000..=0xffff_ffff).contains(&at) }
}

/// An address from its offset (`kallsyms_sym_address`): per-CPU symbols are absolute, the others below the base, negative.
fn from_offset(base: u64, offset: u32, pointer: u64, negative: bool) -> u64 {
    let o = offset as i32;
    let at = match (negative, o < 0) {
        (false, _) => base.wrapping_add(offset.into()),
        (true, false) => offset.into(),
        (true, true) => base.wrapping_sub(1).wrapping_sub(i64::from(o) as u64),
    };
    if pointer == 8 { at } else { at & 0xffff_ffff }
}

fn sane(list: &[u64], pointer: u64) -> bool {
    let kernel: Vec<u64> = list.iter().copied().filter(|a| is_kernel(*a, pointer)).collect();
    kernel.len() * 2 > list.len()
        && kernel.windows(2).filter(|w| w[0] > w[1]).count() < kernel.len() / 100 + 2
}

fn offsets(ram: &Ram<'_>, at: u64, num: u64, base: u64, pointer: u64) -> Option<Vec<u64>> {
    if !is_kernel(base, pointer) || at + 4 * num > ram.size {
        return None;
    }
    let raw: Vec<u32> = (0..num).map(|i| ram.u32(at + 4 * i)).collect();
    [true, false].into_iter().find_map(|negative| {
        let list: Vec<u64> = raw.iter().map(|o| from_offset(base, *o, pointer, negative)).collect();
        sane(&list, pointer).then_some(list)
    })
}

/// Before the number of symbols: offsets and their base, or addresses.
fn addresses_before(ram: &Ram<'_>, num_at: u64, num: u64, pointer: u64) -> Option<Vec<u64>> {
    let base_at = num_at.checked_sub(pointer)?;
    let at = base_at.checked_sub(align(4 * num, pointer))?;
    if let Some(list) = offsets(ram, at, num, ram.word(base_at, pointer), pointer) {
        return Some(list);
    }
    let at = num_at.checked_sub(pointer * num)?;
    let list: Vec<u64> = (0..num).map(|i| ram.word(at + pointer * i, pointer)).collect();
    sane(&list, pointer).then_some(list)
}

/// After the index of tokens.
fn addresses_after(ram: &Ram<'_>, after: u64, num: u64, pointer: u64) -> Option<Vec<u64>> {
    let at = align(after, pointer);
    let base_at = align(at + 4 * num, pointer);
    offsets(ram, at, num, ram.word(base_at, pointer), pointer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_as_the_kernel_reads_them() {
        // kernel/kallsyms.c, kallsyms_sym_address, with CONFIG_KALLSYMS_ABSOLUTE_PERCPU.
        let base = 0xffff_ffff_8100_0000;
        assert_eq!(from_offset(base, -1i32 as u32, 8, true), base);
        assert_eq!(from_offset(base, -0x101i32 as u32, 8, true), base + 0x100);
        assert_eq!(from_offset(base, 0x1000, 8, true), 0x1000);
        assert_eq!(from_offset(0xc100_0000, 0x20, 4, false), 0xc100_0020);
    }
}
