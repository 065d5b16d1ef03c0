"""The table: as text, as JSON, and in the document."""

import json
from pathlib import Path

from . import plot

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def command(arguments):
    """As it was given, without paths of this machine."""
    words = ["bench/run.py"]
    skipped = iter(arguments[1:])
    for word in skipped:
        if word in ("--work", "--binary"):
            next(skipped, None)
        elif not word.startswith(("--work=", "--binary=")):
            words.append(word)
    return " ".join(words)


def save(result, path):
    path.write_text(json.dumps(result, indent=1) + "\n")


def part(name, measured):
    """A part's tables as text."""
    texts = [f"{title}\n\n{grid(table)}" for title, table in TABLES[name](measured["rows"])]
    return "\n".join([f"== {name} ({busy(measured['machine'])}) ==\n", "\n".join(texts)])


def busy(watched):
    loads = f"load average {watched['load_before']} before, {watched['load_after']} after"
    return f"{loads}; the host gave {watched['stolen']:.0%} of the processors' time to others"


def closing(result, path):
    return f"{grid(goals(result))}\n{result['seconds']} s in all; everything, each single run too, is in {path}"


def grid(table):
    """Columns of equal width: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]

    def line(row):
        cells = [cell.ljust(width) if column == 0 else cell.rjust(width) for column, (cell, width) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(table[0]), "  ".join("-" * width for width in widths), *map(line, table[1:])]) + "\n"


def markdown(table):
    def line(row):
        return "| " + " | ".join(row) + " |"

    marks = ["---"] + ["---:"] * (len(table[0]) - 1)
    return "\n".join([line(table[0]), line(marks), *map(line, table[1:])]) + "\n"


# --- what the parts' rows look like ---


def number(value, digits=0):
    return "" if value is None else f"{value:,.{digits}f}"


def kilobytes(size):
    return f"{size // 1000} kB"


def smtp_tables(rows):
    cells = list(dict.fromkeys((row["size"], row["sessions"], row["kept"]) for row in rows))
    for size, sessions, kept in cells:
        manner = "kept open" if kept else "one per message"
        title = f"SMTP in, SMTP out: {kilobytes(size)}, {sessions} connection{'s' * (sessions > 1)}, {manner}"
        table = [["", "messages/s", "spread", "of the limit", "CPU us/message", "of it kernel"]]
        for row in rows:
            if (row["size"], row["sessions"], row["kept"]) == (size, sessions, kept):
                table.append(rated(row["relay"], row))
        yield title, table


def rated(name, row):
    share = number(row["of_limit"], 2) if row["of_limit"] is not None else "is the limit"
    kernel = "" if row["in_kernel"] is None else f"{row['in_kernel']:.0%}"
    return [name, number(row["per_second"]), f"{row['spread']:.0%}", share, number(row["cpu_us"]), kernel]


def http_tables(rows):
    table = [["", "messages/s", "spread", "of GET /livez", "CPU us/message", "of it kernel"]]
    for row in rows:
        name = row["what"] + (f", to {row['provider']}" if row["provider"] else "")
        table.append(rated(name, row))
    yield f"HTTP JSON in, SMTP out: wrk, {rows[0]['connections']} connections", table


def instructions_tables(rows):
    table = [["", "instructions/message"]]
    table += [[f"{row['what']}, to {row['provider']}", number(row["instructions"])] for row in rows]
    yield "Instructions in user space, by callgrind", table


def roundtrips_tables(rows):
    offers = list(dict.fromkeys(row["provider"] for row in rows))
    table = [["", *(f"{kind}, {offer}" for offer in offers for kind in ("cold", "warm"))]]

    def cell(sender, offer, kind):
        for row in rows:
            if (row["sender"], row["provider"]) == (sender, offer) and row[kind]:
                return f"{row[kind]['median']:.2f}"
        return ""

    for sender in dict.fromkeys(row["sender"] for row in rows):
        table.append([sender, *(cell(sender, offer, kind) for offer in offers for kind in ("cold", "warm"))])
    yield "Round trips per send, by what the provider offers", table


def memory_tables(rows):
    held = [row for row in rows if row["what"] == "held"]
    counts = sorted({row["held"] for row in held})
    table = [["MB with so many sends held", *map(str, counts)]]
    for relay in dict.fromkeys(row["relay"] for row in held):
        sizes = {row["held"]: row["bytes"] for row in held if row["relay"] == relay}
        table.append([relay, *(megabytes(sizes.get(count)) for count in counts)])
    yield "Memory, with a provider that stalls after the content", table
    table = [["messages", "MB"]]
    table += [[number(row["messages"]), megabytes(row["bytes"])] for row in rows if row["what"] == "soak"]
    yield "Memory after so many messages, 20 kept connections, 4 kB", table


def megabytes(size):
    return "" if size is None else f"{size / 1e6:.1f}"


def start_tables(rows):
    table = [["", "", "spread"]]
    for row in rows:
        if "value" in row:
            table.append([row["what"], number(row["value"]), ""])
        else:
            table.append([f"{row['what']}, median of {row['runs']}", number(row["median"], 1), f"{row['spread']:.0%}"])
    yield "Size and start", table


TABLES = {
    "start": start_tables,
    "smtp": smtp_tables,
    "http": http_tables,
    "instructions": instructions_tables,
    "roundtrips": roundtrips_tables,
    "memory": memory_tables,
}


# --- what was to be reached ---


def goals(result):
    """The goals and what came of them, for the parts that were measured."""
    rows = {name: measured["rows"] for name, measured in result["parts"].items()}
    table = [["goal", "to reach", "measured", ""]]

    def add(what, reach, measured, unit="", at_least=False, digits=2):
        reached = measured >= reach if at_least else measured <= reach
        way = "at least" if at_least else "at most"
        table.append([what, f"{way} {reach:,}{unit}", number(measured, digits) + unit, "reached" if reached else "not reached"])

    if "smtp" in rows:
        main = {row["relay"]: row for row in rows["smtp"] if (row["size"], row["sessions"], row["kept"]) == (4096, 20, True)}
        ours = main["Sidepost"]
        add("4 kB, 20 kept connections: of the direct rate", 0.45, ours["of_limit"], at_least=True)
        for peer, times in (("Postfix before-queue proxy", 3), ("Postfix queue", 8)):
            if peer in main:
                add(f"the same, times {peer}", times, ours["per_second"] / main[peer]["per_second"], at_least=True, digits=1)
        add("processor time per message relayed", 100, ours["cpu_us"], " us", digits=0)
    if "roundtrips" in rows:
        for offers, least in (("PIPELINING, CHUNKING", 1), ("PIPELINING", 2)):
            for way in ("HTTP", "SMTP"):
                wanted = (f"Sidepost, {way} in", offers)
                row = next(row for row in rows["roundtrips"] if (row["sender"], row["provider"]) == wanted)
                # Whole round trips: what lies between is not the line's.
                add(f"round trips of a warm send, {way} in, {offers}", least, round(row["warm"]["median"]), digits=0)
    if "http" in rows:
        for row in rows["http"]:
            if row["what"].startswith("10 kB") and row["provider"] != "no provider":
                add(f"HTTP JSON, 10 kB, to {row['provider']}", 12_000, row["per_second"], "/s", at_least=True, digits=0)
                add("the same, of GET /livez", 0.6, row["of_limit"], at_least=True)
    if "start" in rows:
        values = {row["what"]: row.get("value", row.get("median")) for row in rows["start"]}
        add("memory idle", 4, values["memory idle, bytes"] / 1e6, " MB", digits=1)
        add("binary, all that is in the image", 6, values["binary, bytes"] / 1e6, " MB", digits=1)
        add("exec to first answer", 5, values["exec to first answer, ms"], " ms", digits=1)
    if "memory" in rows:
        for row in rows["memory"]:
            if row["what"] == "held" and row["relay"].startswith("Sidepost") and row["held"] == 1000:
                add(f"memory with 1,000 sends held, {row['relay'].split(', ')[1]}", 25, row["bytes"] / 1e6, " MB", digits=1)
        soaked = [row["bytes"] for row in rows["memory"] if row["what"] == "soak"]
        add("growth over the soak, after its first part", 1, (soaked[-1] - soaked[1]) / 1e6, " MB", digits=1)
    return table


# --- the document ---


def document(result, folder):
    """Puts the tables between the marks of docs/performance.md, and the plots beside it."""
    path = folder / "performance.md"
    before, rest = path.read_text().split(BEGIN)
    _, after = rest.split(END)
    path.write_text(f"{before}{BEGIN}\n{body(result)}{END}{after}")
    plots(result, folder)


def body(result):
    machine, versions = result["machine"], result["version"]
    kind = "virtual machine, " if machine["virtual"] else ""
    lines = [
        f"Command: `{result['command']}`, {result['seconds']} s.",
        f"Machine: {kind}{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, Linux {machine['kernel']}.",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
        "Spread: from the lowest to the highest run, in parts of the median. `of the limit`: median of the ratios round by round.",
    ]
    text = "\n".join(f"- {line}" for line in lines) + "\n"
    text += f"\n### What was to be reached\n\n{markdown(goals(result))}"
    for name, measured in result["parts"].items():
        for title, table in TABLES[name](measured["rows"]):
            text += f"\n### {title}\n\n{markdown(table)}"
        text += f"\nThis part: {busy(measured['machine'])}.\n"
    return text


def plots(result, folder):
    parts = result["parts"]
    if "smtp" in parts:
        lines = {}
        for row in parts["smtp"]["rows"]:
            if row["size"] == 4096 and row["kept"]:
                lines.setdefault(row["relay"], []).append((row["sessions"], row["per_second"]))
        svg = plot.lines("4 kB over kept connections: messages per second", "connections", lines, log_x=True, log_y=True)
        Path(folder / "performance-throughput.svg").write_text(svg)
    if "memory" in parts:
        lines = {}
        for row in parts["memory"]["rows"]:
            if row["what"] == "held":
                lines.setdefault(row["relay"], []).append((row["held"], row["bytes"] / 1e6))
        svg = plot.lines("Memory (MB) with sends held open by a stalled provider", "sends held", lines)
        Path(folder / "performance-memory.svg").write_text(svg)
