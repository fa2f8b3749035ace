//! `apps push`: from a Compose file to a device on the desk. The bundle is built and signed as `build --app` does it, and
//! sent as `surefoot push` does it: this only brings the two together.

use crate::forge::file;
use crate::model::{Failure, Identifier, ReasonCode, Result, WithReason, from_json, printable};
use crate::sys::clock;
use crate::sys::process::{Ending, Invocation, run};
use clap::{Args, Subcommand};
use serde::Deserialize;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a device may take to say what it is.
const DEADLINE: Duration = Duration::from_secs(60);
/// ssh(1): its own failure, and none of the command there.
const SSH_FAILED: i32 = 255;

#[derive(Debug, Args)]
pub(in crate::forge) struct Apps {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build a bundle with a development key and bring it to a device on the desk, over ssh
    Push(Box<Push>),
}

/// `apps …`; `build` is what `surefoot-forge` does with these words.
pub(in crate::forge) fn apps(words: &Apps, build: fn(Vec<OsString>) -> Result<()>) -> Result<()> {
    let Verb::Push(words) = &words.verb;
    push(words, build)
}

#[derive(Debug, Args)]
#[command(
    override_usage = "surefoot-forge apps push [OPTIONS] --key KEY HOST COMPOSE [-- SSH_ARGS]",
    after_help = "Examples:\n  \
    surefoot-forge apps push root@gateway compose.yaml --images IMAGES \\\n      \
    --key KEYS/develop-shop.key\n  \
    surefoot-forge apps push gateway compose.yaml --images IMAGES \\\n      \
    --key KEYS/develop-shop.key --remote \"sudo surefoot\" -- -p 2222\n\n\
    The device must be under hold (`surefoot hold`) and its trust file must name\n\
    the key; `surefoot unhold` there brings back what ran before. The bundle is\n\
    sent with `surefoot push`, which must be installed here; its exit status is\n\
    the one of this program."
)]
struct Push {
    /// Where ssh connects to
    host: String,
    /// The Compose file
    compose: PathBuf,
    /// The folder with the archives of the images
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// The development key; `surefoot-forge keygen --out KEYS --develop APP` makes one
    #[arg(long, value_name = "KEY")]
    key: String,
    /// The app [default: `name` of the Compose file, or of the key `develop-NAME.key`]
    #[arg(long, value_name = "NAME")]
    app: Option<String>,
    /// The product [default: the device's]
    #[arg(long, value_name = "P")]
    product: Option<String>,
    /// What the device must be compatible with [default: what it is]
    #[arg(long, value_name = "C")]
    compatible: Option<String>,
    /// What people read [default: `dev-` and the time]
    #[arg(long, value_name = "V")]
    version: Option<String>,
    /// What connects
    #[arg(long, default_value = "ssh", value_name = "PROGRAM")]
    ssh: String,
    /// The updater on the device
    #[arg(long, default_value = "surefoot", value_name = "PROGRAM")]
    remote: String,
    /// The updater here, whose `push` sends the file [default: beside this program, or in PATH]
    #[arg(long, value_name = "PROGRAM")]
    surefoot: Option<PathBuf>,
    /// Words for ssh itself
    #[arg(last = true, value_name = "SSH_ARGS")]
    words: Vec<String>,
}

/// What a device says of itself.
#[derive(Debug, Deserialize)]
struct Said {
    product: Identifier,
    compatible: Identifier,
}

fn usage(text: impl AsRef<str>) -> Failure {
    Failure::new(ReasonCode::Usage, text)
}

/// Builds, sends, and ends with the status of `surefoot push` where that is not 0.
fn push(words: &Push, build: fn(Vec<OsString>) -> Result<()>) -> Result<()> {
    if words.host.starts_with('-') || words.host.is_empty() {
        // ssh would take it for an option.
        return Err(usage(format!("`{}` is no host", printable(&words.host, 80))));
    }
    let app = match &words.app {
        Some(app) => app.clone(),
        None => name_of(&words.compose, &words.key)?,
    };
    let device = match (&words.product, &words.compatible) {
        (Some(_), Some(_)) => None,
        _ => Some(ask(words)?),
    };
    let of = |given: &Option<String>, said: fn(&Said) -> &Identifier| {
        given.clone().or_else(|| device.as_ref().map(|d| said(d).to_string())).unwrap_or_default()
    };
    // Each push is newer than the one before.
    let now = clock::unix_seconds();
    let version = words.version.clone().unwrap_or_else(|| format!("dev-{now}"));
    let folder = Folder::new(&app)?;
    let bundle = folder.0.join(format!("{app}.surefoot"));
    let mut typed: Vec<OsString> = vec!["surefoot-forge".into(), "build".into()];
    for (flag, value) in [
        ("--app", OsString::from(&app)),
        ("--compose", words.compose.clone().into()),
        ("--product", of(&words.product, |said| &said.product).into()),
        ("--compatible", of(&words.compatible, |said| &said.compatible).into()),
        ("--version", version.into()),
        ("--counter", now.to_string().into()),
        ("--key", OsString::from(&words.key)),
        // A push is small where the link is short: the time to make it counts more.
        ("--level", "3".into()),
        ("-o", bundle.clone().into()),
    ] {
        typed.extend([OsString::from(flag), value]);
    }
    if let Some(images) = &words.images {
        typed.extend(["--images".into(), images.clone().into()]);
    }
    build(typed)?;
    send(words, &bundle)
}

