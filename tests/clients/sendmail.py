"""Programs that know no SMTP and call `sendmail`, which is the release binary by that name."""

import json
import os
import re
import subprocess

from harness import HERE, PATIENCE, Result, Wrong, run
from libraries import Script, django_python, node


class Caller:
    """Runs one program; `SIDEPOST_ADDRESS` says where the door is, as it would in a container's environment."""

    # Whether it hands over the octets that it is given.
    exact = False
    # Whether it can send HTML and attachments, and more than one recipient in the open.
    everything = True
    # Whether lines with a dot alone survive: without `-i`, that is where any sendmail stops reading.
    dots = True

    def __init__(self, name, sendmail):
        self.name, self.sendmail = name, sendmail

    def told(self, code, sentence):
        """What its user sees of a call that failed with that exit code and said that sentence."""
        return [sentence]

    def run(self, door, arguments, text=b"", more=None):
        done = run(arguments, text, {**environment(door), **(more or {})})
        return Result(0 if done.code else 250, f"{done.output}\nexit code {done.code}")


def environment(door):
    target = f"unix:{door.socket}" if door.socket else f"{door.host}:{door.port}"
    return {"SIDEPOST_ADDRESS": target}


def with_hidden(mail):
    """The octets of a message whose Bcc field is still there, as `-t` wants it."""
    if not mail.hidden:
        return mail.raw.replace(b"\r\n", b"\n")
    return f"Bcc: {', '.join(mail.hidden)}\n".encode() + mail.raw.replace(b"\r\n", b"\n")


class Subprocess(Caller):
    """What scripts in Python do, who have the message as a whole."""

    exact = True

    def send(self, door, mail):
        arguments = [self.sendmail, "-i", "-f", mail.sender, "--", *mail.recipients, *mail.hidden]
        done = subprocess.run(
            arguments,
            input=with_hidden(mail),
            env={**os.environ, **environment(door)},
            timeout=PATIENCE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return Result(0 if done.returncode else 250, f"{done.stdout.decode()}\nexit code {done.returncode}")


class PhpMail(Caller):
    def send(self, door, mail):
        header, _, body = with_hidden(mail).decode().partition("\n\n")
        subject = re.search(r"^Subject: (.*(?:\n[ \t].*)*)\n", header, re.MULTILINE)
        rest = re.sub(r"^(Subject|To): .*(?:\n[ \t].*)*\n", "", header, flags=re.MULTILINE)
        task = {"to": ", ".join(mail.recipients), "subject": crlf(subject[1]), "body": body, "sender": mail.sender}
        task["headers"] = crlf(rest)
        command = ["php", "-d", f"sendmail_path={self.sendmail} -t -i", os.path.join(HERE, "phpmail.php")]
        return self.run(door, command, json.dumps(task).encode())


class Mailutils(Caller):
    everything = False

    def told(self, code, sentence):
        """It closes the output of what it calls, and tells no more than this."""
        return ["cannot send message: Process exited with a non-zero status"]

    def send(self, door, mail):
        command = ["mail", "--no-config", "--exec", f'set sendmail="sendmail:{self.sendmail}"', "-s", mail.subject]
        command += ["-a", f"From: {mail.sender_name} <{mail.sender}>", "-a", f"X-Mark: {mail.mark}", "-r", mail.sender]
        command += ["-a", "Content-Type: text/plain; charset=UTF-8", "-a", "Content-Transfer-Encoding: 8bit"]
        command += [part for address in mail.hidden for part in ("-a", f"Bcc: {address}")]
        return self.run(door, [*command, "--", *mail.recipients], mail.text.encode())


def crlf(header):
    return header.replace("\n", "\r\n")


class Git(Caller):
    """`git send-email`, which takes a message as `git format-patch` writes it."""

    everything = False

    def __init__(self, name, sendmail, world):
        super().__init__(name, sendmail)
        self._world = world

    def send(self, door, mail):
        patch = self._world.file_with(b"From 0123456789 Mon Sep 17 00:00:00 2001\n" + mail.raw.replace(b"\r\n", b"\n"))
        settings = ["-c", "sendemail.confirm=never", "-c", "sendemail.suppresscc=all", "-c", "sendemail.validate=false"]
        command = ["git", *settings, "send-email", f"--smtp-server={self.sendmail}", f"--envelope-sender={mail.sender}"]
        command += [f"--to={address}" for address in mail.recipients] + [f"--bcc={address}" for address in mail.hidden]
        private = {"HOME": self._world.folder, "GIT_CONFIG_NOSYSTEM": "1", "GIT_DIR": self._world.folder}
        return self.run(door, [*command, f'--from="{mail.sender_name}" <{mail.sender}>', patch], more=private)


class Library(Caller):
    """A library's own way to sendmail."""

    def __init__(self, name, sendmail, command, **options):
        super().__init__(name, sendmail)
        self._script = Script(name, command, (), **options)

    def send(self, door, mail):
        return self._script.send_many(door, [mail], environment(door))[0]


class Nodemailer(Library):
    def told(self, code, sentence):
        return [f"ESENDMAIL: Sendmail exited with code {code}"]


class Django(Library):
    # The backend gives no `-i`.
    dots = False


def callers(world):
    sendmail = world.sendmail
    yield Subprocess("Python subprocess", sendmail)
    yield PhpMail("PHP mail()", sendmail)
    yield Mailutils("mail of mailutils", sendmail)
    yield Git("git send-email", sendmail, world)
    unix = {"sendmail": True, "path": sendmail, "newline": "unix"}
    yield Nodemailer("Nodemailer", sendmail, [node(), script("nodemailer.js")], transport=unix)
    options = {"properties": {"Mailer": "sendmail", "Sendmail": sendmail}}
    yield Library("PHPMailer", sendmail, ["php", script("phpmailer.php")], **options)
    options = {"backend": "cr_sendmail.backends.SendmailBackend", "binary": sendmail}
    yield Django("Django", sendmail, [django_python(), script("django_mail.py")], **options)


def script(name):
    return os.path.join(HERE, name)
