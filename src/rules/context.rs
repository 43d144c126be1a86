//! What an expression or an action can see and change: one stream at one moment.

use super::bandwidth::{Direction, Limits};
use super::capture::Captures;
use super::log_format::LogFormat;
use super::trace::Recorder;
use super::variable::Variables;
use crate::proto::http::Head;
use crate::server::Farm;
use crate::stick::Tracking;
use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// Facts about a client connection; fixed once the rules of layer 4 have seen it.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Address of the client; `None` for a unix socket.
    pub source: Option<SocketAddr>,
    /// Address the client connected to; `None` for a unix socket.
    pub destination: Option<SocketAddr>,
    /// Address of the client as a PROXY protocol header or `tcp-request session` rules said it.
    pub said_source: Option<SocketAddr>,
    /// Address the client asked for as a PROXY protocol header or `tcp-request session` rules said it.
    pub said_destination: Option<SocketAddr>,
    /// Index of the frontend in the plan.
    pub frontend: u32,
    /// Index of the bind line in the frontend.
    pub bind: u32,
    /// When the connection was accepted: microseconds of the wall clock since 1970.
    pub accepted_us: u64,
}

/// Which side or limit ended a stream: first letter of the termination state (manual 8.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Termination {
    /// `-`, `C`, `c`, `S`, `s`, `P`, `L`, `R`, `I`, `D`, `U`, `K`: who or what; 0 stands for `-`.
    pub cause: u8,
    /// `-`, `R`, `Q`, `C`, `H`, `D`, `L`, `T`: in which phase; 0 stands for `-`.
    pub phase: u8,
    /// Persistence cookie the client came with: `N I D V E O U`; 0 stands for `-`.
    pub cookie_request: u8,
    /// What was done to it in the response: `N I P R D U`; 0 stands for `-`.
    pub cookie_response: u8,
}

/// What the log can say about a stream (manual 8.2.4). Durations are microseconds, `-1` when the step was not
/// reached.
#[derive(Clone, Debug)]
pub struct Record {
    /// Wall clock when the first byte of the request arrived, microseconds since 1970.
    pub start_us: u64,
    /// Idle time before the request (`%Ti`).
    pub idle_us: i64,
    /// Time to receive the request head (`%TR`).
    pub request_us: i64,
    /// Time in queues (`%Tw`).
    pub queue_us: i64,
    /// Time to connect (`%Tc`).
    pub connect_us: i64,
    /// Time to the response head (`%Tr`).
    pub response_us: i64,
    /// Total time (`%Ta`).
    pub total_us: i64,
    /// Index of the backend, when one was chosen.
    pub backend: Option<u32>,
    /// Index of the server in the backend, when one was chosen.
    pub server: Option<u32>,
    /// Status sent to the client; 0 for none.
    pub status: u16,
    /// Bytes received from the client (`%U`).
    pub bytes_in: u64,
    /// Bytes sent to the client (`%B`).
    pub bytes_out: u64,
    /// Connection attempts made again (`%rc`).
    pub retries: u32,
    /// Whether the stream was moved to another server (`+` before `%rc`).
    pub redispatched: bool,
    /// How the stream ended (`%ts`, `%tsc`).
    pub termination: Termination,
    /// Connections of the process (`%ac`).
    pub connections: u32,
    /// Connections of the frontend (`%fc`).
    pub frontend_connections: u32,
    /// Streams of the backend (`%bc`).
    pub backend_streams: u32,
    /// Streams of the server (`%sc`).
    pub server_streams: u32,
    /// Streams that were before it in the server's queue (`%sq`).
    pub server_queue: u32,
    /// Streams that were before it in the backend's queue (`%bq`).
    pub backend_queue: u32,
    /// Address of the server, when connected (`%si`, `%sp`).
    pub server_address: Option<SocketAddr>,
    /// Our address towards the server (`%bi`, `%bp`).
    pub server_local: Option<SocketAddr>,
    /// Counter of requests in the process (`%rt`).
    pub request_counter: u32,
    /// Whether this is the first request of its connection.
    pub first_request: bool,
    /// Whether the line is written before the end (`option logasap`): totals are marked with `+`.
    pub partial: bool,
    /// Who answered instead of a server, such as `<STATS>`.
    pub applet: Option<&'static str>,
    /// The client's address as `set-src` said it.
    pub source: Cell<Option<SocketAddr>>,
    /// The address that the client asked for as `set-dst` said it.
    pub destination: Cell<Option<SocketAddr>>,
    /// What the frontend captures.
    pub captures: Captures,
    /// What `unique-id-format` made, once somebody has asked for it.
    pub unique_id: OnceCell<Box<[u8]>>,
    /// The moment of the line that is being written (`%OG`).
    pub step: Cell<LogStep>,
    /// What `set-log-level` said; rules set it while they run.
    pub log_level: Cell<LogLevel>,
    /// What `disable-l7-retry` and `set-retries` said; rules set it while they run.
    pub retry: Cell<RetryWish>,
    /// Takes what rules do, when the stream is to be explained.
    pub trace: Option<Rc<Recorder>>,
    /// Whether `strict-mode off` holds in the list of rules that runs.
    pub lax_rewrites: Cell<bool>,
    /// Rewrites that did not fit while it held.
    pub failed_rewrites: Cell<u32>,
    /// What `set-bandwidth-limit` put in force; rules set it while they run.
    pub bandwidth: RefCell<Option<Rc<Limits>>>,
}

