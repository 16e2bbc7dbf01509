//! INT 10h: cursor, pages, teletype and strings. What puts a character on the screen is in `draw`.

use super::tables::kind;
use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    cursor(a);
    pages(a);
    teletype(a);
    string(a);
}

fn cursor(a: &mut Asm) {
    asm! { a;
        at "cursor_shape"; // CH first line, CL last, for a cell of eight lines unless emulation is off
        mov [V_CURSOR_SHAPE], cx;
        call "cursor_show_shape";
        jmp "v_done";

        // Shape in CX to the CRT controller.
        at "cursor_show_shape";
        test ch, 0x20; // hidden
        jnz ".set";
        test byte(V_CONTROL), 1; // emulation off
        jnz ".set";
        mov dl, [V_CHAR_HEIGHT];
        cmp dl, 8;
        jbe ".set";
        cmp cl, 8;
        jae ".set";
        cmp ch, 8;
        jae ".set";
        // A line at the bottom stays there; otherwise in proportion.
        cmp ch, cl;
        ja ".set";
        mov al, cl;
        inc al;
        cmp al, ch;
        je ".set";
        mov al, cl;
        sub al, ch;
        cmp al, 3;
        jae ".scale";
        cmp cl, 6;
        jb ".scale";
        // Bottom lines.
        sub dl, 2;
        mov cl, dl;
        mov ch, dl;
        sub ch, al;
        jmp ".set";
        at ".scale";
        mov al, ch;
        mul dl;
        shr ax, 3;
        mov ch, al;
        mov al, cl;
        inc al;
        mul dl;
        shr ax, 3;
        dec al;
        mov cl, al;
        at ".set";
        mov dx, [V_CRTC];
        mov al, 0x0A;
        mov ah, ch;
        and ah, 0x3F;
        out dx, ax;
        mov al, 0x0B;
        mov ah, cl;
        and ah, 0x1F;
        out dx, ax;
        ret;

        at "cursor_set"; // BH page, DX position
        cmp bh, 8;
        jae "v_done";
        call "cursor_move";
        jmp "v_done";

        // Page BH's cursor to DX.
        at "cursor_move";
        push ax;
        push bx;
        push dx;
        movzx bx, bh;
        mov ah, bl;
        add bx, bx;
        mov [bx + V_CURSOR], dx;
        cmp ah, [V_PAGE];
        jne ".end";
        call "cursor_show";
        at ".end";
        pop dx;
        pop bx;
        pop ax;
        ret;

        // The active page's cursor on the screen.
        at "cursor_show";
        movzx bx, byte(V_PAGE);
        add bx, bx;
        mov dx, [bx + V_CURSOR];
        mov al, dh;
        mul byte(V_COLUMNS);
        xor dh, dh;
        add ax, dx;
        mov bx, [V_PAGE_START];
        shr bx, 1;
        add bx, ax;
        mov dx, [V_CRTC];
        mov al, 0x0E;
        mov ah, bh;
        out dx, ax;
        mov al, 0x0F;
        mov ah, bl;
        out dx, ax;
        ret;

        at "cursor_get"; // BH page
        mov ax, [V_CURSOR_SHAPE];
        mov [bp + caller::CX], ax;
        xor dx, dx;
        cmp bh, 8;
        jae ".none";
        movzx bx, bh;
        add bx, bx;
        mov dx, [bx + V_CURSOR];
        at ".none";
        mov [bp + caller::DX], dx;
        mov word(bp + caller::AX), 0;
        jmp "v_done";
    }
}

fn pages(a: &mut Asm) {
    asm! { a;
        at "set_page"; // AL
        cmp al, 8;
        jae "v_done";
        mov [V_PAGE], al;
        movzx ax, al;
        mul word(V_PAGE_SIZE);
        mov [V_PAGE_START], ax;
        mov bx, ax;
        call "mode_kind";
        cmp al, kind::TEXT as i32;
        ja ".start";
        shr bx, 1; // the CRT controller counts words there
        at ".start";
        mov dx, [V_CRTC];
        mov al, 0x0C;
        mov ah, bh;
        out dx, ax;
        mov al, 0x0D;
        mov ah, bl;
        out dx, ax;
        call "cursor_show";
        jmp "v_done";
    }
}

