//! INT 09h: a key went down or up. Scan codes of set 1 become characters in the buffer, and state in the flags.
//!
//! IBM PC/AT Technical Reference, "Keyboard Interrupt"; IBM PS/2 BIOS Interface Technical Reference, "Interrupt 09h".

use super::scancodes::LAST;
use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::enter;

const E0: i32 = 0x02; // in KB_FLAG3
const E1: i32 = 0x01;

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int09"; }
    enter(a);
    asm! { a;
        cli;
        in_ al, 0x64;
        and al, 0x21;
        cmp al, 0x01; // a byte, and not the mouse's
        jne ".end";
        in_ al, 0x60;
        mov ah, 0x4F;
        stc;
        int 0x15; // someone may change or swallow it
        jnc ".end";
        cmp al, 0xE0;
        je ".e0";
        cmp al, 0xE1;
        je ".e1";
        cmp al, 0xFA;
        je ".ack";
        cmp al, 0xFE;
        je ".resend";
        cmp al, 0xFF;
        je ".end";
        test al, al;
        jz ".end";
        mov dl, [KB_FLAG3]; // prefixes
        mov bl, al;
        and bl, 0x7F; // key; AL bit 7: up
        cmp bl, 0x1D;
        je ".ctrl";
        cmp bl, 0x2A;
        je ".left_shift";
        cmp bl, 0x36;
        je ".right_shift";
        cmp bl, 0x38;
        je ".alt";
        cmp bl, 0x3A;
        je ".caps";
        cmp bl, 0x45;
        je ".num";
        cmp bl, 0x46;
        je ".scroll";
        cmp bl, 0x52;
        je ".insert";
        cmp bl, 0x54;
        je ".sysrq";
        test al, 0x80;
        jnz ".prefix_done";
        call ".unpause";
        jc ".prefix_done";
        cmp bl, 0x53;
        je ".delete";
        cmp bl, 0x37;
        je ".print_screen";
        at ".character";
        call "key_translate";
        test ax, ax;
        jz ".prefix_done";
        at ".put";
        call "keyboard_store";
        jc ".prefix_done";
        mov ax, 0x9102;
        int 0x15;

        at ".prefix_done";
        and byte(KB_FLAG3), !(E0 | E1) & 0xFF;
        call "key_leds";
        at ".end";
        mov al, 0x20;
        out 0x20, al;
        jmp "done";

        at ".e0";
        or byte(KB_FLAG3), E0;
        jmp ".end";
        at ".e1";
        or byte(KB_FLAG3), E1;
        jmp ".end";
        at ".ack";
        or byte(KB_LEDS), 0x10;
        jmp ".end";
        at ".resend";
        or byte(KB_LEDS), 0x20;
        jmp ".end";

        // A key during a pause ends it. Carry if it did.
        at ".unpause";
        test byte(KB_FLAG1), 0x08;
        jz ".not_paused";
        and byte(KB_FLAG1), 0xF7;
        stc;
        ret;
        at ".not_paused";
        clc;
        ret;
    }
    shifts(a);
    locks(a);
    specials(a);
    translate(a);
    leds(a);
}

fn shifts(a: &mut Asm) {
    asm! { a;
        at ".left_shift";
        mov ah, 0x02;
        jmp ".shift";
        at ".right_shift";
        mov ah, 0x01;
        at ".shift";
        test dl, E0; // the 101-key keyboard's made-up shifts
        jnz ".prefix_done";
        test al, 0x80;
        jnz ".shift_up";
        or [KB_FLAG], ah;
        jmp ".prefix_done";
        at ".shift_up";
        not ah;
        and [KB_FLAG], ah;
        jmp ".prefix_done";

        at ".ctrl";
        test dl, E1;
        jnz ".end"; // first half of Pause
        test dl, E0;
        jnz ".right_ctrl";
        and byte(KB_FLAG1), 0xFE;
        test al, 0x80;
        jnz ".any_ctrl";
        or byte(KB_FLAG1), 0x01;
        jmp ".any_ctrl";
        at ".right_ctrl";
        and byte(KB_FLAG3), 0xFB;
        test al, 0x80;
        jnz ".any_ctrl";
        or byte(KB_FLAG3), 0x04;
        at ".any_ctrl";
        and byte(KB_FLAG), 0xFB;
        test byte(KB_FLAG1), 0x01;
        jnz ".ctrl_on";
        test byte(KB_FLAG3), 0x04;
        jz ".prefix_done";
        at ".ctrl_on";
        or byte(KB_FLAG), 0x04;
        jmp ".prefix_done";

        at ".alt";
        test dl, E0;
        jnz ".right_alt";
        and byte(KB_FLAG1), 0xFD;
        test al, 0x80;
        jnz ".any_alt";
        or byte(KB_FLAG1), 0x02;
        jmp ".any_alt";
        at ".right_alt";
        and byte(KB_FLAG3), 0xF7;
        test al, 0x80;
        jnz ".any_alt";
        or byte(KB_FLAG3), 0x08;
        at ".any_alt";
        and byte(KB_FLAG), 0xF7;
        test byte(KB_FLAG1), 0x02;
        jnz ".alt_on";
        test byte(KB_FLAG3), 0x08;
        jnz ".alt_on";
        // Alt is up: the number typed on the keypad is a character.
        xor ax, ax;
        xchg [KB_ALT_PAD], al;
        test al, al;
        jnz ".put";
        jmp ".prefix_done";
        at ".alt_on";
        or byte(KB_FLAG), 0x08;
        jmp ".prefix_done";
    }
}