/// The app's name, as the Compose file says it, or the name of the key.
fn name_of(compose: &Path, key: &str) -> Result<String> {
    let text = crate::sys::files::foreign_text(compose, crate::sys::files::SMALL)
        .map_err(|e| file::failure(compose, &e))?;
    let said = text.lines().find_map(|line| line.strip_prefix("name:"));
    let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    let of_key = || {
        let stem = Path::new(key).file_stem()?.to_str()?.strip_prefix("develop-")?;
        Some(stem.to_owned())
    };
    said.map(plain)
        .filter(|name| !name.is_empty())
        .or_else(of_key)
        .ok_or_else(|| usage(format!("{} has no `name`: say `--app NAME`", compose.display())))
}

/// Asks the device what it is.
fn ask(words: &Push) -> Result<Said> {
    let mut command = vec![words.ssh.clone()];
    command.extend(words.words.iter().cloned());
    command.extend([words.host.clone(), format!("{} status --json", words.remote)]);
    let call = Invocation {
        command: &command,
        folder: Path::new("."),
        environment: &[],
        input: b"",
        deadline: DEADLINE,
        keep: 1 << 20,
    };
    let host = printable(&words.host, 80);
    let done = run(&call).reason(ReasonCode::HostUnreachable, &words.ssh)?;
    let why = String::from_utf8_lossy(&done.stderr).into_owned();
    let why = printable(why.lines().next_back().unwrap_or(""), 300);
    match done.ending {
        Ending::Exit(0) => {}
        Ending::Exit(SSH_FAILED) | Ending::Signal(_) | Ending::Deadline | Ending::Stopped => {
            return Err(Failure::new(ReasonCode::HostUnreachable, format!("{host}: {why}")));
        }
        Ending::Exit(_) => {
            return Err(Failure::new(ReasonCode::NoUpdater, format!("{host}: {why}")));
        }
    }
    from_json(&done.stdout).reason(ReasonCode::NoUpdater, format!("the status of {host}"))
}

/// `surefoot push`, which tells of its own progress, and whose failure is told by it.
fn send(words: &Push, bundle: &Path) -> Result<()> {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("surefoot"));
    let program = words
        .surefoot
        .clone()
        .or_else(|| beside.filter(|path| path.is_file()))
        .unwrap_or_else(|| "surefoot".into());
    let mut command = Command::new(&program);
    command.args(["push", &words.host]).arg(bundle);
    command.args(["--ssh", &words.ssh, "--remote", &words.remote]);
    if !words.words.is_empty() {
        command.arg("--").args(&words.words);
    }
    let status = command.status().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let text = format!("`{}` is not installed here", program.display());
            Failure::new(ReasonCode::NoSuchFile, text)
                .with_next("Install surefoot here too, or say where it is: `--surefoot PROGRAM`.")
        }
        _ => Failure::new(ReasonCode::Io, format!("{}: {e}", program.display())),
    })?;
    match status.code() {
        Some(0) => Ok(()),
        code => {
            let _ = std::fs::remove_dir_all(bundle.parent().unwrap_or(bundle));
            // It has said why.
            std::process::exit(code.unwrap_or(70));
        }
    }
}

/// A folder of this process's own, which goes with it.
struct Folder(PathBuf);

impl Folder {
    fn new(app: &str) -> Result<Folder> {
        let plain: String = app.chars().filter(char::is_ascii_alphanumeric).take(32).collect();
        let name = format!("surefoot-push-{plain}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir(&folder).map_err(|e| file::failure(&folder, &e))?;
        Ok(Folder(folder))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_is_named_by_the_compose_file_or_by_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("compose.yaml");
        let name = |text: &str, key: &str| {
            std::fs::write(&file, text).unwrap();
            name_of(&file, key).map_err(|f| f.code())
        };
        assert_eq!(name("name: shop\nservices: {}\n", "KEYS/x.key"), Ok("shop".to_owned()));
        assert_eq!(name("name: \"shop\"\n", "x"), Ok("shop".to_owned()));
        assert_eq!(name("services: {}\n", "KEYS/develop-web.key"), Ok("web".to_owned()));
        assert_eq!(name("services: { a: { name: x } }\n", "k.key"), Err(ReasonCode::Usage));
    }
}
