//! ACPI tables: RSDP, RSDT, XSDT, FADT, FACS, DSDT, MADT, HPET (ACPI specification 6.4, section 5.2; HPET specification
//! 1.0a, section 3.2.4).

use super::{Platform, dsdt};

/// I/O ports of the power-management block once firmware has set it (PMBA of the PIIX4's function 3).
pub const PM_BASE: u16 = 0x600;
/// The SCI's interrupt.
pub const SCI: u8 = 9;

/// Puts a header in front of `body` and makes the checksum right.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut t = signature.to_vec();
    t.extend((36 + body.len() as u32).to_le_bytes());
    t.extend([revision, 0]);
    t.extend(b"LUCID ");
    t.extend(b"LUCID86 ");
    t.extend(1u32.to_le_bytes());
    t.extend(b"LUCD");
    t.extend(1u32.to_le_bytes());
    t.extend(body);
    t[9] = checksum(&t);
    t
}

/// The byte that makes the sum of `bytes` (with that byte still zero) zero.
pub fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |a, b| a.wrapping_add(*b)).wrapping_neg()
}

/// All tables but the RSDP, laid out from physical address `base` on (64-byte aligned), and where the RSDT and XSDT are.
pub struct Laid {
    /// The bytes from `base` on.
    pub bytes: Vec<u8>,
    /// Physical address of the RSDT.
    pub rsdt: u32,
    /// Physical address of the XSDT.
    pub xsdt: u32,
}

/// Builds the tables for `p` at `base`.
pub fn lay(p: &Platform, base: u32) -> Laid {
    let mut bytes = Vec::new();
    let put = |bytes: &mut Vec<u8>, t: &[u8]| {
        bytes.resize(bytes.len().next_multiple_of(64), 0);
        let at = base + bytes.len() as u32;
        bytes.extend_from_slice(t);
        at
    };
    let facs_at = put(&mut bytes, &facs());
    let dsdt_at = put(&mut bytes, &table(b"DSDT", 1, &dsdt::body(p)));
    let mut tables = vec![put(&mut bytes, &fadt(facs_at, dsdt_at))];
    tables.push(put(&mut bytes, &madt(p)));
    if p.hpet {
        tables.push(put(&mut bytes, &hpet()));
    }
    let rows32: Vec<u8> = tables.iter().flat_map(|t| t.to_le_bytes()).collect();
    let rows64: Vec<u8> = tables.iter().flat_map(|t| u64::from(*t).to_le_bytes()).collect();
    let rsdt = put(&mut bytes, &table(b"RSDT", 1, &rows32));
    let xsdt = put(&mut bytes, &table(b"XSDT", 1, &rows64));
    Laid { bytes, rsdt, xsdt }
}

/// The root pointer (section 5.2.5.3), revision 2: 36 bytes, to stand on a 16-byte boundary from E0000h to FFFFFh.
pub fn rsdp(rsdt: u32, xsdt: u32) -> Vec<u8> {
    let mut r = b"RSD PTR \0LUCID \x02".to_vec();
    r.extend(rsdt.to_le_bytes());
    r[8] = checksum(&r);
    r.extend(36u32.to_le_bytes());
    r.extend(u64::from(xsdt).to_le_bytes());
    r.extend([0; 4]);
    r[32] = checksum(&r);
    r
}

fn facs() -> Vec<u8> {
    let mut f = b"FACS".to_vec();
    f.extend(64u32.to_le_bytes());
    f.resize(64, 0);
    f
}

/// A generic address structure: I/O port `at` of `bits` bits.
fn io_address(at: u16, bits: u8) -> [u8; 12] {
    let [l, h] = at.to_le_bytes();
    [1, bits, 0, if bits == 8 { 1 } else { 0 }, l, h, 0, 0, 0, 0, 0, 0]
}

