//! The tables that tell an operating system what the machine is: ACPI, MP, SMBIOS, PCI interrupt routing.
//!
//! They are made by the machine, which knows itself. Firmware and direct loader alike leave them in the same places: what
//! is searched for at F0000h, what it points at in the last 64 KiB of RAM below 4 GiB.

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

/// The tables, ready to be put where they say that they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// What is searched for: RSDP, `_MP_`, `_SM_`, `$PIR`. For F0000h.
    pub anchors: Vec<u8>,
    /// What they point at. For RAM at `at`.
    pub body: Vec<u8>,
    /// Physical address of `body`; 0: there are none.
    pub at: u32,
    /// Physical address of the RSDP; 0: there is none.
    pub rsdp: u32,
}

/// Where the anchors go.
pub const ANCHORS: u32 = 0xf_0000;

/// Builds the tables for `p`, to stand in RAM at `at` (a 4 KiB boundary).
pub fn build(p: &Platform, at: u32) -> Tables {
    let align = |v: &mut Vec<u8>| v.resize(v.len().next_multiple_of(16), 0);
    let laid = acpi::lay(p, at);
    let mut body = laid.bytes;
    align(&mut body);
    let mp_at = at + body.len() as u32;
    body.extend(legacy::mp_table(p));
    align(&mut body);
    let (entry, structures) = legacy::smbios(p, at + body.len() as u32);
    body.extend(structures);
    let mut anchors = acpi::rsdp(laid.rsdt, laid.xsdt);
    for piece in [legacy::mp_pointer(mp_at), entry, legacy::pir()] {
        align(&mut anchors);
        anchors.extend(piece);
    }
    Tables { anchors, body, at, rsdp: ANCHORS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anchors_stand_on_paragraphs_and_everything_fits() {
        for cpus in [1, 8, 32] {
            let t = build(&Platform { cpus, ..Platform::default() }, 0x1fff_0000);
            for name in [&b"RSD PTR "[..], b"_MP_", b"_SM_", b"$PIR"] {
                let at = t.anchors.windows(name.len()).position(|w| w == name).unwrap();
                assert_eq!(at % 16, 0);
            }
            assert!(t.anchors.len() <= 512 && t.body.len() <= 0x1_0000);
            assert!(t.body.windows(4).any(|w| w == b"DSDT"));
        }
    }
}
