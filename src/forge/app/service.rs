//! One service of a Compose file.

use super::fields::{Place, YamlFields, split};
use super::health;
use super::mounts;
use super::ports;
use crate::bundle::{
    DeviceNode, Resources, RestartRule, RunWhen, Service, ServiceName, ServiceNetwork, StartAfter,
    StartCondition,
};
use crate::model::{Digest, Result};
use std::collections::BTreeMap;

/// An image by its name.
#[derive(Debug, Clone)]
pub(super) struct WantedImage {
    pub(super) name: String,
    pub(super) line: usize,
    /// `linux/arm64`, where the file says it.
    pub(super) platform: Option<String>,
    /// The file says what the health check is, or that there is none: that of the image does not count.
    pub(super) health_said: bool,
}

/// A folder of logs has at most so many bytes where nothing is said.
const LOG_FOLDER: u64 = 10 << 20;

/// The service, with an image yet to be found.
pub(super) fn parse(place: &Place<'_>) -> Result<(Service, WantedImage)> {
    let mut fields = place.fields()?;
    let image = fields.get("image").ok_or_else(|| {
        place.failure("`image` is missing: a bundle carries finished images, and builds none")
    })?;
    let text = |p: Option<Place<'_>>| p.map(|p| p.text().map(str::to_owned)).transpose();
    let truth = |p: Option<Place<'_>>| p.map_or(Ok(false), |p| p.truth());
    let list = |p: Option<Place<'_>>| p.map_or(Ok(Vec::new()), |p| p.one_or_more());
    let health = fields.get("healthcheck");
    let wanted = WantedImage {
        name: image.text()?.to_owned(),
        line: image.node.line,
        platform: text(fields.get("platform"))?,
        health_said: health.is_some(),
    };
    let (resources, replicas) = resources(&mut fields)?;
    let (network, aliases) = network(&mut fields)?;
    let own = Own::of(fields.get("x-surefoot"))?;
    let restart = restart(fields.get("restart"), own.run)?;
    let mut service = Service {
        image: Digest([0; 32]),
        command: fields.get("command").map(|p| words(&p)).transpose()?,
        entrypoint: fields.get("entrypoint").map(|p| words(&p)).transpose()?,
        environment: assigned(fields.get("environment"))?,
        variables: own.variables,
        secrets: secrets(fields.get("secrets"))?,
        user: text(fields.get("user"))?,
        working_dir: text(fields.get("working_dir"))?,
        hostname: text(fields.get("hostname"))?,
        after: after(fields.get("depends_on"))?,
        run: own.run,
        replicas,
        network,
        aliases,
        ports: fields.get("ports").map_or(Ok(Vec::new()), |p| ports::parse(&p))?,
        extra_hosts: hosts(fields.get("extra_hosts"))?,
        dns: list(fields.get("dns"))?,
        mounts: mounts::parse(fields.get("volumes"), fields.get("tmpfs"))?,
        devices: fields.get("devices").map_or(Ok(Vec::new()), |p| devices(&p))?,
        cap_add: capabilities(fields.get("cap_add"))?,
        cap_drop: capabilities(fields.get("cap_drop"))?,
        read_only: truth(fields.get("read_only"))?,
        privileged: truth(fields.get("privileged"))?,
        no_new_privileges: security(fields.get("security_opt"))?,
        init: truth(fields.get("init"))?,
        sysctls: assigned(fields.get("sysctls"))?,
        ulimits: ulimits(fields.get("ulimits"))?,
        resources,
        shm_size: fields.get("shm_size").map(|p| p.size()).transpose()?,
        stop_signal: text(fields.get("stop_signal"))?.map(signal),
        stop_grace_period: fields.get("stop_grace_period").map(|p| p.duration()).transpose()?,
        restart,
        health: health.map(|p| health::parse(&p)).transpose()?.flatten(),
        critical: own.critical,
        logs: own.logs,
        log_size: logging(fields.get("logging"))?,
        labels: assigned(fields.get("labels"))?,
    };
    // `expose` opens nothing: within the app's network every port can be reached.
    for port in fields.get("expose").map_or(Ok(Vec::new()), |p| p.items())? {
        let number = port.text()?.split('/').next().unwrap_or_default();
        number.parse::<u16>().map_err(|_| port.failure("a port is wanted"))?;
    }
    service.cap_add.sort();
    service.cap_drop.sort();
    fields.finish(|key, _| Some(why_not(&key.name)))?;
    Ok((service, wanted))
}

