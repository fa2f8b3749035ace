"""kas.py FOLDER: kas itself reads each file of the folder, and each machine's file with what it includes is a whole description. Run by the
Python that has kas.
"""
import logging
import re
import sys
import tempfile
from pathlib import Path

# The folder of this file has kas's name in it.
sys.path = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).resolve().parent]
from kas.includehandler import ConfigFile, LoadConfigException  # noqa: E402


def load(path):
    return ConfigFile.load(str(path)).config


def whole(path):
    """The description with its includes, this file's words over theirs."""
    config = load(path)
    out = {}
    for name in config["header"].get("includes", []):
        out = merged(out, whole(path.parent / name))
    return merged(out, config)


def merged(below, above):
    return {**below, **{k: merged(below[k], v) if isinstance(v, dict) and isinstance(below.get(k), dict) else v for k, v in above.items()}}


folder = Path(sys.argv[1])
machines = sorted(folder.glob("*.yml"))
assert len(machines) >= 3, machines
for path in machines:
    for more in ([], *([[folder / "include/scarthgap.yml"]] if path.stem == "qemuarm64" else [])):
        config = whole(path)
        for other in more:
            config = merged(config, whole(other))
        assert config["machine"] == path.stem and config["target"] == "surefoot-image-minimal", config
        assert "require conf/distro/include/surefoot.inc" in config["local_conf_header"]["surefoot"]
        assert config["repos"]["surefoot"] == {"layers": {"yocto-layer": None}}, config
        for name, repo in config["repos"].items():
            # include/scarthgap.yml says why the mixin has a branch alone.
            pinned = re.fullmatch("[0-9a-f]{40}", repo.get("commit", "")) or name == "meta-lts-mixins"
            assert name == "surefoot" or repo["url"].startswith("https://") and pinned and repo["branch"], name
        if more:
            assert config["repos"]["openembedded-core"]["branch"] == "scarthgap" and "meta-lts-mixins" in config["repos"]
logging.disable()
with tempfile.TemporaryDirectory() as other:
    Path(other, "bad.yml").write_text("header:\n  version: 14\nmachines: qemuarm64\n")
    try:
        load(Path(other, "bad.yml"))
        sys.exit("kas did not look at the words")
    except LoadConfigException:
        pass
print(f"kas: {len(machines)} machines")
