//! What an endpoint says of itself: the numbers in its last answer to an active check.
//!
//! Written by whoever checks, read by balancers of any worker without a lock. Bounded whatever comes:
//! as many numbers, and names as long, as `wit/reports.wit` promises.

use std::sync::Arc;

use arc_swap::ArcSwapOption;

/// The most numbers of an answer.
const NUMBERS: usize = 32;

/// The longest name of one, in bytes.
const NAME_BYTES: usize = 32;

/// The last answer that passed a check.
#[derive(Debug, Default)]
pub struct Report(ArcSwapOption<Answer>);

#[derive(Debug)]
struct Answer {
    /// When it came, in milliseconds of [`now`](super::health::now).
    at: u64,
    numbers: Vec<(Box<str>, u64)>,
}

impl Report {
    /// Takes the beginning of the body of an answer that came now.
    pub fn take(&self, body: &[u8], now: u64) {
        self.0.store(Some(Arc::new(Answer { at: now, numbers: numbers(body) })));
    }

    /// The number of that name, if the last answer has it.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        let answer = self.0.load();
        let numbers = &answer.as_ref()?.numbers;
        numbers.iter().find(|(known, _)| **known == *name).map(|(_, number)| *number)
    }

    /// All numbers of the last answer.
    #[must_use]
    pub fn numbers(&self) -> Vec<(String, u64)> {
        let answer = self.0.load();
        let numbers = answer.iter().flat_map(|answer| answer.numbers.iter());
        numbers.map(|(name, number)| (name.to_string(), *number)).collect()
    }

    /// Milliseconds since the last answer, if there was one.
    #[must_use]
    pub fn age(&self, now: u64) -> Option<u64> {
        self.0.load().as_ref().map(|answer| now.saturating_sub(answer.at))
    }
}

/// The numbers in a body, each name once, the first of each.
fn numbers(body: &[u8]) -> Vec<(Box<str>, u64)> {
    let mut numbers: Vec<(Box<str>, u64)> = Vec::new();
    for (name, number) in body.split(|byte| b"&\r\n".contains(byte)).filter_map(number) {
        if numbers.len() == NUMBERS {
            break;
        }
        if !numbers.iter().any(|(known, _)| **known == *name) {
            numbers.push((name.into(), number));
        }
    }
    numbers
}

/// `NAME=NUMBER` or `NAME: NUMBER`, blanks around either.
fn number(piece: &[u8]) -> Option<(&str, u64)> {
    let piece = std::str::from_utf8(piece).ok()?;
    let (name, number) = piece.split_once(['=', ':'])?;
    let (name, number) = (name.trim_ascii(), number.trim_ascii());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte);
    let named = (1..=NAME_BYTES).contains(&name.len()) && name.bytes().all(fits);
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    (named && digits).then(|| number.parse().ok().map(|number| (name, number)))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> Vec<(String, u64)> {
        numbers(body.as_bytes()).into_iter().map(|(name, number)| (name.into(), number)).collect()
    }

    fn told(numbers: &[(&str, u64)]) -> Vec<(String, u64)> {
        numbers.iter().map(|(name, number)| ((*name).to_owned(), *number)).collect()
    }

    #[test]
    fn what_heartbeat_and_status_write() {
        let heartbeat = told(&[("v", 1), ("ready", 75), ("busy", 0)]);
        assert_eq!(read("v=1&ready=75&busy=0"), heartbeat);
        assert_eq!(read("v=1&ready=75&busy=0\n"), heartbeat);
        let status = "localhost\nServerVersion: Apache/2.4.65 (Unix)\nTotal Accesses: 17\r\n\
                      CPULoad: .0203\nUptime: 1181\nReqPerSec: .0143946\nBusyWorkers: 1\n\
                      IdleWorkers: 74\nScoreboard: _W__.....\n";
        let expected =
            [("Total Accesses", 17), ("Uptime", 1181), ("BusyWorkers", 1), ("IdleWorkers", 74)];
        assert_eq!(read(status), told(&expected));
    }

    #[test]
    fn what_is_no_number_is_passed_over() {
        for body in
            ["", "ready", "=1", "ready=", "ready=-1", "ready=+1", "ready=1.5", "ready=0x1", "a/b=1"]
        {
            assert_eq!(read(body), [], "{body}");
        }
        assert_eq!(read("ready=18446744073709551616"), [], "more than 64 bits");
        assert_eq!(read("ready=18446744073709551615"), told(&[("ready", u64::MAX)]));
        assert_eq!(read("ready=1&ready=2&busy=3"), told(&[("ready", 1), ("busy", 3)]));
        assert_eq!(numbers(b"a=1\n\xff=2\nb=3").len(), 2, "what is not UTF-8 ends with its line");
        let long = "n".repeat(NAME_BYTES);
        assert_eq!(read(&format!("{long}=1&{long}n=2")), told(&[(&long, 1)]));
    }

    #[test]
    fn an_answer_replaces_the_one_before_and_grows_old() {
        let report = Report::default();
        assert_eq!((report.age(5), report.number("ready")), (None, None));
        report.take(b"ready=1", 100);
        assert_eq!((report.age(130), report.number("ready")), (Some(30), Some(1)));
        assert_eq!(report.age(90), Some(0), "a clock that was read before");
        report.take(b"busy=2", 200);
        assert_eq!((report.age(200), report.number("ready")), (Some(0), None));
        assert_eq!(report.number("busy"), Some(2));
    }

    proptest! {
        #[test]
        fn any_body_is_survived_within_bounds(body: Vec<u8>) {
            let numbers = numbers(&body);
            prop_assert!(numbers.len() <= NUMBERS);
            prop_assert!(numbers.iter().all(|(name, _)| (1..=NAME_BYTES).contains(&name.len())));
        }

        #[test]
        fn what_is_written_is_read(
            pairs in prop::collection::vec(("[A-Za-z_][A-Za-z0-9_.-]{0,31}", any::<u64>()), 0..60),
            lines: bool,
        ) {
            let (between, is) = if lines { ("\r\n", ": ") } else { ("&", "=") };
            let pieces: Vec<_> = pairs.iter().map(|(name, it)| format!("{name}{is}{it}")).collect();
            let mut expected: Vec<(String, u64)> = Vec::new();
            for (name, number) in pairs {
                if !expected.iter().any(|(known, _)| *known == name) {
                    expected.push((name, number));
                }
            }
            expected.truncate(NUMBERS);
            prop_assert_eq!(read(&pieces.join(between)), expected);
        }

        #[test]
        fn pieces_of_all_kinds_are_survived(
            pieces in prop::collection::vec("[a-c =:&\r\n0-9é]{0,12}", 0..200),
        ) {
            let read = numbers(pieces.concat().as_bytes());
            prop_assert!(read.len() <= NUMBERS);
            let mut names: Vec<_> = read.iter().map(|(name, _)| name).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), read.len());
        }
    }
}
