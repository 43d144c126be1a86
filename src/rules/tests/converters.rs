//! Arguments of converters: what is wrong is said at the place of the argument.

use crate::rules::testing::{Proxy, Stream};

#[track_caller]
fn wrong(expression: &str, finding: &str) {
    let mut proxy = Proxy::new();
    let quoted = format!("'{expression}'");
    assert!(proxy.expression(&quoted).is_none(), "{expression}");
    assert_eq!(proxy.take(), format!("error at {finding}"), "{expression}");
}

#[test]
fn wrong_arguments_are_pointed_at() {
    wrong(
        "path,digest(md5)",
        "`md5`: the digest `md5` is not offered: expected one of `sha1`, `sha224`, `sha256`, `sha384`, `sha512`, `sha512-256`, `sha3-256`, `sha3-384`, `sha3-512`",
    );
    wrong("path,sha2(257)", "`257`: SHA-2 has no 257 bits: expected 224, 256, 384 or 512");
    wrong("path,hmac(sha256,%%%)", "`%%%`: the key is not base64");
    wrong(
        "path,aes_gcm_dec(128,MDEyMzQ1Njc4OWFi,MDEy,MDEy)",
        "`MDEy`: the key has 24 bits: expected 128",
    );
    wrong(
        "path,aes_cbc_enc(129,MDEy,MDEy)",
        "`129`: AES has no keys of 129 bits: expected 128, 192 or 256",
    );
    wrong("path,xxh3(x)", "`x`: bad argument `x` | expected a number");
    wrong("path,json_query(a)", "`a`: a JSON path begins with `$`");
    wrong(
        "path,json_query($,str)",
        "`str`: unexpected argument `str` | help: expected one of `int`",
    );
    wrong("path,protobuf(1.x)", "`1.x`: `x` is no field number: expected such as `1` or `48.59.1`");
    wrong(
        "path,fix_tag_value(Tag)",
        "`Tag`: unknown tag `Tag`: expected a number or one of `BeginString`, `BodyLength`, `CheckSum`, `MsgType`, `SenderCompID`, `TargetCompID`",
    );
    wrong(
        "path,mqtt_field_value(publish,flags)",
        "`publish`: unknown packet type `publish`: expected `connect` or `connack`",
    );
    wrong("path,param(x,ab)", "`ab`: the delimiter is one character");
    wrong("path,add_item(-,,)", "``: without a variable there must be a suffix to append");
    wrong("path,jwt_verify(RS256,none)", "`none`: cannot read the key file `none`: no such file");
    wrong(
        "path,jwt_verify(ES256,key.pem)",
        "`key.pem`: the key in `key.pem` cannot verify ES256 signatures",
    );
    wrong(
        "path,jwt_verify(RS256,nets)",
        "`nets`: `nets` holds no public key and no certificate in PEM form",
    );
}

#[test]
fn a_database_says_what_it_knows_of_an_address() {
    let get = |expression: &str, client: &str| {
        let mut proxy = Proxy::new();
        let expression = proxy.expression(&format!("'{expression}'")).unwrap();
        proxy.clean();
        let mut stream = Stream::of("GET /");
        stream.session.source = Some(format!("{client}:50001").parse().unwrap());
        stream.eval(&expression)
    };
    for (expression, client, expected) in [
        ("src,mmdb(country.mmdb,country.iso_code)", "10.1.2.3", Some("AA")),
        ("src,mmdb(country.mmdb,country.iso_code),lower", "10.1.2.3", Some("aa")),
        ("src,mmdb(country.mmdb,asn)", "10.1.2.3", Some("64500")),
        ("src,mmdb(country.mmdb,asn),add(1)", "10.1.2.3", Some("64501")),
        ("src,mmdb(country.mmdb,anycast)", "10.1.2.3", Some("1")),
        ("src,mmdb(country.mmdb,country.iso_code)", "11.1.2.3", None),
    ] {
        assert_eq!(get(expression, client).as_deref(), expected, "{expression} {client}");
    }
}

#[test]
fn wrong_databases_and_paths_are_pointed_at() {
    wrong(
        "src,mmdb(country.mmdb)",
        "`mmdb(country.mmdb)`: `mmdb` needs 2 arguments | expected text in parentheses",
    );
    wrong(
        "src,mmdb(country.mmdb,a..b)",
        "`a..b`: `a..b` is no path into a record | help: expected names with dots between: `country.iso_code`",
    );
    wrong("src,mmdb(none,a)", "`none`: cannot use the database `none`: no such file");
    wrong(
        "src,mmdb(nets,a)",
        "`nets`: cannot use the database `nets`: it is no MaxMind database: there is no description at its end",
    );
    let mut proxy = Proxy::new();
    assert!(proxy.expression("src,mmdb(country.mmdb,contry.iso_code)").is_some());
    assert_eq!(
        proxy.take(),
        "warning at `contry.iso_code`: `country.mmdb` (Test-Country) has no `contry.iso_code` in the records looked at | help: did you mean `country`?"
    );
}

