//! Looking at memory without leaving a trace: physical, and linear through any CR3, with no accessed bit set and no TLB
//! entry made. The walk is told level by level, so that it can also explain why an address can't be reached.
//!
//! Intel SDM volume 3, chapter 4 (paging), section 4.7 (page-fault exceptions). Written from the manual beside the
//! processor's own walker (`cpu::mmu::space`), which a test compares it with.

use lucid86_cpu::memory::{PAGE, Place};
use lucid86_cpu::mmu::space::entry;
use lucid86_cpu::mmu::{Access, Paging, Space};
use lucid86_cpu::state::{cr4, efer};
use lucid86_cpu::{Cpu, Memory};
use std::fmt::Write;

/// One level of a walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The table's name as the manuals write it.
    pub name: &'static str,
    /// Physical address of the entry; `None` for a PAE PDPTE register.
    pub at: Option<u64>,
    /// Index of the entry in its table.
    pub index: u64,
    /// The entry.
    pub entry: u64,
    /// It maps a page (not a table).
    pub leaf: bool,
}

/// What a walk found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The entries read, from the top.
    pub levels: Vec<Level>,
    /// The physical address (A20 not applied), or why there is none.
    pub phys: Result<u64, &'static str>,
    /// All levels allow user accesses.
    pub user: bool,
    /// All levels allow stores.
    pub write: bool,
    /// Some level forbids execution.
    pub nx: bool,
    /// Bytes of the page.
    pub size: u64,
}

const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

fn read_entry(mem: &Memory, at: u64, size: u64) -> u64 {
    let at = mem.mask(at);
    let mut bytes = [0; 8];
    match mem.read_place(at / PAGE) {
        Place::Frame(_) => mem.read_physical(at, &mut bytes[..size as usize]),
        _ => bytes[..size as usize].fill(0xff),
    }
    u64::from_le_bytes(bytes)
}

/// Walks for `linear`.
pub fn walk(mem: &Memory, space: &Space, linear: u64) -> Told {
    let mut t = Told { levels: Vec::new(), phys: Ok(0), user: true, write: true, nx: false, size: PAGE };
    let (names, bits, size): (&[&'static str], u64, u64) = match space.paging {
        Paging::None => {
            t.phys = Ok(linear & 0xffff_ffff);
            return t;
        }
        Paging::Bits32 => (&["PDE", "PTE"], 10, 4),
        Paging::Pae => (&["PDPTE", "PDE", "PTE"], 9, 8),
        Paging::Level4 => (&["PML4E", "PDPTE", "PDE", "PTE"], 9, 8),
        Paging::Level5 => (&["PML5E", "PML4E", "PDPTE", "PDE", "PTE"], 9, 8),
    };
    let mut table = space.root;
    for (n, name) in names.iter().enumerate() {
        let left = (names.len() - 1 - n) as u64;
        let shift = 12 + bits * left;
        let register = space.paging == Paging::Pae && n == 0;
        let index = linear >> shift & if register { 3 } else { (1 << bits) - 1 };
        let at = (!register).then_some(table + index * size);
        let e = at.map_or_else(|| space.pdpte[index as usize], |at| read_entry(mem, at, size));
        let large = e & entry::PS != 0
            && if size == 4 { n == 0 && space.pse } else { left == 1 || left == 2 && !register };
        let leaf = left == 0 || large && !register;
        t.levels.push(Level { name, at, index, entry: e, leaf });
        if e & entry::P == 0 {
            t.phys = Err("the entry is not present (P = 0)");
            return t;
        }
        if let Some(why) = reserved(space, e, left, leaf, register) {
            t.phys = Err(why);
            return t;
        }
        if !register {
            t.user &= e & entry::U != 0;
            t.write &= e & entry::W != 0;
            t.nx |= size == 8 && e & entry::NX != 0;
        }
        if leaf {
            t.size = 1 << shift;
            let within = t.size - 1;
            let base = if size == 4 && left == 1 {
                e & 0xffc0_0000 | (e >> 13 & 0xff) << 32
            } else if size == 4 {
                e & 0xffff_f000
            } else {
                e & ADDRESS & !within
            };
            t.phys = Ok(base | linear & within);
            return t;
        }
        table = if size == 4 { e & 0xffff_f000 } else { e & ADDRESS };
    }
    t
}

fn reserved(space: &Space, e: u64, left: u64, leaf: bool, register: bool) -> Option<&'static str> {
    if space.paging == Paging::Bits32 {
        return (leaf && left == 1 && e & 1 << 21 != 0)
            .then_some("a reserved bit is set (bit 21 of a 4 MiB page)");
    }
    if register {
        return None;
    }
    if e & ADDRESS >> space.phys_bits << space.phys_bits != 0 {
        return Some("a reserved bit is set: the address is wider than the processor's physical addresses");
    }
    if e & entry::NX != 0 && !space.nxe {
        return Some("a reserved bit is set: NX while EFER.NXE is 0");
    }
    if space.paging == Paging::Pae && e & 0x7ff0_0000_0000_0000 != 0 {
        return Some("a reserved bit is set (bits 62:52)");
    }
    match (leaf, left, e & entry::PS != 0) {
        (true, 1, _) if e & 0x1f_e000 != 0 => Some("a reserved bit is set: a 2 MiB page is not aligned"),
        (true, 2, _) if !space.gigabyte => Some("a reserved bit is set: PS, and there are no 1 GiB pages"),
        (true, 2, _) if e & 0x3fff_e000 != 0 => Some("a reserved bit is set: a 1 GiB page is not aligned"),
        (false, 3.., true) => Some("a reserved bit is set: PS above the third level"),
        _ => None,
    }
}

