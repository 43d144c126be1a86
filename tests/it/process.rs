//! The program as supervisors and scripts drive it: quick start, exit codes, signals, inherited descriptors, daemon.

use crate::support::proxy::{is_listening, send_signal};
use crate::support::{Client, Kind, Origin, Proxy, Setup, eventually, get};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

const DEFAULTS: &str =
    "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n";

const BOTH: [Kind; 2] = [Kind::Fastlb, Kind::Haproxy];

fn simple(kind: Kind, origin: &Origin) -> Proxy {
    Setup::new(kind)
        .origin(origin)
        .listen("front")
        .start(&format!("{DEFAULTS}listen l\n bind @front@\n server s @{}@\n", origin.name()))
}

#[test]
fn a_thousand_servers_start_in_a_tenth_of_a_second() {
    if !Kind::Fastlb.is_fastlb() {
        return;
    }
    let servers: String =
        (0..1000).map(|n| format!(" server s{n} 127.0.{}.{}:80\n", n / 250, n % 250 + 1)).collect();
    let text = format!("{DEFAULTS}listen l\n bind @front@\n balance roundrobin\n{servers}");
    // A debug build is several times slower than what users run; what others do on the machine is not counted.
    let allowed = Duration::from_millis(if cfg!(debug_assertions) { 400 } else { 100 });
    let best = (0..3)
        .map(|_| {
            let proxy = Setup::new(Kind::Fastlb).listen("front").start(&text);
            proxy.cpu_time()
        })
        .min()
        .unwrap();
    assert!(best < allowed, "{best:?}");
}