#[test]
fn wrong_lines_of_maps_are_named() {
    wrong(
        "src,map_ip(bad-nets)",
        "`bad-nets`: bad pattern `10.0.0.300`: expected an address or a network such as `10.0.0.0/8` or `2001:db8::/32`, at bad-nets:3:1",
    );
    wrong(
        "src,map_ip_int(bad-nets)",
        "`bad-nets`: bad value `a`: expected a number, at bad-nets:2:12",
    );
    wrong("path,map(nope)", "`nope`: cannot read the map file `nope`: no such file");
    wrong("path,map_str_int(map,x)", "`x`: `x` is no default for such a map");
    wrong("path,map()", "`map()`: `map` needs an argument | expected text in parentheses");
}

#[test]
fn flags_of_acls_are_checked() {
    let mut proxy = Proxy::new();
    assert!(proxy.condition("if { src -u x 10.0.0.0/8 }").is_none());
    assert_eq!(proxy.take(), "error at `x`: `-u` takes a number, not `x`");
    let mut stream = Stream::of("GET /A");
    for (test, holds) in [
        ("{ path -i -f list }", true),
        ("{ path -f list -i /zz }", false),
        ("{ path -n -f list -f map /A }", true),
        ("{ path -m sub -f list -- -i }", false),
        ("{ path -M -i -f map }", true),
        ("{ path -f virt@nothing /A }", true),
        ("{ path -f opt@nothing }", false),
        ("{ src -u 7 -f nets -- 192.168.1.7 }", true),
    ] {
        let condition = proxy.condition(&format!("if {test}"));
        proxy.clean();
        assert_eq!(condition.unwrap().holds(&stream.cx()), holds, "{test}");
    }
}

#[test]
fn a_token_is_verified_with_what_variables_hold() {
    let token = include_str!("../../../tests/expressions/jwt.txt")
        .lines()
        .find_map(|line| line.strip_prefix("str(")?.split_once("),jwt_verify(RS256,"))
        .map(|(token, _)| token)
        .unwrap();
    let mut proxy = Proxy::new();
    let mut stream = Stream::of(&format!("GET /\nX-T: {token}"));
    let mut value = |text: &str| {
        let expression = proxy.expression(&format!("'{text}'")).unwrap();
        stream.eval(&expression)
    };
    for (algorithm, result) in [
        ("RS256", "1"),
        ("RS384", "0"),
        ("ES256", "-5"),
        ("HS256", "-5"),
        ("none", "-5"),
        ("x", "-1"),
    ] {
        value(&format!("str({algorithm}),set-var(txn.alg)"));
        let found = value("req.hdr(x-t),jwt_verify(txn.alg,key.pem)");
        assert_eq!(found.as_deref(), Some(result), "{algorithm}");
    }
    // What a variable holds is a secret, and no algorithm of public keys takes one.
    value("str(HS256),set-var(txn.alg)");
    value("str(secret),set-var(txn.key)");
    assert_eq!(value("req.hdr(x-t),jwt_verify(txn.alg,txn.key)").as_deref(), Some("0"));
    assert_eq!(value("req.hdr(x-t),jwt_verify(RS256,txn.key)").as_deref(), Some("-5"));
}

#[test]
fn a_value_passes_when_the_stream_is_of_that_kind() {
    let mut proxy = Proxy::new();
    let mut value = |stream: &mut Stream, condition: &str| {
        let expression = proxy.expression(&format!("'path,when({condition})'")).unwrap();
        stream.eval(&expression).is_some()
    };
    let mut stream = Stream::of("GET /");
    let all = ["error", "forwarded", "normal", "processed", "toapplet", "!error", "!toapplet"];
    let mut holding = |stream: &mut Stream| -> Vec<&str> {
        all.into_iter().filter(|condition| value(stream, condition)).collect()
    };
    assert_eq!(holding(&mut stream), ["normal", "!error", "!toapplet"]);
    stream.record.server = Some(0);
    stream.record.termination.cause = b'S';
    assert_eq!(holding(&mut stream), ["error", "forwarded", "processed", "!toapplet"]);
    stream.record.server = None;
    stream.record.termination.cause = b'-';
    stream.record.applet = Some("<STATS>");
    assert_eq!(holding(&mut stream), ["normal", "processed", "toapplet", "!error"]);
    wrong("path,when(acl)", "`acl`: the condition `acl` is not supported yet");
    wrong(
        "path,when(errors)",
        "`errors`: unknown condition `errors`: expected one of `error`, `forwarded`, `normal`, `processed`, `toapplet`",
    );
}
