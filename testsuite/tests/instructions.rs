//! `docs/instructions.md` says what the decoder does.

#[test]
fn the_page_is_current() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/instructions.md");
    let text = std::fs::read_to_string(path).expect("docs/instructions.md");
    let made = testsuite::instructions::page();
    let line = text.lines().zip(made.lines()).find(|(a, b)| a != b);
    assert_eq!(line, None, "make it again: testsuite -- instructions > docs/instructions.md");
    assert_eq!(text.lines().count(), made.lines().count());
}

/// What the levels of x86-64 are made of, from the psABI (section 3.1.1), and the processors' own manuals.
#[test]
fn some_rows_are_as_the_manuals_have_them() {
    let page = testsuite::instructions::page();
    for row in [
        "| add | 8086 |",
        "| aaa | 8086 |",
        "| enter | 286 |",
        "| lmsw | 286 |",
        "| bswap | 486 |",
        "| movzx | 386 |",
        "| cmpxchg8b | pentium |",
        "| emms | pentium-mmx |",
        "| addps | pentium3 |",
        "| addpd | core2 |",
        "| syscall | core2 |",
        "| pshufb | core2 |",
        "| pcmpistri | x86-64-v2 |",
        "| popcnt | x86-64-v2 |",
        "| aesenc | +aes |",
        "| sha1msg1 | +sha |",
        "| xsave | +xsave |",
        "| finit | 8086 |",
        "| vaddps | no |",
        "| vmlaunch | no |",
    ] {
        assert!(page.contains(&format!("{row}\n")), "{row}");
    }
}
