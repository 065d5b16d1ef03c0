"""The dashboard: every query is PromQL, asks for metrics that are served, and every panel can be read."""

import json
import re
import subprocess

import yaml

from rendering import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "sidepost.json"
METRIC = re.compile(r"\b(?:sidepost|process)_[a-z_]+")


def panels(dashboard):
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", [])


def queries(dashboard):
    """Every query with where it stands, Grafana's own words replaced by what Prometheus would see."""
    found = [(f"variable {v['name']}", v["query"]["query"]) for v in dashboard["templating"]["list"] if v["type"] == "query"]
    found = [(place, re.sub(r"label_values\((.*), \w+\)", r"\1", query)) for place, query in found]
    for panel in panels(dashboard):
        found += [(panel["title"], target["expr"]) for target in panel.get("targets", [])]
    words = {"$__rate_interval": "5m", "$__range": "1h", "$instance": ".*"}
    for place, query in found:
        for word, meaning in words.items():
            query = query.replace(word, meaning)
        assert "$" not in query, f"{place}: {query}"
        yield place, query


def names(text):
    return {re.sub(r"_(bucket|sum|count)$", "", name) for name in METRIC.findall(text)}


def check(promtool, metrics, work):
    dashboard = json.loads(DASHBOARD.read_text())
    served = set(re.findall(r"^# TYPE (\S+)", metrics, re.M))
    found = list(queries(dashboard))
    rules = [{"record": f"dashboard:{place}", "expr": query} for place, (_, query) in enumerate(found)]
    file = work / "dashboard.rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for place, query in found:
        unknown = names(query) - served
        assert not unknown, f"{place}: {unknown} are not served"
        # Averages over several sidecars of a rate of sums are wrong; rates come first.
        assert not re.search(r"(rate|increase)\(sum", query), f"{place}: {query}"
    known = [panel["id"] for panel in panels(dashboard)]
    assert len(set(known)) == len(known), "two panels with one id"
    taken = set()
    for panel in panels(dashboard):
        box = panel["gridPos"]
        cells = {(x, y) for x in range(box["x"], box["x"] + box["w"]) for y in range(box["y"], box["y"] + box["h"])}
        assert not cells & taken and box["x"] + box["w"] <= 24, f"{panel['title']} overlaps or sticks out"
        taken |= cells
        if panel["type"] != "row":
            assert panel["title"] and panel["description"] and panel["targets"], panel
            assert all(t["datasource"]["uid"] == "${datasource}" for t in [panel, *panel["targets"]]), panel["title"]
    return len(found), len(set().union(*(names(query) for _, query in found)))
