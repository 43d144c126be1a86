//! One lazy deadline per connection on the shard's coarse wheel, instead of one timer per operation.
//!
//! Arming to a later time stores a number: the wheel finds out when it looks at the old time, and puts the deadline
//! back. So a busy connection costs the wheel nothing per request.

use crate::stdx::wheel::{Handle, Next, Wheel};
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How often the wheel turns, in milliseconds; deadlines fire up to two ticks late.
pub const TICK_MS: u64 = 20;
/// The longest that the wheel leaves a deadline alone, in milliseconds.
const HORIZON_MS: u64 = 60_000;

/// The time limit of one connection.
#[derive(Debug)]
pub struct Deadline {
    at_ms: Cell<u64>,
    /// When the wheel will look at it next; `u64::MAX` when it is not in the wheel.
    queued_ms: Cell<u64>,
    handle: Cell<Option<Handle>>,
    fired: Cell<bool>,
    idle: Cell<Option<RawFd>>,
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
            handle: Cell::new(None),
            fired: Cell::new(false),
            idle: Cell::new(None),
            waker: RefCell::new(None),
        })
    }

    /// Marks the wait as one for the next request on that socket, which a drain may end.
    pub fn set_idle(&self, socket: Option<RawFd>) {
        self.idle.set(socket);
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
    now_ms: Cell<u64>,
}

impl Timers {
    /// Returns an empty wheel whose time is 0.
    pub fn new() -> Self {
        Self { wheel: RefCell::new(Wheel::new(TICK_MS, 0)), now_ms: Cell::new(0) }
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
        if at >= deadline.queued_ms.get() && deadline.handle.get().is_some() {
            // The wheel looks in time, finds that the deadline has moved, and puts it back.
            return;
        }
        let at = at.min(now + HORIZON_MS);
        deadline.queued_ms.set(at);
        let mut wheel = self.wheel.borrow_mut();
        let moved = deadline.handle.get().is_some_and(|handle| wheel.rearm(handle, at));
        if !moved {
            deadline.handle.set(Some(wheel.insert(deadline.clone(), at)));
        }
    }

    /// Takes a deadline off the wheel; for the end of its connection.
    pub fn forget(&self, deadline: &Deadline) {
        if let Some(handle) = deadline.handle.take() {
            self.wheel.borrow_mut().cancel(handle);
        }
    }

    /// Advances to `now_ms` and fires what is due.
    pub fn tick(&self, now_ms: u64) {
        self.now_ms.set(now_ms);
        self.wheel.borrow_mut().advance(now_ms, usize::MAX, |deadline| {
            let at = deadline.at_ms.get();
            if at > now_ms {
                let again = at.min(now_ms + HORIZON_MS);
                deadline.queued_ms.set(again);
                return Next::At(again);
            }
            deadline.handle.set(None);
            deadline.queued_ms.set(u64::MAX);
            deadline.fire();
            Next::Done
        });
    }

    /// Returns the time of the earliest deadline; looks at all of them, for simulations.
    pub fn next_ms(&self) -> Option<u64> {
        let wheel = self.wheel.borrow();
        wheel.keys().map(|deadline| deadline.at_ms.get()).min().filter(|&at| at != u64::MAX)
    }

    /// Awaits `future` for `time` at most, by a deadline of its own: whoever shares the connection's may move it.
    ///
    /// # Errors
    /// [`Expired`] when the time was over first; the future is dropped then.
    pub async fn limit<F: Future>(&self, time: Duration, future: F) -> Result<F::Output, Expired> {
        let own = self.own();
        own.arm(Some(time));
        own.limit(future).await
    }

    /// Returns a deadline beside that of the connection, for one of two things that happen on it at once.
    pub fn own(&self) -> OnWheel<'_> {
        OnWheel { timers: self, deadline: Deadline::new() }
    }

    /// Returns whether nothing waits for its time.
    pub fn is_empty(&self) -> bool {
        self.wheel.borrow().is_empty()
    }

    /// Waits on the wheel instead of on a timer of the driver; for simulations, whose time only the wheel knows.
    pub async fn sleep(&self, duration: Duration) {
        let _ = self.limit(duration, std::future::pending::<()>()).await;
    }

    /// Ends the receiving side of every idle connection; for a drain.
    ///
    /// Whoever waits there then receives the request that came just before, or else the end of the stream.
    pub fn end_idle(&self) {
        for fd in self.wheel.borrow().keys().filter_map(|deadline| deadline.idle.get()) {
            // SAFETY: plain system call; the session keeps the socket open and unmarks it, or takes its deadline off
            // the wheel, before it closes.
            unsafe { libc::shutdown(fd, libc::SHUT_RD) };
        }
    }
}

/// A deadline that leaves the wheel with its future.
#[derive(Debug)]
pub struct OnWheel<'t> {
    timers: &'t Timers,
    deadline: Rc<Deadline>,
}

impl OnWheel<'_> {
    /// Makes it fire `after` from now; `None` is never.
    pub fn arm(&self, after: Option<Duration>) {
        self.timers.arm(&self.deadline, after);
    }

    /// Awaits `future` until it fires.
    ///
    /// # Errors
    /// [`Expired`] when it fired first; the future is dropped then.
    pub fn limit<F: Future>(&self, future: F) -> Limit<'_, F> {
        self.deadline.limit(future)
    }
}

impl Drop for OnWheel<'_> {
    fn drop(&mut self) {
        self.timers.forget(&self.deadline);
    }
}

impl Default for Timers {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_fires_not_before_its_time_and_soon_after() {
        let timers = Timers::new();
        let deadline = Deadline::new();
        timers.arm(&deadline, Some(Duration::from_millis(100)));
        timers.tick(99);
        assert!(!deadline.fired.get());
        timers.tick(100 + 2 * TICK_MS);
        assert!(deadline.fired.get());
    }

    #[test]
    fn arming_again_moves_a_deadline_both_ways() {
        let timers = Timers::new();
        let deadline = Deadline::new();
        timers.arm(&deadline, Some(Duration::from_secs(5)));
        timers.arm(&deadline, Some(Duration::from_millis(40)));
        timers.tick(100);
        assert!(deadline.fired.get());
        timers.arm(&deadline, Some(Duration::from_millis(40)));
        timers.arm(&deadline, Some(Duration::from_secs(5)));
        timers.tick(1000);
        assert!(!deadline.fired.get());
        timers.tick(5200);
        assert!(deadline.fired.get());
    }

    #[test]
    fn a_deadline_without_limit_is_on_the_wheel_for_a_drain_and_leaves_it_with_its_connection() {
        use std::io::Read;
        use std::os::fd::AsRawFd;
        let (mut ours, _theirs) = std::os::unix::net::UnixStream::pair().expect("a socket pair");
        let timers = Timers::new();
        let deadline = Deadline::new();
        timers.arm(&deadline, None);
        timers.tick(10 * HORIZON_MS);
        assert!(!deadline.fired.get());
        deadline.set_idle(Some(ours.as_raw_fd()));
        timers.end_idle();
        assert_eq!(ours.read(&mut [0]).expect("the end"), 0);
        timers.forget(&deadline);
        assert_eq!(Rc::strong_count(&deadline), 1);
    }
}
