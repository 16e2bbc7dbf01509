//! Rules of the house that no compiler checks: which crate may use which, where `unsafe` may stand, how large a file may be.
//! What is expected here is what ARCHITECTURE.md says.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the suite lies in the workspace").to_owned()
}

/// Our own crates that the manifest in `folder` depends on.
fn dependencies(folder: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("a manifest");
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.starts_with('[') {
            inside = line.contains("dependencies");
        } else if inside
            && let Some(name) = line.split(['.', ' ', '=']).next().and_then(|n| n.strip_prefix("lucid86-"))
        {
            found.push(name.to_owned());
        }
    }
    found
}

#[test]
fn dependencies_point_downwards() {
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("cpu", &[][..]),
        ("devices", &[]),
        ("bios", &[]),
        ("examples", &[]),
        ("machine", &["cpu", "devices", "bios"]),
        ("frontend", &["machine", "examples"]),
    ]);
    for (folder, may) in allowed {
        for d in dependencies(folder) {
            assert!(may.contains(&d.as_str()), "{folder} must not depend on {d}");
        }
    }
}

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for e in std::fs::read_dir(dir).expect("a folder").flatten() {
        let p = e.path();
        let name = e.file_name();
        if p.is_dir() && name != "target" && !name.to_string_lossy().starts_with('.') {
            sources(&p, out);
        } else if p.extension().is_some_and(|x| x == "rs") {
            out.push(p);
        }
    }
}

#[test]
fn unsafe_code_lives_in_named_modules() {
    // Guest RAM, the TLB's tables, the host's own floating-point and vector units, the translator, the tap interface.
    let named = [
        "cpu/src/memory/ram.rs",
        "cpu/src/mmu/table.rs",
        "cpu/src/fpu/host.rs",
        "cpu/src/simd/host.rs",
        "cpu/src/simd/host_int.rs",
        "cpu/src/jit/mod.rs",
        "cpu/src/jit/host.rs",
        "cpu/src/jit/memory.rs",
        "cpu/src/jit/runtime.rs",
        "machine/src/net/tap.rs",
        "testsuite/src/oracle/native.rs",
    ];
    let mut files = Vec::new();
    sources(&root(), &mut files);
    assert!(files.len() > 100, "the sources were found");
    let lift = concat!("allow(", "unsafe_code)");
    for f in files {
        let text = std::fs::read_to_string(&f).expect("a source file");
        let place = f.strip_prefix(root()).expect("below the root").to_string_lossy().replace('\\', "/");
        if text.contains(lift) {
            assert!(named.contains(&place.as_str()), "{place} lifts the ban on unsafe code");
        }
    }
}

#[test]
fn files_stay_readable() {
    let mut files = Vec::new();
    sources(&root(), &mut files);
    for f in files {
        let lines = std::fs::read_to_string(&f).expect("a source file").lines().count();
        assert!(lines <= 900, "{} has {lines} lines: split it by concern", f.display());
    }
}

/// `cpu` and `devices` meet in `machine` only; chips hold no handle, lock, channel or clock.
#[test]
fn chips_hold_no_handles() {
    let mut files = Vec::new();
    sources(&root().join("devices/src"), &mut files);
    for f in files {
        let text = std::fs::read_to_string(&f).expect("a source file");
        for word in [
            "Rc<",
            "Arc<",
            "RefCell<",
            "Mutex<",
            "Sender<",
            "Receiver<",
            "Box<dyn Fn",
            "Instant::now",
            "SystemTime",
        ] {
            assert!(!text.contains(word), "{} has {word}", f.display());
        }
    }
}
