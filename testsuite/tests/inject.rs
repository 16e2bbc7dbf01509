//! Each access of each instruction made to fault, on the interpreter. `testsuite -- inject` runs more.

use lucid86_cpu::derived::Engine;
use testsuite::inject::{Effort, run};

#[test]
fn a_fault_changes_nothing() {
    let effort = Effort { engine: Engine::Interpreter, seed: 5, each: 30, only: String::new(), lines: 10 };
    let report = run(&effort).expect("a rig");
    for line in &report.lines {
        println!("{line}");
    }
    assert_eq!(report.failed, 0);
    assert!(report.struck > 20_000, "{} runs", report.struck);
}

#[test]
fn a_fault_changes_nothing_in_translated_code() {
    let effort = Effort { engine: Engine::Translator, seed: 6, each: 4, only: String::new(), lines: 10 };
    let report = run(&effort).expect("a rig");
    for line in &report.lines {
        println!("{line}");
    }
    assert_eq!(report.failed, 0);
}
