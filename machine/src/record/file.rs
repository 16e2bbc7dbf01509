//! A recording as a file: written piece by piece while the machine runs, so that a long run takes no memory and one that is
//! killed can be replayed up to its last piece.
//!
//! Head (magic, version, which machine, calendar, seed), then pieces: a tag, length and checksum of what follows, the moment
//! up to which the run is known, and the entries up to there. The last piece has a tag of its own.

use super::{Entry, Log, Stamp};
use crate::Machine;
use crate::config::ConfigError;
use crate::hash::bytes_of;
use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 17] = b"Lucid86 recording";
const VERSION: u32 = 2;
/// More is to come.
const PIECE: u8 = 1;
/// The last piece.
const LAST: u8 = 2;
/// Longest time between two pieces.
const EVERY: Duration = Duration::from_secs(1);
/// Entries that make a piece sooner.
const MANY: usize = 4096;

/// The file that a recording goes to.
#[derive(Debug)]
pub(super) struct Sink {
    file: File,
    last: Instant,
    /// What went wrong: nothing more is written.
    failed: Option<String>,
    /// Places to cut the file at when the machine goes on from its past: position in the log, moment, bytes up to there.
    cuts: Vec<(usize, Stamp, u64)>,
}

impl Sink {
    fn put(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.file.write_all(bytes).err().map(|e| e.to_string());
        }
        self.last = Instant::now();
    }

    /// The entries before this position are in the file.
    pub(super) fn written(&self) -> usize {
        self.cuts.last().map_or(0, |c| c.0)
    }

    /// Nobody goes back beyond a position any more: forgets places to cut at, but not the last one before it. From that one on
    /// the file may have to be written again; gives its position in the log.
    pub(super) fn forget_before(&mut self, position: usize) -> usize {
        let before = self.cuts.iter().take_while(|c| c.0 < position).count();
        self.cuts.drain(..before.saturating_sub(1));
        self.cuts.first().map_or(0, |c| c.0)
    }

    /// What the file says that comes after is void.
    pub(super) fn cut(&mut self, position: usize, now: Stamp) {
        let stays =
            |c: &&(usize, Stamp, u64)| c.0 <= position && c.1.count <= now.count && c.1.now_ns <= now.now_ns;
        // The head stays, at least.
        let n = self.cuts.iter().take_while(stays).count().max(1);
        if n == self.cuts.len() {
            return;
        }
        self.cuts.truncate(n);
        let len = self.cuts[n - 1].2;
        let done = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::Start(len)));
        if let Err(e) = done {
            self.failed.get_or_insert(e.to_string());
        }
    }
}

fn head(machine: &Machine) -> Vec<u8> {
    let config = machine.config();
    let mut out = MAGIC.to_vec();
    out.extend(VERSION.to_le_bytes());
    let identity = crate::snapshot::identity(config);
    out.extend(bytes_of(&(identity, config.rtc_start_seconds(), config.seed_value())));
    out
}

fn piece(tag: u8, known: Stamp, entries: &[&(Stamp, Entry)]) -> Vec<u8> {
    let body = bytes_of(&(known, entries));
    let mut out = vec![tag];
    out.extend((body.len() as u64).to_le_bytes());
    out.extend(xxh3_64(&body).to_le_bytes());
    out.extend(body);
    out
}

impl Log {
    /// Writes the entries up to now that aren't in the file yet, if there is one.
    fn write(&mut self, now: Stamp, tag: u8) {
        let Some(sink) = &mut self.sink else { return };
        let from = sink.written().saturating_sub(self.dropped);
        let to = (self.next - self.dropped).min(self.entries.len());
        let entries: Vec<_> = self.entries.range(from.min(to)..to).collect();
        let bytes = piece(tag, now, &entries);
        let len = sink.cuts.last().map_or(0, |c| c.2) + bytes.len() as u64;
        sink.put(&bytes);
        sink.cuts.push((self.next, now, len));
    }
}

impl Machine {
    /// Lets the recording go to a file as the machine runs. For a machine that hasn't run yet.
    pub fn record_to(&mut self, file: File) -> Result<(), String> {
        self.start_log();
        let head = head(self);
        let cuts = vec![(0, Stamp::default(), head.len() as u64)];
        let mut sink = Sink { file, last: Instant::now(), failed: None, cuts };
        sink.put(&head);
        if let Some(e) = sink.failed {
            return Err(e);
        }
        self.log.sink = Some(sink);
        Ok(())
    }

    /// Between slices: time for a piece? Without a history nobody goes back to what is written.
    pub(crate) fn keep_recording(&mut self) {
        let Some(sink) = &self.log.sink else { return };
        let many = self.log.next.saturating_sub(sink.written()) >= MANY;
        if self.log.replaying() || !many && sink.last.elapsed() < EVERY {
            return;
        }
        let (position, now) = (self.log.next, self.stamp());
        self.log.write(now, PIECE);
        if !self.has_history() {
            if let Some(sink) = &mut self.log.sink {
                sink.cuts.drain(..sink.cuts.len() - 1);
            }
            self.log.forget_before(position);
        }
    }

    /// Ends the recording that goes to a file: here the run ends.
    pub fn finish_recording(&mut self) -> Result<(), String> {
        let (position, now) = (self.log.next, self.stamp());
        if let Some(sink) = &mut self.log.sink {
            sink.cut(position, now);
        }
        self.log.write(now, LAST);
        match self.log.sink.take().and_then(|s| s.failed) {
            Some(e) => Err(e),
            None => Ok(()),
        }
    }

    /// The whole log as bytes of a recording, unless it goes to a file.
    pub fn recording(&self) -> Vec<u8> {
        let mut out = head(self);
        let entries: Vec<_> = self.log.entries.iter().collect();
        out.extend(piece(LAST, self.stamp(), &entries));
        out
    }

