//! In which order services are started.

use super::{AppDocument, ServiceName};
use crate::model::{Failure, ReasonCode, Result};
use std::collections::BTreeSet;

impl AppDocument {
    /// The services in levels: what stands in a level waits only for what stands in those before it, so that a
    /// level can be started at once. Within a level by name. They are stopped in the reverse order.
    /// `DEPENDENCY_CYCLE` where services wait for each other.
    pub fn start_order(&self) -> Result<Vec<Vec<&ServiceName>>> {
        let (mut started, mut levels) = (BTreeSet::new(), Vec::new());
        while started.len() < self.services.len() {
            let waiting = self.services.iter().filter(|(name, _)| !started.contains(name));
            let ready = |after: &ServiceName| started.contains(after);
            let level: Vec<&ServiceName> = waiting
                .filter(|(_, service)| service.after.keys().all(ready))
                .map(|(name, _)| name)
                .collect();
            if level.is_empty() {
                return Err(self.circle(&started));
            }
            started.extend(level.iter().copied());
            levels.push(level);
        }
        Ok(levels)
    }

    /// Each service that is not started waits for one that is not: following them leads round a circle, or to a
    /// name that no service has.
    fn circle(&self, started: &BTreeSet<&ServiceName>) -> Failure {
        let waits_for = |name: &ServiceName| {
            let service = self.services.get(name)?;
            service.after.keys().find(|after| !started.contains(after))
        };
        let mut way: Vec<&ServiceName> = Vec::new();
        let mut next = self.services.keys().find(|name| !started.contains(name));
        while let Some(name) = next {
            if let Some(from) = way.iter().position(|passed| *passed == name) {
                let names: Vec<&str> = way[from..].iter().map(|name| name.as_str()).collect();
                let text = format!("services wait for each other: {}, {name}", names.join(", "));
                return Failure::new(ReasonCode::DependencyCycle, text);
            }
            way.push(name);
            next = waits_for(name);
        }
        let last = way.last().map_or("", |name| name.as_str());
        let text = format!("a service waits for `{last}`, which is no service of the app");
        Failure::new(ReasonCode::AppInvalid, text)
    }
}
