//! What a head became, and which list a rule is of.

use super::*;

fn received(head: &str, fields: &[(&str, &str)]) -> Received {
    let bytes = |text: &str| text.as_bytes().to_vec();
    let fields = fields.iter().map(|(n, v)| (bytes(n), bytes(v))).collect();
    Received { head: bytes(head), fields }
}

#[test]
fn lines_that_the_client_did_not_send_are_new_and_fields_that_the_server_does_not_get_are_gone() {
    let came =
        received("GET /a HTTP/1.1\r\nHost: h\r\nX-A: 1\r\n\r\n", &[("Host", "h"), ("X-A", "1")]);
    let sent = Sent::new(b"GET /b HTTP/1.1\r\nhost: h\r\nx-b: 2\r\n\r\nbody", 4, &came);
    let lines: Vec<String> = sent
        .lines
        .iter()
        .map(|l| format!("{}{}", if l.is_new { "+" } else { " " }, l.text))
        .collect();
    assert_eq!(lines, ["+GET /b HTTP/1.1", " host: h", "+x-b: 2"]);
    assert_eq!(sent.removed, [("X-A".to_owned(), "1".to_owned())]);
}

#[test]
fn the_status_of_an_answer_is_read_from_its_first_line() {
    assert_eq!(status_of(b"HTTP/1.1 403 Forbidden\r\n\r\n"), 403);
    assert_eq!(status_of(b"nothing"), 0);
}

#[test]
fn an_ended_request_list_keeps_redirects_from_being_run() {
    assert!(same_list("http-request", "redirect"));
    assert!(!same_list("use_backend", "http-request"));
}
