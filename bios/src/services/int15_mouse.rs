//! INT 15h AH=C2h and INT 74h: the PS/2 mouse and the handler that a driver installs for it. IBM PS/2 BIOS Interface
//! Technical Reference, "Interrupt 15h, (AH)=C2h".

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "mouse";
        cmp al, 7;
        ja ".bad_function";
        movzx si, al;
        add si, si;
        mov bx, [bp + caller::BX];
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[".enable", ".reset", ".rate", ".resolution", ".kind", ".initialise", ".extended", ".handler"];
        at ".bad_function";
        mov ah, 0x01;
        jmp "fail_ah";
        at ".bad_input";
        mov ah, 0x02;
        jmp "fail_ah";
        at ".failed";
        mov ah, 0x03;
        jmp "fail_ah";
        at ".no_handler";
        mov ah, 0x05;
        jmp "fail_ah";

        at ".enable"; // BH: 0 off, 1 on
        cmp bh, 1;
        ja ".bad_input";
        je ".on";
        mov al, 0xF5;
        call "mouse_command";
        jc ".failed";
        call "mouse_interrupt_off";
        jmp "ok";
        at ".on";
        test byte(fs_at(E_MOUSE_FLAGS2)), 0x80;
        jz ".no_handler";
        mov al, 0xF4;
        call "mouse_command";
        jc ".failed";
        call "mouse_interrupt_on";
        jmp "ok";

        at ".initialise"; // BH: packet size
        cmp bh, 1;
        jb ".bad_input";
        cmp bh, 8;
        ja ".bad_input";
        dec bh;
        and byte(fs_at(E_MOUSE_FLAGS2)), 0x80;
        or fs_at(E_MOUSE_FLAGS2), bh;
        at ".reset";
        mov byte(fs_at(E_MOUSE_FLAGS1)), 0;
        call "mouse_interrupt_off";
        mov al, 0xFF;
        call "mouse_command";
        jc ".failed";
        call "mouse_read"; // AAh
        jc ".failed";
        mov [bp + caller::BL], al;
        call "mouse_read"; // kind
        jc ".failed";
        mov [bp + caller::BH], al;
        jmp "ok";

        at ".rate"; // BH: 0 to 6
        cmp bh, 6;
        ja ".bad_input";
        movzx si, bh;
        mov al, 0xF3;
        call "mouse_command";
        jc ".failed";
        mov al, cs_at(si + a.o(".rates"));
        call "mouse_command";
        jc ".failed";
        jmp "ok";
        at ".rates";
        db &[10, 20, 40, 60, 80, 100, 200];

        at ".resolution"; // BH: 0 to 3
        cmp bh, 3;
        ja ".bad_input";
        mov al, 0xE8;
        call "mouse_command";
        jc ".failed";
        mov al, bh;
        call "mouse_command";
        jc ".failed";
        jmp "ok";

        at ".kind";
        mov al, 0xF2;
        call "mouse_command";
        jc ".failed";
        call "mouse_read";
        jc ".failed";
        mov [bp + caller::BH], al;
        jmp "ok";

        at ".extended"; // BH: 0 status, 1 scaling 1:1, 2 scaling 2:1
        cmp bh, 2;
        ja ".bad_input";
        test bh, bh;
        jz ".status";
        mov al, 0xE5;
        add al, bh;
        call "mouse_command";
        jc ".failed";
        jmp "ok";
        at ".status";
        mov al, 0xE9;
        call "mouse_command";
        jc ".failed";
        call "mouse_read";
        jc ".failed";
        mov [bp + caller::BL], al;
        call "mouse_read";
        jc ".failed";
        mov [bp + caller::CL], al;
        call "mouse_read";
        jc ".failed";
        mov [bp + caller::DL], al;
        jmp "ok";

        at ".handler"; // ES:BX, 0:0 none
        mov ax, [bp + caller::ES];
        mov fs_at(E_MOUSE_HANDLER), bx;
        mov fs_at(E_MOUSE_HANDLER + 2), ax;
        and byte(fs_at(E_MOUSE_FLAGS2)), 0x7F;
        or ax, bx;
        jz "ok";
        or byte(fs_at(E_MOUSE_FLAGS2)), 0x80;
        jmp "ok";
    }
    wire(a);
    interrupt(a);
}

