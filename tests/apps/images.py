"""Container images made from nothing but Debian's static busybox, as `docker save` writes them and as OCI archives."""
import hashlib
import io
import json
import tarfile

BUSYBOX = "/bin/busybox"
# What the scripts of the services call.
TOOLS = ("sh", "cat", "cp", "cut", "echo", "grep", "head", "httpd", "kill", "ls", "mkdir", "mv", "printf", "rm", "sed", "seq", "sha256sum", "sleep",
         "sync", "test", "touch", "trap", "true", "false", "wc", "wget")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def layer(files):
    """A layer: `files` by path: bytes, or text that is a link; with the mode 755."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        folders = sorted({"/".join(path.split("/")[:n]) for path in files for n in range(1, path.count("/") + 1)})
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path in sorted(files):
            entry, content = tarfile.TarInfo(path), files[path]
            entry.mode = 0o755
            if isinstance(content, str):
                entry.type, entry.linkname = tarfile.SYMTYPE, content
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def base():
    """The lowest layer: one program that is many."""
    files = {"bin/busybox": open(BUSYBOX, "rb").read(), "tmp/.keep": b"", "data/.keep": b""}
    files.update({f"bin/{tool}": "busybox" for tool in TOOLS})
    return layer(files)


class Image:
    """An image: its name, its layers from the lowest, and its configuration."""

    def __init__(self, name, layers, architecture="amd64", command=("/bin/sh",)):
        self.name, self.layers = name, layers
        self.diffs = [digest(one) for one in layers]
        self.config = json.dumps({
            "architecture": architecture, "os": "linux", "created": "2020-01-01T00:00:00Z",
            "config": {"Cmd": list(command), "Env": ["PATH=/bin"], "WorkingDir": "/"},
            "rootfs": {"type": "layers", "diff_ids": ["sha256:" + one for one in self.diffs]},
            "history": [{"created": "2020-01-01T00:00:00Z", "created_by": "tests/apps/images.py"} for _ in layers],
        }, sort_keys=True).encode()
        self.id = digest(self.config)

    def docker_archive(self, path):
        """As `docker save` writes it."""
        manifest = [{"Config": f"{self.id}.json", "RepoTags": [self.name], "Layers": [f"{one}/layer.tar" for one in self.diffs]}]
        members = {f"{self.id}.json": self.config, "manifest.json": json.dumps(manifest).encode()}
        members.update({f"{one}/layer.tar": data for one, data in zip(self.diffs, self.layers)})
        _write(path, members)

    def oci_archive(self, path):
        """The OCI image layout in an archive, its layers not compressed."""
        kind = "application/vnd.oci.image."
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
            "config": {"mediaType": kind + "config.v1+json", "digest": "sha256:" + self.id, "size": len(self.config)},
            "layers": [{"mediaType": kind + "layer.v1.tar", "digest": "sha256:" + one, "size": len(data)} for one, data in zip(self.diffs, self.layers)],
        }).encode()
        index = json.dumps({
            "schemaVersion": 2,
            "manifests": [{"mediaType": kind + "manifest.v1+json", "digest": "sha256:" + digest(manifest), "size": len(manifest),
                           "annotations": {"org.opencontainers.image.ref.name": self.name}}],
        }).encode()
        members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": index}
        blobs = [self.config, manifest, *self.layers]
        members.update({f"blobs/sha256/{digest(one)}": one for one in blobs})
        _write(path, members)


def _write(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            tar.addfile(entry, io.BytesIO(data))
