"""Instructions per message, in user space, counted by callgrind: the same on a busy machine as on an idle one.

Two counts, with few and with many messages, are subtracted, so that start and end drop out.
"""

import http.client
import json
import re

from lib.ends import sink, smtp_sink, smtp_source
from lib.measure import until
from lib.relays import Sidepost
from parts.http import bodies

FEW, MANY = 200, 1200


def measure(kit, workshop, effort):
    providers = {"smtp-sink": smtp_sink(kit, workshop), "the sink of ours": sink(kit, workshop)[0]}
    tasks = {
        "SMTP, 4 kB": lambda relay, count: send_smtp(kit, relay, 4096, count),
        "SMTP, 100 kB": lambda relay, count: send_smtp(kit, relay, 100_000, count),
    }
    for name, body in bodies().items():
        tasks[f"HTTP, {name}"] = lambda relay, count, body=body: send_http(relay, json.dumps(body), count)
    rows = []
    for name, send in tasks.items():
        for provider, port in providers.items():
            if effort.is_quick and provider == "smtp-sink":
                continue
            few, many = (count(kit, workshop, port, send, messages) for messages in (FEW, MANY))
            rows.append({"what": name, "provider": provider, "instructions": round((many - few) / (MANY - FEW))})
    return rows


def count(kit, workshop, provider, send, messages):
    before = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    relay = Sidepost(kit, workshop, provider, name=f"callgrind-{messages}", before=before)
    send(relay, messages)
    workshop.end(relay.group)
    log = workshop.path / f"{relay.label}.log"
    until(lambda: "Collected" in log.read_text(errors="replace"))
    return int(re.search(r"Collected : (\d+)", log.read_text(errors="replace"))[1])


def send_smtp(kit, relay, size, messages):
    smtp_source(kit, relay.port, size=size, sessions=1, kept=True)(messages)


def send_http(relay, body, messages):
    connection = http.client.HTTPConnection("127.0.0.1", relay.http_port, timeout=30)
    for _ in range(messages):
        connection.request("POST", "/v1/send", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200, answer.status
    connection.close()
