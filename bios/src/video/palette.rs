//! INT 10h AH=0Bh and 10h: colours.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::frame::caller;

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "cga_palette"; // BH=0: BL border and background; BH=1: BL palette of the four-colour modes
        mov cl, [V_PALETTE_REG];
        test bh, bh;
        jnz ".palette";
        and cl, 0xE0;
        mov ch, bl;
        and ch, 0x1F;
        or cl, ch;
        mov [V_PALETTE_REG], cl;
        // Intensity is bit 4 of the colour.
        mov ah, bl;
        and ah, 0x08;
        add ah, ah;
        mov al, bl;
        and al, 0x07;
        or ah, al;
        mov al, 0x11;
        call "attribute_write";
        cmp byte(V_MODE), 3;
        jbe "v_done";
        mov al, 0x00;
        call "attribute_write";
        // Registers 1 to 3 have its intensity.
        mov bh, bl;
        and bh, 0x10;
        mov bl, 1;
        at ".intensity";
        mov al, bl;
        call "attribute_read";
        and ah, 0xEF;
        or ah, bh;
        call "attribute_write";
        inc bl;
        cmp bl, 4;
        jb ".intensity";
        jmp "v_done";
        at ".palette";
        cmp byte(V_MODE), 6;
        ja "v_done";
        cmp byte(V_MODE), 3;
        jbe "v_done";
        and cl, 0xDF;
        test bl, 1;
        jz ".kept";
        or cl, 0x20;
        at ".kept";
        mov [V_PALETTE_REG], cl;
        // 2, 4, 6 or 3, 5, 7, with the intensity.
        mov ah, 2;
        and bl, 1;
        or ah, bl;
        test cl, 0x10;
        jz ".dim";
        or ah, 0x10;
        at ".dim";
        mov al, 1;
        at ".color";
        call "attribute_write";
        add ah, 2;
        inc al;
        cmp al, 4;
        jb ".color";
        jmp "v_done";

        // Attribute register AL to AH, screen on.
        at "attribute_write";
        push dx;
        push ax;
        call "attribute_reset";
        mov dx, 0x3C0;
        out dx, al;
        mov al, ah;
        out dx, al;
        mov al, 0x20;
        out dx, al;
        pop ax;
        pop dx;
        ret;

        // AH: attribute register AL.
        at "attribute_read";
        push dx;
        call "attribute_reset";
        mov dx, 0x3C0;
        push ax;
        out dx, al;
        inc dx;
        in_ al, dx;
        mov dl, al;
        pop ax;
        mov ah, dl;
        push ax;
        call "attribute_reset";
        mov dx, 0x3C0;
        mov al, 0x20;
        out dx, al;
        pop ax;
        pop dx;
        ret;

        at "palette";
        cmp al, 0x1B;
        ja "v_done";
        movzx si, al;
        add si, si;
        jmp_to word(cs_at(si + a.o(".functions")));
        at ".functions";
        table &[
            "palette_set", "palette_border", "palette_all", "palette_blink", "v_done", "v_done", "v_done",
            "palette_get", "palette_get_border", "palette_get_all", "v_done", "v_done", "v_done", "v_done", "v_done",
            "v_done", "dac_set", "v_done", "dac_set_block", "dac_page", "v_done", "dac_get", "v_done",
            "dac_get_block", "dac_mask", "dac_get_mask", "dac_get_page", "dac_gray"
        ];

        at "palette_set"; // BL register, BH value
        cmp bl, 0x14;
        ja "v_done";
        mov al, bl;
        mov ah, bh;
        call "attribute_write";
        jmp "v_done";
        at "palette_border"; // BH
        mov al, 0x11;
        mov ah, bh;
        call "attribute_write";
        jmp "v_done";
        at "palette_all"; // ES:DX: sixteen and the border
        mov si, dx;
        xor al, al;
        at ".one";
        mov ah, es_at(si);
        inc si;
        call "attribute_write";
        inc al;
        cmp al, 16;
        jb ".one";
        mov ah, es_at(si);
        mov al, 0x11;
        call "attribute_write";
        jmp "v_done";
        at "palette_blink"; // BL: 0 intensity, 1 blink
        mov al, 0x10;
        call "attribute_read";
        and ah, 0xF7;
        and byte(V_MODE_REG), 0xDF;
        test bl, 1;
        jz ".set";
        or ah, 0x08;
        or byte(V_MODE_REG), 0x20;
        at ".set";
        call "attribute_write";
        jmp "v_done";
        at "palette_get"; // BL register
        cmp bl, 0x14;
        ja "v_done";
        mov al, bl;
        call "attribute_read";
        mov [bp + caller::BH], ah;
        jmp "v_done";
        at "palette_get_border";
        mov al, 0x11;
        call "attribute_read";
        mov [bp + caller::BH], ah;
        jmp "v_done";
        at "palette_get_all"; // ES:DX
        mov di, dx;
        xor al, al;
        at ".one";
        call "attribute_read";
        mov es_at(di), ah;
        inc di;
        inc al;
        cmp al, 16;
        jb ".one";
        mov al, 0x11;
        call "attribute_read";
        mov es_at(di), ah;
        jmp "v_done";
    }
    dac(a);
}

