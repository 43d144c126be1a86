//! How many shards there are and which CPU each runs on.
//!
//! `--cores 0,2-5` names CPUs; a number alone says how many shards. Without either, `nbthread` says it, else every CPU
//! that the process may use gets one. Shards are pinned to CPUs that were named (or mapped by `cpu-map`), and when
//! there is exactly one per CPU; otherwise the kernel places them.

use std::fmt;
use std::str::FromStr;

/// Shards that one process may have.
pub const SHARDS_MAX: usize = 256;

/// The value of `--cores`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cores {
    /// How many.
    Count(usize),
    /// Which CPUs.
    List(Vec<usize>),
}

impl FromStr for Cores {
    type Err = String;

    /// Reads `4`, or a list such as `0,2-5`; a list of one CPU is written `3-3` or `3,`.
    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| {
            text.parse::<usize>().map_err(|_| format!("`{text}` is not a number of a CPU"))
        };
        if !text.contains([',', '-']) && text != "0" {
            let count = number(text)?;
            return match count {
                1..=SHARDS_MAX => Ok(Cores::Count(count)),
                _ => Err(format!("1 to {SHARDS_MAX} shards are possible")),
            };
        }
        let mut cpus = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= 4096 {
                return Err(format!("`{part}` is not a range of CPUs"));
            }
            cpus.extend(first..=last);
        }
        cpus.sort_unstable();
        cpus.dedup();
        match cpus.len() {
            1..=SHARDS_MAX => Ok(Cores::List(cpus)),
            _ => Err(format!("1 to {SHARDS_MAX} shards are possible")),
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cores::Count(count) => write!(f, "{count}"),
            Cores::List(cpus) => {
                let cpus: Vec<String> = cpus.iter().map(usize::to_string).collect();
                write!(f, "{}", cpus.join(","))
            }
        }
    }
}

/// The CPU of each shard, as far as it is fixed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placement {
    cpus: Vec<Option<usize>>,
}

impl Placement {
    /// Places shards on the CPUs `allowed` to the process.
    ///
    /// # Errors
    /// Which CPU the process may not use.
    pub fn new(
        cores: Option<&Cores>,
        nbthread: Option<u32>,
        cpu_map: &[Option<usize>],
        allowed: &[usize],
    ) -> Result<Self, String> {
        if let Some(Cores::List(cpus)) = cores {
            if let Some(cpu) = cpus.iter().find(|cpu| !allowed.contains(cpu)) {
                return Err(format!(
                    "CPU {cpu} is not among those this process may use: {allowed:?}"
                ));
            }
            return Ok(Self { cpus: cpus.iter().copied().map(Some).collect() });
        }
        let count = match (cores, nbthread) {
            (Some(&Cores::Count(count)), _) => count,
            (_, Some(count)) => count as usize,
            _ => allowed.len(),
        };
        let count = count.clamp(1, SHARDS_MAX);
        let one_each = count == allowed.len();
        let cpu = |shard: usize| {
            let mapped = cpu_map.get(shard).copied().flatten().filter(|cpu| allowed.contains(cpu));
            mapped.or_else(|| one_each.then(|| allowed[shard]))
        };
        Ok(Self { cpus: (0..count).map(cpu).collect() })
    }

    /// Returns the number of shards.
    pub fn len(&self) -> usize {
        self.cpus.len()
    }

    /// Returns whether there is no shard.
    pub fn is_empty(&self) -> bool {
        self.cpus.is_empty()
    }

    /// Returns the CPU of a shard, if it is fixed.
    pub fn cpu(&self, shard: usize) -> Option<usize> {
        self.cpus.get(shard).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_count_and_a_list_names_cpus() {
        assert_eq!("4".parse(), Ok(Cores::Count(4)));
        assert_eq!("0,2-4,3".parse(), Ok(Cores::List(vec![0, 2, 3, 4])));
        assert_eq!("0".parse(), Ok(Cores::List(vec![0])));
        assert_eq!("3-3".parse(), Ok(Cores::List(vec![3])));
        for wrong in ["", "x", "5-2", "-", "1,x", "9999", "0-9999"] {
            assert!(wrong.parse::<Cores>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn named_cpus_pin_and_a_count_pins_only_when_it_covers_every_cpu() {
        let place = |cores: &str, allowed: &[usize]| {
            Placement::new(cores.parse().ok().as_ref(), Some(3), &[], allowed)
        };
        assert_eq!(place("1-1", &[0, 1]).expect("allowed").cpus, [Some(1)]);
        assert!(place("5,6", &[0, 1]).is_err());
        assert_eq!(place("2", &[4, 6]).expect("a count").cpus, [Some(4), Some(6)]);
        assert_eq!(place("1", &[4, 6]).expect("a count").cpus, [None]);
    }

    #[test]
    fn without_cores_nbthread_counts_and_cpu_map_pins() {
        let placement = Placement::new(None, Some(3), &[Some(1), None, Some(9)], &[0, 1]);
        assert_eq!(placement.expect("fine").cpus, [Some(1), None, None]);
        let all = Placement::new(None, None, &[], &[2, 3]).expect("fine");
        assert_eq!((all.len(), all.cpu(1)), (2, Some(3)));
    }
}