/// Section 5.2.9, revision 3 (244 bytes).
fn fadt(facs: u32, dsdt: u32) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(facs.to_le_bytes());
    b.extend(dsdt.to_le_bytes());
    b.extend([0, 0]); // reserved (was interrupt model); preferred profile: unspecified
    b.extend(u16::from(SCI).to_le_bytes());
    b.extend(0xb2u32.to_le_bytes()); // SMI_CMD
    b.extend([0xf1, 0xf0, 0, 0]); // ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, PSTATE_CNT
    for block in [PM_BASE, 0, PM_BASE + 4, 0, 0, PM_BASE + 8, 0, 0] {
        b.extend(u32::from(block).to_le_bytes()); // PM1a/b event, PM1a/b control, PM2, timer, GPE0, GPE1
    }
    b.extend([4, 2, 0, 4, 0, 0, 0, 0]); // lengths of PM1 event, control, PM2, timer, GPE0, GPE1; GPE1 base; _CST
    b.extend(0xfffu16.to_le_bytes()); // P_LVL2_LAT: no C2
    b.extend(0xfffu16.to_le_bytes()); // P_LVL3_LAT: no C3
    b.extend([0, 0, 0, 0]); // FLUSH_SIZE, FLUSH_STRIDE
    b.extend([0, 0]); // DUTY_OFFSET, DUTY_WIDTH
    b.extend([0x0d, 0, 0x32]); // DAY_ALRM, MON_ALRM, CENTURY in the CMOS
    b.extend(0x0002u16.to_le_bytes()); // IAPC_BOOT_ARCH: 8042; legacy devices are in the DSDT
    b.push(0);
    // WBINVD, PROC_C1, SLP_BUTTON is no fixed feature, RTC_S4, RESET_REG_SUP. PWR_BUTTON clear: a fixed feature.
    b.extend((1u32 | 1 << 2 | 1 << 5 | 1 << 7 | 1 << 10).to_le_bytes());
    b.extend(io_address(0xcf9, 8)); // RESET_REG
    b.push(6); // RESET_VALUE: hard reset
    b.extend([0, 0, 0]); // ARM boot flags, minor version
    b.extend(0u64.to_le_bytes()); // X_FIRMWARE_CTRL: the 32-bit field holds
    b.extend(u64::from(dsdt).to_le_bytes());
    for (at, bits) in
        [(PM_BASE, 32), (0, 0), (PM_BASE + 4, 16), (0, 0), (0, 0), (PM_BASE + 8, 32), (0, 0), (0, 0)]
    {
        b.extend(if bits == 0 { [0; 12] } else { io_address(at, bits) });
    }
    table(b"FACP", 3, &b)
}

/// Section 5.2.12: local APICs, the IOAPIC, what differs from identity among the ISA interrupts, the NMI pin.
fn madt(p: &Platform) -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(0xfee0_0000u32.to_le_bytes());
    b.extend(1u32.to_le_bytes()); // PCAT_COMPAT: two 8259s
    for i in 0..p.cpus as u8 {
        b.extend([0, 8, i, i, 1, 0, 0, 0]);
    }
    b.extend([1, 12, p.ioapic_id, 0]);
    b.extend(0xfec0_0000u32.to_le_bytes());
    b.extend(0u32.to_le_bytes());
    for (source, gsi, flags) in [(0u8, 2u32, 0u16), (5, 5, 13), (9, 9, 13), (10, 10, 13), (11, 11, 13)] {
        b.extend([2, 10, 0, source]);
        b.extend(gsi.to_le_bytes());
        b.extend(flags.to_le_bytes()); // 13: active high, level
    }
    b.extend([4, 6, 0xff, 0, 0, 1]); // NMI: LINT1 of all processors
    table(b"APIC", 1, &b)
}

fn hpet() -> Vec<u8> {
    let mut b = Vec::new();
    b.extend(super::HPET_ID.to_le_bytes());
    b.extend([0, 64, 0, 0]); // memory, 64 bits wide
    b.extend(0xfed0_0000u64.to_le_bytes());
    b.extend([0, 100, 0, 0]); // sequence, minimum tick, page protection
    table(b"HPET", 1, &b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(b: &[u8]) -> u8 {
        b.iter().fold(0, |a: u8, x| a.wrapping_add(*x))
    }

    #[test]
    fn every_table_sums_to_zero_and_is_reached() {
        let p = Platform { cpus: 4, ..Platform::default() };
        let laid = lay(&p, 0xe0000);
        let at = |a: u32| &laid.bytes[(a - 0xe0000) as usize..];
        let whole = |a: u32| {
            let t = at(a);
            let n = u32::from_le_bytes(t[4..8].try_into().unwrap()) as usize;
            &t[..n]
        };
        let rsdt = whole(laid.rsdt);
        assert_eq!((&rsdt[..4], sum(rsdt)), (&b"RSDT"[..], 0));
        for row in rsdt[36..].chunks(4) {
            let t = whole(u32::from_le_bytes(row.try_into().unwrap()));
            assert_eq!(sum(t), 0);
            if &t[..4] == b"FACP" {
                assert_eq!(t.len(), 244);
                let dsdt = whole(u32::from_le_bytes(t[40..44].try_into().unwrap()));
                assert_eq!((&dsdt[..4], sum(dsdt)), (&b"DSDT"[..], 0));
            }
        }
        assert_eq!(sum(&rsdp(1, 2)), 0);
        assert_eq!(sum(&rsdp(1, 2)[..20]), 0);
    }
}
