//! Computes the hashes of passwords on a thread of its own, so that no shard stands still for them.
//!
//! One thread serves all shards, which is what a storm of logins can cost at most; it is started with the first question,
//! ends with the shards, and remembers its latest answers, so that several connections of one browser cost one hash.
//! Questions wait in a bounded queue; when that is full, the request is answered with 503 and counted. What is a right
//! password is the business of [`crate::rules::login`].

use super::http::route::Stop;
use super::inbox::{Inbox, Message};
use super::session::Session;
use super::shard::Shard;
use crate::metrics::Counter;
use crate::rules::login::{self, Key, Question};
use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

/// Questions that wait at once; at the usual cost of a hash the last of them waits half a second.
const WAITING_MAX: usize = 256;
/// Latest answers that the thread remembers.
const ANSWERS_MAX: usize = 1_024;

/// The way to the thread.
#[derive(Default)]
pub struct Logins {
    /// Nothing inside when there is no thread to be had.
    sender: OnceLock<Option<Sender<Waiting>>>,
}

struct Waiting {
    question: Question,
    shard: usize,
    id: u64,
}

impl Logins {
    /// Hands a question over; returns whether it was taken.
    fn send(&self, waiting: Waiting, inboxes: &Arc<[Inbox]>) -> bool {
        let sender = self.sender.get_or_init(|| start(inboxes.clone()));
        sender.as_ref().is_some_and(|sender| match sender.try_send(waiting) {
            Ok(()) => true,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
        })
    }
}

fn start(inboxes: Arc<[Inbox]>) -> Option<Sender<Waiting>> {
    let (sender, receiver) = bounded(WAITING_MAX);
    let thread = std::thread::Builder::new().name("logins".to_owned());
    thread.spawn(move || serve(&receiver, &inboxes)).ok().map(|_| sender)
}

fn serve(questions: &Receiver<Waiting>, inboxes: &[Inbox]) {
    let mut answers: HashMap<Key, bool> = HashMap::new();
    while let Ok(Waiting { question, shard, id }) = questions.recv() {
        if answers.len() >= ANSWERS_MAX {
            answers.clear();
        }
        let right = *answers.entry(question.key()).or_insert_with(|| question.answer());
        inboxes[shard].send(Message::Login { id, right });
    }
}

/// Waits for the answer to a question, which rules then find in their memory.
///
/// # Errors
/// Why the request stops here.
pub async fn ask(session: &Session, question: Question) -> Result<(), Stop> {
    let shard = &session.shard;
    let key = question.key();
    let place = Place { shard, id: shard.passwords.open() };
    let waiting = Waiting { question, shard: shard.index, id: place.id };
    if !shard.logins.send(waiting, shard.inboxes()) {
        shard.count(session.frontend().object, Counter::LoginsRefused, 1);
        return Err(Stop::Failed { status: Some(503), cause: b'R', phase: b'R' });
    }
    session.arm(None);
    let answer = session.deadline.limit(shard.passwords.wait(place.id)).await;
    let Ok(right) = answer else {
        return Err(Stop::Failed { status: None, cause: b'K', phase: b'R' });
    };
    login::remember(key, right);
    Ok(())
}

/// A place among those who wait, closed when its stream ends.
struct Place<'a> {
    shard: &'a Shard,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.shard.passwords.close(self.id);
    }
}
