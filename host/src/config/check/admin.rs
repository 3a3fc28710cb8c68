//! `[admin]`.

use std::net::{Ipv4Addr, SocketAddr};

use crate::config::check::Context;
use crate::config::file::{Table, Value};
use crate::config::{Admin, AdminBind, Secret, address};

/// The administrator's listener; none where there is no table. To be read after the listeners.
pub(super) fn admin(root: &mut Table<'_>, context: &Context<'_>) -> Option<Admin> {
    root.value("admin")?;
    Some(root.inner("admin", |table| {
        let text = table.value("token");
        let has_token = text.is_some();
        let bind = table.required("bind", "an address such as `127.0.0.1:9901`", |value| {
            bind(value, has_token, context)
        });
        let token = text.and_then(|value| value.text()).map(|text| Secret::new(&text));
        if let Some(Err(message)) = token {
            // Placed at the table, because a fault shows the line where it is.
            let message = format!("`token` cannot be used: {message}");
            table.refuse(&message, "expected 8 to 256 visible ASCII characters");
        }
        let nowhere = AdminBind::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        Admin { bind: bind.unwrap_or(nowhere), token: token.and_then(Result::ok) }
    }))
}

fn bind(value: &Value<'_>, has_token: bool, context: &Context<'_>) -> Option<AdminBind> {
    let bind =
        value.parse("an address such as `127.0.0.1:9901`, or `unix:/path`", address::admin)?;
    let AdminBind::Tcp(address) = &bind else { return Some(bind) };
    if !address.ip().to_canonical().is_loopback() && !has_token {
        let message = format!("others could reach `{address}`, and there is no `token`");
        let expected = "expected an address of this machine only, such as `127.0.0.1:9901`";
        return value.refuse(&message, expected, Some("set `token` to a secret".to_owned()));
    }
    if let Some(other) = context.bound.borrow().get(address) {
        let message = format!("`{address}` is taken by listeners.{other}");
        return value.refuse(&message, "expected an address of its own", None);
    }
    Some(bind)
}
