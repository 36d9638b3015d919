"""Which port a process really uses, where many pods share one machine's addresses.

On a cluster every pod has an address of its own, and the contract's port numbers are used as they stand. Where
pods share an address (the local platform; pods with `hostNetwork`), `UPWELL_PORT_MAP` says for each of the
contract's numbers which port this pod was given: `8012=20117,8022=20118`. `UPWELL_BIND_HOST` says on which
address to listen. `UPWELL_LISTEN_FDS` names sockets that are already bound and were handed over: `8080=5` means
that file descriptor 5 listens for port 8080; it stays open over a restart, so no client is refused meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["ConfigError", "PortMap", "parse_pairs"]


class ConfigError(ValueError):
    """A setting is missing or malformed; the text names the setting, its value and what would be right."""


def parse_pairs(variable: str, text: str, highest: int) -> dict[int, int]:
    """Parse `a=b,c=d` with numbers up to `highest`; raise ConfigError naming `variable`."""
    pairs: dict[int, int] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        left, found, right = item.partition("=")
        if not (found and left.isascii() and left.isdigit() and right.isascii() and right.isdigit()):
            raise ConfigError(f'{variable}="{text}": "{item}" is not NUMBER=NUMBER, for example 8012=20117')
        if not (0 < int(left) <= 65535 and 0 <= int(right) <= highest):
            raise ConfigError(f'{variable}="{text}": "{item}" is out of range; ports are 1 to 65535')
        pairs[int(left)] = int(right)
    return pairs


@dataclass(frozen=True, slots=True)
class PortMap:
    """The ports given to this process; without an entry a port is used as it is."""

    ports: Mapping[int, int] = field(default_factory=dict)
    listen_fds: Mapping[int, int] = field(default_factory=dict)
    bind_host: str = "0.0.0.0"
    """Address that servers listen on."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> "PortMap":
        """Read UPWELL_PORT_MAP, UPWELL_LISTEN_FDS and UPWELL_BIND_HOST; raise ConfigError."""
        return cls(
            parse_pairs("UPWELL_PORT_MAP", env.get("UPWELL_PORT_MAP", ""), 65535),
            parse_pairs("UPWELL_LISTEN_FDS", env.get("UPWELL_LISTEN_FDS", ""), 2**20),
            env.get("UPWELL_BIND_HOST") or "0.0.0.0",
        )

    def actual(self, port: int) -> int:
        """The port that stands for the contract's `port` here."""
        return self.ports.get(port, port)
