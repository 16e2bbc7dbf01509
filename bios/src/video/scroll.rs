//! INT 10h AH=06h and 07h: scrolling a window, in text by cells and in graphics by lines of dots.

use super::tables::kind;
use crate::areas::*;
use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "scroll_up";
        mov ah, 0;
        jmp ".window";
        at "scroll_down";
        mov ah, 1;
        at "scroll_up.window"; // AL lines, BH attribute, CX upper left, DX lower right
        mov bl, [V_PAGE];
        call "scroll_page";
        jmp "v_done";

        // AL lines (0: clear), AH: 0 up, 1 down; BH attribute, BL page, CX upper left, DX lower right.
        at "scroll_page";
        // Within the screen.
        cmp dh, [V_ROWS];
        jbe ".rows";
        mov dh, [V_ROWS];
        at ".rows";
        cmp dl, [V_COLUMNS];
        jb ".columns";
        mov dl, [V_COLUMNS];
        dec dl;
        at ".columns";
        cmp ch, dh;
        ja ".end";
        cmp cl, dl;
        ja ".end";
        // All of it, if there are no more lines.
        push dx;
        sub dh, ch;
        inc dh;
        test al, al;
        jz ".all";
        cmp al, dh;
        jb ".some";
        at ".all";
        mov al, dh;
        at ".some";
        pop dx;
        push ax;
        call "mode_kind";
        mov si, ax;
        pop ax;
        push bp;
        // Locals: what the steps below need, from BP down.
        sub sp, 12;
        mov bp, sp;
        mov [bp], al; // lines to move by
        mov [bp + 1], ah; // direction
        mov [bp + 2], bx; // page, attribute
        mov [bp + 4], cx;
        mov [bp + 6], dx;
        mov bx, si;
        cmp bl, kind::TEXT as i32;
        je ".text";
        cmp bl, kind::OTHER as i32;
        je ".restore";
        call "scroll_dots";
        jmp ".restore";
        at ".text";
        call "scroll_cells";
        at ".restore";
        add sp, 12;
        pop bp;
        at ".end";
        ret;

        // Text. Locals at BP.
        at "scroll_cells";
        // DX: bytes of a row, to the next (up) or the one before (down); DI: where it begins.
        push word(bp + 4);
        mov bh, [bp + 2];
        pop dx;
        cmp byte(bp + 1), 0;
        je ".top";
        mov dh, [bp + 7];
        at ".top";
        call "text_address"; // ES:DI
        movzx ax, byte(bp);
        mul byte(V_COLUMNS);
        add ax, ax;
        mov bx, ax; // distance of source and target
        movzx dx, byte(V_COLUMNS);
        add dx, dx;
        cmp byte(bp + 1), 0;
        je ".up";
        neg bx;
        neg dx;
        at ".up";
        // CL: rows to move.
        mov cl, [bp + 7];
        sub cl, [bp + 5];
        inc cl;
        sub cl, [bp];
        push ds;
        push es;
        pop ds;
        at ".row";
        test cl, cl;
        jz ".moved";
        push cx;
        push di;
        call ".width";
        mov si, di;
        add si, bx;
        rep_movsw;
        pop di;
        pop cx;
        add di, dx;
        dec cl;
        jmp ".row";
        at ".moved";
        mov bl, [bp];
        at ".blank";
        test bl, bl;
        jz ".end";
        push di;
        call ".width";
        mov ah, [bp + 3];
        mov al, 0x20;
        rep_stosw;
        pop di;
        add di, dx;
        dec bl;
        jmp ".blank";
        at ".end";
        pop ds;
        ret;
        at ".width"; // CX: cells of a row
        movzx cx, byte(bp + 6);
        sub cl, [bp + 4];
        inc cx;
        ret;
    }
    dots(a);
}

