//! What a misspelt name may have meant.

use std::mem;

/// The longest name that is compared: the cost grows with the product of the lengths.
const LONGEST: usize = 64;

/// ``; did you mean `another`?`` for a name that is close to one of those known, or nothing.
#[must_use]
pub fn did_you_mean<'k>(name: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let far = (name.chars().count() / 3).max(1);
    let near = known
        .into_iter()
        .filter(|known| known.len().max(name.len()) <= LONGEST)
        .map(|known| (distance(name, known), known))
        .filter(|(distance, _)| *distance <= far)
        .min();
    near.map_or_else(String::new, |(_, known)| format!("; did you mean `{known}`?"))
}

/// How many characters have to be put in, left out, replaced, or swapped with their neighbour.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    // The row above, and the one above that with the character that the row above stands for.
    let mut above: Vec<usize> = (0..=other.len()).collect();
    let mut before: Option<(char, Vec<usize>)> = None;
    let at = |row: &[usize], place: usize| row.get(place).copied().unwrap_or(usize::MAX / 2);
    for (index, a) in one.chars().enumerate() {
        let mut row = vec![index + 1];
        for (place, b) in other.iter().enumerate() {
            let replaced = at(&above, place) + usize::from(a != *b);
            let mut least = replaced.min(at(&above, place + 1) + 1).min(at(&row, place) + 1);
            if let (Some((last, row)), Some(neighbour)) = (&before, place.checked_sub(1))
                && last == b
                && other.get(neighbour) == Some(&a)
            {
                least = least.min(at(row, neighbour) + 1);
            }
            row.push(least);
        }
        before = Some((a, mem::replace(&mut above, row)));
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("clustre", "cluster", 1),
            ("alhpa", "alpha", 1),
            ("ab", "ba", 1),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn only_what_is_close_is_meant() {
        let known = ["static", "php", "statistics"];
        assert_eq!(did_you_mean("statc", known), "; did you mean `static`?");
        assert_eq!(did_you_mean("pph", known), "; did you mean `php`?");
        assert_eq!(did_you_mean("colour", known), "");
        assert_eq!(did_you_mean(&"x".repeat(65), [&*"x".repeat(65)]), "");
        assert_eq!(did_you_mean("", []), "");
    }
}
