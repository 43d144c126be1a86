//! The expressions of `.if` and `.elif`, and of `-cc` on the command line (chapter 2.4 of the manual).
//!
//! An expression is integers and predicates joined by `&&`, `||`, `!` and parentheses; `&&` binds tighter. The whole
//! text is always checked, also behind an operand that already decides. To add a predicate, add a row to
//! [`PREDICATES`].

use super::diagnostic::suggest;
use super::environment::{Environment, Version};
use super::keyword::{Keyword, find};

/// Parentheses and negations inside one another; more is an error.
pub const DEPTH_MAX: usize = 64;

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionError {
    /// Offset in the expression's text, at a character boundary.
    pub offset: usize,
    /// What is wrong: a lowercase fragment.
    pub message: String,
}

/// What a predicate does: its number of arguments and the function that answers.
#[derive(Clone, Copy, Debug)]
pub struct Predicate {
    /// How many arguments it takes.
    pub arguments: usize,
    /// Returns the answer, or why the arguments make no sense.
    pub answer: fn(&[String], &Environment) -> Result<bool, String>,
}

/// Every predicate, sorted by name.
pub static PREDICATES: &[Keyword<Predicate>] = &[
    row(
        "awslc_api_atleast",
        "(<version>)",
        "True with an AWS-LC library of at least that API.",
        "awslc_api_atleast(35)",
        |_, _| Ok(false),
    ),
    row(
        "awslc_api_before",
        "(<version>)",
        "True with an AWS-LC library of an older API.",
        "awslc_api_before(26)",
        |_, _| Ok(false),
    ),
    row(
        "defined",
        "(<name>)",
        "True if that environment variable exists.",
        "defined(HOME)",
        |args, env| Ok(env.get(&args[0]).is_some()),
    ),
    row(
        "enabled",
        "(<option>)",
        "True if a setting that can be switched off is on.",
        "enabled(EPOLL)",
        |args, env| Ok(env.is_enabled(&args[0])),
    ),
    row(
        "feature",
        "(<name>)",
        "True if this build has the feature, as `-vv` lists them.",
        "feature(THREAD)",
        |args, env| Ok(env.has_feature(&args[0])),
    ),
    row(
        "openssl_version_atleast",
        "(<version>)",
        "True with OpenSSL of at least that version.",
        "openssl_version_atleast(3.0)",
        |_, _| Ok(false),
    ),
    row(
        "openssl_version_before",
        "(<version>)",
        "True with OpenSSL older than that version.",
        "openssl_version_before(3.5)",
        |_, _| Ok(false),
    ),
    row(
        "ssllib_name_startswith",
        "(<name>)",
        "True if the TLS library's name begins so.",
        "ssllib_name_startswith(OpenSSL)",
        |_, _| Ok(false),
    ),
    row2("streq", "(<str1>,<str2>)", "True if both strings are equal.", "streq(a,b)", |args, _| {
        Ok(args[0] == args[1])
    }),
    row2("strneq", "(<str1>,<str2>)", "True if the strings differ.", "strneq(a,b)", |args, _| {
        Ok(args[0] != args[1])
    }),
    row2(
        "strstr",
        "(<str1>,<str2>)",
        "True if the second string is found in the first.",
        "strstr(abc,b)",
        |args, _| Ok(args[0].contains(&args[1])),
    ),
    row(
        "version_atleast",
        "(<version>)",
        "True if the language spoken is at least of that version.",
        "version_atleast(3.0)",
        |args, env| Ok(release_key(env.version()) >= parse_version(&args[0])?),
    ),
    row(
        "version_before",
        "(<version>)",
        "True if the language spoken is older than that version.",
        "version_before(3.3-dev1)",
        |args, env| Ok(release_key(env.version()) < parse_version(&args[0])?),
    ),
];

/// Returns the value of an expression; an empty one is false.
pub fn evaluate(text: &str, env: &Environment) -> Result<bool, ConditionError> {
    let mut parser = Parser { text, at: 0, depth: 0, env };
    parser.skip_blanks();
    if parser.rest().is_empty() {
        return Ok(false);
    }
    let value = parser.or()?;
    match parser.rest().chars().next() {
        None => Ok(value),
        Some(found) => Err(parser.error(format!("unexpected `{found}` behind the expression"))),
    }
}

struct Parser<'t> {
    text: &'t str,
    at: usize,
    depth: usize,
    env: &'t Environment,
}

