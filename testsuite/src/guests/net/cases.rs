//! The cases: what each is made of, what is typed, what must come out.

use super::server::{Server, big_sum};
use super::session::{self, Options, Run};
use super::{boot, pairs, peer};
use crate::guests::fetch::{Arch, Cache};
use crate::guests::list::made;
use crate::guests::media::{self, Kernel};
use crate::tally::Failure;
use lucid86_machine::Config;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A case by name; what it has to tell besides having passed.
pub type Case = fn(&Cache, &Options) -> Result<String, Failure>;

/// All cases.
pub const NETWORK: &[(&str, Case)] = &[
    ("net-i386-ne", |c, o| transfers(c, o, Arch::I386, "ne2k_isa,irq=5", "ne io=0x300 irq=5")),
    ("net-i386-pci", |c, o| transfers(c, o, Arch::I386, "ne2k_pci", "ne2k-pci")),
    ("net-amd64-pci", |c, o| transfers(c, o, Arch::Amd64, "ne2k_pci", "ne2k-pci")),
    ("net-ipxe", boot::ipxe),
    ("net-boot-rom", boot::rom),
    ("net-socket", pairs::ours),
    ("net-socket-udp", pairs::datagrams),
    ("net-socket-unix", pairs::unix),
    ("net-socket-qemu", pairs::qemu),
];

/// Connections that must stand at once.
const MANY: usize = 100;

/// A machine at a shell with the network's modules at hand. What can't be had is missing; a card that is refused is our fault.
pub fn linux(cache: &Cache, arch: Arch, net: &[String]) -> Result<Config, Failure> {
    let kernel = media::installer_kernel(cache, arch).map_err(Failure::Missing)?;
    if kernel.modules.is_none() {
        return Err(Failure::Missing("the modules of the installer's kernel are gone from Debian".into()));
    }
    let mut c = Config { memory: 512 << 20, ..Config::default() };
    c.kernel = Some(kernel.image.clone());
    c.initrd = Some(initrd(cache, &kernel).map_err(Failure::Missing)?.display().to_string());
    c.append = Some("console=ttyS0,115200 panic=-1".into());
    for n in net {
        c.set("net", Some(n)).map_err(|e| e.to_string())?;
    }
    Ok(c)
}

pub fn initrd(cache: &Cache, kernel: &Kernel) -> Result<PathBuf, String> {
    let tag = xxhash_rust::xxh3::xxh3_64(kernel.image.display().to_string().as_bytes());
    made(cache, &format!("network3-{}-{tag:016x}.cpio", kernel.arch.name()), || {
        media::network_initramfs(cache, kernel)
    })
}

/// What is typed, each line after the answer to the one before.
pub struct Script(pub String);

impl Script {
    /// Comes up to the shell.
    pub fn ready() -> Script {
        Script("wait serial \"LUCID86 READY\"\nwait serial \"lucid# \"\n".into())
    }

    /// Types a command and waits for an answer in its output.
    pub fn step(mut self, command: &str, answer: &str) -> Script {
        self.0 += &format!("serial \"{command}\\n\"\nwait serial \"{answer}\"\nwait serial \"lucid# \"\n");
        self
    }
}

/// A port that nobody listens at.
pub fn free_port() -> Result<u16, String> {
    let l = TcpListener::bind("127.0.0.1:0").map_err(|e| e.to_string())?;
    Ok(l.local_addr().map_err(|e| e.to_string())?.port())
}

/// Whether COM1 said `words`.
pub fn contains(run: &Run, words: &str, what: &str) -> Result<(), String> {
    if run.text.contains(words) {
        return Ok(());
    }
    Err(format!("{what}: no '{words}'; the end of COM1:\n{}", run.tail()))
}

/// DHCP, ping, a large file both ways, many connections at once, a port forwarded into the guest; beside QEMU if asked.
fn transfers(cache: &Cache, o: &Options, arch: Arch, model: &str, driver: &str) -> Result<String, Failure> {
    let server = Server::start(o.big)?;
    let forward = free_port()?;
    let net = format!("user,host=on,forward=tcp:{forward}:80,model={model}");
    let config = linux(cache, arch, &[net])?;
    let script = transfer_script(server.port, driver);
    let ours = transfer(o, forward, |stop| session::run(&config, &script, o, stop))?;
    let said = format!("{} MiB {ours}", o.big >> 20);
    if !o.peer {
        return Ok(said);
    }
    if !peer::installed() {
        return Err(Failure::Missing(format!("there is no QEMU to run beside; ours: {said}")));
    }
    let forward = free_port()?;
    let (card, jumpers) = model.split_once(',').unwrap_or((model, ""));
    let jumpers = if jumpers.is_empty() { "" } else { ",iobase=0x300,irq=5" };
    let words = [
        "-netdev".into(),
        format!("user,id=net0,hostfwd=tcp:127.0.0.1:{forward}-:80"),
        "-device".into(),
        format!("{card},netdev=net0{jumpers}"),
    ];
    let theirs = transfer(o, forward, |stop| peer::run(&config, &words, &script, o, stop))?;
    let (down, up) = (ours.down / theirs.down, ours.up / theirs.up);
    Ok(format!("{said}; QEMU {theirs}; ratio {down:.2} down, {up:.2} up"))
}

