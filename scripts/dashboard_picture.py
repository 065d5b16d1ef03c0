"""Draws a dashboard's panels as SVG from its own queries: `URL-OF-PROMETHEUS FILE-WITH-TIMES DASHBOARD.json OUT.svg`."""

import json
import math
import pathlib
import sys
import urllib.parse
import urllib.request
from html import escape

CELL_X, CELL_Y, GAP, POINTS = 50, 28, 6, 210
COLOURS = {"green": "#56a64b", "red": "#e02f44", "yellow": "#e5ac0e", "orange": "#ff780a", "purple": "#8f3bb8", "blue": "#3274d9"}
PALETTE = ["#3274d9", "#56a64b", "#e5ac0e", "#8f3bb8", "#ff780a", "#e02f44", "#37872d", "#5195ce", "#806eb7"]
INK, FAINT, PAPER, BACK = "#24292e", "#8a9199", "#ffffff", "#f0f2f5"


class Prometheus:
    def __init__(self, url, began, ended):
        self.url, self.began, self.ended = url, began, ended

    def ask(self, path, **parameters):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=60) as answer:
            return json.load(answer)["data"]["result"]

    def words(self, expr):
        return expr.replace("$__rate_interval", "15s").replace("$instance", ".*")

    def range(self, expr):
        step = (self.ended - self.began) / POINTS
        found = self.ask("query_range", query=self.words(expr), start=self.began, end=self.ended, step=step)
        return [(s["metric"], [(float(t), float(v)) for t, v in s["values"]]) for s in found]

    def now(self, expr, at):
        return [(s["metric"], float(s["value"][1])) for s in self.ask("query", query=self.words(expr), time=at)]


def text(x, y, words, size=11, colour=INK, anchor="start", weight="normal"):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def written(value, unit):
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min"), (1, "s")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value * 1000:.3g} ms" if value else "0"
    if unit == "bytes":
        return f"{value / 1048576:.3g} MiB" if abs(value) >= 1048576 else f"{value / 1024:.3g} KiB" if value else "0"
    return f"{value:.3g}" + ("/s" if unit == "ops" and value else "")


def legend(template, labels):
    for name, value in labels.items():
        template = template.replace("{{" + name + "}}", value)
    return template


def wanted_colours(panel):
    found = {}
    for override in panel["fieldConfig"]["overrides"]:
        for entry in override["properties"]:
            if entry["id"] == "color":
                found[override["matcher"]["options"]] = COLOURS[entry["value"]["fixedColor"]]
    return found


def series(panel, prometheus):
    return [(legend(t["legendFormat"], labels), points) for t in panel["targets"] for labels, points in prometheus.range(t["expr"])]


def stat(panel, prometheus, at, box):
    x, y, w, h = box
    found = prometheus.now(panel["targets"][0]["expr"], at)
    defaults = panel["fieldConfig"]["defaults"]
    if not found:
        return text(x + w / 2, y + h / 2 + 8, defaults.get("noValue", "no data"), 15, FAINT, "middle")
    value = found[0][1]
    steps = [step for step in defaults["thresholds"]["steps"] if step["value"] is None or value >= step["value"]]
    colour = COLOURS[steps[-1]["color"]]
    words = written(value, defaults.get("unit"))
    return f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{colour}" rx="3"/>' + text(x + w / 2, y + h / 2 + 9, words, 26, PAPER, "middle", "bold")


def table(panel, prometheus, at, box):
    x, y, w, h = box
    hidden = {"__name__", "job"}
    rows = [{k: v for k, v in labels.items() if k not in hidden} for labels, _ in prometheus.now(panel["targets"][0]["expr"], at)]
    if not rows:
        return text(x + w / 2, y + h / 2, panel["fieldConfig"]["defaults"].get("noValue", "no data"), 15, FAINT, "middle")
    columns = ["instance", "stage", "cause"]
    out = [text(x + 8 + n * w / 3, y + 14, name, 11, FAINT) for n, name in enumerate(columns)]
    for line, row in enumerate(rows):
        out += [text(x + 8 + n * w / 3, y + 36 + line * 20, row.get(name, ""), 12) for n, name in enumerate(columns)]
    return "".join(out)


def timeline(panel, prometheus, box):
    x, y, w, h = box
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    found = series(panel, prometheus)
    left = max([len(name) for name, _ in found] or [0]) * 6 + 8
    height = min((h - 16) / max(len(found), 1), 22)
    out = []
    for line, (name, points) in enumerate(found):
        top = y + line * height
        out.append(text(x + left - 6, top + height / 2 + 4, name, 10, INK, "end"))
        per = (w - left) / (prometheus.ended - prometheus.began)
        start = 0
        for n in range(1, len(points) + 1):
            if n == len(points) or points[n][1] != points[start][1]:
                end = points[n][0] if n < len(points) else points[-1][0]
                colour = COLOURS[words[str(int(points[start][1]))]["color"]]
                place = x + left + (points[start][0] - prometheus.began) * per
                out.append(f'<rect x="{place:.1f}" y="{top + 2:.1f}" width="{max((end - points[start][0]) * per, 1):.1f}" height="{height - 4:.1f}" fill="{colour}" fill-opacity="0.8"/>')
                start = n
    place = x + left
    for word in words.values():
        out.append(f'<rect x="{place}" y="{y + h - 11}" width="10" height="10" fill="{COLOURS[word["color"]]}"/>' + text(place + 14, y + h - 2, word["text"], 10))
        place += 24 + len(word["text"]) * 6
    return "".join(out)


