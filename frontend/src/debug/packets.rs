//! Between gdb's socket and `gdbstub`: what the crate must not hear, and packets that it doesn't know.
//!
//! Packets of QEMU's own (its documentation, "GDB usage", "Examining physical memory") make memory as gdb sees it
//! physical: `maintenance packet Qqemu.PhyMemMode:1`.

/// A packet that is answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Own {
    /// Which of QEMU's packets are known.
    Supported,
    /// Whether memory is physical.
    IsPhysical,
    /// From now on it is, or isn't.
    SetPhysical(bool),
    /// A read of more memory than a packet holds. The crate would go through all of it, for hours.
    TooLong,
}

const OWN: [(&[u8], Own); 4] = [
    (b"qqemu.Supported", Own::Supported),
    (b"qqemu.PhyMemMode", Own::IsPhysical),
    (b"Qqemu.PhyMemMode:0", Own::SetPhysical(false)),
    (b"Qqemu.PhyMemMode:1", Own::SetPhysical(true)),
];

/// A part of gdb's stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// For `gdbstub`.
    Bytes(Vec<u8>),
    /// Ctrl-C.
    Interrupt,
    /// One of ours; whether it is to be acknowledged.
    Own(Own, bool),
}

/// Where in gdb's stream a byte stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Between,
    Body,
    /// So many characters of the checksum are still to come.
    Sum(u8),
}

/// Ctrl-C, between packets (GDB manual, section E.8).
pub const INTERRUPT: u8 = 3;

/// Takes the stream apart.
#[derive(Default)]
pub struct Filter {
    place: Place,
    /// The packet so far, as long as it may be one of ours or the end of acknowledgements.
    held: Vec<u8>,
    holds: bool,
    unacknowledged: bool,
}

const NO_ACKS: &[u8] = b"QStartNoAckMode";

/// Longest packet.
pub const LONGEST: usize = 16 << 10;

/// Whether this packet reads more than gdb ever asks for: what two digits a byte make longer than a packet (GDB manual,
/// section E.2, `m`; E.5, `PacketSize`).
fn reads_too_much(body: &[u8]) -> bool {
    let length = body.strip_prefix(b"m").and_then(|b| b.split(|b| *b == b',').nth(1));
    let digits = length.and_then(|l| str::from_utf8(l).ok());
    digits.and_then(|d| usize::from_str_radix(d, 16).ok()).is_some_and(|n| n > LONGEST / 2)
}

impl Filter {
    /// What of the stream is for whom, in order.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<Part> {
        let mut parts = Vec::new();
        bytes.iter().for_each(|b| self.byte(*b, &mut parts));
        parts
    }

    fn byte(&mut self, byte: u8, parts: &mut Vec<Part>) {
        match self.place {
            // gdb sends '-' when an answer is not there within two seconds (GDB manual, section E.1), as that of a
            // `monitor` command that runs the guest for long, and '+' for what such a command says. They ask for nothing
            // that a stream which loses nothing would not bring, and must not stop the command.
            Place::Between if matches!(byte, b'-' | b'+') => return,
            Place::Between if byte == INTERRUPT => return parts.push(Part::Interrupt),
            Place::Between if byte == b'$' => {
                self.place = Place::Body;
                self.holds = true;
            }
            Place::Body if byte == b'#' => self.place = Place::Sum(2),
            Place::Sum(n) if n > 1 => self.place = Place::Sum(n - 1),
            Place::Sum(_) => {
                self.place = Place::Between;
                self.held.push(byte);
                return self.end(parts);
            }
            Place::Between | Place::Body => {}
        }
        self.held.push(byte);
        if self.place == Place::Body {
            let body = &self.held[usize::from(self.holds)..];
            let known = || OWN.iter().map(|o| o.0).chain([NO_ACKS]);
            let reads = body.starts_with(b"m") && body.len() < LONGEST;
            self.holds &= reads || known().any(|k| k.starts_with(body));
        }
        if !self.holds {
            self.pass(parts);
        }
    }

    /// A packet is whole.
    fn end(&mut self, parts: &mut Vec<Part>) {
        let packet = self.held.strip_prefix(b"$").filter(|_| self.holds);
        let body =
            packet.and_then(|p| p.split_last_chunk::<3>()).filter(|(b, sum)| is_sum(b, sum)).map(|p| p.0);
        self.holds = false;
        let own = OWN.iter().find(|o| body == Some(o.0)).map(|o| o.1);
        if let Some(own) = own.or(body.is_some_and(reads_too_much).then_some(Own::TooLong)) {
            self.held.clear();
            parts.push(Part::Own(own, !self.unacknowledged));
            return;
        }
        self.unacknowledged |= body == Some(NO_ACKS);
        self.pass(parts);
    }

    fn pass(&mut self, parts: &mut Vec<Part>) {
        match parts.last_mut() {
            Some(Part::Bytes(b)) => b.append(&mut self.held),
            _ => parts.push(Part::Bytes(std::mem::take(&mut self.held))),
        }
    }
}

