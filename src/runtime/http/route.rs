//! Decides: runs the rules of frontend and backend and chooses backend and server.

use super::exchange::Exchange;
use super::wait::{self, Side, Waiting, resume};
use super::{identify, persist, stick};
use crate::metrics::Counter;
use crate::plan::{
    Backend, BackendTarget, HeaderNames, MonitorFail, ServerTarget, StatsPage, UseBackend,
};
use crate::proto::h1::seal;
use crate::proto::uri;
use crate::rules::action::{self, Answer, Rule, Service, Verdict};
use crate::rules::context::Context;
use crate::rules::trace::{self, Event};
use crate::rules::variable::Variables;
use crate::runtime::inspect;
use crate::runtime::session::Session;
use crate::runtime::transport::Socket;
use crate::server::ServerId;
use crate::stick::Tracking;
use std::sync::Arc;
use std::time::Duration;

/// Why a request goes no further than the proxy.
pub enum Stop {
    /// A rule refused it with that status.
    Deny(u16),
    /// A rule asks for a password for that realm, or for one of the proxy's name.
    Auth(Option<Arc<str>>),
    /// A rule refused it without an answer.
    Drop(Drop),
    /// A rule refused it with an answer of its own.
    DenyAnswer(Answer),
    /// A rule holds it back before it is refused with that status or answer.
    Tarpit(u16, Option<Answer>),
    /// A rule answered it.
    Answer(Answer),
    /// A rule answered it with the proxy's own page for that status.
    Page(u16),
    /// A service answers it.
    Service(Service),
    /// The statistics page answers it.
    Stats(Arc<StatsPage>),
    /// The monitor answers it: whether all is well.
    Monitor(bool),
    /// There is no backend for it.
    NoBackend,
    /// What a rule waited for did not come: the answer, if anybody is there to hear it, and why (manual 8.5).
    Failed {
        /// Status of the answer.
        status: Option<u16>,
        /// First letter of the termination state.
        cause: u8,
        /// Second letter of the termination state.
        phase: u8,
    },
}

/// How the connection of a client that gets no answer ends.
#[derive(Clone, Copy, Debug)]
pub enum Drop {
    /// By a close.
    Close,
    /// Without a word, or by a reset that so many routers may pass on.
    Silent(Option<u8>),
}

/// Evaluates something on the stream as it is now.
pub fn with_context<T>(
    session: &Session,
    exchange: &mut Exchange,
    f: impl FnOnce(&mut Context<'_>) -> T,
) -> T {
    let shard = &session.shard;
    let has_response = exchange.response.status() != 0 || exchange.content.of_server;
    let response = if has_response { Some(&mut exchange.response) } else { None };
    let mut context = Context {
        session: &session.info,
        request: &mut exchange.request,
        response,
        content: exchange.content,
        undecided: Default::default(),
        record: &exchange.record,
        farms: &shard.plan.farms,
        names: &shard.plan.names,
        variables: Variables {
            process: &shard.plan.variables,
            session: &session.variables,
            stream: &exchange.variables,
        },
        tracking: Tracking {
            tables: &shard.plan.tables,
            session: &session.tracked,
            stream: &exchange.tracked,
            now_us: shard.clock.shared_us(exchange.received_us.max(shard.clock.coarse_ms() * 1000)),
        },
        head_bytes_max: shard.plan.global.buffer_size,
        now_us: shard.clock.wall_us(exchange.received_us),
    };
    f(&mut context)
}

/// How far a part of the rules came. What waits goes on in a future of its own: most requests wait for nothing, and
/// their way through the rules is a plain function call.
pub enum Step<'r, T> {
    /// To its end.
    Done(T),
    /// To a rule that waits, or to the wait for the whole request that comes before all rules (`None`).
    Waits(Option<Waiting<'r>>),
}

/// Runs the frontend's part and returns the backend.
///
/// # Errors
/// Why the request stops here.
pub fn frontend<'s>(session: &'s Session, exchange: &mut Exchange) -> Result<Step<'s, u32>, Stop> {
    let frontend = session.frontend();
    if let Some(monitored) = &frontend.monitor_uri
        && exchange.request.target() == monitored.as_bytes()
    {
        exchange.silent = true;
        let failed = with_context(session, exchange, |cx| {
            let fails = |rule: &MonitorFail| {
                trace::holds(cx, Some(&rule.condition), rule.span, "monitor fail")
            };
            frontend.monitor_fail.iter().any(fails)
        });
        return Err(Stop::Monitor(!failed));
    }
    if frontend.buffer_request {
        return Ok(Step::Waits(None));
    }
    if !frontend.http_request.is_empty()
        && let Some(waiting) = rules(session, exchange, &frontend.http_request)?
    {
        return Ok(Step::Waits(Some(waiting)));
    }
    end_of_frontend(session, exchange).map(Step::Done)
}

