//! The kinds of values that only a configuration of ours has: paths, addresses, and names of what
//! is configured elsewhere in the file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Value as Json, json};

use crate::config::address::{self, AddressError};
use crate::config::check::Context;
use crate::config::file::{Kind, Parsed, Value, variable, with};
use crate::config::names;
use crate::config::{Address, AddressGrant, Location, LogTarget, Name, TrustedProxy};
use crate::socket::bind::Bind;

/// An address to listen on.
pub(super) const BIND: Parsed<Bind, AddressError> = Parsed {
    expected: "an address such as `0.0.0.0:8080`, `[::]:8080` or `:8080`, or `unix:/path`",
    read: address::bind,
    write: Bind::to_string,
    pattern: r"unix:/.*|([0-9.]*|[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt]|\[[0-9A-Fa-f:.]+\]):[0-9]+",
};

/// An address for the administrator's listener.
pub(super) const ADMIN: Parsed<Bind, AddressError> =
    Parsed { expected: "an address such as `127.0.0.1:9901`, or `unix:/path`", ..BIND };

/// The address of an endpoint.
pub(super) const ENDPOINT: Parsed<Location, AddressError> = Parsed {
    expected: "an address such as `10.0.0.1:80`, `https://files.internal` or `unix:/run/app.sock`",
    read: address::endpoint,
    write: Location::to_string,
    pattern: concat!(
        r"unix:/.*|([Hh][Tt][Tt][Pp][Ss]?://)?([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?/?",
        r"|[Ss][Rr][Vv]\+[Hh][Tt][Tt][Pp][Ss]?://[A-Za-z0-9._-]+/?"
    ),
};

/// The address of a memcached server.
pub(super) const SERVER: Parsed<Address, AddressError> = Parsed {
    expected: "the address of a server, such as `127.0.0.1:11211` or `unix:/run/memcached.sock`",
    read: address::memcached,
    write: Address::to_string,
    pattern: r"unix:/.*|([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?",
};

/// The address of a name server.
pub(super) const NAME_SERVER: Parsed<SocketAddr, AddressError> = Parsed {
    expected: "the address of a name server, such as `127.0.0.1:53` or `[::1]:53`",
    read: address::name_server,
    write: SocketAddr::to_string,
    pattern: r"([0-9.]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?",
};

/// Clients that speak for others.
pub(super) const TRUSTED: Parsed<TrustedProxy, AddressError> = Parsed {
    expected: "a network or an address, such as `10.0.0.0/8` or `::1`, or `unix`",
    read: address::trusted,
    write: |trusted| match trusted {
        TrustedProxy::Network(network) => network.to_string(),
        TrustedProxy::Unix => "unix".to_owned(),
    },
    pattern: r"unix|[0-9A-Fa-f:.]+(/[0-9]+)?",
};

/// A digest as an example: that of nothing.
pub(super) const EXAMPLE_DIGEST: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// The SHA-256 of a component's bytes.
pub(super) const DIGEST: Parsed<String, &str> = Parsed {
    expected: "a SHA-256 as `linkspan inspect` shows it, 64 hexadecimal digits",
    read: |text| {
        let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match text.len() {
            64 if digits => Ok(text.to_ascii_lowercase()),
            64 => Err("it has other characters than hexadecimal digits"),
            _ => Err("it does not have 64 digits"),
        }
    },
    write: String::clone,
    pattern: "[0-9A-Fa-f]{64}",
};

/// The path of a request, as it is when it is percent-decoded.
pub(super) const TARGET_PATH: Parsed<Arc<str>, PathError> = Parsed {
    expected: "a path such as `/proxy-status`",
    read: target_path,
    write: |path| path.as_ref().to_owned(),
    pattern: r"/[^?#]*",
};

/// Why a text is no path of a request.
#[derive(Debug, thiserror::Error)]
pub(super) enum PathError {
    #[error("it does not begin with `/`")]
    NoSlash,
    #[error("a path has no query and no fragment")]
    Query,
    #[error("it has control characters")]
    Control,
}

