//! The lockstep tool on the built-in tour: two ways of running it are the same, and a difference is found where it arises.

use lucid86_machine::Config;
use lucid86_machine::config::Engine;
use testsuite::lockstep::{Plan, Verdict, Way, run};

/// The tour, driven by a script from page to page.
fn tour() -> Config {
    Config {
        memory: 16 << 20,
        built_in_floppy: Some(lucid86_examples::tour::floppy_image()),
        script_text: Some(
            "wait 2s\nkey enter\nwait 1s\nkey enter\nwait 1s\nkey enter\nwait 1s\nquit\n".into(),
        ),
        ..Config::default()
    }
}

fn plan(ways: [Way; 2], every: u64, limit: u64) -> Plan {
    Plan { config: tour(), ways, every, limit, until: None, narrow: true }
}

#[test]
fn dropping_what_is_derived_changes_nothing() {
    let plain = Way::engine(Engine::Interpreter);
    let ways = [plain, Way { vary: Some(3), ..plain }];
    match run(&plan(ways, 1 << 18, 1 << 26)).expect("the machine is built") {
        Verdict::Same(n, _) => assert!(n > 1 << 20, "{n} instructions"),
        Verdict::Differ(text) => panic!("{text}"),
    }
}

#[test]
fn a_difference_is_found_where_it_arises() {
    let plain = Way::engine(Engine::Interpreter);
    let at = 1_234_567;
    let ways = [plain, Way { disturb: Some(at), ..plain }];
    match run(&plan(ways, 100_000, 2_000_000)).expect("the machine is built") {
        Verdict::Same(..) => panic!("nothing was found"),
        Verdict::Differ(text) => {
            assert!(text.contains(&format!("first difference: instruction {at},")), "{text}");
            assert!(text.contains("memory 5ff:"), "{text}");
        }
    }
}
