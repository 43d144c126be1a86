//! Users with passwords (`userlist` sections), and whether a request's credentials are those of one of them.
//!
//! Checking a hashed password takes milliseconds, so a shard does not do it while rules run: [`check`] remembers what was
//! found before, and otherwise leaves a [`Question`] behind, which the runtime has answered on a thread of its own before
//! it goes on with the rule ([`super::action::Verdict::Wait`]). Where nothing can wait (conditions of `use_backend`,
//! logs), a few checks per second are made in place and further ones fail. What is remembered is a keyed digest, never a
//! password; it belongs to the thread that asks.

use super::context::Context;
use crate::stdx::crypt::Hash;
use aws_lc_rs::digest::{self, SHA256};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

/// Passwords that were found right, remembered per shard.
pub const RIGHT_MAX: usize = 4_096;
/// Passwords that were found wrong, remembered per shard.
pub const WRONG_MAX: usize = 2_048;
/// Hashed passwords that a shard checks per second where nothing can wait.
pub const IN_PLACE_MAX: u32 = 20;

/// How the password of a user is known.
#[derive(Debug)]
pub enum Password {
    /// Not at all: nobody logs in as this user.
    None,
    /// As it is (`insecure-password`).
    Plain(Box<[u8]>),
    /// Hashed (`password`).
    Hashed(Hash),
}

/// The users of a `userlist` section and their groups.
#[derive(Debug)]
pub struct UserList {
    /// Differs in all lists that the process ever had.
    id: u64,
    name: String,
    users: BTreeMap<Box<[u8]>, Password>,
    groups: BTreeMap<String, BTreeSet<String>>,
}

impl UserList {
    /// Returns a list; groups are names with the names of their users.
    pub fn new(
        name: String,
        users: BTreeMap<Box<[u8]>, Password>,
        groups: BTreeMap<String, BTreeSet<String>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { id: NEXT.fetch_add(1, Relaxed), name, users, groups }
    }

    /// Returns its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the users of a group.
    pub fn group(&self, name: &str) -> Option<&BTreeSet<String>> {
        self.groups.get(name)
    }

    /// Returns the names of all groups.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.keys().map(String::as_str)
    }
}

/// Credentials whose hash has to be computed.
#[derive(Clone)]
pub struct Question {
    list: Arc<UserList>,
    user: Box<[u8]>,
    password: Box<[u8]>,
    key: Key,
}

/// What stands for a list, a user and a password.
pub type Key = [u8; 32];

impl Question {
    /// Returns what stands for the question in a memory of answers.
    pub fn key(&self) -> Key {
        self.key
    }

    /// Computes the hash; returns whether the password is that of the user. Takes milliseconds.
    pub fn answer(&self) -> bool {
        match self.list.users.get(&self.user) {
            Some(Password::Hashed(hash)) => hash.matches(&self.password),
            _ => false,
        }
    }
}

impl PartialEq for Question {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Question {}

impl std::fmt::Debug for Question {
    /// Shows the name of the list: user and password are nobody's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question").field("list", &self.list.name).finish_non_exhaustive()
    }
}

/// What a thread remembers of the checks that were made for it.
#[derive(Default)]
struct Memory {
    right: HashSet<Key>,
    /// The newer and the older half: a storm of wrong passwords drives out the oldest of its own kind only.
    wrong: [HashSet<Key>; 2],
}

impl Memory {
    fn recall(&self, key: &Key) -> Option<bool> {
        if self.right.contains(key) {
            return Some(true);
        }
        self.wrong.iter().any(|half| half.contains(key)).then_some(false)
    }

    fn keep(&mut self, key: Key, right: bool) {
        if right {
            if self.right.len() >= RIGHT_MAX {
                self.right.clear();
            }
            self.right.insert(key);
            return;
        }
        if self.wrong[0].len() >= WRONG_MAX / 2 {
            self.wrong.swap(0, 1);
            self.wrong[0].clear();
        }
        self.wrong[0].insert(key);
    }
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
    /// Whether whoever evaluates can wait for an answer.
    static CAN_WAIT: Cell<bool> = const { Cell::new(false) };
    /// What could not be answered while it can be waited for.
    static OPEN: Cell<Option<Question>> = const { Cell::new(None) };
    /// A second, and how many checks were made in place within it.
    static IN_PLACE: Cell<(u64, u32)> = const { Cell::new((0, 0)) };
    /// Checks that were not made because of the limit.
    static REFUSED: Cell<u64> = const { Cell::new(0) };
}

/// Remembers the answer to a question, for this thread.
pub fn remember(key: Key, right: bool) {
    MEMORY.with_borrow_mut(|memory| memory.keep(key, right));
}

/// Evaluates something that may ask for passwords; returns the question that must be answered first, if there is one.
pub(super) fn asking<T>(evaluate: impl FnOnce() -> T) -> Result<T, Question> {
    CAN_WAIT.set(true);
    let value = evaluate();
    CAN_WAIT.set(false);
    match OPEN.take() {
        Some(question) => Err(question),
        None => Ok(value),
    }
}

/// Returns how many checks this thread has refused since the last call.
pub fn take_refused() -> u64 {
    REFUSED.take()
}

