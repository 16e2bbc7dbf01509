//! What a frame of the guest's is, and who gets it.

use super::wire::{self, Message};
use super::{DNS, GATEWAY, MAC, Outlet, Router, Side, udp};
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetFrame, EthernetProtocol, Icmpv4Packet, Icmpv4Repr, IpAddress,
    IpProtocol, Ipv4Packet, TcpPacket, UdpPacket,
};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Instant;

/// A frame by its parts. Only whole ones with right checksums get here.
pub(super) struct Taken<'a> {
    mac: [u8; 6],
    kind: Kind<'a>,
}

enum Kind<'a> {
    Arp { from: Ipv4Addr, wanted: Ipv4Addr },
    Ip { from: Ipv4Addr, to: Ipv4Addr, whole: &'a [u8], body: Body<'a> },
}

enum Body<'a> {
    Udp { from_port: u16, to_port: u16, data: &'a [u8] },
    Tcp(TcpPacket<&'a [u8]>),
    Echo { ident: u16, seq_no: u16, data: &'a [u8] },
    Other,
}

/// Takes a frame apart; `None` for what is damaged or of no concern.
pub(super) fn take(frame: &[u8]) -> Option<Taken<'_>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    let to = frame.dst_addr().0;
    if to != MAC && to[0] & 1 == 0 {
        return None;
    }
    let mac = frame.src_addr().0;
    let kind = match frame.ethertype() {
        EthernetProtocol::Arp => arp(frame.payload())?,
        EthernetProtocol::Ipv4 => ipv4(frame.payload())?,
        _ => return None,
    };
    Some(Taken { mac, kind })
}

fn arp(bytes: &[u8]) -> Option<Kind<'_>> {
    let packet = ArpPacket::new_checked(bytes).ok()?;
    let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
        ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    let wanted =
        if operation == ArpOperation::Request { target_protocol_addr } else { Ipv4Addr::UNSPECIFIED };
    Some(Kind::Arp { from: source_protocol_addr, wanted })
}

fn ipv4(bytes: &[u8]) -> Option<Kind<'_>> {
    let packet = Ipv4Packet::new_checked(bytes).ok()?;
    let header = usize::from(packet.header_len());
    if packet.version() != 4 || header < 20 || !packet.verify_checksum() {
        return None;
    }
    // Pieces of packets would have to be kept until the rest comes.
    if packet.more_frags() || packet.frag_offset() != 0 {
        return None;
    }
    let whole = bytes.get(..usize::from(packet.total_len()))?;
    let (from, to, data) = (packet.src_addr(), packet.dst_addr(), whole.get(header..)?);
    let ends = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
    let body = match packet.next_header() {
        IpProtocol::Udp => {
            let p = UdpPacket::new_checked(data).ok()?;
            if p.checksum() != 0 && !p.verify_checksum(&ends.0, &ends.1) {
                return None;
            }
            let data = data.get(8..usize::from(p.len()))?;
            Body::Udp { from_port: p.src_port(), to_port: p.dst_port(), data }
        }
        IpProtocol::Tcp => {
            let p = TcpPacket::new_checked(data).ok()?;
            if !p.verify_checksum(&ends.0, &ends.1) {
                return None;
            }
            Body::Tcp(p)
        }
        IpProtocol::Icmp => {
            let p = Icmpv4Packet::new_checked(data).ok()?;
            match Icmpv4Repr::parse(&p, &wire::all_checksums()).ok()? {
                Icmpv4Repr::EchoRequest { ident, seq_no, .. } => {
                    Body::Echo { ident, seq_no, data: data.get(8..)? }
                }
                _ => return None,
            }
        }
        _ => Body::Other,
    };
    Some(Kind::Ip { from, to, whole, body })
}

impl Router {
    /// Hands a packet to whom it concerns.
    pub(super) fn packet(&mut self, taken: &Taken, outlet: &dyn Outlet, now: Instant) {
        match &taken.kind {
            Kind::Arp { from, wanted } => {
                self.neighbours.learn(*from, taken.mac);
                if *wanted == GATEWAY || *wanted == DNS {
                    outlet.send(wire::arp_answer(MAC, *wanted, taken.mac, *from));
                }
            }
            Kind::Ip { from, to, whole, body } => {
                if let Body::Udp { from_port: 68, to_port: 67, data } = body {
                    return self.dhcp(taken.mac, data, outlet);
                }
                self.neighbours.learn(*from, taken.mac);
                if !from.is_unspecified() && self.neighbours.cards.contains_key(from) {
                    self.routed(*from, *to, whole, body, outlet, now);
                }
            }
        }
    }

    fn dhcp(&mut self, mac: [u8; 6], data: &[u8], outlet: &dyn Outlet) {
        let dns = !self.outside.config.restrict;
        if let Some(answer) = self.dhcp.answer(mac, data, dns) {
            self.neighbours.learn(answer.address, mac);
            let ends = (SocketAddrV4::new(GATEWAY, 67), SocketAddrV4::new(answer.to, 68));
            let card = if answer.to.is_broadcast() { [0xff; 6] } else { mac };
            wire::udp(card, ends.0, ends.1, &answer.bytes).into_iter().for_each(|f| outlet.send(f));
        }
    }

    fn routed(
        &mut self,
        from: Ipv4Addr,
        to: Ipv4Addr,
        whole: &[u8],
        body: &Body,
        outlet: &dyn Outlet,
        now: Instant,
    ) {
        let side = Side { outlet, neighbours: &self.neighbours };
        let unreachable = |why| wire::unreachable(&side, from, why, whole);
        match body {
            Body::Tcp(segment) => {
                let key = tcp_key(from, to, segment);
                self.tcp.segment(key, segment, &side, &mut self.outside, now);
            }
            Body::Udp { from_port, to_port, data } => {
                let (guest, remote) = (SocketAddrV4::new(from, *from_port), SocketAddrV4::new(to, *to_port));
                if remote == SocketAddrV4::new(GATEWAY, 69) && self.tftp.serves() {
                    return self.tftp.request(guest, data, &side, now);
                }
                if remote.ip() == &GATEWAY && self.tftp.session(guest, *to_port, data, &side, now) {
                    return;
                }
                let datagram = udp::Datagram { guest, remote, data };
                if let Some(why) = self.udp.send(&datagram, &side, &mut self.outside, now) {
                    unreachable(why);
                }
            }
            Body::Echo { ident, seq_no, data } => {
                let request = Message { ident: *ident, seq_no: *seq_no, data };
                if to == GATEWAY || to == DNS {
                    side.send(from, |mac| wire::echo_reply(mac, to, from, &request));
                } else if let Some(why) = self.echo.send(from, to, &request, &mut self.outside, now) {
                    unreachable(why);
                }
            }
            Body::Other if to == GATEWAY || to == DNS => unreachable(wire::Why::Protocol),
            Body::Other => {}
        }
    }
}

fn tcp_key(from: Ipv4Addr, to: Ipv4Addr, segment: &TcpPacket<&[u8]>) -> super::tcp::Key {
    super::tcp::Key {
        guest: SocketAddrV4::new(from, segment.src_port()),
        remote: SocketAddrV4::new(to, segment.dst_port()),
    }
}
