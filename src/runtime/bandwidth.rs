//! Sends no faster than a stream's bandwidth limits allow (`set-bandwidth-limit`).
//!
//! A limited direction is always copied, never spliced: it is slow by wish, and needs to be counted piece by piece. How
//! much may go is for [`crate::rules::bandwidth`]; this file waits. The receiver's time limit does not run
//! while bytes are held back.

use super::deadline::Expired;
use super::session::Session;
use super::transport::Socket;
use crate::rules::bandwidth::{Direction, Limits};
use std::cell::Cell;
use std::io;
use std::time::Duration;

/// The longest sleep at once, in microseconds.
const SLEEP_US_MAX: u64 = 200_000;

/// One limited direction of a stream.
pub struct Limited<'a, T: Fn() -> Option<Duration>> {
    /// The session.
    pub session: &'a Session,
    /// Where bytes go.
    pub to: &'a Socket,
    /// What holds for the stream.
    pub limits: &'a Limits,
    /// Which of the limits hold here.
    pub direction: Direction,
    /// Called before each piece and each sleep: returns how long the receiver may take nothing. Whoever shares a deadline
    /// with the other direction keeps it from firing here.
    pub takes: T,
}

impl<T: Fn() -> Option<Duration>> Limited<'_, T> {
    /// Sends `buffer[..len]`, the first `free` bytes of it without limit, and counts what was sent so far in `sent`. The
    /// answer says whether the kernel took all of it.
    ///
    /// # Errors
    /// [`Expired`] when the other side took nothing for too long.
    pub async fn send(
        &self,
        buffer: Vec<u8>,
        free: usize,
        len: usize,
        sent: &Cell<usize>,
    ) -> Result<(io::Result<()>, Vec<u8>), Expired> {
        let shard = &self.session.shard;
        let (mut buffer, deadline) = (buffer, shard.timers.own());
        while sent.get() < len {
            let at = sent.get();
            let end = match at < free {
                true => free.min(len),
                false => at + self.room(len - at).await,
            };
            deadline.arm((self.takes)());
            let sending = self.to.send_some(buffer, at, end);
            let (result, back) = deadline.limit(sending).await?;
            buffer = back;
            match result {
                Ok(count) => {
                    sent.set(at + count);
                    let counted = (at + count).saturating_sub(at.max(free)) as u64;
                    self.limits.spend(self.direction, shard.clock.now_us(), counted);
                }
                Err(error) => return Ok((Err(error), buffer)),
            }
        }
        Ok((Ok(()), buffer))
    }

    /// Waits until some of `wanted` bytes may be sent, and returns how many.
    async fn room(&self, wanted: usize) -> usize {
        let shard = &self.session.shard;
        loop {
            match self.limits.room(self.direction, shard.clock.now_us(), wanted as u64) {
                Ok(room) => return (room as usize).clamp(1, wanted),
                Err(wait_us) => {
                    (self.takes)();
                    shard.sleep(Duration::from_micros(wait_us.min(SLEEP_US_MAX))).await;
                }
            }
        }
    }
}
