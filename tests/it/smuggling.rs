//! The smuggling corpus: ambiguous messages through fastlb to nginx, Node and Python, which must all agree with it on where
//! every message ends.
//!
//! Each case of `tests/smuggling/*.txt` sends an odd message with a marker request pipelined behind it, then another client
//! probes the upstream connection that was used. What the origin understood is compared with what the proxy logged, and
//! every answer with the request that it must belong to; what stands within a body as `/smuggled` must never be executed.
//! Beside every odd message a valid sibling must be served, marker included. A missing origin fails the test. To add a case,
//! write it into the file; to add an origin, add a row to [`ORIGINS`] and a test.

use crate::support::transcript::escaped;
use crate::support::wire::{Piece, unescape};
use crate::support::{Client, Kind, Proxy, Setup, eventually, free_address};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

/// Cases that run at the same time, each on a frontend and a pool of server connections of its own.
const LANES: usize = 8;

/// How long nothing must come before an answer counts as all that comes.
const QUIET: Duration = Duration::from_millis(250);

/// The text that is another name in every exchange.
const ID: &str = "@@";

#[test]
fn nginx_and_the_proxy_agree_on_every_message() {
    run("nginx");
}

#[test]
fn node_and_the_proxy_agree_on_every_message() {
    run("node");
}

#[test]
fn python_and_the_proxy_agree_on_every_message() {
    run("python");
}

#[test]
fn the_corpus_is_large_and_not_all_refused() {
    let cases = cases();
    let served = cases.iter().filter(|case| case.served == Some(true)).count();
    assert!(cases.len() >= 150, "{} cases", cases.len());
    assert!(served >= 30, "{served} of {} odd messages are served", cases.len());
}

/// An odd message and its sibling.
struct Case {
    name: String,
    odd: Vec<u8>,
    /// Whether the odd message is served (in the one reading that is left of it) or refused, unless that is the origin's
    /// to say.
    served: Option<bool>,
    valid: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/smuggling");
    let mut cases = Vec::new();
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        read_cases(&fs::read_to_string(file).unwrap(), &mut cases);
    }
    cases
}

/// Reads `=== name`, `-- odd`, `-- refused`, `-- served` or `-- either`, and `-- valid`, which holds for the cases behind it too.
fn read_cases(text: &str, cases: &mut Vec<Case>) {
    let mut valid = Vec::new();
    let mut pieces: Option<(bool, Vec<Piece>)> = None;
    let mut end = |pieces: &mut Option<(bool, Vec<Piece>)>, cases: &mut Vec<Case>| {
        let Some((odd, pieces)) = pieces.take() else { return };
        let mut bytes: Vec<u8> = pieces
            .into_iter()
            .flat_map(|piece| match piece {
                Piece::Bytes(bytes) => bytes,
                Piece::Pause => panic!("no pauses here"),
            })
            .collect();
        let case = cases.last_mut().expect("a case was begun");
        if odd {
            case.odd = bytes;
        } else {
            // The line before the next case is no part of it.
            bytes.truncate(bytes.len() - 2);
            valid = bytes;
        }
        case.valid.clone_from(&valid);
    };
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("===", name)) => {
                end(&mut pieces, cases);
                cases.push(Case { name: name.into(), odd: vec![], served: None, valid: vec![] });
            }
            Some(("--", "odd")) => {
                end(&mut pieces, cases);
                pieces = Some((true, Vec::new()));
            }
            Some(("--", "valid")) => {
                end(&mut pieces, cases);
                pieces = Some((false, Vec::new()));
            }
            Some(("--", word @ ("served" | "refused" | "either"))) => {
                end(&mut pieces, cases);
                let case = cases.last_mut().expect("a case was begun");
                case.served = (word != "either").then_some(word == "served");
            }
            _ => match &mut pieces {
                Some((_, pieces)) => unescape(line, pieces),
                None => assert!(line.is_empty() || line.starts_with('#'), "{line:?}"),
            },
        }
    }
    end(&mut pieces, cases);
    for case in cases {
        assert!(!case.odd.is_empty() && !case.valid.is_empty(), "{}", case.name);
    }
}

