//! From a service of a document to a container: pure. The same document on the same device gives the same
//! specification, and a container that has it already goes on running through an update.

use super::{AppContext, Generation};
use crate::bundle::{
    AppDocument, MountKind, PortPair, Protocol, Service, ServiceName, ServiceNetwork,
};
use crate::engine::{ContainerSpec, labels};
use crate::model::{Digest, Failure, ReasonCode, Result, printable};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a log may have where the document says nothing, bytes.
const LOG_SIZE: u64 = 10_000_000;

/// What of the device goes into a specification.
pub(super) struct Ground<'a> {
    /// The app.
    pub(super) app: &'a ServiceName,
    /// What runs of it.
    pub(super) generation: &'a Generation,
    /// What it says of itself.
    pub(super) document: &'a AppDocument,
    /// Ports that were chosen.
    pub(super) ports: &'a BTreeMap<String, u16>,
    /// Variables of the device.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Addresses of endpoints elsewhere.
    pub(super) external: &'a BTreeMap<String, String>,
    /// Facts for `{NAME}` in values of variables.
    pub(super) device: &'a BTreeMap<String, String>,
    /// Secrets that the app can do without, and that are not here.
    pub(super) absent: BTreeSet<ServiceName>,
    /// The app's folder for data.
    pub(super) data: PathBuf,
    /// The app's folder for what is gone after a reboot.
    pub(super) run: PathBuf,
}

