//! Slots, queues, states and reloads of a farm.

use super::*;
use crate::stdx::rand::Rng;
use crossbeam::channel::{Receiver, Sender, unbounded};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

fn specs(maxconns: &[u32]) -> Vec<ServerSpec> {
    maxconns
        .iter()
        .enumerate()
        .map(|(at, &maxconn)| ServerSpec {
            maxconn,
            checked: true,
            ..ServerSpec::new(format!("s{}", at + 1), at as u32 + 1)
        })
        .collect()
}

fn farm(maxconns: &[u32]) -> Farm {
    Farm::new(specs(maxconns), false, 100, 0)
}

fn ticket(id: u64) -> Ticket {
    Ticket { shard: 0, id }
}

fn wake(id: u64, server: Option<ServerId>) -> Wake {
    Wake { ticket: ticket(id), server }
}

/// Lines up and expects to wait.
fn wait(farm: &Farm, server: Option<ServerId>, id: u64) -> QueueKey {
    match farm.enqueue(server, ticket(id)) {
        Enqueue::Waiting(key) => key,
        other => panic!("ticket {id} does not wait: {other:?}"),
    }
}

#[test]
fn a_server_gives_as_many_slots_as_its_maxconn() {
    let farm = farm(&[2, 0]);
    assert!(farm.try_acquire(0) && farm.try_acquire(0));
    assert!(!farm.try_acquire(0) && !farm.server(0).has_room());
    assert!((0..1_000).all(|_| farm.try_acquire(1)));
    assert_eq!(farm.release(0), None);
    assert!(farm.try_acquire(0));
    let server = farm.server(0);
    assert_eq!((server.current(), server.current_max(), server.picked_total()), (2, 2, 3));
    assert_eq!(farm.current(), 1_002);
}

#[test]
fn slots_pass_to_whoever_waited_longest_for_the_server_or_the_backend() {
    // The order that a real haproxy showed for the same arrivals.
    let farm = farm(&[1, 1]);
    assert!(farm.try_acquire(0) && farm.try_acquire(1));
    for (id, server) in [None, Some(0), None, Some(0), None, Some(1)].into_iter().enumerate() {
        wait(&farm, server, id as u64);
    }
    assert_eq!((farm.server(0).queued(), farm.server(1).queued(), farm.queued()), (2, 1, 3));
    assert_eq!(farm.queued_total(), 6);
    assert_eq!(farm.release(1), Some(wake(0, Some(1))));
    assert_eq!(farm.release(0), Some(wake(1, Some(0))));
    assert_eq!(farm.release(1), Some(wake(2, Some(1))));
    assert_eq!(farm.release(0), Some(wake(3, Some(0))));
    assert_eq!(farm.release(1), Some(wake(4, Some(1))));
    assert_eq!(farm.release(1), Some(wake(5, Some(1))));
    assert_eq!(farm.release(1), None);
    assert_eq!(farm.release(0), None);
    assert_eq!((farm.queued_total(), farm.current()), (0, 0));
    assert_eq!((farm.queued_max(), farm.server(0).queued_max()), (3, 2));
}

#[test]
fn a_newcomer_does_not_overtake_who_waits_for_the_same_server() {
    let farm = farm(&[1]);
    assert!(farm.try_acquire(0));
    wait(&farm, Some(0), 1);
    assert_eq!(farm.release(0), Some(wake(1, Some(0))));
    assert!(!farm.try_acquire(0));
    assert_eq!(farm.server(0).current(), 1);
}

#[test]
fn lining_up_at_a_free_server_takes_its_slot() {
    let farm = farm(&[1, 1]);
    assert_eq!(farm.enqueue(Some(1), ticket(1)), Enqueue::Granted(1));
    assert_eq!(farm.enqueue(None, ticket(2)), Enqueue::Granted(0));
    assert_eq!(farm.queued_total(), 0);
}

#[test]
fn who_leaves_the_queue_is_not_woken_and_a_late_leaver_is_told() {
    let farm = farm(&[1]);
    assert!(farm.try_acquire(0));
    let own = wait(&farm, Some(0), 1);
    let any = wait(&farm, None, 2);
    let last = wait(&farm, Some(0), 3);
    assert!(farm.cancel(own) && farm.cancel(any));
    assert!(!farm.cancel(own));
    assert_eq!(farm.release(0), Some(wake(3, Some(0))));
    assert!(!farm.cancel(last), "its wake is on the way");
    assert_eq!(farm.release(0), None);
}

