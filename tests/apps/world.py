"""What every story has: an engine, the programs, a folder, and checks that are counted."""
import shutil
import tempfile
import time
import traceback
from pathlib import Path

from device import Device, Programs, Shelf, code, run
from engine import Engine


class World:
    def __init__(self, engine, programs):
        self.folder = Path(tempfile.mkdtemp(prefix=f"sf-{engine[0]}-"))
        self.programs = Programs(programs)
        self.started = time.monotonic()
        self.engine = Engine(engine, self.folder / "e")
        self.passed = self.failed = 0
        self.story = ""
        self.devices = []

    def begin(self):
        """Keys, images: what every device shares."""
        done = run([self.programs.surefoot_forge, "keygen", "--out", self.folder / "KEYS"])
        assert done.returncode == 0, done.stdout
        self.key = self.folder / "KEYS/release.key"
        self.shelf = Shelf(self.programs, self.folder / "shelf", self.key)

    def check(self, what, good, seen=""):
        """One line, one check: what is promised, and what was seen where it does not hold."""
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        said = "" if good else f": {str(seen).strip()[-1500:]}"
        print(f"{'ok  ' if good else 'FAIL'}: {self.engine.name}: {self.story}: {what}{said}", flush=True)
        return bool(good)

    def same(self, what, seen, wanted):
        return self.check(what, seen == wanted, f"{seen!r}, and not {wanted!r}")

    def refused(self, what, done, wanted):
        """A command is refused with this reason code."""
        return self.check(f"{what}: {wanted}", done.returncode != 0 and code(done) == wanted, f"{code(done)}: {done.stdout}")

    def note(self, text):
        print(f"note: {self.engine.name}: {text}", flush=True)

    def device(self, settings=""):
        device = Device(self.programs, self.folder / f"dev{len(self.devices)}", self.engine, settings, self.key)
        self.devices.append(device)
        return device

    def tell(self, story, words=()):
        """Runs one story to its end or to its first mistake, and leaves nothing of it in the engine."""
        self.story = story.__name__.replace("_", " ")
        start = time.monotonic()
        try:
            story(self, *words)
        except Exception:
            lines = traceback.format_exc().strip().splitlines()
            self.check("comes to its end", False, "\n".join(lines[-12:]))
        for device in self.devices:
            device.stop()
        try:
            if not self.engine.answers():
                self.engine.again()
            self.engine.clean()
        except Exception as error:
            self.check("leaves an engine that works", False, error)
        print(f"time: {self.engine.name}: {self.story}: {time.monotonic() - start:.1f} s", flush=True)

    def end(self, keep=False):
        for device in self.devices:
            device.stop()
        self.engine.end()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
