//! Tables older than ACPI: MP (Intel MultiProcessor Specification 1.4, chapter 4), PCI interrupt routing ("$PIR", Microsoft
//! PCI IRQ Routing Table Specification 1.0), SMBIOS (DSP0134 2.8).

use super::Platform;
use super::acpi::checksum;

/// MP floating pointer structure that points at a configuration table at `table`.
pub fn mp_pointer(table: u32) -> Vec<u8> {
    let mut f = b"_MP_".to_vec();
    f.extend(table.to_le_bytes());
    f.extend([1, 4, 0, 0, 0, 0, 0, 0]);
    f[10] = checksum(&f);
    f
}

/// MP configuration table.
pub fn mp_table(p: &Platform) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0u16;
    let mut put = |e: &[u8]| {
        entries.extend_from_slice(e);
        count += 1;
    };
    for i in 0..p.cpus as u8 {
        let mut e = vec![0, i, 0x14, if i == 0 { 3 } else { 1 }];
        e.extend(p.cpu_signature.to_le_bytes());
        e.extend(p.cpu_features.to_le_bytes());
        e.extend([0; 8]);
        put(&e);
    }
    put(b"\x01\x00PCI   ");
    put(b"\x01\x01ISA   ");
    put(&[2, p.ioapic_id, 0x11, 1, 0, 0, 0xc0, 0xfe]);
    for slot in 0..32u8 {
        for pin in 0..4u8 {
            let irq = [10, 10, 11, 11][usize::from(slot + pin + 3) % 4];
            put(&[3, 0, 0x0d, 0, 0, slot << 2 | pin, p.ioapic_id, irq]); // active high, level
        }
    }
    for irq in (0..16u8).filter(|i| ![2, 10, 11].contains(i)) {
        let pin = if irq == 0 { 2 } else { irq };
        put(&[3, 0, 0, 0, 1, irq, p.ioapic_id, pin]);
    }
    put(&[4, 3, 0, 0, 0, 0, 0xff, 0]); // ExtINT on LINT0
    put(&[4, 1, 0, 0, 0, 0, 0xff, 1]); // NMI on LINT1
    let mut t = b"PCMP".to_vec();
    t.extend((44 + entries.len() as u16).to_le_bytes());
    t.extend([4, 0]);
    t.extend(b"LUCID86 ");
    t.extend(b"440FX       ");
    t.extend([0; 6]);
    t.extend(count.to_le_bytes());
    t.extend(0xfee0_0000u32.to_le_bytes());
    t.extend([0; 4]);
    t.extend(entries);
    t[7] = checksum(&t);
    t
}

/// PCI interrupt routing table: slots 1 to 6 and their links.
pub fn pir() -> Vec<u8> {
    let slots = 6u8;
    let mut t = b"$PIR".to_vec();
    t.extend([0, 1]);
    t.extend((32 + 16 * u16::from(slots)).to_le_bytes());
    t.extend([0, 1 << 3]); // router: bus 0, device 1, function 0
    t.extend([0, 0]); // no interrupt is PCI's alone
    t.extend(0x7000_8086u32.to_le_bytes()); // compatible router: PIIX3
    t.extend([0; 4 + 11 + 1]);
    for slot in 1..=slots {
        t.extend([0, slot << 3]);
        for pin in 0..4u8 {
            t.push(0x60 + (slot + pin + 3) % 4); // link value: the router's register
            t.extend(0x0c20u16.to_le_bytes()); // IRQ 5, 10, 11
        }
        t.extend([if slot == 1 { 0 } else { slot }, 0]);
    }
    t[31] = checksum(&t);
    t
}

