#!/usr/bin/env python3
"""Every power cut of an update, judged by the real U-Boot: `surefoot-sim powercut` on two boards, and on spoilt products.

    tests/vm/crash-images.py [--images N] [--per-phase N] [--seed N] [--only boards|ways|mistakes]
    SUREFOOT_BIN=DIR   the programs; otherwise cargo builds them

  - boards: a board whose U-Boot counts, a stock one whose script counts, and one whose slots have a boot part. Every disk and state folder that a cut could leave
    boots in U-Boot's sandbox build, comes to rest, takes nothing older than what it committed, and takes the next update: 0 violations, at least N
    images in each phase. In some stories the keys change, a slot record or the state folder is lost.
  - ways: the same update brought by a server on the loopback (what the slots lack is fetched), by a delta, and by a delta of that server: what was
    begun goes on with the same words, and what is lost begins again.
  - mistakes: the product with its read-back, its flushes, the order of its first blocks and more (MISTAKES below) taken out,
    built from a copy of the source: each must show a violation here.
Images that break a promise are kept in target/powercut-failures.
"""
import argparse
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench  # noqa: E402

FULL = bool(os.environ.get("SUREFOOT_FULL"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or bench.TOP / "target")
BIN = Path(os.environ.get("SUREFOOT_BIN") or TARGET / "debug")
KEEP = TARGET / "powercut-failures"
JOBS = os.cpu_count() or 2

# Every part of an update in which the power goes; a run in which one of them does not occur proves less than it says.
PHASES = ("settling", "first blocks destroyed", "slot body", "last phase", "slot record", "arming", "saveenv of boot 1", "saveenv of boot 2",
          "saveenv of boot 3", "saveenv of boot 4", "altbootcmd", "give-back", "commit", "rollback", "denylist", "floor", "journal",
          "journal rename", "history", "what was committed")

# The story that shows it, and lines of the product with what they are made into. Each must stand exactly once. SPOILT is true in
# the run that shows this mistake and in no other, so that one build holds them all.
MISTAKES = {
    "nothing is flushed": ("a good update", [
        ("src/sys/blk/mod.rs", "let result = power::telling(Deed::Sync(&self.file), || self.file.sync_data());", """\
let result: Result<()> = if SPOILT { Ok(()) } else { power::telling(Deed::Sync(&self.file), || self.file.sync_data()) };""")]),
    "nothing is read back": ("lies", [
        ("src/install/write.rs", "    if *found == *bytes {\n", "    if SPOILT || *found == *bytes {\n"),
        ("src/install/write.rs", "if !reader.completes(chunk, begins, end..image.end)? {", "if !SPOILT && !reader.completes(chunk, begins, end..image.end)? {"),
        ("src/install/medium.rs", "seen.clone().finalize() == *written", "(seen.clone().finalize() == *written || SPOILT)"),
        ("src/install/medium.rs", "hash.finalize_reset().as_slice() == chunk.plain.0", "(hash.finalize_reset().as_slice() == chunk.plain.0 || SPOILT)")]),
    "the old first blocks stay while the slot is written": ("a good update", [
        ("src/install/write.rs", "        self.destroy()?;\n", "        if !SPOILT { self.destroy()?; }\n")]),
    "arming takes two writes": ("unhealthy", [
        ("src/boot/uboot/control.rs", "        session.save(&env)\n    }\n\n    fn settle", """\
        if let (true, BootChange::Arm { slot, .. }) = (SPOILT, &change) {
            let mut half = session.loaded().env()?.clone();
            half.set("surefoot_slot", slot.letter())?;
            session.save(&half)?;
        }
        session.save(&env)
    }

    fn settle""")]),
    "a release that came back is not remembered": ("unhealthy", [
        ("src/update/journal.rs", "            denied.push(Denied { digest, reason });", "            if !SPOILT { denied.push(Denied { digest, reason }); }"),
        ("src/device/offer.rs", "boot.fallback.as_ref().filter(blamed).cloned()", "boot.fallback.as_ref().filter(|txn| !SPOILT && blamed(txn)).cloned()")]),
}
# The same on a device whose slots have a boot part.
PART_MISTAKES = {
    "the kernel of the boot part stays while the root is written": ("a good update", [
        ("src/install/write.rs", "        self.parts.iter().try_for_each(|part| {\n", "        self.parts.iter().skip(usize::from(SPOILT)).try_for_each(|part| {\n")]),
    "the boot part gets its head before the root": ("a good update", [
        ("src/install/write.rs", "        let heads = parts().try_for_each(|(part, first)| {\n", """\
        let mut turned: Vec<_> = parts().collect();
        if SPOILT { turned.reverse(); }
        let heads = turned.into_iter().try_for_each(|(part, first)| {
""")]),
}
EVERY_MISTAKE = MISTAKES | PART_MISTAKES
SPOILT = """
/// Which mistake this run of the spoilt product makes.
pub(crate) fn spoilt(mistake: &str) -> bool {
    std::env::var("SUREFOOT_SPOILT").is_ok_and(|chosen| chosen == mistake)
}
"""


def system(work, version, parts, like=None):
    """The images of a system: the root filesystem, and with `parts` the boot part, a FAT with the kernel. Much of the root is `like` that of another."""
    root, boot = work / f"root-{version}", work / f"boot-{version}"
    (root / "boot").mkdir(parents=True)
    boot.mkdir()
    (boot if parts else root / "boot").joinpath("Image").write_bytes(os.urandom(20_000))
    (boot / "board.dtb").write_bytes(os.urandom(700_000))
    data = os.urandom(1_500_000)
    if like:
        # Moved a little, changed here and there, and new at its end.
        data = os.urandom(20_000) + bytearray(like[:1_100_000]) + data[:380_000]
        data = b"".join(data[at:at + 50_000] + os.urandom(3) for at in range(0, len(data) - 200, 50_003))
    (root / "data").write_bytes(data)
    return [bench.filesystem(work / f"{version}.ext4", root, "ext4", 3)] + ([bench.filesystem(work / f"{version}.fat", boot, "fat", 1, "boot")] if parts else [])


def programs(binary, *words, **keywords):
    return bench.run(BIN / binary, *words, **keywords)


def releases(work, parts=False, like=False):
    """A device's keys, its first system, and its releases: 4 is the update, 5 the one after it, 2.5 and 3.5 come too late. `like`: 4 is like 3."""
    work.mkdir()
    programs("surefoot-forge", "keygen", "--out", work / "keys")
    artifacts = {}
    # Each release raises the floor, so that a commit has a floor to write. What comes too late is above the floor: only the order refuses it.
    for n, epoch, key in ((2, 2, "release"), (3, 3, "release"), (4, 4, "release"), (5, 9, "release-next"), (2.5, 9, "release-next"),
                          (3.5, 9, "release-next")):
        artifacts[n] = work / f"{n}.surefoot"
        root, *boot = system(work, n, parts, (work / "root-3/data").read_bytes() if like and n == 4 else None)
        programs("surefoot-forge", "build", "--rootfs", root, *(word for image in boot for word in ("--part", f"boot={image}")), "--product", "demo", "--compatible", "demo-board", "--version",
                 f"{float(n)}.0", "--epoch", epoch, "--level", 3, "--context", "1M", "--key", work / f"keys/{key}.key", "-o", artifacts[n])
    change_keys(work / "keys/trust.toml", work / "keys/trust-2.toml")
    return system(work, 1, parts), artifacts


def change_keys(before, after):
    """The trust file that gives up the first release key: it is revoked, and the second one stays."""
    head, *keys = before.read_text().split("[[keys]]\n")
    given_up = next(key for key in keys if 'role = "release"' in key)
    number = given_up.split('"')[1]
    head = head.replace("version = 1 ", "version = 2 ").replace("revoked = []", f'revoked = ["{number}"]')
    after.write_text("[[keys]]\n".join([head] + [key for key in keys if key != given_up]))


def device(work, counter, first, artifacts):
    """A device with a history: both slots hold a release, both copies of the environment have been written by all who write them."""
    path, (root, *boot) = work / counter, first
    programs("surefoot-sim", "new", path, "--trust", work / "keys/trust.toml", "--rootfs", root, "--slot-size", "4M", "--counter", counter,
             *(word for image in boot for word in ("--boot-part=3M", "--boot-image", image)))
    for n in (2, 3):
        for words in (("install", artifacts[n]), None, ("commit",)):
            if words is None:
                programs("surefoot-sim", "reboot", path, "--quiet")
            else:
                programs("surefoot", "--config", path / "surefoot.toml", *words)
    return path


class Files(http.server.SimpleHTTPRequestHandler):
    """A folder, with parts of files, as any web server gives it."""
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        path = Path(self.directory, self.path.lstrip("/"))
        if not path.is_file():
            return self.send_error(404)
        bytes, wanted = path.read_bytes(), self.headers.get("Range")
        first, last = 0, len(bytes) - 1
        if wanted:
            first, end = wanted.removeprefix("bytes=").split("-")
            first, last = int(first), min(int(end or last), last)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", last + 1 - first)
        self.send_header("ETag", f'"{path.stat().st_mtime_ns}"')
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(bytes)}")
        self.end_headers()
        self.wfile.write(bytes[first:last + 1])

    def log_message(self, *_):
        pass


