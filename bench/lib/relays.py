"""Sidepost and its peers, each between an SMTP port of its own and a provider's port."""

import os
import pwd
import shutil
import socket
from pathlib import Path

from .measure import until

PEERS = Path(__file__).resolve().parent.parent / "peers"


class Relay:
    """What stands between."""

    name = ""
    # Whether its yes to a message means that the provider said yes.
    answer_is_awaited = True
    settle = None

    def __init__(self, workshop):
        self.workshop = workshop
        self.port = workshop.port()
        self.group = None

    def greets(self):
        """Some listen before they can serve."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as client:
                return client.recv(100).startswith(b"220")
        except OSError:
            return False


class Sidepost(Relay):
    name = "Sidepost"

    def __init__(self, kit, workshop, provider, *, name="sidepost", before=(), **settings):
        """`settings` go over the defaults; `before` goes in front of the command. Without a provider, mail is captured."""
        super().__init__(workshop)
        self.kit = kit
        self.http_port = workshop.port()
        self.admin_port = workshop.port()
        self.label = f"{name}-{self.port}"
        self.before = before
        there = {
            "SIDEPOST_PROVIDER": "smtp",
            "SIDEPOST_HOST": "127.0.0.1",
            "SIDEPOST_PORT": str(provider),
            "SIDEPOST_TLS": "none",
        }
        self.environment = (there if provider else {"SIDEPOST_PROVIDER": "capture"}) | {
            "SIDEPOST_SMTP_LISTEN": f"127.0.0.1:{self.port}",
            "SIDEPOST_HTTP_LISTEN": f"127.0.0.1:{self.http_port}",
            "SIDEPOST_ADMIN_LISTEN": f"127.0.0.1:{self.admin_port}",
        } | {f"SIDEPOST_{key.upper()}": str(value) for key, value in settings.items()}
        self.start()

    def start(self, answers=True):
        """Its log goes to a file, as in real use."""
        command = [*self.before, self.kit.sidepost]
        options = {"name": self.label, "port": self.port, "answers": answers, "env": self.environment}
        self.group = self.workshop.start(command, **options)

    def restart(self):
        self.workshop.end(self.group)
        self.start()

    def resident(self):
        return self.group.resident()


class Aiosmtpd(Relay):
    """The way it is written everywhere: a handler that awaits aiosmtplib.send."""

    name = "aiosmtpd + aiosmtplib"

    def __init__(self, kit, workshop, provider):
        super().__init__(workshop)
        command = [kit.python, PEERS / "aiosmtpd_relay.py", self.port, provider]
        self.group = workshop.start(command, name="aiosmtpd", port=self.port)


class NodeRelay(Relay):
    """smtp-server with Nodemailer's pool behind it."""

    name = "smtp-server + Nodemailer"

    def __init__(self, kit, workshop, provider):
        super().__init__(workshop)
        command = ["node", PEERS / "nodemailer_relay.cjs", self.port, provider]
        self.group = workshop.start(command, name="node-relay", port=self.port, env=os.environ | {"NODE_PATH": str(kit.modules)})


class Haraka(Relay):
    """With smtp_forward as its queue, which awaits the provider's answer."""

    name = "Haraka smtp_forward"

    def __init__(self, kit, workshop, provider):
        super().__init__(workshop)
        home = workshop.path / f"haraka-{self.port}"
        files = {
            "config/plugins": "accept\nqueue/smtp_forward\n",
            "config/smtp.ini": f"listen=127.0.0.1:{self.port}\nnodes=cpus\n",
            "config/smtp_forward.ini": f"host=127.0.0.1\nport={provider}\n",
            "config/log.ini": "level=warn\n",
            "config/me": "relay.test\n",
            "config/host_list": "vm\n",
            "plugins/accept.js": "exports.hook_rcpt = (next) => next(OK)\n",
        }
        for name, text in files.items():
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        shutil.copy(kit.modules / "Haraka" / "config" / "connection.ini", home / "config")
        command = ["node", kit.modules / "Haraka" / "bin" / "haraka", "-c", home]
        self.group = workshop.start(command, name="haraka", port=self.port)
        until(self.greets)


