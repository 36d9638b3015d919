"""`upwell simulate`: what a policy would have done with your traffic, before you deploy it.

The command line's side of the lab (`upwell.simulate`): it reads the Services as `upwell apply` would, has them
admitted, so that a wrong annotation is refused with the cluster's own words, and shows what came of them. One Service
alone, several side by side (`--compare`), or one with its settings varied (`--sweep`).
"""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import yaml

from upwell.api.admission import admit
from upwell.api.field_errors import Denied
from upwell.api.resources import SERVICE
from upwell.charts.drawing import Line
from upwell.charts.text import text_chart
from upwell.cli.documents import load_files
from upwell.cli.errors import CommandError
from upwell.policy.autoscaler_config import AutoscalerConfig, parse_autoscaler_config
from upwell.ports import ConfigError
from upwell.simulate.distributions import parse_distribution
from upwell.simulate.errors import InputError
from upwell.simulate.formats import as_json, write_csv, write_json
from upwell.simulate.generators import generate
from upwell.simulate.lab import Traffic, spread, try_policies
from upwell.simulate.policy import PodModel, Policy, policy_of
from upwell.simulate.recording import Outcome
from upwell.simulate.report import ROWS, in_words, write_report
from upwell.simulate.sweep import Axis, Trial, parse_sweep, run_sweep
from upwell.simulate.traces import Requests, read_trace

__all__ = ["simulate"]

CONFIG_MAP: Final = "config-autoscaler"
PERCENTAGE: Final = "container-concurrency-target-percentage"


def simulate(options: argparse.Namespace) -> int:
    """Run the command; returns the exit code."""
    try:
        _check_words(options)
        policies = _policies(options)
        pods = PodModel(
            parse_distribution(options.cold_start, "--cold-start"),
            parse_distribution(options.service_time, "--service-time"),
        )
        traffic = _traffic(options, pods)
        jobs = options.jobs if options.jobs > 0 else os.cpu_count() or 1
        if options.sweep:
            return _sweep(options, policies[0], pods, traffic, jobs)
        outcomes = try_policies(policies, pods, traffic, seed=options.seed, jobs=jobs)
    except InputError as error:
        raise CommandError(str(error), error.hint) from error
    _write(options, outcomes, as_json(outcomes[0]) if len(outcomes) == 1 else _side_by_side(outcomes))
    print("\n".join(_summary(outcomes, traffic)))
    return 0


def _check_words(options: argparse.Namespace) -> None:
    if (options.trace is None) == (options.generate is None):
        raise CommandError(
            "give either --trace or --generate", "upwell simulate service.yaml --trace trace.csv", code=2
        )
    if options.file is None and not options.compare:
        raise CommandError("no Service to try", "upwell simulate service.yaml --trace trace.csv", code=2)
    if options.sweep and options.compare:
        raise CommandError("--sweep and --compare exclude each other", "sweep one Service", code=2)
    for file in (options.json, options.csv, options.html):
        if file is not None and not file.absolute().parent.is_dir():
            raise CommandError(f"{file}: there is no folder {file.parent}", "make it first, or name another file")


def _policies(options: argparse.Namespace) -> list[Policy]:
    """One for each Service, in the order of the command line; names that are equal are told apart by their files."""
    config_data = _config_data(options)
    files = [file for file in (options.file, *options.compare) if file is not None]
    policies = [_policy(file, config_data) for file in files]
    names = [policy.name for policy in policies]
    if len(set(names)) < len(names):
        policies = [replace(policy, name=str(file)) for policy, file in zip(policies, files, strict=True)]
    return [replace(policy, just_deployed=options.just_deployed) for policy in policies]


def _policy(file: Path, config_data: Mapping[str, str]) -> Policy:
    services = [document for document in load_files([file]) if document.resource is SERVICE]
    if len(services) != 1:
        raise CommandError(
            f"{file}: {len(services)} Services in it", "name a file with one serving.knative.dev/v1 Service"
        )
    try:
        admitted = admit(SERVICE, services[0].obj, None, lambda name: config_data if name == CONFIG_MAP else {})
    except Denied as error:
        raise CommandError(f"{services[0].where}: {error}", "the cluster would refuse it as well") from error
    return policy_of(admitted, parse_autoscaler_config(config_data))


def _config_data(options: argparse.Namespace) -> dict[str, str]:
    """The data of config-autoscaler: that of the file, then what `--set` says."""
    data = _read_config(options.config) if options.config else {}
    for item in options.set:
        key, found, value = item.partition("=")
        if not found or not key:
            raise CommandError(f"--set {item}: it is not KEY=VALUE", "as in --set stable-window=30s", code=2)
        data[key.strip()] = value.strip()
    known = {name.replace("_", "-") for name in AutoscalerConfig.__dataclass_fields__} | {PERCENTAGE}
    for key in data:
        if key not in known and key != "_example":
            raise CommandError(f"{CONFIG_MAP} has no key {key}", f"it has {', '.join(sorted(known))}")
    try:
        parse_autoscaler_config(data)
    except ConfigError as error:
        raise CommandError(f"{options.config or '--set'}: {error}") from error
    return data


