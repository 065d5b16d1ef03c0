"""The chart as helm renders it, for each file of values and each version of Kubernetes."""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "sidepost"
HERE = ROOT / "tests" / "helm"
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
HELM = os.environ["HELM"]


class Refused(Exception):
    """Helm does not render it; the text says why."""


def number(version):
    return int(version.split(".")[1])


def renderable(values):
    """The versions for which a file of values is made, by the word in its first line."""
    least = re.match(r"# Kubernetes (1\.\d+) and later", values.read_text())
    return [version for version in VERSIONS if not least or number(version) >= number(least[1])]


def run(*arguments):
    done = subprocess.run([HELM, *map(str, arguments)], capture_output=True, text=True, timeout=120, cwd=ROOT)
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


def text(chart, version, *values, more=None):
    arguments = ["template", "mail", chart, "--namespace", "apps", "--kube-version", version]
    for file in values:
        arguments += ["--values", file]
    if more is None:
        return run(*arguments)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(more, file)
        file.flush()
        return run(*arguments, "--values", file.name)


def objects(rendered):
    return [thing for thing in yaml.safe_load_all(rendered) if thing]


def parent(folder):
    """Somebody's chart with ours as its dependency, fetched as helm fetches it."""
    shutil.copytree(HERE / "parent", folder / "shop")
    shutil.copytree(CHART, folder / "sidepost")
    run("dependency", "update", "--skip-refresh", folder / "shop")
    return folder / "shop"


def of_kind(things, kind):
    return [thing for thing in things if thing["kind"] == kind]


def pod_specs(things):
    """Every pod template among the objects, with the object that has it."""
    for thing in things:
        spec = thing.get("spec", {})
        for path in ((), ("template", "spec"), ("jobTemplate", "spec", "template", "spec")):
            place = spec
            for name in path:
                place = place.get(name, {}) if isinstance(place, dict) else {}
            if isinstance(place, dict) and "containers" in place:
                yield thing, place


def ours(pod):
    """Our containers of a pod: those that run our image."""
    return [c for c in pod.get("initContainers", []) + pod["containers"] if "sidepost" in c["image"]]
