//! The boot server: files of one folder by TFTP, reading only (RFC 1350, with options by RFC 2347, 2348 block size, 2349 size
//! and timeout, 7440 window size). Nothing outside of the folder can be named, by dots or by links.

use super::{GATEWAY, Side, wire};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddrV4;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

const RRQ: u16 = 1;
const WRQ: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OACK: u16 = 6;

/// Transfers at once; beyond, the one that was silent longest ends.
const SESSIONS: usize = 32;
/// Silence after which what was sent last is sent again, and how often.
const AGAIN: Duration = Duration::from_secs(1);
const TIMES: u32 = 8;
/// Block sizes: without a word of the client's, and at most in one frame.
const BLOCK: usize = 512;
const LONGEST_BLOCK: usize = 1468;

/// A file on its way.
struct Session {
    file: File,
    size: u64,
    block: usize,
    window: u64,
    acked: u64,    // blocks that the client has
    sent: u64,     // blocks that were sent
    oack: Vec<u8>, // options still to be acknowledged
    active: Instant,
    tries: u32,
}

impl Session {
    /// Blocks in the whole file: the last one is shorter than the others, perhaps empty.
    fn blocks(&self) -> u64 {
        self.size / self.block as u64 + 1
    }

    fn data(&mut self, number: u64) -> Option<Vec<u8>> {
        let start = (number - 1) * self.block as u64;
        let n = (self.size.saturating_sub(start)).min(self.block as u64) as usize;
        let mut out = header(DATA, number as u16);
        out.resize(4 + n, 0);
        self.file.seek(SeekFrom::Start(start)).ok()?;
        self.file.read_exact(&mut out[4..]).ok()?;
        Some(out)
    }
}

/// The server.
pub struct Server {
    folder: Option<PathBuf>,
    sessions: HashMap<(SocketAddrV4, u16), Session>,
    next_port: u16,
}

fn header(operation: u16, word: u16) -> Vec<u8> {
    [operation.to_be_bytes(), word.to_be_bytes()].concat()
}

fn error(code: u16, text: &str) -> Vec<u8> {
    let mut out = header(ERROR, code);
    out.extend(text.bytes());
    out.push(0);
    out
}

/// The strings of a request: file name, mode, options.
fn strings(bytes: &[u8]) -> Option<Vec<&str>> {
    let body = bytes.strip_suffix(&[0])?;
    body.split(|b| *b == 0).take(32).map(|s| std::str::from_utf8(s).ok()).collect()
}

/// A file below `folder` by the name that a client gave; a leading slash means the folder itself.
pub fn inside(folder: &Path, name: &str) -> Option<PathBuf> {
    let name = Path::new(name.trim_start_matches('/'));
    let plain = name.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    let path = folder.join(name).canonicalize().ok()?;
    (plain && path.starts_with(folder.canonicalize().ok()?) && path.is_file()).then_some(path)
}

impl Server {
    /// A server of `folder`'s files, if there is one.
    pub fn new(folder: Option<PathBuf>) -> Server {
        Server { folder, sessions: HashMap::new(), next_port: 0 }
    }

    /// Whether there is a server at all.
    pub fn serves(&self) -> bool {
        self.folder.is_some()
    }

    /// A datagram to port 69.
    pub fn request(&mut self, guest: SocketAddrV4, data: &[u8], side: &Side, now: Instant) {
        self.next_port = (self.next_port + 1) % 10_000;
        let port = 50_000 + self.next_port;
        match self.open(data, now) {
            Ok(session) => {
                self.make_room();
                self.sessions.insert((guest, port), session);
                self.go_on(guest, port, side, now);
            }
            Err(Some(reply)) => send(guest, port, &reply, side),
            Err(None) => {}
        }
    }

    fn open(&self, data: &[u8], now: Instant) -> Result<Session, Option<Vec<u8>>> {
        let operation = data.get(..2).ok_or(None)?;
        match u16::from_be_bytes([operation[0], operation[1]]) {
            RRQ => {}
            WRQ => return Err(Some(error(2, "this server only reads"))),
            _ => return Err(None),
        }
        let strings = strings(&data[2..]).ok_or_else(|| error(4, "not a request"))?;
        let [name, mode, options @ ..] = &strings[..] else {
            return Err(Some(error(4, "not a request")));
        };
        if !mode.eq_ignore_ascii_case("octet") && !mode.eq_ignore_ascii_case("netascii") {
            return Err(Some(error(4, "no such mode")));
        }
        let folder = self.folder.as_ref().ok_or(None)?;
        let missing = || Some(error(1, "no such file"));
        let path = inside(folder, name).ok_or_else(missing)?;
        let file = File::open(path).map_err(|_| missing())?;
        let size = file.metadata().map_err(|_| missing())?.len();
        let mut s = Session {
            file,
            size,
            block: BLOCK,
            window: 1,
            acked: 0,
            sent: 0,
            oack: Vec::new(),
            active: now,
            tries: 0,
        };
        negotiate(&mut s, options);
        Ok(s)
    }