#[test]
fn queues_are_bounded() {
    let mut servers = specs(&[1, 1]);
    servers[0].maxqueue = 2;
    let farm = Farm::new(servers, false, 3, 0);
    assert!(farm.try_acquire(0) && farm.try_acquire(1));
    for (server, room) in [(Some(0), 2), (Some(1), 3), (None, 3)] {
        for id in 0..room {
            wait(&farm, server, id);
        }
        assert_eq!(farm.enqueue(server, ticket(9)), Enqueue::Full, "{server:?}");
    }
}

#[test]
fn a_server_that_goes_sends_its_queue_away_and_the_last_one_that_of_the_backend() {
    let farm = farm(&[1, 1]);
    assert!(farm.try_acquire(0) && farm.try_acquire(1));
    wait(&farm, Some(0), 1);
    wait(&farm, None, 2);
    assert_eq!(farm.set_operational(0, Operational::Down, 10), [wake(1, None)]);
    assert_eq!(farm.enqueue(Some(0), ticket(3)), Enqueue::Gone);
    assert_eq!(farm.release(0), None, "a server that is down takes nobody");
    assert_eq!(farm.set_admin(1, Admin::Maint, 20), [wake(2, None)]);
    assert_eq!(farm.enqueue(None, ticket(4)), Enqueue::Gone);
    assert_eq!(farm.release(1), None);
    assert_eq!(farm.current() + farm.queued_total(), 0);
    assert_eq!((farm.downs(), farm.changed_ms()), (1, 20));
    assert_eq!(farm.set_operational(0, Operational::Up, 50), []);
    assert_eq!((farm.downtime_ms(99), farm.changed_ms()), (30, 50));
}

#[test]
fn a_server_that_comes_or_grows_takes_who_waits() {
    let farm = farm(&[1, 2]);
    assert_eq!(farm.set_operational(1, Operational::Down, 1), []);
    assert!(farm.try_acquire(0));
    for id in 1..=5 {
        wait(&farm, None, id);
    }
    assert_eq!(farm.set_operational(1, Operational::Up, 2), [wake(1, Some(1)), wake(2, Some(1))]);
    assert_eq!(farm.set_maxconn(0, 2, 3), [wake(3, Some(0))]);
    assert_eq!(farm.set_maxconn(0, 0, 4), [wake(4, Some(0)), wake(5, Some(0))]);
}

#[test]
fn a_lowered_maxconn_holds_slots_back_until_the_count_fits() {
    let farm = farm(&[3]);
    assert!((0..3).all(|_| farm.try_acquire(0)));
    wait(&farm, Some(0), 1);
    assert_eq!(farm.set_maxconn(0, 1, 1), []);
    assert_eq!(farm.release(0), None);
    assert_eq!(farm.release(0), None);
    assert_eq!(farm.server(0).current(), 1);
    assert_eq!(farm.release(0), Some(wake(1, Some(0))));
}

#[test]
fn a_draining_server_keeps_its_own_queue_and_takes_nobody_from_the_backend() {
    let farm = farm(&[1, 1]);
    assert!(farm.try_acquire(0) && farm.try_acquire(1));
    wait(&farm, None, 1);
    wait(&farm, Some(0), 2);
    assert_eq!(farm.set_admin(0, Admin::Drain, 1), []);
    assert_eq!(farm.release(0), Some(wake(2, Some(0))));
    assert_eq!(farm.release(0), None);
    assert_eq!(farm.release(1), Some(wake(1, Some(1))));
}

#[test]
fn a_backup_takes_who_waits_for_the_backend_only_while_it_serves() {
    let mut servers = specs(&[1, 1]);
    servers[1].backup = true;
    let farm = Farm::new(servers, false, 100, 0);
    assert!(farm.try_acquire(0) && farm.try_acquire(1));
    wait(&farm, None, 1);
    assert_eq!(farm.release(1), None);
    assert_eq!(farm.set_operational(0, Operational::Down, 1), [wake(1, Some(1))]);
    assert_eq!(farm.nbsrv(), 1);
}

