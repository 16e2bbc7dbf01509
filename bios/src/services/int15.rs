//! INT 15h: system services. IBM PS/2 BIOS Interface Technical Reference, "Interrupt 15h"; ACPI 2.0, section 14 (E820h);
//! APM BIOS Interface Specification 1.2. The mouse's part is in `int15_mouse`.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::{caller, enter};
use crate::post::contract::PM_BASE;

const SERVICES: [(i32, &str); 17] = [
    (0x24, ".a20"),
    (0x4F, "carry"), // keyboard intercept: nobody did
    (0x53, "apm"),
    (0x80, "ok"), // device open, close, end of program
    (0x81, "ok"),
    (0x82, "ok"),
    (0x83, ".event_wait"),
    (0x85, "ok"), // SysRq
    (0x86, ".wait"),
    (0x87, ".block_move"),
    (0x88, ".extended_memory"),
    (0x90, "ok"), // device busy, interrupt complete
    (0x91, "ok"),
    (0xC0, ".configuration"),
    (0xC1, ".ebda"),
    (0xC2, "mouse"),
    (0xE8, "memory_map"),
];

pub(crate) fn code(a: &mut Asm) {
    asm! { a; at "int15"; }
    enter(a);
    asm! { a;
        mov si, a.o(".services") - 3;
        at ".next";
        add si, 3;
        cmp byte(cs_at(si)), 0;
        je "unsupported";
        cmp ah, cs_at(si);
        jne ".next";
        jmp_to word(cs_at(si + 1));
        at ".services";
    }
    for (function, handler) in SERVICES {
        asm! { a; db function; dw handler; }
    }
    asm! { a;
        db 0;

        at ".configuration";
        mov word(bp + caller::ES), 0xF000;
        mov ax, "fixed_configuration";
        mov [bp + caller::BX], ax;
        jmp "ok";

        at ".ebda";
        mov ax, [EBDA_SEG];
        mov [bp + caller::ES], ax;
        jmp "no_carry";

        at ".extended_memory";
        call "ram_free_end";
        sub eax, 0x10_0000;
        shr eax, 10;
        cmp eax, 0xFC00;
        jbe ".fits";
        mov ax, 0xFC00; // 63 MiB: what every caller can handle
        at ".fits";
        mov [bp + caller::AX], ax;
        jmp "no_carry";
    }
    a20(a);
    waits(a);
    block_move(a);
    memory_map(a);
    apm(a);
}

fn a20(a: &mut Asm) {
    asm! { a;
        at ".a20"; // AL: 0 off, 1 on, 2 which, 3 how
        cmp al, 1;
        jb ".a20_off";
        je ".a20_on";
        cmp al, 3;
        ja "unsupported";
        je ".a20_how";
        in_ al, 0x92;
        shr al, 1;
        and al, 1;
        mov [bp + caller::AL], al;
        jmp "ok";
        at ".a20_how";
        mov word(bp + caller::BX), 3; // keyboard controller and port 92h
        jmp "ok";
        at ".a20_off";
        in_ al, 0x92;
        and al, 0xFC;
        out 0x92, al;
        jmp "ok";
        at ".a20_on";
        in_ al, 0x92;
        or al, 2;
        and al, 0xFE;
        out 0x92, al;
        jmp "ok";
    }
}

fn waits(a: &mut Asm) {
    asm! { a;
        at ".event_wait"; // AL=0: CX:DX microseconds, then bit 7 of ES:BX; AL=1: cancel
        cli;
        cmp al, 1;
        je ".cancel";
        test byte(WAIT_ACTIVE), 1;
        jnz ".waiting";
        call ".start_clock";
        jmp "ok";
        at ".waiting";
        mov ah, 0x83;
        jmp "fail_ah";
        at ".cancel";
        mov byte(WAIT_ACTIVE), 0;
        jmp "ok";

        // Periodic interrupts from the clock until CX:DX have passed.
        at ".start_clock";
        mov ax, [bp + caller::ES];
        mov [WAIT_FLAG_AT + 2], ax;
        mov ax, [bp + caller::BX];
        mov [WAIT_FLAG_AT], ax;
        at ".start_counting";
        mov ax, [bp + caller::DX];
        mov [WAIT_LEFT], ax;
        mov ax, [bp + caller::CX];
        mov [WAIT_LEFT + 2], ax;
        mov byte(WAIT_ACTIVE), 1;
        in_ al, 0xA1;
        and al, 0xFE;
        out 0xA1, al;
        mov al, 0x0B;
        call "cmos_read";
        or al, 0x40;
        mov ah, al;
        mov al, 0x0B;
        call "cmos_write";
        ret;

        at ".wait"; // CX:DX microseconds
        mov ax, [bp + caller::CX];
        shl eax, 16;
        mov ax, [bp + caller::DX];
        cmp eax, 4000;
        jb ".short";
        cli;
        test byte(WAIT_ACTIVE), 1;
        jnz ".short";
        // Long enough to halt between the clock's interrupts. The timer's ticks are the limit, should there be none.
        mov word(WAIT_FLAG_AT), WAIT_ACTIVE;
        mov word(WAIT_FLAG_AT + 2), BDA;
        call ".start_counting";
        xor edx, edx;
        mov ecx, 50_000;
        div ecx;
        lea ecx, [eax + 3];
        mov ebx, [TICKS];
        at ".halt";
        sti;
        hlt;
        cli;
        test byte(WAIT_ACTIVE), 0x80;
        jnz ".over";
        mov eax, [TICKS];
        sub eax, ebx;
        cmp eax, ecx;
        jb ".halt";
        at ".over";
        mov byte(WAIT_ACTIVE), 0;
        jmp "ok";
        at ".short"; // the refresh toggle changes every 15.085 us
        xor edx, edx;
        mov ecx, 15;
        div ecx;
        inc eax;
        mov ecx, eax;
        in_ al, 0x61;
        and al, 0x10;
        mov ah, al;
        at ".toggle";
        mov bx, 0x1000; // should it not toggle
        at ".same";
        in_ al, 0x61;
        and al, 0x10;
        cmp al, ah;
        jne ".toggled";
        dec bx;
        jnz ".same";
        at ".toggled";
        mov ah, al;
        dec ecx;
        jnz ".toggle";
        jmp "ok";
    }
}

