#!/usr/bin/env python3
"""Verifies an audit bundle of Quorate: verify_bundle.py FILE [--key KEY]

A second verifier, written from docs/audit.md alone. It needs nothing but Python 3.
It exits 0 and says what is proven, or exits 1 and names the first bad index or part.
Where events.json lies beside it, the names of fields are compared with it.
"""
import base64, functools, hashlib, itertools, json, os, re, struct, sys

ABOUT = {"format": str, "version": int, "program": str, "cluster": str, "run": int, "from": int, "to": int, "before": str,
         "head": str, "also": list, "checkpoints": list, "certified": bool, "state": bool, "blobs": list, "missing": list}

def need(ok, what):
    if not ok:
        raise ValueError(what)

# --- Ed25519, RFC 8032 ---------------------------------------------------------------
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)

def add(a, b):
    e, f, g, h = (a[1] - a[0]) * (b[1] - b[0]), (a[1] + a[0]) * (b[1] + b[0]), 2 * a[3] * b[3] * D, 2 * a[2] * b[2]
    x, y, z, t = f - e, h - g, h + g, f + e
    return x * y % P, z * t % P, y * z % P, x * t % P
def times(n, a):
    r = (0, 1, 1, 0)
    while n:
        r, a, n = add(r, a) if n & 1 else r, add(a, a), n >> 1
    return r
def point(b):
    sign, y = b[31] >> 7, int.from_bytes(b, "little") & (1 << 255) - 1
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    x = x if (x * x - x2) % P == 0 else x * I % P
    need(y < P and (x * x - x2) % P == 0 and (x or not sign), "no point")
    x = x if x & 1 == sign else P - x
    return x, y, 1, x * y % P
BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
def signed_by(key, text, sig):
    a, r, s = point(key), point(sig[:32]), int.from_bytes(sig[32:], "little")
    h = int.from_bytes(hashlib.sha512(sig[:32] + key + text).digest(), "little") % L
    u, v = times(s, BASE), add(r, times(h, a))
    return s < L and (u[0] * v[2] - v[0] * u[2]) % P == 0 and (u[1] * v[2] - v[1] * u[2]) % P == 0
def shaped(value, shape):
    need(list(value) == list(shape) and all(type(value[k]) is shape[k] for k in shape), "its members are not those of the format")
def hashes(texts):
    need(all(re.fullmatch("[0-9a-f]{64}", t) for t in texts), "a hash is no SHA-256")
    return texts
def b64(text):
    raw = base64.b64decode(text, validate=True)
    need(base64.b64encode(raw).decode() == text, "base64 is not in canonical form")
    return raw
def dump(value):
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()
def load(text):
    value = json.loads(text)
    need(dump(value) == text, "not in canonical form")
    return value
def header(name, size):
    h = name.ljust(100, b"\0") + b"0000644\0" b"0000000\0" b"0000000\0" + b"%011o\0%011o\0" % (size, 0)
    h = (h + b"        0" + bytes(100) + b"ustar\x0000").ljust(512, b"\0")
    return h[:148] + b"%06o\0 " % sum(h) + h[156:]

class Archive:
    def __init__(self, file):
        self.file, self.sums, self.name = file, b"", ""
    def read(self, n):
        data = self.file.read(n)
        need(len(data) == n, "the file ends too early")
        return data
    def part(self, want):
        self.name = want
        head = self.read(512)
        name, size = head[:100].split(b"\0")[0], re.fullmatch(rb"[0-7]{11}\0", head[124:136])
        need(size and name == want.encode(), "another part is in its place")
        size = int(size[0][:11], 8)
        need(header(name, size) == head, "its header is not in canonical form")
        data = self.read(size)
        need(not any(self.read(-size % 512)), "its padding is not in canonical form")
        self.sums += hashlib.sha256(data).hexdigest().encode() + b"  " + name + b"\n"
        return data
    def end(self):
        need(not any(self.read(1024)) and not self.file.read(1), "the end of the archive is not in canonical form")

