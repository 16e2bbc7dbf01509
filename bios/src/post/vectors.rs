//! The interrupt vectors.

use crate::asm::{Asm, asm};

/// Vector and handler. Those that are not here: 00h-1Fh and 40h-5Fh lead to an IRET, the hardware ones to an end of
/// interrupt, 60h and up are null, as programs expect.
const HANDLERS: &[(i32, &str)] = &[
    (0x02, "fixed_nmi"),
    (0x05, "fixed_int05"),
    (0x08, "fixed_int08"),
    (0x09, "fixed_int09"),
    (0x0A, "eoi_master"),
    (0x0B, "eoi_master"),
    (0x0C, "eoi_master"),
    (0x0D, "eoi_master"),
    (0x0E, "fixed_int0e"),
    (0x0F, "eoi_spurious"),
    (0x10, "fixed_int10"),
    (0x11, "fixed_int11"),
    (0x12, "fixed_int12"),
    (0x13, "fixed_int13"),
    (0x14, "fixed_int14"),
    (0x15, "fixed_int15"),
    (0x16, "fixed_int16"),
    (0x17, "fixed_int17"),
    (0x18, "int18"),
    (0x19, "fixed_int19"),
    (0x1A, "fixed_int1a"),
    (0x1D, "fixed_video_parameters"),
    (0x1E, "fixed_diskette_parameters"),
    (0x40, "fixed_int40"),
    (0x70, "int70"),
    (0x71, "int71"),
    (0x72, "eoi_slave"),
    (0x73, "eoi_slave"),
    (0x74, "int74"),
    (0x75, "int75"),
    (0x76, "int76"),
    (0x77, "eoi_slave_spurious"),
    (0x4A, "fixed_iret"),
];

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "set_vectors";
        xor ax, ax;
        mov es, ax;
        mov eax, a.o("fixed_iret") | (0xF000u32 << 16) as i32;
        xor di, di;
        mov cx, 0x60;
        rep_stosd;
        mov si, ".list";
        at ".next";
        db 0x2E; // CS:
        lodsw;
        cmp ax, 0xFFFF;
        je ".fdpt";
        mov di, ax;
        db 0x2E;
        lodsw;
        mov es_at(di), ax;
        mov word(es_at(di + 2)), 0xF000;
        jmp ".next";
        at ".fdpt";
        // Fixed-disk parameter tables are in the extended data area; filled by the drive search.
        mov word(es_at(0x41 * 4)), 0x3D;
        mov es_at(0x41 * 4 + 2), fs;
        mov word(es_at(0x46 * 4)), 0x4D;
        mov es_at(0x46 * 4 + 2), fs;
        ret;
        at ".list";
    }
    for &(vector, handler) in HANDLERS {
        asm! { a;
            dw vector * 4;
            dw handler;
        }
    }
    asm! { a; dw 0xFFFF; }
}
