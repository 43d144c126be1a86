//! Notices that a client goes away while its stream waits for something else (`option abortonclose`).
//!
//! Nothing is armed for waits that are over soon: the watch begins after a pause, and only with the option. It never
//! reads: bytes of a next request stay where they are.

use super::session::Session;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// A wait that may be short is watched only after this long.
pub const NOT_AT_ONCE: Duration = Duration::from_millis(30);
/// How often a client is looked at that has sent more bytes, behind which its end does not wake anybody.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How a client went away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// It ended its side, or both.
    Closed,
    /// It reset the connection: nothing can be sent to it.
    Reset,
}

/// Awaits `future` unless the client goes away first; what happens in the first moments (`after`) is not looked at.
///
/// # Errors
/// How the client went away; the future is dropped then.
pub async fn unless_gone<F: Future>(
    session: &Session,
    after: Duration,
    future: F,
) -> Result<F::Output, Left> {
    let gone = async {
        if !after.is_zero() {
            session.shard.sleep(after).await;
        }
        gone(session).await
    };
    let (mut future, mut gone) = (pin!(future), pin!(gone));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        gone.as_mut().poll(cx).map(Err)
    })
    .await
}

/// Waits until the client has gone away, and returns how.
pub async fn gone(session: &Session) -> Left {
    loop {
        if let Some(left) = session.socket.has_left() {
            return left;
        }
        // What it has sent stays unread, so nothing tells of the end behind it; nor does a wait that fails.
        if !session.socket.is_quiet() || session.socket.readable().await.is_err() {
            session.shard.sleep(LOOK_AGAIN).await;
        }
    }
}
