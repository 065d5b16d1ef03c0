#!/usr/bin/env python3
"""Measures Sidepost and its peers side by side, on loopback, and prints one table.

    bench/run.py                        everything, at least 5 runs a row: about 20 minutes on two cores
    bench/run.py --quick                3 short runs a row, fewer rows: some minutes
    bench/run.py --only smtp,http       some parts: smtp http instructions roundtrips memory start
    bench/run.py --binary target/x86_64-unknown-linux-gnu/release/sidepost
    bench/run.py --document             also writes the table and the plots into docs/

Installs what it needs from Debian's, PyPI's, npm's and Rust's packages, the three last into a folder of its own.
Everything it starts it ends. Root is needed for Postfix only: without it, Postfix is left out.
"""

import argparse
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True

from lib import install, machine, report
from lib.measure import Effort
from lib.processes import Workshop, end_on_signals
from parts import http, instructions, memory, roundtrips, smtp, start

ROOT = Path(__file__).resolve().parent.parent
PARTS = {"start": start, "smtp": smtp, "http": http, "instructions": instructions, "roundtrips": roundtrips, "memory": memory}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--quick", action="store_true", help="3 short runs a row, fewer rows")
    parser.add_argument("--binary", type=Path, help="a release binary; without it, one is built")
    parser.add_argument("--peers", default="all", help="peers, separated by commas; `none`: Sidepost and the limits alone")
    parser.add_argument("--work", type=Path, default=ROOT / "target" / "bench", help="where packages and results are kept")
    parser.add_argument("--document", action="store_true", help="write the table and the plots into docs/")
    given = parser.parse_args()
    given.only = given.only.split(",")
    unknown = set(given.only) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    return given


def main():
    given = arguments()
    end_on_signals()
    began = time.time()
    given.work.mkdir(parents=True, exist_ok=True)
    kit = install.everything(ROOT, given.work.resolve(), given.binary, given.only, given.peers)
    result = {"command": report.command(sys.argv), "machine": machine.shape(), "version": kit.version(), "parts": {}}
    effort = Effort.quick() if given.quick else Effort.full()
    for name, part in PARTS.items():
        if name in given.only:
            watch = machine.Watch()
            with Workshop() as workshop:
                rows = part.measure(kit, workshop, effort)
            result["parts"][name] = {"machine": watch.result(), "rows": rows}
            print(report.part(name, result["parts"][name]), flush=True)
    result["seconds"] = round(time.time() - began)
    report.save(result, given.work / "results.json")
    print(report.closing(result, given.work / "results.json"))
    if given.document:
        report.document(result, ROOT / "docs")


if __name__ == "__main__":
    main()
