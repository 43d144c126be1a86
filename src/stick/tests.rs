//! What tables promise, on a virtual clock: against a plain model with seeds, and from several threads at once.

use super::data::Data;
use super::key::{KeyType, Raw};
use super::table::{Spec, Table};
use super::{Layout, Tracked};
use crate::stdx::rand::Rng;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

const S: u64 = 1_000_000;

fn spec(size: u32, expire_s: Option<u64>, store: &[(Data, u32, u64)]) -> Spec {
    let mut layout = Layout::default();
    for (data, elements, period_us) in store {
        layout.store(*data, *elements, *period_us).expect("no rivals");
    }
    Spec {
        name: "t".to_owned(),
        key: KeyType::Integer,
        size,
        expire_us: expire_s.map(|seconds| seconds * S),
        nopurge: false,
        by_address: false,
        write_to: None,
        layout,
    }
}

fn key(number: u64) -> [u8; 4] {
    (number as u32).to_be_bytes()
}

/// Runs random operations of one seed on a table and on a model of it.
fn agree(seed: u64, size: u32, expire_s: Option<u64>, nopurge: bool) {
    let mut rng = Rng::new(seed);
    let mut spec = spec(size, expire_s, &[(Data::Gpc0, 1, 0), (Data::ConnCur, 1, 0)]);
    spec.nopurge = nopurge;
    let table = Table::new(spec);
    // Key → last use and counter; who tracks what.
    let mut model: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    let mut tracked: Vec<(u64, Tracked)> = Vec::new();
    let mut now = S;
    for step in 0..2_000 {
        now += rng.below(S / 4) + 1;
        let holds = |key: u64, tracked: &[(u64, Tracked)]| tracked.iter().any(|(k, _)| *k == key);
        if let Some(expire) = expire_s {
            model.retain(|key, (used, _)| *used + expire * S > now || holds(*key, &tracked));
        }
        let number = rng.below(u64::from(size) * 2);
        match rng.below(4) {
            0 => {
                let found = table.find(&key(number), now);
                assert_eq!(
                    found.map(|entry| entry.read(Data::Gpc0, 0, now)),
                    model.get(&number).map(|(_, count)| Some(*count)),
                    "seed {seed}, step {step}"
                );
            }
            1 if !tracked.is_empty() => {
                let at = rng.below(tracked.len() as u64) as usize;
                let (number, entry) = tracked.swap_remove(at);
                entry.release(now);
                if let Some((used, _)) = model.get_mut(&number) {
                    *used = now;
                }
            }
            other => {
                if !model.contains_key(&number) && model.len() as u32 == size {
                    let free = model.iter().filter(|(key, _)| !holds(**key, &tracked));
                    let oldest = free.min_by_key(|(_, (used, _))| *used).map(|(key, _)| *key);
                    if let (false, Some(oldest)) = (nopurge, oldest) {
                        model.remove(&oldest);
                    }
                }
                let room = model.contains_key(&number) || (model.len() as u32) < size;
                let entry = table.track(&key(number), 0, now, |_| {});
                assert_eq!(entry.is_some(), room, "seed {seed}, step {step}");
                let Some(entry) = entry else { continue };
                let line = model.entry(number).or_insert((now, 0));
                *line = (now, line.1 + 1);
                entry.entry().update(now, |writer| writer.add(Data::Gpc0, 1));
                if other == 2 {
                    tracked.push((number, entry));
                } else {
                    entry.release(now);
                }
            }
        }
        table.sweep(now, usize::MAX);
        assert_eq!(table.used() as usize, model.len(), "seed {seed}, step {step}");
        for (number, entry) in &tracked {
            let same = tracked.iter().filter(|(other, _)| other == number).count() as u64;
            assert_eq!(entry.entry().read(Data::ConnCur, 0, now), Some(same));
        }
    }
    let mut seen = 0;
    table.walk(|_| seen += 1);
    assert_eq!(seen, model.len());
}

#[test]
fn a_table_does_what_a_plain_model_of_it_does() {
    for seed in 0..20 {
        agree(seed, 8, Some(10), false);
        agree(seed, 8, None, false);
        agree(seed, 8, Some(10), true);
        agree(seed, 300, Some(60), false);
    }
}

