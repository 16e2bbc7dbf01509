//! Who can be reached, and how the guest hears that someone can't.

use crate::world::Net;
use lucid86_machine::config::{Forward, UserNet};
use lucid86_machine::net::user::host::{Class, token};
use std::net::SocketAddr;
use std::time::Duration;
use testsuite::wire::{DNS, GATEWAY, MAC, Segment, checked, flag, kind, piece, ping, udp};

const FAR: [u8; 4] = [93, 184, 216, 34];

fn syn(port: u16) -> Segment {
    Segment { ports: (4000, port), seq: 100, flags: flag::SYN, window: 1000, ..Segment::default() }
}

/// What the answer to a SYN is.
fn answer(net: &mut Net, to: [u8; 4], port: u16) -> u8 {
    let answers = net.ask(&syn(port).frame(to));
    answers.iter().find_map(|s| s.segment().map(|s| s.2)).unwrap_or(0)
}

const REFUSED: u8 = flag::RST | flag::ACK;

#[test]
fn the_hosts_loopback_is_reached_only_when_asked() {
    let mut net = Net::new(&UserNet::default());
    for to in
        [GATEWAY, [127, 0, 0, 1], [127, 9, 9, 9], [0, 0, 0, 0], [10, 0, 2, 77], [255; 4], [224, 0, 0, 1]]
    {
        assert_eq!(answer(&mut net, to, 22), REFUSED, "{to:?}");
        net.ask(&udp(to, (4000, 22), b"hello"));
        net.ask(&ping(to, 1, b"hello"));
    }
    assert!(net.world.state().connects.is_empty() && net.world.state().datagrams.is_empty());
    let mut net = Net::new(&UserNet { host: true, ..UserNet::default() });
    assert_eq!(answer(&mut net, GATEWAY, 22), flag::SYN | flag::ACK);
    assert_eq!(answer(&mut net, [127, 0, 0, 1], 22), REFUSED);
    assert_eq!(net.world.state().connects, ["127.0.0.1:22".parse().unwrap()]);
}

#[test]
fn restricted_guests_reach_nobody_but_forwards_reach_them() {
    let forward = Forward { udp: true, host: "127.0.0.1:5000".parse().unwrap(), guest_port: 53 };
    let config = UserNet { restrict: true, host: true, forwards: vec![forward], ..UserNet::default() };
    let mut net = Net::new(&config);
    assert_eq!(answer(&mut net, FAR, 80), REFUSED);
    assert_eq!(answer(&mut net, GATEWAY, 80), REFUSED);
    // RFC 1812, 5.2.7.1: code 13, communication administratively prohibited.
    let answers = net.ask(&udp(FAR, (4000, 7), b"hello, far one"));
    assert_eq!(answers[0].icmp(), Some((3, 13)));
    assert_eq!(net.ask(&ping(FAR, 1, b"hello, far one"))[0].icmp(), Some((3, 13)));
    assert_eq!(net.ask(&ping(GATEWAY, 1, b"hello"))[0].icmp(), Some((0, 0)), "the gateway itself answers");
    assert!(net.world.state().connects.is_empty() && net.world.state().datagrams.is_empty());
    assert!(net.world.state().echoes.is_empty());
    forwards_datagrams(&mut net);
}

/// A datagram to the forwarded port and the guest's answer.
fn forwards_datagrams(net: &mut Net) {
    let peer: SocketAddr = "127.0.0.1:40000".parse().unwrap();
    net.world.state().knocking.push_back((b"question".to_vec(), peer));
    net.router.socket_ready(token(Class::Forward, 0), true, false);
    let came = net.pass(Duration::ZERO);
    assert_eq!((came[0].from, came[0].ports(), came[0].data()), (GATEWAY, (40000, 53), &b"question"[..]));
    assert!(net.ask(&udp(GATEWAY, (53, 40000), b"answer")).is_empty());
    assert_eq!(net.world.state().forwarded, [(b"answer".to_vec(), peer)]);
}

