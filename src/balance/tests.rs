//! What all algorithms have in common, and the choices of a real haproxy.

use super::*;
use crate::config::ast::{FileId, Span};
use crate::server::{Admin, Operational, ServerSpec};
use crate::stdx::rand::Rng;

fn word(text: &str) -> Word {
    Word {
        text: text.to_owned(),
        span: Span { file: FileId(0), start: 0, end: text.len() as u32 },
        quoted: false,
    }
}

fn parse(text: &str) -> Result<Algorithm, Diagnostic> {
    let words: Vec<Word> = text.split(' ').filter(|w| !w.is_empty()).map(word).collect();
    Algorithm::parse(&words)
}

fn algorithm(text: &str) -> Algorithm {
    parse(text).unwrap_or_else(|e| panic!("{text}: {}", e.message))
}

fn specs(weights: &[u16]) -> Vec<ServerSpec> {
    weights
        .iter()
        .enumerate()
        .map(|(at, &weight)| ServerSpec {
            weight,
            ..ServerSpec::new(format!("s{}", at + 1), at as u32 + 1)
        })
        .collect()
}

fn farm(weights: &[u16]) -> Farm {
    Farm::new(specs(weights), false, 100, 0)
}

fn picks(balancer: &mut Balancer, farm: &Farm, count: usize) -> Vec<usize> {
    (0..count).map(|_| balancer.pick(farm, &Key::None, None).map_or(0, |id| id + 1)).collect()
}

#[test]
fn rows_are_sorted_complete_and_their_examples_parse() {
    assert!(ALGORITHMS.windows(2).all(|w| w[0].name < w[1].name));
    for row in ALGORITHMS {
        assert!(row.doc.ends_with('.'), "{}", row.name);
        let words = row.example.strip_prefix("balance ").unwrap_or("");
        assert_eq!(algorithm(words).name(), row.name);
    }
}

#[test]
fn words_that_are_no_algorithm_are_refused_with_a_reason() {
    let refused = |text: &str| {
        let error = match parse(text) {
            Ok(algorithm) => panic!("`{text}` was taken for {}", algorithm.name()),
            Err(error) => error,
        };
        (error.message, error.label.unwrap_or_default())
    };
    assert_eq!(refused("leastconnection").0, "unknown balance algorithm `leastconnection`");
    assert_eq!(refused("leastconnection").1, "did you mean `leastconn`?");
    assert!(refused("uri").0.ends_with("is not supported yet"));
    assert!(refused("hdr(host)").0.ends_with("is not supported yet"));
    for text in ["random(0)", "random(x)", "random(5", "random(-1)", "random(99999999999)"] {
        assert!(refused(text).0.contains("is not `random(<number>)`"), "{text}");
    }
    assert_eq!(refused("roundrobin(2)").0, "`roundrobin` takes no number in parentheses");
    assert_eq!(refused("source here").1, "one word too many");
}

#[test]
fn no_word_means_roundrobin_and_no_number_means_two_draws() {
    assert_eq!(algorithm("").name(), "roundrobin");
    assert_eq!(algorithm("random").number, 2);
    assert_eq!(algorithm("random()").number, 2);
    assert_eq!(algorithm("random(7)").number, 7);
}

#[test]
fn roundrobin_keeps_the_order_of_haproxy() {
    for (weights, order) in ROUND_ROBIN {
        let farm = farm(weights);
        let mut balancer = Balancer::new(&algorithm("roundrobin"), &farm, 0);
        let got: String =
            picks(&mut balancer, &farm, order.len()).iter().map(usize::to_string).collect();
        assert_eq!(&got, order, "{weights:?}");
    }
}