/// Runs what [`frontend`] left because it has to wait.
///
/// # Errors
/// Why the request stops here.
pub async fn rest_of_frontend(
    session: &Session,
    exchange: &mut Exchange,
    waiting: Option<Waiting<'_>>,
) -> Result<u32, Stop> {
    let frontend = session.frontend();
    let limit = frontend.timeouts.http_request;
    wait_and_go_on(session, exchange, limit, waiting, &frontend.http_request).await?;
    end_of_frontend(session, exchange)
}

/// Waits for the whole request, if no rule waits already, and runs the rest of the rules.
async fn wait_and_go_on<'r>(
    session: &Session,
    exchange: &mut Exchange,
    limit: Option<Duration>,
    waiting: Option<Waiting<'r>>,
    list: &'r [Rule],
) -> Result<(), Stop> {
    let waiting = match waiting {
        Some(waiting) => Some(waiting),
        None => {
            wait::whole_request(session, exchange, limit).await?;
            rules(session, exchange, list)?
        }
    };
    match waiting {
        Some(waiting) => resume(session, exchange, Side::Request, waiting).await,
        None => Ok(()),
    }
}

fn end_of_frontend(session: &Session, exchange: &mut Exchange) -> Result<u32, Stop> {
    let frontend = session.frontend();
    if frontend.header_names != HeaderNames::Preserve {
        identify::restrict_names(frontend.header_names, &mut exchange.request)?;
    }
    stats(exchange, frontend.stats.as_ref())?;
    choose_backend(session, exchange).ok_or(Stop::NoBackend)
}

/// Runs the backend's part.
///
/// # Errors
/// Why the request stops here.
pub fn backend<'s>(
    session: &'s Session,
    exchange: &mut Exchange,
    index: u32,
) -> Result<Step<'s, ()>, Stop> {
    let backend = session.shard.backend(index);
    if let Some(recorder) = &exchange.record.trace {
        recorder.push(Event::Backend(index));
    }
    if backend.buffer_request || !own_content_rules(session, backend).is_empty() {
        return Ok(Step::Waits(None));
    }
    let list = own_rules(session, backend);
    if !list.is_empty()
        && let Some(waiting) = rules(session, exchange, list)?
    {
        return Ok(Step::Waits(Some(waiting)));
    }
    end_of_backend(session, exchange, index).map(Step::Done)
}

/// Runs what [`backend`] left because it has to wait.
///
/// # Errors
/// Why the request stops here.
pub async fn rest_of_backend(
    session: &Session,
    exchange: &mut Exchange,
    index: u32,
    waiting: Option<Waiting<'_>>,
) -> Result<(), Stop> {
    let backend = session.shard.backend(index);
    let (limit, list) = (backend.timeouts.http_request, own_rules(session, backend));
    let mut waiting = waiting;
    if waiting.is_none() {
        let content = own_content_rules(session, backend);
        inspect::message(session, exchange, Side::Request, content).await?;
        if !backend.buffer_request {
            waiting = rules(session, exchange, list)?;
            if waiting.is_none() {
                return end_of_backend(session, exchange, index);
            }
        }
    }
    wait_and_go_on(session, exchange, limit, waiting, list).await?;
    end_of_backend(session, exchange, index)
}

fn own_content_rules<'s>(session: &Session, backend: &'s Backend) -> &'s [Rule] {
    if is_another_section(session, backend) { &backend.content_rules } else { &[] }
}

fn own_rules<'s>(session: &Session, backend: &'s Backend) -> &'s [Rule] {
    if is_another_section(session, backend) { &backend.http_request } else { &[] }
}

fn end_of_backend(session: &Session, exchange: &mut Exchange, index: u32) -> Result<(), Stop> {
    let backend = session.shard.backend(index);
    if is_another_section(session, backend) {
        stats(exchange, backend.stats.as_ref())?;
    }
    if backend.header_names != HeaderNames::Preserve {
        identify::restrict_names(backend.header_names, &mut exchange.request)?;
    }
    identify::client(session, exchange, index);
    if exchange.request.is_reframed() {
        exchange.last_of_server = seal::request(&mut exchange.request);
    }
    Ok(())
}

/// Returns whether the backend has rules of its own: both halves of a `listen` section have the same, and they run once.
pub(in crate::runtime) fn is_another_section(session: &Session, backend: &Backend) -> bool {
    backend.frontend != Some(session.info.frontend)
}

