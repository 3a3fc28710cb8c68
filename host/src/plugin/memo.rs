//! What a rewriter said last: most say the same of all requests, and what was checked once need not be
//! checked again.

use std::cell::{Cell, RefCell};

use crate::plugin::bindings::edits;
use crate::plugin::bindings::types::Field;
use crate::plugin::convert::Edit;
use crate::plugin::error::Failure;

/// The most changes that are remembered, and the most bytes of all their texts.
const EDITS: usize = 16;
/// See [`EDITS`].
const BYTES: usize = 4 << 10;

/// How often in a row something else may be said before nothing is remembered any more.
const CHANGES: u8 = 16;

/// What was said in one phase.
#[derive(Default)]
pub(super) struct Memo {
    last: RefCell<Option<Said>>,
    changes: Cell<u8>,
}

/// A list of changes as a plugin gave it, and as it was found to be.
struct Said {
    given: Vec<edits::Edit>,
    checked: Vec<Edit>,
}

impl Memo {
    /// What a check makes of changes, which is not asked if they are those of the last time.
    ///
    /// # Errors
    ///
    /// As the check.
    pub(super) fn checked(
        &self,
        given: Vec<edits::Edit>,
        check: impl FnOnce(Vec<edits::Edit>) -> Result<Vec<Edit>, Failure>,
    ) -> Result<Vec<Edit>, Failure> {
        if given.is_empty() || given.len() > EDITS || self.changes.get() >= CHANGES {
            return check(given);
        }
        if let Some(said) = &*self.last.borrow()
            && are_same(&said.given, &given)
        {
            self.changes.set(0);
            return Ok(said.checked.clone());
        }
        self.changes.set(self.changes.get() + 1);
        if given.iter().map(bytes).sum::<usize>() > BYTES || self.changes.get() >= CHANGES {
            self.last.replace(None);
            return check(given);
        }
        let copy = given.clone();
        let checked = check(given)?;
        self.last.replace(Some(Said { given: copy, checked: checked.clone() }));
        Ok(checked)
    }
}

fn are_same(some: &[edits::Edit], others: &[edits::Edit]) -> bool {
    some.len() == others.len()
        && some.iter().zip(others).all(|(one, other)| match (one, other) {
            (edits::Edit::Set(one), edits::Edit::Set(other))
            | (edits::Edit::Append(one), edits::Edit::Append(other)) => {
                (&one.name, &one.value) == (&other.name, &other.value)
            }
            (edits::Edit::Remove(one), edits::Edit::Remove(other))
            | (edits::Edit::Path(one), edits::Edit::Path(other))
            | (edits::Edit::Authority(one), edits::Edit::Authority(other)) => one == other,
            (edits::Edit::Status(one), edits::Edit::Status(other)) => one == other,
            (edits::Edit::TransformBody, edits::Edit::TransformBody) => true,
            _ => false,
        })
}

fn bytes(edit: &edits::Edit) -> usize {
    match edit {
        edits::Edit::Set(Field { name, value }) | edits::Edit::Append(Field { name, value }) => {
            name.len() + value.len()
        }
        edits::Edit::Remove(text) | edits::Edit::Path(text) | edits::Edit::Authority(text) => {
            text.len()
        }
        edits::Edit::Status(_) | edits::Edit::TransformBody => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::convert;

    fn set(name: &str, value: &str) -> edits::Edit {
        edits::Edit::Set(Field { name: name.to_owned(), value: value.as_bytes().to_vec() })
    }

    /// What a memo gives, and whether the check was asked.
    fn ask(memo: &Memo, given: Vec<edits::Edit>) -> (Result<Vec<Edit>, Failure>, bool) {
        let asked = Cell::new(false);
        let checked = memo.checked(given, |given| {
            asked.set(true);
            convert::request_edits(given)
        });
        (checked, asked.get())
    }

    #[test]
    fn what_is_said_again_is_checked_once_and_what_differs_is_not_taken_for_it() {
        let memo = Memo::default();
        let lists = || {
            let remove = || edits::Edit::Remove("x-a".to_owned());
            [
                vec![set("x-a", "1")],
                vec![set("x-a", "2")],
                vec![set("x-b", "1")],
                vec![set("x-b", "1"), remove()],
                vec![remove()],
                vec![edits::Edit::Path("/x-a".to_owned())],
                vec![edits::Edit::Authority("x-a".to_owned())],
            ]
        };
        for (given, again) in lists().into_iter().zip(lists()) {
            let fresh = convert::request_edits(given.clone()).unwrap();
            let (first, asked) = ask(&memo, given);
            assert_eq!((first.unwrap(), asked), (fresh.clone(), true));
            let (second, asked) = ask(&memo, again);
            assert_eq!((second.unwrap(), asked), (fresh, false));
        }
    }

    #[test]
    fn what_is_refused_is_refused_again() {
        let memo = Memo::default();
        for _ in 0..2 {
            let (refused, asked) = ask(&memo, vec![set("x-a", "1\r\n2")]);
            assert!(refused.is_err() && asked);
        }
    }

    #[test]
    fn who_says_something_else_each_time_or_too_much_is_not_listened_to() {
        let memo = Memo::default();
        for value in 0..CHANGES {
            ask(&memo, vec![set("x-a", &value.to_string())]).0.unwrap();
        }
        assert!(memo.last.borrow().is_none());
        assert!(ask(&memo, vec![set("x-a", "15")]).1);
        let memo = Memo::default();
        for given in [vec![set("x-a", &"a".repeat(BYTES))], vec![set("x-a", "1"); EDITS + 1]] {
            ask(&memo, given).0.unwrap();
            assert!(memo.last.borrow().is_none());
        }
    }
}
