//! Frames for tests and fuzzers of the network, made and taken apart by hand: not by what is tested. RFC 791 (IPv4), 768
//! (UDP), 792 (ICMP), 9293 (TCP), 826 (ARP).

/// The guest's card.
pub const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
/// The router's card.
pub const ROUTER: [u8; 6] = [0x52, 0x55, 10, 0, 2, 2];
/// The guest's address.
pub const GUEST: [u8; 4] = [10, 0, 2, 15];
/// The gateway's.
pub const GATEWAY: [u8; 4] = [10, 0, 2, 2];
/// The name server's.
pub const DNS: [u8; 4] = [10, 0, 2, 3];

/// TCP's flags.
pub mod flag {
    #![allow(missing_docs)]
    pub const FIN: u8 = 1;
    pub const SYN: u8 = 2;
    pub const RST: u8 = 4;
    pub const PSH: u8 = 8;
    pub const ACK: u8 = 16;
}

/// Protocol numbers.
pub mod kind {
    #![allow(missing_docs)]
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
}

/// The Internet checksum (RFC 1071) of bytes that come in parts of even length.
pub fn sum(parts: &[&[u8]]) -> u16 {
    let all: Vec<u8> = parts.concat();
    let mut s: u32 =
        all.chunks(2).map(|w| u32::from(w[0]) << 8 | w.get(1).map_or(0, |b| u32::from(*b))).sum();
    while s > 0xffff {
        s = (s & 0xffff) + (s >> 16);
    }
    !(s as u16)
}

/// The guest's frame to `to` around a body of protocol `kind`, whose checksum stands at `at`.
pub fn packet(to: [u8; 4], kind: u8, body: Vec<u8>, at: usize) -> Vec<u8> {
    piece(to, kind, [0x40, 0], &checked(to, kind, body, at))
}

/// A body with its checksum.
pub fn checked(to: [u8; 4], kind: u8, mut body: Vec<u8>, at: usize) -> Vec<u8> {
    if body.len() >= at + 2 {
        body[at..at + 2].fill(0);
        let len = (body.len() as u16).to_be_bytes();
        let pseudo = [&GUEST[..], &to, &[0, kind], &len].concat();
        let s = if kind == kind::ICMP { sum(&[&body]) } else { sum(&[&pseudo, &body]) };
        body[at..at + 2].copy_from_slice(&s.to_be_bytes());
    }
    body
}

/// A frame of the guest's that has flags and fragment offset as said.
pub fn piece(to: [u8; 4], kind: u8, fragment: [u8; 2], body: &[u8]) -> Vec<u8> {
    let total = (20 + body.len() as u16).to_be_bytes();
    let mut ip = [&[0x45, 0][..], &total, &[0, 0], &fragment, &[64, kind, 0, 0], &GUEST, &to].concat();
    let s = sum(&[&ip]).to_be_bytes();
    ip[10..12].copy_from_slice(&s);
    [&ROUTER[..], &MAC, &[8, 0], &ip, body].concat()
}

/// A datagram of the guest's.
pub fn udp(to: [u8; 4], ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let len = (8 + data.len() as u16).to_be_bytes();
    let body = [&ports.0.to_be_bytes()[..], &ports.1.to_be_bytes(), &len, &[0, 0], data].concat();
    packet(to, kind::UDP, body, 6)
}

/// An echo request of the guest's.
pub fn ping(to: [u8; 4], ident: u16, data: &[u8]) -> Vec<u8> {
    packet(to, kind::ICMP, [&[8, 0, 0, 0][..], &ident.to_be_bytes(), &[0, 1], data].concat(), 2)
}

/// A segment of the guest's.
#[derive(Clone, Debug, Default)]
pub struct Segment {
    /// From which port, to which.
    pub ports: (u16, u16),
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number.
    pub ack: u32,
    /// See [`flag`].
    pub flags: u8,
    /// As the header has it.
    pub window: u16,
    /// Whole words.
    pub options: Vec<u8>,
    /// What it carries.
    pub data: Vec<u8>,
}

impl Segment {
    /// As a frame to `to`.
    pub fn frame(&self, to: [u8; 4]) -> Vec<u8> {
        let mut body = [self.ports.0, self.ports.1].map(u16::to_be_bytes).concat();
        body.extend([self.seq, self.ack].map(u32::to_be_bytes).concat());
        body.extend([((5 + self.options.len() / 4) << 4) as u8, self.flags]);
        body.extend(self.window.to_be_bytes());
        body.extend([0; 4]);
        body.extend(&self.options);
        body.extend(&self.data);
        packet(to, kind::TCP, body, 16)
    }
}

/// The guest asks who has an address.
pub fn arp(wanted: [u8; 4]) -> Vec<u8> {
    let asked = [&MAC[..], &GUEST, &[0; 6], &wanted].concat();
    [&[0xff; 6][..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &asked].concat()
}

/// A DHCP message of the guest's, with these options behind the kind.
pub fn dhcp(kind: u8, options: &[u8]) -> Vec<u8> {
    let mut m = vec![0; 240];
    m[..3].copy_from_slice(&[1, 1, 6]);
    m[28..34].copy_from_slice(&MAC);
    m[236..].copy_from_slice(&[99, 130, 83, 99]);
    m.extend([53, 1, kind]);
    m.extend(options);
    m
}

/// What a packet for the guest says. The checksums are right, or it isn't taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Sender's address.
    pub from: [u8; 4],
    /// Protocol.
    pub kind: u8,
    /// What is behind the IPv4 header.
    pub body: Vec<u8>,
}

impl Seen {
    /// Takes an IPv4 frame apart.
    pub fn of(frame: &[u8]) -> Option<Seen> {
        if frame.len() < 34 || frame[12..14] != [8, 0] || sum(&[&frame[14..34]]) != 0 {
            return None;
        }
        let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let body = frame.get(34..14 + total)?.to_vec();
        let (kind, from) = (frame[23], [frame[26], frame[27], frame[28], frame[29]]);
        let pseudo = [&frame[26..34], &[0, kind], &(body.len() as u16).to_be_bytes()].concat();
        let right = if kind == kind::ICMP { sum(&[&body]) == 0 } else { sum(&[&pseudo, &body]) == 0 };
        right.then_some(Seen { from, kind, body })
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.body[at], self.body[at + 1]])
    }

    fn double(&self, at: usize) -> u32 {
        u32::from(self.word(at)) << 16 | u32::from(self.word(at + 2))
    }

    /// Its ports, of TCP and UDP.
    pub fn ports(&self) -> (u16, u16) {
        (self.word(0), self.word(2))
    }

    /// Data of a datagram.
    pub fn data(&self) -> &[u8] {
        &self.body[8..]
    }

    /// Type and code of an ICMP message.
    pub fn icmp(&self) -> Option<(u8, u8)> {
        (self.kind == kind::ICMP).then(|| (self.body[0], self.body[1]))
    }

    /// Sequence number, acknowledgement number, flags and data of a segment.
    pub fn segment(&self) -> Option<(u32, u32, u8, &[u8])> {
        let header = usize::from(*self.body.get(12)? >> 4) * 4;
        (self.kind == kind::TCP)
            .then(|| (self.double(4), self.double(8), self.body[13], &self.body[header..]))
    }

    /// The window of a segment, as the header has it.
    pub fn window(&self) -> u16 {
        self.word(14)
    }
}