fn locks(a: &mut Asm) {
    asm! { a;
        at ".caps";
        mov ah, 0x40;
        jmp ".lock";
        at ".num";
        test dl, E1;
        jnz ".pause";
        test byte(KB_FLAG), 0x04; // Ctrl-NumLock
        jz ".num_lock";
        test al, 0x80;
        jz ".pause";
        at ".num_lock";
        mov ah, 0x20;
        jmp ".lock";
        at ".scroll";
        test byte(KB_FLAG), 0x04; // Ctrl-ScrollLock and Ctrl-Pause
        jz ".scroll_lock";
        test al, 0x80;
        jz ".break";
        at ".scroll_lock";
        test dl, E0;
        jnz ".prefix_done";
        mov ah, 0x10;
        at ".lock"; // toggles once a press, not with each repeat
        test al, 0x80;
        jnz ".lock_up";
        test [KB_FLAG1], ah;
        jnz ".prefix_done";
        or [KB_FLAG1], ah;
        xor [KB_FLAG], ah;
        jmp ".prefix_done";
        at ".lock_up";
        not ah;
        and [KB_FLAG1], ah;
        jmp ".prefix_done";

        at ".pause";
        test al, 0x80;
        jnz ".prefix_done";
        test byte(KB_FLAG1), 0x08;
        jnz ".prefix_done";
        or byte(KB_FLAG1), 0x08;
        and byte(KB_FLAG3), !(E0 | E1) & 0xFF;
        mov al, 0x20;
        out 0x20, al;
        at ".paused";
        sti;
        hlt;
        test byte(KB_FLAG1), 0x08;
        jnz ".paused";
        jmp "done";

        at ".break";
        mov byte(BREAK), 0x80;
        mov ax, [KB_START];
        mov [KB_HEAD], ax;
        mov [KB_TAIL], ax;
        int 0x1B;
        xor ax, ax;
        jmp ".put";
    }
}

fn specials(a: &mut Asm) {
    asm! { a;
        at ".insert";
        test al, 0x80;
        jnz ".insert_up";
        call ".unpause";
        jc ".prefix_done";
        // Only as a cursor key: gray, or keypad without NumLock and the like.
        test dl, E0;
        jnz ".insert_down";
        mov ah, [KB_FLAG];
        test ah, 0x0C;
        jnz ".character";
        mov al, ah;
        shr al, 5;
        test ah, 0x03;
        jz ".insert_plain";
        xor al, 1;
        at ".insert_plain";
        test al, 1;
        jnz ".character";
        at ".insert_down";
        test byte(KB_FLAG1), 0x80;
        jnz ".character";
        or byte(KB_FLAG1), 0x80;
        xor byte(KB_FLAG), 0x80;
        jmp ".character";
        at ".insert_up";
        and byte(KB_FLAG1), 0x7F;
        jmp ".prefix_done";

        at ".sysrq";
        test al, 0x80;
        jnz ".sysrq_up";
        test byte(KB_FLAG1), 0x04;
        jnz ".prefix_done";
        or byte(KB_FLAG1), 0x04;
        mov ax, 0x8500;
        jmp ".sysrq_tell";
        at ".sysrq_up";
        and byte(KB_FLAG1), 0xFB;
        mov ax, 0x8501;
        at ".sysrq_tell";
        int 0x15;
        jmp ".prefix_done";

        at ".delete";
        mov ah, [KB_FLAG];
        and ah, 0x0C;
        cmp ah, 0x0C;
        jne ".character";
        mov word(WARM), 0x1234;
        jmp "machine_reset";

        at ".print_screen";
        test dl, E0;
        jz ".character";
        test byte(KB_FLAG), 0x04;
        mov ax, 0x7200;
        jnz ".put";
        and byte(KB_FLAG3), !(E0 | E1) & 0xFF;
        mov al, 0x20;
        out 0x20, al;
        int 0x05;
        jmp "done";

        // Resets everything, by the keyboard controller, the chipset, or at least ourselves.
        at "machine_reset";
        cli;
        call "kbc_ready";
        mov al, 0xFE;
        out 0x64, al;
        mov cx, 0x1000;
        at ".wait";
        loop_ ".wait";
        mov dx, 0xCF9;
        mov al, 0x02;
        out dx, al;
        mov al, 0x06;
        out dx, al;
        mov cx, 0x1000;
        at ".wait2";
        loop_ ".wait2";
        jmp_far 0xF000, a.o("reset");
    }
}

