//! The real container engines, started once for all tests of a program, and small images for them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use surefoot::engine::{Engine, EngineSocket, ImageToLoad, LayerBytes, LayerSource};
use surefoot::model::{Digest, Failure, ReasonCode, Result};

/// Engines of `tests/apps/engines`. They end when their standard input does: at the latest with this process.
pub struct Engines {
    child: Child,
    /// Name, socket and process of each that runs.
    pub running: Vec<(String, PathBuf, u32)>,
    /// Name of each that does not, and why.
    pub missing: Vec<(String, String)>,
    /// A process in their network.
    pub network: Option<u32>,
}

impl Engines {
    /// Engines of one's own.
    pub fn start() -> Engines {
        // The script takes it away.
        let folder = tempfile::Builder::new().prefix("sf-eng-").tempdir().unwrap().keep();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/apps/engines");
        let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
        let mut command = Command::new(script);
        command.arg("serve").arg(folder).stdin(stdin).stdout(stdout);
        let child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut engines =
            Engines { child, running: Vec::new(), missing: Vec::new(), network: None };
        let stdout = BufReader::new(engines.child.stdout.take().unwrap());
        for line in stdout.lines().map(|l| l.unwrap()) {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            match words[..] {
                ["skip", name, why] => engines.missing.push((name.to_owned(), why.to_owned())),
                ["network", pid] => engines.network = pid.parse().ok(),
                ["ready"] => return engines,
                [name, socket, pid] => {
                    engines.running.push((name.to_owned(), socket.into(), pid.parse().unwrap()));
                }
                _ => panic!("tests/apps/engines said `{line}`"),
            }
        }
        panic!("tests/apps/engines ended");
    }

    /// Ends them, and waits for it.
    pub fn end(mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

/// The engines that all tests share.
pub fn shared() -> &'static Engines {
    static SHARED: OnceLock<Engines> = OnceLock::new();
    SHARED.get_or_init(Engines::start)
}

/// Does the same on each engine; one that cannot run here is a skip.
pub fn on_each(test: impl Fn(&str, &EngineSocket)) {
    let engines = shared();
    for (name, why) in &engines.missing {
        super::skip::skipped(&format!("{name}: {why}"));
    }
    for (name, socket, _) in &engines.running {
        test(name, &EngineSocket::new(socket.clone()));
    }
}

/// A layer: an archive of files.
pub fn layer(files: &[(&str, &[u8], u32)]) -> Vec<u8> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, mode) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
    }
    let words =
        ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner", "-cf", "-"];
    let mut names: Vec<&str> = files.iter().map(|(n, _, _)| n.split('/').next().unwrap()).collect();
    names.dedup();
    let made = Command::new("tar").args(words).args(names).current_dir(&folder).output().unwrap();
    assert!(made.status.success());
    made.stdout
}

/// The layer with one program that is many: `/bin/busybox`.
pub fn busybox() -> Vec<u8> {
    let program = std::fs::read("/bin/busybox").unwrap();
    layer(&[("bin/busybox", &program, 0o755), ("srv/empty", b"", 0o666)])
}

/// An image with its bytes.
#[derive(Clone)]
pub struct Image {
    pub config: Vec<u8>,
    pub layers: Vec<(Digest, u64)>,
    pub bytes: BTreeMap<Digest, Vec<u8>>,
    /// What was asked for, in order.
    pub asked: Vec<Digest>,
}

impl Image {
    pub fn new(layers: &[&[u8]]) -> Image {
        let diffs: Vec<(Digest, u64)> =
            layers.iter().map(|l| (Digest::of(l), l.len() as u64)).collect();
        let ids: Vec<String> = diffs.iter().map(|(d, _)| format!("sha256:{d}")).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
            "config": { "Entrypoint": ["/bin/busybox"], "Cmd": ["sleep", "1000"] },
            "rootfs": { "type": "layers", "diff_ids": ids },
            "history": ids.iter().map(|_| serde_json::json!({ "created_by": "a test" })).collect::<Vec<_>>(),
        });
        let bytes = layers.iter().map(|l| (Digest::of(l), l.to_vec())).collect();
        Image { config: config.to_string().into_bytes(), layers: diffs, bytes, asked: Vec::new() }
    }

    pub fn id(&self) -> Digest {
        Digest::of(&self.config)
    }

    pub fn load(&mut self, engine: &dyn Engine) -> Result<()> {
        let (config, layers) = (self.config.clone(), self.layers.clone());
        let tag = format!("surefoot.local/test:{}-1", self.id().short());
        engine.load(&ImageToLoad { id: self.id(), config: &config, layers: &layers, tag }, self)
    }
}

impl LayerSource for Image {
    fn open(&mut self, layer: &Digest) -> Result<LayerBytes<'_>> {
        self.asked.push(*layer);
        match self.bytes.get(layer) {
            Some(bytes) => Ok(Box::new(bytes.as_slice())),
            None => Err(Failure::new(ReasonCode::Io, "no such layer")),
        }
    }
}
