//! Exceptions on their way, as they are told in logs and reports. The report itself is [`crate::debug::post_mortem`].

use lucid86_cpu::fault::vector;
use lucid86_cpu::{Fault, Vector};

/// An exception on its way to its handler.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    /// Which, with its error code.
    pub fault: Fault,
    /// Where: CS, instruction pointer, privilege level.
    pub cs: u16,
    #[allow(missing_docs)]
    pub rip: u64,
    #[allow(missing_docs)]
    pub cpl: u8,
    /// CR2, for page faults.
    pub cr2: u64,
}

impl std::fmt::Display for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", name(self.fault.vector))?;
        if let Some(code) = self.fault.code {
            write!(f, "({code:#x})")?;
        }
        if self.fault.vector == vector::PF {
            write!(f, " on {:#x}", self.cr2)?;
        }
        write!(f, " at {:04x}:{:x} in ring {}", self.cs, self.rip, self.cpl)
    }
}

/// An exception's name as the manuals write it.
fn name(v: Vector) -> String {
    const NAMES: [&str; 20] = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#CSO", "#TS", "#NP", "#SS", "#GP",
        "#PF", "#15", "#MF", "#AC", "#MC", "#XM",
    ];
    NAMES.get(usize::from(v)).map_or_else(|| format!("INT {v:02X}h"), |n| (*n).to_string())
}
