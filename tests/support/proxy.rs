//! Starts fastlb or haproxy from a configuration text, waits until it listens, and ends it when the test does.
//!
//! Readiness is read from the kernel's socket tables, not by connecting, so that counters and logs start at zero. A proxy
//! is ended by its own process id only.

use super::{Origin, eventually, free_address};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// Which program is under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fastlb,
    Haproxy,
}

impl Kind {
    /// Returns the program's path.
    pub fn program(self) -> PathBuf {
        match self {
            Self::Fastlb => std::env::var_os("FASTLB_BIN")
                .map_or_else(|| env!("CARGO_BIN_EXE_fastlb").into(), PathBuf::from),
            Self::Haproxy => {
                let path = std::env::var("PATH").unwrap_or_default();
                path.split(':')
                    .chain(["/usr/sbin", "/usr/local/sbin"])
                    .map(|folder| Path::new(folder).join("haproxy"))
                    .find(|file| file.exists())
                    .expect("haproxy is not installed; `make test` installs it")
            }
        }
    }

    /// Returns whether the program is fastlb itself and takes fastlb's own flags.
    pub fn is_fastlb(self) -> bool {
        self == Self::Fastlb
            && !self
                .program()
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("haproxy"))
    }

    /// Returns a command for the program with these arguments, stdin closed.
    pub fn command<S: AsRef<std::ffi::OsStr>>(
        self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(self.program());
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub fn run<S: AsRef<std::ffi::OsStr>>(self, arguments: impl IntoIterator<Item = S>) -> Output {
        self.command(arguments).output().expect("the program runs")
    }

    /// Runs `-c` on a file that holds `text`.
    pub fn check(self, text: &str) -> Output {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lb.cfg");
        fs::write(&file, text).unwrap();
        self.run([Path::new("-c"), Path::new("-f"), &file])
    }
}

/// What a configuration text needs before it can run: addresses for its `@name@` places, and flags.
pub struct Setup {
    kind: Kind,
    addresses: BTreeMap<String, SocketAddr>,
    /// Addresses that the proxy is to listen on.
    listening: Vec<SocketAddr>,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    cores: String,
    inherited: Option<TcpListener>,
    folder: tempfile::TempDir,
}

impl Setup {
    /// Returns an empty set-up.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            addresses: BTreeMap::new(),
            listening: Vec::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            cores: "1".to_owned(),
            inherited: None,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Names an address for the proxy to listen on.
    pub fn listen(mut self, name: &str) -> Self {
        let address = free_address();
        self.listening.push(address);
        self.addresses.insert(name.to_owned(), address);
        self
    }

    /// Names an origin.
    pub fn origin(self, origin: &Origin) -> Self {
        let (name, address) = (origin.name().to_owned(), origin.address());
        self.address(&name, address)
    }

    /// Names any address.
    pub fn address(mut self, name: &str, address: SocketAddr) -> Self {
        self.addresses.insert(name.to_owned(), address);
        self
    }

    /// Adds a command-line argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Chooses the event driver, `io_uring` or `epoll`.
    pub fn driver(self, driver: &str) -> Self {
        self.argument("--driver").argument(driver)
    }

    /// Adds an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Chooses fastlb's cores; one unless told otherwise.
    pub fn cores(mut self, cores: &str) -> Self {
        self.cores = cores.to_owned();
        self
    }

    /// Hands a listening socket to the proxy as descriptor 3.
    pub fn inherit(mut self, listener: TcpListener) -> Self {
        self.inherited = Some(listener);
        self
    }

    /// Returns the folder of this run, which `@dir@` stands for.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns `text` with every place filled in.
    pub fn fill(&self, text: &str) -> String {
        let mut text = text.replace("@dir@", &self.folder.path().display().to_string());
        for (name, address) in &self.addresses {
            text = text.replace(&format!("@{name}@"), &address.to_string());
            text = text.replace(&format!("@{name}:port@"), &address.port().to_string());
        }
        text
    }

