//! INT 10h AH=11h: fonts, in plane 2 for text and by vector for graphics.

use super::tables::kind;
use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "font";
        cmp al, 0x30;
        je ".information";
        cmp al, 0x20;
        jae ".graphics";
        mov ah, al;
        and al, 0x0F;
        cmp ah, 0x14;
        ja "v_done";
        cmp al, 4;
        ja "v_done";
        cmp al, 3;
        je ".blocks";
        push ax;
        // BL block; the rest from the caller or from one of ours.
        test al, al;
        jz ".user";
        mov ch, bl;
        mov bl, 14;
        cmp al, 1;
        je ".ours";
        mov bl, 8;
        cmp al, 2;
        je ".ours";
        mov bl, 16;
        at ".ours";
        push cx;
        call "rom_font";
        pop ax;
        mov bl, ah;
        jmp ".load";
        at ".user"; // ES:BP, CX characters from DX, BH bytes each
        mov si, [bp + caller::BP];
        at ".load";
        push bx;
        call "font_load";
        pop bx;
        pop ax;
        test ah, 0x10;
        jz "v_done";
        // With the rest of the screen to match.
        mov al, bh;
        call "font_height";
        jmp "v_done";

        at ".blocks"; // BL: character map select
        mov dx, 0x3C4;
        mov ax, 0x0100;
        out dx, ax;
        mov al, 0x03;
        mov ah, bl;
        out dx, ax;
        mov ax, 0x0300;
        out dx, ax;
        jmp "v_done";

        at ".graphics";
        cmp al, 0x24;
        ja "v_done";
        mov cx, [bp + caller::CX];
        mov si, [bp + caller::BP];
        mov dx, es;
        cmp al, 0x20;
        je ".upper"; // ES:BP for INT 1Fh
        cmp al, 0x21;
        je ".own"; // ES:BP for INT 43h, CX bytes each
        mov dx, cs;
        mov si, "font14";
        mov cx, 14;
        cmp al, 0x22;
        je ".own";
        mov si, "font8";
        mov cx, 8;
        cmp al, 0x23;
        je ".own";
        mov si, "font16";
        mov cx, 16;
        at ".own";
        mov [V_CHAR_HEIGHT], cx;
        // Rows: BL 0 DL, 1 fourteen, 2 25, 3 43.
        mov al, [bp + caller::DL];
        cmp bl, 0;
        je ".rows";
        mov al, 14;
        cmp bl, 1;
        je ".rows";
        mov al, 25;
        cmp bl, 2;
        je ".rows";
        mov al, 43;
        at ".rows";
        dec al;
        mov [V_ROWS], al;
        mov di, 0x43 * 4;
        jmp ".vector";
        at ".upper";
        mov di, 0x1F * 4;
        at ".vector";
        xor ax, ax;
        mov ds, ax;
        mov [di], si;
        mov [di + 2], dx;
        jmp "v_done";

        at ".information"; // BH which; CX bytes a character, DL rows less one, ES:BP where
        mov al, [V_CHAR_HEIGHT];
        xor ah, ah;
        mov [bp + caller::CX], ax;
        mov al, [V_ROWS];
        mov [bp + caller::DL], al;
        xor ax, ax;
        mov es, ax;
        cmp bh, 1;
        jb ".int1f";
        je ".int43";
        cmp bh, 7;
        ja "v_done";
        movzx si, bh;
        add si, si;
        mov ax, cs_at(si + a.o(".places") - 4);
        mov [bp + caller::BP], ax;
        mov [bp + caller::ES], cs;
        jmp "v_done";
        at ".places";
        table &["font14", "font8", "font8_high", "no_alternates", "font16", "no_alternates"];
        at ".int1f";
        mov eax, es_at(0x1F * 4);
        jmp ".pointer";
        at ".int43";
        mov eax, es_at(0x43 * 4);
        at ".pointer";
        mov [bp + caller::BP], ax;
        shr eax, 16;
        mov [bp + caller::ES], ax;
        jmp "v_done";
    }
    load(a);
    height(a);
}

