//! Edits as the host reads them: laid out in memory once, as the canonical ABI of the component model
//! has it, so that a call gives the place where they lie, and neither copies nor frees anything.

use crate::bindings::linkspan::plugin::types::Field;
use std::ptr;

/// An edit of those that the contract has, as far as they are made here.
#[derive(Debug)]
pub(crate) enum Edit {
    /// Replaces all fields of that name.
    Set(Field),
    /// Adds a field.
    Append(Field),
    /// Removes all fields of that name.
    Remove(String),
    /// Replaces Host.
    Authority(String),
}

/// A list of edits that stays as it is. It begins with what a call gives.
#[repr(C)]
pub struct Lowered {
    list: List,
    /// What the list tells the place of.
    elements: Vec<Element>,
    /// What the elements tell the places of.
    edits: Vec<Edit>,
}

/// Where a list or a text lies, and how many elements or bytes it has.
#[repr(C)]
struct List {
    start: *const u8,
    length: usize,
}

/// An edit: the number of its case in the contract, and as much room as the largest needs.
#[repr(C)]
struct Element {
    case: u8,
    name: List,
    value: List,
}

#[cfg(target_family = "wasm")]
const _: () = assert!(size_of::<List>() == 8 && size_of::<Element>() == 20);

const NOTHING: List = List { start: ptr::null(), length: 0 };

impl Lowered {
    /// No edits.
    pub(crate) const EMPTY: Self = Self { list: NOTHING, elements: Vec::new(), edits: Vec::new() };

    /// Lays out edits.
    pub(crate) fn new(edits: Vec<Edit>) -> Self {
        let elements: Vec<Element> = edits.iter().map(Element::new).collect();
        let list = List { start: elements.as_ptr().cast(), length: elements.len() };
        Self { list, elements, edits }
    }
}

impl Element {
    fn new(edit: &Edit) -> Self {
        let (case, name, value) = match edit {
            Edit::Set(Field { name, value }) => (0, name, List::of(value)),
            Edit::Append(Field { name, value }) => (1, name, List::of(value)),
            Edit::Remove(name) => (2, name, NOTHING),
            Edit::Authority(authority) => (4, authority, NOTHING),
        };
        Self { case, name: List::of(name.as_bytes()), value }
    }
}

impl List {
    fn of(bytes: &[u8]) -> Self {
        Self { start: bytes.as_ptr(), length: bytes.len() }
    }
}
