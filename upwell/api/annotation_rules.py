"""Rules in CEL for the annotations of a revision template (contract: autoscaler.md 2.1, control-plane.md 5.3).

Where an annotation has two spellings the rule looks at the one that counts. Numbers are held against their bounds when
they are written plainly; other spellings that Go reads (`1e2`, `Inf`) are left for admission.
"""

from collections.abc import Mapping
from typing import Any, Final

from upwell.policy.annotations import (
    ACTIVATION_SCALE,
    CLASS,
    INITIAL_SCALE,
    MAX_SCALE,
    MIN_SCALE,
    PANIC_THRESHOLD,
    PANIC_WINDOW,
    PROGRESS_DEADLINE,
    RETENTION,
    SCALE_DOWN_DELAY,
    TARGET,
    TARGET_BURST_CAPACITY,
    UTILISATION,
    WINDOW,
    Keys,
)

__all__ = ["ANNOTATION_MARKS", "NETWORKING_ALLOWED", "NETWORKING_PREFIX"]

NETWORKING_PREFIX: Final = "networking.knative.dev/"
NETWORKING_ALLOWED: Final = tuple(
    NETWORKING_PREFIX + name
    for name in (
        "ingress.class",
        "ingress-class",
        "certificate.class",
        "certificate-class",
        "disableAutoTLS",
        "disable-auto-tls",
        "disable-external-domain-tls",
        "httpOption",
        "http-protocol",
    )
)
"""The annotations of that prefix which a template may have."""

_ANNOTATIONS_MAX: Final = 1000
_VALUE_MAX: Final = 262144
"""What Kubernetes allows all annotations of an object together."""
_COUNT: Final = "^([+]?[0-9]+|-0+)$"
_SHORT_COUNT: Final = "^[+]?[0-9]{1,9}$"
_NUMBER: Final = "^[+-]?([0-9.]|[iI][nN][fF]|[nN][aA][nN])"
_PLAIN_NUMBER: Final = "^[+-]?[0-9]{1,15}([.][0-9]{0,15})?$"
_DURATION: Final = "^[+-]?(0|(([0-9]+[.]?[0-9]*|[.][0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
_HOURS_AND_LESS: Final = "^[0-9]{1,5}(s|m|h)$"


def _each(keys: Keys, test: str) -> str:
    """That the value which counts, if there is one, passes `test`, in which it is called VALUE."""
    texts = [(f"'{key}' in self", test.replace("VALUE", f"self['{key}']")) for key in keys]
    rule = f"!({texts[-1][0]}) || ({texts[-1][1]})"
    for present, passes in reversed(texts[:-1]):
        rule = f"{present} ? ({passes}) : ({rule})"
    return rule


def _rule(keys: Keys, test: str, message: str) -> dict[str, str]:
    return {"rule": _each(keys, test), "message": f"{keys[0]}: {message}"}


def _count(keys: Keys, message: str = "must be a whole number, at least 0") -> dict[str, str]:
    return _rule(keys, f"VALUE.matches('{_COUNT}')", message)


def _number(keys: Keys, test: str, message: str) -> dict[str, str]:
    return _rule(
        keys, f"VALUE.matches('{_NUMBER}') && (!VALUE.matches('{_PLAIN_NUMBER}') || {test})", f"must be {message}"
    )


def _between(keys: Keys, low: int, high: int) -> dict[str, str]:
    test = f"(double(VALUE) >= {low}.0 && double(VALUE) <= {high}.0)"
    return _number(keys, test, f"a number from {low} to {high}")


def _duration(keys: Keys, low: str, high: str) -> dict[str, str]:
    test = (
        f"VALUE.matches('{_DURATION}') && (!VALUE.matches('{_HOURS_AND_LESS}')"
        f" || (duration(VALUE) >= duration('{low}') && duration(VALUE) <= duration('{high}')))"
    )
    return _rule(keys, test, f"must be a duration from {low} to {high}, for example 90s or 1m30s")


def _min_below_max() -> dict[str, str]:
    """Where both are plain, by the spelling that is nearly always used."""
    low, high = f"self['{MIN_SCALE[0]}']", f"self['{MAX_SCALE[0]}']"
    rule = (
        f"!('{MIN_SCALE[0]}' in self && '{MAX_SCALE[0]}' in self)"
        f" || !{low}.matches('{_SHORT_COUNT}') || !{high}.matches('{_SHORT_COUNT}')"
        f" || int({high}) == 0 || int({low}) <= int({high})"
    )
    expression = f"'max-scale=' + {high} + ' is less than min-scale=' + {low}"
    return {"rule": rule, "message": "max-scale is less than min-scale", "messageExpression": expression}


_ALLOWED: Final = ", ".join(f"'{key}'" for key in NETWORKING_ALLOWED)
_CLASSES: Final = "['kpa.autoscaling.knative.dev', 'hpa.autoscaling.knative.dev']"

ANNOTATION_MARKS: Final[Mapping[str, Mapping[str, Any]]] = {
    "": {
        "maxProperties": _ANNOTATIONS_MAX,
        "x-kubernetes-validations": [
            _rule(
                CLASS,
                f"!VALUE.endsWith('.knative.dev') || VALUE in {_CLASSES}",
                "of Knative's own there are kpa.autoscaling.knative.dev and hpa.autoscaling.knative.dev",
            ),
            _count(MIN_SCALE),
            _count(MAX_SCALE, "must be a whole number, at least 0; 0 means no limit"),
            _min_below_max(),
            _count(INITIAL_SCALE),
            _rule(
                ACTIVATION_SCALE, f"VALUE.matches('{_COUNT}') && !VALUE.matches('^[+-]?0*[01]?$')", "must be at least 2"
            ),
            _number(TARGET, "double(VALUE) >= 0.01", "a number, at least 0.01"),
            _between(UTILISATION, 1, 100),
            _number(TARGET_BURST_CAPACITY, "(double(VALUE) >= 0.0 || double(VALUE) == -1.0)", "-1, or at least 0"),
            _between(PANIC_WINDOW, 1, 100),
            _between(PANIC_THRESHOLD, 110, 1000),
            _duration(WINDOW, "6s", "1h"),
            _duration(SCALE_DOWN_DELAY, "0s", "1h"),
            _duration(RETENTION, "0s", "1h"),
            _rule(PROGRESS_DEADLINE, f"VALUE.matches('{_DURATION}')", "must be a duration, for example 600s or 10m"),
            {
                "rule": f"self.all(k, !k.startsWith('{NETWORKING_PREFIX}') || k in [{_ALLOWED}])",
                "message": f"invalid key name: of {NETWORKING_PREFIX}... a template may have the classes of ingress "
                "and certificate, http-protocol and disable-external-domain-tls",
            },
        ],
    },
    "{}": {"maxLength": _VALUE_MAX},
}
"""By path below the annotations, keys of OpenAPI schemas."""