/// What the rules of a request say about sending it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetryWish {
    /// `disable-l7-retry`: only connecting is tried again.
    pub connect_only: bool,
    /// `set-retries`, in place of `retries`.
    pub max: Option<u8>,
}

impl Record {
    /// Returns the bandwidth limits of the stream if there are any that way.
    #[inline]
    pub fn limits(&self, direction: Direction) -> Option<Rc<Limits>> {
        let limits = self.bandwidth.borrow();
        limits.as_ref().filter(|limits| limits.is_limited(direction)).cloned()
    }

    /// Returns the address of the session's client, or what a rule put in its place.
    pub fn source(&self, session: &SessionInfo) -> Option<SocketAddr> {
        self.source.get().or(session.said_source).or(session.source)
    }

    /// Returns the address that the client connected to, or what a rule put in its place.
    pub fn destination(&self, session: &SessionInfo) -> Option<SocketAddr> {
        self.destination.get().or(session.said_destination).or(session.destination)
    }
}

macro_rules! steps {
    ($($step:ident $name:literal $doc:literal,)*) => {
        /// A moment of a stream at which a line may be logged (`log-steps`, `on` in a `log-profile`, `%OG`).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum LogStep { #[default] $(#[doc = $doc] $step,)* }

        impl LogStep {
            /// All steps.
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            /// Returns its name as configurations write it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$step => $name,)* }
            }
        }
    };
}

steps! {
    Close "close" "The stream has ended.",
    Accept "accept" "The connection was accepted.",
    Request "request" "The request was received.",
    Connect "connect" "The connection to the server stands.",
    Response "response" "The response's head was received.",
    Error "error" "The stream ended before it had a request.",
    HttpRequest "http-req" "An `http-request` rule says so.",
    HttpResponse "http-res" "An `http-response` rule says so.",
}

impl LogStep {
    /// Returns the step of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|step| step.name() == name)
    }
}

/// The level that a stream is logged with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogLevel {
    /// As the proxy decides.
    #[default]
    Default,
    /// Not at all.
    Silent,
    /// This one (0 emerg ..= 7 debug).
    Level(u8),
}

impl Default for Record {
    fn default() -> Self {
        Self {
            start_us: 0,
            idle_us: -1,
            request_us: -1,
            queue_us: -1,
            connect_us: -1,
            response_us: -1,
            total_us: -1,
            backend: None,
            server: None,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            retries: 0,
            redispatched: false,
            termination: Termination::default(),
            connections: 0,
            frontend_connections: 0,
            backend_streams: 0,
            server_streams: 0,
            server_queue: 0,
            backend_queue: 0,
            server_address: None,
            server_local: None,
            request_counter: 0,
            first_request: false,
            partial: false,
            applet: None,
            source: Cell::default(),
            destination: Cell::default(),
            captures: Captures::default(),
            unique_id: OnceCell::new(),
            step: Cell::default(),
            log_level: Cell::default(),
            retry: Cell::default(),
            trace: None,
            lax_rewrites: Cell::default(),
            failed_rewrites: Cell::default(),
            bandwidth: RefCell::default(),
        }
    }
}

