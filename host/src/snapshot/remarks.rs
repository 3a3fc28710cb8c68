//! What is odd about plugins that work: it takes their components, or the files, to see it.

use std::collections::BTreeMap;

use super::Snapshot;
use super::refused::Standing;
use crate::config::{Fault, Name, Part, Places, one_of};
use crate::plugin::{Definition, Kind};

impl Snapshot {
    /// Warnings about the plugins, each where it stands in the file.
    #[must_use]
    pub fn warnings(&self, places: &Places<'_>) -> Vec<Fault> {
        // A balancer's uses are told once.
        let plugins: BTreeMap<_, _> = self
            .plugins
            .iter()
            .map(|(used, staffed)| (&used.plugin, &staffed.definition))
            .collect();
        let of = |definition: &&std::sync::Arc<Definition>| {
            let place = match &definition.config.beside {
                Some(plugin) => Standing::beside(places, plugin),
                None => Standing::of(places, &definition.config.name, None),
            };
            remarks(definition, &place)
        };
        let odd = plugins.values().flat_map(of).chain(self.missing_directory(places));
        odd.chain(self.nameless(places)).map(Fault::warning).collect()
    }

    /// Endpoints whose names do not resolve: a name server may be down, or a name misspelt.
    fn nameless(&self, places: &Places<'_>) -> Vec<Fault> {
        let fault = |(cluster, place): &(Name, usize)| {
            let list = places.find(&["clusters", cluster, "endpoints"])?;
            let elements = list.elements();
            let message = "this name does not resolve, and the cluster goes without it";
            Some(places.fault(elements.get(*place)?, Part::Value, message))
        };
        self.unresolved.iter().filter_map(fault).collect()
    }

    fn missing_directory(&self, places: &Places<'_>) -> Option<Fault> {
        let directory = self.config.server.plugin_dir.as_ref().filter(|path| !path.is_dir())?;
        let spot = places.find(&["server", "plugin-dir"])?;
        let message = format!("there is no directory {}", directory.display());
        Some(places.fault(&spot, Part::Value, &message))
    }
}

fn remarks(definition: &Definition, place: &Standing<'_>) -> Vec<Fault> {
    let (config, component) = (&definition.config, &definition.component);
    let mut remarks = Vec::new();
    if !component.uncalled.is_empty() {
        let uncalled: Vec<_> = component.uncalled.iter().map(String::as_str).collect();
        let message = format!(
            "`{}` exports {}, which this version never calls",
            config.component,
            one_of(&uncalled).replace(" or ", " and ")
        );
        remarks.push(place.component(&message));
    }
    if config.beside.is_some() {
        // What is granted is the plugin's, and it may use it.
        return remarks;
    }
    // Its shadow may open what it does not.
    let alone = config.shadow.is_none();
    if alone && !component.waits && !config.grants.stores.is_empty() {
        let message = format!("`{}` opens no stores", config.component);
        remarks.extend(place.at(&["grants", "stores"], Part::Value, &message));
    }
    if !component.kinds.contains(&Kind::Router) && !config.grants.addresses.is_empty() {
        let message = "only routers forward to addresses";
        remarks.extend(place.at(&["grants", "addresses"], Part::Value, message));
    }
    remarks
}
