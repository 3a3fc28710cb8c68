//! Durations, sizes and weights as people write them: strict, so that what is accepted is what was
//! meant.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// Units of time in microseconds, the largest first.
const TIMES: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// Units of size in bytes, the largest first.
const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];

/// Why a text is no quantity.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum UnitError {
    #[error("a number is missing")]
    NoNumber,
    #[error("it has no unit")]
    NoUnit,
    #[error("there is a blank beside its unit")]
    Blank,
    #[error("`{0}` is none of the units {1}")]
    UnknownUnit(String, String),
    #[error("its units do not go from large to small")]
    Order,
    #[error("it goes on after the unit")]
    Trailing,
    #[error("it is too large")]
    TooLarge,
}

/// Reads a duration such as `10s`, `500ms` or `1h30m`: whole numbers, each with a unit, from the
/// largest unit to the smallest.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text;
    let mut larger = u64::MAX;
    let mut total = 0_u64;
    loop {
        let (number, unit, after) = quantity(rest)?;
        let micros = scale(&TIMES, unit)?;
        if micros >= larger {
            return Err(UnitError::Order);
        }
        let part = number.checked_mul(micros).ok_or(UnitError::TooLarge)?;
        total = total.checked_add(part).ok_or(UnitError::TooLarge)?;
        if after.is_empty() {
            return Ok(Duration::from_micros(total));
        }
        (rest, larger) = (after, micros);
    }
}

/// A regular expression for what [`duration`] reads, whatever the numbers.
pub(super) fn duration_pattern() -> String {
    // One alternative for each unit that can come first, so that there is at least one.
    let units = TIMES.map(|(unit, _)| format!("[0-9]+{unit}"));
    let from = |(place, first): (usize, &String)| {
        let smaller = units.iter().skip(place + 1).map(|unit| format!("({unit})?"));
        format!("{first}{}", smaller.collect::<String>())
    };
    units.iter().enumerate().map(from).collect::<Vec<_>>().join("|")
}

/// Reads a size such as `64KiB`, `16MiB` or `1GB`: one whole number with a unit.
pub(super) fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit, after) = quantity(text)?;
    let bytes = scale(&SIZES, unit)?;
    if !after.is_empty() {
        return Err(UnitError::Trailing);
    }
    number.checked_mul(bytes).ok_or(UnitError::TooLarge)
}

/// A regular expression for what [`size`] reads, whatever the number.
pub(super) fn size_pattern() -> String {
    format!("[0-9]+({})", SIZES.map(|(unit, _)| unit).join("|"))
}

/// A weight in hundredths: 0.01 to 10,000, with two decimals at most.
pub(super) fn weight(value: f64) -> Option<u32> {
    let hundredths = value * 100.0;
    let whole = hundredths.round();
    if !(1.0..=1_000_000.0).contains(&whole) || (hundredths - whole).abs() > 1e-6 {
        return None;
    }
    // Printing a whole number is exact, and unlike a cast says so.
    format!("{whole:.0}").parse().ok()
}

/// A number, its unit, and what follows.
fn quantity(text: &str) -> Result<(u64, &str, &str), UnitError> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(UnitError::NoNumber);
    }
    let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    if unit.is_empty() {
        return Err(UnitError::NoUnit);
    }
    // Only digits are left, so that nothing but the size can be wrong.
    let number = number.parse().ok().ok_or(UnitError::TooLarge)?;
    Ok((number, unit, rest))
}

fn scale(units: &[(&str, u64)], unit: &str) -> Result<u64, UnitError> {
    let find = |unit: &str| units.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let bare = unit.trim();
    find(unit).ok_or_else(|| match find(bare) {
        Some(_) => UnitError::Blank,
        None => {
            let known: Vec<_> = units.iter().map(|(name, _)| *name).collect();
            UnitError::UnknownUnit(bare.to_owned(), known.join(", "))
        }
    })
}

/// A duration as the configuration reads it; parts below a microsecond are dropped.
pub struct ShownDuration(pub Duration);

impl fmt::Display for ShownDuration {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if rest == 0 {
            return out.write_str("0s");
        }
        for (unit, micros) in TIMES {
            if rest >= micros {
                write!(out, "{}{unit}", rest / micros)?;
                rest %= micros;
            }
        }
        Ok(())
    }
}

/// A size as the configuration reads it, in the largest unit of 1,024 that needs no fraction.
pub struct ShownSize(pub u64);

