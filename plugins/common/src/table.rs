//! A configuration that is read key by key, so that the faults of all its keys are told at once.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::{parse, parse_part};
use crate::names;

/// The keys of a table that are left to read, and what is wrong with those that were.
#[derive(Debug)]
pub struct Table {
    left: Map<String, Value>,
    known: Vec<&'static str>,
    faults: Vec<String>,
}

impl Table {
    /// The table that `configure` is given.
    ///
    /// # Errors
    ///
    /// That it is none.
    pub fn parse(config: &str) -> Result<Self, String> {
        Ok(Self { left: parse(config)?, known: Vec::new(), faults: Vec::new() })
    }

    /// Reads a key that has to be there. Nothing if it is not, or is something else.
    pub fn required<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        if !self.left.contains_key(key) {
            self.faults.push(format!("`{key}` is missing"));
        }
        self.optional(key)
    }

    /// Reads a key, if it is there. Nothing also if it is something else.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        self.known.push(key);
        let value = self.left.remove(key)?;
        parse_part(key, value).map_err(|fault| self.faults.push(fault)).ok()
    }

    /// Adds something that is wrong: `KEY: what is wrong, expected THAT`.
    pub fn fault(&mut self, fault: impl Into<String>) {
        self.faults.push(fault.into());
    }

    /// What was made of it, unless something is wrong, such as a key that was not read. The error
    /// has one fault a line.
    pub fn finish<T>(mut self, made: Option<T>) -> Result<T, String> {
        let quoted: Vec<_> = self.known.iter().map(|key| format!("`{key}`")).collect();
        let expected = match quoted.as_slice() {
            [] => String::new(),
            [only] => format!(", expected {only}"),
            [one, other] => format!(", expected {one} or {other}"),
            several => format!(", expected one of {}", several.join(", ")),
        };
        for key in self.left.keys() {
            let meant = names::did_you_mean(key, self.known.iter().copied());
            self.faults.push(format!("{key}: unknown key{expected}{meant}"));
        }
        made.filter(|_| self.faults.is_empty()).ok_or_else(|| self.faults.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(config: &str) -> Result<(u16, bool), String> {
        let mut table = Table::parse(config)?;
        let number = table.required("number");
        let flag = table.optional("flag");
        if number == Some(7) {
            table.fault("number: not this one");
        }
        table.finish(number.map(|number| (number, flag.unwrap_or_default())))
    }

    #[test]
    fn all_faults_are_told() {
        assert_eq!(read(r#"{"number": 1}"#), Ok((1, false)));
        assert_eq!(read(r#"{"number": 1, "flag": true}"#), Ok((1, true)));
        assert_eq!(
            read(r#"{"flg": true, "flag": 1, "colour": 2}"#).unwrap_err(),
            "`number` is missing\n\
             flag: this is an integer, expected a boolean\n\
             colour: unknown key, expected `number` or `flag`\n\
             flg: unknown key, expected `number` or `flag`; did you mean `flag`?"
        );
        assert_eq!(read(r#"{"number": 7}"#).unwrap_err(), "number: not this one");
        assert!(read("[]").is_err());
    }
}
