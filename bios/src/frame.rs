//! How a service begins and ends: the caller's registers lie on the stack below BP, DS is the BIOS data area, FS the
//! extended one.

use crate::areas::{BDA, EBDA_SEG};
use crate::asm::{Asm, asm};

/// Offsets of the caller's registers from BP, between [`enter`] and [`leave`].
#[allow(dead_code)]
pub(crate) mod caller {
    pub(crate) const FS: i32 = 0;
    pub(crate) const ES: i32 = 2;
    pub(crate) const DS: i32 = 4;
    pub(crate) const EDI: i32 = 6;
    pub(crate) const DI: i32 = 6;
    pub(crate) const ESI: i32 = 10;
    pub(crate) const SI: i32 = 10;
    pub(crate) const BP: i32 = 14;
    pub(crate) const EBX: i32 = 22;
    pub(crate) const BX: i32 = 22;
    pub(crate) const BL: i32 = 22;
    pub(crate) const BH: i32 = 23;
    pub(crate) const EDX: i32 = 26;
    pub(crate) const DX: i32 = 26;
    pub(crate) const DL: i32 = 26;
    pub(crate) const DH: i32 = 27;
    pub(crate) const ECX: i32 = 30;
    pub(crate) const CX: i32 = 30;
    pub(crate) const CL: i32 = 30;
    pub(crate) const CH: i32 = 31;
    pub(crate) const EAX: i32 = 34;
    pub(crate) const AX: i32 = 34;
    pub(crate) const AL: i32 = 34;
    pub(crate) const AH: i32 = 35;
    pub(crate) const IP: i32 = 38;
    pub(crate) const FLAGS: i32 = 42;
}

/// Saves everything and sets the segments.
pub(crate) fn enter(a: &mut Asm) {
    asm! { a;
        pushad;
        push ds;
        push es;
        push fs;
        mov bp, sp;
        push ax;
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        pop ax;
        cld;
    }
}

/// Restores everything and returns from the interrupt.
pub(crate) fn leave(a: &mut Asm) {
    asm! { a;
        mov sp, bp;
        pop fs;
        pop es;
        pop ds;
        popad;
        iret;
    }
}

/// The ways a service ends: `ok` clears the caller's carry and AH, `carry` sets it, `no_carry` clears it, `done` leaves
/// it alone; `fail_ah` sets it with AH as the caller's AH.
pub(crate) fn exits(a: &mut Asm) {
    use caller::{AH, FLAGS};
    asm! { a;
        at "ok";
        mov byte(bp + AH), 0;
        at "no_carry";
        and byte(bp + FLAGS), 0xFE;
        jmp "done";
        at "unsupported";
        mov ah, 0x86;
        at "fail_ah";
        mov [bp + AH], ah;
        at "carry";
        or byte(bp + FLAGS), 1;
        at "done";
    }
    leave(a);
}
