//! Scripted sessions of stock gdb with the binary. Where there is no gdb they are skipped, saying so.
//!
//! What is expected comes from the architecture (reset vector F000:FFF0, boot sector at 07C0h:0 = 7C00h), from the tour's
//! source (its code begins at A000h in protected and C000h in long mode) and from gdb's own understanding of the protocol.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use testsuite::guests::fetch::Cache;
use testsuite::guests::list::shell;

struct Guest {
    child: Child,
    port: u16,
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
    let free = TcpListener::bind("127.0.0.1:0").expect("a socket").local_addr().expect("its address").port();
    let address = format!("127.0.0.1:{free}");
    let child = Command::new(env!("CARGO_BIN_EXE_lucid86"))
        .args(["--clock", "virtual", "--display", "none", "--gdb", &address, "--paused"])
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let guest = Guest { child, port: free };
    let deadline = Instant::now() + Duration::from_secs(20);
    // A probe that connects would be a gdb that comes and goes: look whether the port is taken instead.
    while TcpListener::bind(&address).is_ok() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    guest
}

/// What gdb says to these commands, or `None` where there is no gdb.
fn gdb(name: &str, guest: &Guest, commands: &str) -> Option<String> {
    if Command::new("gdb").arg("--version").output().is_err() {
        eprintln!("skipped: there is no gdb here");
        return None;
    }
    let script = format!(
        "set pagination off\nset confirm off\nset tcp connect-timeout 20\ntarget remote 127.0.0.1:{}\n{commands}\n",
        guest.port
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
        let mut s = std::net::TcpStream::connect(("127.0.0.1", guest.port)).expect("it listens still");
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
