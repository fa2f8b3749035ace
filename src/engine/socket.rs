//! An engine that is asked over its socket.

use super::answers::{
    Anything, ContainerInspected, ContainerListed, ExecCreated, ExecInspected, InfoAnswer,
    NetworkListed,
};
use super::api::{Api, Said, encoded, refused, strange};
use super::create::{document, network_of};
use super::frames::{Frames, LinesOf};
use super::types::{
    Container, ContainerSpec, ContainerState, EngineInfo, Execution, ImageToLoad, LayerSource,
    Logs, StoredImage,
};
use super::{Engine, TAG_PREFIX, images, labels};
use crate::control::{Body, Upload};
use crate::model::{Digest, Result, printable_lines};
use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// For how long an engine may be silent. Starting a container takes some seconds on a slow board.
const PATIENCE: Duration = Duration::from_secs(60);

/// The same while it packs or unpacks an image: a card writes some MiB each second.
const LONG: Duration = Duration::from_secs(20 * 60);

/// A log that is followed ends with its container, however long that takes.
const FOLLOWED: Duration = Duration::from_secs(3600 * 24 * 365);

/// How often those who follow a log are asked whether they still listen.
const LISTENING: Duration = Duration::from_secs(2);

/// How much of what a program prints is kept.
const OUTPUT_MAX: usize = 4096;

/// A container engine behind a socket.
#[derive(Debug, Clone)]
pub struct EngineSocket {
    api: Api,
}

impl EngineSocket {
    /// The engine that listens there. Nothing is asked yet.
    pub fn new(socket: PathBuf) -> EngineSocket {
        EngineSocket { api: Api { socket, patience: PATIENCE, long: LONG } }
    }

    /// The same for a look that must not last: no answer takes longer than this.
    pub fn with_patience(socket: PathBuf, patience: Duration) -> EngineSocket {
        EngineSocket { api: Api { socket, patience, long: patience } }
    }

    /// A container of ours; `None` where there is none, and an error where there is one that is not ours.
    fn ours(&self, name: &str) -> Result<Option<ContainerInspected>> {
        let what = format!("tell of the container {name}");
        let found: Option<ContainerInspected> =
            self.api.get(&what, &format!("/containers/{}/json", encoded(name)))?;
        match found {
            // Engines also find containers by the beginning of their id.
            Some(found) if found.name.trim_start_matches('/') != name => Ok(None),
            Some(found) if !found.config.labels.contains_key(labels::APP) => {
                Err(refused(&what, "it was not made by this program, and is not touched")
                    .with_next(
                        "Rename or remove it: names that begin with `sf-` are this program's.",
                    ))
            }
            found => Ok(found),
        }
    }

    fn must(&self, what: &str, name: &str) -> Result<ContainerInspected> {
        self.ours(name)?.ok_or_else(|| refused(what, "there is no such container"))
    }

    fn action(
        &self,
        patience: Duration,
        what: &str,
        name: &str,
        method: &str,
        rest: &str,
    ) -> Result<bool> {
        self.api.act(patience, what, method, &format!("/containers/{}{rest}", encoded(name)))
    }

    /// What frames of a stream hold, until its end or this moment; `false` where the time was over first.
    fn frames(
        &self,
        what: &str,
        mut body: Body,
        until: Option<Instant>,
        sink: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Result<bool> {
        let mut frames = Frames::default();
        let mut buf = vec![0; 16 << 10];
        body.wait_for(FOLLOWED).map_err(|e| self.api.unanswered(what, &e))?;
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let slice = left.unwrap_or(LISTENING);
            if !body.comes(slice).map_err(|e| self.api.unanswered(what, &e))? {
                if until.is_some() || !sink(b"") {
                    return Ok(false);
                }
                continue;
            }
            let n = body.read(&mut buf).map_err(|e| self.api.unanswered(what, &e))?;
            if n == 0 {
                return match frames.is_whole() {
                    true => Ok(true),
                    false => Err(refused(what, "it ended before its answer did")),
                };
            }
            match frames.feed(&buf[..n], sink) {
                Ok(true) if left.is_some_and(|left| left.is_zero()) => return Ok(false),
                Ok(true) => {}
                Ok(false) => return Ok(true),
                Err(why) => return Err(strange(what, format_args!("{why}"))),
            }
        }
    }

