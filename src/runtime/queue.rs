//! The shard's side of a queue: streams that wait for a slot of a server.
//!
//! The queues themselves are in [`crate::server::queue`]; here a waiting task sleeps until its ticket is called.

use crate::server::ServerId;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// What the call of a ticket brought: a slot of that server, or word that what was waited for is gone.
pub type Called = Option<ServerId>;

#[derive(Debug)]
enum Place<T> {
    Waiting(Option<Waker>),
    Called(T),
}

/// The waiting streams of one shard, by ticket id, and what each of them is called with.
#[derive(Debug)]
pub struct Waiters<T = Called> {
    places: RefCell<HashMap<u64, Place<T>>>,
    next: Cell<u64>,
}

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self { places: RefCell::default(), next: Cell::new(0) }
    }
}

impl<T> Waiters<T> {
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

    /// Closes a place; returns the call that came meanwhile, and what it brought is then the caller's to give back.
    pub fn close(&self, id: u64) -> Option<T> {
        match self.places.borrow_mut().remove(&id) {
            Some(Place::Called(called)) => Some(called),
            _ => None,
        }
    }

    /// Calls a ticket.
    ///
    /// # Errors
    /// What the call brought, when its stream no longer waits.
    pub fn wake(&self, id: u64, called: T) -> Result<(), T> {
        let mut places = self.places.borrow_mut();
        let Some(place) = places.get_mut(&id) else { return Err(called) };
        let before = std::mem::replace(place, Place::Called(called));
        if let Place::Waiting(Some(waker)) = before {
            waker.wake();
        }
        Ok(())
    }

    /// Waits until the ticket of an open place is called, and takes what the call brought.
    pub async fn wait(&self, id: u64) -> T {
        poll_fn(|cx| {
            let mut places = self.places.borrow_mut();
            if matches!(places.get(&id), Some(Place::Called(_)))
                && let Some(Place::Called(called)) = places.remove(&id)
            {
                return Poll::Ready(called);
            }
            places.insert(id, Place::Waiting(Some(cx.waker().clone())));
            Poll::Pending
        })
        .await
    }
}
