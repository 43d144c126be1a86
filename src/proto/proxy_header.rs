//! The header of the PROXY protocol, versions 1 and 2: what a load balancer before us says of its client.
//!
//! [`parse`] looks at the first bytes of a connection. It never takes more of them than the header has, so that what
//! follows stays for whoever speaks next. What a version 2 header holds behind the addresses is skipped.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header that is taken: addresses are short, but a version 2 header may carry more behind them.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The longest version 1 header, with its line end.
const LINE_MAX: usize = 107;
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_LEN: usize = 16;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// It is not complete: all bytes so far belong to it.
    Partial,
    /// It ends after `len` bytes.
    Complete {
        /// How many bytes it has.
        len: usize,
        /// Source and destination; none when the sender speaks for itself or does not know them.
        addresses: Option<(SocketAddr, SocketAddr)>,
    },
    /// This is no such header.
    Bad,
}

/// Parses the header that `bytes` begin with.
pub fn parse(bytes: &[u8]) -> Parsed {
    let common = bytes.iter().zip(SIGNATURE).take_while(|(one, other)| one == other).count();
    if common == SIGNATURE.len() {
        return binary(bytes);
    }
    if common == bytes.len() {
        return Parsed::Partial;
    }
    line(bytes)
}

/// Parses version 1: a line of text.
fn line(bytes: &[u8]) -> Parsed {
    const BEGIN: &[u8] = b"PROXY ";
    let seen = bytes.len().min(BEGIN.len());
    if bytes[..seen] != BEGIN[..seen] {
        return Parsed::Bad;
    }
    let window = &bytes[..bytes.len().min(LINE_MAX)];
    let Some(end) = memchr::memchr(b'\n', window) else {
        return if window.len() == LINE_MAX { Parsed::Bad } else { Parsed::Partial };
    };
    let text = window[..end].strip_suffix(b"\r").and_then(|line| std::str::from_utf8(line).ok());
    let Some(text) = text else { return Parsed::Bad };
    let mut words = text.split(' ').skip(1);
    let len = end + 1;
    let address = |ip: Option<&str>, port: Option<&str>, v4: bool| {
        let ip: IpAddr = match v4 {
            true => ip?.parse::<Ipv4Addr>().ok()?.into(),
            false => ip?.parse::<Ipv6Addr>().ok()?.into(),
        };
        let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?;
        Some(SocketAddr::new(ip, port.parse().ok()?))
    };
    let v4 = match words.next() {
        Some("TCP4") => true,
        Some("TCP6") => false,
        // What stands behind it is not to be looked at.
        Some("UNKNOWN") => return Parsed::Complete { len, addresses: None },
        _ => return Parsed::Bad,
    };
    let parts = [words.next(), words.next(), words.next(), words.next()];
    if words.next().is_some() {
        return Parsed::Bad;
    }
    let source = address(parts[0], parts[2], v4);
    let destination = address(parts[1], parts[3], v4);
    match source.zip(destination) {
        Some(addresses) => Parsed::Complete { len, addresses: Some(addresses) },
        None => Parsed::Bad,
    }
}

/// Parses version 2; the signature was found.
fn binary(bytes: &[u8]) -> Parsed {
    let Some(fixed) = bytes.get(..FIXED_LEN) else { return Parsed::Partial };
    let (version, command, family) = (fixed[12] >> 4, fixed[12] & 15, fixed[13]);
    let len = FIXED_LEN + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if version != 2 || command > 1 || len > HEADER_BYTES_MAX {
        return Parsed::Bad;
    }
    let Some(body) = bytes.get(FIXED_LEN..len) else { return Parsed::Partial };
    let port = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    let v4 = |at: usize| {
        let octets: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
        Some(IpAddr::from(Ipv4Addr::from(octets)))
    };
    let v6 = |at: usize| {
        let octets: [u8; 16] = body.get(at..at + 16)?.try_into().ok()?;
        Some(IpAddr::from(Ipv6Addr::from(octets)))
    };
    let pair = |source: Option<IpAddr>, destination: Option<IpAddr>, at: usize| {
        let source = SocketAddr::new(source?, port(at)?);
        Some((source, SocketAddr::new(destination?, port(at + 2)?)))
    };
    let addresses = match (command, family) {
        // LOCAL: the sender's own connection, a health check perhaps.
        (0, _) => return Parsed::Complete { len, addresses: None },
        (_, 0x11) => pair(v4(0), v4(4), 8),
        (_, 0x21) => pair(v6(0), v6(16), 32),
        // Unix sockets, or none that is known: the connection's own addresses stay.
        _ => return Parsed::Complete { len, addresses: None },
    };
    match addresses {
        Some(addresses) => Parsed::Complete { len, addresses: Some(addresses) },
        None => Parsed::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(source: &str, destination: &str) -> Option<(SocketAddr, SocketAddr)> {
        Some((source.parse().unwrap(), destination.parse().unwrap()))
    }

    /// Parses every prefix of a header: none but the whole may be complete, and what follows is not taken.
    #[track_caller]
    fn check(header: &[u8], expected: Option<(SocketAddr, SocketAddr)>) {
        for end in 0..header.len() {
            assert_eq!(parse(&header[..end]), Parsed::Partial, "{end} bytes");
        }
        let whole = Parsed::Complete { len: header.len(), addresses: expected };
        assert_eq!(parse(header), whole);
        assert_eq!(parse(&[header, b"GET / HTTP/1.1"].concat()), whole);
    }

    fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, body].concat()
    }

    #[test]
    fn version_1_says_addresses_or_that_they_are_unknown() {
        check(b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\r\n", addresses("1.2.3.4:1000", "5.6.7.8:80"));
        check(b"PROXY TCP6 ::1 fe80::2 1 65535\r\n", addresses("[::1]:1", "[fe80::2]:65535"));
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff:f...f:ffff 1 2\r\n", None);
    }

    #[test]
    fn version_2_says_addresses_and_may_carry_more() {
        let v4 = [1, 2, 3, 4, 5, 6, 7, 8, 0x03, 0xe8, 0, 80];
        check(&v2(0x21, 0x11, &v4), addresses("1.2.3.4:1000", "5.6.7.8:80"));
        check(
            &v2(0x21, 0x11, &[&v4[..], &[4, 0, 1, 9]].concat()),
            addresses("1.2.3.4:1000", "5.6.7.8:80"),
        );
        let v6 = [&Ipv6Addr::LOCALHOST.octets()[..], &Ipv6Addr::LOCALHOST.octets(), &[0, 1, 0, 2]];
        check(&v2(0x21, 0x21, &v6.concat()), addresses("[::1]:1", "[::1]:2"));
        check(&v2(0x20, 0x11, &v4), None);
        check(&v2(0x21, 0x00, b""), None);
        check(&v2(0x21, 0x31, &[7; 216]), None);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1000\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 80 1\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1000 65536\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +100 80\r\n",
            b"PROXY TCP4 ::1 ::1 1000 80\r\n",
            b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            &[b"PROXY UNKNOWN ", &[b'x'; 100][..]].concat(),
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x11, &[0; HEADER_BYTES_MAX]),
        ] {
            assert_eq!(parse(bytes), Parsed::Bad, "{:?}", String::from_utf8_lossy(bytes));
        }
    }
}