fn dac(a: &mut Asm) {
    asm! { a;
        at "dac_set"; // BX register, DH red, CH green, CL blue
        mov ah, dh;
        mov dx, 0x3C8;
        mov al, bl;
        out dx, al;
        inc dx;
        mov al, ah;
        out dx, al;
        mov al, ch;
        out dx, al;
        mov al, cl;
        out dx, al;
        jmp "v_done";
        at "dac_set_block"; // BX first, CX how many, ES:DX
        jcxz ".end";
        mov si, dx;
        mov dx, 0x3C8;
        mov al, bl;
        out dx, al;
        inc dx;
        at ".one";
        mov al, es_at(si);
        out dx, al;
        mov al, es_at(si + 1);
        out dx, al;
        mov al, es_at(si + 2);
        out dx, al;
        add si, 3;
        loop_ ".one";
        at ".end";
        jmp "v_done";
        at "dac_page"; // BL=0: BH 0 four pages of 64, 1 sixteen of 16; BL=1: BH page
        mov al, 0x10;
        call "attribute_read";
        cmp bl, 1;
        je ".select";
        ja "v_done";
        and ah, 0x7F;
        shl bh, 7;
        or ah, bh;
        call "attribute_write";
        jmp "v_done";
        at ".select";
        test ah, 0x80;
        jnz ".small";
        shl bh, 2;
        at ".small";
        mov ah, bh;
        and ah, 0x0F;
        mov al, 0x14;
        call "attribute_write";
        jmp "v_done";
        at "dac_get"; // BX register
        mov dx, 0x3C7;
        mov al, bl;
        out dx, al;
        add dx, 2;
        in_ al, dx;
        mov [bp + caller::DH], al;
        in_ al, dx;
        mov [bp + caller::CH], al;
        in_ al, dx;
        mov [bp + caller::CL], al;
        jmp "v_done";
        at "dac_get_block";
        jcxz ".end";
        mov di, dx;
        mov dx, 0x3C7;
        mov al, bl;
        out dx, al;
        add dx, 2;
        at ".one";
        in_ al, dx;
        stosb;
        in_ al, dx;
        stosb;
        in_ al, dx;
        stosb;
        loop_ ".one";
        at ".end";
        jmp "v_done";
        at "dac_mask"; // BL
        mov dx, 0x3C6;
        mov al, bl;
        out dx, al;
        jmp "v_done";
        at "dac_get_mask";
        mov dx, 0x3C6;
        in_ al, dx;
        mov [bp + caller::BL], al;
        jmp "v_done";
        at "dac_get_page";
        mov al, 0x10;
        call "attribute_read";
        mov bl, ah;
        shr bl, 7;
        mov al, 0x14;
        call "attribute_read";
        and ah, 0x0F;
        test bl, bl;
        jnz ".small";
        shr ah, 2;
        at ".small";
        mov bh, ah;
        mov [bp + caller::BX], bx;
        jmp "v_done";
        at "dac_gray"; // BX first, CX how many
        jcxz ".end";
        call "gray_sum";
        at ".end";
        jmp "v_done";

        // CX DAC registers from BX on: 30% red, 59% green, 11% blue.
        at "gray_sum";
        push si;
        push di;
        at ".one";
        mov dx, 0x3C7;
        mov al, bl;
        out dx, al;
        add dx, 2;
        in_ al, dx;
        mov ah, 77;
        mul ah;
        mov di, ax;
        in_ al, dx;
        mov ah, 151;
        mul ah;
        add di, ax;
        in_ al, dx;
        mov ah, 28;
        mul ah;
        add di, ax;
        add di, 0x80;
        shr di, 8;
        cmp di, 0x3F;
        jbe ".fits";
        mov di, 0x3F;
        at ".fits";
        mov dx, 0x3C8;
        mov al, bl;
        out dx, al;
        inc dx;
        mov ax, di;
        out dx, al;
        out dx, al;
        out dx, al;
        inc bx;
        loop_ ".one";
        pop di;
        pop si;
        ret;
    }
}
