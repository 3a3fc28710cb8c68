//! Who a certificate is about, as text (RFC 4514).

use std::fmt::Write as _;

use x509_parser::certificate::X509Certificate;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

/// The subject of a certificate, most specific part first, such as `CN=app,O=Example`. Empty where it has
/// none, nothing where there is no certificate to be read.
#[must_use]
pub fn subject(certificate: &[u8]) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(text_of(parsed.subject()))
}

fn text_of(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut text = String::new();
    for part in parts.into_iter().rev() {
        let mut separator = if text.is_empty() { "" } else { "," };
        for attribute in part.iter() {
            text.push_str(separator);
            separator = "+";
            let oid = attribute.attr_type();
            match (oid2abbrev(oid, oid_registry()), attribute.as_str()) {
                (Ok(name), Ok(value)) => {
                    text.push_str(name);
                    text.push('=');
                    escape(value, &mut text);
                }
                // One without a short name is shown by its bytes, which mean what they mean.
                _ => {
                    // Writing to a string does not fail.
                    let _ = write!(text, "{oid}=#");
                    let bytes = attribute.attr_value().as_bytes().iter();
                    for byte in bytes {
                        let _ = write!(text, "{byte:02x}");
                    }
                }
            }
        }
    }
    text
}

/// So that no value can look like a part of its own (RFC 4514, 2.4).
fn escape(value: &str, text: &mut String) {
    let last = value.chars().count().saturating_sub(1);
    for (place, character) in value.chars().enumerate() {
        let at_edge = place == 0 || place == last;
        match character {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=' => {
                text.push('\\');
                text.push(character);
            }
            ' ' if at_edge => text.push_str("\\ "),
            '#' if place == 0 => text.push_str("\\#"),
            character if character.is_control() => {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(text, "\\{byte:02x}");
                }
            }
            character => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn of(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        subject(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn no_value_can_look_like_a_part_of_its_own() {
        assert_eq!(of(&[]), "");
        let parts = [(DnType::OrganizationName, "Example"), (DnType::CommonName, "app")];
        assert_eq!(of(&parts), "CN=app,O=Example");
        assert_eq!(of(&[(DnType::CommonName, "a,O=Admin")]), r"CN=a\,O\=Admin");
        assert_eq!(of(&[(DnType::CommonName, " #x\\\n ")]), "CN=\\ #x\\\\\\0a\\ ");
        let other = DnType::CustomDnType(vec![1, 2, 3, 4]);
        assert_eq!(of(&[(other, "hi")]), "1.2.3.4=#6869");
    }

    #[test]
    fn what_is_no_certificate_has_no_subject() {
        assert_eq!(subject(b"nothing"), None);
    }
}
