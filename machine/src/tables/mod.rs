//! The tables that tell an operating system what the machine is: ACPI, MP, SMBIOS, PCI interrupt routing.
//!
//! They are made by the machine, which knows itself, and stand in the BIOS's ROM area where firmware and direct loader
//! alike leave them: the larger ones in the segment E000h, what is searched for in F000h, in a place that the ROM image
//! leaves free (a symbol `tables`, else the first long run of equal bytes).

mod acpi;
mod aml;
mod dsdt;
mod legacy;

pub use acpi::{PM_BASE, SCI};

/// General capabilities of the HPET in its table: vendor 8086h, legacy routing, 64 bits, 3 timers, revision 1.
pub const HPET_ID: u32 = 0x8086_a201;

/// What the tables say.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Number of processors.
    pub cpus: usize,
    /// CPUID.1:EAX of the processors.
    pub cpu_signature: u32,
    /// CPUID.1:EDX.
    pub cpu_features: u32,
    /// Bytes of RAM.
    pub memory: u64,
    /// First address of the window of PCI below 4 GiB.
    pub pci_hole_start: u32,
    /// Whether there is an HPET.
    pub hpet: bool,
    /// Identity of the IOAPIC.
    pub ioapic_id: u8,
    /// Identity of the machine.
    pub uuid: [u8; 16],
}

impl Default for Platform {
    fn default() -> Platform {
        Platform {
            cpus: 1,
            cpu_signature: 0x663,
            cpu_features: 0x0783_fbff,
            memory: 512 << 20,
            pci_hole_start: 0xe000_0000,
            hpet: true,
            ioapic_id: 0,
            uuid: [0; 16],
        }
    }
}

/// Where the tables went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Physical address of the RSDP.
    pub rsdp: u32,
}

/// Writes the tables into `rom`, an image that ends at 100000h, at free places of it. `hint` is the offset of a place in
/// the last 64 KiB that the image reserves for them. `None` if there is no room.
pub fn place(rom: &mut [u8], hint: Option<usize>, p: &Platform) -> Option<Placed> {
    let base = 0x10_0000usize.checked_sub(rom.len())?;
    let f_start = rom.len().checked_sub(0x1_0000)?;
    let large_len = {
        let (_, smbios) = legacy::smbios(p, 0);
        acpi::lay(p, 0).bytes.len() + legacy::mp_table(p).len() + smbios.len() + 256
    };
    let large = free_run(&rom[..f_start], large_len, 64).or_else(|| {
        let at = free_run(&rom[f_start..], large_len, 64)?;
        Some(at + f_start)
    })?;
    // Everything is written at once at the end, so that the second search doesn't find the first's place.
    let address = |at: usize| (base + at) as u32;
    let laid = acpi::lay(p, address(large));
    let mut block = laid.bytes;
    block.resize(block.len().next_multiple_of(16), 0);
    let mp_at = address(large) + block.len() as u32;
    block.extend(legacy::mp_table(p));
    block.resize(block.len().next_multiple_of(16), 0);
    let (entry, structures) = legacy::smbios(p, address(large) + block.len() as u32);
    block.extend(structures);
    rom[large..large + block.len()].copy_from_slice(&block);

    let mut small = acpi::rsdp(laid.rsdt, laid.xsdt);
    for piece in [legacy::mp_pointer(mp_at), entry, legacy::pir()] {
        small.resize(small.len().next_multiple_of(16), 0);
        small.extend(piece);
    }
    let at = match hint {
        Some(at) if at >= f_start && at % 16 == 0 && at + small.len() <= rom.len() => at,
        _ => f_start + free_run(&rom[f_start..], small.len(), 16)?,
    };
    rom[at..at + small.len()].copy_from_slice(&small);
    Some(Placed { rsdp: address(at) })
}

/// First aligned run of `len` bytes that are all 00h or all FFh.
fn free_run(area: &[u8], len: usize, align: usize) -> Option<usize> {
    let mut at = 0;
    while at + len <= area.len() {
        let fill = area[at];
        let same = area[at..at + len].iter().take_while(|b| **b == fill).count();
        if same == len && (fill == 0 || fill == 0xff) {
            return Some(at);
        }
        at = (at + same.max(1)).next_multiple_of(align);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_find_room_and_the_root_pointer_is_found() {
        let mut rom = vec![0xffu8; 0x2_0000];
        rom[0x1_0000..0x1_0100].fill(0x90);
        let placed = place(&mut rom, None, &Platform::default()).unwrap();
        assert_eq!(placed.rsdp % 16, 0);
        let at = (placed.rsdp - 0xe0000) as usize;
        assert_eq!(&rom[at..at + 8], b"RSD PTR ");
        assert_eq!(rom[0x1_0000], 0x90);
        assert!(rom[..0x1_0000].windows(4).any(|w| w == b"DSDT"));
        assert_eq!(place(&mut [0x90; 0x2_0000], None, &Platform::default()), None);
    }
}