/// Why an access is refused, in words; `None` if it is allowed.
pub fn refusal(cpu: &Cpu, space: &Space, t: &Told, access: Access, user: bool) -> Option<String> {
    let (n, level) = t.levels.iter().enumerate().next_back().map(|(n, l)| (n, *l))?;
    let at = |l: &Level| l.at.map_or_else(|| format!("register PDPTE{}", l.index), |a| format!("at {a:#x}"));
    if let Err(why) = t.phys {
        return Some(format!("{} {} {:#x}: {why}", level.name, at(&level), level.entry));
    }
    let first = |bit: u64, set: bool| {
        let l = t.levels.iter().take(n + 1).find(|l| l.at.is_some() && (l.entry & bit != 0) == set)?;
        Some(format!("{} {} {:#x}", l.name, at(l), l.entry))
    };
    if user && !t.user {
        return Some(format!("{} is for the supervisor only (U/S = 0)", first(entry::U, false)?));
    }
    let ac = cpu.rflags & 1 << 18 != 0;
    match access {
        Access::Execute if t.nx => Some(format!("{} forbids execution (NX = 1)", first(entry::NX, true)?)),
        Access::Execute if !user && space.smep && t.user => {
            Some("a user page may not be executed by the supervisor (CR4.SMEP)".into())
        }
        Access::Read | Access::Write if !user && space.smap && t.user && !ac => {
            Some("a user page may not be touched by the supervisor while EFLAGS.AC is 0 (CR4.SMAP)".into())
        }
        Access::Write if !t.write && (user || space.wp) => {
            Some(format!("{} is read-only (R/W = 0)", first(entry::W, false)?))
        }
        _ => None,
    }
}

/// The space of a processor, or the same with another CR3.
pub fn space_of(cpu: &Cpu, mem: &Memory, cr3: Option<u64>) -> Space {
    let mut s = Space::of(cpu);
    if let Some(cr3) = cr3 {
        match s.paging {
            Paging::None => {}
            Paging::Bits32 => s.root = cr3 & 0xffff_f000,
            Paging::Pae => {
                for (i, p) in s.pdpte.iter_mut().enumerate() {
                    *p = read_entry(mem, (cr3 & 0xffff_ffe0) + 8 * i as u64, 8);
                }
            }
            _ => s.root = cr3 & ADDRESS,
        }
    }
    s
}

/// Physical address of `linear` (A20 applied), if it is mapped.
pub fn physical(mem: &Memory, space: &Space, linear: u64) -> Option<u64> {
    walk(mem, space, linear).phys.ok().map(|p| mem.mask(p))
}

/// Reads bytes at `linear`; how many could be had. Chips are not touched: their bytes can't be had.
pub fn peek(mem: &Memory, space: &Space, linear: u64, to: &mut [u8]) -> usize {
    let mut done = 0;
    while done < to.len() {
        let at = linear.wrapping_add(done as u64);
        let n = (to.len() - done).min((PAGE - at % PAGE) as usize);
        match physical(mem, space, at).filter(|p| matches!(mem.read_place(p / PAGE), Place::Frame(_))) {
            Some(phys) => mem.read_physical(phys, &mut to[done..done + n]),
            None => break,
        }
        done += n;
    }
    done
}

