//! `fastlb demo`: the balancer in front of a few small servers of its own, to play with.
//!
//! It writes an ordinary configuration to a file, loads it as any other, and prints what to try; the lines that appear
//! as requests come are the access log of that configuration. Nothing here is used outside of the demo.

mod origin;

use crate::config::environment::Environment;
use crate::control::cores::{Cores, Placement};
use crate::control::load::{self, Input};
use crate::control::signal;
use crate::control::supervisor::{self, DriverWish, Options};
use crate::runtime::checker::Console;
use crate::stdx::sys;
use origin::Origin;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::PathBuf;

/// What the command line says about the demo.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// `--cores`
    pub cores: Option<Cores>,
    /// `--driver`
    pub driver: DriverWish,
}

/// Ports that the small servers would like; each server's name is its port.
const ORIGIN_PORTS: [u16; 4] = [4444, 5555, 6666, 7777];

/// Runs the demo until it is interrupted; returns the exit code.
pub fn run(wish: &Wish, console: Console) -> u8 {
    match Demo::prepare() {
        Ok(demo) => {
            let code = demo.balance(wish, console);
            // What cannot be removed stays in the folder for temporary files.
            let _ = std::fs::remove_dir_all(&demo.folder);
            code
        }
        Err(error) => {
            say_error(&format!("the demo cannot start: {error}\n"));
            1
        }
    }
}

/// Everything the demo chose before it starts.
struct Demo {
    folder: PathBuf,
    http: u16,
    tcp: u16,
    stats: u16,
    origins: Vec<u16>,
}

