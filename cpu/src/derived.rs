//! State derived from guest state: TLB and decoded blocks. Never saved, can't be seen by the guest; dropping it at any
//! moment changes nothing but speed (DESIGN §2).

use crate::interp::blocks::Blocks;
use crate::memory::Touch;
use crate::mmu::Tlb;

/// One machine's derived state, shared by its processors.
#[derive(Default)]
pub struct Derived {
    /// Address translations.
    pub tlb: Tlb,
    /// Decoded blocks. The engine takes them out while it runs.
    pub blocks: Blocks,
    /// The board was called: interrupt line and end of slice must be looked at before the next instruction.
    pub attention: bool,
    /// Stores to frames with decoded code that the engine has yet to look at.
    pub code_touched: Vec<Touch>,
    /// A buffer that goes round, so that page-table stores allocate nothing.
    pub(crate) touch_buffer: Vec<Touch>,
}
