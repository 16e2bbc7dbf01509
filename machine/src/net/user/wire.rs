//! Making frames, with `smoltcp`'s formats. RFC 826 (ARP), 791 (IPv4), 768 (UDP), 792 (ICMP), 9293 (TCP).

use super::{MAC, Side};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, IpAddress, IpProtocol, Ipv4Packet, Ipv4Repr, TcpPacket,
    TcpRepr, UdpPacket, UdpRepr,
};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Ethernet's header.
const ETHERNET: usize = 14;
/// IPv4's header without options.
const IPV4: usize = 20;
/// Longest packet on the cable.
pub const MTU: usize = 1500;

/// All checksums are made and checked.
pub fn all_checksums() -> ChecksumCapabilities {
    ChecksumCapabilities::default()
}

/// An echo request or reply.
pub struct Message<'a> {
    pub ident: u16,
    pub seq_no: u16,
    pub data: &'a [u8],
}

/// Why something can't be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Network,
    Host,
    Protocol,
    Port,
    /// Closed by the administrator: `restrict=on`, or not for this user.
    Prohibited,
}

fn ethernet(to: [u8; 6], ethertype: EthernetProtocol, payload: usize) -> Vec<u8> {
    let mut bytes = vec![0; (ETHERNET + payload).max(60)];
    let repr = EthernetRepr { src_addr: EthernetAddress(MAC), dst_addr: EthernetAddress(to), ethertype };
    repr.emit(&mut EthernetFrame::new_unchecked(&mut bytes[..]));
    bytes
}

fn arp(to: [u8; 6], repr: &ArpRepr) -> Vec<u8> {
    let mut bytes = ethernet(to, EthernetProtocol::Arp, repr.buffer_len());
    repr.emit(&mut ArpPacket::new_unchecked(&mut bytes[ETHERNET..]));
    bytes
}

/// Asks who has `wanted`.
pub fn arp_question(mac: [u8; 6], from: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    arp(
        [0xff; 6],
        &ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Request,
            source_hardware_addr: EthernetAddress(mac),
            source_protocol_addr: from,
            target_hardware_addr: EthernetAddress([0; 6]),
            target_protocol_addr: wanted,
        },
    )
}

/// Says that `address` is at `mac`.
pub fn arp_answer(mac: [u8; 6], address: Ipv4Addr, to: [u8; 6], who: Ipv4Addr) -> Vec<u8> {
    arp(
        to,
        &ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: EthernetAddress(mac),
            source_protocol_addr: address,
            target_hardware_addr: EthernetAddress(to),
            target_protocol_addr: who,
        },
    )
}

/// A frame with an IPv4 header and `len` bytes behind it for `fill`.
fn ipv4(
    mac: [u8; 6],
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: IpProtocol,
    len: usize,
    fill: impl FnOnce(&mut [u8]),
) -> Vec<u8> {
    let mut bytes = ethernet(mac, EthernetProtocol::Ipv4, IPV4 + len);
    let repr =
        Ipv4Repr { src_addr: from, dst_addr: to, next_header: protocol, payload_len: len, hop_limit: 64 };
    fill(&mut bytes[ETHERNET + IPV4..ETHERNET + IPV4 + len]);
    repr.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[ETHERNET..]), &all_checksums());
    bytes
}

/// A datagram: one frame, or several fragments. One that is too long for IPv4 is lost.
pub fn udp(mac: [u8; 6], from: SocketAddrV4, to: SocketAddrV4, data: &[u8]) -> Vec<Vec<u8>> {
    let len = 8 + data.len();
    if len > 0xffff - IPV4 {
        return Vec::new();
    }
    let mut body = vec![0; len];
    let repr = UdpRepr { src_port: from.port(), dst_port: to.port() };
    repr.emit(
        &mut UdpPacket::new_unchecked(&mut body[..]),
        &IpAddress::Ipv4(*from.ip()),
        &IpAddress::Ipv4(*to.ip()),
        data.len(),
        |b| b.copy_from_slice(data),
        &all_checksums(),
    );
    let whole = |part: &[u8]| {
        ipv4(mac, *from.ip(), *to.ip(), IpProtocol::Udp, part.len(), |b| b.copy_from_slice(part))
    };
    if IPV4 + len <= MTU {
        return vec![whole(&body)];
    }
    let ident = u16::from_le_bytes([body[6], body[7]]); // the checksum: differs from datagram to datagram
    let unit = (MTU - IPV4) & !7;
    let count = len.div_ceil(unit);
    body.chunks(unit)
        .enumerate()
        .map(|(i, part)| {
            let mut bytes = whole(part);
            let mut packet = Ipv4Packet::new_unchecked(&mut bytes[ETHERNET..]);
            packet.set_ident(ident);
            packet.clear_flags();
            packet.set_more_frags(i + 1 < count);
            packet.set_frag_offset((i * unit) as u16);
            packet.fill_checksum();
            bytes
        })
        .collect()
}

/// A TCP segment.
pub fn tcp(mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr, repr: &TcpRepr) -> Vec<u8> {
    ipv4(mac, from, to, IpProtocol::Tcp, repr.buffer_len(), |b| {
        let ends = (IpAddress::Ipv4(from), IpAddress::Ipv4(to));
        repr.emit(&mut TcpPacket::new_unchecked(b), &ends.0, &ends.1, &all_checksums());
    })
}

fn icmp(mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr, repr: &Icmpv4Repr) -> Vec<u8> {
    ipv4(mac, from, to, IpProtocol::Icmp, repr.buffer_len(), |b| {
        repr.emit(&mut Icmpv4Packet::new_unchecked(b), &all_checksums());
    })
}

/// The answer to an echo request.
pub fn echo_reply(mac: [u8; 6], from: Ipv4Addr, to: Ipv4Addr, m: &Message) -> Vec<u8> {
    let data = &m.data[..m.data.len().min(MTU - IPV4 - 8)];
    icmp(mac, from, to, &Icmpv4Repr::EchoReply { ident: m.ident, seq_no: m.seq_no, data })
}

/// Tells `to` that the packet `whole` did not arrive (RFC 792: its header and the eight bytes behind it are sent back).
pub fn unreachable(side: &Side, to: Ipv4Addr, why: Why, whole: &[u8]) {
    let Ok(packet) = Ipv4Packet::new_checked(whole) else { return };
    let header = usize::from(packet.header_len());
    let Some(data) = whole.get(header..).filter(|d| d.len() >= 8) else { return };
    let reason = match why {
        Why::Network => Icmpv4DstUnreachable::NetUnreachable,
        Why::Host => Icmpv4DstUnreachable::HostUnreachable,
        Why::Protocol => Icmpv4DstUnreachable::ProtoUnreachable,
        Why::Port => Icmpv4DstUnreachable::PortUnreachable,
        Why::Prohibited => Icmpv4DstUnreachable::CommProhibited,
    };
    let header = Ipv4Repr {
        src_addr: packet.src_addr(),
        dst_addr: packet.dst_addr(),
        next_header: packet.next_header(),
        payload_len: data.len(),
        hop_limit: packet.hop_limit(),
    };
    let repr = Icmpv4Repr::DstUnreachable { reason, header, data: &data[..data.len().min(64) & !1] };
    side.send(to, |mac| icmp(mac, super::GATEWAY, to, &repr));
}
