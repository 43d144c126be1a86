//! The beginning of a client connection: rules on fresh connections, the PROXY protocol header, rules on sessions.
//!
//! `tcp-request connection` rules run before anything is received and cannot wait; `tcp-request session` rules run
//! once the addresses are known. What the client sends first is looked at in [`super::inspect`].

use super::http::exchange::Exchange;
use super::session::Session;
use super::shard::Shard;
use super::transport::Socket;
use crate::metrics::Counter;
use crate::plan::Frontend;
use crate::proto::proxy_header::{self, Parsed};
use crate::rules::action::{self, Rule, Verdict, Wait};
use crate::rules::context::{Content, Context, Record, SessionInfo};
use crate::rules::variable::{Store, Variables};

/// Most bytes of a PROXY protocol header that are taken with one system call; an ordinary header has about 100.
const PEEK_BYTES: usize = 1024;

/// What rules said of a connection that may go on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// It begins with a PROXY protocol header.
    pub proxy_header: bool,
}

/// A rule refused the connection; it was counted and is to be closed.
#[derive(Clone, Copy, Debug)]
pub struct Refused;

/// Runs the `tcp-request connection` rules; addresses that they set are those of the connection from then on.
///
/// # Errors
/// When a rule refused it.
pub fn connection(
    shard: &Shard,
    socket: &Socket,
    info: &mut SessionInfo,
    variables: &Store,
) -> Result<Passed, Refused> {
    let frontend = shard.frontend(info.frontend);
    if frontend.connection_rules.is_empty() {
        return Ok(Passed::default());
    }
    let list = List { shard, frontend, socket, rules: &frontend.connection_rules };
    let said = list.run(info, variables, Counter::DeniedConnections)?;
    info.source = said.source.or(info.source);
    info.destination = said.destination.or(info.destination);
    Ok(said.passed)
}

/// Takes the header, if there is to be one, and runs the `tcp-request session` rules.
///
/// # Errors
/// When the header is wrong or too late, or a rule refused the session.
pub async fn session(session: &mut Session, passed: Passed) -> Result<(), Refused> {
    if passed.proxy_header {
        Box::pin(take_header(session)).await?;
    }
    let frontend = session.shard.frontend(session.info.frontend);
    if frontend.session_rules.is_empty() {
        return Ok(());
    }
    let (shard, socket) = (&*session.shard, &session.socket);
    let list = List { shard, frontend, socket, rules: &frontend.session_rules };
    let said = list.run(&session.info, &session.variables, Counter::DeniedSessions)?;
    session.info.said_source = said.source.or(session.info.said_source);
    session.info.said_destination = said.destination.or(session.info.said_destination);
    Ok(())
}

/// A list of rules that runs on a connection without a stream.
struct List<'l> {
    shard: &'l Shard,
    frontend: &'l Frontend,
    socket: &'l Socket,
    rules: &'l [Rule],
}

/// What the rules of a list said.
struct Said {
    passed: Passed,
    source: Option<std::net::SocketAddr>,
    destination: Option<std::net::SocketAddr>,
}

impl List<'_> {
    fn run(&self, info: &SessionInfo, variables: &Store, denied: Counter) -> Result<Said, Refused> {
        let shard = self.shard;
        let mut exchange = shard.exchanges.take();
        exchange.record = Record {
            start_us: info.accepted_us,
            connections: shard.plan.connections.current(),
            frontend_connections: self.frontend.connections.current(),
            ..Record::default()
        };
        let verdict = self.decide(info, variables, &mut exchange, denied);
        let said = verdict.map(|passed| Said {
            passed,
            source: exchange.record.source.get(),
            destination: exchange.record.destination.get(),
        });
        // There is no stream yet that its variables could belong to.
        exchange.variables.clear(&shard.plan.variables);
        shard.exchanges.give(exchange);
        said
    }

    fn decide(
        &self,
        info: &SessionInfo,
        variables: &Store,
        exchange: &mut Exchange,
        denied: Counter,
    ) -> Result<Passed, Refused> {
        let shard = self.shard;
        let (mut passed, mut next) = (Passed::default(), 0);
        loop {
            let mut context = Context {
                session: info,
                request: &mut exchange.request,
                response: None,
                content: Content::default(),
                undecided: Default::default(),
                record: &exchange.record,
                farms: &shard.plan.farms,
                names: &shard.plan.names,
                variables: Variables {
                    process: &shard.plan.variables,
                    session: variables,
                    stream: &exchange.variables,
                },
                head_bytes_max: shard.plan.global.buffer_size,
                now_us: shard.clock.wall_us(shard.clock.now_us()),
            };
            match action::run_from(self.rules, next, &mut context) {
                Verdict::Continue => return Ok(passed),
                Verdict::Wait(Wait::Packets(option), after) => {
                    option.into_iter().for_each(|option| self.socket.set_packets(option));
                    next = after;
                }
                Verdict::Wait(Wait::ProxyHeader, after) => {
                    passed.proxy_header = true;
                    next = after;
                }
                Verdict::SilentDrop(ttl) => {
                    self.socket.set_silent_close(ttl);
                    shard.count(self.frontend.object, Counter::DeniedRequests, 1);
                    return Err(Refused);
                }
                Verdict::Reject => {
                    shard.count(self.frontend.object, denied, 1);
                    return Err(Refused);
                }
                other => {
                    // No other action may stand in these rules.
                    debug_assert!(false, "{other:?}");
                    return Err(Refused);
                }
            }
        }
    }
}

/// Takes the PROXY protocol header off the connection, and nothing of what follows it.
async fn take_header(session: &mut Session) -> Result<(), Refused> {
    session.arm(session.frontend().timeouts.client);
    let addresses = match session.deadline.limit(header(&session.socket)).await {
        Ok(Some(addresses)) => addresses,
        _ => {
            session.shard.count(session.frontend().object, Counter::RequestErrors, 1);
            return Err(Refused);
        }
    };
    if let Some((source, destination)) = addresses {
        session.info.said_source = Some(source);
        session.info.said_destination = Some(destination);
    }
    Ok(())
}

type Addresses = Option<(std::net::SocketAddr, std::net::SocketAddr)>;

/// Receives a header; none when the connection does not begin with one.
async fn header(socket: &Socket) -> Option<Addresses> {
    let mut bytes = Vec::new();
    loop {
        socket.readable().await.ok()?;
        let before = bytes.len();
        bytes.resize(before + PEEK_BYTES, 0);
        // A look does not take the bytes: how many of them belong to the header is not known yet.
        let seen = match socket.peek(&mut bytes[before..]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
            Ok(0) | Err(_) => return None,
            Ok(seen) => seen,
        };
        bytes.truncate(before + seen);
        let (taken, parsed) = match proxy_header::parse(&bytes) {
            Parsed::Partial => (seen, None),
            Parsed::Complete { len, addresses } => (len.checked_sub(before)?, Some(addresses)),
            Parsed::Bad => return None,
        };
        if !socket.discard(&mut bytes[before..before + taken]) {
            return None;
        }
        if parsed.is_some() {
            return parsed;
        }
    }
}
