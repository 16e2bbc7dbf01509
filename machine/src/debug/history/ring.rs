//! Which snapshots are kept. Spacing is exponential: what goes first is what leaves the smallest gap for its distance from
//! where it matters, the present, or for those of a way through the past, the place that it has come to.

use super::{Frames, History, Snapshot};
use lucid86_cpu::memory::{Page, Pages};
use std::time::Duration;

/// Most snapshots.
const MOST: usize = 256;
/// Most of them left by ways through the past.
const MOST_PASSING: usize = 48;
/// Bytes of a snapshot without its frames, about.
const STATE: usize = 32 << 10;
/// Even with room left a snapshot goes when the gap that it leaves is as short as this part of its distance from the
/// present: what it held serves for new ones, where new memory would be dear.
const DENSITY: u32 = 4;
/// But not when the gap is longer than this.
const WIDEST: Duration = Duration::from_millis(700);

impl History {
    fn bytes(&self, pages: &Pages) -> usize {
        let frames: usize = self.snapshots.iter().map(|s| s.frames.len()).sum();
        pages.held() + frames * size_of::<(u32, Option<Page>)>() + self.snapshots.len() * STATE
    }

    /// Drops snapshots while there are too many or they and what `logs` needs are too much.
    pub(super) fn thin(&mut self, pages: &mut Pages, logs: usize) {
        while let Some(i) = self.too_dense() {
            self.drop_one(pages, i);
        }
        loop {
            let passing = self.snapshots.iter().filter(|s| s.passing).count();
            let full = self.snapshots.len() > MOST || self.bytes(pages).saturating_add(logs) > self.limit;
            if passing > MOST_PASSING || full && passing > 2 {
                let here = self.snapshots[self.base].at.count;
                let Some(i) = self.smallest_gap(here, |s| s.passing) else { return };
                self.drop_one(pages, i);
            } else if full && self.snapshots.len() > 3 {
                let now = self.snapshots.last().map_or(0, |s| s.at.count);
                match self.smallest_gap(now, |s| s.name.is_none() && !s.poked) {
                    // Logs go only with the beginning.
                    Some(i) if logs <= self.limit / 2 => self.drop_one(pages, i),
                    _ if self.base > 0 => {
                        self.drop_one(pages, 0);
                        if logs > self.limit / 2 {
                            return;
                        }
                    }
                    _ => return,
                }
            } else {
                return;
            }
        }
    }

    /// The snapshot between the first and the last, not the base, that leaves the smallest gap for its distance from `to`.
    fn smallest_gap(&self, to: u64, may_go: impl Fn(&Snapshot) -> bool) -> Option<usize> {
        let all = &self.snapshots;
        (1..all.len().saturating_sub(1)).filter(|&i| i != self.base && may_go(&all[i])).min_by_key(|&i| {
            let gap = all[i + 1].at.count - all[i - 1].at.count;
            (u128::from(gap) << 32) / u128::from(to.abs_diff(all[i].at.count).max(1))
        })
    }

    /// A snapshot that stands closer to its neighbours than its distance from the present calls for.
    fn too_dense(&self) -> Option<usize> {
        let now = self.snapshots.last()?.taken;
        let triples = self.snapshots.windows(3).enumerate();
        let dense = triples.filter(|(i, s)| {
            let (before, it, after) = (&s[0], &s[1], &s[2]);
            let gap = after.taken.saturating_sub(before.taken);
            let far = now.saturating_sub(it.taken);
            let live = !s.iter().any(|s| s.passing) && before.taken < it.taken && it.taken < after.taken;
            live && it.name.is_none()
                && !it.poked
                && i + 1 != self.base
                && gap * DENSITY <= far
                && gap <= WIDEST
        });
        dense.map(|(i, _)| i + 1).next()
    }

    /// Drops a snapshot that another one follows: what it alone holds goes to that one.
    fn drop_one(&mut self, pages: &mut Pages, index: usize) {
        let gone = self.snapshots.remove(index);
        let next = &mut self.snapshots[index];
        for (f, page) in &gone.frames {
            // Its bytes haven't changed up to the next snapshot, nor since.
            if page.is_none() && self.owners[*f as usize] == gone.id {
                self.owners[*f as usize] = next.id;
            }
        }
        let newer = std::mem::take(&mut next.frames);
        next.frames = merged(gone.frames, newer, |page| pages.free(page));
        self.base -= usize::from(self.base > index);
    }
}

/// `older` and `newer` as one: where both have a frame the newer one counts, and the older one is `spare`.
fn merged(older: Frames, newer: Frames, mut spare: impl FnMut(Page)) -> Frames {
    let mut out = Vec::with_capacity(older.len() + newer.len());
    let mut old = older.into_iter().peekable();
    for (frame, page) in newer {
        while let Some(o) = old.next_if(|o| o.0 < frame) {
            out.push(o);
        }
        old.next_if(|o| o.0 == frame).and_then(|o| o.1).into_iter().for_each(&mut spare);
        out.push((frame, page));
    }
    out.extend(old);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use lucid86_cpu::Memory;

    #[test]
    fn the_newer_bytes_count() {
        let mut m = Memory::new(1, 1).expect("memory");
        let mut page = |v: u8| {
            m.store(0, 0, &[v]);
            m.keep_before_store(0);
            m.next_epoch();
            m.store(0, 0, &[0]);
            m.take_kept().0.pop().map(|k| k.1)
        };
        let older = vec![(5, page(1)), (7, page(2)), (9, None)];
        let newer = vec![(6, None), (7, page(4))];
        let mut spare = Vec::new();
        let all = merged(older, newer, |p| spare.push(m.pages.bytes(&p)[0]));
        let all: Vec<_> = all.iter().map(|(f, p)| (*f, p.as_ref().map(|p| m.pages.bytes(p)[0]))).collect();
        assert_eq!(all, [(5, Some(1)), (6, None), (7, Some(4)), (9, None)]);
        assert_eq!(spare, [2]);
    }
}
