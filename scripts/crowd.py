"""Opens many connections to an SMTP listener, leaves them as they are, and sends real mail meanwhile.

    crowd.py HOST:PORT PID COUNT silent|half

`silent` says nothing after the greeting; `half` begins a message and stops in mid content, 100 bytes into it. Prints one line of
JSON: connections that were greeted and turned away, the process' memory before and after, and how long a real client takes for
a whole message (connection included), in milliseconds.
"""

import json
import resource
import smtplib
import socket
import statistics
import sys
import time

# The listener gives one address so many places, and one address has so many ports.
PER_ADDRESS = 400
REAL_MESSAGES = 200
HALF = b"EHLO crowd.test\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"
BEGUN = b"Subject: half\r\n\r\n" + b"x" * 83
PATIENCE = 10


def memory(pid):
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    return int(fields["VmRSS"].split()[0]) * 1024


def real_clients(address):
    """Median and worst time of whole messages, from loopback's first address."""
    times = []
    for _ in range(REAL_MESSAGES):
        began = time.perf_counter()
        with smtplib.SMTP(*address, local_hostname="real.test", timeout=PATIENCE) as client:
            client.sendmail("a@example.com", ["b@example.org"], "Subject: real\r\n\r\nHello.\r\n")
        times.append((time.perf_counter() - began) * 1000)
    return {"median": round(statistics.median(times), 2), "worst": round(max(times), 2)}


def connect(address, number):
    stream = socket.socket()
    stream.settimeout(PATIENCE)
    number //= PER_ADDRESS
    stream.bind((f"127.0.{number // 250}.{number % 250 + 2}", 0))
    stream.connect(address)
    return stream, stream.recv(512)


def begin_content(stream):
    """Whether there was room for a message."""
    stream.sendall(HALF)
    said = b""
    while not any(line[:3] in (b"354", b"451") and line[3:4] == b" " for line in said.split(b"\r\n")):
        more = stream.recv(4096)
        if not more:
            raise SystemExit(f"closed after {said!r}")
        said += more
    if b"\r\n451 " in said:
        return False
    stream.sendall(BEGUN)
    return True


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    address, pid, count, kind = (host, int(port)), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    real_clients(address)
    usual, before = real_clients(address), memory(pid)
    open_streams, turned_away = [], 0
    for number in range(count):
        stream, greeting = connect(address, number)
        if greeting.startswith(b"220 "):
            open_streams.append(stream)
        else:
            assert greeting.startswith(b"421 "), greeting
            turned_away += 1
    if kind == "half":
        waiting = list(open_streams)
        while waiting:
            waiting = [stream for stream in waiting if not begin_content(stream)]
            # Content that stalls gives its room to others after two seconds.
            time.sleep(2.2)
    found = {"kind": kind, "greeted": len(open_streams), "turned_away": turned_away}
    found["memory_before"], found["memory_after"] = before, memory(pid)
    found["bytes_per_connection"] = (found["memory_after"] - before) // max(len(open_streams), 1)
    found["usual_ms"] = usual
    if turned_away == 0:
        found["meanwhile_ms"] = real_clients(address)
    print(json.dumps(found))


main()
