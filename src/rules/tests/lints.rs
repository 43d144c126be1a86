//! What is legal and still wrong.

use crate::rules::pattern::Method;
use crate::rules::testing::Proxy;

#[test]
fn an_acl_that_no_condition_uses_is_a_warning() {
    let mut proxy = Proxy::new();
    proxy.acls("acl used path_beg /a\nacl idle path_beg /b\nacl idle path_end c");
    proxy.condition("if used");
    proxy.clean();
    proxy.with("http-request x", |_, acls, compiler| acls.finish(compiler));
    assert_eq!(proxy.findings.len(), 1);
    assert!(proxy.take().contains("the ACL `idle` is never used"));
}

#[test]
fn a_pattern_that_can_never_match_is_a_warning() {
    let mut proxy = Proxy::new();
    for (line, want) in [
        (
            "acl a path_beg admin",
            "the pattern `admin` can never match: a path begins with `/` | help: did you mean `/admin`?",
        ),
        (
            "acl a path /a?b",
            "the pattern `/a?b` can never match: a path ends before `?` | help: use `pathq` to look at path and query",
        ),
        (
            "acl a method get",
            "the pattern `get` can never match: methods are written in upper case, and `-i` does not change that | help: did you mean `GET`?",
        ),
        (
            "acl a path,lower -m beg /Api",
            "the pattern `/Api` can never match: `lower` leaves no upper case | help: write `/api`",
        ),
        (
            "acl a hdr(accept) a,b",
            "the pattern `a,b` can never match: values are cut at commas | help: use `req.fhdr` to look at the whole field",
        ),
        (
            "acl a hdr(host) https://x",
            "the pattern `https://x` can never match: the Host field holds a name and a port, no scheme and no path",
        ),
        ("acl a path_dir /", "the pattern `/` can never match: it consists of delimiters only"),
        (
            "acl a src 10/8",
            "the pattern `10/8` can never match: it means 0.0.0.10/8 | help: did you mean `10.0.0.0/8`?",
        ),
        (
            "acl a path_beg",
            "`path_beg` is compared with nothing: it can never match | help: write one or more values behind it, or `-m found` to test that it exists",
        ),
        ("acl a always_true 1", "`-m bool` takes no patterns: `1` is ignored"),
    ] {
        proxy.acls(line);
        let findings = proxy.take();
        assert!(findings.starts_with("warning at "), "{findings}");
        assert!(findings.ends_with(want), "{findings}");
    }
    for fine in [
        "acl a path_beg /admin /b",
        "acl a path_end .html",
        "acl a hdr(host) -i Example.com",
        "acl a path,lower -i -m beg /Api",
        "acl a src 10.0.0.0/8 ::1 0.0.0.0/0",
        "acl a path_sub ..",
    ] {
        proxy.acls(fine);
        proxy.clean();
    }
}

#[test]
fn a_method_that_a_converter_switches_off_is_a_warning() {
    let mut proxy = Proxy::new();
    proxy.acls("acl a path_beg,lower /a");
    assert_eq!(
        proxy.take(),
        "warning at `path_beg`: behind a converter, `_beg` counts no more: values are compared with `-m str` | help: write `-m beg` behind `path_beg,lower` to say which is meant"
    );
    proxy.acls("acl b path_beg,lower -m beg /a");
    proxy.clean();
}

#[track_caller]
fn subset(narrow: &str, wide: &str, is: bool) {
    let mut proxy = Proxy::new();
    proxy.acls("acl api path_beg /api\nacl host hdr(host) a.com\nacl both path_beg /api\nacl both path_end .js");
    let narrow_condition = proxy.condition(narrow).unwrap();
    let wide_condition = proxy.condition(wide).unwrap();
    proxy.clean();
    assert_eq!(narrow_condition.is_subset_of(&wide_condition), is, "{narrow} in {wide}");
}

