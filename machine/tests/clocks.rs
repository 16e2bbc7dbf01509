//! The machine's clocks agree: the time-stamp counter, at the 1 GHz that CPUID leaf 15h announces, against the 8254's
//! 1.193182 MHz and the ACPI timer's 3.579545 MHz. A guest measures, as Linux does when it calibrates.

mod common;

use common::{config, machine, run};
use iced_x86::code_asm::*;
use lucid86_machine::Outcome;

/// Where the guest leaves what it measured.
const RESULT: i32 = 0x20_0000;
/// What is accepted, in parts of a million.
const PPM: f64 = 500.0;

fn measured(name: &str, code: impl FnOnce(&mut CodeAssembler)) -> [u64; 2] {
    let mut m = machine(name, config(), |a| {
        code(a);
        a.mov(al, 1).unwrap();
        a.out(0xf4, al).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::DebugExit(1));
    let mut bytes = [0; 16];
    m.read_memory(RESULT as u64, &mut bytes);
    let word = |i: usize| u64::from_le_bytes(bytes[8 * i..8 * i + 8].try_into().unwrap());
    [word(0), word(1)]
}

/// RDTSC to memory.
fn stamp(a: &mut CodeAssembler, at: i32) {
    a.rdtsc().unwrap();
    a.mov(dword_ptr(at), eax).unwrap();
    a.mov(dword_ptr(at + 4), edx).unwrap();
}

fn assert_near(measured_hz: f64, expected_hz: f64) {
    let off = (measured_hz / expected_hz - 1.0) * 1e6;
    assert!(off.abs() < PPM, "{measured_hz} Hz is {off:.0} ppm off");
}

#[test]
fn the_tsc_keeps_time_with_the_interval_timer() {
    // Channel 2 in mode 0 counts down from 59659 (50 ms) when its gate opens; OUT2 shows at port 61h bit 5 (8254
    // datasheet; 82371SB "NMI status and control").
    let [start, end] = measured("tsc-pit", |a| {
        a.in_(al, 0x61).unwrap();
        a.and(al, 0xfc).unwrap();
        a.out(0x61, al).unwrap();
        for (port, value) in [(0x43, 0xb0), (0x42, 59659 & 0xff), (0x42, 59659 >> 8)] {
            a.mov(al, value).unwrap();
            a.out(port, al).unwrap();
        }
        a.in_(al, 0x61).unwrap();
        a.or(al, 1).unwrap();
        a.out(0x61, al).unwrap();
        stamp(a, RESULT);
        let mut poll = a.create_label();
        a.set_label(&mut poll).unwrap();
        a.in_(al, 0x61).unwrap();
        a.test(al, 0x20).unwrap();
        a.je(poll).unwrap();
        stamp(a, RESULT + 8);
    });
    assert_near((end - start) as f64 * 1_193_182.0 / 59659.0, 1e9);
}

#[test]
fn the_tsc_keeps_time_with_the_acpi_timer() {
    // PM_TMR at the firmware's PM base + 8, 24 bits (ACPI 4.8.3.3): from one change on to 178977 ticks (50 ms) later.
    let [start, end] = measured("tsc-acpi", |a| {
        a.mov(dx, 0x608).unwrap();
        a.in_(eax, dx).unwrap();
        a.mov(ebx, eax).unwrap();
        let (mut edge, mut poll) = (a.create_label(), a.create_label());
        a.set_label(&mut edge).unwrap();
        a.in_(eax, dx).unwrap();
        a.cmp(eax, ebx).unwrap();
        a.je(edge).unwrap();
        a.mov(ebx, eax).unwrap();
        stamp(a, RESULT);
        a.mov(dx, 0x608).unwrap();
        a.set_label(&mut poll).unwrap();
        a.in_(eax, dx).unwrap();
        a.sub(eax, ebx).unwrap();
        a.and(eax, 0x00ff_ffff).unwrap();
        a.cmp(eax, 178_977).unwrap();
        a.jb(poll).unwrap();
        stamp(a, RESULT + 8);
    });
    assert_near((end - start) as f64 * 3_579_545.0 / 178_977.0, 1e9);
}
