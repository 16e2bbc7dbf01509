//! Gives each function on bus 0 its addresses and its interrupt, and sets up the chips of the south bridge.
//!
//! PCI Local Bus Specification 2.1, section 6.2.5; Intel 82371SB (PIIX3) and 82371AB (PIIX4) datasheets: PIRQRC[A:D],
//! PMBA, PMREGMISC, SMBBA, IDETIM. The swizzle of device and pin onto PIRQA-D is that of the 440FX boards: device 1's
//! INTA is PIRQA.

use crate::areas::*;
use crate::asm::{Asm, asm};
use crate::post::contract::*;

/// Vendor and device, what to do with it.
const SPECIAL: [(i32, &str); 4] = [
    (0x7000_8086, "pci_piix_isa"),
    (0x7010_8086, "pci_piix_ide"),
    (0x7113_8086, "pci_piix_pm"),
    (0x7110_8086, "pci_piix_isa"),
];

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        at "pci_setup";
        mov ax, BDA;
        mov ds, ax;
        mov fs, [EBDA_SEG];
        mov word(fs_at(E_VGA)), 0;
        mov dword(fs_at(E_PCI_MEMORY)), PCI_MEMORY;
        mov dword(fs_at(E_PCI_PORT)), PCI_PORTS as i32;
        mov eax, 0x8000_0000u32;
        mov dx, 0xCF8;
        out dx, eax;
        in_ eax, dx;
        cmp eax, 0x8000_0000u32;
        je ".there";
        ret; // no PCI
        at ".there";
        xor bx, bx;
        at ".function";
        xor di, di;
        call "pci_read32";
        cmp ax, 0xFFFF;
        je ".absent";
        push eax;
        mov di, 0x0E;
        call "pci_read8";
        mov dl, al; // header type
        test dl, 0x7F;
        jnz ".no_bars";
        mov di, 0x0A;
        call "pci_read16";
        cmp ax, 0x0600; // the host bridge decodes what it likes
        je ".no_bars";
        cmp ax, 0x0300;
        jne ".bars";
        cmp word(fs_at(E_VGA)), 0;
        jne ".bars";
        mov fs_at(E_VGA), bx;
        at ".bars";
        call "pci_bars";
        call "pci_interrupt";
        at ".no_bars";
        pop eax;
        mov si, ".special";
        at ".known";
        cmp dword(cs_at(si)), 0;
        je ".next";
        cmp eax, cs_at(si);
        je ".call";
        add si, 6;
        jmp ".known";
        at ".call";
        push dx;
        call_to word(cs_at(si + 4));
        pop dx;
        at ".next";
        // A single-function device has no functions 1 to 7.
        test bl, 7;
        jnz ".step";
        test dl, 0x80;
        jnz ".step";
        jmp ".skip";
        at ".absent";
        test bl, 7;
        jnz ".step";
        at ".skip";
        add bx, 7;
        at ".step";
        inc bx;
        cmp bx, 0x100;
        jb ".function";
        ret;
        at ".special";
    }
    for (id, handler) in SPECIAL {
        asm! { a; dd id; dw handler; }
    }
    asm! { a; dd 0; }
    bars(a);
    south_bridge(a);
}

