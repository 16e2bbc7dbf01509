//! Ticks that may come late while a guest does nothing else, under the host clock.

mod common;

use common::{machine, run};
use iced_x86::code_asm::*;
use lucid86_machine::config::ClockKind;
use lucid86_machine::{Config, Outcome};

/// Where the guest counts its ticks.
const TICKS: i32 = 0x20_1000;
const IDT: i32 = 0x20_0000;
const VECTOR: i32 = 0x40;
/// Between ticks: 2 to the power of 22 nanoseconds, which are counts of the TSC and of the local APIC's timer (CPUID leaf 15h
/// says 1 GHz of both).
const PERIOD: i32 = 1 << 22;

/// What the guest does in each tick beside setting the timer for the next.
#[derive(Clone, Copy, PartialEq)]
enum Does {
    Nothing,
    Output,
}

/// Ticks in two seconds of a guest whose ticks are on a grid of the TSC; `input`: whether input may come.
fn ticks(name: &str, slack: &str, does: Does, input: bool) -> u32 {
    let mut c = Config { memory: 16 << 20, clock: ClockKind::Host, ..Config::default() };
    c.set("stop-after", Some("2s")).unwrap();
    c.set("tick-slack", Some(slack)).unwrap();
    // Local APIC registers: SDM volume 3, 11.4.1; its timer: 11.5.4. Gates: 6.11.
    let mut m = machine(name, c, |a| {
        let apic = |register: i32| dword_ptr(ebx + register);
        let (mut start, mut wait) = (a.create_label(), a.create_label());
        a.mov(esp, 0x30_0000).unwrap();
        a.mov(ebx, 0xfee0_0000_u32).unwrap();
        a.call(start).unwrap();
        // The handler.
        a.inc(dword_ptr(TICKS)).unwrap();
        if does == Does::Output {
            a.out(0x80, al).unwrap();
        }
        a.mov(apic(0xb0), 0).unwrap();
        a.rdtsc().unwrap();
        a.and(eax, PERIOD - 1).unwrap();
        a.neg(eax).unwrap();
        a.add(eax, PERIOD).unwrap();
        a.mov(apic(0x380), eax).unwrap();
        a.iretd().unwrap();
        a.set_label(&mut start).unwrap();
        a.pop(eax).unwrap();
        a.mov(ecx, eax).unwrap();
        a.and(eax, 0xffff).unwrap();
        a.or(eax, 0x0010_0000).unwrap();
        a.mov(dword_ptr(IDT + 8 * VECTOR), eax).unwrap();
        a.and(ecx, 0xffff_0000_u32 as i32).unwrap();
        a.or(ecx, 0x8e00).unwrap();
        a.mov(dword_ptr(IDT + 8 * VECTOR + 4), ecx).unwrap();
        a.mov(dword_ptr(IDT + 0x800), 0x07ff | (IDT & 0xffff) << 16).unwrap();
        a.mov(dword_ptr(IDT + 0x804), IDT >> 16).unwrap();
        a.lidt(fword_ptr(IDT + 0x800)).unwrap();
        a.mov(dword_ptr(TICKS), 0).unwrap();
        // Neither PIC is wanted.
        a.mov(al, 0xff).unwrap();
        a.out(0x21, al).unwrap();
        a.out(0xa1, al).unwrap();
        a.mov(apic(0xf0), 0x1ff).unwrap();
        a.mov(apic(0x3e0), 0xb).unwrap();
        a.mov(apic(0x320), VECTOR).unwrap();
        a.mov(apic(0x380), PERIOD).unwrap();
        a.set_label(&mut wait).unwrap();
        a.sti().unwrap();
        a.hlt().unwrap();
        a.jmp(wait).unwrap();
    });
    let _input = input.then(|| m.connect());
    assert_eq!(run(&mut m).0, Outcome::StopAfter);
    let mut bytes = [0; 4];
    m.read_memory(TICKS as u64, &mut bytes);
    u32::from_le_bytes(bytes)
}

#[test]
fn a_guest_that_only_ticks_is_woken_less_often() {
    let every = ticks("lull-off", "off", Does::Nothing, true);
    let late = ticks("lull", "50ms", Does::Nothing, true);
    let acting = ticks("lull-out", "50ms", Does::Output, true);
    let alone = ticks("lull-alone", "50ms", Does::Nothing, false);
    assert!(every > 20, "{every} ticks");
    assert!(2 * late < every, "{late} of {every} ticks");
    assert!(2 * alone < every, "{alone} of {every} ticks without input");
    assert!(2 * acting > every, "{acting} of {every} ticks");
}
