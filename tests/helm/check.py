"""The chart from all sides. scripts/helm-test.sh calls it."""

import os
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

import assertions
import dashboard
import injection
import program
import rendering
from rendering import CHART, HERE, ROOT, VERSIONS, of_kind, ours, pod_specs

PROMTOOL = os.environ["PROMTOOL"]
# Kinds that Kubernetes does not have itself; what is in them is checked in other ways.
FOREIGN = {"PodMonitor", "ServiceMonitor", "PrometheusRule", "ExternalSecret"}


def paths():
    document = yaml.safe_load((ROOT / "openapi.yaml").read_text())
    return {path for path, item in document["paths"].items() if "admin" in item.get("get", {}).get("tags", [])}


def validated(things, version):
    for thing in things:
        try:
            kubernetes_validate.validate(thing, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            assert thing["kind"] in FOREIGN, thing["kind"]


def checked(things, served):
    """The objects of one rendering, and their settings by the program; the number of our containers."""
    found = assertions.all_of(things, served)
    for _, pod in pod_specs(things):
        for box in ours(pod):
            if "args" not in box:
                with tempfile.TemporaryDirectory() as folder:
                    program.settings(box, pathlib.Path(folder), PEM)
    return found


def every_feature():
    """Each file of ci/ with every version of Kubernetes: lint, schema, and once for each rendering the rest."""
    files = sorted((CHART / "ci").glob("*.yaml"))
    renderings, containers = 0, 0
    for values in files:
        versions = rendering.renderable(values)
        for version in (versions[0], versions[-1]):
            rendering.run("lint", "--strict", CHART, "--values", values, "--kube-version", version)
        seen = set()
        for version in versions:
            text = rendering.text(CHART, version, values)
            things = rendering.objects(text)
            try:
                validated(things, version)
                if text not in seen:
                    containers += checked(things, paths())
            except AssertionError as error:
                raise AssertionError(f"{values.name} on {version}: {error}") from error
            seen.add(text)
            renderings += 1
    assertions.names(rendering.objects(rendering.run("template", "123", CHART)))
    print(f"{len(files)} files of values, {renderings} renderings for {VERSIONS[0]} to {VERSIONS[-1]}, {containers} containers")


def refused():
    cases = yaml.safe_load((HERE / "refused" / "cases.yaml").read_text())
    with tempfile.TemporaryDirectory() as folder:
        charts = {"sidepost": CHART, "parent": rendering.parent(pathlib.Path(folder))}
        for case in cases:
            chart = charts[case.get("chart", "sidepost")]
            try:
                rendering.text(chart, case.get("kubernetes", VERSIONS[-1]), more=case["values"])
            except rendering.Refused as refusal:
                assert case["says"] in str(refusal), f"{case}: {refusal}"
                assert "hunter2" not in str(refusal), "a secret in the message"
            else:
                raise AssertionError(f"not refused: {case}")
    print(f"{len(cases)} wrong values refused, each with its reason")


def in_other_charts():
    """Native, classic, beside other init containers, in a CronJob: as a template of somebody else's chart."""
    variants = {
        "native": {},
        "classic": {"sidecar": {"native": False}},
        "nothing secret": {"secret": {"existingSecret": "", "keys": None}, "settings": {"PROVIDER": "capture"}},
        "a Secret of the chart": {"secret": {"existingSecret": "", "keys": None, "values": {"API_KEY": "x"}}},
        "istio": {"mesh": "istio", "ca": {"configMap": "roots"}},
        "switched off": {"enabled": False},
        "linkerd": {"mesh": "linkerd", "ports": {"http": 0, "smtp": 25}},
    }
    with tempfile.TemporaryDirectory() as folder:
        chart = rendering.parent(pathlib.Path(folder))
        for name, values in variants.items():
            for version in VERSIONS:
                things = rendering.objects(rendering.text(chart, version, more={"sidepost": values}))
                validated(things, version)
            if "ports" in values:  # no HTTP, and a port that only this pod's sysctls allow
                (box, *_) = [box for _, pod in pod_specs(things) for box in ours(pod)]
                env = {variable["name"]: variable["value"] for variable in box["env"]}
                assert (env["SIDEPOST_HTTP_LISTEN"], env["SIDEPOST_SMTP_LISTEN"]) == ("off", "127.0.0.1:25,[::1]:25"), env
                continue
            try:
                found = checked(things, paths())
            except AssertionError as error:
                raise AssertionError(f"{name}: {error}") from error
            wanted = {"classic": 1, "switched off": 0}.get(name, 2)
            assert found == wanted, f"{name}: {found} containers"
            kinds = {thing["kind"] for thing in things}
            assert not kinds & {"Service", "NetworkPolicy", "ServiceAccount"}, f"{name}: makes {kinds} of its own"
    print(f"{len(variants)} ways to take the sidecar into another chart")


def injected():
    """What the API server would make of pods, by evaluating the policy that it would get."""
    cases = yaml.safe_load((HERE / "pods" / "cases.yaml").read_text())
    policies = 0
    for values in sorted((CHART / "ci").glob("inject*.yaml")):
        for version in rendering.renderable(values):
            (policy,) = of_kind(rendering.objects(rendering.text(CHART, version, values)), "MutatingAdmissionPolicy")
            policies += 1
            for case in cases:
                try:
                    one_injected(policy, case, version, full=values.name == "inject-values.yaml")
                except AssertionError as error:
                    raise AssertionError(f"{values.name}, {case['name']}: {error}") from error
    print(f"{policies} policies evaluated for {len(cases)} pods each")


def one_injected(policy, case, version, full):
    came = {"apiVersion": "v1", "kind": "Pod", **case["pod"]}
    pod = injection.admitted(policy, came, version)
    if case.get("left_alone"):
        assert pod is came, "changed"
        return
    validated([pod], version)
    assert checked([pod], paths()) == 1, "not there"
    (box,) = ours(pod["spec"])
    assert pod["metadata"]["labels"]["sidepost/sidecar"] == "mail", pod["metadata"]
    assert came["metadata"].get("labels", {}).items() <= pod["metadata"]["labels"].items(), "labels are gone"
    assert pod["spec"]["containers"] == came["spec"]["containers"], "the application's containers changed"
    assert pod["spec"]["initContainers"][1:] == came["spec"].get("initContainers", []), "init containers are gone"
    volumes = pod["spec"].get("volumes", [])
    assert [v for v in volumes if v in came["spec"].get("volumes", [])] == came["spec"].get("volumes", []), volumes
    assert box["envFrom"][0]["configMapRef"] == {"name": case["config"], "optional": True}, box["envFrom"]
    env = {variable["name"]: variable.get("value") for variable in box["env"]}
    annotated = "sidepost/from" in came["metadata"]["annotations"]
    assert env.get("SIDEPOST_FROM") == (case["sender"] if full or annotated else None), env.get("SIDEPOST_FROM")
    assert not full or {"name": "scratch", "emptyDir": {}} in volumes, volumes
    secrets = [volume["secret"]["secretName"] for volume in volumes if "secret" in volume]
    assert secrets == ([case["secret"]] if full else []), secrets
    # Once more, as reinvocationPolicy has it: nothing happens.
    assert injection.admitted(policy, pod, version) is pod, "injected twice"


def monitored(metrics, work):
    things = rendering.objects(rendering.text(CHART, VERSIONS[-1], CHART / "ci" / "monitoring-values.yaml"))
    (rule,) = of_kind(things, "PrometheusRule")
    source = ROOT / "deploy" / "prometheus"
    written = yaml.safe_load((source / "sidepost.rules.yaml").read_text())
    for group in written["groups"]:
        for alert in group["rules"]:
            page = alert["annotations"].pop("runbook").rsplit("/", 1)[1]
            alert["annotations"]["runbook_url"] = f"https://example.com/sidepost/runbook/{page}"
    assert rule["spec"] == written, "the PrometheusRule is not what deploy/prometheus has"
    things = rendering.objects(rendering.text(CHART, VERSIONS[-1], CHART / "ci" / "sidecar-values.yaml"))
    (rule,) = of_kind(things, "PrometheusRule")
    (work / "sidepost.rules.yaml").write_text(yaml.safe_dump(rule["spec"]))
    (work / "test.yaml").write_text((source / "sidepost.rules.test.yaml").read_text())
    for arguments in (["check", "rules", "--lint=all", "--lint-fatal", "sidepost.rules.yaml"], ["test", "rules", "test.yaml"]):
        done = subprocess.run([PROMTOOL, *arguments], cwd=work, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
    queries, asked = dashboard.check(PROMTOOL, metrics, work)
    (config,) = [thing for thing in rendering.objects(
        rendering.text(CHART, VERSIONS[-1], CHART / "ci" / "monitoring-values.yaml")) if thing["metadata"]["name"].endswith("-dashboard")]  # fmt: skip
    assert config["data"]["sidepost.json"].strip() == dashboard.DASHBOARD.read_text().strip(), "another dashboard"
    print(f"the alerts pass their tests, {queries} queries of the dashboard ask for {asked} metrics, all served")


def served(work):
    """The relay of the chart as a process."""
    things = rendering.objects(rendering.text(CHART, VERSIONS[-1], CHART / "ci" / "capture-values.yaml"))
    (deployment,) = of_kind(things, "Deployment")
    (test,) = of_kind(things, "Pod")
    box, tester = deployment["spec"]["template"]["spec"]["containers"][0], test["spec"]["containers"][0]
    metrics = program.relay(box, tester, work, PEM)
    print("the relay answers its probes, is called by its names, and passes its own test")
    return metrics


def noted():
    """What helm prints after an installation."""
    for values in sorted((CHART / "ci").glob("*.yaml")):
        text = rendering.run("install", "mail", CHART, "--namespace", "apps", "--dry-run=client", "--values", values)
        notes = text.split("NOTES:", 1)[1]
        for verb in ("/sidepost doctor", "logs", "/sidepost config"):
            assert verb in notes, f"{values.name}: {verb} is not in the notes"
        assert "<no value>" not in text and "%!" not in text, values.name
        code, out, _ = program.said(["--help"], {})
        assert code == 0 and "sidepost doctor" in out and "sidepost config" in out, out
    print("the notes have the three commands, which exist")


def without_helm(spec):
    """A pod with the sidecar, written by hand."""
    for version in VERSIONS:
        validated([{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shop"}, "spec": spec}], version)
    (box,) = ours(spec)
    assertions.restricted(spec, box)
    env = {variable["name"]: variable["value"] for variable in box["env"]}
    assert box in spec["initContainers"] and box["restartPolicy"] == "Always", "an init container has to end"
    assert env["SIDEPOST_ALLOWED_CLIENTS"] == "loopback" and spec["automountServiceAccountToken"] is False, spec
    with tempfile.TemporaryDirectory() as folder:
        program.settings(box, pathlib.Path(folder), PEM)


def documented():
    """Every installation and every piece of values in the documents, as a reader would take it over."""
    installed = pieces = 0
    pages = (ROOT / "docs" / name for name in ("kubernetes.md", "quick-starts.md"))
    for document in (ROOT / "README.md", *pages, CHART / "README.md"):
        text = document.read_text()
        for block in re.findall(r"^ *```yaml\n(.*?)^ *```", text, re.M | re.S):
            if "{{" in block or block.startswith(("dependencies:", "services:")):
                continue
            pieces += 1
            if block.startswith("    spec:"):
                without_helm(yaml.safe_load(block)["spec"])
                continue
            rendering.text(CHART, VERSIONS[-1], more=yaml.safe_load(block))
        for command in re.findall(r"^ *(helm install (?:.*\\\n)*.*)$", text, re.M):
            words = shlex.split(command.replace("\\\n", " "))[1:]
            if "--values" in words:
                place = words.index("--values")
                del words[place : place + 2]
            rendering.run(*words, "--dry-run=client")
            installed += 1
    assert installed >= 5 and pieces >= 3, (installed, pieces)
    print(f"{installed} installations and {pieces} pieces of values from the documents")


def main():
    global PEM
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        PEM = program.openssl(work)
        every_feature()
        refused()
        in_other_charts()
        injected()
        metrics = served(work)
        monitored(metrics, work)
        noted()
        documented()


if __name__ == "__main__":
    sys.exit(main())
