//! INT 17h: printers. IBM PS/2 BIOS Interface Technical Reference, "Interrupt 17h".

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int17"; }
    enter(a);
    asm! { a;
        mov si, [bp + caller::DX];
        cmp si, 3;
        jae "done";
        mov di, si;
        add si, si;
        mov dx, [si + LPT];
        test dx, dx;
        jz "done";
        cmp ah, 0;
        je ".print";
        cmp ah, 1;
        je ".initialise";
        cmp ah, 2;
        je ".status";
        jmp "done";

        at ".print";
        out dx, al;
        inc dx;
        mov bh, [di + LPT_TIMEOUT];
        call "timeout_start";
        at ".busy";
        in_ al, dx;
        test al, 0x80; // not busy
        jnz ".strobe";
        call "timeout_check";
        jnz ".busy";
        or al, 0x01; // time-out
        and al, 0xF9;
        xor al, 0x48;
        mov [bp + caller::AH], al;
        jmp "done";
        at ".strobe";
        inc dx;
        mov al, 0x0D;
        out dx, al;
        out 0xED, al;
        mov al, 0x0C;
        out dx, al;
        sub dx, 2;
        jmp ".status";

        at ".initialise";
        add dx, 2;
        mov al, 0x08;
        out dx, al;
        mov cx, 8;
        at ".hold";
        out 0xED, al;
        loop_ ".hold";
        mov al, 0x0C;
        out dx, al;
        sub dx, 2;

        at ".status"; // acknowledge and error are active low
        inc dx;
        in_ al, dx;
        and al, 0xF8;
        xor al, 0x48;
        mov [bp + caller::AH], al;
        jmp "done";
    }
}
