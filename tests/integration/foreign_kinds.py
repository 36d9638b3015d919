"""`python -m tests.integration.foreign_kinds`: the embedded API server, with kinds that clusters get from elsewhere."""

import sys

from controller.ingress.kinds import (
    DESTINATION_RULE,
    GATEWAY,
    HTTP_ROUTE,
    ISTIO_GATEWAY,
    REFERENCE_GRANT,
    VIRTUAL_SERVICE,
)
from upwell.api.resources import RESOURCES
from upwell.local.apiserver import __main__ as server
from upwell.local.apiserver import strategy
from upwell.local.apiserver.catalog import Catalog

FOREIGN = (DESTINATION_RULE, GATEWAY, HTTP_ROUTE, ISTIO_GATEWAY, REFERENCE_GRANT, VIRTUAL_SERVICE)

if __name__ == "__main__":
    server.CATALOG = Catalog((*RESOURCES, *FOREIGN))  # type: ignore[attr-defined]
    strategy._GENERATION.update((one.group, one.kind) for one in FOREIGN)
    sys.exit(server.main())
