//! INT 05h: print the screen. IBM PC/AT Technical Reference, "Print Screen". Status at 50:00: 1 running, FFh failed.

use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "int05";
        sti;
        pusha;
        push ds;
        mov ax, 0x50;
        mov ds, ax;
        cmp byte(0), 1;
        je ".end";
        mov byte(0), 1;
        mov ah, 0x0F; // AH columns, BH page
        int 0x10;
        mov cl, ah;
        push ds;
        mov ax, 0x40;
        mov ds, ax;
        mov ch, [0x84];
        pop ds;
        test ch, ch;
        jnz ".rows";
        mov ch, 24;
        at ".rows";
        inc ch;
        push cx;
        mov ah, 3;
        int 0x10;
        pop cx;
        push dx; // cursor, put back at the end
        call ".line_feed";
        jnz ".failed";
        xor dx, dx;
        at ".cell";
        mov ah, 2;
        int 0x10;
        mov ah, 8;
        int 0x10;
        test al, al;
        jnz ".shown";
        mov al, 0x20;
        at ".shown";
        call ".send";
        jnz ".failed";
        inc dl;
        cmp dl, cl;
        jb ".cell";
        xor dl, dl;
        call ".line_feed";
        jnz ".failed";
        inc dh;
        cmp dh, ch;
        jb ".cell";
        mov byte(0), 0;
        jmp ".restore";
        at ".failed";
        mov byte(0), 0xFF;
        at ".restore";
        pop dx;
        mov ah, 2;
        int 0x10;
        at ".end";
        pop ds;
        popa;
        iret;

        at ".line_feed";
        mov al, 0x0D;
        call ".send";
        mov al, 0x0A;
        at ".send"; // AL to the first printer; ZF if it took it
        push dx;
        xor dx, dx;
        xor ah, ah;
        int 0x17;
        pop dx;
        test ah, 0x29; // time-out, I/O error, out of paper
        ret;
    }
}
