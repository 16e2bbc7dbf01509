//! INT 10h AH=08h, 09h and 0Ah, and characters as dots in the graphics modes.

use super::tables::kind;
use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "write_char_attribute"; // AL, BH page, BL attribute, CX how often
        mov ah, 1;
        jmp "write_char.with";
        at "write_char"; // attributes stay, in text
        mov ah, 0;
        at ".with";
        jcxz ".done";
        mov si, cx;
        mov ch, ah;
        call ".position";
        push ax;
        call "mode_kind";
        cmp al, kind::TEXT as i32;
        pop ax;
        jne ".next";
        // Text: cells follow each other.
        call "text_address";
        mov ah, bl;
        mov dl, ch;
        mov cx, si;
        test dl, dl;
        jz ".characters";
        rep_stosw;
        jmp ".done";
        at ".characters";
        stosb;
        inc di;
        loop_ ".characters";
        jmp ".done";
        at ".next";
        push ax;
        push bx;
        push cx;
        push dx;
        push si;
        call "put_char";
        pop si;
        pop dx;
        pop cx;
        pop bx;
        pop ax;
        dec si;
        jz ".done";
        inc dl;
        cmp dl, [V_COLUMNS];
        jb ".next";
        xor dl, dl;
        inc dh;
        cmp dh, [V_ROWS];
        jbe ".next";
        at ".done";
        jmp "v_done";
        at ".position"; // DX: cursor of page BH
        push si;
        xor dx, dx;
        movzx si, bh;
        cmp bh, 8;
        jae ".no_page";
        add si, si;
        mov dx, [si + V_CURSOR];
        at ".no_page";
        pop si;
        ret;

        // ES:DI: the cell at DX on page BH. Keeps the rest.
        at "text_address";
        push ax;
        push dx;
        mov ax, 0xB800;
        cmp byte(V_MODE), 7;
        jne ".segment";
        mov ax, 0xB000;
        at ".segment";
        mov es, ax;
        mov al, dh;
        mul byte(V_COLUMNS);
        xor dh, dh;
        add ax, dx;
        add ax, ax;
        mov di, ax;
        movzx ax, bh;
        mul word(V_PAGE_SIZE);
        add di, ax;
        pop dx;
        pop ax;
        ret;

        // AL at DX on page BH; BL: attribute (in text only with CH=1) or colour.
        at "put_char";
        push ax;
        call "mode_kind";
        mov cl, al;
        pop ax;
        cmp cl, kind::TEXT as i32;
        jne "draw_glyph";
        call "text_address";
        test ch, ch;
        jz ".character";
        mov ah, bl;
        stosw;
        ret;
        at ".character";
        stosb;
        ret;
    }
    glyph(a);
    read(a);
}

fn glyph(a: &mut Asm) {
    asm! { a;
        // AL at DX on page BH in colour BL, by kind CL.
        at "draw_glyph";
        cmp cl, kind::OTHER as i32;
        je ".end";
        push ds;
        push bp;
        mov ch, bl; // colour
        mov bl, cl;
        call "glyph_place"; // ES:DI
        mov bp, [V_CHAR_HEIGHT];
        and bp, 0xFF;
        call "glyph_shape"; // DS:SI; DL: bytes of a line, then DS is lost
        cmp bl, kind::PLANAR as i32;
        je ".planar";
        cmp bl, kind::LINEAR as i32;
        je ".linear";
        cmp dl, 6;
        je ".two_colors";

        // Four colours: a word holds eight dots.
        at ".four";
        lodsb;
        push cx;
        and ch, 3;
        xor dx, dx;
        mov cl, 8;
        at ".dot";
        shl dx, 2;
        shl al, 1;
        jnc ".no_dot";
        or dl, ch;
        at ".no_dot";
        dec cl;
        jnz ".dot";
        pop cx;
        xchg dl, dh;
        test ch, 0x80;
        jz ".replace";
        xor dx, es_at(di);
        at ".replace";
        mov es_at(di), dx;
        call ".cga_line";
        dec bp;
        jnz ".four";
        jmp ".drawn";

        at ".two_colors";
        lodsb;
        test ch, 1;
        jnz ".lit";
        xor al, al;
        at ".lit";
        test ch, 0x80;
        jz ".replace2";
        xor al, es_at(di);
        at ".replace2";
        mov es_at(di), al;
        call ".cga_line";
        dec bp;
        jnz ".two_colors";
        jmp ".drawn";
        at ".cga_line"; // the next line is in the other half
        xor di, 0x2000;
        test di, 0x2000;
        jnz ".odd";
        add di, 80;
        at ".odd";
        ret;

        at ".linear";
        lodsb;
        mov cl, 8;
        at ".pixel";
        mov ah, 0;
        shl al, 1;
        jnc ".background";
        mov ah, ch;
        at ".background";
        mov es_at(di), ah;
        inc di;
        dec cl;
        jnz ".pixel";
        add di, 320 - 8;
        dec bp;
        jnz ".linear";
        jmp ".drawn";

        at ".planar"; // DH: bytes of a line
        movzx bx, dh;
        mov dx, 0x3CE;
        mov ax, 0x0F01; // set/reset gives all planes
        out dx, ax;
        mov ax, 0x0005;
        out dx, ax;
        test ch, 0x80;
        jz ".opaque";
        mov ax, 0x1803; // exclusive or
        out dx, ax;
        at ".opaque";
        lodsb;
        mov ah, al;
        test ch, 0x80;
        jnz ".masked";
        // Background first.
        push ax;
        mov ax, 0x0000;
        out dx, ax;
        mov ax, 0xFF08;
        out dx, ax;
        mov es_at(di), al;
        pop ax;
        at ".masked";
        mov al, 0x08;
        out dx, ax;
        mov ah, ch;
        and ah, 0x0F;
        mov al, 0x00;
        out dx, ax;
        mov al, es_at(di); // latches
        mov es_at(di), al;
        add di, bx;
        dec bp;
        jnz ".opaque";
        mov ax, 0x0000;
        out dx, ax;
        mov ax, 0x0001;
        out dx, ax;
        mov ax, 0x0003;
        out dx, ax;
        mov ax, 0xFF08;
        out dx, ax;
        at ".drawn";
        pop bp;
        pop ds;
        at ".end";
        ret;

        // ES:DI: first byte of the character cell at DX on page BH, in a mode of kind BL. Keeps AX, BX, CX.
        at "glyph_place";
        push ax;
        push cx;
        mov cx, 0xB800;
        cmp bl, kind::CGA as i32;
        je ".segment";
        mov cx, 0xA000;
        at ".segment";
        mov es, cx;
        mov cx, dx;
        mov al, dh;
        mul byte(V_CHAR_HEIGHT);
        call "line_address";
        xor ch, ch;
        cmp bl, kind::LINEAR as i32;
        je ".eight";
        cmp byte(V_MODE), 6;
        jae ".one";
        add cx, cx;
        jmp ".one";
        at ".eight";
        shl cx, 3;
        at ".one";
        add di, cx;
        cmp bl, kind::PLANAR as i32;
        jne ".no_page";
        movzx ax, bh;
        mul word(V_PAGE_SIZE);
        add di, ax;
        at ".no_page";
        pop cx;
        pop ax;
        ret;

        // DS:SI: shape of AL. DL: the mode, DH: columns. Kind in BL; changes AX.
        at "glyph_shape";
        mov dl, [V_MODE];
        mov dh, [V_COLUMNS];
        push cx;
        mov cl, [V_CHAR_HEIGHT];
        xor si, si;
        mov ds, si;
        cmp bl, kind::CGA as i32;
        jne ".whole";
        test al, 0x80;
        jz ".whole";
        and al, 0x7F;
        lds si, [0x1F * 4];
        jmp ".at";
        at ".whole";
        lds si, [0x43 * 4];
        at ".at";
        mul cl;
        add si, ax;
        pop cx;
        ret;
    }
}

