//! A small name server in a thread, over UDP and TCP on one port: it answers as a table says, and counts what it was asked.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is said about a name.
#[derive(Clone, Debug)]
pub enum Says {
    Addresses(Vec<IpAddr>),
    NoSuchName,
    Refused,
    /// Nothing, as when the datagram was lost; then the other.
    LostFirst(usize, Box<Says>),
    /// The answer only fits TCP.
    OverTcp(Box<Says>),
    /// First come answers to another question and with another id, both naming this address.
    ForgedFirst(IpAddr, Box<Says>),
}

/// A running name server.
pub struct NameServer {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl NameServer {
    /// Starts one that knows these names; of others it says that they do not exist.
    pub fn start(names: &[(&str, Says)]) -> Self {
        let names: HashMap<String, Says> =
            names.iter().map(|(name, says)| ((*name).to_owned(), says.clone())).collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (socket, listener) = super::eventually("a port for UDP and TCP", || {
            let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
            let listener = TcpListener::bind(socket.local_addr().ok()?).ok()?;
            Some((socket, listener))
        });
        let address = socket.local_addr().unwrap();
        let names = Arc::new(names);
        let (known, log) = (names.clone(), asked.clone());
        thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((len, peer)) = socket.recv_from(&mut buffer) {
                let (name, kind) = question(&buffer[..len]);
                let before = {
                    let mut log = log.lock().unwrap();
                    log.push(format!("udp {name} {kind}"));
                    log.iter().filter(|line| line.contains(&format!(" {name} "))).count()
                };
                let says = known.get(&name).cloned().unwrap_or(Says::NoSuchName);
                for answer in answers(&buffer[..len], &says, kind, before, false) {
                    let _ = socket.send_to(&answer, peer);
                }
            }
        });
        let log = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                let mut len = [0; 2];
                if stream.read_exact(&mut len).is_err() {
                    continue;
                }
                let mut message = vec![0; usize::from(u16::from_be_bytes(len))];
                if stream.read_exact(&mut message).is_err() {
                    continue;
                }
                let (name, kind) = question(&message);
                log.lock().unwrap().push(format!("tcp {name} {kind}"));
                let says = names.get(&name).cloned().unwrap_or(Says::NoSuchName);
                for answer in answers(&message, &says, kind, usize::MAX, true) {
                    let mut framed = (answer.len() as u16).to_be_bytes().to_vec();
                    framed.extend(answer);
                    // In two pieces, as TCP may deliver it.
                    let _ = stream.write_all(&framed[..1]);
                    let _ = stream.write_all(&framed[1..]);
                }
            }
        });
        Self { address, asked }
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the questions so far: protocol, name and type.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// Returns the name and the type of a question.
fn question(message: &[u8]) -> (String, u16) {
    let (mut name, mut at) = (String::new(), 12);
    while message[at] != 0 {
        let len = usize::from(message[at]);
        if !name.is_empty() {
            name.push('.');
        }
        name += &String::from_utf8_lossy(&message[at + 1..at + 1 + len]);
        at += 1 + len;
    }
    (name, u16::from_be_bytes([message[at + 1], message[at + 2]]))
}

fn answers(query: &[u8], says: &Says, kind: u16, before: usize, tcp: bool) -> Vec<Vec<u8>> {
    match says {
        Says::Addresses(ips) => {
            let fitting =
                ips.iter().filter(|ip| if kind == 1 { ip.is_ipv4() } else { ip.is_ipv6() });
            vec![reply(query, 0, fitting.copied().collect())]
        }
        Says::NoSuchName => vec![reply(query, 3, Vec::new())],
        Says::Refused => vec![reply(query, 5, Vec::new())],
        Says::LostFirst(count, _) if before <= *count => Vec::new(),
        Says::LostFirst(_, then) => answers(query, then, kind, before, tcp),
        Says::OverTcp(then) if tcp => answers(query, then, kind, before, tcp),
        Says::OverTcp(_) => {
            let mut short = reply(query, 0, Vec::new());
            short[2] |= 2;
            vec![short]
        }
        Says::ForgedFirst(ip, then) => {
            let mut other_id = reply(query, 0, vec![*ip]);
            other_id[0] ^= 0xff;
            let mut other_name = reply(query, 0, vec![*ip]);
            other_name[13] ^= 1;
            let mut all = vec![other_id, other_name, vec![0; 5], Vec::new()];
            all.extend(answers(query, then, kind, before, tcp));
            all
        }
    }
}

fn reply(query: &[u8], code: u8, ips: Vec<IpAddr>) -> Vec<u8> {
    let mut end = 12;
    while query[end] != 0 {
        end += 1 + usize::from(query[end]);
    }
    let mut message = query[..2].to_vec();
    message.extend([0x81, 0x80 | code, 0, 1, 0, ips.len() as u8, 0, 0, 0, 0]);
    message.extend(&query[12..end + 5]);
    for ip in ips {
        let (kind, bytes) = match ip {
            IpAddr::V4(ip) => (1, ip.octets().to_vec()),
            IpAddr::V6(ip) => (28, ip.octets().to_vec()),
        };
        message.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, bytes.len() as u8]);
        message.extend(bytes);
    }
    message
}