/// SMBIOS structures, and the entry point for them at `table`.
pub fn smbios(p: &Platform, table: u32) -> (Vec<u8>, Vec<u8>) {
    let mut b = Vec::new();
    let mut count = 0u16;
    let mut largest = 0u16;
    let mut put = |kind: u8, formatted: &[u8], strings: &[&str]| {
        let start = b.len();
        b.extend([kind, 4 + formatted.len() as u8]);
        b.extend(count.to_le_bytes());
        b.extend(formatted);
        for s in strings {
            b.extend(s.as_bytes());
            b.push(0);
        }
        b.extend(if strings.is_empty() { &[0u8, 0][..] } else { &[0][..] });
        count += 1;
        largest = largest.max((b.len() - start) as u16);
    };
    // 0: BIOS. Characteristics: PCI, selectable boot, EDD; extension: ACPI.
    let mut bios = vec![1, 2, 0x00, 0xe8, 3, 1];
    bios.extend((1u64 << 7 | 1 << 15 | 1 << 16 | 1 << 19).to_le_bytes());
    bios.extend([1, 0, 0, 1, 0xff, 0xff]);
    put(0, &bios, &["Lucid86", env!("CARGO_PKG_VERSION"), "01/01/2024"]);
    // 1: system.
    let mut system = vec![1, 2, 3, 0];
    system.extend(p.uuid);
    system.extend([6, 0, 0]);
    put(1, &system, &["Lucid86", "440FX PC", env!("CARGO_PKG_VERSION")]);
    // 3: chassis.
    put(3, &[1, 1, 0, 0, 0, 3, 3, 3, 2, 0, 0, 0, 0, 0, 0, 0, 0], &["Lucid86"]);
    // 4: processors.
    for i in 0..p.cpus {
        let mut cpu = vec![1, 3, 0x01, 2];
        cpu.extend(p.cpu_signature.to_le_bytes());
        cpu.extend(p.cpu_features.to_le_bytes());
        cpu.extend([3, 0]);
        for v in [0u16, 1000, 1000] {
            cpu.extend(v.to_le_bytes()); // external clock unknown; 1000 MHz
        }
        cpu.extend([0x41, 1]);
        cpu.extend([0xff; 6]); // no caches described
        cpu.extend([0, 0, 0, 1, 1, 1, 0, 0]);
        cpu.extend(1u16.to_le_bytes());
        put(4, &cpu, &[&format!("CPU {i}"), "Lucid86"]);
    }
    // 16: physical memory array; 17: one module; 19: its range.
    let kib = p.memory >> 10;
    let mut array = vec![1, 3, 6];
    array.extend(if kib < 1 << 31 { kib as u32 } else { 1 << 31 }.to_le_bytes());
    array.extend([0xfe, 0xff, 1, 0]);
    array.extend(if kib < 1 << 31 { 0 } else { p.memory }.to_le_bytes());
    let handle = 3 + p.cpus as u16;
    put(16, &array, &[]);
    let mut module = handle.to_le_bytes().to_vec();
    module.extend([0xfe, 0xff, 64, 0, 64, 0]);
    let mib = p.memory >> 20;
    module.extend(if mib < 0x7fff { mib as u16 } else { 0x7fff }.to_le_bytes());
    module.extend([9, 0, 1, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    module.extend(if mib < 0x7fff { 0 } else { mib as u32 }.to_le_bytes());
    module.extend([0, 0]);
    put(17, &module, &["DIMM 0"]);
    let mut range = 0u32.to_le_bytes().to_vec();
    range.extend((((p.memory >> 10).max(1) - 1) as u32).to_le_bytes());
    range.extend(handle.to_le_bytes());
    range.push(1);
    put(19, &range, &[]);
    put(32, &[0, 0, 0, 0, 0, 0, 0], &[]);
    put(127, &[], &[]);
    let mut e = b"_SM_\0\x1f\x02\x08".to_vec();
    e.extend(largest.to_le_bytes());
    e.push(0);
    e.extend([0; 5]);
    e.extend(b"_DMI_\0");
    e.extend((b.len() as u16).to_le_bytes());
    e.extend(table.to_le_bytes());
    e.extend(count.to_le_bytes());
    e.push(0x28);
    e[21] = checksum(&e[16..]);
    e[4] = checksum(&e);
    (e, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(b: &[u8]) -> u8 {
        b.iter().fold(0, |a: u8, x| a.wrapping_add(*x))
    }

    #[test]
    fn checksums_hold() {
        let p = Platform::default();
        assert_eq!(sum(&mp_pointer(0xf1234)), 0);
        assert_eq!(sum(&mp_table(&p)), 0);
        assert_eq!(sum(&pir()), 0);
        assert_eq!(pir().len(), 32 + 6 * 16);
        let (entry, table) = smbios(&p, 0xe1000);
        assert_eq!((entry.len(), sum(&entry), sum(&entry[16..])), (31, 0, 0));
        assert_eq!(usize::from(u16::from_le_bytes([entry[22], entry[23]])), table.len());
    }
}
