"""deploy/wordpress/compose.yaml, brought up by docker, and then trouble: what a visitor was thanked for is never lost.

For scripts/image-test.sh, which gives it a docker daemon and the network that its ports are in.
"""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../clients"))

import provider
from harness import ROOT, expect, expect_equal, tell, within
from shop import ADMIN, EMAIL, HERE, PASSWORD, Browser

PORT = 8080
SUBNET, GATEWAY = "172.31.77.0/24", "172.31.77.1"
OCTETS = bytes(range(256)) * 20


def run(*command, seconds=120, where=None):
    done = subprocess.run(
        command, cwd=where, timeout=seconds, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    expect(done.returncode == 0, f"{' '.join(map(str, command))}: {done.stdout.decode()}")
    return done.stdout.decode()


def certificate(folder):
    """For the provider's name, by an authority of its own; the paths of authority, certificate and key."""
    authority, made, key = (folder / name for name in ("authority.pem", "provider.pem", "provider.key"))
    new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    run(*new, "-subj", "/CN=authority", "-keyout", folder / "authority.key", "-out", authority)
    by = ["-CA", authority, "-CAkey", folder / "authority.key", "-addext", "subjectAltName=DNS:script.test"]
    by += ["-addext", "basicConstraints=critical,CA:FALSE"]
    run(*new, "-subj", "/CN=script.test", *by, "-keyout", key, "-out", made)
    return authority, made, key


class Stack:
    """The compose file as it is, with a file beside it for what a test needs more."""

    def __init__(self, stack):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="stack-", dir="/tmp")))
        shutil.copytree(os.path.join(ROOT, "deploy/wordpress"), self.folder / "wordpress")
        self._place = self.folder / "wordpress"
        authority, made, key = certificate(self.folder)
        self.provider = provider.Provider(made, key, "0.0.0.0")
        shutil.copy(authority, self._place)
        shutil.copy(HERE / "contact-form.php", self._place)
        os.chmod(self._place / "authority.pem", 0o444)
        self._secrets()
        self._settings()
        self._command = ["docker", "compose"]
        if subprocess.run([*self._command, "version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
            self._command = ["docker-compose"]
        stack.callback(lambda: self.compose("down", "--volumes", "--timeout", "5"))
        self.compose("config", "--quiet")
        self.compose("up", "--detach", "--no-build", seconds=300)

    def _secrets(self):
        """As docs/wordpress.md says."""
        secrets = self._place / "secrets"
        secrets.mkdir(mode=0o700)
        (secrets / "database_password").write_text("0123456789abcdef\n")
        (secrets / "mail_password").write_text(f"{provider.PASSWORD}\n")
        for file in secrets.iterdir():
            file.chmod(0o444)

    def _settings(self):
        lines = ["MAIL_PROVIDER=smtp", "MAIL_HOST=script.test", f"MAIL_USERNAME={provider.USERNAME}"]
        lines += ["MAIL_FROM=shop@shop.test", "MAIL_FROM_MODE=force"]
        (self._place / ".env").write_text("".join(f"{line}\n" for line in lines))
        more = {
            "services": {
                "sidepost": {
                    "environment": {
                        "SIDEPOST_PORT": str(self.provider.port),
                        "SIDEPOST_TLS": "implicit",
                        "SIDEPOST_CA_FILE": "/authority.pem",
                        "SIDEPOST_CONTROL_HOSTS": "off",
                        "SIDEPOST_SEND_TIMEOUT": "3s",
                    },
                    "extra_hosts": [f"script.test:{GATEWAY}"],
                    "volumes": ["./authority.pem:/authority.pem:ro"],
                },
                "wordpress": {
                    "volumes": ["./contact-form.php:/var/www/html/wp-content/mu-plugins/contact-form.php:ro"]
                },
            },
            "networks": {"outside": {"ipam": {"config": [{"subnet": SUBNET, "gateway": GATEWAY}]}}},
        }
        # JSON is YAML.
        (self._place / "compose.override.yaml").write_text(json.dumps(more))

    def compose(self, *arguments, seconds=120):
        return run(*self._command, *arguments, seconds=seconds, where=self._place)

    def container(self, service):
        return self.compose("ps", "--quiet", service).strip()

    def install(self):
        fields = {"weblog_title": "The Shop", "user_name": ADMIN, "admin_email": EMAIL, "blog_public": "0"}
        fields.update(admin_password=PASSWORD, admin_password2=PASSWORD, pw_weak="1", language="")
        within(self._answers, "WordPress answers")
        page = Browser(PORT).post("/wp-admin/install.php?step=2", fields)
        expect("Success!" in page.words, page.words)

    @staticmethod
    def _answers():
        try:
            return Browser(PORT).get("/readme.html").status == 200
        except (OSError, http.client.HTTPException):
            return False

    def healthy(self):
        state = "{{.State.Status}} {{.State.Health.Status}}"
        return run("docker", "inspect", "--format", state, self.container("sidepost")).strip() == "running healthy"


class Visitors:
    """They fill in the contact form one after the other, and note who was thanked."""

    _numbers = itertools.count(1)

    def __init__(self):
        self.thanked, self.sorry = [], []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(2)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(180)

    def _visit(self):
        while not self._stop.is_set():
            mark = f"visit-{os.getpid()}-{next(self._numbers)}"
            (self.thanked if self._thanked(mark) else self.sorry).append(mark)
            # Faster than this they would only wait for one another.
            time.sleep(0.05)

    @staticmethod
    def _thanked(mark):
        fields = {"action": "contact", "name": "Ann", "email": "ann@visitor.test", "mark": mark}
        fields.update(subject="Hello", text=mark)
        try:
            page = Browser(PORT).post("/wp-admin/admin-post.php", fields, ("file", "report.bin", OCTETS))
            return "Thank you." in page.words
        except (OSError, http.client.HTTPException):
            return False

    def more(self, count=10):
        """So many more are thanked."""
        wanted = len(self.thanked) + count
        within(lambda: len(self.thanked) >= wanted, f"{count} more visitors are thanked", 90)


def trouble(stack):
    """What happens to the mail side of the stack: a name, how it begins, and how it ends, `None` if by itself."""
    sidepost = stack.container("sidepost")
    network = f"{json.loads(run('docker', 'inspect', sidepost))[0]['Config']['Labels']['com.docker.compose.project']}_mail"
    start = lambda: run("docker", "start", sidepost)
    yield "stopped", lambda: run("docker", "stop", sidepost), start
    yield "killed", lambda: run("docker", "kill", sidepost), start
    cut = ["docker", "network", "disconnect", network, sidepost]
    join = ["docker", "network", "connect", "--alias", "sidepost", network, sidepost]
    yield "cut off from WordPress", lambda: run(*cut), lambda: run(*join)
    yield "without its provider", stack.provider.down, stack.provider.up
    yield "restarted", lambda: stack.compose("restart", "sidepost"), None
    anew = ["up", "--detach", "--no-build", "--force-recreate", "--no-deps", "sidepost"]
    yield "made anew", lambda: stack.compose(*anew), None


def nothing_is_lost(stack):
    """After each of them WordPress sends again, without being touched."""
    with Visitors() as visitors:
        visitors.more()
        for name, begins, ends in trouble(stack):
            before = len(visitors.sorry)
            begins()
            if ends:
                within(lambda: len(visitors.sorry) > before, f"a visitor is told that it failed: {name}", 90)
                ends()
            within(stack.healthy, f"healthy after being {name}", 60)
            visitors.more()
            print(f"        {name}: {len(visitors.sorry) - before} were told that it failed")
    marks = visitors.thanked + visitors.sorry
    copies = {mark: len(stack.provider.of(mark)) for mark in marks}
    lost = {mark: copies[mark] for mark in visitors.thanked if copies[mark] != 1}
    expect(not lost, f"thanked, and not there once: {lost}")
    twice = {mark: copies[mark] for mark in visitors.sorry if copies[mark] > 1}
    expect(not twice, f"told that it failed, and there more than once: {twice}")
    arrived = sum(copies[mark] for mark in visitors.sorry)
    said = f"{len(visitors.sorry)} told that it failed, of which {arrived} are there"
    print(f"        {len(visitors.thanked)} thanked, and each is there once; {said}")


def the_installation(stack):
    stack.install()
    within(lambda: stack.provider.taken, "the installation's mail")
    taken = stack.provider.taken[0]
    expect_equal((taken.sender, taken.recipients), ("shop@shop.test", [EMAIL]), "the envelope")


def the_shim(stack):
    """What PHP outside of WordPress sends."""
    code = 'exit(mail("owner@inbox.test", "By mail()", "hello", "X-Mark: by-mail\\r\\nFrom: php@site.test") ? 0 : 1);'
    run("docker", "exec", stack.container("wordpress"), "php", "-r", code)
    taken = stack.provider.of("by-mail")
    expect_equal([(one.sender, one.recipients) for one in taken], [("shop@shop.test", ["owner@inbox.test"])], "mail()")


def the_page(stack):
    browser = Browser(PORT)
    browser.get("/wp-login.php")
    browser.post("/wp-login.php", {"log": ADMIN, "pwd": PASSWORD, "testcookie": "1"})
    page = browser.get("/wp-admin/tools.php?page=sidepost")
    expect("Mail leaves." in page.words and "Sidepost's version" in page.words, page.words)


def main():
    with contextlib.ExitStack() as exits:
        stack = Stack(exits)
        stories = (the_installation, the_shim, the_page, nothing_is_lost)
        good = all(tell(story.__name__.replace("_", " "), lambda story=story: story(stack)) for story in stories)
        if not good:
            print(stack.compose("logs", "--no-color", "--tail", "15"))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