class Msgpack:
    def __init__(self, data):
        self.data, self.at = data, 0
    def take(self, n):
        need(self.at + n <= len(self.data), "data too short")
        self.at += n
        return self.data[self.at - n : self.at]
    def length(self, fixed, most, codes):
        c = self.take(1)[0]
        if fixed <= c <= fixed + most:
            return c - fixed
        need(c in codes, "data of another type")
        return int.from_bytes(self.take(codes[c]), "big")
    def value(self, s):
        kind, c = s["type"], self.data[self.at] if self.at < len(self.data) else 0xC1
        if kind == "bool":
            need(self.take(1) in (b"\xc2", b"\xc3"), "no bool")
            return c == 0xC3
        if kind in ("int", "uint"):
            self.take(1)
            if c <= 0x7F or c >= 0xE0:
                return (s.get("words", [])[c:] or [c])[0] if c <= 0x7F else c - 256
            need(0xCC <= c <= 0xD3, "no number")
            return int.from_bytes(self.take(1 << (c & 3)), "big", signed=c >= 0xD0)
        if kind == "struct":
            return self.struct(s["fields"])
        if kind in ("bytes", "list") and c == 0xC0:
            self.take(1)
            return None
        if kind == "list":
            return [self.value(s["elem"]) for _ in range(self.length(0x90, 15, {0xDC: 2, 0xDD: 4}))]
        raw = self.take(self.length(0xA0, 31, {0xD9: 1, 0xDA: 2, 0xDB: 4}) if kind == "string" else
                        self.length(0, -1, {0xC4: 1, 0xC5: 2, 0xC6: 4}))
        try:
            return raw.decode()
        except UnicodeError:
            return {"base64": base64.b64encode(raw).decode()}
    def struct(self, fields):
        n = self.length(0x90, 15, {0xDC: 2, 0xDD: 4})
        need(n <= len(fields) and (n == len(fields) or fields[n].get("added")), "too many or too few fields")
        return {f["name"]: self.value(f) for f in fields[:n]}
def describe(schemas, kind, data):
    s, m = schemas.get(kind), Msgpack(data)
    try:
        event = m.struct(s["fields"]) if s else None
    except ValueError:
        event = None
    return s["name"] if s else "kind_%d" % kind, event if m.at == len(data) else None
def same_fields(own, theirs):  # versions only ever add fields at the end
    both = min(len(own), len(theirs))
    return all(same_field(a, b) for a, b in zip(own, theirs)) and all(f.get("added") for f in own[both:] + theirs[both:])
def same_field(a, b):
    wa, wb = a.get("words", []), b.get("words", [])
    return (all(a.get(k) == b.get(k) for k in ("name", "type", "added")) and wa[: len(wb)] == wb[: len(wa)]
            and same_fields(a.get("fields", []), b.get("fields", []))
            and ("elem" in a) == ("elem" in b) and ("elem" not in a or same_field(a["elem"], b["elem"])))

# --- the Merkle tree, RFC 6962 -------------------------------------------------------
def pieces(lo, hi):
    while lo < hi:
        level = (hi - lo).bit_length() - 1
        level = min(level, (lo & -lo).bit_length() - 1) if lo else level
        yield level, lo >> level
        lo += 1 << level
def fold(nodes):
    return functools.reduce(lambda h, left: hashlib.sha256(b"\1" + left[1] + h).digest(), nodes[-2::-1], nodes[-1][1])