def serve(folder):
    """A server on the loopback; it ends with this program."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Files, directory=folder))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def powercut(path, artifacts, uboot, *words, **environment):
    """The report, and the exit status; progress goes on to stderr."""
    command = [BIN / "surefoot-sim", "powercut", path, "--artifact", artifacts[4], "--next", artifacts[5], "--older", artifacts[2.5],
               "--older", artifacts[3.5], "--trust", artifacts[2].with_name("keys") / "trust-2.toml", "--uboot", bench.target(uboot),
               "--keep", KEEP, "--jobs", JOBS, "--json", *words]
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, env=os.environ | environment)
    return (json.loads(done.stdout) if done.stdout else None), done.returncode


def short(report):
    return sorted(report["phases"].items(), key=lambda p: -p[1]["images"])


class Suite:
    def __init__(self, work, asked):
        self.work, self.asked = work, asked
        self.passed = self.failed = 0
        self.images = self.inside = 0
        self.violations = 0
        self.caught = []
        self.one, self.parts = (work / name for name in ("one", "parts"))
        self.releases = {self.one: releases(self.one), self.parts: releases(self.parts, True)}
        self.devices = {}

    def device(self, work, counter):
        if (work, counter) not in self.devices:
            self.devices[work, counter] = device(work, counter, *self.releases[work])
        return self.devices[work, counter]

    def verdict(self, good, what):
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        print(("ok    " if good else "FAIL  ") + what, flush=True)

    def board(self, counter, uboot, images, per_phase, work=None):
        work = work or self.one
        path = self.device(work, counter)
        report, status = powercut(path, self.releases[work][1], uboot, "--images", images, "--per-phase", per_phase, "--seed", self.asked.seed)
        if report is None or status not in (0, 1):
            self.verdict(False, f"counter {counter}: surefoot-sim powercut ended with {status}")
            return
        counter, counts = counter + (", with a boot part" if work == self.parts else ""), counter == "uboot"
        for phase, count in short(report):
            print(f"      {phase:<24}{count['images']:>6}  " + ", ".join(f"{n} {kind}" for kind, n in count["kinds"].items()))
        self.images += report["images"]
        self.inside += sum(c["images"] for p, c in report["phases"].items() if p.startswith("saveenv") or p == "altbootcmd")
        self.violations += len(report["violations"])
        for violation in report["violations"][:10]:
            print(f"      VIOLATION {violation}")
        self.verdict(not report["violations"], f"counter {counter}: {report['images']} crash images at {report['deeds']} deeds, "
                     f"{len(report['violations'])} violations; at rest after {report['worst_boots']} boots at worst; {report['seconds']} s")
        # The script counts no fourth boot: it gives the trial up instead.
        phases = [p for p in PHASES if counts or p != "saveenv of boot 4"]
        few = {p: report["phases"].get(p, {"images": 0})["images"] for p in phases}
        few = {p: n for p, n in few.items() if n < per_phase}
        self.verdict(not few and report["images"] >= images, f"counter {counter}: at least {images} images, {per_phase} in each of {len(phases)} phases"
                     + (f"; short: {few}" if few else ""))

    def ways(self, images, per_phase):
        work = self.work / "ways"
        self.releases[work] = releases(work, like=True)
        path, artifacts = self.device(work, "uboot"), self.releases[work][1]
        # No delta lies beside the artifact, and no artifact beside the delta: each is brought as itself.
        (work / "deltas").mkdir()
        delta = work / "deltas/4.from-3.0.0.delta.surefoot"
        programs("surefoot-forge", "delta", "--from", artifacts[3], "--to", artifacts[4], "--key", work / "keys/release.key", "-o", delta)
        server = serve(work)
        words = [word for way in (f"{server}/4.surefoot", delta, f"{server}/deltas/{delta.name}") for word in ("--also-from", way)]
        report, status = powercut(path, artifacts, "uboot-sandbox", *words, "--only", "brought", "--images", images, "--per-phase", per_phase,
                                  "--seed", self.asked.seed)
        if report is None or status not in (0, 1):
            self.verdict(False, f"ways: surefoot-sim powercut ended with {status}")
            return
        self.images += report["images"]
        self.violations += len(report["violations"])
        for violation in report["violations"][:10]:
            print(f"      VIOLATION {violation}")
        self.verdict(not report["violations"], f"brought by a server, a delta, and a delta of a server: {report['images']} crash images at {report['deeds']} "
                     f"deeds, {len(report['violations'])} violations; {report['seconds']} s")
        phases = ("first blocks destroyed", "slot body", "last phase", "slot record", "arming", "journal", "commit")
        few = {p: report["phases"].get(p, {"images": 0})["images"] for p in phases}
        few = {p: n for p, n in few.items() if n < per_phase}
        self.verdict(not few and report["images"] >= images, f"ways: at least {images} images, {per_phase} in each of {len(phases)} phases" + (f"; short: {few}" if few else ""))

    def mistakes(self):
        try:
            program = spoilt(self.work / "tree")
        except (ValueError, subprocess.CalledProcessError) as e:
            self.verdict(False, f"the spoilt product: {e}\n{getattr(e, 'stderr', '')[-2000:]}")
            return
        for name, (story, _) in EVERY_MISTAKE.items():
            work = self.parts if name in PART_MISTAKES else self.one
            report, status = powercut(self.device(work, "uboot"), self.releases[work][1], "uboot-sandbox", "--program", program, "--images", 400, "--per-phase", 30,
                                      "--only", story, "--stop-at-first", SUREFOOT_SPOILT=name)
            seen = report["violations"][:1] if report else []
            if status == 1 and seen:
                self.caught.append(name)
            what = f"{seen[0]['what']} ({seen[0]['story']}, {seen[0]['phase']}; image {report['images']})" if seen else f"nothing is seen, status {status}"
            self.verdict(status == 1 and seen, f"mistake: {name}: {what}")


def spoilt(tree):
    """The product with all the mistakes in it, kept by what it is made of."""
    for extra in ("src", "build.rs", "Cargo.toml", "Cargo.lock", "examples", "uboot-scripts", "artifacts", "packaging", "systemd"):
        source = bench.TOP / extra
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tree / extra)
    for mistake, (_, edits) in EVERY_MISTAKE.items():
        for file, old, new in edits:
            text = (tree / file).read_text()
            if text.count(old) != 1:
                raise ValueError(f"{mistake}: {file} has {text.count(old)} places for {old!r}")
            (tree / file).write_text(text.replace(old, new.replace("SPOILT", f"crate::spoilt({json.dumps(mistake)})")))
    with open(tree / "src/lib.rs", "a") as library:
        library.write(SPOILT)
    compiler = subprocess.run(["rustc", "-vV"], stdout=subprocess.PIPE, check=True).stdout
    kept = bench.CACHE / "spoilt" / bench.content(tree, compiler)
    if not kept.exists():
        # Beside the real program, so that what both are built on is built once; under another name, so that it never takes its place.
        manifest = tree / "Cargo.toml"
        text = manifest.read_text().replace('[[bin]]\nname = "surefoot"\n', '[[bin]]\nname = "surefoot-spoilt"\n')
        # It runs some fifty times: not worth the time of an optimiser.
        manifest.write_text(re.sub(r"\[profile\.dev\.package\.surefoot\]\nopt-level = \d\n", "", text))
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--bin", "surefoot-spoilt"], cwd=tree, stderr=subprocess.PIPE, text=True, check=True,
                       env=dict(os.environ, CARGO_TARGET_DIR=str(TARGET)))
        bench.keep(TARGET / "debug/surefoot-spoilt", kept)
    return kept


def main():
    arguments = argparse.ArgumentParser(usage=__doc__)
    arguments.add_argument("--images", type=int, default=50_000 if FULL else 1_000)
    arguments.add_argument("--per-phase", type=int, default=1_500 if FULL else 45)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--only", choices=("boards", "ways", "mistakes"))
    asked = arguments.parse_args()
    if not os.environ.get("SUREFOOT_BIN"):
        subprocess.run(["cargo", "build", "--quiet", "--locked", "--bins"], cwd=bench.TOP, check=True)
    started = time.monotonic()
    with bench.scratch("surefoot-crash-") as folder:
        suite = Suite(Path(folder), asked)
        if asked.only in (None, "ways"):
            suite.ways(asked.images // 9, asked.per_phase // 6)
        if asked.only in (None, "boards"):
            suite.board("uboot", "uboot-sandbox", asked.images, asked.per_phase)
            suite.board("script", "uboot-sandbox-stock", asked.images // 12, 10)
            suite.board("uboot", "uboot-sandbox", asked.images // 6, 10, suite.parts)
        if asked.only in (None, "mistakes"):
            suite.mistakes()
    print(f"note: {suite.images} crash images ({suite.inside} inside U-Boot's saveenv), {suite.violations} violations, "
          f"{len(suite.caught)} of {len(EVERY_MISTAKE)} spoilt products caught")
    print(f"crash-images: {suite.passed} passed, {suite.failed} failed ({time.monotonic() - started:.0f} s)")
    sys.exit(suite.failed != 0)


if __name__ == "__main__":
    main()
