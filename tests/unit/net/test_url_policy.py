import re
import socket
import threading
from unittest.mock import patch

import pytest

from tests.patience import PATIENCE
from tms_webhooks.exceptions import BlockedAddress, ConfigurationError, UnsafeURL
from tms_webhooks.net import urls
from tms_webhooks.net.urls import allowed_networks, check_url, is_exempt


class Names:
    """A resolver with fixed answers that records its calls."""

    def __init__(self, **addresses):
        self.addresses = addresses
        self.asked = []

    def __call__(self, host, port):
        self.asked.append((host, port))
        try:
            return self.addresses[host.split(".", maxsplit=1)[0]]
        except KeyError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None


def look_up(url, names):
    """Check a URL whose host is looked up with these names."""
    with patch.object(urls, "system_resolver", names):
        return check_url(url, looks_up=True)


@pytest.fixture(autouse=True)
def _defaults(settings):
    settings.TMS_WEBHOOKS = {}


def test_by_default_only_https_is_allowed():
    with pytest.raises(UnsafeURL) as caught:
        check_url("http://example.com/")

    assert str(caught.value) == ("URL: the scheme 'http' is not allowed; use 'https', or ask the operator to allow it.")
    assert not isinstance(caught.value, BlockedAddress)


def test_by_default_only_port_443_is_allowed():
    assert check_url("https://example.com:443/").port == 443
    with pytest.raises(UnsafeURL) as caught:
        check_url("https://example.com:8443/")

    assert str(caught.value) == ("URL: the port 8443 is not allowed; use 443, or ask the operator to allow it.")


def test_schemes_and_ports_come_from_the_settings(settings):
    settings.TMS_WEBHOOKS = {"ALLOWED_SCHEMES": ["http"], "ALLOWED_PORTS": [80, 8080]}

    assert check_url("http://example.com/").port == 80
    assert check_url("http://example.com:8080/").port == 8080
    with pytest.raises(UnsafeURL, match="the scheme 'https' is not allowed; use 'http'"):
        check_url("https://example.com/")
    with pytest.raises(UnsafeURL, match="the port 81 is not allowed; use 80 or 8080"):
        check_url("http://example.com:81/")


def test_a_scheme_that_is_not_http_stays_refused_whatever_the_settings(settings):
    settings.TMS_WEBHOOKS = {"ALLOWED_SCHEMES": ["ftp"], "ALLOWED_PORTS": [21]}

    with pytest.raises(UnsafeURL, match="the scheme 'ftp' is not HTTP"):
        check_url("ftp://example.com/")


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.31.255.255",
        "169.254.169.254",
        "192.0.2.1",
        "[::1]",
        "[::ffff:10.0.0.1]",
        "[fc00::1]",
        "[fe80::1]",
        "[2001:db8::1]",
    ],
)
def test_a_private_address_in_the_url_is_refused_without_any_lookup(host):
    with pytest.raises(BlockedAddress) as caught:
        check_url(f"https://{host}/")

    assert re.fullmatch(
        r"URL: '[0-9a-f:.]+' is not a public address; use a public host, or ask the operator to allow it\.",
        str(caught.value),
    )


def test_the_syntax_check_alone_looks_nothing_up():
    assert check_url("https://no-such-host.invalid/").host == "no-such-host.invalid"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "a.localhost", "localhost.localdomain"])
def test_a_name_of_this_machine_is_refused_without_any_lookup(host, settings):
    with pytest.raises(BlockedAddress, match="has no address that webhooks may call"):
        check_url(f"https://{host}/")

    for exemption in ({"UNCHECKED_HOSTS": [host.lower()]}, {"UNCHECKED_CIDRS": ["127.0.0.0/8"]}):
        settings.TMS_WEBHOOKS = exemption
        assert check_url(f"https://{host}/").host == host.lower()


def test_a_host_with_public_addresses_is_reachable():
    names = Names(hooks=["93.184.216.34", "2606:4700::1111"])

    assert look_up("https://hooks.example.com/x", names).host == "hooks.example.com"
    assert names.asked == [("hooks.example.com", 443)]


@pytest.mark.parametrize(
    "addresses",
    [
        ["10.0.0.7"],
        ["93.184.216.34", "10.0.0.7"],
        ["10.0.0.7", "93.184.216.34"],
        ["2606:4700::1111", "::1"],
        ["::ffff:10.0.0.7"],
    ],
)
def test_one_private_address_among_many_refuses_the_host_and_is_not_shown(addresses):
    with pytest.raises(BlockedAddress) as caught:
        look_up("https://hooks.example.com/", Names(hooks=addresses))

    assert str(caught.value) == (
        "URL: the host 'hooks.example.com' has no address that webhooks may call; check its spelling, use a public host, "
        "or ask the operator to allow it."
    )


