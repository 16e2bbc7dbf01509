//! From a segment and an offset to bytes: segment checks, page walks, the TLB, loads and stores.
//!
//! Follows Intel SDM volume 3, chapters 3 (segmentation), 4 (paging) and 5 (protection). The TLB is coherent (see
//! [`tlb`]), so nothing here depends on INVLPG or CR3 loads. Tested in `cpu/tests/walker.rs`.

pub(crate) mod access;
mod breakpoint;
mod segment;
pub mod space;
pub(crate) mod table;
pub mod tlb;
mod upper;
mod walked;

pub use access::WriteHandle;
pub(crate) use access::own_view;
pub(crate) use breakpoint::armed as armed_breakpoint;
pub use segment::is_canonical;
pub(crate) use segment::{allows as segment_allows, is_286_real, wrapping_address};
pub use space::{Paging, Space};
pub use tlb::Tlb;

/// What an instruction does with bytes. A read-modify-write is a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Load.
    Read,
    /// Store, or load and store.
    Write,
    /// Instruction fetch.
    Execute,
}

/// With whose rights an access is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum View {
    /// CPL 3.
    User = 0,
    /// Supervisor under SMAP's rule where CR4.SMAP is set: descriptor tables, TSS, and explicit accesses with AC clear.
    Supervisor = 1,
    /// Supervisor with AC set, which lifts SMAP.
    SupervisorAc = 2,
}