impl<'a> Ground<'a> {
    /// The ground of an app on this device.
    pub(super) fn new(
        ctx: &'a AppContext<'_>,
        app: &'a ServiceName,
        generation: &'a Generation,
        document: &'a AppDocument,
        ports: &'a BTreeMap<String, u16>,
    ) -> Ground<'a> {
        Ground {
            app,
            generation,
            document,
            ports,
            variables: &ctx.settings.variables,
            external: &ctx.settings.external,
            device: ctx.device,
            absent: absent(ctx, document),
            data: ctx.data_of(app),
            run: ctx.run_of(app),
        }
    }

    /// The specification of one replica of a service.
    pub(super) fn spec(
        &self,
        name: &ServiceName,
        service: &Service,
        replica: u32,
    ) -> Result<ContainerSpec> {
        let limits = &service.resources;
        let (network, aliases) = match service.network {
            ServiceNetwork::Host => ("host".to_owned(), Vec::new()),
            ServiceNetwork::None => ("none".to_owned(), Vec::new()),
            ServiceNetwork::App => (self.app.to_string(), self.aliases(name, service, replica)),
        };
        let usual = match service.replicas {
            0 | 1 => name.to_string(),
            _ => format!("{name}-{replica}"),
        };
        let mut spec = ContainerSpec {
            name: String::new(),
            hostname: service.hostname.clone().unwrap_or(usual),
            image: service.image.to_string(),
            entrypoint: service.entrypoint.clone(),
            command: service.command.clone(),
            environment: self.environment(service)?,
            labels: self.labels(name, service, replica),
            user: service.user.clone(),
            working_dir: service.working_dir.clone(),
            binds: self.binds(name, service)?,
            tmpfs: tmpfs(service),
            devices: devices(service),
            cap_add: service.cap_add.clone(),
            cap_drop: service.cap_drop.clone(),
            security: match service.no_new_privileges {
                true => vec!["no-new-privileges".to_owned()],
                false => Vec::new(),
            },
            privileged: service.privileged,
            read_only: service.read_only,
            init: service.init,
            sysctls: service.sysctls.clone(),
            ulimits: service
                .ulimits
                .iter()
                .map(|(name, [soft, hard])| (name.clone(), *soft, *hard))
                .collect(),
            nano_cpus: limits.most_cpu.map(|thousandths| thousandths.saturating_mul(1_000_000)),
            memory: limits.most_memory,
            processes: limits.most_processes,
            shm_size: service.shm_size,
            network,
            aliases,
            ports: self.ports(name, service, replica),
            extra_hosts: service.extra_hosts.clone(),
            dns: service.dns.clone(),
            stop_signal: service.stop_signal.clone(),
            log_size: service.log_size.unwrap_or(LOG_SIZE),
        };
        let hash = hash(&spec, &self.layouts(service));
        let short = hash.to_string()[..8].to_owned();
        spec.name = format!("sf-{}-{name}-{replica}-{short}", self.app);
        spec.labels.insert(labels::SPEC.to_owned(), hash.to_string());
        spec.labels.insert(labels::RELEASE.to_owned(), self.generation.digest.to_string());
        Ok(spec)
    }

    /// The layouts of the data that it works on, where its volumes have one. With another layout it is another container:
    /// it must not go on while the volume is copied, is brought to the other layout, or is put back.
    fn layouts(&self, service: &Service) -> String {
        let layout = |mount: &crate::bundle::Mount| match &mount.what {
            MountKind::Volume { volume } => {
                let schema = self.document.volumes.get(volume).map_or(0, |v| v.schema);
                (schema != 0).then(|| format!("{volume}={schema},"))
            }
            _ => None,
        };
        service.mounts.iter().filter_map(layout).collect()
    }

    fn aliases(&self, name: &ServiceName, service: &Service, replica: u32) -> Vec<String> {
        let mut aliases = vec![name.to_string()];
        aliases.extend(service.aliases.iter().cloned());
        if service.replicas > 1 {
            aliases.push(format!("{name}-{replica}"));
        }
        aliases
    }

    fn labels(
        &self,
        name: &ServiceName,
        service: &Service,
        replica: u32,
    ) -> BTreeMap<String, String> {
        let foreign = service.labels.iter().filter(|(key, _)| !key.starts_with("io.surefoot."));
        let mut all: BTreeMap<String, String> =
            foreign.map(|(key, value)| (key.clone(), value.clone())).collect();
        all.insert(labels::APP.to_owned(), self.app.to_string());
        all.insert(labels::SERVICE.to_owned(), name.to_string());
        all.insert(labels::REPLICA.to_owned(), replica.to_string());
        if self.generation.development {
            all.insert(labels::DEVELOPMENT.to_owned(), "1".to_owned());
        }
        all
    }

    /// `VARIABLE_MISSING` where the device does not have what the service names.
    fn environment(&self, service: &Service) -> Result<Vec<String>> {
        let mut all = service.environment.clone();
        for variable in &service.variables {
            match self.variable(variable).or_else(|| self.set(variable)) {
                Some(value) => all.insert(variable.clone(), value),
                None if self.is_optional(variable) => None,
                None => return Err(self.missing("variable", variable)),
            };
        }
        all.extend(self.settings());
        Ok(all.into_iter().map(|(name, value)| format!("{name}={value}")).collect())
    }

    /// The values of the configuration that count, as variables.
    pub(super) fn settings(&self) -> BTreeMap<String, String> {
        let keys = self.document.config.keys();
        keys.filter_map(|key| Some((config_variable(key), self.set(key)?))).collect()
    }

    /// A value of the configuration, as it counts.
    fn set(&self, key: &str) -> Option<String> {
        let rule = self.document.config.get(key)?;
        self.generation.config.get(key).or(rule.default.as_ref()).cloned()
    }

    /// The address of an endpoint whose variable it is, or a variable of the device.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        let mut endpoints = self.document.external.iter();
        let endpoint = endpoints.find(|(_, e)| e.variable == name).map(|(endpoint, _)| endpoint);
        let said = endpoint.and_then(|endpoint| self.external.get(endpoint.as_str()));
        let said = said.or_else(|| self.variables.get(name))?;
        Some(filled(said, self.device))
    }

    fn is_optional(&self, variable: &str) -> bool {
        self.document.external.values().any(|e| e.variable == variable && e.optional)
    }

    pub(super) fn missing(&self, what: &str, name: &str) -> Failure {
        let text = format!("the {what} `{}` of the app {}", printable(name, 80), self.app);
        Failure::new(ReasonCode::VariableMissing, format!("{text} is not set on this device"))
    }

    fn binds(&self, name: &ServiceName, service: &Service) -> Result<Vec<String>> {
        let mut binds = Vec::new();
        for mount in &service.mounts {
            let source = match &mount.what {
                MountKind::Volume { volume } => volume_folder(&self.data, volume),
                MountKind::Bind { source, .. } => PathBuf::from(source),
                MountKind::Tmpfs { .. } => continue,
            };
            binds.push(bind(&source, &mount.target, mount.read_only)?);
        }
        for (n, target) in service.logs.keys().enumerate() {
            binds.push(bind(&log_folder(&self.data, name, n), target, false)?);
        }
        for secret in service.secrets.iter().filter(|secret| !self.absent.contains(*secret)) {
            let target = format!("/run/secrets/{secret}");
            binds.push(bind(&secret_file(&self.run, secret), &target, true)?);
        }
        Ok(binds)
    }

    /// Ports lead to the first replica alone: the device has each once.
    fn ports(
        &self,
        name: &ServiceName,
        service: &Service,
        replica: u32,
    ) -> Vec<(String, u16, u16, &'static str)> {
        if replica != 1 {
            return Vec::new();
        }
        let one = |pair: &PortPair| {
            let chosen = || self.ports.get(&port_key(self.app, name, pair)).copied();
            let host = pair.host.or_else(chosen).unwrap_or(0);
            let address = pair.address.clone().unwrap_or_default();
            (address, host, pair.container, protocol(pair.protocol))
        };
        service.ports.iter().map(one).collect()
    }
}

