"""Mail servers as clients: Postfix and Exim, each with a queue of its own, hand everything to Sidepost."""

import json
import os
import pathlib
import pwd
import re
import shutil
import smtplib
import socket
import subprocess

from harness import HERE, PATIENCE, TOOLS, expect, run, within


def fill(source, target, names):
    text = pathlib.Path(HERE, source).read_text()
    for name, value in names.items():
        text = text.replace(f"@{name}@", str(value))
    pathlib.Path(target).write_text(text)


def write(path, lines):
    pathlib.Path(path).write_text("".join(f"{line}\n" for line in lines))


def files_of(doors):
    """What is the same for every door that has it."""
    names = ("ca_file", "certificate", "key", "socket")
    return {name.upper(): getattr(door, name) for *_, door in doors for name in names if getattr(door, name)}


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class Postfix:
    """An instance of its own below a folder; it needs root, as Postfix does."""

    name = "Postfix"
    # Where the notice to a sender has the enhanced status code.
    status_field = "Status"

    def __init__(self, stack, folder, doors):
        self._folder, self._port = folder, free_port()
        self._make_directories()
        names = {"DIR": folder, "PORT": self._port, **files_of(doors)}
        for file in ("main.cf", "master.cf"):
            fill(f"postfix/{file}", f"{folder}/{file}", names)
        places = {domain: self._place(door) for domain, _, door in doors}
        ways = [f"/@{re.escape(domain)}$/ {service}:{places[domain]}" for domain, service, _ in doors]
        write(f"{folder}/transport", ways)
        logins = {places[domain]: f"{door.user}:{door.password}" for domain, _, door in doors if door.user}
        write(f"{folder}/passwords", [f"{place} {login}" for place, login in logins.items()])
        for file in ("main.cf", "master.cf", "transport", "passwords"):
            # Postfix waits for two seconds when a file looks as if somebody still wrote to it.
            os.utime(f"{folder}/{file}", (1, 1))
        # The official way to leave out checks of the package's own files.
        pathlib.Path(folder, "queue/quick-start").touch()
        stack.callback(self._stop)
        self._postfix("start")
        within(self._greets, "Postfix answers")

    @staticmethod
    def _place(door):
        if door.socket:
            return f"unix:{door.socket}"
        return f"inet:{door.host}:{door.port}" if door.lmtp else f"[{door.host}]:{door.port}"

    def _make_directories(self):
        queue, data, owner = f"{self._folder}/queue", f"{self._folder}/data", pwd.getpwnam("postfix").pw_uid
        os.makedirs(f"{queue}/pid")
        names = "incoming active bounce corrupt defer deferred flush hold saved trace private public maildrop"
        for path in [f"{queue}/{name}" for name in names.split()] + [data]:
            os.mkdir(path, 0o700)
            os.chown(path, owner, -1)
        for name, mode in (("public", 0o2710), ("maildrop", 0o1730)):
            shutil.chown(f"{queue}/{name}", group="postdrop")
            os.chmod(f"{queue}/{name}", mode)

    def _postfix(self, verb):
        # Its daemons would keep a pipe open for as long as they live.
        with open(f"{self._folder}/start.log", "ab") as log:
            command = ["postfix", "-c", self._folder, verb]
            path = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"}
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=path, timeout=PATIENCE)
        expect(done.returncode == 0, f"postfix {verb}: {self.log()}")

    def _stop(self):
        if os.path.exists(f"{self._folder}/queue/pid/master.pid"):
            self._postfix("stop")

    def _greets(self):
        try:
            self._client().quit()
            return True
        except OSError:
            return False

    def _client(self):
        return smtplib.SMTP("127.0.0.1", self._port, "app.test", PATIENCE)

    def log(self):
        paths = [f"{self._folder}/{name}" for name in ("start.log", "log")]
        return "\n".join(pathlib.Path(path).read_text()[-3000:] for path in paths if os.path.exists(path))

    def submit(self, mails):
        with self._client() as client:
            for mail in mails:
                utf8 = not all(map(str.isascii, mail.recipients))
                client.command_encoding = "utf-8" if utf8 else "ascii"
                options = ["BODY=8BITMIME"] + ["SMTPUTF8"] * utf8 + ["ENVID=QQ314159"] * mail.notices
                wishes = ["NOTIFY=SUCCESS,FAILURE"] if mail.notices else []
                client.sendmail(mail.sender, mail.recipients, mail.raw, options, wishes)

    def waiting(self, mail):
        """Why the message is still in the queue, or nothing. Its last recipient is its own."""
        done = run(["postqueue", "-c", self._folder, "-j"])
        for entry in map(json.loads, done.output.splitlines()):
            for recipient in entry["recipients"]:
                if recipient["address"] == mail.recipients[-1]:
                    # It has a reason a moment before it is where a flush finds it.
                    return recipient["delay_reason"] if entry["queue_name"] == "deferred" else "on its way"
        return None

    def put_off(self, mail):
        """The reason, once there is one."""
        def reason():
            why = self.waiting(mail)
            expect(why is not None, f"the message has left the queue\n{self.log()}")
            return why if why != "on its way" else None

        return within(reason, "the message is put off")

    def flush(self):
        run(["postqueue", "-c", self._folder, "-f"])