fn sum(body: &[u8]) -> u8 {
    body.iter().fold(0u8, |s, b| s.wrapping_add(*b))
}

fn is_sum(body: &[u8], end: &[u8; 3]) -> bool {
    end.eq_ignore_ascii_case(format!("#{:02x}", sum(body)).as_bytes())
}

/// A packet with this body.
pub fn packet(body: &str) -> Vec<u8> {
    format!("${body}#{:02x}", sum(body.as_bytes())).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(parts: &[Part]) -> Vec<u8> {
        let bytes = parts.iter().filter_map(|p| match p {
            Part::Bytes(b) => Some(&b[..]),
            Part::Interrupt => Some(&[INTERRUPT]),
            Part::Own(..) => None,
        });
        bytes.collect::<Vec<_>>().concat()
    }

    #[test]
    fn impatience_between_packets_is_not_heard() {
        let parts = Filter::default().feed(b"-+$qRcmd,2d-#-1--\x03-+$m-1#2b-");
        assert_eq!(passed(&parts), b"$qRcmd,2d-#-1\x03$m-1#2b");
    }

    #[test]
    fn own_packets_are_taken_out_in_order() {
        let stream = [
            &packet("qqemu.PhyMemMode")[..],
            b"+",
            &packet("QStartNoAckMode"),
            &packet("Qqemu.PhyMemMode:1"),
            &packet("qqemu.PhyMemModes"),
            &packet("g"),
        ]
        .concat();
        let rest = [packet("QStartNoAckMode"), packet("qqemu.PhyMemModes"), packet("g")].concat();
        // All at once and a byte at a time.
        for size in [stream.len(), 1] {
            let mut f = Filter::default();
            let parts: Vec<Part> = stream.chunks(size).flat_map(|c| f.feed(c)).collect();
            assert_eq!(passed(&parts), rest);
            let own: Vec<&Part> = parts.iter().filter(|p| matches!(p, Part::Own(..))).collect();
            assert_eq!(own, [&Part::Own(Own::IsPhysical, true), &Part::Own(Own::SetPhysical(true), false)]);
        }
    }

    #[test]
    fn reads_longer_than_a_packet_are_refused_here() {
        let all = [
            packet("m7c00,10"),
            packet("m7c00,ffffffffffff"),
            packet("m0,0000000000002001"),
            packet("m0,2000"),
        ];
        let parts = Filter::default().feed(&all.concat());
        let refused = Part::Own(Own::TooLong, true);
        let bytes = |p: &[u8]| Part::Bytes(p.to_vec());
        assert_eq!(parts, [bytes(&all[0]), refused.clone(), refused, bytes(&all[3])]);
    }

    #[test]
    fn a_wrong_checksum_is_not_ours_to_judge() {
        let parts = Filter::default().feed(b"$Qqemu.PhyMemMode:1#00");
        assert_eq!(parts, [Part::Bytes(b"$Qqemu.PhyMemMode:1#00".to_vec())]);
        // An endless packet is not held back.
        let mut f = Filter::default();
        assert_eq!(passed(&f.feed(&[b"$qqemu.", &[b'x'; 9000][..]].concat())).len(), 9007);
    }
}