/// Talking to the mouse through the 8042.
fn wire(a: &mut Asm) {
    asm! { a;
        // AL to the mouse; carry unless it acknowledges. The keyboard's clock is off meanwhile.
        at "mouse_command";
        push ax;
        push cx;
        pushf;
        cli;
        mov ah, al;
        mov al, 0xAD;
        call "kbc_command";
        mov al, 0xA8;
        call "kbc_command";
        call "kbc_drain";
        mov al, 0xD4;
        call "kbc_command";
        mov al, ah;
        call "kbc_send";
        mov cx, 4;
        at ".answer";
        call "kbc_read";
        jc ".lost";
        cmp al, 0xFA;
        je ".acknowledged";
        loop_ ".answer";
        at ".lost";
        mov al, 0xAE;
        call "kbc_command";
        popf;
        stc;
        jmp ".end";
        at ".acknowledged";
        mov al, 0xAE;
        call "kbc_command";
        popf;
        clc;
        at ".end";
        pop cx;
        pop ax;
        ret;

        // AL: a byte of the mouse's answer; carry if none came.
        at "mouse_read";
        push cx;
        pushf;
        cli;
        mov cx, 8;
        at ".byte";
        in_ al, 0x64;
        call "kbc_read";
        jc ".lost";
        popf;
        clc;
        jmp ".end";
        at ".lost";
        popf;
        stc;
        at ".end";
        pop cx;
        ret;

        at "mouse_interrupt_on";
        mov cx, 0x02DF; // set bit 1, clear bit 5
        jmp "mouse_control";
        at "mouse_interrupt_off";
        mov cx, 0x20FD;
        at "mouse_control"; // command byte: AND CL, OR CH
        pushf;
        cli;
        mov al, 0x20;
        call "kbc_command";
        call "kbc_read";
        and al, cl;
        or al, ch;
        mov ah, al;
        mov al, 0x60;
        call "kbc_command";
        mov al, ah;
        call "kbc_send";
        in_ al, 0xA1;
        and al, 0xEF;
        out 0xA1, al;
        popf;
        ret;
    }
}

fn interrupt(a: &mut Asm) {
    asm! { a; at "int74"; }
    enter(a);
    asm! { a;
        in_ al, 0x64;
        and al, 0x21;
        cmp al, 0x21;
        jne ".end";
        in_ al, 0x60;
        test byte(fs_at(E_MOUSE_FLAGS2)), 0x80;
        jz ".end";
        movzx bx, byte(fs_at(E_MOUSE_FLAGS1));
        and bl, 7;
        // A first byte has bit 3 set; otherwise we are out of step.
        jnz ".keep";
        mov cl, fs_at(E_MOUSE_FLAGS2);
        and cl, 7;
        cmp cl, 2;
        jb ".keep";
        test al, 0x08;
        jz ".end";
        at ".keep";
        mov fs_at(bx + E_MOUSE_PACKET), al;
        mov cl, fs_at(E_MOUSE_FLAGS2);
        and cl, 7;
        cmp bl, cl;
        jae ".whole";
        inc bl;
        mov fs_at(E_MOUSE_FLAGS1), bl;
        jmp ".end";
        at ".whole";
        mov byte(fs_at(E_MOUSE_FLAGS1)), 0;
        // Status, X, Y, Z on the stack, then the driver.
        movzx ax, byte(fs_at(E_MOUSE_PACKET));
        push ax;
        movzx ax, byte(fs_at(E_MOUSE_PACKET + 1));
        push ax;
        movzx ax, byte(fs_at(E_MOUSE_PACKET + 2));
        push ax;
        push 0;
        sti;
        call_to dword(fs_at(E_MOUSE_HANDLER));
        cli;
        at ".end";
        mov al, 0x20;
        out 0xA0, al;
        out 0x20, al;
        // The driver may have changed BP only if it broke the rules; the frame is found by SP otherwise.
        jmp "done";
    }
}