fn absent(ctx: &AppContext<'_>, document: &AppDocument) -> BTreeSet<ServiceName> {
    let optional = document.secrets.iter().filter(|(_, secret)| secret.optional);
    let missing = |name: &&ServiceName| {
        let folder = ctx.settings.secrets.as_deref();
        !folder.is_some_and(|folder| folder.join(name.as_str()).exists())
    };
    optional.map(|(name, _)| name).filter(missing).cloned().collect()
}

/// SHA-256 of all of a specification but its name and what is different in each release. Two specifications with one
/// text are the same: every field is in it, and each list in its order.
fn hash(spec: &ContainerSpec, layouts: &str) -> Digest {
    Digest::of(format!("{spec:?}{layouts}").as_bytes())
}

/// The words of a protocol.
pub(super) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
    }
}

/// How the journal names a port that was chosen.
pub(super) fn port_key(app: &ServiceName, service: &ServiceName, pair: &PortPair) -> String {
    format!("{app}/{service}/{}/{}", pair.container, protocol(pair.protocol))
}

/// The variable that carries a value of the configuration: `CONFIG_LOG_LEVEL` of `log-level`.
fn config_variable(key: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("CONFIG_{}", key.chars().map(plain).collect::<String>())
}

/// A text with the facts of the device in place of `{NAME}`; what is no fact stays as it is.
fn filled(text: &str, facts: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        filled.push_str(before);
        let fact = from.find('}').and_then(|end| Some((facts.get(&from[1..end])?, end)));
        match fact {
            Some((value, end)) => {
                filled.push_str(value);
                rest = &from[end + 1..];
            }
            None => {
                filled.push('{');
                rest = &from[1..];
            }
        }
    }
    filled.push_str(rest);
    filled
}

/// An engine takes the parts of a mount apart at `:`.
fn bind(source: &Path, target: &str, read_only: bool) -> Result<String> {
    let text = source.to_str().filter(|text| !text.contains(':')).ok_or_else(|| {
        let text = format!("{} cannot be mounted: `:` is in its path", source.display());
        Failure::new(ReasonCode::NotPermitted, text)
    })?;
    Ok(format!("{text}:{target}{}", if read_only { ":ro" } else { "" }))
}

fn tmpfs(service: &Service) -> BTreeMap<String, String> {
    let one = |mount: &crate::bundle::Mount| {
        let MountKind::Tmpfs { size } = &mount.what else { return None };
        let rights = if mount.read_only { "ro" } else { "rw" };
        let size = size.map_or_else(String::new, |size| format!(",size={size}"));
        Some((mount.target.clone(), format!("{rights},nosuid,nodev{size}")))
    };
    service.mounts.iter().filter_map(one).collect()
}

fn devices(service: &Service) -> Vec<[String; 3]> {
    let one = |node: &crate::bundle::DeviceNode| {
        [node.source.clone(), node.target.clone(), node.rights.clone()]
    };
    service.devices.iter().map(one).collect()
}

