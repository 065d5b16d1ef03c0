"""What the chart says to the program, said to the real one."""

import contextlib
import os
import pathlib
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request

BINARY = pathlib.Path(os.environ["SIDEPOST"])
# What Kubernetes puts into the pods of a namespace that has a Service called sidepost.
LINKS = {
    "SIDEPOST_SERVICE_HOST": "10.0.0.9", "SIDEPOST_SERVICE_PORT": "1025", "SIDEPOST_SERVICE_PORT_SMTP": "1025",
    "SIDEPOST_SERVICE_PORT_ADMIN": "9025", "SIDEPOST_PORT": "tcp://10.0.0.9:1025", "SIDEPOST_PORT_1025_TCP": "tcp://10.0.0.9:1025",
    "SIDEPOST_PORT_1025_TCP_PROTO": "tcp", "SIDEPOST_PORT_1025_TCP_PORT": "1025", "SIDEPOST_PORT_1025_TCP_ADDR": "10.0.0.9",
}  # fmt: skip
# Contents for the files that Secrets would bring.
SECRETS = {"SMTP_USERS": "user:password", "OAUTH_SERVICE_ACCOUNT": "{}"}


def openssl(folder):
    """A certificate and its key, for what must be PEM."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=relay", "-addext", "subjectAltName=DNS:relay",
         "-keyout", folder / "tls.key", "-out", folder / "tls.crt"],
        check=True, capture_output=True, timeout=60)  # fmt: skip
    return (folder / "tls.crt").read_text(), (folder / "tls.key").read_text()


def expanded(text):
    """As the kubelet reads a value: $$ is a dollar sign, and $(NAME) another variable, which nobody meant."""
    assert not re.search(r"(?<!\$)(\$\$)*\$\(", text), f"{text}: the kubelet would look for a variable"
    return text.replace("$$", "$")


def variables(box, folder, pem):
    """A container's environment, with the files that it names brought into a folder of ours."""
    certificate, key = pem
    env = {v["name"]: expanded(v.get("value", "")) for v in box.get("env", []) if v["name"].startswith("SIDEPOST_")}
    for name, value in env.items():
        if value.startswith(("/run/", "/vault/")):
            setting = name.removeprefix("SIDEPOST_").removesuffix("_FILE")
            file = folder / value.lstrip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            pems = {"CA": certificate, "TLS_CERT": certificate, "TLS_KEY": key}
            file.write_text(pems.get(setting) or SECRETS.get(setting, "secret"))
            file.chmod(0o400)
            env[name] = str(file)
    return env


def said(arguments, env):
    done = subprocess.run([BINARY, *arguments], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def settings(box, folder, pem):
    """The program takes every variable, and each has the value that the chart meant."""
    env = variables(box, folder, pem)
    code, out, err = said(["config", "--check"], LINKS | env)
    assert code == 0 and "cannot work" not in err, err
    in_force = dict(line.split(" = ", 1) for line in said(["config"], env)[1].splitlines())
    for name, value in env.items():
        setting = name.removesuffix("_FILE") if name.removesuffix("_FILE") in in_force else name
        assert name in in_force and in_force[name].startswith(value + "  (") or f"(file {value})" in in_force[setting], name
    return len(env)


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def status(url, **headers):
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except (urllib.error.URLError, ConnectionError) as error:
        return 0, str(error)


@contextlib.contextmanager
def running(box, folder, pem):
    """The container as a process, on free ports in place of its own; gives the ports by name."""
    env = variables(box, folder, pem)
    names = [port["name"] for port in box["ports"]]
    ports = dict(zip(names, free_ports(len(names))))
    for port in box["ports"]:
        for name in [name for name in env if name.endswith("_LISTEN")]:
            env[name] = env[name].replace(f"*:{port['containerPort']}", f"127.0.0.1:{ports[port['name']]}")
    env |= {"SIDEPOST_PROBE_INTERVAL": "off", "SIDEPOST_CONTROL_HOSTS": "off"}
    with open(folder / "log", "w") as log:
        process = subprocess.Popen([BINARY], env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        admin = next(port for name, port in ports.items() if name.endswith("admin"))
        while status(f"http://127.0.0.1:{admin}/startupz")[0] != 200:
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield ports
    finally:
        process.terminate()
        assert process.wait(30) == 0, (folder / "log").read_text()


def relay(box, tester, folder, pem):
    """The relay with the chart's own settings answers its probes, is called by its names, and passes the chart's test."""
    with running(box, folder, pem) as ports:
        for probe in (box[name]["httpGet"] for name in ("startupProbe", "livenessProbe", "readinessProbe")):
            code, text = status(f"http://127.0.0.1:{ports[probe['port']]}{probe['path']}")
            assert code == 200, (probe, code, text)
        hosts = next(v["value"] for v in box["env"] if v["name"] == "SIDEPOST_ALLOWED_HOSTS").split(",")
        for host in [*hosts, hosts[0].split(".")[0], f"{hosts[0]}.svc", f"{hosts[0]}.svc.cluster.local"]:
            code, text = status(f"http://127.0.0.1:{ports['http']}/v1/messages", Host=f"{host}:8025")
            assert code == 200, (host, code, text)
        code, _ = status(f"http://127.0.0.1:{ports['http']}/v1/messages", Host="evil.example:8025")
        assert code == 403, code
        arguments = [f"--server=localhost:{ports['http']}" if a.startswith("--server=") else a for a in tester["args"]]
        code, out, err = said(arguments, variables(tester, folder, pem))
        assert code == 0 and '"sent"' in out, (code, out, err)
        return status(f"http://127.0.0.1:{ports['admin']}/metrics")[1]