/// Writes bytes at `linear`, ROM included; whether all of them could be.
pub fn poke(mem: &mut Memory, space: &Space, linear: u64, from: &[u8]) -> bool {
    let mut done = 0;
    while done < from.len() {
        let at = linear.wrapping_add(done as u64);
        let n = (from.len() - done).min((PAGE - at % PAGE) as usize);
        let Some(phys) = physical(mem, space, at) else { return false };
        if !poke_physical(mem, phys, &from[done..done + n]) {
            return false;
        }
        done += n;
    }
    true
}

/// Writes bytes at a physical address, ROM included; whether all of them could be.
pub fn poke_physical(mem: &mut Memory, phys: u64, from: &[u8]) -> bool {
    let mut done = 0;
    while done < from.len() {
        let at = phys.wrapping_add(done as u64);
        let n = (from.len() - done).min((PAGE - at % PAGE) as usize);
        let Place::Frame(f) = mem.read_place(at / PAGE) else { return false };
        mem.store(f, (at % PAGE) as usize, &from[done..done + n]);
        done += n;
    }
    true
}

/// The flags of an entry, as letters.
fn letters(e: u64, leaf: bool) -> String {
    let mut s = String::new();
    let bits = [
        (0, "P"),
        (1, "W"),
        (2, "U"),
        (3, "PWT"),
        (4, "PCD"),
        (5, "A"),
        (6, "D"),
        (7, "PS"),
        (8, "G"),
        (63, "NX"),
    ];
    for (bit, name) in bits {
        if e >> bit & 1 != 0 && (leaf || bit != 6 && bit != 8) {
            let name = if bit == 7 && leaf { "PS/PAT" } else { name };
            let _ = write!(s, "{}{name}", if s.is_empty() { "" } else { " " });
        }
    }
    s
}

/// A walk in words, a level a line.
pub fn explain(cpu: &Cpu, mem: &Memory, linear: u64, cr3: Option<u64>) -> String {
    let space = space_of(cpu, mem, cr3);
    let t = walk(mem, &space, linear);
    let mut out = String::new();
    let mode = match space.paging {
        Paging::None => "no paging: linear is physical",
        Paging::Bits32 => "32-bit paging",
        Paging::Pae => "PAE paging",
        Paging::Level4 => "4-level paging",
        Paging::Level5 => "5-level paging",
    };
    let _ = writeln!(out, "linear {linear:#x}, {mode}, root {:#x}", space.root);
    if cpu.msr.efer & efer::LMA != 0 && !lucid86_cpu::mmu::is_canonical(linear, cpu.cr4 & cr4::LA57 != 0) {
        let _ = writeln!(out, "  not canonical: #GP (or #SS) before any walk");
        return out;
    }
    for l in &t.levels {
        let at = l.at.map_or_else(|| "register".to_string(), |a| format!("{a:#x}"));
        let _ = writeln!(
            out,
            "  {:5} [{:3}] at {at:>12}: {:#018x} {}",
            l.name,
            l.index,
            l.entry,
            letters(l.entry, l.leaf)
        );
    }
    match t.phys {
        Ok(p) => {
            let rights = format!(
                "{}{}{}",
                if t.user { "user" } else { "supervisor" },
                if t.write { ", writable" } else { ", read-only" },
                if t.nx { ", no execution" } else { ", executable" }
            );
            let _ = writeln!(out, "  physical {:#x}, {} KiB page, {rights}", p, t.size >> 10);
            for (access, name) in
                [(Access::Read, "load"), (Access::Write, "store"), (Access::Execute, "fetch")]
            {
                for user in [false, true] {
                    if let Some(why) = refusal(cpu, &space, &t, access, user) {
                        let who = if user { "user" } else { "supervisor" };
                        let _ = writeln!(out, "  a {who} {name} is refused: {why}");
                    }
                }
            }
        }
        Err(_) => {
            let why = refusal(cpu, &space, &t, Access::Read, false).unwrap_or_default();
            let _ = writeln!(out, "  page fault: {why}");
        }
    }
    out
}
