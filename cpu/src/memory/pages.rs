//! Room for what frames held: blocks of a few hundred bytes in slabs that are never given back, since a block that was used
//! before costs nothing, while new memory of the host's costs more than the copy (it is mapped and zeroed page by page).

use super::PAGE;
use std::ops::Range;

/// Bytes of a line of a [`Page`]: one bit of a word stands for each of a frame's lines.
const LINE: usize = PAGE as usize / 64;
/// Lines of a block.
const LINES: usize = 8;
/// Blocks that a page takes at most.
const BLOCKS: usize = 64 / LINES;
/// Blocks in a slab: 2 MiB.
const SLAB: usize = 4096;

/// Bytes in a block.
const BLOCK: usize = LINE * LINES;

/// A frame's bytes in [`Pages`], without the lines that are zero: of what a guest has just got or given back most is.
///
/// Deliberately not `Copy`: who drops one without [`Pages::free`] loses its blocks.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Bit n: line n is kept.
    lines: u64,
    /// Where, in order, as many as the lines need.
    blocks: [u32; BLOCKS],
}

impl Page {
    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        self.used() * BLOCK
    }

    fn used(&self) -> usize {
        (self.lines.count_ones() as usize).div_ceil(LINES)
    }
}

/// All pages that are kept.
#[derive(Default)]
pub struct Pages {
    slabs: Vec<Box<[u8]>>,
    /// Blocks that were used and freed, the last one on top: its bytes may still be in the host's cache.
    free: Vec<u32>,
    /// Blocks of the slabs that were ever used.
    used: usize,
}

impl Pages {
    /// Bytes that pages take.
    pub fn held(&self) -> usize {
        (self.used - self.free.len()) * BLOCK
    }

    /// Keeps a frame's bytes.
    pub(super) fn put(&mut self, frame: &[u8; PAGE as usize]) -> Page {
        let (all, _) = frame.as_chunks::<LINE>();
        let lines = all.iter().rev().fold(0, |m, l| m << 1 | u64::from(!is_zero(l)));
        let mut page = Page { lines, blocks: [0; BLOCKS] };
        let mut from = lines;
        for block in 0..page.used() {
            let n = self.take();
            page.blocks[block] = n;
            let (slab, at) = place(n);
            let (to, _) = self.slabs[slab][at].as_chunks_mut::<LINE>();
            if lines == !0 {
                to.copy_from_slice(&all[block * LINES..][..LINES]);
                continue;
            }
            for to in to {
                if from == 0 {
                    break;
                }
                *to = all[from.trailing_zeros() as usize];
                from &= from - 1;
            }
        }
        page
    }

    /// The frame's bytes.
    pub fn bytes(&self, page: &Page) -> [u8; PAGE as usize] {
        let mut to = [0; PAGE as usize];
        let lines = to.as_chunks_mut::<LINE>().0;
        let mut left = page.lines;
        for &n in &page.blocks[..page.used()] {
            let (slab, at) = place(n);
            for from in self.slabs[slab][at].as_chunks::<LINE>().0 {
                if left == 0 {
                    break;
                }
                lines[left.trailing_zeros() as usize] = *from;
                left &= left - 1;
            }
        }
        to
    }

    /// Nobody needs the page any more.
    pub fn free(&mut self, page: Page) {
        self.free.extend(page.blocks[..page.used()].iter().rev());
    }

    fn take(&mut self) -> u32 {
        if let Some(n) = self.free.pop() {
            return n;
        }
        if self.used == self.slabs.len() * SLAB {
            // Zero bytes, so that the host maps what is used when it is used.
            self.slabs.push(vec![0; SLAB * BLOCK].into());
        }
        self.used += 1;
        (self.used - 1) as u32
    }
}

/// The slab of a block and its bytes there.
fn place(n: u32) -> (usize, Range<usize>) {
    let at = n as usize % SLAB * BLOCK;
    (n as usize / SLAB, at..at + BLOCK)
}

fn is_zero(line: &[u8; LINE]) -> bool {
    let (words, _) = line.as_chunks::<8>();
    words.iter().fold(0, |all, w| all | u64::from_ne_bytes(*w)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_take_no_room() {
        let mut pages = Pages::default();
        let mut frame = [0; PAGE as usize];
        let empty = pages.put(&frame);
        assert_eq!((empty.size(), pages.bytes(&empty)), (0, frame));
        (frame[0], frame[130], frame[4095]) = (1, 2, 3);
        let sparse = pages.put(&frame);
        assert_eq!((sparse.size(), pages.bytes(&sparse)), (BLOCK, frame));
        let filled = std::array::from_fn(|i| (i / 7) as u8 | 1);
        let full = pages.put(&filled);
        assert_eq!((full.size(), pages.bytes(&full)), (PAGE as usize, filled));
        assert_eq!(pages.bytes(&sparse), frame);
        assert_eq!(pages.held(), sparse.size() + full.size());
    }

    #[test]
    fn room_given_back_is_used_again() {
        let mut pages = Pages::default();
        for round in 0..1000 {
            let kept: Vec<_> = (0..64).map(|n| pages.put(&[(round + n) as u8 | 1; PAGE as usize])).collect();
            for (n, page) in kept.into_iter().enumerate() {
                assert_eq!(pages.bytes(&page), [(round + n) as u8 | 1; PAGE as usize]);
                pages.free(page);
            }
        }
        assert_eq!((pages.held(), pages.slabs.len()), (0, 1));
    }

    #[test]
    fn each_byte_counts() {
        let mut pages = Pages::default();
        for i in 0..PAGE as usize {
            let mut frame = [0; PAGE as usize];
            frame[i] = 0x80;
            let page = pages.put(&frame);
            assert_eq!((page.size(), pages.bytes(&page)), (BLOCK, frame), "{i}");
            pages.free(page);
        }
    }

    /// Any number of lines, in blocks that hold what others left there.
    #[test]
    fn sparse_pages_come_back_from_used_blocks() {
        let mut pages = Pages::default();
        let full = pages.put(&[0xee; PAGE as usize]);
        pages.free(full);
        for lines in 0..=64 {
            for step in [1, 3, 5] {
                let mut frame = [0; PAGE as usize];
                for n in 0..lines {
                    frame[n * step % 64 * LINE..][..LINE].fill(n as u8 + 1);
                }
                let page = pages.put(&frame);
                assert_eq!(pages.bytes(&page), frame, "{lines} {step}");
                assert_eq!((page.size(), pages.held()), (lines.div_ceil(LINES) * BLOCK, page.size()));
                pages.free(page);
                assert_eq!(pages.held(), 0);
            }
        }
        assert_eq!(pages.used, BLOCKS);
    }

    #[test]
    fn a_full_slab_is_followed_by_another() {
        let mut pages = Pages::default();
        let frame = |n: usize| std::array::from_fn(|i| (n * 31 + i / 64) as u8 | 1);
        let kept: Vec<_> = (0..2 * SLAB / BLOCKS + 1).map(|n| pages.put(&frame(n))).collect();
        assert_eq!((pages.slabs.len(), pages.held()), (3, kept.len() * PAGE as usize));
        for (n, page) in kept.iter().enumerate() {
            assert!(pages.bytes(page) == frame(n), "{n}");
        }
    }
}
