//! What frames held before they were stored to: for snapshots that copy nothing until it changes.

use super::{Memory, PAGE};

/// A frame's bytes.
pub type Page = Box<[u8; PAGE as usize]>;

/// Who wants to have a frame before it changes, and what was kept.
#[derive(Default)]
pub(super) struct Keep {
    wanted: Vec<bool>,
    kept: Vec<(u32, Page)>,
    spare: Vec<Page>,
}

/// Most empty pages held for the next to be kept.
const MOST_SPARE: usize = 4096;

impl Memory {
    /// What the frame holds will be kept when it is next stored to. Counts from the next dirty epoch on.
    pub fn keep_before_store(&mut self, frame: u32) {
        let k = &mut self.keep;
        if k.wanted.is_empty() {
            k.wanted.resize(self.marks.len(), false);
        }
        k.wanted[frame as usize] = true;
    }

    /// Takes what was kept, each frame once.
    pub fn take_kept(&mut self) -> Vec<(u32, Page)> {
        std::mem::take(&mut self.keep.kept)
    }

    /// Gives a page back that nobody needs any more.
    pub fn give_spare(&mut self, page: Page) {
        if self.keep.spare.len() < MOST_SPARE {
            self.keep.spare.push(page);
        }
    }

    /// The frame is about to be stored to for the first time in this epoch.
    #[cold]
    pub(super) fn first_store(&mut self, frame: u32) {
        self.dirty[frame as usize] = self.epoch;
        if !self.keep.wanted.get(frame as usize).is_some_and(|w| *w) {
            return;
        }
        self.keep.wanted[frame as usize] = false;
        let mut page = self.keep.spare.pop().unwrap_or_else(|| Box::new([0; PAGE as usize]));
        self.ram.copy_out(frame as usize * PAGE as usize, &mut page[..]);
        self.keep.kept.push((frame, page));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_is_kept_once() {
        let mut m = Memory::new(4 * PAGE as usize, 4).expect("memory");
        m.store(1, 0, &[7]);
        m.keep_before_store(1);
        m.keep_before_store(2);
        m.next_epoch();
        m.store(1, 0, &[8]);
        m.store(1, 1, &[9]);
        assert!(m.fast_write_ok(3));
        let kept: Vec<_> = m.take_kept().into_iter().map(|(f, p)| (f, p[0], p[1])).collect();
        assert_eq!(kept, [(1, 7, 0)]);
        m.next_epoch();
        assert!(m.fast_write_ok(2));
        assert_eq!(m.take_kept().len(), 1);
        m.next_epoch();
        m.store(1, 0, &[1]);
        assert!(m.take_kept().is_empty());
    }
}
