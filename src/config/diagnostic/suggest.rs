//! "Did you mean": the known word that a mistaken one was meant to be.

/// How a candidate resembles the word, best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// Only case, or `-` for `_`, differs.
    Spelling,
    /// The word begins with the candidate and goes on with punctuation, as in `path_beg/blog`.
    Glued,
    /// A few letters differ.
    Typo,
    /// One begins with the other, as in `leastconnection` and `leastconn`.
    Prefix,
}

/// The most candidates that are looked at: a file that is wrong in thousands of lines must not take minutes.
const CANDIDATES_MAX: usize = 1_000;

/// Returns the candidate nearest to `word`, if one is near enough to be worth suggesting.
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if word.len() > 128 {
        return None;
    }
    candidates
        .into_iter()
        .take(CANDIDATES_MAX)
        .filter_map(|candidate| Some((likeness(word, candidate)?, candidate)))
        .min_by_key(|(likeness, _)| *likeness)
        .map(|(_, candidate)| candidate)
}

/// Returns how alike two words are, and how far apart; `None` if the one cannot be meant by the other.
fn likeness(word: &str, candidate: &str) -> Option<(Likeness, usize)> {
    let distance = || strsim::damerau_levenshtein(word, candidate);
    if spelling(word).eq(spelling(candidate)) {
        return Some((Likeness::Spelling, distance()));
    }
    let glued = word.strip_prefix(candidate).and_then(|rest| rest.chars().next());
    if glued.is_some_and(|c| !c.is_alphanumeric() && c != '_' && c != '-') {
        // The longest candidate that fits is the one that was meant.
        return Some((Likeness::Glued, distance()));
    }
    let length = word.chars().count();
    let same_start = word.chars().next() == candidate.chars().next();
    // Short words resemble one another by chance, and so do words that begin differently.
    let limit = match length {
        0..=2 => 0,
        3..=5 => 1,
        6..=8 => 2,
        9..=11 => 3,
        _ => 4,
    };
    let limit = if same_start { limit } else { limit.min(2) };
    let other_length = candidate.chars().count();
    // Words are at least as far apart as their lengths, which are quicker to compare.
    if length.abs_diff(other_length) <= limit {
        let distance = distance();
        if distance <= limit {
            return Some((Likeness::Typo, distance));
        }
    }
    let (short, long) = if length < other_length { (word, candidate) } else { (candidate, word) };
    (short.len() > 3 && long.starts_with(short)).then(|| (Likeness::Prefix, distance()))
}

fn spelling(word: &str) -> impl Iterator<Item = char> {
    word.chars().map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() })
}

#[cfg(test)]
mod tests {
    use super::suggest;

    const WORDS: &[&str] = &[
        "acl",
        "backend",
        "balance",
        "bind",
        "default_backend",
        "default-server",
        "first",
        "forwardfor",
        "frontend",
        "hdr",
        "http-request",
        "http-response",
        "leastconn",
        "option",
        "path",
        "path_beg",
        "path_dir",
        "path_end",
        "redispatch",
        "roundrobin",
        "server",
        "ssl",
        "source",
        "stats",
        "timeout",
        "url",
        "use-server",
        "use_backend",
    ];

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        assert_eq!(suggest(word, WORDS.iter().copied()), expected, "{word}");
    }

    #[test]
    fn mistakes_of_the_hand_are_corrected() {
        check("use_backed", Some("use_backend"));
        check("fronted", Some("frontend"));
        check("rounrobin", Some("roundrobin"));
        check("sevrer", Some("server"));
        check("timeot", Some("timeout"));
        check("httprequest", Some("http-request"));
        check("sll", Some("ssl"));
    }

    #[test]
    fn case_and_dashes_are_corrected_before_anything_else() {
        check("use-backend", Some("use_backend"));
        check("default_server", Some("default-server"));
        check("RoundRobin", Some("roundrobin"));
        check("default-backend", Some("default_backend"));
    }

    #[test]
    fn longer_and_shorter_forms_are_recognised() {
        check("leastconnection", Some("leastconn"));
        check("options", Some("option"));
        check("forward", Some("forwardfor"));
    }

    #[test]
    fn a_missing_blank_names_the_longest_word() {
        check("path_beg/blog", Some("path_beg"));
        check("server:80", Some("server"));
        check("{path", Some("path"));
    }

    #[test]
    fn nothing_is_suggested_for_words_that_resemble_nothing() {
        check("haproxy", None);
        check("x", None);
        check("", None);
        check("compression", None);
        check(&"z".repeat(10_000), None);
    }
}
