"""Points the tests that aiosmtpd keeps of its own server at a Sidepost.

They ask a real client for replies and compare those with what aiosmtpd says. Here a reply is the same where its code is:
the words are each server's own. Tests of aiosmtpd's inside (its handlers, its limits, its log) cannot be pointed at
anybody else and are left out by a list; where Sidepost answers differently on purpose, `deviations.toml` says why, and a
test that no longer deviates fails.
"""

import os
import pathlib
import tomllib

import pytest

HERE = pathlib.Path(__file__).parent
DEVIATIONS = tomllib.loads((HERE / "deviations.toml").read_text())


class Elsewhere:
    """In the place of aiosmtpd's controller: a server that runs already."""

    def __init__(self, handler, **_):
        self.handler = handler
        self.hostname = "127.0.0.1"
        self.port = int(os.environ["POINTED_AT"])

    def start(self):
        pass

    def stop(self):
        pass


def same_code(self, other):
    return self[0] == other[0]


def short_name(item):
    return item.nodeid.split("::", 1)[1]


def on_purpose():
    """The reason for each test that is answered otherwise; a name without brackets stands for all its cases."""
    reasons = {}
    for entry in DEVIATIONS["on_purpose"]:
        numbered = [f"test_{verb}_valid_address[{at}]" for verb in ("mail", "rcpt") for at in entry.get("addresses", [])]
        reasons |= {f"{DEVIATIONS['asked']}{name}": entry["reason"] for name in entry.get("tests", []) + numbered}
    return reasons


def bracketed(item):
    """A path stands in angle brackets (RFC 5321 section 4.1.2); aiosmtpd takes most of its addresses without."""
    address = item.callspec.params.get("address") if hasattr(item, "callspec") else None
    if address and "<" not in address:
        item.callspec.params["address"] = f"<{address.strip()}>"


def pytest_configure():
    from aiosmtpd.testing import statuscodes

    statuscodes.StatusCode.__eq__ = same_code
    statuscodes.StatusCode.__hash__ = lambda self: hash(self[0])


def pytest_collection_modifyitems(config, items):
    from aiosmtpd.tests import conftest

    conftest.Controller = Elsewhere
    reasons, used, kept, left_out = on_purpose(), set(), [], []
    for item in items:
        name = short_name(item)
        if not name.startswith(DEVIATIONS["asked"]) or name in DEVIATIONS["inside"]:
            left_out.append(item)
            continue
        bracketed(item)
        known = {name, name.split("[")[0]} & reasons.keys()
        used |= known
        if known:
            item.add_marker(pytest.mark.xfail(reason=reasons[known.pop()], strict=True))
        kept.append(item)
    # A list that names what is not there would hide what it meant to say.
    if reasons.keys() - used:
        raise pytest.UsageError(f"deviations.toml names tests that are not there: {sorted(reasons.keys() - used)}")
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept
