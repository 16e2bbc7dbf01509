//! Boot media and initramfs archives that the suite makes itself out of Debian's packages.

use super::cpio::Cpio;
use super::fetch::{Arch, Cache, find, read};
use super::iso::{BootInfo, Iso};
use std::path::{Path, PathBuf};

/// The folder of the installer's kernel and initrd inside its package.
pub fn installer_dir(cache: &Cache, arch: Arch) -> Result<PathBuf, String> {
    let a = arch.name();
    let tree = cache.package(&format!("debian-installer-12-netboot-{a}"), Arch::Amd64)?;
    Ok(tree.join(format!("usr/lib/debian-installer/images/12/{a}/text/debian-installer/{a}")))
}

/// A Linux kernel to boot: its bzImage and, where it needs them for IDE and CD, its modules' folder.
pub struct Kernel {
    #[allow(missing_docs)]
    pub image: PathBuf,
    /// `.../lib/modules/VERSION`
    pub modules: Option<PathBuf>,
    #[allow(missing_docs)]
    pub arch: Arch,
}

/// The installer's kernel. Its modules come from the kernel package of the same version where Debian still has it.
pub fn installer_kernel(cache: &Cache, arch: Arch) -> Result<Kernel, String> {
    let image = installer_dir(cache, arch)?.join("linux");
    let modules = version(&read(&image)?)
        .and_then(|v| {
            cache.package(&format!("linux-image-{v}"), arch).ok().map(|d| d.join("lib/modules").join(v))
        })
        .filter(|d| d.is_dir());
    Ok(Kernel { image, modules, arch })
}

/// `uname -r` of a bzImage, from its header (Linux Documentation/arch/x86/boot, `kernel_version`).
fn version(image: &[u8]) -> Option<String> {
    let at = usize::from(u16::from_le_bytes(image.get(0x20e..0x210)?.try_into().ok()?)) + 0x200;
    let text: Vec<u8> = image.get(at..)?.iter().copied().take_while(|&b| b > b' ').collect();
    String::from_utf8(text).ok()
}

/// `linux-image-cloud-amd64`.
pub fn cloud_kernel(cache: &Cache) -> Result<Kernel, String> {
    packaged_kernel(cache, "linux-image-cloud-amd64", Arch::Amd64)
}

/// A kernel by the name of its metapackage.
pub fn packaged_kernel(cache: &Cache, meta: &str, arch: Arch) -> Result<Kernel, String> {
    let name = cache.resolve(meta, "linux-image-", arch)?;
    let tree = cache.package(&name, arch)?;
    let modules = find(&tree.join("lib/modules"), "")?;
    Ok(Kernel { image: find(&tree.join("boot"), "vmlinuz-")?, modules: Some(modules), arch })
}

/// The modules that IDE disks, CDs and their file system hang on, in load order.
const MODULES: [&str; 11] = [
    "crct10dif_common",
    "crc64",
    "crc64-rocksoft",
    "crc-t10dif",
    "t10-pi",
    "scsi_common",
    "scsi_mod",
    "libata",
    "ata_piix",
    "sd_mod",
    "sr_mod",
];

/// An initramfs around Debian's static busybox. `/init` mounts the usual file systems, loads the IDE modules, says
/// `LUCID86 READY` and starts a shell on the console.
pub fn initramfs(cache: &Cache, kernel: &Kernel) -> Result<Vec<u8>, String> {
    archive(cache, kernel, false)
}

/// The same with the network: modules of packet sockets, of the NE2000's drivers and of ext4 in `/lib`, not loaded yet, and `net-up`,
/// which takes the words of one card's driver, loads it and asks for an address.
pub fn network_initramfs(cache: &Cache, kernel: &Kernel) -> Result<Vec<u8>, String> {
    archive(cache, kernel, true)
}

/// Modules of the network and of ext4. What is built in is not there.
const NETWORK: [&str; 10] =
    ["af_packet", "8390", "8390p", "ne2k-pci", "ne", "crc32c_generic", "crc16", "mbcache", "jbd2", "ext4"];

