//! What the router has to know of DNS (RFC 1035, section 4.1): whether bytes can be a query, and how to say that there is no
//! answer. Queries and answers themselves pass unread, to and from the host's own name server.

/// Bytes of the header.
const HEADER: usize = 12;
const RESPONSE: u8 = 0x80;
/// Server failure.
const SERVFAIL: u8 = 2;

/// Whether a datagram is a query: a whole header, no answer.
pub fn is_query(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & RESPONSE == 0
}

/// The answer to a query when there is no name server to ask: the question, and a failure.
pub fn failure(query: &[u8]) -> Option<Vec<u8>> {
    if !is_query(query) {
        return None;
    }
    let mut out = query[..HEADER].to_vec();
    out[2] = RESPONSE | query[2] & 0x79; // operation and recursion desired as asked
    out[3] = 0x80 | SERVFAIL; // recursion available
    let question = question(query);
    out[4..].fill(0);
    if let Some(bytes) = question {
        out[5] = 1;
        out.extend(bytes);
    }
    Some(out)
}

/// The first question: a name without pointers, a type, a class.
fn question(query: &[u8]) -> Option<&[u8]> {
    if query[4..6] == [0, 0] {
        return None;
    }
    let mut at = HEADER;
    loop {
        let len = usize::from(*query.get(at)?);
        at += 1 + len;
        if len > 63 || at > HEADER + 255 {
            return None;
        }
        if len == 0 {
            return query.get(HEADER..at + 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for example.com, type A.
    const QUERY: &[u8] =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn a_failure_repeats_the_question() {
        let f = failure(QUERY).unwrap();
        assert_eq!(f[..12], *b"\x12\x34\x81\x82\x00\x01\x00\x00\x00\x00\x00\x00");
        assert_eq!(f[12..], QUERY[12..]);
    }

    #[test]
    fn cut_queries_are_survived() {
        for n in 0..QUERY.len() {
            let f = failure(&QUERY[..n]);
            assert_eq!(f.is_some(), n >= 12);
        }
        assert!(failure(b"\x12\x34\x81\x00\x00\x01\x00\x00\x00\x00\x00\x00").is_none(), "an answer");
    }
}
