use super::*;
use crate::{Registers, Timed, Width, apic_bus, bench::Bench};

const ID: u64 = 0x20;
const TPR: u64 = 0x80;
const PPR: u64 = 0xA0;
const EOI: u64 = 0xB0;
const LDR: u64 = 0xD0;
const DFR: u64 = 0xE0;
const SVR: u64 = 0xF0;
const IRR: u64 = 0x200;
const ESR: u64 = 0x280;
const ICR: u64 = 0x300;
const ICR_HIGH: u64 = 0x310;
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_LINT1: u64 = 0x360;
const LVT_ERROR: u64 = 0x370;
const INITIAL: u64 = 0x380;
const CURRENT: u64 = 0x390;
const DIVIDE: u64 = 0x3E0;

/// Processors with their local APICs, enabled by software.
struct Bus {
    bench: Bench,
    lapics: Vec<Lapic>,
}

impl Bus {
    fn of(n: u32) -> Self {
        let lapics = (0..n).map(|id| Lapic::new(id, id == 0, true, 1)).collect();
        let mut bus = Bus { bench: Bench::new(), lapics };
        (0..n as usize).for_each(|i| bus.write(i, SVR, 0x1FF));
        bus
    }

    fn read(&mut self, i: usize, offset: u64) -> u32 {
        self.lapics[i].load(&mut self.bench.ctx(), offset, Width::Dword) as u32
    }

    fn write(&mut self, i: usize, offset: u64, value: u32) {
        self.lapics[i].store(&mut self.bench.ctx(), offset, Width::Dword, value.into());
        self.carry(i);
    }

    fn carry(&mut self, i: usize) {
        if let Some(message) = self.lapics[i].take_message() {
            apic_bus::deliver(&mut self.lapics, &message);
        }
    }

    fn rdmsr(&mut self, i: usize, msr: u32) -> Option<u64> {
        self.lapics[i].read_msr(self.bench.now, msr)
    }

    fn wrmsr(&mut self, i: usize, msr: u32, value: u64) -> Option<()> {
        let now = self.bench.now;
        let done = self.lapics[i].write_msr(now, now.0, msr, value);
        self.carry(i);
        done
    }

    fn send(&mut self, vector: u8) {
        let message =
            Message { vector, delivery: Delivery::Fixed, destination: Destination::All, level: false };
        apic_bus::deliver(&mut self.lapics, &message);
    }

    fn to(&mut self, at: u64) {
        self.bench.now = Time(at);
        for lapic in &mut self.lapics {
            lapic.advance(&mut self.bench.ctx());
        }
    }

    fn taken(&mut self, i: usize) -> Option<u8> {
        let now = self.bench.now;
        self.lapics[i].interrupt().map(|_| self.lapics[i].acknowledge(now))
    }
}

#[test]
fn reset_values() {
    let mut bus = Bus { bench: Bench::new(), lapics: vec![Lapic::new(3, false, true, 1)] };
    for (offset, value) in [
        (ID, 0x0300_0000),
        (0x30, 0x0005_0014),
        (DFR, u32::MAX),
        (SVR, 0xFF),
        (LVT_TIMER, 0x1_0000),
        (LDR, 0),
    ] {
        assert_eq!(bus.read(0, offset), value, "{offset:#x}");
    }
    assert_eq!(bus.rdmsr(0, MSR_APIC_BASE), Some(0xFEE0_0800));
    assert_eq!(Lapic::new(0, true, true, 1).base, 0xFEE0_0900);
}

#[test]
fn higher_class_first_and_nested() {
    let mut bus = Bus::of(1);
    bus.send(0x41);
    bus.send(0x31);
    assert_eq!(bus.taken(0), Some(0x41));
    assert_eq!(bus.taken(0), None, "31h waits for the end of 41h");
    bus.send(0x51);
    assert_eq!(bus.taken(0), Some(0x51));
    assert_eq!(bus.read(0, PPR), 0x50);
    bus.write(0, EOI, 0);
    bus.send(0x4F);
    assert_eq!(bus.taken(0), None, "same class as 41h");
    bus.write(0, EOI, 0);
    assert_eq!(bus.taken(0), Some(0x4F));
    bus.write(0, EOI, 0);
    assert_eq!(bus.taken(0), Some(0x31));
}