/// `net-up ne2k-pci`, or `net-up ne io=0x300 irq=3`.
const NET_UP: &str = "#!/bin/sh\ncard=$1\nshift\n\
    for m in af_packet 8390 8390p; do [ -f /lib/$m.ko ] && insmod /lib/$m.ko; done\n\
    insmod /lib/$card.ko $* || exit 1\nifconfig lo 127.0.0.1 up\nifconfig eth0 up\n\
    udhcpc -i eth0 -n -q -t 5 -T 2 -s /bin/lease && echo NET $card UP\n";

/// What udhcpc calls with a lease.
const LEASE: &str = "#!/bin/sh\n[ \"$1\" = bound ] || exit 0\nifconfig eth0 $ip netmask $subnet\n\
    route add default gw $router\necho nameserver $dns > /etc/resolv.conf\necho LEASE $ip $router $dns\n";

fn archive(cache: &Cache, kernel: &Kernel, network: bool) -> Result<Vec<u8>, String> {
    let busybox = read(&cache.package("busybox-static", kernel.arch)?.join("bin/busybox"))?;
    let mut c = Cpio::default();
    for d in ["bin", "dev", "proc", "sys", "tmp", "mnt", "lib", "etc"] {
        c.dir(d);
    }
    c.device("dev/console", 5, 1);
    c.file("bin/busybox", 0o755, &busybox);
    c.link("bin/sh", "busybox");
    let mut load = String::new();
    if let Some(dir) = &kernel.modules {
        for name in MODULES.into_iter().chain(["cdrom", "isofs"]) {
            if let Some(path) = find_module(dir, name) {
                c.file(&format!("lib/{name}.ko"), 0o644, &read(&path)?);
            }
        }
        // `cdrom` before `sr_mod`; what is built in is not there and fails quietly.
        for name in MODULES.iter().take(10).copied().chain(["cdrom", "sr_mod", "isofs"]) {
            load += &format!("[ -f /lib/{name}.ko ] && insmod /lib/{name}.ko\n");
        }
    }
    if network {
        for name in NETWORK {
            if let Some(path) = kernel.modules.as_ref().and_then(|dir| find_module(dir, name)) {
                c.file(&format!("lib/{name}.ko"), 0o644, &read(&path)?);
            }
        }
        c.file("bin/net-up", 0o755, NET_UP.as_bytes());
        c.file("bin/lease", 0o755, LEASE.as_bytes());
    }
    let init = format!(
        "#!/bin/sh\n/bin/busybox --install -s /bin\nmount -t proc proc /proc\nmount -t sysfs sysfs /sys\n\
         mount -t devtmpfs dev /dev 2>/dev/null\nmkdir -p /dev/pts\n{load}\
         export PATH=/bin PS1='lucid# '\necho LUCID86 READY\nexec setsid cttyhack sh\n"
    );
    c.file("init", 0o755, init.as_bytes());
    Ok(c.finish())
}

fn find_module(dir: &Path, name: &str) -> Option<PathBuf> {
    let mut stack = vec![dir.to_owned()];
    while let Some(d) = stack.pop() {
        for e in std::fs::read_dir(d).ok()?.flatten() {
            let p = e.path();
            if p.is_dir() {
                stack.push(p);
            } else if p.file_name().is_some_and(|n| n.to_string_lossy() == format!("{name}.ko")) {
                return Some(p);
            }
        }
    }
    None
}

/// An ISO that boots GRUB from CD or, as a hybrid, from an IDE disk: Debian's own rescue CD's GRUB with our
/// configuration and files. `files` are (path, bytes).
pub fn grub_iso(cache: &Cache, config: &str, files: Vec<(String, Vec<u8>)>) -> Result<Vec<u8>, String> {
    let modules = cache.package("grub-pc-bin", Arch::Amd64)?.join("usr/lib/grub/i386-pc");
    let rescue = read(&rescue_dir(cache)?.join("grub-rescue-cdrom.iso"))?;
    let core = boot_image(&rescue).ok_or("the rescue CD has no El Torito image")?;
    let mut iso = Iso::new("LUCID86");
    iso.created(rescue[16 * 2048 + 813..16 * 2048 + 830].try_into().map_err(|_| "short ISO")?);
    iso.add("boot/grub/i386-pc/eltorito.img", core);
    iso.add("boot/grub/grub.cfg", config.as_bytes().to_vec());
    for e in std::fs::read_dir(&modules).map_err(|e| e.to_string())?.flatten() {
        let path = e.path();
        if path.extension().is_some_and(|x| x == "mod" || x == "lst") {
            iso.add(&format!("boot/grub/i386-pc/{}", e.file_name().to_string_lossy()), read(&path)?);
        }
    }
    for (path, bytes) in files {
        iso.add(&path, bytes);
    }
    iso.boot("boot/grub/i386-pc/eltorito.img", BootInfo::Grub);
    iso.hybrid(read(&modules.join("boot_hybrid.img"))?);
    iso.build()
}