/// Runs a list of rules; returns what it waits for, which only few lists do.
pub(in crate::runtime) fn rules<'r>(
    session: &Session,
    exchange: &mut Exchange,
    rules: &'r [Rule],
) -> Result<Option<Waiting<'r>>, Stop> {
    if rules.is_empty() {
        return Ok(None);
    }
    match with_context(session, exchange, |cx| action::run(rules, cx)) {
        Verdict::Wait(wait, next) => Ok(Some(Waiting { rules, wait, next })),
        verdict => decided(verdict).map(|()| None),
    }
}

/// Returns what the verdict of a list that is through means for the message.
pub(in crate::runtime) fn decided(verdict: Verdict) -> Result<(), Stop> {
    match verdict {
        Verdict::Auth(realm) => Err(Stop::Auth(realm)),
        // A stream of HTTP is in HTTP mode already.
        Verdict::Continue | Verdict::SwitchMode => Ok(()),
        Verdict::CloseServer => Err(Stop::Failed { status: Some(502), cause: b'S', phase: b'H' }),
        Verdict::Deny(status) => Err(Stop::Deny(status)),
        Verdict::DenyAnswer(answer) => Err(Stop::DenyAnswer(answer)),
        Verdict::Answer(answer) => Err(Stop::Answer(answer)),
        Verdict::Page(status) => Err(Stop::Page(status)),
        Verdict::Reject => Err(Stop::Drop(Drop::Close)),
        Verdict::SilentDrop(ttl) => Err(Stop::Drop(Drop::Silent(ttl))),
        Verdict::Tarpit(status, answer) => Err(Stop::Tarpit(status, answer)),
        Verdict::Service(service) => Err(Stop::Service(service)),
        // Whoever runs rules carries waits out before the list is through, and waits for bytes.
        Verdict::Wait(..) | Verdict::Undecided => {
            debug_assert!(false, "a wait was not carried out");
            Err(Stop::Failed { status: Some(500), cause: b'I', phase: b'R' })
        }
    }
}

fn stats(exchange: &Exchange, page: Option<&Arc<StatsPage>>) -> Result<(), Stop> {
    let Some(page) = page else { return Ok(()) };
    let path = uri::path(exchange.request.target());
    match path.strip_prefix(page.uri.as_bytes()) {
        Some([] | [b';', ..]) => Err(Stop::Stats(page.clone())),
        _ => Ok(()),
    }
}

/// Returns the first `use_backend` whose condition holds, or the default; a backend that is `disabled` takes nothing.
pub fn choose_backend(session: &Session, exchange: &mut Exchange) -> Option<u32> {
    chosen_backend(session, exchange).filter(|index| !session.shard.backend(*index).disabled)
}

fn chosen_backend(session: &Session, exchange: &mut Exchange) -> Option<u32> {
    let frontend = session.frontend();
    if frontend.use_backend.is_empty() {
        return frontend.default_backend;
    }
    let names = &session.shard.plan.names.backends;
    with_context(session, exchange, |cx| {
        let rule = UseBackend::first(&frontend.use_backend, cx)?;
        let record = cx.record;
        let told = |name: &str, how: &str| {
            if let Some(recorder) = &record.trace {
                recorder.outcome(format!("{how} {name}"));
            }
        };
        match &rule.target {
            BackendTarget::Fixed(index) => {
                told(&names[*index as usize], "backend");
                Some(*index)
            }
            BackendTarget::Named(format) => {
                let mut name = Vec::new();
                format.write(cx, &mut name);
                // An unknown name falls through to the default, as the manual says for dynamic rules.
                let found = names.iter().position(|known| known.as_bytes() == name);
                let how = if found.is_some() { "backend" } else { "default backend: there is no" };
                told(&String::from_utf8_lossy(&name), how);
                found.map(|index| index as u32)
            }
        }
    })
    .or(frontend.default_backend)
}

/// Returns the server that a `use-server` rule names, if it takes streams now.
pub fn use_server(
    session: &Session,
    exchange: &mut Exchange,
    backend: &Backend,
) -> Option<ServerId> {
    if backend.use_server.is_empty() {
        return None;
    }
    let farm = &session.shard.plan.farms[exchange.record.backend? as usize];
    with_context(session, exchange, |cx| {
        let record = cx.record;
        backend
            .use_server
            .iter()
            .filter(|rule| trace::holds(cx, rule.condition.as_ref(), rule.span, "use-server"))
            .find_map(|rule| {
                let server = match &rule.target {
                    ServerTarget::Fixed(index) => *index as usize,
                    ServerTarget::Named(format) => {
                        let mut name = Vec::new();
                        format.write(cx, &mut name);
                        farm.find(std::str::from_utf8(&name).ok()?)?
                    }
                };
                let takes = farm.server(server).takes_persistent();
                if let Some(recorder) = &record.trace {
                    let name = &backend.servers[server].name;
                    match takes {
                        true => recorder.because(format!("a `use-server` rule names {name}")),
                        false => recorder.note(format!("{name} takes no requests now")),
                    }
                }
                takes.then_some(server)
            })
    })
}

