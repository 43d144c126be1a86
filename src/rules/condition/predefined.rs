//! The ACLs that exist without being declared (manual 7.4).

/// Name, the words behind it, and when it is true; sorted by name.
pub(super) const TABLE: &[(&str, &[&str], &str)] = &[
    ("FALSE", &["always_false"], "It is never true."),
    ("HTTP", &["req.proto_http"], "The request is HTTP."),
    ("HTTP_1.0", &["req.ver", "1.0"], "The request came with HTTP/1.0."),
    ("HTTP_1.1", &["req.ver", "1.1"], "The request came with HTTP/1.1."),
    ("HTTP_2.0", &["req.ver", "2.0"], "The request came with HTTP/2."),
    (
        "HTTP_CONTENT",
        &["req.hdr_val(content-length)", "gt", "0"],
        "The request has a Content-Length greater than 0.",
    ),
    ("HTTP_URL_ABS", &["url_reg", "^[^/:]*://"], "The request target has a scheme."),
    ("HTTP_URL_SLASH", &["url_beg", "/"], "The request target begins with a slash."),
    ("HTTP_URL_STAR", &["url", "*"], "The request target is an asterisk."),
    ("LOCALHOST", &["src", "127.0.0.1/8", "::1"], "The client is on this machine."),
    ("METH_CONNECT", &["method", "CONNECT"], "The method is CONNECT."),
    ("METH_DELETE", &["method", "DELETE"], "The method is DELETE."),
    ("METH_GET", &["method", "GET", "HEAD"], "The method is GET or HEAD."),
    ("METH_HEAD", &["method", "HEAD"], "The method is HEAD."),
    ("METH_OPTIONS", &["method", "OPTIONS"], "The method is OPTIONS."),
    ("METH_POST", &["method", "POST"], "The method is POST."),
    ("METH_PUT", &["method", "PUT"], "The method is PUT."),
    ("METH_TRACE", &["method", "TRACE"], "The method is TRACE."),
    ("RDP_COOKIE", &["req.rdp_cookie_cnt", "gt", "0"], "The client sent an RDP cookie."),
    ("REQ_CONTENT", &["req.len", "gt", "0"], "There is data from the client."),
    ("TRUE", &["always_true"], "It is always true."),
    ("WAIT_END", &["wait_end"], "There is nothing left to wait for."),
];

/// Returns name and words of a predefined ACL.
pub(super) fn find(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    let at = TABLE.binary_search_by(|(known, _, _)| (*known).cmp(name)).ok()?;
    Some((TABLE[at].0, TABLE[at].1))
}