fn translate(a: &mut Asm) {
    asm! { a;
        // BL: key, DL: prefixes. AX: what it gives, 0 nothing.
        at "key_translate";
        xor ax, ax;
        cmp bl, LAST;
        ja ".none";
        mov cl, [KB_FLAG];
        xor bh, bh;
        mov si, bx;
        shl si, 3;
        add si, "key_table";
        test dl, E0;
        jnz ".extended";
        // Alt with the keypad: decimal number of a character.
        test cl, 0x08;
        jz ".not_alt";
        cmp bl, 0x47;
        jb ".take_alt";
        cmp bl, 0x53;
        jae ".take_alt";
        movzx di, bl;
        mov al, cs_at(di + a.o(".pad") - 0x47);
        cmp al, 0xFF;
        je ".take_alt";
        mov ah, al;
        mov al, [KB_ALT_PAD];
        mov ch, 10;
        push ax;
        mul ch;
        mov ch, al;
        pop ax;
        add ch, ah;
        mov [KB_ALT_PAD], ch;
        xor ax, ax;
        ret;
        at ".take_alt";
        xor ax, ax;
        cmp bl, 0x47;
        jb ".alt_word";
        cmp bl, 0x53;
        je ".none";
        at ".alt_word";
        mov ax, cs_at(si + 6);
        ret;
        at ".not_alt";
        test cl, 0x04;
        jnz ".take_ctrl";
        mov ax, cs_at(si);
        // Shift, turned round by CapsLock for letters and by NumLock for the keypad.
        mov ch, cl;
        and ch, 0x03;
        setnz ch;
        cmp bl, 0x47;
        jb ".letter";
        cmp bl, 0x53;
        ja ".shifted";
        test cl, 0x20;
        jz ".shifted";
        xor ch, 1;
        jmp ".shifted";
        at ".letter";
        test cl, 0x40;
        jz ".shifted";
        cmp al, 0x61;
        jb ".shifted";
        cmp al, 0x7A;
        ja ".shifted";
        xor ch, 1;
        at ".shifted";
        test ch, ch;
        jz ".none";
        mov ax, cs_at(si + 2);
        at ".none";
        ret;
        at ".take_ctrl";
        mov ax, cs_at(si + 4);
        ret;

        at ".extended";
        cmp bl, 0x1C;
        je ".enter";
        cmp bl, 0x35;
        je ".slash";
        cmp bl, 0x47;
        jb ".none";
        cmp bl, 0x53;
        ja ".none";
        test cl, 0x08;
        jnz ".alt_cursor";
        test cl, 0x04;
        jnz ".ctrl_cursor";
        mov ah, bl;
        mov al, 0xE0;
        ret;
        at ".ctrl_cursor";
        mov ax, cs_at(si + 4);
        mov al, 0xE0;
        ret;
        at ".alt_cursor";
        mov ah, bl;
        add ah, 0x50;
        ret;
        at ".enter";
        mov ax, 0xA600;
        test cl, 0x08;
        jnz ".none";
        mov ax, 0xE00A;
        test cl, 0x04;
        jnz ".none";
        mov al, 0x0D;
        ret;
        at ".slash";
        mov ax, 0xA400;
        test cl, 0x08;
        jnz ".none";
        mov ax, 0x9500;
        test cl, 0x04;
        jnz ".none";
        mov ax, 0xE02F;
        ret;
        at ".pad"; // 47h to 52h
        db &[7, 8, 9, 0xFF, 4, 5, 6, 0xFF, 1, 2, 3, 0];
    }
}

fn leds(a: &mut Asm) {
    asm! { a;
        // Shows the locks on the keyboard when they have changed.
        at "key_leds";
        mov al, [KB_FLAG];
        shr al, 4;
        and al, 7;
        mov ah, [KB_LEDS];
        and ah, 7;
        cmp al, ah;
        je ".same";
        and byte(KB_LEDS), 0xF8;
        or [KB_LEDS], al;
        mov ah, al;
        mov al, 0xED;
        call "keyboard_byte";
        jc ".same";
        mov al, ah;
        call "keyboard_byte";
        at ".same";
        ret;
    }
}
