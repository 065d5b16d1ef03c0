"""What must hold of every rendered object, and no schema sees."""

import base64
import re

from rendering import of_kind, ours, pod_specs

LABEL = re.compile(r"^(([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")
LABEL_VALUE = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$")
NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")
PORT_NAME = re.compile(r"^(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?$")
QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|M|G|Ki|Mi|Gi)?$")


def restricted(pod, container):
    """Pod Security "restricted", by the container alone, whatever the pod says."""
    context = container["securityContext"]
    assert context["runAsNonRoot"] is True and context.get("runAsUser") != 0, context
    assert context["allowPrivilegeEscalation"] is False and not context.get("privileged"), context
    assert context["capabilities"]["drop"] == ["ALL"] and not context["capabilities"].get("add"), context
    assert context["seccompProfile"]["type"] in ("RuntimeDefault", "Localhost"), context
    assert context["readOnlyRootFilesystem"] is True, context
    assert not any("hostPort" in port for port in container.get("ports", [])), container
    assert not any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")), pod
    allowed = {"net.ipv4.ip_unprivileged_port_start"}
    assert all(s["name"] in allowed for s in pod.get("securityContext", {}).get("sysctls", [])), pod
    kinds = {"secret", "configMap", "emptyDir", "persistentVolumeClaim", "csi", "projected", "downwardAPI", "ephemeral"}
    assert all(set(volume) - {"name"} <= kinds for volume in (pod.get("volumes") or [])), pod


def container(pod, box, paths):
    names = [port["name"] for port in box.get("ports", [])]
    assert len(set(names)) == len(names) and all(PORT_NAME.match(name) for name in names), names
    for probe in (box.get(name) for name in ("startupProbe", "livenessProbe", "readinessProbe")):
        if probe:
            assert probe["httpGet"]["path"] in paths and probe["httpGet"]["port"] in names, probe
    for amounts in box["resources"].values():
        assert all(QUANTITY.match(str(amount)) for amount in amounts.values()), amounts
    variables = [variable["name"] for variable in box.get("env", [])]
    assert len(set(variables)) == len(variables), variables
    assert all(isinstance(v.get("value", ""), str) for v in box.get("env", [])), box["env"]
    volumes = {volume["name"] for volume in (pod.get("volumes") or [])}
    mounts = [mount["name"] for mount in box.get("volumeMounts", [])]
    assert set(mounts) <= volumes and len(set(mounts)) == len(mounts), (mounts, volumes)
    for mount in (mount for mount in box.get("volumeMounts", []) if mount["name"].startswith("sidepost-")):
        assert mount["readOnly"] is True and "subPath" not in mount, "a certificate must be seen to change"
    places = [mount["mountPath"] for mount in box.get("volumeMounts", [])]
    for name, value in ((v["name"], v.get("value", "")) for v in box.get("env", [])):
        if name.startswith("SIDEPOST_") and name.endswith("_FILE"):
            assert any(value.startswith(place + "/") for place in places), f"{name}={value} is mounted nowhere"
    assert not any("password" in v.get("value", "").lower() for v in box.get("env", []) if "_FILE" not in v["name"])
    assert box["terminationMessagePolicy"] == "FallbackToLogsOnError", box


def readable(pod, mode):
    """User 65532 can read what Secrets bring: by its group where the pod is ours, else as everybody."""
    modes = {v["secret"]["defaultMode"] for v in pod.get("volumes") or [] if v["name"].startswith("sidepost-") and "secret" in v}
    assert modes <= {mode}, modes