#[test]
fn states_are_shown_as_in_haproxy() {
    let mut servers = specs(&[0, 0]);
    servers[1].checked = false;
    let farm = Farm::new(servers, false, 100, 0);
    let text = |id| farm.server(id).status_text();
    let health = Health::new(health::HealthSpec::default());
    assert_eq!(farm.publish_health(0, &health, 0), []);
    assert_eq!((text(0), text(1)), ("UP 1/3".into(), "no check".into()));
    for (admin, checked, unchecked) in [
        (Admin::Drain, "DRAIN 1/3", "DRAIN"),
        (Admin::Maint, "MAINT", "MAINT"),
        (Admin::Ready, "UP 1/3", "no check"),
    ] {
        assert_eq!(farm.set_admin(0, admin, 1), []);
        assert_eq!(farm.set_admin(1, admin, 1), []);
        assert_eq!((text(0), text(1)), (checked.into(), unchecked.into()));
    }
    assert_eq!(farm.set_operational(0, Operational::Stopping, 1), []);
    assert_eq!(text(0), "NOLB 1/3");
    let steady = Health::resume(health::HealthSpec::default(), Operational::Up);
    assert_eq!(farm.publish_health(0, &steady, 0), []);
    assert_eq!(farm.set_weight(0, 0, 1), []);
    assert_eq!((text(0), farm.nbsrv()), ("UP".into(), 1));
}

#[test]
fn checks_are_counted_and_timed() {
    let farm = farm(&[0]);
    let mut rng = Rng::new(0);
    let mut health = Health::new(health::HealthSpec { fall: 2, rise: 1, ..Default::default() });
    let mut check = |status, now_ms| {
        let result =
            CheckResult { status, code: 0, duration_ms: 7, text: "Connection refused".into() };
        let outcome = health.on_result(&result, &mut rng);
        assert_eq!(farm.record_check(0, &result, &outcome, now_ms), []);
    };
    let epoch = farm.epoch();
    check(CheckStatus::L4Ok, 10);
    assert_eq!(farm.epoch(), epoch, "nothing changed for the balancers");
    check(CheckStatus::L4Connection, 20);
    check(CheckStatus::L4Connection, 30);
    check(CheckStatus::L4Connection, 40);
    let server = farm.server(0);
    assert!(!server.is_up() && farm.epoch() > epoch);
    assert_eq!((server.checks_failed(), server.downs()), (2, 1));
    assert_eq!((server.changed_ms(), server.downtime_ms(50)), (30, 20));
    assert_eq!(server.last_check().text, "Connection refused");
    assert_eq!(server.last_check().status.name(), "L4CON");
    check(CheckStatus::L4Ok, 60);
    assert_eq!((server.changed_ms(), server.downtime_ms(99)), (60, 30));
    assert_eq!(farm.set_admin(0, Admin::Maint, 70), []);
    assert_eq!(server.downs(), 1, "maintenance is no failure");
    assert_eq!(server.downtime_ms(90), 50);
}

#[test]
fn errors_of_live_traffic_are_counted_in_a_row() {
    let farm = farm(&[0]);
    let server = farm.server(0);
    assert_eq!((server.count_error(), server.count_error()), (1, 2));
    server.clear_errors();
    assert_eq!(server.count_error(), 1);
    server.add_idle(false);
    server.add_idle(true);
    assert_eq!((server.idle(), server.idle_proven()), (2, 1));
    server.remove_idle(true);
    assert_eq!(server.idle(), 1);
    server.remove_idle(false);
    assert_eq!(server.idle(), 0);
}

#[test]
fn a_reload_keeps_counts_health_and_runtime_changes_of_servers_that_stay() {
    let old = farm(&[2, 2, 2]);
    assert!(old.try_acquire(0));
    assert_eq!(old.set_operational(1, Operational::Down, 5), []);
    assert_eq!(old.set_weight(0, 9, 5), []);
    assert_eq!(old.set_weight(2, 9, 5), []);
    let mut servers = specs(&[2, 2, 5]);
    servers.remove(0);
    servers[1].weight = 3;
    servers.push(ServerSpec::new("s1", 9));
    servers.push(ServerSpec { address: "elsewhere".into(), ..ServerSpec::new("s2", 10) });
    let mut new = Farm::new(servers, false, 100, 10);
    assert_eq!(new.adopt(&old), []);
    let state = |name: &str| {
        let server = new.servers().iter().find(|s| s.name() == name).unwrap();
        (server.current(), server.is_up(), server.weight(), server.maxconn())
    };
    assert_eq!(state("s1"), (1, true, 9, 0), "maxconn changed, weight stayed");
    assert_eq!(state("s2"), (0, false, 1, 2));
    assert_eq!(state("s3"), (0, true, 3, 5), "the new file's weight wins");
    assert!(new.server(3).is_up(), "another address is another server");
    assert_eq!(old.set_operational(1, Operational::Up, 11), []);
    assert!(new.server(0).is_up());
}