fn read(a: &mut Asm) {
    asm! { a;
        at "read_char"; // BH page; AX: character and attribute
        call "write_char.position";
        call "mode_kind";
        cmp al, kind::TEXT as i32;
        jne ".dots";
        call "text_address";
        mov ax, es_at(di);
        at ".answer";
        mov [bp + caller::AX], ax;
        jmp "v_done";
        at ".dots";
        mov bl, al;
        xor ax, ax;
        cmp bl, kind::OTHER as i32;
        je ".answer";
        call "glyph_place";
        // The cell's dots onto the stack, a byte a line.
        sub sp, 32;
        mov si, sp;
        movzx cx, byte(V_CHAR_HEIGHT);
        cmp bl, kind::PLANAR as i32;
        jne ".line";
        mov dx, 0x3CE;
        mov ax, 0x0805; // read mode 1: compares
        out dx, ax;
        mov ax, 0x0002; // with colour 0
        out dx, ax;
        mov ax, 0x0F07; // in all planes
        out dx, ax;
        at ".line";
        push cx;
        cmp bl, kind::PLANAR as i32;
        je ".planar";
        cmp bl, kind::LINEAR as i32;
        je ".linear";
        cmp byte(V_MODE), 6;
        je ".two_colors";
        mov dx, es_at(di);
        xchg dl, dh;
        mov cx, 8;
        at ".pair";
        rol dx, 2;
        test dl, 3;
        clc;
        jz ".no_pair";
        stc;
        at ".no_pair";
        rcl al, 1;
        loop_ ".pair";
        jmp ".cga_line";
        at ".two_colors";
        mov al, es_at(di);
        at ".cga_line";
        call "draw_glyph.cga_line";
        jmp ".got";
        at ".linear";
        mov cx, 8;
        at ".pixel";
        cmp byte(es_at(di)), 1; // carry if 0
        cmc;
        rcl al, 1;
        inc di;
        loop_ ".pixel";
        add di, 320 - 8;
        jmp ".got";
        at ".planar";
        mov al, es_at(di);
        not al;
        movzx cx, byte(V_COLUMNS);
        add di, cx;
        at ".got";
        db 0x36; // SS:
        mov [si], al;
        inc si;
        pop cx;
        loop_ ".line";
        cmp bl, kind::PLANAR as i32;
        jne ".search";
        mov dx, 0x3CE;
        mov ax, 0x0005;
        out dx, ax;
        // The first character with these dots.
        at ".search";
        push ss;
        pop es;
        movzx cx, byte(V_CHAR_HEIGHT);
        xor al, al;
        at ".candidate";
        push ax;
        push cx;
        push ds;
        call "glyph_shape";
        mov di, sp;
        add di, 6;
        repe_cmpsb;
        pop ds;
        pop cx;
        pop ax;
        je ".found";
        inc al;
        jnz ".candidate";
        at ".found";
        add sp, 32;
        xor ah, ah;
        jmp ".answer";
    }
}
