"""How fast the lab is: requests one by one, and many functions minute by minute.

    python -m bench.simulate [--rate 1000] [--seconds 3600] [--functions 1000] [--jobs 1]

The first part writes a trace of Poisson arrivals as CSV and runs `upwell simulate` on it as a user would, start of the
interpreter and all files included. The second makes functions whose daily numbers are spread as Shahrad et al. (USENIX
ATC 2020) describe those of Azure Functions: 45 % of them are called at most once an hour, 81 % at most once a
minute, and the few others make nearly all requests; a third of the rare ones are timers, the rest Poisson with a daily
wave. Figures are wall-clock and CPU seconds.
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
from pathlib import Path

MINUTES = 1440
SERVICE = """apiVersion: serving.knative.dev/v1
kind: Service
metadata: {{name: bench}}
spec:
  template:
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


def run(folder: Path, trace: Path, concurrency: int, jobs: int) -> dict[str, float]:
    service, out = folder / "service.yaml", folder / "out.json"
    service.write_text(SERVICE.format(concurrency=concurrency))
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=1000.0, help="requests per second; 0 leaves this part out")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--functions", type=int, default=1000, help="0 leaves this part out")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.rate:
            write_requests(folder / "requests.csv", options.rate, options.seconds)
            for concurrency in (0, 1, 50):
                figures = run(folder, folder / "requests.csv", concurrency, options.jobs)
                each = figures["cpu_s"] / figures["requests"] * 1e6
                print(f"requests, containerConcurrency {concurrency:3}: {figures} {each:.1f} µs CPU each", flush=True)
        if options.functions:
            write_counts(folder / "counts.csv", options.functions)
            for concurrency in (0, 1):
                figures = run(folder, folder / "counts.csv", concurrency, options.jobs)
                each = figures["cpu_s"] / options.functions * 1000
                print(f"functions, containerConcurrency {concurrency:2}: {figures} {each:.0f} ms CPU each", flush=True)


if __name__ == "__main__":
    main()
