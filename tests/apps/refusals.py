"""What is refused, with which code, and that nothing has changed then."""
import socket
import subprocess
from pathlib import Path

from device import PORT, Shelf, code, get, run
from engine import Engine, until
from handmade import rewrite

ONE = """\
services:
  one:
    image: shop-db
    command: [/app/idle]
    stop_grace_period: 5s
{more}
{top}
x-surefoot: {{ deadline: 60s, soak: 100ms{own} }}
"""


def small(shelf, version, more="", top="", own="", app="small"):
    """A bundle with one service that waits."""
    lines = "".join(f"    {line}\n" for line in more.splitlines())
    return shelf.build(version, ONE.format(more=lines, top=top, own=own), app=app)


def refusals(w):
    """Each refusal has its code, and leaves all as it was."""
    d, shelf = w.device(), w.shelf
    d.ok("apps", "install", shelf.bundle("1.0.0"))
    before = w.engine.running(), w.engine.images()

    def refused(what, bundle, wanted):
        w.check(f"{what}: {wanted}, and all is as before", isinstance(bundle, Path)
                and (lambda done: done.returncode and code(done) == wanted and (w.engine.running(), w.engine.images()) == before)(tell(bundle)), tell.said if isinstance(bundle, Path) else bundle.stdout)

    def tell(bundle):
        done = d.surefoot("apps", "install", bundle)
        tell.said = f"{code(done)}: {done.stdout}"
        return done

    foreign = Shelf(w.programs, w.folder / "foreign", w.key, "arm64")
    refused("images for another processor", foreign.build("1.1.0"), "WRONG_ARCHITECTURE")
    taken = socket.create_server(("127.0.0.1", PORT + 1))
    refused("a port that another program has", small(shelf, "1.0.0", f'ports: ["127.0.0.1:{PORT + 1}:80"]'), "PORT_TAKEN")
    taken.close()
    refused("a port that another app has", small(shelf, "1.0.1", f'ports: ["127.0.0.1:{PORT}:80"]'), "PORT_TAKEN")
    refused("more memory than there is", small(shelf, "1.0.2", "deploy: { resources: { reservations: { memory: 4000G } } }"), "RESOURCES_MISSING")
    refused("more processors than there are", small(shelf, "1.0.3", 'deploy: { resources: { reservations: { cpus: "400" } } }'), "RESOURCES_MISSING")
    refused("a folder of the device", small(shelf, "1.0.4", 'volumes: ["/etc:/host:ro"]'), "NOT_PERMITTED")
    refused("a device node", small(shelf, "1.0.5", 'devices: ["/dev/kmsg:/dev/kmsg:r"]'), "NOT_PERMITTED")
    refused("all rights of root", small(shelf, "1.0.6", "privileged: true"), "NOT_PERMITTED")
    refused("the network of the device", small(shelf, "1.0.7", "network_mode: host"), "NOT_PERMITTED")
    refused("a capability", small(shelf, "1.0.8", "cap_add: [SYS_ADMIN]"), "NOT_PERMITTED")
    refused("a secret that is not there", small(shelf, "1.0.9", "secrets: [token]", "secrets: { token: { external: true } }"), "VARIABLE_MISSING")
    refused("a variable that is not set", small(shelf, "1.0.10", "x-surefoot: { variables: [SITE] }"), "VARIABLE_MISSING")
    refused("an endpoint that is not set", small(shelf, "1.0.11", own=", external: { mqtt: {} }"), "VARIABLE_MISSING")
    refused("something that no bundle provides", small(shelf, "1.0.12", own=", requires: [gateway-api]"), "APP_REQUIRES")
    refused("a permission that is not granted", small(shelf, "1.0.13", own=", permissions: [camera]"), "NOT_PERMITTED")
    # What forge refuses, and what a device does where another forge did not.
    cycle = shelf.compose("1.2.0").replace("    depends_on: { init: { condition: service_completed_successfully } }",
                                           "    depends_on: { web: { condition: service_healthy } }")
    done = shelf.build("1.2.0", cycle)
    w.check("forge refuses services that wait for each other: DEPENDENCY_CYCLE", not isinstance(done, Path) and code(done) == "DEPENDENCY_CYCLE",
            getattr(done, "stdout", done))

    def stranger(name, edit):
        out = shelf.folder / f"{name}.surefoot"
        rewrite(shelf.bundle("1.3.0"), out, edit)
        done = shelf.forge("sign", out, "--key", w.key)
        return out if done.returncode == 0 else done

    def circle(document):
        document["services"]["db"]["after"] = {"web": {"condition": "service_healthy"}}

    refused("a signed bundle whose services wait for each other", stranger("circle", circle), "DEPENDENCY_CYCLE")

    def unknown(document):
        document["services"]["db"]["oom_score"] = 3

    refused("a signed bundle with a key that is not known", stranger("unknown", unknown), "APP_INVALID")

    def tag(document):
        document["services"]["db"]["image"] = "shop-db:latest"

    refused("a signed bundle with an image by its tag", stranger("tag", tag), "APP_INVALID")
    damaged = shelf.folder / "damaged.surefoot"
    data = bytearray(shelf.bundle("1.4.0").read_bytes())
    # In the last layer, which is the only one that is new.
    data[-100] ^= 1
    damaged.write_bytes(data)
    refused("a bundle with a flipped bit", damaged, "CHUNK_CORRUPT")
    w.same("the web of before answers", get(), "1.0.0")


