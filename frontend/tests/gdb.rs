//! Scripted sessions of stock gdb with the binary. Where there is no gdb they are skipped, saying so.
//!
//! What is expected comes from the architecture (reset vector F000:FFF0, boot sector at 07C0h:0 = 7C00h), from the tour's
//! source (its code begins at A000h in protected and C000h in long mode) and from gdb's own understanding of the protocol.

#[path = "common/listens.rs"]
mod listens;

use iced_x86::IcedError;
use iced_x86::code_asm::*;
use listens::listens_at;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testsuite::guests::fetch::Cache;
use testsuite::guests::list::shell;

struct Guest {
    child: Child,
    address: String,
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn temp(name: &str, text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("lucid86-gdb-{}-{name}", std::process::id()));
    std::fs::write(&path, text).expect("a temporary file");
    path
}

/// The keys that walk through the tour: protected mode and back, long mode and back.
const KEYS: &str =
    "wait 500ms\nkey 2\nwait 300ms\nkey enter\nwait 300ms\nkey 3\nwait 300ms\nkey enter\nwait 1s\n";

fn start(args: &[&str]) -> Guest {
    let mut child = Command::new(env!("CARGO_BIN_EXE_lucid86"))
        .args(["--clock", "virtual", "--display", "none", "--gdb", "127.0.0.1:0", "--paused"])
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut errors = child.stderr.take().expect("piped");
    let address = listens_at(&mut errors);
    std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::sink()));
    Guest { child, address }
}

