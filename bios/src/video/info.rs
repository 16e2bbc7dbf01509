//! INT 10h AH=12h, 1Ah and 1Bh: choices and what there is.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "alternate"; // BL function
        cmp bl, 0x10;
        je ".information";
        cmp bl, 0x20;
        je "v_done"; // print screen: the system's serves any number of rows
        sub bl, 0x30;
        jc "v_done";
        cmp bl, 6;
        ja "v_done";
        movzx si, bl;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[".lines", ".loading", ".video", ".gray", ".cursor", ".switch", ".refresh"];

        at ".information";
        xor bh, bh; // colour
        cmp byte(V_CRTC), 0xD4;
        je ".color";
        inc bh;
        at ".color";
        mov bl, 3; // 256 KiB
        mov [bp + caller::BX], bx;
        mov al, [V_SWITCHES];
        and al, 0x0F;
        mov cl, al;
        mov ch, [V_SWITCHES];
        shr ch, 4;
        mov [bp + caller::CX], cx;
        jmp "v_done";

        at ".lines"; // AL: 0 200, 1 350, 2 400, from the next text mode on
        mov ah, 0x80;
        cmp al, 1;
        jb ".lines_set";
        mov ah, 0x00;
        je ".lines_set";
        mov ah, 0x10;
        cmp al, 2;
        jne "v_done";
        at ".lines_set";
        and byte(V_FLAGS), 0x6F;
        or [V_FLAGS], ah;
        jmp ".did";
        at ".loading"; // AL=1: modes leave the colours alone
        mov ah, 0x08;
        jmp ".flag";
        at ".gray"; // AL=0: gray summing
        mov ah, 0x02;
        xor al, 1;
        at ".flag"; // bit AH of the flags to AL
        cmp al, 1;
        ja "v_done";
        not ah;
        and [V_FLAGS], ah;
        not ah;
        test al, al;
        jz ".did";
        or [V_FLAGS], ah;
        jmp ".did";
        at ".video"; // AL=0: the processor reaches the display
        cmp al, 1;
        ja "v_done";
        xor al, 1;
        add al, al;
        mov ah, al;
        mov dx, 0x3CC;
        in_ al, dx;
        and al, 0xFD;
        or al, ah;
        mov dx, 0x3C2;
        out dx, al;
        jmp ".did";
        at ".cursor"; // AL=0: cursor shapes are scaled
        cmp al, 1;
        ja "v_done";
        and byte(V_CONTROL), 0xFE;
        or [V_CONTROL], al;
        jmp ".did";
        at ".switch";
        jmp ".did";
        at ".refresh"; // AL=1: screen off
        cmp al, 1;
        ja "v_done";
        shl al, 5;
        mov ah, al;
        mov dx, 0x3C4;
        mov al, 1;
        out dx, al;
        inc dx;
        in_ al, dx;
        and al, 0xDF;
        or al, ah;
        out dx, al;
        at ".did";
        mov byte(bp + caller::AL), 0x12;
        jmp "v_done";

        at "display_code"; // AL: 0 read, 1 set
        cmp al, 1;
        ja "v_done";
        je ".set";
        mov bl, [V_DCC];
        xor bh, bh;
        mov [bp + caller::BX], bx;
        jmp ".did";
        at ".set";
        mov [V_DCC], bl;
        at ".did";
        mov byte(bp + caller::AL), 0x1A;
        jmp "v_done";

        at "state_info"; // BX=0; 64 bytes to ES:DI
        test bx, bx;
        jnz "v_done";
        mov di, [bp + caller::DI];
        cld;
        mov ax, "abilities";
        stosw;
        mov ax, cs;
        stosw;
        // Mode to CRT mode registers, as in the data area.
        mov si, V_MODE;
        mov cx, 30;
        rep_movsb;
        mov al, [V_ROWS];
        inc al;
        stosb;
        mov ax, [V_CHAR_HEIGHT];
        stosw;
        mov al, [V_DCC];
        stosb;
        xor al, al; // the other display
        stosb;
        // Colours and pages.
        movzx bx, byte(V_MODE);
        xor ax, ax;
        cmp bl, 0x13;
        ja ".colors";
        add bx, bx;
        mov ax, cs_at(bx + a.o(".counts"));
        at ".colors";
        movzx cx, ah; // pages
        xor ah, ah;
        test al, al;
        jnz ".counted";
        cmp byte(V_MODE), 0x13;
        jne ".counted";
        mov ax, 256;
        at ".counted";
        stosw;
        mov al, cl;
        stosb;
        // Lines: 0 200, 1 350, 2 400, 3 480.
        mov al, 2;
        cmp byte(V_MODE), 0x11;
        je ".tall";
        cmp byte(V_MODE), 0x12;
        jne ".lines";
        at ".tall";
        inc al;
        at ".lines";
        stosb;
        xor ax, ax; // font blocks
        stosw;
        // Miscellaneous: all modes on all displays, gray, monochrome, loading, emulation, blink.
        mov al, 0x01;
        mov ah, [V_FLAGS];
        test ah, 0x02;
        jz ".no_gray";
        or al, 0x02;
        at ".no_gray";
        test ah, 0x08;
        jz ".loads";
        or al, 0x08;
        at ".loads";
        test byte(V_CONTROL), 1;
        jnz ".no_emulation";
        or al, 0x10;
        at ".no_emulation";
        test byte(V_MODE_REG), 0x20;
        jz ".no_blink";
        or al, 0x20;
        at ".no_blink";
        stosb;
        xor ax, ax;
        stosb;
        stosw;
        mov al, 3; // 256 KiB
        stosb;
        xor al, al;
        stosb;
        mov cx, 13;
        rep_stosb;
        mov byte(bp + caller::AL), 0x1B;
        jmp "v_done";
        at ".counts"; // colours and pages of modes 0 to 13h
        db &[
            16, 8, 16, 8, 16, 8, 16, 8, 4, 1, 4, 1, 2, 1, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 8, 16, 4, 0, 2, 16, 2,
            2, 1, 16, 1, 0, 1
        ];
    }
}