fn target_path(text: &str) -> Result<Arc<str>, PathError> {
    match text {
        _ if !text.starts_with('/') => Err(PathError::NoSlash),
        _ if text.contains(['?', '#']) => Err(PathError::Query),
        _ if text.contains(char::is_control) => Err(PathError::Control),
        _ => Ok(text.into()),
    }
}

/// Addresses that a router may forward to.
pub(super) const GRANT: Parsed<AddressGrant, AddressError> = Parsed {
    expected: "an address to grant, such as `10.0.0.0/8:*`, `a.internal:80` or `unix:/run/app.sock`",
    read: address::grant,
    write: AddressGrant::to_string,
    pattern: concat!(
        r"unix:/.*|([A-Za-z0-9._-]+|[0-9A-Fa-f:.]+/[0-9]+|\[[0-9A-Fa-f:.]+(/[0-9]+)?\])",
        r":([0-9]+|\*)"
    ),
};

/// A path, from the directory of the file.
pub(super) struct Path<'c>(&'c Context<'c>);

impl Kind for Path<'_> {
    type Value = PathBuf;

    fn read(&self, value: &Value<'_>) -> Option<PathBuf> {
        let text = value.text()?;
        if text.is_empty() || text.contains('\0') {
            return value.refuse("this cannot be a path", "expected the path of a file", None);
        }
        std::path::absolute(self.0.directory.join(text.as_ref())).ok().or_else(|| {
            value.refuse("the current directory is gone", "expected an absolute path", None)
        })
    }

    fn write(&self, value: &PathBuf) -> Json {
        value.to_string_lossy().into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// Where lines of the log go.
pub(super) struct Target<'c> {
    pub(super) context: &'c Context<'c>,
    /// Whether they can go nowhere.
    pub(super) off: bool,
}

impl Kind for Target<'_> {
    type Value = LogTarget;

    fn read(&self, value: &Value<'_>) -> Option<LogTarget> {
        match value.text()?.as_ref() {
            "off" if self.off => Some(LogTarget::Off),
            "off" => value.refuse(
                "only the access log can be off",
                "expected `stderr`, `stdout` or a path; for a file of this name, `./off`",
                None,
            ),
            "stderr" => Some(LogTarget::Stderr),
            "stdout" => Some(LogTarget::Stdout),
            _ => self.context.path().read(value).map(LogTarget::File),
        }
    }

    fn write(&self, value: &LogTarget) -> Json {
        match value {
            LogTarget::Off => "off".into(),
            LogTarget::Stderr => "stderr".into(),
            LogTarget::Stdout => "stdout".into(),
            LogTarget::File(path) => self.context.path().write(path),
        }
    }

    fn schema(&self) -> Json {
        let mut schemas = vec![
            json!({ "const": "stderr", "description": "Standard error" }),
            json!({ "const": "stdout", "description": "Standard output" }),
        ];
        if self.off {
            schemas.push(json!({ "const": "off", "description": "Nowhere" }));
            schemas.push(self.context.path().schema());
        } else {
            let path = self.context.path().schema();
            schemas.push(with(path, "not", json!({ "const": "off" })));
        }
        json!({ "anyOf": schemas })
    }

    fn range(&self) -> String {
        let off = if self.off { ", \"off\"" } else { "" };
        format!(": \"stderr\", \"stdout\"{off} or a path")
    }
}

/// The name of something that has to be configured.
pub(super) struct Named<'c> {
    what: &'static str,
    all: &'c BTreeSet<String>,
}

