//! Blocks of a medium kept in memory, sparse: those that differ from what lies under them.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

const BLOCK: u64 = 4096;
/// Most bytes that an overlay holds; a guest that writes more gets an error from its disk, as from a full one.
const LIMIT: u64 = 8 << 30;

/// Blocks by index. A clone shares those that neither changes.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    blocks: BTreeMap<u64, Arc<[u8; BLOCK as usize]>>,
}

/// The pieces of `bytes` bytes from `offset` on that lie in one block each: block, offset in it, offset in the
/// whole, length.
fn pieces(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == bytes {
            return None;
        }
        let at = offset + done as u64;
        let within = (at % BLOCK) as usize;
        let n = (BLOCK as usize - within).min(bytes - done);
        done += n;
        Some((at / BLOCK, within, done - n, n))
    })
}

impl Overlay {
    /// Reads bytes: from here what is here, else from below, in runs as long as possible.
    pub fn read(
        &self,
        offset: u64,
        to: &mut [u8],
        mut below: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.blocks.range(offset / BLOCK..=(offset + to.len() as u64) / BLOCK).next().is_none() {
            return below(offset, to);
        }
        for (block, within, at, n) in pieces(offset, to.len()) {
            match self.blocks.get(&block) {
                Some(b) => to[at..at + n].copy_from_slice(&b[within..within + n]),
                None => below(offset + at as u64, &mut to[at..at + n])?,
            }
        }
        Ok(())
    }

    /// Stores bytes here; a block that is met for the first time is filled from below.
    pub fn write(
        &mut self,
        offset: u64,
        from: &[u8],
        mut below: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for (block, within, at, n) in pieces(offset, from.len()) {
            self.block(block, &mut below)?[within..within + n].copy_from_slice(&from[at..at + n]);
        }
        Ok(())
    }

    /// Keeps what lies below in these bytes now, unless it has been kept before.
    pub fn keep(
        &mut self,
        offset: u64,
        bytes: usize,
        mut below: impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        for (block, ..) in pieces(offset, bytes) {
            self.block(block, &mut below)?;
        }
        Ok(())
    }

    fn block(
        &mut self,
        index: u64,
        below: &mut impl FnMut(u64, &mut [u8]) -> io::Result<()>,
    ) -> io::Result<&mut [u8; BLOCK as usize]> {
        let full = self.blocks.len() as u64 >= LIMIT / BLOCK;
        match self.blocks.entry(index) {
            std::collections::btree_map::Entry::Occupied(e) => Ok(Arc::make_mut(e.into_mut())),
            std::collections::btree_map::Entry::Vacant(_) if full => Err(io::ErrorKind::StorageFull.into()),
            std::collections::btree_map::Entry::Vacant(e) => {
                let mut bytes = [0; BLOCK as usize];
                below(index * BLOCK, &mut bytes[..])?;
                Ok(Arc::make_mut(e.insert(Arc::new(bytes))))
            }
        }
    }

    /// The blocks that are here: offset and bytes.
    pub fn blocks(&self) -> impl Iterator<Item = (u64, &[u8; BLOCK as usize])> {
        self.blocks.iter().map(|(&i, b)| (i * BLOCK, &**b))
    }
}
