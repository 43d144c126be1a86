//! Calendar arithmetic and the local time zone; no clock is read here.

/// A date and a time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Civil {
    /// Year of the Gregorian calendar.
    pub year: i64,
    /// 1..=12
    pub month: u8,
    /// 1..=31
    pub day: u8,
    /// 0..=23
    pub hour: u8,
    /// 0..=59
    pub minute: u8,
    /// 0..=59
    pub second: u8,
    /// 0 is Sunday.
    pub weekday: u8,
}

impl Civil {
    /// Returns the date of a number of seconds since 1970, without any time zone.
    pub fn from_unix(seconds: i64) -> Self {
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Eras of 400 years that begin on the first of March of year 0.
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: era * 400 + year_of_era + i64::from(month <= 2),
            month: month as u8,
            day: (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
        }
    }
}

/// Returns how many seconds local time is ahead of GMT at that moment, 0 if it cannot be told.
pub fn local_offset_s(seconds: i64) -> i32 {
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call; `localtime_r` writes only through the second, whose all-zero bytes are
    // a valid `tm` (numbers and a null pointer) if it fails, and which is not used then.
    unsafe {
        if libc::localtime_r(&seconds, broken_down.as_mut_ptr()).is_null() {
            return 0;
        }
        broken_down.assume_init().tm_gmtoff as i32
    }
}

/// Whose time a date is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// This machine's.
    Local,
    /// Universal time.
    Utc,
}

/// Most bytes that [`format()`] writes.
const FORMAT_MAX: usize = 16 << 10;

/// Writes a moment, in seconds since 1970, as strftime(3) does; nothing if the result would be too long.
pub fn format(pattern: &[u8], seconds: i64, zone: Zone) -> Vec<u8> {
    let Ok(pattern) = std::ffi::CString::new(pattern) else { return Vec::new() };
    let mut broken_down = std::mem::MaybeUninit::<libc::tm>::zeroed();
    // SAFETY: both pointers are valid for the call, which writes only through the second.
    let filled = unsafe {
        match zone {
            Zone::Local => libc::localtime_r(&seconds, broken_down.as_mut_ptr()),
            Zone::Utc => libc::gmtime_r(&seconds, broken_down.as_mut_ptr()),
        }
    };
    if filled.is_null() {
        return Vec::new();
    }
    for capacity in [256, FORMAT_MAX] {
        let mut out = vec![0u8; capacity];
        // SAFETY: the buffer has the length that is given, the pattern ends with a null byte, and `broken_down` was
        // filled above.
        let length = unsafe {
            libc::strftime(
                out.as_mut_ptr().cast(),
                capacity,
                pattern.as_ptr(),
                broken_down.as_ptr(),
            )
        };
        if length > 0 {
            out.truncate(length);
            return out;
        }
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        let of = |s| {
            let c = Civil::from_unix(s);
            (c.year, c.month, c.day, c.hour, c.minute, c.second, c.weekday)
        };
        assert_eq!(of(0), (1970, 1, 1, 0, 0, 0, 4));
        assert_eq!(of(1_233_922_371), (2009, 2, 6, 12, 12, 51, 5));
        assert_eq!(of(951_782_399), (2000, 2, 28, 23, 59, 59, 1));
        assert_eq!(of(951_782_400), (2000, 2, 29, 0, 0, 0, 2));
        assert_eq!(of(-1), (1969, 12, 31, 23, 59, 59, 3));
        assert_eq!(of(4_107_542_400), (2100, 3, 1, 0, 0, 0, 1));
    }
}
