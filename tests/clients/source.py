"""Postfix's load generator, smtp-source, with its options: what it says it sent has to be what arrives."""

import re

from harness import Mail, expect, expect_equal, run, within

# Name, options, messages, recipients of each.
LOADS = [
    ("one after another", [], 20, 1),
    ("over one connection", ["-d"], 100, 1),
    ("twenty sessions", ["-s", "20"], 200, 1),
    ("twenty sessions that stay", ["-s", "20", "-d"], 400, 1),
    ("fifty recipients", ["-s", "4", "-r", "50"], 20, 50),
    ("numbered recipients", ["-N", "-r", "3"], 10, 3),
    ("a pause before each message", ["-w", "1", "-s", "3", "-d"], 6, 1),
    ("a pause of chance", ["-R", "1", "-s", "5"], 5, 1),
    ("messages of 500 kB", ["-l", "500000", "-s", "4"], 12, 1),
    ("another name and sender", ["-M", "client.test", "-f", "other@app.test"], 5, 1),
    ("a null sender", ["-f", ""], 5, 1),
    ("a small window", ["-T", "1024", "-l", "100000"], 5, 1),
    ("IPv4 and a counter", ["-4", "-c"], 5, 1),
    ("a prepared message", ["-F"], 5, 1),
]


class Source:
    def __init__(self, world):
        self._world = world

    def run(self, mail, options, messages):
        options = ["-s", "1", *options, "-m", str(messages), "-t", mail.recipients[0]]
        return run(["smtp-source", *options, f"127.0.0.1:{self._world.scripted.door.port}"])

    def taken(self, mail):
        """What the provider has of a load: its recipients are its own."""
        domain = "@" + mail.recipients[0]
        return [taken for taken in list(self._world.script.taken) if ("@" + taken.recipients[0]).endswith(domain[1:])]

    def load(self, options, messages, recipients):
        mail = Mail()
        mail.recipients = [f"{mail.mark}@inbox.test"]
        if options == ["-F"]:
            options = ["-F", self._world.file_with(mail.raw.replace(b"\r\n", b"\n"))]
        done = self.run(mail, options, messages)
        expect(done.code == 0 and "warning" not in done.output, done.output)
        within(lambda: len(self.taken(mail)) >= messages, "all of them arrive")
        found = self.taken(mail)
        expect_equal(len(found), messages, "messages")
        expect_equal({len(taken.recipients) for taken in found}, {recipients}, "recipients of each")
        if "-F" in options:
            # It adds an empty line.
            arrived = [taken.content.removesuffix(b"\r\n") for taken in found]
            expect(all(content.endswith(mail.raw) for content in arrived), f"octets were changed: {arrived[0]}")
        else:
            expect_equal(len(set(map(message_id, found))), messages, "Message-IDs")

    def without_greeting(self):
        """`-o` sends MAIL without HELO, as nobody has done since 1982."""
        refused = self.run(Mail(), ["-o"], 1)
        expect(refused.code != 0 and "503 5.5.1" in refused.output, refused.output)

    def goes_on_where_it_is_refused(self):
        """`-A` goes on after each refusal; Sidepost stays, and says the same each time."""
        with self._world.fault(final="554 5.6.0 Not with this content"):
            done = self.run(Mail(), ["-A", "-d"], 8)
        expect_equal(done.output.count("rejected: 554 5.6.0"), 8, done.output)

    def too_large(self):
        done = self.run(Mail(), ["-l", "1200000"], 1)
        expect(done.code != 0 and "552 5.3.4" in done.output, done.output)

    def cases(self):
        for name, options, messages, recipients in LOADS:
            yield name, lambda options=options, m=messages, r=recipients: self.load(options, m, r)
        for case in (self.without_greeting, self.goes_on_where_it_is_refused, self.too_large):
            yield case.__name__.replace("_", " "), case


def message_id(taken):
    return re.search(rb"(?mi)^Message-Id: *(.*?)\r$", taken.content)[1]