#[test]
fn task_priority_holds_back() {
    let mut bus = Bus::of(1);
    bus.write(0, TPR, 0x4F);
    bus.send(0x4F);
    assert_eq!(bus.taken(0), None);
    assert_eq!(bus.read(0, IRR + 0x20), 0x8000);
    bus.lapics[0].set_task_priority(3);
    assert_eq!(bus.lapics[0].task_priority(), 3);
    assert_eq!(bus.taken(0), Some(0x4F));
}

#[test]
fn a_request_that_went_gives_the_spurious_vector() {
    let mut bus = Bus::of(1);
    bus.send(0x41);
    bus.write(0, TPR, 0xF0);
    assert_eq!(bus.lapics[0].acknowledge(Time(0)), 0xFF);
}

#[test]
fn physical_and_broadcast_commands() {
    let mut bus = Bus::of(3);
    bus.write(0, ICR_HIGH, 2 << 24);
    bus.write(0, ICR, 0x40);
    assert_eq!([0, 1, 2].map(|i| bus.taken(i)), [None, None, Some(0x40)]);
    bus.write(1, ICR, 0xC_0041); // all but self
    assert_eq!([0, 1, 2].map(|i| bus.taken(i)), [Some(0x41), None, None]);
    bus.write(2, EOI, 0);
    assert_eq!(bus.taken(2), Some(0x41));
    bus.write(1, ICR, 0x4_0042); // self
    assert_eq!(bus.taken(1), Some(0x42));
    bus.write(0, ICR, 0x8_0050); // all
    assert_eq!([0, 1, 2].map(|i| bus.taken(i)), [Some(0x50); 3]);
}

#[test]
fn logical_flat_and_cluster() {
    let mut bus = Bus::of(3);
    for i in 0..3 {
        bus.write(i, LDR, 1 << (24 + i));
    }
    bus.write(0, ICR_HIGH, 0x06 << 24);
    bus.write(0, ICR, 0x840);
    assert_eq!([0, 1, 2].map(|i| bus.taken(i)), [None, Some(0x40), Some(0x40)]);
    for i in 0..3 {
        bus.write(i, DFR, 0x0FFF_FFFF);
        bus.write(i, LDR, [0x11, 0x12, 0x21][i] << 24);
        bus.write(i, EOI, 0);
    }
    bus.write(0, ICR_HIGH, 0x13 << 24);
    bus.write(0, ICR, 0x841);
    assert_eq!([0, 1, 2].map(|i| bus.taken(i)), [Some(0x41), Some(0x41), None]);
}

#[test]
fn lowest_priority_goes_to_the_idlest() {
    let mut bus = Bus::of(2);
    for i in 0..2 {
        bus.write(i, LDR, 1 << (24 + i));
    }
    bus.write(0, TPR, 0x20);
    bus.write(0, ICR_HIGH, 0x03 << 24);
    bus.write(0, ICR, 0x940);
    assert_eq!([0, 1].map(|i| bus.taken(i)), [None, Some(0x40)]);
}

#[test]
fn init_and_startup() {
    let mut bus = Bus::of(2);
    bus.write(1, LDR, 0x0200_0000);
    bus.write(0, ICR_HIGH, 1 << 24);
    bus.write(0, ICR, 0xC500); // INIT, assert, level
    assert_eq!(bus.lapics[1].take_signals(), Signals { init: true, ..Signals::default() });
    assert_eq!(bus.read(1, LDR), 0);
    assert_eq!(bus.read(1, ID), 0x0100_0000);
    bus.write(0, ICR, 0x8500); // de-assert
    assert!(!bus.lapics[1].has_signals());
    bus.write(0, ICR, 0x4609);
    assert_eq!(bus.lapics[1].take_signals().startup, Some(9));
    bus.write(0, ICR, 0x4400);
    assert!(bus.lapics[1].take_signals().nmi);
}

#[test]
fn level_interrupts_announce_their_end() {
    let mut bus = Bus::of(1);
    let level =
        Message { vector: 0x60, delivery: Delivery::Fixed, destination: Destination::All, level: true };
    apic_bus::deliver(&mut bus.lapics, &level);
    assert_eq!(bus.taken(0), Some(0x60));
    bus.write(0, EOI, 0);
    assert_eq!(bus.lapics[0].take_eoi(), Some(0x60));
    bus.send(0x60);
    bus.taken(0);
    bus.write(0, EOI, 0);
    assert_eq!(bus.lapics[0].take_eoi(), None);
}

