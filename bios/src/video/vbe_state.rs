//! The rest of VBE: windows, lines, start of the picture, colours, saving, DDC. VESA BIOS Extension 3.0, functions
//! 04h to 09h; VBE/DDC Standard 1.1.

use super::vbe::{V_VBE, dispi};
use crate::asm::{Asm, asm};
use crate::frame::caller;

/// Display interface registers that are saved: all from XRES to Y_OFFSET.
const SAVED: i32 = dispi::Y_OFFSET - dispi::XRES + 1;
/// With the mode, in bytes.
const SAVED_BYTES: i32 = 2 * SAVED + 2 + 32;

pub(crate) fn code(a: &mut Asm) {
    window(a);
    lines(a);
    start(a);
    colors(a);
    save(a);
    ddc(a);
}

fn window(a: &mut Asm) {
    asm! { a;
        at "vbe_window"; // BL window (0), BH: 0 set DX, 1 get
        test bl, bl;
        jnz "vbe_failed";
        cmp word(V_VBE), 0;
        je "vbe_invalid";
        test byte(V_VBE + 1), 0x40; // no windows in a linear mode
        jnz "vbe_invalid";
        cmp bh, 1;
        ja "vbe_failed";
        je ".get";
        mov cx, [bp + caller::DX];
        mov al, dispi::MEMORY;
        call "dispi_read";
        cmp cx, ax;
        jae "vbe_failed";
        mov al, dispi::BANK;
        call "dispi_write";
        jmp "vbe_ok";
        at ".get";
        mov al, dispi::BANK;
        call "dispi_read";
        mov [bp + caller::DX], ax;
        jmp "vbe_ok";

        // The same by a far call: BX, DX.
        at "vbe_window_far";
        push cx;
        test bl, bl;
        jnz ".failed";
        cmp bh, 1;
        ja ".failed";
        je ".get";
        mov al, dispi::BANK;
        mov cx, dx;
        call "dispi_write";
        jmp ".ok";
        at ".get";
        mov al, dispi::BANK;
        call "dispi_read";
        mov dx, ax;
        at ".ok";
        mov ax, 0x004F;
        pop cx;
        retf;
        at ".failed";
        mov ax, 0x014F;
        pop cx;
        retf;
    }
}

fn lines(a: &mut Asm) {
    asm! { a;
        // ECX: bytes a pixel in the current mode.
        at "vbe_pixel";
        push ax;
        mov al, dispi::BPP;
        call "dispi_read";
        movzx ecx, ax;
        add ecx, 7;
        shr ecx, 3;
        pop ax;
        ret;

        at "vbe_lines"; // BL: 0 set CX pixels, 1 get, 2 set CX bytes, 3 most
        cmp word(V_VBE), 0;
        je "vbe_invalid";
        cmp bl, 1;
        je ".answer";
        cmp bl, 3;
        ja "vbe_failed";
        call "vbe_pixel";
        movzx eax, word(bp + caller::CX);
        cmp bl, 2;
        jb ".pixels";
        je ".bytes";
        // As many as give the picture its lines.
        push ecx;
        mov al, dispi::YRES;
        call "dispi_read";
        movzx ecx, ax;
        mov al, dispi::MEMORY;
        call "dispi_read";
        movzx eax, ax;
        shl eax, 16;
        xor edx, edx;
        div ecx;
        pop ecx;
        xor edx, edx;
        div ecx;
        cmp eax, 0x3FF8;
        jbe ".most";
        mov eax, 0x3FF8;
        at ".most";
        and al, 0xF8;
        mov [bp + caller::CX], ax;
        mul ecx;
        mov [bp + caller::BX], ax;
        mov al, dispi::YRES;
        call "dispi_read";
        mov [bp + caller::DX], ax;
        jmp "vbe_ok";
        at ".bytes";
        xor edx, edx;
        add eax, ecx;
        dec eax;
        div ecx;
        at ".pixels";
        add eax, 7;
        and al, 0xF8;
        mov ecx, eax;
        mov al, dispi::XRES;
        call "dispi_read";
        cmp cx, ax;
        jb "vbe_failed";
        mov al, dispi::VIRT_WIDTH;
        call "dispi_write";
        call "dispi_read";
        cmp ax, cx;
        jne ".too_long";
        at ".answer";
        call "vbe_pixel";
        mov al, dispi::VIRT_WIDTH;
        call "dispi_read";
        mov [bp + caller::CX], ax;
        movzx eax, ax;
        mul ecx;
        mov [bp + caller::BX], ax;
        mov al, dispi::VIRT_HEIGHT;
        call "dispi_read";
        mov [bp + caller::DX], ax;
        jmp "vbe_ok";
        at ".too_long";
        mov word(bp + caller::AX), 0x024F;
        jmp "v_done";
    }
}

fn start(a: &mut Asm) {
    asm! { a;
        at "vbe_start"; // BL: 0 or 80h set CX, DX; 1 get; 2, 82h: CX bytes not supported
        cmp word(V_VBE), 0;
        je "vbe_invalid";
        mov al, bl;
        and al, 0x7F;
        cmp al, 1;
        je ".get";
        ja "vbe_failed";
        mov cx, [bp + caller::CX];
        mov al, dispi::X_OFFSET;
        call "dispi_write";
        call "dispi_read";
        cmp ax, cx;
        jne "vbe_failed";
        mov cx, [bp + caller::DX];
        mov al, dispi::Y_OFFSET;
        call "dispi_write";
        call "dispi_read";
        cmp ax, cx;
        jne "vbe_failed";
        jmp "vbe_ok";
        at ".get";
        mov al, dispi::X_OFFSET;
        call "dispi_read";
        mov [bp + caller::CX], ax;
        mov al, dispi::Y_OFFSET;
        call "dispi_read";
        mov [bp + caller::DX], ax;
        mov byte(bp + caller::BH), 0;
        jmp "vbe_ok";
    }
}

