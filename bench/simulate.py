"""How fast the lab is: requests one by one, and many functions minute by minute.

    python -m bench.simulate [--rate 1000] [--seconds 3600] [--functions 1000] [--jobs 1] [--write]

The first part writes a trace of Poisson arrivals as CSV and runs `upwell simulate` on it as a user would, start of the
interpreter and all files included. The second makes functions whose daily numbers are spread as Shahrad et al. (USENIX
ATC 2020) describe those of Azure Functions: 45 % of them are called at most once an hour, 81 % at most once a
minute, and the few others make nearly all requests; a third of the rare ones are timers, the rest Poisson with a daily
wave. Figures are wall-clock and CPU seconds; with `--write` they go to bench/RESULTS-simulate.md, beside the targets:
30 s for an hour at 1,000 requests/s, ten minutes for a day of 10,000 functions.
"""

import argparse
import csv
import json
import math
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

MINUTES = 1440
RESULTS = Path(__file__).parent / "RESULTS-simulate.md"
SERVICE = """apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: bench}}
spec:
  template:
    metadata:
      annotations: {{autoscaling.knative.dev/window: {window}}}
    spec:
      containerConcurrency: {concurrency}
      containers: [{{image: example.local/bench}}]
"""


def write_requests(path: Path, rate: float, seconds: float) -> None:
    rng = random.Random(1)
    arrival = rng.expovariate(rate)
    with path.open("w") as file:
        file.write("arrival_s,duration_s\n")
        while arrival < seconds:
            file.write(f"{arrival:.6f},{rng.lognormvariate(-2.3, 0.6):.6f}\n")
            arrival += rng.expovariate(rate)


def write_counts(path: Path, functions: int) -> None:
    rng = random.Random(7)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["HashOwner", "HashApp", "HashFunction", "Trigger", *range(1, MINUTES + 1)])
        for number in range(functions):
            writer.writerow([f"o{number // 7}", f"a{number // 3}", f"f{number}", "http", *daily_counts(rng)])


def daily_counts(rng: random.Random) -> list[int]:
    place = rng.random()
    low, high = (1, 24) if place < 0.45 else (24, 1440) if place < 0.81 else (1440, 2e6)
    a_day = math.exp(rng.uniform(math.log(low), math.log(high)))
    if a_day <= MINUTES and rng.random() < 1 / 3:
        period = max(1, round(MINUTES / a_day))
        return [1 if minute % period == 0 else 0 for minute in range(MINUTES)]
    phase, swing = rng.uniform(0, 2 * math.pi), rng.uniform(0, 0.8)
    return [
        poisson(rng, a_day / MINUTES * (1 + swing * math.sin(2 * math.pi * minute / MINUTES + phase)))
        for minute in range(MINUTES)
    ]


def poisson(rng: random.Random, mean: float) -> int:
    if mean > 50:
        return max(0, round(rng.gauss(mean, math.sqrt(mean))))
    count, share, reached, wanted = 0, math.exp(-mean), math.exp(-mean), rng.random()
    while wanted > reached and count < 500:
        count += 1
        share *= mean / count
        reached += share
    return count


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of the command."""

    what: str
    target_s: float | None
    """Seconds by the clock; None where the run is not what the target is about."""
    figures: Mapping[str, float]


def run(folder: Path, trace: Path, concurrency: int, jobs: int, window: str) -> dict[str, float]:
    service, out = folder / "service.yaml", folder / "out.json"
    service.write_text(SERVICE.format(concurrency=concurrency, window=window))
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    files = (service, "--trace", trace, "--json", out, "--html", folder / "out.html", "--jobs", jobs)
    words = [str(word) for word in files]
    subprocess.run([sys.executable, "-m", "upwell.cli.main", "simulate", *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    found = json.loads(out.read_text())
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "rss_most_mib": after.ru_maxrss // 1024,
        "requests": found["requests"],
        "pods_started": found["pods_started"],
    }


def trials(options: argparse.Namespace, folder: Path) -> Iterator[Trial]:
    if options.rate:
        write_requests(folder / "requests.csv", options.rate, options.seconds)
        target = 30.0 if (options.rate, options.seconds) == (1000.0, 3600.0) else None
        for concurrency in (0, 1, 50):
            figures = run(folder, folder / "requests.csv", concurrency, options.jobs, "60s")
            yield Trial(f"{figures['requests']:,} requests, containerConcurrency {concurrency}", target, figures)
    if options.functions:
        write_counts(folder / "counts.csv", options.functions)
        target = 600.0 if options.functions >= 10_000 else None
        for concurrency, window in ((0, "60s"), (1, "60s"), (0, "6s")):
            figures = run(folder, folder / "counts.csv", concurrency, options.jobs, window)
            what = f"a day of {options.functions:,} functions, containerConcurrency {concurrency}, window {window}"
            yield Trial(what, target, figures)


def write_results(done: Sequence[Trial], jobs: int) -> None:
    lines = [
        "# How fast the lab is",
        "",
        "Written by `python -m bench.simulate --functions 10000 --write`; the whole command, files and page included,",
        f"with `--jobs {jobs}`, on a machine that others used too.",
        "",
        "| | seconds | target | CPU seconds | RSS at most, MiB | requests | pods started |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for trial in done:
        figures = trial.figures
        target = "" if trial.target_s is None else f"{trial.target_s:.0f}"
        cells = [trial.what, f"{figures['wall_s']:.1f}", target, f"{figures['cpu_s']:.1f}"]
        cells += [f"{figures[name]:,.0f}" for name in ("rss_most_mib", "requests", "pods_started")]
        lines.append(f"| {' | '.join(cells)} |")
    RESULTS.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second; 0 leaves this part out")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--functions", type=int, default=1000, help="0 leaves this part out")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS-simulate.md")
    options = parser.parse_args()
    done: list[Trial] = []
    with tempfile.TemporaryDirectory() as name:
        for trial in trials(options, Path(name)):
            print(f"{trial.what}: {trial.figures}", flush=True)
            done.append(trial)
    if options.write:
        write_results(done, options.jobs)


if __name__ == "__main__":
    main()
