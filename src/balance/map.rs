//! The static map: one slot per unit of weight, spread evenly; what `static-rr` walks and `source` indexes.
//!
//! Observed from a real haproxy over many weights: weights are divided by their greatest common divisor; for each
//! slot every server earns its weight in credit, the slot goes to the server (the first declared of several) that
//! has most whole rounds of credit, and the winner pays one round, which is the total weight.

use crate::server::{Farm, ServerId};

/// Replaces `map` by the slots of the chosen servers.
pub(super) fn fill(map: &mut Vec<ServerId>, farm: &Farm, chosen: &[ServerId]) {
    map.clear();
    let divisor = chosen.iter().fold(0, |d, &id| gcd(d, farm.server(id).weight()));
    if divisor == 0 {
        return;
    }
    let weights: Vec<i64> =
        chosen.iter().map(|&id| i64::from(farm.server(id).weight() / divisor)).collect();
    spread(&weights, |at| map.push(chosen[at]));
}

/// Calls `slot` with the index that each slot goes to, in order, for positive weights.
fn spread(weights: &[i64], mut slot: impl FnMut(usize)) {
    let round: i64 = weights.iter().sum();
    let mut credits = vec![0; weights.len()];
    for _ in 0..round {
        let mut winner = (0, i64::MIN);
        for (at, (credit, weight)) in credits.iter_mut().zip(weights).enumerate() {
            *credit += weight;
            let whole = credit.div_euclid(round);
            if whole > winner.1 {
                winner = (at, whole);
            }
        }
        credits[winner.0] -= round;
        slot(winner.0);
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map_of(weights: &[i64]) -> Vec<usize> {
        let mut map = Vec::new();
        spread(weights, |at| map.push(at + 1));
        map
    }

    #[test]
    fn slots_stand_in_the_order_of_haproxy() {
        for (weights, want) in [
            (vec![1, 1, 1], vec![1, 2, 3]),
            (vec![1, 3], vec![1, 2, 2, 2]),
            (vec![5, 1, 1], vec![1, 1, 1, 2, 1, 1, 3]),
            (vec![1, 2, 3], vec![1, 3, 2, 3, 2, 3]),
            (vec![3, 2, 1], vec![1, 1, 2, 1, 2, 3]),
            (vec![7, 3], vec![1, 1, 1, 2, 1, 1, 2, 1, 1, 2]),
            (vec![4, 3, 2, 1], vec![1, 2, 1, 2, 3, 1, 2, 1, 3, 4]),
            (vec![5, 3, 4], vec![1, 2, 3, 1, 1, 3, 2, 1, 3, 1, 2, 3]),
        ] {
            assert_eq!(map_of(&weights), want, "{weights:?}");
        }
    }

    #[test]
    fn every_server_has_slots_by_weight() {
        let weights = [3, 1, 4, 15, 9, 2, 6];
        let map = map_of(&weights);
        for (at, weight) in weights.iter().enumerate() {
            let slots = map.iter().filter(|&&slot| slot == at + 1).count();
            assert_eq!(slots as i64, *weight);
        }
    }
}