#[test]
fn illegal_vectors_and_registers_are_errors() {
    let mut bus = Bus::of(1);
    bus.write(0, LVT_ERROR, 0xFE);
    bus.write(0, ICR, 0x4_0005);
    assert_eq!(bus.read(0, ESR), 0, "not latched yet");
    assert_eq!(bus.taken(0), Some(0xFE));
    bus.write(0, ESR, 0);
    assert_eq!(bus.read(0, ESR), 0x20);
    bus.send(5);
    bus.write(0, ESR, 0);
    assert_eq!(bus.read(0, ESR), 0x40);
    bus.read(0, 0x40);
    bus.write(0, ESR, 0);
    assert_eq!(bus.read(0, ESR), 0x80);
}

#[test]
fn timer_one_shot() {
    let mut bus = Bus::of(1);
    bus.write(0, LVT_TIMER, 0x30);
    bus.write(0, DIVIDE, 0b0011); // by 16
    bus.write(0, INITIAL, 1000);
    assert_eq!(bus.lapics[0].deadline(), Some(Time(16_000)));
    bus.to(4_000);
    assert_eq!(bus.read(0, CURRENT), 750);
    bus.to(15_999);
    assert_eq!((bus.read(0, CURRENT), bus.taken(0)), (1, None));
    bus.to(16_000);
    assert_eq!((bus.read(0, CURRENT), bus.taken(0)), (0, Some(0x30)));
    assert_eq!(bus.lapics[0].deadline(), None);
}

#[test]
fn timer_periodic_catches_up_at_once() {
    let mut bus = Bus::of(1);
    bus.write(0, LVT_TIMER, 0x2_0030);
    bus.write(0, DIVIDE, 0b1011); // by 1
    bus.write(0, INITIAL, 1000);
    bus.to(1_000_000_000_500);
    assert_eq!(bus.read(0, CURRENT), 500);
    assert_eq!(bus.lapics[0].deadline(), None, "requested already");
    assert_eq!(bus.taken(0), Some(0x30));
    assert_eq!(bus.lapics[0].deadline(), Some(Time(1_000_000_001_000)));
    bus.write(0, INITIAL, 0);
    assert_eq!(bus.lapics[0].deadline(), None);
}

#[test]
fn timer_divisors() {
    for (code, divisor) in [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)] {
        let mut bus = Bus::of(1);
        bus.write(0, LVT_TIMER, 0x30);
        bus.write(0, DIVIDE, code);
        bus.write(0, INITIAL, 100);
        assert_eq!(bus.lapics[0].deadline(), Some(Time(100 * divisor)));
    }
}

#[test]
fn masked_timer_counts_in_silence() {
    let mut bus = Bus::of(1);
    bus.write(0, LVT_TIMER, 0x1_0030);
    bus.write(0, DIVIDE, 0b1011);
    bus.write(0, INITIAL, u32::MAX);
    assert_eq!(bus.lapics[0].deadline(), None);
    bus.to(1_000_000);
    assert_eq!(bus.read(0, CURRENT), u32::MAX - 1_000_000);
}

#[test]
fn tsc_deadline() {
    let mut bus = Bus::of(1);
    assert_eq!(bus.wrmsr(0, MSR_TSC_DEADLINE, 5_000), Some(()));
    assert_eq!(bus.rdmsr(0, MSR_TSC_DEADLINE), Some(0), "not in that mode");
    bus.write(0, LVT_TIMER, 0x4_0030);
    bus.wrmsr(0, MSR_TSC_DEADLINE, 5_000);
    assert_eq!(bus.lapics[0].deadline(), Some(Time(5_000)));
    bus.to(5_000);
    assert_eq!(bus.taken(0), Some(0x30));
    assert_eq!(bus.rdmsr(0, MSR_TSC_DEADLINE), Some(0));
    bus.write(0, EOI, 0);
    bus.wrmsr(0, MSR_TSC_DEADLINE, 100);
    assert_eq!(bus.taken(0), Some(0x30), "a deadline in the past is now");
}