#[test]
fn source_chooses_the_server_that_haproxy_chooses() {
    for (weights, table) in [(&[1, 2, 3, 1][..], SOURCE), (&[5, 3, 9], SOURCE_V6)] {
        let farm = farm(weights);
        let mut balancer = Balancer::new(&algorithm("source"), &farm, 3);
        for (address, server) in table {
            let key = Key::Address(address.parse().unwrap());
            let got = balancer.pick(&farm, &key, None).map(|id| id + 1);
            assert_eq!(got, Some(*server), "{address}");
        }
    }
}

#[test]
fn source_maps_anew_when_a_server_goes_and_as_before_when_it_returns() {
    let farm = farm(&[1, 2, 3, 1]);
    let mut balancer = Balancer::new(&algorithm("source"), &farm, 0);
    let mut slots = |farm: &Farm, count: u8| -> Vec<usize> {
        (0..count)
            .map(|n| Key::Address([0, 0, 0, n].into()))
            .map(|key| balancer.pick(farm, &key, None).map_or(0, |id| id + 1))
            .collect()
    };
    // What a real haproxy showed for `set server … state maint` and back.
    assert_eq!(slots(&farm, 7), [1, 2, 3, 2, 3, 3, 4]);
    assert_eq!(farm.set_admin(2, Admin::Maint, 1), []);
    assert_eq!(slots(&farm, 4), [1, 2, 2, 4]);
    assert_eq!(farm.set_admin(2, Admin::Ready, 2), []);
    assert_eq!(slots(&farm, 7), [1, 2, 3, 2, 3, 3, 4]);
    assert_eq!(farm.set_weight(2, 0, 3), []);
    assert_eq!(slots(&farm, 4), [1, 2, 2, 4]);
}

#[test]
fn source_without_an_address_walks_the_map() {
    let farm = farm(&[5, 3, 9]);
    let mut balancer = Balancer::new(&algorithm("source"), &farm, 0);
    assert_eq!(
        picks(&mut balancer, &farm, 17),
        [1, 3, 2, 3, 1, 3, 1, 3, 2, 3, 1, 3, 2, 3, 1, 3, 3]
    );
}

#[test]
fn shards_start_at_different_servers() {
    for name in ["roundrobin", "static-rr", "leastconn"] {
        let farm = farm(&[1, 1, 1]);
        let firsts: Vec<usize> = (0..4)
            .map(|shard| picks(&mut Balancer::new(&algorithm(name), &farm, shard), &farm, 1)[0])
            .collect();
        assert_eq!(firsts, [1, 2, 3, 1], "{name}");
    }
}

#[test]
fn turns_and_draws_follow_the_weights() {
    let weights = [10, 1, 25, 4];
    for (name, tolerance) in [("roundrobin", 0), ("static-rr", 0), ("random(1)", 600)] {
        let farm = farm(&weights);
        let mut balancer = Balancer::new(&algorithm(name), &farm, 1);
        let mut counts = [0u32; 4];
        for pick in picks(&mut balancer, &farm, 40 * 1_000) {
            counts[pick - 1] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let want = u32::from(weight) * 1_000;
            assert!(count.abs_diff(want) <= tolerance, "{name}: {counts:?}");
        }
    }
}

#[test]
fn random_with_two_draws_keeps_loads_nearer_than_with_one() {
    let spread = |draws: &str| {
        let farm = farm(&[1; 20]);
        let mut balancer = Balancer::new(&algorithm(draws), &farm, 7);
        for _ in 0..2_000 {
            let id = balancer.pick(&farm, &Key::None, None).unwrap();
            assert!(farm.try_acquire(id));
        }
        let loads = farm.servers().iter().map(|s| s.current());
        loads.clone().max().unwrap() - loads.min().unwrap()
    };
    let (one, two) = (spread("random(1)"), spread("random(2)"));
    assert!(two < one, "{two} against {one}");
    assert!(two <= 8, "{two}");
}

