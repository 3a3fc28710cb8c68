//! Compiles the standard plugins.

mod compile;

fn main() {
    let guests = compile::Guests {
        folders: &["plugins/balancers", "plugins/rewriters", "plugins/routers"],
        prefix: "linkspan",
        sources: &["plugins/common", "plugins/balancing"],
        depth: 1,
    };
    guests.compile();
}