class Postfix(Relay):
    """Its own configuration and queue in the workshop; nothing in /etc is read but the users."""

    main = """
compatibility_level = 3.6
queue_directory = {home}/queue
data_directory = {home}/data
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {home}
maillog_file = {home}/postfix.log
myhostname = relay.test
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
mydestination =
local_recipient_maps =
alias_maps =
alias_database =
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
relayhost = [127.0.0.1]:{provider}
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_recipient_restrictions =
default_process_limit = 250
in_flow_delay = 0
default_destination_concurrency_limit = 50
initial_destination_concurrency = 50
smtp_connection_cache_destinations = 127.0.0.1
max_use = 10000
smtpd_client_connection_count_limit = 0
smtpd_error_sleep_time = 0
delay_logging_resolution_limit = 6
"""
    master = """
127.0.0.1:{port} inet  n       -       n       -       {processes}     smtpd{options}
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
proxymap  unix  -       -       n       -       -       proxymap
scache    unix  -       -       n       -       1       scache
anvil     unix  -       -       n       -       1       anvil
smtp      unix  -       -       n       -       100     smtp
relay     unix  -       -       n       -       100     smtp
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
postlog   unix-dgram n  -       n       -       1       postlogd
"""
    options = ""

    def __init__(self, kit, workshop, provider):
        super().__init__(workshop)
        self.home = workshop.path / f"postfix-{self.port}"
        facts = {"home": self.home, "provider": provider, "port": self.port, "processes": 250}
        self.make_folders()
        for name, text in (("main.cf", self.main), ("master.cf", self.master)):
            path = self.home / name
            path.write_text(text.format(**facts, options=self.options.format(**facts)))
            # Postfix waits when a file looks as if somebody still wrote to it.
            os.utime(path, (1, 1))
        command = [kit.daemons / "master", "-c", self.home, "-d"]
        environment = os.environ | {"MAIL_CONFIG": str(self.home)}
        self.group = workshop.start(command, name=self.home.name, port=self.port, env=environment)

    def make_folders(self):
        owner = pwd.getpwnam("postfix").pw_uid
        queue = self.home / "queue"
        (queue / "pid").mkdir(parents=True)
        private = ["incoming", "active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "saved", "trace", "private"]
        folders = [(queue / name, 0o700) for name in private] + [(self.home / "data", 0o700)]
        folders += [(queue / "public", 0o2710), (queue / "maildrop", 0o1730)]
        for folder, mode in folders:
            folder.mkdir()
            shutil.chown(folder, owner, None if mode == 0o700 else "postdrop")
            folder.chmod(mode)

    def logged(self):
        return (self.home / "postfix.log").read_text(errors="replace").splitlines()


class PostfixProxy(Postfix):
    """Before the queue: smtpd hands each message on and passes the provider's answer back."""

    name = "Postfix before-queue proxy"
    options = "\n    -o smtpd_proxy_filter=127.0.0.1:{provider}"


class PostfixQueue(Postfix):
    """A null client: it says yes when the message is on the disk; what counts is when the provider has it."""

    name = "Postfix queue"
    answer_is_awaited = False

    def settle(self):
        until(self.is_empty, seconds=90, pause=0.01)

    def is_empty(self):
        queues = ("incoming", "active", "deferred", "maildrop")
        return not any(files for queue in queues for _, _, files in os.walk(self.home / "queue" / queue))


def peers(kit):
    """Those that can run here."""
    postfix = [PostfixProxy, PostfixQueue] if kit.is_root else []
    wanted = [("postfix", relay) for relay in postfix] + [("aiosmtpd", Aiosmtpd), ("nodemailer", NodeRelay), ("haraka", Haraka)]
    return [relay for word, relay in wanted if kit.wants(word)]