fn teletype(a: &mut Asm) {
    asm! { a;
        at "teletype"; // AL, BL colour in graphics; on the active page
        mov bh, [V_PAGE];
        call "teletype_char";
        jmp "v_done";

        // AL on page BH, colour BL in graphics modes, BL ignored in text.
        at "teletype_char";
        mov cl, 0; // no attribute of its own
        at "teletype_any"; // CL: 1 with attribute BL in text too
        push cx;
        movzx si, bh;
        add si, si;
        mov dx, [si + V_CURSOR];
        pop cx;
        cmp al, 0x07;
        je ".bell";
        cmp al, 0x08;
        je ".back";
        cmp al, 0x0A;
        je ".feed";
        cmp al, 0x0D;
        je ".return";
        push bx;
        push dx;
        mov ch, cl;
        mov cl, 1;
        call "put_char";
        pop dx;
        pop bx;
        inc dl;
        cmp dl, [V_COLUMNS];
        jb ".move";
        xor dl, dl;
        at ".feed";
        cmp dh, [V_ROWS];
        jae ".scroll";
        inc dh;
        jmp ".move";
        at ".back";
        test dl, dl;
        jz ".move";
        dec dl;
        jmp ".move";
        at ".return";
        xor dl, dl;
        at ".move";
        jmp "cursor_move";
        at ".bell";
        jmp "bell";
        at ".scroll";
        call "cursor_move";
        // The new line has the attribute of the line that was last.
        push bx;
        call "mode_kind";
        cmp al, kind::TEXT as i32;
        mov al, 0;
        jne ".attribute";
        push dx;
        mov dh, [V_ROWS];
        call "text_address";
        mov al, es_at(di + 1);
        pop dx;
        at ".attribute";
        mov ah, al;
        mov al, 1;
        mov cl, bh; // page
        mov bh, ah;
        mov bl, cl;
        xor cx, cx;
        mov dh, [V_ROWS];
        mov dl, [V_COLUMNS];
        dec dl;
        mov ah, 0;
        call "scroll_page";
        pop bx;
        ret;

        // A short tone: counter 2 through the speaker gate.
        at "bell";
        push ax;
        push cx;
        mov al, 0xB6;
        out 0x43, al;
        mov ax, 0x0533; // 896 Hz
        out 0x42, al;
        mov al, ah;
        out 0x42, al;
        in_ al, 0x61;
        push ax;
        or al, 3;
        out 0x61, al;
        mov cx, 0x4000;
        at ".tone";
        out 0xED, al;
        loop_ ".tone";
        pop ax;
        out 0x61, al;
        pop cx;
        pop ax;
        ret;
    }
}

fn string(a: &mut Asm) {
    asm! { a;
        at "write_string"; // ES:BP text, CX length, DX position, BH page, BL attribute, AL: 1 moves, 2 has attributes
        cmp al, 3;
        ja "v_done";
        cmp bh, 8;
        jae "v_done";
        mov cx, [bp + caller::CX];
        jcxz "v_done_near";
        movzx si, bh;
        add si, si;
        push word(si + V_CURSOR);
        call "cursor_move";
        mov si, [bp + caller::BP];
        at ".next";
        mov dx, [bp + caller::ES];
        mov es, dx;
        mov bh, [bp + caller::BH];
        mov bl, [bp + caller::BL];
        mov al, es_at(si);
        inc si;
        test byte(bp + caller::AL), 2;
        jz ".one";
        mov bl, es_at(si);
        inc si;
        at ".one";
        push si;
        push cx;
        mov cl, 1;
        call "teletype_any";
        pop cx;
        pop si;
        loop_ ".next";
        pop dx;
        test byte(bp + caller::AL), 1;
        jnz "v_done";
        mov bh, [bp + caller::BH];
        call "cursor_move";
        at "v_done_near";
        jmp "v_done";
    }
}