def verify(ar, trusted):
    about = load(ar.part("bundle.json"))
    need(about.get("format") == "quorate-bundle", "no bundle")
    need(about.get("version") == 1, "format version %s is newer than this verifier" % about.get("version"))
    shaped(about, ABOUT)
    also, sizes, first, last, run = about["also"], about["checkpoints"], about["from"], about["to"], about["run"]
    need(all(type(n) is int for n in also + sizes) and run >= 0, "no numbers")
    need(1 <= first <= last and all(a < b for a, b in zip([0] + also, also + [first])), "indexes are out of order")
    need(all(a < b for a, b in zip([0] + sizes, sizes)), "checkpoints are out of order")
    need((first == 1) == (about["before"] == "00" * 32), "no record is before the first")
    for blob in about["blobs"]:
        shaped(blob, {"sha256": str, "bytes": int})
    known = hashes([b["sha256"] for b in about["blobs"]] + about["missing"] + [about["before"], about["head"]])[:-2]
    need(len(known) == len(set(known)) and about["missing"] == sorted(about["missing"]), "blobs are there twice, or out of order")
    kinds = load(ar.part("schemas/events.json"))
    schemas = {k["kind"]: k for k in kinds}
    need([k["kind"] for k in kinds] == sorted(schemas), "kinds are out of order")
    beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "events.json")
    named = os.path.exists(beside)
    for own in json.load(open(beside)) if named else []:
        their = schemas.get(own["kind"], own)
        need(own["name"] == their["name"] and same_fields(own["fields"], their["fields"]), "a kind or field has another name")
    key, roots, heads, when, nodes = None, {}, {}, "", []
    if sizes:
        key, end, more = ar.part("key").decode().partition("\n")
        name, hint, raw = key.split("+", 2)
        raw = b64(raw)
        need(end and not more and name == "quorate/" + about["cluster"] and len(raw) == 33 and raw[0] == 1, "no key of it")
        need(hashlib.sha256(name.encode() + b"\n" + raw).hexdigest()[:8] == hint, "the key's hash is wrong")
        need(trusted in (None, key), "another key than the one that you named")
        if about["certified"]:
            need(raw[1:] in b64("".join(ar.part("key.pem").decode().split("\n")[1:-2])), "of another key")
        for size in sizes:
            body, mark, line = ar.part("checkpoints/%016d" % size).decode().rpartition("\n\u2014 ")
            signer, _, sig = line.partition(" ")
            need(mark and signer == name and sig.endswith("\n") and body.endswith("\n"), "no signed note")
            sig, lines = b64(sig[:-1]), body.split("\n")
            need(len(sig) == 68 and sig[:4].hex() == hint, "not signed with the key")
            need(signed_by(raw[1:], body.encode(), sig[4:]), "the signature does not hold")
            need(lines[0] == name and lines[1] == str(size) and lines[3].startswith("head "), "no checkpoint of this size")
            roots[size], heads[size], when = b64(lines[2]), lines[3][5:], lines[-2]
        nodes = load(ar.part("tree.json"))
        for n in nodes:
            shaped(n, {"level": int, "n": int, "hash": str})
        hashes([n["hash"] for n in nodes])
    need(key or trusted is None, "nothing in it is signed")
    if about["state"]:
        ar.part("state")
    # Every hole between the records, cut at each checkpoint, is made of whole subtrees.
    signed = sizes[-1] if sizes else 0
    at, want = 0, []
    for lo, hi in [(i - 1, i) for i in also] + [(first - 1, last), (signed, signed)]:
        for cut in [c for c in sizes if at < c < lo] + [min(lo, signed)]:
            want += pieces(at, cut)
            at = max(at, cut)
        at = max(at, hi)
    ar.name = "tree.json" if sizes else ""
    need([(n["level"], n["n"]) for n in nodes] == want, "its hashes are not those of the holes")

    nodes, tree, size, good = iter(nodes), [], 0, 0
    def grow(level, h):
        nonlocal size, good
        size += 1 << level
        while tree and tree[-1][0] == level:
            level, h = level + 1, hashlib.sha256(b"\1" + tree.pop()[1] + h).digest()
        tree.append((level, h))
        if size in roots:
            begin = ([i for i in also if i > good] + [max(first, good + 1)])[0]
            need(fold(tree) == roots[size], "index %d: the records up to %d are not those that were signed" % (begin, size))
            good = size
    def fill(leaf):
        while size < leaf:
            n = next(nodes)
            grow(n["level"], bytes.fromhex(n["hash"]))
    chain, before, plans, number, lines = bytes.fromhex(about["before"]), None, b"", 0, []
    for index in itertools.chain(also, range(first, last + 1)):
        if not lines:
            need(number == 0 or len(chunk) >= 1 << 20, "it ends before it is full")
            number += 1
            chunk = ar.part("events/%06d.ndjson" % number)
            lines = chunk.splitlines(True)[::-1]
            need(lines and len(chunk) - len(lines[0]) < 1 << 20, "it is empty or too long")
        line = lines.pop()
        try:
            r = json.loads(line)
            need(type(r["time"]) is int and type(r["kind"]) is int, "no number")
            data = b64(r["data"])
            leaf = struct.pack(">QqH", index, r["time"], r["kind"]) + data
            kind, event = describe(schemas, r["kind"], data)
            leaf_hash = hashlib.sha256(b"\0" + leaf).digest()
            again = dump({"index": index, "time": r["time"], "kind": r["kind"], "data": r["data"],
                          "leaf": leaf_hash.hex(), "type": kind, "event": event})
        except (ValueError, KeyError, TypeError, struct.error) as e:
            raise ValueError("index %d: the line is no record (%s)" % (index, e))
        need(again == line and (before is None or before <= r["time"]), "index %d: the line is not in canonical form" % index)
        before = r["time"]
        if index <= signed:
            fill(index - 1)
            grow(0, leaf_hash)
        if index >= first:
            chain = hashlib.sha256(chain + leaf).digest()
            need(index not in heads or heads[index] == chain.hex(), "index %d: the chain is not the one that was signed" % index)
        need(index != first or not run or kind == "run_created", "index %d: the run does not begin here" % index)
        if kind == "plan_recorded":
            plans += data
            for digest in [event["plan_id"]] + [i["digest"] for i in event["inputs"] or []] if event else []:
                need(digest in known or not re.fullmatch("[0-9a-f]{64}", digest), "index %d: a blob that it names is left out" % index)
    whole = kind == "run_ended" and bool(event) and event["run"] == run and last <= signed
    need(not lines, "records behind the last")
    need(heads.get(first - 1, about["before"]) == about["before"], "the chain before is not the one that was signed")
    fill(signed)
    need(chain.hex() == about["head"], "index %d: the chain does not end in the head" % max(first, signed + 1))
    texts = [plans]
    for blob in about["blobs"]:
        digest, content = blob["sha256"], ar.part("blobs/" + blob["sha256"])
        need(hashlib.sha256(content).hexdigest() == digest and len(content) == blob["bytes"], "its content is not what its name says")
        need(any(digest.encode() in t for t in texts), "nothing names it")
        if digest.encode() in plans:
            texts.append(content)
    sums = ar.sums
    need(ar.part("SHA256SUMS") == sums, "a part has another SHA-256")
    ar.end()
    return about, signed, when, named, whole