def _read_config(path: Path) -> dict[str, str]:
    """A ConfigMap, or its data alone."""
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CommandError(f"{path}: no such file", f"name a YAML file with {CONFIG_MAP}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = getattr(error, "problem", None) or "it cannot be read"
        raise CommandError(f"{where}: not YAML: {problem}", "check the indentation and quotes there") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: cannot be read: {error}") from error
    data = content.get("data", {}) if isinstance(content, dict) and content.get("kind") == "ConfigMap" else content
    if not isinstance(data, dict) or any(isinstance(value, (dict, list)) for value in data.values()):
        raise CommandError(f"{path}: it is neither a ConfigMap nor keys with values", "as in `stable-window: 30s`")
    return {str(key): str(value).lower() if isinstance(value, bool) else str(value) for key, value in data.items()}


def _traffic(options: argparse.Namespace, pods: PodModel) -> Traffic:
    if options.generate:
        return generate(options.generate, pods.service_time, options.seed)
    trace = read_trace(options.trace)
    if isinstance(trace, Requests):
        if options.function or options.model == "minutes":
            raise CommandError(f"{options.trace}: it holds requests, not counts per minute", "leave that option out")
        return trace
    functions = [function for function in trace if not options.function or function.name == options.function]
    if not functions:
        raise CommandError(f"{options.trace}: there is no HashFunction {options.function}", "name one of the file's")
    if options.model == "minutes" or (options.model == "auto" and len(functions) > 1):
        return functions
    if len(functions) > 1:
        raise CommandError("--model requests is for one function", "choose it with --function HASH")
    return spread(functions[0], pods.service_time, options.seed)


def _sweep(options: argparse.Namespace, policy: Policy, pods: PodModel, traffic: Traffic, jobs: int) -> int:
    axes = parse_sweep(options.sweep)
    trials = run_sweep(policy, axes, pods, traffic, seed=options.seed, jobs=jobs)
    document = {
        "policy": policy.name,
        "axes": {axis.name: axis.values for axis in axes},
        "trials": [trial.as_json(axes) for trial in trials],
    }
    _write(options, [trial.outcome for trial in trials if trial.on_frontier], document, trials, axes)
    print("\n".join(_frontier(trials, axes)))
    return 0


def _write(
    options: argparse.Namespace,
    outcomes: Sequence[Outcome],
    document: Mapping[str, Any],
    trials: Sequence[Trial] = (),
    axes: Sequence[Axis] = (),
) -> None:
    try:
        if options.json:
            write_json(options.json, document)
        if options.csv:
            write_csv(options.csv, outcomes)
        if options.html:
            write_report(options.html, outcomes, trials, axes)
    except OSError as error:
        raise CommandError(f"{error.filename}: cannot be written: {error.strerror}") from error


def _side_by_side(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    return {"policies": [as_json(outcome) for outcome in outcomes]}


def _summary(outcomes: Sequence[Outcome], traffic: Traffic) -> list[str]:
    """The figures, a column for each policy, and for one policy its pods as a chart."""
    width = max(12, *(len(outcome.policy) for outcome in outcomes))
    lines = (
        [f"{'':<26}" + "".join(f"{outcome.policy:>{width + 2}}" for outcome in outcomes)] if len(outcomes) > 1 else []
    )
    for label, value in ROWS:
        lines.append(f"{label:<26}" + "".join(f"{value(outcome):>{width + 2}}" for outcome in outcomes))
    if isinstance(traffic, Requests) and traffic.out_of_order:
        lines.append(f"{traffic.name}: {traffic.out_of_order} lines were out of order, and were put in order")
    if len(outcomes) == 1:
        outcome = outcomes[0]
        shown = [Line("ready pods", outcome.pods, step=True), Line("in system", _concurrency(outcome))]
        lines = ["", *text_chart(shown), "", *lines]
    return lines


def _concurrency(outcome: Outcome) -> list[tuple[float, float]]:
    timeline = outcome.timeline
    return list(zip(timeline.column("t"), timeline.column("concurrency"), strict=True))


def _frontier(trials: Sequence[Trial], axes: Sequence[Axis]) -> list[str]:
    header = [*(axis.name for axis in axes), "pod-seconds", "wasted", "cold starts", "failed", "mean", "p95", "p99", ""]
    rows = [
        [
            *trial.values,
            f"{trial.outcome.pod_seconds:.0f}",
            f"{trial.outcome.wasted_share:.0%}",
            str(trial.outcome.cold_starts),
            str(sum(trial.outcome.failed.values())),
            in_words(trial.outcome.latency.mean),
            in_words(trial.outcome.latency.at[95.0]),
            in_words(trial.outcome.latency.at[99.0]),
            "* frontier" if trial.on_frontier else "",
        ]
        for trial in trials
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    return ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
