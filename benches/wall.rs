//! Wall time of the hot path's operations. `cargo bench --bench wall [-- filter]`
//!
//! A few copies of each operation are prepared, then timed in a row, so that neither preparation nor clock counts much.
//! Compare runs with each other, and take `instructions` where a number has to hold on any machine.

mod cases;

use std::time::{Duration, Instant};

use criterion::Criterion;

/// Copies of an operation that are timed in a row; more of them would fall out of the caches that a shard lives in.
const COPIES: u64 = 8;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for case in cases::all() {
        let mut ops: Vec<_> = (0..COPIES).map(|_| (case.make)()).collect();
        criterion.bench_function(case.name, |bencher| {
            bencher.iter_custom(|runs| {
                let mut took = Duration::ZERO;
                let mut left = runs;
                while left > 0 {
                    let row = &mut ops[..left.min(COPIES) as usize];
                    row.iter_mut().for_each(|op| op.prepare());
                    let begun = Instant::now();
                    row.iter_mut().for_each(|op| op.run());
                    took += begun.elapsed();
                    left -= row.len() as u64;
                }
                took
            });
        });
    }
    criterion.final_summary();
}
