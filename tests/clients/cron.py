"""Debian's cron, whose jobs' output is mail. It needs root, as cron does."""

import os
import pathlib
import socket
import subprocess
import tempfile
import threading

from harness import HERE, PATIENCE, TOOLS, Mail, expect, expect_equal, within
from sendmail import environment
from world import BINARY


class Cron:
    """Runs a table's `@reboot` lines in namespaces of its own, which end with it."""

    def __init__(self, folder, door, table, **settings):
        self._folder = pathlib.Path(tempfile.mkdtemp(prefix="cron", dir=folder))
        self._folder.joinpath("crontab").write_text(table)
        self._folder.joinpath("dev").mkdir()
        self._variables = {**os.environ, **environment(door), **settings}
        self.log = []

    def __enter__(self):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self._folder / "dev/log"))
        threading.Thread(target=self._listen, daemon=True).start()
        private = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        program = os.path.join(TOOLS, "clients/cron/usr/sbin/cron")
        command = [*private, os.path.join(HERE, "cron.sh"), program, BINARY, self._folder]
        self._process = subprocess.Popen(command, env=self._variables)
        return self

    def __exit__(self, *_):
        # unshare waits for its child through any other signal, and with it goes all that it started.
        self._process.kill()
        self._process.wait(PATIENCE)
        self._socket.close()

    def _listen(self):
        try:
            while line := self._socket.recv(65_536):
                self.log.append(line.decode("utf-8", "replace"))
        except OSError:
            pass

    def says(self, words):
        within(lambda: words in "".join(self.log), f"{words!r} in cron's log")


def job(mail):
    """Output with what somebody on the way may damage; the mark is in it."""
    return rf"@reboot printf 'X-Mark: {mail.mark}\n.\n..\nFrom the start\nGrüße\n.\nlast\n'"


def check(mail, arrived, recipient):
    expect_equal(arrived.recipients, [recipient], "the envelope's recipients")
    expect(arrived.sender.startswith("root@"), arrived.sender)
    header, _, body = arrived.content.decode().partition("\r\n\r\n")
    expect(f"\r\nFrom: {arrived.sender} (Cron Daemon)\r\n" in f"\r\n{header}\r\n", header)
    expect_equal(body, f"X-Mark: {mail.mark}\r\n.\r\n..\r\nFrom the start\r\nGrüße\r\n.\r\nlast\r\n", "a job's output")


def the_output_of_jobs(world):
    own, local = Mail(), Mail()
    table = f"MAILTO=ops@inbox.test\n{job(own)}\nMAILTO=root\n{job(local)}\n"
    with Cron(world.folder, world.scripted.door, table, SIDEPOST_LOCAL_RECIPIENT="admin@inbox.test"):
        check(own, world.arrived(own, at=world.script)[0], "ops@inbox.test")
        check(local, world.arrived(local, at=world.script)[0], "admin@inbox.test")


def the_sidecar_is_away(world):
    mail = Mail()
    with world.nobody() as door, Cron(world.folder, door, f"MAILTO=ops@inbox.test\n{job(mail)}\n") as cron:
        cron.says("bytes of output but got status 0x004b")  # 75
    world.nothing_arrives(mail, at=world.script)


def cases_of(world):
    if os.geteuid() != 0:
        return print("skipped cron: it needs root")
    for story in (the_output_of_jobs, the_sidecar_is_away):
        yield story.__name__.replace("_", " "), lambda story=story: story(world)
