//! `[admin]`: where the administrator's listener is, and who may change things there.

use std::fmt;

use crate::socket::bind::Bind;

/// The administrator's listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens. Unless that is a loopback address or a Unix socket, there is a token.
    pub bind: Bind,
    /// What has to be shown by whoever wants to change something. Default: nobody may.
    pub token: Option<Secret>,
}

/// A text that is printed nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// A secret of 8 to 256 visible ASCII characters.
    ///
    /// # Errors
    ///
    /// If it is none, in words that do not tell it.
    pub(crate) fn new(text: &str) -> Result<Self, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("it has other characters than visible ASCII ones");
        }
        match text.len() {
            0..8 => Err("it is too short to be a secret"),
            8..=256 => Ok(Self(text.to_owned())),
            _ => Err("it is longer than 256 characters"),
        }
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}