#[test]
fn leastconn_takes_the_least_loaded_by_weight_and_turns_among_equals() {
    let farm = farm(&[1, 1, 2]);
    let mut balancer = Balancer::new(&algorithm("leastconn"), &farm, 0);
    assert_eq!(picks(&mut balancer, &farm, 6), [1, 2, 3, 1, 2, 3]);
    let mut counts = [0; 3];
    for _ in 0..40 {
        let id = balancer.pick(&farm, &Key::None, None).unwrap();
        assert!(farm.try_acquire(id));
        counts[id] += 1;
    }
    assert_eq!(counts.iter().sum::<u32>(), 40);
    assert!(counts[2] >= 19 && counts[2] <= 21, "{counts:?}");
    assert_eq!(farm.release(1), None);
    assert_eq!(farm.release(1), None);
    assert_eq!(picks(&mut balancer, &farm, 1), [2]);
}

#[test]
fn first_fills_servers_by_id_up_to_their_maxconn() {
    let mut servers = specs(&[1, 1, 1]);
    for (server, id) in servers.iter_mut().zip([30, 10, 20]) {
        server.id = id;
        server.maxconn = 2;
    }
    let farm = Farm::new(servers, false, 100, 0);
    let mut balancer = Balancer::new(&algorithm("first"), &farm, 5);
    let mut order = Vec::new();
    while let Some(id) = balancer.pick(&farm, &Key::None, None) {
        assert!(farm.try_acquire(id));
        order.push(id);
    }
    assert_eq!(order, [1, 1, 2, 2, 0, 0]);
    assert_eq!(farm.release(2), None);
    assert_eq!(balancer.pick(&farm, &Key::None, None), Some(2));
}

#[test]
fn full_servers_are_passed_over_except_by_source() {
    for row in ALGORITHMS {
        let mut servers = specs(&[1, 2, 1]);
        servers.iter_mut().for_each(|s| s.maxconn = 1);
        let farm = Farm::new(servers, false, 100, 0);
        let mut balancer = Balancer::new(&algorithm(row.name), &farm, 0);
        let key = Key::Address([0, 0, 0, 1].into());
        assert!(farm.try_acquire(1));
        if row.name == "source" {
            assert_eq!(balancer.pick(&farm, &key, None), Some(1));
            continue;
        }
        for _ in 0..2 {
            let id = balancer.pick(&farm, &key, None).unwrap();
            assert!(farm.try_acquire(id), "{} chose a full server", row.name);
        }
        assert_eq!(balancer.pick(&farm, &key, None), None, "{}", row.name);
        assert_eq!(farm.nbsrv(), 3);
    }
}

#[test]
fn the_server_to_avoid_is_chosen_only_when_it_is_the_only_one() {
    for row in ALGORITHMS {
        for weights in [&[1, 1, 1][..], &[1, 5, 2]] {
            let farm = farm(weights);
            let mut balancer = Balancer::new(&algorithm(row.name), &farm, 0);
            for n in 0..60 {
                let key = Key::Address([0, 0, 0, n].into());
                let avoid = usize::from(n) % 3;
                let got = balancer.pick(&farm, &key, Some(avoid));
                assert!(got.is_some_and(|id| id != avoid), "{}", row.name);
            }
        }
        let alone = farm(&[3]);
        let mut balancer = Balancer::new(&algorithm(row.name), &alone, 0);
        let key = Key::Address([9, 9, 9, 9].into());
        assert_eq!(balancer.pick(&alone, &key, Some(0)), Some(0), "{}", row.name);
    }
}

#[test]
fn a_weighted_server_that_was_full_has_nothing_to_catch_up_on() {
    let mut servers = specs(&[2, 1]);
    servers[0].maxconn = 1;
    let farm = Farm::new(servers, false, 100, 0);
    let mut balancer = Balancer::new(&algorithm("roundrobin"), &farm, 0);
    assert!(farm.try_acquire(0));
    assert_eq!(picks(&mut balancer, &farm, 30), [2; 30]);
    assert_eq!(farm.release(0), None);
    let after = picks(&mut balancer, &farm, 12);
    let ones = after.iter().filter(|&&pick| pick == 1).count();
    assert!((8..=9).contains(&ones), "{after:?}");
}

