//! One lazy deadline per connection on the shard's coarse wheel, instead of one timer per operation.
//!
//! Arming stores a number. The wheel looks at a deadline at most once a second and finds out then whether it has moved,
//! so a dead connection leaves the wheel soon, and a busy one costs nothing per request.

use crate::stdx::wheel::{Next, Wheel};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often the wheel turns, in milliseconds; deadlines fire up to two ticks late.
pub const TICK_MS: u64 = 20;
/// The farthest the wheel looks ahead before it asks a deadline again, in milliseconds.
const HORIZON_MS: u64 = 1000;

/// The time limit of one connection.
#[derive(Debug)]
pub struct Deadline {
    at_ms: Cell<u64>,
    /// When the wheel will look at it next; `u64::MAX` when it is not in the wheel.
    queued_ms: Cell<u64>,
    fired: Cell<bool>,
    idle: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The wait was longer than the deadline allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expired;

impl Deadline {
    /// Returns a deadline that is not armed.
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            at_ms: Cell::new(u64::MAX),
            queued_ms: Cell::new(u64::MAX),
            fired: Cell::new(false),
            idle: Cell::new(false),
            waker: RefCell::new(None),
        })
    }

    /// Marks the wait as one that a drain may break at once.
    pub fn set_idle(&self, idle: bool) {
        self.idle.set(idle);
    }

    /// Returns whether a drain may break the wait.
    pub fn is_idle(&self) -> bool {
        self.idle.get()
    }

    /// Makes every wait end now.
    pub fn fire(&self) {
        self.fired.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Awaits `future` until the deadline fires.
    ///
    /// # Errors
    /// [`Expired`] when it fired first; the future is dropped then.
    pub fn limit<F: Future>(&self, future: F) -> Limit<'_, F> {
        Limit { deadline: self, future }
    }
}

/// A future with a limit; see [`Deadline::limit`].
pub struct Limit<'d, F> {
    deadline: &'d Deadline,
    future: F,
}

impl<F: Future> Future for Limit<'_, F> {
    type Output = Result<F::Output, Expired>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let deadline = self.deadline;
        // SAFETY: structural pinning: `future` is never moved out of `self`, which has no `Drop` of its own.
        let future = unsafe { self.map_unchecked_mut(|this| &mut this.future) };
        if let Poll::Ready(output) = future.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        if deadline.fired.get() {
            return Poll::Ready(Err(Expired));
        }
        let mut waker = deadline.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

/// The wheel of one shard.
#[derive(Debug)]
pub struct Timers {
    wheel: RefCell<Wheel<Rc<Deadline>>>,
    due: RefCell<Vec<Rc<Deadline>>>,
    now_ms: Cell<u64>,
}

impl Timers {
    /// Returns an empty wheel whose time is 0.
    pub fn new() -> Self {
        Self {
            wheel: RefCell::new(Wheel::new(TICK_MS, 0)),
            due: RefCell::default(),
            now_ms: Cell::new(0),
        }
    }

    /// Makes `deadline` fire `after` from now; `None` is never.
    pub fn arm(&self, deadline: &Rc<Deadline>, after: Option<Duration>) {
        deadline.fired.set(false);
        let now = self.now_ms.get();
        let at = after.map_or(u64::MAX, |after| {
            // One tick is added because `now` is up to one tick old: a limit is never shorter than asked.
            now.saturating_add(after.as_millis() as u64).saturating_add(TICK_MS)
        });
        deadline.at_ms.set(at);
        if at < deadline.queued_ms.get() || deadline.queued_ms.get() == u64::MAX {
            self.enqueue(deadline.clone(), now);
        }
    }

    fn enqueue(&self, deadline: Rc<Deadline>, now: u64) {
        let at = deadline.at_ms.get().min(now + HORIZON_MS);
        deadline.queued_ms.set(at);
        self.wheel.borrow_mut().insert(deadline, at);
    }

    /// Advances to `now_ms` and fires what is due.
    pub fn tick(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
        let mut due = self.due.take();
        self.wheel.borrow_mut().advance(now_ms, usize::MAX, |deadline| {
            due.push(deadline.clone());
            Next::Done
        });
        for deadline in due.drain(..) {
            if Rc::strong_count(&deadline) == 1 || deadline.queued_ms.get() > now_ms {
                // The connection is gone, or this entry was overtaken by an earlier one that put it back.
                continue;
            }
            deadline.queued_ms.set(u64::MAX);
            if deadline.at_ms.get() <= now_ms {
                deadline.fire();
            } else {
                self.enqueue(deadline, now_ms);
            }
        }
        self.due.replace(due);
    }

    /// Fires every deadline that is marked idle; for a drain.
    pub fn fire_idle(&self) {
        self.wheel.borrow_mut().for_each(|deadline| {
            if deadline.is_idle() {
                deadline.fire();
            }
        });
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}
