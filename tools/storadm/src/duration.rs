// SPDX-License-Identifier: GPL-2.0

//! Durations as people write and read them.

use std::fmt;
use std::time::Duration;

/// Why a text is not an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseIntervalError {
    /// It is not a number.
    Number,
    /// It is below what can be kept up, or above what makes sense.
    Range,
}

impl fmt::Display for ParseIntervalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "an interval is a number of seconds, as in 1 or 0.5",
            Self::Range => "an interval is 0.1 to 86400 seconds",
        })
    }
}

impl std::error::Error for ParseIntervalError {}

/// Reads a number of seconds, with up to nine decimals.
pub fn parse_interval(text: &str) -> Result<Duration, ParseIntervalError> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return Err(ParseIntervalError::Number);
    }
    // Only digits: what does not fit is too large.
    let seconds = whole.parse().map_err(|_| ParseIntervalError::Range)?;
    let nanos = format!("{decimals:0<9}")
        .parse()
        .map_err(|_| ParseIntervalError::Number)?;
    let interval = Duration::new(seconds, nanos);
    if !(Duration::from_millis(100)..=Duration::from_secs(86_400)).contains(&interval) {
        return Err(ParseIntervalError::Range);
    }
    Ok(interval)
}

/// Units and what each is in nanoseconds.
const UNITS: [(&str, u64); 4] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
];

/// A number of nanoseconds for people: three digits, as in `81.9us`; seconds have all they need.
pub fn human_duration(nanos: u64) -> String {
    let with = |(unit, factor): (&str, u64)| {
        let whole = nanos / factor;
        let decimals = match whole {
            0..10 => 2,
            10..100 => 1,
            _ => 0,
        };
        // In the last unit's nanoseconds there is nothing behind the point.
        let scale = 10u128.pow(if factor == 1 { 0 } else { decimals });
        let factor = u128::from(factor);
        let rounded = (u128::from(nanos) * scale + factor / 2) / factor;
        let (whole, rest) = (rounded / scale, rounded % scale);
        let digits = if scale == 1 {
            whole.to_string()
        } else {
            let width = if scale == 10 { 1 } else { 2 };
            let text = format!("{whole}.{rest:0width$}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        (whole, format!("{digits}{unit}"))
    };
    for unit in &UNITS[..UNITS.len() - 1] {
        let (whole, text) = with(*unit);
        // Compare what would be shown: 999.9us is 1ms.
        if whole < 1000 {
            return text;
        }
    }
    with(UNITS[UNITS.len() - 1]).1
}

#[cfg(test)]
mod tests {
    use super::*;
    use pretty_assertions::assert_eq;
    use proptest::prelude::*;

    #[test]
    fn intervals() {
        for (text, expected) in [
            ("1", Ok(Duration::from_secs(1))),
            ("0.5", Ok(Duration::from_millis(500))),
            ("0.1", Ok(Duration::from_millis(100))),
            ("2.000000001", Ok(Duration::new(2, 1))),
            ("86400", Ok(Duration::from_secs(86_400))),
            ("0", Err(ParseIntervalError::Range)),
            ("0.09", Err(ParseIntervalError::Range)),
            ("86400.1", Err(ParseIntervalError::Range)),
            ("99999999999999999999", Err(ParseIntervalError::Range)),
            ("", Err(ParseIntervalError::Number)),
            (".5", Err(ParseIntervalError::Number)),
            ("1.", Err(ParseIntervalError::Number)),
            ("-1", Err(ParseIntervalError::Number)),
            ("1s", Err(ParseIntervalError::Number)),
            ("1e3", Err(ParseIntervalError::Number)),
            ("0.1000000000", Err(ParseIntervalError::Number)),
        ] {
            assert_eq!(parse_interval(text), expected, "{text}");
        }
    }

    #[test]
    fn for_people() {
        for (nanos, text) in [
            (0, "0ns"),
            (812, "812ns"),
            (999, "999ns"),
            (1_000, "1us"),
            (1_234, "1.23us"),
            (9_999, "10us"),
            (81_920, "81.9us"),
            (99_960, "100us"),
            (999_499, "999us"),
            (999_500, "1ms"),
            (1_500_000, "1.5ms"),
            (2_500_000_000, "2.5s"),
            (136_365_211_648, "136s"),
            (u64::MAX, "18446744074s"),
        ] {
            assert_eq!(human_duration(nanos), text, "{nanos}");
        }
    }

    proptest! {
        #[test]
        fn any_text(text in ".*") {
            let _ = parse_interval(&text);
        }

        /// What people read is at most half a percent off.
        #[test]
        fn people_are_not_misled(nanos in (0u32..64, any::<u64>()).prop_map(|(s, v)| v >> s)) {
            let text = human_duration(nanos);
            let end = text.find(|c: char| c.is_ascii_alphabetic()).unwrap();
            let (_, factor) = UNITS.iter().find(|(unit, _)| *unit == &text[end..]).unwrap();
            let shown = text[..end].parse::<f64>().unwrap() * *factor as f64;
            prop_assert!((shown - nanos as f64).abs() <= 0.00501 * nanos as f64, "{text}");
        }
    }
}
