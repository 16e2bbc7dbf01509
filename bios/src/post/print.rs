//! Words on the screen while starting.

use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // Zero-terminated text at CS:SI.
        at "print";
        push ax;
        at ".next";
        db 0x2E; // CS:
        lodsb;
        test al, al;
        jz ".done";
        call "print_char";
        jmp ".next";
        at ".done";
        pop ax;
        ret;

        // AL.
        at "print_char";
        pushad;
        mov ah, 0x0E;
        mov bx, 7;
        int 0x10;
        popad;
        ret;

        // Up to CX characters at FS:SI, without the blanks at their end.
        at "print_padded";
        pushad;
        mov di, si;
        add di, cx;
        at ".trim";
        cmp di, si;
        je ".end";
        cmp byte(fs_at(di - 1)), 0x20;
        ja ".show";
        dec di;
        jmp ".trim";
        at ".show";
        mov al, fs_at(si);
        call "print_char";
        inc si;
        cmp si, di;
        jne ".show";
        at ".end";
        popad;
        ret;

        // EAX in decimal.
        at "print_decimal";
        pushad;
        mov ebx, 10;
        xor cx, cx;
        at ".divide";
        xor edx, edx;
        div ebx;
        push dx;
        inc cx;
        test eax, eax;
        jnz ".divide";
        at ".digit";
        pop ax;
        add al, 0x30;
        call "print_char";
        loop_ ".digit";
        popad;
        ret;
    }
}
