#!/usr/bin/env python3
"""Makes one archive of images that `docker save` wrote, one for each architecture, without a trace of when and where.

    SOURCE_DATE_EPOCH=1767225600 scripts/image_archive.py sidepost.tar amd64.tar arm64.tar

The same files and settings give the same bytes, whoever builds them, and so the same digests, which are printed. The
archive is an OCI layout (skopeo copy --all oci-archive:sidepost.tar docker://...) and what `docker load` reads.
https://reproducible-builds.org/docs/source-date-epoch/ https://github.com/opencontainers/image-spec
"""

import gzip
import hashlib
import io
import json
import os
import sys
import tarfile
from datetime import datetime, timezone

EPOCH = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))
CREATED = datetime.fromtimestamp(EPOCH, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
TYPE = "application/vnd.oci.image."
# What an image says of itself; the rest of what builders note is about the build.
SETTINGS = ("User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal", "Healthcheck")


def digest(blob):
    return "sha256:" + hashlib.sha256(blob).hexdigest()


def as_json(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def add(archive, name, blob):
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(blob), EPOCH, 0o644
    archive.addfile(entry, io.BytesIO(blob))


def layer(blob):
    """The same files, in the order of their names, with one time for all."""
    whole = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(blob)) as old, tarfile.open(fileobj=whole, mode="w", format=tarfile.GNU_FORMAT) as new:
        for entry in sorted(old.getmembers(), key=lambda entry: entry.name):
            entry.mtime, entry.uname, entry.gname, entry.pax_headers = EPOCH, "", "", {}
            new.addfile(entry, old.extractfile(entry) if entry.isreg() else None)
    return whole.getvalue()


def read(path):
    """Architecture, settings, names and layers of the one image in an archive of `docker save`."""
    with tarfile.open(path) as archive:
        (image,) = json.load(archive.extractfile("manifest.json"))
        config = json.load(archive.extractfile(image["Config"]))
        layers = [layer(archive.extractfile(name).read()) for name in image["Layers"]]
    return config, layers, image.get("RepoTags") or []


def describe(kind, blob, **more):
    return {"mediaType": TYPE + kind, "digest": digest(blob), "size": len(blob), **more}


def image(config, layers, blobs):
    """The blobs of an image; its manifest and its settings."""
    packed = [gzip.compress(blob, 9, mtime=0) for blob in layers]
    platform = {key: config[key] for key in ("architecture", "os", "variant") if config.get(key)}
    settings = as_json({
        **platform,
        "created": CREATED,
        "config": {key: config["config"][key] for key in SETTINGS if config["config"].get(key)},
        "rootfs": {"type": "layers", "diff_ids": [digest(blob) for blob in layers]},
        "history": [{"created": CREATED, "created_by": "Dockerfile"} for _ in layers],
    })
    manifest = as_json({
        "schemaVersion": 2,
        "mediaType": TYPE + "manifest.v1+json",
        "config": describe("config.v1+json", settings),
        "layers": [describe("layer.v1.tar+gzip", blob) for blob in packed],
    })
    blobs += [settings, manifest, *packed]
    return describe("manifest.v1+json", manifest, platform=platform), digest(settings), [digest(blob) for blob in packed]


def place(of):
    return "blobs/" + of.replace(":", "/")


def write(path, blobs, index, for_docker):
    files = {place(digest(blob)): blob for blob in blobs}
    files |= {"oci-layout": as_json({"imageLayoutVersion": "1.0.0"}), "index.json": index, "manifest.json": as_json(for_docker)}
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
        for name in sorted(files):
            add(archive, name, files[name])


def main(out, inputs):
    blobs, manifests, for_docker = [], [], []
    for path in inputs:
        config, layers, names = read(path)
        manifest, image_id, packed = image(config, layers, blobs)
        architecture = manifest["platform"]["architecture"]
        if any(known["platform"] == manifest["platform"] for known in manifests):
            sys.exit(f"{path}: there is an image for {architecture} already")
        manifests.append(manifest)
        if len(inputs) > 1:
            names = [f"{name}-{architecture}" for name in names]
        for_docker.append({"Config": place(image_id), "Layers": [place(name) for name in packed], "RepoTags": names})
        print(f"{architecture}: image {image_id}, manifest {manifest['digest']}")
    top = manifests[0]
    if len(manifests) > 1:
        both = as_json({"schemaVersion": 2, "mediaType": TYPE + "index.v1+json", "manifests": manifests})
        blobs.append(both)
        top = describe("index.v1+json", both)
        print(f"index {top['digest']}")
    write(out, blobs, as_json({"schemaVersion": 2, "mediaType": TYPE + "index.v1+json", "manifests": [top]}), for_docker)


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
