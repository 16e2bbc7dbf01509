//! 8042, keyboard and mouse, once at the start.
//!
//! IBM PC/AT Technical Reference, "Keyboard Controller" and "Keyboard"; IBM PS/2 Hardware Interface Technical Reference,
//! "Keyboard and Auxiliary Device Controller".

use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "keyboard_start";
        pushf;
        cli;
        // No controller: its status floats.
        in_ al, 0x64;
        cmp al, 0xFF;
        je ".end";
        call "kbc_drain";
        mov al, 0xAD;
        call "kbc_command";
        mov al, 0xA7;
        call "kbc_command";
        call "kbc_drain";
        mov al, 0xAA; // self test: 55h
        call "kbc_command";
        call "kbc_read";
        mov al, 0xAE;
        call "kbc_command";
        // Keyboard: reset (acknowledge, then AAh), scan.
        mov al, 0xFF;
        call "kbc_send";
        call "kbc_read";
        call "kbc_read";
        mov al, 0xF4;
        call "kbc_send";
        call "kbc_read";
        // Translate, system flag, keyboard interrupt; the mouse's clock off until someone asks for it.
        mov al, 0x60;
        call "kbc_command";
        mov al, 0x65;
        call "kbc_send";
        call "kbc_drain";
        at ".end";
        popf;
        ret;

        // Waits until the controller takes a byte. A limit on each wait: a missing answer doesn't hang us.
        at "kbc_ready";
        push ecx;
        push ax;
        mov ecx, 0x2_0000;
        at ".poll";
        in_ al, 0x64;
        test al, 2;
        jz ".free";
        dec ecx;
        jnz ".poll";
        at ".free";
        pop ax;
        pop ecx;
        ret;

        at "kbc_command"; // AL to port 64h
        call "kbc_ready";
        out 0x64, al;
        ret;

        at "kbc_send"; // AL to port 60h
        call "kbc_ready";
        out 0x60, al;
        ret;

        // AL: next byte; carry if none came.
        at "kbc_read";
        push ecx;
        mov ecx, 0x2_0000;
        at ".poll";
        in_ al, 0x64;
        test al, 1;
        jnz ".there";
        out 0xED, al;
        dec ecx;
        jnz ".poll";
        stc;
        pop ecx;
        ret;
        at ".there";
        in_ al, 0x60;
        pop ecx;
        clc;
        ret;

        at "kbc_drain";
        push cx;
        push ax;
        mov cx, 32;
        at ".poll";
        in_ al, 0x64;
        test al, 1;
        jz ".empty";
        in_ al, 0x60;
        loop_ ".poll";
        at ".empty";
        pop ax;
        pop cx;
        ret;
    }
}