    fn make_room(&mut self) {
        if self.sessions.len() >= SESSIONS
            && let Some(oldest) = self.sessions.iter().min_by_key(|s| s.1.active).map(|s| *s.0)
        {
            self.sessions.remove(&oldest);
        }
    }

    /// A datagram to a port of a transfer. False if there is none.
    pub fn session(
        &mut self,
        guest: SocketAddrV4,
        port: u16,
        data: &[u8],
        side: &Side,
        now: Instant,
    ) -> bool {
        let Some(s) = self.sessions.get_mut(&(guest, port)) else { return false };
        let [o0, o1, n0, n1, ..] = *data else { return true };
        match u16::from_be_bytes([o0, o1]) {
            ACK => {
                // Sixteen bits of a count that may be longer: the nearest one at or above what was acknowledged.
                let ahead = u64::from(u16::from_be_bytes([n0, n1]).wrapping_sub(s.acked as u16));
                if s.acked + ahead > s.sent {
                    return true;
                }
                s.oack.clear();
                s.acked += ahead;
                // A window that is acknowledged in part goes on from there.
                s.sent = s.acked;
                s.active = now;
                s.tries = 0;
                self.go_on(guest, port, side, now);
            }
            ERROR => _ = self.sessions.remove(&(guest, port)),
            _ => send(guest, port, &error(4, "not an acknowledgement"), side),
        }
        true
    }

    /// Sends the next window, or ends.
    fn go_on(&mut self, guest: SocketAddrV4, port: u16, side: &Side, now: Instant) {
        let Some(s) = self.sessions.get_mut(&(guest, port)) else { return };
        if !s.oack.is_empty() {
            send(guest, port, &s.oack, side);
            return;
        }
        let last = s.blocks();
        if s.acked >= last {
            self.sessions.remove(&(guest, port));
            return;
        }
        s.active = now;
        while s.sent < (s.acked + s.window).min(last) {
            s.sent += 1;
            match s.data(s.sent) {
                Some(bytes) => send(guest, port, &bytes, side),
                None => {
                    send(guest, port, &error(0, "the file can't be read"), side);
                    self.sessions.remove(&(guest, port));
                    return;
                }
            }
        }
    }

    /// Sends again what was not acknowledged for long.
    pub fn work(&mut self, side: &Side, now: Instant) -> Option<Duration> {
        let late: Vec<_> = self.sessions.iter().filter(|s| now >= s.1.active + AGAIN).map(|s| *s.0).collect();
        for (guest, port) in late {
            let Some(s) = self.sessions.get_mut(&(guest, port)) else { continue };
            s.tries += 1;
            s.active = now;
            if s.tries > TIMES {
                self.sessions.remove(&(guest, port));
                continue;
            }
            s.sent = s.acked;
            self.go_on(guest, port, side, now);
        }
        self.sessions.values().map(|s| (s.active + AGAIN).saturating_duration_since(now)).min()
    }
}

/// Takes the options that are known; what was taken is said in an OACK.
fn negotiate(s: &mut Session, options: &[&str]) {
    let mut taken = Vec::new();
    for pair in options.chunks_exact(2) {
        let name = pair[0].to_ascii_lowercase();
        let Ok(value) = pair[1].parse::<u64>() else { continue };
        let accepted = match name.as_str() {
            "blksize" if value >= 8 => {
                s.block = (value as usize).min(LONGEST_BLOCK);
                s.block as u64
            }
            "tsize" => s.size,
            "timeout" if (1..=255).contains(&value) => value,
            "windowsize" if value >= 1 => {
                s.window = value.min(16);
                s.window
            }
            _ => continue,
        };
        taken.extend(format!("{name}\0{accepted}\0").bytes());
    }
    if !taken.is_empty() {
        s.oack = OACK.to_be_bytes().to_vec();
        s.oack.extend(taken);
    }
}

fn send(guest: SocketAddrV4, port: u16, data: &[u8], side: &Side) {
    let from = SocketAddrV4::new(GATEWAY, port);
    side.send(*guest.ip(), |mac| wire::udp(mac, from, guest, data).pop().unwrap_or_default());
}
