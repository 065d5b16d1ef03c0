"""Memory: idle, with sends held open by a provider that stalls after the content, and after very many messages."""

import asyncio
import json
import time

from lib.ends import sink, smtp_source
from lib.measure import until
from lib.relays import Aiosmtpd, NodeRelay, Sidepost

STEPS = (0, 100, 250, 500, 750, 1000)
QUICK_STEPS = (0, 100, 1000)
SIZE = 4096
# Beyond the defaults, which would turn most of them away: 256 in flight, 10 connections.
ROOM = {
    "max_in_flight": 1100,
    "connections": 1000,
    "smtp_connections": 1100,
    "smtp_connections_per_client": 1100,
    "send_timeout": "5m",
    "answer_timeout": "5m",
}

ENVELOPE = [
    (b"EHLO client.test", b"250"),
    (b"MAIL FROM:<a@example.com>", b"250"),
    (b"RCPT TO:<b@example.com>", b"250"),
    (b"DATA", b"354"),
]

SOAK = 200_000
SOAK_STEP = 25_000


def measure(kit, workshop, effort):
    steps = QUICK_STEPS if effort.is_quick else STEPS
    rows = held(workshop, lambda port: Sidepost(kit, workshop, port, **ROOM), "Sidepost, SMTP in", kit, steps, "smtp")
    rows += held(workshop, lambda port: Sidepost(kit, workshop, port, **ROOM), "Sidepost, HTTP in", kit, steps, "http")
    for word, peer in (("aiosmtpd", Aiosmtpd), ("nodemailer", NodeRelay)):
        # Nodemailer's pool holds ten at a time; the others wait in its queue.
        if kit.wants(word):
            stalled = 10 if peer is NodeRelay else None
            rows += held(workshop, lambda port, peer=peer: peer(kit, workshop, port), peer.name, kit, steps, "smtp", stalled)
    return rows + soak(kit, workshop, SOAK // 20 if effort.is_quick else SOAK)


def held(workshop, start, name, kit, steps, way, stalled_at_most=None):
    port, provider = sink(kit, workshop, "stall")
    relay = start(port)
    time.sleep(1)
    rows = asyncio.run(hold(relay, provider, steps, way, stalled_at_most))
    workshop.end(relay.group)
    workshop.end(provider)
    return [{"what": "held", "relay": name, "held": count, "bytes": bytes} for count, bytes in rows]


async def hold(relay, provider, steps, way, stalled_at_most):
    """Memory at each step of so many sends held open."""
    clients, rows = [], []
    send = {"smtp": send_smtp, "http": send_http}[way]
    port = relay.port if way == "smtp" else relay.http_port
    for step in steps:
        while len(clients) < step:
            some = min(50, step - len(clients))
            clients += await asyncio.wait_for(asyncio.gather(*(send(port) for _ in range(some))), 30)
        wanted = min(step, stalled_at_most or step)
        until(lambda wanted=wanted: int(provider.ask().split()[2]) >= wanted, seconds=30)
        await asyncio.sleep(0.3)
        rows.append((step, relay.group.resident()))
    for _, writer in clients:
        writer.close()
    return rows


async def send_smtp(port):
    """A client that has sent its message, and waits for the answer to it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def expect(code):
        while True:
            line = await reader.readline()
            assert line.startswith(code), line
            if line[3:4] == b" ":
                return

    await expect(b"220")
    for command, code in ENVELOPE:
        writer.write(command + b"\r\n")
        await expect(code)
    body = ("x" * 70 + "\r\n") * (SIZE // 72)
    writer.write(f"From: a@example.com\r\nSubject: held\r\n\r\n{body}.\r\n".encode())
    await writer.drain()
    return reader, writer


async def send_http(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps({"from": "a@example.com", "to": "b@example.com", "subject": "held", "text": "x" * SIZE})
    head = f"POST /v1/send HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    await writer.drain()
    return reader, writer


def soak(kit, workshop, messages):
    """Many messages over 20 kept connections; memory after each part of them."""
    port, _ = sink(kit, workshop)
    relay = Sidepost(kit, workshop, port)
    send = smtp_source(kit, relay.port, size=SIZE, sessions=20, kept=True)
    rows, sent = [], 0
    for step in [min(1000, messages)] + [min(SOAK_STEP, messages)] * (messages // min(SOAK_STEP, messages)):
        send(step)
        sent += step
        rows.append({"what": "soak", "relay": "Sidepost", "messages": sent, "bytes": relay.resident()})
    workshop.end(relay.group)
    return rows
