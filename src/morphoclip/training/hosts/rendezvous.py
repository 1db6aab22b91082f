"""The address at which hosts that train together find each other: one interface, and no other."""

import ipaddress
import socket
from typing import NamedTuple, Self

import psutil

from morphoclip.errors import InputError, example_of

_SECONDS_TO_CONNECT = 5


class Address(NamedTuple):
    """Where the store listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """``host:port``; IPv6 in brackets.

        Raises:
            InputError: It is something else.
        """
        host, _, port = text.rpartition(":")
        is_port = port.isdecimal() and len(port) < 6 and 0 < int(port) < 2**16
        if not host.strip("[]") or not is_port:
            raise InputError(
                f"the rendezvous {text!r} is no host:port, such as 10.0.0.5:29400 (a port from 1 "
                "to 65535)"
            )
        return cls(host.strip("[]"), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def resolved(self) -> Self:
        """With the number instead of the name of the host.

        Raises:
            InputError: There is no host of this name.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise InputError(f"there is no host {self.host} ({error})") from error
        number = ipaddress.ip_address(str(found[0][4][0]).partition("%")[0])
        plain = getattr(number, "ipv4_mapped", None) or number
        return self._replace(host=str(plain))


def listen(address: Address, *, trusted: bool) -> socket.socket:
    """A socket that listens on this address alone.

    Raises:
        InputError: The address is every interface, none of this machine, or taken; or others may
            reach it and nobody said that they are trusted.
    """
    resolved = address.resolved()
    number = ipaddress.ip_address(resolved.host)
    if number.is_unspecified or number.is_multicast:
        raise InputError(
            f"the rendezvous {address} would listen on every interface of this machine, or on none:"
            " name the address of one, of a network that nobody else is on"
        )
    if not (number.is_loopback or trusted):
        raise InputError(
            f"hosts meet at {address} without a password: whoever reaches it and the ports that "
            "they exchange gradients by can change the training. Where nobody else is on that "
            "network (one of the job's own, a VPN), say so: training.rendezvous.trusted_network:"
            "true"
        )
    interface_of(resolved.host)
    family = socket.AF_INET6 if number.version == 6 else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((resolved.host, resolved.port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"this machine cannot listen at {address} ({error.strerror}): give the address of one "
            "of its own interfaces and a port that is free"
        ) from error
    listening.listen(1024)
    return listening


def interface_of(number: str) -> str:
    """The name of this machine's interface that has an address.

    Raises:
        InputError: None has.
    """
    interfaces = psutil.net_if_addrs()
    for name, addresses in interfaces.items():
        if any(one.address.partition("%")[0] == number for one in addresses):
            return name
    if ipaddress.ip_address(number).is_loopback:  # 127.0.1.1, of Debian's own name
        return loopback()
    raise InputError(
        f"no interface of this machine has the address {number}: give one that it has, such as "
        + example_of(
            one.address
            for addresses in interfaces.values()
            for one in addresses
            if one.family == socket.AF_INET
        )
    )


def loopback() -> str:
    """The name of the interface that leads back to this machine."""
    return next(name for _, name in socket.if_nameindex() if name.startswith("lo"))


def interface_towards(address: Address) -> str:
    """The name of this machine's interface by which it reaches an address."""
    with socket.create_connection(address, timeout=_SECONDS_TO_CONNECT) as connection:
        return interface_of(str(connection.getsockname()[0]).partition("%")[0])
