//! Numbers as flags take them: sizes, durations, processors.

use std::time::Duration;

/// Bytes: a number from 1 up, or one with k, m, g or t (powers of 1024).
pub fn size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()?.to_ascii_lowercase() {
        b'k' => (&text[..text.len() - 1], 10),
        b'm' => (&text[..text.len() - 1], 20),
        b'g' => (&text[..text.len() - 1], 30),
        b't' => (&text[..text.len() - 1], 40),
        _ => (text, 0),
    };
    // 0 is the kernel's word for "no limit": refused.
    whole(digits)?.checked_mul(1 << shift).filter(|size| *size > 0)
}

/// A duration above zero: seconds, or a number with ms, s, m or h; it may have a
/// fraction, of which nanoseconds count.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = match text {
        t if t.ends_with("ms") => (&t[..t.len() - 2], 1_000_000),
        t if t.ends_with('s') => (&t[..t.len() - 1], 1_000_000_000),
        t if t.ends_with('m') => (&t[..t.len() - 1], 60_000_000_000),
        t if t.ends_with('h') => (&t[..t.len() - 1], 3_600_000_000_000),
        t => (t, 1_000_000_000),
    };
    let nanoseconds = decimal(number, unit)?;
    // 1,000 years: what no clock of the kernel's overflows at.
    (1..=31_536_000_000_000_000_000).contains(&nanoseconds).then(|| {
        let (seconds, rest) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
        Duration::new(u64::try_from(seconds).unwrap_or(u64::MAX), u32::try_from(rest).unwrap_or(0))
    })
}

/// A duration in seconds, in digits; without floating point, whose digits take 9 KB of code.
pub fn seconds(duration: Duration) -> String {
    let (whole, rest) = (duration.as_secs(), duration.subsec_nanos());
    format!("{whole}.{rest:09}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Thousandths of a processor, from 10 up: less is no time slice at all.
pub fn processors(text: &str) -> Option<u64> {
    decimal(text, 1000).and_then(|n| u64::try_from(n).ok()).filter(|n| (10..=100_000_000).contains(n))
}

/// A number of digits alone: no sign, no space.
pub fn whole(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `text`, which may have a fraction, times `unit`; what is less than one is cut.
fn decimal(text: &str, unit: u64) -> Option<u128> {
    let (before, after) = text.split_once('.').unwrap_or((text, ""));
    if before.is_empty() && after.is_empty() || text.ends_with('.') {
        return None;
    }
    let before = if before.is_empty() { 0 } else { whole(before)? };
    let mut sum = u128::from(before) * u128::from(unit);
    let mut place = u128::from(unit);
    for digit in after.bytes() {
        if !digit.is_ascii_digit() {
            return None;
        }
        place /= 10;
        sum += u128::from(digit - b'0') * place;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_has_units() {
        assert_eq!((size("1"), size("4k"), size("2G")), (Some(1), Some(4096), Some(2 << 30)));
        for no in ["", "k", "-1", "+1", "0", "99999999999t"] {
            assert_eq!(size(no), None, "{no}");
        }
    }

    #[test]
    fn a_duration_has_units_and_fractions() {
        let ms = |text| duration(text).map(|d| d.as_millis());
        for (text, expected) in
            [("1", 1000), ("250ms", 250), ("0.5", 500), (".25s", 250), ("1.5m", 90_000), ("2h", 7_200_000), ("1.0009s", 1000)]
        {
            assert_eq!(ms(text), Some(expected), "{text}");
        }
        for no in ["", "0", "0ms", "s", ".", "1.", "-1", "+1", "1e3", "1d", "1 s", "9999999999999999h", "1..2", "½"] {
            assert_eq!(duration(no), None, "{no}");
        }
    }

    #[test]
    fn seconds_have_as_many_digits_as_they_need() {
        let said = |text| duration(text).map(seconds);
        for (text, expected) in [("1", "1"), ("250ms", "0.25"), ("100", "100"), ("1.5m", "90"), ("0.000000001", "0.000000001")] {
            assert_eq!(said(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn processors_have_fractions() {
        assert_eq!((processors("1"), processors("0.5"), processors("2.25")), (Some(1000), Some(500), Some(2250)));
        assert_eq!((processors("0"), processors("0.001"), processors("x")), (None, None, None));
    }
}
