//! Comparing ASCII text without case, eight bytes at a time.
//!
//! Header names and hosts are compared many times per request. It never looks at a locale: bytes above 127 are only
//! equal to themselves.

const ONES: u64 = u64::from_ne_bytes([1; 8]);
const HIGHS: u64 = ONES << 7;

/// Returns whether two texts differ at most in the case of their letters A to Z.
#[inline]
pub fn same_ignoring_case(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(one_end), Some(other_end)) => {
            // The last eight bytes overlap the words before them, so that nothing is left over.
            same_word(*one_end, *other_end)
                && one
                    .as_chunks::<8>()
                    .0
                    .iter()
                    .zip(other.as_chunks::<8>().0)
                    .all(|(one, other)| same_word(*one, *other))
        }
        _ => one.iter().zip(other).all(|(one, other)| one.eq_ignore_ascii_case(other)),
    }
}

#[inline]
fn same_word(one: [u8; 8], other: [u8; 8]) -> bool {
    let (one, other) = (u64::from_ne_bytes(one), u64::from_ne_bytes(other));
    one == other || lowered(one) == lowered(other)
}

/// Sets bit 5 of every byte from A to Z.
#[inline]
fn lowered(word: u64) -> u64 {
    let low = word & !HIGHS;
    let from_a = low + ONES * u64::from(0x80 - b'A');
    let behind_z = low + ONES * u64::from(0x80 - b'Z' - 1);
    word | ((from_a & !behind_z & !word & HIGHS) >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_pair_of_bytes_compares_as_in_std() {
        for one in 0..=255u8 {
            for other in 0..=255u8 {
                for length in [1, 8, 11] {
                    let (one, other) = (vec![one; length], vec![other; length]);
                    let expected = one.eq_ignore_ascii_case(&other);
                    assert_eq!(same_ignoring_case(&one, &other), expected, "{one:?} {other:?}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn one_other_byte_is_found_wherever_it_is(
            text in proptest::collection::vec(any::<u8>(), 1..40),
            at in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            let mut other = text.to_ascii_uppercase();
            prop_assert!(same_ignoring_case(&text, &other));
            let at = at.index(other.len());
            other[at] = byte;
            prop_assert_eq!(same_ignoring_case(&text, &other), text.eq_ignore_ascii_case(&other));
        }
    }
}
