//! The first message of a TLS handshake, as far as it says who is asked for: version, server name, protocols.
//!
//! [`look`] reads the bytes that a peer sent first, without deciphering anything: a ClientHello is sent in the clear
//! (RFC 8446 section 4.1.2). One that is spread over several records is put together. Nothing here is kept, and a
//! hello is never longer than what was received.

use std::borrow::Cow;

/// Content type and version of a handshake record, and its length.
const RECORD_LEN: usize = 5;
/// Type and length of a handshake message.
const MESSAGE_LEN: usize = 4;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

const SERVER_NAME: u16 = 0;
const SUPPORTED_GROUPS: u16 = 10;
const ALPN: u16 = 16;
const SESSION_TICKET: u16 = 35;

/// What the first bytes of a connection are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look<'b> {
    /// The beginning of a hello, perhaps.
    Partial,
    /// A complete handshake message.
    Hello(Hello<'b>),
    /// Something else.
    Other,
}

/// A complete handshake message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello<'b> {
    /// Its type: 1 is a ClientHello, 2 a ServerHello.
    pub kind: u8,
    /// Its body.
    body: Cow<'b, [u8]>,
}

/// Looks at the first bytes of a connection.
pub fn look(bytes: &[u8]) -> Look<'_> {
    let (mut rest, mut pieces): (&[u8], Cow<'_, [u8]>) = (bytes, Cow::Borrowed(&[]));
    loop {
        // What is wrong is said as soon as it is there.
        let wrong = matches!(rest.first(), Some(kind) if *kind != HANDSHAKE)
            || matches!(rest.get(1), Some(major) if *major != 3);
        if wrong {
            return Look::Other;
        }
        let Some(header) = rest.get(..RECORD_LEN) else { return Look::Partial };
        let len = usize::from(u16::from_be_bytes([header[3], header[4]]));
        if len == 0 {
            return Look::Other;
        }
        let body = &rest[RECORD_LEN..];
        let Some(body) = body.get(..len) else { return Look::Partial };
        match pieces.is_empty() {
            true => pieces = Cow::Borrowed(body),
            false => pieces.to_mut().extend_from_slice(body),
        }
        rest = &rest[RECORD_LEN + len..];
        let Some(header) = pieces.get(..MESSAGE_LEN) else { continue };
        let kind = header[0];
        let len =
            usize::from(header[1]) << 16 | usize::from(header[2]) << 8 | usize::from(header[3]);
        if pieces.len() - MESSAGE_LEN < len {
            continue;
        }
        let message = MESSAGE_LEN..MESSAGE_LEN + len;
        let body = match pieces {
            Cow::Borrowed(all) => Cow::Borrowed(&all[message]),
            Cow::Owned(all) => Cow::Owned(all[message].to_vec()),
        };
        return Look::Hello(Hello { kind, body });
    }
}

/// Takes bytes off the front of a message.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn short(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Takes bytes behind their length of one byte.
    fn block8(&mut self) -> Option<&'b [u8]> {
        let len = self.byte()?;
        self.take(len.into())
    }

    /// Takes bytes behind their length of two bytes.
    fn block16(&mut self) -> Option<&'b [u8]> {
        let len = self.short()?;
        self.take(len.into())
    }
}

