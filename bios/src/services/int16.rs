//! INT 16h: the keyboard. IBM PS/2 BIOS Interface Technical Reference, "Interrupt 16h - Keyboard".

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int16"; }
    enter(a);
    asm! { a;
        cmp ah, 0x00;
        je ".read";
        cmp ah, 0x01;
        je ".peek";
        cmp ah, 0x02;
        je ".flags";
        cmp ah, 0x03;
        je ".rate";
        cmp ah, 0x05;
        je ".store";
        cmp ah, 0x09;
        je ".abilities";
        cmp ah, 0x0A;
        je ".identity";
        cmp ah, 0x10;
        je ".read_enhanced";
        cmp ah, 0x11;
        je ".peek_enhanced";
        cmp ah, 0x12;
        je ".flags_enhanced";
        cmp ah, 0x92;
        je ".supports";
        cmp ah, 0xA2;
        je ".supports122";
        jmp "done";

        at ".read";
        call ".wait";
        call ".plain";
        mov [bp + caller::AX], ax;
        jmp "done";
        at ".read_enhanced";
        call ".wait";
        call ".no_f0";
        mov [bp + caller::AX], ax;
        jmp "done";

        at ".peek";
        cli;
        call ".look";
        jz ".empty";
        call ".plain";
        jmp ".peeked";
        at ".peek_enhanced";
        cli;
        call ".look";
        jz ".empty";
        call ".no_f0";
        at ".peeked";
        mov [bp + caller::AX], ax;
        and byte(bp + caller::FLAGS), 0xBF;
        or byte(bp + caller::FLAGS + 1), 2;
        jmp "done";
        at ".empty";
        // Whoever polls wants the keys to come; let them.
        or byte(bp + caller::FLAGS), 0x40;
        or byte(bp + caller::FLAGS + 1), 2;
        jmp "done";

        at ".flags";
        mov al, [KB_FLAG];
        mov [bp + caller::AL], al;
        jmp "done";

        at ".flags_enhanced";
        mov al, [KB_FLAG];
        mov [bp + caller::AL], al;
        // SysRq, locks down, right and left alt and ctrl.
        mov ah, [KB_FLAG1];
        mov al, ah;
        and ah, 0x73;
        and al, 0x04;
        shl al, 5;
        or ah, al;
        mov al, [KB_FLAG3];
        and al, 0x0C;
        or ah, al;
        mov [bp + caller::AH], ah;
        jmp "done";

        at ".rate"; // AL=05h: BH delay, BL rate
        cmp al, 5;
        jne ".rate_done";
        mov al, 0xF3;
        call "keyboard_byte";
        jc ".rate_done";
        mov al, [bp + caller::BH];
        and al, 3;
        shl al, 5;
        mov ah, [bp + caller::BL];
        and ah, 0x1F;
        or al, ah;
        call "keyboard_byte";
        at ".rate_done";
        jmp "done";

        at ".store"; // CX
        cli;
        mov ax, [bp + caller::CX];
        call "keyboard_store";
        setc al;
        mov [bp + caller::AL], al;
        jmp "done";

        at ".abilities";
        mov byte(bp + caller::AL), 0x30; // AH=0Ah, AH=10h-12h
        jmp "done";

        at ".identity";
        mov word(bp + caller::BX), 0x41AB;
        jmp "done";

        at ".supports";
        mov byte(bp + caller::AH), 0x80;
        jmp "done";
        at ".supports122";
        jmp "done";

        // AX: next key, taken out. Halts until there is one.
        at ".wait";
        cli;
        call ".look";
        jnz ".take";
        mov ax, 0x9002;
        int 0x15;
        cli;
        call ".look";
        jnz ".take";
        sti;
        hlt;
        jmp ".wait";
        at ".take";
        mov bx, [KB_HEAD];
        mov ax, [bx];
        add bx, 2;
        cmp bx, [KB_END];
        jb ".head";
        mov bx, [KB_START];
        at ".head";
        mov [KB_HEAD], bx;
        sti;
        ret;

        // AX: next key, left in; ZF if there is none.
        at ".look";
        mov bx, [KB_HEAD];
        cmp bx, [KB_TAIL];
        je ".none";
        mov ax, [bx];
        at ".none";
        ret;

        // Keys of the 101-key keyboard as the 84-key one had them.
        at ".plain";
        cmp ah, 0xE0;
        jne ".not_pad";
        // Keypad Enter and slash
        mov ah, 0x35;
        cmp al, 0x2F;
        je ".plain_done";
        mov ah, 0x1C;
        ret;
        at ".not_pad";
        cmp al, 0xE0;
        je ".gray";
        at ".no_f0";
        cmp al, 0xF0;
        jne ".plain_done";
        at ".gray";
        test ah, ah;
        jz ".plain_done";
        xor al, al;
        at ".plain_done";
        ret;

        // Puts AX into the buffer; carry if it is full. Interrupts off.
        at "keyboard_store";
        push bx;
        push si;
        mov bx, [KB_TAIL];
        mov si, bx;
        add bx, 2;
        cmp bx, [KB_END];
        jb ".tail";
        mov bx, [KB_START];
        at ".tail";
        cmp bx, [KB_HEAD];
        je ".full";
        mov [si], ax;
        mov [KB_TAIL], bx;
        clc;
        jmp ".stored";
        at ".full";
        stc;
        at ".stored";
        pop si;
        pop bx;
        ret;

        // Sends AL to the keyboard and waits for its acknowledge, without its interrupt. Carry if none came.
        at "keyboard_byte";
        push ax;
        push cx;
        mov cx, 3;
        pushf;
        cli;
        call "kbc_send";
        at ".answer";
        in_ al, 0x64;
        test al, 0x20;
        jnz ".lost"; // a byte of the mouse comes first
        call "kbc_read";
        jc ".lost";
        cmp al, 0xFA;
        je ".acknowledged";
        loop_ ".answer";
        at ".lost";
        popf;
        stc;
        jmp ".sent";
        at ".acknowledged";
        popf;
        clc;
        at ".sent";
        pop cx;
        pop ax;
        ret;
    }
}
