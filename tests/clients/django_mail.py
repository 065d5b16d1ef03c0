"""Sends the messages of a task on standard input with Django, and says what became of each."""

import json
import os
import smtplib
import sys

import django
from django.conf import settings
from django.core import mail

task = json.load(sys.stdin)
door = task["door"]
login = door["login"] != "none"
if door["ca_file"]:
    # Django has no setting for it: Python's TLS reads this.
    os.environ["SSL_CERT_FILE"] = door["ca_file"]
settings.configure(
    EMAIL_BACKEND=task.get("backend", "django.core.mail.backends.smtp.EmailBackend"),
    SENDMAIL_BINARY=task.get("binary"),
    EMAIL_HOST=door["host"],
    EMAIL_PORT=door["port"],
    EMAIL_HOST_USER=door["user"] if login else "",
    EMAIL_HOST_PASSWORD=door["password"] if login else "",
    EMAIL_USE_TLS=door["tls"] == "starttls",
    EMAIL_USE_SSL=door["tls"] == "implicit",
    EMAIL_SSL_CERTFILE=door["certificate"] or None,
    EMAIL_SSL_KEYFILE=door["key"] or None,
    EMAIL_TIMEOUT=20,
)
django.setup()


def message(fields, connection):
    # Its own way to write a display name down.
    sender = mail.message.sanitize_address((fields["sender_name"], fields["sender"]), "utf-8")
    made = mail.EmailMultiAlternatives(
        fields["subject"],
        fields["text"],
        sender,
        fields["recipients"],
        bcc=fields["hidden"],
        headers={"X-Mark": fields["mark"]},
        connection=connection,
    )
    if fields["html"]:
        made.attach_alternative(fields["html"], "text/html")
    for file in fields["attachments"]:
        made.attach(file["name"], bytes.fromhex(file["hex"]), file["type"])
    return made


def send(fields, connection):
    try:
        return {"code": 250 * message(fields, connection).send(), "said": "sent"}
    except smtplib.SMTPRecipientsRefused as refused:
        return {"code": next(iter(refused.recipients.values()))[0], "said": repr(refused)}
    except smtplib.SMTPResponseException as refused:
        return {"code": refused.smtp_code, "said": repr(refused)}
    except Exception as error:
        return {"code": 0, "said": repr(error)}


def main():
    connection = mail.get_connection()
    try:
        connection.open()
        results = [send(fields, connection) for fields in task["mails"]]
    except (OSError, smtplib.SMTPException) as error:
        code = getattr(error, "smtp_code", 0)
        results = [{"code": code, "said": repr(error)} for _ in task["mails"]]
    print("RESULTS " + json.dumps(results))


main()
