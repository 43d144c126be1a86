//! Password hashes as crypt(3) makes them: MD5 (`$1$`), SHA-256 (`$5$`), SHA-512 (`$6$`) and bcrypt (`$2b$`).
//!
//! SHA-crypt follows Ulrich Drepper's specification of 2008. Checking a password is slow by design: whoever calls
//! [`Hash::matches`] decides on which thread, and how often. A new scheme is a variant of [`Scheme`] and an arm in
//! [`Hash::parse`] and [`Hash::matches`].

use aws_lc_rs::digest;
use md5::{Digest, Md5};

/// Passwords of this length and longer match nothing, as in the system's crypt(3): the cost grows with the length.
pub const PASSWORD_BYTES_MAX: usize = 512;
/// Rounds of SHA-crypt when the hash does not say.
const SHA_ROUNDS: u32 = 5_000;
/// The alphabet of crypt(3).
const DIGITS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// How a password was hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Md5,
    Sha256 { rounds: u32 },
    Sha512 { rounds: u32 },
    Bcrypt,
}

/// A hashed password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hash {
    scheme: Scheme,
    salt: Box<[u8]>,
    /// What must come out, without scheme and salt; for bcrypt all of it.
    expected: Box<str>,
}

/// Why a text is no hash that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It does not look like any hash.
    NoHash,
    /// It is made by a scheme of that name, which is not supported.
    Scheme(&'static str),
    /// The salt or the digest is not as the scheme has it.
    Malformed,
    /// The number of rounds is not in `1000..=999999999`.
    Rounds,
}

/// Beginnings of hashes that others make.
const OTHERS: &[(&str, &str)] = &[
    ("$3$", "NT hash"),
    ("$7$", "scrypt"),
    ("$apr1$", "Apache's MD5"),
    ("$argon2", "Argon2"),
    ("$gy$", "gost-yescrypt"),
    ("$md5", "Sun's MD5"),
    ("$sha1$", "PBKDF1 with SHA-1"),
    ("$y$", "yescrypt"),
    ("{", "LDAP"),
];

impl Hash {
    /// Reads a hash.
    ///
    /// # Errors
    /// Why it is none that can be checked.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        if let Some(rest) = text.strip_prefix("$1$") {
            return Self::salted(Scheme::Md5, rest, 8, 22);
        }
        if let Some(rest) = text.strip_prefix("$5$") {
            let (rounds, rest) = rounds_of(rest)?;
            return Self::salted(Scheme::Sha256 { rounds }, rest, 16, 43);
        }
        if let Some(rest) = text.strip_prefix("$6$") {
            let (rounds, rest) = rounds_of(rest)?;
            return Self::salted(Scheme::Sha512 { rounds }, rest, 16, 86);
        }
        if ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|prefix| text.starts_with(prefix)) {
            // The cost, the salt and the digest are read together by who checks them.
            return match text.len() == 60 && text.parse::<bcrypt::HashParts>().is_ok() {
                true => {
                    Ok(Self { scheme: Scheme::Bcrypt, salt: Box::default(), expected: text.into() })
                }
                false => Err(Problem::Malformed),
            };
        }
        if let Some((_, name)) = OTHERS.iter().find(|(prefix, _)| text.starts_with(prefix)) {
            return Err(Problem::Scheme(name));
        }
        match text.len() == 13 && text.bytes().all(|byte| DIGITS.contains(&byte)) {
            true => Err(Problem::Scheme("DES")),
            false => Err(Problem::NoHash),
        }
    }

    /// Reads `<salt>$<digest>`.
    fn salted(scheme: Scheme, rest: &str, salt_max: usize, digits: usize) -> Result<Self, Problem> {
        let (salt, expected) = rest.split_once('$').ok_or(Problem::Malformed)?;
        let digest = expected.len() == digits && expected.bytes().all(|b| DIGITS.contains(&b));
        if !digest {
            return Err(Problem::Malformed);
        }
        // What is longer counts for nothing, and crypt(3) leaves it out of its answer: such a hash never matches.
        if salt.len() > salt_max {
            return Err(Problem::Malformed);
        }
        Ok(Self { scheme, salt: salt.as_bytes().into(), expected: expected.into() })
    }

    /// Returns whether it is the hash of that password; takes milliseconds.
    pub fn matches(&self, password: &[u8]) -> bool {
        // C ends a password at its first null byte, so none has one.
        if password.len() >= PASSWORD_BYTES_MAX || password.contains(&0) {
            return false;
        }
        let found = match self.scheme {
            Scheme::Md5 => md5_crypt(password, &self.salt),
            Scheme::Sha256 { rounds } => {
                let hash = sha_crypt(&digest::SHA256, password, &self.salt, rounds);
                encode(&hash, &triples::<10>([0, 10, 20], [2, 0, 1]), &[31, 30])
            }
            Scheme::Sha512 { rounds } => {
                let hash = sha_crypt(&digest::SHA512, password, &self.salt, rounds);
                encode(&hash, &triples::<21>([0, 21, 42], [1, 2, 0]), &[63])
            }
            Scheme::Bcrypt => return bcrypt::verify(password, &self.expected).unwrap_or(false),
        };
        let (found, expected) = (found.as_bytes(), self.expected.as_bytes());
        aws_lc_rs::constant_time::verify_slices_are_equal(found, expected).is_ok()
    }
}

