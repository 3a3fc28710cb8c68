//! Reading the configuration that `configure` is given.

use serde::de::DeserializeOwned;

/// Parses the configuration. An error names the key: ``rules[3].match[0]: expected a string``.
pub fn parse<T: DeserializeOwned>(config: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(config);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        // Where in the JSON it was means nothing to whoever wrote TOML.
        let cause = error.into_inner().to_string();
        let cause = cause.rsplit_once(" at line ").map_or(cause.as_str(), |(cause, _)| cause);
        if path == "." { cause.to_owned() } else { format!("{path}: {cause}") }
    })
}

/// Refuses every key, for a plugin that needs no configuration.
pub fn refuse_keys(config: &str) -> Result<(), String> {
    let inside = config.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    if inside.is_some_and(|inside| inside.trim().is_empty()) {
        return Ok(());
    }
    Err(format!("expected no keys, found {config}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rules {
        rules: Vec<Rule>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rule {
        r#match: Vec<String>,
    }

    #[test]
    fn an_error_names_the_key() {
        let error = |config| parse::<Rules>(config).unwrap_err();
        assert_eq!(
            error(r#"{"rules": [{"match": ["a"]}, {"match": ["a", 1]}]}"#),
            "rules[1].match[1]: invalid type: integer `1`, expected a string"
        );
        assert_eq!(
            error(r#"{"rules": [{"much": []}]}"#),
            "rules[0].much: unknown field `much`, expected `match`"
        );
        assert_eq!(error("{}"), "missing field `rules`");
        let good: Rules = parse(r#"{"rules": [{"match": ["a"]}]}"#).unwrap();
        assert_eq!(good.rules[0].r#match, ["a"]);
    }

    #[test]
    fn only_an_empty_table_has_no_keys() {
        assert_eq!(refuse_keys("{}"), Ok(()));
        assert_eq!(refuse_keys(" { } "), Ok(()));
        assert_eq!(refuse_keys(r#"{"a":1}"#).unwrap_err(), r#"expected no keys, found {"a":1}"#);
        assert!(refuse_keys("}").is_err());
    }
}
