"""The stories of tests/apps/story: what each promises, step by step. A story that fails somewhere is one line more, and the next one begins."""
import json
import os
import signal
import subprocess
import time

from device import PORT, Client, code, get, run
from engine import until
from refusals import allowed, configure, damaged_layer, delta, full_disk, refusals, several


def _answers(version, port=PORT):
    return until(f"the web answers {version}", lambda: get(port=port) == version)


def _system(w, version, *words):
    """A release of a system, signed; with what else it brings."""
    root = w.folder / "root"
    if not root.exists():
        (root / "boot").mkdir(parents=True)
        (root / "boot/Image").write_bytes(os.urandom(20000))
        done = run(["mke2fs", "-q", "-t", "ext4", "-d", root, w.folder / "root.ext4", "4M"])
        assert done.returncode == 0, done.stdout
    out = w.folder / f"system-{version}.surefoot"
    done = w.shelf.forge("build", "--rootfs", w.folder / "root.ext4", "--product", "demo", "--compatible", "demo-board", "--version", version,
                         "--level", "1", "--key", w.key, *words, "-o", out)
    assert done.returncode == 0, done.stdout
    return out


def life(w):
    """Without a daemon: each command does all of it and returns when it is done."""
    d, shelf = w.device(), w.shelf
    one, two, bad = shelf.bundle("1.0.0"), shelf.bundle("2.0.0"), shelf.bundle("3.0.0", healthy=False)
    d.ok("apps", "install", one)
    w.same("after the installation the web answers", get(), "1.0.0")
    w.same("db and web run, init has ended", set(w.engine.running()), {("shop", "db"), ("shop", "web")})
    app = d.app()
    w.same("the status names version and state", (app["version"], app["state"]), ("1.0.0", "running"))
    w.same("the status knows each service", {(s["name"], s["state"]) for s in app["services"]},
           {("init", "done"), ("db", "running"), ("web", "running")})
    w.check("the status for people names the app", "shop" in d.ok("apps", "status") and "1.0.0" in d.ok("apps", "status"))
    w.check("the status of the device names the app", any(a.get("name") == "shop" for a in json.loads(d.ok("status", "--json")).get("apps", {}).get("apps", [])),
            d.ok("status", "--json"))
    w.check("the logs are those of the service", "web begins" in d.ok("apps", "logs", "shop", "web"), d.ok("apps", "logs", "shop", "web"))
    w.check("no container is started by the engine itself", all(c["HostConfig"]["RestartPolicy"]["Name"] in ("", "no")
                                                                for all in w.engine.containers().values() for c in all))
    rows, before = d.rows(), w.engine.running()
    client = Client()
    until("the client has seen the old web", lambda: client.answers())
    d.ok("apps", "install", two)
    _answers("2.0.0")
    client.end()
    w.same("an update of the web alone leaves the database running", w.engine.running()[("shop", "db")], before[("shop", "db")])
    w.check("and replaces the web", w.engine.running()[("shop", "web")] != before[("shop", "web")])
    w.same("a client sees the old web, then the new one, and nothing else", client.answers(), ["1.0.0", "2.0.0"])
    w.note(f"a client that asks every 50 ms misses the web for {client.downtime():.2f} s")
    w.same("the init node has run once for each release", d.inits(), ["1.0.0", "2.0.0"])
    before = w.engine.running()
    done = d.surefoot("apps", "install", bad)
    w.check("a web that never gets well ends the trial: SERVICE_UNHEALTHY or SERVICE_LATE", done.returncode and code(done) in ("SERVICE_UNHEALTHY", "SERVICE_LATE"), done.stdout)
    w.same("after the rollback the web of before answers", get(), "2.0.0")
    w.same("the data are those of before", d.rows(), rows)
    w.same("the database went on through all of it", w.engine.running()[("shop", "db")], before[("shop", "db")])
    w.same("nothing of the bad release is left", [c["Config"]["Image"] for all in w.engine.containers().values() for c in all if shelf.images["shop-web:3.0.0-ill"].id in c["Image"]], [])
    w.refused("the same release again", d.surefoot("apps", "install", bad), "ROLLED_BACK_BEFORE")
    for bundle in shelf.folder.glob("*.surefoot"):
        bundle.rename(bundle.with_suffix(".away"))
    d.ok("apps", "rollback", "shop")
    w.same("a rollback needs no file and no network", get(), "1.0.0")
    w.same("and runs no init node again", [one for one in d.inits() if one != "3.0.0"], ["1.0.0", "2.0.0"])
    for bundle in shelf.folder.glob("*.away"):
        bundle.rename(bundle.with_suffix(".surefoot"))
    d.ok("apps", "stop", "shop")
    w.same("a stopped app runs no service", w.engine.running(), {})
    w.same("and says so", d.app()["state"], "stopped")
    d.ok("apps", "start", "shop")
    _answers("1.0.0")
    w.same("a started app answers again", d.app()["state"], "running")
    d.ok("apps", "remove", "shop")
    w.same("a removed app leaves no container", w.engine.containers(), {})
    w.same("and no image", w.engine.images(), set())
    w.same("but its data", d.rows(), rows)
    w.refused("the status of an app that is not there", d.surefoot("apps", "status", "shop"), "NO_SUCH_APP")


