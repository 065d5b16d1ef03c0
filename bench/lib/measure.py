"""Rounds in which all contestants take their turns, and what they come to."""

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

# A row that differs more than this from run to run (quartiles, in parts of the median) gets more rounds.
RESTLESS = 0.2


@dataclass
class Effort:
    """How long to measure."""

    rounds: int
    more_rounds: int
    seconds: float
    is_quick: bool

    @classmethod
    def full(cls):
        return cls(rounds=5, more_rounds=2, seconds=0.6, is_quick=False)

    @classmethod
    def quick(cls):
        return cls(rounds=3, more_rounds=0, seconds=0.5, is_quick=True)


class Cpu(NamedTuple):
    """Seconds of processor time."""

    whole: float
    kernel: float

    def since(self, before):
        return Cpu(self.whole - before.whole, self.kernel - before.kernel)


@dataclass
class Run:
    """One run of one contestant."""

    messages: int
    seconds: float
    cpu: Cpu | None = None

    def rate(self):
        return self.messages / self.seconds

    def cpu_us(self):
        return 1e6 * self.cpu.whole / self.messages

    def in_kernel(self):
        return self.cpu.kernel / self.cpu.whole if self.cpu.whole else 0


def rounds(contestants, effort, steady=()):
    """Runs each contestant once per round: {name: [Run]}.

    `contestants` is {name: function(messages) -> Run}. The first, short run of each is for warming up, and tells how
    many messages fill the time. `steady` names those whose spread decides whether more rounds are needed.
    """
    counts, runs = {}, {name: [] for name in contestants}
    contestants = dict(contestants)

    def turn(name, act):
        """Whoever fails is out of this row."""
        try:
            act(contestants[name])
        except (subprocess.SubprocessError, TimeoutError) as why:
            print(f"{name} is left out: {why}", file=sys.stderr)
            del contestants[name], runs[name]

    def one_round():
        for name in list(contestants):
            turn(name, lambda run, name=name: runs[name].append(run(counts[name])))

    for name in list(contestants):
        turn(name, lambda run, name=name: counts.update({name: warm_up(run, effort.seconds)}))

    for _ in range(effort.rounds):
        one_round()
    for _ in range(effort.more_rounds):
        if all(restlessness([run.rate() for run in runs.get(name, [])]) <= RESTLESS for name in steady):
            break
        one_round()
    return runs


def warm_up(run, seconds, first=20):
    """How many messages fill the time. Some relays need 100 ms for one, others take 10,000 in a second."""
    warm = run(first)
    while warm.seconds < seconds / 4:
        warm = run(int(warm.rate() * seconds / 2))
    return max(first, int(warm.rate() * seconds))


def ratio(runs, limit):
    """The median of the ratios round by round: what disturbs a whole round does not count."""
    return statistics.median(run.rate() / other.rate() for run, other in zip(runs, limit))


def restlessness(values):
    if len(values) < 2:
        return 0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / statistics.median(values)


def spread(values):
    """From the lowest to the highest, in parts of the median."""
    return (max(values) - min(values)) / statistics.median(values)


def summary(runs, limit=None):
    rates = [run.rate() for run in runs]
    timed = [run for run in runs if run.cpu is not None]
    return {
        "per_second": round(statistics.median(rates), 1),
        "spread": round(spread(rates), 2),
        "of_limit": round(ratio(runs, limit), 3) if limit else None,
        "cpu_us": round(statistics.median(run.cpu_us() for run in timed), 1) if timed else None,
        "in_kernel": round(statistics.median(run.in_kernel() for run in timed), 2) if timed else None,
        "runs": [round(rate, 1) for rate in rates],
    }


def median_of(values):
    return {"median": statistics.median(values), "spread": round(spread(values), 2), "runs": len(values)}


def until(condition, seconds=20, pause=0.02):
    """Waits until it holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{seconds} s were not enough for {condition.__qualname__}")
        time.sleep(pause)
