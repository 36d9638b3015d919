"""Names of container images: `[registry/]repository[:tag][@sha256:digest]`."""

import re
from dataclasses import dataclass
from typing import Final

__all__ = ["DEFAULT_REGISTRY", "ImageReference", "image_reference_problem", "is_digest", "parse_image_reference"]

DEFAULT_REGISTRY: Final = "index.docker.io"

_TAG: Final = re.compile(r"[\w.-]{1,128}", re.ASCII)
_REPOSITORY: Final = re.compile(r"[a-z0-9_.\-/]{2,255}", re.ASCII)
_REGISTRY: Final = re.compile(r"[A-Za-z0-9.\-_]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class ImageReference:
    """A tag of a repository of a registry, all of them spelled out."""

    registry: str
    repository: str
    tag: str

    @property
    def name(self) -> str:
        """The repository with its registry, as it stands before a digest."""
        return f"{self.registry}/{self.repository}"


def parse_image_reference(image: str) -> ImageReference:
    """What `image`, which has no digest, refers to; raise ValueError."""
    problem = image_reference_problem(image)
    if problem or is_digest(image):
        raise ValueError(problem or f"{image} is a digest already")
    head, slash, last = image.rpartition("/")
    last, _, tag = last.partition(":")
    registry, repository = _split_registry(f"{head}{slash}{last}")
    return ImageReference(registry or DEFAULT_REGISTRY, repository, tag or "latest")


def is_digest(image: str) -> bool:
    """Whether the image is named by its content."""
    return "@" in image


def image_reference_problem(image: str) -> str:
    """Why `image` cannot be read; empty when it can."""
    problem = f"could not parse reference: {image}"
    name, _, digest = image.partition("@")
    if "@" in image and not _DIGEST.fullmatch(digest):
        return problem
    head, slash, last = name.rpartition("/")
    last, colon, tag = last.partition(":")
    if colon and not _TAG.fullmatch(tag):
        return problem
    registry, repository = _split_registry(f"{head}{slash}{last}")
    if not _REPOSITORY.fullmatch(repository) or (registry and not _REGISTRY.fullmatch(registry)):
        return problem
    return ""


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        return first, rest
    # Without a registry it is the default one's, whose own images have the prefix `library/`.
    return "", name if slash else f"library/{name}"