def daemon(w):
    """With a daemon: the same commands, and what happens between them."""
    d, shelf = w.device(), w.shelf
    d.start()
    d.ok("apps", "install", shelf.bundle("1.0.0"))
    w.same("installed through the daemon, the web answers", get(), "1.0.0")
    one = w.engine.running()[("shop", "web")][0][0]
    w.engine.ask("POST", f"/containers/{one}/kill")
    _answers("1.0.0")
    w.check("a service that is killed is started again", True)
    before = until("both run", lambda: len(w.engine.running()) == 2 and w.engine.running())
    d.stop(signal.SIGKILL)
    w.same("a killed daemon takes no service with it", w.engine.running(), before)
    d.start()
    until("the daemon sees them well", lambda: d.app()["state"] == "running")
    w.same("the next one takes them over as they run", w.engine.running(), before)
    done = d.surefoot("apps", "install", shelf.bundle("3.0.0", healthy=False))
    w.check("a bad release comes back", done.returncode and get() == "1.0.0", done.stdout)
    d.ok("apps", "install", shelf.bundle("2.0.0"))
    w.same("a good one stays", get(), "2.0.0")
    d.boot()
    d.start()
    _answers("2.0.0")
    w.check("after a reboot all of it is started again", True)
    w.same("and no init node has run again", [one for one in d.inits() if one != "3.0.0"], ["1.0.0", "2.0.0"])


def schema(w):
    """Data that the release before could not read are copied before, and put back."""
    d, shelf = w.device(), w.shelf
    d.ok("apps", "install", shelf.bundle("1.0.0", volume="x-surefoot: { schema: 1 }"))
    rows = d.rows()
    new = dict(volume="x-surefoot: { schema: 2, readable_by: 2 }", migrates=True)
    done = d.surefoot("apps", "install", shelf.bundle("2.0.0", healthy=False, **new))
    w.check("a migration whose trial fails comes back", done.returncode and get() == "1.0.0", done.stdout)
    w.same("with the data of before, bit for bit", (d.rows(), d.inits()), (rows, ["1.0.0"]))
    d.ok("apps", "install", shelf.bundle("2.0.1", **new))
    w.same("one whose trial is passed has the new data", (d.volume() / "rows").read_text().splitlines()[0], "new 1")
    w.same("and the run-once services of both", d.inits(), ["1.0.0", "2.0.1"])


