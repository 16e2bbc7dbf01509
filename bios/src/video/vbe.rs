//! INT 10h AH=4Fh: VESA BIOS Extension 3.0, on Bochs' display interface: index at port 1CEh, data at 1CFh.
//!
//! In this file: what there is, and setting a mode. Windows, lines, start, colours, state and DDC are in `vbe_state`,
//! the calls for protected mode in `vbe_protected`.

use super::vbe_modes::ROW;
use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

/// In the BIOS data area: the VBE mode that is set, as BX of function 02h; 0 none.
pub(crate) const V_VBE: i32 = 0xBA;

/// Display interface registers.
pub(crate) mod dispi {
    pub(crate) const ID: i32 = 0;
    pub(crate) const XRES: i32 = 1;
    pub(crate) const YRES: i32 = 2;
    pub(crate) const BPP: i32 = 3;
    pub(crate) const ENABLE: i32 = 4;
    pub(crate) const BANK: i32 = 5;
    pub(crate) const VIRT_WIDTH: i32 = 6;
    pub(crate) const VIRT_HEIGHT: i32 = 7;
    pub(crate) const X_OFFSET: i32 = 8;
    pub(crate) const Y_OFFSET: i32 = 9;
    pub(crate) const MEMORY: i32 = 10; // in 64 KiB
}

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "vbe"; // AL function
        mov bx, [bp + caller::BX];
        cmp al, 0x15;
        je "vbe_ddc";
        cmp al, 0x0A;
        ja "vbe_none";
        // Without the interface there is nothing.
        push ax;
        mov al, dispi::ID;
        call "dispi_read";
        and ax, 0xFFF0u32;
        cmp ax, 0xB0C0;
        pop ax;
        jne "vbe_none";
        movzx si, al;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            "vbe_controller", "vbe_mode_info", "vbe_set_mode", "vbe_get_mode", "vbe_save", "vbe_window", "vbe_lines",
            "vbe_start", "vbe_dac", "vbe_colors", "vbe_protected"
        ];
        at "vbe_ok";
        mov word(bp + caller::AX), 0x004F;
        jmp "v_done";
        at "vbe_failed";
        mov word(bp + caller::AX), 0x014F;
        jmp "v_done";
        at "vbe_invalid"; // in the current mode
        mov word(bp + caller::AX), 0x034F;
        jmp "v_done";
        at "vbe_none"; // AL stays: not supported
        mov word(bp + caller::AX), 0x0100;
        jmp "v_done";

        // AX: register AL.
        at "dispi_read";
        push dx;
        mov dx, 0x1CE;
        xor ah, ah;
        out dx, ax;
        inc dx;
        in_ ax, dx;
        pop dx;
        ret;

        // Register AL to CX.
        at "dispi_write";
        push dx;
        push ax;
        mov dx, 0x1CE;
        xor ah, ah;
        out dx, ax;
        inc dx;
        mov ax, cx;
        out dx, ax;
        pop ax;
        pop dx;
        ret;

        // Back to a plain VGA.
        at "dispi_off";
        push ax;
        push cx;
        mov al, dispi::ID;
        call "dispi_read";
        and ax, 0xFFF0u32;
        cmp ax, 0xB0C0;
        jne ".none";
        mov al, dispi::ENABLE;
        xor cx, cx;
        call "dispi_write";
        at ".none";
        mov word(V_VBE), 0;
        pop cx;
        pop ax;
        ret;
    }
    controller(a);
    mode_info(a);
    set(a);
}

