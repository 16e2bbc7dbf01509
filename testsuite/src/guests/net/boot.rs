//! Network boot end to end: iPXE, from its CD or out of the card's boot ROM, finds the card, gets an address and a script from the
//! boot server, a kernel and an initrd.

use super::cases::{Script, contains, linux};
use super::session::{self, Options};
use crate::guests::fetch::{Arch, Cache, read};
use crate::tally::Failure;
use lucid86_machine::Config;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// A folder for the boot server, gone when the case ends.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The kernel and initrd of `linux`, and iPXE's script that starts them.
fn folder(linux: &Config) -> Result<Folder, String> {
    let folder = Folder(std::env::temp_dir().join(format!("lucid86-tftp-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).map_err(|e| e.to_string())?;
    let put = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.0.join(name), bytes).map_err(|e| format!("{name}: {e}"))
    };
    put("linux", &read(&linux.kernel.clone().unwrap_or_default())?)?;
    put("initrd", &read(linux.initrd.clone().unwrap_or_default().as_ref())?)?;
    let append = linux.append.clone().unwrap_or_default();
    put(
        "boot.ipxe",
        format!("#!ipxe\nkernel linux initrd=initrd {append}\ninitrd initrd\nboot\n").as_bytes(),
    )?;
    Ok(folder)
}

/// iPXE from Debian's ISO.
pub fn ipxe(cache: &Cache, o: &Options) -> Result<String, Failure> {
    let iso = cache.package("ipxe", Arch::Amd64).map_err(Failure::Missing)?.join("usr/lib/ipxe/ipxe.iso");
    boots(cache, o, ("cdrom", &iso.display().to_string()), "")
}

/// iPXE as the card's boot ROM, started by our BIOS.
pub fn rom(cache: &Cache, o: &Options) -> Result<String, Failure> {
    let rom = cache
        .package("ipxe-qemu", Arch::Amd64)
        .map_err(Failure::Missing)?
        .join("usr/lib/ipxe/qemu/pxe-ne2k_pci.rom");
    boots(cache, o, ("boot", "n"), &format!(",romfile={}", rom.display()))
}

fn boots(cache: &Cache, o: &Options, from: (&str, &str), more: &str) -> Result<String, Failure> {
    let folder = folder(&linux(cache, Arch::I386, &[])?)?;
    let mut config = Config { memory: 512 << 20, ..Config::default() };
    let net = format!("user,tftp={},bootfile=boot.ipxe{more}", folder.0.display());
    for (word, value) in [from, ("net", &net)] {
        config.set(word, Some(value)).map_err(|e| e.to_string())?;
    }
    let script =
        Script::ready().step("net-up ne2k-pci", " UP").step("ping -c 3 10.0.2.2", "3 packets received");
    let run = session::run(&config, &(script.0 + "quit\n"), o, &Arc::new(AtomicBool::new(false)))?;
    contains(&run, "LUCID86 READY", "the kernel that came over the network")?;
    Ok("kernel and initrd came by TFTP; at the shell the card works on".into())
}
