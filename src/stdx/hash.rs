//! Placement hashes, as `hash-type` and the converters of the same names know them.
//!
//! They spread keys over servers and are no defence against chosen keys. To add one, write the function and a
//! row in [`FUNCTIONS`]; the tests hold what a real haproxy answers for each.

/// A placement hash: bytes in, 32 bits out.
pub type Function = fn(&[u8]) -> u32;

/// The functions by the name that `hash-type` takes, sorted by name.
pub const FUNCTIONS: &[(&str, Function)] = &[("crc32", crc32), ("djb2", djb2), ("sdbm", sdbm)];

/// Returns the sdbm hash: `h = 65599 * h + byte`.
pub fn sdbm(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |h: u32, &b| h.wrapping_mul(65_599).wrapping_add(b.into()))
}

/// Returns Dan Bernstein's second hash: `h = 33 * h + byte`, from 5381.
pub fn djb2(bytes: &[u8]) -> u32 {
    bytes.iter().fold(5381, |h: u32, &b| h.wrapping_mul(33).wrapping_add(b.into()))
}

/// Returns the CRC-32 of Ethernet, gzip and PNG (reflected polynomial 0xedb88320).
pub fn crc32(bytes: &[u8]) -> u32 {
    crc(&CRC32_TABLE, bytes)
}

/// Returns the CRC-32C of iSCSI and SCTP (reflected polynomial 0x82f63b78; RFC 4960, appendix B).
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc(&CRC32C_TABLE, bytes)
}

fn crc(table: &[u32; 256], bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |crc: u32, &b| table[((crc ^ u32::from(b)) & 0xff) as usize] ^ (crc >> 8))
}

/// Mixes all bits of a hash into all others: the `avalanche` modifier.
///
/// It is the six-shift function of Bob Jenkins's public-domain page on integer hashing, with its two lowest bits,
/// three times, added to the two highest: that is what a real haproxy answers.
pub fn avalanche(hash: u32) -> u32 {
    let mut a = hash;
    a = a.wrapping_add(0x7ed5_5d16).wrapping_add(a << 12);
    a = (a ^ 0xc761_c23c) ^ (a >> 19);
    a = a.wrapping_add(0x1656_67b1).wrapping_add(a << 5);
    a = a.wrapping_add(0xd3a2_646c) ^ (a << 9);
    a = a.wrapping_add(0xfd70_46c5).wrapping_add(a << 3);
    a = (a ^ 0xb55a_4f09) ^ (a >> 16);
    a.wrapping_add((a << 30).wrapping_mul(3))
}

const CRC32_TABLE: [u32; 256] = crc_table(0xedb8_8320);
const CRC32C_TABLE: [u32; 256] = crc_table(0x82f6_3b78);

const fn crc_table(polynomial: u32) -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Key, then what haproxy 2.6's converters sdbm, djb2 and crc32 answer: plain, and with avalanche.
    const ORACLE: &[(&str, [u32; 6])] = &[
        ("a", [97, 1830748055, 177670, 3548763807, 3904355907, 1288200982]),
        ("ab", [6363201, 3352188731, 5863208, 282820760, 2659403885, 854450000]),
        ("foo", [849955110, 2735148936, 193491849, 1117544652, 2356372769, 889128046]),
        ("hello world", [430867652, 261123301, 894552257, 2328455893, 222957957, 2832483188]),
        (
            "The quick brown fox jumps over the lazy dog",
            [2359783795, 4144961173, 885799134, 3419350371, 1095738169, 1090730130],
        ),
        ("/index.html", [858007926, 4217574924, 3776231887, 1889807916, 3928116034, 571229468]),
    ];

    #[test]
    fn hashes_are_those_of_haproxy() {
        for (key, want) in ORACLE {
            let plain = [sdbm, djb2, crc32].map(|hash: Function| hash(key.as_bytes()));
            let got = [
                plain[0],
                avalanche(plain[0]),
                plain[1],
                avalanche(plain[1]),
                plain[2],
                avalanche(plain[2]),
            ];
            assert_eq!(&got, want, "{key}");
        }
    }

    #[test]
    fn crc32c_is_that_of_the_check_string() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn functions_are_sorted_by_name() {
        assert!(FUNCTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