/// Why a key is not taken.
fn why_not(key: &str) -> String {
    let why = match key {
        "build" => "a bundle carries finished images: build it, save it, and name it in `image`",
        "container_name" => {
            "the updater names containers, so that two generations can be there at once"
        }
        "extends" => "write the service out, or take an anchor and `<<`",
        "profiles" => "every service of a bundle runs; make another bundle of what is optional",
        "links" | "external_links" => "services find each other by their names",
        "env_file" => "write the variables in `environment`; a secret comes with `secrets`",
        "configs" => "put the file into the image, or set it with `x-surefoot: { config: … }`",
        "pull_policy" => "a device pulls nothing: the bundle has the image",
        "scale" => "say `deploy: { replicas: … }`",
        "pid" | "ipc" | "uts" | "userns_mode" | "cgroup" | "cgroup_parent" => {
            "a service has its own"
        }
        "tty" | "stdin_open" => "nobody sits at a device",
        "gpus" | "runtime" | "device_cgroup_rules" => "name the device nodes in `devices`",
        "volumes_from" => "name the volume in both services",
        "attach" | "develop" => "it is for development on one's own machine",
        "mem_swappiness" | "memswap_limit" | "cpu_shares" | "cpu_quota" | "cpu_period"
        | "cpuset" | "cpu_count" | "cpu_percent" => "say `deploy: { resources: { limits: … } }`",
        _ => "this key is not known here",
    };
    why.to_owned()
}

/// `x-surefoot` of a service.
#[derive(Default)]
struct Own {
    run: RunWhen,
    critical: bool,
    logs: BTreeMap<String, u64>,
    variables: Vec<String>,
}

impl Own {
    fn of(place: Option<Place<'_>>) -> Result<Own> {
        let Some(place) = place else { return Ok(Own::default()) };
        let (mut fields, mut own) = (place.fields()?, Own::default());
        if let Some(run) = fields.get("run") {
            own.run = match run.text()? {
                "always" => RunWhen::Always,
                "once-per-release" => RunWhen::OncePerRelease,
                "once-ever" => RunWhen::OnceEver,
                "every-start" => RunWhen::EveryStart,
                _ => {
                    let why =
                        "`always`, `once-per-release`, `once-ever` or `every-start` is wanted";
                    return Err(run.failure(why));
                }
            };
        }
        own.critical = fields.get("critical").map_or(Ok(false), |p| p.truth())?;
        own.variables = fields.get("variables").map_or(Ok(Vec::new()), |p| p.one_or_more())?;
        if let Some(logs) = fields.get("logs") {
            own.logs = match logs.is_map() {
                true => {
                    let size = |(key, place): (&super::yaml::YamlKey, Place<'_>)| {
                        Ok((key.name.clone(), place.size()?))
                    };
                    logs.pairs()?.into_iter().map(size).collect::<Result<_>>()?
                }
                false => logs.one_or_more()?.into_iter().map(|path| (path, LOG_FOLDER)).collect(),
            };
        }
        fields.end()?;
        Ok(own)
    }
}

/// A list of words, or one line that is split as a shell does.
pub(super) fn words(place: &Place<'_>) -> Result<Vec<String>> {
    match place.is_list() {
        true => place.texts(),
        false => split(place.text()?).ok_or_else(|| place.failure("a quote is not closed")),
    }
}

/// `NAME: value`, or `- NAME=value`.
fn assigned(place: Option<Place<'_>>) -> Result<BTreeMap<String, String>> {
    let Some(place) = place else { return Ok(BTreeMap::new()) };
    let mut map = BTreeMap::new();
    let missing = "has no value: that of the build host is not taken; `x-surefoot: { variables: … }` takes the device's";
    if place.is_map() {
        for (key, value) in place.pairs()? {
            if value.is_null() {
                return Err(value.failure(missing));
            }
            map.insert(key.name.clone(), value.text()?.to_owned());
        }
        return Ok(map);
    }
    for item in place.items()? {
        let (name, value) = item.text()?.split_once('=').ok_or_else(|| item.failure(missing))?;
        if map.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(item.failure("is there twice"));
        }
    }
    Ok(map)
}

fn hosts(place: Option<Place<'_>>) -> Result<Vec<String>> {
    let Some(place) = place else { return Ok(Vec::new()) };
    if place.is_map() {
        let line = |(key, value): (&super::yaml::YamlKey, Place<'_>)| {
            Ok(format!("{}:{}", key.name, value.text()?))
        };
        return place.pairs()?.into_iter().map(line).collect();
    }
    Ok(place.texts()?.into_iter().map(|line| line.replacen('=', ":", 1)).collect())
}

fn secrets(place: Option<Place<'_>>) -> Result<Vec<ServiceName>> {
    let Some(place) = place else { return Ok(Vec::new()) };
    let one = |item: &Place<'_>| {
        if !item.is_map() {
            return item.parsed();
        }
        let mut fields = item.fields()?;
        let source = fields.get("source").ok_or_else(|| item.failure("`source` is missing"))?;
        if let Some(target) = fields.get("target")
            && target.text()? != source.text()?
        {
            return Err(target.failure("a secret is at /run/secrets under its own name"));
        }
        fields.end()?;
        source.parsed()
    };
    place.items()?.iter().map(one).collect()
}

