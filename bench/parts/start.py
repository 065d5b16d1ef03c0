"""The binary's size, and the time from exec to the first answer."""

import socket
import subprocess
import time

from lib.measure import median_of
from lib.relays import Sidepost

QUESTION = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"


def measure(kit, workshop, effort):
    relay = Sidepost(kit, workshop, workshop.port())
    time.sleep(1)
    rows = [
        {"what": "binary, bytes", "value": kit.sidepost.stat().st_size},
        {"what": "memory idle, bytes", "value": relay.resident()},
    ]
    answers, nothings = [], []
    for _ in range(5 if effort.is_quick else 20):
        workshop.end(relay.group)
        began = time.perf_counter()
        relay.start(answers=False)
        await_answer(relay.admin_port)
        answers.append(1000 * (time.perf_counter() - began))
        began = time.perf_counter()
        subprocess.run(["true"], check=True, start_new_session=True)
        nothings.append(1000 * (time.perf_counter() - began))
    rows.append({"what": "exec to first answer, ms", **median_of(answers)})
    # What of it is the bench's own way of starting a process.
    rows.append({"what": "exec of `true` to its end, ms", **median_of(nothings)})
    return rows


def await_answer(port):
    """Asks until it answers 200."""
    deadline = time.perf_counter() + 5
    while time.perf_counter() < deadline:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                client.sendall(QUESTION)
                if client.recv(64).startswith(b"HTTP/1.1 200"):
                    return
    raise TimeoutError("no answer from /livez")
