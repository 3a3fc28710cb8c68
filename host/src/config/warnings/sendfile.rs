//! What is legal in `sendfile-*` of a cluster and yet hardly what was meant.

use std::path::Path;

use crate::config::fault::Fault;
use crate::config::places::{Part, Places, Spot};
use crate::config::{Cluster, Compression, Root};

/// The warnings about the files that a cluster's endpoints may have sent.
pub(super) fn of(
    cluster: &Cluster,
    places: &Places<'_>,
    spot: &Spot<'_>,
    warnings: &mut Vec<Fault>,
) {
    let sendfile = &cluster.sendfile;
    let mut all = |root: &Root, place: &Spot<'_>| {
        if root.path() == Path::new("/") {
            let message = "below this root are all files of the machine";
            let fault = places.fault(place, Part::Value, message);
            warnings.push(fault.expected("expected a directory with nothing but files to send"));
        }
    };
    let listed = spot.get("sendfile-roots").map(|list| list.elements()).unwrap_or_default();
    for (root, place) in sendfile.roots.iter().zip(&listed) {
        all(root, place);
    }
    if let Some(table) = spot.get("sendfile-prefixes") {
        for (prefix, root) in &sendfile.prefixes {
            if let Some(place) = table.get(prefix) {
                all(root, &place);
            }
        }
    }
    // The default is said of every cluster by whoever prints them all.
    if sendfile.is_off()
        && sendfile.compression != Compression::default()
        && let Some(place) = spot.get("sendfile-compression")
    {
        let message = "without `sendfile-roots` or `sendfile-prefixes` this has no effect";
        warnings.push(places.fault(&place, Part::Key, message));
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Reading;

    fn warnings(keys: &str) -> Vec<String> {
        let text = format!(
            "[listeners.web]\nbind = ':0'\ndefault-cluster = 'c'\n\
             [clusters.c]\nendpoints = ['127.0.0.1:1']\n{keys}"
        );
        let reading = Reading::parse(&text, "linkspan.toml".as_ref());
        let fault = |fault: &crate::config::Fault| format!("{}: {}", fault.key, fault.message);
        reading.warnings().iter().map(fault).collect()
    }

    #[test]
    fn slips_are_told_at_their_places() {
        let all = "below this root are all files of the machine";
        for (keys, said) in [
            ("sendfile-roots = ['/']", format!("clusters.c.sendfile-roots[0]: {all}")),
            (
                "sendfile-prefixes = { '/p/' = '/usr/..' }",
                format!("clusters.c.sendfile-prefixes.\"/p/\": {all}"),
            ),
            (
                "sendfile-compression = 'off'",
                "clusters.c.sendfile-compression: without `sendfile-roots` or \
                 `sendfile-prefixes` this has no effect"
                    .to_owned(),
            ),
            (
                "sendfile-roots = ['/usr', '/usr']",
                "clusters.c.sendfile-roots[1]: `/usr` stands in this list before".to_owned(),
            ),
        ] {
            assert_eq!(warnings(keys), [said], "{keys}");
        }
        assert_eq!(warnings("sendfile-roots = ['/usr']"), [""; 0]);
    }
}