#[test]
fn virtual_wire() {
    let mut lapic = Lapic::new(0, true, false, 1);
    lapic.set_lint(0, true);
    assert_eq!(lapic.interrupt(), Some(Pending::External));
    lapic.set_lint(0, false);
    assert_eq!(lapic.interrupt(), None);
    let mut bus = Bus::of(1);
    bus.write(0, LVT_LINT0, 0x1_0700);
    bus.lapics[0].set_lint(0, true);
    assert_eq!(bus.lapics[0].interrupt(), None, "masked");
    bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0100);
    assert_eq!(bus.lapics[0].interrupt(), Some(Pending::External), "disabled, the pin is INTR");
}

#[test]
fn lint1_is_nmi_on_its_edge() {
    let mut bus = Bus::of(1);
    bus.write(0, LVT_LINT1, 0x400);
    bus.lapics[0].set_lint(1, true);
    bus.lapics[0].set_lint(1, true);
    assert!(bus.lapics[0].take_signals().nmi);
    assert!(!bus.lapics[0].take_signals().nmi);
}

#[test]
fn software_disable_masks_the_table() {
    let mut bus = Bus::of(1);
    bus.write(0, LVT_LINT1, 0x400);
    bus.write(0, SVR, 0xFF);
    assert_eq!(bus.read(0, LVT_LINT1), 0x1_0400);
    bus.write(0, LVT_LINT1, 0x400);
    assert_eq!(bus.read(0, LVT_LINT1), 0x1_0400, "can't be unmasked");
    bus.send(0x40);
    assert_eq!(bus.taken(0), None);
}

#[test]
fn x2apic_mode_changes() {
    let mut bus = Bus::of(1);
    assert_eq!(bus.rdmsr(0, 0x802), None, "not in xAPIC mode");
    assert_eq!(bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0400), None, "EXTD without EN");
    assert_eq!(bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0D00), Some(()));
    assert_eq!(bus.lapics[0].page(), None);
    assert_eq!(bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0900), None, "back only by way of disabled");
    assert_eq!(bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0100), Some(()));
    assert_eq!(bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0D00), None);
    assert_eq!(bus.wrmsr(0, MSR_APIC_BASE, 0xFEE0_0900), Some(()));
    assert_eq!(bus.lapics[0].page(), Some(0xFEE0_0000));
}

#[test]
fn x2apic_registers() {
    let mut bus = Bus::of(20);
    for i in 0..20 {
        let base = bus.rdmsr(i, MSR_APIC_BASE).unwrap();
        bus.wrmsr(i, MSR_APIC_BASE, base | 0x400).unwrap();
    }
    assert_eq!(bus.rdmsr(17, 0x802), Some(17));
    assert_eq!(bus.rdmsr(17, 0x80D), Some(0x1_0002));
    for msr in [0x80B, 0x80E, 0x831, 0x83F, 0x801] {
        assert_eq!(bus.rdmsr(0, msr), None, "{msr:#x}");
    }
    for (msr, value) in [(0x802, 0), (0x80D, 0), (0x80B, 1), (0x828, 1), (0x808, 0x100), (0x830, 0x1000)] {
        assert_eq!(bus.wrmsr(0, msr, value), None, "{msr:#x}");
    }
    bus.wrmsr(0, 0x830, 17 << 32 | 0x40).unwrap();
    assert_eq!(bus.taken(17), Some(0x40));
    assert_eq!(bus.wrmsr(17, 0x80B, 0), Some(()));
    bus.wrmsr(0, 0x830, 0x1_0003 << 32 | 0x841).unwrap();
    assert_eq!([15, 16, 17, 18].map(|i| bus.taken(i)), [None, Some(0x41), Some(0x41), None]);
    bus.wrmsr(3, 0x83F, 0x55).unwrap();
    assert_eq!(bus.taken(3), Some(0x55));
}

#[test]
fn msi() {
    let message = Message::from_msi(0xFEE0_100C, 0x0000_4931).unwrap();
    assert_eq!(message.destination, Destination::Logical(1));
    assert_eq!((message.vector, message.delivery), (0x31, Delivery::LowestPriority));
    assert_eq!(Message::from_msi(0xFED0_0000, 0), None);
}