#[test]
fn checking_a_file_exits_0_1_or_2() {
    for kind in BOTH {
        let valid = format!("{DEFAULTS}listen l\n bind 127.0.0.1:1080\n server s 127.0.0.1:1\n");
        let code = |text: &str| kind.check(text).status.code();
        assert_eq!(code(&valid), Some(0), "{kind:?}");
        assert_eq!(code("frontend f\n bnid :0\n"), Some(1), "{kind:?}");
        // Valid, and nothing to listen on.
        assert_eq!(
            code(&format!("{DEFAULTS}backend b\n server s 127.0.0.1:1\n")),
            Some(2),
            "{kind:?}"
        );
        let output = kind.run(["-c", "-f", "/nonexistent/lb.cfg"]);
        assert_eq!(output.status.code(), Some(1), "{kind:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("/nonexistent/lb.cfg"));
    }
}

#[test]
fn conditions_on_the_command_line_exit_0_1_or_2() {
    for kind in BOTH {
        for (condition, code) in [
            ("1", 0),
            ("0", 1),
            ("!0", 0),
            ("streq(a,a)", 0),
            ("streq(a,b)", 1),
            ("strneq(a,b)", 0),
            ("version_atleast(2.4)", 0),
            ("version_atleast(99.1)", 1),
            ("version_before(99.1)", 0),
            ("feature(THREAD)", 0),
            ("feature(NO_SUCH_FEATURE)", 1),
            ("defined(FASTLB_TEST_NOT_SET)", 1),
            ("streq(a,a) && streq(b,c)", 1),
            ("streq(a,b) || streq(b,b)", 0),
            ("nonsense(", 2),
            // Newer than the oracle.
            ("strstr(abc,b)", if kind.is_fastlb() { 0 } else { 2 }),
            ("strstr(abc,d)", if kind.is_fastlb() { 1 } else { 2 }),
        ] {
            let output = kind.run(["-cc", condition]);
            assert_eq!(
                output.status.code(),
                Some(code),
                "{kind:?} -cc {condition:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn a_start_that_fails_says_why_and_exits_1() {
    for kind in BOTH {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut proxy = Setup::new(kind)
            .address("taken", address)
            .launch(&format!("{DEFAULTS}listen l\n bind @taken@\n server s 127.0.0.1:1\n"));
        assert_eq!(proxy.ended().code(), Some(1), "{kind:?}");
        let said = proxy.stderr();
        assert!(said.contains(&address.port().to_string()), "{kind:?}: {said}");
        assert!(said.to_lowercase().contains("in use"), "{kind:?}: {said}");
    }
}

#[test]
fn versions_are_told() {
    let output = Kind::Fastlb.run(["-v"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("HAProxy"));
    if Kind::Fastlb.is_fastlb() {
        let said = String::from_utf8(Kind::Fastlb.run(["--version"]).stdout).unwrap();
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
        let said = String::from_utf8(Kind::Fastlb.run(["-vv"]).stdout).unwrap();
        assert!(said.contains("3.2"), "{said}");
    }
}

#[test]
fn term_and_int_stop_at_once() {
    for kind in BOTH {
        for (name, number) in [("TERM", 15), ("INT", 2)] {
            let origin = Origin::slow("o", Duration::from_secs(5));
            let mut proxy = simple(kind, &origin);
            // A stream in flight does not hold it up.
            let mut client = Client::connect(proxy.address("front"));
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            eventually("the request arrives", || (!origin.received().is_empty()).then_some(()));
            let started = Instant::now();
            proxy.signal(name);
            let status = proxy.ended();
            assert!(started.elapsed() < Duration::from_secs(2), "{kind:?} {name}");
            // By the signal or with 0. HAProxy's code is 128 + the signal for TERM; ours never is.
            if kind.is_fastlb() {
                assert!(
                    status.code() == Some(0) || status.signal() == Some(number),
                    "{kind:?} {name}: {status}"
                );
            }
        }
    }
}

#[test]
fn usr1_drains_and_loses_nothing() {
    for kind in BOTH {
        let origin = Origin::slow("o", Duration::from_millis(600));
        let mut proxy = simple(kind, &origin);
        let address = proxy.address("front");
        let mut clients: Vec<Client> = (0..10)
            .map(|_| {
                let mut client = Client::connect(address);
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                client
            })
            .collect();
        eventually("all are in flight", || (origin.received().len() == 10).then_some(()));
        proxy.signal("USR1");
        eventually("it stops accepting", || (!is_listening(address.port())).then_some(()));
        let answered = clients
            .iter_mut()
            .filter_map(|client| client.try_response("GET").ok())
            .filter(|answer| answer.status == 200)
            .count();
        assert_eq!(answered, 10, "{kind:?}");
        if kind.is_fastlb() {
            // These answers came too late to say that the connection closes: the next request is still taken.
            let again = clients[0].ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!((again.status, again.header("connection")), (200, Some("close")));
        }
        drop(clients);
        assert_eq!(proxy.ended().code(), Some(0), "{kind:?}");
    }
}

#[test]
fn a_drain_serves_who_is_connected_already() {
    for cores in ["1", "2"] {
        let origin = Origin::echo("o");
        let setup = Setup::new(Kind::Fastlb).cores(cores).origin(&origin).listen("front");
        let mut proxy = setup
            .start(&format!("{DEFAULTS}listen l\n bind @front@\n server s @{}@\n", origin.name()));
        let address = proxy.address("front");
        let mut kept = Client::connect(address);
        assert_eq!(kept.get("/").status, 200);
        let mut fresh = Client::connect(address);
        std::thread::sleep(Duration::from_millis(50));
        // These wait in the kernel's backlog when the drain begins.
        proxy.signal("STOP");
        let mut waiting: Vec<Client> = (0..40).map(|_| Client::connect(address)).collect();
        proxy.signal("USR1");
        proxy.signal("CONT");
        eventually("it stops accepting", || (!is_listening(address.port())).then_some(()));
        // The client of an earlier request has only a moment left to send the next, the others have their time.
        for (at, client) in [&mut kept, &mut fresh].into_iter().chain(&mut waiting).enumerate() {
            let answer = client.get("/");
            let seen = (answer.status, answer.header("connection"));
            assert_eq!(seen, (200, Some("close")), "client {at}, {cores} cores");
        }
        assert_eq!(proxy.ended().code(), Some(0));
    }
}

#[test]
fn a_process_without_traffic_sleeps() {
    for driver in ["io_uring", "epoll"] {
        let origin = Origin::echo("o");
        let setup = Setup::new(Kind::Fastlb).cores("2").origin(&origin).listen("front");
        let proxy = setup
            .driver(driver)
            .start(&format!("{DEFAULTS}listen l\n bind @front@\n server s @{}@\n", origin.name()));
        assert_eq!(get(proxy.address("front"), "/").status, 200);
        std::thread::sleep(Duration::from_millis(300));
        let before = switches(proxy.pid());
        std::thread::sleep(Duration::from_secs(1));
        let woken = switches(proxy.pid()) - before;
        assert!(woken < 40, "{driver}: woken {woken} times in a second");
    }
}

/// Returns how often the threads of a process gave up their CPU to wait.
fn switches(pid: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("status")).ok())
        .filter_map(|status| {
            let row = status.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:"))?;
            row.trim().parse::<u64>().ok()
        })
        .sum()
}

#[test]
fn idle_clients_do_not_hold_up_a_drain() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let mut proxy = simple(kind, &origin);
        let mut client = Client::connect(proxy.address("front"));
        assert_eq!(client.get("/").status, 200);
        proxy.signal("USR1");
        let started = Instant::now();
        proxy.ended();
        assert!(started.elapsed() < Duration::from_secs(5), "{kind:?}");
    }
}

#[test]
fn a_drain_has_an_end() {
    for kind in BOTH {
        let origin = Origin::slow("o", Duration::from_secs(30));
        let setup = Setup::new(kind).origin(&origin).listen("front");
        let mut proxy = setup.start(&format!(
            "global\n hard-stop-after 500ms\n{DEFAULTS}listen l\n bind @front@\n server s @o@\n"
        ));
        let mut client = Client::connect(proxy.address("front"));
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("in flight", || (!origin.received().is_empty()).then_some(()));
        proxy.signal("USR1");
        let started = Instant::now();
        proxy.ended();
        assert!(started.elapsed() < Duration::from_secs(4), "{kind:?}");
    }
}

#[test]
fn an_inherited_listener_is_served_and_left_open() {
    for kind in BOTH {
        for word in ["fd@3", "\"fd@${LISTENER}\""] {
            let origin = Origin::echo("o");
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let ours = listener.try_clone().unwrap();
            let setup = Setup::new(kind)
                .origin(&origin)
                .inherit(listener)
                .variable("LISTENER", "3")
                .cores("2");
            let mut proxy = setup.launch(&format!(
                "{DEFAULTS}frontend f\n bind {word}\n default_backend b\nbackend b\n server s @o@\n"
            ));
            for _ in 0..8 {
                assert_eq!(get(address, "/").sent_by(), "o", "{kind:?} {word}");
            }
            proxy.signal("TERM");
            proxy.ended();
            // The socket still listens: a program started later can take it over.
            ours.set_nonblocking(true).unwrap();
            let _client = Client::connect(address);
            eventually("our copy accepts", || ours.accept().ok());
        }
    }
}

#[test]
fn environment_variables_stand_for_words() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let setup = Setup::new(kind).listen("front").origin(&origin);
        let (front, back) = (setup.fill("@front@"), setup.fill("@o:port@"));
        let proxy = setup
            .variable("FRONT", &front)
            .variable("BACK", &back)
            .start(&format!(
                "{DEFAULTS}listen \"${{NAME-l}}\"\n bind \"$FRONT\"\n server s \"127.0.0.1:${{BACK}}\"\n\
                 .if defined(FRONT)\n http-request add-header X-If yes\n.else\n http-request deny\n.endif\n"
            ));
        assert_eq!(get(proxy.address("front"), "/").sent_by(), "o", "{kind:?}");
        assert_eq!(origin.received()[0].header("x-if"), Some("yes"), "{kind:?}");
    }
}