fn after(place: Option<Place<'_>>) -> Result<BTreeMap<ServiceName, StartAfter>> {
    let Some(place) = place else { return Ok(BTreeMap::new()) };
    if place.is_list() {
        let started = StartAfter { condition: StartCondition::ServiceStarted };
        return Ok(place.all_parsed()?.into_iter().map(|name| (name, started)).collect());
    }
    let mut after = BTreeMap::new();
    for (key, other) in place.pairs()? {
        let name = key.name.parse().map_err(|why: String| other.failure(why))?;
        let mut fields = other.fields()?;
        let condition = match fields.get("condition") {
            None => StartCondition::ServiceStarted,
            Some(said) => match said.text()? {
                "service_started" => StartCondition::ServiceStarted,
                "service_healthy" => StartCondition::ServiceHealthy,
                "service_completed_successfully" => StartCondition::ServiceCompletedSuccessfully,
                _ => return Err(said.failure("this condition is not known here")),
            },
        };
        if let Some(required) = fields.get("required")
            && !required.truth()?
        {
            return Err(required.failure("every service of a bundle is there"));
        }
        fields.end()?;
        after.insert(name, StartAfter { condition });
    }
    Ok(after)
}

fn network(fields: &mut YamlFields<'_>) -> Result<(ServiceNetwork, Vec<String>)> {
    let networks = fields.get("networks");
    if let Some(mode) = fields.get("network_mode") {
        if networks.is_some() {
            return Err(mode.failure("`networks` or `network_mode`, not both"));
        }
        let network = match mode.text()? {
            "bridge" => ServiceNetwork::App,
            "host" => ServiceNetwork::Host,
            "none" => ServiceNetwork::None,
            _ => return Err(mode.failure("`bridge`, `host` or `none` is wanted")),
        };
        return Ok((network, Vec::new()));
    }
    let Some(networks) = networks else { return Ok((ServiceNetwork::App, Vec::new())) };
    let one = "an app has one network, `default`";
    if networks.is_list() {
        return match networks.texts()?.iter().all(|name| name == "default") {
            true => Ok((ServiceNetwork::App, Vec::new())),
            false => Err(networks.failure(one)),
        };
    }
    let mut aliases = Vec::new();
    for (key, network) in networks.pairs()? {
        if key.name != "default" {
            return Err(network.failure(one));
        }
        let mut fields = network.fields()?;
        aliases = fields.get("aliases").map_or(Ok(Vec::new()), |p| p.texts())?;
        fields.end()?;
    }
    Ok((ServiceNetwork::App, aliases))
}

fn devices(place: &Place<'_>) -> Result<Vec<DeviceNode>> {
    let one = |item: &Place<'_>| {
        let parts: Vec<&str> = item.text()?.split(':').collect();
        let (source, target, rights) = match parts[..] {
            [source] => (source, source, "rwm"),
            [source, target] => (source, target, "rwm"),
            [source, target, rights] => (source, target, rights),
            _ => return Err(item.failure("`/dev/x`, or `/dev/x:/dev/y:rw` is wanted")),
        };
        let own = |text: &str| text.to_owned();
        Ok(DeviceNode { source: own(source), target: own(target), rights: own(rights) })
    };
    place.items()?.iter().map(one).collect()
}

fn capabilities(place: Option<Place<'_>>) -> Result<Vec<String>> {
    let plain = |name: &String| {
        let upper = name.to_ascii_uppercase();
        upper.strip_prefix("CAP_").map_or(upper.clone(), str::to_owned)
    };
    Ok(place.map_or(Ok(Vec::new()), |p| p.texts())?.iter().map(plain).collect())
}

fn security(place: Option<Place<'_>>) -> Result<bool> {
    let mut set = false;
    for item in place.map_or(Ok(Vec::new()), |p| p.items())? {
        set = match item.text()? {
            "no-new-privileges" | "no-new-privileges:true" | "no-new-privileges=true" => true,
            "no-new-privileges:false" | "no-new-privileges=false" => false,
            _ => {
                let why =
                    "`no-new-privileges` is taken; the engine's own profiles stay as they are";
                return Err(item.failure(why));
            }
        };
    }
    Ok(set)
}

fn ulimits(place: Option<Place<'_>>) -> Result<BTreeMap<String, [i64; 2]>> {
    let mut limits = BTreeMap::new();
    for (key, place) in place.map_or(Ok(Vec::new()), |p| p.pairs())? {
        let both = match place.is_map() {
            false => {
                let number = place.number()?;
                [number, number]
            }
            true => {
                let mut fields = place.fields()?;
                let mut one = |name| {
                    let missing = || place.failure("`soft` and `hard` are wanted");
                    fields.get(name).ok_or_else(missing)?.number()
                };
                let both = [one("soft")?, one("hard")?];
                fields.end()?;
                both
            }
        };
        limits.insert(key.name.clone(), both);
    }
    Ok(limits)
}

