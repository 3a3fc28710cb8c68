//! `[admin]`.

use crate::config::check::Context;
use crate::config::check::kinds::ADMIN;
use crate::config::file::{Checked, Table, Text, Value, key};
use crate::config::{Admin, Secret};
use crate::socket::bind::Bind;

/// The administrator's listener; none without an address. To be read after the listeners.
pub(super) fn admin(table: &mut Table<'_>, context: &Context<'_>) -> Option<Admin> {
    let has_token = table.has("token");
    if has_token && !table.has("bind") {
        table.refuse("`bind` is missing", "expected an address such as `127.0.0.1:9901`");
    }
    let check = |value: &Value<'_>, bind| check(value, bind, has_token, context);
    let about = "Address to listen on, or a Unix socket; port 0 takes one that is free";
    let bind = key("bind", about, Checked { kind: ADMIN, check }).such_as("127.0.0.1:9901");
    let about = "What has to be shown to change something, and by others than this machine: \
                 8 to 256 visible ASCII characters";
    let token = key("token", about, Text).such_as("a-secret-of-your-own").secret();
    let bind = table.optional(bind, "there is no such listener");
    let token = table.optional(token, "nothing can be changed").map(|text| Secret::new(&text));
    if let Some(Err(message)) = token {
        // Placed at the table, because a fault shows the line where it is.
        let message = format!("`token` cannot be used: {message}");
        table.refuse(&message, "expected 8 to 256 visible ASCII characters");
    }
    bind.map(|bind| Admin { bind, token: token.and_then(Result::ok) })
}

fn check(value: &Value<'_>, bind: Bind, has_token: bool, context: &Context<'_>) -> Option<Bind> {
    if let Some(address) = bind.address()
        && !address.ip().to_canonical().is_loopback()
        && !has_token
    {
        let message = format!("others could reach `{address}`, and there is no `token`");
        let expected = "expected an address of this machine only, such as `127.0.0.1:9901`";
        return value.refuse(&message, expected, Some("set `token` to a secret".to_owned()));
    }
    if let Some(other) = context.bound.borrow().get(&bind) {
        let message = format!("`{bind}` is taken by {other}");
        return value.refuse(&message, "expected an address of its own", None);
    }
    Some(bind)
}
