"""Mail programs that are run once for each message: swaks, curl, msmtp. They send what they are given, octet by octet."""

from harness import last_reply, run


class Swaks:
    name = "swaks"
    exact = True

    def __init__(self, world, *options):
        self._world, self._options = world, options

    def send(self, door, mail):
        # swaks ends every line with CRLF itself, and the message with one more.
        content = mail.raw.replace(b"\r\n", b"\n").removesuffix(b"\n")
        command = ["swaks", "--server", door.host, "--port", str(door.port), "--helo", "client.test"]
        command += ["--from", mail.sender, "--to", ",".join(mail.recipients), *self._options]
        done = run([*command, "--data", "@" + self._world.file_with(content)])
        return last_reply(done.output, r"^<[-~*]+ +(\d{3})")


class Curl:
    name = "curl"
    exact = True

    def __init__(self, world, *options):
        self._world, self._options = world, options

    def _arguments(self, door, mail):
        url = f"smtp://{door.host}:{door.port}/client.test"
        arguments = ["--url", url, "--mail-from", mail.sender, "--upload-file", self._world.file_with(mail.raw)]
        arguments += [part for recipient in mail.recipients for part in ("--mail-rcpt", recipient)]
        return [*arguments, "-sS", "-v", *self._options]

    def send(self, door, mail):
        return self._said(run(["curl", "--disable", *self._arguments(door, mail)]).output)

    def send_many(self, door, mails):
        """With one command, over one connection."""
        command = ["curl", "--disable"]
        for mail in mails:
            command += [*self._arguments(door, mail), "--next"]
        done = run(command[:-1])
        said = done.output.split("> MAIL FROM:")
        assert len(said) == len(mails) + 1 and done.output.count("< 220 ") == 1, done.output
        return [self._said(part) for part in said[1:]]

    @staticmethod
    def _said(output):
        return last_reply(output, r"^< (\d{3})")


class Msmtp:
    name = "msmtp"
    exact = True

    def __init__(self, *options):
        self._options = options

    def send(self, door, mail):
        command = ["msmtp", "--debug", f"--host={door.host}", f"--port={door.port}"]
        command += ["--domain=client.test", "--tls=off", "--auth=off", f"--from={mail.sender}", *self._options]
        done = run([*command, "--", *mail.recipients], mail.raw.replace(b"\r\n", b"\n"))
        return last_reply(done.output, r"^<-- (\d{3})")
