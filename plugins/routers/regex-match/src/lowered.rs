//! A decision as the host reads it: laid out as the canonical ABI of the component model has it, with
//! its texts where they are, so that none is copied for a call, and nothing is freed after it.

use crate::bindings::exports::linkspan::plugin::router::{Decision, Upstream};
use crate::bindings::linkspan::plugin::types::Field;
use std::borrow::Cow;

/// Room for the decision of one call, which stays as it is until the next. It begins with what a call
/// gives.
#[repr(C)]
pub struct Answer {
    /// The number of the decision's case in the contract.
    case: usize,
    /// What comes with it. A number that is narrower has its bytes first in such a word.
    words: [usize; 9],
    /// The fields of a response, which its words tell the place of.
    fields: Vec<[usize; 4]>,
    /// What was made for this call, if it does not lie in the rules.
    made: Option<Decision>,
}

#[cfg(target_family = "wasm")]
const _: () = assert!(std::mem::offset_of!(Answer, fields) == 40);

impl Answer {
    /// To ask the next router.
    pub(crate) const fn next() -> Self {
        Self { case: 0, words: [0; 9], fields: Vec::new(), made: None }
    }

    /// Takes a decision in place of the one before.
    pub(crate) fn take(&mut self, decision: Cow<'_, Decision>) {
        self.lay_out(&decision);
        self.made = match decision {
            Cow::Borrowed(_) => None,
            // Its texts stay where they are when it is moved.
            Cow::Owned(decision) => Some(decision),
        };
    }

    fn lay_out(&mut self, decision: &Decision) {
        let words = &mut self.words;
        self.case = match decision {
            Decision::Next => 0,
            Decision::Forward(target) => {
                let (kind, [start, length]) = match &target.upstream {
                    Upstream::Cluster(name) => (0, place(name.as_bytes())),
                    Upstream::Address(address) => (1, place(address.as_bytes())),
                };
                let [host, host_start, host_length] = optional(target.host.as_deref());
                let [path, path_start, path_length] = optional(target.path.as_deref());
                *words = [
                    kind,
                    start,
                    length,
                    host,
                    host_start,
                    host_length,
                    path,
                    path_start,
                    path_length,
                ];
                1
            }
            Decision::Respond(response) => {
                self.fields.clear();
                self.fields.extend(response.headers.iter().map(field));
                let ([body, body_length], fields) = (place(&response.body), self.fields.as_ptr());
                let (status, fields) = (usize::from(response.status), fields.expose_provenance());
                *words = [status, fields, self.fields.len(), body, body_length, 0, 0, 0, 0];
                2
            }
            Decision::Redirect(redirection) => {
                let [start, length] = place(redirection.location.as_bytes());
                *words = [usize::from(redirection.status), start, length, 0, 0, 0, 0, 0, 0];
                3
            }
        };
    }
}

/// Where bytes lie, and how many they are.
fn place(bytes: &[u8]) -> [usize; 2] {
    [bytes.as_ptr().expose_provenance(), bytes.len()]
}

fn optional(text: Option<&str>) -> [usize; 3] {
    let [start, length] = text.map_or([0; 2], |text| place(text.as_bytes()));
    [usize::from(text.is_some()), start, length]
}

fn field(field: &Field) -> [usize; 4] {
    let ([name, name_length], [value, value_length]) =
        (place(field.name.as_bytes()), place(&field.value));
    [name, name_length, value, value_length]
}