impl Parser<'_> {
    fn or(&mut self) -> Result<bool, ConditionError> {
        let mut value = self.and()?;
        while self.take("||") {
            // Evaluated also when the answer is known: the text must be right as a whole.
            let right = self.and()?;
            value |= right;
        }
        Ok(value)
    }

    fn and(&mut self) -> Result<bool, ConditionError> {
        let mut value = self.term()?;
        while self.take("&&") {
            let right = self.term()?;
            value &= right;
        }
        Ok(value)
    }

    fn term(&mut self) -> Result<bool, ConditionError> {
        let mut negate = false;
        while self.take("!") {
            negate = !negate;
        }
        let start = self.at;
        let value = if self.take("(") {
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.error_at(
                    start,
                    format!("more than {DEPTH_MAX} parentheses inside one another"),
                ));
            }
            let value = self.or()?;
            self.depth -= 1;
            if !self.take(")") {
                return Err(self.error_at(start, "this `(` is never closed".into()));
            }
            value
        } else if self.rest().starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            self.integer()?
        } else {
            self.predicate()?
        };
        self.skip_blanks();
        Ok(value ^ negate)
    }

    /// Reads an integer: zero is false, anything else is true.
    fn integer(&mut self) -> Result<bool, ConditionError> {
        let start = self.at;
        self.at += usize::from(self.rest().starts_with(['-', '+']));
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(self.error_at(start, "expected a number behind the sign".into()));
        }
        let value = self.rest()[..digits].bytes().any(|b| b != b'0');
        self.at += digits;
        Ok(value)
    }

    fn predicate(&mut self) -> Result<bool, ConditionError> {
        let start = self.at;
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let length = self.rest().find(|c| !is_name(c)).unwrap_or(self.rest().len());
        let name = self.rest()[..length].to_owned();
        self.at += length;
        let Some(row) = find(PREDICATES, &name) else {
            return Err(self.error_at(start, unknown(&name, &self.text[start..])));
        };
        let args = self.arguments(&name)?;
        let wanted = row.build.arguments;
        if args.len() != wanted {
            let message = format!("`{name}` takes {wanted} argument(s), got {}", args.len());
            return Err(self.error_at(start, message));
        }
        (row.build.answer)(&args, self.env).map_err(|message| self.error_at(start, message))
    }

    /// Reads `(a,b)`; nothing at all counts as one empty argument, as in HAProxy.
    fn arguments(&mut self, name: &str) -> Result<Vec<String>, ConditionError> {
        let open = self.at;
        let mut args = Vec::new();
        let mut last = String::new();
        if !self.rest().starts_with('(') {
            return Ok(vec![last]);
        }
        self.at += 1;
        let mut quote = None;
        loop {
            let Some(found) = self.rest().chars().next() else {
                let what = if quote.is_some() { "a quote" } else { "the `(`" };
                return Err(self.error_at(open, format!("{what} of `{name}` is never closed")));
            };
            self.at += found.len_utf8();
            match (found, quote) {
                ('\\', None | Some('"')) => match self.rest().chars().next() {
                    Some(next) => {
                        self.at += next.len_utf8();
                        last.push(escaped(next));
                    }
                    None => last.push('\\'),
                },
                (found, Some(open)) if found == open => quote = None,
                ('"' | '\'', None) => quote = Some(found),
                (',', None) => args.push(std::mem::take(&mut last)),
                (')', None) => {
                    args.push(last);
                    return Ok(args);
                }
                _ => last.push(found),
            }
        }
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.at += token.len();
            self.skip_blanks();
        }
        found
    }

    fn skip_blanks(&mut self) {
        let blanks = self.rest().bytes().take_while(|b| matches!(b, b' ' | b'\t')).count();
        self.at += blanks;
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, message: String) -> ConditionError {
        self.error_at(self.at, message)
    }

    fn error_at(&self, offset: usize, message: String) -> ConditionError {
        ConditionError { offset, message }
    }
}

/// Says what was found instead of a predicate.
fn unknown(name: &str, rest: &str) -> String {
    if name.is_empty() {
        return match rest.chars().next() {
            None => "expected a predicate or an integer at the end".to_owned(),
            Some(found) => format!("expected a predicate or an integer, found `{found}`"),
        };
    }
    match suggest(name, PREDICATES.iter().map(|row| row.name)) {
        Some(near) => format!("unknown predicate `{name}`, did you mean `{near}`"),
        None => format!("unknown predicate `{name}` (text is compared with `streq(…)`)"),
    }
}

fn escaped(next: char) -> char {
    match next {
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        other => other,
    }
}

/// Versions compare by number; a development version comes before every release of its branch.
type VersionKey = (u32, u32, bool, u32);

fn release_key(version: Version) -> VersionKey {
    let [major, minor, patch] = version.0;
    (major, minor, true, patch)
}

fn parse_version(text: &str) -> Result<VersionKey, String> {
    let wrong = || format!("`{text}` is not a version such as `3.2`, `3.2.1` or `3.2-dev4`");
    let (numbers, suffix) = text.split_once('-').unwrap_or((text, ""));
    let mut parts = [0u32; 3];
    for (at, part) in numbers.split('.').enumerate() {
        let slot = parts.get_mut(at).ok_or_else(wrong)?;
        *slot = part.parse().map_err(|_| wrong())?;
    }
    let [major, minor, patch] = parts;
    match suffix.strip_prefix("dev") {
        Some(number) => {
            let digits = number.bytes().take_while(u8::is_ascii_digit).count();
            Ok((major, minor, false, number[..digits].parse().unwrap_or(0)))
        }
        None => Ok((major, minor, true, patch)),
    }
}