#[test]
fn a_condition_is_part_of_another_when_each_alternative_implies_one_of_its() {
    subset("if api", "if api", true);
    subset("if api host", "if api", true);
    subset("if api", "if api host", false);
    subset("if api", "if api or host", true);
    subset("if api or host", "if api", false);
    subset("if api or host", "if host or api", true);
    subset("if api", "if both", true);
    subset("if both", "if api", false);
    subset("if { path_beg /api }", "if api", true);
    subset("if { path_beg /api/v1 }", "if api", true);
    subset("if { path /api/v1 }", "if api", true);
    subset("if { path_beg /ap }", "if api", false);
    subset("if { path_beg -i /api }", "if api", false);
    subset("if api", "if { path_beg -i /API }", true);
    subset("if { path_end .min.js }", "if { path_end .js }", true);
    subset("if { path_beg /x/api }", "if { path_sub api }", true);
    subset("if { hdr(host) a.com b.com }", "if host", false);
    subset("if host", "if { hdr(host) a.com b.com }", true);
    subset("if { hdr(host) a.com }", "if { hdr(origin) a.com }", false);
    subset("if host", "if { hdr(host) -m found }", true);
    subset("if { dst_port 80 }", "if { dst_port 80 }", true);
    subset("if { dst_port 80 }", "if { dst_port 80:90 }", false);
    subset("if { path_beg -f list }", "if { path_beg /a }", false);
    subset("if !api", "if !host", false);
    subset("if !api !host", "if !api", true);
    subset("if !api", "if !{ path_beg /api/v1 }", true);
    subset("if !{ path_beg /api/v1 }", "if !api", false);
    subset("unless api", "if !api", true);
    subset("if !api", "unless api", true);
    subset("unless api or host", "unless api", true);
    subset("unless api host", "unless api", false);
    subset("unless api host", "if !api or !host", true);
    subset("unless api host or both", "unless api host or both", true);
    subset("if api", "if TRUE", true);
    subset("if api", "unless FALSE", true);
    subset("if api", "if FALSE", false);
}

#[test]
fn only_a_condition_without_any_exception_is_always_true() {
    let mut proxy = Proxy::new();
    for (text, is) in [
        ("if TRUE", true),
        ("if !FALSE", true),
        ("unless FALSE", true),
        ("unless FALSE or FALSE", true),
        ("unless FALSE METH_GET", true),
        ("if METH_GET or TRUE", true),
        ("if TRUE METH_GET", false),
        ("if FALSE", false),
        ("unless TRUE", false),
        ("unless FALSE or METH_GET", false),
    ] {
        assert_eq!(proxy.condition(text).unwrap().is_always(), is, "{text}");
    }
}

#[test]
fn raw_paths_are_those_whose_match_makes_the_condition_hold() {
    let mut proxy = Proxy::new();
    let patterns = |proxy: &mut Proxy, text: &str| -> Vec<String> {
        let condition = proxy.condition(text).unwrap();
        let paths = condition.raw_path_patterns();
        paths.iter().map(|path| format!("{} {}", path.method.name(), path.pattern)).collect()
    };
    assert_eq!(
        patterns(&mut proxy, "if { path_beg /admin /x } or { url_dir y }"),
        ["beg /admin", "beg /x", "dir y"]
    );
    assert_eq!(patterns(&mut proxy, "if { path,lower -m beg /admin }"), ["beg /admin"]);
    assert_eq!(patterns(&mut proxy, "unless !{ path /admin }"), ["str /admin"]);
    assert_eq!(patterns(&mut proxy, "if !{ path_beg /public }"), Vec::<String>::new());
    assert_eq!(patterns(&mut proxy, "if { path,url_dec -m beg /admin }"), Vec::<String>::new());
    assert_eq!(patterns(&mut proxy, "if { src 10.0.0.1 }"), Vec::<String>::new());
    assert_eq!(
        Method::ALL.iter().filter(|(name, method)| method.name() == *name).count(),
        Method::ALL.len()
    );
}
