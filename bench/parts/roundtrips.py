"""Round trips per send: how long it takes over a line of 25 ms each way, in units of 50 ms.

Cold is the first send after the sender's start; warm are the sends after it. A cold send's least is two for the
handshake and the greeting, one for EHLO, and then what a warm one takes.
"""

import http.client
import json
import os
import re
import smtplib
import statistics
import subprocess
import time

from lib.ends import delay, sink, smtp_sink
from lib.install import HERE
from lib.measure import spread, until
from lib.relays import PostfixProxy, PostfixQueue, Sidepost

DELAY_MS = 25
ROUND_TRIP = 2 * DELAY_MS / 1000
SENDER, RECIPIENT = "a@example.com", "b@example.com"
MESSAGE = f"From: {SENDER}\r\nTo: {RECIPIENT}\r\nSubject: round trips\r\n\r\n" + ("x" * 70 + "\r\n") * 14
PEERS = HERE / "peers"


def measure(kit, workshop, effort):
    cold, warm = (3, 5) if effort.is_quick else (5, 10)
    providers = {
        "PIPELINING": smtp_sink(kit, workshop),
        "PIPELINING, CHUNKING": sink(kit, workshop)[0],
        "neither": sink(kit, workshop, "plain")[0],
    }
    rows = []
    for offers, port in providers.items():
        far = delay(kit, workshop, port, DELAY_MS)
        for name, sender in senders(kit).items():
            firsts, laters = sender(kit, workshop, far, cold, warm)
            rows.append({"sender": name, "provider": offers, "cold": in_round_trips(firsts), "warm": in_round_trips(laters)})
    return rows


def senders(kit):
    table = {"Sidepost, HTTP in": sidepost_http, "Sidepost, SMTP in": sidepost_smtp}
    if kit.wants("smtplib"):
        table |= {"Python smtplib, new connection": smtplib_new, "Python smtplib, kept": smtplib_kept}
    if kit.wants("nodemailer"):
        table |= {"Nodemailer": nodemailer(False), "Nodemailer, pool": nodemailer(True)}
    if kit.wants("lettre"):
        table["lettre, pool"] = lettre
    if kit.wants("postfix") and kit.is_root:
        table |= {"Postfix before-queue proxy": postfix_proxy, "Postfix queue": postfix_queue}
    return table


def in_round_trips(seconds):
    if not seconds:
        return None
    trips = [second / ROUND_TRIP for second in seconds]
    return {"median": round(statistics.median(trips), 2), "spread": round(spread(trips), 2), "runs": len(trips)}


def timed(send):
    began = time.monotonic()
    send()
    return time.monotonic() - began


def sidepost_http(kit, workshop, port, cold, warm):
    body = json.dumps({"from": SENDER, "to": RECIPIENT, "subject": "round trips", "text": "x" * 1000})
    relay = Sidepost(kit, workshop, port)
    connection = None

    def send():
        connection.request("POST", "/v1/send", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status

    firsts = []
    for _ in range(cold):
        relay.restart()
        connection = http.client.HTTPConnection("127.0.0.1", relay.http_port, timeout=10)
        connection.connect()
        firsts.append(timed(send))
    return firsts, [timed(send) for _ in range(warm)]


def sidepost_smtp(kit, workshop, port, cold, warm):
    relay = Sidepost(kit, workshop, port)
    firsts = []
    for _ in range(cold):
        relay.restart()
        client = smtplib.SMTP("127.0.0.1", relay.port, timeout=10)
        firsts.append(timed(lambda client=client: client.sendmail(SENDER, RECIPIENT, MESSAGE)))
    return firsts, [timed(lambda: client.sendmail(SENDER, RECIPIENT, MESSAGE)) for _ in range(warm)]


def smtplib_new(kit, workshop, port, cold, warm):
    """As most programs do it; there is no warm send."""

    def send():
        with smtplib.SMTP("127.0.0.1", port, timeout=10) as client:
            client.sendmail(SENDER, RECIPIENT, MESSAGE)

    return [timed(send) for _ in range(cold)], []


def smtplib_kept(kit, workshop, port, cold, warm):
    client = smtplib.SMTP("127.0.0.1", port, timeout=10)
    client.ehlo()
    laters = [timed(lambda: client.sendmail(SENDER, RECIPIENT, MESSAGE)) for _ in range(warm)]
    client.quit()
    return [], laters


def lines_of(command, cold, warm, **options):
    """Runs a sender so often; it prints the seconds of each of its sends, the first one cold."""
    firsts, laters = [], []
    for _ in range(cold):
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60, **options).stdout
        first, *rest = map(float, said.split())
        firsts.append(first)
        laters += rest
    return firsts, laters


def nodemailer(pool):
    def send(kit, workshop, port, cold, warm):
        later = max(1, warm // cold)
        command = ["node", PEERS / "nodemailer_send.cjs", str(port), "pool" if pool else "new", str(1 + later)]
        firsts, laters = lines_of(command, cold, warm, env=os.environ | {"NODE_PATH": str(kit.modules)})
        return (firsts, laters) if pool else (firsts + laters, [])

    return send


def lettre(kit, workshop, port, cold, warm):
    return lines_of([kit.lettre, str(port), str(1 + max(1, warm // cold))], cold, warm)


def postfix_proxy(kit, workshop, port, cold, warm):
    """It opens a connection for each message."""
    relay = PostfixProxy(kit, workshop, port)
    firsts = []
    for _ in range(cold):
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=10) as client:
            client.ehlo()
            firsts.append(timed(lambda client=client: client.sendmail(SENDER, RECIPIENT, MESSAGE)))
    workshop.end(relay.group)
    return firsts, []


def postfix_queue(kit, workshop, port, cold, warm):
    """What its log says of each delivery: connecting and sending, with two digits. It keeps the connection."""
    relay = PostfixQueue(kit, workshop, port)
    client = smtplib.SMTP("127.0.0.1", relay.port, timeout=10)
    count = 1 + warm
    for number in range(count):
        client.sendmail(SENDER, RECIPIENT, MESSAGE)
        until(lambda number=number: len(deliveries(relay)) > number)
    client.quit()
    workshop.end(relay.group)
    first, *rest = deliveries(relay)
    return [first], rest


def deliveries(relay):
    found = (re.search(r"delays=[\d.e-]+/[\d.e-]+/([\d.e-]+)/([\d.e-]+), .* status=sent", line) for line in relay.logged())
    return [sum(map(float, match.groups())) for match in found if match]
