//! State derived from guest state: TLB and decoded blocks. Never saved, can't be seen by the guest; dropping it at any
//! moment changes nothing but speed (DESIGN §2).

/// One machine's derived state, shared by its processors.
#[derive(Default)]
pub struct Derived {}