fn controller(a: &mut Asm) {
    asm! { a;
        at "vbe_controller"; // ES:DI
        mov di, [bp + caller::DI];
        mov edx, es_at(di); // "VBE2" asks for more
        push di;
        mov cx, 128;
        xor ax, ax;
        rep_stosw;
        pop di;
        mov dword(es_at(di)), 0x4153_4556; // "VESA"
        mov word(es_at(di + 4)), 0x0300;
        mov ax, "name";
        mov es_at(di + 6), ax;
        mov es_at(di + 8), cs;
        mov dword(es_at(di + 10)), 1; // DAC of six or eight bits
        lea ax, [di + 0x22];
        mov es_at(di + 14), ax;
        mov es_at(di + 16), es;
        mov al, dispi::MEMORY;
        call "dispi_read";
        mov es_at(di + 18), ax;
        cmp edx, 0x3245_4256; // "VBE2"
        jne ".list";
        mov word(es_at(di + 20)), 0x0001;
        mov ax, ".vendor";
        mov es_at(di + 22), ax;
        mov es_at(di + 24), cs;
        mov ax, "name";
        mov es_at(di + 26), ax;
        mov es_at(di + 28), cs;
        mov ax, ".revision";
        mov es_at(di + 30), ax;
        mov es_at(di + 32), cs;
        at ".list";
        add di, 0x22;
        mov si, "vbe_modes";
        at ".mode";
        cmp word(cs_at(si)), 0xFFFFu32;
        je ".end";
        call "vbe_fits";
        jc ".next";
        mov ax, cs_at(si);
        stosw;
        at ".next";
        add si, ROW;
        jmp ".mode";
        at ".end";
        mov ax, 0xFFFFu32;
        stosw;
        jmp "vbe_ok";
        at ".vendor";
        text "Lucid86";
        at ".revision";
    }
    a.text(env!("CARGO_PKG_VERSION"));
    asm! { a;
        // Carry unless the mode at CS:SI fits the memory. EAX: its bytes; ECX: bytes of a line.
        at "vbe_fits";
        push edx;
        movzx eax, byte(cs_at(si + 6));
        add ax, 7;
        shr ax, 3;
        movzx ecx, word(cs_at(si + 2));
        imul_2 ecx, eax;
        movzx eax, word(cs_at(si + 4));
        mul ecx;
        push eax;
        mov al, dispi::MEMORY;
        call "dispi_read";
        movzx edx, ax;
        shl edx, 16;
        pop eax;
        cmp edx, eax;
        pop edx;
        ret;

        // CS:SI: the row of mode BX, by its low nine bits. Carry if there is none, or it doesn't fit.
        at "vbe_find";
        push bx;
        and bx, 0x1FF;
        mov si, "vbe_modes";
        at ".next";
        cmp word(cs_at(si)), 0xFFFFu32;
        stc;
        je ".end";
        cmp cs_at(si), bx;
        je ".found";
        add si, ROW;
        jmp ".next";
        at ".found";
        call "vbe_fits";
        at ".end";
        pop bx;
        ret;
    }
}

fn mode_info(a: &mut Asm) {
    asm! { a;
        at "vbe_mode_info"; // CX mode, ES:DI
        mov bx, [bp + caller::CX];
        call "vbe_find"; // ECX bytes of a line, EAX of the screen
        jc "vbe_failed";
        mov di, [bp + caller::DI];
        push eax;
        push cx;
        push di;
        mov cx, 128;
        xor ax, ax;
        rep_stosw;
        pop di;
        pop cx;
        mov word(es_at(di)), 0x009B; // supported, colour, graphics, linear
        mov byte(es_at(di + 2)), 0x07; // window A: there, reads, writes
        mov word(es_at(di + 4)), 64;
        mov word(es_at(di + 6)), 64;
        mov word(es_at(di + 8)), 0xA000;
        mov ax, "vbe_window_far";
        mov es_at(di + 12), ax;
        mov es_at(di + 14), cs;
        mov es_at(di + 16), cx;
        mov es_at(di + 50), cx;
        mov ax, cs_at(si + 2);
        mov es_at(di + 18), ax;
        mov ax, cs_at(si + 4);
        mov es_at(di + 20), ax;
        mov word(es_at(di + 22)), 0x1008; // characters of 8 by 16
        mov byte(es_at(di + 24)), 1;
        mov al, cs_at(si + 6);
        mov es_at(di + 25), al;
        mov byte(es_at(di + 26)), 1;
        mov byte(es_at(di + 27)), 4; // packed pixels
        mov byte(es_at(di + 30)), 1;
        // How many screens fit, less one.
        mov al, dispi::MEMORY;
        call "dispi_read";
        movzx eax, ax;
        shl eax, 16;
        xor edx, edx;
        pop ecx;
        div ecx;
        dec eax;
        cmp eax, 0xFF;
        jbe ".images";
        mov al, 0xFF;
        at ".images";
        mov es_at(di + 29), al;
        mov es_at(di + 52), al;
        mov es_at(di + 53), al;
        mov dword(es_at(di + 62)), 0x23C3_4600; // 600 MHz at most
        call "vbe_frame_buffer";
        mov es_at(di + 40), eax;
        // Colour fields.
        mov al, cs_at(si + 6);
        cmp al, 8;
        je "vbe_ok";
        mov byte(es_at(di + 27)), 6; // direct colour
        cmp al, 15;
        je ".rest_usable";
        cmp al, 32;
        jne ".fields";
        at ".rest_usable";
        mov byte(es_at(di + 39)), 2;
        at ".fields";
        mov si, "vbe_fields";
        at ".field";
        cmp cs_at(si), al;
        je ".copy";
        add si, 9;
        jmp ".field";
        at ".copy";
        mov cx, 8;
        at ".byte";
        inc si;
        mov al, cs_at(si);
        mov es_at(di + 31), al;
        mov es_at(di + 54), al;
        inc di;
        loop_ ".byte";
        jmp "vbe_ok";

        // EAX: physical address of the linear frame buffer, from the adapter's first BAR.
        at "vbe_frame_buffer";
        push bx;
        push ecx;
        push edx;
        push si;
        push di;
        mov ax, 0xB102;
        mov cx, 0x1111;
        mov dx, 0x1234;
        xor si, si;
        int 0x1A;
        jc ".none";
        test ah, ah;
        jnz ".none";
        mov ax, 0xB10A;
        mov di, 0x10;
        int 0x1A;
        jc ".none";
        mov eax, ecx;
        and al, 0xF0;
        jmp ".end";
        at ".none";
        mov eax, 0xE000_0000u32; // where an ISA one is
        at ".end";
        pop di;
        pop si;
        pop edx;
        pop ecx;
        pop bx;
        ret;
    }
}