    fn network(&self, app: &str) -> Result<Option<NetworkListed>> {
        let name = network_of(app);
        let what = format!("tell of the network {name}");
        let found: Option<NetworkListed> =
            self.api.get(&what, &format!("/networks/{}", encoded(&name)))?;
        match found {
            Some(found) if found.name != name => Ok(None),
            Some(found) if found.labels.get(labels::APP).map(String::as_str) != Some(app) => {
                Err(refused(&what, "it was not made by this program, and is not touched"))
            }
            found => Ok(found),
        }
    }
}

#[cfg(test)]
impl EngineSocket {
    /// An engine that is not waited for longer than this.
    pub(super) fn hurried(socket: PathBuf, patience: Duration) -> EngineSocket {
        EngineSocket { api: Api { socket, patience, long: patience } }
    }
}

impl Engine for EngineSocket {
    fn info(&self) -> Result<EngineInfo> {
        let (kind, version) = images::version(&self.api)?;
        let info: InfoAnswer = self.api.must("tell of itself", "/info")?;
        Ok(EngineInfo {
            kind,
            version: version.version,
            architecture: version.arch,
            variant: String::new(),
            store: info.store.into(),
            processors: info.processors,
            memory: info.memory,
        })
    }

    fn images(&self) -> Result<Vec<StoredImage>> {
        images::list(&self.api)
    }

    fn load(&self, image: &ImageToLoad<'_>, layers: &mut dyn LayerSource) -> Result<()> {
        images::load(&self.api, image, layers)
    }

    fn scrub(&self, image: &Digest) -> Result<()> {
        images::scrub(&self.api, image)
    }

    fn remove_image(&self, image: &Digest) -> Result<()> {
        let Some(found) = images::inspect(&self.api, image)? else { return Ok(()) };
        let (ours, others): (Vec<&String>, Vec<&String>) =
            found.repo_tags.iter().partition(|t| t.starts_with(TAG_PREFIX));
        let what = format!("remove the image {}", image.short());
        // Never by force: that takes the containers of others with it.
        for tag in &ours {
            self.api.act(
                self.api.patience,
                &what,
                "DELETE",
                &format!("/images/{}", encoded(tag)),
            )?;
        }
        if ours.is_empty() && others.is_empty() {
            self.api.act(self.api.patience, &what, "DELETE", &format!("/images/sha256:{image}"))?;
        }
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        crate::sys::durable::sync_file_system(&self.info()?.store)
    }

    fn containers(&self) -> Result<Vec<Container>> {
        let filter = encoded(&format!("{{\"label\":[\"{}\"]}}", labels::APP));
        let listed: Vec<ContainerListed> = self
            .api
            .must("list its containers", &format!("/containers/json?all=true&filters={filter}"))?;
        let mut out = Vec::new();
        for ContainerListed { id } in listed {
            let what = "tell of a container";
            let target = format!("/containers/{}/json", encoded(&id));
            let Some(found) = self.api.get::<ContainerInspected>(what, &target)? else { continue };
            if !found.config.labels.contains_key(labels::APP) {
                return Err(strange(
                    what,
                    format_args!("{id} does not carry the label that was asked for"),
                ));
            }
            let state = found.state.state();
            let image = found.image.trim_start_matches("sha256:").to_owned();
            let name = found.name.trim_start_matches('/').to_owned();
            out.push(Container { name, image, labels: found.config.labels, state });
        }
        Ok(out)
    }

    fn create(&self, spec: &ContainerSpec) -> Result<()> {
        let what = format!("create the container {}", spec.name);
        if let Some(found) = self.ours(&spec.name)? {
            if found.config.labels.get(labels::SPEC) == spec.labels.get(labels::SPEC) {
                return Ok(());
            }
            if found.state.state() == ContainerState::Running {
                return Err(refused(&what, "another one of this name runs"));
            }
            self.remove(&spec.name)?;
        }
        let document = document(images::version(&self.api)?.0, spec)?;
        let target = format!("/containers/create?name={}", encoded(&spec.name));
        self.api.post::<Anything>(&what, &target, &document).map(|_| ())
    }

    fn start(&self, name: &str) -> Result<()> {
        let what = format!("start the container {name}");
        self.must(&what, name)?;
        match self.action(self.api.patience, &what, name, "POST", "/start")? {
            true => Ok(()),
            false => Err(refused(&what, "there is no such container")),
        }
    }

