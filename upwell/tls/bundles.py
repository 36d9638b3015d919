"""Whom the parts of the data plane trust: names in certificates, and the config maps with the authorities.

Authorities are in config maps of the system namespace that carry a label; each value is one or more certificates in
PEM. Source: contract, activator.md 13.
"""

from collections.abc import Iterable
from typing import Final

from upwell.api.objects import Object

__all__ = ["DATA_PLANE", "ROUTING", "TRUST_BUNDLES", "USER_PREFIX", "pems_of"]

TRUST_BUNDLES: Final = "networking.knative.dev/trust-bundle"
"""The label of the config maps."""
DATA_PLANE: Final = "data-plane.knative.dev"
"""The name that activators and sidecars all have in their certificates."""
ROUTING: Final = "kn-routing"
"""The name that activators have besides."""
USER_PREFIX: Final = "kn-user-"
"""With the namespace behind it, in lower case: the name that the sidecars of one namespace have besides."""


def pems_of(bundles: Iterable[Object]) -> list[str]:
    """The certificates of all config maps."""
    return [str(value) for bundle in bundles for value in (bundle.get("data") or {}).values()]
