//! Shadow RAM, and 4 GiB of reach from real mode.
//!
//! Intel 82441FX datasheet, "PAM[6:0] Programmable Attribute Map Registers": C0000h to FFFFFh can read and write RAM or
//! the bus below, 16 KiB at a time. The ROM is copied through low RAM, so this works whether or not the chipset can read
//! ROM while it writes the RAM below.

use crate::asm::{Asm, asm};

/// Host bridge, bus 0, device 0: configuration address.
const HOST: i32 = 0x8000_0000u32 as i32;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "shadow";
        mov eax, HOST;
        mov dx, 0xCF8;
        out dx, eax;
        mov dx, 0xCFC;
        in_ eax, dx;
        cmp eax, 0x1237_8086;
        jne ".other";
        cld;
        // E0000-FFFFF to 10000-2FFFF.
        mov ax, 0xE000;
        mov bx, 0x1000;
        call ".copy";
        mov ax, 0xF000;
        mov bx, 0x2000;
        call ".copy";
        jmp_far 0x2000, a.o(".low");
        at ".low";
        // PAM0 at 59h: F0000; PAM1-6 at 5Ah-5Fh: C0000-EFFFF. All read and write RAM.
        mov eax, HOST + 0x58;
        mov dx, 0xCF8;
        out dx, eax;
        mov dx, 0xCFD;
        mov al, 0x30;
        out dx, al;
        mov al, 0x33;
        mov dx, 0xCFE;
        out dx, al;
        inc dx;
        out dx, al;
        mov eax, HOST + 0x5C;
        mov dx, 0xCF8;
        out dx, eax;
        mov dx, 0xCFC;
        mov eax, 0x3333_3333;
        out dx, eax;
        mov ax, 0x1000;
        mov bx, 0xE000;
        call ".copy";
        mov ax, 0x2000;
        mov bx, 0xF000;
        call ".copy";
        // Option ROM space starts empty.
        mov ax, 0xC000;
        call ".zero";
        mov ax, 0xD000;
        call ".zero";
        jmp_far 0xF000, a.o(".shadowed");
        at ".shadowed";
        // Nothing of it stays in low RAM: programs find zeros there after other firmware.
        mov ax, 0x1000;
        call ".zero";
        mov ax, 0x2000;
        call ".zero";
        // E0000-FFFFF: reads RAM, ignores writes.
        mov cx, 0x5911;
        call "pam_set";
        mov cx, 0x5E11;
        call "pam_set";
        mov cx, 0x5F11;
        call "pam_set";
        at ".other";
        ret;

        at ".copy"; // 64 KiB from segment AX to segment BX
        mov ds, ax;
        mov es, bx;
        xor si, si;
        xor di, di;
        mov cx, 0x4000;
        rep_movsd;
        ret;

        at ".zero";
        mov es, ax;
        xor di, di;
        xor eax, eax;
        mov cx, 0x4000;
        rep_stosd;
        ret;

        // CH: PAM register, CL: value. Only on a 440FX.
        at "pam_set";
        push eax;
        push dx;
        mov eax, HOST;
        mov dx, 0xCF8;
        out dx, eax;
        mov dx, 0xCFC;
        in_ eax, dx;
        cmp eax, 0x1237_8086;
        jne ".none";
        mov eax, HOST;
        mov al, ch;
        and al, 0xFC;
        mov dx, 0xCF8;
        out dx, eax;
        movzx dx, ch;
        and dl, 3;
        add dx, 0xCFC;
        mov al, cl;
        out dx, al;
        at ".none";
        pop dx;
        pop eax;
        ret;

        // Makes FS base 0 with a limit of 4 GiB ("big real mode"): the descriptor stays cached. Not in V86 mode.
        at "flat_fs";
        pushf;
        push eax;
        cli;
        lgdt cs_at(a.o("flat_gdt"));
        mov eax, cr0;
        or al, 1;
        mov cr0, eax;
        jmp ".protected";
        at ".protected";
        mov ax, 8;
        mov fs, ax;
        mov eax, cr0;
        and al, 0xFE;
        mov cr0, eax;
        jmp ".real";
        at ".real";
        xor ax, ax;
        mov fs, ax;
        pop eax;
        popf;
        ret;

        align 8;
        at "flat_gdt";
        dw 5 * 8 - 1;
        dd a.o("flat_gdt") + 0xF_0000;
        dw 0;
        at "flat_data"; // 08h: data, base 0, 4 GiB
        dd 0x0000_FFFF;
        dd 0x00CF_9300;
        dd 0x0000_FFFF; // 10h: 32-bit code, base F0000h, 64 KiB
        dd 0x0040_9B0F;
        dd 0x0000_FFFF; // 18h: 16-bit code, base F0000h
        dd 0x0000_9B0F;
        dd 0x0000_FFFF; // 20h: data, base 0, 64 KiB
        dd 0x0000_9300;
    }
}
