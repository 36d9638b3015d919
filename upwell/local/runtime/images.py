"""What the images that come with Upwell mean on a machine without containers.

An image is only a label locally: a container says with `command` what to run. Upwell's own images are the exception,
so that the controller's sidecar and the platform's manifests read the same here and on a cluster.

Their Python is started without `site` and told in PYTHONPATH where the packages are: reading .pth files and the
finders of editable installs takes 30 ms, measured, and a sidecar's start is a part of every cold start.
"""

import os
import sys
from functools import cache
from pathlib import Path
from typing import Final

import upwell

__all__ = ["REGISTRY", "command_for", "python_path"]

REGISTRY: Final = "upwell.local"
_COMPONENTS: Final = frozenset({"activator", "autoscaler", "controller", "gateway", "queueproxy"})


def command_for(image: str) -> tuple[str, ...]:
    """The command that stands for `image`; empty when it is not one of ours."""
    registry, _, rest = image.partition("/")
    component = rest.partition("@")[0].partition(":")[0]
    if registry != REGISTRY or component not in _COMPONENTS:
        return ()
    # -P: the working directory is the user's, and a file `logging.py` there must not replace Python's own.
    return (sys.executable, "-S", "-P", "-m", component)


@cache
def python_path() -> str:
    """PYTHONPATH for `command_for`: where Upwell is, and what else this process imports packages from."""
    packages = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return os.pathsep.join(dict.fromkeys([str(Path(upwell.__file__).parent.parent), *packages]))
