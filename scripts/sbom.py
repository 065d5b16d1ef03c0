#!/usr/bin/env python3
"""What is in the binary, as a bill of materials (CycloneDX 1.5, JSON) on standard output.

    cargo metadata --locked --format-version 1 >metadata.json
    scripts/sbom.py sidepost Cargo.lock [metadata.json] >sidepost.cdx.json

The crates are those that `cargo auditable` noted in the binary itself, so that the list is of what was linked and of
nothing else; Cargo.lock adds their checksums, cargo's metadata their licences. The same input gives the same bytes.
https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md https://cyclonedx.org/docs/1.5/json/
"""

import json
import os
import struct
import sys
import tomllib
import uuid
import zlib
from datetime import datetime, timezone

SECTION = b".dep-v0"
LARGEST = 8 << 20


def section(binary):
    """The bytes of the section, by the section headers of a 64-bit little-endian ELF file."""
    if binary[:6] != b"\x7fELF\x02\x01":
        sys.exit("not a 64-bit ELF file")
    start, size, count, names = struct.unpack_from("<Q10xHHH", binary, 40)
    headers = [struct.unpack_from("<IIQQQQ", binary, start + size * n) for n in range(count)]
    text = headers[names][4]
    for header in headers:
        name = binary[text + header[0] : text + header[0] + len(SECTION) + 1]
        if name == SECTION + b"\0":
            return binary[header[4] : header[4] + header[5]]
    sys.exit("the binary has no list of crates: build it with `cargo auditable build`")


def packages(binary):
    unpacked = zlib.decompressobj().decompress(section(binary), LARGEST)
    return json.loads(unpacked)["packages"]


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def component(package, checksums, licences):
    key = (package["name"], package["version"])
    found = {
        "type": "application" if package.get("root") else "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
        "scope": "excluded" if package.get("kind") == "build" else "required",
    }
    if key in checksums:
        found["hashes"] = [{"alg": "SHA-256", "content": checksums[key]}]
    if licences.get(key):
        # A slash is the old way to write OR.
        found["licenses"] = [{"expression": licences[key].replace("/", " OR ")}]
    return found


def main(binary, lock, metadata=None):
    with open(binary, "rb") as file:
        binary = file.read()
    with open(lock, "rb") as file:
        locked = tomllib.load(file)["package"]
    checksums = {(package["name"], package["version"]): package["checksum"] for package in locked if "checksum" in package}
    licences = {}
    if metadata:
        with open(metadata, encoding="utf-8") as file:
            licences = {(package["name"], package["version"]): package["license"] for package in json.load(file)["packages"]}
    found = packages(binary)
    components = [component(package, checksums, licences) for package in found]
    (root,) = (one for one, package in zip(components, found) if package.get("root"))
    del root["scope"]
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(components, sort_keys=True)).urn,
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "component": root,
        },
        "components": [one for one in components if one is not root],
        "dependencies": [
            {"ref": reference(package), "dependsOn": [reference(found[n]) for n in package.get("dependencies", [])]}
            for package in found
        ],
    }
    json.dump(whole, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
