//! The shard's side of a queue: streams that wait for a slot of a server.
//!
//! The queues themselves are in [`crate::server::queue`]; here a waiting task sleeps until its ticket is called.

use super::deadline::{Deadline, Expired};
use crate::server::ServerId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// What the call of a ticket brought: a slot of that server, or word that what was waited for is gone.
pub type Called = Option<ServerId>;

#[derive(Debug)]
enum Place {
    Waiting(Option<Waker>),
    Called(Called),
}

/// The waiting streams of one shard, by ticket id.
#[derive(Debug, Default)]
pub struct Waiters {
    places: RefCell<HashMap<u64, Place>>,
    next: Cell<u64>,
}

impl Waiters {
    /// Opens a place and returns its ticket id; to be closed by [`Waiters::close`].
    pub fn open(&self) -> u64 {
        let id = self.next.get();
        self.next.set(id + 1);
        self.places.borrow_mut().insert(id, Place::Waiting(None));
        id
    }

    /// Returns whether no place is open.
    pub fn is_empty(&self) -> bool {
        self.places.borrow().is_empty()
    }

    /// Closes a place; returns the call that came meanwhile, whose slot is then the caller's to give back.
    pub fn close(&self, id: u64) -> Option<Called> {
        match self.places.borrow_mut().remove(&id) {
            Some(Place::Called(called)) => Some(called),
            _ => None,
        }
    }

    /// Calls a ticket; returns `false` when its stream no longer waits, and then a slot must be given back.
    pub fn wake(&self, id: u64, called: Called) -> bool {
        let mut places = self.places.borrow_mut();
        let Some(place) = places.get_mut(&id) else { return false };
        let before = std::mem::replace(place, Place::Called(called));
        if let Place::Waiting(Some(waker)) = before {
            waker.wake();
        }
        true
    }

    /// Waits until the ticket is called.
    ///
    /// # Errors
    /// [`Expired`] when the deadline fires first.
    pub async fn wait(&self, id: u64, deadline: &Deadline) -> Result<Called, Expired> {
        let called = poll_fn(|cx| {
            let mut places = self.places.borrow_mut();
            match places.get_mut(&id) {
                Some(Place::Called(called)) => Poll::Ready(*called),
                Some(place) => {
                    *place = Place::Waiting(Some(cx.waker().clone()));
                    Poll::Pending
                }
                None => Poll::Ready(None),
            }
        });
        deadline.limit(called).await
    }
}