    fn stop(&self, name: &str, grace: Duration) -> Result<()> {
        let what = format!("stop the container {name}");
        if self.ours(name)?.is_none_or(|found| found.state.state() != ContainerState::Running) {
            return Ok(());
        }
        let seconds = grace.as_millis().div_ceil(1000);
        self.action(grace + self.api.patience, &what, name, "POST", &format!("/stop?t={seconds}"))?;
        match self.ours(name)? {
            Some(found) if found.state.state() == ContainerState::Running => {
                Err(refused(&what, "it says that it did, and the container runs"))
            }
            _ => Ok(()),
        }
    }

    fn remove(&self, name: &str) -> Result<()> {
        let what = format!("remove the container {name}");
        match self.ours(name)? {
            None => Ok(()),
            Some(found) if found.state.state() == ContainerState::Running => {
                Err(refused(&what, "it runs"))
            }
            Some(_) => self.action(self.api.patience, &what, name, "DELETE", "?v=true").map(|_| ()),
        }
    }

    fn exec(&self, name: &str, command: &[String], timeout: Duration) -> Result<Execution> {
        let what = format!("run a program in the container {name}");
        let container = self.must(&what, name)?;
        let wanted =
            serde_json::json!({ "AttachStdout": true, "AttachStderr": true, "Cmd": command });
        let target = format!("/containers/{}/exec", encoded(name));
        let made: ExecCreated = self.api.post(&what, &target, &wanted)?;
        let until = Instant::now() + timeout;
        let start = r#"{"Detach":false,"Tty":false}"#;
        let target = format!("/exec/{}/start", encoded(&made.id));
        let body = match self.api.ask(&what, "POST", &target, Upload::Json(start))? {
            Said::Yes(body) => body,
            Said::Absent(words) => return Err(refused(&what, &words)),
        };
        let mut output = Vec::new();
        let ended = self.frames(&what, body, Some(until), &mut |bytes| {
            output.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_MAX - output.len())]);
            true
        })?;
        let output = printable_lines(&String::from_utf8_lossy(&output), OUTPUT_MAX);
        let target = format!("/exec/{}/json", encoded(&made.id));
        // The stream ends a moment before the engine knows the status.
        for _ in 0..40 {
            let found: ExecInspected = self.api.must(&what, &target)?;
            if !ended {
                // What hangs is ended, or each probe would leave one more.
                crate::sys::process::end_in_container(found.pid, &container.id);
                return Ok(Execution { status: None, output });
            }
            if !found.running {
                return Ok(Execution { status: found.exit_code, output });
            }
            crate::sys::stop::sleep(Duration::from_millis(50));
        }
        Err(strange(&what, format_args!("it says that what has closed its output still runs")))
    }

    fn logs(&self, name: &str, want: &Logs, line: &mut dyn FnMut(&[u8]) -> bool) -> Result<()> {
        let what = format!("give the log of the container {name}");
        self.must(&what, name)?;
        let tail = want.last.map_or_else(|| "all".to_owned(), |n| n.to_string());
        let query = format!("stdout=true&stderr=true&tail={tail}&follow={}", want.follow);
        let target = format!("/containers/{}/logs?{query}", encoded(name));
        let body = match self.api.ask(&what, "GET", &target, Upload::Nothing)? {
            Said::Yes(body) => body,
            Said::Absent(words) => return Err(refused(&what, &words)),
        };
        let (mut lines, mut listens) = (LinesOf::default(), true);
        self.frames(&what, body, None, &mut |bytes| {
            listens = match bytes {
                b"" => line(b""),
                bytes => lines.feed(bytes, line),
            };
            listens
        })?;
        if listens {
            lines.end(line);
        }
        Ok(())
    }

    fn make_network(&self, app: &str) -> Result<()> {
        if self.network(app)?.is_some() {
            return Ok(());
        }
        let name = network_of(app);
        let what = format!("make the network {name}");
        let wanted = serde_json::json!({
            "Name": name, "CheckDuplicate": true, "Driver": "bridge", "Labels": { labels::APP: app },
        });
        self.api.post::<Anything>(&what, "/networks/create", &wanted).map(|_| ())
    }

    fn remove_network(&self, app: &str) -> Result<()> {
        if self.network(app)?.is_none() {
            return Ok(());
        }
        let name = network_of(app);
        let what = format!("remove the network {name}");
        self.api
            .act(self.api.patience, &what, "DELETE", &format!("/networks/{}", encoded(&name)))
            .map(|_| ())
    }
}
