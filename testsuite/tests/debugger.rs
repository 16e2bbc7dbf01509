//! The debugger on real guests: a store by DMA is named as such, Linux's own symbols and unwind tables are found in its
//! memory, and the way back leads to its first instructions. Needs Debian's cloud kernel for Linux; skipped, saying so, where
//! that can't be fetched.

use lucid86_machine::config::ClockKind;
use lucid86_machine::debug::{By, Bytes, Goal, Hit, Kind, Why};
use lucid86_machine::{Config, Machine, NoIo, View};
use testsuite::guests::fetch::Cache;
use testsuite::guests::list::shell;

#[test]
fn the_boot_sector_comes_by_dma() {
    // The BIOS reads the floppy's first sector to 7C00h by the 8237 (INT 19h; 82077 with DMA).
    let c = Config {
        memory: 16 << 20,
        clock: ClockKind::Virtual,
        built_in_floppy: Some(lucid86_examples::tour::floppy_image()),
        ..Config::default()
    };
    let mut m = Machine::new(c).expect("a machine");
    let bytes = Bytes { at: 0x7c00, len: 2, physical: false, read: false, write: true };
    let id = m.debugger().add(Kind::Data { bytes, change: true }).expect("a point");
    // POST may clear memory before: only the sector's own first byte, a jump, counts.
    for _ in 0..10 {
        let s = m.debug_run(&mut NoIo, Goal::Time(2_000_000_000));
        assert_eq!(s.why, Why::Points(vec![id]));
        let mut now = [0];
        m.peek(0, 0x7c00, &mut now);
        if now == [0xea] {
            assert!(s.hits.iter().any(|h| matches!(h, Hit::Data { by: By::Bus, .. })), "{:?}", s.hits);
            return;
        }
    }
    panic!("the sector never came");
}

#[test]
fn linux_tells_its_names_and_its_callers() {
    let config = match Cache::open().and_then(|c| shell(&c)) {
        Ok(c) => Config { clock: ClockKind::Virtual, ..c },
        Err(e) => {
            eprintln!("skipped: {e}");
            return;
        }
    };
    let mut m = Machine::new(config).expect("a machine");
    m.keep_history(512 << 20);
    m.debug_run(&mut NoIo, Goal::Time(1_200_000_000));
    let present = (m.count(), m.state_hash());
    let names = m.load_linux_symbols().expect("kallsyms");
    assert!(names > 50_000, "{names}");
    let at = |m: &mut Machine, name: &str| m.evaluate(0, name).unwrap_or_else(|e| panic!("{e}"));
    // Back to the kernel's first C function. Before it no syscall was made.
    let start = at(&mut m, "start_kernel");
    let id = m.debugger().add(Kind::Code { at: start, physical: false }).expect("a point");
    let s = m.reverse_continue(&mut NoIo);
    assert_eq!((s.why, m.pc(0)), (Why::Points(vec![id]), start));
    m.debugger().remove(id);
    // Forward to the first page fault that user code raises; its trace leads from the kernel's entry to user code.
    let fault = at(&mut m, "exc_page_fault");
    let id = m.debugger().add(Kind::Code { at: fault, physical: false }).expect("a point");
    let user_cs =
        lucid86_machine::debug::expr::Expr::parse("(qword[rdi+0x88] & 3) == 3").expect("an expression");
    m.debugger().point(id).expect("the point").condition = Some(user_cs);
    let s = m.debug_run(&mut NoIo, Goal::Continue);
    if s.why == Why::Points(vec![id]) {
        let trace = m.backtrace(0, 20);
        assert!(trace.last().is_some_and(|f| f.pc < 1 << 47), "{}", m.backtrace_text(0, 20));
        assert!(m.backtrace_text(0, 20).contains("asm_exc_page_fault"), "{}", m.backtrace_text(0, 20));
    } else {
        assert_eq!(s.why, Why::Present, "no user code yet");
    }
    m.debugger().remove(id);
    // The last writer of jiffies is the tick.
    m.go_to(&mut NoIo, present.0);
    let jiffies = at(&mut m, "jiffies");
    let bytes = Bytes { at: jiffies, len: 8, physical: false, read: false, write: true };
    m.debugger().add(Kind::Data { bytes, change: true }).expect("a point");
    let s = m.reverse_continue(&mut NoIo);
    assert!(matches!(s.why, Why::Points(_)), "{:?}", s.why);
    let writer = m.symbol_text(m.pc(0)).unwrap_or_default();
    assert!(writer.contains("tick_") || writer.contains("do_timer"), "{writer}");
    m.debugger().remove_where(|_| true);
    m.go_to(&mut NoIo, present.0);
    assert_eq!((m.count(), m.state_hash()), present);
}

#[test]
fn a_panic_is_noticed() {
    let mut config = match Cache::open().and_then(|c| shell(&c)) {
        Ok(c) => Config { clock: ClockKind::Virtual, ..c },
        Err(e) => {
            eprintln!("skipped: {e}");
            return;
        }
    };
    // init/main.c: "Requested init %s failed (error %d)."
    config.append = Some("console=ttyS0,115200 rdinit=/nothing init=/nothing panic=-1".into());
    let mut m = Machine::new(config).expect("a machine");
    m.look_out(true);
    let s = m.debug_run(&mut NoIo, Goal::Time(5_000_000_000));
    assert!(matches!(&s.why, Why::Trouble(t) if t.contains("panics: ")), "{:?}", s.why);
    println!("{:?}\n{}", s.why, m.backtrace_text(0, 20));
}
