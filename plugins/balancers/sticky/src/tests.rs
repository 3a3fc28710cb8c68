//! Vectors, and the cookie that clients are given.

use super::*;
use linkspan_plugin_balancing::bindings::exports::linkspan::plugin::balancer::Choice as Answer;
use linkspan_plugin_balancing::testing::{self, Script, endpoint, endpoints, instance};

const COOKIE: &str = r#"{"cookie":"SID","set-cookie":"Path=/; HttpOnly"}"#;

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<Sticky>("sticky");
}

#[test]
fn survives_any_list_and_any_value() {
    let script = Script::default();
    for count in [0, 1, 10_000] {
        let mut sticky = instance::<Sticky>(COOKIE, endpoints(count), &script);
        for value in ["", "SID", "SID=", "SID=.", "SID=..", "SID=.x", ";;=,SID=.;\u{fc}"] {
            script.set_header("cookie", value);
            let choice = sticky.pick(0, None, &script);
            assert!(matches!(choice, Answer::Next), "{value}");
        }
    }
}

#[test]
fn a_session_comes_back_by_the_cookie_that_it_was_given() {
    let script = Script::default();
    let mut sticky = instance::<Sticky>(COOKIE, endpoints(9), &script);
    let config = Config::parse(COOKIE).unwrap();
    for id in 0..9 {
        script.set_header("cookie", "other=1");
        let address = endpoint(id).address;
        let given = set_cookie(&config, &address, None, &script).unwrap();
        let (pair, attributes) = given.split_once(';').unwrap();
        assert_eq!(attributes, " Path=/; HttpOnly");
        script.set_header("cookie", pair);
        let Answer::Endpoint(picked) = sticky.pick(0, None, &script) else { panic!("{given}") };
        assert_eq!(picked.id, id);
        assert_eq!(set_cookie(&config, &address, None, &script), None, "the client has it");
        assert!(set_cookie(&config, "elsewhere:80", None, &script).is_some(), "the session moved");
        assert_eq!(set_cookie(&config, "", None, &script), None);
    }
    let silent = Config::parse(r#"{"cookie":"SID"}"#).unwrap();
    assert_eq!(set_cookie(&silent, "elsewhere:80", None, &script), None);
}

#[test]
fn a_route_that_can_stand_in_a_cookie_does() {
    let script = Script::default();
    let config = Config::parse(COOKIE).unwrap();
    script.set_header("cookie", "SID=.r1");
    let given = |route: &str| set_cookie(&config, "a:80", Some(route.to_owned()), &script);
    assert_eq!(given("r2").as_deref(), Some("SID=.r2; Path=/; HttpOnly"));
    assert_eq!(given("r1"), None, "the client has it");
    for unfit in ["r;2", "r 2", "r,2", "r\u{fc}"] {
        assert_eq!(given(unfit), set_cookie(&config, "a:80", None, &script), "{unfit}");
    }
}

#[test]
fn redirections_in_a_circle_end() {
    let script = Script::default();
    let mut list = endpoints(2);
    for (own, other) in [(0, 1), (1, 0)] {
        let attribute = |key: &str, id| (key.to_owned(), format!("r{id}"));
        list[own].attributes = vec![attribute("redirect", other), attribute("route", own)];
        list[own].state.usable = false;
    }
    let mut sticky = instance::<Sticky>(COOKIE, list, &script);
    script.set_header("cookie", "SID=.r0");
    assert!(matches!(sticky.pick(0, None, &script), Answer::Next));
}
