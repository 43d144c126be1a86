//! Times and sizes as the manual writes them: `30s`, `500ms`, `16k`.
//!
//! Errors are fragments that end a sentence such as "`timeout client`: …"; the caller knows the place.

use std::time::Duration;

/// The unit of a number that names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named after the units.
pub enum TimeUnit {
    Microseconds,
    Milliseconds,
    Seconds,
    Minutes,
    Hours,
    Days,
}

/// The longest time that is accepted: HAProxy counts timeouts in milliseconds in 31 bits (24.8 days).
pub const TIME_MAX: Duration = Duration::from_millis(i32::MAX as u64);

impl TimeUnit {
    fn parse(suffix: &str) -> Option<Self> {
        Some(match suffix {
            "us" => Self::Microseconds,
            "ms" => Self::Milliseconds,
            "s" => Self::Seconds,
            "m" => Self::Minutes,
            "h" => Self::Hours,
            "d" => Self::Days,
            _ => return None,
        })
    }

    fn microseconds(self) -> u64 {
        match self {
            Self::Microseconds => 1,
            Self::Milliseconds => 1_000,
            Self::Seconds => 1_000_000,
            Self::Minutes => 60_000_000,
            Self::Hours => 3_600_000_000,
            Self::Days => 86_400_000_000,
        }
    }
}

/// Returns the time that `text` names; a number without unit counts in `default`.
///
/// The result is at most [`TIME_MAX`]; anything longer is an error, as in HAProxy.
pub fn parse_time(text: &str, default: TimeUnit) -> Result<Duration, String> {
    let (number, suffix) = split_number(text, "time")?;
    let unit = if suffix.is_empty() {
        default
    } else {
        TimeUnit::parse(suffix).ok_or_else(|| {
            let hint = match suffix {
                "S" | "sec" | "secs" | "second" | "seconds" => ", did you mean `s`",
                "min" | "mins" | "minute" | "minutes" | "M" => ", did you mean `m`",
                "H" | "hour" | "hours" => ", did you mean `h`",
                "D" | "day" | "days" => ", did you mean `d`",
                "msec" | "MS" | "Ms" | "millis" => ", did you mean `ms`",
                _ => "",
            };
            format!("unknown unit `{suffix}` in time `{text}`{hint} (units are us, ms, s, m, h, d)")
        })?
    };
    let too_long =
        || format!("time `{text}` is too long (the longest is 2147483647ms, about 24.8 days)");
    let number = number.ok_or_else(too_long)?;
    let time = number.checked_mul(unit.microseconds()).map(Duration::from_micros);
    time.filter(|time| *time <= TIME_MAX).ok_or_else(too_long)
}

/// Returns the number of bytes that `text` names: a number with an optional `k`, `m` or `g` (powers of 1024).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, suffix) = split_number(text, "size")?;
    let factor = match suffix {
        "" => 1,
        "k" | "K" => 1 << 10,
        "m" | "M" => 1 << 20,
        "g" | "G" => 1 << 30,
        _ => {
            return Err(format!("unknown unit `{suffix}` in size `{text}` (units are k, m, g)"));
        }
    };
    let size = number.and_then(|number| number.checked_mul(factor));
    size.ok_or_else(|| format!("size `{text}` is too large"))
}

/// Splits digits from the unit behind them; the number is `None` if it does not fit.
fn split_number<'t>(text: &'t str, what: &str) -> Result<(Option<u64>, &'t str), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(match text {
            "" => format!("expected a {what}"),
            _ if text.starts_with('-') => format!("`{text}` is negative, expected a {what}"),
            _ => format!("`{text}` is not a {what}, expected a number"),
        });
    }
    let (number, suffix) = text.split_at(digits);
    Ok((number.parse().ok(), suffix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(text: &str) -> Result<u128, String> {
        parse_time(text, TimeUnit::Milliseconds).map(|time| time.as_millis())
    }

    #[test]
    fn every_unit_of_time() {
        assert_eq!(ms("250"), Ok(250));
        assert_eq!(ms("5000us"), Ok(5));
        assert_eq!(ms("7ms"), Ok(7));
        assert_eq!(ms("30s"), Ok(30_000));
        assert_eq!(ms("2m"), Ok(120_000));
        assert_eq!(ms("3h"), Ok(10_800_000));
        assert_eq!(ms("1d"), Ok(86_400_000));
        assert_eq!(parse_time("9", TimeUnit::Seconds), Ok(Duration::from_secs(9)));
        assert_eq!(parse_time("999us", TimeUnit::Seconds), Ok(Duration::from_micros(999)));
    }

    #[test]
    fn time_errors_name_the_word() {
        assert!(ms("30sec").unwrap_err().contains("did you mean `s`"));
        assert!(ms("5x").unwrap_err().contains("unknown unit `x`"));
        assert!(ms("abc").unwrap_err().contains("`abc` is not a time"));
        assert!(ms("-5s").unwrap_err().contains("negative"));
        assert!(ms("").unwrap_err().contains("expected a time"));
        assert!(ms("25d").unwrap_err().contains("too long"));
        assert!(ms("99999999999999999999s").unwrap_err().contains("too long"));
        assert_eq!(ms("2147483647"), Ok(2_147_483_647));
        assert!(ms("2147483648").is_err());
        assert!(ms("1.5s").is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024_and_checked() {
        assert_eq!(parse_size("16384"), Ok(16_384));
        assert_eq!(parse_size("16k"), Ok(16_384));
        assert_eq!(parse_size("2m"), Ok(2 << 20));
        assert_eq!(parse_size("1G"), Ok(1 << 30));
        assert!(parse_size("1t").unwrap_err().contains("unknown unit"));
        assert!(parse_size("18446744073709551615g").unwrap_err().contains("too large"));
        assert!(parse_size("k").is_err());
    }
}
