"""Libraries that applications send with: Python's smtplib, Nodemailer, PHPMailer, Perl's Net::SMTP."""

import json
import os
import smtplib

from harness import HERE, PATIENCE, TOOLS, Result, Wrong, run


class Smtplib:
    name = "Python smtplib"
    exact = True

    def send(self, door, mail):
        return self.send_many(door, [mail])[0]

    def send_many(self, door, mails):
        with smtplib.SMTP(door.host, door.port, "client.test", PATIENCE) as client:
            return [self._send(client, mail) for mail in mails]

    @staticmethod
    def _send(client, mail):
        options = [] if mail.raw.isascii() else ["BODY=8BITMIME"]
        try:
            refused = client.sendmail(mail.sender, mail.recipients, mail.raw, options)
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

    def __init__(self, name, command, **options):
        self.name, self._command, self._options = name, command, options

    def send(self, door, mail):
        return self.send_many(door, [mail])[0]

    def send_many(self, door, mails):
        task = {"host": door.host, "port": door.port, **self._options, "mails": [mail.fields() for mail in mails]}
        done = run(self._command, json.dumps(task).encode())
        try:
            results = json.loads(done.output.rpartition("RESULTS ")[2])
        except ValueError:
            raise Wrong(f"{self.name}: {done.output}") from None
        return [Result(result["code"], f"{result['said']}\n{done.output}") for result in results]


def nodemailer(name, **options):
    return Script(f"Nodemailer{name}", [node(), os.path.join(HERE, "nodemailer.js")], **options)


def php_mailer(name, **options):
    return Script(f"PHPMailer{name}", ["php", os.path.join(HERE, "phpmailer.php")], **options)


def node():
    """The machine's own, or the one that scripts/clients.sh put beside the tools."""
    own = os.path.join(TOOLS, "clients/node/bin/node")
    return own if os.path.exists(own) else "node"