#[test]
fn around_a_reload_both_plans_share_limits_and_queues() {
    let old = farm(&[1, 1]);
    assert!(old.try_acquire(0) && old.try_acquire(1));
    wait(&old, None, 1);
    let mut servers = specs(&[1, 1]);
    servers.reverse();
    servers.insert(0, ServerSpec { maxconn: 1, ..ServerSpec::new("new", 7) });
    let mut new = Farm::new(servers, false, 100, 10);
    assert_eq!(new.adopt(&old), [], "the old plan does not know the new server");
    let s1 = new.find("s1").unwrap();
    assert_eq!(s1, 2);
    assert!(!new.try_acquire(s1), "the old plan's stream holds the slot");
    assert!(new.try_acquire(0));
    wait(&new, Some(s1), 2);
    wait(&new, None, 3);
    // The old plan's stream ends: the ticket of the old plan is told the old plan's number.
    assert_eq!(old.release(0), Some(wake(1, Some(0))));
    assert_eq!(old.release(0), Some(wake(2, Some(s1))));
    assert_eq!(old.release(1), Some(wake(3, Some(1))), "s2 is 1 in both");
    assert_eq!(new.release(0), None);
    assert_eq!(new.release(s1), None);
    assert_eq!(new.release(1), None);
    drop(old);
    assert_eq!(new.current() + new.queued_total(), 0);
}

/// A thread per shard with many streams each; every wake is delivered by message, as in the real thing.
struct Shard<'f> {
    index: u16,
    farm: &'f Farm,
    /// Streams in service per server, counted apart from the farm.
    witness: &'f [AtomicU32],
    post: &'f [Sender<Wake>],
    mail: Receiver<Wake>,
    rng: Rng,
    held: VecDeque<ServerId>,
    waiting: Vec<(u64, QueueKey)>,
    /// Tickets whose cancellation came too late.
    late: Vec<u64>,
    served: u32,
}

impl Shard<'_> {
    fn enter(&mut self, id: ServerId) {
        let now = self.witness[id].fetch_add(1, SeqCst) + 1;
        let max = self.farm.server(id).maxconn();
        assert!(now <= max, "{now} streams on a server of {max}");
        self.held.push_back(id);
        self.served += 1;
    }

    fn leave(&mut self, id: ServerId) {
        self.witness[id].fetch_sub(1, SeqCst);
        if let Some(wake) = self.farm.release(id) {
            self.post[usize::from(wake.ticket.shard)].send(wake).unwrap();
        }
    }

    fn start(&mut self, id: u64) {
        let server = self.rng.below(self.witness.len() as u64) as usize;
        if self.farm.try_acquire(server) {
            return self.enter(server);
        }
        let shard = self.index;
        let lane = self.rng.percent(50).then_some(server);
        match self.farm.enqueue(lane, Ticket { shard, id }) {
            Enqueue::Granted(server) => self.enter(server),
            Enqueue::Waiting(key) => self.waiting.push((id, key)),
            Enqueue::Full | Enqueue::Gone => panic!("no reason to refuse ticket {id}"),
        }
    }

    fn take(&mut self, wake: Wake) {
        let server = wake.server.expect("no server goes away here");
        let late = self.late.iter().position(|&id| id == wake.ticket.id);
        if let Some(late) = late {
            self.late.swap_remove(late);
            // The stream is gone; its slot is given back at once.
            if let Some(wake) = self.farm.release(server) {
                self.post[usize::from(wake.ticket.shard)].send(wake).unwrap();
            }
            return;
        }
        let at = self.waiting.iter().position(|&(id, _)| id == wake.ticket.id);
        self.waiting.swap_remove(at.expect("woken once, and only while waiting"));
        self.enter(server);
    }

    fn give_up_one(&mut self) {
        let at = self.rng.below(self.waiting.len() as u64) as usize;
        let (id, key) = self.waiting.swap_remove(at);
        self.served += 1;
        if !self.farm.cancel(key) {
            self.late.push(id);
        }
    }

    fn run(mut self, streams: u32) -> u32 {
        for id in 0..u64::from(streams) {
            self.start(id);
            while let Ok(wake) = self.mail.try_recv() {
                self.take(wake);
            }
            if self.rng.percent(60)
                && let Some(id) = self.held.pop_front()
            {
                self.leave(id);
            }
            if self.rng.percent(5) && !self.waiting.is_empty() {
                self.give_up_one();
            }
        }
        while !(self.held.is_empty() && self.waiting.is_empty() && self.late.is_empty()) {
            match self.held.pop_front() {
                Some(id) => self.leave(id),
                None => {
                    let wake = self.mail.recv_timeout(Duration::from_secs(20));
                    self.take(wake.expect("a wake-up was lost"));
                }
            }
            while let Ok(wake) = self.mail.try_recv() {
                self.take(wake);
            }
        }
        self.served
    }
}

