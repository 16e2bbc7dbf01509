//! The DHCP and BOOTP server (RFC 2131, 2132, 951; 4578 for what PXE clients want): a pure function of the request and of who
//! has which address. Requests are read by hand, byte by byte with bounds, since they come from the guest.

use super::{DNS, GATEWAY, GUEST};
use std::net::Ipv4Addr;

/// The fixed part of a message, with the magic cookie.
const FIXED: usize = 240;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// A day.
const LEASE_S: u32 = 86_400;
/// Addresses from the first guest's on that are given away.
const LEASES: usize = 64;

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

mod option {
    pub const MASK: u8 = 1;
    pub const ROUTER: u8 = 3;
    pub const DNS: u8 = 6;
    pub const REQUESTED: u8 = 50;
    pub const LEASE: u8 = 51;
    pub const TYPE: u8 = 53;
    pub const SERVER: u8 = 54;
    pub const TFTP_SERVER: u8 = 66;
    pub const BOOT_FILE: u8 = 67;
    pub const END: u8 = 255;
}

/// Who has which address.
pub struct Server {
    leases: Vec<[u8; 6]>,
    bootfile: Option<String>,
}

/// What to send.
pub struct Answer {
    /// The client's address from now on.
    pub address: Ipv4Addr,
    /// Where the answer goes: to the client, or to all if it has no address yet.
    pub to: Ipv4Addr,
    /// The message.
    pub bytes: Vec<u8>,
}

/// The value of an option, if it is there and whole.
fn find(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [option::END, ..] | [] | [_] => return None,
            [code, len, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*len))?;
                if *code == wanted {
                    return Some(value);
                }
                options = rest;
            }
        }
    }
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    <[u8; 4]>::try_from(bytes).ok().map(Ipv4Addr::from)
}

impl Server {
    /// A server that names `bootfile` to who boots.
    pub fn new(bootfile: Option<String>) -> Server {
        Server { leases: Vec::new(), bootfile }
    }

    /// The address of a client: the one that it has, or the next free one.
    fn lease(&mut self, mac: [u8; 6]) -> Option<Ipv4Addr> {
        let at = match self.leases.iter().position(|m| *m == mac) {
            Some(at) => at,
            None if self.leases.len() < LEASES => {
                self.leases.push(mac);
                self.leases.len() - 1
            }
            // More clients than anyone has.
            None => return None,
        };
        let [a, b, c, d] = GUEST.octets();
        Some(Ipv4Addr::new(a, b, c, d + at as u8))
    }

    /// Answers a message of the client at `mac`, if it is one to be answered.
    pub fn answer(&mut self, mac: [u8; 6], message: &[u8], dns: bool) -> Option<Answer> {
        let fixed = message.get(..FIXED)?;
        if fixed[0] != 1 || fixed[1..3] != [1, 6] || fixed[236..240] != COOKIE || fixed[28..34] != mac {
            return None;
        }
        let options = &message[FIXED..];
        let kind = match find(options, option::TYPE) {
            Some([kind]) => Some(*kind),
            Some(_) => return None,
            None => None, // BOOTP
        };
        let current = address(&fixed[12..16])?;
        let lease = self.lease(mac)?;
        let wanted = find(options, option::REQUESTED).and_then(address);
        let server = find(options, option::SERVER).and_then(address);
        let reply = match kind {
            None => None,
            Some(DISCOVER) => Some(OFFER),
            Some(REQUEST) if server.is_some_and(|s| s != GATEWAY) => return None,
            Some(REQUEST) if wanted.unwrap_or(current) == lease => Some(ACK),
            Some(REQUEST) => Some(NAK),
            Some(INFORM) => Some(ACK),
            Some(DECLINE | RELEASE) | Some(_) => return None,
        };
        let refused = reply == Some(NAK);
        let given = if kind == Some(INFORM) || refused { Ipv4Addr::UNSPECIFIED } else { lease };
        let to = if current.is_unspecified() || refused { Ipv4Addr::BROADCAST } else { current };
        let mut bytes = self.header(fixed, given);
        self.options(&mut bytes, reply, kind == Some(INFORM), dns);
        Some(Answer { address: lease, to, bytes })
    }

