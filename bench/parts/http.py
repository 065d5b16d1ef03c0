"""HTTP JSON in, SMTP out: messages per second with wrk; and without a provider, for what the handler alone costs."""

import base64
import json
import random
import re
import subprocess

from lib.ends import LONGEST_RUN, sink, smtp_sink
from lib.measure import Run, summary
from lib.relays import Sidepost

LIVEZ = "GET /livez, which only answers 200"
# The provider `capture`: everything but the dialogue, and the message is kept in memory.
NOWHERE = "no provider"
CONNECTIONS = 20

SCRIPT = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local file = io.open("{body}", "rb")
wrk.body = file:read("*a")
file:close()
"""
DONE = """
function done(summary)
  local errors = summary.errors
  io.write(string.format("result %d %d %d\\n", summary.requests, summary.duration,
    errors.status + errors.connect + errors.read + errors.write + errors.timeout))
end
"""


def bodies():
    """1 kB of text, 10 kB of text and HTML, 100 kB of something attached."""
    words = "the mail that was accepted has to arrive or somebody has to say why it did not".split()
    chance = random.Random(1)

    def text(length):
        lines = [" ".join(chance.choices(words, k=12)) for _ in range(length // 40)]
        return "\n".join(lines)[:length]

    base = {"from": "Shop <shop@example.com>", "to": ["Ann <ann@example.com>"], "subject": "Your order"}
    html = "".join(f"<p>{line}</p>\n" for line in text(7000).split("\n"))[:7500]
    attached = {"filename": "order.pdf", "content": base64.b64encode(chance.randbytes(100_000)).decode()}
    return {
        "1 kB text": base | {"text": text(1000)},
        "10 kB text and HTML": base | {"text": text(2500), "html": html},
        "100 kB attachment": base | {"text": text(1000), "attachments": [attached]},
    }


def measure(kit, workshop, effort):
    provider = smtp_sink(kit, workshop)
    own, _ = sink(kit, workshop)
    relays = {"smtp-sink": Sidepost(kit, workshop, provider), "the sink of ours": Sidepost(kit, workshop, own)}
    relays[NOWHERE] = Sidepost(kit, workshop, None, name="capture")
    first = relays["smtp-sink"]
    seconds = 1 if effort.is_quick else 2
    contestants = {(LIVEZ, None): wrk(workshop, f"http://127.0.0.1:{first.admin_port}/livez", DONE, seconds, first.group)}
    for name, body in bodies().items():
        path = workshop.path / f"{name.replace(' ', '-')}.json"
        path.write_text(json.dumps(body))
        script = SCRIPT.format(body=path) + DONE
        for sink_name, relay in relays.items():
            url = f"http://127.0.0.1:{relay.http_port}/v1/send"
            contestants[name, sink_name] = wrk(workshop, url, script, seconds, relay.group)
    runs = {key: [] for key in contestants}
    for number in range(effort.rounds + 1):
        for key, run in contestants.items():
            made = run()
            # The first one warms up.
            if number > 0:
                runs[key].append(made)
    limit = runs[LIVEZ, None]
    return [
        {"what": what, "provider": sink_name, "connections": CONNECTIONS, **summary(of_this, None if of_this is limit else limit)}
        for (what, sink_name), of_this in runs.items()
    ]


def wrk(workshop, url, script, seconds, group):
    number = len(list(workshop.path.glob("*.lua")))
    path = workshop.path / f"{number}.lua"
    path.write_text(script)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", str(path), url]

    def run():
        before = group.cpu_seconds()
        said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_RUN).stdout
        requests, microseconds, failed = map(int, re.search(r"^result (\d+) (\d+) (\d+)$", said, re.MULTILINE).groups())
        if failed:
            raise RuntimeError(f"{failed} of {requests} requests to {url} failed")
        return Run(requests, microseconds / 1e6, group.cpu_seconds().since(before))

    return run
