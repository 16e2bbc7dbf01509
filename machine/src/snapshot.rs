//! Snapshots: the whole machine as bytes, for files (`--save`, `--load`), rewinding and tests.
//!
//! A header, then sections, each with a name, a version and a length: a reader knows what it has before it believes it.
//! Processors and chips are written with postcard as they stand; memory in chunks, zeros left out, the rest compressed
//! with LZ4; media as what was written to them since the machine was built. Whatever the bytes say, loading ends in a whole
//! machine or in an error and the machine as it was.

use crate::Machine;
use crate::board::Chips;
use crate::config::{Config, ConfigError};
use crate::hash::bytes_of;
use crate::machine::{Progress, SavedFeed};
use crate::media::SavedMedium;
use crate::script::Position;
use lucid86_cpu::Cpu;
use lucid86_cpu::memory::PAGE;
use serde::de::DeserializeOwned;

const MAGIC: &[u8; 16] = b"Lucid86 snapshot";
/// Version of the container.
const CONTAINER: u32 = 1;
/// Version of each section: raised when the structs behind it change their shape.
const SECTION: u32 = 1;
/// Frames in one chunk of memory.
const CHUNK: usize = 256;
const CHUNK_BYTES: usize = CHUNK * PAGE as usize;

fn damaged(what: &str) -> ConfigError {
    ConfigError(format!("is a damaged snapshot: {what}"))
}

struct Writer {
    out: Vec<u8>,
}

impl Writer {
    fn section(&mut self, name: &str, body: &[u8]) {
        self.out.push(name.len() as u8);
        self.out.extend(name.bytes());
        self.out.extend(SECTION.to_le_bytes());
        self.out.extend((body.len() as u64).to_le_bytes());
        self.out.extend(body);
    }
}

/// The sections of a snapshot, by name.
struct Sections<'a> {
    list: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Sections<'a> {
    fn read(bytes: &'a [u8]) -> Result<Sections<'a>, ConfigError> {
        let rest = bytes
            .strip_prefix(&MAGIC[..])
            .ok_or_else(|| ConfigError("is not a snapshot of this program".into()))?;
        let (version, mut rest) = rest.split_at_checked(4).ok_or_else(|| damaged("it ends in its header"))?;
        if version != CONTAINER.to_le_bytes() {
            return Err(ConfigError("is a snapshot of another version of this program".into()));
        }
        let mut list = Vec::new();
        while !rest.is_empty() {
            let short = || damaged("it ends in the middle");
            let (len, r) = rest.split_at_checked(1).ok_or_else(short)?;
            let (name, r) = r.split_at_checked(len[0].into()).ok_or_else(short)?;
            let (version, r) = r.split_at_checked(4).ok_or_else(short)?;
            let (size, r) = r.split_at_checked(8).ok_or_else(short)?;
            let size = u64::from_le_bytes(size.try_into().expect("eight bytes"));
            let (body, r) =
                usize::try_from(size).ok().and_then(|n| r.split_at_checked(n)).ok_or_else(short)?;
            let readable = |n: &&str| !n.chars().any(char::is_control);
            let name = std::str::from_utf8(name)
                .ok()
                .filter(readable)
                .ok_or_else(|| damaged("a section has no name"))?;
            if version != SECTION.to_le_bytes() {
                return Err(ConfigError(format!(
                    "is a snapshot of another version of this program (section {name})"
                )));
            }
            list.push((name, body));
            rest = r;
        }
        Ok(Sections { list })
    }

    fn get(&self, name: &str) -> Result<&'a [u8], ConfigError> {
        let found = self.list.iter().find(|s| s.0 == name);
        found.map(|s| s.1).ok_or_else(|| damaged(&format!("section {name} is missing")))
    }

    fn value<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConfigError> {
        postcard::from_bytes(self.get(name)?).map_err(|_| damaged(&format!("section {name} makes no sense")))
    }
}

/// What must be the same in the machine that saved and the machine that loads.
pub(crate) fn identity(config: &Config) -> Vec<u8> {
    bytes_of(&(config.memory, config.cpus, &config.cpu, config.clock == crate::config::ClockKind::Virtual))
}

impl Machine {
    /// The whole state as bytes of a snapshot file.
    ///
    /// Fails when a medium can't be read.
    pub fn save(&mut self) -> Result<Vec<u8>, ConfigError> {
        let now = self.now();
        self.board.advance(&mut self.mem, now);
        let mut w = Writer { out: MAGIC.to_vec() };
        w.out.extend(CONTAINER.to_le_bytes());
        w.section("machine", &identity(self.config()));
        w.section("progress", &bytes_of(&self.progress));
        w.section("cpus", &bytes_of(&self.cpus));
        w.section("chips", &bytes_of(&self.board.chips));
        w.section("feed", &bytes_of(&self.feed));
        if let Some(script) = &self.script {
            w.section("script", &bytes_of(&script.position));
        }
        w.section("memory", &self.save_memory());
        for (slot, image) in self.board.outside.media.iter_mut().enumerate() {
            if let Some(image) = image {
                let saved = image.save().map_err(|e| ConfigError(format!("a medium can't be saved: {e}")))?;
                w.section(&format!("medium {slot}"), &bytes_of(&saved));
            }
        }
        Ok(w.out)
    }

