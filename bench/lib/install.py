"""What the measurements need: built here, or from the package registries by their own clients."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
TARGET = "x86_64-unknown-linux-gnu"

DEBIAN = {"valgrind": "valgrind", "wrk": "wrk"}
DEBIAN_FOR_PEERS = {"node": "nodejs", "npm": "npm"}
PYPI = ["aiosmtpd==1.4.6", "aiosmtplib==5.1.3"]
NPM = ["Haraka@3.3.4", "nodemailer@10.6.0", "smtp-server@3.21.6"]


@dataclass
class Kit:
    """Where everything is."""

    sidepost: Path
    tools: Path
    postfix: Path
    daemons: Path
    python: Path
    modules: Path
    lettre: Path
    is_root: bool
    wanted: str

    def wants(self, peer):
        return self.wanted == "all" or peer in self.wanted.split(",")

    def version(self):
        def first_line(*command):
            return subprocess.run(command, capture_output=True, text=True).stdout.split("\n")[0].strip()

        versions = {
            "sidepost": first_line(self.sidepost, "--version"),
            "postfix": first_line("dpkg-query", "-W", "-f", "${Version}", "postfix"),
            "rust": first_line("rustc", "--version"),
        }
        if self.wanted != "none":
            versions |= {"node": first_line("node", "--version"), "python": first_line(self.python, "--version")}
            versions |= dict(package.replace("==", "@").rsplit("@", 1) for package in PYPI + NPM)
        return versions


def everything(root, work, binary, parts, peers):
    # Postfix among them, installed so that its service does not start.
    run([root / "scripts" / "install-test-tools.sh"])
    wanted = DEBIAN if peers == "none" else DEBIAN | DEBIAN_FOR_PEERS
    missing = [package for command, package in wanted.items() if not found(command)]
    if missing:
        install_debian(missing)
    kit = Kit(
        sidepost=binary.resolve() if binary else build_sidepost(root, work),
        tools=build(HERE / "tools", work / "tools"),
        postfix=Path(found("smtp-source")).parent,
        daemons=Path("/usr/lib/postfix/sbin"),
        python=work / "python" / "bin" / "python",
        modules=work / "node" / "node_modules",
        lettre=work / "lettre" / "release" / "lettre-send",
        is_root=os.geteuid() == 0,
        wanted=peers,
    )
    if peers != "none" and {"smtp", "roundtrips", "memory"} & set(parts):
        install_pypi(kit)
        install_npm(kit)
        build(HERE / "peers" / "lettre", work / "lettre")
    return kit


def found(command):
    return shutil.which(command, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def run(command, **options):
    """What it says goes to standard error: standard output is for the table."""
    subprocess.run([str(word) for word in command], check=True, stdout=sys.stderr, stdin=subprocess.DEVNULL, **options)


def install_debian(packages):
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    apt = [*sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    run([*apt, "update"])
    run([*apt, "install", "-y", "--no-install-recommends", *packages])


def install_pypi(kit):
    wanted = "import importlib.metadata as m; " + "; ".join(
        f"assert m.version('{name}') == '{version}'" for name, version in (package.split("==") for package in PYPI)
    )
    if kit.python.exists() and subprocess.run([kit.python, "-c", wanted], stderr=subprocess.DEVNULL).returncode == 0:
        return
    run([sys.executable, "-m", "venv", "--clear", kit.python.parent.parent])
    run([kit.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYPI])


def install_npm(kit):
    if kit.modules.exists():
        return
    folder = kit.modules.parent
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}\n')
    # Haraka's optional parts are compiled ones, for statistics and greylisting.
    run(["npm", "install", "--no-audit", "--no-fund", "--omit=optional", "--loglevel=error", *NPM], cwd=folder)


def build_sidepost(root, work, *options):
    """As in the image: static, with the flags that the Dockerfile gives for this architecture."""
    target = work / "build"
    flags = os.environ | {"RUSTFLAGS": image_flags(root), "CARGO_TARGET_DIR": str(target)}
    # cargo does not know that the linker reads it.
    built = target / TARGET / "release" / "sidepost"
    if built.exists() and built.stat().st_mtime < (root / "link" / "first.txt").stat().st_mtime:
        (root / "src" / "main.rs").touch()
    run(["cargo", "build", "--locked", "--release", "--target", TARGET, *options], cwd=root, env=flags)
    return built


def image_flags(root):
    dockerfile = (root / "Dockerfile").read_text()
    lines = re.findall(r"^ARG FLAGS=.*|CARGO_TARGET_X86_64\w+_RUSTFLAGS=.*", dockerfile, re.M)
    return " ".join(re.findall(r"-C [^ \"]+", "\n".join(lines)))


def build(project, target):
    run(["cargo", "build", "--locked", "--release", "--quiet"], cwd=project, env=os.environ | {"CARGO_TARGET_DIR": str(target)})
    return target / "release"