    fn header(&self, request: &[u8], given: Ipv4Addr) -> Vec<u8> {
        let mut out = vec![0; FIXED];
        out[..3].copy_from_slice(&[2, 1, 6]);
        out[4..8].copy_from_slice(&request[4..8]); // transaction
        out[10..12].copy_from_slice(&request[10..12]); // flags
        out[12..16].copy_from_slice(&request[12..16]);
        out[16..20].copy_from_slice(&given.octets());
        out[20..24].copy_from_slice(&GATEWAY.octets()); // next server: TFTP
        out[24..28].copy_from_slice(&request[24..28]);
        out[28..44].copy_from_slice(&request[28..44]);
        if let Some(file) = &self.bootfile {
            let n = file.len().min(127);
            out[108..108 + n].copy_from_slice(&file.as_bytes()[..n]);
        }
        out[236..240].copy_from_slice(&COOKIE);
        out
    }

    fn options(&self, out: &mut Vec<u8>, reply: Option<u8>, inform: bool, dns: bool) {
        let mut put = |code: u8, value: &[u8]| {
            out.extend([code, value.len() as u8]);
            out.extend(value);
        };
        if let Some(kind) = reply {
            put(option::TYPE, &[kind]);
            put(option::SERVER, &GATEWAY.octets());
        }
        if reply != Some(NAK) {
            put(option::MASK, &[255, 255, 255, 0]);
            put(option::ROUTER, &GATEWAY.octets());
            if dns {
                put(option::DNS, &DNS.octets());
            }
            if reply.is_some() && !inform {
                put(option::LEASE, &LEASE_S.to_be_bytes());
            }
            if let Some(file) = &self.bootfile {
                put(option::TFTP_SERVER, GATEWAY.to_string().as_bytes());
                put(option::BOOT_FILE, file.as_bytes());
            }
        }
        out.push(option::END);
        // BOOTP clients expect 300 bytes.
        out.resize(out.len().max(300), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];

    fn request(kind: u8, more: &[u8]) -> Vec<u8> {
        let mut m = vec![0; FIXED];
        m[..4].copy_from_slice(&[1, 1, 6, 0]);
        m[4..8].copy_from_slice(&[1, 2, 3, 4]);
        m[28..34].copy_from_slice(&MAC);
        m[236..].copy_from_slice(&COOKIE);
        m.extend([option::TYPE, 1, kind]);
        m.extend(more);
        m.push(option::END);
        m
    }

    #[test]
    fn discover_offer_request_ack() {
        let mut s = Server::new(Some("boot.ipxe".into()));
        let offer = s.answer(MAC, &request(DISCOVER, &[]), true).unwrap();
        assert_eq!(offer.to, Ipv4Addr::BROADCAST);
        assert_eq!(offer.bytes[16..20], [10, 0, 2, 15], "yiaddr");
        assert_eq!(offer.bytes[20..24], [10, 0, 2, 2], "siaddr");
        assert_eq!(offer.bytes[4..8], [1, 2, 3, 4], "xid");
        assert_eq!(&offer.bytes[108..117], b"boot.ipxe");
        let options = &offer.bytes[FIXED..];
        assert_eq!(find(options, 53), Some(&[OFFER][..]));
        assert_eq!(find(options, 6), Some(&[10, 0, 2, 3][..]));
        assert_eq!(find(options, 67), Some(&b"boot.ipxe"[..]));
        let ack = s.answer(MAC, &request(REQUEST, &[50, 4, 10, 0, 2, 15, 54, 4, 10, 0, 2, 2]), true).unwrap();
        assert_eq!(find(&ack.bytes[FIXED..], 53), Some(&[ACK][..]));
        assert_eq!(find(&ack.bytes[FIXED..], 51), Some(&86_400u32.to_be_bytes()[..]));
    }

    #[test]
    fn an_address_of_someone_else_is_refused() {
        let mut s = Server::new(None);
        let nak = s.answer(MAC, &request(REQUEST, &[50, 4, 10, 0, 2, 99]), true).unwrap();
        assert_eq!(find(&nak.bytes[FIXED..], 53), Some(&[NAK][..]));
        assert!(s.answer(MAC, &request(REQUEST, &[50, 4, 10, 0, 2, 15, 54, 4, 1, 2, 3, 4]), true).is_none());
    }

    #[test]
    fn damaged_messages_get_no_answer() {
        let mut s = Server::new(None);
        let whole = request(DISCOVER, &[]);
        for n in 0..whole.len() - 2 {
            let answered = s.answer(MAC, &whole[..n], true);
            // Cut within the options it is a BOOTP request, and answered as one.
            assert!(n >= FIXED || answered.is_none(), "{n}");
        }
        assert!(s.answer([0; 6], &whole, true).is_none(), "another card's");
    }
}