fn set(a: &mut Asm) {
    asm! { a;
        at "vbe_set_mode"; // BX: mode, bit 14 linear, bit 15 memory stays
        test bx, 0x0100;
        jnz ".vbe";
        // A VGA mode.
        mov al, bl;
        and al, 0x7F;
        cmp al, 0x13;
        ja "vbe_failed";
        mov ah, bh;
        and ah, 0x80;
        or al, ah;
        xor ah, ah;
        int 0x10;
        jmp "vbe_ok";
        at ".vbe";
        call "vbe_find";
        jc "vbe_failed";
        call "dispi_off";
        // Registers, colours and clock as in mode 13h, memory untouched.
        or byte(V_CONTROL), 0x80;
        push bx;
        push si;
        mov al, 0x13;
        call "mode_set";
        pop si;
        pop bx;
        mov al, dispi::XRES;
        mov cx, cs_at(si + 2);
        call "dispi_write";
        mov al, dispi::YRES;
        mov cx, cs_at(si + 4);
        call "dispi_write";
        mov al, dispi::BPP;
        movzx cx, byte(cs_at(si + 6));
        call "dispi_write";
        mov al, dispi::BANK;
        xor cx, cx;
        call "dispi_write";
        mov cx, 0x01;
        test bh, 0x40;
        jz ".banked";
        or cl, 0x40;
        at ".banked";
        test bh, 0x80;
        jz ".clear";
        or cl, 0x80;
        at ".clear";
        mov al, dispi::ENABLE;
        call "dispi_write";
        // The data area: no VGA mode, rows and columns of 8 by 16.
        and bx, 0xC1FFu32;
        mov [V_VBE], bx;
        mov byte(V_MODE), 0xFF;
        and byte(V_CONTROL), 0x7F;
        and bh, 0x80;
        or [V_CONTROL], bh;
        mov ax, cs_at(si + 2);
        shr ax, 3;
        mov [V_COLUMNS], ax;
        mov ax, cs_at(si + 4);
        shr ax, 4;
        dec ax;
        mov [V_ROWS], al;
        mov word(V_CHAR_HEIGHT), 16;
        jmp "vbe_ok";

        at "vbe_get_mode";
        mov ax, [V_VBE];
        test ax, ax;
        jnz ".vbe";
        movzx ax, byte(V_MODE);
        mov ah, [V_CONTROL];
        and ah, 0x80;
        at ".vbe";
        mov [bp + caller::BX], ax;
        jmp "vbe_ok";
    }
}
