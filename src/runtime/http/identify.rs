//! The fields that tell a server about the client: `option forwardfor`, `option originalto`, `option forwarded`; and the
//! filter on field names, `option http-restrict-req-hdr-names`.
//!
//! They come behind all rules. Frontend and backend may both have the address options: an `except` of either one
//! counts, the backend's name of the field wins, and `if-none` only holds when all that have the option say it.

use super::exchange::Exchange;
use super::route::{Stop, with_context};
use crate::plan::{AddressField, HeaderNames};
use crate::proto::http::Head;
use crate::proto::scan;
use crate::runtime::session::Session;
use std::net::IpAddr;

/// Adds what frontend and backend want the server to know.
pub fn client(session: &Session, exchange: &mut Exchange, backend: u32) {
    let frontend = session.frontend();
    let backend = session.shard.backend(backend);
    if let Some(forwarded) = &backend.forwarded {
        let mut value = Vec::new();
        with_context(session, exchange, |cx| forwarded.write(cx, &mut value));
        if !value.is_empty() {
            exchange.request.add(b"forwarded", &value);
        }
    }
    let (front, back) = (frontend.forward_for.as_ref(), backend.forward_for.as_ref());
    if front.is_some() || back.is_some() {
        address(
            &mut exchange.request,
            exchange.record.source(&session.info).map(|a| a.ip()),
            front,
            back,
        );
    }
    let (front, back) = (frontend.original_to.as_ref(), backend.original_to.as_ref());
    if front.is_some() || back.is_some() {
        address(
            &mut exchange.request,
            exchange.record.destination(&session.info).map(|a| a.ip()),
            front,
            back,
        );
    }
}

/// Adds an address as the options of both proxies say.
fn address(
    head: &mut Head,
    address: Option<IpAddr>,
    front: Option<&AddressField>,
    back: Option<&AddressField>,
) {
    let Some(address) = address else { return };
    let mut options = back.into_iter().chain(front);
    let Some(first) = options.clone().next() else { return };
    if options.clone().any(|option| option.except.is_some_and(|net| net.contains(&address))) {
        return;
    }
    let name = first.header.as_bytes();
    if options.all(|option| option.if_none) && head.get(name).is_some() {
        return;
    }
    let mut text = [0u8; 46];
    let len = write_ip(address, &mut text);
    head.add(name, &text[..len]);
}

/// Writes an address and returns its length; 46 bytes hold any.
fn write_ip(ip: IpAddr, out: &mut [u8; 46]) -> usize {
    use std::io::Write;
    let mut cursor = &mut out[..];
    let room = cursor.len();
    // The longest textual address has 45 bytes, so writing cannot fail.
    let _ = write!(cursor, "{ip}");
    room - cursor.len()
}

/// Applies a proxy's policy on names with other characters than letters, digits and `-`.
///
/// # Errors
/// The answer when the policy refuses such requests.
#[cold]
pub fn restrict_names(policy: HeaderNames, head: &mut Head) -> Result<(), Stop> {
    let plain = scan::is_plain_name;
    match policy {
        HeaderNames::Preserve => {}
        HeaderNames::Delete => {
            head.retain(|name, _| plain(name));
        }
        HeaderNames::Reject => {
            if head.fields().iter().any(|field| !plain(head.text(field.name))) {
                return Err(Stop::Deny(403));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::http::Version;

    fn option(header: &str, except: &str, if_none: bool) -> AddressField {
        AddressField { header: header.to_owned(), except: except.parse().ok(), if_none }
    }

    /// Returns the fields behind the one that the client sent.
    fn added(ip: &str, front: Option<AddressField>, back: Option<AddressField>) -> String {
        let mut head = Head::new_request(b"GET", b"/", Version::Http11);
        head.add(b"X-A", b"client");
        address(&mut head, Some(ip.parse().unwrap()), front.as_ref(), back.as_ref());
        let text = |slice| String::from_utf8_lossy(head.text(slice)).into_owned();
        let lines = head.fields()[1..].iter().map(|f| text(f.name) + "=" + &text(f.value));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_backend_names_the_field_and_either_proxy_can_except() {
        let option = |header, except| Some(option(header, except, false));
        assert_eq!(added("10.1.2.3", option("X-F", ""), option("X-B", "")), "X-B=10.1.2.3");
        assert_eq!(added("10.1.2.3", option("X-F", ""), None), "X-F=10.1.2.3");
        assert_eq!(added("10.1.2.3", option("X-F", "10.0.0.0/8"), option("X-B", "")), "");
        assert_eq!(added("10.1.2.3", option("X-F", ""), option("X-B", "10.0.0.0/8")), "");
        assert_eq!(added("2001:db8::1", option("X-F", "2001:db8::/32"), None), "");
        assert_eq!(added("2001:db9::1", option("X-F", "2001:db8::/32"), None), "X-F=2001:db9::1");
    }

    #[test]
    fn if_none_holds_when_all_that_have_the_option_say_it() {
        let option = |if_none| Some(option("X-A", "", if_none));
        assert_eq!(added("1.2.3.4", option(true), None), "");
        assert_eq!(added("1.2.3.4", None, option(true)), "");
        assert_eq!(added("1.2.3.4", option(true), option(true)), "");
        assert_eq!(added("1.2.3.4", option(true), option(false)), "X-A=1.2.3.4");
        assert_eq!(added("1.2.3.4", option(false), option(true)), "X-A=1.2.3.4");
    }

    #[test]
    fn odd_names_are_kept_deleted_or_refused() {
        let head = || {
            let mut head = Head::new_request(b"GET", b"/", Version::Http11);
            [b"X_a".as_slice(), b"X-B", b"x.c", b"1-2"]
                .iter()
                .for_each(|name| head.add(name, b"v"));
            head
        };
        let (mut kept, mut cut) = (head(), head());
        assert!(restrict_names(HeaderNames::Preserve, &mut kept).is_ok());
        assert!(restrict_names(HeaderNames::Delete, &mut cut).is_ok());
        assert_eq!((kept.fields().len(), cut.fields().len()), (4, 2));
        assert!(cut.get(b"x-b").is_some() && cut.get(b"1-2").is_some());
        assert!(matches!(restrict_names(HeaderNames::Reject, &mut kept), Err(Stop::Deny(403))));
        assert!(restrict_names(HeaderNames::Reject, &mut cut).is_ok());
    }
}
