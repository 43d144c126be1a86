//! Addresses and networks as patterns (manual 7.1.6).

use crate::rules::sample::{mask4, mask6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 and IPv6, each sorted and without overlaps.
#[derive(Debug, Default)]
pub struct Networks {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
    /// Networks under masks that are not a row of ones: address and mask.
    odd_v4: Vec<(u32, u32)>,
}

/// A parsed address pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Address (already masked) and mask.
    V4(Ipv4Addr, Ipv4Addr),
    /// Address (already masked) and mask.
    V6(Ipv6Addr, Ipv6Addr),
}

impl Network {
    /// Parses `10.0.0.0/8`, `192.168.1` (192.168.0.1), `10.0.0.0/255.0.0.0`, `::1`, `2001:db8::/32`.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        if let Some(address) = short_v4(address) {
            let mask = match mask {
                None => Ipv4Addr::BROADCAST,
                Some(mask) => match mask.parse::<u32>() {
                    Ok(bits) if bits <= 32 => mask4(bits),
                    Ok(_) => return None,
                    Err(_) => mask.parse().ok()?,
                },
            };
            return Some(Network::V4(Ipv4Addr::from(u32::from(address) & u32::from(mask)), mask));
        }
        let address: Ipv6Addr = address.parse().ok()?;
        let bits = mask.map_or(Ok(128), str::parse).ok().filter(|bits| *bits <= 128)?;
        let mask = mask6(bits);
        Some(Network::V6(Ipv6Addr::from(u128::from(address) & u128::from(mask)), mask))
    }
}

/// Parses an IPv4 address whose zero bytes in the middle may be left out: `10.1` is 10.0.0.1, and `10` is 0.0.0.10.
fn short_v4(text: &str) -> Option<Ipv4Addr> {
    let (mut octets, mut count) = ([0u8; 4], 0);
    for part in text.split('.') {
        if count == 4 || part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        octets[count] = part.parse().ok()?;
        count += 1;
    }
    // The last one that is written is the last one.
    octets.swap(count - 1, 3);
    Some(Ipv4Addr::from(octets))
}

impl Networks {
    /// Returns the set of these networks.
    pub fn new(networks: &[Network]) -> Self {
        let mut set = Self::default();
        for network in networks {
            match *network {
                Network::V4(address, mask) => {
                    let (address, mask) = (u32::from(address), u32::from(mask));
                    if mask.count_ones() == mask.leading_ones() {
                        set.v4.push((address, address | !mask));
                    } else {
                        set.odd_v4.push((address, mask));
                    }
                }
                Network::V6(address, mask) => {
                    let address = u128::from(address);
                    set.v6.push((address, address | !u128::from(mask)));
                }
            }
        }
        merge(&mut set.v4);
        merge(&mut set.v6);
        set
    }

    /// Returns whether an address is in one of the networks; IPv4 inside IPv6 counts as IPv4 and the other way round.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => {
                self.contains_v4(u32::from(address))
                    || inside(&self.v6, u128::from(address.to_ipv6_mapped()))
            }
            IpAddr::V6(address) => {
                inside(&self.v6, u128::from(address))
                    || embedded_v4(address).is_some_and(|address| self.contains_v4(address))
            }
        }
    }

    fn contains_v4(&self, address: u32) -> bool {
        inside(&self.v4, address)
            || self.odd_v4.iter().any(|(network, mask)| address & mask == *network)
    }
}

/// Returns the IPv4 address inside `::ffff:a.b.c.d`, `::a.b.c.d` or `2002:ab:cd::`.
pub(super) fn embedded_v4(address: Ipv6Addr) -> Option<u32> {
    let bits = u128::from(address);
    match bits >> 32 {
        0 | 0xffff => Some(bits as u32),
        _ if bits >> 112 == 0x2002 => Some((bits >> 80) as u32),
        _ => None,
    }
}

fn merge<T: Ord + Copy>(ranges: &mut Vec<(T, T)>) {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for range in ranges.drain(..) {
        match merged.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            _ => merged.push(range),
        }
    }
    *ranges = merged;
}

fn inside<T: Ord + Copy>(ranges: &[(T, T)], value: T) -> bool {
    let at = ranges.partition_point(|range| range.0 <= value);
    at > 0 && value <= ranges[at - 1].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_match_networks_of_either_family() {
        let set = |texts: &[&str]| {
            let networks: Vec<Network> = texts.iter().map(|t| Network::parse(t).unwrap()).collect();
            Networks::new(&networks)
        };
        for (networks, address, is) in [
            (&["10.0.0.0/8"][..], "10.255.0.1", true),
            (&["10.0.0.0/8"], "11.0.0.0", false),
            (&["10.0.0.0/8"], "::ffff:10.1.1.1", true),
            (&["10.0.0.0/8"], "::10.1.1.1", true),
            (&["10.0.0.0/8"], "2002:a01:203::", true),
            (&["10.0.0.0/8"], "2001:db8::1", false),
            (&["2001:db8::/32"], "2001:db8:ffff::", true),
            (&["::ffff:0:0/96"], "1.2.3.4", true),
            (&["192.168.1"], "192.168.0.1", true),
            (&["10.0.0.7/255.0.0.255"], "10.9.9.7", true),
            (&["10.0.0.7/255.0.0.255"], "10.9.9.8", false),
            (&["0.0.0.0/0"], "9.9.9.9", true),
            (&["10.0.0.0/9", "10.128.0.0/9", "10.4.0.0/16"], "10.200.0.1", true),
            (&[], "1.1.1.1", false),
        ] {
            assert_eq!(
                set(networks).contains(address.parse().unwrap()),
                is,
                "{networks:?} {address}"
            );
        }
        for bad in [
            "",
            "/",
            "1.2.3.4.5",
            "1..2",
            "256.0.0.0",
            "1.2.3.4/33",
            "::1/129",
            "::1/x",
            "a.b",
            "1/255.0.0",
        ] {
            assert_eq!(Network::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn merged_networks_hold_what_each_of_them_holds(
            networks in proptest::collection::vec((any::<u32>(), 0u32..=32), 0..12),
            address: u32,
        ) {
            let address = Ipv4Addr::from(address);
            let parsed: Vec<Network> = networks
                .iter()
                .map(|(net, bits)| Network::parse(&format!("{}/{bits}", Ipv4Addr::from(*net))).unwrap())
                .collect();
            let inside = |(net, bits): &(u32, u32)| {
                let mask = u32::from(mask4(*bits));
                u32::from(address) & mask == net & mask
            };
            let set = Networks::new(&parsed);
            prop_assert_eq!(set.contains(IpAddr::V4(address)), networks.iter().any(inside));
            prop_assert_eq!(
                set.contains(IpAddr::V6(address.to_ipv6_mapped())),
                networks.iter().any(inside)
            );
        }
    }
}
