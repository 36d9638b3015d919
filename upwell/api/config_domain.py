"""config-domain: which domain a route's hosts are in.

    example.com: |
      selector:
        team: web
    example.org: ""

A domain without a selector is the default. Without any, routes are reachable inside the cluster only.
"""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from upwell.api.names import LABEL_VISIBILITY
from upwell.api.settings import Settings

__all__ = ["DomainConfig", "parse_domain"]


@dataclass(frozen=True, slots=True)
class DomainConfig:
    """By domain, the labels of the routes that it is for."""

    selectors: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    wildcards: frozenset[str] = frozenset()
    """Those whose namespaces may have certificates for all of their hosts at once; a default always is one."""

    def lookup(self, labels: Mapping[str, str], cluster_domain: str) -> str:
        """The domain of a route with `labels`: of those that match the most specific, then the first by name."""
        if labels.get(LABEL_VISIBILITY) == "cluster-local":
            return f"svc.{cluster_domain}"
        matching = [
            (-len(selector), domain)
            for domain, selector in self.selectors.items()
            if selector.items() <= labels.items()
        ]
        return min(matching)[1] if matching else f"svc.{cluster_domain}"


def parse_domain(data: Mapping[str, str]) -> DomainConfig:
    """Read config-domain; raise SettingError."""
    settings = Settings("config-domain", data)
    parsed = {domain: _parse(settings, domain) for domain in data}
    selectors = {domain: selector for domain, (selector, _) in parsed.items()}
    return DomainConfig(selectors, frozenset(domain for domain, (_, wildcard) in parsed.items() if wildcard))


def _parse(settings: Settings, domain: str) -> tuple[Mapping[str, str], bool]:
    """Of one domain its selector, and whether it is a wildcard's."""
    right = "must be empty or YAML of the form {selector: {label: value}}"
    try:
        parsed: Any = yaml.safe_load(settings.text(domain)) or {}
        selector = dict(parsed.get("selector") or {})
        if not all(isinstance(text, str) for text in itertools.chain.from_iterable(selector.items())):
            raise TypeError(domain)
        return selector, not selector or parsed.get("type") == "wildcard"
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        raise settings.error(domain, right) from None
