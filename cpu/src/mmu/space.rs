//! An address space as a value and the page walker, one function over it.
//!
//! Follows Intel SDM volume 3, chapter 4: 4.3 (32-bit), 4.4 (PAE), 4.5 (4-level), 4.6 (access rights), 4.7 (error codes),
//! 4.8 (accessed and dirty). Not here: caching ([`super::tlb`]).

use super::{Access, View};
use crate::memory::{Memory, PAGE, Place};
use crate::model::Feature;
use crate::state::{Cpu, cr0, cr4, efer};

/// How linear addresses become physical ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paging {
    /// Linear is physical.
    #[default]
    None,
    /// Two levels of 4-byte entries.
    Bits32,
    /// PAE: four PDPTE registers and two levels of 8-byte entries.
    Pae,
    /// Four levels of 8-byte entries.
    Level4,
    /// Five levels (LA57).
    Level5,
}

/// Everything that a translation depends on besides memory and the kind of access.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Paging mode.
    pub paging: Paging,
    /// Physical address of the top table (zero for PAE and no paging).
    pub root: u64,
    /// The PAE page-directory-pointer entries (zero in other modes).
    pub pdpte: [u64; 4],
    /// CR0.WP: supervisor stores obey the W bit.
    pub wp: bool,
    /// EFER.NXE in a mode that knows it.
    pub nxe: bool,
    /// CR4.SMEP.
    pub smep: bool,
    /// CR4.SMAP.
    pub smap: bool,
    /// CR4.PSE, for 32-bit paging.
    pub pse: bool,
    /// PSE-36: 4 MiB pages above 4 GiB.
    pub pse36: bool,
    /// 1 GiB pages exist.
    pub gigabyte: bool,
    /// Physical address width.
    pub phys_bits: u8,
}

impl Space {
    /// The space that a processor translates by now.
    pub fn of(cpu: &Cpu) -> Space {
        let phys_bits = cpu.model.phys_bits();
        if cpu.cr0 & cr0::PG == 0 {
            return Space { phys_bits, ..Space::default() };
        }
        let has = |bit: u64| cpu.cr4 & bit != 0;
        let paging = if !has(cr4::PAE) {
            Paging::Bits32
        } else if cpu.msr.efer & efer::LMA == 0 {
            Paging::Pae
        } else if has(cr4::LA57) {
            Paging::Level5
        } else {
            Paging::Level4
        };
        let (root, pdpte) = match paging {
            Paging::Bits32 => (cpu.cr3 & 0xffff_f000, [0; 4]),
            Paging::Pae => (0, cpu.pdpte),
            _ => (cpu.cr3 & 0x000f_ffff_ffff_f000, [0; 4]),
        };
        Space {
            paging,
            root,
            pdpte,
            wp: cpu.cr0 & cr0::WP != 0,
            nxe: paging != Paging::Bits32 && cpu.msr.efer & efer::NXE != 0,
            smep: has(cr4::SMEP),
            smap: has(cr4::SMAP),
            pse: has(cr4::PSE),
            pse36: cpu.model.has(Feature::Pse36),
            gigabyte: cpu.model.has(Feature::Pdpe1gb),
            phys_bits,
        }
    }
}

/// Bits of paging-structure entries.
#[allow(missing_docs)]
pub mod entry {
    pub const P: u64 = 1 << 0;
    pub const W: u64 = 1 << 1;
    pub const U: u64 = 1 << 2;
    pub const A: u64 = 1 << 5;
    pub const D: u64 = 1 << 6;
    pub const PS: u64 = 1 << 7;
    pub const NX: u64 = 1 << 63;
}

/// Bits of a page fault's error code.
#[allow(missing_docs)]
pub mod pf {
    pub const P: u32 = 1 << 0;
    pub const W: u32 = 1 << 1;
    pub const U: u32 = 1 << 2;
    pub const RSVD: u32 = 1 << 3;
    pub const I: u32 = 1 << 4;
}

/// One entry that a walk read.
#[derive(Clone, Copy, Debug, Default)]
pub struct Step {
    /// Frame of the table.
    pub frame: u32,
    /// Byte offset of the entry in the frame.
    pub offset: u16,
    /// log2 of the bytes that one entry of this table maps.
    pub shift: u8,
    /// Bytes in an entry: 4 or 8.
    pub size: u8,
}