fn bars(a: &mut Asm) {
    asm! { a;
        at "pci_bars";
        pushad;
        // No decoding while sizes are read.
        mov di, 4;
        call "pci_read16";
        mov cx, ax;
        and cl, 0xFC;
        call "pci_write16";
        mov di, 0x10;
        at ".bar";
        mov ecx, 0xFFFF_FFFFu32;
        cmp di, 0x30;
        jne ".probe";
        mov ecx, 0xFFFF_F800u32;
        at ".probe";
        call "pci_write32";
        call "pci_read32";
        xor ecx, ecx;
        call "pci_write32";
        test eax, eax;
        jz ".next";
        test al, 1;
        jz ".memory";
        cmp di, 0x30;
        je ".memory";
        // Ports: size is the lowest bit that can be set.
        and al, 0xFC;
        and eax, 0xFFFF;
        mov ecx, eax;
        neg ecx;
        and ecx, eax;
        jz ".next";
        mov si, E_PCI_PORT;
        mov ebp, 0x1_0000;
        call ".take";
        jc ".next";
        call "pci_write32";
        jmp ".next";
        at ".memory";
        mov dl, al; // type bits
        mov ecx, eax;
        and cl, 0xF0;
        mov eax, ecx;
        neg ecx;
        and ecx, eax;
        jz ".wide";
        mov si, E_PCI_MEMORY;
        mov ebp, PCI_MEMORY_END;
        call ".take";
        jc ".wide";
        call "pci_write32";
        at ".wide";
        cmp di, 0x30;
        je ".next";
        and dl, 0x06;
        cmp dl, 0x04;
        jne ".next";
        add di, 4; // upper half of a 64-bit BAR
        xor ecx, ecx;
        call "pci_write32";
        at ".next";
        add di, 4;
        cmp di, 0x28;
        jb ".bar";
        ja ".done";
        mov di, 0x30;
        jmp ".bar";
        at ".done";
        mov di, 4;
        call "pci_read16";
        mov cx, ax;
        or cl, 7; // ports, memory, bus master
        call "pci_write16";
        popad;
        ret;

        // ECX: size in, address out; FS:SI next free address, EBP end. Carry if there is no room.
        at ".take";
        mov eax, fs_at(si);
        dec ecx;
        add eax, ecx;
        jc ".full";
        not ecx;
        and eax, ecx;
        not ecx;
        inc ecx;
        add ecx, eax;
        jc ".full";
        cmp ecx, ebp;
        ja ".full";
        mov fs_at(si), ecx;
        mov ecx, eax;
        clc;
        ret;
        at ".full";
        stc;
        ret;

        at "pci_interrupt";
        pushad;
        mov di, 0x3D;
        call "pci_read8";
        test al, al;
        jz ".none";
        cmp al, 4;
        ja ".none";
        // (pin - 1 + device - 1) & 3
        mov cl, bl;
        shr cl, 3;
        add al, cl;
        sub al, 2;
        and al, 3;
        movzx si, al;
        mov cl, cs_at(si + a.o(".irqs"));
        mov di, 0x3C;
        call "pci_write8";
        at ".none";
        popad;
        ret;
        at ".irqs";
        db &PIRQ_IRQS;
    }
}

fn south_bridge(a: &mut Asm) {
    let levels = PIRQ_IRQS.iter().fold(1u16 << SCI_IRQ, |bits, irq| bits | 1 << irq);
    let [a_irq, b_irq, c_irq, d_irq] = PIRQ_IRQS;
    asm! { a;
        at "pci_piix_isa";
        mov di, 0x60;
        mov ecx, u32::from_le_bytes([a_irq, b_irq, c_irq, d_irq]);
        call "pci_write32";
        // Level-triggered: those four and the SCI.
        mov dx, 0x4D0;
        mov al, (levels & 0xFF) as i32;
        out dx, al;
        inc dx;
        mov al, (levels >> 8) as i32;
        out dx, al;
        ret;

        at "pci_piix_ide";
        mov di, 0x40;
        mov ecx, 0x8000_8000u32; // both channels decode
        call "pci_write32";
        ret;

        at "pci_piix_pm";
        mov di, 0x3C;
        mov cl, SCI_IRQ as i32;
        call "pci_write8";
        mov di, 0x40;
        mov ecx, PM_BASE as i32 | 1;
        call "pci_write32";
        mov di, 0x80;
        mov cl, 1;
        call "pci_write8";
        mov di, 0x90;
        mov ecx, SMBUS_BASE as i32 | 1;
        call "pci_write32";
        mov di, 0xD2;
        mov cl, 0x09;
        call "pci_write8";
        ret;
    }
}