/// Reads `rounds=<number>$` if it is there.
fn rounds_of(text: &str) -> Result<(u32, &str), Problem> {
    let Some(rest) = text.strip_prefix("rounds=") else { return Ok((SHA_ROUNDS, text)) };
    let (number, rest) = rest.split_once('$').ok_or(Problem::Malformed)?;
    match number.parse() {
        Ok(rounds @ 1_000..=999_999_999) if !number.starts_with(['0', '+']) => Ok((rounds, rest)),
        _ => Err(Problem::Rounds),
    }
}

/// The steps of the specification by their numbers.
fn sha_crypt(
    algorithm: &'static digest::Algorithm,
    password: &[u8],
    salt: &[u8],
    rounds: u32,
) -> Vec<u8> {
    let of = |parts: &[&[u8]]| {
        let mut context = digest::Context::new(algorithm);
        parts.iter().for_each(|part| context.update(part));
        context.finish()
    };
    // 4 to 8
    let second = of(&[password, salt, password]);
    // 1 to 3, 9 to 12
    let mut context = digest::Context::new(algorithm);
    context.update(password);
    context.update(salt);
    context.update(&repeated(second.as_ref(), password.len()));
    let mut bits = password.len();
    while bits > 0 {
        context.update(if bits & 1 == 1 { second.as_ref() } else { password });
        bits >>= 1;
    }
    let mut last = context.finish();
    // 13 to 16
    let mut context = digest::Context::new(algorithm);
    (0..password.len()).for_each(|_| context.update(password));
    let p = repeated(context.finish().as_ref(), password.len());
    // 17 to 20
    let mut context = digest::Context::new(algorithm);
    (0..16 + usize::from(last.as_ref()[0])).for_each(|_| context.update(salt));
    let s = repeated(context.finish().as_ref(), salt.len());
    // 21
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let mut context = digest::Context::new(algorithm);
        context.update(if odd { &p } else { last.as_ref() });
        if round % 3 != 0 {
            context.update(&s);
        }
        if round % 7 != 0 {
            context.update(&p);
        }
        context.update(if odd { last.as_ref() } else { &p });
        last = context.finish();
    }
    last.as_ref().to_vec()
}

fn md5_crypt(password: &[u8], salt: &[u8]) -> String {
    let of = |parts: &[&[u8]]| {
        let mut context = Md5::new();
        parts.iter().for_each(|part| context.update(part));
        context.finalize()
    };
    let second = of(&[password, salt, password]);
    let mut context = Md5::new();
    for part in [password, b"$1$", salt, &repeated(&second, password.len())] {
        context.update(part);
    }
    let mut bits = password.len();
    while bits > 0 {
        context.update(if bits & 1 == 1 { b"\0" } else { &password[..1] });
        bits >>= 1;
    }
    let mut last = context.finalize();
    for round in 0..1_000 {
        let odd = round % 2 == 1;
        let ends: [&[u8]; 2] = if odd { [password, &last] } else { [&last, password] };
        let salt = if round % 3 != 0 { salt } else { b"" };
        let middle = if round % 7 != 0 { password } else { b"" };
        last = of(&[ends[0], salt, middle, ends[1]]);
    }
    let order: [[usize; 3]; 5] = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]];
    encode(&last, &order, &[11])
}

/// Returns the first `len` bytes of `bytes` repeated.
fn repeated(bytes: &[u8], len: usize) -> Vec<u8> {
    bytes.iter().copied().cycle().take(len).collect()
}

/// Returns the order in which SHA-crypt writes bytes: each triple is the one before, one further, in another order.
fn triples<const N: usize>(first: [usize; 3], order: [usize; 3]) -> [[usize; 3]; N] {
    let mut triples = [first; N];
    for at in 1..N {
        triples[at] = order.map(|place| triples[at - 1][place] + 1);
    }
    triples
}

