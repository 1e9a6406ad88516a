"""Sockets that listen: bound before anything is promised, with errors that say what to do.

Decides families and options. Refuses names: a bind address is a literal IP address.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket

from protocol.errors import Invalid, Unavailable


def bind_stream(host: str, port: int, *, or_any: bool = False) -> socket.socket:
    """A bound TCP socket. Port 0 is any free one, and so is a taken one with `or_any`.

    Raises `Invalid` (`bad_bind_address`), `Unavailable` (`port_taken`, `address_unusable`)."""
    try:
        return _bind(socket.SOCK_STREAM, host, port)
    except Unavailable as error:
        if or_any and error.code == "port_taken":
            return _bind(socket.SOCK_STREAM, host, 0)
        raise


def bind_datagram(host: str, port: int) -> socket.socket:
    """A bound UDP socket. Port 0 is any free one. Raises as `bind_stream`."""
    return _bind(socket.SOCK_DGRAM, host, port)


def _bind(kind: socket.SocketKind, host: str, port: int) -> socket.socket:
    sock = socket.socket(_family(host), kind)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM and os.name == "posix":  # elsewhere it would let two processes share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise _explain(error, host, port) from error
    return sock


def _family(host: str) -> socket.AddressFamily:
    try:
        version = ipaddress.ip_address(host).version
    except ValueError as error:
        raise Invalid("bad_bind_address", f"{host!r} is not an IP address to bind to (127.0.0.1, 0.0.0.0, ::).") from error
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def _explain(error: OSError, host: str, port: int) -> Unavailable:
    if error.errno == errno.EADDRINUSE:
        return Unavailable("port_taken", f"Port {port} on {host} is taken by another process; choose another one.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return Unavailable("address_unusable", f"This user may not bind port {port} on {host}; choose one above 1023.")
    return Unavailable("address_unusable", f"Cannot bind port {port} on {host}: {error.strerror or error}.")
