//! Interrupts that nobody has taken over: they are ended, and the mouse, clock, coprocessor and disk ones do their bit.
//!
//! IBM PC/AT Technical Reference, ROM listing of INT 70h to 77h.

use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "nmi";
        iret;

        at "eoi_spurious"; // IRQ7: ended only if it is in service
        push ax;
        mov al, 0x0B;
        out 0x20, al;
        in_ al, 0x20;
        test al, 0x80;
        jz ".spurious";
        mov al, 0x20;
        out 0x20, al;
        at ".spurious";
        pop ax;
        iret;

        at "eoi_master";
        push ax;
        mov al, 0x20;
        out 0x20, al;
        pop ax;
        iret;

        at "eoi_slave_spurious"; // IRQ15: the cascade is ended always
        push ax;
        mov al, 0x0B;
        out 0xA0, al;
        in_ al, 0xA0;
        test al, 0x80;
        jz ".spurious";
        mov al, 0x20;
        out 0xA0, al;
        at ".spurious";
        mov al, 0x20;
        out 0x20, al;
        pop ax;
        iret;

        at "eoi_slave";
        push ax;
        mov al, 0x20;
        out 0xA0, al;
        out 0x20, al;
        pop ax;
        iret;

        at "int71"; // IRQ9 stands in for IRQ2
        push ax;
        mov al, 0x20;
        out 0xA0, al;
        pop ax;
        int 0x0A;
        iret;

        at "int75"; // coprocessor error: as an NMI, as on the first PC
        push ax;
        xor al, al;
        out 0xF0, al;
        mov al, 0x20;
        out 0xA0, al;
        out 0x20, al;
        pop ax;
        int 0x02;
        iret;

        at "int76"; // disk
        push ax;
        push ds;
        mov ax, BDA;
        mov ds, ax;
        mov byte(HD_INTERRUPT), 0xFF;
        mov al, 0x20;
        out 0xA0, al;
        out 0x20, al;
        mov ax, 0x9100;
        int 0x15;
        pop ds;
        pop ax;
        iret;

        at "int0e"; // floppy
        push ax;
        push ds;
        mov ax, BDA;
        mov ds, ax;
        or byte(FD_RECAL), 0x80;
        mov al, 0x20;
        out 0x20, al;
        mov ax, 0x9101;
        int 0x15;
        pop ds;
        pop ax;
        iret;

        at "int70"; // real-time clock: periodic and alarm
        push eax;
        push dx;
        push ds;
        mov ax, BDA;
        mov ds, ax;
        mov al, 0x0C;
        call "cmos_read";
        mov dl, al;
        mov al, 0x0B;
        call "cmos_read";
        and dl, al;
        test dl, 0x20;
        jz ".no_alarm";
        sti;
        int 0x4A;
        cli;
        at ".no_alarm";
        test dl, 0x40;
        jz ".end";
        // INT 15h AH=83h and 86h count in steps of 976 us.
        test byte(WAIT_ACTIVE), 1;
        jz ".stop";
        sub dword(WAIT_LEFT), 976;
        ja ".end";
        mov byte(WAIT_ACTIVE), 0;
        push es;
        push bx;
        les bx, [WAIT_FLAG_AT];
        or byte(es_at(bx)), 0x80;
        pop bx;
        pop es;
        at ".stop";
        mov al, 0x0B;
        call "cmos_read";
        and al, 0xBF;
        mov ah, al;
        mov al, 0x0B;
        call "cmos_write";
        at ".end";
        mov al, 0x20;
        out 0xA0, al;
        out 0x20, al;
        pop ds;
        pop dx;
        pop eax;
        iret;
    }
}