fn load(a: &mut Asm) {
    asm! { a;
        // CX characters of BH bytes from ES:SI into block BL from number DX on.
        at "font_load";
        push ds;
        push es;
        push ax;
        // Plane 2 alone, at A0000, without odd and even.
        push dx;
        mov dx, 0x3C4;
        mov ax, 0x0100;
        out dx, ax;
        mov ax, 0x0402;
        out dx, ax;
        mov ax, 0x0704;
        out dx, ax;
        mov ax, 0x0300;
        out dx, ax;
        mov dx, 0x3CE;
        mov ax, 0x0204;
        out dx, ax;
        mov ax, 0x0005;
        out dx, ax;
        mov ax, 0x0406;
        out dx, ax;
        pop dx;
        // Blocks are 16 KiB apart, 4 to 7 between 0 to 3.
        mov al, bl;
        and ax, 3;
        shl ax, 14;
        test bl, 4;
        jz ".even";
        add ax, 0x2000;
        at ".even";
        shl dx, 5;
        add ax, dx;
        mov di, ax;
        mov ax, es;
        mov ds, ax;
        mov ax, 0xA000;
        mov es, ax;
        jcxz ".loaded";
        at ".character";
        push cx;
        push di;
        movzx cx, bh;
        rep_movsb;
        pop di;
        add di, 32;
        pop cx;
        loop_ ".character";
        at ".loaded";
        pop ax;
        pop es;
        pop ds;
        // As text wants it.
        mov dx, 0x3C4;
        mov ax, 0x0100;
        out dx, ax;
        mov ax, 0x0302;
        out dx, ax;
        mov ax, 0x0304;
        out dx, ax;
        mov ax, 0x0300;
        out dx, ax;
        mov dx, 0x3CE;
        mov ax, 0x0004;
        out dx, ax;
        mov ax, 0x1005;
        out dx, ax;
        mov ax, 0x0E06;
        cmp byte(V_MODE), 7;
        jne ".color";
        mov ah, 0x0A;
        at ".color";
        out dx, ax;
        ret;
    }
}

fn height(a: &mut Asm) {
    asm! { a;
        // Text with characters AL lines high: CRT controller and data area.
        at "font_height";
        mov bl, al;
        call "mode_kind";
        cmp al, kind::TEXT as i32;
        jne ".end";
        test bl, bl;
        jz ".end";
        cmp bl, 32;
        ja ".end";
        mov dx, [V_CRTC];
        mov al, 0x09;
        out dx, al;
        inc dx;
        in_ al, dx;
        and al, 0xE0;
        mov bh, bl;
        dec bh;
        or al, bh;
        out dx, al;
        dec dx;
        mov byte(V_CHAR_HEIGHT), 0;
        mov [V_CHAR_HEIGHT], bl;
        // Cursor on the last lines but one.
        mov ch, bl;
        sub ch, 2;
        mov cl, bl;
        dec cl;
        cmp bl, 14;
        jb ".cursor";
        sub cx, 0x0101;
        at ".cursor";
        mov al, 0x0A;
        mov ah, ch;
        out dx, ax;
        mov al, 0x0B;
        mov ah, cl;
        out dx, ax;
        mov word(V_CURSOR_SHAPE), 0x0607;
        // Lines on the screen.
        mov ax, 200;
        test byte(V_FLAGS), 0x80;
        jnz ".lines";
        mov ax, 400;
        test byte(V_FLAGS), 0x10;
        jnz ".lines";
        mov ax, 350;
        at ".lines";
        mov cx, ax;
        div bl;
        mov bh, al; // rows
        dec al;
        mov [V_ROWS], al;
        mov al, bh;
        mul bl;
        cmp cx, 200; // each line twice
        jne ".display_end";
        add ax, ax;
        at ".display_end";
        dec ax;
        mov ch, al;
        mov al, 0x12;
        push ax;
        mov ah, ch;
        out dx, ax;
        pop ax;
        // Bits 8 and 9 are in the overflow register.
        mov cl, ah;
        mov al, 0x07;
        out dx, al;
        inc dx;
        in_ al, dx;
        and al, 0xBD;
        test cl, 1;
        jz ".bit9";
        or al, 0x02;
        at ".bit9";
        test cl, 2;
        jz ".overflow";
        or al, 0x40;
        at ".overflow";
        out dx, al;
        // Page size: whole 256 bytes.
        mov al, bh;
        mul byte(V_COLUMNS);
        add ax, ax;
        add ax, 0xFF;
        xor al, al;
        mov [V_PAGE_SIZE], ax;
        at ".end";
        ret;
    }
}
