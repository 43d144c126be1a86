//! Name servers as the runtime CLI tells of them, and clients that do not wait for a name.

use crate::support::dns::{NameServer, Says};
use crate::support::{Client, Kind, Setup, command, eventually};
use std::net::{IpAddr, UdpSocket};

const DEFAULTS: &str =
    "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 5s\n";

#[test]
fn show_resolvers_tells_what_came_of_questions() {
    let home: IpAddr = "127.0.0.1".parse().unwrap();
    let dns = NameServer::start(&[
        ("site.example", Says::Addresses(vec![home])),
        ("closed.example", Says::Refused),
    ]);
    let proxy =
        Setup::new(Kind::Fastlb).listen("front").address("dns", dns.address()).start(&format!(
            "global\n stats socket @dir@/cli\n{DEFAULTS}\
         resolvers dns\n nameserver one @dns@\n timeout retry 2s\n resolve_retries 1\n\
         resolvers other\n nameserver x @dns@\n\
         frontend f\n bind @front@\n http-request do-resolve(txn.ip,dns,ipv4) path,field(2,/)\n \
         http-request return status 200\n"
        ));
    for name in ["site.example", "none.example", "closed.example"] {
        assert_eq!(Client::connect(proxy.address("front")).get(&format!("/{name}")).status, 200);
    }
    let cli = proxy.folder().join("cli");
    let text = command(&cli, "show resolvers dns");
    let counted = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(&format!("{name}:")));
        line.expect("a counter").trim().parse::<u64>().expect("a number")
    };
    assert!(text.starts_with("Resolvers section dns\n nameserver one:\n  sent:        "), "{text}");
    let seen = ["valid", "nx", "refused", "timeout"].map(counted);
    assert_eq!((seen, counted("sent")), ([1, 1, 2, 0], 4), "{text}");
    assert!(!text.contains("section other"), "{text}");
    assert_eq!(command(&cli, "show resolvers").matches("Resolvers section ").count(), 2);
    let unknown = "Can't find that resolvers section";
    assert_eq!(command(&cli, "show resolvers none").trim(), unknown);
}

#[test]
fn a_client_that_leaves_while_a_name_is_looked_up_is_noticed() {
    // Nobody answers there, and nobody says that the port is closed.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let log = UdpSocket::bind("127.0.0.1:0").unwrap();
    log.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    let proxy = Setup::new(Kind::Fastlb)
        .listen("front")
        .address("dns", silent.local_addr().unwrap())
        .address("log", log.local_addr().unwrap())
        .start(&format!(
            "global\n stats socket @dir@/cli\n{DEFAULTS} log @log@ local0\n log-format \"%ts %ST\"\n \
             option abortonclose\n\
             resolvers dns\n nameserver one @dns@\n timeout retry 30s\n\
             listen l\n bind @front@\n http-request do-resolve(txn.ip,dns,ipv4) str(site.example)\n \
             server s 127.0.0.1:1\n"
        ));
    let mut client = Client::connect(proxy.address("front"));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the question is asked", || silent.recv(&mut [0; 512]).ok());
    drop(client);
    let mut line = [0; 512];
    let count = log.recv(&mut line).expect("a line long before the question is given up");
    let line = String::from_utf8_lossy(&line[..count]).into_owned();
    assert!(line.trim_end().ends_with("CR -1"), "{line}");
}