/// Returns whether a user of the list has that password; false while the answer is not known.
pub(super) fn check(list: &Arc<UserList>, user: &[u8], password: &[u8], cx: &Context<'_>) -> bool {
    match list.users.get(user) {
        None | Some(Password::None) => false,
        Some(Password::Plain(expected)) => {
            aws_lc_rs::constant_time::verify_slices_are_equal(expected, password).is_ok()
        }
        Some(Password::Hashed(hash)) => {
            let key = key_of(list, user, password);
            if let Some(known) = MEMORY.with_borrow(|memory| memory.recall(&key)) {
                return known;
            }
            if CAN_WAIT.get() {
                let (user, password) = (user.into(), password.into());
                OPEN.set(Some(Question { list: list.clone(), user, password, key }));
                return false;
            }
            if !may_check_in_place(cx.now_us / 1_000_000) {
                REFUSED.set(REFUSED.get() + 1);
                return false;
            }
            let right = hash.matches(password);
            remember(key, right);
            right
        }
    }
}

fn may_check_in_place(second: u64) -> bool {
    let (since, count) = IN_PLACE.get();
    let count = if since == second { count } else { 0 };
    IN_PLACE.set((second, count.saturating_add(1)));
    count < IN_PLACE_MAX
}

/// Returns a digest that nobody without the memory of the process can compare with passwords.
fn key_of(list: &UserList, user: &[u8], password: &[u8]) -> Key {
    static SECRET: OnceLock<[u8; 32]> = OnceLock::new();
    let secret = SECRET.get_or_init(|| {
        let mut secret = [0; 32];
        // Without randomness the digest is an unkeyed one, which is still never written anywhere.
        let _ = aws_lc_rs::rand::fill(&mut secret);
        secret
    });
    let mut context = digest::Context::new(&SHA256);
    for part in
        [&secret[..], &list.id.to_be_bytes(), &(user.len() as u64).to_be_bytes(), user, password]
    {
        context.update(part);
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::Stream;

    fn list() -> Arc<UserList> {
        // The fewest rounds, so that the test is quick.
        let hash = "$6$rounds=1000$ab$8/vdebh7.eIeNufFrLK0jMMqafLdKpZbPY1ppG7x22R2yDSMj7XkxuEn2jtBuNS.VYAmIhpV6haXB82POC/MC0";
        let users = [
            ("ann", Password::Plain((*b"a").into())),
            ("bob", Password::Hashed(Hash::parse(hash).unwrap())),
            ("nobody", Password::None),
        ];
        let users = users.into_iter().map(|(name, password)| (name.as_bytes().into(), password));
        Arc::new(UserList::new("staff".to_string(), users.collect(), BTreeMap::new()))
    }

    #[test]
    fn a_plain_password_is_compared_at_once_and_no_password_never_matches() {
        let (list, mut stream) = (list(), Stream::of("GET /"));
        let mut is = |user: &str, password: &str| {
            asking(|| check(&list, user.as_bytes(), password.as_bytes(), &stream.cx()))
        };
        assert_eq!(is("ann", "a"), Ok(true));
        assert_eq!(is("ann", "b"), Ok(false));
        assert_eq!(is("nobody", ""), Ok(false));
        assert_eq!(is("zed", "z"), Ok(false));
    }

    #[test]
    fn a_hashed_password_is_a_question_once_and_remembered_per_list() {
        let (one, other, mut stream) = (list(), list(), Stream::of("GET /"));
        let mut is = |list: &Arc<UserList>, password: &str| {
            asking(|| check(list, b"bob", password.as_bytes(), &stream.cx()))
        };
        let question = is(&one, "pw").unwrap_err();
        assert!(question.answer() && !format!("{question:?}").contains("pw"));
        remember(question.key(), question.answer());
        assert_eq!(is(&one, "pw"), Ok(true));
        let wrong = is(&one, "px").unwrap_err();
        remember(wrong.key(), wrong.answer());
        assert_eq!(is(&one, "px"), Ok(false));
        assert!(is(&other, "pw").is_err(), "another list may have another bob");
    }

    #[test]
    fn where_nothing_can_wait_only_so_many_hashes_are_computed_in_a_second() {
        let (list, mut stream) = (list(), Stream::of("GET /"));
        for wrong in 0..IN_PLACE_MAX {
            assert!(!check(&list, b"bob", wrong.to_string().as_bytes(), &stream.cx()));
        }
        assert_eq!(take_refused(), 0);
        assert!(!check(&list, b"bob", b"pw", &stream.cx()), "no budget is left");
        assert_eq!(take_refused(), 1);
        stream.now_us += 1_000_000;
        assert!(check(&list, b"bob", b"pw", &stream.cx()));
    }

    #[test]
    fn a_storm_of_wrong_passwords_is_forgotten_and_the_right_ones_stay() {
        let mut memory = Memory::default();
        let key = |number: usize| {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            key
        };
        memory.keep(key(usize::MAX), true);
        (0..10 * WRONG_MAX).for_each(|number| memory.keep(key(number), false));
        assert_eq!(memory.recall(&key(usize::MAX)), Some(true));
        assert_eq!(memory.recall(&key(10 * WRONG_MAX - 1)), Some(false));
        assert_eq!(memory.recall(&key(0)), None);
        assert!(memory.wrong.iter().map(HashSet::len).sum::<usize>() <= WRONG_MAX);
    }
}
