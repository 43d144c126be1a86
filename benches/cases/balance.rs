//! Choosing a server and taking and giving back its slot.

use std::fmt::Write;
use std::hint::black_box;
use std::sync::Arc;

use fastlb::balance::{Balancer, Key};
use fastlb::server::Farm;

use super::stream::plan;
use super::{Case, Op, Steps};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, make| Case { name, make };
    vec![
        case("balance/roundrobin/10 servers", || pick("roundrobin", 10)),
        case("balance/roundrobin/500 servers", || pick("roundrobin", 500)),
        case("balance/leastconn/10 servers", || pick("leastconn", 10)),
        case("balance/leastconn/500 servers", || pick("leastconn", 500)),
        case("balance/source/10 servers", || pick("source", 10)),
        case("balance/source/500 servers", || pick("source", 500)),
        case("slot/try_acquire + release, maxconn", slot),
    ]
}

/// Returns the farm of a backend whose servers have a `maxconn`, some of their slots taken, and its chooser.
fn backend(balance: &str, servers: usize) -> (Arc<Farm>, Balancer) {
    let mut config = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 1s\n timeout server 1s\n\
         frontend www\n bind 127.0.0.1:8080\n default_backend app\n\
         backend app\n balance {balance}\n default-server maxconn 100\n"
    );
    for number in 0..servers {
        writeln!(config, " server s{number} 127.0.0.1:{}", 10_000 + number).expect("a string");
    }
    let plan = plan(&config);
    let farm = Arc::clone(&plan.farms[0]);
    for server in 0..servers {
        for _ in 0..server % 7 {
            assert!(farm.try_acquire(server));
        }
    }
    let balancer = Balancer::new(&plan.backends[0].balance, &farm, 0);
    (farm, balancer)
}

/// What a stream does: choose, take the slot, give it back.
fn pick(balance: &str, servers: usize) -> Box<dyn Op> {
    Box::new(Steps {
        state: backend(balance, servers),
        prepare: |_: &mut (Arc<Farm>, Balancer)| (),
        run: |(farm, balancer): &mut (Arc<Farm>, Balancer)| {
            let key = Key::Address([192, 0, 2, 7].into());
            let server = balancer.pick(farm, black_box(&key), None).expect("a server is free");
            assert!(farm.try_acquire(server));
            assert!(farm.release(server).is_none());
        },
    })
}

fn slot() -> Box<dyn Op> {
    Box::new(Steps {
        state: backend("roundrobin", 10),
        prepare: |_: &mut (Arc<Farm>, Balancer)| (),
        run: |(farm, _): &mut (Arc<Farm>, Balancer)| {
            let server = black_box(3);
            assert!(farm.try_acquire(server));
            assert!(farm.release(server).is_none());
        },
    })
}
