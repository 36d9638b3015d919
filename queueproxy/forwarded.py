"""The Forwarded header, made from the X-Forwarded-* ones for apps that read only the standard (RFC 7239).

    X-Forwarded-For: 127.0.0.1, ::1     X-Forwarded-Host: h     X-Forwarded-Proto: p
    Forwarded: for=127.0.0.1;host=h;proto=p, for="[::1]"

The immediate peer is not in it: this runs before the proxy appends the peer to X-Forwarded-For. Source: contract
queue-proxy.md 7.2.
"""

__all__ = ["forwarded"]


def forwarded(for_: bytes, host: bytes, proto: bytes) -> bytes:
    """The value made from the first X-Forwarded-For, -Host and -Proto; empty when all three are empty.

    Host and proto are copied as they stand, and a comma at the end opens no further node, as in the reference.
    """
    nodes = [_node(node.strip(b" \t")) for node in for_.removesuffix(b",").split(b",")] if for_ else []
    first = nodes[:1]
    if host:
        first.append(b"host=" + host)
    if proto:
        first.append(b"proto=" + proto)
    return b", ".join([b";".join(first), *nodes[1:]])


def _node(address: bytes) -> bytes:
    return b'for="[' + address + b']"' if b":" in address else b"for=" + address
