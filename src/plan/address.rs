//! Addresses as `bind`, `server`, `log` and `stats socket` write them (manual 11).
//!
//! Parsing says what is written; each directive decides which forms it can use and what a missing port means.

use super::load::Loader;
use crate::config::ast::Span;
use crate::config::diagnostic::Diagnostic;
use std::net::IpAddr;
use std::path::PathBuf;

/// An address as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Parsed {
    Inet { host: Host, ports: Ports },
    Unix(PathBuf),
    Abstract(Vec<u8>),
    Fd(i32),
}

/// The host part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// `*` or nothing.
    Any4,
    /// `ipv6@` and nothing.
    Any6,
    Ip(IpAddr),
    Name {
        name: String,
        family: Family,
    },
}

/// Which family a name may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Any,
    V4,
    V6,
}

/// The port part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ports {
    None,
    /// Inclusive; one port is a range of one.
    Range(u16, u16),
    /// `+N` or `-N`.
    Offset(i32),
}

/// Prefixes in front of `@` that stand for a family of addresses.
const FAMILIES: &[&str] =
    &["abns", "fd", "ipv4", "ipv6", "tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "unix"];

/// Reads an address; reports what is wrong with it.
pub(super) fn parse(cx: &mut Loader<'_>, text: &str, span: Span) -> Option<Parsed> {
    match parse_text(text) {
        Ok(parsed) => Some(parsed),
        Err(why) => {
            cx.push(Diagnostic::error(span, why));
            None
        }
    }
}

/// Reads an address; the error is a message fragment.
pub(super) fn parse_text(text: &str) -> Result<Parsed, String> {
    let (transport, rest) = match text.split_once('+') {
        Some((transport @ ("stream" | "dgram" | "quic"), rest)) => (transport, rest),
        _ => ("", text),
    };
    match transport {
        "quic" => return Err("`quic+` addresses are not supported yet".to_owned()),
        "dgram" => return Err("`dgram+` addresses are not supported yet".to_owned()),
        _ => {}
    }
    if rest.starts_with('/') {
        return Ok(Parsed::Unix(PathBuf::from(rest)));
    }
    let (family, rest) = match rest.split_once('@') {
        Some((family, rest)) if FAMILIES.contains(&family) => (family, rest),
        Some((
            family @ ("quic4" | "quic6" | "mptcp" | "mptcp4" | "mptcp6" | "abnsz" | "rhttp"
            | "sockpair" | "uxdg" | "uxst" | "ring"),
            _,
        )) => {
            return Err(format!("`{family}@` addresses are not supported yet"));
        }
        Some((family, _)) => return Err(format!("`{family}@` is not a kind of address")),
        None => ("", rest),
    };
    match family {
        "unix" if rest.is_empty() => Err("`unix@` needs a path".to_owned()),
        "unix" => Ok(Parsed::Unix(PathBuf::from(rest))),
        "abns" if rest.is_empty() || rest.len() > 107 => {
            Err("`abns@` needs a name of at most 107 bytes".to_owned())
        }
        "abns" => {
            // HAProxy pads the name with zeros to the full length, which is part of an abstract name.
            let mut name = rest.as_bytes().to_vec();
            name.resize(107, 0);
            Ok(Parsed::Abstract(name))
        }
        "fd" => match rest.parse() {
            Ok(fd) if fd >= 0 => Ok(Parsed::Fd(fd)),
            _ => Err(format!("`fd@` needs the number of a descriptor, and `{rest}` is none")),
        },
        _ => inet(family, rest),
    }
}

fn inet(family: &str, text: &str) -> Result<Parsed, String> {
    let (host, port) = split_port(text);
    let ports = port.map_or(Ok(Ports::None), ports)?;
    let family = match family {
        "ipv4" | "tcp4" | "udp4" => Family::V4,
        "ipv6" | "tcp6" | "udp6" => Family::V6,
        _ => Family::Any,
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let host = if bare.is_empty() || bare == "*" {
        if family == Family::V6 { Host::Any6 } else { Host::Any4 }
    } else if let Ok(ip) = bare.parse::<IpAddr>() {
        match (family, ip) {
            (Family::V4, IpAddr::V6(_)) => return Err(format!("`{bare}` is not an IPv4 address")),
            (Family::V6, IpAddr::V4(_)) => return Err(format!("`{bare}` is not an IPv6 address")),
            _ => Host::Ip(ip),
        }
    } else if let Some(why) = bad_host(bare) {
        return Err(why);
    } else {
        Host::Name { name: bare.to_owned(), family }
    };
    Ok(Parsed::Inet { host, ports })
}

/// Splits at the last colon that is not inside brackets.
fn split_port(text: &str) -> (&str, Option<&str>) {
    match text.rfind(':') {
        Some(at) if !text[at..].contains(']') => (&text[..at], Some(&text[at + 1..])),
        _ => (text, None),
    }
}

fn ports(text: &str) -> Result<Ports, String> {
    let port = |text: &str| {
        text.parse::<u16>().map_err(|_| format!("`{text}` is not a port (ports are 1 to 65535)"))
    };
    if text.is_empty() {
        return Ok(Ports::None);
    }
    if text.starts_with(['+', '-']) {
        let offset = text.parse::<i32>().ok().filter(|offset| offset.unsigned_abs() <= 65_535);
        return offset.map(Ports::Offset).ok_or_else(|| format!("`{text}` is not a port offset"));
    }
    let (low, high) = match text.split_once('-') {
        Some((low, high)) => (port(low)?, port(high)?),
        None => (port(text)?, port(text)?),
    };
    if low > high {
        return Err(format!("the port range `{text}` runs backwards"));
    }
    Ok(Ports::Range(low, high))
}

/// Returns why `host` cannot be a host name.
fn bad_host(host: &str) -> Option<String> {
    if host.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Some(format!("`{host}` is not an address"));
    }
    let bad = host.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.".contains(*c)))?;
    Some(format!("`{host}` is not an address or a host name: it contains `{bad}`"))
}

/// Returns the first address of a name; reports a name that has none.
pub(super) fn resolve(
    cx: &mut Loader<'_>,
    name: &str,
    family: Family,
    span: Span,
) -> Option<IpAddr> {
    match lookup(cx, name, family) {
        Ok(ip) => Some(ip),
        Err(why) => {
            cx.error(span, why);
            None
        }
    }
}

/// Returns the first address of a name; the error is a message fragment.
pub(super) fn lookup(cx: &mut Loader<'_>, name: &str, family: Family) -> Result<IpAddr, String> {
    let wanted = |ip: &IpAddr| match family {
        Family::Any => true,
        Family::V4 => ip.is_ipv4(),
        Family::V6 => ip.is_ipv6(),
    };
    let found = cx.host(name)?.into_iter().find(wanted);
    found.ok_or_else(|| match family {
        Family::V6 => format!("`{name}` has no IPv6 address"),
        _ => format!("`{name}` has no IPv4 address"),
    })
}

/// Reads `10.0.0.0/8`, `10.0.0.1` or `2001:db8::/32`.
pub(super) fn network(text: &str) -> Option<ipnet::IpNet> {
    match text.parse::<IpAddr>() {
        Ok(ip) => Some(ip.into()),
        Err(_) => {
            let (ip, mask) = text.split_once('/')?;
            let ip: IpAddr = ip.parse().ok()?;
            match mask.parse::<u8>() {
                Ok(bits) => ipnet::IpNet::new(ip, bits).ok(),
                Err(_) => ipnet::IpNet::with_netmask(ip, mask.parse().ok()?).ok(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inet(host: Host, low: u16, high: u16) -> Result<Parsed, String> {
        Ok(Parsed::Inet { host, ports: Ports::Range(low, high) })
    }

    fn ip(text: &str) -> Host {
        Host::Ip(text.parse().unwrap())
    }

    #[test]
    fn every_form_of_an_address_is_read() {
        assert_eq!(parse_text(":80"), inet(Host::Any4, 80, 80));
        assert_eq!(parse_text("*:80"), inet(Host::Any4, 80, 80));
        assert_eq!(parse_text("ipv6@:80"), inet(Host::Any6, 80, 80));
        assert_eq!(parse_text(":::80"), inet(ip("::"), 80, 80));
        assert_eq!(parse_text("[::1]:80"), inet(ip("::1"), 80, 80));
        assert_eq!(parse_text("10.0.0.1:8000-8010"), inet(ip("10.0.0.1"), 8000, 8010));
        assert_eq!(parse_text("stream+ipv4@1.2.3.4:5"), inet(ip("1.2.3.4"), 5, 5));
        assert_eq!(parse_text("fd@3"), Ok(Parsed::Fd(3)));
        let Ok(Parsed::Abstract(name)) = parse_text("abns@lb") else { panic!("abstract") };
        assert_eq!((name.len(), name.trim_ascii_end().len(), &name[..3]), (107, 107, &b"lb\0"[..]));
        assert_eq!(parse_text("/run/x.sock"), Ok(Parsed::Unix("/run/x.sock".into())));
        assert_eq!(parse_text("unix@x.sock"), Ok(Parsed::Unix("x.sock".into())));
        let offset = parse_text("10.0.0.1:+1000").unwrap();
        assert_eq!(offset, Parsed::Inet { host: ip("10.0.0.1"), ports: Ports::Offset(1000) });
    }

    #[test]
    fn what_is_no_address_says_why() {
        let why = |text: &str| parse_text(text).unwrap_err();
        assert!(why("127.0.0.1:70000").contains("`70000` is not a port"));
        assert!(why("300.1.1.1:80").contains("`300.1.1.1` is not an address"));
        assert!(why("*:90-80").contains("backwards"));
        assert!(why("fd@x").contains("`x`"));
        assert!(why("foo@bar:80").contains("`foo@`"));
        assert!(why("quic+:443").contains("not supported yet"));
        assert!(why("http://a:80").contains("contains"));
    }

    #[test]
    fn networks_have_prefixes_or_masks() {
        assert_eq!(network("10.0.0.0/8").unwrap().prefix_len(), 8);
        assert_eq!(network("10.0.0.0/255.0.0.0").unwrap().prefix_len(), 8);
        assert_eq!(network("::1").unwrap().prefix_len(), 128);
        assert_eq!(network("10.0.0.0/33"), None);
    }
}