class Exim:
    """Debian's binary, unpacked into a place of its own, with users from a file: its package would replace Postfix."""

    name = "Exim"
    # Exim says 5.0.0 in every notice, and has the server's own code only here.
    status_field = "Diagnostic-Code"

    def __init__(self, stack, folder, doors):
        self._folder = folder
        user = pwd.getpwuid(os.getuid() or pwd.getpwnam("nobody").pw_uid)
        os.makedirs(f"{folder}/spool")
        os.chmod(folder, 0o755)
        exim = f"Debian-exim:x:{user.pw_uid}:{user.pw_gid}:Exim:/:/bin/false"
        write(f"{folder}/passwd", ["root:x:0:0:root:/:/bin/sh", exim])
        write(f"{folder}/group", ["root:x:0:", f"Debian-exim:x:{user.pw_gid}:"])
        write(f"{folder}/doors", [f"{domain}: {door.host}::{door.port}" for domain, _, door in doors])
        write(f"{folder}/services", [f"{domain}: {service}" for domain, service, _ in doors])
        for user_name, password in {(door.user, door.password) for *_, door in doors if door.user}:
            pathlib.Path(folder, "user").write_text(user_name)
            pathlib.Path(folder, "password").write_text(password)
        # Its processes run it again as another user, who need not see the folder of the tools.
        binary = shutil.copy(os.path.join(TOOLS, "clients/exim/usr/sbin/exim4"), f"{folder}/exim")
        fill("exim/exim.conf", f"{folder}/exim.conf", {"DIR": folder, "BINARY": binary, **files_of(doors)})
        for path in (folder, f"{folder}/spool"):
            os.chown(path, user.pw_uid, user.pw_gid)
        self._command = [binary, "-C", f"{folder}/exim.conf"]
        self._environment = {
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": f"{folder}/passwd",
            "NSS_WRAPPER_GROUP": f"{folder}/group",
        }

    def _run(self, *arguments, text=b""):
        return run([*self._command, *arguments], text, self._environment)

    def log(self):
        return "\n".join(path.read_text()[-3000:] for path in pathlib.Path(self._folder).glob("*log"))

    def submit(self, mails):
        for mail in mails:
            options = ["-odf", "-oi", "-B8BITMIME", "-f", mail.sender, "--"]
            sent = self._run(*options, *mail.recipients, text=mail.raw.replace(b"\r\n", b"\n"))
            expect(sent.code == 0, f"{sent.output}\n{self.log()}")

    def waiting(self, mail):
        """Why the message is still in the queue, or nothing."""
        queued = [file for file in pathlib.Path(self._folder, "spool/input").glob("*-H") if self._is(file, mail)]
        if not queued:
            return None
        log = pathlib.Path(self._folder, "spool/msglog", queued[0].name.removesuffix("-H"))
        return log.read_text() if log.exists() else "on its way"

    @staticmethod
    def _is(file, mail):
        """A notice is about the message, and not it."""
        text = file.read_text("utf-8", "replace")
        return f"X-Mark: {mail.mark}\n" in text and f"\n<{mail.sender}>\n" in text

    def put_off(self, mail):
        why = self.waiting(mail)
        expect(why is not None, f"the message has left the queue\n{self.log()}")
        return why

    def flush(self):
        self._run("-qff")
