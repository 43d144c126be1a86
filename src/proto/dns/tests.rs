//! Answers that are right, odd and hostile.

use super::*;
use crate::stdx::rand::Rng;

fn name(text: &str) -> Name {
    Name::parse(text.as_bytes()).unwrap()
}

/// An answer to the question for `www.example`, with `count` records that `records` holds.
fn message(flags: u16, count: u16, records: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34];
    bytes.extend(flags.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(count.to_be_bytes());
    bytes.extend([0, 0, 0, 0]);
    bytes.extend(b"\x03www\x07example\x00\x00\x01\x00\x01");
    bytes.extend(records);
    bytes
}

/// A record whose owner is `owner` as it stands on the wire.
fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.to_vec();
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(ttl.to_be_bytes());
    bytes.extend((data.len() as u16).to_be_bytes());
    bytes.extend(data);
    bytes
}

fn read(bytes: &[u8]) -> Option<Reply> {
    answer(bytes, 0x1234, &name("www.example"), Kind::A)
}

/// Where the name of the question stands.
const QUESTION: &[u8] = &[0xc0, 12];
const OK: u16 = 0x8180;

#[test]
fn a_question_has_its_name_in_labels_and_the_size_of_answers() {
    let mut out = Vec::new();
    query(0x1234, &name("Www.Example."), Kind::Aaaa, 1232, &mut out);
    let mut expected = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01".to_vec();
    expected.extend(b"\x03www\x07example\x00\x00\x1c\x00\x01");
    expected.extend(b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00");
    assert_eq!(out, expected);
}

#[test]
fn names_are_host_names() {
    for good in ["a", "A.b", "a.b.", "xn--bcher-kva.example", "_dns.x", &"a".repeat(63)] {
        assert!(Name::parse(good.as_bytes()).is_some(), "{good}");
    }
    let long = "abcdefghi.".repeat(26);
    for bad in ["", ".", "a..b", ".a", "a b", "a\0b", "a/b", "b\u{fc}cher", &"a".repeat(64), &long]
    {
        assert!(Name::parse(bad.as_bytes()).is_none(), "{bad}");
    }
}

#[test]
fn addresses_come_with_the_least_lifetime_of_their_chain() {
    let mut records = record(QUESTION, TYPE_CNAME, 60, b"\x03web\xc0\x10");
    // `web.example`, compressed against the question's second label.
    records.extend(record(b"\x03web\xc0\x10", TYPE_A, 300, &[192, 0, 2, 1]));
    records.extend(record(b"\x03WEB\xc0\x10", TYPE_A, 20, &[192, 0, 2, 2]));
    records.extend(record(b"\x05other\x00", TYPE_A, 1, &[192, 0, 2, 3]));
    let ips = vec!["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
    assert_eq!(read(&message(OK, 4, &records)), Some(Reply::Addresses(ips, 20)));
}

#[test]
fn aliases_in_a_circle_end_without_addresses() {
    let mut records = record(QUESTION, TYPE_CNAME, 60, b"\x01b\x00");
    records.extend(record(b"\x01b\x00", TYPE_CNAME, 60, QUESTION));
    assert_eq!(read(&message(OK, 2, &records)), Some(Reply::Empty));
}

#[test]
fn the_code_of_an_answer_is_told() {
    let code = |code: u16| read(&message(OK | code, 0, b""));
    assert_eq!(code(0), Some(Reply::Empty));
    assert_eq!(code(2), Some(Reply::Failed));
    assert_eq!(code(3), Some(Reply::NoSuchName));
    assert_eq!(code(5), Some(Reply::Refused));
    assert_eq!(code(0x0200), Some(Reply::Truncated));
}

#[test]
fn answers_to_something_else_are_none() {
    let good = message(OK, 0, b"");
    assert!(read(&good).is_some());
    assert_eq!(answer(&good, 0x1235, &name("www.example"), Kind::A), None);
    assert_eq!(answer(&good, 0x1234, &name("www.example.org"), Kind::A), None);
    assert_eq!(answer(&good, 0x1234, &name("www.example"), Kind::Aaaa), None);
    // A question is no answer, nor is a message with two questions.
    assert_eq!(read(&message(0x0100, 0, b"")), None);
    let mut two = good.clone();
    two[5] = 2;
    assert_eq!(read(&two), None);
}

#[test]
fn records_beyond_the_end_make_the_answer_malformed() {
    let whole = message(OK, 1, &record(QUESTION, TYPE_A, 60, &[192, 0, 2, 1]));
    assert!(read(&whole).is_some());
    for len in 0..whole.len() {
        assert_eq!(read(&whole[..len]), None, "{len}");
    }
    let short = record(QUESTION, TYPE_A, 60, &[192, 0, 2]);
    assert_eq!(read(&message(OK, 1, &short)), None);
}

#[test]
fn compression_pointers_only_point_backwards() {
    let at = message(OK, 1, b"").len() as u8;
    for pointer in [[0xc0, at], [0xc0, at + 1], [0xff, 0xff], [0xc0, 0], [0xc0, 11]] {
        assert_eq!(read(&message(OK, 1, &record(&pointer, TYPE_A, 1, &[1, 2, 3, 4]))), None);
    }
    // A name that ends in a pointer to itself.
    let owner = [1, b'a', 0xc0, at];
    assert_eq!(read(&message(OK, 1, &record(&owner, TYPE_A, 1, &[1, 2, 3, 4]))), None);
    // The two kinds of labels that no longer exist.
    for head in [0x40, 0x80] {
        assert_eq!(read(&message(OK, 1, &record(&[head, 0], TYPE_A, 1, &[1, 2, 3, 4]))), None);
    }
}

#[test]
fn names_that_grow_by_compression_are_bounded() {
    // Each name is 63 bytes longer than the one it points to.
    let mut records = Vec::new();
    let mut target = 12_u16;
    let begin = message(OK, 0, b"").len();
    for _ in 0..40 {
        let here = (begin + records.len()) as u16;
        let mut owner = vec![63];
        owner.extend([b'a'; 63]);
        owner.extend((0xc000 | target).to_be_bytes());
        records.extend(record(&owner, TYPE_A, 1, &[1, 2, 3, 4]));
        target = here;
    }
    assert_eq!(read(&message(OK, 40, &records)), None);
}

#[test]
fn a_dot_inside_a_label_does_not_pass_for_two_labels() {
    let records = record(b"\x0bwww.example\x00", TYPE_A, 60, &[192, 0, 2, 1]);
    assert_eq!(read(&message(OK, 1, &records)), None);
}

#[test]
fn no_bytes_make_the_reader_fail() {
    let mut records = record(QUESTION, TYPE_CNAME, 60, b"\x03web\xc0\x10");
    records.extend(record(b"\x03web\xc0\x10", TYPE_A, 300, &[192, 0, 2, 1]));
    let whole = message(OK, 2, &records);
    let mut rng = Rng::new(7);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + rng.below(6) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.next_u64() as u8;
        }
        bytes.truncate(bytes.len() - rng.below(8) as usize);
        if let Some(Reply::Addresses(ips, _)) = read(&bytes) {
            assert!(!ips.is_empty() && ips.iter().all(IpAddr::is_ipv4));
        }
        let mut noise: Vec<u8> = (0..rng.below(64)).map(|_| rng.next_u64() as u8).collect();
        noise.splice(0..0, whole[..20].iter().copied());
        let _ = read(&noise);
    }
}
