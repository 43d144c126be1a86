//! Writing numbers and addresses into byte buffers without formatting machinery.

use std::net::IpAddr;

/// Appends a number in decimal.
pub(crate) fn int(out: &mut Vec<u8>, number: i64) {
    if number < 0 {
        out.push(b'-');
    }
    uint(out, number.unsigned_abs());
}

/// Appends an unsigned number in decimal.
pub(crate) fn uint(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends a number in decimal with leading zeros up to `width` digits.
pub(crate) fn padded(out: &mut Vec<u8>, number: u64, width: usize) {
    let mut bound = 10u64;
    for _ in 1..width {
        if number < bound {
            out.push(b'0');
        }
        bound = bound.saturating_mul(10);
    }
    // The zeros were pushed first, so the digits follow them: 7 with width 3 is "00" and then "7".
    uint(out, number);
}

/// Appends an address in its usual notation.
pub(crate) fn ip(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                uint(out, u64::from(octet));
            }
        }
        IpAddr::V6(address) => {
            use std::io::Write;
            // Writing into a Vec cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// Appends bytes as hexadecimal digits.
pub(crate) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_format_would() {
        for number in [0, 1, -1, 9, 10, 99, 100, 12345, -6789, i64::MAX, i64::MIN] {
            let mut out = Vec::new();
            int(&mut out, number);
            assert_eq!(String::from_utf8_lossy(&out), number.to_string());
        }
        for (number, width, text) in [(7, 3, "007"), (42, 2, "42"), (1234, 2, "1234"), (0, 2, "00")] {
            let mut out = Vec::new();
            padded(&mut out, number, width);
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
    }

    #[test]
    fn addresses_and_hexadecimal_have_their_usual_form() {
        let mut out = Vec::new();
        ip(&mut out, "10.0.203.4".parse().unwrap());
        out.push(b' ');
        ip(&mut out, "2001:db8::1".parse().unwrap());
        out.push(b' ');
        hex(&mut out, b"\x00\xffA");
        assert_eq!(out, b"10.0.203.4 2001:db8::1 00FF41");
    }
}