#[test]
fn standard_input_is_ignored() {
    // Started with stdin closed: `Kind::command` gives it the null device, which is at its end at once.
    for kind in BOTH {
        let origin = Origin::echo("o");
        let mut proxy = simple(kind, &origin);
        std::thread::sleep(Duration::from_millis(200));
        assert!(proxy.is_running(), "{kind:?}");
    }
}

#[test]
fn several_files_and_folders_are_read_in_order() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let setup = Setup::new(kind).origin(&origin).listen("front");
        let more = setup.folder().join("more");
        std::fs::create_dir(&more).unwrap();
        std::fs::write(more.join("20.cfg"), setup.fill("backend b\n server s @o@\n")).unwrap();
        std::fs::write(more.join("10.cfg"), format!("global\n maxconn 50\n{DEFAULTS}")).unwrap();
        std::fs::write(more.join("ignored.txt"), "nonsense\n").unwrap();
        let folder = more.display().to_string();
        let proxy = setup.argument("-f").argument(&folder).start(
            "defaults\n mode http\n timeout client 5s\n timeout connect 5s\n timeout server 5s\n\
             frontend f\n bind @front@\n default_backend b\n",
        );
        assert_eq!(get(proxy.address("front"), "/").sent_by(), "o", "{kind:?}");
    }
}

#[test]
fn a_daemon_leaves_its_process_id_and_ends_by_it() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let setup = Setup::new(kind).origin(&origin).listen("front").argument("-D");
        let pidfile = setup.folder().join("lb.pid");
        let mut proxy = setup.launch(&format!(
            "global\n pidfile @dir@/lb.pid\n{DEFAULTS}listen l\n bind @front@\n server s @o@\n"
        ));
        assert_eq!(proxy.ended().code(), Some(0), "{kind:?}: {}", proxy.stderr());
        let pid = eventually("the pid file", || {
            std::fs::read_to_string(&pidfile).ok()?.trim().parse::<u32>().ok()
        });
        assert_ne!(pid, proxy.pid());
        let address = proxy.address("front");
        eventually("it listens", || is_listening(address.port()).then_some(()));
        let answer = get(address, "/").sent_by();
        send_signal(pid, "TERM");
        assert_eq!(answer, "o", "{kind:?}");
        eventually("it is gone", || (!is_listening(address.port())).then_some(()));
    }
}

