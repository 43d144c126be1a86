//! A fuzzer in a page: mutates inputs of a corpus, keeps those with a new outcome, stops at the first broken rule.
//!
//! It has no coverage to guide it, only what the targets say of an input; in return it builds with the toolchain of the
//! crate and runs anywhere. A run is repeated by its seed. `fuzz_NAME [--seconds N] [--seed N] [--keep] [FILE]`; a file is tried alone.

mod targets;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest input that is made.
const INPUT_BYTES_MAX: usize = 4096;
/// Most inputs that are kept in memory.
const POOL_MAX: usize = 20_000;

/// Pieces that matter to the grammars.
const DICTIONARY: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b": ",
    b",",
    b";",
    b"=",
    b"\"",
    b"%",
    b"#",
    b"?",
    b"/",
    b"*",
    b"@",
    b"\r\n\r\n",
    b"\r\n ",
    b"0\r\n\r\n",
    b"0",
    b"ffffffffffffffff",
    b"18446744073709551616",
    b"GET ",
    b"CONNECT ",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.9",
    b"http://",
    b"Host: a\r\n",
    b"Host: b\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 5, 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive, upgrade\r\n",
    b"Upgrade: websocket\r\n",
    b"TE: trailers, gzip\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"X(\xe9: y\r\n",
    b"Connection: x, host\r\n",
    b"Upgrade: h2c\r\n",
    b"HTTP/1.10",
    b"GET /\r\n",
    b"5;a=b\r\nhello\r\n",
    b"Trailer: x\r\n",
    b"HTTP/1.1 101 ",
    b"HTTP/1.1 204 ",
    b"HTTP/1.1 304 ",
    b"[::1]:80",
    b"\xff",
];

/// Runs one target as the command line says.
pub fn main(name: &str) -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("{problem}\nusage: fuzz_{name} [--seconds N] [--seed N] [--keep] [FILE]");
            return ExitCode::FAILURE;
        }
    };
    let (_, target) = *targets::TARGETS
        .iter()
        .find(|(target, _)| *target == name)
        .expect("each binary names a target of the table");
    if let Some(file) = &options.file {
        return alone(target, file);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = root.join("corpus").join(name);
    let mut run = Run {
        target,
        random: Random(options.seed | 1),
        seen: HashSet::new(),
        pool: Vec::new(),
        kept: options.keep.then(|| corpus.clone()),
        artifacts: root.join("artifacts").join(name),
    };
    println!("fuzz_{name}: seed {}, {} s", options.seed, options.seconds);
    match run.run(&corpus, Duration::from_secs(options.seconds)) {
        Ok(count) => {
            println!("fuzz_{name}: {count} inputs, {} outcomes, no rule broken", run.seen.len());
            ExitCode::SUCCESS
        }
        Err(input) => {
            eprintln!("fuzz_{name}: a rule is broken by {}", input.display());
            ExitCode::FAILURE
        }
    }
}

/// Tries one input; a broken rule shows as the panic that it is.
fn alone(target: fn(&[u8]) -> u64, file: &Path) -> ExitCode {
    match std::fs::read(file) {
        Ok(input) => {
            println!("{}: outcome {:016x}", file.display(), target(&input));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", file.display());
            ExitCode::FAILURE
        }
    }
}

struct Options {
    file: Option<PathBuf>,
    seconds: u64,
    seed: u64,
    keep: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut options =
            Self { file: None, seconds: 10, seed: now.as_nanos() as u64, keep: false };
        while let Some(arg) = args.next() {
            let mut number = || {
                let value = args.next().and_then(|value| value.parse().ok());
                value.ok_or_else(|| format!("`{arg}` needs a number"))
            };
            match arg.as_str() {
                "--seconds" => options.seconds = number()?,
                "--seed" => options.seed = number()?,
                "--keep" => options.keep = true,
                file if !file.starts_with('-') => options.file = Some(file.into()),
                _ => return Err(format!("unknown option `{arg}`")),
            }
        }
        Ok(options)
    }
}

struct Run {
    target: fn(&[u8]) -> u64,
    random: Random,
    seen: HashSet<u64>,
    pool: Vec<Vec<u8>>,
    /// Where inputs with a new outcome are written, with `--keep`.
    kept: Option<PathBuf>,
    artifacts: PathBuf,
}

impl Run {
    /// Runs until the time is up; returns how many inputs it tried, or the file of the one that broke a rule.
    fn run(&mut self, corpus: &Path, time: Duration) -> Result<u64, PathBuf> {
        for entry in std::fs::read_dir(corpus).into_iter().flatten().flatten() {
            if let Ok(input) = std::fs::read(entry.path()) {
                self.try_input(input, false)?;
            }
        }
        self.pool.push(Vec::new());
        let end = Instant::now() + time;
        let mut count = 0;
        while Instant::now() < end {
            for _ in 0..500 {
                let input = self.mutated();
                self.try_input(input, true)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn try_input(&mut self, input: Vec<u8>, is_new: bool) -> Result<(), PathBuf> {
        let target = self.target;
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| target(&input))) else {
            return Err(store(&self.artifacts, &input));
        };
        if self.seen.insert(outcome) && self.pool.len() < POOL_MAX {
            if let Some(corpus) = self.kept.as_ref().filter(|_| is_new) {
                store(corpus, &input);
            }
            self.pool.push(input);
        }
        Ok(())
    }

    /// Makes an input from one or two of the pool by a few small changes.
    fn mutated(&mut self) -> Vec<u8> {
        let mut input = self.pool[self.random.below(self.pool.len())].clone();
        for _ in 0..=self.random.below(4) {
            let at = self.random.below(input.len() + 1);
            match self.random.below(8) {
                0 if at < input.len() => input[at] = self.random.next() as u8,
                1 if at < input.len() => input[at] ^= 1 << self.random.below(8),
                2 if at < input.len() => {
                    input.remove(at);
                }
                3 => input.insert(at, self.random.next() as u8),
                4 => {
                    let end = (at + self.random.below(16)).min(input.len());
                    input.drain(at..end);
                }
                5 => {
                    let end = (at + self.random.below(40)).min(input.len());
                    let piece = input[at..end].to_vec();
                    let to = self.random.below(input.len() + 1);
                    input.splice(to..to, piece);
                }
                6 => {
                    let other = &self.pool[self.random.below(self.pool.len())];
                    let from = self.random.below(other.len() + 1);
                    let tail = other[from..].to_vec();
                    input.truncate(at);
                    input.extend_from_slice(&tail);
                }
                _ => {
                    let word = DICTIONARY[self.random.below(DICTIONARY.len())];
                    input.splice(at..at, word.iter().copied());
                }
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }
}

/// Writes an input to a folder, named by its content.
fn store(folder: &Path, input: &[u8]) -> PathBuf {
    let hash = input.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let path = folder.join(format!("{hash:016x}"));
    let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, input));
    if let Err(error) = written {
        eprintln!("{}: {error}", path.display());
    }
    path
}

/// A xorshift generator: small, and the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