impl fmt::Display for ShownSize {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(unit, bytes): &&(&str, u64)| {
            (unit.ends_with("iB") || *bytes == 1)
                && self.0 >= *bytes
                && self.0.is_multiple_of(*bytes)
        };
        match SIZES.iter().find(fits) {
            Some((unit, bytes)) => write!(out, "{}{unit}", self.0 / bytes),
            None => write!(out, "{}B", self.0),
        }
    }
}

/// The digits of a number of five or more in groups of three, as TOML allows.
pub(super) fn grouped(digits: &str) -> String {
    if digits.len() < 5 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return digits.to_owned();
    }
    let mut out = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_unit_of_time() {
        let cases = [
            ("0s", 0),
            ("7us", 7),
            ("500ms", 500_000),
            ("10s", 10_000_000),
            ("1m", 60_000_000),
            ("2h", 7_200_000_000),
            ("3d", 259_200_000_000),
            ("1h30m", 5_400_000_000),
            ("1m0s", 60_000_000),
            ("1d2h3m4s5ms6us", 93_784_005_006),
        ];
        for (text, micros) in cases {
            assert_eq!(duration(text), Ok(Duration::from_micros(micros)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        let unit =
            |name: &str| UnitError::UnknownUnit(name.to_owned(), "d, h, m, s, ms, us".to_owned());
        let cases = [
            ("", UnitError::NoNumber),
            ("s", UnitError::NoNumber),
            ("-1s", UnitError::NoNumber),
            (" 1s", UnitError::NoNumber),
            ("10", UnitError::NoUnit),
            ("1h30", UnitError::NoUnit),
            ("10 s", UnitError::Blank),
            ("10sec", unit("sec")),
            ("10S", unit("S")),
            ("1.5s", unit(".")),
            ("1s ", UnitError::Blank),
            ("30m1h", UnitError::Order),
            ("1s1s", UnitError::Order),
            ("99999999999999999999s", UnitError::TooLarge),
            ("18446744073709551615s", UnitError::TooLarge),
        ];
        for (text, error) in cases {
            assert_eq!(duration(text), Err(error), "{text}");
        }
    }

    #[test]
    fn every_unit_of_size() {
        let cases = [
            ("0B", 0),
            ("512B", 512),
            ("3KB", 3_000),
            ("64KiB", 65_536),
            ("2MB", 2_000_000),
            ("16MiB", 16_777_216),
            ("1GB", 1_000_000_000),
            ("1GiB", 1_073_741_824),
            ("1TB", 1_000_000_000_000),
            ("1TiB", 1_099_511_627_776),
        ];
        for (text, bytes) in cases {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "B", "64", "64kib", "64 KiB", "64K", "1.5MiB", "-1B", "1MiB1KiB"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert_eq!(size("18446744073709551615KiB"), Err(UnitError::TooLarge));
    }

    #[test]
    fn long_numbers_are_grouped() {
        for (digits, shown) in [
            ("0", "0"),
            ("1024", "1024"),
            ("20000", "20_000"),
            ("1000000", "1_000_000"),
            ("1.25e10", "1.25e10"),
        ] {
            assert_eq!(grouped(digits), shown);
        }
    }

    #[test]
    fn weights_have_two_decimals() {
        let cases = [(0.01, 1), (1.0, 100), (2.5, 250), (0.29, 29), (3.41, 341), (1e4, 1_000_000)];
        for (value, hundredths) in cases {
            assert_eq!(weight(value), Some(hundredths), "{value}");
        }
        let refused = [0.0, -0.0, -1.0, 0.001, 1.005, 10_000.01, f64::NAN, f64::INFINITY];
        for value in refused {
            assert_eq!(weight(value), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(micros: u64, bytes: u64, hundredths in 1..=1_000_000_u32) {
            let time = Duration::from_micros(micros);
            prop_assert_eq!(duration(&ShownDuration(time).to_string()), Ok(time));
            prop_assert_eq!(size(&ShownSize(bytes).to_string()), Ok(bytes));
            prop_assert_eq!(weight(f64::from(hundredths) / 100.0), Some(hundredths));
        }

        #[test]
        fn no_text_panics(text in "\\PC*", near in "[0-9]{0,22}[a-zA-Z]{0,3}[0-9]{0,3}[a-z]{0,2}") {
            let _ = (duration(&text), size(&text), duration(&near), size(&near));
        }

        #[test]
        fn any_number_is_judged(value: f64) {
            prop_assert!(weight(value).is_none_or(|hundredths| (1..=1_000_000).contains(&hundredths)));
        }
    }
}