impl Hello<'_> {
    /// Returns the version that the client asks for: 0x0303 for TLS 1.2 and later.
    pub fn version(&self) -> Option<u16> {
        Reader(&self.body).short()
    }

    /// Returns the body of an extension of a ClientHello.
    fn extension(&self, wanted: u16) -> Option<&[u8]> {
        if self.kind != CLIENT_HELLO {
            return None;
        }
        let mut reader = Reader(&self.body);
        // Version and random, session id, cipher suites, compression methods.
        reader.take(2 + 32)?;
        reader.block8()?;
        reader.block16()?;
        reader.block8()?;
        let mut extensions = Reader(reader.block16()?);
        while let (Some(kind), Some(body)) = (extensions.short(), extensions.block16()) {
            if kind == wanted {
                return Some(body);
            }
        }
        None
    }

    /// Returns the name of the server that the client asks for (RFC 6066 section 3).
    pub fn server_name(&self) -> Option<&[u8]> {
        const HOST_NAME: u8 = 0;
        let mut names = Reader(Reader(self.extension(SERVER_NAME)?).block16()?);
        while let (Some(kind), Some(name)) = (names.byte(), names.block16()) {
            if kind == HOST_NAME {
                return Some(name);
            }
        }
        None
    }

    /// Returns the protocol that the client likes best (RFC 7301 section 3.1).
    pub fn protocol(&self) -> Option<&[u8]> {
        Reader(Reader(self.extension(ALPN)?).block16()?).block8().filter(|name| !name.is_empty())
    }

    /// Returns whether the client names the groups, or curves, that it knows (RFC 8422 section 5.1.1).
    pub fn names_groups(&self) -> bool {
        self.extension(SUPPORTED_GROUPS).is_some()
    }

    /// Returns the session ticket that the client comes with, empty when it only wants one (RFC 5077 section 3.2).
    pub fn session_ticket(&self) -> Option<&[u8]> {
        self.extension(SESSION_TICKET)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block16(body: &[u8]) -> Vec<u8> {
        [&(body.len() as u16).to_be_bytes()[..], body].concat()
    }

    fn extension(kind: u16, body: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &block16(body)].concat()
    }

    fn message(kind: u8, extensions: &[Vec<u8>]) -> Vec<u8> {
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[2, 1, 1],
            &[0, 2, 0x13, 1],
            &[1, 0],
            &block16(&extensions.concat()),
        ]
        .concat();
        let len = (body.len() as u32).to_be_bytes();
        [&[kind][..], &len[1..], &body].concat()
    }

    fn record(body: &[u8]) -> Vec<u8> {
        [&[22, 3, 1][..], &block16(body)].concat()
    }

    fn example() -> Vec<u8> {
        let name = [&[0][..], &block16(b"a.example")].concat();
        message(
            1,
            &[
                extension(0x0a0a, b""),
                extension(SERVER_NAME, &block16(&name)),
                extension(ALPN, &block16(b"\x02h2\x08http/1.1")),
                extension(SESSION_TICKET, b"t"),
            ],
        )
    }

    #[track_caller]
    fn hello(bytes: &[u8]) -> Hello<'_> {
        match look(bytes) {
            Look::Hello(hello) => hello,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_hello_says_version_name_protocol_and_more() {
        let bytes = record(&example());
        let hello = hello(&bytes);
        assert_eq!((hello.kind, hello.version()), (1, Some(0x0303)));
        assert_eq!(hello.server_name(), Some(&b"a.example"[..]));
        assert_eq!(hello.protocol(), Some(&b"h2"[..]));
        assert_eq!(hello.session_ticket(), Some(&b"t"[..]));
        assert!(!hello.names_groups());
        let bytes = record(&message(1, &[extension(SUPPORTED_GROUPS, b"\0\x02\0\x17")]));
        let hello = self::hello(&bytes);
        assert!(hello.names_groups());
        assert_eq!(
            (hello.server_name(), hello.protocol(), hello.session_ticket()),
            (None, None, None)
        );
    }

    #[test]
    fn it_is_complete_with_its_last_byte_also_over_several_records() {
        let message = example();
        for cut in [1, 3, 4, 5, 60, message.len() - 1] {
            let bytes = [record(&message[..cut]), record(&message[cut..])].concat();
            for end in 0..bytes.len() {
                assert_eq!(look(&bytes[..end]), Look::Partial, "{end} of {cut}");
            }
            assert_eq!(hello(&bytes).server_name(), Some(&b"a.example"[..]), "{cut}");
        }
        let more = [record(&message), b"\x17\x03\x03\0\x01x".to_vec()].concat();
        assert_eq!(hello(&more), hello(&record(&message)));
    }

    #[test]
    fn what_is_no_hello_is_so_from_the_first_wrong_byte_on() {
        for bytes in [
            &b"S"[..],
            b"\x16\x02",
            b"\x16\x03\x01\0\0",
            &[record(&[1, 0, 1]), b"\x17".to_vec()].concat(),
            b"\x80\x2e\x01\0\x02",
        ] {
            assert_eq!(look(bytes), Look::Other, "{bytes:?}");
        }
        let bytes = record(&self::message(2, &[extension(SERVER_NAME, b"\0\x04\0\0\x01a")]));
        assert_eq!((hello(&bytes).kind, hello(&bytes).server_name()), (2, None));
    }

    #[test]
    fn lengths_that_lie_yield_nothing() {
        let whole = example();
        for at in MESSAGE_LEN..whole.len() {
            for value in [0, 1, 0x7f, 0xff] {
                let mut message = whole.clone();
                message[at] = value;
                let bytes = record(&message);
                let hello = hello(&bytes);
                let _ = (hello.server_name(), hello.protocol(), hello.session_ticket());
                let cut = record(&message[..at]);
                assert_eq!(look(&cut), Look::Partial);
            }
        }
    }
}
