//! What is kept of a stream's messages for logs and for rules that run later: `capture` and `declare capture`
//! (manual 4.2, 8.8).
//!
//! A frontend has numbered slots for requests and for responses, in the order of its lines, and one cookie. Frontends
//! without any cost nothing: their streams have no [`Captures`].

use crate::proto::cookie;
use crate::proto::http::{Head, Known};
use std::cell::RefCell;

/// A slot as a line declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The field that fills it; `None` when rules do.
    pub field: Option<Box<[u8]>>,
    /// How much of a text is kept.
    pub bytes_max: usize,
}

/// What a frontend captures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Declarations {
    /// Slots of requests.
    pub request: Vec<Declared>,
    /// Slots of responses.
    pub response: Vec<Declared>,
    /// The beginning of a cookie's name, and how much of `name=value` is kept.
    pub cookie: Option<(Box<[u8]>, usize)>,
}

impl Declarations {
    /// Returns whether nothing is captured.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the slots of one direction.
    pub fn slots(&self, side: Side) -> &[Declared] {
        match side {
            Side::Request => &self.request,
            Side::Response => &self.response,
        }
    }
}

/// Whose slots are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of the request.
    Request,
    /// Those of the response.
    Response,
}

/// A slot of a stream.
#[derive(Clone, Debug)]
struct Slot {
    bytes_max: usize,
    text: Option<Vec<u8>>,
}

impl Slot {
    fn set(&mut self, text: &[u8]) {
        self.text = Some(text[..text.len().min(self.bytes_max)].to_vec());
    }
}

#[derive(Clone, Debug, Default)]
struct Texts {
    request: Vec<Slot>,
    response: Vec<Slot>,
    cookies: [Vec<u8>; 2],
}

/// What was captured of a stream.
#[derive(Clone, Debug, Default)]
pub struct Captures(RefCell<Option<Box<Texts>>>);

impl Captures {
    /// Returns the empty slots of a stream.
    #[cold]
    pub fn of(declared: &Declarations) -> Self {
        let empty = |slots: &[Declared]| {
            slots.iter().map(|slot| Slot { bytes_max: slot.bytes_max, text: None }).collect()
        };
        let (request, response) = (empty(&declared.request), empty(&declared.response));
        let texts = Texts { request, response, cookies: Default::default() };
        Self(RefCell::new(Some(Box::new(texts))))
    }

    fn with_slots<T>(&self, side: Side, f: impl FnOnce(&mut Vec<Slot>) -> T) -> Option<T> {
        let mut texts = self.0.borrow_mut();
        let texts = texts.as_mut()?;
        Some(f(match side {
            Side::Request => &mut texts.request,
            Side::Response => &mut texts.response,
        }))
    }

    /// Keeps a text in a slot; returns whether there is such a slot.
    pub fn set(&self, side: Side, slot: usize, text: &[u8]) -> bool {
        let set = |slots: &mut Vec<Slot>| slots.get_mut(slot).map(|slot| slot.set(text)).is_some();
        self.with_slots(side, set).unwrap_or(false)
    }

    /// Returns the text in a slot.
    pub fn get(&self, side: Side, slot: usize) -> Option<Vec<u8>> {
        self.with_slots(side, |slots| slots.get(slot)?.text.clone()).flatten()
    }

    /// Hands the texts of all slots over in order.
    pub fn each(&self, side: Side, mut each: impl FnMut(Option<&[u8]>)) {
        self.with_slots(side, |slots| slots.iter().for_each(|slot| each(slot.text.as_deref())));
    }

    /// Hands over the cookie of the request or of the response, empty when there was none.
    pub fn cookie<T>(&self, side: Side, f: impl FnOnce(&[u8]) -> T) -> T {
        match self.0.borrow().as_ref() {
            Some(texts) => f(&texts.cookies[side as usize]),
            None => f(b""),
        }
    }

    /// Takes from a head what the frontend wants of it.
    #[cold]
    pub fn take(&self, declared: &Declarations, side: Side, head: &Head) {
        for (slot, wanted) in declared.slots(side).iter().enumerate() {
            // The last of several fields counts.
            if let Some(value) =
                wanted.field.as_deref().and_then(|name| head.values(name).next_back())
            {
                self.set(side, slot, value);
            }
        }
        let Some((prefix, bytes_max)) = &declared.cookie else { return };
        let found = match side {
            Side::Request => head
                .fields_known(Known::Cookie)
                .flat_map(|(_, value)| {
                    cookie::cookies(value).map(move |cookie| &value[cookie.pair])
                })
                .find(|pair| pair.starts_with(prefix)),
            Side::Response => head
                .values(b"set-cookie")
                .filter_map(|value| cookie::set_cookie(value).map(|cookie| &value[cookie.pair]))
                .find(|pair| pair.starts_with(prefix)),
        };
        if let (Some(pair), Some(texts)) = (found, self.0.borrow_mut().as_mut()) {
            texts.cookies[side as usize] = pair[..pair.len().min(*bytes_max)].to_vec();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::request;

    fn declared() -> Declarations {
        let slot = |field: &str, bytes_max| Declared {
            field: (!field.is_empty()).then(|| field.as_bytes().into()),
            bytes_max,
        };
        Declarations {
            request: vec![slot("host", 4), slot("", 3), slot("x-none", 9)],
            response: vec![slot("server", 8)],
            cookie: Some(((*b"sess").into(), 9)),
        }
    }

    #[test]
    fn slots_hold_the_beginning_of_the_last_field_or_what_rules_say() {
        let captures = Captures::of(&declared());
        let head =
            request("GET /\nHost: example\nhost: other.org\nCookie: a=1; sess2=abcdefgh; sess=x");
        captures.take(&declared(), Side::Request, &head);
        assert!(captures.set(Side::Request, 1, b"text"));
        assert!(!captures.set(Side::Request, 3, b"text"));
        let mut texts = Vec::new();
        captures.each(Side::Request, |text| texts.push(text.map(<[u8]>::to_vec)));
        assert_eq!(texts, [Some(b"othe".to_vec()), Some(b"tex".to_vec()), None]);
        assert_eq!(captures.get(Side::Response, 0), None);
        captures.cookie(Side::Request, |cookie| assert_eq!(cookie, b"sess2=abc"));
        captures.cookie(Side::Response, |cookie| assert_eq!(cookie, b""));
    }

    #[test]
    fn a_stream_without_slots_keeps_nothing() {
        let captures = Captures::default();
        assert!(!captures.set(Side::Request, 0, b"text"));
        assert_eq!(captures.get(Side::Request, 0), None);
        captures.each(Side::Response, |_| panic!("there is no slot"));
    }
}