#[test]
fn a_pid_file_named_on_the_command_line_is_written() {
    for kind in BOTH {
        let origin = Origin::echo("o");
        let setup = Setup::new(kind).origin(&origin).listen("front").argument("-D").argument("-p");
        let pidfile = setup.folder().join("other.pid");
        let path = pidfile.display().to_string();
        let mut proxy = setup
            .argument(&path)
            .launch(&format!("{DEFAULTS}listen l\n bind @front@\n server s @o@\n"));
        assert_eq!(proxy.ended().code(), Some(0), "{kind:?}: {}", proxy.stderr());
        let pid: u32 = eventually("the pid file", || {
            std::fs::read_to_string(&pidfile).ok()?.trim().parse().ok()
        });
        send_signal(pid, "TERM");
        let port = proxy.address("front").port();
        eventually("it is gone", || (!is_listening(port)).then_some(()));
    }
}

#[test]
fn a_file_with_only_a_stats_socket_runs() {
    for kind in BOTH {
        let setup = Setup::new(kind);
        let socket = setup.folder().join("sock");
        let mut proxy = setup.launch("global\n stats socket @dir@/sock mode 600 level admin\n");
        eventually("the socket", || socket.exists().then_some(()));
        assert!(crate::support::command(&socket, "show info").contains("Pid:"), "{kind:?}");
        assert!(proxy.is_running(), "{kind:?}");
    }
}

#[test]
fn warnings_are_fatal_when_asked() {
    // A timeout is missing.
    let text = "defaults\n mode http\nlisten l\n bind 127.0.0.1:1080\n server s 127.0.0.1:1\n";
    for kind in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("lb.cfg");
        std::fs::write(&file, text).unwrap();
        let path = file.to_str().unwrap();
        assert_eq!(kind.run(["-c", "-f", path]).status.code(), Some(0), "{kind:?}");
        assert_eq!(kind.run(["-c", "-dW", "-f", path]).status.code(), Some(1), "{kind:?}");
    }
}

#[test]
fn the_descriptor_limit_is_raised_to_what_maxconn_needs() {
    let origin = Origin::echo("o");
    let setup = Setup::new(Kind::Fastlb).origin(&origin).listen("front");
    let proxy = setup.start(&format!(
        "global\n maxconn 3000\n{DEFAULTS}listen l\n bind @front@\n server s @o@\n"
    ));
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.pid())).unwrap();
    let soft: usize = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap();
    assert!(soft >= 6000, "{soft}");
}

#[test]
fn a_disabled_backend_takes_no_requests() {
    for kind in BOTH {
        let origin = Origin::echo("a");
        let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
            "{DEFAULTS}frontend f\n mode http\n bind @front@\n use_backend off if {{ path /off }}\n default_backend on\n\
             backend on\n mode http\n server s @a@\nbackend off\n mode http\n disabled\n server s @a@\n"
        ));
        assert_eq!(crate::support::get(proxy.address("front"), "/off").status, 503, "{kind:?}");
        assert_eq!(crate::support::get(proxy.address("front"), "/on").status, 200, "{kind:?}");
    }
}

#[test]
fn tcp_connections_without_data_are_not_logged_when_asked() {
    use std::io::{Read, Write};
    for kind in BOTH {
        let origin = Origin::echo("a");
        let proxy = Setup::new(kind).origin(&origin).listen("front").start(&format!(
            "global\n log stdout format raw local0\n{DEFAULTS}listen f\n mode tcp\n log global\n option dontlognull\n\
             log-format \"sent %U\"\n bind @front@\n server s @a@\n"
        ));
        for request in ["", "GET / HTTP/1.0\r\n\r\n"] {
            let mut client = std::net::TcpStream::connect(proxy.address("front")).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let _ = client.read_to_end(&mut Vec::new());
        }
        eventually("a log line", || proxy.stdout().contains("sent 18").then_some(()));
        assert!(!proxy.stdout().contains("sent 0"), "{kind:?}: {}", proxy.stdout());
    }
}

#[test]
fn the_stats_page_shows_the_description_of_a_proxy() {
    let proxy = Setup::new(Kind::Fastlb).listen("front").start(&format!(
        "{DEFAULTS}listen f\n mode http\n bind @front@\n description our <shop>\n stats enable\n stats uri /\n"
    ));
    let page = crate::support::get(proxy.address("front"), "/").text();
    assert!(page.contains("our &lt;shop&gt;"), "{page}");
}
