from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks.net.addresses import DENIED_V4, is_allowed, is_public

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "93.184.216.34",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "168.63.129.15",
    "168.63.129.17",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.88.98.255",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:830::200e",
    "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "::ffff:1.1.1.1",
]

# What Python's own is_global lets through on one version or another stands first.
NOT_PUBLIC = [
    "224.0.0.1",
    "ff0e::1",
    "192.88.99.1",
    "168.63.129.16",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "5f00::1",
    "fec0::1",
    "2002:7f00:1::",
    "3fff::1",
    "64:ff9b:1::1",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:7f00:1",
    "100::1",
    "2001::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:808:808::1",
    "3fff:fff::1",
    "4000::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%eth0",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_called(address):
    assert is_public(address) is True
    assert is_public(ip_address(address)) is True


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_that_is_not_public_may_not_be_called(address):
    assert is_public(address) is False
    assert is_public(ip_address(address)) is False


@pytest.mark.parametrize("network", DENIED_V4, ids=str)
def test_a_denied_network_is_denied_from_its_first_address_to_its_last(network):
    network = ip_network(str(network))
    assert is_public(network[0]) is False
    assert is_public(network[-1]) is False


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_in_ipv6_notation_is_judged_as_the_ipv4_address(address):
    mapped = IPv6Address(f"::ffff:{address}")

    assert is_public(mapped) is is_public(address)
    assert is_public(str(mapped)) is is_public(address)


@given(st.ip_addresses(v=6))
def test_no_ipv6_address_outside_2000_3_is_public_but_a_mapped_one(address):
    inside = address in ip_network("2000::/3")

    assert inside or address.ipv4_mapped is not None or is_public(address) is False


@given(st.ip_addresses())
def test_whatever_is_public_is_global_to_python_as_well(address):
    assert address.is_global or not is_public(address)


def test_a_private_address_is_allowed_inside_an_allowed_network_only():
    networks = (ip_network("10.20.0.0/16"), ip_network("fd00::/8"))

    assert is_allowed("10.20.255.255", allowed_networks=networks) is True
    assert is_allowed("10.21.0.0", allowed_networks=networks) is False
    assert is_allowed("fd00::5", allowed_networks=networks) is True
    assert is_allowed("fc00::5", allowed_networks=networks) is False
    assert is_allowed("::ffff:10.20.0.1", allowed_networks=networks) is True
    assert is_allowed("1.1.1.1", allowed_networks=networks) is True


@given(st.ip_addresses())
def test_without_allowed_networks_allowed_means_public(address):
    assert is_allowed(address, allowed_networks=()) is is_public(address)


@pytest.mark.parametrize("text", ["", "localhost", "127.1", "0x7f.0.0.1", "0177.0.0.1", "2130706433", "1.2.3.4/32"])
def test_text_that_is_no_address_is_an_error_and_never_allowed(text):
    with pytest.raises(ValueError, match="does not appear to be"):
        is_public(text)
    with pytest.raises(ValueError, match="does not appear to be"):
        is_allowed(text, allowed_networks=(ip_network("0.0.0.0/0"),))
