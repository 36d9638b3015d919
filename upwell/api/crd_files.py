"""Write the definitions of Knative's kinds into a folder, one file a kind.

    python -m upwell.api.crd_files DIR [NAMESPACE]

With the namespace of the controller, the kinds that had other versions in 2019 serve those too, through its webhook.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import yaml

from upwell.api.crds import definition, definition_name
from upwell.api.resources import KNATIVE_RESOURCES

__all__ = ["crd_files", "main"]

_HEAD: Final = "# Made from upwell/api by `make crds`; edit the types there.\n"


def crd_files(old_versions_in: str = "") -> Iterator[tuple[str, str]]:
    """File names and contents."""
    for resource in KNATIVE_RESOURCES:
        text = yaml.dump(
            definition(resource, old_versions_in), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True
        )
        yield f"{definition_name(resource)}.yaml", _HEAD + text


def main(folder: Path, old_versions_in: str = "") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contents = dict(crd_files(old_versions_in))
    for path in folder.glob("*.knative.dev.yaml"):
        if path.name not in contents:
            path.unlink()
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")


class _Plain(yaml.SafeDumper):
    """Without anchors: the same rule in two places is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