    /// Where the recording that is replayed was cut short, if it was.
    pub fn replay_cut_short(&self) -> Option<Stamp> {
        self.log.recorded.filter(|_| self.log.cut_short)
    }

    /// Takes what comes from outside from a recording, until that ends. For a machine that hasn't run yet.
    pub fn replay(&mut self, bytes: &[u8]) -> Result<(), ConfigError> {
        let read = Recording::read(bytes)?;
        if read.identity != crate::snapshot::identity(self.config()) {
            return Err(ConfigError::new(
                "was made by another machine: give the same --memory, --cpus, --cpu and --clock",
            ));
        }
        self.log = Log {
            on: true,
            entries: read.entries.into(),
            end: Some(read.end),
            recorded: Some(read.end),
            cut_short: !read.whole,
            ..Log::default()
        };
        Ok(())
    }
}

/// A recording, read.
pub struct Recording {
    identity: Vec<u8>,
    /// Seconds since 1970 that the calendar started from.
    pub rtc: i64,
    /// The seed.
    pub seed: u64,
    /// Where the run ended, or is no longer known.
    pub end: Stamp,
    /// Its last piece is there: it was not cut short.
    pub whole: bool,
    entries: Vec<(Stamp, Entry)>,
}

fn damaged() -> ConfigError {
    ConfigError::new("is a damaged recording")
}

/// The next piece: its tag and its body. `None` where the file was cut short.
fn next_piece<'a>(rest: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, ConfigError> {
    let Some((&tag, after)) = rest.split_first() else { return Ok(None) };
    if tag != PIECE && tag != LAST {
        return Err(damaged());
    }
    let Some((len, after)) = after.split_first_chunk::<8>() else { return Ok(None) };
    let Some((sum, after)) = after.split_first_chunk::<8>() else { return Ok(None) };
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| damaged())?;
    let Some((body, after)) = after.split_at_checked(len) else { return Ok(None) };
    if xxh3_64(body).to_le_bytes() != *sum {
        return Err(damaged());
    }
    *rest = after;
    Ok(Some((tag, body)))
}

impl Recording {
    /// Reads one. A last piece that is there in part is as if it weren't there.
    pub fn read(bytes: &[u8]) -> Result<Recording, ConfigError> {
        let rest = bytes
            .strip_prefix(&MAGIC[..])
            .ok_or_else(|| ConfigError::new("is not a recording of this program"))?;
        let (version, rest) = rest.split_at_checked(4).ok_or_else(damaged)?;
        if version != VERSION.to_le_bytes() {
            return Err(ConfigError::new("is a recording of another version of this program"));
        }
        type Head = (Vec<u8>, i64, u64);
        let ((identity, rtc, seed), mut rest): (Head, &[u8]) =
            postcard::take_from_bytes(rest).map_err(|_| damaged())?;
        let mut r =
            Recording { identity, rtc, seed, end: Stamp::default(), whole: false, entries: Vec::new() };
        while !r.whole
            && let Some((tag, body)) = next_piece(&mut rest)?
        {
            type Body = (Stamp, Vec<(Stamp, Entry)>);
            let (known, entries): Body = postcard::from_bytes(body).map_err(|_| damaged())?;
            let backwards = known.count < r.end.count || known.now_ns < r.end.now_ns;
            r.end = known;
            r.whole = tag == LAST;
            r.entries.extend(entries);
            if backwards || r.whole && !rest.is_empty() {
                return Err(damaged());
            }
        }
        if r.is_sane() { Ok(r) } else { Err(damaged()) }
    }

    fn is_sane(&self) -> bool {
        let sane = |(s, e): &(Stamp, Entry)| {
            let told = match e {
                Entry::Clock(c) => c.rate > 0 && c.n0 == s.count && c.t0_ns < 1 << 62 && c.rate < 1 << 60,
                Entry::Slept(t) => *t < 1 << 62,
                _ => true,
            };
            s.count < 1 << 62 && told
        };
        self.entries.windows(2).all(|w| w[0].0.count <= w[1].0.count)
            && self.entries.iter().all(sane)
            && self.end.count < 1 << 62
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Going back to where no piece ends writes what came before in its piece again.
    #[test]
    fn what_lies_before_a_cut_stays() {
        let path = std::env::temp_dir().join(format!("lucid86-cut-{}", std::process::id()));
        let head = [&MAGIC[..], &VERSION.to_le_bytes(), &bytes_of(&(Vec::<u8>::new(), 0i64, 0u64))].concat();
        let mut file = File::create(&path).unwrap();
        file.write_all(&head).unwrap();
        let cuts = vec![(0, Stamp::default(), head.len() as u64)];
        let sink = Some(Sink { file, last: Instant::now(), failed: None, cuts });
        let mut log = Log { on: true, whole: true, sink, ..Log::default() };
        let at = |count| Stamp { count, now_ns: count };
        for n in 1..=300 {
            log.note(n, n, Entry::Slept(n));
            if n % 100 == 0 {
                log.write(at(n), PIECE);
            }
            if n == 250 {
                // The oldest moment that one can go back to lies in the middle of a piece.
                log.forget_before(150);
            }
        }
        log.go_back(150, at(300));
        log.cut(at(150));
        log.note(160, 160, Entry::Slept(1000));
        log.write(at(170), LAST);
        drop(log);
        let read = Recording::read(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        let slept: Vec<_> = read.entries.iter().map(|(s, _)| s.count).collect();
        assert_eq!(slept, (1..=150).chain([160]).collect::<Vec<_>>());
        assert!(read.whole && read.end == at(170));
    }
}