fn block_move(a: &mut Asm) {
    asm! { a;
        at ".block_move"; // CX words, ES:SI: table of descriptors, source at 10h, target at 18h
        smsw ax;
        test al, 1;
        mov ah, 0x03;
        jnz "fail_ah"; // a V86 monitor has its own
        mov si, [bp + caller::SI];
        movzx ecx, word(bp + caller::CX);
        mov ebx, es_at(si + 0x12);
        and ebx, 0xFF_FFFF;
        movzx eax, byte(es_at(si + 0x17));
        shl eax, 24;
        or ebx, eax;
        mov edi, es_at(si + 0x1A);
        and edi, 0xFF_FFFF;
        movzx eax, byte(es_at(si + 0x1F));
        shl eax, 24;
        or edi, eax;
        mov esi, ebx;
        cmp cx, 0x8000;
        ja ".too_long";
        cli;
        in_ al, 0x92;
        mov dl, al;
        or al, 2;
        and al, 0xFE;
        out 0x92, al;
        mov ax, 0x08;
        call ".limits";
        shr ecx, 1;
        setc dh;
        db &[0xF3, 0x67, 0x66, 0xA5]; // rep movsd with ESI, EDI, ECX
        test dh, dh;
        jz ".even";
        db &[0x67, 0xA5]; // movsw with ESI, EDI
        at ".even";
        mov ax, 0x20;
        call ".limits";
        mov al, dl;
        and al, 0xFE;
        out 0x92, al;
        jmp "ok";
        at ".too_long";
        mov ah, 0x02;
        jmp "fail_ah";

        // DS and ES at 0 with the limit of descriptor AX.
        at ".limits";
        push eax;
        push ebx;
        mov bx, ax;
        lgdt cs_at(a.o("flat_gdt"));
        mov eax, cr0;
        or al, 1;
        mov cr0, eax;
        jmp ".protected";
        at ".protected";
        mov ds, bx;
        mov es, bx;
        and al, 0xFE;
        mov cr0, eax;
        jmp ".real";
        at ".real";
        xor ax, ax;
        mov ds, ax;
        mov es, ax;
        pop ebx;
        pop eax;
        ret;
    }
}