/// A successful walk: where the 4 KiB page lies and what may be done with it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Walk {
    /// Physical address of the 4 KiB page (before A20).
    pub phys: u64,
    /// U/S of all levels.
    pub user: bool,
    /// R/W of all levels.
    pub write: bool,
    /// NX of any level.
    pub nx: bool,
    /// D of the leaf (after this walk).
    pub dirty: bool,
    /// Tables read, from the top; `count` of them.
    pub steps: [Step; 5],
    /// How many of `steps` are valid.
    pub count: usize,
    /// The last table, if it is one of 8-byte entries that map 4 KiB each.
    pub last: Option<Last>,
}

/// The last table of a walk and the rights that the tables above it leave: all walks for the 2 MiB that it maps end there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Last {
    /// Physical address of the table.
    pub table: u64,
    /// U/S of the levels above.
    pub user: bool,
    /// R/W of the levels above.
    pub write: bool,
    /// NX of any level above.
    pub nx: bool,
}

/// As [`walk`], from the last table on. The result's `steps` have only that one.
pub fn walk_last(
    mem: &mut Memory,
    space: &Space,
    linear: u64,
    access: Access,
    view: View,
    last: Last,
) -> Result<Walk, u32> {
    let w = Walk { user: last.user, write: last.write, nx: last.nx, ..Walk::default() };
    walk64(mem, space, linear, access, view, w, last.table, 1)
}

impl Walk {
    /// Whether rights allow `access` (dirty left aside).
    pub fn allows(&self, space: &Space, access: Access, view: View) -> bool {
        let user = view == View::User;
        if space.paging == Paging::None {
            return true;
        }
        if user && !self.user {
            return false;
        }
        match access {
            Access::Execute => !self.nx && (user || !(space.smep && self.user)),
            _ if view == View::Supervisor && space.smap && self.user => false,
            Access::Read => true,
            Access::Write => self.write || (!user && !space.wp),
        }
    }
}

/// The error code of a fault for this kind of access; `bits` are P and RSVD.
fn code(space: &Space, access: Access, view: View, bits: u32) -> u32 {
    let mut c = bits;
    if access == Access::Write {
        c |= pf::W;
    }
    if view == View::User {
        c |= pf::U;
    }
    if access == Access::Execute && (space.nxe || space.smep) {
        c |= pf::I;
    }
    c
}

/// Where an entry lies in memory, and its value.
struct Slot {
    phys: u64,
    size: u8,
    value: u64,
    step: Step,
}

fn read_slot(mem: &Memory, phys: u64, size: u8, shift: u8) -> Slot {
    let phys = mem.mask(phys);
    let offset = (phys % PAGE) as u16;
    match mem.read_place(phys / PAGE) {
        Place::Frame(frame) => {
            let at = frame as usize * PAGE as usize + offset as usize;
            let value = if size == 4 { u64::from(mem.ram.read::<u32>(at)) } else { mem.ram.read::<u64>(at) };
            Slot { phys, size, value, step: Step { frame, offset, shift, size } }
        }
        // Tables in chips or in nothing: all ones, as an undriven bus reads.
        _ => Slot {
            phys,
            size,
            value: if size == 4 { 0xffff_ffff } else { !0 },
            step: Step { frame: u32::MAX, offset, shift, size },
        },
    }
}

/// Sets bits in an entry as the processor's own locked update does. Translations made from the entry stay good, so
/// the store is told to nobody as a page-table change.
fn set_bits(mem: &mut Memory, slot: &Slot, bits: u64) {
    if slot.value & bits == bits {
        return;
    }
    if let Place::Frame(frame) = mem.write_place(slot.phys / PAGE) {
        let v = slot.value | bits;
        mem.store_by_walk(frame, slot.step.offset as usize, &v.to_le_bytes()[..slot.size as usize]);
    }
}

/// Translates `linear` for `access` with the rights of `view`, sets accessed and dirty bits as the access requires.
/// The error is the page fault's error code.
pub fn walk(mem: &mut Memory, space: &Space, linear: u64, access: Access, view: View) -> Result<Walk, u32> {
    let mut w = Walk { user: true, write: true, ..Walk::default() };
    match space.paging {
        Paging::None => {
            w.phys = linear & 0xffff_ffff & !(PAGE - 1);
            w.dirty = true;
            Ok(w)
        }
        Paging::Bits32 => walk32(mem, space, linear, access, view, w),
        Paging::Pae => {
            let top = space.pdpte[(linear >> 30) as usize & 3];
            if top & entry::P == 0 {
                return Err(code(space, access, view, 0));
            }
            walk64(mem, space, linear, access, view, w, top & 0x000f_ffff_ffff_f000, 2)
        }
        Paging::Level4 => walk64(mem, space, linear, access, view, w, space.root, 4),
        Paging::Level5 => walk64(mem, space, linear, access, view, w, space.root, 5),
    }
}

