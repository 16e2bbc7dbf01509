//! INT 1Ah: time of day. IBM PS/2 BIOS Interface Technical Reference, "Interrupt 1Ah". AH=B1h is the PCI BIOS.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int1a"; }
    enter(a);
    asm! { a;
        cmp ah, 0xB1;
        je "pci_bios";
        cmp ah, 0x07;
        ja "carry";
        movzx si, ah;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            ".ticks", ".set_ticks", ".time", ".set_time", ".date", ".set_date", ".set_alarm", ".reset_alarm"
        ];

        at ".ticks";
        cli;
        mov eax, [TICKS];
        mov [bp + caller::DX], ax;
        shr eax, 16;
        mov [bp + caller::CX], ax;
        xor al, al;
        xchg [MIDNIGHT], al;
        mov [bp + caller::AL], al;
        jmp "ok";

        at ".set_ticks";
        cli;
        mov ax, [bp + caller::DX];
        mov [TICKS], ax;
        mov ax, [bp + caller::CX];
        mov [TICKS + 2], ax;
        mov byte(MIDNIGHT), 0;
        jmp "ok";

        // Waits until the clock is not about to change. Carry if it never is.
        at ".stable";
        mov cx, 0xFFFF;
        at ".poll";
        mov al, 0x0A;
        call "cmos_read";
        test al, 0x80;
        jz ".is_stable";
        loop_ ".poll";
        stc;
        ret;
        at ".is_stable";
        clc;
        ret;

        at ".time";
        cli;
        call ".stable";
        jc "carry";
        mov al, 0;
        call "cmos_read";
        mov [bp + caller::DH], al;
        mov al, 2;
        call "cmos_read";
        mov [bp + caller::CL], al;
        mov al, 4;
        call "cmos_read";
        mov [bp + caller::CH], al;
        mov al, 0x0B;
        call "cmos_read";
        and al, 1;
        mov [bp + caller::DL], al;
        mov al, [bp + caller::CH];
        mov [bp + caller::AL], al;
        jmp "ok";

        at ".set_time";
        cli;
        call ".hold";
        mov ah, [bp + caller::DH];
        mov al, 0;
        call "cmos_write";
        mov ah, [bp + caller::CL];
        mov al, 2;
        call "cmos_write";
        mov ah, [bp + caller::CH];
        mov al, 4;
        call "cmos_write";
        mov bl, [bp + caller::DL];
        and bl, 1;
        call ".release";
        jmp "ok";

        // Stops and restarts the clock's updates; 24 hours, BCD; BL: daylight bit.
        at ".hold";
        mov al, 0x0B;
        call "cmos_read";
        or al, 0x80;
        mov ah, al;
        mov al, 0x0B;
        call "cmos_write";
        mov bl, ah;
        and bl, 1;
        ret;
        at ".release";
        mov al, 0x0B;
        call "cmos_read";
        and al, 0x60;
        or al, 0x02;
        or al, bl;
        mov ah, al;
        mov al, 0x0B;
        call "cmos_write";
        ret;

        at ".date";
        cli;
        call ".stable";
        jc "carry";
        mov al, 9;
        call "cmos_read";
        mov [bp + caller::CL], al;
        mov al, 8;
        call "cmos_read";
        mov [bp + caller::DH], al;
        mov al, 7;
        call "cmos_read";
        mov [bp + caller::DL], al;
        mov al, 0x32;
        call "cmos_read";
        mov [bp + caller::CH], al;
        mov [bp + caller::AL], al;
        jmp "ok";

        at ".set_date";
        cli;
        call ".hold";
        mov ah, [bp + caller::CL];
        mov al, 9;
        call "cmos_write";
        mov ah, [bp + caller::DH];
        mov al, 8;
        call "cmos_write";
        mov ah, [bp + caller::DL];
        mov al, 7;
        call "cmos_write";
        mov ah, [bp + caller::CH];
        mov al, 0x32;
        call "cmos_write";
        call ".release";
        jmp "ok";

        at ".set_alarm"; // CH, CL, DH
        cli;
        mov al, 0x0B;
        call "cmos_read";
        test al, 0x20;
        jnz "carry"; // one is set already
        mov ah, [bp + caller::DH];
        mov al, 1;
        call "cmos_write";
        mov ah, [bp + caller::CL];
        mov al, 3;
        call "cmos_write";
        mov ah, [bp + caller::CH];
        mov al, 5;
        call "cmos_write";
        in_ al, 0xA1;
        and al, 0xFE;
        out 0xA1, al;
        mov al, 0x0B;
        call "cmos_read";
        and al, 0x7F;
        or al, 0x20;
        mov ah, al;
        mov al, 0x0B;
        call "cmos_write";
        jmp "ok";

        at ".reset_alarm";
        cli;
        mov al, 0x0B;
        call "cmos_read";
        and al, 0x57;
        mov ah, al;
        mov al, 0x0B;
        call "cmos_write";
        jmp "ok";
    }
}