def joint(w):
    """System and apps in one transaction."""
    for keeper in (False, True):
        how = "with a daemon" if keeper else "without a daemon"
        d, shelf = w.device(), w.shelf
        one, two = shelf.bundle("1.0.0"), shelf.bundle("2.0.0")
        d.ok("apps", "install", one)
        rows = d.rows()
        release = _system(w, "5.0.0" if keeper else "4.0.0", "--with", two)
        if keeper:
            d.start()
        d.ok("install", release)
        w.same(f"{how}: while the system is staged the apps of before run", get(), "1.0.0")
        w.refused(f"{how}: while a system is armed no app is changed", d.surefoot("apps", "install", two), "TRIAL_PENDING")
        w.check(f"{how}: the other slot is on trial", d.boot(*([] if keeper else ["--fail"])).startswith("slot b (trial"))
        if keeper:
            # Held until a person has had a look, who says no.
            (d.folder / "run/unhealthy").write_text("")
            d.start()
            _answers("2.0.0")
            d.ok("rollback")
        else:
            done = d.surefoot("commit")
            w.check(f"{how}: the trial is lost", done.returncode == 77, done.stdout)
        w.check(f"{how}: the old slot runs again", d.boot().startswith("slot a"))
        if keeper:
            d.start()
        else:
            d.surefoot("apps", "start", "shop")
        _answers("1.0.0")
        w.same(f"{how}: system and apps are back, and the data", (d.app()["version"], d.rows()), ("1.0.0", rows))
        d.ok("install", release, "--retry-rolled-back")
        w.check(f"{how}: again on trial", d.boot().startswith("slot b (trial"))
        if keeper:
            d.start()
            until("the daemon keeps the system", lambda: json.loads(d.ok("status", "--json"))["trial"] is None, 120)
        else:
            d.ok("commit")
        w.same(f"{how}: the new system has the new apps", get(), "2.0.0")
        w.check(f"{how}: and they stay", d.boot().startswith("slot b"))
        if keeper:
            d.start()
        else:
            d.surefoot("apps", "start", "shop")
        _answers("2.0.0")
        w.same(f"{how}: after a reboot, too", d.app()["version"], "2.0.0")
        d.stop()
        w.engine.clean()


def cuts(w, every=False):
    """The process is killed at a write, and the next command brings all to rest: the whole old set, or the whole new one."""
    d, shelf = w.device(), w.shelf
    bundles = [shelf.bundle("1.0.0"), shelf.bundle("2.0.0")]
    d.ok("apps", "install", bundles[0])
    rows, runs, at, cut, whole = d.rows(), 0, 0, 0, True
    step = 1 if every else 4
    while True:
        d.ok("apps", "install", "--allow-older", bundles[0]) if d.app()["version"] != "1.0.0" else None
        done = run([w.programs.surefoot_sim, "unplug", d.folder, "--after", str(at), "--torn", "13", "--", "apps", "install", bundles[1]])
        if done.returncode != 0:
            break
        cut, at = cut + 1, at + step
        # A process that was killed leaves what runs; a power cut, every third time, does not.
        if cut % 3 == 0:
            d.boot()
        d.surefoot("apps", "start", "shop")
        found = d.app()["version"]
        good = get() == found and set(w.engine.running()) == {("shop", "db"), ("shop", "web")} and d.rows() == rows
        if not good:
            whole = w.check(f"a cut after {at - step} writes", False, (found, get(), set(w.engine.running()), done.stdout))
    w.check(f"every cut leaves one whole set that runs: {cut} cuts at {at} writes", whole and cut >= 3, (cut, done.stdout))


def every_cut(w):
    """The same at each write."""
    cuts(w, every=True)


def engine_ends(w):
    """The engine is killed while a release is staged, and while it is on trial."""
    d, shelf = w.device(), w.shelf
    d.ok("apps", "install", shelf.bundle("1.0.0"))
    w.engine.kill()
    done = d.surefoot("apps", "install", shelf.bundle("2.0.0"))
    w.check("without its engine nothing is installed: ENGINE_…", done.returncode and code(done).startswith("ENGINE_"), done.stdout)
    w.check("the status says that it does not answer", d.apps()["engine"] is None)
    w.engine.again()
    d.start()
    _answers("1.0.0")
    w.check("when it is back, what shall run runs", True)
    d.ok("apps", "install", shelf.bundle("2.0.1"))
    w.same("and an update is possible", get(), "2.0.1")
    # A long soak: it is killed in it for certain.
    update = subprocess.Popen([str(w.programs.surefoot), "--config", str(d.config), "apps", "install", str(shelf.bundle("2.1.0", soak="600s"))],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until("the trial begins", lambda: get() == "2.1.0")
    w.engine.kill()
    time.sleep(1)
    w.engine.again()
    until("what is on trial runs again, or what was before", lambda: get() in ("2.1.0", "2.0.1"), 120)
    w.check("after the end of the engine in a trial one whole set runs", True)
    d.stop(signal.SIGKILL)
    update.kill()
    update.wait()


STORIES = [life, daemon, schema, joint, cuts, engine_ends, refusals, allowed, several, configure, delta, full_disk]
LONG = [every_cut, damaged_layer]
