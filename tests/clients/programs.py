"""Mail programs that are run once for each message: swaks, curl, msmtp. They send the octets that they are given."""

from harness import last_reply, run


class Swaks:
    name = "swaks"
    exact = True
    skills = ("lmtp for many",)

    def __init__(self, world, *options):
        self._world, self._options = world, options

    def send(self, door, mail):
        # swaks ends every line with CRLF itself, and the message with one more.
        content = mail.raw.replace(b"\r\n", b"\n").removesuffix(b"\n")
        command = ["swaks", "--server", door.host, "--port", str(door.port), "--helo", "client.test"]
        command += ["--from", mail.sender, "--to", ",".join(mail.recipients), *self._door(door), *self._options]
        done = run([*command, "--data", "@" + self._world.file_with(content)])
        return last_reply(done.output, r"^<[-~*]+ +(\d{3})")

    @staticmethod
    def _door(door):
        if door.tls != "none":
            yield from ["--tls" if door.tls == "starttls" else "--tls-on-connect"]
            yield from ["--tls-verify", "--tls-ca-path", door.ca_file]
        if door.certificate:
            yield from ["--tls-cert", door.certificate, "--tls-key", door.key]
        if door.lmtp:
            yield from ["--protocol", "LMTP"]
        if door.login != "none":
            yield from ["--auth", door.login, "--auth-user", door.user, "--auth-password", door.password]


class Curl:
    name = "curl"
    exact = True
    skills = ("utf8",)

    def __init__(self, world, *options):
        self._world, self._options = world, options

    def _arguments(self, door, mail):
        url = f"smtp{'s' if door.tls == 'implicit' else ''}://{door.host}:{door.port}/client.test"
        arguments = ["--url", url, "--mail-from", mail.sender, "--upload-file", self._world.file_with(mail.raw)]
        arguments += [part for recipient in mail.recipients for part in ("--mail-rcpt", recipient)]
        return [*arguments, "-sS", "-v", *self._door(door), *self._options]

    @staticmethod
    def _door(door):
        if door.tls != "none":
            yield from ["--ssl-reqd", "--cacert", door.ca_file]
        if door.certificate:
            yield from ["--cert", door.certificate, "--key", door.key]
        if door.login != "none":
            yield from ["--user", f"{door.user}:{door.password}", "--login-options", f"AUTH={door.login}"]

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
    # It writes addresses beyond ASCII without asking for SMTPUTF8, and is refused.
    skills = ("notices", "lmtp for many")

    def __init__(self, world, *options):
        self._world, self._options = world, options

    def send(self, door, mail):
        command = ["msmtp", "--debug", f"--host={door.host}", f"--port={door.port}", "--domain=client.test"]
        command += [f"--from={mail.sender}", *self._door(door), *self._options]
        command += ["--dsn-notify=success,failure"] if mail.notices else []
        done = run([*command, "--", *mail.recipients], mail.raw.replace(b"\r\n", b"\n"))
        return last_reply(done.output, r"^<-- (\d{3})")

    def _door(self, door):
        yield "--protocol=lmtp" if door.lmtp else "--protocol=smtp"
        yield "--tls=off" if door.tls == "none" else "--tls=on"
        if door.tls != "none":
            starttls = "on" if door.tls == "starttls" else "off"
            yield from [f"--tls-starttls={starttls}", f"--tls-trust-file={door.ca_file}"]
        if door.certificate:
            yield from [f"--tls-cert-file={door.certificate}", f"--tls-key-file={door.key}"]
        yield "--auth=off" if door.login == "none" else f"--auth={door.login.lower()}"
        if door.login != "none":
            file = self._world.file_with(door.password.encode() + b"\n")
            yield from [f"--user={door.user}", f"--passwordeval=cat {file}"]
