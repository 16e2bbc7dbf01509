//! What frames held before they were stored to: for snapshots that copy nothing until it changes.

use super::{Memory, PAGE, Page};
use std::time::{Duration, Instant};

/// Who wants to have a frame before it changes, and what was kept.
#[derive(Default)]
pub(super) struct Keep {
    /// Frames that are first stored to in an epoch go to `stored`.
    listing: bool,
    stored: Vec<u32>,
    wanted: Vec<bool>,
    kept: Vec<(u32, Page)>,
    cost: Duration,
}

/// What a store that finds its page closed costs, about, besides the copy.
const CLOSED: Duration = Duration::from_nanos(300);
/// A copy that seems to take longer was interrupted.
const LONGEST_COPY: Duration = Duration::from_micros(50);

impl Memory {
    /// Lists frames that are stored to from the next dirty epoch on.
    pub fn list_stores(&mut self) {
        self.keep.listing = true;
    }

    /// The frames listed since last taken, ascending, each once.
    pub fn take_stored(&mut self) -> Vec<u32> {
        let mut all = std::mem::take(&mut self.keep.stored);
        all.sort_unstable();
        all.dedup();
        all
    }

    /// What the frame holds will be kept when it is next stored to. Counts from the next dirty epoch on.
    pub fn keep_before_store(&mut self, frame: u32) {
        let k = &mut self.keep;
        if k.wanted.is_empty() {
            k.wanted.resize(self.marks.len(), false);
        }
        k.wanted[frame as usize] = true;
    }

    /// Takes what was kept, each frame once, and how long keeping it took, about.
    pub fn take_kept(&mut self) -> (Vec<(u32, Page)>, Duration) {
        (std::mem::take(&mut self.keep.kept), std::mem::take(&mut self.keep.cost))
    }

    /// The frame is about to be stored to for the first time in this epoch.
    #[cold]
    pub(super) fn first_store(&mut self, frame: u32) {
        self.dirty[frame as usize] = self.epoch;
        let k = &mut self.keep;
        if k.listing {
            k.stored.push(frame);
            // Many epochs without anyone who takes the list.
            if k.stored.len() > 2 * self.dirty.len() {
                k.stored.sort_unstable();
                k.stored.dedup();
            }
        }
        if !k.wanted.get(frame as usize).is_some_and(|w| *w) {
            return;
        }
        let began = Instant::now();
        k.wanted[frame as usize] = false;
        let mut bytes = [0; PAGE as usize];
        self.ram.copy_out(frame as usize * PAGE as usize, &mut bytes);
        let page = self.pages.put(&bytes);
        k.kept.push((frame, page));
        k.cost += began.elapsed().min(LONGEST_COPY) + CLOSED;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_kept_once() {
        let mut m = Memory::new(4 * PAGE as usize, 4).expect("memory");
        m.store(1, 0, &[7]);
        m.list_stores();
        m.keep_before_store(1);
        m.keep_before_store(2);
        m.next_epoch();
        m.store(1, 0, &[8]);
        m.store(1, 1, &[9]);
        assert!(m.fast_write_ok(3));
        let (kept, cost) = m.take_kept();
        let kept: Vec<_> =
            kept.into_iter().map(|(f, p)| (f, m.pages.bytes(&p)[0], m.pages.bytes(&p)[1])).collect();
        assert_eq!(kept, [(1, 7, 0)]);
        assert!(cost >= CLOSED);
        m.next_epoch();
        assert!(m.fast_write_ok(2));
        assert_eq!(m.take_kept().0.len(), 1);
        m.next_epoch();
        m.store(1, 0, &[1]);
        assert!(m.take_kept().0.is_empty());
        assert_eq!(m.take_stored(), [1, 2, 3]);
        assert!(m.take_stored().is_empty());
    }
}
