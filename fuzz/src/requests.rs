//! What holds of the bytes of clients.

use http::{Method, Uri};
use httparse::{EMPTY_HEADER, Request, Status};
use linkspan::wire::Requests;

use super::agreement;
use super::cut::{Cuts, Judged, LIMITS, judge};
use super::reference::{self, End, Reading};

pub(crate) fn hold(cuts: Cuts, bytes: &[u8]) {
    let others = cuts.flag();
    let (whole, gate) = judged(bytes, std::iter::repeat(bytes.len()), others);
    let (cut, gate_cut) = judged(bytes, cuts, others);
    whole.same_as(&cut);
    assert_eq!((gate.begun(), gate.is_within()), (gate_cut.begun(), gate_cut.is_within()));

    let expected = reference::requests(bytes, others);
    keeps_to(&whole, &expected);
    assert_eq!(gate.begun(), expected.messages.len() as u64, "{expected:#?}");
    let within = expected.messages.last().is_some_and(|message| !message.complete);
    assert_eq!(gate.is_within(), within, "{expected:#?}");
    for message in &expected.messages {
        let (method, target) = &message.first;
        assert!(Method::from_bytes(method.as_bytes()).is_ok(), "{method:?}");
        assert!(target.parse::<Uri>().is_ok(), "{target:?}");
    }
    heads_are_heads(&expected);
    agreement::requests(&whole.passed, &expected);
}

/// Whether a gate has let pass what is right, and nothing else.
pub(crate) fn keeps_to(judged: &Judged, expected: &Reading) {
    let most = [&*expected.certain, &expected.doubtful].concat();
    assert!(
        judged.passed.starts_with(&expected.certain) && most.starts_with(&judged.passed),
        "{:?} went on of {:?} and {:?}",
        judged.passed.escape_ascii().to_string(),
        expected.certain.escape_ascii().to_string(),
        expected.doubtful.escape_ascii().to_string(),
    );
    match expected.end {
        End::Right => assert_eq!(judged.fault, None),
        End::Unfinished => {}
        End::Wrong => assert!(judged.fault.is_some(), "{expected:#?}"),
    }
    assert_eq!(judged.interim, expected.interim);
}

fn judged(bytes: &[u8], sizes: impl Iterator<Item = usize>, others: bool) -> (Judged, Requests) {
    let mut gate = Requests::new(LIMITS);
    let judged = judge(&mut gate, bytes, sizes, |gate, held| {
        if held && !others {
            gate.resume();
        }
        !held || !others
    });
    (judged, gate)
}

/// What httparse makes of the first head is what it is.
fn heads_are_heads(expected: &Reading) {
    let Some(first) = expected.messages.first() else { return };
    let mut fields = [EMPTY_HEADER; LIMITS.fields];
    let mut request = Request::new(&mut fields);
    let parsed = request.parse(&expected.certain);
    assert!(matches!(parsed, Ok(Status::Complete(_))), "{parsed:?}");
    assert_eq!(request.method, Some(&*first.first.0));
    assert_eq!(request.path, Some(&*first.first.1));
    assert_eq!(request.version, Some(u8::from(!first.old)));
    let parsed = request.headers.iter();
    let parsed: Vec<_> =
        parsed.map(|field| (field.name.to_ascii_lowercase(), field.value.to_vec())).collect();
    assert_eq!(parsed, first.fields);
}
