"""Everything that clients meet: a real provider, a scripted one, and Sidepost in front of each."""

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import socket
import subprocess
import tempfile
import threading

import provider
from harness import PATIENCE, ROOT, Wrong, expect, expect_equal, run, within

BINARY = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release/sidepost")
LARGEST = 1 << 20
# With what templating, shells and URLs are known to mangle.
USER, PASSWORD = "app@client.test", "a#b $c \"d\" 'e' \\f %g :h =i/j"


@dataclasses.dataclass
class Door:
    """One way in: `tls` is none, starttls or implicit; `login` is none, PLAIN or LOGIN."""

    port: int
    host: str = "127.0.0.1"
    tls: str = "none"
    ca_file: str = ""
    login: str = "none"
    user: str = ""
    password: str = ""
    # Whether a client that takes up STARTTLS by itself, wherever that is offered, may do so.
    upgrade: bool = True
    lmtp: bool = False
    # What the client shows of itself.
    certificate: str = ""
    key: str = ""
    # A unix socket in place of host and port.
    socket: str = ""

    def __str__(self):
        tls = {"none": "in plain", "starttls": "with STARTTLS", "implicit": "in TLS"}[self.tls]
        return tls if self.login == "none" else f"{tls} and AUTH {self.login}"


class Rig:
    """Postfix and Dovecot as the provider; see tests/rig/README.md."""

    def __init__(self, stack, folder):
        command = [os.path.join(ROOT, "tests/rig/rig.sh"), "run", folder]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        stack.callback(process.wait, PATIENCE)
        stack.callback(process.stdin.close)
        expect_equal(process.stdout.readline(), b"ready\n", "tests/rig/rig.sh")
        self.facts = json.loads(pathlib.Path(folder, "rig.json").read_text())
        self._new = pathlib.Path(self.facts["MAILDIR"], "new")
        self._seen, self._by_mark = set(), {}

    def settings(self):
        return {
            "PROVIDER": "smtp",
            "HOST": "localhost",
            "PORT": self.facts["STARTTLS_PORT"],
            "TLS": "starttls",
            "CA_FILE": self.facts["CA_FILE"],
            "USERNAME": self.facts["USERNAME"],
            "PASSWORD": self.facts["PASSWORD"],
        }

    def of(self, mark):
        """The messages with that mark, as they stand in their files, notices about them included."""
        for file in self._new.iterdir():
            if file.name not in self._seen:
                self._seen.add(file.name)
                content = file.read_bytes()
                for found in set(re.findall(rb"^X-Mark: (\S+)", content, re.MULTILINE)):
                    self._by_mark.setdefault(found.decode(), []).append(content)
        return self._by_mark.get(mark, [])


