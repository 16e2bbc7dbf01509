//! How runs end, and that the machine stays in hand whatever the guest does.

mod common;

use common::{config, machine, run};
use iced_x86::code_asm::*;
use lucid86_machine::{Config, Input, Outcome};

#[test]
fn a_write_to_the_debug_exit_port_ends_the_run() {
    let mut m = machine("exit", config(), |a| {
        a.mov(al, 0x2a).unwrap();
        a.out(0xf4, al).unwrap();
        a.hlt().unwrap();
    });
    let (outcome, _) = run(&mut m);
    assert_eq!(outcome, Outcome::DebugExit(0x2a));
    assert_eq!(outcome.exit_status(), (0x2a << 1) | 1);
}

#[test]
fn without_the_port_nothing_ends_there() {
    let mut m = machine("noexit", Config { no_debug_exit: true, ..config() }, |a| {
        a.out(0xf4, al).unwrap();
        a.cli().unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::NothingPending);
}

#[test]
fn acpi_switches_off() {
    // PMCNTRL at the base that firmware gave, SLP_TYP 0 and SLP_EN (PIIX4 datasheet).
    let mut m = machine("off", config(), |a| {
        a.mov(dx, 0x604).unwrap();
        a.mov(ax, 0x2000).unwrap();
        a.out(dx, ax).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::PowerOff);
}

#[test]
fn a_halted_machine_with_interrupts_off_ends() {
    let mut m = machine("halt", config(), |a| {
        a.cli().unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::NothingPending);
}

#[test]
fn a_halted_machine_with_live_input_waits_for_it() {
    let mut m = machine("live", config(), |a| {
        a.cli().unwrap();
        a.hlt().unwrap();
    });
    let input = m.connect();
    let sender = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let _ = input.send(Input::Quit);
    });
    assert_eq!(run(&mut m).0, Outcome::Quit);
    sender.join().unwrap();
}

#[test]
fn an_endless_loop_is_stopped() {
    let mut c = config();
    c.set("stop-after", Some("1000000i")).unwrap();
    let mut m = machine("loop", c, |a| {
        let mut top = a.create_label();
        a.set_label(&mut top).unwrap();
        a.jmp(top).unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::StopAfter);
    assert_eq!(lucid86_machine::View::count(&m), 1_000_000);
}

#[test]
fn an_invalid_opcode_handler_that_is_invalid_itself_does_not_stop_time() {
    // IDT at 200000h, its pseudo-descriptor at 201000h, a UD2 at 202000h where vector 6 leads: the gate's words are the
    // offset's low half, selector 10h, 8E00h for a 32-bit interrupt gate (Intel SDM Vol. 3A, 6.11).
    let mut c = config();
    c.set("stop-after", Some("3000000i")).unwrap();
    let mut m = machine("ud", c, |a| {
        a.mov(dword_ptr(0x20_0030), 0x0010_2000).unwrap();
        a.mov(dword_ptr(0x20_0034), 0x0020_8e00).unwrap();
        a.mov(dword_ptr(0x20_1000), 0x0000_07ff).unwrap();
        a.mov(dword_ptr(0x20_1004), 0x0000_0020).unwrap();
        a.mov(word_ptr(0x20_2000), 0x0b0f).unwrap();
        a.mov(esp, 0x30_0000).unwrap();
        a.lidt(fword_ptr(0x20_1000)).unwrap();
        a.ud2().unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::StopAfter);
}

#[test]
fn a_triple_fault_is_reported() {
    let mut m = machine("triple", Config { no_reboot: true, ..config() }, |a| {
        a.mov(dword_ptr(0x20_1000), 0).unwrap();
        a.mov(dword_ptr(0x20_1004), 0).unwrap();
        a.lidt(fword_ptr(0x20_1000)).unwrap();
        a.ud2().unwrap();
    });
    let (outcome, _) = run(&mut m);
    let Outcome::TripleFault(report) = &outcome else { panic!("{outcome:?}") };
    assert!(report.contains("#UD") && report.contains("#DF"), "{report}");
    assert_eq!(outcome.exit_status(), 6);
}

#[test]
fn resets_end_the_run_when_asked_to() {
    // Keyboard controller command FEh; port CF9h; port 92h.
    let ways: [(&str, &[(u16, u8)]); 3] =
        [("kbd", &[(0x64, 0xfe)]), ("cf9", &[(0xcf9, 2), (0xcf9, 6)]), ("p92", &[(0x92, 0), (0x92, 1)])];
    for (name, writes) in ways {
        let mut m = machine(name, Config { no_reboot: true, ..config() }, |a| {
            for (port, value) in writes {
                a.mov(dx, i32::from(*port)).unwrap();
                a.mov(al, i32::from(*value)).unwrap();
                a.out(dx, al).unwrap();
            }
            a.hlt().unwrap();
        });
        assert_eq!(run(&mut m).0, Outcome::Reset, "{name}");
    }
}

#[test]
fn a_kernel_starts_again_after_a_reset() {
    // CMOS 40h counts the starts; the third one ends the run. Memory would be no proof: firmware may clear it.
    let mut m = machine("again", config(), |a| {
        let mut again = a.create_label();
        a.mov(al, 0x40).unwrap();
        a.out(0x70, al).unwrap();
        a.in_(al, 0x71).unwrap();
        a.inc(al).unwrap();
        a.mov(bl, al).unwrap();
        a.out(0x71, al).unwrap();
        a.cmp(bl, 3).unwrap();
        a.jb(again).unwrap();
        a.out(0xf4, al).unwrap();
        a.set_label(&mut again).unwrap();
        a.mov(al, 0xfe).unwrap();
        a.out(0x64, al).unwrap();
        a.hlt().unwrap();
    });
    assert_eq!(run(&mut m).0, Outcome::DebugExit(3));
}