/// Returns the server that the request must or should go to, before balancing.
pub fn wanted_server(
    session: &Session,
    exchange: &mut Exchange,
    backend: &Backend,
) -> Option<ServerId> {
    let by_cookie = persist::wanted(session, exchange, backend);
    let stuck = match backend.stick.is_empty() {
        true => None,
        false => stick::request(session, exchange, backend),
    };
    by_cookie
        .or_else(|| use_server(session, exchange, backend))
        .or(stuck)
        .or_else(|| last_server(session, exchange, backend))
}

/// Returns the server of the client's last request, if requests are to stay there and it takes new streams.
fn last_server(session: &Session, exchange: &Exchange, backend: &Backend) -> Option<ServerId> {
    let (index, server) = session.last_server.get()?;
    let farm = &session.shard.plan.farms[index as usize];
    let stays = (backend.prefer_last || session.challenged.get())
        && exchange.record.backend == Some(index)
        && !backend.balance.is_keyed();
    let stays = stays && farm.is_chosen(server);
    if stays && let Some(recorder) = &exchange.record.trace {
        recorder.because("the server of the last request of this connection".to_owned());
    }
    stays.then_some(server)
}

/// Returns whether there are rules for the responses of that backend.
pub fn has_response_rules(session: &Session, backend: &Backend) -> bool {
    !session.frontend().http_response.is_empty()
        || !backend.http_response.is_empty()
        || !backend.response_content_rules.is_empty()
}

/// Runs the response rules of backend, then frontend.
///
/// # Errors
/// Why the server's response is not sent.
pub async fn response(
    session: &Session,
    exchange: &mut Exchange,
    backend: &Backend,
    server: &Socket,
) -> Result<(), Stop> {
    if !backend.response_content_rules.is_empty() {
        let (side, list) = (Side::Response(server), &backend.response_content_rules);
        Box::pin(inspect::message(session, exchange, side, list)).await?;
    }
    let of_backend = is_another_section(session, backend).then_some(backend);
    let lists = of_backend.map(|backend| &backend.http_response);
    for list in lists.into_iter().chain([&session.frontend().http_response]) {
        if let Some(waiting) = rules(session, exchange, list)? {
            let side = Side::Response(server);
            Box::pin(resume(session, exchange, side, waiting)).await?;
        }
    }
    Ok(())
}

/// Returns whether `http-after-response` rules run on what the client gets.
pub fn has_after_response(session: &Session, exchange: &Exchange) -> bool {
    let of_backend = |index| !session.shard.backend(index).http_after_response.is_empty();
    !session.frontend().http_after_response.is_empty()
        || exchange.record.backend.is_some_and(of_backend)
}

/// Runs the `http-after-response` rules of backend, then frontend, on the response as it is.
pub fn after_response(session: &Session, exchange: &mut Exchange) {
    let backend = exchange.record.backend.map(|index| session.shard.backend(index));
    let backend = backend.filter(|backend| is_another_section(session, backend));
    let lists = [
        backend.map_or(&[][..], |backend| &backend.http_after_response),
        &session.frontend().http_after_response,
    ];
    for rules in lists.into_iter().filter(|rules| !rules.is_empty()) {
        // Such rules edit and allow; none of them ends the response.
        with_context(session, exchange, |cx| action::run(rules, cx));
    }
}

impl Stop {
    /// Says why the request goes no further, for explanations.
    pub fn describe(&self) -> Option<&'static str> {
        Some(match self {
            Stop::Stats(_) => "the statistics page answers",
            Stop::Monitor(true) => "the monitor answers: all is well",
            Stop::Monitor(false) => "the monitor answers: a `monitor fail` rule applies",
            Stop::NoBackend => {
                "there is no backend for it: no `use_backend` rule applies and no `default_backend` takes it"
            }
            Stop::Service(_) => "a service inside the proxy answers",
            Stop::Failed { .. } => "what a rule waited for did not come",
            // Rules say themselves what they do.
            _ => return None,
        })
    }
}

/// Counts a refused request on its frontend and, when there is one, its backend.
pub fn count_denied(session: &Session, exchange: &Exchange, counter: Counter) {
    session.shard.count(session.frontend().object, counter, 1);
    if let Some(backend) = exchange.record.backend {
        session.shard.count(session.shard.backend(backend).object, counter, 1);
    }
}
