//! TCP and UDP in numbers and against the rules. RFC 9293 unless said otherwise.

use crate::world::{Manner, Net};
use lucid86_machine::config::UserNet;
use lucid86_machine::net::user::host::{Class, token};
use std::time::Duration;
use testsuite::wire::{GATEWAY, Segment, flag, udp};

const FAR: [u8; 4] = [93, 184, 216, 34];
/// What flows may keep together: plenty for some, 8 KiB for each then, and one flow's worth more.
const BOUND: usize = (192 << 20) + (512 << 10);
/// All limits on flows together.
const FLOWS: usize = 16_384 + 1024 + 64;

/// One connection as its guest sees it.
struct Talk {
    next: Segment,
}

impl Talk {
    /// Opens one.
    fn open(net: &mut Net, port: u16, window: u16) -> Talk {
        let mut next =
            Segment { ports: (port, 80), seq: 1000, flags: flag::SYN, window, ..Segment::default() };
        next.options = vec![2, 4, 5, 180]; // segments of 1,460 bytes
        let answers = net.ask(&next.frame(FAR));
        let (seq, ack, flags, _) = answers[0].segment().unwrap();
        assert_eq!((ack, flags), (1001, flag::SYN | flag::ACK));
        next = Segment { seq: 1001, ack: seq.wrapping_add(1), flags: flag::ACK, options: Vec::new(), ..next };
        Talk { next }
    }

    fn frame(&self) -> Vec<u8> {
        self.next.frame(FAR)
    }

    /// Sends data; what comes back.
    fn say(&mut self, net: &mut Net, data: &[u8]) -> Vec<(u32, u32, u8, Vec<u8>)> {
        let segment = Segment { data: data.to_vec(), ..self.next.clone() };
        self.next.seq = self.next.seq.wrapping_add(data.len() as u32);
        seen(net, &segment.frame(FAR))
    }
}

fn seen(net: &mut Net, frame: &[u8]) -> Vec<(u32, u32, u8, Vec<u8>)> {
    let answers = net.ask(frame);
    answers.iter().filter_map(|s| s.segment()).map(|(s, a, f, d)| (s, a, f, d.to_vec())).collect()
}

#[test]
fn bytes_go_both_ways_and_each_end_closes_by_itself() {
    let mut net = Net::new(&UserNet::default());
    let mut talk = Talk::open(&mut net, 4000, 8000);
    let answers = talk.say(&mut net, b"hello");
    assert!(answers.iter().all(|a| a.1 == 1006), "acknowledged");
    assert_eq!(net.world.state().written, b"hello");
    let (seq, _, _, data) = answers.into_iter().find(|s| !s.3.is_empty()).unwrap();
    assert_eq!((seq, data), (talk.next.ack, b"hello".to_vec()));
    talk.next.ack = talk.next.ack.wrapping_add(5);
    // The guest's end: the world hears of it, and may go on talking.
    talk.next.flags |= flag::FIN;
    let ended = seen(&mut net, &talk.frame());
    assert_eq!(ended.last().unwrap().1, 1007, "the FIN is acknowledged");
    assert_eq!((net.world.state().finished, net.router.flows()), (1, 1));
    // A reset ends it for both.
    talk.next.flags = flag::RST;
    talk.next.seq = 1007;
    assert!(seen(&mut net, &talk.frame()).is_empty());
    assert_eq!((net.world.state().aborted, net.router.flows()), (1, 0));
}

#[test]
fn absurd_numbers_change_nothing() {
    let mut net = Net::new(&UserNet::default());
    let mut talk = Talk::open(&mut net, 4000, 8000);
    let good = talk.next.clone();
    for seq in [0, 1000, 500_000, 0x8000_0000, u32::MAX] {
        // Data that is not the next: an acknowledgement says what is (3.10.7.4).
        let s = Segment { seq, data: vec![7; 1400], ..good.clone() };
        let answers = seen(&mut net, &s.frame(FAR));
        assert!(answers.iter().all(|a| a.2 & flag::RST == 0), "{seq}");
        // A reset outside of the window is nobody's.
        let s = Segment { seq: seq.wrapping_add(0x4000_0000), flags: flag::RST, ..good.clone() };
        seen(&mut net, &s.frame(FAR));
    }
    for ack in [0, good.ack.wrapping_sub(1), good.ack.wrapping_add(1), good.ack.wrapping_add(0x7fff_ffff)] {
        let s = Segment { ack, window: 0xffff, ..good.clone() };
        seen(&mut net, &s.frame(FAR));
    }
    // A SYN within the connection is answered by an acknowledgement (RFC 5961, 4).
    let s = Segment { flags: flag::SYN, ..good.clone() };
    assert_eq!(seen(&mut net, &s.frame(FAR))[0].2, flag::ACK);
    assert_eq!(net.router.flows(), 1);
    // 1,000 was the SYN's number: the segment from there brought a byte less than it seems.
    talk.next.seq = 1001;
    let before = net.world.state().written.len();
    assert!(before <= 1400);
    talk.next.seq = talk.next.seq.wrapping_add(before as u32);
    talk.say(&mut net, b"still here");
    assert!(net.world.state().written.ends_with(b"still here"));
}

