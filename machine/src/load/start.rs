//! The processor's state at a kernel's first instruction: flat segments, interrupts off.

use lucid86_cpu::Cpu;
use lucid86_cpu::state::{Segment, TableReg, attr, cr0, cr4, efer, gpr};

use super::Target;

/// How a loaded kernel starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// 32-bit protected mode, paging off, selectors 10h and 18h, with these registers.
    Protected {
        /// First instruction.
        eip: u32,
        /// EAX.
        eax: u32,
        /// EBX.
        ebx: u32,
        /// ESI.
        esi: u32,
    },
    /// Real mode: all data segments `segment`, code segment `entry` from its start, with this stack pointer.
    Real {
        /// DS, ES, FS, GS, SS.
        segment: u16,
        /// CS; IP is 0.
        entry: u16,
        /// SP.
        stack: u16,
    },
    /// 64-bit mode, the first 4 GiB mapped one to one.
    Long {
        /// First instruction.
        rip: u64,
    },
}

/// Where the descriptor table for the start stands, and the page tables for a start in 64-bit mode after it.
const GDT: u64 = 0x9_2000;
const PAGES: u64 = 0x9_3000;
/// Top of a stack for kernels that expect one.
const STACK: u64 = 0x9_0000;

/// Null, null, 32-bit code, data, 64-bit code.
const DESCRIPTORS: [u64; 5] = [0, 0, 0x00cf_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x00af_9b00_0000_ffff];

fn flat(selector: u16, kind: u16) -> Segment {
    Segment {
        base: 0,
        limit: !0,
        attr: kind | attr::S | attr::P | attr::G | attr::ACCESSED | attr::RW,
        selector,
    }
}

impl Entry {
    /// Writes what the start needs into memory and sets the processor's registers.
    pub fn start(self, target: &mut Target, cpu: &mut Cpu) {
        if let Entry::Real { segment, entry, stack } = self {
            return start_real(cpu, segment, entry, stack);
        }
        let table: Vec<u8> = DESCRIPTORS.iter().flat_map(|d| d.to_le_bytes()).collect();
        target.mem.write_physical(GDT, &table);
        cpu.gdtr = TableReg { base: GDT, limit: table.len() as u16 - 1 };
        // Firmware's, which kernels that go back to real mode take for granted.
        cpu.idtr = TableReg { base: 0, limit: 0x3ff };
        cpu.gpr = [0; 16];
        cpu.gpr[gpr::RSP] = STACK;
        cpu.rflags = 2;
        cpu.cr0 = cr0::PE | cr0::ET;
        cpu.cpl = 0;
        cpu.seg = [flat(0x18, attr::DB); 6];
        match self {
            Entry::Real { .. } => {}
            Entry::Protected { eip, eax, ebx, esi } => {
                cpu.seg[1] = flat(0x10, attr::CODE | attr::DB);
                cpu.rip = eip.into();
                cpu.gpr[gpr::RAX] = eax.into();
                cpu.gpr[gpr::RBX] = ebx.into();
                cpu.gpr[gpr::RSI] = esi.into();
            }
            Entry::Long { rip } => {
                cpu.seg[1] = flat(0x20, attr::CODE | attr::L);
                map_four_gib(target);
                cpu.cr3 = PAGES;
                cpu.cr4 |= cr4::PAE;
                cpu.cr0 |= cr0::PG;
                cpu.msr.efer |= efer::LME | efer::LMA;
                cpu.rip = rip;
            }
        }
    }
}

/// Real mode with the interrupt table that firmware has set up.
fn start_real(cpu: &mut Cpu, segment: u16, entry: u16, stack: u16) {
    let real = |selector: u16| Segment {
        base: u64::from(selector) << 4,
        limit: 0xffff,
        attr: attr::P | attr::S | attr::RW | attr::ACCESSED,
        selector,
    };
    cpu.cr0 &= !(cr0::PE | cr0::PG);
    cpu.cpl = 0;
    cpu.seg = [real(segment); 6];
    cpu.seg[1] = real(entry);
    cpu.gpr = [0; 16];
    cpu.gpr[gpr::RSP] = stack.into();
    cpu.rflags = 2;
    cpu.rip = 0;
}

/// Page tables of 2 MiB pages: one PML4, one PDPT, four page directories.
fn map_four_gib(target: &mut Target) {
    const PRESENT_WRITABLE: u64 = 3;
    const LARGE: u64 = 0x80;
    let mut put = |at: u64, entry: u64| target.mem.write_physical(at, &entry.to_le_bytes());
    put(PAGES, (PAGES + 0x1000) | PRESENT_WRITABLE);
    for i in 0..4 {
        put(PAGES + 0x1000 + 8 * i, (PAGES + 0x2000 + 0x1000 * i) | PRESENT_WRITABLE);
    }
    for i in 0..2048 {
        put(PAGES + 0x2000 + 8 * i, i << 21 | PRESENT_WRITABLE | LARGE);
    }
}