fn memory_map(a: &mut Asm) {
    asm! { a;
        at "memory_map";
        cmp al, 0x20;
        je ".e820";
        cmp al, 0x01;
        je ".e801";
        cmp al, 0x81;
        je ".e881";
        jmp "unsupported";

        // AX, CX: KiB between 1 and 16 MiB; BX, DX: 64 KiB units above.
        at ".e801";
        call ".sizes";
        mov [bp + caller::AX], cx;
        mov [bp + caller::CX], cx;
        mov [bp + caller::BX], dx;
        mov [bp + caller::DX], dx;
        jmp "no_carry";
        at ".e881";
        call ".sizes";
        mov [bp + caller::EAX], ecx;
        mov [bp + caller::ECX], ecx;
        mov [bp + caller::EBX], edx;
        mov [bp + caller::EDX], edx;
        jmp "no_carry";
        at ".sizes";
        call "ram_free_end";
        mov ecx, 0x3C00;
        mov edx, eax;
        sub edx, 0x100_0000;
        jae ".above";
        xor edx, edx;
        sub eax, 0x10_0000;
        shr eax, 10;
        mov ecx, eax;
        at ".above";
        shr edx, 16;
        ret;

        // EBX: which, EDX "SMAP", ECX: room at ES:DI.
        at ".e820";
        cmp dword(bp + caller::EDX), 0x534D_4150;
        jne "unsupported";
        cmp dword(bp + caller::ECX), 20;
        jb "unsupported";
        mov eax, [bp + caller::EBX];
        cmp eax, 7;
        jae "unsupported";
        mov di, [bp + caller::DI];
        mov si, ax;
        call ".from";
        jc "unsupported";
        mov es_at(di), ebx;
        xor eax, eax;
        cmp si, 6;
        sete al; // the last one starts at 4 GiB
        mov es_at(di + 4), eax;
        mov es_at(di + 8), ecx;
        mov es_at(di + 12), edx;
        movzx eax, byte(cs_at(si + a.o(".types")));
        mov es_at(di + 16), eax;
        inc si;
        call ".from";
        jnc ".more";
        xor si, si;
        at ".more";
        movzx eax, si;
        mov [bp + caller::EBX], eax;
        mov dword(bp + caller::EAX), 0x534D_4150;
        mov dword(bp + caller::ECX), 20;
        jmp "no_carry";

        // The first entry from SI on that isn't empty: EBX start, EDX:ECX length. Carry if there is none.
        at ".from";
        cmp si, 7;
        jae ".no_more";
        push si;
        add si, si;
        call_to word(cs_at(si + a.o(".entries")));
        pop si;
        mov eax, ecx;
        or eax, edx;
        jnz ".found";
        inc si;
        jmp ".from";
        at ".no_more";
        stc;
        ret;
        at ".found";
        clc;
        ret;
        at ".entries";
        table &[".base", ".ebda_area", ".system", ".main", ".tables", ".flash", ".high"];
        at ".types";
        db &[1, 2, 2, 1, 3, 2, 1];
        at ".base";
        movzx ecx, word(BASE_KB);
        shl ecx, 10;
        xor ebx, ebx;
        xor edx, edx;
        ret;
        at ".ebda_area";
        movzx ebx, word(BASE_KB);
        shl ebx, 10;
        mov ecx, 0xA_0000;
        sub ecx, ebx;
        xor edx, edx;
        ret;
        at ".system";
        mov ebx, 0xE_0000;
        mov ecx, 0x2_0000;
        xor edx, edx;
        ret;
        at ".main";
        call "ram_free_end";
        mov ebx, 0x10_0000;
        mov ecx, eax;
        sub ecx, ebx;
        xor edx, edx;
        ret;
        at ".tables";
        call "ram_free_end";
        mov ebx, eax;
        call "ram_end";
        sub eax, ebx;
        mov ecx, eax;
        xor edx, edx;
        ret;
        at ".flash";
        mov ebx, 0xFFFC_0000u32;
        mov ecx, 0x4_0000;
        xor edx, edx;
        ret;
        at ".high";
        call "ram_high";
        mov ecx, eax;
        xor ebx, ebx;
        ret;
    }
}

fn apm(a: &mut Asm) {
    asm! { a;
        at "apm";
        cmp al, 0x0F;
        ja ".unknown";
        movzx si, al;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            ".check", ".connect", ".no_16", ".no_32", ".disconnect", ".idle", "ok", ".set_state", "ok", "ok",
            ".power", ".event", ".state", "ok", ".version", "ok"
        ];
        at ".check";
        mov word(bp + caller::AX), 0x0102;
        mov word(bp + caller::BX), 0x504D; // "PM"
        mov word(bp + caller::CX), 0; // real mode only
        jmp "no_carry";
        at ".connect";
        test byte(fs_at(E_APM)), 1;
        mov ah, 0x02;
        jnz "fail_ah";
        or byte(fs_at(E_APM)), 1;
        jmp "ok";
        at ".disconnect";
        and byte(fs_at(E_APM)), 0xFE;
        jmp "ok";
        at ".no_16";
        mov ah, 0x06;
        jmp "fail_ah";
        at ".no_32";
        mov ah, 0x08;
        jmp "fail_ah";
        at ".idle";
        sti;
        hlt;
        jmp "ok";
        at ".set_state"; // BX device, CX state
        cmp word(bp + caller::BX), 1;
        jne "ok";
        cmp word(bp + caller::CX), 3;
        jne "ok";
        jmp "power_off";
        at ".power"; // on line, no battery
        mov word(bp + caller::BX), 0x01FF;
        mov word(bp + caller::CX), 0x80FF;
        mov word(bp + caller::DX), 0xFFFF;
        jmp "ok";
        at ".event";
        mov ah, 0x80;
        jmp "fail_ah";
        at ".state";
        mov word(bp + caller::CX), 0;
        jmp "ok";
        at ".version";
        mov word(bp + caller::AX), 0x0102;
        jmp "no_carry";
        at ".unknown";
        mov ah, 0x0C;
        jmp "fail_ah";

        // Soft off by the PIIX4: SLP_TYP 0, SLP_EN.
        at "power_off";
        cli;
        mov dx, PM_BASE as i32 + 4;
        mov ax, 0x2000;
        out dx, ax;
        at ".wait";
        hlt;
        jmp ".wait";
    }
}
