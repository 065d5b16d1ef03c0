"""What all cases use: a wrong result, programs that are bounded in time, mail with everything in it, and one line each."""

import dataclasses
import email.header
import email.message
import email.policy
import email.utils
import functools
import itertools
import os
import re
import subprocess
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TOOLS = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "tools")
# Far more than anything needs, so that only what hangs meets it.
PATIENCE = 30


class Wrong(Exception):
    """A result that should not be."""


def expect(condition, why):
    if not condition:
        raise Wrong(why)


def expect_equal(found, wanted, what):
    if found != wanted:
        raise Wrong(f"{what}: {shortened(found)} instead of {shortened(wanted)}")


def shortened(value):
    text = repr(value)
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-150:]} ({len(text)} characters)"


def within(found, what, seconds=PATIENCE):
    """The first true value that `found()` gives."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > end:
            raise Wrong(f"{what}: not within {seconds} s")
        time.sleep(0.02)


@dataclasses.dataclass
class Finished:
    code: int
    output: str


def run(arguments, text=b"", environment=None):
    """Runs a program to its end; its output and its errors in the order in which it wrote them."""
    variables = {**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", **(environment or {})}
    try:
        done = subprocess.run(
            arguments, input=text, env=variables, timeout=PATIENCE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
    except subprocess.TimeoutExpired as expired:
        raise Wrong(f"{arguments[0]} does not end: {expired.output}") from expired
    return Finished(done.returncode, done.stdout.decode("utf-8", "replace"))


@dataclasses.dataclass
class Result:
    """What a client was told of one message: the code of the last reply to it, and everything that was said."""

    code: int
    dialogue: str


def last_reply(dialogue, pattern):
    """The code of the last reply that is not the goodbye; `pattern` finds a reply's code at its line's start."""
    codes = [int(code) for code in re.findall(pattern, dialogue, re.MULTILINE) if code != "221"]
    return Result(codes[-1] if codes else 0, dialogue)


_numbers = itertools.count(1)


@dataclasses.dataclass
class Mail:
    """A message as a program means it; `raw` is one way to write it down."""

    recipients: list = dataclasses.field(default_factory=lambda: ["someone@inbox.test"])
    subject: str = "A short note"
    text: str = "Hello.\n"
    html: str = ""
    attachments: list = dataclasses.field(default_factory=list)
    sender: str = "sender@app.test"
    sender_name: str = "A Sender"
    # Who gets it as Bcc.
    hidden: list = dataclasses.field(default_factory=list)
    # Whether the sender asks to be told of success and of failure (RFC 3461).
    notices: bool = False
    mark: str = dataclasses.field(default_factory=lambda: f"case-{os.getpid()}-{next(_numbers)}")

    @functools.cached_property
    def raw(self):
        """The message with CRLF, its text in 8 bits if it needs them."""
        message = email.message.EmailMessage(policy=email.policy.SMTP)
        message["From"] = f'"{self.sender_name}" <{self.sender}>'
        message["To"] = self.recipients[0]
        message["Subject"] = self.subject
        message["Date"] = "Mon, 05 Jan 2026 10:00:00 +0000"
        message["Message-ID"] = f"<{self.mark}@app.test>"
        message["X-Mark"] = self.mark
        message.set_content(self.text, cte="7bit" if self.text.isascii() else "8bit")
        if self.html:
            message.add_alternative(self.html, subtype="html", cte="8bit")
        for name, kind, content in self.attachments:
            main, sub = kind.split("/")
            message.add_attachment(content, maintype=main, subtype=sub, filename=name)
        return message.as_bytes()

    def fields(self):
        """For programs that build the message themselves."""
        fields = dataclasses.asdict(self)
        fields["attachments"] = [
            {"name": name, "type": kind, "hex": content.hex()} for name, kind, content in self.attachments
        ]
        return fields


def full_mail(**fields):
    """A message with everything that somebody on the way may damage."""
    octets = bytes(range(256)) * 300 + b"\r\n.\r\n\n.\n\r.\r"
    text = (
        ".\n..\n.one dot\nFrom the start\n>From quoted\n\n.\nGrüße aus Köln, 世界, 😀\n"
        "a blank at the end \n\ttab\n" + "long " * 190 + "\n=20=3D not quoted-printable\n.\n\nQUIT\nlast\n"
    )
    return Mail(
        subject="Grüße 世界 😀 and a subject that is far too long for one line of a header, so that it is folded",
        sender_name="Jörg, “the” Sender",
        text=text,
        html="<p>Grüße &amp; 世界</p>\n.\n<p>.</p>\n",
        attachments=[("übersicht 世界.bin", "application/octet-stream", octets), ("empty.txt", "text/plain", b"")],
        **fields,
    )


def compare(mail, stored, exact):
    """`stored` has to be `mail`: octet by octet where the client sent `mail.raw`, else as a mail program reads it."""
    stored = stored.replace(b"\r\n", b"\n")
    if exact:
        wanted = mail.raw.replace(b"\r\n", b"\n")
        expect(stored.endswith(wanted), f"{len(wanted)} octets were changed: {shortened(stored)}")
    message = email.message_from_bytes(stored, policy=email.policy.default)
    # Django folds behind the colon.
    expect_equal(message["Subject"].strip(), mail.subject, "the subject")
    expect_equal(sender_of(stored), (mail.sender_name, mail.sender), "the sender")
    expect(message["Message-ID"] and message["Date"], "no Message-ID or no Date")
    expect_equal(text_of(message, "plain"), mail.text.rstrip("\n"), "the text")
    if mail.html:
        expect_equal(text_of(message, "html"), mail.html.rstrip("\n"), "the HTML")
    found = [(part.get_filename(), octets_of(part)) for part in message.iter_attachments()]
    expect_equal(found, [(name, content) for name, _, content in mail.attachments], "the attachments")


def sender_of(stored):
    """By the older parser: the newer one puts blanks between encoded words of a display name."""
    old = email.message_from_bytes(stored, policy=email.policy.compat32)
    name, address = email.utils.parseaddr(old["From"])
    return str(email.header.make_header(email.header.decode_header(name))), address


def octets_of(part):
    return part.get_payload(decode=True)


def text_of(message, kind):
    part = message.get_body((kind,))
    expect(part is not None, f"no {kind} text")
    return part.get_content().replace("\r\n", "\n").rstrip("\n")


def excerpt(text):
    """The first and the last lines, each as far as somebody would read it."""
    lines = [f"        {line[:300]}" for line in text.splitlines()]
    return "\n".join(lines if len(lines) <= 90 else [*lines[:40], "        ...", *lines[-50:]])


def tell(name, case):
    """Runs a case; whether it was right."""
    began = time.monotonic()
    try:
        case()
    except Wrong as wrong:
        print(f"NOT OK  {name}\n{excerpt(str(wrong))}", flush=True)
        return False
    except Exception:
        print(f"NOT OK  {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)
    return True