/// Writes bytes in the alphabet of crypt(3), least significant digit first: four digits per triple, then the rest.
fn encode(bytes: &[u8], triples: &[[usize; 3]], rest: &[usize]) -> String {
    let mut out = String::new();
    let groups = triples.iter().map(|triple| &triple[..]).chain([rest]);
    for places in groups {
        let bits = places.iter().fold(0, |bits, place| bits << 8 | usize::from(bytes[*place]));
        let digits = places.len() + 1;
        out.extend((0..digits).map(|digit| char::from(DIGITS[bits >> (6 * digit) & 63])));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(password: &str, hash: &str) {
        let parsed = Hash::parse(hash).unwrap();
        assert!(parsed.matches(password.as_bytes()), "{hash}");
        for wrong in [format!("{password}x"), password[1..].to_string()] {
            assert!(!parsed.matches(wrong.as_bytes()), "{hash} {wrong}");
        }
    }

    #[test]
    fn sha_crypt_gives_the_vectors_of_its_specification() {
        let short = "we have a short salt string but not a short password";
        let long =
            "a very much longer text to encrypt.  This one even stretches over morethan one line.";
        for (password, hash) in [
            ("Hello world!", "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5"),
            (
                "Hello world!",
                "$5$rounds=10000$saltstringsaltst$3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            ),
            (
                "This is just a test",
                "$5$rounds=5000$toolongsaltstrin$Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5",
            ),
            (short, "$5$rounds=77777$short$JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/"),
            (long, "$5$rounds=1400$anotherlongsalts$Rx.j8H.h8HjEDGomFU8bDkXm3XIUnzyxf12oP84Bnq1"),
            (
                "Hello world!",
                "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
            ),
            (
                "Hello world!",
                "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
            ),
            (
                "This is just a test",
                "$6$rounds=5000$toolongsaltstrin$lQ8jolhgVRVhY4b5pZKaysCLi0QBxGoNeKQzQ3glMhwllF7oGDZxUhx1yxdYcz/e1JSbq3y6JMxxl8audkUEm0",
            ),
            (
                long,
                "$6$rounds=1400$anotherlongsalts$POfYwTEok97VWcjxIiSOjiykti.o/pQs.wPvMxQ6Fm7I6IoYN3CmLs66x9t0oSwbtEW7o7UmJEiDwGqd8p4ur1",
            ),
            (
                short,
                "$6$rounds=77777$short$WuQyW2YR.hBNpjjRhpYD/ifIw05xdfeEyQoMxIXbkvr0gge1a1x3yRULJ5CCaUeOxFmtlcGZelFl5CxtgfiAc0",
            ),
            (
                "p",
                "$6$ab$53oaJstz.dN9TxWNvOp1k.ptOameFLjtwzhrAT.A4i5Nh4FRb1uOnAq9pDLyQwXNLNGKGS8kcJ8LZw8QB3RYk.",
            ),
        ] {
            check(password, hash);
        }
    }

    #[test]
    fn md5_and_bcrypt_agree_with_the_systems_crypt() {
        check("secret", "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1");
        check("x", "$1$$LP5.V3ajGqHDdXW6XwZQy.");
        check("a longer password than sixteen bytes", "$1$ab$QPh5htJmMtcM8zDb4F4FT1");
        check("secret", "$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a");
        check("secret", "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW");
    }

    #[test]
    fn what_cannot_be_checked_says_why() {
        let digest = "a".repeat(86);
        for (text, problem) in [
            ("", Problem::NoHash),
            ("secret", Problem::NoHash),
            ("*", Problem::NoHash),
            ("abNANd1rDfiNc", Problem::Scheme("DES")),
            ("$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/", Problem::Scheme("Apache's MD5")),
            ("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o", Problem::Scheme("yescrypt")),
            ("$6$x", Problem::Malformed),
            ("$6$x$short", Problem::Malformed),
            (&format!("$6$seventeencharacte${digest}"), Problem::Malformed),
            (&format!("$6$rounds=10$x${digest}"), Problem::Rounds),
            (&format!("$6$rounds=01000$x${digest}"), Problem::Rounds),
            (&format!("$6$rounds=4294967296$x${digest}"), Problem::Rounds),
            ("$2y$10$short", Problem::Malformed),
        ] {
            assert_eq!(Hash::parse(text), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_very_long_password_matches_nothing_and_costs_nothing() {
        let hash = "$6$ab$ndS3hufowWO1IIU/Wj1P9Q2zMU.q1YXgR3NWVJJ2yayJLYFUb0jkvDkSYtiHaiBEJi3LlyCEgCyPvF4SiUVH9.";
        let hash = Hash::parse(hash).unwrap();
        assert!(hash.matches(&[b'x'; PASSWORD_BYTES_MAX - 1]));
        assert!(!hash.matches(&[b'x'; PASSWORD_BYTES_MAX]));
        assert!(!hash.matches(b"a\0b"));
    }
}
