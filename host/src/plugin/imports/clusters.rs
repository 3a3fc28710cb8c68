//! `clusters`: the names of the configuration's clusters.

use wasmtime::Result;

use crate::plugin::bindings::clusters;
use crate::plugin::guest::Guest;

impl clusters::Host for Guest {
    fn exists(&mut self, name: String) -> Result<bool> {
        let names = &self.identity.given.clusters;
        Ok(names.binary_search_by(|known| (**known).cmp(name.as_str())).is_ok())
    }

    fn names(&mut self) -> Result<Vec<String>> {
        Ok(self.identity.given.clusters.iter().map(ToString::to_string).collect())
    }
}