#[test]
fn datagrams_go_out_and_come_back() {
    let mut net = Net::new(&UserNet::default());
    assert!(net.ask(&udp(FAR, (4000, 7), b"hello")).is_empty());
    assert_eq!(net.world.state().datagrams, ["93.184.216.34:7".parse().unwrap()]);
    net.router.socket_ready(token(Class::Udp, 1), true, false);
    let back = net.pass(Duration::ZERO);
    assert_eq!((back[0].from, back[0].ports(), back[0].data()), (FAR, (7, 4000), &b"hello"[..]));
}

#[test]
fn pings_beyond_the_gateway_go_where_the_host_lets_them() {
    let mut net = Net::new(&UserNet::default());
    for _ in 0..3 {
        assert_eq!(net.ask(&ping(FAR, 7, b"hello, far one"))[0].icmp(), Some((3, 13)));
    }
    assert_eq!(net.said.lock().unwrap().len(), 1, "said once");
    net.world.state().may_ping = true;
    assert!(net.ask(&ping(FAR, 7, b"hello, far one")).is_empty());
    assert_eq!(net.world.state().echoes, ["93.184.216.34".parse::<std::net::Ipv4Addr>().unwrap()]);
}

#[test]
fn names_are_asked_of_the_hosts_server_or_fail_at_once() {
    let query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    let mut net = Net::new(&UserNet::default());
    let failed = net.ask(&udp(DNS, (4000, 53), query));
    // RFC 1035, 4.1.1: a response, with RCODE 2.
    assert_eq!((failed[0].data()[2] & 0x80, failed[0].data()[3] & 15), (0x80, 2));
    assert_eq!(net.ask(&udp(DNS, (4000, 54), query))[0].icmp(), Some((3, 3)), "no other port");
    let server: SocketAddr = "127.0.0.53:53".parse().unwrap();
    net.world.state().resolver = Some(server);
    assert!(net.ask(&udp(DNS, (4001, 53), query)).is_empty());
    assert_eq!(net.world.state().datagrams, [server]);
}

#[test]
fn pieces_of_packets_are_not_kept() {
    let mut net = Net::new(&UserNet { host: true, ..UserNet::default() });
    let body = checked(GATEWAY, kind::ICMP, [&[8, 0, 0, 0, 0, 1, 0, 1][..], &[7; 2992]].concat(), 2);
    for n in 0..20_000u32 {
        let (part, fragment) =
            if n % 2 == 0 { (&body[..1480], [0x20, 0]) } else { (&body[1480..], [0, 185]) };
        let mut f = piece(GATEWAY, kind::ICMP, fragment, part);
        f[18..20].copy_from_slice(&(n as u16).to_be_bytes());
        f[24..26].fill(0);
        let s = testsuite::wire::sum(&[&f[14..34]]).to_be_bytes();
        f[24..26].copy_from_slice(&s);
        assert!(net.send(&f).is_empty());
    }
    assert_eq!((net.router.flows(), net.router.buffered()), (0, 0));
    assert_eq!(net.ask(&ping(GATEWAY, 1, &[7; 1400]))[0].icmp(), Some((0, 0)), "whole ones are answered");
}

#[test]
fn damaged_frames_get_no_answer() {
    let mut net = Net::new(&UserNet { host: true, ..UserNet::default() });
    let whole = [ping(GATEWAY, 1, b"hello"), udp(GATEWAY, (1, 2), b"hello"), syn(80).frame(GATEWAY)];
    for frame in whole {
        for n in 0..frame.len() {
            assert!(net.send(&frame[..n]).is_empty(), "{n} bytes of {frame:02x?}");
        }
        for at in 14..frame.len() {
            let mut f = frame.clone();
            f[at] ^= 0x10;
            assert!(net.send(&f).is_empty(), "byte {at} is wrong");
        }
    }
    let mut other = ping(GATEWAY, 1, b"hello");
    other[..6].copy_from_slice(&MAC);
    assert!(net.send(&other).is_empty(), "not for the router");
}