fn transfer_script(port: u16, driver: &str) -> String {
    let url = format!("http://10.0.2.2:{port}");
    let script = Script::ready()
        .step(&format!("net-up {driver}"), " UP")
        .step("ping -c 3 10.0.2.2", "3 packets received")
        .step(&format!("echo D''OWN; wget -q -O /tmp/big {url}/big; echo G''OT"), "GOT")
        .step("crc32 /tmp/big", "/tmp/big")
        .step(&format!("echo U''P; nc 10.0.2.2 {port} < /tmp/big; echo S''ENT"), "SENT")
        .step(
            &format!(
                "for i in $(seq {MANY}); do wget -q -O /tmp/g$i {url}/gate/{MANY} & done; wait; \
                 cat /tmp/g* | grep -c open"
            ),
            "100",
        )
        .step("head -c 300000 /tmp/big > /tmp/part; crc32 /tmp/part", "/tmp/part")
        .step("httpd -p 80 -h /tmp; echo SERV''ING", "SERVING");
    script.0 + "wait serial \"FETCHED\"\nquit\n"
}

/// MiB in a second, both ways.
struct Rates {
    down: f64,
    up: f64,
}

impl std::fmt::Display for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "down at {:.1} MiB/s, up at {:.1} MiB/s", self.down, self.up)
    }
}

/// Runs the transfers and looks at what came of them.
fn transfer(
    o: &Options,
    forward: u16,
    run: impl FnOnce(&Arc<AtomicBool>) -> Result<Run, String>,
) -> Result<Rates, String> {
    // When the guest serves, its file is fetched from outside; then the run ends.
    let stop = Arc::new(AtomicBool::new(false));
    let fetched = fetch_when_serving(forward, Arc::clone(&stop), o.limit);
    let run = run(&stop);
    stop.store(true, Ordering::Relaxed);
    let (run, fetched) = (run?, fetched.join().map_err(|_| "the fetching thread failed".to_owned())?);
    let sum = big_sum(o.big);
    contains(&run, &format!("{sum} /tmp/big"), "the download's checksum")?;
    contains(&run, &format!("{sum} {}", o.big), "the upload's checksum")?;
    let part = part_sum(300_000);
    if fetched != Some(part.clone()) {
        return Err(format!("through the forwarded port came {fetched:?}, not {part:?}"));
    }
    let mib = o.big as f64 / f64::from(1 << 20);
    let rate = |from, to| run.seconds(from, to).map_or(0.0, |s| mib / s);
    Ok(Rates { down: rate("DOWN", "GOT"), up: rate("UP", "SENT") })
}

fn part_sum(len: usize) -> (String, usize) {
    let mut sum = super::server::Crc::default();
    let all: Vec<u8> = super::server::bytes(1 << 20).flatten().take(len).collect();
    sum.add(&all);
    (sum.finish(), len)
}

/// Tries to fetch `/part` from the guest until it comes; then the run may stop. The checksum and the length.
fn fetch_when_serving(
    port: u16,
    stop: Arc<AtomicBool>,
    limit: Duration,
) -> std::thread::JoinHandle<Option<(String, usize)>> {
    std::thread::spawn(move || {
        let until = Instant::now() + limit;
        while Instant::now() < until && !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(500));
            if let Some(body) = fetch(port) {
                stop.store(true, Ordering::Relaxed);
                let mut sum = super::server::Crc::default();
                sum.add(&body);
                return Some((sum.finish(), body.len()));
            }
        }
        None
    })
}

fn fetch(port: u16) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    stream.write_all(b"GET /part HTTP/1.0\r\n\r\n").ok()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    let body = all.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    all.starts_with(b"HTTP/1.").then(|| all[body..].to_vec()).filter(|b| b.len() > 1000)
}
