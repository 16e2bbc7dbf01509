//! Two machines on one cable: both ours, or one of them QEMU. They ping each other and copy a file.

use super::cases::{Script, contains, free_port, linux};
use super::peer;
use super::session::{self, Options, Run};
use crate::guests::fetch::{Arch, Cache};
use crate::tally::Failure;
use lucid86_machine::Config;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes that are copied.
const FILE: usize = 5_000_000;

/// Who is at an end.
enum End {
    Ours(Config),
    Qemu(Config, Vec<String>),
}

impl End {
    /// A machine whose card `mac` is plugged into a socket, `listen=` or `connect=`.
    fn ours(cache: &Cache, mac: &str, socket: &str) -> Result<End, Failure> {
        Ok(End::Ours(linux(cache, Arch::I386, &[format!("socket,{socket},mac={mac}")])?))
    }

    fn qemu(cache: &Cache, mac: &str, socket: &str) -> Result<End, Failure> {
        let device = format!("ne2k_pci,netdev=net0,mac={mac}");
        let words = ["-netdev", &format!("socket,id=net0,{socket}"), "-device", &device].map(str::to_owned);
        Ok(End::Qemu(linux(cache, Arch::I386, &[])?, words.to_vec()))
    }

    fn run(&self, script: &str, o: &Options, stop: &Arc<AtomicBool>) -> Result<Run, String> {
        match self {
            End::Ours(config) => session::run(config, script, o, stop),
            End::Qemu(config, words) => {
                wait_for(words, stop);
                peer::run(config, words, script, o, stop)
            }
        }
    }
}

/// QEMU tries to connect only once: whoever listens must be there. Whom this connection reaches takes QEMU's in its place.
fn wait_for(words: &[String], stop: &AtomicBool) {
    let address = words.iter().find_map(|w| w.split_once(",connect=")).map(|w| w.1);
    while let Some(address) = address
        && TcpStream::connect(address).is_err()
        && !stop.load(Ordering::Relaxed)
    {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The script of the machine that has address 10.9.0.`me`, up to where it has seen the other.
fn met(me: u8, other: u8) -> Script {
    Script::ready()
        .step("insmod /lib/8390.ko; insmod /lib/ne2k-pci.ko; echo L''OADED", "LOADED")
        .step(
            &format!(
                "ifconfig eth0 10.9.0.{me} up; until ping -c 1 -W 1 10.9.0.{other}; do :; done; echo M''ET"
            ),
            "MET",
        )
        .step(&format!("ping -c 3 10.9.0.{other}"), "3 packets received")
}

/// Brings both up, lets them ping each other, and the second one send a file to the first.
fn together(first: &End, second: &End, o: &Options) -> Result<String, Failure> {
    let takes = met(1, 2).step("nc -l -p 5000 > /tmp/got; crc32 /tmp/got", "/tmp/got").0 + "quit\n";
    let sends = met(2, 1)
        .step(&format!("head -c {FILE} /dev/urandom > /tmp/sent; crc32 /tmp/sent"), "/tmp/sent")
        .step("until nc 10.9.0.1 5000 < /tmp/sent; do :; done; echo G''ONE", "GONE")
        .0
        + "wait serial \"the other one's end\"\n";
    let stop = Arc::new(AtomicBool::new(false));
    let (taken, sent) = std::thread::scope(|s| {
        let sender = s.spawn(|| second.run(&sends, o, &stop));
        let taken = first.run(&takes, o, &stop);
        stop.store(true, Ordering::Relaxed);
        (taken, sender.join())
    });
    let (taken, sent) = (taken?, sent.map_err(|_| "the sender's thread failed".to_owned())??);
    let of_line = |l: &str| l.strip_suffix(" /tmp/sent").filter(|sum| sum.len() == 8).map(str::to_owned);
    let sum = sent.text.lines().find_map(of_line);
    let sum = sum.ok_or_else(|| format!("the sender made no checksum:\n{}", sent.tail()))?;
    contains(&taken, &format!("{sum} /tmp/got"), "the copy's checksum")?;
    Ok(format!("3 of 3 pings each, {FILE} bytes copied, CRC-32 {sum}"))
}

const MACS: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];

/// Two of ours, over TCP.
pub fn ours(cache: &Cache, o: &Options) -> Result<String, Failure> {
    let port = free_port()?;
    let first = End::ours(cache, MACS[0], &format!("listen=:{port}"))?;
    let second = End::ours(cache, MACS[1], &format!("connect=:{port}"))?;
    together(&first, &second, o)
}

/// Two of ours, over datagrams.
pub fn datagrams(cache: &Cache, o: &Options) -> Result<String, Failure> {
    let (a, b) = (free_port()?, free_port()?);
    let first = End::ours(cache, MACS[0], &format!("udp=127.0.0.1:{b},local=127.0.0.1:{a}"))?;
    let second = End::ours(cache, MACS[1], &format!("udp=127.0.0.1:{a},local=127.0.0.1:{b}"))?;
    together(&first, &second, o)
}

/// Two of ours, over a unix socket.
pub fn unix(cache: &Cache, o: &Options) -> Result<String, Failure> {
    if !cfg!(unix) {
        return Err(Failure::Missing("this system has no unix sockets".into()));
    }
    let path = std::env::temp_dir().join(format!("lucid86-cable-{}", std::process::id()));
    let first = End::ours(cache, MACS[0], &format!("listen=unix:{}", path.display()))?;
    let second = End::ours(cache, MACS[1], &format!("connect=unix:{}", path.display()))?;
    together(&first, &second, o)
}

/// One of ours with QEMU: first we listen, then QEMU does.
pub fn qemu(cache: &Cache, o: &Options) -> Result<String, Failure> {
    if !peer::installed() {
        return Err(Failure::Missing("there is no QEMU".into()));
    }
    let port = free_port()?;
    let first = End::ours(cache, MACS[0], &format!("listen=:{port}"))?;
    let second = End::qemu(cache, MACS[1], &format!("connect=127.0.0.1:{port}"))?;
    let said = together(&first, &second, o)?;
    let port = free_port()?;
    let first = End::qemu(cache, MACS[0], &format!("listen=127.0.0.1:{port}"))?;
    let second = End::ours(cache, MACS[1], &format!("connect=:{port}"))?;
    Ok(format!("we listen: {said}; QEMU listens: {}", together(&first, &second, o)?))
}