fn colors(a: &mut Asm) {
    asm! { a;
        at "vbe_dac"; // BL: 0 set BH bits, 1 get
        cmp word(V_VBE), 0;
        je "vbe_invalid";
        cmp bl, 1;
        ja "vbe_failed";
        mov al, dispi::BPP;
        call "dispi_read";
        cmp ax, 8;
        jne "vbe_invalid";
        mov al, dispi::ENABLE;
        call "dispi_read";
        cmp bl, 1;
        je ".answer";
        // Bit 5: eight bits; what is in the memory stays.
        mov cx, ax;
        and cl, 0xDF;
        cmp bh, 8;
        jb ".six";
        or cl, 0x20;
        at ".six";
        or cl, 0x80;
        mov al, dispi::ENABLE;
        call "dispi_write";
        mov ax, cx;
        at ".answer";
        mov bh, 6;
        test al, 0x20;
        jz ".bits";
        mov bh, 8;
        at ".bits";
        mov [bp + caller::BH], bh;
        jmp "vbe_ok";

        at "vbe_colors"; // BL: 0 or 80h set, 1 get; CX entries of blue, green, red, none from DX on; ES:DI
        mov al, bl;
        and al, 0x7F;
        cmp al, 1;
        ja "vbe_failed";
        mov cx, [bp + caller::CX];
        mov bx, [bp + caller::DX];
        cmp cx, 256;
        ja "vbe_failed";
        jcxz ".none";
        mov di, [bp + caller::DI];
        cmp al, 1;
        je ".get";
        mov dx, 0x3C8;
        mov al, bl;
        out dx, al;
        inc dx;
        at ".set";
        mov al, es_at(di + 2);
        out dx, al;
        mov al, es_at(di + 1);
        out dx, al;
        mov al, es_at(di);
        out dx, al;
        add di, 4;
        loop_ ".set";
        at ".none";
        jmp "vbe_ok";
        at ".get";
        mov dx, 0x3C7;
        mov al, bl;
        out dx, al;
        add dx, 2;
        at ".one";
        in_ al, dx;
        mov es_at(di + 2), al;
        in_ al, dx;
        mov es_at(di + 1), al;
        in_ al, dx;
        mov es_at(di), al;
        mov byte(es_at(di + 3)), 0;
        add di, 4;
        loop_ ".one";
        jmp "vbe_ok";
    }
}

fn save(a: &mut Asm) {
    asm! { a;
        at "vbe_save"; // DL: 0 size, 1 save, 2 restore; CX parts, ES:BX
        mov cx, [bp + caller::CX];
        mov dl, [bp + caller::DL];
        cmp dl, 1;
        ja ".restore";
        je ".save";
        call "state_size";
        test cl, 8;
        jz ".sized";
        add bx, SAVED_BYTES;
        at ".sized";
        add bx, 63;
        shr bx, 6;
        mov [bp + caller::BX], bx;
        jmp "vbe_ok";

        at ".save";
        mov di, bx;
        call "state_save_parts";
        test cl, 8;
        jz "vbe_ok";
        mov ax, [V_VBE];
        stosw;
        mov bl, dispi::XRES;
        at ".register";
        mov al, bl;
        call "dispi_read";
        stosw;
        inc bl;
        cmp bl, dispi::Y_OFFSET;
        jbe ".register";
        jmp "vbe_ok";

        at ".restore";
        cmp dl, 2;
        ja "vbe_failed";
        // The interface first, as turning it on or off changes VGA registers.
        mov si, bx;
        test cl, 8;
        jz ".vga";
        call "state_size";
        add bx, si;
        push cx;
        mov al, dispi::ENABLE;
        xor cx, cx;
        call "dispi_write";
        mov cx, es_at(bx);
        mov [V_VBE], cx;
        mov al, dispi::XRES;
        mov cx, es_at(bx + 2);
        call "dispi_write";
        mov al, dispi::YRES;
        mov cx, es_at(bx + 4);
        call "dispi_write";
        mov al, dispi::BPP;
        mov cx, es_at(bx + 6);
        call "dispi_write";
        mov cx, es_at(bx + 8);
        or cl, 0x80;
        test cl, 1;
        jz ".off";
        mov al, dispi::ENABLE;
        call "dispi_write";
        at ".off";
        mov al, dispi::BANK;
        mov cx, es_at(bx + 10);
        call "dispi_write";
        mov al, dispi::VIRT_WIDTH;
        mov cx, es_at(bx + 12);
        call "dispi_write";
        mov al, dispi::X_OFFSET;
        mov cx, es_at(bx + 16);
        call "dispi_write";
        mov al, dispi::Y_OFFSET;
        mov cx, es_at(bx + 18);
        call "dispi_write";
        pop cx;
        at ".vga";
        call "state_restore_parts";
        jmp "vbe_ok";
    }
}

fn ddc(a: &mut Asm) {
    asm! { a;
        at "vbe_ddc"; // BL: 0 what there is, 1 read block DX to ES:DI
        cmp bl, 1;
        ja "vbe_failed";
        je ".read";
        mov word(bp + caller::BX), 0x0102; // one second a block at most, DDC2
        jmp "vbe_ok";
        at ".read";
        cmp word(bp + caller::DX), 0;
        jne "vbe_failed";
        mov di, [bp + caller::DI];
        mov si, "edid";
        mov cx, 128;
        at ".byte";
        mov al, cs_at(si);
        stosb;
        inc si;
        loop_ ".byte";
        jmp "vbe_ok";
    }
}
