//! The host's side of a network test: one port that speaks just enough HTTP, and takes uploads.
//!
//! `GET /big` answers with so many bytes of a sequence that any program can make; `GET /gate/N` waits until `N` are there at
//! once and answers all of them; anything else that comes is an upload, which is answered with its length and checksum.

use lucid86_devices::net::dp8390::crc::advance;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// A server on loopback, until the process ends.
pub struct Server {
    /// Its port.
    pub port: u16,
}

#[derive(Default)]
struct Gate {
    there: Mutex<usize>,
    changed: Condvar,
}

impl Server {
    /// Starts one whose `/big` has `big` bytes.
    pub fn start(big: usize) -> Result<Server, String> {
        let listener = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let gate = Arc::new(Gate::default());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let gate = Arc::clone(&gate);
                std::thread::spawn(move || serve(stream, big, &gate));
            }
        });
        Ok(Server { port })
    }
}

/// Bytes that look like nothing, the same everywhere.
pub fn bytes(len: usize) -> impl Iterator<Item = Vec<u8>> {
    let mut state = 1u32;
    (0..len.div_ceil(1 << 16)).map(move |i| {
        let n = (1 << 16).min(len - (i << 16));
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    })
}

fn serve(mut stream: TcpStream, big: usize, gate: &Gate) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(300))).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let start = reader.fill_buf().ok()?;
    if !start.starts_with(b"GET ") {
        return upload(reader, stream);
    }
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line).ok()?;
    }
    let head = |len: usize| format!("HTTP/1.0 200 OK\r\nContent-Length: {len}\r\n\r\n");
    if let Some(n) = path.strip_prefix("/gate/") {
        pass(gate, n.parse().ok()?);
        return stream.write_all(format!("{}gate open\n", head(10)).as_bytes()).ok();
    }
    stream.write_all(head(big).as_bytes()).ok()?;
    bytes(big).try_for_each(|piece| stream.write_all(&piece).ok())
}

/// Waits until so many are here; not for ever.
fn pass(gate: &Gate, wanted: usize) {
    let mut there = gate.there.lock().unwrap_or_else(PoisonError::into_inner);
    *there += 1;
    gate.changed.notify_all();
    let limit = Duration::from_secs(120);
    drop(gate.changed.wait_timeout_while(there, limit, |n| *n < wanted));
}

fn upload(mut from: impl Read, mut to: TcpStream) -> Option<()> {
    let (mut sum, mut len, mut buffer) = (Crc::default(), 0, vec![0; 1 << 16]);
    loop {
        match from.read(&mut buffer).ok()? {
            0 => break,
            n => {
                sum.add(&buffer[..n]);
                len += n;
            }
        }
    }
    to.write_all(format!("{} {len}\n", sum.finish()).as_bytes()).ok()
}

/// The CRC of `crc32`: CRC-32/ISO-HDLC.
pub struct Crc(u32);

impl Default for Crc {
    fn default() -> Crc {
        Crc(!0)
    }
}

impl Crc {
    /// Takes bytes in.
    pub fn add(&mut self, bytes: &[u8]) {
        self.0 = advance(self.0, bytes);
    }

    /// As it is printed.
    pub fn finish(self) -> String {
        format!("{:08x}", !self.0)
    }
}

/// What `crc32` prints of `/big`.
pub fn big_sum(len: usize) -> String {
    let mut sum = Crc::default();
    bytes(len).for_each(|piece| sum.add(&piece));
    sum.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_polynomial() {
        let mut sum = Crc::default();
        sum.add(b"123456789");
        assert_eq!(sum.finish(), "cbf43926");
    }
}
