//! Wall time of the hot path's operations. `cargo bench --bench wall [-- filter]`
//!
//! Times include the preparation of each operation (a copy of its input); compare runs with each other, and take
//! `instructions` where a number has to hold on any machine.

mod cases;

use criterion::Criterion;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for case in cases::all() {
        let mut op = (case.make)();
        criterion.bench_function(case.name, |bencher| {
            bencher.iter(|| {
                op.prepare();
                op.run();
            });
        });
    }
    criterion.final_summary();
}
