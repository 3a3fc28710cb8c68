//! What holds of the bytes of upstreams.

use httparse::{EMPTY_HEADER, Response, Status};
use linkspan::wire::{Asked, Responses};

use super::agreement;
use super::cut::{Cuts, Judged, LIMITS, judge};
use super::reference::{self, End, Question};
use super::requests::keeps_to;

pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    let mut choices = cuts;
    let questions: Vec<_> = (0..3)
        .map(|_| {
            let choice = choices.next().unwrap_or_default();
            Question { head: choice % 7 == 1, upgrade: choice % 7 == 2 }
        })
        .collect();
    let (whole, gate) = judged(bytes, std::iter::repeat(bytes.len()), &questions);
    let (cut, gate_cut) = judged(bytes, cuts, &questions);
    whole.same_as(&cut);
    assert_eq!(gate.is_idle(), gate_cut.is_idle());
    assert_eq!(gate.has_switched(), gate_cut.has_switched());

    let expected = reference::responses(bytes, &questions);
    keeps_to(&whole, &expected);
    let complete = expected.messages.iter().all(|message| message.complete);
    if expected.end == End::Right && !expected.messages.is_empty() && expected.interim.is_empty() {
        assert_eq!(gate.is_idle(), complete, "{expected:#?}");
    }
    let switched = expected.messages.last().is_some_and(|message| message.first.1 == "101");
    assert_eq!(gate.has_switched(), switched, "{expected:#?}");
    agreement::responses(&questions, &expected);

    let Some(first) = expected.messages.first() else { return };
    let mut fields = [EMPTY_HEADER; LIMITS.fields];
    let mut response = Response::new(&mut fields);
    let parsed = response.parse(&expected.certain);
    assert!(matches!(parsed, Ok(Status::Complete(_))), "{parsed:?}");
    assert_eq!(response.code.map(|code| code.to_string()), Some(first.first.1.clone()));
    assert_eq!(response.version, Some(u8::from(!first.old)));
    let parsed = response.headers.iter();
    let parsed: Vec<_> =
        parsed.map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
    assert_eq!(parsed, first.fields);
}

/// What becomes of bytes, and of the gate.
fn judged(
    bytes: &[u8],
    sizes: impl Iterator<Item = usize>,
    questions: &[Question],
) -> (Judged, Responses) {
    let mut gate = Responses::new(LIMITS);
    let mut questions = questions.iter();
    let judged = judge(&mut gate, bytes, sizes, |gate, held| {
        assert!(!held, "nothing is decided of responses");
        if gate.is_idle()
            && let Some(Question { head, upgrade }) = questions.next()
        {
            gate.ask(Asked { head: *head, upgrade: *upgrade });
            assert!(!gate.is_idle());
        }
        true
    });
    assert_eq!(judged.fault, gate.fault());
    (judged, gate)
}
