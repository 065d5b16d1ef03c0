"""Processes that end when the measurement ends, and what they use."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .measure import Cpu, until

ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
TICK = os.sysconf("SC_CLK_TCK")
DESCRIPTORS = 16384


def end_on_signals():
    """The first one ends what runs, in order; `timeout` sends two, and the second must not cut that short."""

    def end(number, _):
        for other in ENDS:
            signal.signal(other, signal.SIG_IGN)
        sys.exit(f"ended by {signal.Signals(number).name}")

    for number in ENDS:
        signal.signal(number, end)


@contextlib.contextmanager
def undisturbed():
    """Signals wait: a process that was started must be known before anything ends."""
    came = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number)) for number in ENDS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        for number in came[:1]:
            signal.raise_signal(number)


class Group:
    """A process and all it starts: a session of its own."""

    def __init__(self, command, **options):
        options.setdefault("stdin", subprocess.PIPE)
        self.process = subprocess.Popen([str(word) for word in command], start_new_session=True, **options)
        self.pid = self.process.pid

    def members(self):
        """Process id and fields of /proc/PID/stat from the state on, of each living member."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    fields = (entry / "stat").read_text().rsplit(") ", 1)[1].split()
                except (OSError, IndexError):
                    continue
                if int(fields[3]) == self.pid and fields[0] != "Z":
                    yield int(entry.name), fields

    def cpu_seconds(self):
        """In all, and of that in the kernel: of the living, and of the dead that were waited for."""
        times = [[int(ticks) for ticks in fields[11:15]] for _, fields in self.members()]
        return Cpu(sum(map(sum, times)) / TICK, sum(time[1] + time[3] for time in times) / TICK)

    def resident(self):
        """Bytes of memory; what members share counts once."""
        pids = [pid for pid, _ in self.members()]
        wanted = "Rss:" if len(pids) == 1 else "Pss:"
        total = 0
        for pid in pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith(wanted):
                    total += 1024 * int(line.split()[1])
        return total

    def lives(self):
        return self.process.poll() is None

    def ask(self, line=""):
        """Writes a line to its standard input, and reads one of its standard output."""
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().decode()

    def end(self):
        for number, seconds in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            self.send(number)
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                self.process.poll()
                if not any(True for _ in self.members()):
                    break
                time.sleep(0.02)
            else:
                continue
            break
        if self.process.stdin:
            self.process.stdin.close()
        if self.process.stdout:
            self.process.stdout.close()

    def send(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass


class Workshop:
    """Where a part works: a temporary folder, ports, and processes that do not outlive it."""

    def __enter__(self):
        self.groups = []
        self.ports = []
        self.folder = tempfile.TemporaryDirectory(prefix="sidepost-bench-")
        self.path = Path(self.folder.name)
        # Daemons that change users have to get through.
        self.path.chmod(0o755)
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return self

    def __exit__(self, *_):
        for group in reversed(self.groups):
            group.end()
        self.folder.cleanup()

    def start(self, command, *, name, port=None, answers=True, **options):
        """Starts it with its output in a file, and waits until it listens."""
        log = self.path / f"{name}.log"
        with log.open("ab") as output, undisturbed():
            options.setdefault("stdout", output)
            group = Group(command, stderr=output, **options)
            self.groups.append(group)
        if port and answers:
            self.wait_for(group, port, log)
        return group

    def wait_for(self, group, port, log):
        def listens():
            if not group.lives():
                raise RuntimeError(f"{log.stem} ended at once: {log.read_text(errors='replace')[-2000:]}")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens)

    def end(self, group):
        group.end()
        self.groups.remove(group)

    def port(self):
        """A free port, below those that the kernel gives to outgoing connections."""
        first = self.ports[-1] + 1 if self.ports else 14000 + os.getpid() % 8000
        for port in range(first, 32000):
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError:
                    continue
            self.ports.append(port)
            return port
        raise RuntimeError("no free port")
