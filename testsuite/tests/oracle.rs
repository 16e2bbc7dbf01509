//! Every encoding that our decoder knows, on the host's own processor and on the interpreter. `testsuite -- oracle` runs more.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

use lucid86_cpu::derived::Engine;
use testsuite::oracle::{Effort, amd, compare, run};

#[test]
fn the_host_agrees() {
    let effort =
        Effort { seed: 11, each: 120, strict: amd(), only: String::new(), lines: 1, widths: [true, true] };
    let report = match run(Engine::Interpreter, &effort) {
        Ok(r) => r,
        Err(e) => {
            println!("skipped: {e}");
            return;
        }
    };
    for line in report.lines.iter().take(20) {
        println!("{line}");
    }
    assert_eq!(report.failed, 0, "of {} cases", report.passed + report.failed);
    for line in report.skipped.iter().filter(|l| l.starts_with("32-bit")) {
        println!("skipped: {line}");
    }
    assert!(report.passed > 140_000, "{} cases", report.passed);
    for w in 0..2 {
        assert!(report.covered[w] * 100 >= report.supported[w] * 90, "{report:?}");
    }
}

/// The list of undefined flags names what iced-x86 calls undefined too, and no more.
#[test]
fn undefined_flags_are_listed() {
    use iced_x86::{Code, EncodingKind, Instruction, RflagsBits as F};
    use lucid86_cpu::state::flag;
    let ours = |f: u32| {
        [
            (F::OF, flag::OF),
            (F::SF, flag::SF),
            (F::ZF, flag::ZF),
            (F::AF, flag::AF),
            (F::CF, flag::CF),
            (F::PF, flag::PF),
        ]
        .iter()
        .filter(|(i, _)| f & i != 0)
        .map(|(_, o)| o)
        .sum::<u64>()
    };
    for (list, flags, place) in compare::UNDEFINED {
        for code in Code::values().filter(|c| list.contains(&c.mnemonic())) {
            if code.op_code().encoding() != EncodingKind::Legacy {
                continue;
            }
            let mut i = Instruction::default();
            i.set_code(code);
            i.set_immediate8(7);
            let undefined = ours(i.rflags_undefined());
            assert_eq!(undefined & !flags, 0, "{code:?}: the list lacks some ({place})");
        }
    }
}
