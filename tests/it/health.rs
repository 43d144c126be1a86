//! Servers die and come back: what is in flight on a dead one is all that is lost, and there is always an answer.

use crate::support::{Client, Kind, Origin, Proxy, Setup, both, eventually, free_address, get};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const DEFAULTS: &str = "defaults\n mode http\n option redispatch\n retries 2\n timeout connect 2s\n \
                        timeout client 10s\n timeout server 10s\n timeout check 1s\n";

fn start(kind: Kind, origins: &[&Origin], body: &str) -> Proxy {
    let setup = origins.iter().fold(Setup::new(kind), |setup, origin| setup.origin(origin));
    setup.listen("front").start(&format!("{DEFAULTS}{body}"))
}

#[test]
fn killing_a_server_mid_traffic_loses_no_more_than_what_is_in_flight() {
    let (a, b) = (Origin::echo("a"), Origin::echo("b"));
    let proxy = start(
        Kind::Fastlb,
        &[&a, &b],
        "listen l\n bind @front@\n balance roundrobin\n \
         server a @a@ check inter 100ms fall 2\n server b @b@ check inter 100ms fall 2\n",
    );
    const CLIENTS: usize = 8;
    let stop = Arc::new(AtomicBool::new(false));
    let (good, bad) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let address = proxy.address("front");
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, good, bad) = (Arc::clone(&stop), Arc::clone(&good), Arc::clone(&bad));
            std::thread::spawn(move || {
                let mut client = Client::connect(address);
                while !stop.load(Ordering::SeqCst) {
                    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                    match client.try_response("GET") {
                        Ok(answer) if answer.status == 200 => {
                            good.fetch_add(1, Ordering::SeqCst);
                            continue;
                        }
                        _ => bad.fetch_add(1, Ordering::SeqCst),
                    };
                    client = Client::connect(address);
                }
            })
        })
        .collect();
    eventually("traffic", || (good.load(Ordering::SeqCst) > 200).then_some(()));
    a.stop();
    let then = good.load(Ordering::SeqCst);
    eventually("traffic goes on", || (good.load(Ordering::SeqCst) > then + 1000).then_some(()));
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    let bad = bad.load(Ordering::SeqCst);
    assert!(bad <= CLIENTS, "{bad} requests were lost; {CLIENTS} could be in flight");
}

#[test]
fn without_any_server_the_answer_is_503_at_once() {
    both(|kind| {
        let setup = Setup::new(kind).address("dead", free_address()).listen("front");
        let proxy = setup.start(&format!(
            "{DEFAULTS}listen l\n bind @front@\n server s @dead@ check inter 100ms fall 1\n"
        ));
        eventually("the server is found dead", || {
            let started = std::time::Instant::now();
            let status = get(proxy.address("front"), "/").status;
            (status == 503 && started.elapsed() < Duration::from_millis(100)).then_some(())
        });
        get(proxy.address("front"), "/").transcript()
    });
}

#[test]
fn backups_serve_only_when_all_others_are_down() {
    both(|kind| {
        let origins = [Origin::echo("main"), Origin::echo("spare1"), Origin::echo("spare2")];
        let proxy = start(
            kind,
            &[&origins[0], &origins[1], &origins[2]],
            "listen l\n bind @front@\n default-server check inter 100ms fall 1 rise 1\n \
             server m @main@\n server s1 @spare1@ backup\n server s2 @spare2@ backup\n",
        );
        let mut lines: Vec<String> =
            (0..3).map(|_| get(proxy.address("front"), "/").sent_by()).collect();
        origins[0].stop();
        eventually("the spare serves", || {
            let answer = get(proxy.address("front"), "/");
            (answer.status == 200 && answer.sent_by() == "spare1").then_some(())
        });
        // The first backup alone takes over, unless `option allbackups` says otherwise.
        lines.extend((0..3).map(|_| get(proxy.address("front"), "/").sent_by()));
        lines
    });
}

