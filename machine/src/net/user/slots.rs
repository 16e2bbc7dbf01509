//! How many sockets the router may have: the process keeps some files for the rest of the machine (images, snapshots, the
//! debugger's connections), whatever the guest opens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Files that are left for everything else.
const RESERVE: u64 = 128;
/// More than all flows together.
const MOST: u64 = 32 << 10;

/// Sockets that may still be opened.
#[derive(Clone)]
pub struct Slots(Arc<AtomicUsize>);

/// Room for one socket, given back when it is dropped.
pub struct Slot(Arc<AtomicUsize>);

impl Slots {
    /// As many as the process may open, after it has asked for as many as it may get (getrlimit(2)).
    pub fn new() -> Slots {
        Slots(Arc::new(AtomicUsize::new(files().saturating_sub(RESERVE) as usize)))
    }

    /// Takes one; an error if there is none left.
    pub fn take(&self) -> io::Result<Slot> {
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        match taken {
            Ok(_) => Ok(Slot(Arc::clone(&self.0))),
            Err(_) => Err(io::ErrorKind::QuotaExceeded.into()),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(unix)]
fn files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let (now, most) = (limit.current.unwrap_or(MOST), limit.maximum.unwrap_or(MOST).min(MOST));
    if now < most
        && setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum }).is_ok()
    {
        return most;
    }
    now.min(MOST)
}

#[cfg(not(unix))]
fn files() -> u64 {
    MOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_can_be_taken_again() {
        let slots = Slots(Arc::new(AtomicUsize::new(2)));
        let first = slots.take().unwrap();
        let _second = slots.take().unwrap();
        assert!(slots.take().is_err());
        drop(first);
        assert!(slots.take().is_ok());
    }
}
