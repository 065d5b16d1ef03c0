#!/usr/bin/env python3
"""Writes link/first.txt: the functions that the image's linker puts next to each other, so that an idle process is small.

    bench/order.py                      builds as in the image, sees what runs, writes the list; 3 to 5 minutes
    bench/order.py --binary FILE        the same with a binary that is there already, with its symbols
    bench/order.py --check              writes nothing; fails where too much runs from outside of what the list gathers

To be run again when `scripts/image-test.sh` says that an idle process is too large: after a new compiler, new
dependencies, or much new code at the start. callgrind (Debian's valgrind) tells which functions run, so the list is the
same on a busy machine as on an idle one.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import queue
import re
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True

from lib import install
from lib.ends import sink, smtp_source
from lib.measure import until
from lib.processes import Workshop, end_on_signals
from lib.relays import Sidepost
from parts.http import bodies

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "link" / "first.txt"
HEAD = """\
# Functions in the order in which the image's linker puts them; written by bench/order.py, read by link/in-order.sh.
"""

# Text that may run from outside of the list's before --check fails: what a change or two bring with them.
STRAY = 100_000
# The C library has several of these, of which a processor runs one; callgrind's is not everybody's.
VARIANT = re.compile(r"__(\w+?)_(?:avx|evex|sse|ssse|erms)\w*")
# What callgrind has no name for, and what runs for the kernel's page of clock calls, which valgrind hides.
HIDDEN = {"_start", "_dl_new_object", "_dl_setup_hash", "_dl_vdso_vsym", "_dl_lookup_symbol_x", "do_lookup_x", "check_match", "dl_vdso_vsym"}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=Path, help="a release binary with symbols; without it, one is built")
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "bench", help="where packages and builds are kept")
    return parser.parse_args()


def main():
    given = arguments()
    end_on_signals()
    given.work.mkdir(parents=True, exist_ok=True)
    work = given.work.resolve()
    binary = given.binary or install.build_sidepost(ROOT, work, "--config", "profile.release.strip=false")
    kit = install.everything(ROOT, work, binary, [], "none")
    symbols = Symbols(binary)
    with Workshop() as workshop:
        groups = [(title, symbols.names(functions)) for title, functions in Seen(kit, workshop).in_order()]
    if given.check:
        sys.exit(stray(symbols, set().union(*(names for _, names in groups))))
    text, listed = HEAD, set()
    for title, names in groups:
        text += f"# {title}:\n" + "".join(f"{name}\n" for name in sorted(names - listed))
        listed |= names
    LIST.write_text(text)
    print(f"{LIST.relative_to(ROOT)}: {len(listed)} functions")


def stray(symbols, used):
    """What runs and is not in the list, and a sentence where that is too much."""
    listed = {line for line in LIST.read_text().splitlines() if not line.startswith("#")}
    missing = sorted(used - listed, key=symbols.bytes_of, reverse=True)
    total = sum(map(symbols.bytes_of, missing))
    for name in missing[:20]:
        print(f"{symbols.bytes_of(name):7} {name}")
    print(f"{total} bytes of {len(missing)} functions run and are not in {LIST.relative_to(ROOT)}")
    return f"more than {STRAY}: run bench/order.py" if total > STRAY else 0


class Symbols:
    """The functions of a binary, by the names of the linker and of people."""

    def __init__(self, binary):
        self.at, self.size, self.readable = {}, {}, {}
        for (line, name), (_, readable) in zip(nm(binary), nm(binary, "--demangle"), strict=True):
            address, size, kind = line.split()
            if kind in "tTwWi":
                self.at[name], self.size[name], self.readable[name] = int(address, 16), int(size, 16), readable
        self.folded = {}
        for name, address in self.at.items():
            self.folded.setdefault(address, []).append(self.readable[name])

    def names(self, functions):
        """Of functions that are the same and became one, one name is enough."""
        known = {name for name in functions if name in self.at}
        bases = {found[1] for found in map(VARIANT.fullmatch, known) if found}
        known |= {name for name in self.at if (found := VARIANT.fullmatch(name)) and found[1] in bases}
        return {min(self.folded[self.at[name]]) for name in known}

    def bytes_of(self, readable):
        return max(self.size[name] for name, other in self.readable.items() if other == readable)


def nm(binary, *options):
    """Address, size and kind, and the name; in the order of the file, so that two lists go together."""
    command = ["nm", "--defined-only", "--print-size", "--no-sort", *options, str(binary)]
    for line in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
        found = re.match(r"([0-9a-f]+ [0-9a-f]+ \w) (.*)", line)
        if found:
            yield found[1], found[2]


class Seen:
    """Processes under callgrind, and which functions they ran."""

    def __init__(self, kit, workshop):
        self.kit, self.workshop = kit, workshop

    def in_order(self):
        """What an idle process has run already comes first."""
        plain, _ = sink(self.kit, self.workshop)
        secure, certificate = behind_tls(self.workshop, plain)
        tls = {"tls": "implicit", "ca_file": certificate}
        yield "From the start to a probe and a scrape", HIDDEN | self.run(None) | self.run(self.workshop.port())
        yield "To look at the provider", self.run(plain) | self.run(secure, **tls)
        yield "To send", self.run(plain, self.send) | self.run(secure, self.send, **tls)

    def send(self, relay):
        for size, kept in ((4096, True), (4096, False), (100_000, True)):
            smtp_source(self.kit, relay.port, size=size, sessions=2, kept=kept)(10)
        for body in bodies().values():
            client = http.client.HTTPConnection("127.0.0.1", relay.http_port, timeout=30)
            for _ in range(5):
                client.request("POST", "/v1/send", json.dumps(body), {"Content-Type": "application/json"})
                answer = client.getresponse()
                answer.read()
                assert answer.status == 200, answer.status
            client.close()

    def run(self, provider, use=None, **settings):
        name = f"callgrind-{self.workshop.port()}"
        out = self.workshop.path / f"{name}.out"
        # Without a fair turn for each thread, one that waits for a probe may wait for long on a busy machine.
        before = ["valgrind", "--tool=callgrind", "--fair-sched=yes", "--demangle=no", "--compress-strings=no"]
        before.append(f"--callgrind-out-file={out}")
        relay = Sidepost(self.kit, self.workshop, provider, name=name, before=before, **settings)
        time.sleep(2)
        for path in ("livez", "readyz", "metrics"):
            with urllib.request.urlopen(f"http://127.0.0.1:{relay.admin_port}/{path}", timeout=30) as answer:
                answer.read()
        if use:
            use(relay)
        self.workshop.end(relay.group)
        until(lambda: out.exists() and "totals:" in out.read_text(errors="replace"))
        # Recursion has a number after the name.
        return set(re.findall(r"^fn=(.*?)(?:'\d+)?$", out.read_text(errors="replace"), re.M))


def behind_tls(workshop, port):
    """TLS from the first byte in front of a port: its own port, and its certificate."""
    certificate, key = workshop.path / f"tls-{port}.crt", workshop.path / f"tls-{port}.key"
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=sink"
    words += " -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    install.run(["openssl", *words.split(), "-out", certificate, "-keyout", key], stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ready = queue.Queue()
    threading.Thread(target=asyncio.run, args=(unwrap(context, port, ready),), daemon=True).start()
    return ready.get(timeout=10), certificate


async def unwrap(context, port, ready):
    async def connected(reader, writer):
        there, onwards = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(hand_on(reader, onwards), hand_on(there, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", ssl=context)
    ready.put(server.sockets[0].getsockname()[1])
    await server.serve_forever()


async def hand_on(reader, writer):
    with contextlib.suppress(OSError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    main()
