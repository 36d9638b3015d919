"""`--traffic`, `--tag` and `--untag`: a Service's traffic as it is, and as it is to be.

    --tag hello-00001=stable          a name and a host of its own for a revision
    --traffic stable=90,@latest=10    by revision, tag or @latest; what is not named gets nothing
    --traffic hello-00001=90          one left out of the split gets the rest
    --untag stable

Tags come before percentages, so that one command may name a tag and send traffic to it. A target with neither a tag
nor traffic goes away. A tag is not moved to another revision unless it is taken away in the same command.
"""

from collections.abc import Sequence
from typing import Any, Final

from upwell.cli.errors import CommandError
from upwell.cli.pairs import comma_parts, split_pair

__all__ = ["LATEST", "split_traffic"]

LATEST: Final = "@latest"
Target = dict[str, Any]


def split_traffic(
    current: Sequence[Target] | None,
    traffic: Sequence[str] | None,
    tags: Sequence[str] | None,
    untags: Sequence[str] | None,
) -> list[Target]:
    """The new traffic of a Service; raise CommandError where the words contradict it or one another."""
    targets = [dict(target) for target in current or ({"latestRevision": True, "percent": 100},)]
    for tag in comma_parts(untags):
        _untag(targets, tag)
    for revision, tag in _pairs("--tag", tags):
        _tag(targets, revision, tag)
    if traffic:
        _set_percentages(targets, _percentages(traffic))
    return [target for target in targets if target.get("tag") or target.get("percent")]


def _pairs(flag: str, words: Sequence[str] | None) -> list[tuple[str, str]]:
    pairs = [split_pair(flag, word) for word in comma_parts(words)]
    names = [name for name, _ in pairs]
    repeated = next((name for name in names if names.count(name) > 1 and (flag == "--traffic" or name == LATEST)), None)
    if repeated:
        raise CommandError(f"{flag}: {repeated} is named more than once", "name each once", 2)
    return pairs


def _refers_to(target: Target, revision: str) -> bool:
    latest = bool(target.get("latestRevision")) or not target.get("revisionName")
    return latest if revision == LATEST else target.get("revisionName") == revision


def _untag(targets: list[Target], tag: str) -> None:
    for target in targets:
        if target.get("tag") == tag:
            del target["tag"]
            return
    raise CommandError(f"--untag {tag}: there is no such tag", "see the tags with `upwell service describe`")


def _tag(targets: list[Target], revision: str, tag: str) -> None:
    holder = next((target for target in targets if target.get("tag") == tag), None)
    if holder is not None:
        if _refers_to(holder, revision):
            return
        raise CommandError(f"--tag {revision}={tag}: the tag {tag} is another revision's", f"add --untag {tag}")
    free = next((target for target in targets if _refers_to(target, revision) and not target.get("tag")), None)
    if free is None:
        free = _target(revision)
        targets.append(free)
    free["tag"] = tag


def _target(revision: str) -> Target:
    return {"latestRevision": True} if revision == LATEST else {"latestRevision": False, "revisionName": revision}


def _percentages(words: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, text in _pairs("--traffic", words):
        if not (text.isascii() and text.isdigit()):
            raise CommandError(f"--traffic {name}={text}: {text} is not a whole percentage", "0 to 100", 2)
        found[name] = int(text)
    if sum(found.values()) > 100:
        raise CommandError(f"--traffic: the percentages sum to {sum(found.values())}", "100, or less for one left out")
    return found


def _set_percentages(targets: list[Target], percentages: dict[str, int]) -> None:
    before = [target for target in targets if target.get("percent")]
    named: list[Target] = []
    for target in targets:
        target["percent"] = 0
    for name, percent in percentages.items():
        target = _named(targets, name)
        target["percent"] = percent
        named.append(target)
    rest = 100 - sum(percentages.values())
    if rest:
        left_out = [target for target in before if all(target is not one for one in named)]
        if len(left_out) != 1:
            which = "none is" if not left_out else f"{len(left_out)} are"
            raise CommandError(f"--traffic: {rest} % are left over, and {which} left out", "name all, to sum to 100")
        left_out[0]["percent"] = rest


def _named(targets: list[Target], name: str) -> Target:
    """The target that `name` means: a tag's, a revision's, or that of the latest; made where there is none."""
    tagged = [target for target in targets if target.get("tag") == name]
    # Of two targets with the same revision, the one without a tag is what the revision's name means.
    plain = [target for target in targets if _refers_to(target, name)]
    found = tagged or sorted(plain, key=lambda target: bool(target.get("tag")))
    if found:
        return found[0]
    made = _target(name)
    targets.append(made)
    return made
