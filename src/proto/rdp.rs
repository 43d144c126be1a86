//! The cookie in the first packet of an RDP connection, by which a client names its user or its server.
//!
//! The packet is a TPKT header, an X.224 connection request and a line such as `Cookie: mstshash=user`.

/// TPKT header and the fixed part of a connection request.
const FIXED_LEN: usize = 11;
const LABEL: &[u8] = b"Cookie:";

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look<'b> {
    /// The beginning of such a packet, perhaps.
    Partial,
    /// A connection request with a cookie.
    Cookie {
        /// Its name.
        name: &'b [u8],
        /// Its value.
        value: &'b [u8],
    },
    /// A connection request without one.
    NoCookie,
    /// Something else.
    Other,
}

/// Looks at the first bytes of a connection.
pub fn look(bytes: &[u8]) -> Look<'_> {
    const VERSION: u8 = 3;
    const CONNECTION_REQUEST: u8 = 0xe0;
    let is = |at: usize, wanted: u8| bytes.get(at).is_none_or(|byte| *byte == wanted);
    if !is(0, VERSION) || !is(1, 0) || !is(5, CONNECTION_REQUEST) {
        return Look::Other;
    }
    let Some(fixed) = bytes.get(..FIXED_LEN) else { return Look::Partial };
    let len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if len < FIXED_LEN || usize::from(fixed[4]) + 5 != len {
        return Look::Other;
    }
    let received = &bytes[FIXED_LEN..bytes.len().min(len)];
    let whole = bytes.len() >= len;
    let label = received.len().min(LABEL.len());
    if !received[..label].eq_ignore_ascii_case(&LABEL[..label]) {
        return Look::NoCookie;
    }
    let missing = if whole { Look::NoCookie } else { Look::Partial };
    let Some(line) = received.get(LABEL.len()..) else { return missing };
    let Some(end) = memchr::memmem::find(line, b"\r\n") else { return missing };
    let line = line[..end].trim_ascii_start();
    match memchr::memchr(b'=', line) {
        Some(at) => Look::Cookie { name: &line[..at], value: &line[at + 1..] },
        None => Look::NoCookie,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(text: &[u8]) -> Vec<u8> {
        let len = (FIXED_LEN + text.len()) as u16;
        let head = [3, 0, (len >> 8) as u8, len as u8, len as u8 - 5, 0xe0, 0, 0, 0, 0, 0];
        [&head[..], text].concat()
    }

    #[test]
    fn the_first_line_may_be_a_cookie() {
        for (text, name, value) in [
            ("Cookie: mstshash=user\r\n", "mstshash", "user"),
            ("cookie:msts=1.2.3\r\n\x01\0\x08\0", "msts", "1.2.3"),
            ("Cookie: a b=c=d\r\nx", "a b", "c=d"),
            ("Cookie: a=\r\n", "a", ""),
        ] {
            let bytes = packet(text.as_bytes());
            let expected = Look::Cookie { name: name.as_bytes(), value: value.as_bytes() };
            assert_eq!(look(&bytes), expected, "{text:?}");
            for end in 0..FIXED_LEN + text.find('\r').unwrap() {
                assert_eq!(look(&bytes[..end]), Look::Partial, "{end} bytes of {text:?}");
            }
        }
    }

    #[test]
    fn other_packets_and_other_bytes_have_none() {
        for text in [&b"\x01\0\x08\0\0\0\0\0"[..], b"", b"Cookie: a\r\n", b"Cookie: a=b", b"Coo"] {
            assert_eq!(look(&packet(text)), Look::NoCookie, "{text:?}");
        }
        for bytes in [
            &b"GET / HTTP/1.1"[..],
            b"\x03\x01",
            b"\x03\0\0\x0b\x06\xd0",
            b"\x03\0\0\x09\x04\xe0\0\0\0\0\0",
        ] {
            assert_eq!(look(bytes), Look::Other, "{bytes:?}");
        }
        let mut wrong = packet(b"Cookie: a=b\r\n");
        wrong[4] += 1;
        assert_eq!(look(&wrong), Look::Other);
    }
}
