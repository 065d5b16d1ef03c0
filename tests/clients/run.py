"""Real clients hand mail to Sidepost; the other end is looked at. One line for each case.

usage: run.py [PART OF A NAME...]
"""

import contextlib
import os
import sys

import cron
import relay_stories
import sendmail_stories
import stories
import swaks_modes
from harness import tell
from libraries import Smtplib, django, nodemailer, php_mailer
from programs import Curl, Msmtp, Swaks
from relays import Exim, Postfix
from source import Source
from world import World


def clients(world):
    yield Swaks(world)
    yield Curl(world)
    yield Msmtp(world)
    yield Smtplib()
    yield nodemailer("", transport={"pool": False})
    yield nodemailer(" with a pool", transport={"pool": True, "maxConnections": 3})
    yield php_mailer("")
    yield django("")


def relays(stack, world):
    """Started only when their turn comes. Postfix gives files to other users, which only root can."""
    doors = [
        ("app.test", "smtp", world.real.door),
        ("real.test", "smtp", world.real.door),
        ("script.test", "smtp", world.scripted.door),
        ("locked.test", "smtp", world.locked_out.door),
        ("few.test", "smtp", world.few.door),
        ("restart.test", "smtp", world.restarted.door),
        ("nopipe.test", "nopipe", world.real.door),
        ("helo.test", "helo", world.real.door),
        ("lmtp.test", "lmtp", world.real.lmtp()),
        ("socket.test", "lmtp", world.real.lmtp_socket()),
        ("starttls.test", "starttls", world.secure.by("starttls")),
        ("starttls-login.test", "starttls_login", world.guarded.by("starttls", "LOGIN")),
        ("certified.test", "certified", world.certified_door("starttls")),
        ("smtps.test", "smtps", world.secure.by("implicit")),
        ("smtps-plain.test", "smtps_plain", world.guarded.by("implicit", "PLAIN")),
    ]
    kinds = (Postfix, Exim) if os.geteuid() == 0 else (Exim,)
    if Postfix not in kinds:
        print("skipped Postfix as a client: it needs root")
    for kind in kinds:
        folder = os.path.join(world.folder, kind.name)
        yield kind(stack, folder, doors)


def cases(stack, world):
    for client in clients(world):
        for name, case in stories.cases_of(client, world):
            yield f"{client.name}: {name}", case
    for name, case in sendmail_stories.cases_of(world):
        yield f"sendmail from {name}", case
    for name, case in cron.cases_of(world):
        yield f"sendmail from cron: {name}", case
    for name, case in swaks_modes.cases_of(world):
        yield f"swaks: {name}", case
    for name, case in Source(world).cases():
        yield f"smtp-source: {name}", case
    for relay in relays(stack, world):
        for name, case in relay_stories.cases_of(relay, world):
            yield f"{relay.name}: {name}", case


def main(wanted):
    results = []
    with contextlib.ExitStack() as stack:
        world = World(stack)
        for name, case in cases(stack, world):
            if not wanted or any(part in name for part in wanted):
                results.append(tell(name, case))
        results.append(tell("no copy came late, and nothing that was refused", world.close_the_books))
    passed = sum(results)
    print(f"{passed} passed, {len(results) - passed} failed")
    return 0 if passed == len(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