def sidecar(pod, box):
    """A container in a pod that is not ours."""
    native = box in pod.get("initContainers", [])
    readable(pod, 0o444)
    assert box.get("restartPolicy") == ("Always" if native else None), "an init container has to end, unless it is a sidecar"
    assert not native or pod["initContainers"][0] is box, "not first"
    assert "readinessProbe" not in box, "it would be the pod's"
    (mask,) = [m["name"] for m in box["volumeMounts"] if m["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"]
    (empty,) = [volume for volume in pod["volumes"] if volume["name"] == mask]
    assert not empty["projected"].get("sources"), "the pod's token reaches the sidecar"
    assert "lifecycle" not in box, "preStop of a native sidecar runs while the application still sends"
    assert box["startupProbe"]["httpGet"]["path"] == "/startupz" and "livenessProbe" in box, box
    env = {variable["name"]: variable.get("value") for variable in box["env"]}
    for name in ("SIDEPOST_HTTP_LISTEN", "SIDEPOST_SMTP_LISTEN"):
        assert re.fullmatch(r"127\.0\.0\.1:(\d+),\[::1\]:\1", env[name]), env[name]
    assert env["SIDEPOST_ALLOWED_CLIENTS"] == "loopback" and env["SIDEPOST_ADMIN_LISTEN"].startswith("*:"), env
    delay, timeout = (int(env[f"SIDEPOST_DRAIN_{name}"].rstrip("s")) for name in ("DELAY", "TIMEOUT"))
    assert delay == (0 if native else 5), env
    assert delay + timeout <= 30 - 2, "killed before the last answers are out, in a pod that says nothing about its end"


def relay(things, deployment):
    pod = deployment["spec"]["template"]["spec"]
    (box,) = pod["containers"]
    readable(pod, 0o440)
    assert pod["enableServiceLinks"] is False and pod["automountServiceAccountToken"] is False, pod
    env = {variable["name"]: variable.get("value") for variable in box["env"]}
    waits = sum(int(env[f"SIDEPOST_DRAIN_{name}"].rstrip("s")) for name in ("DELAY", "TIMEOUT"))
    assert pod["terminationGracePeriodSeconds"] >= waits + 3, "killed before the last answers are out"
    assert "loopback,subnet" not in env["SIDEPOST_ALLOWED_CLIENTS"], "pods come from other subnets"
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    wanted = deployment["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= labels.items(), (wanted, labels)
    ports = {port["name"]: port["containerPort"] for port in box["ports"]}
    (service,) = of_kind(things, "Service")
    assert service["spec"]["selector"].items() <= labels.items(), service
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(ports), service
    name = service["metadata"]["name"]
    assert f"{name}.{service['metadata']['namespace']}" in env["SIDEPOST_ALLOWED_HOSTS"].split(","), env
    for port in (port for port in ports.values() if port < 1024):
        assert pod["securityContext"]["sysctls"], f"UID 65532 cannot listen on {port}"
    for policy in of_kind(things, "NetworkPolicy"):
        assert policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items(), policy
        opened = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        assert opened == set(ports.values()), (opened, ports)
        out = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert 53 in out and (not env.get("SIDEPOST_PORT") or int(env["SIDEPOST_PORT"]) in out), out
    for budget in of_kind(things, "PodDisruptionBudget"):
        assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items(), budget
    for scaler in of_kind(things, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] == deployment["metadata"]["name"], scaler
        assert "replicas" not in deployment["spec"], "the autoscaler and the chart would fight over it"
        assert "cpu" in box["resources"]["requests"], "utilization is in parts of the request"
    for pod in of_kind(things, "Pod"):
        assert not service["spec"]["selector"].items() <= pod["metadata"]["labels"].items(), "the test serves as a relay"
        server = next(a for a in pod["spec"]["containers"][0]["args"] if a.startswith("--server="))
        port = next(port["port"] for port in service["spec"]["ports"] if port["name"] == "http")
        assert server == f"--server={name}:{port}", server


def monitors(things):
    """A monitor's port and labels are those of something that is there."""
    for monitor in of_kind(things, "PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        wanted = monitor["spec"]["selector"]["matchLabels"]
        pods = [thing for thing, _ in pod_specs(things) if thing["kind"] == "Deployment"]
        for pod in pods:
            template = pod["spec"]["template"]
            assert wanted.items() <= template["metadata"]["labels"].items(), (wanted, template["metadata"])
            ports = [port["name"] for box in ours(template["spec"]) for port in box["ports"]]
            assert endpoint["port"] in ports, (endpoint, ports)
        assert pods or wanted == {"sidepost/sidecar": "mail"}, wanted
    for monitor in of_kind(things, "ServiceMonitor"):
        (service,) = of_kind(things, "Service")
        (endpoint,) = monitor["spec"]["endpoints"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items(), monitor
        assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]], endpoint


def names(things):
    for thing in things:
        metadata = thing["metadata"]
        assert NAME.match(metadata["name"]), metadata["name"]
        for key, value in metadata.get("labels", {}).items():
            assert LABEL.match(key) and LABEL_VALUE.match(value), (key, value)
        assert all(LABEL.match(key) for key in metadata.get("annotations", {})), metadata
        assert all(isinstance(value, str) for value in metadata.get("annotations", {}).values()), metadata
    for secret in of_kind(things, "Secret"):
        assert all(base64.b64decode(value, validate=True) for value in secret["data"].values()), secret["metadata"]
    known = [(thing["kind"], thing["metadata"]["name"]) for thing in things]
    assert len(set(known)) == len(known), known


def all_of(things, paths):
    """Everything above that fits; the number of our containers among them."""
    names(things)
    monitors(things)
    found = 0
    for thing, pod in pod_specs(things):
        for box in ours(pod):
            found += 1
            restricted(pod, box)
            if "args" in box:  # that of `helm test`
                continue
            container(pod, box, paths)
            if len(pod["containers"]) == 1 and not pod.get("initContainers"):
                relay(things, thing)
            else:
                sidecar(pod, box)
    return found