#[test]
fn across_threads_no_limit_is_exceeded_and_no_wake_up_is_lost() {
    const STREAMS: u32 = 5_000;
    for (seed, maxconns) in [(1, &[1][..]), (2, &[3, 1]), (3, &[2, 5, 1, 1])] {
        let farm = Farm::new(specs(maxconns), false, u32::MAX, 0);
        let witness: Vec<AtomicU32> = maxconns.iter().map(|_| AtomicU32::new(0)).collect();
        let (post, mail): (Vec<_>, Vec<_>) = (0..4).map(|_| unbounded()).unzip();
        let served: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = mail
                .into_iter()
                .enumerate()
                .map(|(index, mail)| {
                    let shard = Shard {
                        index: index as u16,
                        farm: &farm,
                        witness: &witness,
                        post: &post,
                        mail,
                        rng: Rng::new(seed * 100 + index as u64),
                        held: VecDeque::new(),
                        waiting: Vec::new(),
                        late: Vec::new(),
                        served: 0,
                    };
                    scope.spawn(move || shard.run(STREAMS))
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!(served, 4 * STREAMS, "seed {seed}");
        assert_eq!(farm.current() + farm.queued_total(), 0, "seed {seed}");
        for (server, maxconn) in farm.servers().iter().zip(maxconns) {
            assert!(server.current_max() <= *maxconn, "seed {seed}");
        }
    }
}

/// One stream ends in the moment another lines up: the slot must reach it on one of the two ways, in every round.
#[test]
fn a_release_and_an_arrival_at_the_same_time_never_miss_each_other() {
    const ROUNDS: u32 = 3_000;
    let farm = farm(&[1]);
    let (turn, granted) = (AtomicU32::new(0), AtomicU32::new(0));
    let reach = |step: u32| {
        for spins in 0.. {
            if turn.load(SeqCst) >= step {
                break;
            }
            match spins < 2_000 {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
    };
    // Nothing panics inside the scope: the other thread would wait for ever.
    let mut missed = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..ROUNDS {
                let lane = round.is_multiple_of(2).then_some(0);
                reach(3 * round + 1);
                turn.fetch_add(1, SeqCst);
                let lined_up = farm.enqueue(lane, ticket(round.into()));
                granted.store(u32::from(lined_up == Enqueue::Granted(0)), SeqCst);
                turn.fetch_add(1, SeqCst);
            }
        });
        let mut rng = Rng::new(1);
        for round in 0..ROUNDS {
            let first = farm.try_acquire(0);
            turn.fetch_add(1, SeqCst);
            reach(3 * round + 2);
            for _ in 0..rng.below(60) {
                std::hint::spin_loop();
            }
            let woken = farm.release(0);
            reach(3 * round + 3);
            let expected = match granted.load(SeqCst) {
                0 => Some(wake(round.into(), Some(0))),
                _ => None,
            };
            if !first || woken != expected || farm.release(0).is_some() {
                missed.push((round, woken));
            }
        }
    });
    assert_eq!(missed, []);
    assert_eq!((farm.current(), farm.queued_total()), (0, 0));
}
