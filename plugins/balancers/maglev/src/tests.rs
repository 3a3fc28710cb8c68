//! Vectors, shares, who moves when somebody leaves, and bounded load.

use super::*;
use linkspan_plugin_balancing::testing::{self, hashing};

#[test]
fn follows_its_vectors() {
    testing::vectors::check::<Maglev>("maglev");
}

#[test]
fn keeps_the_promises_of_all_balancers() {
    testing::check_promises::<Maglev>(r#"{"bounded-load":1.2}"#, true);
}

#[test]
fn when_one_leaves_few_but_its_own_move() {
    hashing::check_leaving::<Maglev>(400);
}

#[test]
fn shares_are_what_the_weights_say() {
    hashing::check_shares::<Maglev>(350);
}

#[test]
fn no_load_is_above_its_bound() {
    hashing::check_bound::<Maglev>();
}

#[test]
fn says_what_is_wrong_with_its_configuration() {
    hashing::check_config::<Maglev>();
}

#[test]
fn when_one_is_down_only_its_own_move() {
    hashing::check_down::<Maglev>();
}

#[test]
fn the_order_of_the_list_does_not_matter() {
    hashing::check_order::<Maglev>();
}
