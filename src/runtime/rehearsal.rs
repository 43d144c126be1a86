//! One request through a shard without traffic: what `fastlb explain` runs.
//!
//! The code is that of traffic: a session on one end of a socket pair receives the request, runs the rules, chooses a
//! server and sends the request on. Only what is outside is missing: servers are silent ends of other pairs, names are
//! resolved from a list, and a tarpit holds nobody back. It ends when nothing more happens, so it never waits for a
//! timeout. Nothing is sent to anybody.

use super::clock::Clock;
use super::inbox::Inbox;
use super::session::{self, Accepted};
use super::shard::{Shard, ShardSetup};
use super::sim::turn;
use super::transport::Socket;
use super::upstream::Upstream;
use super::{Driver, Services};
use crate::log::{LogQueue, Origin};
use crate::plan::Plan;
use crate::rules::trace::Recorder;
use crate::rules::variable::Variable;
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;

/// Rounds without anything new after which nothing more will happen.
const QUIET_ROUNDS: u32 = 8;
/// The most of an answer that is kept.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Stands for everything outside of a shard while one request is explained.
#[derive(Debug, Default)]
pub struct Rehearsal {
    recorder: Rc<Recorder>,
    names: Vec<(String, IpAddr)>,
    /// Variables that are set beforehand.
    pub variables: Vec<(Variable, String)>,
    address: Cell<Option<SocketAddr>>,
    /// The far ends of the connections to servers.
    servers: RefCell<Vec<UnixStream>>,
}

impl Rehearsal {
    /// Returns what records the request.
    pub fn recorder(&self) -> Rc<Recorder> {
        self.recorder.clone()
    }

    /// Returns the address that the command line gives a name.
    pub fn resolve(&self, host: &[u8]) -> Option<IpAddr> {
        let known = self.names.iter().find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(host));
        let name = String::from_utf8_lossy(host);
        match known {
            Some((_, ip)) => self.recorder.note(format!("{name} is {ip}, as the command line says")),
            None => self.recorder.note(format!(
                "name servers are not asked here, and {name} has no address: --resolve {name}=<address> gives one"
            )),
        }
        known.map(|(_, ip)| *ip)
    }

    /// Returns a connection to a server that takes everything and says nothing.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub fn connect(&self, address: Option<SocketAddr>) -> io::Result<Upstream> {
        self.address.set(address);
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        self.servers.borrow_mut().push(theirs);
        Ok(Upstream { socket: Socket::from_fd(ours.into())?, uses: 0, private: true })
    }

    /// Takes what servers were sent, so that there is room for more; returns whether there was anything.
    fn drain(&self) -> bool {
        let mut buffer = [0; 16 * 1024];
        let mut any = false;
        for mut server in self.servers.borrow().iter() {
            while server.read(&mut buffer).is_ok_and(|count| count > 0) {
                any = true;
            }
        }
        any
    }
}

/// A request and where it comes from.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Index of the frontend.
    pub frontend: u32,
    /// Index of the bind in the frontend.
    pub bind: u32,
    /// Address of the client; `None` for a unix socket.
    pub source: Option<SocketAddr>,
    /// Address that the client connected to.
    pub destination: Option<SocketAddr>,
    /// Everything that the client sends.
    pub bytes: Vec<u8>,
    /// Addresses of names.
    pub names: Vec<(String, IpAddr)>,
    /// Variables that are set beforehand.
    pub variables: Vec<(Variable, String)>,
}

/// What came of a request.
pub struct Outcome {
    /// What was recorded.
    pub recorder: Rc<Recorder>,
    /// What the client received.
    pub answer: Vec<u8>,
    /// Whether the client's connection was closed.
    pub closed: bool,
    /// Where the server is.
    pub server_address: Option<SocketAddr>,
}

impl Outcome {
    /// Records what only whoever asked knows: the bytes of a request that was not understood or not looked at, and the
    /// answer when it was refused before any rule.
    pub fn tell_rest(&self, bytes: &[u8]) {
        self.recorder.receive_bytes(bytes);
        if self.recorder.is_empty() && !self.answer.is_empty() {
            self.recorder.note("the request was refused before any rule");
            self.recorder.answer(&self.answer);
        }
    }
}

/// Runs one request through the plan. Its frontend must have an `ExplainLog`, or nothing is recorded.
///
/// # Errors
/// When the event loop cannot be set up.
pub fn run(plan: Arc<Plan>, services: Arc<dyn Services>, asked: Asked) -> io::Result<Outcome> {
    let setup = ShardSetup {
        index: 0,
        cpu: None,
        driver: Driver::Epoll,
        plan,
        listeners: Vec::new(),
        log: LogQueue::new(Origin::default()).shard_log(),
        services,
        logins: Arc::default(),
        inboxes: Arc::from(vec![Inbox::new()?]),
    };
    let mut runtime =
        monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_timer().build()?;
    runtime.block_on(play(setup, asked))
}

async fn play(setup: ShardSetup, asked: Asked) -> io::Result<Outcome> {
    let inboxes = setup.inboxes.clone();
    let inbox = &inboxes[0];
    let bell = Socket::from_fd(inbox.bell()?)?;
    let (shard, _) = Shard::new(setup, Clock::new());
    let (names, variables) = (asked.names, asked.variables);
    let rehearsal = Rehearsal { names, variables, ..Rehearsal::default() };
    let recorder = rehearsal.recorder();
    // The shard is fresh, so that nobody has set it before.
    let _ = shard.rehearsal.set(rehearsal);
    let (ours, mut client) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    client.set_nonblocking(true)?;
    let Asked { frontend, bind, source, destination, bytes, .. } = asked;
    session::start(&shard, Accepted { fd: ours.into(), frontend, bind, source, destination });
    let mut outcome = Outcome { recorder, answer: Vec::new(), closed: false, server_address: None };
    let (mut sent, mut quiet) = (0, 0);
    while quiet < QUIET_ROUNDS {
        quiet += 1;
        if sent < bytes.len()
            && let Ok(count) = client.write(&bytes[sent..])
            && count > 0
        {
            sent += count;
            quiet = 0;
        }
        if receive(&mut client, &mut outcome) || shard.rehearsal.get().is_some_and(Rehearsal::drain)
        {
            quiet = 0;
        }
        turn(inbox, &bell).await?;
    }
    outcome.server_address = shard.rehearsal.get().and_then(|rehearsal| rehearsal.address.get());
    Ok(outcome)
}

/// Receives what is there for the client; returns whether that was anything.
fn receive(client: &mut UnixStream, outcome: &mut Outcome) -> bool {
    let mut buffer = [0; 16 * 1024];
    let mut any = false;
    while !outcome.closed {
        match client.read(&mut buffer) {
            Ok(0) => outcome.closed = true,
            Ok(count) => {
                let room = ANSWER_BYTES_MAX.saturating_sub(outcome.answer.len());
                outcome.answer.extend_from_slice(&buffer[..count.min(room)]);
            }
            Err(_) => break,
        }
        any = true;
    }
    any
}
