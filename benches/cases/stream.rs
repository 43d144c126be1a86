//! A stream on a plan that was loaded from configuration text, for cases that need a context to evaluate on.

use std::sync::Arc;

use fastlb::config::environment::Environment;
use fastlb::control::load::{Input, load};
use fastlb::plan::{BackendTarget, Frontend, Plan, UseBackend};
use fastlb::proto::h1::parse::{Limits, Parsed, RequestKind, request, response};
use fastlb::proto::http::Head;
use fastlb::rules::context::{Context, Record, SessionInfo};
use fastlb::rules::variable::{Store, StreamStore, Variables};

/// The wall clock of every stream: microseconds since 1970.
pub(crate) const NOW_US: u64 = 1_233_922_372_000_123;

/// Loads a configuration that has no errors.
pub(crate) fn plan(text: &str) -> Plan {
    let input = Input::Text { name: "bench.cfg".to_owned(), text: text.to_owned() };
    let loaded = load(&input, &mut Environment::empty(), Some(10_000));
    let findings: Vec<_> = loaded.diagnostics.iter().map(|found| &found.message).collect();
    loaded.plan.unwrap_or_else(|| panic!("the configuration of a case has errors: {findings:?}"))
}

/// A request on the first frontend of a plan, and what its response will be.
pub(crate) struct Stream {
    pub(crate) plan: Arc<Plan>,
    pub(crate) session: SessionInfo,
    pub(crate) record: Record,
    pub(crate) request: Head,
    pub(crate) response: Option<Head>,
    variables: (Store, StreamStore),
}

impl Stream {
    /// Returns a stream whose request is received and parsed.
    pub(crate) fn new(config: &str, bytes: &[u8]) -> Self {
        let mut stream = Self {
            plan: Arc::new(plan(config)),
            session: SessionInfo {
                source: Some("192.0.2.7:50001".parse().expect("an address")),
                destination: Some("198.51.100.1:8080".parse().expect("an address")),
                frontend: 0,
                bind: 0,
                accepted_us: NOW_US - 2_000_000,
            },
            record: Record {
                start_us: NOW_US - 1_500,
                idle_us: 800_000,
                request_us: 0,
                queue_us: 0,
                connect_us: 0,
                response_us: 1_200,
                total_us: 1_500,
                backend: Some(0),
                server: Some(0),
                status: 200,
                bytes_in: 700,
                bytes_out: 1_234,
                connections: 128,
                frontend_connections: 128,
                backend_streams: 100,
                server_streams: 9,
                ..Record::default()
            },
            request: Head::new(),
            response: None,
            variables: Default::default(),
        };
        stream.receive(bytes);
        assert_eq!(request(&mut stream.request, &Limits::default()), Ok(Parsed::Complete));
        stream
    }

    /// Adds a parsed response.
    pub(crate) fn answered(mut self, bytes: &[u8]) -> Self {
        let mut head = Head::new();
        head.buffer_mut().extend_from_slice(bytes);
        let parsed = response(&mut head, &Limits::default(), RequestKind::default());
        assert_eq!(parsed, Ok(Parsed::Complete));
        self.response = Some(head);
        self
    }

    /// Starts the request over with bytes that are not parsed yet.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.request.clear();
        self.request.buffer_mut().extend_from_slice(bytes);
    }

    /// Evaluates something of the frontend on the stream.
    pub(crate) fn evaluate<T>(&mut self, f: impl FnOnce(&Frontend, &mut Context<'_>) -> T) -> T {
        let plan = &*self.plan;
        let mut context = Context {
            session: &self.session,
            request: &mut self.request,
            response: self.response.as_mut(),
            record: &self.record,
            farms: &plan.farms,
            names: &plan.names,
            variables: Variables {
                process: &plan.variables,
                session: &self.variables.0,
                stream: &self.variables.1,
            },
            head_bytes_max: 16 * 1024,
            now_us: NOW_US,
        };
        f(&plan.frontends[0], &mut context)
    }

    /// Returns the backend as the runtime chooses it, among fixed names.
    pub(crate) fn choose_backend(&mut self) -> Option<u32> {
        self.evaluate(|frontend, context| {
            let holds = UseBackend::first(&frontend.use_backend, context);
            match holds.map(|rule| &rule.target) {
                Some(BackendTarget::Fixed(index)) => Some(*index),
                _ => frontend.default_backend,
            }
        })
    }
}
