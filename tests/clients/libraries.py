"""Libraries that applications send with: Python's smtplib, Nodemailer, PHPMailer, Django."""

import dataclasses
import json
import os
import smtplib
import ssl

from harness import HERE, PATIENCE, TOOLS, Result, Wrong, run


class Smtplib:
    name = "Python smtplib"
    exact = True
    # Its LMTP reads one reply to the content, however many recipients there are.
    skills = ("utf8", "notices", "lmtp")

    def send(self, door, mail):
        return self.send_many(door, [mail])[0]

    def send_many(self, door, mails):
        try:
            with self._connected(door) as client:
                return [self._send(client, mail) for mail in mails]
        except smtplib.SMTPResponseException as error:
            return [Result(error.smtp_code, repr(error))] * len(mails)
        except ssl.SSLError as error:
            return [Result(0, repr(error))] * len(mails)

    @staticmethod
    def _connected(door):
        context = ssl.create_default_context(cafile=door.ca_file) if door.tls != "none" else None
        if door.certificate:
            context.load_cert_chain(door.certificate, door.key)
        if door.tls == "implicit":
            client = smtplib.SMTP_SSL(door.host, door.port, "client.test", timeout=PATIENCE, context=context)
        elif door.lmtp:
            client = smtplib.LMTP(door.host, door.port, "client.test")
        else:
            client = smtplib.SMTP(door.host, door.port, "client.test", PATIENCE)
        if door.tls == "starttls":
            client.starttls(context=context)
        client.ehlo()
        if door.login != "none":
            client.user, client.password = door.user, door.password
            client.auth(door.login, client.auth_plain if door.login == "PLAIN" else client.auth_login)
        return client

    @staticmethod
    def _send(client, mail):
        options = [] if mail.raw.isascii() else ["BODY=8BITMIME"]
        if not all(map(str.isascii, mail.recipients)):
            client.command_encoding = "utf-8"
            options.append("SMTPUTF8")
        wishes = ["NOTIFY=SUCCESS,FAILURE"] if mail.notices else []
        try:
            refused = client.sendmail(mail.sender, mail.recipients, mail.raw, options, wishes)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPResponseException as error:
            return Result(error.smtp_code, repr(error))
        if refused:
            return Result(next(iter(refused.values()))[0], repr(refused))
        return Result(250, "taken")


class Script:
    """A program of ours that hands messages to a library, and says in JSON what the library says."""

    exact = False

    def __init__(self, name, command, skills, **options):
        self.name, self.skills, self._command, self._options = name, skills, command, options

    def send(self, door, mail):
        return self.send_many(door, [mail])[0]

    def send_many(self, door, mails, environment=None):
        mails = [mail.fields() for mail in mails]
        task = {"door": dataclasses.asdict(door), **self._options, "mails": mails}
        done = run(self._command, json.dumps(task).encode(), environment)
        try:
            results = json.loads(done.output.rpartition("RESULTS ")[2])
        except ValueError:
            raise Wrong(f"{self.name}: {done.output}") from None
        return [Result(result["code"], f"{result['said']}\n{done.output}") for result in results]


def nodemailer(name, **options):
    skills = ("upgrades", "utf8", "notices", "lmtp for many")
    return Script(f"Nodemailer{name}", [node(), os.path.join(HERE, "nodemailer.js")], skills, **options)


def php_mailer(name, **options):
    return Script(f"PHPMailer{name}", ["php", os.path.join(HERE, "phpmailer.php")], ("upgrades", "notices"), **options)


def django(name, **options):
    return Script(f"Django{name}", [django_python(), os.path.join(HERE, "django_mail.py")], ("no certificate",), **options)


def django_python():
    return os.path.join(TOOLS, "clients/django/bin/python")


def node():
    """The machine's own, or the one that scripts/clients.sh put beside the tools."""
    own = os.path.join(TOOLS, "clients/node/bin/node")
    return own if os.path.exists(own) else "node"
