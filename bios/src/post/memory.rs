//! How much RAM there is: from CMOS, as the 440FX machine builders since Bochs leave it.
//!
//! 15h/16h KiB below 640 K; 17h/18h and 30h/31h KiB above 1 MiB; 34h/35h 64 KiB units above 16 MiB; 5Bh-5Dh 64 KiB units
//! above 4 GiB.

use crate::Options;
use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm, options: &Options) {
    asm! { a;
        at "memory_size";
        mov al, 0x15;
        call "cmos_word";
        cmp ax, 128;
        jb ".default";
        cmp ax, 640;
        jbe ".set";
        at ".default";
        mov ax, 640;
        at ".set";
        sub ax, EBDA_KB;
        push ds;
        push BDA;
        pop ds;
        mov [BASE_KB], ax;
        pop ds;
        ret;

        // EAX: CMOS word at index AL.
        at "cmos_word";
        push bx;
        mov bl, al;
        call "cmos_read";
        mov bh, al;
        mov al, bl;
        inc al;
        call "cmos_read";
        mov ah, al;
        mov al, bh;
        movzx eax, ax;
        pop bx;
        ret;

        // EAX: end of the RAM below 4 GiB.
        at "ram_end";
        mov al, 0x34;
        call "cmos_word";
        test eax, eax;
        jz ".small";
        shl eax, 16;
        add eax, 0x100_0000;
        ret;
        at ".small";
        mov al, 0x30;
        call "cmos_word";
        test eax, eax;
        jnz ".extended";
        mov al, 0x17;
        call "cmos_word";
        at ".extended";
        shl eax, 10;
        add eax, 0x10_0000;
        ret;

        // EAX: end of the RAM below 4 GiB that is free to use.
        at "ram_free_end";
    }
    if options.tables_at != 0 {
        asm! { a;
            mov eax, options.tables_at;
            ret;
        }
    } else {
        asm! { a; jmp "ram_end"; }
    }
    asm! { a;
        // EDX:EAX: bytes of RAM from 4 GiB on.
        at "ram_high";
        mov al, 0x5D;
        call "cmos_read";
        movzx edx, al;
        mov al, 0x5B;
        call "cmos_word";
        shl eax, 16;
        ret;

        at "print_memory";
        call "ram_high";
        shrd eax, edx, 20;
        mov ebx, eax;
        call "ram_end";
        shr eax, 20;
        add eax, ebx;
        call "print_decimal";
        mov si, ".mib";
        jmp "print";
        at ".mib";
        text " MiB of memory\r\n";
    }
}