#[test]
fn a_window_may_stay_closed_as_long_as_probes_are_answered() {
    let mut net = Net::new(&UserNet::default());
    net.world.state().manner = Manner::Endless;
    let mut talk = Talk::open(&mut net, 4000, 2000);
    let got: usize = seen(&mut net, &talk.frame()).iter().map(|a| a.3.len()).sum();
    assert!(got <= 2000, "{got} bytes into a window of 2,000");
    talk.next.ack = talk.next.ack.wrapping_add(got as u32);
    talk.next.window = 0;
    seen(&mut net, &talk.frame());
    // Ten minutes: longer than what is given to one who answers nothing (3.8.6.1).
    for _ in 0..6000 {
        for probe in net.pass(Duration::from_millis(100)) {
            let (_, _, flags, data) = probe.segment().unwrap();
            assert!(flags & flag::RST == 0 && data.len() <= 1);
            seen(&mut net, &talk.frame());
        }
    }
    assert_eq!(net.router.flows(), 1);
    talk.next.window = 3000;
    assert!(!seen(&mut net, &talk.frame()).is_empty(), "it goes on");
    // One that answers nothing is given up.
    for _ in 0..6000 {
        net.pass(Duration::from_millis(100));
    }
    assert_eq!(net.router.flows(), 0);
}

#[test]
fn ten_thousand_connections_that_read_nothing_stay_within_bounds() {
    let mut net = Net::new(&UserNet::default());
    net.world.state().manner = Manner::Endless;
    for n in 0..10_000 {
        let talk = Talk::open(&mut net, 10_000 + n, 0xffff);
        net.send(&talk.frame());
        assert!(net.router.buffered() <= BOUND, "{} bytes in {n} connections", net.router.buffered());
    }
    assert_eq!(net.router.flows(), 10_000);
    for n in 0..10_000 {
        net.router.socket_ready(token(Class::Tcp, n), true, true);
    }
    for _ in 0..20 {
        net.pass(Duration::from_millis(50));
    }
    assert!(net.router.buffered() <= BOUND);
}

#[test]
fn a_world_that_takes_nothing_closes_the_window() {
    let mut net = Net::new(&UserNet::default());
    net.world.state().manner = Manner::Deaf;
    for n in 0..10_000 {
        let mut talk = Talk::open(&mut net, 10_000 + n, 8000);
        for _ in 0..40 {
            talk.say(&mut net, &[7; 1400]);
        }
        assert!(net.router.buffered() <= BOUND);
    }
    let mut talk = Talk::open(&mut net, 50_000, 8000);
    let windows: Vec<u16> = (0..400)
        .flat_map(|_| {
            let segment = Segment { data: vec![7; 1400], ..talk.next.clone() };
            talk.next.seq = talk.next.seq.wrapping_add(1400);
            net.ask(&segment.frame(FAR)).iter().map(|s| s.window()).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(windows.last(), Some(&0));
}

#[test]
fn half_open_connections_are_limited_and_end() {
    let mut net = Net::new(&UserNet::default());
    net.world.state().manner = Manner::Silent;
    for n in 0..40_000u32 {
        let ports = (n as u16, 80 + (n >> 16) as u16 + (n >> 15) as u16);
        let syn = Segment { ports, seq: n, flags: flag::SYN, window: 1000, ..Segment::default() };
        net.send(&syn.frame(FAR));
        assert!(net.router.flows() <= FLOWS);
    }
    assert!(net.router.flows() >= 10_000);
    // The world answers, the guest never: after a minute and a half nothing is left.
    net.world.state().manner = Manner::Echo;
    for n in 0..40_000 {
        net.router.socket_ready(token(Class::Tcp, n), true, true);
    }
    for _ in 0..2000 {
        net.pass(Duration::from_millis(50));
    }
    assert_eq!((net.router.flows(), net.router.buffered()), (0, 0));
}

#[test]
fn ten_thousand_datagram_flows_replace_the_oldest() {
    let mut net = Net::new(&UserNet::default());
    for n in 0..10_000 {
        net.send(&udp(FAR, (10_000 + n, 7), b"hello"));
    }
    assert_eq!(net.router.flows(), 1024);
    net.pass(Duration::from_secs(121));
    assert_eq!(net.router.flows(), 0);
}

#[test]
fn floods_are_answered_without_growing() {
    let mut net = Net::new(&UserNet { host: true, ..UserNet::default() });
    let ping = testsuite::wire::ping(GATEWAY, 1, &[7; 1000]);
    for _ in 0..100_000 {
        net.wire.room.set(0);
        net.wire.frames.borrow_mut().clear();
        net.router.frame(&ping, &net.wire, net.now);
    }
    assert_eq!((net.router.flows(), net.router.buffered()), (0, 0));
}