    /// Starts the proxy on `text` and waits until it listens.
    pub fn start(self, text: &str) -> Proxy {
        let mut proxy = self.launch(text);
        // The kernel's tables are long on a busy machine: one look is for all addresses.
        eventually(&format!("{:?} listens on {:?}", proxy.kind, proxy.listening), || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                panic!("{:?} ended ({status}):\n{}", proxy.kind, proxy.output());
            }
            let ports = listening_ports();
            proxy.listening.iter().all(|address| ports.contains(&address.port())).then_some(())
        });
        proxy
    }

    /// Starts the proxy on `text` without waiting for anything.
    pub fn launch(self, text: &str) -> Proxy {
        let file = self.folder.path().join("lb.cfg");
        fs::write(&file, self.fill(text)).unwrap();
        let (out, err) = (self.folder.path().join("stdout"), self.folder.path().join("stderr"));
        let mut command = match self.inherited {
            None => self.kind.command::<&str>([]),
            Some(listener) => {
                // The shell moves the listener from its standard input to descriptor 3.
                let mut shell = Command::new("sh");
                shell
                    .args(["-c", "exec \"$@\" 3<&0 0</dev/null", "sh"])
                    .arg(self.kind.program())
                    .stdin(Stdio::from(OwnedFd::from(listener)));
                shell
            }
        };
        if self.kind.is_fastlb() {
            command.args(["--cores", &self.cores]);
            if let Ok(driver) = std::env::var("FASTLB_DRIVER") {
                command.args(["--driver", &driver]);
            }
        }
        if !self.arguments.iter().any(|argument| argument == "-D") {
            command.arg("-db");
        }
        command
            .args(&self.arguments)
            .arg("-f")
            .arg(&file)
            .envs(self.environment.iter().cloned())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap());
        Proxy {
            kind: self.kind,
            child: command.spawn().expect("the program starts"),
            addresses: self.addresses,
            listening: self.listening,
            folder: self.folder,
        }
    }
}

/// A running proxy; it is killed when dropped.
pub struct Proxy {
    kind: Kind,
    child: Child,
    addresses: BTreeMap<String, SocketAddr>,
    listening: Vec<SocketAddr>,
    folder: tempfile::TempDir,
}

impl Proxy {
    /// Returns the address of that name.
    pub fn address(&self, name: &str) -> SocketAddr {
        *self.addresses.get(name).unwrap_or_else(|| panic!("no address is named {name}"))
    }

    /// Returns the folder that `@dir@` stands for.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it wrote to standard output so far.
    pub fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap_or_default()
    }

    /// Returns what it wrote to standard error so far.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }

    fn output(&self) -> String {
        format!("{}{}", self.stdout(), self.stderr())
    }

    /// Returns its resident memory in KiB.
    pub fn memory_kib(&self) -> usize {
        memory_kib(self.pid())
    }

    /// Returns how long it has run on a CPU so far, for itself and in the kernel.
    pub fn cpu_time(&self) -> Duration {
        const TICK: Duration = Duration::from_millis(10);
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it runs");
        // Behind the name, which may hold anything: utime is the 14th field of all, stime the 15th.
        let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
        let ticks =
            fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().expect("a number"));
        TICK * ticks.sum::<u32>()
    }

    /// Returns how many descriptors it holds.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).map_or(0, Iterator::count)
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    /// Waits until it ended by itself and returns how.
    pub fn ended(&mut self) -> ExitStatus {
        eventually("the proxy ends", || self.child.try_wait().unwrap())
    }

    /// Returns whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Returns `lines` with this run's ports, address names and folder made neutral.
    pub fn neutral(&self, lines: Vec<String>) -> Vec<String> {
        lines
            .into_iter()
            .map(|mut line| {
                for (name, address) in &self.addresses {
                    line = line.replace(&address.to_string(), &format!("@{name}@"));
                }
                line.replace(&self.folder.path().display().to_string(), "@dir@")
            })
            .collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = self.output();
            if !said.is_empty() {
                eprintln!("---- {:?} said ----\n{said}", self.kind);
            }
        }
    }
}

/// Sends a signal to one process.
pub fn send_signal(pid: u32, name: &str) {
    let status =
        Command::new("kill").args(["-s", name, &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "kill -s {name} {pid}");
}

/// Returns the resident memory of a process in KiB.
pub fn memory_kib(pid: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

/// Returns whether any TCP socket listens on that port, from the kernel's tables.
pub fn is_listening(port: u16) -> bool {
    listening_ports().contains(&port)
}

/// Returns the ports that TCP sockets listen on, from the kernel's tables.
fn listening_ports() -> BTreeSet<u16> {
    const LISTEN: &str = "0A";
    let mut ports = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(table).unwrap_or_default().lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let local = words.next().unwrap_or_default();
            if words.nth(1) == Some(LISTEN)
                && let Some((_, port)) = local.rsplit_once(':')
            {
                ports.extend(u16::from_str_radix(port, 16));
            }
        }
    }
    ports
}