/// An origin in a process of its own; ended when dropped.
struct Origin {
    child: Child,
    address: SocketAddr,
    file: PathBuf,
    folder: tempfile::TempDir,
}

impl Origin {
    fn start(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (address, file) = (free_address(), folder.path().join("said"));
        fs::write(&file, "").unwrap();
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/origins");
        let mut command = match name {
            "nginx" => {
                let text = fs::read_to_string(scripts.join("nginx.conf")).unwrap();
                let text = text
                    .replace("@dir@", &folder.path().display().to_string())
                    .replace("@file@", &file.display().to_string())
                    .replace("@port@", &address.port().to_string());
                let path = folder.path().join("nginx.conf");
                fs::write(&path, text).unwrap();
                let mut command = Command::new("nginx");
                command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap()));
                command.arg("-p").arg(folder.path()).arg("-e").arg(folder.path().join("start"));
                command.arg("-c").arg(path);
                command
            }
            _ => {
                let (program, script) =
                    if name == "node" { ("node", "node.mjs") } else { ("python3", "python.py") };
                let mut command = Command::new(program);
                command.arg(scripts.join(script)).arg(address.port().to_string()).arg(&file);
                command
            }
        };
        let said = fs::File::create(folder.path().join("stderr")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(said).spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{name}: {error}; `tests/setup.sh peers` installs what is missing")
        });
        let origin = Self { child, address, file, folder };
        eventually("the origin listens", || TcpStream::connect(address).ok());
        origin
    }

    /// Returns what it understood of an exchange: method, target, length of the body.
    fn understood(&self, id: &str) -> Vec<String> {
        let said = fs::read(&self.file).unwrap();
        let wanted = format!("/{id}/");
        String::from_utf8_lossy(&said)
            .lines()
            .filter(|line| line.contains(&wanted))
            .map(|line| line.replacen(" http://a/", " /", 1).replacen(" //", " /", 1))
            .collect()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let said = fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default();
            eprintln!("---- the origin said ----\n{said}");
        }
    }
}

fn start(origin: &Origin) -> Proxy {
    let mut setup = Setup::new(Kind::Fastlb).address("origin", origin.address);
    let mut text = String::from(
        "global\n log stdout format raw local0\n\
         defaults\n mode http\n log global\n timeout connect 4s\n timeout client 2s\n timeout server 4s\n\
         http-reuse always\n retries 0\n log-format \"%fp %cp %ST %s %HM %HU\"\n",
    );
    for lane in 0..LANES {
        setup = setup.listen(&format!("front{lane}"));
        let _ = write!(
            text,
            "frontend f{lane}\n bind @front{lane}@\n default_backend b{lane}\n\
             backend b{lane}\n server s @origin@\n"
        );
    }
    setup.start(&text)
}

