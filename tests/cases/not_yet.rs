

/// Ids and words.
pub(super) const NOT_YET: &[(&str, &str)] = &[("cn-015-half-close", "abandoned")];
