//! The debugger's core under both engines: what it stops at, that it changes nothing, and that it finds its way back.
//! Expectations follow from the guest programs, written out by hand here.

mod common;

use common::{BASE, config, machine};
use iced_x86::code_asm::*;
use lucid86_cpu::watch::{By, Bytes, Event, Hit};
use lucid86_machine::config::Engine;
use lucid86_machine::debug::{Goal, Kind, Stopped, Why};
use lucid86_machine::{Config, HostIo, Machine, NoIo, Outcome, View};

/// Where the counter lies.
const COUNTER: u64 = 0x20_0000;
/// Rounds of the loop.
const ROUNDS: u32 = 50_000;

/// Counts up in memory, then switches off by the debug exit.
fn counting(a: &mut CodeAssembler) -> u64 {
    counting_to(a, ROUNDS)
}

fn counting_to(a: &mut CodeAssembler, rounds: u32) -> u64 {
    let mut again = a.create_label();
    a.mov(ecx, 0u32).unwrap();
    a.set_label(&mut again).unwrap();
    a.inc(ecx).unwrap();
    a.mov(dword_ptr(COUNTER), ecx).unwrap();
    a.add(ebx, 3u32).unwrap();
    a.cmp(ecx, rounds).unwrap();
    a.jb(again).unwrap();
    a.mov(eax, 7u32).unwrap();
    a.out(0xf4, al).unwrap();
    0
}

/// Offsets in the code above, from the encodings: mov ecx,imm32 is 5 bytes, inc ecx 1, mov [moffs],ecx 6.
const LOOP: u64 = BASE as u64 + 32 + 5;
const STORE: u64 = LOOP + 1;
const AFTER_STORE: u64 = STORE + 6;

fn engines(name: &str, f: impl Fn(Machine)) {
    for engine in [Engine::Interpreter, Engine::Auto] {
        let c = Config { engine, memory: 16 << 20, ..config() };
        f(machine(&format!("{name}-{engine:?}"), c, |a| {
            counting(a);
        }));
    }
}

fn go(m: &mut Machine) -> Stopped {
    m.debug_run(&mut NoIo, Goal::Continue)
}

