//! Log formats: what tags, flags and expressions write. Lines were compared with haproxy 2.6.

use crate::rules::Position;
use crate::rules::context::Termination;
use crate::rules::log_format::{CLF_LOG, CONNECT_LOG_HTTP, HTTP_LOG, LogFormat, TCP_LOG};
use crate::rules::testing::{Proxy, Stream};

fn served() -> Stream {
    let mut stream = Stream::of("GET /a%20b?q=\"x\"{y}#\u{e9}\nHost: h").answered("200\nServer: x");
    let record = &mut stream.record;
    record.idle_us = 7_000;
    record.request_us = 10_000;
    record.queue_us = 0;
    record.connect_us = 30_400;
    record.response_us = 69_900;
    record.total_us = 109_999;
    record.backend = Some(0);
    record.server = Some(1);
    record.status = 200;
    record.bytes_out = 2_750;
    record.bytes_in = 75;
    record.termination =
        Termination { cookie_request: b'N', cookie_response: b'I', ..Termination::default() };
    (record.connections, record.frontend_connections) = (4, 3);
    (record.backend_streams, record.server_streams) = (2, 1);
    record.server_address = Some("127.0.0.1:7802".parse().unwrap());
    record.server_local = Some("127.0.0.1:48552".parse().unwrap());
    record.request_counter = 12;
    stream
}

#[track_caller]
fn log(stream: &mut Stream, format: &str) -> String {
    let mut proxy = Proxy::at(Position::Log);
    let format = proxy.format(&format!("'{format}'")).unwrap();
    proxy.clean();
    stream.write(&format)
}

#[test]
fn the_formats_of_the_options_are_those_of_the_manual() {
    let mut stream = served();
    let local = log(&mut stream, "%tr");
    let builtin = |text| {
        let mut proxy = Proxy::at(Position::Log);
        let compiled =
            proxy.with("http-request x", |_, _, compiler| LogFormat::builtin(text, compiler));
        proxy.clean();
        compiled.into_iter().next().flatten().unwrap()
    };
    assert_eq!(
        stream.write(&builtin(HTTP_LOG)),
        format!(
            "192.168.1.7:50001 [{local}] www app/s2 10/0/30/69/109 200 2750 - - --NI 4/3/2/1/0 0/0 \
             \"GET /a%20b?q=#22x#22{{y}}#23#C3#A9 HTTP/1.1\""
        )
    );
    let accepted = log(&mut stream, "%t");
    assert_eq!(
        stream.write(&builtin(TCP_LOG)),
        format!("192.168.1.7:50001 [{accepted}] www app/s2 0/30/116 2750 -- 4/3/2/1/0 0/0")
    );
    assert_eq!(
        stream.write(&builtin(CLF_LOG)),
        "192.168.1.7 - - [06/Feb/2009:12:12:51 +0000] \"GET /a%20b?q=#22x#22{y}#23#C3#A9 HTTP/1.1\" 200 2750 \"\" \"\" \
         50001 443 \"www\" \"app\" \"s2\" 10 0 30 69 109 --NI 4 3 2 1 0 0 0 \"\" \"\" "
    );
    assert_eq!(
        stream.write(&builtin(CONNECT_LOG_HTTP)),
        "Connect from 192.168.1.7:50001 to 10.0.0.1:8080 (www/HTTP)"
    );
}

#[test]
fn addresses_and_numbers_have_a_hexadecimal_form() {
    let mut stream = served();
    assert_eq!(
        log(&mut stream, "%ci %cp %fi %fp %bi %bp %si %sp"),
        "192.168.1.7 50001 10.0.0.1 8080 127.0.0.1 48552 127.0.0.1 7802"
    );
    assert_eq!(
        log(&mut stream, "%{+X}ci|%{+X}cp|%{+X}Ts|%{+X}rt|%Ts"),
        "C0A80107|C351|498C2943|000C|1233922371"
    );
    assert_eq!(
        log(&mut stream, "%{+Q,+X}o %ci %si %ms %ts %ST %T"),
        "C0A80107 7F000001 1BB -- 200 06/Feb/2009:12:12:51 +0000"
    );
    stream.session.source = None;
    stream.record.server_address = None;
    assert_eq!(log(&mut stream, "%{+Q}si %{+Q}sp"), "\"\" \"\"");
    assert_eq!(log(&mut stream, "%ci|%cp|%si|%sp"), "unix|1|-|-");
    stream.session.source = Some("[2001:db8::1]:99".parse().unwrap());
    assert_eq!(log(&mut stream, "%ci|%{+X}ci"), "2001:db8::1|20010DB8000000000000000000000001");
    stream.session.source = Some("[::ffff:10.0.0.9]:99".parse().unwrap());
    assert_eq!(log(&mut stream, "%ci"), "10.0.0.9");
}

