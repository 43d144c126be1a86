//! Rules: what a typical frontend evaluates for one request, and what each kind of ACL costs by itself.

use std::hint::black_box;

use fastlb::proto::h1::parse::{Limits, request};
use fastlb::rules::action::{Verdict, run};

use super::proto::BROWSER;
use super::stream::Stream;
use super::{Case, Op, Steps};

/// Ten ACLs in ten rules with conditions (six refusals, four `use_backend`), and three edits of headers. A browser's
/// request passes all of them but the last.
pub(crate) const TYPICAL: &str = "
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    log 127.0.0.1:514 local0
    option httplog
frontend www
    bind 127.0.0.1:8080
    acl inside src 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16
    acl admin path_beg /admin /manage
    acl robot hdr_sub(user-agent) -i curl wget python scrapy
    acl upload method POST PUT
    acl api path_beg /api/ /v1/ /v2/
    acl hidden path_sub /.git /.env /wp-admin
    acl static path_end .css .js .png .jpg .gif .svg .ico .woff2
    acl shop_host hdr(host) -i www.example.com shop.example.com
    acl item path_reg ^/shop/item/[0-9]+$
    acl member req.cook(session) -m found
    http-request deny if admin !inside
    http-request deny if robot !inside
    http-request deny if upload !api
    http-request deny if hidden
    http-request deny if api robot
    http-request deny unless shop_host
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Client %[src]
    http-request del-header Sec-Fetch-Mode
    use_backend static if static
    use_backend api if api
    use_backend admin if admin inside
    use_backend items if shop_host item member
    default_backend app
backend app
    balance roundrobin
    server a1 127.0.0.1:9001 maxconn 100
backend static
    server s1 127.0.0.1:9002
backend api
    server p1 127.0.0.1:9003
backend admin
    server m1 127.0.0.1:9004
backend items
    balance leastconn
    server i1 127.0.0.1:9005 maxconn 100
    server i2 127.0.0.1:9006 maxconn 100
    server i3 127.0.0.1:9007 maxconn 100
    server i4 127.0.0.1:9008 maxconn 100
";

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("rules/10 acls, 3 edits/browser", typical),
        case("rules/http-request alone/browser", || rules("", TYPICAL)),
        case("rules/use_backend alone/browser", choose),
        case("rules/acl/src, 3 networks", || acl("src 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16")),
        case("rules/acl/method", || acl("method POST PUT")),
        case("rules/acl/path_beg, 3 patterns", || acl("path_beg /api/ /v1/ /v2/")),
        case("rules/acl/path_end, 8 patterns", || {
            acl("path_end .css .js .png .jpg .gif .svg .ico .woff2")
        }),
        case("rules/acl/path_sub, 3 patterns", || acl("path_sub /.git /.env /wp-admin")),
        case("rules/acl/path_reg", || acl("path_reg ^/shop/item/[0-9]+$")),
        case("rules/acl/hdr(host) -i", || acl("hdr(host) -i shop.example.com example.com")),
        case("rules/acl/hdr_sub(user-agent) -i", || {
            acl("hdr_sub(user-agent) -i curl wget python scrapy")
        }),
        case("rules/acl/req.cook -m found", || acl("req.cook(session) -m found")),
        case("rules/10 set-header if path_beg", || many(10, "path_beg /n@")),
        case("rules/100 set-header if path_beg", || many(100, "path_beg /n@")),
        case("rules/1000 set-header if path_beg", || many(1000, "path_beg /n@")),
        case("rules/100 set-header if two tests in turn", || many(50, TWO)),
        case("rules/1000 use_backend if hdr(host) -i", || hosts(1000)),
        case("rules/edit/set-header constant", || edit("set-header X-Forwarded-Proto https")),
        case("rules/edit/set-header %[src]", || edit("set-header X-Client %[src]")),
        case("rules/edit/del-header", || edit("del-header Sec-Fetch-Mode")),
    ]
}

/// The whole frontend: its `http-request` rules, then its `use_backend` rules.
fn typical() -> Box<dyn Op> {
    let mut stream = Stream::new(TYPICAL, BROWSER);
    let items = stream.plan.backend("items");
    assert_eq!(stream.choose_backend(), items, "the last rule is the one that holds");
    Box::new(Steps {
        state: stream,
        prepare: start_over,
        run: |stream: &mut Stream| {
            let verdict = stream.evaluate(|www, context| run(&www.http_request, context));
            assert!(matches!(verdict, Verdict::Continue));
            black_box(stream.choose_backend());
        },
    })
}

fn choose() -> Box<dyn Op> {
    Box::new(Steps {
        state: Stream::new(TYPICAL, BROWSER),
        prepare: |_: &mut Stream| (),
        run: |stream: &mut Stream| {
            black_box(stream.choose_backend());
        },
    })
}

/// One ACL in a rule whose condition does not hold, so that every pattern is tried.
fn acl(test: &str) -> Box<dyn Op> {
    rules(&format!("http-request deny if {{ {test} }} {{ always_false }}"), "")
}

/// Two rules whose tests differ, so that no two neighbours begin with the same one.
const TWO: &str = "path_beg /n@ }\n http-request set-header X-n@ b if { req.hdr(x-n@) -m str a";

/// So many edits of which no condition holds; `@` stands for the number.
fn many(count: u32, test: &str) -> Box<dyn Op> {
    let line = |number: u32| {
        let test = test.replace('@', &number.to_string());
        format!("http-request set-header X-n{number} v if {{ {test} }}\n ")
    };
    rules(&(0..count).map(line).collect::<String>(), "")
}

/// So many `use_backend` of which none holds.
fn hosts(count: u32) -> Box<dyn Op> {
    let line = |n: u32| format!("use_backend app if {{ hdr(host) -i h{n}.example.com }}\n ");
    let lines: String = (0..count).map(line).collect();
    let config = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend www\n bind 127.0.0.1:8080\n {lines}\n default_backend app\n\
         backend app\n server a1 127.0.0.1:9001\n"
    );
    Box::new(Steps {
        state: Stream::new(&config, BROWSER),
        prepare: |_: &mut Stream| (),
        run: |stream: &mut Stream| {
            black_box(stream.choose_backend());
        },
    })
}

/// One edit in a rule without condition.
fn edit(rule: &str) -> Box<dyn Op> {
    rules(&format!("http-request {rule}"), "")
}

/// The `http-request` rules of a frontend: of a configuration, or of one line.
fn rules(line: &str, config: &str) -> Box<dyn Op> {
    let one = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend www\n bind 127.0.0.1:8080\n {line}\n default_backend app\n\
         backend app\n server a1 127.0.0.1:9001\n"
    );
    Box::new(Steps {
        state: Stream::new(if config.is_empty() { &one } else { config }, BROWSER),
        prepare: start_over,
        run: |stream: &mut Stream| {
            black_box(stream.evaluate(|www, context| run(&www.http_request, context)));
        },
    })
}

/// Receives and parses the request anew, because rules have edited it.
fn start_over(stream: &mut Stream) {
    stream.receive(BROWSER);
    let _ = request(&mut stream.request, &Limits::default());
}
