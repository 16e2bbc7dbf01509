//! The undo log of a medium (DESIGN §5): what blocks held before they were written, so that a machine can go back in time
//! while the file always holds what the guest wrote last. A machine in the past reads through the log and writes to a
//! private layer; only going on from the past rolls the file back.

use super::{Image, Overlay, Written};
use lucid86_devices::Medium;
use std::collections::HashSet;
use std::io;

const BLOCK: u64 = 4096;

/// A moment of a medium.
#[derive(Clone, Debug, Default)]
pub struct Mark {
    /// A place in the log.
    position: usize,
    written: Written,
    /// Blocks written since that place: the moment was marked while the past was gone through again.
    private: Overlay,
}

impl Mark {
    /// The place in the log that it needs.
    pub(crate) fn position(&self) -> usize {
        self.position
    }
}

/// What a medium looked like, as far as it was written since.
#[derive(Default)]
pub(super) struct Journal {
    /// Blocks before they were written: offset and bytes.
    entries: std::collections::VecDeque<(u64, Vec<u8>)>,
    dropped: usize,
    /// Blocks kept since the last mark.
    kept: HashSet<u64>,
    past: Option<Past>,
}

struct Past {
    mark: Mark,
    /// What the blocks held at the mark.
    view: Overlay,
    /// Blocks written since, in the past.
    private: Overlay,
    /// The written sectors of the present.
    present: Written,
}

impl Image {
    /// Keeps an undo log from now on.
    pub(crate) fn start_journal(&mut self) {
        self.journal.get_or_insert_default();
    }

    /// The present moment.
    pub(crate) fn mark(&mut self) -> Mark {
        let written = self.written.clone();
        match &mut self.journal {
            Some(Journal { past: Some(p), .. }) => {
                Mark { position: p.mark.position, written, private: p.private.clone() }
            }
            Some(j) => {
                j.kept.clear();
                Mark { position: j.dropped + j.entries.len(), written, private: Overlay::default() }
            }
            None => Mark::default(),
        }
    }

    /// Drops what only places before `mark` need.
    pub(crate) fn forget_before(&mut self, mark: &Mark) {
        if let Some(j) = &mut self.journal {
            while j.dropped < mark.position && j.entries.pop_front().is_some() {
                j.dropped += 1;
            }
        }
    }

    /// Bytes that the log takes.
    pub(crate) fn journal_bytes(&self) -> usize {
        self.journal.as_ref().map_or(0, |j| j.entries.len() * BLOCK as usize)
    }

    /// Looks as it did at `mark`.
    pub(crate) fn go_back(&mut self, mark: &Mark) -> io::Result<()> {
        let Some(mut j) = self.journal.take() else { return Ok(()) };
        let present = match j.past.take() {
            Some(p) => p.present,
            None => std::mem::take(&mut self.written),
        };
        let first = mark.position.saturating_sub(j.dropped);
        let mut view = Overlay::default();
        for (offset, bytes) in j.entries.range(first..).rev() {
            view.write(*offset, bytes, |_, to| {
                to.fill(0);
                Ok(())
            })?;
        }
        self.written = mark.written.clone();
        j.past = Some(Past { view, private: mark.private.clone(), mark: mark.clone(), present });
        self.journal = Some(j);
        Ok(())
    }

    /// Looks as it does at present again.
    pub(crate) fn return_to_present(&mut self) {
        if let Some(p) = self.journal.as_mut().and_then(|j| j.past.take()) {
            self.written = p.present;
        }
    }

    /// Makes what it looks like now the present.
    pub(crate) fn cut_future(&mut self) -> io::Result<()> {
        let Some(p) = self.journal.as_mut().and_then(|j| j.past.take()) else { return Ok(()) };
        let journal = self.journal.take();
        let len = self.len;
        let clip = |offset: u64, n: usize| len.saturating_sub(offset).min(n as u64) as usize;
        for (offset, bytes) in p.view.blocks() {
            self.write_through(offset, &bytes[..clip(offset, bytes.len())])?;
        }
        self.journal = journal;
        if let Some(j) = &mut self.journal {
            j.entries.truncate(p.mark.position.saturating_sub(j.dropped));
            j.kept.clear();
        }
        let written = self.written.clone();
        for (offset, bytes) in p.private.blocks() {
            let bytes = &bytes[..clip(offset, bytes.len())];
            self.keep_old(offset, bytes.len())?;
            self.write_through(offset, bytes)?;
        }
        self.written = written;
        Ok(())
    }

    /// Notes what the blocks of a write hold.
    pub(super) fn keep_old(&mut self, offset: u64, n: usize) -> io::Result<()> {
        let Some(mut j) = self.journal.take() else { return Ok(()) };
        let mut failed = Ok(());
        if n > 0 {
            for block in offset / BLOCK..=(offset + n as u64 - 1) / BLOCK {
                if j.kept.contains(&block) {
                    continue;
                }
                let at = block * BLOCK;
                let mut bytes = vec![0; self.len.saturating_sub(at).min(BLOCK) as usize];
                match self.read(at, &mut bytes) {
                    Ok(()) => {
                        j.kept.insert(block);
                        j.entries.push_back((at, bytes));
                    }
                    Err(e) => failed = Err(e),
                }
            }
        }
        self.journal = Some(j);
        failed
    }

    /// A read in the past. `None` at present.
    pub(super) fn read_past(&mut self, offset: u64, to: &mut [u8]) -> Option<io::Result<()>> {
        self.journal.as_ref()?.past.as_ref()?;
        let j = self.journal.take()?;
        let p = j.past.as_ref()?;
        let done = p.private.read(offset, to, |o, t| p.view.read(o, t, |o, t| self.read_present(o, t)));
        self.journal = Some(j);
        Some(done)
    }

    /// A write in the past. `None` at present.
    pub(super) fn write_past(&mut self, offset: u64, from: &[u8]) -> Option<io::Result<()>> {
        self.journal.as_ref()?.past.as_ref()?;
        let mut j = self.journal.take()?;
        let len = self.len;
        let done = match &mut j.past {
            Some(p) => {
                let Past { view, private, .. } = p;
                private.write(offset, from, |o, t| {
                    let there = len.saturating_sub(o).min(t.len() as u64) as usize;
                    t[there..].fill(0);
                    view.read(o, &mut t[..there], |o, t| self.read_present(o, t))
                })
            }
            None => Ok(()),
        };
        self.journal = Some(j);
        Some(done)
    }
}