type Answer = fn(&[String], &Environment) -> Result<bool, String>;

const fn row(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    answer: Answer,
) -> Keyword<Predicate> {
    Keyword { name, syntax, doc, example, build: Predicate { arguments: 1, answer } }
}

const fn row2(
    name: &'static str,
    syntax: &'static str,
    doc: &'static str,
    example: &'static str,
    answer: Answer,
) -> Keyword<Predicate> {
    Keyword { name, syntax, doc, example, build: Predicate { arguments: 2, answer } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env() -> Environment {
        let mut env = Environment::empty();
        env.set("A", "hello");
        env
    }

    fn value(text: &str) -> bool {
        evaluate(text, &env()).unwrap_or_else(|e| panic!("`{text}`: {e:?}"))
    }

    fn error(text: &str) -> ConditionError {
        evaluate(text, &env()).expect_err(text)
    }

    #[test]
    fn table_is_sorted_and_documented() {
        assert!(PREDICATES.is_sorted_by(|a, b| a.name < b.name));
        for row in PREDICATES {
            assert!(row.doc.ends_with('.'), "{}", row.name);
            assert!(row.example.starts_with(row.name), "{}", row.name);
            value(row.example);
        }
    }

    /// Each line was asked of haproxy 2.6 (`strstr`, `enabled` and newer versions follow the 3.2 manual).
    #[test]
    fn answers_are_those_of_haproxy() {
        let yes = [
            "1",
            "-1",
            "+1",
            "!!1",
            "!0",
            "(1)",
            "0 || 1",
            "1 && (0 || !0)",
            "1 && 1 || 0",
            "0 && 0 || 1",
            "streq(a,a)",
            "strneq(a,b)",
            "defined(A)",
            "defined(A) && feature(THREAD)",
            "defined(A)&&defined(NO)||1",
            "streq(\"a,b\",\"a,b\")",
            "streq(,)",
            "streq(a\\,b,\"a,b\")",
            "version_atleast(2.6)",
            "version_atleast(3.2)",
            "version_atleast(3.2-dev7)",
            "version_before(3.2.1)",
            "version_before(3.3-dev1)",
            "strstr(abc,b)",
            "enabled(REUSEPORT)",
        ];
        let no = [
            "",
            "  ",
            "0",
            "00",
            "!1",
            "! 1",
            "0 || 1 && 0",
            "streq( a,a)",
            "streq(a ,a)",
            "defined()",
            "defined(NOPE)",
            "defined( A )",
            "feature(nope)",
            "feature(OPENSSL)",
            "version_atleast(3.2.1)",
            "version_atleast(3.3-dev1)",
            "version_before(3.2)",
            "strstr(abc,x)",
            "openssl_version_atleast(1.1.1)",
            "awslc_api_atleast(1)",
            "ssllib_name_startswith(OpenSSL)",
        ];
        for text in yes {
            assert!(value(text), "{text}");
        }
        for text in no {
            assert!(!value(text), "{text}");
        }
    }

    #[test]
    fn errors_point_at_the_mistake() {
        assert_eq!(error("1 2").offset, 2);
        assert_eq!(error("streq(a,b))").offset, 10);
        assert_eq!(error("streq(a)").offset, 0);
        assert!(error("streq(a)").message.contains("2 argument"));
        assert!(error("streq(a,b,c)").message.contains("got 3"));
        assert!(error("streq(a,b").message.contains("never closed"));
        assert!(error("1 && (1").message.contains("never closed"));
        assert_eq!(error("1 && (1").offset, 5);
        assert_eq!(error("1 || foo(").offset, 5);
        assert_eq!(error("0 && foo").offset, 5);
        assert!(error("defind(A)").message.contains("did you mean `defined`"));
        assert!(error("hello").message.contains("unknown predicate `hello`"));
        assert!(error("defined (A)").message.contains("unexpected `(`"));
        assert!(error("1 &&").message.contains("at the end"));
        assert!(error("!").message.contains("at the end"));
        assert!(error("()").message.contains("found `)`"));
        assert!(error("1x").message.contains("unexpected `x`"));
        assert!(error("version_atleast(x)").message.contains("not a version"));
        assert!(error("é").message.contains("found `é`"));
    }

    #[test]
    fn deep_nesting_is_refused_not_overflowed() {
        let text = "(".repeat(100_000);
        assert!(error(&text).message.contains("inside one another"));
    }

    proptest::proptest! {
        #[test]
        fn never_panics_and_offsets_are_character_boundaries(text in "[()!&| a-z0-9,\"'\\\\é-]{0,60}") {
            if let Err(error) = evaluate(&text, &Environment::empty()) {
                proptest::prop_assert!(text.is_char_boundary(error.offset));
            }
        }
    }
}
