//! Answers that would do harm if they were followed.

use super::{Call, Stranger, route, stranger};

pub(super) fn all() -> Vec<Stranger> {
    [routers(), fields(), others()].concat()
}

fn routers() -> Vec<Stranger> {
    let status =
        |name, mechanism, deed| route(name, mechanism).deed(deed).unfit("the contract: 200 to 599");
    let place = |name, mechanism| route(name, mechanism).unfit("the contract: what a field may be");
    vec![
        route("unknown-cluster", "forwards to a cluster that does not exist")
            .deed("(return (call $forward (i32.const 0) (i32.const 4096) (i32.const 7)))")
            .data("nowhere")
            .unfit("the configuration"),
        route("long-cluster", "forwards to a cluster whose name has 400 KiB")
            .deed("(return (call $forward (i32.const 0) (i32.const 8192) (i32.const 409600)))")
            .unfit("the configuration"),
        status("status-0", "answers with 0", "(return (call $answer (i32.const 0)))"),
        status("status-99", "answers with 99", "(return (call $answer (i32.const 99)))"),
        status("status-101", "switches protocols", "(return (call $answer (i32.const 101)))"),
        status("status-1000", "answers with 1000", "(return (call $answer (i32.const 1000)))"),
        route("odd-redirect", "redirects with 204")
            .deed("(return (call $redirect (i32.const 204) (i32.const 4096) (i32.const 1)))")
            .data("/")
            .unfit("the contract: 301, 302, 303, 307, 308"),
        place("location-splits", "redirects to where another response begins")
            .deed("(return (call $redirect (i32.const 302) (i32.const 4096) (i32.const 32)))")
            .data(r"/\0d\0a\0d\0aHTTP/1.1 200 OK\0d\0a\0d\0aevil"),
        place("path-splits", "forwards with a path that begins another request")
            .deed(
                "(drop (call $forward (i32.const 0) (i32.const 4096) (i32.const 11)))
                 (i32.store8 (i32.const 1052) (i32.const 1))
                 (i32.store (i32.const 1056) (i32.const 4112))
                 (i32.store (i32.const 1060) (i32.const 25))
                 (return (i32.const 1024))",
            )
            .data(r"path-splits\00\00\00\00\00/ HTTP/1.1\0d\0a\0d\0aGET /evil"),
        place("host-splits", "forwards with a Host that brings a field along")
            .deed(
                "(drop (call $forward (i32.const 0) (i32.const 4096) (i32.const 11)))
                 (i32.store8 (i32.const 1040) (i32.const 1))
                 (i32.store (i32.const 1044) (i32.const 4112))
                 (i32.store (i32.const 1048) (i32.const 11))
                 (return (i32.const 1024))",
            )
            .data(r"host-splits\00\00\00\00\00a\0d\0ax-b: evil"),
    ]
}

/// An answer with one field: a name of one byte count, a value of another.
fn fields() -> Vec<Stranger> {
    // The list is at 4096, the name at 4112, and the value at 4144.
    const ONE: &str = "(return (call $respond (i32.const 200) (i32.const 4096) (i32.const 1)
                         (i32.const 0) (i32.const 0)))";
    let field = |name, mechanism, data| {
        route(name, mechanism).deed(ONE).data(data).unfit("the contract: what a field may be")
    };
    vec![
        field(
            "field-cr",
            "answers with a carriage return in a value",
            r"\10\10\00\00\03\00\00\00\14\10\00\00\03\00\00\00x-a\00a\0db",
        ),
        field(
            "field-lf",
            "answers with a line feed in a value",
            r"\10\10\00\00\03\00\00\00\14\10\00\00\03\00\00\00x-a\00a\0ab",
        ),
        field(
            "field-nul",
            "answers with a NUL in a value",
            r"\10\10\00\00\03\00\00\00\14\10\00\00\03\00\00\00x-a\00a\00b",
        ),
        field(
            "field-name",
            "answers with a colon in a name",
            r"\10\10\00\00\03\00\00\00\14\10\00\00\03\00\00\00a:b\00abc",
        ),
        field(
            "field-length",
            "answers with a Content-Length of its own",
            r"\10\10\00\00\0e\00\00\00\20\10\00\00\01\00\00\00Content-Length\00\007",
        ),
        field(
            "field-coding",
            "answers with a Transfer-Encoding of its own",
            r"\10\10\00\00\11\00\00\00\24\10\00\00\07\00\00\00Transfer-Encoding\00\00\00chunked",
        ),
        field(
            "field-connection",
            "answers with a Connection of its own",
            r"\10\10\00\00\0a\00\00\00\1c\10\00\00\05\00\00\00Connection\00\00close",
        ),
        route("fields-40000", "answers with 40,000 fields")
            .deed(
                "(drop (memory.grow (i32.const 10)))
                 (global.set $last (i32.const 40000))
                 (loop
                   (i32.store (i32.add (i32.const 131072) (i32.mul (global.get $last) (i32.const 16)))
                     (i32.const 4096))
                   (i32.store offset=4 (i32.add (i32.const 131072) (i32.mul (global.get $last) (i32.const 16)))
                     (i32.const 1))
                   (br_if 0 (global.set $last (i32.sub (global.get $last) (i32.const 1)))
                     (global.get $last)))
                 (return (call $respond (i32.const 200) (i32.const 131088) (i32.const 40000)
                   (i32.const 0) (i32.const 0)))",
            )
            .data("a")
            .keys("limits = { host-call-bytes = '64MiB', deadline = '1s' }")
            .unfit("the contract: 1,000 fields"),
    ]
}

fn others() -> Vec<Stranger> {
    let edit = |name, at, mechanism, deed| {
        stranger(name, at, mechanism).deed(deed).unfit("the contract: what an edit may be")
    };
    vec![
        stranger("unknown-endpoint", Call::Pick, "picks an endpoint that does not exist")
            .deed("(i32.store (i32.const 1032) (i32.const 4294967295)) (return (i32.const 1024))")
            .unfit("the cluster"),
        edit(
            "edit-status",
            Call::OnRequest,
            "gives a request a status",
            "(return (call $edit (i32.const 5) (i32.const 200) (i32.const 0) (i32.const 0) (i32.const 0)))",
        ),
        edit(
            "edit-body",
            Call::OnRequest,
            "wants the body of a request, which is not served",
            "(return (call $edit (i32.const 6) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))",
        ),
        edit(
            "edit-path",
            Call::OnRequest,
            "edits a path to nothing",
            "(return (call $edit (i32.const 3) (i32.const 4096) (i32.const 0) (i32.const 0) (i32.const 0)))",
        ),
        edit(
            "edit-authority",
            Call::OnResponse,
            "gives a response a Host",
            "(return (call $edit (i32.const 4) (i32.const 512) (i32.const 4) (i32.const 0) (i32.const 0)))",
        ),
        edit(
            "edit-304",
            Call::OnResponse,
            "takes the body from a response by its status",
            "(return (call $edit (i32.const 5) (i32.const 304) (i32.const 0) (i32.const 0) (i32.const 0)))",
        ),
        edit(
            "edit-length",
            Call::OnResponse,
            "removes what says how long a response is",
            "(return (call $edit (i32.const 2) (i32.const 4096) (i32.const 14) (i32.const 0) (i32.const 0)))",
        )
        .data("content-length"),
        edit(
            "edits-20000",
            Call::OnResponse,
            "gives 20,000 edits",
            "(return (call $list (i32.const 8192) (i32.const 20000)))",
        )
        .keys("limits = { host-call-bytes = '64MiB', deadline = '1s' }"),
    ]
}