#[test]
fn backups_serve_only_when_no_active_server_can() {
    for row in ALGORITHMS {
        for all in [false, true] {
            let mut servers = specs(&[1, 1, 1, 1]);
            servers[2].backup = true;
            servers[3].backup = true;
            let farm = Farm::new(servers, all, 100, 0);
            let mut balancer = Balancer::new(&algorithm(row.name), &farm, 0);
            let mut seen = |farm: &Farm| {
                let mut seen: Vec<usize> = (0..20)
                    .map(|n| Key::Address([0, 0, 0, n].into()))
                    .filter_map(|key| balancer.pick(farm, &key, None))
                    .collect();
                seen.sort_unstable();
                seen.dedup();
                seen
            };
            assert!(seen(&farm).iter().all(|&id| id < 2), "{}", row.name);
            assert_eq!(farm.set_operational(0, Operational::Down, 1), []);
            assert_eq!(seen(&farm), [1], "{}", row.name);
            assert_eq!(farm.set_weight(1, 0, 1), []);
            let backups = seen(&farm);
            assert!(backups.contains(&2) && !backups.contains(&1), "{}", row.name);
            assert_eq!(farm.nbsrv(), if all { 2 } else { 1 });
            assert_eq!(farm.set_operational(2, Operational::Down, 1), []);
            assert_eq!(seen(&farm), [3], "{}", row.name);
            assert_eq!(farm.set_operational(3, Operational::Down, 1), []);
            assert_eq!(seen(&farm), [0usize; 0], "{}", row.name);
        }
    }
}

/// Random streams, failures and weight changes: no server out of service is chosen while another is in service,
/// and every count returns to zero.
#[test]
fn ten_thousand_random_histories_keep_the_invariants() {
    for seed in 0..10_000u64 {
        let mut rng = Rng::new(seed);
        let row = &ALGORITHMS[rng.below(ALGORITHMS.len() as u64) as usize];
        let mut servers = specs(&vec![1; 1 + rng.below(6) as usize]);
        for server in &mut servers {
            server.weight = rng.below(9) as u16;
            server.backup = rng.percent(20);
            server.maxconn = rng.below(4) as u32;
        }
        let farm = Farm::new(servers, rng.percent(50), 100, 0);
        let mut balancer = Balancer::new(&algorithm(row.name), &farm, rng.below(4) as usize);
        let mut held = Vec::new();
        for step in 0..40 {
            let any = rng.below(farm.servers().len() as u64) as usize;
            match rng.below(8) {
                0 => {
                    let to = match rng.below(3) {
                        0 => Operational::Up,
                        1 => Operational::Down,
                        _ => Operational::Stopping,
                    };
                    assert_eq!(farm.set_operational(any, to, step), []);
                }
                1 => assert_eq!(farm.set_weight(any, rng.below(9) as u16, step), []),
                2 if !held.is_empty() => {
                    let id = held.swap_remove(rng.below(held.len() as u64) as usize);
                    assert_eq!(farm.release(id), None);
                }
                _ => {
                    let key = Key::Address((rng.next_u64() as u32).to_be_bytes().into());
                    let avoid = rng.percent(10).then_some(any);
                    let got = balancer.pick(&farm, &key, avoid);
                    let context = format!("{}, seed {seed}, step {step}", row.name);
                    match got {
                        Some(id) => {
                            assert!(farm.is_chosen(id), "{context}");
                            if farm.try_acquire(id) {
                                held.push(id);
                            } else {
                                assert_eq!(row.name, "source", "{context}");
                            }
                        }
                        None => {
                            let mut free = (0..farm.servers().len())
                                .filter(|&id| farm.is_chosen(id) && farm.server(id).has_room());
                            assert_eq!(free.next(), None, "{context}");
                        }
                    }
                }
            }
        }
        for id in held {
            assert_eq!(farm.release(id), None);
        }
        assert_eq!(farm.current(), 0, "seed {seed}");
    }
}

