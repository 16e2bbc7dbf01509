//! Interrupt controllers, timer, DMA, real-time clock, serial and parallel ports.
//!
//! Intel 8259A, 8254 and 8237A datasheets; National Semiconductor PC16550D; Motorola MC146818A.

use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "chips";
        // 8259s: edge triggered, cascade on 2, vectors 08h and 70h; timer, keyboard, cascade and floppy open,
        // then mouse and both disk channels.
        mov al, 0x11;
        out 0x20, al;
        out 0xA0, al;
        mov al, 0x08;
        out 0x21, al;
        mov al, 0x70;
        out 0xA1, al;
        mov al, 0x04;
        out 0x21, al;
        mov al, 0x02;
        out 0xA1, al;
        mov al, 0x01;
        out 0x21, al;
        out 0xA1, al;
        mov al, 0xB8;
        out 0x21, al;
        mov al, 0x8E;
        out 0xA1, al;
        // 8254: counter 0 square wave of 65,536, counter 1 refresh.
        mov al, 0x36;
        out 0x43, al;
        xor al, al;
        out 0x40, al;
        out 0x40, al;
        mov al, 0x54;
        out 0x43, al;
        mov al, 18;
        out 0x41, al;
        // 8237s: master clear, channel 4 cascades and is open.
        xor al, al;
        out 0x0D, al;
        out 0xDA, al;
        mov al, 0xC0;
        out 0xD6, al;
        xor al, al;
        out 0xD4, al;
        // Speaker off; checks off as on an AT without parity.
        in_ al, 0x61;
        and al, 0xFC;
        or al, 0x0C;
        out 0x61, al;
        // Clear a coprocessor interrupt.
        xor al, al;
        out 0xF0, al;
        // RTC: 32,768 Hz, 1,024 Hz periodic; 24-hour BCD, no interrupts; reading C and D clears what is pending.
        mov ax, 0x260A;
        call "cmos_write";
        mov ax, 0x020B;
        call "cmos_write";
        mov al, 0x0C;
        call "cmos_read";
        mov al, 0x0D;
        call "cmos_read";
        ret;
    }
    ports(a);
    clock(a);
}

fn ports(a: &mut Asm) {
    asm! { a;
        at "ports_start";
        mov ax, BDA;
        mov ds, ax;
        xor di, di;
        mov si, ".serial_bases";
        at ".serial";
        mov dx, cs_at(si);
        test dx, dx;
        jz ".serial_done";
        // A UART keeps what is written to its scratch register.
        add dx, 7;
        mov al, 0x5A;
        out dx, al;
        out 0xED, al;
        in_ al, dx;
        cmp al, 0x5A;
        jne ".no_uart";
        sub dx, 7;
        mov [di + COM], dx;
        add di, 2;
        // Interrupts off, 9,600 bit/s, eight bits, no parity, DTR, RTS and OUT2 off.
        inc dx;
        xor al, al;
        out dx, al;
        at ".no_uart";
        add si, 2;
        jmp ".serial";
        at ".serial_done";
        mov ax, di;
        shl ax, 8; // twice the count, into bits 9-11
        and byte(EQUIPMENT + 1), 0xF1;
        or [EQUIPMENT], ax;

        xor di, di;
        mov si, ".parallel_bases";
        at ".parallel";
        mov dx, cs_at(si);
        test dx, dx;
        jz ".parallel_done";
        // A port keeps what is written to its data register.
        mov al, 0xAA;
        out dx, al;
        out 0xED, al;
        in_ al, dx;
        cmp al, 0xAA;
        jne ".no_port";
        mov [di + LPT], dx;
        add di, 2;
        add dx, 2;
        mov al, 0x0C; // initialised, selected
        out dx, al;
        at ".no_port";
        add si, 2;
        jmp ".parallel";
        at ".parallel_done";
        mov ax, di;
        shl ax, 13; // count into bits 14-15
        and byte(EQUIPMENT + 1), 0x3F;
        or [EQUIPMENT], ax;
        ret;
        at ".serial_bases";
    }
    a.words(&[0x3F8, 0x2F8, 0x3E8, 0x2E8, 0]);
    asm! { a; at ".parallel_bases"; }
    a.words(&[0x378, 0x278, 0]);
}

/// Ticks since midnight from the clock: each second is 18.2065 ticks; 1,193,182 / 65,536.
fn clock(a: &mut Asm) {
    asm! { a;
        at "clock_start";
        // Don't read while the clock updates.
        at ".busy";
        mov al, 0x0A;
        call "cmos_read";
        test al, 0x80;
        jnz ".busy";
        xor ebx, ebx;
        mov al, 4;
        call ".binary";
        imul_3 ebx, eax, 3600;
        mov al, 2;
        call ".binary";
        imul_3 eax, eax, 60;
        add ebx, eax;
        mov al, 0;
        call ".binary";
        add eax, ebx;
        mov ecx, 1_193_182;
        mul ecx;
        shrd eax, edx, 16;
        mov bx, BDA;
        mov ds, bx;
        mov [TICKS], eax;
        ret;
        at ".binary"; // CMOS byte AL from BCD, into EAX
        call "cmos_read";
        mov ah, al;
        shr ah, 4;
        and al, 0x0F;
        aad 10;
        movzx eax, al;
        ret;
    }
}
