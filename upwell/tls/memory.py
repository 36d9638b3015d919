"""A certificate and key that are in memory only, as files that OpenSSL can read.

Python's `ssl` loads pairs from files. A process that got its pair from the API, in a container whose file system cannot
be written to, has none; and a key should not lie on a disk. Linux has files without a place.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["as_files"]


@contextmanager
def as_files(*contents: bytes) -> Iterator[list[str]]:
    """Paths under which these contents can be read inside the block."""
    descriptors: list[int] = []
    try:
        for content in contents:
            descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
            descriptors.append(descriptor)
            os.write(descriptor, content)
        yield [f"/proc/self/fd/{descriptor}" for descriptor in descriptors]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
