//! Persistence cookies: which server a client belongs to, and what the cookie fields look like on either side.
//!
//! The modes and letters are those of the manual's `cookie` keyword (4.2) and termination states (8.5).

use super::exchange::Exchange;
use crate::plan::{Backend, CookieMode, CookiePolicy};
use crate::proto::cookie;
use crate::proto::h1::framing::tokens;
use crate::proto::http::Known;
use crate::runtime::session::Session;
use crate::server::ServerId;

/// What separates server and value in `prefix` mode.
const PREFIX_SEPARATOR: u8 = b'~';

/// Returns the server that the client's cookie names, if it takes streams; cleans the cookie for the server.
pub fn wanted(session: &Session, exchange: &mut Exchange, backend: &Backend) -> Option<ServerId> {
    let policy = backend.cookie.as_ref()?;
    let logged = policy.mode != CookieMode::Passive;
    if logged {
        let termination = &mut exchange.record.termination;
        (termination.cookie_request, termination.cookie_response) = (b'N', b'N');
    }
    let value = exchange.request.cookie(policy.name.as_bytes())?;
    let named = match policy.mode {
        CookieMode::Prefix => value.split(|&b| b == PREFIX_SEPARATOR).next().unwrap_or_default(),
        _ => value.split(|&b| b == b'|').next().unwrap_or_default(),
    };
    let server = backend
        .servers
        .iter()
        .position(|s| s.cookie.as_ref().is_some_and(|c| c.as_bytes() == named));
    let farm = exchange.record.backend.map(|index| &session.shard.plan.farms[index as usize])?;
    let usable = server.filter(|&server| farm.server(server).takes_persistent());
    if logged {
        exchange.record.termination.cookie_request = match (server, usable) {
            (None, _) => b'I',
            (Some(_), None) => b'D',
            (Some(_), Some(_)) => b'V',
        };
    }
    if let Some(recorder) = &exchange.record.trace {
        let cookie = &policy.name;
        match (server, usable) {
            (_, Some(_)) => recorder.because(format!("the cookie `{cookie}` names it")),
            (Some(_), None) => {
                recorder
                    .note(format!("the server that the cookie `{cookie}` names takes no requests"));
            }
            (None, _) => recorder.note(format!("the cookie `{cookie}` names no server")),
        }
    }
    clean(exchange, policy);
    usable
}

/// Takes our part out of the `Cookie` field before the server sees it.
fn clean(exchange: &mut Exchange, policy: &CookiePolicy) {
    let name = policy.name.as_bytes();
    match policy.mode {
        CookieMode::Insert if policy.indirect => {
            exchange.request.remove_cookie(name);
        }
        CookieMode::Prefix => {
            let value = exchange.request.cookie(name).unwrap_or_default();
            if let Some(at) = value.iter().position(|&b| b == PREFIX_SEPARATOR) {
                let original = value[at + 1..].to_vec();
                exchange.request.replace_cookie(name, &original);
            }
        }
        _ => {}
    }
}

/// Writes the cookie into the response where the mode asks for it.
pub fn mark(exchange: &mut Exchange, backend: &Backend, server: ServerId) {
    let Some(policy) = &backend.cookie else { return };
    let value = match backend.servers[server].cookie.as_deref() {
        Some(value) => value,
        None if policy.mode == CookieMode::Insert => return forget(exchange, policy),
        None => return,
    };
    let from_server = from_server(exchange, policy);
    let letter = match policy.mode {
        CookieMode::Passive => return,
        CookieMode::Rewrite => match from_server {
            Some(index) => {
                replace(exchange, index, value.as_bytes());
                b'R'
            }
            None => b'N',
        },
        CookieMode::Prefix => match from_server {
            Some(index) => {
                prefix(exchange, index, value.as_bytes());
                b'R'
            }
            None => b'N',
        },
        CookieMode::Insert => insert(exchange, policy, value, from_server),
    };
    exchange.record.termination.cookie_response = letter;
    if policy.nocache && matches!(letter, b'I' | b'R') && is_cacheable(exchange) {
        exchange.response.add(b"Cache-Control", b"private");
    }
}

/// Whether a shared cache could keep the response, so that others would get this client's cookie with it.
fn is_cacheable(exchange: &Exchange) -> bool {
    let response = &exchange.response;
    let says = |word: &[u8]| {
        response.values(b"cache-control").flat_map(tokens).any(|token| {
            token.len() >= word.len() && token[..word.len()].eq_ignore_ascii_case(word)
        })
    };
    let dated = [b"expires".as_slice(), b"last-modified", b"etag"]
        .iter()
        .any(|name| response.get(name).is_some());
    matches!(exchange.request.method(), b"GET" | b"HEAD")
        && (dated || says(b"max-age") || says(b"s-maxage") || says(b"public"))
        && !(says(b"private") || says(b"no-store") || says(b"no-cache"))
}

/// Returns the index of the `Set-Cookie` field with which the server sets our cookie itself.
fn from_server(exchange: &Exchange, policy: &CookiePolicy) -> Option<usize> {
    let response = &exchange.response;
    response.fields().iter().position(|field| {
        field.known == Known::SetCookie && {
            let value = response.text(field.value);
            cookie::set_cookie(value)
                .is_some_and(|found| &value[found.name] == policy.name.as_bytes())
        }
    })
}

fn insert(
    exchange: &mut Exchange,
    policy: &CookiePolicy,
    value: &str,
    from_server: Option<usize>,
) -> u8 {
    if let Some(index) = from_server {
        if policy.preserve {
            return b'P';
        }
        exchange.response.remove_field(index);
    }
    // The client that came with a valid cookie keeps it.
    if exchange.record.termination.cookie_request == b'V' && !exchange.record.redispatched {
        return if from_server.is_some() { b'D' } else { b'N' };
    }
    if policy.postonly && exchange.request.method() != b"POST" {
        return b'N';
    }
    let mut text = format!("{}={}; path=/", policy.name, value);
    for domain in &policy.domains {
        text.push_str("; domain=");
        text.push_str(domain);
    }
    if policy.httponly {
        text.push_str("; HttpOnly");
    }
    if policy.secure {
        text.push_str("; Secure");
    }
    for attribute in &policy.attributes {
        text.push_str("; ");
        text.push_str(attribute);
    }
    exchange.response.add(b"Set-Cookie", text.as_bytes());
    b'I'
}

/// Makes the client forget its cookie: its server has none, so that whatever it holds is of another.
fn forget(exchange: &mut Exchange, policy: &CookiePolicy) {
    if policy.postonly && exchange.request.method() != b"POST" {
        return;
    }
    let text = format!("{}=; Expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/", policy.name);
    exchange.response.add(b"Set-Cookie", text.as_bytes());
    exchange.record.termination.cookie_response = b'I';
}

fn replace(exchange: &mut Exchange, index: usize, value: &[u8]) {
    let old = exchange.response.text(exchange.response.fields()[index].value).to_vec();
    let Some(found) = cookie::set_cookie(&old) else { return };
    let new = [&old[..found.value.start], value, &old[found.value.end..]].concat();
    exchange.response.set_value(index, &new);
}

fn prefix(exchange: &mut Exchange, index: usize, value: &[u8]) {
    let old = exchange.response.text(exchange.response.fields()[index].value).to_vec();
    let Some(found) = cookie::set_cookie(&old) else { return };
    let new =
        [&old[..found.value.start], value, &[PREFIX_SEPARATOR], &old[found.value.start..]].concat();
    exchange.response.set_value(index, &new);
}
