//! INT 10h AX=4F0Ah: the display from 32-bit protected mode. VESA BIOS Extension 3.0, function 0Ah. The caller copies
//! the table and the code behind it to where it likes, so all of it is relative.

use super::vbe::dispi;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "vbe_protected"; // BL=0: ES:DI table, CX its length with the code
        test bl, bl;
        jnz "vbe_failed";
        mov [bp + caller::ES], cs;
        mov ax, "vbe_table";
        mov [bp + caller::DI], ax;
        mov word(bp + caller::CX), a.o("vbe_table_end") - a.o("vbe_table");
        jmp "vbe_ok";

        align 4;
        at "vbe_table"; // functions 05h, 07h and 09h, then a list of ports
        dw a.o("vbe_table.window") - a.o("vbe_table");
        dw a.o("vbe_table.start") - a.o("vbe_table");
        dw a.o("vbe_table.colors") - a.o("vbe_table");
        dw a.o("vbe_table.ports") - a.o("vbe_table");
        at ".ports";
    }
    a.words(&[0x1CE, 0x1CF, 0x3C6, 0x3C7, 0x3C8, 0x3C9, 0x3DA, 0xFFFF, 0xFFFF]);
    asm! { a;
        bits 32;
        at ".window"; // DX
        push edx;
        push ecx;
        mov cx, dx;
        mov al, dispi::BANK;
        call ".write";
        pop ecx;
        pop edx;
        mov ax, 0x004F;
        ret;

        at ".start"; // DX:CX: offset in memory, in steps of four bytes
        pushad;
        shl edx, 16;
        mov dx, cx;
        mov ebx, edx;
        mov al, dispi::BPP;
        call ".read";
        add eax, 7;
        shr eax, 3;
        mov edi, eax; // bytes a pixel
        mov al, dispi::VIRT_WIDTH;
        call ".read";
        mul edi;
        mov ecx, eax;
        jecxz ".moved";
        mov eax, ebx;
        shl eax, 2;
        xor edx, edx;
        div ecx;
        mov ebx, eax; // line
        mov eax, edx;
        xor edx, edx;
        div edi;
        mov ecx, eax;
        mov al, dispi::X_OFFSET;
        call ".write";
        mov ecx, ebx;
        mov al, dispi::Y_OFFSET;
        call ".write";
        at ".moved";
        popad;
        mov ax, 0x004F;
        ret;

        at ".colors"; // CX entries from DX on at ES:EDI
        pushad;
        movzx ecx, cx;
        jecxz ".colored";
        mov eax, edx;
        mov edx, 0x3C8;
        out dx, al;
        inc edx;
        at ".color";
        mov al, es_at(edi + 2);
        out dx, al;
        mov al, es_at(edi + 1);
        out dx, al;
        mov al, es_at(edi);
        out dx, al;
        add edi, 4;
        loop_ ".color";
        at ".colored";
        popad;
        mov ax, 0x004F;
        ret;

        at ".write"; // display interface register AL to CX
        push edx;
        mov edx, 0x1CE;
        movzx eax, al;
        out dx, ax;
        inc edx;
        mov eax, ecx;
        out dx, ax;
        pop edx;
        ret;
        at ".read"; // EAX: register AL
        push edx;
        mov edx, 0x1CE;
        movzx eax, al;
        out dx, ax;
        inc edx;
        in_ ax, dx;
        pop edx;
        ret;
        bits 16;
        at "vbe_table_end";
    }
}