/// The folder of GRUB's rescue images.
pub fn rescue_dir(cache: &Cache) -> Result<PathBuf, String> {
    Ok(cache.package("grub-rescue-pc", Arch::Amd64)?.join("usr/lib/grub-rescue"))
}

/// The El Torito boot image of an ISO, found as firmware finds it; its length is read from the file that starts there.
fn boot_image(iso: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(iso.get(at..at + 4)?.try_into().ok()?) as usize);
    let catalog = word(17 * 2048 + 71)? * 2048;
    let start = word(catalog + 40)?;
    let root = word(16 * 2048 + 156 + 2)?;
    let size = file_size(iso, root, start, 0)?;
    iso.get(start * 2048..start * 2048 + size).map(<[u8]>::to_vec)
}

/// The size of the file whose data start at sector `lba`, by a walk over the directories from sector `dir` on.
fn file_size(iso: &[u8], dir: usize, lba: usize, depth: u32) -> Option<usize> {
    let word = |at: usize| Some(u32::from_le_bytes(iso.get(at..at + 4)?.try_into().ok()?) as usize);
    let size = word(dir * 2048 + 10)?;
    let mut at = dir * 2048;
    while depth < 8 && at < dir * 2048 + size {
        let len = usize::from(*iso.get(at)?);
        if len == 0 {
            at = (at / 2048 + 1) * 2048;
            continue;
        }
        let (extent, bytes, flags) = (word(at + 2)?, word(at + 10)?, *iso.get(at + 25)?);
        let special = *iso.get(at + 32)? == 1 && *iso.get(at + 33)? < 2;
        if flags & 2 == 0 && extent == lba {
            return Some(bytes);
        }
        let below = flags & 2 != 0 && !special;
        if let Some(found) = below.then(|| file_size(iso, extent, lba, depth + 1)).flatten() {
            return Some(found);
        }
        at += len;
    }
    None
}

/// The installer on an El Torito ISO by isolinux, with a text menu. `append` goes before the installer's own words.
pub fn installer_iso(cache: &Cache, arch: Arch, append: &str) -> Result<Vec<u8>, String> {
    let dir = installer_dir(cache, arch)?;
    let isolinux = cache.package("isolinux", Arch::Amd64)?.join("usr/lib/ISOLINUX/isolinux.bin");
    let modules = cache.package("syslinux-common", Arch::Amd64)?.join("usr/lib/syslinux/modules/bios");
    let mut iso = Iso::new("LUCID86 INSTALLER");
    iso.add("isolinux/isolinux.bin", read(&isolinux)?);
    for m in ["ldlinux.c32", "menu.c32", "vesamenu.c32", "libcom32.c32", "libutil.c32"] {
        iso.add(&format!("isolinux/{m}"), read(&modules.join(m))?);
    }
    iso.add("install/vmlinuz", read(&dir.join("linux"))?);
    iso.add("install/initrd.gz", read(&dir.join("initrd.gz"))?);
    let config = format!(
        "default menu.c32\nprompt 0\ntimeout 0\nmenu title Debian installer ({})\n\
         label install\n menu label ^Install\n kernel /install/vmlinuz\n append {append} initrd=/install/initrd.gz --- quiet\n\
         label local\n menu label ^Boot from the first disk\n localboot 0x80\n",
        arch.name()
    );
    iso.add("isolinux/isolinux.cfg", config.into_bytes());
    iso.boot("isolinux/isolinux.bin", BootInfo::Isolinux);
    iso.build()
}