def main(args):
    if len(args) not in (1, 3) or args[1:2] not in ([], ["--key"]) or not args[-1]:
        print("usage: verify_bundle.py FILE [--key KEY], where KEY is a key or a file with one")
        return 2
    trusted = args[2] if len(args) == 3 else None
    trusted = open(trusted).read().strip() if trusted and os.path.exists(trusted) else trusted
    with open(args[0], "rb") as f:
        ar = Archive(f)
        try:
            about, signed, when, named, whole = verify(ar, trusted)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, OverflowError) as e:
            print("bad: %s" % e if str(e).startswith("index") else "bad: part %s: %s" % (ar.name, e))
            return 1
    print("ok: records %d to %d of cluster %s" % (about["from"], about["to"], about["cluster"]))
    whose, up = "the key that you named" if trusted else "the key in it (whose that is, is not proven)", min(signed, about["to"])
    print("proven: up to %d as signed by %s, %s" % (up, whose, when) if signed else "not proven: nothing is signed")
    if about["run"]:
        print(("proven: it ends with the end of run %d" if whole else "not proven: that it is run %d, and all of it") % about["run"])
    print("not proven: records behind %d, and that hosts did what was reported" % up)
    print("" if named else "not proven: the names of fields; put events.json beside this file\n", end="")
    return 0

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
