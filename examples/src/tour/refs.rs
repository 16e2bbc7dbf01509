//! Addresses of places in the code as constants. The assembler knows where a label is only once everything is assembled, so
//! a part is assembled twice: the second time with the addresses that the first one found. Both have the same length,
//! because an address is always a full-size immediate.

use super::{Code, Part};
use iced_x86::code_asm::{CodeAssembler, CodeLabel};
use iced_x86::{BlockEncoderOptions, IcedError};

/// A place whose address is asked for.
#[derive(Clone, Copy)]
pub struct Spot(usize);

/// The spots of a part, in order.
#[derive(Default)]
pub struct Refs {
    known: Vec<u64>,
    labels: Vec<CodeLabel>,
    names: Vec<(&'static str, CodeLabel)>,
}

impl Refs {
    /// A new spot, to be set later.
    pub fn spot(&mut self, a: &mut CodeAssembler) -> Spot {
        self.labels.push(a.create_label());
        Spot(self.labels.len() - 1)
    }

    /// Puts the spot here.
    pub fn set(&mut self, a: &mut CodeAssembler, s: Spot) -> Result<(), IcedError> {
        a.set_label(&mut self.labels[s.0])
    }

    /// The address of a spot (0 in the first pass).
    pub fn address(&self, s: Spot) -> u32 {
        self.known.get(s.0).map_or(0, |&a| a as u32)
    }

    /// Names a label that has been set, for debuggers.
    pub fn name(&mut self, list: &[(&'static str, CodeLabel)]) {
        self.names.extend_from_slice(list);
    }

    /// The spot as the target of a jump.
    pub fn label(&self, s: Spot) -> CodeLabel {
        self.labels[s.0]
    }
}

/// Assembles what `part` emits, at `base`.
pub fn assemble(base: u64, mut part: impl FnMut(&mut Refs) -> Result<CodeAssembler, IcedError>) -> Code {
    let mut known = Vec::new();
    for pass in 0.. {
        let mut refs = Refs { known, ..Refs::default() };
        let mut a = part(&mut refs)?;
        let block = a.assemble_options(base, BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS)?;
        if pass == 1 {
            let names = refs.names.iter().map(|(n, l)| Ok((*n, block.label_ip(l)?)));
            let names = names.collect::<Result<_, IcedError>>()?;
            return Ok(Part { bytes: block.inner.code_buffer, names });
        }
        known = refs.labels.iter().map(|l| block.label_ip(l)).collect::<Result<_, _>>()?;
    }
    unreachable!("two passes")
}
