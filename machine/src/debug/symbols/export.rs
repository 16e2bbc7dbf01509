//! Names as an ELF that gdb's `add-symbol-file` takes: a symbol table and nothing else. System V ABI, chapter 4 (ELF header,
//! sections, symbol table).

use super::Symbols;

const HEADER: usize = 64;
const SECTION: usize = 64;
const SYMBOL: usize = 24;

fn name(table: &mut Vec<u8>, text: &str) -> u32 {
    let at = table.len() as u32;
    table.extend(text.bytes().filter(|b| *b != 0));
    table.push(0);
    at
}

/// The file. `.text` reaches from the lowest symbol to the highest, so that gdb takes each as an address in it.
pub fn elf(symbols: &Symbols) -> Vec<u8> {
    let low = symbols.all().map(|s| s.0).filter(|a| *a >> 47 != 0).min().unwrap_or(0);
    let high = symbols.all().map(|s| s.0 + 1).max().unwrap_or(1).max(low + 1);
    let (mut strings, mut table) = (vec![0], vec![0; SYMBOL]);
    for (at, text, size) in symbols.all() {
        let section: u16 = if at >= low { 1 } else { 0xfff1 }; // .text, or absolute
        table.extend(name(&mut strings, text).to_le_bytes());
        table.extend([0x12, 0]); // global function
        table.extend(section.to_le_bytes());
        table.extend(at.to_le_bytes());
        table.extend(size.to_le_bytes());
    }
    let mut names = vec![0];
    let heads = [".text", ".symtab", ".strtab", ".shstrtab"].map(|n| name(&mut names, n));
    let at_table = HEADER;
    let at_strings = at_table + table.len();
    let at_names = at_strings + strings.len();
    let at_sections = (at_names + names.len()).next_multiple_of(8);
    let mut out = Vec::with_capacity(at_sections + 5 * SECTION);
    out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.extend([2u16, 62].iter().flat_map(|v| v.to_le_bytes())); // EXEC, x86-64
    out.extend(1u32.to_le_bytes());
    out.extend([0u64, 0, at_sections as u64].iter().flat_map(|v| v.to_le_bytes()));
    out.extend(0u32.to_le_bytes());
    out.extend([HEADER as u16, 0, 0, SECTION as u16, 5, 4].iter().flat_map(|v| v.to_le_bytes()));
    out.extend(table.iter().chain(&strings).chain(&names));
    out.resize(at_sections, 0);
    let mut section =
        |head: u32, kind: u32, flags: u64, at: u64, offset: usize, size: u64, rest: [u32; 2], unit: u64| {
            out.extend(head.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend([flags, at, offset as u64, size].iter().flat_map(|v| v.to_le_bytes()));
            out.extend(rest.iter().flat_map(|v| v.to_le_bytes()));
            out.extend([1u64, unit].iter().flat_map(|v| v.to_le_bytes()));
        };
    section(0, 0, 0, 0, 0, 0, [0, 0], 0);
    section(heads[0], 8, 6, low, 0, high - low, [0, 0], 0); // NOBITS, ALLOC EXEC
    section(heads[1], 2, 0, 0, at_table, table.len() as u64, [3, 1], SYMBOL as u64);
    section(heads[2], 3, 0, 0, at_strings, strings.len() as u64, [0, 0], 0);
    section(heads[3], 3, 0, 0, at_names, names.len() as u64, [0, 0], 0);
    out
}