def allowed(w):
    """What the settings grant is had."""
    d, shelf = w.device('binds = ["/etc/hostname"]\npermissions = ["camera"]\nprovides = ["gateway-api"]\n[apps.variables]\nSITE = "north"\n'), w.shelf
    (d.folder / "state/secrets").mkdir(parents=True)
    (d.folder / "state/secrets/token").write_text("secret\n")
    more = 'volumes: ["/etc/hostname:/host:ro"]\nsecrets: [token]\nx-surefoot: { variables: [SITE] }'
    bundle = small(shelf, "1.0.0", more, "secrets: { token: { external: true } }", ", permissions: [camera], requires: [gateway-api]")
    d.ok("apps", "install", bundle)
    logs = until("it has printed", lambda: (lambda text: text if "site=" in text else "")(d.ok("apps", "logs", "small")))
    w.check("a variable of the device is that of the service", "site=north" in logs, logs)
    w.check("and a secret", "7b6a" not in logs and "/run/secrets/token" in logs, logs)


def several(w):
    """Two bundles that need each other, and two that cannot be here together."""
    d, shelf = w.device(), w.shelf
    give = small(shelf, "1.0.0", own=", provides: [store-api]", app="store")
    need = small(shelf, "1.0.0", own=", requires: [store-api]", app="till")
    against = small(shelf, "1.0.0", own=", conflicts: [store-api]", app="rival")
    w.refused("an app whose need is not here", d.surefoot("apps", "install", need), "APP_REQUIRES")
    d.ok("apps", "install", give)
    d.ok("apps", "install", need)
    w.same("once it is, both run", set(w.engine.running()), {("store", "one"), ("till", "one")})
    w.refused("an app that must not be beside it", d.surefoot("apps", "install", against), "APP_CONFLICT")
    w.refused("what another one needs is not removed", d.surefoot("apps", "remove", "store"), "APP_REQUIRES")
    before = w.engine.running()[("store", "one")]
    d.ok("apps", "install", small(shelf, "1.1.0", "environment: { COLOR: blue }", own=", requires: [store-api]", app="till"))
    w.same("an update of one leaves the other alone", w.engine.running()[("store", "one")], before)


def configure(w):
    """Values of an app's configuration, and that they come back with its generation."""
    d, shelf = w.device(), w.shelf
    config, more = ', config: { LEVEL: { type: integer, default: "3", least: 1, most: 9 } }', "x-surefoot: { variables: [LEVEL] }"

    def level():
        printed = lambda: [line for line in d.ok("apps", "logs", "small").splitlines() if "level=" in line]  # noqa: E731
        return until("it has printed", printed)[-1].rsplit("=", 1)[1], d.app("small")["config"]

    d.ok("apps", "install", small(shelf, "1.0.0", more, own=config))
    w.same("the value where nothing is set", level(), ("3", {"LEVEL": "3"}))
    w.refused("a value beyond its rule", d.surefoot("apps", "configure", "small", "LEVEL=12"), "SETTING_REFUSED")
    w.refused("a value that no rule knows", d.surefoot("apps", "configure", "small", "COLOR=1"), "SETTING_REFUSED")
    d.ok("apps", "configure", "small", "LEVEL=7")
    w.same("a value that was set", level(), ("7", {"LEVEL": "7"}))
    d.ok("apps", "install", small(shelf, "1.1.0", more, own=config), "--set", "LEVEL=9")
    w.same("one that comes with an update", level(), ("9", {"LEVEL": "9"}))
    d.ok("apps", "rollback", "small")
    w.same("with the generation of before comes its value", level(), ("7", {"LEVEL": "7"}))


