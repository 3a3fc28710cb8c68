//! Whose the file of a listener's Unix socket is, and who may connect.

use std::ops::RangeInclusive;

use serde_json::{Value as Json, json};
use uzers::{get_group_by_name, get_user_by_name};

use crate::config::Name;
use crate::config::file::{Kind, Parsed, Table, Value, Whole, key, variable};
use crate::socket::path::Rights;

/// Who may connect if nothing is said: the user and the group that a socket belongs to.
const USUAL: Rights = Rights { mode: 0o660, owner: None, group: None };

/// The numbers of users and groups: the last one stands for none of them.
const NUMBERS: RangeInclusive<u32> = 0..=u32::MAX - 1;

/// Rights as of `chmod`.
const MODE: Parsed<u32, &str> = Parsed {
    expected: "three octal digits as of `chmod`, such as `0660`",
    read: |text| {
        let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3).unwrap_or(text);
        let octal = digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if octal && digits.len() == 3 => Ok(mode),
            _ => Err("it is no mode"),
        }
    },
    write: |mode| format!("{mode:04o}"),
    pattern: "0?[0-7]{3}",
};

const USER: Account =
    Account { what: "user", find: |name| get_user_by_name(name).map(|user| user.uid()) };

const GROUP: Account =
    Account { what: "group", find: |name| get_group_by_name(name).map(|group| group.gid()) };

/// What a listener's Unix socket has. One at an IP address has no use for that.
pub(super) fn rights(table: &mut Table<'_>, name: Option<&Name>, is_unix: bool) -> Rights {
    const KEYS: [&str; 3] = ["socket-mode", "socket-owner", "socket-group"];
    // What all listeners share holds for those that it is meant for.
    if !is_unix && !table.is_described() && name.is_some() {
        table.forbid_own(&KEYS, "only a listener at a Unix socket has this");
        return USUAL;
    }
    let mode = "The mode of a Unix socket's file, where whoever may write may connect";
    let mode = key("socket-mode", mode, MODE).such_as("0660");
    let owner = key("socket-owner", "The user to whom that belongs, by name or number", USER);
    let group = key("socket-group", "The group to which that belongs, by name or number", GROUP);
    let owner = table.optional(owner.such_as("root"), "that of the process");
    let group = table.optional(group.such_as("www-data"), "that of the process");
    Rights {
        mode: table.or_else(mode, "0660", || USUAL.mode),
        owner: owner.map(|owner| owner.number),
        group: group.map(|group| group.number),
    }
}

/// A user or a group of this machine.
struct Account {
    what: &'static str,
    find: fn(&str) -> Option<u32>,
}

/// One that there is, or a number.
struct Found {
    written: String,
    number: u32,
}

impl Kind for Account {
    type Value = Found;

    fn read(&self, value: &Value<'_>) -> Option<Found> {
        let what = self.what;
        let found = |written: &str, number| Found { written: written.to_owned(), number };
        if value.item().is_integer() {
            return Whole(NUMBERS).read(value).map(|number| found(&number.to_string(), number));
        }
        let expected = format!("a {what}, by name or number");
        let text = value.text_for(&expected)?;
        let refuse = |message: &str| value.refuse(message, &format!("expected {expected}"), None);
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok().filter(|number| NUMBERS.contains(number));
            let number = number.map(|number| found(&text, number));
            return number.or_else(|| refuse("the number is out of range"));
        }
        match (self.find)(&text) {
            Some(number) => Some(found(&text, number)),
            None => refuse(&format!("this machine has no {what} `{text}`")),
        }
    }

    fn write(&self, value: &Found) -> Json {
        value.written.as_str().into()
    }

    fn schema(&self) -> Json {
        json!({ "anyOf": [variable(".+"), Whole(NUMBERS).schema()] })
    }
}