/// Weights, and the order in which a real haproxy with one thread served the first round.
const ROUND_ROBIN: &[(&[u16], &str)] = &[
    (&[5, 6, 9, 1, 8, 4], "352315632513425631532536123532516"),
    (&[3, 2], "11212"),
    (&[8, 4, 7, 9], "4134123414314231431424134132"),
    (&[4, 1], "11112"),
    (&[7, 5, 3], "121321123121123"),
    (&[3, 2, 3, 8, 3], "4143452414354142345"),
    (&[1, 1, 4], "331332"),
    (&[3, 3, 5], "31323132132"),
    (&[4, 9, 4, 3], "21232412322142321234"),
    (&[7, 5, 1], "1121213211212"),
    (&[7, 3, 3, 5], "141241314214311241"),
    (&[6, 5], "11212121212"),
    (&[1, 6, 2, 5, 6, 5], "2546253462514265245632546"),
    (&[6, 3, 8, 8, 3], "3413421345314324134513423145"),
    (&[5, 1], "111112"),
    (&[7, 1, 9, 7], "313413413431234134134314"),
];

/// Client addresses, and the server of weights 1, 2, 3, 1 that a real haproxy gave each with `balance source`.
const SOURCE: &[(&str, usize)] = &[
    ("127.237.191.69", 4),
    ("127.70.95.222", 2),
    ("127.3.173.129", 3),
    ("127.237.41.86", 3),
    ("127.20.194.44", 1),
    ("127.231.216.41", 2),
    ("127.86.121.14", 4),
    ("127.56.67.130", 1),
    ("127.32.196.203", 3),
    ("127.52.149.53", 3),
    ("127.114.215.228", 2),
    ("127.44.136.234", 4),
    ("127.107.203.72", 1),
    ("127.174.22.52", 4),
    ("127.2.210.15", 4),
    ("127.193.251.36", 4),
    ("127.12.121.109", 3),
    ("127.57.1.32", 3),
    ("127.101.103.85", 1),
    ("127.4.42.35", 3),
    ("127.8.43.147", 1),
    ("127.254.101.108", 4),
    ("127.35.203.50", 3),
    ("127.47.74.45", 3),
    ("127.21.27.70", 3),
    ("127.76.137.189", 2),
    ("127.17.62.223", 3),
    ("127.206.121.42", 2),
    ("127.22.187.217", 3),
    ("127.44.177.29", 1),
    ("127.187.231.54", 3),
    ("127.205.101.253", 3),
    ("127.9.194.205", 4),
    ("127.168.0.111", 1),
    ("127.57.109.57", 4),
    ("127.227.138.84", 4),
    ("127.45.157.162", 4),
    ("127.145.52.133", 3),
    ("127.28.13.98", 3),
    ("127.219.254.89", 3),
];

/// The same for IPv6 clients and weights 5, 3, 9.
const SOURCE_V6: &[(&str, usize)] = &[
    ("2163:6369:8b52:9b4a:97b7:5092:3ceb:3ffd", 1),
    ("795b:929e:9a9a:80fd:ea7b:5bf5:5eb5:61a4", 3),
    ("9b08:923d:10c6:7fd9:94b2:b8fd:a02f:34a6", 3),
    ("781f:9c58:d664:5fa9:e8a8:529f:35e:fa25", 3),
    ("3116:2427:3bfd:1d33:8d00:38ec:4265:644", 3),
    ("8a7d:43b5:7863:3074:b797:386:fee2:9476", 1),
    ("65aa:9c82:79f2:48b0:8cb4:a0d7:d622:5675", 2),
    ("3b5f:3d86:268e:cc45:dc6b:f1e1:a399:f82a", 3),
];