def nice(top):
    size = 10 ** math.floor(math.log10(top))
    return next(size * n for n in (1, 2, 2.5, 5, 10) if size * n >= top)


def stacked(found):
    under, out = {}, []
    for name, points in found:
        lower = [(t, under.get(t, 0.0)) for t, _ in points]
        for t, v in points:
            under[t] = under.get(t, 0.0) + v
        out.append((name, [(t, under[t]) for t, _ in points], lower))
    return out


def graph(panel, prometheus, box):
    x, y, w, h = box
    defaults, chosen = panel["fieldConfig"]["defaults"], wanted_colours(panel)
    found = [(name, [p for p in points if math.isfinite(p[1])]) for name, points in series(panel, prometheus)]
    found = [(name, points) for name, points in found if points]
    if not found:
        return text(x + w / 2, y + h / 2, "no data", 15, FAINT, "middle")
    stack = defaults["custom"]["stacking"]["mode"] == "normal"
    drawn = stacked(found) if stack else [(name, points, None) for name, points in found]
    top = nice(max(v for _, points, _ in drawn for _, v in points) or 1)
    left, bottom = 54, y + h - 34
    across = lambda t: x + left + (t - prometheus.began) / (prometheus.ended - prometheus.began) * (w - left)
    up = lambda v: bottom - v / top * (bottom - y - 6)
    out = []
    for n in range(5):
        value = top * n / 4
        out.append(f'<path d="M{x + left} {up(value):.1f}H{x + w}" stroke="{FAINT}" stroke-opacity="0.25"/>')
        out.append(text(x + left - 5, up(value) + 4, written(value, defaults.get("unit")), 9, FAINT, "end"))
    minutes = int((prometheus.ended - prometheus.began) // 60)
    for minute in range(0, minutes + 1, max(1, minutes // 4)):
        out.append(text(across(prometheus.began + minute * 60), bottom + 12, f"{minute} min", 9, FAINT, "middle"))
    place = x + 4
    for n, (name, points, lower) in enumerate(drawn):
        colour = chosen.get(name, PALETTE[n % len(PALETTE)])
        line = " ".join(f"{across(t):.1f},{up(v):.1f}" for t, v in points)
        if lower and any(v for (_, v), (_, low) in zip(points, lower) if v > low):
            back = " ".join(f"{across(t):.1f},{up(v):.1f}" for t, v in reversed(lower))
            out.append(f'<polygon points="{line} {back}" fill="{colour}" fill-opacity="0.3"/>')
        if not lower or any(v > low for (_, v), (_, low) in zip(points, lower)):
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.3"/>')
        width = 20 + len(name) * 5.6
        if lower and not any(v > low for (_, v), (_, low) in zip(points, lower)):
            continue
        if place + width <= x + w:
            out.append(f'<rect x="{place:.1f}" y="{y + h - 10}" width="9" height="9" fill="{colour}"/>' + text(place + 12, y + h - 2, name, 9.5))
        place += width
    return "".join(out)


def main(url, times, dashboard, out):
    began, ended = map(float, pathlib.Path(times).read_text().split())
    prometheus = Prometheus(url, began, ended)
    panels = json.loads(pathlib.Path(dashboard).read_text())["panels"]
    # Single values are those of a moment with trouble: the end of the part in which logins are refused.
    at = began + (ended - began) * 3 / 7 - 2
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
    width, height = 24 * CELL_X, rows * CELL_Y
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">', f'<rect width="{width}" height="{height}" fill="{BACK}"/>']
    for panel in panels:
        grid = panel["gridPos"]
        x, y, w, h = grid["x"] * CELL_X + 3, grid["y"] * CELL_Y + 3, grid["w"] * CELL_X - GAP, grid["h"] * CELL_Y - GAP
        if panel["type"] == "row":
            parts.append(text(x + 4, y + 16, panel["title"], 14, INK, "start", "bold"))
            continue
        parts.append(f'<rect x="{x}" y="{y}" width="{w}" height="{h}" fill="{PAPER}" rx="4"/>' + text(x + 8, y + 17, panel["title"], 12, INK, "start", "bold"))
        box = x + 6, y + 26, w - 12, h - 32
        draw = {"stat": lambda: stat(panel, prometheus, at, box), "table": lambda: table(panel, prometheus, at, box), "state-timeline": lambda: timeline(panel, prometheus, box), "timeseries": lambda: graph(panel, prometheus, box)}
        parts.append(draw[panel["type"]]())
    pathlib.Path(out).write_text("\n".join([*parts, "</svg>"]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
