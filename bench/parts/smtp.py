"""SMTP in, SMTP out: messages per second from smtp-source through a relay to smtp-sink."""

import sys

from lib.ends import sink, smtp_sink, smtp_source
from lib.measure import rounds, summary
from lib.relays import Sidepost, peers

DIRECT = "smtp-source to the sink directly"
OWN_DIRECT = "to the sink of ours directly"
OWN = "Sidepost to the sink of ours"

CONNECTIONS = (1, 20, 200)
CELLS = [(4096, count, kept) for kept in (True, False) for count in CONNECTIONS]
CELLS += [(100_000, count, True) for count in CONNECTIONS] + [(100_000, 20, False)]
QUICK = [(4096, 20, True), (4096, 20, False), (100_000, 20, True)]


def measure(kit, workshop, effort):
    provider = smtp_sink(kit, workshop)
    own, _ = sink(kit, workshop)
    relays = [Sidepost(kit, workshop, provider)] + [peer(kit, workshop, provider) for peer in peers(kit)]
    to_own = Sidepost(kit, workshop, own)
    rows = []
    for size, sessions, kept in QUICK if effort.is_quick else CELLS:
        manner = {"size": size, "sessions": sessions, "kept": kept}
        print(f"smtp: {manner}", file=sys.stderr)
        contestants = {DIRECT: smtp_source(kit, provider, **manner)}
        for relay in relays:
            contestants[relay.name] = smtp_source(kit, relay.port, **manner, group=relay.group, settle=relay.settle)
        contestants[OWN_DIRECT] = smtp_source(kit, own, **manner)
        contestants[OWN] = smtp_source(kit, to_own.port, **manner, group=to_own.group)
        runs = rounds(contestants, effort, steady=(DIRECT, Sidepost.name))
        for name, of_this in runs.items():
            limit = runs.get(OWN_DIRECT if name in (OWN, OWN_DIRECT) else DIRECT)
            is_limit = name in (DIRECT, OWN_DIRECT)
            rows.append({**manner, "relay": name, **summary(of_this, None if is_limit else limit)})
    return rows
