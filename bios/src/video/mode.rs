//! INT 10h AH=00h and 0Fh: setting a mode, which means every register, the colours, the font, the memory and the data
//! area.

use super::tables::{ENTRY_SIZE, kind};
use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "set_mode";
        mov bl, al;
        and bl, 0x7F;
        cmp bl, 0x13;
        ja "v_done";
        call "mode_entry";
        cmp byte(cs_at(si + 1)), kind::OTHER as i32;
        je "v_done";
        // What programs expect back, from the first clones on.
        mov cl, 0x30;
        cmp bl, 7;
        jbe ".answer";
        mov cl, 0x20;
        at ".answer";
        cmp bl, 6;
        jne ".answered";
        mov cl, 0x3F;
        at ".answered";
        mov [bp + caller::AL], cl;
        call "dispi_off";
        mov ah, al;
        and ah, 0x80;
        and byte(V_CONTROL), 0x7F;
        or [V_CONTROL], ah;
        mov al, bl;
        call "mode_set";
        jmp "v_done";

        at "get_mode";
        mov al, [V_MODE];
        mov ah, [V_CONTROL];
        and ah, 0x80;
        or al, ah;
        mov ah, [V_COLUMNS];
        mov [bp + caller::AX], ax;
        mov al, [V_PAGE];
        mov [bp + caller::BH], al;
        jmp "v_done";

        // CS:SI: the row of mode BL in the table of modes.
        at "mode_entry";
        movzx si, bl;
        imul_3 si, si, 3;
        add si, "modes";
        ret;

        // AL: how the current mode is drawn.
        at "mode_kind";
        push bx;
        push si;
        mov al, kind::OTHER as i32;
        mov bl, [V_MODE];
        cmp bl, 0x13;
        ja ".end";
        call "mode_entry";
        mov al, cs_at(si + 1);
        at ".end";
        pop si;
        pop bx;
        ret;

        // Sets mode AL; V_CONTROL bit 7: leave the memory alone. Changes everything but BP, DS, FS.
        at "mode_set";
        mov bl, al;
        mov [V_MODE], al;
        call "mode_entry";
        mov cl, cs_at(si);
        mov ch, cs_at(si + 1);
        cmp ch, kind::TEXT as i32;
        jne ".entry";
        // Text with fewer lines, where someone has asked for that.
        mov al, [V_FLAGS];
        test al, 0x80;
        jnz ".lines200";
        test al, 0x10;
        jnz ".entry";
        cmp bl, 7;
        jne ".color350";
        mov cl, 7;
        jmp ".entry";
        at ".color350";
        mov cl, bl;
        add cl, 0x13;
        jmp ".entry";
        at ".lines200";
        mov cl, bl;
        at ".entry";
        mov al, cs_at(si + 2); // colours
        push ax;
        push cx;
        movzx si, cl;
        shl si, 6;
        add si, "entries";
        call "registers_set";
        pop cx;
        pop ax;
        // Colours, unless they are to stay.
        test byte(V_FLAGS), 0x08;
        jnz ".colored";
        push si;
        push cx;
        call "colors_set";
        pop cx;
        pop si;
        at ".colored";
        test byte(V_CONTROL), 0x80;
        jnz ".cleared";
        push cx;
        call "memory_clear";
        pop cx;
        at ".cleared";
        call "area_set";
        call "vectors_set";
        cmp ch, kind::TEXT as i32;
        jne ".shown";
        // A font for text.
        mov bl, cs_at(si + 2);
        call "rom_font";
        xor bl, bl;
        call "font_load";
        at ".shown";
        // Now let it be seen.
        call "attribute_reset";
        mov dx, 0x3C0;
        mov al, 0x20;
        out dx, al;
        mov dx, 0x3C4;
        mov al, 1;
        out dx, al;
        inc dx;
        in_ al, dx;
        and al, 0xDF;
        out dx, al;
        ret;
    }
    registers(a);
    fill(a);
    area(a);
}

