//! Figures, durations and names as people read them, and as HTML allows.

use std::fmt::{self, Display, Formatter, Write as _};
use std::time::Duration;

use crate::status::Moment;

/// A text that is no markup. Names come from the configuration, and may hold anything but control
/// characters.
pub(super) struct Escaped<T>(pub(super) T);

impl<T: Display> Display for Escaped<T> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        struct Writer<'a, 'b>(&'a mut Formatter<'b>);
        impl fmt::Write for Writer<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for character in text.chars() {
                    match character {
                        '&' => self.0.write_str("&amp;")?,
                        '<' => self.0.write_str("&lt;")?,
                        '>' => self.0.write_str("&gt;")?,
                        '"' => self.0.write_str("&quot;")?,
                        other => self.0.write_char(other)?,
                    }
                }
                Ok(())
            }
        }
        write!(Writer(formatter), "{}", self.0)
    }
}

/// A number with a comma at each thousand.
pub(super) struct Number(pub(super) u64);

impl Display for Number {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (place, digit) in digits.chars().enumerate() {
            if place > 0 && (digits.len() - place).is_multiple_of(3) {
                formatter.write_char(',')?;
            }
            formatter.write_char(digit)?;
        }
        Ok(())
    }
}

/// A number of bytes, in three digits.
pub(super) struct Bytes(pub(super) u64);

impl Display for Bytes {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (mut value, mut unit) = (self.0 as f64, "B");
        for larger in ["kB", "MB", "GB", "TB", "PB"] {
            if value < 999.5 {
                break;
            }
            (value, unit) = (value / 1e3, larger);
        }
        if unit == "B" || value >= 99.95 {
            write!(formatter, "{value:.0} {unit}")
        } else {
            write!(formatter, "{value:.1} {unit}")
        }
    }
}

/// A duration in its two largest units.
pub(super) struct Lasting(pub(super) Duration);

impl Display for Lasting {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
        match seconds {
            0..60 => write!(formatter, "{seconds} s"),
            60..600 => write!(formatter, "{minutes} min {} s", seconds % 60),
            600..3_600 => write!(formatter, "{minutes} min"),
            3_600..86_400 => write!(formatter, "{hours} h {} min", minutes % 60),
            _ => write!(formatter, "{days} d {} h", hours % 24),
        }
    }
}

/// A time in microseconds, as it reads best.
pub(super) struct Micros(pub(super) f64);

impl Display for Micros {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            us if us < 0.9995 => write!(formatter, "{us:.2} µs"),
            us if us < 99.95 => write!(formatter, "{us:.1} µs"),
            us if us < 999.5 => write!(formatter, "{us:.0} µs"),
            us if us < 99_950.0 => write!(formatter, "{:.1} ms", us / 1e3),
            us if us < 999_500.0 => write!(formatter, "{:.0} ms", us / 1e3),
            us => write!(formatter, "{:.1} s", us / 1e6),
        }
    }
}

/// How long ago a moment was, with the time of day for those who look closer.
pub(super) struct Since<'a>(pub(super) &'a Moment);

impl Display for Since<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Moment { time, ago } = self.0;
        write!(formatter, "<time datetime=\"{time}\" title=\"{time}\">{}</time>", Lasting(*ago))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_no_markup() {
        let escaped = Escaped("<script>&\"").to_string();
        assert_eq!(escaped, "&lt;script&gt;&amp;&quot;");
    }

    #[test]
    fn figures_are_grouped_and_rounded() {
        let number = |number| Number(number).to_string();
        assert_eq!([0, 999, 1_000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        let bytes = |bytes| Bytes(bytes).to_string();
        assert_eq!(
            [0, 999, 1_000, 1_250, 99_949, 99_950, 999_500, 1_500_000_000].map(bytes),
            ["0 B", "999 B", "1.0 kB", "1.2 kB", "99.9 kB", "100 kB", "1.0 MB", "1.5 GB"]
        );
        let micros = |us| Micros(us).to_string();
        assert_eq!(
            [0.1364, 1.0, 123.4, 1_234.0, 250_000.0, 2_500_000.0].map(micros),
            ["0.14 µs", "1.0 µs", "123 µs", "1.2 ms", "250 ms", "2.5 s"]
        );
    }

    #[test]
    fn durations_have_two_units_at_most() {
        let lasting = |seconds| Lasting(Duration::from_secs(seconds)).to_string();
        assert_eq!(
            [0, 59, 61, 600, 3_700, 90_000].map(lasting),
            ["0 s", "59 s", "1 min 1 s", "10 min", "1 h 1 min", "1 d 1 h"]
        );
    }
}
