"""The reference pages of annotations and config maps name what the code knows, and nothing else."""

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from upwell.api import names
from upwell.api.config_maps import _PARSERS
from upwell.api.pod_validation import _GATED as GATED_FIELDS
from upwell.api.volume_validation import _GATED as GATED_VOLUMES
from upwell.policy import annotations as scaling

ROOT = Path(__file__).parents[3]
PACKAGES = ("activator", "autoscaler", "controller", "gateway", "queueproxy", "upwell")
REFERENCE = ROOT / "docs" / "reference"
ANNOTATION = re.compile(r"[a-z.]+\.(?:knative|upwell|kubernetes)\.(?:dev|io)/[A-Za-z][\w.-]*")
LITERAL = re.compile(rf'"({ANNOTATION.pattern})"')
FLAG = re.compile(r'"((?:kubernetes|queueproxy|multi|secure|autodetect|tag-header)[.-][a-z.-]*[a-z0-9])"')
LABELS = {
    "networking.knative.dev/certificate-type",
    "networking.knative.dev/trust-bundle",
    "networking.knative.dev/visibility",
    "networking.internal.knative.dev/serverlessservice",
    "networking.internal.knative.dev/serviceType",
    "serving.knative.dev/domainMappingNamespace",
    "serving.knative.dev/domainMappingUID",
    "serving.knative.dev/visibility",
    "knative.dev/crd-install",
    "networking.internal.knative.dev/certificate-uid",
    "networking.knative.dev/wildcardDomain",
    "networking.internal.knative.dev/ingress",
    "networking.internal.knative.dev/originSecretName",
    "networking.internal.knative.dev/originSecretNamespace",
    "networking.upwell.dev/ingress-uid",
}
"""Keys in the code that are labels; the page names one of them in passing."""


def sources() -> Iterable[str]:
    return (path.read_text() for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def ticked(text: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", text))


def known_annotations() -> set[str]:
    """Constants of the names, the settings of scale, and what else is spelled out somewhere."""
    constants = {value for name, value in vars(names).items() if name.startswith("ANNOTATION_")}
    settings = {key for value in vars(scaling).values() if isinstance(value, tuple) for key in value}
    spelled = {
        key
        for text in sources()
        for key in LITERAL.findall(text)
        if key.startswith(("autoscaling.", "client.", "features.", "knative.dev/", "local.", "networking.", "serving."))
        and ".dev/serving/" not in key
    }
    sidecar = {
        f"queue.sidecar.serving.knative.dev/{resource}-resource-{kind}"
        for resource in ("cpu", "memory", "ephemeral-storage")
        for kind in ("request", "limit")
    }
    sidecar |= {f"queue.sidecar.serving.knative.dev/resource{word}" for word in ("-percentage", "Percentage")}
    return constants | {key for key in settings if "/" in key} | (spelled - LABELS) | sidecar


def test_every_annotation_that_the_code_knows_is_on_the_page_and_the_other_way_round() -> None:
    page = {word for word in ticked((REFERENCE / "annotations.md").read_text()) if ANNOTATION.fullmatch(word)}

    assert known_annotations() - page == set(), "the code knows these, docs/reference/annotations.md does not"
    assert page - known_annotations() - LABELS == set(), "docs/reference/annotations.md names these, the code does not"


class Asked(dict[str, str]):
    """A config map's data that remembers which keys it was asked for."""

    def __init__(self, data: dict[str, str]) -> None:
        super().__init__(data)
        self.keys_asked: set[str] = set()

    def __contains__(self, key: object) -> bool:
        self.keys_asked.add(str(key))
        return super().__contains__(key)


def section(config_map: str) -> str:
    page = (REFERENCE / "config-maps.md").read_text()
    return page.partition(f"\n## {config_map}\n")[2].partition("\n## ")[0]


def rows(config_map: str) -> set[str]:
    """The keys of a section's table: its first column, and the second where that is of older spellings."""
    lines = [line.strip("|").split("|") for line in section(config_map).splitlines() if line.startswith("| `")]
    older = "older spelling" in section(config_map)
    return {word for cells in lines for cell in cells[: 2 if older else 1] for word in ticked(cell)}


@pytest.mark.parametrize("config_map", sorted(set(_PARSERS) - {"config-domain", "config-features", "config-logging"}))
def test_every_key_that_a_config_map_is_read_for_is_on_the_page_and_the_other_way_round(config_map: str) -> None:
    required = {"queue-sidecar-image": "example.local/queue"} if config_map == "config-deployment" else {}
    data = Asked(required)

    _PARSERS[config_map](data)

    assert data.keys_asked - rows(config_map) == set(), "the code reads these, the page does not name them"
    # A key that was found is asked for no further spelling.
    assert rows(config_map) - data.keys_asked - {"queueSidecarImage"} == set(), (
        "the page names these, nothing reads them"
    )


def test_every_feature_flag_is_on_the_page_and_the_other_way_round() -> None:
    gated = {f"kubernetes.podspec-{flag}" for flag in GATED_FIELDS.values()}
    gated |= {f"kubernetes.podspec-{flag}" for flag, _ in GATED_VOLUMES.values()}
    spelled = {flag for path in ("upwell/api", "controller") for file in (ROOT / path).rglob("*.py")
               for flag in FLAG.findall(file.read_text())} | {"multi-container"}  # fmt: skip

    assert rows("config-features") == gated | spelled


def test_every_config_map_has_its_section() -> None:
    assert [name for name in _PARSERS if not section(name)] == []
