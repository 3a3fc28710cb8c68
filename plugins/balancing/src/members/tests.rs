//! Who competes, and that nobody is tried twice.

use super::*;
use crate::testing::{OPEN, endpoint};

fn members(list: &[(u32, &[(&str, &str)])]) -> (Members, Vec<String>) {
    let mut members = Members::new();
    let own = |(id, attributes): &(u32, &[(&str, &str)])| {
        let attribute = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Endpoint { attributes: attributes.iter().map(attribute).collect(), ..endpoint(*id) }
    };
    let faults = members.update(list.iter().map(own).collect());
    (members, faults)
}

fn plain(ids: &[u32]) -> Members {
    let mut members = Members::new();
    members.update(ids.iter().map(|id| endpoint(*id)).collect());
    members
}

#[test]
fn repetitions_are_one_endpoint() {
    let mut members = plain(&[5, 3, 5, 9, 3, 5]);
    let numbers: Vec<_> = members.list().iter().map(|member| member.number).collect();
    assert_eq!(numbers, [0, 1, 0, 2, 1, 0]);
    let distinct: Vec<_> = members.distinct().iter().map(|it| (it.place, it.weight)).collect();
    assert_eq!(distinct, [(0, 300), (1, 200), (3, 100)]);
    members.change(vec![(3, EndpointState { usable: false, ..OPEN }), (77, OPEN)]);
    assert_eq!(members.competitors().places(), [0, 2, 3, 5]);
}

#[test]
fn around_the_list_from_any_place() {
    let mut members = plain(&[1, 2, 3, 4]);
    members.change([1, 3].map(|id| (id, EndpointState { usable: false, ..OPEN })).into());
    let from = |place| members.competitors().at_or_after(place);
    assert_eq!([from(0), from(1), from(2), from(3)], [Some(1), Some(1), Some(3), Some(3)]);
    assert_eq!(from(4), Some(1), "past the end is the beginning");
    assert_eq!(from(5), None);
    assert_eq!(plain(&[]).competitors().at_or_after(0), None);
}

#[test]
fn who_was_tried_does_not_compete() {
    let mut members = plain(&[1, 2, 1, 3]);
    assert_eq!((members.place(1), members.place(99)), (Some(0), None));
    let rest = |members: &Members, ids: &[u32]| {
        members.without(Some(members.tried(ids))).places().to_vec()
    };
    assert_eq!(rest(&members, &[]), [0, 1, 2, 3]);
    assert_eq!(rest(&members, &[2]), [0, 2, 3]);
    assert_eq!(rest(&members, &[1, 3, 99]), [1]);
    members.update([3, 4, 1].map(endpoint).into());
    assert_eq!(rest(&members, &[2, 1]), [0, 1], "the list has changed in between");
}

#[test]
fn faults_of_attributes_are_told() {
    let list: [(u32, &[(&str, &str)]); 4] = [
        (1, &[("lbset", "100"), ("status", "standy")]),
        (2, &[("lbset", "-1")]),
        (3, &[("lbset", "99"), ("status", "spare"), ("colour", "blue")]),
        (4, &[("status", "drain")]),
    ];
    let (members, faults) = members(&list);
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[0].starts_with("endpoint 10.0.0.1:80: status: expected \"standby\""));
    assert!(faults[1].contains("lbset: expected 0 to 99, found \"100\""));
    assert_eq!(members.at(2).map(|it| (it.lbset, it.role)), Some((99, Role::Spare)));
    assert_eq!(members.at(0).map(|it| (it.lbset, it.role)), Some((0, Role::Regular)));
}

#[test]
fn sets_are_taken_in_their_order() {
    let list: [(u32, &[(&str, &str)]); 4] =
        [(1, &[("lbset", "2")]), (2, &[("lbset", "1")]), (3, &[("lbset", "1")]), (4, &[])];
    let (mut members, _) = members(&list);
    let down = |id| (id, EndpointState { usable: false, ..OPEN });
    assert_eq!(members.competitors().places(), [3]);
    members.change(vec![down(4)]);
    assert_eq!(members.competitors().places(), [1, 2]);
    members.change(vec![down(2), down(3)]);
    assert_eq!(members.competitors().places(), [0]);
}

#[test]
fn chance_follows_weights() {
    let mut members = plain(&[1, 2, 3]);
    members.change(vec![(2, EndpointState { weight: 300, ..OPEN })]);
    let draw = |random| members.competitors().draw(random);
    let fifth = u64::MAX / 5;
    assert_eq!([draw(0), draw(fifth - 9), draw(fifth + 9)], [Some(0), Some(0), Some(1)]);
    assert_eq!(
        [draw(4 * fifth - 9), draw(4 * fifth + 9), draw(u64::MAX)],
        [Some(1), Some(2), Some(2)]
    );
    assert_eq!(plain(&[]).competitors().draw(7), None);
}