    fn save_memory(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut chunk = vec![0; CHUNK_BYTES];
        let total = self.mem.ram.len();
        for (i, at) in (0..total).step_by(CHUNK_BYTES).enumerate() {
            let n = CHUNK_BYTES.min(total - at);
            let frames = at / PAGE as usize..(at + n) / PAGE as usize;
            // Never stored to: still zero, and untouched by the host.
            if !frames.clone().any(|f| self.mem.dirty_since(f as u32, 1)) {
                continue;
            }
            self.mem.ram.copy_out(at, &mut chunk[..n]);
            if chunk[..n].iter().all(|b| *b == 0) {
                continue;
            }
            let packed = lz4_flex::block::compress(&chunk[..n]);
            out.extend((i as u32).to_le_bytes());
            out.extend((packed.len() as u32).to_le_bytes());
            out.extend(packed);
        }
        out
    }

    /// Takes over the state of a snapshot made by a machine of the same configuration.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), ConfigError> {
        let s = Sections::read(bytes)?;
        if s.get("machine")? != identity(self.config()) {
            return Err(ConfigError(
                "was made by another machine: give the same --memory, --cpus, --cpu and --clock".into(),
            ));
        }
        let progress: Progress = s.value("progress")?;
        let cpus: Vec<Cpu> = s.value("cpus")?;
        let chips: Chips = s.value("chips")?;
        if !chips.same_cards(&self.board.chips) {
            return Err(ConfigError(
                "was made by a machine with other network cards: give the same ones".into(),
            ));
        }
        let feed: SavedFeed = s.value("feed")?;
        let script: Option<Position> = self.script.is_some().then(|| s.value("script")).transpose()?;
        let indices_right = cpus.iter().enumerate().all(|(i, c)| c.index == i);
        if cpus.len() != self.cpus.len() || !indices_right || progress.turn >= cpus.len() || !progress.sound()
        {
            return Err(damaged("its processors make no sense"));
        }
        let chunks = unpack(s.get("memory")?, self.mem.ram.len())?;

        let mut media = Vec::new();
        for (slot, image) in self.board.outside.media.iter().enumerate() {
            let name = format!("medium {slot}");
            match (image.is_some(), s.get(&name).is_ok()) {
                (true, true) => media.push((slot, s.value::<SavedMedium>(&name)?)),
                (false, false) => {}
                _ => {
                    return Err(ConfigError(
                        "was made by a machine with other drives: give the same ones".into(),
                    ));
                }
            }
        }
        for (slot, saved) in media {
            if let Some(image) = &mut self.board.outside.media[slot] {
                image.load(&saved).map_err(ConfigError)?;
            }
        }
        self.load_memory(&chunks);
        self.cpus = cpus;
        self.board.chips = chips;
        self.progress = progress;
        self.feed = feed;
        if let (Some(script), Some(position)) = (&mut self.script, script) {
            script.position = position;
        }
        self.after_load();
        Ok(())
    }

    fn load_memory(&mut self, chunks: &[(usize, Vec<u8>)]) {
        let mut next = chunks.iter().peekable();
        let total = self.mem.ram.len();
        let zeros = [0; PAGE as usize];
        for at in (0..total).step_by(CHUNK_BYTES) {
            let chunk = next.next_if(|c| c.0 == at).map(|c| &c.1);
            for (i, frame) in (at / PAGE as usize..(at + CHUNK_BYTES).min(total) / PAGE as usize).enumerate()
            {
                match chunk {
                    Some(c) => {
                        self.mem.store(frame as u32, 0, &c[i * PAGE as usize..(i + 1) * PAGE as usize])
                    }
                    None if self.mem.dirty_since(frame as u32, 1) => self.mem.store(frame as u32, 0, &zeros),
                    None => {}
                }
            }
        }
    }
}

/// Chunks of memory by offset, in order.
fn unpack(mut rest: &[u8], total: usize) -> Result<Vec<(usize, Vec<u8>)>, ConfigError> {
    let mut out: Vec<(usize, Vec<u8>)> = Vec::new();
    while !rest.is_empty() {
        let wrong = || damaged("its memory makes no sense");
        let (head, r) = rest.split_at_checked(8).ok_or_else(wrong)?;
        let index = u32::from_le_bytes(head[..4].try_into().expect("four bytes")) as usize;
        let len = u32::from_le_bytes(head[4..].try_into().expect("four bytes")) as usize;
        let (packed, r) = r.split_at_checked(len).ok_or_else(wrong)?;
        let at = index.checked_mul(CHUNK_BYTES).filter(|at| *at < total).ok_or_else(wrong)?;
        if out.last().is_some_and(|l| l.0 >= at) {
            return Err(wrong());
        }
        let n = CHUNK_BYTES.min(total - at);
        let bytes = lz4_flex::block::decompress(packed, n).map_err(|_| wrong())?;
        if bytes.len() != n {
            return Err(wrong());
        }
        out.push((at, bytes));
        rest = r;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever a file has for a section's name, the error is one line.
    #[test]
    fn a_name_that_cannot_be_read_is_not_repeated() {
        for (name, says) in [("cpu", "(section cpu)"), ("c\npu", "a section has no name")] {
            let file = [
                &MAGIC[..],
                &CONTAINER.to_le_bytes(),
                &[name.len() as u8],
                name.as_bytes(),
                &(!SECTION).to_le_bytes(),
                &[0; 8],
            ]
            .concat();
            let error = Sections::read(&file).err().map(|e| e.to_string()).unwrap_or_default();
            assert!(error.contains(says), "{error}");
        }
    }
}
