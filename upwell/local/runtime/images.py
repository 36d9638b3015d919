"""What the images that come with Upwell mean on a machine without containers.

An image is only a label locally: a container says with `command` what to run. Upwell's own images are the exception,
so that the controller's sidecar and the platform's manifests read the same here and on a cluster.
"""

import sys
from typing import Final

__all__ = ["REGISTRY", "command_for"]

REGISTRY: Final = "upwell.local"
_COMPONENTS: Final = frozenset({"activator", "autoscaler", "controller", "gateway", "queueproxy"})


def command_for(image: str) -> tuple[str, ...]:
    """The command that stands for `image`; empty when it is not one of ours."""
    registry, _, rest = image.partition("/")
    component = rest.partition("@")[0].partition(":")[0]
    if registry != REGISTRY or component not in _COMPONENTS:
        return ()
    # -P: the working directory is the user's, and a file `logging.py` there must not replace Python's own.
    return (sys.executable, "-P", "-m", component)
