//! Where code segments begin, as numbers: part of what an address space is called in the jump cache, where code isn't flat.

use crate::helper::segment::{REAL_ATTR, V86_ATTR};
use crate::insn::ModeKey;
use crate::state::Segment;

/// Set in a number of [`Bases`] whose low 16 bits are CS's selector.
pub const PLAIN_BASE: u32 = 1 << 30;

/// Numbers for pairs of mode and code segment base, for the jump cache. Of segments as real and V86 mode make them (the base
/// is 16 times the selector, the limit 64 KiB) the selector is part of the number: translated code goes from one to
/// another by itself.
#[derive(Default)]
pub struct Bases {
    /// Real and V86 modes: their places are their numbers.
    modes: Vec<u32>,
    last: Option<((u32, u64), u32)>,
    known: std::collections::HashMap<(u32, u64), u32>,
    next: u32,
}

impl Bases {
    /// Modes numbered at most.
    const MODES: usize = 64;
    /// Pairs remembered at most.
    const MOST: usize = 1 << 14;

    /// The pair's number, below 2^31; `None` once when numbers run out.
    pub(super) fn id(&mut self, key: ModeKey, cs: &Segment) -> Option<u32> {
        let own = match (key.real(), key.v86()) {
            (true, _) => Some(REAL_ATTR),
            (_, true) => Some(V86_ATTR),
            _ => None,
        };
        let plain = own == Some(cs.attr) && cs.limit == 0xffff && cs.base == u64::from(cs.selector) << 4;
        if plain && let Some(mode) = self.mode(key) {
            return Some(PLAIN_BASE | mode << 16 | u32::from(cs.selector));
        }
        let pair = (key.0, cs.base);
        if let Some((p, id)) = self.last
            && p == pair
        {
            return Some(id);
        }
        if self.known.len() > Self::MOST {
            self.known.clear();
        }
        let next = &mut self.next;
        let id = *self.known.entry(pair).or_insert_with(|| {
            *next += 1;
            *next
        });
        if id & PLAIN_BASE != 0 {
            *self = Bases::default();
            return None;
        }
        self.last = Some((pair, id));
        Some(id)
    }

    /// The number of a real or V86 mode, if there is one left.
    fn mode(&mut self, key: ModeKey) -> Option<u32> {
        let known = self.modes.iter().position(|k| *k == key.0);
        let n = known.unwrap_or(self.modes.len());
        if known.is_none() {
            if n == Bases::MODES {
                return None;
            }
            self.modes.push(key.0);
        }
        Some(n as u32)
    }
}