#[test]
fn request_tags_show_what_the_client_sent() {
    let mut stream = Stream::of("GET http://foo/be?q=1\nHost: foo");
    assert_eq!(
        log(&mut stream, "%HM|%HP|%HPO|%HQ|%HU|%HV|%r"),
        "GET|http://foo/be|/be|?q=1|http://foo/be?q=1|HTTP/1.1|GET http://foo/be?q=1 HTTP/1.1"
    );
    let mut stream = Stream::of("GET /x");
    stream.request.clear();
    assert_eq!(
        log(&mut stream, "<%r> <%HM|%HP|%HQ|%HU|%HV> %{+Q}r"),
        "<<BADREQ>> <<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>|<BADREQ>> \"<BADREQ>\""
    );
}

#[test]
fn a_stream_that_came_to_nothing_shows_what_was_not_reached() {
    let mut stream = Stream::of("GET /x");
    stream.record.request_us = 3_000;
    stream.record.total_us = 4_000;
    assert_eq!(
        log(&mut stream, "%TR/%Tw/%Tc/%Tr/%Ta/%Tt/%Tq/%Td/%Th/%Ti/%Tu %ST %b/%s %tsc %bi"),
        "3/-1/-1/-1/4/4/3/-1/0/0/4 -1 www/<NOSRV> ---- -"
    );
    stream.record.applet = Some("<STATS>");
    stream.record.partial = true;
    stream.record.retries = 2;
    stream.record.redispatched = true;
    assert_eq!(log(&mut stream, "%s %Ta %Tt %B %rc"), "<STATS> +4 +4 +0 +2");
}

#[test]
fn blanks_are_merged_and_empty_values_are_a_dash_in_logs_only() {
    let mut stream = served();
    assert_eq!(
        log(&mut stream, "  a   %hr  b %[str()] %ID %CC%{-M}CC. 100%%  "),
        "a b - - -. 100% "
    );
    assert_eq!(
        log(&mut stream, "%{+Q}o %CC %{-Q}ID %[str()] %{+Q}[src]"),
        "\"\" - \"\" \"192.168.1.7\""
    );
    let mut proxy = Proxy::new();
    let format = proxy.format("'  a   b%[str()]|%ID|%{+Q}ID|%s|%b|%ST|%Ta '").unwrap();
    proxy.clean();
    let mut request = Stream::of("GET /");
    assert_eq!(request.write(&format), "  a   b||\"\"|<NOSRV>|www|-1|0 ");
}

#[test]
fn flags_quote_and_escape_expressions() {
    let mut stream = Stream::of("GET /\nX: a \"b\\c]{d|e} #%");
    let text = "%[req.hdr(x)]|%{+Q}[req.hdr(x)]|%{+E}[req.hdr(x)]|%{+X}[int(10)]";
    let mut proxy = Proxy::new();
    let format = proxy.format(&format!("'{text}'")).unwrap();
    assert_eq!(
        stream.write(&format),
        "a \"b\\c]{d|e} #%|\"a \"b\\c]{d|e} #%\"|a \\\"b\\\\c\\]{d|e} #%|10"
    );
}