#[test]
fn counts_of_several_threads_are_exact_and_size_is_never_exceeded() {
    let table = Arc::new(Table::new(spec(
        5_000,
        Some(3600),
        &[(Data::HttpReqCnt, 1, 0), (Data::HttpReqRate, 1, 10 * S), (Data::ConnCur, 1, 0)],
    )));
    let (threads, rounds, keys) = (4, 5_000, 1_000);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let table = table.clone();
            scope.spawn(move || {
                let mut rng = Rng::new(thread);
                for round in 0..rounds {
                    let count = super::counters::count_request;
                    let tracked = table.track(&key(round % keys), 0, S, count);
                    assert!(tracked.is_some());
                    // Keys of its own, so that insertions and evictions go on meanwhile.
                    let other = 1_000_000 + rng.below(1 << 20);
                    table.enter(&key(other), S);
                    assert!(table.used() <= 5_000);
                }
            });
        }
    });
    assert!(table.evicted() > 0);
    let mut entries = 0;
    let mut requests = 0;
    table.walk(|entry| {
        entries += 1;
        requests += entry.read(Data::HttpReqRate, 0, S).unwrap_or(0);
        assert_eq!(entry.read(Data::ConnCur, 0, S), Some(0));
        assert_eq!(entry.trackers(), 0);
    });
    assert_eq!(entries, table.used());
    // Nothing is evicted while it is tracked, but it may be between: then its count begins anew.
    assert!(requests <= threads * rounds);
    let exact = Table::new(spec(2_000, None, &[(Data::Gpc0, 1, 0)]));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for round in 0..rounds {
                    let entry = exact.enter(&key(round % keys), S).expect("there is room");
                    entry.update(S, |writer| writer.add(Data::Gpc0, 1));
                }
            });
        }
    });
    exact.walk(|entry| {
        assert_eq!(entry.read(Data::Gpc0, 0, S), Some(threads * rounds / keys));
    });
    assert_eq!(u64::from(exact.used()), keys);
}

#[test]
fn a_full_table_of_tracked_entries_refuses_and_counts_it() {
    let table = Table::new(spec(2, None, &[]));
    let held: Vec<_> = (0..2).map(|number| table.track(&key(number), 0, S, |_| {})).collect();
    assert!(held.iter().all(Option::is_some));
    assert!(table.enter(&key(7), 2 * S).is_none());
    assert_eq!((table.refused(), table.evicted(), table.used()), (1, 0, 2));
    drop(held);
    assert!(table.enter(&key(7), 2 * S).is_some());
    assert_eq!((table.refused(), table.evicted(), table.used()), (1, 1, 2));
}

#[test]
fn an_entry_that_is_tracked_is_not_removed() {
    let table = Table::new(spec(2, Some(1), &[]));
    let held = table.track(&key(1), 0, S, |_| {}).expect("there is room");
    assert!(!table.remove(held.entry()));
    assert_eq!(table.sweep(100 * S, 9), 0);
    assert!(table.find(&key(1), 100 * S).is_some());
    held.release(100 * S);
    assert_eq!(table.sweep(101 * S, 9), 1);
    assert!(table.find(&key(1), 100 * S).is_none());
}

#[test]
fn keys_are_made_as_their_type_says() {
    let text = |text: &'static str| Raw::Bytes(Cow::Borrowed(text.as_bytes()));
    let bytes = |kind: KeyType, raw| kind.encode(raw).map(|key| key.as_slice().to_vec());
    let v4: IpAddr = "10.0.0.1".parse().expect("an address");
    let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("an address");
    let v6: IpAddr = "2001:db8::1".parse().expect("an address");
    assert_eq!(bytes(KeyType::Ip, Raw::Ip(v4)), Some(vec![10, 0, 0, 1]));
    assert_eq!(bytes(KeyType::Ip, Raw::Ip(mapped)), Some(vec![10, 0, 0, 1]));
    assert_eq!(bytes(KeyType::Ip, Raw::Ip(v6)), None);
    assert_eq!(bytes(KeyType::Ipv6, Raw::Ip(v4)), bytes(KeyType::Ipv6, Raw::Ip(mapped)));
    assert_eq!(bytes(KeyType::Integer, Raw::Int(-1)), Some(vec![255; 4]));
    assert_eq!(bytes(KeyType::Str(3), text("abcdef")), Some(b"abc".to_vec()));
    assert_eq!(bytes(KeyType::Str(3), text("a")), Some(b"a".to_vec()));
    assert_eq!(bytes(KeyType::Bin(3), text("a")), Some(b"a\0\0".to_vec()));
    assert_eq!(bytes(KeyType::Bin(3), text("abcd")), Some(b"abc".to_vec()));
    assert_eq!(bytes(KeyType::Integer, text("5")), None);
    let show = |kind: KeyType, written: &str| {
        let mut out = String::new();
        kind.write(kind.parse(written)?.as_slice(), &mut out);
        Some(out)
    };
    assert_eq!(show(KeyType::Ip, "10.1.2.3").as_deref(), Some("10.1.2.3"));
    assert_eq!(show(KeyType::Ip, "x"), None);
    assert_eq!(show(KeyType::Ipv6, "::1").as_deref(), Some("::1"));
    assert_eq!(show(KeyType::Integer, "77").as_deref(), Some("77"));
    assert_eq!(show(KeyType::Str(9), "a b=c\n").as_deref(), Some("a\\ b\\=c\\n"));
    assert_eq!(show(KeyType::Bin(2), "0aff").as_deref(), Some("0AFF"));
    assert_eq!(show(KeyType::Bin(2), "0af"), None);
}