/// Runs to the end; hash and count there.
fn finish(m: &mut Machine) -> (u64, u64) {
    m.debugger().remove_where(|_| true);
    loop {
        match go(m).why {
            Why::Ended(o) => {
                assert_eq!(o, Outcome::DebugExit(7));
                return (m.state_hash(), m.count());
            }
            Why::Present => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_breakpoint_stops_before_its_instruction_each_time() {
    engines("bp", |mut m| {
        let id = m.debugger().add(Kind::Code { at: STORE, physical: false }).unwrap();
        for round in 1..=100 {
            let s = go(&mut m);
            assert_eq!(s.why, Why::Points(vec![id]));
            assert_eq!(s.hits, [Hit::Code { linear: STORE }]);
            assert_eq!((m.pc(0), m.cpu(0).gpr[1]), (STORE, round));
        }
        // By physical address too: without paging it is the same.
        m.debugger().remove(id);
        let id = m.debugger().add(Kind::Code { at: AFTER_STORE, physical: true }).unwrap();
        let s = go(&mut m);
        assert_eq!((s.why, m.pc(0)), (Why::Points(vec![id]), AFTER_STORE));
    });
}

/// A loop across a page's end, hot before anybody looks: breakpoints behind the end and in front of it.
#[test]
fn a_breakpoint_behind_a_pages_end_stops_a_loop_across_it() {
    // ADD EBX, imm32 of six bytes begins three before the end, INC ECX follows it.
    const TOP: u64 = BASE as u64 + 4096 - 3;
    for engine in [Engine::Interpreter, Engine::Auto] {
        let c = Config { engine, memory: 16 << 20, ..config() };
        let mut m = machine(&format!("across-{engine:?}"), c, |a| {
            let mut again = a.create_label();
            a.mov(ecx, 0u32).unwrap();
            for _ in LOOP..TOP {
                a.nop().unwrap();
            }
            a.set_label(&mut again).unwrap();
            a.add(ebx, 0x1122_3344u32).unwrap();
            a.inc(ecx).unwrap();
            a.mov(dword_ptr(COUNTER), ecx).unwrap();
            a.cmp(ecx, ROUNDS).unwrap();
            a.jb(again).unwrap();
            a.mov(eax, 7u32).unwrap();
            a.out(0xf4, al).unwrap();
        });
        let start = m.debugger().add(Kind::Code { at: BASE as u64 + 32, physical: false }).unwrap();
        assert_eq!(go(&mut m).why, Why::Points(vec![start]));
        m.debugger().remove(start);
        let mut round = 0u64;
        for at in [TOP + 7, TOP, TOP + 6] {
            let hot = m.count() + 30_000;
            assert_eq!(m.debug_run(&mut NoIo, Goal::Count(hot)).why, Why::Done);
            let id = m.debugger().add(Kind::Code { at, physical: false }).unwrap();
            for k in 0..3 {
                assert_eq!(go(&mut m).why, Why::Points(vec![id]), "{at:x}h");
                assert_eq!(m.pc(0), at);
                let now = m.cpu(0).gpr[1];
                let right: bool = if k == 0 { now > round + 4000 } else { now == round + 1 };
                assert!(right, "{at:x}h: round {now} after {round}");
                round = now;
            }
            m.debugger().remove(id);
        }
        finish(&mut m);
        assert_eq!(m.cpu(0).gpr[1], u64::from(ROUNDS));
    }
}

#[test]
fn conditions_and_ignored_hits_are_asked() {
    engines("cond", |mut m| {
        let id = m.debugger().add(Kind::Code { at: STORE, physical: false }).unwrap();
        let p = m.debugger().point(id).unwrap();
        p.condition = Some(lucid86_machine::debug::expr::Expr::parse("ecx == 4000 + 321").unwrap());
        assert_eq!(go(&mut m).why, Why::Points(vec![id]));
        assert_eq!(m.cpu(0).gpr[1], 4321);
        let p = m.debugger().point(id).unwrap();
        p.condition = None;
        p.ignore = 1000;
        go(&mut m);
        assert_eq!(m.cpu(0).gpr[1], 5322);
    });
}

#[test]
fn a_watchpoint_stops_after_the_store() {
    engines("watch", |mut m| {
        let bytes = Bytes { at: COUNTER, len: 4, physical: false, read: false, write: true };
        let id = m.debugger().add(Kind::Data { bytes, change: true }).unwrap();
        for round in 1..=50u64 {
            let s = go(&mut m);
            assert_eq!(s.why, Why::Points(vec![id]), "round {round}");
            assert!(matches!(
                s.hits[0],
                Hit::Data { at: COUNTER, len: 4, write: true, by: By::Cpu { rip: STORE }, .. }
            ));
            assert_eq!(m.pc(0), AFTER_STORE);
            let mut now = [0; 4];
            m.peek(0, COUNTER, &mut now);
            assert_eq!(u64::from(u32::from_le_bytes(now)), round);
        }
        // A neighbour in the same page is not met, nor is a range that is only read.
        m.debugger().remove(id);
        let near = Bytes { at: COUNTER + 4, ..bytes };
        m.debugger().add(Kind::Data { bytes: near, change: false }).unwrap();
        m.debugger()
            .add(Kind::Data { bytes: Bytes { read: true, write: false, ..bytes }, change: false })
            .unwrap();
        assert_eq!(go(&mut m).why, Why::Ended(Outcome::DebugExit(7)));
    });
}

#[test]
fn events_stop_the_run() {
    engines("events", |mut m| {
        let port = m.debugger().add(Kind::Port(0xf4, 0xf4)).unwrap();
        let s = go(&mut m);
        assert_eq!(s.why, Why::Points(vec![port]));
        assert_eq!(s.hits, [Hit::Event(Event::Port { port: 0xf4, width: 1 })]);
    });
    engines("modes", |mut m| {
        let id = m.debugger().add(Kind::Cr(0, None)).unwrap();
        let s = go(&mut m);
        assert_eq!(s.why, Why::Points(vec![id]));
        assert!(matches!(s.hits[0], Hit::Event(Event::Cr { n: 0, .. })));
    });
}

#[test]
fn stepping_and_stopping_change_nothing() {
    engines("steps", |mut m| {
        let mut undisturbed = machine(
            &format!("steps-{:?}", m.config().engine),
            Config { engine: m.config().engine, memory: 16 << 20, ..config() },
            |a| {
                counting(a);
            },
        );
        let expected = finish(&mut undisturbed);
        m.debugger().add(Kind::Code { at: LOOP, physical: false }).unwrap();
        go(&mut m);
        m.debugger().remove_where(|_| true);
        let (count, round) = (m.count(), m.cpu(0).gpr[1]);
        for n in 1..=50 {
            assert_eq!(m.debug_run(&mut NoIo, Goal::Step(0, 1)).why, Why::Done);
            assert_eq!(m.count(), count + n);
        }
        // Five instructions a round.
        assert_eq!(m.cpu(0).gpr[1], round + 10);
        let later = m.count() + 12_345;
        m.debugger().add(Kind::Count(later)).unwrap();
        assert!(matches!(go(&mut m).why, Why::Points(_)));
        assert_eq!(m.count(), count + 50 + 12_345);
        let bytes = Bytes { at: COUNTER, len: 4, physical: true, read: true, write: true };
        let id = m.debugger().add(Kind::Data { bytes, change: false }).unwrap();
        m.debugger().point(id).unwrap().ignore = 500;
        go(&mut m);
        let found = finish(&mut m);
        assert_eq!(found, expected);
    });
}

#[test]
fn the_way_back_is_the_way_there() {
    engines("back", |mut m| {
        m.keep_history(256 << 20);
        m.debugger().add(Kind::Code { at: LOOP, physical: false }).unwrap();
        go(&mut m);
        let start = (m.count(), m.state_hash());
        m.debugger().remove_where(|_| true);
        let mut seen = Vec::new();
        for _ in 0..20 {
            m.debug_run(&mut NoIo, Goal::Step(0, 777));
            seen.push((m.count(), m.state_hash(), m.cpu(0).gpr));
        }
        m.debug_run(&mut NoIo, Goal::Count(start.0 + 100_000));
        for &(count, hash, gpr) in seen.iter().rev() {
            assert_eq!(m.go_to(&mut NoIo, count).why, Why::Done);
            assert_eq!((m.count(), m.cpu(0).gpr), (count, gpr));
            assert_eq!(m.state_hash(), hash, "at {count}");
            assert!(m.in_past());
        }
        // One step back, and the same step forward.
        let (count, hash, _) = seen[5];
        m.go_to(&mut NoIo, count);
        assert_eq!(m.reverse_step(&mut NoIo, 0).why, Why::Done);
        assert_eq!(m.count(), count - 1);
        m.debug_run(&mut NoIo, Goal::Step(0, 1));
        assert_eq!((m.count(), m.state_hash()), (count, hash));
        // Forward ends at the present.
        assert_eq!(go(&mut m).why, Why::Present);
        assert_eq!(m.count(), start.0 + 100_000);
        assert!(!m.in_past());
        m.go_to(&mut NoIo, start.0);
        assert_eq!(m.state_hash(), start.1);
    });
}

/// Counts how often a run asks whether to pause.
struct Asked(u32);

impl HostIo for Asked {
    fn serial_out(&mut self, _: usize, _: &[u8]) {}
    fn pause(&mut self) -> bool {
        self.0 += 1;
        false
    }
}

#[test]
fn the_way_ahead_in_the_past_begins_at_the_nearest_snapshot() {
    let c = Config { memory: 16 << 20, ..config() };
    let mut m = machine("ahead", c, |a| {
        counting_to(a, 8_000_000);
    });
    m.keep_history(256 << 20);
    let mut io = Asked(0);
    m.debug_run(&mut io, Goal::Count(12_000_000));
    assert!(io.0 > 0);
    let far = (m.count(), m.state_hash());
    m.checkpoint("far").unwrap();
    m.debug_run(&mut NoIo, Goal::Count(12_400_000));
    let farther = (m.count(), m.state_hash());
    m.debug_run(&mut NoIo, Goal::Count(20_000_000));
    let present = (m.count(), m.state_hash());
    m.go_to(&mut NoIo, 1_000_000);
    assert_eq!(m.count(), 1_000_000);
    // Nothing is run for what a snapshot holds.
    let mut io = Asked(0);
    assert_eq!(m.go_to(&mut io, far.0).why, Why::Done);
    assert_eq!(((m.count(), m.state_hash()), io.0), (far, 0));
    m.go_to(&mut NoIo, 1_000_000);
    assert_eq!(m.go_to(&mut NoIo, farther.0).why, Why::Done);
    assert_eq!((m.count(), m.state_hash()), farther);
    m.go_to(&mut NoIo, 2_000_000);
    assert_eq!(m.go_to(&mut NoIo, 30_000_000).why, Why::Present);
    assert_eq!((m.count(), m.state_hash()), present);
}

#[test]
fn the_last_writer_is_found() {
    engines("writer", |mut m| {
        m.keep_history(256 << 20);
        m.debugger().add(Kind::Port(0xf4, 0xf4)).unwrap();
        go(&mut m);
        m.debugger().remove_where(|_| true);
        let bytes = Bytes { at: COUNTER, len: 4, physical: false, read: false, write: true };
        let id = m.debugger().add(Kind::Data { bytes, change: true }).unwrap();
        let s = m.reverse_continue(&mut NoIo);
        assert_eq!(s.why, Why::Points(vec![id]));
        // Just before the last store: the loop's last round.
        assert_eq!((m.pc(0), m.cpu(0).gpr[1]), (STORE, ROUNDS.into()));
        let s = m.reverse_continue(&mut NoIo);
        assert_eq!(s.why, Why::Points(vec![id]));
        assert_eq!((m.pc(0), m.cpu(0).gpr[1]), (STORE, u64::from(ROUNDS) - 1));
        // By a breakpoint: the one before the first round has none before it.
        m.debugger().remove_where(|_| true);
        m.debugger().add(Kind::Code { at: LOOP - 5, physical: false }).unwrap();
        let s = m.reverse_continue(&mut NoIo);
        assert!(matches!(s.why, Why::Points(_)));
        assert_eq!(m.pc(0), LOOP - 5);
        assert_eq!(m.reverse_continue(&mut NoIo).why, Why::Beginning);
    });
}

#[test]
fn a_change_by_hand_in_the_past_makes_another_future() {
    engines("hand", |mut m| {
        m.keep_history(256 << 20);
        m.debugger().add(Kind::Code { at: LOOP, physical: false }).unwrap();
        go(&mut m);
        m.debugger().remove_where(|_| true);
        let count = m.count();
        m.debug_run(&mut NoIo, Goal::Count(count + 10_000));
        m.go_to(&mut NoIo, count + 5_000);
        assert!(m.in_past());
        assert!(m.set_register(0, "ecx", u64::from(ROUNDS) - 1));
        assert!(!m.in_past());
        let (_, end) = finish(&mut m);
        assert!(end < count + 5_020, "the loop ended at once: {end} after {count}");
        m.go_to(&mut NoIo, count + 5_003);
        assert!(m.cpu(0).gpr[1] >= u64::from(ROUNDS) - 1);
    });
}

/// A far pointer's offset is in a segment of its own: in real mode that of its selector; through a descriptor nothing is
/// looked up.
#[test]
fn branches_are_named_where_the_instruction_says_where_they_go() {
    let mut m = machine("names", Config { memory: 16 << 20, ..config() }, |a| {
        counting(a);
    });
    let names = [("zero", 0), ("there", 0x1_0000)].map(|(name, at)| (name.to_string(), at, 0x100));
    m.debugger().symbols.add("test", names);
    const AT: u64 = 0x7c00;
    let line = |m: &mut Machine, bytes: &[u8], bits: u32| {
        assert!(m.poke(0, AT, bytes));
        let text = m.disassemble(0, AT, 1, bits);
        text.trim_end().split_once("  ; ").map(|(_, name)| name.to_string())
    };
    // Before the first instruction: real mode.
    let near = (2 - (AT as i16 + 3)).to_le_bytes();
    assert_eq!(line(&mut m, &[0xe9, near[0], near[1]], 16).as_deref(), Some("zero+0x2"));
    let far = [0xea, 5, 0, 0, 0x10]; // 1000:0005
    assert_eq!(line(&mut m, &far, 16).as_deref(), Some("there+0x5"));
    assert_eq!(line(&mut m, &[0x9a, 5, 0, 0, 0x10], 16).as_deref(), Some("there+0x5"));
    assert_eq!(line(&mut m, &[0x66, 0xea, 5, 0, 0, 0, 0, 0x10], 16), None);
    assert_eq!(line(&mut m, &[0xff, 0x2e, 0, 0x10], 16), None);
    m.debugger().add(Kind::Code { at: LOOP, physical: false }).unwrap();
    go(&mut m);
    let near = (0x1_0003i32 - (AT as i32 + 5)).to_le_bytes();
    assert_eq!(line(&mut m, &[&[0xe8], &near[..]].concat(), 32).as_deref(), Some("there+0x3"));
    assert_eq!(line(&mut m, &[0xea, 5, 0, 0, 0, 0, 0x10], 32), None);
    assert_eq!(line(&mut m, &[0x66, 0xea, 5, 0, 0, 0x10], 32), None);
}
