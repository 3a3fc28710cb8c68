//! What follows from the checks of an endpoint, one after another.

/// The checks so far.
#[derive(Debug, Default)]
pub(super) struct Row {
    healthy: Option<bool>,
    /// Checks in a row that say the opposite.
    against: u32,
}

impl Row {
    /// Takes the next. Answers whether the endpoint is healthy from now on, where that is news.
    pub(super) fn take(&mut self, passed: bool, rise: u32, fall: u32) -> Option<bool> {
        if self.healthy == Some(passed) {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let enough = match self.healthy {
            None => 1,
            Some(true) => fall,
            Some(false) => rise,
        };
        if self.against < enough {
            return None;
        }
        *self = Self { healthy: Some(passed), against: 0 };
        Some(passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_decides_and_then_it_takes_a_row() {
        let mut row = Row::default();
        let mut take = |passed| row.take(passed, 2, 3);
        assert_eq!(take(false), Some(false), "the first");
        assert_eq!(take(true), None);
        assert_eq!(take(false), None, "which ends the row");
        assert_eq!([take(true), take(true)], [None, Some(true)]);
        assert_eq!([take(false), take(false), take(true)], [None; 3]);
        assert_eq!([take(false), take(false), take(false)], [None, None, Some(false)]);
        assert_eq!(take(false), None, "no news");
    }
}
