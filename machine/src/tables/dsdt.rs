//! The DSDT: what an operating system can't find out by itself. PCI root and its windows, interrupt routing through the
//! PIIX3's four links, the chips behind the ISA bridge, the way to switch off.
//!
//! ACPI specification 6.4, sections 5.2.11.1, 6.1-6.2, 7.4.2; 82371SB (PIIX3) datasheet section 4.1.7 (PIRQRC[A:D]).

use super::Platform;
use super::aml::*;

/// Interrupts that a link may be routed to.
const LINK_CHOICES: [u32; 3] = [5, 10, 11];

/// The table's body, without header.
pub fn body(p: &Platform) -> Aml {
    list(&[
        scope("\\_SB", &[pci_root(p), links(), hpet(p), processors(p)]),
        // SLP_TYP of S5 for both control blocks: PIIX4 datasheet, PMCNTRL bits 12:10, 000 is soft off.
        define("\\_S5", package(&[int(0), int(0), int(0), int(0)])),
    ])
}

fn pci_root(p: &Platform) -> Aml {
    device(
        "PCI0",
        &[
            define("_HID", eisa_id("PNP0A03")),
            define("_ADR", int(0)),
            define("_UID", int(0)),
            define("_CRS", windows(p)),
            define("_PRT", routing()),
            isa_bridge(),
        ],
    )
}

fn windows(p: &Platform) -> Aml {
    resources(&[
        word_window(Range::Bus, 0, 0xff),
        io(0x0cf8, 8),
        word_window(Range::Io, 0, 0x0cf7),
        word_window(Range::Io, 0x0d00, 0xffff),
        dword_window(Range::Memory(true), 0xa_0000, 0xb_ffff),
        dword_window(Range::Memory(false), p.pci_hole_start, 0xfebf_ffff),
    ])
}

/// For each slot and pin the link that it is wired to: pin A of slot 1 to link A, one further with each slot and pin.
fn routing() -> Aml {
    let mut rows = Vec::new();
    for slot in 0..32u64 {
        for pin in 0..4u64 {
            let link = ["LNKA", "LNKB", "LNKC", "LNKD"][((slot + pin + 3) % 4) as usize];
            rows.push(package(&[int(slot << 16 | 0xffff), int(pin), name(&format!("\\_SB.{link}")), int(0)]));
        }
    }
    package(&rows)
}

fn isa_bridge() -> Aml {
    device(
        "ISA",
        &[
            define("_ADR", int(0x0001_0000)),
            pci_region("P40C", 0x60, 4),
            byte_fields("P40C", &["PRQ0", "PRQ1", "PRQ2", "PRQ3"]),
            simple("KBD", "PNP0303", &[io(0x60, 1), io(0x64, 1), irq(1)]),
            simple("MOU", "PNP0F13", &[irq(12)]),
            simple("RTC", "PNP0B00", &[io(0x70, 8), irq(8)]),
            simple("FDC0", "PNP0700", &[io(0x3f2, 4), io(0x3f7, 1), irq(6), dma(2)]),
            numbered("LPT1", "PNP0400", 1, &[io(0x378, 8), irq(7)]),
            numbered("COM1", "PNP0501", 1, &[io(0x3f8, 8), irq(4)]),
            numbered("COM2", "PNP0501", 2, &[io(0x2f8, 8), irq(3)]),
            numbered("COM3", "PNP0501", 3, &[io(0x3e8, 8), irq(4)]),
            numbered("COM4", "PNP0501", 4, &[io(0x2e8, 8), irq(3)]),
        ],
    )
}

fn simple(path: &str, id: &str, crs: &[Aml]) -> Aml {
    device(path, &[define("_HID", eisa_id(id)), define("_STA", int(15)), define("_CRS", resources(crs))])
}

fn numbered(path: &str, id: &str, uid: u64, crs: &[Aml]) -> Aml {
    device(
        path,
        &[
            define("_HID", eisa_id(id)),
            define("_UID", int(uid)),
            define("_STA", int(15)),
            define("_CRS", resources(crs)),
        ],
    )
}

fn links() -> Aml {
    (0..4).flat_map(link).collect()
}

/// A PCI interrupt link: PIRQRC bit 7 set means not routed, bits 3:0 are the IRQ.
fn link(i: u64) -> Aml {
    let path = ["LNKA", "LNKB", "LNKC", "LNKD"][i as usize];
    let route = || name(&format!("\\_SB.PCI0.ISA.PRQ{i}"));
    device(
        path,
        &[
            define("_HID", eisa_id("PNP0C0F")),
            define("_UID", int(i)),
            define("_PRS", resources(&[interrupts(&LINK_CHOICES)])),
            define("CURR", resources(&[interrupts(&[0])])),
            method("_STA", 0, &[if_then(and(route(), int(0x80)), &[give(int(9))]), give(int(11))]),
            method("_DIS", 0, &[or_into(route(), int(0x80), route())]),
            method(
                "_CRS",
                0,
                &[
                    dword_field(name("CURR"), 5, "IRQV"),
                    store(and(route(), int(15)), name("IRQV")),
                    if_then(and(route(), int(0x80)), &[store(int(0), name("IRQV"))]),
                    give(name("CURR")),
                ],
            ),
            method("_SRS", 1, &[dword_field(arg0(), 5, "IRQV"), store(name("IRQV"), route())]),
        ],
    )
}

fn hpet(p: &Platform) -> Aml {
    if !p.hpet {
        return Vec::new();
    }
    simple("HPET", "PNP0103", &[memory32(0xfed0_0000, 0x400)])
}

fn processors(p: &Platform) -> Aml {
    (0..p.cpus)
        .flat_map(|i| {
            device(
                &format!("C{i:03X}"),
                &[
                    define("_HID", aml_string("ACPI0007")),
                    define("_UID", int(i as u64)),
                    define("_STA", int(15)),
                ],
            )
        })
        .collect()
}

fn aml_string(s: &str) -> Aml {
    [&[0x0d][..], s.as_bytes(), &[0]].concat()
}
