//! INT 11h (equipment), 12h (memory), 10h while there is no video ROM, and 18h (nothing to boot).

use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "int11";
        push ds;
        mov ax, BDA;
        mov ds, ax;
        mov ax, [EQUIPMENT];
        pop ds;
        iret;

        at "int12";
        push ds;
        mov ax, BDA;
        mov ds, ax;
        mov ax, [BASE_KB];
        pop ds;
        iret;

        at "int10";
        iret;
    }
}
