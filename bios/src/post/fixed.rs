//! Entry points and tables that programs have called by address since the first PC.
//!
//! IBM PC/AT Technical Reference, ROM listing; "BIOS compatibility entry points" of every clone since.

use crate::asm::{Asm, asm};

/// Address, name, what it jumps to.
const ENTRIES: [(i32, &str, &str); 17] = [
    (0xE05B, "fixed_post", "post"),
    (0xE2C3, "fixed_nmi", "nmi"),
    (0xE3FE, "fixed_int13", "int13"),
    (0xE6F2, "fixed_int19", "int19"),
    (0xE739, "fixed_int14", "int14"),
    (0xE82E, "fixed_int16", "int16"),
    (0xE987, "fixed_int09", "int09"),
    (0xEC59, "fixed_int40", "int40"),
    (0xEF57, "fixed_int0e", "int0e"),
    (0xEFD2, "fixed_int17", "int17"),
    (0xF065, "fixed_int10", "int10"),
    (0xF841, "fixed_int12", "int12"),
    (0xF84D, "fixed_int11", "int11"),
    (0xF859, "fixed_int15", "int15"),
    (0xFE6E, "fixed_int1a", "int1a"),
    (0xFEA5, "fixed_int08", "int08"),
    (0xFF54, "fixed_int05", "int05"),
];

/// Diskette parameters for 1.44 MB: step rate and head unload, head load and DMA, motor off after 37 ticks, 512-byte
/// sectors, 18 of them, gap 1Bh, data length, format gap 6Ch, fill F6h, settle 15 ms, motor on after 8/8 s; then last
/// cylinder, data rate and drive type.
pub(crate) const DISKETTE: [u8; 14] =
    [0xAF, 0x02, 0x25, 0x02, 0x12, 0x1B, 0xFF, 0x6C, 0xF6, 0x0F, 0x08, 0x4F, 0x00, 0x04];

/// CRT controller values for the modes of the first adapters, by INT 1Dh: 40x25, 80x25, graphics, monochrome; then
/// lengths, columns and mode register values.
const VIDEO: [&[u8]; 7] = [
    &[0x38, 0x28, 0x2D, 0x0A, 0x1F, 0x06, 0x19, 0x1C, 0x02, 0x07, 0x06, 0x07, 0, 0, 0, 0],
    &[0x71, 0x50, 0x5A, 0x0A, 0x1F, 0x06, 0x19, 0x1C, 0x02, 0x07, 0x06, 0x07, 0, 0, 0, 0],
    &[0x38, 0x28, 0x2D, 0x0A, 0x7F, 0x06, 0x64, 0x70, 0x02, 0x01, 0x06, 0x07, 0, 0, 0, 0],
    &[0x61, 0x50, 0x52, 0x0F, 0x19, 0x06, 0x19, 0x19, 0x02, 0x0D, 0x0B, 0x0C, 0, 0, 0, 0],
    &[0x00, 0x08, 0x00, 0x10, 0x00, 0x40, 0x00, 0x40],
    &[40, 40, 80, 80, 40, 40, 80, 80],
    &[0x2C, 0x28, 0x2D, 0x29, 0x2A, 0x2E, 0x1E, 0x29],
];

pub(crate) fn entries(a: &mut Asm) {
    for (address, name, target) in ENTRIES {
        asm! { a; org address; at name; jmp target; }
    }
    asm! { a;
        org 0xE6F5;
        at "fixed_configuration"; // INT 15h AH=C0h
        dw 8;
        db 0xFC; // AT
        db 0x00;
        db 0x01;
        db 0x74; // second 8259, RTC, INT 15h AH=4Fh, wait for external event not, extended data area
        db 0x40; // INT 16h AH=09h
        db 0x00;
        db 0x00;
        db 0x00;
        org 0xE729;
        at "fixed_baud";
    }
    a.words(&[0x0417, 0x0300, 0x0180, 0x00C0, 0x0060, 0x0030, 0x0018, 0x000C]);
    asm! { a; org 0xEFC7; at "fixed_diskette_parameters"; }
    a.db(&DISKETTE[..11]);
    asm! { a; org 0xF0A4; at "fixed_video_parameters"; }
    for row in VIDEO {
        a.db(row);
    }
    asm! { a; org 0xFA6E; at "fixed_font8"; }
    for glyph in crate::video::fonts::glyphs8().iter().take(128) {
        a.db(&glyph[..]);
    }
    asm! { a;
        org 0xFEF3;
        at "fixed_vectors"; // offsets of INT 08h to 0Fh as on the first PC
    }
    a.table(&[
        "fixed_int08",
        "fixed_int09",
        "eoi_master",
        "eoi_master",
        "eoi_master",
        "eoi_master",
        "fixed_int0e",
        "eoi_spurious",
    ]);
    asm! { a;
        org 0xFF53;
        at "fixed_iret";
        iret;
        org 0xFFF0;
        at "reset";
        jmp_far 0xF000, a.o("fixed_post");
    }
    a.db(b"01/01/26");
    asm! { a;
        org 0xFFFE;
        at "fixed_model";
        db 0xFC;
        db 0x00;
    }
}