/// Every register from a table entry.
fn registers(a: &mut Asm) {
    const { assert!(ENTRY_SIZE == 64) };
    asm! { a;
        // From the entry at CS:SI. Keeps SI. The screen is off afterwards.
        at "registers_set";
        push si;
        push bx;
        add si, 5;
        // Sequencer: in reset while the clock changes, screen off.
        mov dx, 0x3C4;
        mov ax, 0x0100;
        out dx, ax;
        mov al, 1;
        mov ah, cs_at(si);
        or ah, 0x20;
        out dx, ax;
        mov al, 2;
        mov bx, 1;
        at ".sequencer";
        mov ah, cs_at(bx + si);
        out dx, ax;
        inc al;
        inc bx;
        cmp bx, 4;
        jb ".sequencer";
        mov al, cs_at(si + 4);
        mov dx, 0x3C2;
        out dx, al;
        mov dx, 0x3C4;
        mov ax, 0x0300;
        out dx, ax;
        // CRT controller, where the miscellaneous output register has put it.
        mov dx, 0x3D4;
        test byte(cs_at(si + 4)), 1;
        jnz ".color";
        mov dx, 0x3B4;
        at ".color";
        mov [V_CRTC], dx;
        mov ax, 0x0011; // unlock registers 0 to 7
        out dx, ax;
        xor bx, bx;
        at ".crtc";
        mov al, bl;
        mov ah, cs_at(bx + si + 5);
        out dx, ax;
        inc bx;
        cmp bx, 25;
        jb ".crtc";
        // Graphics controller.
        mov dx, 0x3CE;
        xor bx, bx;
        at ".graphics";
        mov al, bl;
        mov ah, cs_at(bx + si + 50);
        out dx, ax;
        inc bx;
        cmp bx, 9;
        jb ".graphics";
        // Attribute controller; the palette only if it isn't to stay.
        call "attribute_reset";
        mov dx, 0x3C0;
        xor bx, bx;
        test byte(V_FLAGS), 0x08;
        jz ".attribute";
        mov bx, 16;
        at ".attribute";
        mov al, bl;
        out dx, al;
        mov al, cs_at(bx + si + 30);
        out dx, al;
        inc bx;
        cmp bx, 20;
        jb ".attribute";
        mov al, 20;
        out dx, al;
        xor al, al;
        out dx, al;
        pop bx;
        pop si;
        ret;

        // The attribute controller's next write is an index.
        at "attribute_reset";
        push ax;
        push dx;
        mov dx, [V_CRTC];
        add dx, 6;
        in_ al, dx;
        pop dx;
        pop ax;
        ret;

        // DAC from list AL.
        at "colors_set";
        movzx si, al;
        mov cx, 64 * 3;
        cmp al, super::tables::colors::VGA as i32;
        jne ".list";
        mov cx, 256 * 3;
        at ".list";
        add si, si;
        mov si, cs_at(si + a.o("colors"));
        mov dx, 0x3C6;
        mov al, 0xFF;
        out dx, al;
        mov dx, 0x3C8;
        xor al, al;
        out dx, al;
        inc dx;
        mov bx, 256 * 3;
        at ".color";
        db 0x2E; // CS:
        lodsb;
        out dx, al;
        dec bx;
        loop_ ".color";
        // The rest black.
        xor al, al;
        at ".rest";
        test bx, bx;
        jz ".end";
        out dx, al;
        dec bx;
        jmp ".rest";
        at ".end";
        test byte(V_FLAGS), 0x02;
        jz ".colored";
        xor bx, bx;
        mov cx, 256;
        call "gray_sum";
        at ".colored";
        ret;
    }
}

fn fill(a: &mut Asm) {
    asm! { a;
        // Blank screen in mode V_MODE of kind CH.
        at "memory_clear";
        mov ax, 0xB800;
        cmp byte(V_MODE), 7;
        jne ".segment";
        mov ax, 0xB000;
        at ".segment";
        cmp ch, kind::CGA as i32;
        jbe ".set";
        mov ax, 0xA000;
        at ".set";
        mov es, ax;
        mov eax, 0x0720_0720;
        cmp ch, kind::TEXT as i32;
        je ".blank";
        xor eax, eax;
        at ".blank";
        xor di, di;
        mov cx, 0x2000; // 32 KiB
        cmp byte(V_MODE), 0x0D;
        jb ".fill";
        mov cx, 0x4000; // 64 KiB, of each plane
        at ".fill";
        rep_stosd;
        ret;
    }
}

fn area(a: &mut Asm) {
    asm! { a;
        // The data area for the entry at CS:SI. Keeps CX, SI.
        at "area_set";
        push cx;
        movzx ax, byte(cs_at(si));
        mov [V_COLUMNS], ax;
        mov al, cs_at(si + 1);
        mov [V_ROWS], al;
        movzx ax, byte(cs_at(si + 2));
        mov [V_CHAR_HEIGHT], ax;
        mov ax, cs_at(si + 3);
        mov [V_PAGE_SIZE], ax;
        xor ax, ax;
        mov [V_PAGE_START], ax;
        mov [V_PAGE], al;
        push ds;
        pop es;
        mov di, V_CURSOR;
        mov cx, 8;
        rep_stosw;
        cmp byte(cs_at(si + 10 + 0x0A)), 0;
        je ".shape";
        mov ax, 0x0607;
        at ".shape";
        mov [V_CURSOR_SHAPE], ax;
        and byte(V_CONTROL), 0x80;
        or byte(V_CONTROL), 0x60;
        mov byte(V_SWITCHES), 0xF9;
        mov byte(V_DCC), 0x08;
        movzx bx, byte(V_MODE);
        mov ax, 0x3029;
        cmp bl, 7;
        ja ".register";
        mov al, cs_at(bx + a.o(".registers"));
        cmp bl, 6;
        jne ".register";
        mov ah, 0x3F;
        at ".register";
        mov [V_MODE_REG], al;
        mov [V_PALETTE_REG], ah;
        pop cx;
        ret;
        at ".registers"; // of the first adapters, for modes 0 to 7
        db &[0x2C, 0x28, 0x2D, 0x29, 0x2A, 0x2E, 0x1E, 0x29];

        // Fonts for drawing in graphics: INT 43h all of it, INT 1Fh the upper half in the first graphics modes.
        at "vectors_set";
        push ds;
        push cx;
        push si;
        mov bl, [V_CHAR_HEIGHT];
        call "rom_font";
        xor ax, ax;
        mov ds, ax;
        mov [0x43 * 4], si;
        mov [0x43 * 4 + 2], cs;
        mov ax, "font8_high";
        mov [0x1F * 4], ax;
        mov [0x1F * 4 + 2], cs;
        pop si;
        pop cx;
        pop ds;
        ret;

        // The font of height BL: ES:SI, BH height, CX and DX: all its characters.
        at "rom_font";
        mov si, "font8";
        cmp bl, 8;
        jbe ".found";
        mov si, "font14";
        cmp bl, 14;
        jbe ".found";
        mov si, "font16";
        at ".found";
        mov bh, bl;
        push cs;
        pop es;
        mov cx, 256;
        xor dx, dx;
        ret;
    }
}
