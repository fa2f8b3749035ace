#!/usr/bin/env python3
"""Checks a Surefoot artifact against a trust file, from docs/artifact-format.md and RFC 8032 alone.

    artifacts/verify.py X.surefoot KEYS/trust.toml        # needs Python 3.11 and nothing else

It checks signatures, lengths and every stored hash. It does not decompress, and knows no scopes."""
import hashlib, struct, sys, tomllib

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P

def recover_x(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P: x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or (x == 0 and sign): raise ValueError("no point of the curve")
    return P - x if x & 1 != sign else x

def add(a, b):
    e, f = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    g, h = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = f - e, h - g, h + g, f + e
    return e * f % P, g * h % P, f * g % P, e * h % P

def mul(n, a):
    total = (0, 1, 1, 0)
    while n:
        if n & 1: total = add(total, a)
        a, n = add(a, a), n >> 1
    return total

def point(raw):
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P: raise ValueError("a second spelling of a point")
    x = recover_x(y, sign)
    return x, y, 1, x * y % P

def same(a, b): return (a[0] * b[2] - b[0] * a[2]) % P == 0 and (a[1] * b[2] - b[1] * a[2]) % P == 0
def small(a): return same(mul(8, a), (0, 1, 1, 0))
def prime(a): return not small(a) and same(mul(L, a), (0, 1, 1, 0))

def signed(public, message, signature):
    key, r, s = point(public), point(signature[:32]), int.from_bytes(signature[32:], "little")
    if s >= L or small(r): raise ValueError("degenerate signature")
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % L
    gy = 4 * pow(5, -1, P) % P
    gx = recover_x(gy, 0)
    if not same(mul(s, (gx, gy, 1, gx * gy % P)), add(r, mul(k, key))): raise ValueError("signature does not match")

def key_id_of(public): return hashlib.sha256(b"SUREFOOT-KEY-v1" + public).digest()

def load_trust(path):
    trust, seen, keys = tomllib.load(open(path, "rb")), set(), {"root": {}, "release": {}}
    revoked = set(trust.get("revoked", []))
    for k in trust["keys"]:
        public = bytes.fromhex(k["public"])
        mirrored = public[:31] + bytes([public[31] ^ 0x80])
        assert len(public) == 32 and k["alg"] == "ed25519" and key_id_of(public).hex() == k["id"], "trust file: key"
        assert prime(point(public)), "trust file: a key that is not of prime order"
        assert not seen & {public, mirrored}, "trust file: one secret under two keys"
        assert not revoked & {k["id"], key_id_of(mirrored).hex()}, "trust file: a revoked key"
        seen.add(public)
        keys[k["role"]][key_id_of(public)] = public
    for role in keys: assert 1 <= trust["thresholds"].get(role, 1) <= len(keys[role]), "trust file: threshold"
    return trust, keys["release"]

def page_hashes(records):
    block, page = b"", b""
    for at in range(0, len(records), 80):
        page += records[at:at + 80]
        n = len(page) // 80
        if (n >= 16 and page[-64] % 16 == 15) or n == 128 or at + 80 == len(records):
            block, page = block + bytes([n]) + hashlib.sha256(page).digest()[:15], b""
    return block

def main(artifact, trust_file):
    trust, keys = load_trust(trust_file)
    data = open(artifact, "rb").read()
    magic, form, header_len, body_len, table_len, n, zero = struct.unpack_from("<8sHHIIB11s", data)
    assert magic == b"\x89SFT\r\n\x1a\n" and form == 1 and zero == bytes(11), "header"
    assert 1 <= n <= 8 and header_len == 32 + 104 * n and 1 <= body_len <= 65536, "header"
    assert 80 <= table_len <= 8 << 20 and table_len % 80 == 0, "header"
    body = data[header_len:header_len + body_len]
    table = data[header_len + body_len:header_len + body_len + table_len]
    statement = struct.pack("<16sIIII", b"SUREFOOT-SIG-v1", 2, 1, len(body), len(table))
    statement += hashlib.sha512(body).digest() + hashlib.sha256(table).digest()
    good, seen = set(), set()
    for at in range(32, header_len, 104):
        key_id, alg, zero, signature = struct.unpack_from("<32sB7s64s", data, at)
        assert alg == 1 and zero == bytes(7) and key_id not in seen, "signature record"
        seen.add(key_id)
        if key_id in keys and key_id.hex() not in trust.get("revoked", []):
            signed(keys[key_id], statement, signature)
            good.add(keys[key_id])
    assert len(good) >= trust["thresholds"]["release"] >= 1, "too few signatures by trusted keys"
    manifest = tomllib.loads(body.decode())
    at, chunks = header_len + body_len + table_len, list(struct.iter_unpack("<IIBBH4s32s32s", table))
    pages = hashlib.sha256(table).digest() + b"".join(page_hashes(table[80 * p["first_chunk"]:][:80 * p["chunks"]]) for p in manifest["payloads"])
    if "pages" not in manifest: pages = b""
    else: assert manifest["pages"] == {"size": len(pages), "sha256": hashlib.sha256(pages).hexdigest()}, "page hashes"
    assert data[at:at + len(pages)] == pages, "page hashes"
    at += len(pages)
    for plain_len, stored_len, codec, zero, back, zeros, plain, stored in chunks:
        assert plain_len > 0 and codec in (0, 1, 2, 3) and zero == 0 and zeros == bytes(4), "chunk record"
        assert (back > 0) == (codec == 3), "chunk record"
        if codec == 2: assert stored_len == 0 and plain == stored == bytes(32), "zero chunk"
        else: assert hashlib.sha256(data[at:at + stored_len]).digest() == stored, "stored hash"
        at += stored_len
    assert at == len(data), "the end is not where it should be"
    for p in manifest["payloads"]:
        digest, mine = hashlib.sha256(b"SUREFOOT-IMG-v1\0"), chunks[p["first_chunk"]:][:p["chunks"]]
        for chunk in mine: digest.update(struct.pack("<I", chunk[0]) + chunk[6])
        lens = []
        for chunk in mine:
            assert chunk[4] <= len(lens) and sum(lens[len(lens) - chunk[4]:]) <= 4 << 20, "context"
            if chunk[2] != 2: lens.append(chunk[0])
        assert digest.hexdigest() == p["digest"] and sum(c[0] for c in mine) == p["size"], "payload digest"
    print(f"good: {manifest['product']} {manifest['version']}, {len(good)} signatures, {len(chunks)} chunks")

if __name__ == "__main__":
    if sys.argv[1:2] in (["-h"], ["--help"]): sys.exit(print(__doc__.strip()))
    if len(sys.argv) != 3: sys.exit("usage: verify.py X.surefoot TRUST.toml")
    try: main(*sys.argv[1:])
    except (AssertionError, ValueError, KeyError, struct.error) as e: sys.exit(f"refused: {e}")
