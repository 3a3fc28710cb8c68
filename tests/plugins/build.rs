//! Compiles the guests that tests need.

#[path = "../../plugins/compile.rs"]
mod compile;

fn main() {
    let guests = compile::Guests {
        folders: &["tests/plugins"],
        prefix: "linkspan-test",
        sources: &["plugins/common"],
        depth: 2,
    };
    guests.compile();
}