/// Names of a plan's proxies and servers, for expressions that print them and for logs.
#[derive(Debug, Default)]
pub struct NameTable {
    /// Names of frontends by index.
    pub frontends: Vec<String>,
    /// Names of backends by index.
    pub backends: Vec<String>,
    /// Names of servers by backend and index.
    pub servers: Vec<Vec<String>>,
    /// What else is known of frontends, by index.
    pub frontend_facts: Vec<FrontendFacts>,
    /// What else is known of backends, by index.
    pub backend_facts: Vec<BackendFacts>,
    /// Name of the machine (`%H`, `hostname`).
    pub hostname: String,
}

/// What expressions can say about a frontend besides its name.
#[derive(Debug, Default)]
pub struct FrontendFacts {
    /// Its number in statistics.
    pub id: u32,
    /// `timeout client`
    pub client: Option<Duration>,
    /// Index of the default backend.
    pub default_backend: Option<u32>,
    /// The names of its `bind` lines, where they have one.
    pub binds: Vec<Option<String>>,
    /// `unique-id-format`
    pub unique_id: Option<LogFormat>,
}

/// What expressions can say about a backend besides its name.
#[derive(Debug, Default)]
pub struct BackendFacts {
    /// Its number in statistics.
    pub id: u32,
    /// `timeout connect`
    pub connect: Option<Duration>,
    /// `timeout queue`
    pub queue: Option<Duration>,
    /// `timeout server`
    pub server: Option<Duration>,
    /// `timeout tarpit`
    pub tarpit: Option<Duration>,
    /// `timeout tunnel`
    pub tunnel: Option<Duration>,
}

/// What is known of the raw bytes that a side sent first; they are in the buffer of that side's head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Whether there are any to look at.
    pub stage: Stage,
    /// Whether they are the server's.
    pub of_server: bool,
    /// Whether they are the beginning of an HTTP message, of which nothing can be said yet.
    pub partial_http: bool,
}

/// How much of what a side sends first is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stage {
    /// No raw bytes can be looked at: there are messages instead.
    #[default]
    Absent,
    /// More may come before the rules have to decide.
    Growing,
    /// The rules have to decide with what is there.
    Final,
}

/// One stream at one moment.
pub struct Context<'a> {
    /// The client connection.
    pub session: &'a SessionInfo,
    /// The request head; a cleared one in TCP mode.
    pub request: &'a mut Head,
    /// The response head, while response rules run and in logs.
    pub response: Option<&'a mut Head>,
    /// What is known of raw bytes.
    pub content: Content,
    /// Whether something that was evaluated may change with the bytes that are still to come.
    pub undecided: Cell<bool>,
    /// What is known for the log.
    pub record: &'a Record,
    /// The farms of all backends, by backend index.
    pub farms: &'a [Arc<Farm>],
    /// Names by index.
    pub names: &'a NameTable,
    /// What rules have set so far.
    pub variables: Variables<'a>,
    /// The stick tables, and what is tracked in them.
    pub tracking: Tracking<'a>,
    /// The most bytes that a head may have when it is sent (`tune.bufsize`).
    pub head_bytes_max: usize,
    /// Wall clock, microseconds since 1970, as of the last turn.
    pub now_us: u64,
}

impl Context<'_> {
    /// Returns the raw bytes that a side sent first, while they can be looked at.
    pub fn content(&self) -> Option<&[u8]> {
        let head = match self.content.of_server {
            true => self.response.as_deref(),
            false => Some(&*self.request),
        };
        head.filter(|_| self.content.stage != Stage::Absent).map(Head::buffer)
    }

    /// Notes that what is evaluated now may be something else when more bytes are there.
    pub fn may_change(&self) {
        if self.content.stage == Stage::Growing {
            self.undecided.set(true);
        }
    }

    /// Returns the address of the client, or what a rule put in its place.
    pub fn source(&self) -> Option<SocketAddr> {
        self.record.source(self.session)
    }

    /// Returns the address that the client connected to, or what a rule put in its place.
    pub fn destination(&self) -> Option<SocketAddr> {
        self.record.destination(self.session)
    }

    /// Returns what else is known of the stream's frontend.
    pub fn frontend_facts(&self) -> Option<&FrontendFacts> {
        self.names.frontend_facts.get(self.session.frontend as usize)
    }

    /// Returns the unique id of the stream; it is made when somebody asks for the first time.
    pub fn unique_id(&self) -> Option<&[u8]> {
        let format = self.frontend_facts()?.unique_id.as_ref()?;
        Some(self.record.unique_id.get_or_init(|| {
            let mut id = Vec::new();
            // The format does not ask for the id itself, as was checked when it was loaded.
            format.write(self, &mut id);
            id.into()
        }))
    }
}
