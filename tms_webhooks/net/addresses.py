"""Decide which IP addresses a webhook may call. Pure: no settings, no lookups.

The tables are our own, because `ipaddress.is_global` changes between Python versions. It also accepts addresses that
lead into a private network (multicast, 6to4, NAT64, the cloud's own services).
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

DENIED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's services inside a virtual machine
        "169.254.0.0/16",  # link-local, and every cloud's metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

# All other addresses are loopback, private, link-local or multicast, or embed an IPv4 address.
PUBLIC_V6 = IPv6Network("2000::/3")

DENIED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address
        "3fff::/20",  # documentation
    )
)


def is_public(address: Address | str) -> bool:
    """Return True if this address belongs to the public internet.

    Raise ``ValueError`` for a string that is not an IP address.
    """
    address = _plain(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in DENIED_V4)
    return address in PUBLIC_V6 and not any(address in network for network in DENIED_V6)


def is_allowed(address: Address | str, *, allowed_networks: Iterable[Network]) -> bool:
    """Return True if a webhook may call this address: it is public, or in one of the networks that the host allows.

    Raise ``ValueError`` for a string that is not an IP address.
    """
    address = _plain(address)
    return is_public(address) or any(address in network for network in allowed_networks)


def _plain(address: Address | str) -> Address:
    """Return the parsed address; for an IPv4-mapped IPv6 address (``::ffff:10.0.0.1``), its IPv4 address."""
    if isinstance(address, str):
        address = ip_address(address)
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
