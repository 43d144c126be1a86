//! Sends no faster than a stream's bandwidth limits allow (`set-bandwidth-limit`).
//!
//! A limited direction is always copied, never spliced: it is slow by wish, and needs to be counted piece by piece. How
//! much may go is for [`crate::rules::bandwidth`]; this file waits. Time limits do not run while a limit holds bytes back.

use super::deadline::Expired;
use super::session::Session;
use super::transport::Socket;
use crate::rules::bandwidth::{Direction, Limits};
use std::cell::Cell;
use std::io;
use std::time::Duration;

/// The longest sleep at once, in microseconds: the deadline of the session is armed anew in between.
const SLEEP_US_MAX: u64 = 200_000;

/// One limited direction of a stream.
pub struct Limited<'a, T: Fn() -> Option<Duration>> {
    /// The session whose deadline holds.
    pub session: &'a Session,
    /// Where bytes go.
    pub to: &'a Socket,
    /// What holds for the stream.
    pub limits: &'a Limits,
    /// Which of the limits hold here.
    pub direction: Direction,
    /// Returns the time limit for each piece, asked anew after every progress.
    pub timeout: T,
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
        let (mut buffer, clock) = (buffer, &self.session.shard.clock);
        while sent.get() < len {
            let at = sent.get();
            let end = match at < free {
                true => free.min(len),
                false => at + self.room(len - at).await,
            };
            self.session.arm((self.timeout)());
            let sending = self.to.send_some(buffer, at, end);
            let (result, back) = self.session.deadline.limit(sending).await?;
            buffer = back;
            match result {
                Ok(count) => {
                    sent.set(at + count);
                    let counted = (at + count).saturating_sub(at.max(free)) as u64;
                    self.limits.spend(self.direction, clock.now_us(), counted);
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
                    // Whoever waits on the other direction must not be blamed for this one.
                    self.session.arm((self.timeout)());
                    shard.sleep(Duration::from_micros(wait_us.min(SLEEP_US_MAX))).await;
                }
            }
        }
    }
}
