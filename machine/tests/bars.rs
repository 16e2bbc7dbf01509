//! Where the memory of PCI cards may lie: firmware chooses, between RAM and the chips below 4 GiB.

mod common;

use common::{config, machine, run};
use iced_x86::code_asm::*;
use lucid86_machine::Outcome;

/// Writes a register of the VGA's function (0:2.0).
fn configure(a: &mut CodeAssembler, register: u32, value: u32) -> Result<(), IcedError> {
    a.mov(dx, 0xcf8)?;
    a.mov(eax, 0x8000_1000 | register)?;
    a.out(dx, eax)?;
    a.mov(dx, 0xcfc)?;
    a.mov(eax, value)?;
    a.out(dx, eax)
}

/// The guest ends with 1 if the frame buffer works at `base`; the I/O APIC answers in any case.
fn frame_buffer_at(base: u32) -> bool {
    let mut m = machine("bars", config(), |a| {
        let guest = |a: &mut CodeAssembler| {
            let mut lost = a.create_label();
            configure(a, 0x10, base)?;
            configure(a, 4, 2)?;
            // I/O APIC register 1, its version, has the number of its inputs.
            a.mov(dword_ptr(0xfec0_0000u32), 1)?;
            a.mov(ebx, dword_ptr(0xfec0_0010u32))?;
            a.mov(eax, 0)?;
            a.cmp(ebx, -1)?;
            a.je(lost)?;
            a.mov(dword_ptr(base), 0x1234_5678)?;
            a.mov(ebx, dword_ptr(base))?;
            a.mov(eax, 1)?;
            a.cmp(ebx, 0x1234_5678)?;
            a.je(lost)?;
            a.mov(eax, 2)?;
            a.set_label(&mut lost)?;
            a.mov(dx, 0xf4)?;
            a.out(dx, al)
        };
        guest(a).expect("encodable");
    });
    match run(&mut m).0 {
        Outcome::DebugExit(1) => true,
        Outcome::DebugExit(2) => false,
        o => panic!("{base:x}: {o:?}"),
    }
}

#[test]
fn anywhere_between_ram_and_chips() {
    for base in [0x100_0000, 0x8000_0000, 0xe000_0000, 0xfd00_0000] {
        assert!(frame_buffer_at(base), "{base:x}");
    }
    // Its sixteen megabytes would reach over the I/O APIC.
    assert!(!frame_buffer_at(0xfe00_0000));
}
