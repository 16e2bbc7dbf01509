//! INT 14h: serial ports. IBM PS/2 BIOS Interface Technical Reference, "Interrupt 14h".

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int14"; }
    enter(a);
    asm! { a;
        mov si, [bp + caller::DX];
        cmp si, 4;
        jae "done";
        mov di, si;
        add si, si;
        mov dx, [si + COM];
        test dx, dx;
        jz "done";
        cmp ah, 0;
        je ".initialise";
        cmp ah, 1;
        je ".send";
        cmp ah, 2;
        je ".receive";
        cmp ah, 3;
        je ".status";
        cmp ah, 4;
        je ".extended";
        cmp ah, 5;
        je ".modem";
        jmp "done";

        at ".initialise"; // AL: rate, parity, stop bits, length
        mov bl, al;
        mov bh, al;
        rol bl, 4;
        and bl, 0x0E; // twice the rate's number
        movzx si, bl;
        mov cx, cs_at(si + a.o("fixed_baud"));
        and bh, 0x1F;
        call ".program";
        jmp ".status";

        at ".program"; // CX divisor, BH line control
        push dx;
        add dx, 3;
        mov al, 0x80;
        out dx, al;
        sub dx, 3;
        mov al, cl;
        out dx, al;
        inc dx;
        mov al, ch;
        out dx, al;
        add dx, 2;
        mov al, bh;
        out dx, al;
        sub dx, 2;
        xor al, al;
        out dx, al; // no interrupts
        pop dx;
        ret;

        at ".extended"; // AL break, BH parity, BL stop bits, CH length, CL rate
        mov bx, [bp + caller::BX];
        mov al, [bp + caller::CL];
        cmp al, 8;
        ja "done";
        mov ah, [bp + caller::CH];
        and ah, 3;
        and bl, 1;
        shl bl, 2;
        or ah, bl;
        cmp bh, 4;
        ja "done";
        movzx si, bh;
        or ah, cs_at(si + a.o(".parity"));
        cmp byte(bp + caller::AL), 1;
        jne ".no_break";
        or ah, 0x40;
        at ".no_break";
        mov bh, ah;
        movzx si, al;
        add si, si;
        mov cx, cs_at(si + a.o(".rates"));
        call ".program";
        jmp ".status";
        at ".parity"; // none, odd, even, stick odd, stick even
        db &[0x00, 0x08, 0x18, 0x28, 0x38];
        at ".rates"; // 110 to 19,200
    }
    a.words(&[0x0417, 0x0300, 0x0180, 0x00C0, 0x0060, 0x0030, 0x0018, 0x000C, 0x0006]);
    asm! { a;
        at ".modem"; // AL=0 read, 1 write: modem control in BL
        add dx, 4;
        test al, al;
        jz ".modem_read";
        mov al, [bp + caller::BL];
        and al, 0x1F;
        out dx, al;
        at ".modem_read";
        in_ al, dx;
        mov [bp + caller::BL], al;
        sub dx, 4;
        jmp ".status";

        at ".send";
        add dx, 4;
        mov al, 0x03; // DTR and RTS
        out dx, al;
        inc dx;
        mov ah, 0x20; // transmitter empty
        call ".wait";
        jc ".time_out";
        sub dx, 5;
        mov al, [bp + caller::AL];
        out dx, al;
        add dx, 5;
        in_ al, dx;
        mov [bp + caller::AH], al;
        jmp "done";

        at ".receive";
        add dx, 4;
        mov al, 0x01; // DTR
        out dx, al;
        inc dx;
        mov ah, 0x01; // data ready
        call ".wait";
        jc ".time_out";
        in_ al, dx;
        and al, 0x1E;
        mov [bp + caller::AH], al;
        sub dx, 5;
        in_ al, dx;
        mov [bp + caller::AL], al;
        jmp "done";

        at ".time_out";
        in_ al, dx;
        or al, 0x80;
        mov [bp + caller::AH], al;
        jmp "done";

        at ".status";
        add dx, 5;
        in_ al, dx;
        mov [bp + caller::AH], al;
        inc dx;
        in_ al, dx;
        mov [bp + caller::AL], al;
        jmp "done";

        // Until a bit of AH is set in the line status at DX; carry after the port's time-out in seconds.
        at ".wait";
        mov bh, [di + COM_TIMEOUT];
        inc bh;
        call "timeout_start";
        at ".poll";
        in_ al, dx;
        test al, ah;
        jnz ".ready";
        call "timeout_check";
        jnz ".poll";
        stc;
        ret;
        at ".ready";
        clc;
        ret;

        // A limit in seconds by the real-time clock, which runs whatever the interrupts do. BH: seconds; uses BL.
        at "timeout_start";
        push ax;
        xor al, al;
        call "cmos_read";
        mov bl, al;
        pop ax;
        ret;
        at "timeout_check"; // ZF when it is over
        push ax;
        xor al, al;
        call "cmos_read";
        cmp al, bl;
        mov bl, al;
        pop ax;
        je ".same";
        dec bh;
        ret;
        at ".same";
        test bh, bh;
        ret;
    }
}