impl Kind for Named<'_> {
    type Value = Name;

    fn read(&self, value: &Value<'_>) -> Option<Name> {
        let (name, what) = (value.text()?, self.what);
        if self.all.contains(name.as_ref()) {
            return Some(Name::from(name.as_ref()));
        }
        let help = names::did_you_mean(&name, self.all.iter().map(String::as_str));
        value.refuse(
            &format!("there is no {what} `{name}`"),
            &format!("expected the NAME of a table `[{what}s.NAME]`"),
            help,
        )
    }

    fn write(&self, value: &Name) -> Json {
        value.as_ref().into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// The name of a plugin, or of a component that is used as it is.
pub(super) struct PluginName<'c>(&'c Context<'c>);

impl Kind for PluginName<'_> {
    type Value = Name;

    fn read(&self, value: &Value<'_>) -> Option<Name> {
        let (name, plugins) = (value.text()?, &self.0.plugins);
        if plugins.contains(name.as_ref()) || names::is_component(&name) {
            return Some(Name::from(name.as_ref()));
        }
        let help = names::did_you_mean(&name, plugins.iter().map(String::as_str));
        value.refuse(
            &format!("`{name}` is neither a plugin nor can it be a component"),
            "expected the NAME of a table `[plugins.NAME]`, or of a file NAME.wasm",
            help,
        )
    }

    fn write(&self, value: &Name) -> Json {
        value.as_ref().into()
    }

    fn schema(&self) -> Json {
        json!({ "type": "string", "minLength": 1 })
    }
}

/// The same of a balancer, in any spelling.
pub(super) struct Balancer<'c>(&'c Context<'c>);

impl Kind for Balancer<'_> {
    type Value = Name;

    fn read(&self, value: &Value<'_>) -> Option<Name> {
        let (name, plugins) = (value.text()?, &self.0.plugins);
        match names::canonical_balancer(&name).filter(|_| !plugins.contains(name.as_ref())) {
            Some(canonical) => Some(Name::from(canonical)),
            None if plugins.contains(name.as_ref()) || names::is_component(&name) => {
                Some(Name::from(name.as_ref()))
            }
            None => {
                let plugins = plugins.iter().map(String::as_str);
                let help = names::did_you_mean(&name, plugins.chain(names::BALANCERS));
                let expected = "expected the name of a balancer, or of a table `[plugins.NAME]`";
                value.refuse(&format!("there is no balancer `{name}`"), expected, help)
            }
        }
    }

    fn write(&self, value: &Name) -> Json {
        value.as_ref().into()
    }

    fn schema(&self) -> Json {
        // Those that the program carries are what an editor should offer.
        let carried = |name: &&str| linkspan_plugins::component(names::component(name).0).is_some();
        let names = names::BALANCERS.into_iter().filter(carried);
        let mut schemas: Vec<_> = names.map(|name| json!({ "const": name })).collect();
        schemas.push(json!({ "type": "string", "minLength": 1 }));
        json!({ "anyOf": schemas })
    }
}

/// The name of a component.
pub(super) struct Component;

impl Kind for Component {
    type Value = String;

    fn read(&self, value: &Value<'_>) -> Option<String> {
        let component = value.text()?;
        if names::is_component(&component) {
            return Some(component.into_owned());
        }
        let message = format!("`{component}` cannot be a component");
        value.refuse(&message, "expected the NAME of a file NAME.wasm, without a directory", None)
    }

    fn write(&self, value: &String) -> Json {
        value.as_str().into()
    }

    fn schema(&self) -> Json {
        variable("[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
    }
}

impl Context<'_> {
    /// A path.
    pub(super) fn path(&self) -> Path<'_> {
        Path(self)
    }

    /// The name of a cluster.
    pub(super) fn cluster(&self) -> Named<'_> {
        Named { what: "cluster", all: &self.clusters }
    }

    /// The name of a store.
    pub(super) fn store(&self) -> Named<'_> {
        Named { what: "store", all: &self.stores }
    }

    /// The name of a plugin.
    pub(super) fn plugin(&self) -> PluginName<'_> {
        PluginName(self)
    }

    /// The name of a balancer.
    pub(super) fn balancer(&self) -> Balancer<'_> {
        Balancer(self)
    }
}