/// The folder of a volume.
pub(super) fn volume_folder(data: &Path, volume: &ServiceName) -> PathBuf {
    data.join("volumes").join(volume.as_str())
}

/// The folder of the n-th log folder of a service.
pub(super) fn log_folder(data: &Path, service: &ServiceName, n: usize) -> PathBuf {
    data.join("logs").join(format!("{service}-{n}"))
}

/// The file of a secret.
pub(super) fn secret_file(run: &Path, secret: &ServiceName) -> PathBuf {
    run.join("secrets").join(secret.as_str())
}

#[cfg(all(test, feature = "forge"))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fixture::{App, Bench, app, name};
    use super::*;

    fn specs(bench: &Bench, app: &App, digest: u8) -> Vec<ContainerSpec> {
        let ctx = bench.ctx();
        let generation = Generation {
            config: BTreeMap::from([("log-level".to_owned(), "debug".to_owned())]),
            ..super::super::fixture::generation(digest)
        };
        let ports = BTreeMap::from([("shop/web/80/tcp".to_owned(), 30_007)]);
        let ground = Ground::new(&ctx, &app.document.app, &generation, &app.document, &ports);
        let web = &app.document.services[&name("web")];
        (1..=web.replicas).map(|n| ground.spec(&name("web"), web, n).unwrap()).collect()
    }

    fn with(more: &str) -> App {
        app("shop").with("web", "one", more).but(|document| {
            let rule = r#"{"type":"string","default":"info"}"#;
            let rule = crate::model::from_json(rule.as_bytes()).unwrap();
            document.config.insert("log-level".to_owned(), rule);
        })
    }

    #[test]
    fn a_service_without_words_is_a_plain_container() {
        let bench = Bench::new();
        let [spec] = &specs(&bench, &with("{}"), 1)[..] else { panic!() };
        assert!(spec.name.starts_with("sf-shop-web-1-") && spec.name.len() == 14 + 8);
        assert_eq!((spec.hostname.as_str(), spec.network.as_str()), ("web", "shop"));
        assert_eq!((&spec.aliases[..], spec.log_size), (&["web".to_owned()][..], 10_000_000));
        assert_eq!(spec.environment, ["CONFIG_LOG_LEVEL=debug"]);
        assert!(!spec.privileged && spec.binds.is_empty() && spec.ports.is_empty());
        let label = |key: &str| spec.labels.get(key).map(String::as_str);
        assert_eq!((label(labels::APP), label(labels::SERVICE)), (Some("shop"), Some("web")));
        assert_eq!((label(labels::REPLICA), label(labels::DEVELOPMENT)), (Some("1"), None));
    }

    #[test]
    fn the_same_service_in_another_release_is_the_same_container() {
        let bench = Bench::new();
        let [one, two] = [1, 2].map(|digest| specs(&bench, &with("{}"), digest));
        assert_eq!(one[0].name, two[0].name);
        assert_eq!(one[0].labels[labels::SPEC], two[0].labels[labels::SPEC]);
        assert_ne!(one[0].labels[labels::RELEASE], two[0].labels[labels::RELEASE]);
        for more in [
            r#"{"command":["x"]}"#,
            r#"{"environment":{"A":"1"}}"#,
            r#"{"labels":{"a":"b"}}"#,
            r#"{"resources":{"most_memory":1000000}}"#,
            r#"{"log_size":5}"#,
            r#"{"ports":[{"container":80}]}"#,
        ] {
            assert_ne!(specs(&bench, &with(more), 1)[0].name, one[0].name, "{more}");
        }
    }

    #[test]
    fn a_service_whose_volume_has_another_layout_is_another_container() {
        let bench = Bench::new();
        let mounts = r#"{"mounts":[{"what":{"kind":"volume","volume":"data"},"target":"/data"}]}"#;
        let name = |schema: u32| {
            let volume = crate::bundle::Volume { schema, ..crate::bundle::Volume::default() };
            let app = with(mounts).but(|document| {
                document.volumes.insert(super::super::fixture::name("data"), volume);
            });
            specs(&bench, &app, 1)[0].name.clone()
        };
        assert_eq!(name(1), name(1));
        assert_ne!(name(1), name(2));
    }

    #[test]
    fn a_value_of_the_configuration_is_a_variable_of_its_own_name_where_a_service_asks_for_it() {
        let bench = Bench::new();
        let specs = specs(&bench, &with(r#"{"variables":["log-level"]}"#), 1);
        assert_eq!(specs[0].environment, ["CONFIG_LOG_LEVEL=debug", "log-level=debug"]);
    }

    #[test]
    fn what_a_service_asks_for_stands_in_its_container() {
        let mut bench = Bench::new();
        let variables = [("SITE", "hall {id} {none} {"), ("API", "no")];
        bench.settings.variables =
            variables.map(|(a, b)| (a.to_owned(), b.to_owned())).into_iter().collect();
        bench.settings.external =
            BTreeMap::from([("cloud".to_owned(), "https://{id}.example".to_owned())]);
        let app = with(
            r#"{"variables":["SITE","API"],"secrets":["pass"],"replicas":2,
            "mounts":[{"what":{"kind":"volume","volume":"data"},"target":"/data"},
                {"what":{"kind":"bind","source":"/dev/log"},"target":"/dev/log","read_only":true},
                {"what":{"kind":"tmpfs","size":4096},"target":"/tmp"}],
            "logs":{"/var/log/web":1000000},"ports":[{"container":80},{"host":53,"container":53,"protocol":"udp","address":"127.0.0.1"}],
            "devices":[{"source":"/dev/ttyS0","target":"/dev/ttyS0","rights":"rw"}],
            "labels":{"io.surefoot.app":"other","mine":"1"},"no_new_privileges":true,
            "resources":{"most_cpu":500,"most_memory":1048576,"most_processes":7},"ulimits":{"nofile":[10,20]}}"#,
        )
        .but(|document| {
            let external = crate::model::from_json(br#"{"variable":"API"}"#).unwrap();
            document.external.insert(name("cloud"), external);
        });
        let [one, two] = &specs(&bench, &app, 1)[..] else { panic!() };
        let environment =
            ["API=https://dev-7.example", "CONFIG_LOG_LEVEL=debug", "SITE=hall dev-7 {none} {"];
        assert_eq!(one.environment, environment);
        let data = bench.data().join("shop").display().to_string();
        assert_eq!(one.binds[0], format!("{data}/volumes/data:/data"));
        assert_eq!(one.binds[1], "/dev/log:/dev/log:ro");
        assert_eq!(one.binds[2], format!("{data}/logs/web-0:/var/log/web"));
        assert!(one.binds[3].ends_with("/run/apps/shop/secrets/pass:/run/secrets/pass:ro"));
        assert_eq!(one.tmpfs["/tmp"], "rw,nosuid,nodev,size=4096");
        let ports = [(String::new(), 30_007, 80, "tcp"), ("127.0.0.1".to_owned(), 53, 53, "udp")];
        assert_eq!(one.ports, ports);
        assert!(two.ports.is_empty());
        assert_eq!((one.hostname.as_str(), two.aliases.join(" ").as_str()), ("web-1", "web web-2"));
        assert_eq!((one.labels[labels::APP].as_str(), one.labels["mine"].as_str()), ("shop", "1"));
        assert_eq!(
            (one.nano_cpus, one.memory, one.processes),
            (Some(500_000_000), Some(1 << 20), Some(7))
        );
        assert_eq!(one.security, ["no-new-privileges"]);
        assert_eq!(one.ulimits, [("nofile".to_owned(), 10, 20)]);
    }

    #[test]
    fn a_variable_that_the_device_does_not_have_is_named() {
        let bench = Bench::new();
        let app = with(r#"{"variables":["SITE"]}"#);
        let ctx = bench.ctx();
        let (generation, ports) = (super::super::fixture::generation(1), BTreeMap::new());
        let ground = Ground::new(&ctx, &app.document.app, &generation, &app.document, &ports);
        let web = &app.document.services[&name("web")];
        let failure = ground.spec(&name("web"), web, 1).unwrap_err();
        assert_eq!(failure.code(), ReasonCode::VariableMissing);
        assert!(failure.detail().contains("`SITE`"), "{failure}");
    }
}
