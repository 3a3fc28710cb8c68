//! Whether a component tells what its functions are called.

use wasmparser::{Parser, Payload};

/// Whether one of a component's modules has a name section, from which the report of a trap takes
/// the names of functions. False for what is not WebAssembly.
#[must_use]
pub fn has_names(component: &[u8]) -> bool {
    let mut payloads = Parser::new(0).parse_all(component);
    payloads.any(|payload| match payload {
        Ok(Payload::CustomSection(section)) => section.name() == "name",
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_within_modules() {
        let (_, bytes) = linkspan_plugins::COMPONENTS[0];
        assert!(has_names(bytes), "shipped components keep theirs");
        assert!(!has_names(b"\0asm\x0d\0\x01\0"));
        assert!(!has_names(b"nonsense"));
    }
}
