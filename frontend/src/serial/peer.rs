//! A peer that reads and writes at its own pace: one thread for each direction.

use super::feed;
use crossbeam_channel::Receiver;
use lucid86_machine::Inputs;
use std::io::{ErrorKind, Read, Write};

/// Chunks that may wait for a slow peer.
pub(super) const QUEUE: usize = 1024;

/// Copies what the peer says to the guest until the peer or the machine ends.
pub(super) fn read_from(mut peer: impl Read, port: usize, to: &Inputs) {
    let mut buffer = [0; 512];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return,
            Ok(n) if feed(port, &buffer[..n], to) => {}
            Ok(_) => return,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Copies the guest's output to the peer until the peer or the machine ends.
pub(super) fn write_to(mut peer: impl Write, chunks: &Receiver<Vec<u8>>) {
    for chunk in chunks {
        if peer.write_all(&chunk).is_err() {
            return;
        }
    }
}
