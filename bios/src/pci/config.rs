//! Configuration space by mechanism 1, as subroutines. PCI Local Bus Specification 2.1, section 3.7.4.1.
//!
//! BX: bus, device and function; DI: register. Reads answer in EAX, AX or AL; writes take ECX, CX or CL. Nothing else
//! changes.

use crate::asm::{Asm, asm};

pub(crate) fn code(a: &mut Asm) {
    asm! { a;
        // Selects the register; DX is then its data port.
        at "pci_select";
        push eax;
        movzx eax, bx;
        shl eax, 8;
        or eax, 0x8000_0000u32;
        mov dx, di;
        mov al, dl;
        and al, 0xFC;
        mov dx, 0xCF8;
        out dx, eax;
        mov dx, di;
        and dx, 3;
        add dx, 0xCFC;
        pop eax;
        ret;
        at "pci_read32";
        push dx;
        call "pci_select";
        in_ eax, dx;
        pop dx;
        ret;
        at "pci_read16";
        push dx;
        call "pci_select";
        in_ ax, dx;
        pop dx;
        ret;
        at "pci_read8";
        push dx;
        call "pci_select";
        in_ al, dx;
        pop dx;
        ret;
        at "pci_write32";
        push eax;
        push dx;
        call "pci_select";
        mov eax, ecx;
        out dx, eax;
        pop dx;
        pop eax;
        ret;
        at "pci_write16";
        push ax;
        push dx;
        call "pci_select";
        mov ax, cx;
        out dx, ax;
        pop dx;
        pop ax;
        ret;
        at "pci_write8";
        push ax;
        push dx;
        call "pci_select";
        mov al, cl;
        out dx, al;
        pop dx;
        pop ax;
        ret;
    }
}