fn dots(a: &mut Asm) {
    asm! { a;
        // Graphics. Locals at BP, BL: kind. BP+8: next line of dots, BP+10: lines left.
        at "scroll_dots";
        mov [bp + 12 - 1], bl; // kind, in the last local byte
        mov ax, 0xB800;
        cmp bl, kind::CGA as i32;
        je ".segment";
        mov ax, 0xA000;
        at ".segment";
        mov es, ax;
        // First target line.
        mov al, [bp + 5];
        cmp byte(bp + 1), 0;
        je ".first";
        mov al, [bp + 7];
        inc al;
        at ".first";
        mul byte(V_CHAR_HEIGHT);
        cmp byte(bp + 1), 0;
        je ".line";
        dec ax;
        at ".line";
        mov [bp + 8], ax;
        // Lines to move.
        mov al, [bp + 7];
        sub al, [bp + 5];
        inc al;
        sub al, [bp];
        mul byte(V_CHAR_HEIGHT);
        mov cx, ax;
        cmp byte(bp + 11), kind::PLANAR as i32;
        jne ".move";
        push cx;
        mov dx, 0x3CE;
        mov ax, 0x0105; // write mode 1: latches
        out dx, ax;
        pop cx;
        at ".move";
        jcxz ".moved";
        push cx;
        mov al, [bp];
        mul byte(V_CHAR_HEIGHT);
        cmp byte(bp + 1), 0;
        je ".source";
        neg ax;
        at ".source";
        add ax, [bp + 8];
        call ".address";
        mov si, di;
        mov ax, [bp + 8];
        call ".address";
        call ".width";
        push ds;
        push es;
        pop ds;
        rep_movsb;
        pop ds;
        call ".step";
        pop cx;
        loop_ ".move";
        at ".moved";
        // Blank lines.
        mov al, [bp];
        mul byte(V_CHAR_HEIGHT);
        mov cx, ax;
        mov al, [bp + 3]; // colour
        cmp byte(bp + 11), kind::PLANAR as i32;
        jne ".not_planar";
        mov dx, 0x3CE;
        mov ah, al;
        mov al, 0; // set/reset: the colour, in all planes
        out dx, ax;
        mov ax, 0x0F01;
        out dx, ax;
        mov ax, 0x0005;
        out dx, ax;
        jmp ".blank";
        at ".not_planar";
        cmp byte(bp + 11), kind::CGA as i32;
        jne ".blank";
        // Colour over the whole byte.
        cmp byte(V_MODE), 6;
        je ".two_colors";
        and al, 3;
        mov ah, 0x55;
        mul ah;
        jmp ".blank";
        at ".two_colors";
        and al, 1;
        neg al;
        at ".blank";
        jcxz ".blanked";
        push cx;
        push ax;
        mov ax, [bp + 8];
        call ".address";
        call ".width";
        pop ax;
        rep_stosb;
        call ".step";
        pop cx;
        loop_ ".blank";
        at ".blanked";
        cmp byte(bp + 11), kind::PLANAR as i32;
        jne ".end";
        mov dx, 0x3CE;
        mov ax, 0x0000;
        out dx, ax;
        mov ax, 0x0001;
        out dx, ax;
        at ".end";
        ret;

        at ".step"; // to the next line
        cmp byte(bp + 1), 0;
        jne ".back";
        inc word(bp + 8);
        ret;
        at ".back";
        dec word(bp + 8);
        ret;

        at ".width"; // CX: bytes of a line within the window
        movzx cx, byte(bp + 6);
        sub cl, [bp + 4];
        inc cx;
        at ".wide"; // CX cells to bytes
        cmp byte(bp + 11), kind::LINEAR as i32;
        je ".eight";
        cmp byte(V_MODE), 6;
        jae ".same";
        add cx, cx;
        at ".same";
        ret;
        at ".eight";
        shl cx, 3;
        ret;

        at ".address"; // DI: offset of line AX at the window's left edge. Keeps AX, SI, ES.
        push ax;
        push cx;
        push dx;
        mov bl, [bp + 11];
        call "line_address";
        movzx cx, byte(bp + 4);
        call ".wide";
        add di, cx;
        cmp byte(bp + 11), kind::PLANAR as i32;
        jne ".no_page";
        movzx ax, byte(bp + 2);
        mul word(V_PAGE_SIZE);
        add di, ax;
        at ".no_page";
        pop dx;
        pop cx;
        pop ax;
        ret;

        // DI: offset of line AX in a mode of kind BL. Changes AX, DX.
        at "line_address";
        cmp bl, kind::LINEAR as i32;
        je ".linear";
        cmp bl, kind::CGA as i32;
        je ".cga";
        mul word(V_COLUMNS);
        mov di, ax;
        ret;
        at ".linear";
        mov dx, 320;
        mul dx;
        mov di, ax;
        ret;
        at ".cga"; // odd lines are 8 KiB further
        xor di, di;
        shr ax, 1;
        jnc ".even";
        mov di, 0x2000;
        at ".even";
        mov dx, 80;
        mul dx;
        add di, ax;
        ret;
    }
}