def full_disk(w):
    """An engine's store and the data of apps on a file system that has no room."""
    image, mount = w.folder / "small.img", w.folder / "small"
    mount.mkdir()
    with open(image, "wb") as file:
        file.truncate(96 << 20)
    for words in (["mke2fs", "-q", "-t", "ext4", image], ["mount", "-o", "loop", image, mount]):
        done = run(words)
        if done.returncode:
            w.check("a small file system is mounted", False, done.stdout)
            return
    usual, w.engine = w.engine, Engine(w.engine.name, mount / "e")
    try:
        if not w.check("an engine starts on it", not w.engine.missing, w.engine.missing):
            return
        d, shelf = w.device(f'data = "{mount}/apps"\n'), w.shelf
        d.ok("apps", "install", shelf.bundle("1.0.0"))
        before = w.engine.running(), w.engine.images()
        # Long, and short in the bundle.
        shelf.big("1.9.0", 160 << 20)
        done = d.surefoot("apps", "install", shelf.bundle("1.9.0"))
        w.refused("a release for which there is no room", done, "NO_SPACE")
        w.same("the old set is as it was", ((w.engine.running(), w.engine.images()), get()), (before, "1.0.0"))
        d.ok("apps", "install", shelf.bundle("2.0.1"))
        w.same("one for which there is room is installed", get(), "2.0.1")
    finally:
        w.engine.clean()
        w.engine.end()
        w.engine = usual
        subprocess.run(["umount", "-R", mount], check=False)


def damaged_layer(w):
    """A layer in the engine's store is not what was brought in: it is found before it is relied on, and mended."""
    d, shelf = w.device(), w.shelf
    one, two = shelf.bundle("1.0.0"), shelf.bundle("2.0.0")
    d.ok("apps", "install", one)
    d.ok("apps", "install", two)
    found = [path for path in w.engine.folder.glob("*/store/overlay*/*/diff/www/version") if path.read_text() == "1.0.0"]
    if not w.check("the store has the layer", found):
        return
    for path in found:
        path.write_text("9.9.9")
    before = w.engine.running()
    w.refused("nothing goes back to a damaged layer", d.surefoot("apps", "rollback", "shop"), "LAYER_DAMAGED")
    w.same("what runs goes on", (w.engine.running(), get("/version")), (before, "2.0.0"))
    d.ok("apps", "install", "--allow-older", one)
    w.same("installed again from its bundle, it is whole", until("it answers", lambda: get("/version")), "1.0.0")
    for path in w.engine.folder.glob("*/store/overlay*/*/diff/data/.keep"):
        path.write_text("x")
    d.ok("apps", "install", two)
    w.same("a damaged layer that several images have is mended by an update", until("it answers", lambda: get("/version")), "2.0.0")
    w.same("in all of them", [path for path in w.engine.folder.glob("*/store/overlay*/*/diff/data/.keep") if path.read_text()], [])


def delta(w):
    """A delta between two bundles brings only what differs."""
    d, shelf = w.device(), w.shelf
    one, two = shelf.bundle("1.0.0"), shelf.bundle("2.0.0")
    d.ok("apps", "install", one)
    out = shelf.folder / "delta.surefoot"
    done = shelf.forge("delta", "--from", one, "--to", two, "--key", w.key, "-o", out)
    if not w.check("forge makes one", done.returncode == 0, done.stdout):
        return
    w.check("it is a tenth of the bundle at most", out.stat().st_size * 10 < two.stat().st_size, (out.stat().st_size, two.stat().st_size))
    d.ok("apps", "install", out)
    w.same("installed, it is the new release", get(), "2.0.0")
