#!/usr/bin/env python3
"""JSON_MERGE: merge an object into a JSON file, and remember the outcome.

A component that reads its request: options, the host's arguments, where to work.
"""
import json
import os
import sys
import tempfile

DESCRIPTION = {
    "name": "json_merge",
    "summary": "Merge an object into a JSON file.",
    "text": {"kind": "key-value", "help": "FILE OBJECT"},
    "options": [
        {"name": "fact", "kind": "string", "help": "store the whole document as this argument of the host"},
        {"name": "drop", "kind": "list", "help": "keys to take out"},
        {"name": "indent", "kind": "int", "default": "2", "help": "how far to indent"},
        {"name": "create", "kind": "flag", "help": "begin with an empty object where there is no file"},
    ],
    "check": True,
    "idempotent": True,
}


def merge(old, new):
    """Mappings are merged, everything else is replaced."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: merge(old.get(key), value) for key, value in new.items()}}


def work(request):
    options = request["options"]
    name, text = request["text"].split(" ", 1)
    path = os.path.join(request["work_dir"], name)
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    elif options["create"]:
        before = None
    else:
        return {"outcome": "failed", "info": f"there is no file {name}: --create makes one"}
    after = merge(before or {}, json.loads(text))
    for key in options.get("drop", []):
        after.pop(key, None)
    reply = {"outcome": "succeeded", "changed": after != before, "stdout": json.dumps(after)}
    if request["action"] == "run" and after != before:
        with tempfile.NamedTemporaryFile("w", dir=os.path.dirname(path), delete=False, encoding="utf-8") as file:
            json.dump(after, file, indent=options["indent"])
            file.write("\n")
        os.replace(file.name, path)
    if request["action"] == "run" and options.get("fact"):
        reply["facts"] = {options["fact"]: after}
    return reply


def main():
    request = json.load(sys.stdin)
    reply = DESCRIPTION if request["action"] == "describe" else work(request)
    json.dump({"protocol": 1, "action": request["action"], **reply}, sys.stdout)


main()
