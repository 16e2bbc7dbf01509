//! Changing what is derived while a machine runs: tests show that the guest can't see it (DESIGN §2).

use super::Machine;

impl Machine {
    /// Another size of the TLB (entries in each table, address spaces at once); it is empty afterwards.
    pub fn resize_tlb(&mut self, entries: usize, spaces: usize) {
        self.derived.tlb.resize(entries, spaces);
    }

    /// Drops the decoded blocks.
    pub fn drop_blocks(&mut self) {
        self.derived.blocks.clear();
    }
}
