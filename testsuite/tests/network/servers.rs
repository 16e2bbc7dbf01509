//! DHCP and the boot server as clients see them, whole and cut.

use crate::world::Net;
use lucid86_machine::config::UserNet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use testsuite::wire::{DNS, GATEWAY, Seen, dhcp, udp};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("lucid86-net-{name}-{}", std::process::id()));
        fs::create_dir_all(path.join("served/sub")).unwrap();
        fs::write(path.join("secret"), b"not for guests").unwrap();
        fs::write(path.join("served/sub/file"), content()).unwrap();
        Folder(path)
    }

    fn config(&self) -> UserNet {
        UserNet { tftp: Some(self.0.join("served")), bootfile: Some("sub/file".into()), ..UserNet::default() }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn content() -> Vec<u8> {
    (0..5000u32).map(|n| n as u8).collect()
}

fn read_request(name: &str, options: &str) -> Vec<u8> {
    udp(GATEWAY, (2000, 69), &[&[0, 1][..], name.as_bytes(), b"\0octet\0", options.as_bytes()].concat())
}

#[test]
fn a_lease_names_the_boot_file_and_its_server() {
    let folder = Folder::new("lease");
    let mut net = Net::new(&folder.config());
    let offers = net.ask(&udp([255; 4], (68, 67), &dhcp(1, &[255])));
    let m = offers[0].data();
    // RFC 2131, figure 1: siaddr at 20, file at 108.
    assert_eq!((offers[0].ports(), &m[20..24], &m[108..116]), ((67, 68), &GATEWAY[..], &b"sub/file"[..]));
    let request = udp([255; 4], (68, 67), &dhcp(3, &[50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2, 255]));
    assert_eq!(net.ask(&request)[0].data()[240..243], [53, 1, 5], "DHCPACK");
    let whole = dhcp(1, &[55, 3, 1, 3, 6, 61, 7, 1, 2, 3, 4, 5, 6, 7, 255]);
    for n in 0..whole.len() {
        let answers = net.ask(&udp([255; 4], (68, 67), &whole[..n]));
        assert!(n >= 240 || answers.is_empty(), "{n} bytes are no message");
    }
    assert_eq!(net.router.flows(), 0);
}

#[test]
fn a_file_comes_in_blocks_and_windows() {
    let folder = Folder::new("blocks");
    let mut net = Net::new(&folder.config());
    let first = net.ask(&read_request("/sub/file", "blksize\x001000\0windowsize\x002\0tsize\x000\0"));
    // RFC 2347: an OACK with what was taken.
    assert_eq!(first[0].data(), b"\0\x06blksize\x001000\0windowsize\x002\0tsize\x005000\0");
    let port = first[0].ports().0;
    let ack = |n: u8| udp(GATEWAY, (2000, port), &[0, 4, 0, n]);
    let mut got: Vec<u8> = Vec::new();
    for n in [0, 2, 4] {
        let blocks: Vec<Seen> = net.ask(&ack(n));
        assert_eq!(blocks.len(), 2, "a window");
        blocks.iter().for_each(|b| got.extend(&b.data()[4..]));
    }
    assert_eq!(got, content(), "the sixth block is empty: the file ends with the fifth");
    assert!(net.ask(&ack(6)).is_empty());
    // Nobody acknowledges: again and again, then no more.
    net.ask(&read_request("sub/file", ""));
    let again: usize = (0..60).map(|_| net.pass(Duration::from_secs(1)).len()).sum();
    assert!((1..=10).contains(&again), "{again} times");
}

#[test]
fn nothing_outside_of_the_folder_is_served() {
    let folder = Folder::new("outside");
    #[cfg(unix)]
    std::os::unix::fs::symlink(folder.0.join("secret"), folder.0.join("served/link")).unwrap();
    let mut net = Net::new(&folder.config());
    let absolute = folder.0.join("secret").display().to_string();
    for name in ["../secret", "sub/../../secret", "link", &absolute, "sub", "", ".", "..", "no/such"] {
        let answers = net.ask(&read_request(name, ""));
        // RFC 1350, 5: ERROR, file not found.
        assert_eq!(answers[0].data()[..4], [0, 5, 0, 1], "{name}");
    }
    let write = udp(GATEWAY, (2000, 69), b"\0\x02new\0octet\0");
    assert_eq!(net.ask(&write)[0].data()[..4], [0, 5, 0, 2], "reading only");
}

#[test]
fn cut_requests_and_queries_are_survived() {
    let folder = Folder::new("cut");
    let mut net = Net::new(&folder.config());
    let request = b"\0\x01sub/file\0octet\0blksize\x001000\0";
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    for n in 0..request.len() {
        net.ask(&udp(GATEWAY, (2000, 69), &request[..n]));
    }
    for n in 0..query.len() {
        let answers = net.ask(&udp(DNS, (2001, 53), &query[..n]));
        // RFC 1035, 4.1.1: less than a header is no query.
        assert_eq!(n >= 12, answers.first().is_some_and(|a| a.icmp().is_none()), "{n}");
    }
    assert_eq!(net.router.flows(), 0);
}
