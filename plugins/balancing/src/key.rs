//! The part of a request that decides about its endpoint: the key `key` of a configuration.

use crate::host::{Host, Part};
use linkspan_plugin_common::fields;
use serde::Deserialize;

/// The part of a request that is hashed.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Key(Part);

impl Key {
    /// CARP's hash of it, if the request has it.
    pub fn carp(&self, host: &impl Host) -> Option<u32> {
        host.carp(&self.0)
    }

    /// A hash of 64 good bits, if the request has it.
    pub fn hash(&self, host: &impl Host) -> Option<u64> {
        host.fnv1a64_mixed(&self.0)
    }
}

impl Default for Key {
    fn default() -> Self {
        Self(Part::Path)
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let part = match text.split_once(':') {
            None if text == "path" => Part::Path,
            None if text == "client-address" => Part::ClientAddress,
            Some(("header", name)) if fields::is_name(name) => Part::Header(name.to_owned()),
            Some(("cookie", name)) if fields::is_name(name) => Part::Cookie(name.to_owned()),
            _ => {
                return Err(format!(
                    "{text:?} is no part of a request, expected \"path\", \"header:NAME\", \
                     \"cookie:NAME\" or \"client-address\""
                ));
            }
        };
        Ok(Self(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_and_others_refused() {
        let part = |text: &str| Key::try_from(text.to_owned()).map(|key| format!("{:?}", key.0));
        assert_eq!(part("path").unwrap(), format!("{:?}", Part::Path));
        assert_eq!(part("client-address").unwrap(), format!("{:?}", Part::ClientAddress));
        assert!(part("header:X-User").unwrap().contains("X-User"));
        assert!(part("cookie:session").unwrap().contains("session"));
        for wrong in ["", "Path", "header:", "header:a b", "cookie", "query:x"] {
            assert!(part(wrong).unwrap_err().contains("\"cookie:NAME\""), "{wrong}");
        }
    }
}