/// What gdb says to these commands, or `None` where there is no gdb.
fn gdb(name: &str, guest: &Guest, commands: &str) -> Option<String> {
    if Command::new("gdb").arg("--version").output().is_err() {
        eprintln!("skipped: there is no gdb here");
        return None;
    }
    let script = format!(
        "set pagination off\nset confirm off\nset tcp connect-timeout 20\ntarget remote {}\n{commands}\n",
        guest.address
    );
    let file = temp(name, &script);
    let mut child = Command::new("gdb")
        .args(["-nx", "-batch", "-x"])
        .arg(&file)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("gdb starts");
    let deadline = Instant::now() + Duration::from_secs(100);
    while child.try_wait().expect("gdb is there").is_none() {
        if Instant::now() > deadline {
            let _ = child.kill();
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let out = child.wait_with_output().expect("gdb's output");
    let _ = std::fs::remove_file(file);
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    println!("{text}");
    Some(text)
}

/// The values that gdb printed as `NAME=VALUE` lines.
fn value(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|l| l.strip_prefix(&format!("{name}=")));
    let line = line.unwrap_or_else(|| panic!("{name} was not printed"));
    u64::from_str_radix(line.trim().trim_start_matches("0x"), 16).expect("a number")
}

#[test]
fn one_session_from_reset_through_the_bios_to_64_bit_code_and_back() {
    let keys = temp("keys", KEYS);
    let guest = start(&["--memory", "32M", "--script", keys.to_str().expect("a name")]);
    let script = r#"
printf "reset=%lx\n", $rip
printf "reset_ip=%lx\n", $ip
printf "reset_base=%lx\n", $cs_base
stepi
printf "post=%lx\n", $rip
break *0x7c00
continue
printf "boot=%lx\n", $rip
printf "boot_cs=%x\n", $cs
printf "sector=%x\n", *(unsigned short *)0x7dfe
hbreak *0xa000
continue
printf "protected=%lx\n", $rip
printf "pe=%lx\n", $cr0 & 1
printf "lma=%lx\n", ($efer >> 10) & 1
break *0xc000
continue
continue
printf "long=%lx\n", $rip
printf "long_lma=%lx\n", ($efer >> 10) & 1
printf "long_cs=%x\n", $cs
stepi
printf "stepped=%lx\n", $rip
reverse-stepi
printf "back=%lx\n", $rip
delete
break *0x7c00
reverse-continue
printf "rboot=%lx\n", $rip
printf "rsector=%x\n", *(unsigned short *)0x7dfe
reverse-continue
printf "begin=%lx\n", $rip
detach
"#;
    let Some(t) = gdb("modes", &guest, script) else { return };
    let _ = std::fs::remove_file(keys);
    assert_eq!(
        (value(&t, "reset"), value(&t, "reset_ip"), value(&t, "reset_base")),
        (0xffff_fff0, 0xfff0, 0xffff_0000)
    );
    assert!((0xf_0000..0x10_0000).contains(&value(&t, "post")), "the reset vector jumps into segment F000h");
    assert_eq!((value(&t, "boot"), value(&t, "sector")), (0x7c00, 0xaa55));
    assert_eq!((value(&t, "protected"), value(&t, "pe"), value(&t, "lma")), (0xa000, 1, 0));
    assert_eq!((value(&t, "long"), value(&t, "long_lma"), value(&t, "long_cs")), (0xc000, 1, 0x18));
    assert!(value(&t, "stepped") > 0xc000);
    assert_eq!(value(&t, "back"), 0xc000);
    assert_eq!((value(&t, "rboot"), value(&t, "rsector")), (0x7c00, 0xaa55));
    assert_eq!(value(&t, "begin"), 0xffff_fff0);
}

#[test]
fn the_last_writer_is_found_backwards() {
    let keys = temp("keys2", KEYS);
    let guest = start(&["--memory", "32M", "--script", keys.to_str().expect("a name")]);
    // Before it leaves real mode the tour stores SP at 50Ch ("mov [50Ch], sp").
    let script = r#"
hbreak *0xa000
continue
delete
watch *(unsigned short *)0x50c
reverse-continue
printf "writer=%lx\n", $rip
printf "insn=%x\n", *(unsigned int *)$rip
detach
"#;
    let Some(t) = gdb("writer", &guest, script) else { return };
    let _ = std::fs::remove_file(keys);
    // MOV r/m16, r16 with reg = SP, rm = disp16 (SDM volume 2, tables 2-1 and A-2): 89 26 and the displacement.
    assert_eq!(value(&t, "insn"), 0x050c_2689, "at {:x}", value(&t, "writer"));
}

#[test]
fn detach_lets_it_run_and_attach_finds_it() {
    let keys = temp("keys3", KEYS);
    let guest = start(&["--memory", "32M", "--script", keys.to_str().expect("a name")]);
    let Some(_) = gdb("detach", &guest, "break *0x7c00\ncontinue\ndetach") else { return };
    let t = gdb(
        "attach",
        &guest,
        "printf \"rip=%lx\\n\", $rip\nmonitor points\nmonitor registers\ninfo threads\ndetach",
    );
    let _ = std::fs::remove_file(keys);
    let t = t.expect("gdb is there");
    assert!(value(&t, "rip") != 0xffff_fff0, "it has run");
    assert!(t.contains("no points"), "gdb's own points went with it");
    assert!(t.contains("processor 0"));
}

#[test]
fn nonsense_on_the_socket_ends_a_session_and_nothing_else() {
    use std::io::{Read, Write};
    let guest = start(&["--memory", "32M"]);
    for bytes in [
        &b"GET / HTTP/1.0\r\n\r\n"[..],
        b"$g#00",
        b"$#00$$$$####",
        b"+$pffffffffffffffff#aa",
        b"$Z0,zz,1#12$m#6d$mffffffffffffffff,ffffffff#00",
        &[0xff; 5000],
    ] {
        let mut s = std::net::TcpStream::connect(&guest.address).expect("it listens still");
        s.set_read_timeout(Some(Duration::from_millis(200))).expect("a time-out");
        let _ = s.write_all(bytes);
        let mut answer = [0; 256];
        let _ = s.read(&mut answer);
    }
    let Some(t) = gdb("after", &guest, "printf \"rip=%lx\\n\", $rip\ndetach") else { return };
    value(&t, "rip");
}

#[test]
fn a_boot_sector_that_jumps_to_07c0_0000() {
    // JMP 07C0:0005; 5: NOP; MOV AX,1234h; JMP $. Flat addresses stay what gdb sees, offsets are `ip`.
    let mut sector = vec![0; 512];
    let code = [0xea, 5, 0, 0xc0, 7, 0x90, 0xb8, 0x34, 0x12, 0xeb, 0xfe];
    sector[..code.len()].copy_from_slice(&code);
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    let image = std::env::temp_dir().join(format!("lucid86-gdb-{}-sector-image", std::process::id()));
    std::fs::write(&image, sector).expect("a temporary file");
    let guest = start(&["--memory", "32M", "--fda", image.to_str().expect("a name")]);
    let script = r#"
break *0x7c06
continue
printf "pc=%lx\n", $rip
printf "ip=%lx\n", $ip
printf "base=%lx\n", $cs_base
printf "cs=%x\n", $cs
stepi
printf "ax=%lx\n", $rax & 0xffff
set $rip = 0x7c05
printf "set_ip=%lx\n", $ip
monitor pc offset
maintenance flush register-cache
printf "offset=%lx\n", $rip
set $rip = 6
monitor pc linear
maintenance flush register-cache
printf "linear=%lx\n", $rip
detach
"#;
    let Some(t) = gdb("sector", &guest, script) else { return };
    let _ = std::fs::remove_file(image);
    assert_eq!(
        (value(&t, "pc"), value(&t, "ip"), value(&t, "base"), value(&t, "cs")),
        (0x7c06, 6, 0x7c00, 0x07c0)
    );
    assert_eq!((value(&t, "ax"), value(&t, "set_ip")), (0x1234, 5));
    assert_eq!((value(&t, "offset"), value(&t, "linear")), (5, 0x7c06));
}

/// A boot sector that goes from real mode straight to 64-bit code at 7C80h (SDM volume 3, section 9.8.5), from there to
/// 32-bit code in a segment with the base 7D00h, and back to 64-bit code at 7D60h.
fn compatibility_sector() -> Result<Vec<u8>, IcedError> {
    let mut sector = vec![0; 512];
    let mut put =
        |at: usize, bytes: &[u8]| sector[at - 0x7c00..at - 0x7c00 + bytes.len()].copy_from_slice(bytes);
    let mut a = CodeAssembler::new(16)?;
    a.cli()?;
    a.cld()?;
    a.xor(ax, ax)?;
    a.mov(ds, ax)?;
    a.mov(es, ax)?;
    // The lowest 2 MiB, mapped to themselves.
    a.mov(di, 0x1000)?;
    a.mov(cx, 0x1800)?;
    a.rep().stosw()?;
    for (at, entry) in [(0x1000, 0x2003), (0x2000, 0x3003), (0x3000, 0x83)] {
        a.mov(word_ptr(at), entry)?;
    }
    a.mov(eax, cr4)?;
    a.or(eax, 0x20)?;
    a.mov(cr4, eax)?;
    a.mov(eax, 0x1000)?;
    a.mov(cr3, eax)?;
    a.mov(ecx, 0xc000_0080u32)?;
    a.rdmsr()?;
    a.or(eax, 0x100)?;
    a.wrmsr()?;
    a.lgdt(word_ptr(0x7df0))?;
    a.mov(eax, cr0)?;
    a.or(eax, 0x8000_0001u32 as i32)?;
    a.mov(cr0, eax)?;
    a.db(&[0xea, 0x80, 0x7c, 0x08, 0])?;
    put(0x7c00, &a.assemble(0x7c00)?);
    let mut a = CodeAssembler::new(64)?;
    a.mov(eax, 0x10)?;
    a.mov(ss, eax)?;
    a.mov(esp, 0x7000)?;
    a.push(0x18)?;
    a.push(0)?;
    a.db(&[0x48, 0xcb])?; // RETF with 64-bit operands
    put(0x7c80, &a.assemble(0x7c80)?);
    // NOP; MOV EAX,12345678h; INC EBX, which in 64-bit code would be a prefix; JMP 08:7D60h.
    put(0x7d00, &[0x90, 0xb8, 0x78, 0x56, 0x34, 0x12, 0x43, 0xea, 0x60, 0x7d, 0, 0, 8, 0]);
    let mut a = CodeAssembler::new(64)?;
    a.mov(rcx, 0x1122_3344_5566_7788u64)?;
    a.db(&[0xeb, 0xfe])?;
    put(0x7d60, &a.assemble(0x7d60)?);
    // 64-bit code, data, 32-bit code.
    let gdt = [0u64, 0x00af_9a00_0000_ffff, 0x00cf_9200_0000_ffff, 0x00cf_9a00_7d00_ffff];
    put(0x7da0, &gdt.map(u64::to_le_bytes).concat());
    put(0x7df0, &[31, 0, 0xa0, 0x7d, 0, 0]);
    put(0x7dfe, &[0x55, 0xaa]);
    Ok(sector)
}

/// What gdb says of a machine that boots [`compatibility_sector`].
fn gdb_on_sector(name: &str, script: &str) -> Option<String> {
    let image = std::env::temp_dir().join(format!("lucid86-gdb-{}-{name}-image", std::process::id()));
    std::fs::write(&image, compatibility_sector().expect("it assembles")).expect("a temporary file");
    let guest = start(&["--memory", "32M", "--fda", image.to_str().expect("a name")]);
    let said = gdb(name, &guest, script);
    let _ = std::fs::remove_file(image);
    said
}

#[test]
fn compatibility_mode_with_a_base() {
    let script = r#"
break *0x7d00
continue
printf "pc=%lx\n", $rip
printf "ip=%lx\n", $ip
printf "base=%lx\n", $cs_base
printf "cs=%x\n", $cs
printf "lma=%lx\n", ($efer >> 10) & 1
stepi
printf "stepped=%lx\n", $rip
printf "stepped_ip=%lx\n", $ip
reverse-stepi
printf "back=%lx\n", $rip
stepi
stepi
printf "eax=%lx\n", $rax
set $rbx = 1
stepi
printf "ebx=%lx\n", $rbx
printf "after=%lx\n", $rip
set $rip = 0x7d01
printf "set_ip=%lx\n", $ip
set $rax = 0
stepi
printf "again=%lx\n", $rip
printf "again_eax=%lx\n", $rax
set $ip = 6
maintenance flush register-cache
printf "ip_set=%lx\n", $rip
break *0x7d07
continue
printf "met=%lx\n", $rip
stepi
printf "long=%lx\n", $rip
printf "long_ip=%lx\n", $ip
printf "long_cs=%x\n", $cs
stepi
printf "rcx=%lx\n", $rcx
delete
break *0x7d06
reverse-continue
printf "reversed=%lx\n", $rip
printf "reversed_ip=%lx\n", $ip
detach
"#;
    let Some(t) = gdb_on_sector("compatibility", script) else { return };
    let all = |names: &[&str]| names.iter().map(|n| value(&t, n)).collect::<Vec<_>>();
    assert_eq!(all(&["pc", "ip", "base", "cs", "lma"]), [0x7d00, 0, 0x7d00, 0x18, 1]);
    assert_eq!(all(&["stepped", "stepped_ip", "back"]), [0x7d01, 1, 0x7d00]);
    assert_eq!(all(&["eax", "ebx", "after"]), [0x1234_5678, 2, 0x7d07]);
    assert_eq!(all(&["set_ip", "again", "again_eax", "ip_set"]), [1, 0x7d06, 0x1234_5678, 0x7d06]);
    assert_eq!(all(&["met", "long", "long_ip", "long_cs"]), [0x7d07, 0x7d60, 0x7d60, 8]);
    assert_eq!(value(&t, "rcx"), 0x1122_3344_5566_7788);
    assert_eq!(all(&["reversed", "reversed_ip"]), [0x7d06, 6]);
}

/// QEMU's own packets (its documentation, "GDB usage", "Examining physical memory"): memory as gdb sees it is physical.
#[test]
fn physical_memory_by_packets() {
    // 20_0000h is mapped nowhere, but there is memory.
    let script = r#"
break *0x7d60
continue
maintenance packet qqemu.PhyMemMode
maintenance packet Qqemu.PhyMemMode:1
maintenance packet qqemu.PhyMemMode
printf "physical=%lx\n", *(unsigned long *)0x200000
set var *(unsigned long *)0x200000 = 0x1234
printf "written=%lx\n", *(unsigned long *)0x200000
maintenance packet Qqemu.PhyMemMode:0
x/xg 0x200000
"#;
    let Some(t) = gdb_on_sector("physical", script) else { return };
    let said: Vec<&str> = t.lines().filter_map(|l| l.strip_prefix("received: ")).collect();
    assert_eq!(said, ["\"0\"", "\"OK\"", "\"1\"", "\"OK\""]);
    assert_eq!((value(&t, "physical"), value(&t, "written")), (0, 0x1234));
    assert!(t.contains("Cannot access memory at address 0x200000"), "it is linear again");
}

/// Debian's cloud kernel by the names that it keeps in its own memory. What a breakpoint by name must stop at and who writes
/// the jiffies is Linux's source (init/main.c, fs/read_write.c, kernel/time/tick-sched.c).
#[test]
fn linux_by_its_own_names() {
    let config = match Cache::open().and_then(|c| shell(&c)) {
        Ok(c) => c,
        Err(e) => {
            eprintln!("skipped: {e}");
            return;
        }
    };
    let (Some(kernel), Some(initrd), Some(append)) = (&config.kernel, &config.initrd, &config.append) else {
        panic!("the suite's guest has a kernel, an initrd and a command line");
    };
    let kernel = kernel.display().to_string();
    let words =
        ["--memory", "256M", "--serial", "none", "--kernel", &kernel, "--initrd", initrd, "--append", append];
    let guest = start(&words);
    let names = temp("names.elf", "");
    // The first command takes longer than gdb's patience of two seconds.
    let script = r#"
monitor goto time 1500ms
monitor symbols linux
monitor symbols export NAMES
add-symbol-file NAMES
hbreak start_kernel
reverse-continue
printf "start=%x\n", $rip == (unsigned long)&start_kernel
delete
break __x64_sys_write
# It may lie behind the present, where gdb stops once.
set $n = 0
while $n < 3 && $rip != (unsigned long)&__x64_sys_write
continue
set $n = $n + 1
end
printf "write=%x\n", $rip == (unsigned long)&__x64_sys_write
monitor bt
delete
break exc_page_fault if (*(unsigned long *)($rdi + 0x88) & 3) == 3
continue
printf "fault=%x\n", $rip == (unsigned long)&exc_page_fault
monitor bt
delete
watch *(unsigned long *)&jiffies
continue
continue
printf "later=%lx\n", *(unsigned long *)&jiffies
reverse-continue
printf "sooner=%lx\n", *(unsigned long *)&jiffies
info symbol $rip
"#;
    let script = script.replace("NAMES", names.to_str().expect("a name"));
    let Some(text) = gdb("linux", &guest, &script) else { return };
    let _ = std::fs::remove_file(names);
    for stop in ["start", "write", "fault"] {
        assert_eq!(value(&text, stop), 1, "{stop}");
    }
    assert!(text.contains("entry_SYSCALL_64"), "the way from user code to write");
    assert!(text.contains("asm_exc_page_fault"), "the way from user code to the fault");
    assert_eq!(value(&text, "sooner") + 1, value(&text, "later"));
    assert!(text.contains("tick_do_update_jiffies64 + ") || text.contains("do_timer + "), "who writes");
}
