//! Shares, in hundredths of a percent.

use std::ops::RangeInclusive;

/// A share, or how much something may be in comparison.
pub(super) fn percent(range: RangeInclusive<u32>) -> impl Fn(&str) -> Result<u32, &'static str> {
    move |text| {
        let number = text.strip_suffix('%').ok_or("it does not end with `%`")?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(part) || part.len() > 2 {
            return Err("it is no number of percent with at most two decimals");
        }
        let hundredths =
            format!("{whole}{part:0<2}").parse().map_err(|_large| "it is too large")?;
        if range.contains(&hundredths) { Ok(hundredths) } else { Err("it is out of range") }
    }
}

/// It as it was read.
pub(super) fn in_percent(hundredths: &u32) -> String {
    let (whole, part) = (hundredths / 100, hundredths % 100);
    let text = format!("{whole}.{part:02}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}
