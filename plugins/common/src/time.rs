//! Times, as a configuration writes them.

/// The milliseconds of a whole number with one of the units `ms`, `s`, `m` and `h`.
///
/// # Errors
///
/// That it is none.
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..) {
        Some("ms") => Some(1),
        Some("s") => Some(1_000),
        Some("m") => Some(60_000),
        Some("h") => Some(3_600_000),
        _ => None,
    };
    let whole = digits.parse::<u64>().ok().filter(|_| !digits.starts_with('+'));
    whole.zip(unit).and_then(|(whole, unit)| whole.checked_mul(unit)).ok_or_else(|| {
        format!("{text:?} is no time, expected a whole number with a unit, such as \"10s\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_unit() {
        for (text, expected) in
            [("0s", 0), ("50ms", 50), ("10s", 10_000), ("2m", 120_000), ("1h", 3_600_000)]
        {
            assert_eq!(milliseconds(text), Ok(expected));
        }
        for text in ["", "10", "s", "+1s", "-1s", "1.5s", "1 s", "1d", "99999999999999999999h"] {
            assert!(milliseconds(text).unwrap_err().contains("is no time"), "{text}");
        }
    }
}