/// Rights are known: faults, or sets the leaf's bits and completes the walk.
fn finish(
    mem: &mut Memory,
    space: &Space,
    access: Access,
    view: View,
    mut w: Walk,
    leaf: &Slot,
) -> Result<Walk, u32> {
    if !w.allows(space, access, view) {
        return Err(code(space, access, view, pf::P));
    }
    let bits = if access == Access::Write { entry::A | entry::D } else { entry::A };
    set_bits(mem, leaf, bits);
    w.dirty = (leaf.value | bits) & entry::D != 0;
    Ok(w)
}

fn walk32(
    mem: &mut Memory,
    space: &Space,
    linear: u64,
    access: Access,
    view: View,
    mut w: Walk,
) -> Result<Walk, u32> {
    let pde = read_slot(mem, space.root + (linear >> 22 & 0x3ff) * 4, 4, 22);
    w.steps[0] = pde.step;
    w.count = 1;
    let e = pde.value;
    if e & entry::P == 0 {
        return Err(code(space, access, view, 0));
    }
    w.user &= e & entry::U != 0;
    w.write &= e & entry::W != 0;
    if e & entry::PS != 0 && space.pse {
        // Bit 21 is reserved; bits 20:13 are address bits 39:32 with PSE-36 (those above the width reserved).
        let high = e >> 13 & 0xff;
        let width = if space.pse36 { space.phys_bits.min(40) - 32 } else { 0 };
        if e & 1 << 21 != 0 || high >> width != 0 {
            return Err(code(space, access, view, pf::P | pf::RSVD));
        }
        w.phys = (e & 0xffc0_0000) | high << 32 | (linear & 0x3f_f000);
        return finish(mem, space, access, view, w, &pde);
    }
    set_bits(mem, &pde, entry::A);
    let pte = read_slot(mem, (e & 0xffff_f000) + (linear >> 12 & 0x3ff) * 4, 4, 12);
    w.steps[1] = pte.step;
    w.count = 2;
    let e = pte.value;
    if e & entry::P == 0 {
        return Err(code(space, access, view, 0));
    }
    w.user &= e & entry::U != 0;
    w.write &= e & entry::W != 0;
    w.phys = e & 0xffff_f000;
    finish(mem, space, access, view, w, &pte)
}

#[allow(clippy::too_many_arguments)]
fn walk64(
    mem: &mut Memory,
    space: &Space,
    linear: u64,
    access: Access,
    view: View,
    mut w: Walk,
    root: u64,
    levels: u8,
) -> Result<Walk, u32> {
    let address = ((1u64 << space.phys_bits) - 1) & 0x000f_ffff_ffff_f000;
    let mut reserved = !address & 0x000f_ffff_ffff_f000;
    if !space.nxe {
        reserved |= entry::NX;
    }
    if space.paging == Paging::Pae {
        reserved |= 0x7ff0_0000_0000_0000; // bits 62:52
    }
    let mut table = root;
    let mut level = levels;
    loop {
        let shift = 12 + 9 * (level - 1);
        let slot = read_slot(mem, table + (linear >> shift & 0x1ff) * 8, 8, shift);
        w.steps[w.count] = slot.step;
        w.count += 1;
        let e = slot.value;
        if e & entry::P == 0 {
            return Err(code(space, access, view, 0));
        }
        let leaf = level == 1 || e & entry::PS != 0;
        let mut bad = reserved;
        if leaf && level > 1 {
            // PS above level 3 is reserved; so is it at level 3 without 1 GiB pages; so are a large page's low address
            // bits (bit 12 is PAT).
            bad |= match level {
                2 => 0x001f_e000,
                3 if space.gigabyte => 0x3fff_e000,
                _ => entry::PS,
            };
        }
        if e & bad != 0 {
            return Err(code(space, access, view, pf::P | pf::RSVD));
        }
        if level == 1 {
            w.last = Some(Last { table, user: w.user, write: w.write, nx: w.nx });
        }
        w.user &= e & entry::U != 0;
        w.write &= e & entry::W != 0;
        w.nx |= e & entry::NX != 0;
        if leaf {
            let within = (1u64 << shift) - 1;
            w.phys = (e & address & !within) | (linear & within & !(PAGE - 1));
            return finish(mem, space, access, view, w, &slot);
        }
        set_bits(mem, &slot, entry::A);
        table = e & address;
        level -= 1;
    }
}
