"""WordPress sends its mail through Sidepost, by the plugin and by the shim; what arrives and what its administrator sees.

usage: run.py [PART OF A NAME...]
"""

import contextlib
import json
import os
import pathlib
import socket
import sys
import tempfile
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../clients"))

import provider
import stories_of_mail
import stories_of_trouble
from harness import PATIENCE, tell
from shop import Site, start_database
from world import Rig, Sidepost


class World:
    """A provider with one knob per fault, a Sidepost in front of it, and a WordPress that knows it."""

    def __init__(self, stack):
        self.folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wordpress-", dir="/tmp")))
        self.rig = Rig(stack, str(self.folder / "rig"))
        facts = self.rig.facts
        self.provider = provider.Provider(facts["SERVER_CERT"], facts["SERVER_KEY"])
        settings = {"PROVIDER": "smtp", "HOST": "127.0.0.1", "PORT": self.provider.port, "TLS": "implicit"}
        settings.update(CA_FILE=facts["CA_FILE"], USERNAME=provider.USERNAME, PASSWORD=provider.PASSWORD)
        settings.update(ADMIN_LISTEN="127.0.0.1:0", CONTROL_HOSTS="off", LOGIN_REST="100ms", PROBE_INTERVAL="1s")
        shim = self.folder / "shim"
        self.sidepost = Sidepost(stack, "beside WordPress", settings, ["serve", "--install-shim", str(shim)])
        self.address = f"127.0.0.1:{self.sidepost.door.port}"
        self.health = f"http://127.0.0.1:{self.sidepost.port_of('admin')}/health"
        self.variables = {
            "SITE_DATABASE": str(start_database(stack, self.folder)),
            "SIDEPOST_ADDRESS": self.address,
            "WORDPRESS_SIDEPOST_HEALTH": self.health,
            "PHP_INI_SCAN_DIR": f":{shim}/php",
        }
        self.site = Site(stack, self.folder, free_port(), self.variables)

    def ask_health(self):
        with urllib.request.urlopen(self.health, timeout=PATIENCE) as answer:
            return json.load(answer)

    def healthy(self):
        return self.ask_health()["status"] == "pass"

    @contextlib.contextmanager
    def fault(self, **knobs):
        for name, value in knobs.items():
            setattr(self.provider, name, value)
        try:
            yield
        finally:
            self.provider.reset()

    @contextlib.contextmanager
    def provider_down(self):
        self.provider.down()
        try:
            yield
        finally:
            self.provider.up()

    @contextlib.contextmanager
    def changed(self, **variables):
        """The web server with other variables."""
        self.site.start(**variables)
        try:
            yield
        finally:
            self.site.start()


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def cases(world):
    yield from stories_of_mail.cases_of(world)
    yield from stories_of_trouble.cases_of(world)


def main(wanted):
    results = []
    with contextlib.ExitStack() as stack:
        world = World(stack)
        # It is there in any case, since every story needs it.
        results.append(tell("the installation's own mail", lambda: stories_of_mail.the_installation(world)))
        for name, case in cases(world):
            if not wanted or any(part in name for part in wanted):
                results.append(tell(name, case))
        if not all(results):
            print(f"--- the web server's log\n{world.site.log.read_text(errors='replace')[-6000:]}")
    passed = sum(results)
    print(f"{passed} passed, {len(results) - passed} failed")
    return 0 if passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
