//! What an input says: which set-up, and what each peer does, in order.
//!
//! Control bytes below tab are commands, everything else is text that the current peer sends:
//!
//! | byte | followed by | meaning |
//! |---|---|---|
//! | 0x01 | n | what follows is for peer n mod 8: 0 to 3 are clients, 4 to 7 servers |
//! | 0x02 | n | pause for n times 40 ms |
//! | 0x03 | | end the sending side |
//! | 0x04 | | close |
//! | 0x05 | n | from now on read only n times 16 bytes per 100 ms; 255 is without limit |
//! | 0x06 | | wait until the end of a head has come |
//! | 0x07 | n | send n times 64 filling bytes |
//! | 0x08 | | what follows is sent apart from what came before |
//! | 0x0e | n | send the last text again, n mod 16 times |
//! | 0x0f | b | the byte b as text |
//! | `$` | | the mark of the peer, by which its bytes are known wherever they turn up |
//!
//! The n-th connection to a server follows the script of server n mod 4, from the start again for every further request.

/// Clients of a script.
pub(super) const CLIENTS: usize = 4;
/// Scripts of servers.
pub(super) const SERVERS: usize = 4;
/// Most bytes that one script sends.
const SENT_BYTES_MAX: usize = 400_000;
/// Stands for the mark of a peer until it is known which one follows the script.
pub(super) const MARK: u8 = b'$';

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    Send(Vec<u8>),
    Pause(u64),
    HalfClose,
    Close,
    Read(Option<usize>),
    Await,
}

#[derive(Debug)]
pub(super) struct Script {
    pub(super) setup: usize,
    pub(super) clients: [Vec<Op>; CLIENTS],
    pub(super) servers: [Vec<Op>; SERVERS],
}

impl Script {
    pub(super) fn decode(bytes: &[u8]) -> Self {
        let (&setup, rest) = bytes.split_first().unwrap_or((&0, &[]));
        let mut peers: [Peer; CLIENTS + SERVERS] = Default::default();
        let mut current = 0;
        let mut rest = rest.iter().copied();
        while let Some(byte) = rest.next() {
            let peer = &mut peers[current];
            match byte {
                0x01 => {
                    peer.flush();
                    current = usize::from(rest.next().unwrap_or_default()) % peers.len();
                }
                0x02 => peer.then(Op::Pause(u64::from(rest.next().unwrap_or_default()) * 40)),
                0x03 => peer.then(Op::HalfClose),
                0x04 => peer.then(Op::Close),
                0x05 => {
                    let rate = rest.next().unwrap_or(255);
                    peer.then(Op::Read((rate != 255).then_some(usize::from(rate) * 16)));
                }
                0x06 => peer.then(Op::Await),
                0x07 => {
                    let count = usize::from(rest.next().unwrap_or_default()) * 64;
                    peer.text.resize(peer.text.len() + count, b'f');
                }
                0x08 => peer.flush(),
                0x0e => {
                    peer.flush();
                    let last = peer.ops.iter().rev().find(|op| matches!(op, Op::Send(_))).cloned();
                    for _ in 0..rest.next().unwrap_or_default() % 16 {
                        peer.ops.extend(last.clone());
                    }
                }
                0x0f => peer.text.push(rest.next().unwrap_or_default()),
                // Two of them begin a mark, which nobody may forge.
                b'@' if peer.text.last() == Some(&b'@') => {}
                other => peer.text.push(other),
            }
        }
        let mut ops = peers.into_iter().map(Peer::finish);
        let mut next = || ops.next().unwrap_or_default();
        Self {
            setup: usize::from(setup),
            clients: std::array::from_fn(|_| next()),
            servers: std::array::from_fn(|_| next()),
        }
    }
}

#[derive(Default)]
struct Peer {
    ops: Vec<Op>,
    text: Vec<u8>,
}

impl Peer {
    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.ops.push(Op::Send(std::mem::take(&mut self.text)));
        }
    }

    fn then(&mut self, op: Op) {
        self.flush();
        self.ops.push(op);
    }

    fn finish(mut self) -> Vec<Op> {
        self.flush();
        let mut left = SENT_BYTES_MAX;
        self.ops.retain(|op| match op {
            Op::Send(text) => {
                let fits = text.len() <= left;
                left = left.saturating_sub(text.len());
                fits
            }
            _ => true,
        });
        self.ops
    }
}