/// Runs every case in front of that origin.
fn run(name: &str) {
    let cases = cases();
    let origin = Origin::start(name);
    let proxy = start(&origin);
    let next = Mutex::new(cases.iter().enumerate());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for lane in 0..LANES {
            let (next, found, proxy, origin) = (&next, &found, &proxy, &origin);
            scope.spawn(move || {
                let front = proxy.address(&format!("front{lane}"));
                loop {
                    let Some((number, case)) = next.lock().unwrap().next() else { return };
                    for odd in [true, false] {
                        let finding = Exchange::of(number, case, odd).judge(front, proxy, origin);
                        found.lock().unwrap().extend(finding.map(|text| (number, text)));
                    }
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    let said: String = found.iter().map(|(_, text)| text.as_str()).collect();
    assert!(found.is_empty(), "{} findings in front of {name}:\n{said}", found.len());
}

/// One message with its marker, and the probe behind it.
struct Exchange<'c> {
    case: &'c Case,
    odd: bool,
    id: String,
    bytes: Vec<u8>,
}

/// What came back on a client's connection.
struct Answers {
    /// Status and body, one by one.
    list: Vec<(u16, String)>,
    /// Bytes that are no answer.
    rest: Vec<u8>,
}

impl<'c> Exchange<'c> {
    fn of(number: usize, case: &'c Case, odd: bool) -> Self {
        let id = format!("{}{number}", if odd { "odd" } else { "valid" });
        let message = if odd { &case.odd } else { &case.valid };
        let mut bytes = replace(message, &id);
        bytes.extend_from_slice(format!("GET /{id}/after HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
        Self { case, odd, id, bytes }
    }

    /// Plays it; returns what is wrong.
    fn judge(&self, front: SocketAddr, proxy: &Proxy, origin: &Origin) -> Option<String> {
        // Ports come again: what was logged before is of other connections.
        let before = proxy.stdout().len();
        let mut client = TcpStream::connect(front).unwrap();
        client.set_nodelay(true).unwrap();
        let port = client.local_addr().unwrap().port();
        // A proxy that refuses may close before it has read everything.
        let _ = client.write_all(&self.bytes);
        let received = receive(&mut client, &format!("/{}/after ", self.id));
        drop(client);
        let probe = format!("/{}/probe", self.id);
        let answer = Client::connect(front).ask(format!("GET {probe} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let logged = eventually("the probe is logged", || {
            let log = proxy.stdout();
            log.contains(&format!("{probe}\n")).then_some(log)
        });
        let prefix = format!("{} {port} ", front.port());
        let logged: Vec<&str> =
            logged[before..].lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
        let understood = origin.understood(&self.id);
        let answers = Answers::parse(&received);
        let mut wrong = Vec::new();
        if answer.status != 200 || answer.text() != format!("GET {probe} 0\n") {
            wrong.push(format!("the probe was answered by {} {:?}", answer.status, answer.text()));
        }
        self.compare(&answers, &logged, &understood, &mut wrong);
        if wrong.is_empty() {
            return None;
        }
        let kind = if self.odd { "odd" } else { "valid" };
        Some(format!(
            "\n=== {} ({kind})\nsent: {}\nanswers: {:?} and {:?}\nlogged: {logged:#?}\n\
             understood: {understood:#?}\nwrong: {wrong:#?}\n",
            self.case.name,
            escaped(&self.bytes),
            answers.list,
            String::from_utf8_lossy(&answers.rest),
        ))
    }

    /// Compares what the client received, what the proxy logged and what the origin understood.
    fn compare(
        &self,
        answers: &Answers,
        logged: &[&str],
        understood: &[String],
        wrong: &mut Vec<String>,
    ) {
        if !answers.rest.is_empty() {
            wrong.push("bytes that are no answer".to_owned());
        }
        let lines: Vec<Line> = logged.iter().filter_map(|line| Line::parse(line)).collect();
        if lines.len() != logged.len() {
            wrong.push("a log line cannot be read".to_owned());
        }
        let statuses: Vec<u16> = answers.list.iter().map(|(status, _)| *status).collect();
        let logged_statuses: Vec<u16> =
            lines.iter().map(|line| line.status).filter(|status| *status > 0).collect();
        if statuses != logged_statuses {
            wrong.push(format!("answers {statuses:?}, log {logged_statuses:?}"));
        }
        // Every answer of the origin belongs to the request that the proxy took it for.
        let answered = lines.iter().filter(|line| line.status > 0);
        for ((status, body), line) in answers.list.iter().zip(answered) {
            let about = body.rsplit_once(' ').map_or("", |(about, _)| about);
            let about = about.replacen(" http://a/", " /", 1).replacen(" //", " /", 1);
            let head = line.method == "HEAD";
            if *status == 200 && !head && about != line.request() {
                wrong.push(format!("{} {} was answered by {body:?}", line.method, line.target));
            }
        }
        // The origin executed what was proxied and answered by 200, in that order, and nothing else.
        let mut proxied = lines.iter().filter(|line| line.server);
        let ours: Vec<&String> =
            understood.iter().filter(|line| !line.contains("/probe ")).collect();
        for request in &ours {
            let found = proxied.find(|line| request.starts_with(&(line.request() + " ")));
            if found.is_none() {
                wrong.push(format!("the proxy knows nothing of {request:?}"));
            }
        }
        let served = lines.iter().filter(|line| line.server && line.status == 200).count();
        if ours.len() < served {
            wrong.push(format!("{served} requests were served, {} understood", ours.len()));
        }
        if understood.iter().filter(|line| line.contains("/probe ")).count() != 1 {
            wrong.push("the probe was not understood once".to_owned());
        }
        if logged
            .iter()
            .chain(ours.iter().map(|line| line.as_str()).collect::<Vec<_>>().iter())
            .any(|line| line.contains("/smuggled"))
        {
            wrong.push("what stood in a body was executed".to_owned());
        }
        let all_served = statuses.len() >= 2 && statuses.iter().all(|status| *status == 200);
        let expected = if self.odd { self.case.served } else { Some(true) };
        if expected.is_some_and(|expected| expected != all_served) {
            let expected = expected == Some(true);
            wrong.push(format!("{} expected", if expected { "service" } else { "refusal" }));
        }
    }
}

/// A line of the proxy's log.
struct Line {
    status: u16,
    server: bool,
    method: String,
    target: String,
}

impl Line {
    /// Returns method and target as origins show them: some leave out the authority, or the first of two slashes.
    fn request(&self) -> String {
        let target = self.target.strip_prefix("http://a").unwrap_or(&self.target);
        let target = if target.starts_with("//") { &target[1..] } else { target };
        format!("{} {target}", self.method)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(4, ' ');
        let status = words.next()?.parse::<i32>().ok()?;
        Some(Self {
            status: u16::try_from(status).unwrap_or(0),
            server: words.next()? == "s",
            method: words.next()?.to_owned(),
            target: words.next()?.to_owned(),
        })
    }
}

impl Answers {
    /// Reads answers, interim ones left out.
    fn parse(bytes: &[u8]) -> Self {
        let mut answers = Self { list: Vec::new(), rest: Vec::new() };
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((status, body, after)) = answer(rest) else {
                answers.rest = rest.to_vec();
                break;
            };
            if status >= 200 {
                answers.list.push((status, String::from_utf8_lossy(body).into_owned()));
            }
            rest = after;
        }
        answers
    }
}

/// Reads one answer: status, body, what is behind it.
fn answer(bytes: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).ok()?.to_ascii_lowercase();
    let status: u16 = head.strip_prefix("http/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let rest = &bytes[end..];
    let length: usize = match length {
        Some(length) => length.trim().parse().ok()?,
        None if status < 200 || status == 204 => 0,
        // Node refuses in empty chunks, or without a length.
        None if head.contains("\r\ntransfer-encoding: chunked\r\n") => {
            return Some((status, b"", rest.strip_prefix(b"0\r\n\r\n")?));
        }
        None if head.contains("\r\nconnection: close\r\n") => rest.len(),
        None => return None,
    };
    // An answer to HEAD: the next one, or nothing, stands where its body would.
    let length = if rest.is_empty() || rest.starts_with(b"HTTP/1.1 ") { 0 } else { length };
    Some((status, rest.get(..length)?, &rest[length..]))
}

/// Reads until the peer closes, the answer that contains `last` has come, or nothing comes any more.
fn receive(client: &mut TcpStream, last: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut piece = [0; 16 * 1024];
    let started = Instant::now();
    client.set_read_timeout(Some(QUIET)).unwrap();
    // Nothing at all may mean that the machine is busy.
    while started.elapsed() < Duration::from_secs(4) {
        match client.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if !bytes.is_empty() {
                    break;
                }
            }
            Err(_) => break,
        }
        if String::from_utf8_lossy(&bytes).contains(last) {
            break;
        }
    }
    bytes
}

fn replace(bytes: &[u8], id: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(at) = rest.windows(ID.len()).position(|window| window == ID.as_bytes()) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(id.as_bytes());
        rest = &rest[at + ID.len()..];
    }
    out.extend_from_slice(rest);
    out
}