/// Limits and reservations, and the number of replicas.
fn resources(fields: &mut YamlFields<'_>) -> Result<(Resources, u32)> {
    let (mut found, mut replicas) = (Resources::default(), 1);
    let deploy = fields.get("deploy");
    if let Some(deploy) = &deploy {
        let mut deploy = deploy.fields()?;
        replicas = deploy.get("replicas").map_or(Ok(1), |p| p.number())?;
        if let Some(resources) = deploy.get("resources") {
            let mut resources = resources.fields()?;
            if let Some(limits) = resources.get("limits") {
                let mut limits = limits.fields()?;
                found.most_cpu = limits.get("cpus").map(|p| p.thousandths()).transpose()?;
                found.most_memory = limits.get("memory").map(|p| p.size()).transpose()?;
                found.most_processes = limits.get("pids").map(|p| p.number()).transpose()?;
                limits.end()?;
            }
            if let Some(reserved) = resources.get("reservations") {
                let mut reserved = reserved.fields()?;
                found.reserved_cpu = reserved.get("cpus").map_or(Ok(0), |p| p.thousandths())?;
                found.reserved_memory = reserved.get("memory").map_or(Ok(0), |p| p.size())?;
                reserved.end()?;
            }
            resources.end()?;
        }
        deploy.finish(|key, _| {
            Some(match key.name.as_str() {
                "restart_policy" => "say `restart` of the service".to_owned(),
                "update_config" | "rollback_config" => {
                    "the updater switches all services of the app at once".to_owned()
                }
                _ => "this key is not known here".to_owned(),
            })
        })?;
    }
    let (cpu, memory, processes) =
        (&mut found.most_cpu, &mut found.most_memory, &mut found.most_processes);
    once(fields.get("cpus"), cpu, |p| p.thousandths())?;
    once(fields.get("mem_limit"), memory, |p| p.size())?;
    once(fields.get("pids_limit"), processes, |p| p.number())?;
    if let Some(place) = fields.get("mem_reservation") {
        if found.reserved_memory != 0 {
            return Err(place.failure("`deploy` says it already"));
        }
        found.reserved_memory = place.size()?;
    }
    Ok((found, replicas))
}

fn once(
    place: Option<Place<'_>>,
    value: &mut Option<u64>,
    read: impl Fn(&Place<'_>) -> Result<u64>,
) -> Result<()> {
    let Some(place) = place else { return Ok(()) };
    if value.is_some() {
        return Err(place.failure("`deploy` says it already"));
    }
    *value = Some(read(&place)?);
    Ok(())
}

fn restart(place: Option<Place<'_>>, run: RunWhen) -> Result<RestartRule> {
    let once = run != RunWhen::Always;
    let Some(place) = place else {
        return Ok(if once { RestartRule::No } else { RestartRule::Always });
    };
    let rule = match place.text()? {
        "no" => RestartRule::No,
        "on-failure" => RestartRule::OnFailure,
        "always" | "unless-stopped" => RestartRule::Always,
        text if text.starts_with("on-failure:") => {
            let why = "`x-surefoot: { max_restarts: … }` says how often in a trial; after it there is no end";
            return Err(place.failure(why));
        }
        _ => {
            return Err(place.failure("`no`, `on-failure`, `always` or `unless-stopped` is wanted"));
        }
    };
    match once && rule == RestartRule::Always {
        true => Err(place.failure("it runs once: `no` or `on-failure`")),
        false => Ok(rule),
    }
}

/// `TERM` is `SIGTERM`.
fn signal(name: String) -> String {
    let upper = name.to_ascii_uppercase();
    if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") }
}

/// The engine's own driver is chosen by us; a limit is what can be said.
fn logging(place: Option<Place<'_>>) -> Result<Option<u64>> {
    let Some(place) = place else { return Ok(None) };
    let mut fields = place.fields()?;
    if let Some(driver) = fields.get("driver")
        && !["json-file", "k8s-file", "local"].contains(&driver.text()?)
    {
        return Err(driver.failure("a file with a limit is what there is: `json-file`"));
    }
    let mut size = None;
    if let Some(options) = fields.get("options") {
        let mut options = options.fields()?;
        size = options.get("max-size").map(|p| p.size()).transpose()?;
        options.finish(|key, _| {
            Some(match key.name.as_str() {
                "max-file" => "`max-size` is the limit of all that is kept".to_owned(),
                _ => "this key is not known here".to_owned(),
            })
        })?;
    }
    fields.end()?;
    Ok(size)
}
