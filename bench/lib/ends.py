"""The two ends of a measurement: what sends and what takes."""

import subprocess
import threading
import time

from .measure import Run

LONGEST_RUN = 60


def smtp_sink(kit, workshop, name="smtp-sink"):
    """Postfix' smtp-sink, which offers PIPELINING and no CHUNKING: its port."""
    port = workshop.port()
    user = ["-u", "root"] if kit.is_root else []
    workshop.start([kit.postfix / "smtp-sink", *user, "-m", 4000, f"127.0.0.1:{port}", 4000], name=name, port=port)
    return port


def sink(kit, workshop, *manners):
    """Our own provider: its port and its process, which tells its counts when asked."""
    port = workshop.port()
    group = workshop.start([kit.tools / "sink", port, *manners], name=f"sink-{port}", port=port, stdout=subprocess.PIPE)
    return port, group


def delay(kit, workshop, to, milliseconds):
    """A long line to that port: the port of its near end."""
    port = workshop.port()
    workshop.start([kit.tools / "delay", port, to, milliseconds], name=f"delay-{port}", port=port)
    return port


def smtp_source(kit, port, *, size, sessions, kept, group=None, settle=None):
    """A contestant: smtp-source sends so many messages to that port.

    `group` is whose processor time counts. `settle` waits until all is delivered, where the answer does not say so.
    """
    command = [kit.postfix / "smtp-source", *(["-d"] if kept else []), "-s", sessions, "-l", size, "-C", 10]

    def run(messages):
        messages = max(messages, sessions)
        before = group.cpu_seconds() if group else None
        began = time.monotonic()
        run_to_its_end([*command, "-m", messages, f"127.0.0.1:{port}"])
        if settle:
            settle()
        seconds = time.monotonic() - began
        return Run(messages, seconds, group.cpu_seconds().since(before) if group else None)

    return run


def run_to_its_end(command):
    """As subprocess.run, whose wait with a time limit looks only every 50 ms: too coarse for a stopwatch."""
    words = [str(word) for word in command]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        watchdog = threading.Timer(LONGEST_RUN, process.kill)
        watchdog.start()
        try:
            status = process.wait()
        finally:
            watchdog.cancel()
            process.kill()
    if status:
        raise subprocess.CalledProcessError(status, words)
