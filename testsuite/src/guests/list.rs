//! The guests: what each is made of, what is done at it, and how it must end.

use super::fetch::{Arch, Cache, read};
use super::media::{self, Kernel};
use lucid86_machine::{Config, Outcome};
use std::path::PathBuf;

/// One guest to run: a machine, a script and an end.
pub struct Guest {
    /// The machine, without clock and script.
    pub config: Config,
    /// What is done at it ([`lucid86_machine::script`]); the guest passes when all of it is done.
    pub script: String,
    /// How the run must end.
    pub end: Outcome,
    /// Looks at what came out of COM1; an error fails the guest.
    pub check: fn(&str) -> Result<(), String>,
    /// The disk that it writes to, if it does.
    pub scratch: Option<Scratch>,
}

/// An empty disk image of this run's own (suites may run side by side), gone with it.
pub struct Scratch(PathBuf);

impl Scratch {
    /// So many zero bytes.
    pub fn new(cache: &Cache, name: &str, bytes: usize) -> Result<Scratch, String> {
        let path = cache.made()?.join(format!("scratch-{name}-{}.img", std::process::id()));
        std::fs::write(&path, vec![0; bytes]).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Scratch(path))
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed is only left behind.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Makes a guest, fetching what it needs.
pub type Make = fn(&Cache) -> Result<Vec<Guest>, String>;

/// All guests by name. A guest may take several runs (a reboot); they follow one another.
pub const GUESTS: &[(&str, Make)] = &[
    ("grub-floppy", grub_floppy),
    ("grub-cdrom", |c| grub_cdrom(c, Bios::Ours)),
    ("linux-i386", |c| linux(&media::installer_kernel(c, Arch::I386)?, c)),
    ("linux-amd64", |c| linux(&media::installer_kernel(c, Arch::Amd64)?, c)),
    ("linux-cloud", |c| linux(&media::cloud_kernel(c)?, c)),
    ("disk-i386", |c| grub_linux(c, Arch::I386, Medium::Disk, Bios::Ours)),
    ("disk-amd64", |c| grub_linux(c, Arch::Amd64, Medium::Disk, Bios::Ours)),
    ("iso-i386", |c| grub_linux(c, Arch::I386, Medium::Cd, Bios::Ours)),
    ("iso-amd64", |c| grub_linux(c, Arch::Amd64, Medium::Cd, Bios::Ours)),
    ("installer-i386", |c| installer(c, Arch::I386, Bios::Ours)),
    ("installer-amd64", |c| installer(c, Arch::Amd64, Bios::Ours)),
    ("memtest-32", |c| memtest_kernel(c, "memtest86+ia32.bin")),
    ("memtest-64", |c| memtest_kernel(c, "memtest86+x64.bin")),
    ("memtest-grub-32", |c| memtest_grub(c, "memtest86+ia32.bin")),
    ("memtest-grub-64", |c| memtest_grub(c, "memtest86+x64.bin")),
    ("seabios-disk", |c| grub_linux(c, Arch::I386, Medium::Disk, Bios::Sea)),
    ("seabios-grub-cdrom", |c| grub_cdrom(c, Bios::Sea)),
    ("seabios-installer", |c| installer(c, Arch::Amd64, Bios::Sea)),
    ("bochs-bios-disk", |c| grub_linux(c, Arch::I386, Medium::Disk, Bios::Bochs)),
    ("bochs-bios-cdrom", |c| grub_linux(c, Arch::Amd64, Medium::Cd, Bios::Bochs)),
    ("xen", xen),
    ("u-boot-32", |c| u_boot(c, "qemu-x86")),
    ("u-boot-64", |c| u_boot(c, "qemu-x86_64")),
    ("ovmf", ovmf),
];

/// What every change is tested with: a kernel of each width, GRUB and Linux from floppy, disk and CD, the installer,
/// the same machine under another BIOS and as firmware of others finds it, and a hypervisor. The rest, and memtest86+ above all, takes longer.
pub const CI: &[&str] = &[
    "linux-cloud",
    "grub-floppy",
    "disk-i386",
    "iso-amd64",
    "seabios-grub-cdrom",
    "xen",
    "u-boot-64",
    "ovmf",
    "net-boot-rom",
];

/// Whose firmware.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bios {
    Ours,
    Sea,
    Bochs,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Medium {
    Disk,
    Cd,
}

fn machine(cache: &Cache, bios: Bios, memory_mib: u64) -> Result<Config, String> {
    let mut c = Config { memory: memory_mib << 20, discard_writes: true, ..Config::default() };
    match bios {
        Bios::Ours => {}
        Bios::Sea => {
            let dir = cache.package("seabios", Arch::Amd64)?.join("usr/share/seabios");
            c.bios = Some(dir.join("bios-256k.bin"));
            c.vga_bios = Some(dir.join("vgabios-stdvga.bin"));
        }
        Bios::Bochs => {
            c.bios = Some(cache.package("bochsbios", Arch::Amd64)?.join("usr/share/bochs/BIOS-bochs-latest"));
            c.vga_bios = Some(cache.package("vgabios", Arch::Amd64)?.join("usr/share/vgabios/vgabios.bin"));
        }
    }
    Ok(c)
}

fn nothing(_: &str) -> Result<(), String> {
    Ok(())
}

fn quits(config: Config, script: &str) -> Vec<Guest> {
    vec![Guest {
        config,
        script: format!("{script}quit\n"),
        end: Outcome::Quit,
        check: nothing,
        scratch: None,
    }]
}

/// What the command typed below prints, which the command itself does not contain.
const GRUB_COMMAND: &str =
    "wait screen \"grub>\"\ntype \"set x=lu\\n\"\ntype \"echo ${x}cid86\\n\"\nwait screen \"lucid86\"\n";

fn grub_floppy(cache: &Cache) -> Result<Vec<Guest>, String> {
    let mut c = machine(cache, Bios::Ours, 64)?;
    c.fd[0] = Some(media::rescue_dir(cache)?.join("grub-rescue-floppy.img"));
    Ok(quits(c, &format!("wait screen \"FreeBSD\"\nwait 1s\nkey c\n{GRUB_COMMAND}")))
}

fn grub_cdrom(cache: &Cache, bios: Bios) -> Result<Vec<Guest>, String> {
    let mut c = machine(cache, bios, 64)?;
    c.cdrom = Some(media::rescue_dir(cache)?.join("grub-rescue-cdrom.iso"));
    Ok(quits(c, &format!("wait screen \"FreeBSD\"\nwait 1s\nkey c\n{GRUB_COMMAND}")))
}

/// A file of the cache that is made once.
pub fn made(
    cache: &Cache,
    name: &str,
    make: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<PathBuf, String> {
    let path = cache.made()?.join(name);
    if !path.is_file() {
        let part = path.with_extension(format!("{}.part", std::process::id()));
        std::fs::write(&part, make()?).map_err(|e| format!("{}: {e}", part.display()))?;
        std::fs::rename(&part, &path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(path)
}

fn initrd(cache: &Cache, kernel: &Kernel) -> Result<PathBuf, String> {
    let name = kernel.image.display().to_string();
    let tag = xxhash_rust::xxh3::xxh3_64(name.as_bytes());
    made(cache, &format!("initramfs-{}-{tag:016x}.cpio", kernel.arch.name()), || {
        media::initramfs(cache, kernel)
    })
}

const CONSOLE: &str = "console=ttyS0,115200 panic=-1";

/// A machine that comes up at Linux's shell on COM1 after `LUCID86 READY`.
pub fn shell(cache: &Cache) -> Result<Config, String> {
    let kernel = media::cloud_kernel(cache)?;
    linux_machine(&kernel, cache)
}

fn linux_machine(kernel: &Kernel, cache: &Cache) -> Result<Config, String> {
    let mut c = machine(cache, Bios::Ours, 256)?;
    c.kernel = Some(kernel.image.clone());
    c.initrd = Some(initrd(cache, kernel)?.display().to_string());
    c.append = Some(CONSOLE.into());
    Ok(c)
}

/// Linux by `--kernel` to a shell where commands are typed; a disk is written, the machine reboots and reads it back.
fn linux(kernel: &Kernel, cache: &Cache) -> Result<Vec<Guest>, String> {
    let mut c = linux_machine(kernel, cache)?;
    let ready = "wait serial \"LUCID86 READY\"\nwait serial \"lucid# \"\n";
    let step = |command: &str, answer: &str| {
        format!("serial \"{command}\\n\"\nwait serial \"{answer}\"\nwait serial \"lucid# \"\n")
    };
    let mut first = ready.to_owned();
    first += &step("uname -a", "GNU/Linux");
    first += &step("cat /proc/interrupts", "ttyS0");
    first += &step("echo abcabc | tr abc xyz | sort", "xyzxyz");
    first +=
        &step("echo source is $(cat /sys/devices/system/clocksource/*/current_clocksource)", "source is tsc");
    first += &step("grep -c GenuineIntel /proc/cpuinfo", "1");
    first += &step("grep 'model name' /proc/cpuinfo", ": Lucid86 x86-64-v2");
    first += &step("dmesg -r | grep '^<[0-4]>' | sed 's/^/WARN /'; echo end of warnings", "end of warnings");
    let off = "serial \"poweroff -f\\n\"\n";
    let mut runs = Vec::new();
    if kernel.modules.is_none() {
        runs.push(Guest {
            config: c,
            script: first + off,
            end: Outcome::PowerOff,
            check: warnings,
            scratch: None,
        });
        return Ok(runs);
    }
    let tag = xxhash_rust::xxh3::xxh3_64(kernel.image.display().to_string().as_bytes());
    let disk = Scratch::new(cache, &format!("{tag:016x}"), 8 << 20)?;
    c.hd[0] = Some(disk.0.clone());
    c.discard_writes = false;
    first +=
        &step("seq 1 200000 > /tmp/s; dd if=/tmp/s of=/dev/sda bs=64k conv=fsync; echo written", "written");
    first += "serial \"reboot -f\\n\"\n";
    first += ready;
    first +=
        &step("seq 1 200000 > /tmp/s; cmp -n 1288895 /tmp/s /dev/sda && echo disk holds it", "disk holds it");
    let end = Outcome::PowerOff;
    runs.push(Guest { config: c, script: first + off, end, check: warnings, scratch: Some(disk) });
    Ok(runs)
}

/// Kernel messages of level warning and above: those that Debian's QEMU 7.2 `-M pc` prints for the same three kernels
/// too (compared line by line), each with its reason.
const KNOWN_WARNINGS: &[(&str, &str)] = &[(
    "acpi PNP0A03:00: fail to add MMCONFIG information, can't access extended PCI configuration space",
    "no PCI Express on this board",
)];

fn warnings(serial: &str) -> Result<(), String> {
    let unknown: Vec<&str> = serial
        .lines()
        .filter_map(|l| l.trim_end().strip_prefix("WARN "))
        .filter(|l| !KNOWN_WARNINGS.iter().any(|(k, _)| l.contains(k)))
        .collect();
    if !unknown.is_empty() {
        return Err(format!("kernel warnings: {}", unknown.join(" | ")));
    }
    // /proc/interrupts: spurious vectors of the local APIC, errors of the APICs.
    for name in ["SPU:", "ERR:", "MIS:"] {
        let count = serial.lines().find_map(|l| l.trim().strip_prefix(name)).map(str::trim_start);
        if !count.is_some_and(|c| c.trim_end() == "0" || c.starts_with("0 ")) {
            return Err(format!("/proc/interrupts says {name} {count:?}"));
        }
    }
    Ok(())
}

/// Linux from GRUB, on an IDE disk or a CD, through a BIOS.
fn grub_linux(cache: &Cache, arch: Arch, medium: Medium, bios: Bios) -> Result<Vec<Guest>, String> {
    let kernel = media::installer_kernel(cache, arch)?;
    let image = made(cache, &format!("grub-{}.iso", arch.name()), || {
        let files = vec![("k".into(), read(&kernel.image)?), ("i".into(), read(&initrd(cache, &kernel)?)?)];
        let config = format!("set timeout=1\nmenuentry linux {{\n linux /k {CONSOLE}\n initrd /i\n}}\n");
        media::grub_iso(cache, &config, files)
    })?;
    let mut c = machine(cache, bios, 256)?;
    match medium {
        Medium::Disk => c.hd[0] = Some(image),
        Medium::Cd => c.cdrom = Some(image),
    }
    let script = "wait serial \"LUCID86 READY\"\nwait serial \"lucid# \"\nserial \"uname -m\\n\"\n\
                  wait serial \"lucid# \"\nserial \"poweroff -f\\n\"\n";
    Ok(vec![Guest {
        config: c,
        script: script.into(),
        end: Outcome::PowerOff,
        check: nothing,
        scratch: None,
    }])
}

/// The Xen hypervisor from GRUB on a CD, with Linux as its first domain: paravirtualised, in user mode.
fn xen(cache: &Cache) -> Result<Vec<Guest>, String> {
    let package = cache.resolve("xen-system-amd64", "xen-hypervisor-", Arch::Amd64)?;
    let boot = cache.package(&package, Arch::Amd64)?.join("boot");
    let kernel = media::installer_kernel(cache, Arch::Amd64)?;
    let image = made(cache, &format!("grub-{package}.iso"), || {
        // xen-hypervisor-VERSION-amd64 has xen-VERSION-amd64.gz.
        let hypervisor = read(&boot.join(package.replacen("hypervisor-", "", 1) + ".gz"))?;
        let files = vec![
            ("x".into(), hypervisor),
            ("k".into(), read(&kernel.image)?),
            ("i".into(), read(&initrd(cache, &kernel)?)?),
        ];
        // The words in front are what a hypervisor takes for its own file's name.
        let config = "set timeout=1\nmenuentry xen {\n multiboot2 /x xen dom0_mem=256M com1=115200,8n1 console=com1\n \
                      module2 /k linux console=hvc0 panic=-1\n module2 /i initrd\n}\n";
        media::grub_iso(cache, config, files)
    })?;
    let mut c = machine(cache, Bios::Ours, 512)?;
    c.cdrom = Some(image);
    let script = "wait serial \"Xen version\"\nwait serial \"LUCID86 READY\"\nwait serial \"lucid# \"\n\
                  serial \"cat /sys/hypervisor/type; echo abc | tr abc xyz\\n\"\nwait serial \"xen\"\nwait serial \"xyz\"\n\
                  serial \"poweroff -f\\n\"\n";
    Ok(vec![Guest {
        config: c,
        script: script.into(),
        end: Outcome::PowerOff,
        check: nothing,
        scratch: None,
    }])
}

/// U-Boot in place of the BIOS, as far as its prompt: the whole of a machine's firmware, which none of ours has touched.
fn u_boot(cache: &Cache, board: &str) -> Result<Vec<Guest>, String> {
    let mut c = machine(cache, Bios::Ours, 256)?;
    let dir = cache.package("u-boot-qemu", Arch::Amd64)?.join("usr/lib/u-boot");
    c.bios = Some(dir.join(board).join("u-boot.rom"));
    let script = "wait serial \"U-Boot\"\nwait serial \"No ethernet found\"\nwait serial \"=> \"\n\
                  serial \"setenv x 60; echo at ${x}86\\n\"\nwait serial \"at 6086\"\n";
    Ok(quits(c, script))
}

/// UEFI firmware in place of the BIOS: it finds the CD drive, and its shell answers.
fn ovmf(cache: &Cache) -> Result<Vec<Guest>, String> {
    let mut c = machine(cache, Bios::Ours, 256)?;
    c.bios = Some(cache.package("ovmf", Arch::Amd64)?.join("usr/share/ovmf/OVMF.fd"));
    c.cdrom = Some(media::rescue_dir(cache)?.join("grub-rescue-cdrom.iso"));
    let script = "wait serial \"UEFI Interactive Shell\"\nwait serial \"CDROM(0x0)\"\nwait serial \"Shell> \"\n\
                  serial \"set -v x 60\\r\"\nwait serial \"Shell> \"\nserial \"echo at%x%86\\r\"\nwait serial \"at6086\"\n";
    Ok(quits(c, script))
}

/// Words for the installer's kernel that keep the screen in text mode, where its questions can be read: no driver for
/// the card's graphics modes. (Without them it asks the same in 1024x768.)
const TEXT_MODE: &str = "vga=normal fb=false nomodeset";

/// The Debian installer from an El Torito ISO: boot menu, then its first question.
fn installer(cache: &Cache, arch: Arch, bios: Bios) -> Result<Vec<Guest>, String> {
    let image = made(cache, &format!("installer-text-{}.iso", arch.name()), || {
        media::installer_iso(cache, arch, TEXT_MODE)
    })?;
    let mut c = machine(cache, bios, 1024)?;
    c.cdrom = Some(image);
    Ok(quits(c, "wait screen \"Debian installer\"\nwait 1s\nkey enter\nwait screen \"Select a language\"\n"))
}

/// Tests 0 to 9 of memtest86+ once through. Test 10 follows them and is left out: it only waits, for minutes.
const MEMTEST: &str = "wait screen \"Test #10\"\nwait screen \"Errors: 0\"\n";

fn memtest_image(cache: &Cache, name: &str) -> Result<PathBuf, String> {
    Ok(cache.package("memtest86+", Arch::Amd64)?.join("boot").join(name))
}

fn memtest_kernel(cache: &Cache, name: &str) -> Result<Vec<Guest>, String> {
    let mut c = machine(cache, Bios::Ours, 24)?;
    c.kernel = Some(memtest_image(cache, name)?);
    Ok(quits(c, MEMTEST))
}

fn memtest_grub(cache: &Cache, name: &str) -> Result<Vec<Guest>, String> {
    let image = made(cache, &format!("grub-{name}.iso"), || {
        let config = "set timeout=1\nmenuentry memtest {\n linux /m\n}\n";
        media::grub_iso(cache, config, vec![("m".into(), read(&memtest_image(cache, name)?)?)])
    })?;
    let mut c = machine(cache, Bios::Ours, 24)?;
    c.cdrom = Some(image);
    Ok(quits(c, MEMTEST))
}
