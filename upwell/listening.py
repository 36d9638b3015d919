"""Where a process listens: every address by default, IPv4 and IPv6; one address when UPWELL_BIND_HOST names it.

Two sockets rather than one for both families, so that an IPv4 client's address reads `10.0.0.1` in X-Forwarded-For
and not `::ffff:10.0.0.1`. A socket that was handed over (UPWELL_LISTEN_FDS) is taken as it is.

Several processes can share a port where each has a socket of its own that says so (`shared`): the kernel spreads
connections over them evenly. One listening socket for all would not do: whoever wakes first accepts all there is.
"""

import socket
from typing import Final

from upwell.ports import ConfigError, PortMap

__all__ = ["bind"]

ANY: Final = "0.0.0.0"


def bind(ports: PortMap, port: int, host: str = "", *, shared: bool = False) -> list[socket.socket]:
    """Bound sockets for the contract's `port`; raise ConfigError when it is taken or the address is not ours.

    `host` wins over the bind host of `ports`; a `shared` port may be bound again by others that share it.
    """
    handed_over = ports.listen_fds.get(port)
    if handed_over is not None:
        return [_adopt(port, handed_over)]
    address, actual = host or ports.bind_host, ports.actual(port)
    try:
        sockets = [_bind(address, actual, shared)]
    except OSError as error:
        raise ConfigError(f"cannot listen on {address} port {actual}: {error.strerror or error}") from error
    if address == ANY and socket.has_ipv6:
        try:
            sockets.append(_bind("::", sockets[0].getsockname()[1], shared))
        except OSError:
            pass  # a machine without IPv6, or with the port taken there: IPv4 is what the contract asks for
    return sockets


def _bind(host: str, port: int, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _adopt(port: int, descriptor: int) -> socket.socket:
    try:
        return socket.socket(fileno=descriptor)
    except OSError as error:
        raise ConfigError(
            f'UPWELL_LISTEN_FDS="{port}={descriptor}": not an open socket ({error.strerror}); name one that is'
        ) from error