impl Demo {
    fn prepare() -> io::Result<Self> {
        // Before any thread: threads inherit which signals are taken over.
        drop(signal::take()?);
        let origins = ORIGIN_PORTS
            .into_iter()
            .map(|port| Origin::start(listen(port)?))
            .collect::<io::Result<Vec<u16>>>()?;
        let folder = std::env::temp_dir().join(format!("fastlb-demo-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let free = |port| listen(port)?.local_addr().map(|address| address.port());
        let demo =
            Self { folder, http: free(8080)?, tcp: free(8081)?, stats: free(8404)?, origins };
        std::fs::write(demo.file(), demo.configuration())?;
        Ok(demo)
    }

    fn file(&self) -> PathBuf {
        self.folder.join("lb.cfg")
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("cli.sock")
    }

    /// Returns the configuration, as a newcomer would write it.
    fn configuration(&self) -> String {
        let Self { http, tcp, stats, .. } = self;
        let server = |port: &u16| format!("    server s{port} 127.0.0.1:{port} check inter 1s\n");
        let servers = |ports: &[u16]| ports.iter().map(server).collect::<String>();
        let (first, second) = self.origins.split_at(self.origins.len() / 2);
        let (one, two, all) = (servers(first), servers(second), servers(&self.origins));
        format!(
            r#"global
    maxconn 1000
    log stdout format raw local0
    stats socket {socket} mode 600 level admin

defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    option httpchk GET /health

# Layer 7: the path chooses the backend.
frontend www
    bind 127.0.0.1:{http}
    log global
    log-format "%HM %HP -> %b/%s: %ST, %B bytes in %Ta ms"
    http-request deny if {{ path,url_dec -i -m beg /admin }}
    acl app1 path_end -i /app1
    acl app2 path_end -i /app2
    use_backend one if app1
    use_backend two if app2
    default_backend all

backend one
    balance roundrobin
{one}
backend two
    balance leastconn
{two}
backend all
    balance roundrobin
{all}
# Layer 4: connections are balanced, bytes are not looked at.
frontend tcp
    mode tcp
    bind 127.0.0.1:{tcp}
    log global
    log-format "tcp -> %b/%s: %B bytes in %Tt ms"
    default_backend any

backend any
    mode tcp
    balance roundrobin
{all}
# The statistics page.
frontend stats
    bind 127.0.0.1:{stats}
    stats enable
    stats uri /
    stats refresh 2s
"#,
            socket = self.socket().display(),
        )
    }

    /// Returns what to try.
    fn invitation(&self) -> String {
        let Self { http, tcp, stats, origins, .. } = self;
        let origin = origins.first().copied().unwrap_or_default();
        format!(
            "fastlb demo: {count} small servers behind one load balancer\n\n\
             layer 7   curl http://127.0.0.1:{http}/         each request goes to the next server\n          \
             curl http://127.0.0.1:{http}/app1     the path chooses the backend\n          \
             curl http://127.0.0.1:{http}/app2\n          \
             curl http://127.0.0.1:{http}/admin    is refused by a rule\n\
             layer 4   curl http://127.0.0.1:{tcp}/         each connection goes to the next server\n\
             stats     http://127.0.0.1:{stats}/              in a browser\n\
             failure   curl http://127.0.0.1:{origin}/fail    makes a server ill for 10 seconds\n\
             runtime   echo 'show stat' | socat - UNIX-CONNECT:{socket}\n\
             config    {file}\n\n\
             Ctrl-C ends it. Requests as they come:\n",
            count = origins.len(),
            socket = self.socket().display(),
            file = self.file().display(),
        )
    }

    fn balance(&self, wish: &Wish, console: Console) -> u8 {
        let mut env = Environment::from_process();
        let loaded = load::load(&Input::Paths(vec![self.file()]), &mut env, None);
        let Some(plan) = loaded.plan else {
            say_error(&loaded.diagnostics.render(&loaded.sources, false));
            return 1;
        };
        // One shard unless told otherwise: each shard walks its round on its own, and here the order is to be seen.
        let placed = Placement::new(wish.cores.as_ref(), Some(1), &[], &sys::allowed_cpus());
        let placement = match placed {
            Ok(placement) => placement,
            Err(text) => {
                say_error(&format!("--cores: {text}\n"));
                return 1;
            }
        };
        say(&self.invitation());
        let options = Options { placement, driver: wish.driver, ..Options::default() };
        supervisor::run(plan, &options, console).unwrap_or_else(|error| {
            for finding in &error.findings {
                say_error(&format!("{}\n", finding.render(&loaded.sources, false)));
            }
            1
        })
    }
}

/// Listens on a port, or on any free one when that is taken.
fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).or_else(|_| TcpListener::bind(("127.0.0.1", 0)))
}

fn say(text: &str) {
    let mut out = io::stdout().lock();
    // Nobody is left to read when this fails.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn say_error(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpStream;

    fn ask(port: u16, path: &str) -> String {
        let mut client = TcpStream::connect(("127.0.0.1", port)).expect("the origin listens");
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).expect("a request");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer");
        answer
    }

    #[test]
    fn the_demos_configuration_is_valid_and_without_warnings() {
        let demo = Demo {
            folder: PathBuf::from("/tmp/fastlb-demo-test"),
            http: 1,
            tcp: 2,
            stats: 3,
            origins: vec![4, 5, 6, 7],
        };
        let input = Input::Text { name: "demo".to_owned(), text: demo.configuration() };
        let loaded = load::load(&input, &mut Environment::empty(), None);
        let report = loaded.diagnostics.render(&loaded.sources, false);
        assert!(loaded.plan.is_some() && loaded.diagnostics.is_empty(), "{report}");
    }

    #[test]
    fn an_origin_answers_with_its_port_and_can_be_made_ill() {
        let port = Origin::start(listen(0).expect("a port")).expect("an origin");
        assert!(ask(port, "/x").ends_with(&format!("sent by {port}\n")));
        assert!(ask(port, "/health").starts_with("HTTP/1.1 200"));
        assert!(ask(port, "/fail").starts_with("HTTP/1.1 200"));
        assert!(ask(port, "/health").starts_with("HTTP/1.1 503"));
    }
}
