//! INT 08h: the timer tick, 18.2065 times a second. IBM PC/AT Technical Reference, "Timer Interrupt".

use crate::areas::*;
use crate::asm::{Asm, asm};

/// Ticks of a day.
const DAY: i32 = 0x18_00B0;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "int08";
        push eax;
        push dx;
        push ds;
        mov ax, BDA;
        mov ds, ax;
        mov eax, [TICKS];
        inc eax;
        cmp eax, DAY;
        jb ".same_day";
        xor eax, eax;
        inc byte(MIDNIGHT);
        at ".same_day";
        mov [TICKS], eax;
        // Floppy motors off when their time is up.
        cmp byte(FD_TIMEOUT), 0;
        je ".motors";
        dec byte(FD_TIMEOUT);
        jnz ".motors";
        and byte(FD_MOTOR), 0xF0;
        mov dx, 0x3F2;
        mov al, 0x0C;
        out dx, al;
        at ".motors";
        int 0x1C;
        cli;
        mov al, 0x20;
        out 0x20, al;
        pop ds;
        pop dx;
        pop eax;
        iret;
    }
}