class Sidepost:
    """The binary, as a user starts it, on a port that it keeps."""

    def __init__(self, stack, name, settings, arguments=()):
        listeners = {"SMTP_LISTEN": "127.0.0.1:0", "HTTP_LISTEN": "off", "ADMIN_LISTEN": "off"}
        speed = {"SEND_TIMEOUT": "1s", "RETRY_FIRST": "50ms", "RETRY_MAX": "200ms", "MAX_MESSAGE_BYTES": LARGEST}
        self.name, self._settings = name, {**listeners, **speed, **settings}
        self._process, self._command = None, [BINARY, *arguments]
        stack.callback(self._end)
        self._serving_at = self._start()
        self.door = Door(self.port_of("smtp"))
        for name in ("smtp", "smtps", "lmtp", "admin"):
            if self._serving_at.get(name):
                self._settings[f"{name.upper()}_LISTEN"] = self._serving_at[name]

    def port_of(self, listener):
        return int(self._serving_at[listener].partition(",")[0].rpartition(":")[2])

    def lmtp(self):
        return dataclasses.replace(self.door, port=self.port_of("lmtp"), lmtp=True)

    def lmtp_socket(self):
        return dataclasses.replace(self.lmtp(), socket=self._serving_at["lmtp"].partition("unix:")[2])

    def _start(self):
        variables = {key: value for key, value in os.environ.items() if not key.startswith("SIDEPOST_")}
        variables.update({f"SIDEPOST_{key}": str(value) for key, value in self._settings.items()})
        self.log = []
        self._process = subprocess.Popen(self._command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return within(self._serving, f"Sidepost ({self.name}) serves", 10)

    def restart(self):
        self._end()
        self._start()

    @contextlib.contextmanager
    def changed(self, **settings):
        """Started anew with other settings, and in the end with its own again."""
        before = dict(self._settings)
        self._settings.update(settings)
        self.restart()
        try:
            yield
        finally:
            self._settings = before
            self.restart()

    def by(self, tls, login="none"):
        """A door under TLS, or with a login, or both. The certificate and its issuer are the rig's."""
        door = dataclasses.replace(self.door, host="localhost", tls=tls, login=login, upgrade=False)
        if tls == "implicit":
            door.port = self.port_of("smtps")
        if tls != "none":
            door.ca_file = self._settings["CA_FILE"]
        if login != "none":
            door.user, door.password = USER, PASSWORD
        return door

    def _read(self):
        for line in self._process.stdout:
            self.log.append(line.decode("utf-8", "replace").rstrip())

    def _serving(self):
        if self._process.poll() is not None:
            raise Wrong(f"Sidepost ({self.name}) did not start: {self.log}")
        lines = [json.loads(line) for line in self.log if line.startswith("{")]
        return next((line for line in lines if line["message"] == "serving"), None)

    def _end(self):
        process, self._process = self._process, None
        if process is None:
            return
        alive = process.poll() is None
        process.terminate()
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Wrong(f"Sidepost ({self.name}) does not end") from None
        self._reader.join(PATIENCE)
        process.stdout.close()
        expect(alive and code == 0, f"Sidepost ({self.name}) ended with {code}: {self.log[-5:]}")


def client_certificate(folder, issuer, issuer_key):
    """The paths of a certificate for a client, and of its key."""
    certificate, key, request = f"{folder}/client.pem", f"{folder}/client.key", f"{folder}/client.csr"
    new = ["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    made = run([*new, "-subj", "/CN=client.test", "-keyout", key, "-out", request])
    expect(made.code == 0, made.output)
    issue = ["openssl", "x509", "-req", "-days", "2", "-CA", issuer, "-CAkey", issuer_key, "-CAcreateserial"]
    made = run(
        [*issue, "-CAserial", f"{folder}/serial", "-extfile", "/dev/stdin", "-in", request, "-out", certificate],
        b"basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\nsubjectAltName=DNS:client.test\n",
    )
    expect(made.code == 0, made.output)
    # Exim reads it as another user.
    os.chmod(key, 0o644)
    return certificate, key


class World:
    """All of it, and the books: how often each message should have arrived."""

    def __init__(self, stack):
        # Short, since unix sockets lie below it.
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="clients-", dir="/tmp"))
        # Postfix walks through it as another user.
        os.chmod(self.folder, 0o711)
        self.rig = Rig(stack, os.path.join(self.folder, "rig"))
        facts = self.rig.facts
        self.script = provider.Provider(facts["SERVER_CERT"], facts["SERVER_KEY"])
        scripted = {"HOST": "127.0.0.1", "PORT": self.script.port, "TLS": "implicit"}
        scripted.update(USERNAME=provider.USERNAME, PASSWORD=provider.PASSWORD)
        lmtp = f"127.0.0.1:0,unix:{self.folder}/lmtp"
        # Postfix and Exim have users of their own.
        # By which name a program calls the binary decides what it is.
        self.sendmail = os.path.join(self.folder, "sendmail")
        os.symlink(BINARY, self.sendmail)
        scripted["SMTP_LISTEN"] = f"127.0.0.1:0,unix:{self.folder}/smtp"
        open_to_all = {"LMTP_LISTEN": lmtp, "SOCKET_MODE": "0666"}
        self.real = Sidepost(stack, "real provider", {**self.rig.settings(), **open_to_all})
        self.scripted = Sidepost(stack, "scripted provider", {**self.rig.settings(), **scripted})
        self.locked_out = Sidepost(stack, "wrong password", {**self.rig.settings(), "PASSWORD": "wrong"})
        self.few = Sidepost(stack, "few recipients", {**self.rig.settings(), "MAX_RECIPIENTS": 5})
        self.restarted = Sidepost(stack, "restarted", self.rig.settings())
        secure = {**self.rig.settings(), "TLS_CERT_FILE": facts["SERVER_CERT"], "TLS_KEY_FILE": facts["SERVER_KEY"]}
        secure["SMTPS_LISTEN"] = "127.0.0.1:0"
        self._books = []
        self.secure = Sidepost(stack, "TLS", secure)
        self.guarded = Sidepost(stack, "TLS and users", {**secure, "SMTP_USERS": f"{USER}:{PASSWORD}"})
        self.certified = Sidepost(stack, "client certificates", {**secure, "TLS_CLIENT_CA_FILE": facts["CA_FILE"]})
        self._certificate, self._key = client_certificate(self.folder, facts["CA_FILE"], facts["CA_KEY"])

    def certified_door(self, tls):
        return dataclasses.replace(self.certified.by(tls), certificate=self._certificate, key=self._key)

    def scripted_socket(self):
        return dataclasses.replace(self.scripted.door, socket=f"{self.folder}/smtp")

    @contextlib.contextmanager
    def nobody(self):
        """A door behind which nobody is, nor can be as long as this holds its port."""
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            yield Door(held.getsockname()[1])

    def doors(self):
        """Every way in past the plain one."""
        for tls in ("starttls", "implicit"):
            yield self.secure.by(tls)
        for tls in ("none", "starttls", "implicit"):
            for login in ("PLAIN", "LOGIN"):
                yield self.guarded.by(tls, login)

    def file_with(self, content):
        """The path of a new file."""
        handle, path = tempfile.mkstemp(dir=self.folder)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        return path

    @contextlib.contextmanager
    def fault(self, **knobs):
        """The scripted provider with knobs turned, back to normal in the end."""
        for name, value in knobs.items():
            setattr(self.script, name, value)
        try:
            yield
        finally:
            self.script.reset()

    @contextlib.contextmanager
    def provider_down(self):
        self.script.down()
        try:
            yield
        finally:
            self.script.up()

    def arrived(self, mail, count=1, at=None):
        """The copies of a message that arrived, which are so many and stay so many."""
        place = at or self.rig
        self._books.append((place, mail.mark, count))
        within(lambda: len(place.of(mail.mark)) >= count, f"{mail.mark} arrives")
        copies = place.of(mail.mark)
        expect_equal(len(copies), count, f"copies of {mail.mark}")
        return copies

    def nothing_arrives(self, mail, at=None):
        self.arrived(mail, 0, at)

    def forget(self, mail):
        """What was written down of it no longer holds."""
        self._books = [entry for entry in self._books if entry[1] != mail.mark]

    def close_the_books(self):
        """Nothing came later: neither a second copy, nor what was refused."""
        for place, mark, count in self._books:
            expect_equal(len(place.of(mark)), count, f"copies of {mark} in the end")
        return len(self._books)
