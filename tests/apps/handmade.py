"""A bundle with another document than its builder wrote: what only a stranger's forge would sign. Made from docs/artifact-format.md alone."""
import hashlib
import json
import struct
import subprocess
import tomllib


def _toml(manifest):
    def value(one):
        if isinstance(one, bool):
            return str(one).lower()
        return json.dumps(one) if isinstance(one, (str, int)) else "[" + ", ".join(map(value, one)) + "]"

    def lines(table):
        return [f"{key} = {value(one)}" for key, one in table.items() if not isinstance(one, dict)]

    out = lines({key: one for key, one in manifest.items() if key != "payloads"})
    for key, one in manifest.items():
        if isinstance(one, dict):
            out += [f"[{key}]", *lines(one)]
    for payload in manifest["payloads"]:
        out += ["[[payloads]]", *lines(payload)]
    return "\n".join(out) + "\n"


def rewrite(bundle, out, edit):
    """Writes `bundle` to `out`, unsigned, after `edit` has changed its document."""
    data = bundle.read_bytes()
    body_len, table_len, signatures = struct.unpack_from("<IIB", data, 12)
    at = 32 + 104 * signatures
    manifest = tomllib.loads(data[at:at + body_len].decode())
    at += body_len
    records = [data[n:n + 80] for n in range(at, at + table_len, 80)]
    stored = sum(struct.unpack_from("<I", record, 4)[0] for record in records)
    payload = data[len(data) - stored:]
    app = manifest["payloads"][0]
    old, count = b"", app["chunks"]
    assert app["kind"] == "app" and count == 1, "the document is one chunk"
    length, codec = struct.unpack_from("<I", records[0], 4)[0], records[0][8]
    old = payload[:length] if codec == 0 else subprocess.run(["zstd", "-dqc"], input=payload[:length], stdout=subprocess.PIPE, check=True).stdout
    document = json.loads(old)
    edit(document)
    new = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    plain = hashlib.sha256(new).digest()
    records[0] = struct.pack("<IIBBHI", len(new), len(new), 0, 0, 0, 0) + plain + plain
    app.update(size=len(new), stored_size=len(new), sha256=plain.hex())
    app["digest"] = hashlib.sha256(b"SUREFOOT-IMG-v1\0" + struct.pack("<I", len(new)) + plain).hexdigest()
    manifest.pop("pages", None)
    body, table = _toml(manifest).encode(), b"".join(records)
    header = struct.pack("<8sHHIIB11x", b"\x89SFT\r\n\x1a\n", 1, 32, len(body), len(table), 0)
    out.write_bytes(header + body + table + new + payload[length:])