#[test]
fn an_http_check_takes_out_a_server_that_answers_badly_and_takes_it_back() {
    both(|kind| {
        let ill = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&ill);
        let a = Origin::http("a", move |request, stream| {
            use std::io::Write;
            let bad = request.target == "/health" && state.load(Ordering::SeqCst);
            let status = if bad { "500 Ill" } else { "200 OK" };
            let body = "sent by a\n";
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())?;
            Ok(crate::support::Next::KeepAlive)
        });
        let b = Origin::echo("b");
        let proxy = start(
            kind,
            &[&a, &b],
            "listen l\n bind @front@\n balance roundrobin\n option httpchk GET /health\n \
             server a @a@ check inter 100ms fall 2 rise 2\n server b @b@\n",
        );
        let who = || get(proxy.address("front"), "/").sent_by();
        eventually("both serve", || (who() == "a" && who() == "b").then_some(()));
        ill.store(true, Ordering::SeqCst);
        eventually("only b serves", || (0..4).all(|_| who() == "b").then_some(()));
        ill.store(false, Ordering::SeqCst);
        eventually("a serves again", || (who() == "a").then_some(()));
        let mut checks = a.received().into_iter().filter(|r| r.target == "/health");
        let one = checks.next_back().unwrap().transcript();
        proxy.neutral(one)
    });
}

#[test]
fn a_cookie_of_a_dead_server_leads_to_another_one() {
    both(|kind| {
        let (a, b) = (Origin::echo("a"), Origin::echo("b"));
        let proxy = start(
            kind,
            &[&a, &b],
            "listen l\n bind @front@\n cookie S insert indirect nocache\n \
             server a @a@ cookie ca check inter 100ms fall 1\n server b @b@ cookie cb\n",
        );
        let visit = |value: &str| {
            Client::connect(proxy.address("front")).ask(format!(
                "GET / HTTP/1.1\r\nHost: a\r\nCookie: S={value}\r\nConnection: close\r\n\r\n"
            ))
        };
        let mut lines = visit("ca").transcript();
        a.stop();
        eventually("b takes over", || {
            let answer = visit("ca");
            (answer.status == 200 && answer.set_cookie("S").as_deref() == Some("cb")).then_some(())
        });
        lines.extend(visit("ca").transcript());
        lines
    });
}

#[test]
fn cookie_forms_agree_with_haproxy() {
    both(|kind| {
        let mut lines = Vec::new();
        for words in [
            "S insert",
            "S insert indirect",
            "S insert indirect nocache httponly secure",
            "S insert indirect domain example.org",
            "S insert postonly indirect",
            "S insert preserve indirect",
            "APP prefix",
            "APP rewrite",
        ] {
            let origin = Origin::with_headers("o", "Set-Cookie: APP=own; path=/\r\n");
            let proxy = start(
                kind,
                &[&origin],
                &format!("listen l\n bind @front@\n cookie {words}\n server s @o@ cookie c1\n"),
            );
            lines.push(format!("-- cookie {words}"));
            for fields in
                ["", "Cookie: S=c1; x=y\r\n", "Cookie: S=other\r\n", "Cookie: APP=c1~own\r\n"]
            {
                for method in ["GET", "POST"] {
                    let answer = Client::connect(proxy.address("front")).ask(format!(
                        "{method} / HTTP/1.1\r\nHost: a\r\n{fields}Content-Length: 0\r\n\r\n"
                    ));
                    lines.extend(answer.transcript());
                }
            }
            lines.extend(origin.transcript());
            lines = proxy.neutral(lines);
        }
        lines
    });
}

#[test]
fn a_refused_connection_is_tried_elsewhere() {
    both(|kind| {
        let b = Origin::echo("b");
        let setup = Setup::new(kind).origin(&b).address("dead", free_address()).listen("front");
        // Never checked: only the attempt itself finds out.
        let proxy = setup.start(&format!(
            "{DEFAULTS}listen l\n bind @front@\n balance roundrobin\n server a @dead@\n server b @b@\n"
        ));
        (0..4).map(|_| get(proxy.address("front"), "/").sent_by()).collect()
    });
}

#[test]
fn a_disabled_server_gets_nothing() {
    both(|kind| {
        let (a, b) = (Origin::echo("a"), Origin::echo("b"));
        let proxy = start(
            kind,
            &[&a, &b],
            "listen l\n bind @front@\n server a @a@ disabled\n server b @b@\n",
        );
        (0..4).map(|_| get(proxy.address("front"), "/").sent_by()).collect()
    });
}