@pytest.mark.parametrize("names", [Names(), Names(hooks=[])], ids=["unknown", "no address"])
def test_a_host_without_an_address_is_refused(names):
    with pytest.raises(BlockedAddress) as unknown:
        look_up("https://hooks.example.com/", names)
    with pytest.raises(BlockedAddress) as internal:
        look_up("https://hooks.example.com/", Names(hooks=["10.0.0.7"]))

    assert str(unknown.value) == str(internal.value)


def test_a_host_that_no_name_server_answers_for_is_refused_in_time(settings):
    settings.TMS_WEBHOOKS = {"CONNECT_TIMEOUT_SECONDS": 0.1}
    over = threading.Event()

    def hang(host, port):
        over.wait(2 * PATIENCE)
        return ["93.184.216.34"]

    with pytest.raises(UnsafeURL, match="has no address"):
        look_up("https://hooks.example.com/", hang)
    over.set()


def test_an_address_inside_an_allowed_network_is_exempt(settings):
    settings.TMS_WEBHOOKS = {"UNCHECKED_CIDRS": ["10.20.0.0/16", "fd00::/8", "192.168.1.5"]}

    assert check_url("https://10.20.0.7/").host == "10.20.0.7"
    assert check_url("https://[fd00::7]/").host == "fd00::7"
    assert check_url("https://192.168.1.5/").host == "192.168.1.5"
    assert look_up("https://hooks.example.com/", Names(hooks=["10.20.0.7"]))
    with pytest.raises(BlockedAddress):
        look_up("https://hooks.example.com/", Names(hooks=["10.20.0.7", "10.21.0.7"]))
    with pytest.raises(BlockedAddress):
        check_url("https://192.168.1.6/")


def test_an_allowed_host_is_exempt_from_the_address_check_alone(settings):
    settings.TMS_WEBHOOKS = {"UNCHECKED_HOSTS": ["Intranet", "127.0.0.1", "::1", "bücher.example"]}
    names = Names()

    assert look_up("https://intranet/", names).host == "intranet"
    assert look_up("https://127.0.0.1/", names).host == "127.0.0.1"
    assert look_up("https://[0:0::1]/", names).host == "::1"
    assert look_up("https://BÜCHER.example/", names).host == "xn--bcher-kva.example"
    assert names.asked == []
    with pytest.raises(UnsafeURL, match="the scheme 'http' is not allowed"):
        check_url("http://intranet/")
    with pytest.raises(UnsafeURL, match="the port 8000 is not allowed"):
        check_url("https://127.0.0.1:8000/")
    with pytest.raises(UnsafeURL, match="is not a plain IPv4 address"):
        check_url("https://127.1/")


def test_an_allowed_host_frees_neither_its_subdomains_nor_other_names_of_its_address(settings):
    settings.TMS_WEBHOOKS = {"UNCHECKED_HOSTS": ["intranet", "127.0.0.1"]}

    assert is_exempt("intranet") is True
    assert is_exempt("a.intranet") is False
    with pytest.raises(BlockedAddress):
        look_up("https://hooks.example.com/", Names(hooks=["127.0.0.1"]))


@pytest.mark.parametrize("entry", ["10.20.0.0/33", "10.20.0.1/16", "intranet", "", "10.20.*"])
def test_an_allowed_network_that_is_none_is_a_configuration_error_naming_it(settings, entry):
    settings.TMS_WEBHOOKS = {"UNCHECKED_CIDRS": ["10.0.0.0/8", entry]}

    with pytest.raises(ConfigurationError) as caught:
        allowed_networks()
    assert str(caught.value).startswith(f"TMS_WEBHOOKS['UNCHECKED_CIDRS']: {entry!r} is not a network")
    with pytest.raises(ConfigurationError):
        check_url("https://10.0.0.1/")


@pytest.mark.parametrize("entry", ["http://intranet", "intranet:8000", "*.intranet", "127.1", "", "[::1]"])
def test_an_allowed_host_that_is_none_is_a_configuration_error_naming_it(settings, entry):
    settings.TMS_WEBHOOKS = {"UNCHECKED_HOSTS": ["localhost", entry]}

    with pytest.raises(ConfigurationError) as caught:
        is_exempt("localhost")
    assert str(caught.value) == (
        f"TMS_WEBHOOKS['UNCHECKED_HOSTS']: {entry!r} is not a host; write a name or an address alone, without a port."
    )
