//! INT 10h AH=1Ch: saving and restoring the display's state.
//!
//! Registers: sequencer 1-4, miscellaneous, CRT controller 0-18h, attribute controller 0-14h, graphics controller 0-8,
//! feature control, then the indices. Data area: mode to palette register, rows to flags, save pointer, INT 1Fh and 43h.
//! DAC: mask, 256 colours.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

/// Bytes of each part; the whole is rounded up to 64.
const REGISTERS: i32 = 70;
const AREA: i32 = 64;
const DAC: i32 = 769;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "state_save"; // AL: 0 size, 1 save, 2 restore; CX parts, ES:BX
        cmp al, 2;
        ja "v_done";
        test cx, 7;
        jz "v_done";
        test al, al;
        jz ".size";
        mov di, bx;
        mov si, bx;
        cmp al, 2;
        je ".restore";
        call "state_save_parts";
        jmp ".did";
        at ".restore";
        call "state_restore_parts";
        jmp ".did";
        at ".size";
        call "state_size";
        add bx, 63;
        shr bx, 6;
        mov [bp + caller::BX], bx;
        at ".did";
        mov byte(bp + caller::AL), 0x1C;
        jmp "v_done";

        at "state_size"; // BX: bytes for the parts in CX
        xor bx, bx;
        test cl, 1;
        jz ".no_registers";
        add bx, REGISTERS;
        at ".no_registers";
        test cl, 2;
        jz ".no_area";
        add bx, AREA;
        at ".no_area";
        test cl, 4;
        jz ".end";
        add bx, DAC;
        at ".end";
        ret;
    }
    save(a);
    restore(a);
}

fn save(a: &mut Asm) {
    asm! { a;
        // Parts in CX to ES:DI, which moves on.
        at "state_save_parts";
        test cl, 1;
        jz ".no_registers";
        mov dx, 0x3C4;
        mov ah, 1;
        mov bl, 5;
        call ".indexed";
        mov dx, 0x3CC;
        in_ al, dx;
        stosb;
        mov dx, [V_CRTC];
        mov ah, 0;
        mov bl, 25;
        call ".indexed";
        mov bl, 0;
        at ".attribute";
        mov al, bl;
        call "attribute_read";
        mov al, ah;
        stosb;
        inc bl;
        cmp bl, 21;
        jb ".attribute";
        mov dx, 0x3CE;
        mov ah, 0;
        mov bl, 9;
        call ".indexed";
        mov dx, 0x3CA;
        in_ al, dx;
        stosb;
        mov ax, [V_CRTC];
        stosw;
        add di, REGISTERS - 4 - 1 - 25 - 21 - 9 - 1 - 2;
        at ".no_registers";
        test cl, 2;
        jz ".no_area";
        push cx;
        push di;
        mov si, V_MODE;
        mov cx, 30;
        rep_movsb;
        mov si, V_ROWS;
        mov cx, 7;
        rep_movsb;
        mov si, V_SAVE;
        movsw;
        movsw;
        push ds;
        xor ax, ax;
        mov ds, ax;
        mov si, 0x1F * 4;
        movsw;
        movsw;
        mov si, 0x43 * 4;
        movsw;
        movsw;
        pop ds;
        pop di;
        add di, AREA;
        pop cx;
        at ".no_area";
        test cl, 4;
        jz ".end";
        push cx;
        mov dx, 0x3C6;
        in_ al, dx;
        stosb;
        mov dx, 0x3C7;
        xor al, al;
        out dx, al;
        mov dx, 0x3C9;
        mov cx, 768;
        rep_insb;
        pop cx;
        at ".end";
        ret;

        at ".indexed"; // registers AH up to BL of the pair at DX
        mov al, ah;
        out dx, al;
        inc dx;
        in_ al, dx;
        dec dx;
        stosb;
        inc ah;
        cmp ah, bl;
        jb ".indexed";
        ret;
    }
}

fn restore(a: &mut Asm) {
    asm! { a;
        // Parts in CX from ES:SI, which moves on.
        at "state_restore_parts";
        test cl, 2;
        jz ".area_done";
        // The data area lies behind the registers.
        push si;
        test cl, 1;
        jz ".area";
        add si, REGISTERS;
        at ".area";
        push cx;
        push ds;
        push es;
        push ds;
        push es;
        pop ds;
        pop es; // DS: caller's, ES: data area
        mov di, V_MODE;
        mov cx, 30;
        rep_movsb;
        mov di, V_ROWS;
        mov cx, 7;
        rep_movsb;
        mov di, V_SAVE;
        movsw;
        movsw;
        xor ax, ax;
        mov es, ax;
        mov di, 0x1F * 4;
        movsw;
        movsw;
        mov di, 0x43 * 4;
        movsw;
        movsw;
        pop es;
        pop ds;
        pop cx;
        pop si;
        at ".area_done";
        test cl, 1;
        jz ".no_registers";
        push cx;
        mov dx, 0x3C4;
        mov ax, 0x0100;
        out dx, ax;
        mov bx, 0x0401; // first register, how many
        call ".indexed";
        mov al, es_at(si);
        inc si;
        mov dx, 0x3C2;
        out dx, al;
        mov dx, 0x3C4;
        mov ax, 0x0300;
        out dx, ax;
        mov dx, es_at(si + 25 + 21 + 9 + 1); // CRT controller's port
        mov ax, 0x0011;
        out dx, ax;
        mov bx, 0x1900;
        push dx;
        call ".indexed";
        pop dx;
        add dx, 6;
        in_ al, dx;
        mov dx, 0x3C0;
        xor bx, bx;
        at ".attribute";
        mov al, bl;
        out dx, al;
        mov al, es_at(si);
        inc si;
        out dx, al;
        inc bl;
        cmp bl, 21;
        jb ".attribute";
        mov al, 0x20;
        out dx, al;
        mov dx, 0x3CE;
        mov bx, 0x0900;
        call ".indexed";
        add si, REGISTERS - 4 - 1 - 25 - 21 - 9;
        pop cx;
        at ".no_registers";
        test cl, 2;
        jz ".no_area";
        add si, AREA;
        at ".no_area";
        test cl, 4;
        jz ".end";
        mov dx, 0x3C6;
        mov al, es_at(si);
        inc si;
        out dx, al;
        mov dx, 0x3C8;
        xor al, al;
        out dx, al;
        inc dx;
        push cx;
        mov cx, 768;
        at ".color";
        mov al, es_at(si);
        inc si;
        out dx, al;
        loop_ ".color";
        pop cx;
        at ".end";
        ret;

        at ".indexed"; // BH registers from BL on of the pair at DX
        mov al, bl;
        mov ah, es_at(si);
        inc si;
        out dx, ax;
        inc bl;
        dec bh;
        jnz ".indexed";
        ret;
    }
}