#[test]
fn dates_are_written_in_their_zone() {
    let mut stream = served();
    assert_eq!(
        log(&mut stream, "%T|%trg|%ms"),
        "06/Feb/2009:12:12:51 +0000|06/Feb/2009:12:12:51 +0000|443"
    );
    // The zone of the machine is not known here, so only the form is checked.
    let local = log(&mut stream, "%t %Tl %tr %trl");
    assert_eq!(local.len(), "06/Feb/2009:12:12:51.443 06/Feb/2009:12:12:51 +0000 ".len() * 2 - 1);
    assert!(local.contains(".443 ") && local.contains(".450 "), "{local}");
}

#[test]
fn a_counter_counts_the_lines_of_its_format() {
    let mut stream = served();
    let mut proxy = Proxy::at(Position::Log);
    let format = proxy.format("%lc").unwrap();
    assert_eq!([stream.write(&format), stream.write(&format)], ["0", "1"]);
}

#[test]
fn a_tcp_proxy_has_no_status_and_no_http_tags() {
    let mut proxy = Proxy { http: false, ..Proxy::at(Position::Log) };
    let format = proxy.format("%ST").unwrap();
    assert_eq!(served().write(&format), "0");
    assert!(proxy.format("%HM").is_none());
    assert!(proxy.take().contains("not in `mode http`"));
}

#[test]
fn constant_text_is_known_to_be_constant() {
    let mut proxy = Proxy::new();
    assert_eq!(proxy.format("app").unwrap().literal(), Some(&b"app"[..]));
    assert_eq!(proxy.format("a%%b").unwrap().literal(), Some(&b"a%b"[..]));
    assert_eq!(proxy.format("a%ci").unwrap().literal(), None);
}

#[test]
fn json_makes_an_object_of_the_named_items_and_leaves_the_rest_out() {
    let mut stream = served();
    assert_eq!(
        log(
            &mut stream,
            "%{+json}o %[int(4)] test %(named_field)[str(ok)] %(status)ST %(t:str)Tr %(b)[bool(true)] \
             %(nothing)[req.hdr(x-none)] %(r)r %(ip)ci %(si)si"
        ),
        "{\"named_field\": \"ok\", \"status\": 200, \"t\": \"69\", \"b\": true, \"nothing\": null, \
         \"r\": \"GET /a%20b?q=\\\"x\\\"{y}#\u{e9} HTTP/1.1\", \"ip\": \"192.168.1.7\", \"si\": \"127.0.0.1\"}"
    );
    stream.record.partial = true;
    assert_eq!(log(&mut stream, "%{+json}o %(bytes)B"), "{\"bytes\": 2750}");
}

#[test]
fn cbor_is_a_map_of_the_named_items_in_hexadecimal() {
    let mut stream = served();
    assert_eq!(
        log(&mut stream, "%{+cbor}o %[int(4)] test %(named_field)[str(ok)]"),
        "BF6B6E616D65645F6669656C64626F6BFF"
    );
    // RFC 8949 appendix A: 10, 1000000, -1, -1000, false, null, "".
    assert_eq!(
        log(
            &mut stream,
            "%{+cbor}o %(a)[int(10)] %(b)[int(1000000)] %(c)[int(-1)] %(d)[int(-1000)] %(e)[bool(false)] \
             %(f)[req.hdr(none)]"
        ),
        "BF61610A61621A000F42406163206164 3903E76165F46166F6FF".replace(' ', "")
    );
}

#[test]
fn an_encoding_of_one_item_encodes_its_value_alone() {
    let mut stream = served();
    assert_eq!(log(&mut stream, "a %{+cbor}[bool(true)] b"), "a F5 b");
    assert_eq!(log(&mut stream, "{k: %(n){+json}[str(x y)]}"), "{k: \"x y\"}");
    assert_eq!(log(&mut stream, "%(n:bool)[int(7)] %(n)[int(7)] %(:int)[str(12x)]"), "1 7 12");
}

#[test]
fn binary_cbor_is_written_as_it_is() {
    let mut stream = served();
    let mut proxy = Proxy::at(Position::Log);
    let format = proxy.format("'%{+cbor,+bin}o %(s)ST'").unwrap();
    proxy.clean();
    let mut out = Vec::new();
    stream.write_bytes(&format, &mut out);
    assert_eq!(out, b"\xbf\x61s\x18\xc8\xff");
}
