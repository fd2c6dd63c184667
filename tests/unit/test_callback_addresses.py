"""Which URLs and addresses may be called."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from viiwork.callbacks.addresses import check_url, permitted, refusal, shown, target_of
from viiwork.errors import UsageError

LAB = (ip_network("192.168.7.0/24"), ip_network("::1/128"))


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.example/",
        "https://",
        "https://user:s3cret@a.example/",
        "https://a.example/#part",
        "https://a.example:99999/",
        "https://a.example:0/",
        "https://a example/",
        "https://a.example/\r\nx: y",
        "https://a.exämple/",
        "https://[::1/",
        "https://a\\b.example/",
        "//a.example/",
        "https://a.example/" + "x" * 2048,
        "http://127.0.0.1/",
        "https://127.0.0.1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::1]:8400/",
        "https://10.1.2.3/",
        "https://192.168.8.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost/",
        "https://a.localhost/",
        "http://8.8.8.8/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_what_may_not_be_called_is_refused_where_it_is_sent(url: str) -> None:
    """The field is named, and what was sent is not repeated."""
    with pytest.raises(UsageError, match=r"^callback_url: ") as caught:
        check_url(url, LAB[:1], param="callback_url")
    assert caught.value.param == "callback_url"
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://localhost:8099/x?t=s3cret", """VIIWORK_CALLBACKS_ALLOW='["127.0.0.1/32"]' before `viiwork up`"""),
        ("https://[fc00::1]/", """VIIWORK_CALLBACKS_ALLOW='["fc00::1/128"]' before `viiwork up`"""),
        ("http://169.254.169.254/", "No setting opens that."),
    ],
)
def test_who_is_refused_is_told_what_would_allow_it(url: str, hint: str) -> None:
    """By the name under which it is set; a metadata service is opened by nothing."""
    with pytest.raises(UsageError) as caught:
        check_url(url, ())
    assert hint in caught.value.hint
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["https://a.example/x?t=1", "https://8.8.8.8:444/", "http://192.168.7.9/x", "http://a.example/", "https://a_b.c/"],
)
def test_what_may_be_called_is_taken(url: str) -> None:
    """A name over plain HTTP too where a network is allowed: what it stands for is looked at when it is sent."""
    check_url(url, LAB)


def test_a_name_over_plain_http_is_refused_where_no_network_is_allowed() -> None:
    """It could only ever be sent over the internet."""
    with pytest.raises(UsageError, match="https"):
        check_url("http://a.example/", ())


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.2",
        "169.254.1.1",
        "172.16.0.1",
        "192.168.0.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::1",
        "2002:a00:1::",
        "2001:db8::1",
        "2001::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "168.63.129.16",
        "100.100.100.200",
    ],
)
def test_addresses_that_are_not_the_internets_are_refused(address: str) -> None:
    """Also where they are wrapped into others that look public."""
    assert refusal(ip_address(address), (), secure=True)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "64:ff9b::101:101", "2002:101:101::"])
def test_addresses_of_the_internet_are_called_over_tls_alone(address: str) -> None:
    """And wrapped ones by what is inside."""
    assert refusal(ip_address(address), (), secure=True) == ""
    assert "https" in refusal(ip_address(address), (), secure=False)


def test_no_allow_list_opens_a_metadata_service() -> None:
    """Not even one of everything."""
    everything = (ip_network("0.0.0.0/0"), ip_network("::/0"))
    assert "metadata" in refusal(ip_address("169.254.169.254"), everything, secure=False)
    assert "metadata" in refusal(ip_address("::ffff:169.254.169.254"), everything, secure=True)
    assert refusal(ip_address("127.0.0.1"), everything, secure=False) == ""


def test_of_a_names_addresses_those_that_may_be_called_are_kept() -> None:
    """And why the others may not is told."""
    kept, why = permitted(["10.0.0.1", "1.1.1.1", "fe80::1%eth0"], (), secure=True)
    assert [str(each) for each in kept] == ["1.1.1.1"]
    assert why


def test_a_url_is_taken_apart_as_it_is_sent() -> None:
    """With the port in the host header where one was written, and the query in the path."""
    target = target_of("https://Hooks.Example:8443/a/b?c=d")
    assert (target.host, target.port, target.netloc, target.path) == (
        "hooks.example",
        8443,
        "Hooks.Example:8443",
        "/a/b?c=d",
    )
    assert shown("https://a.example/x?token=y") == "https://a.example/x"
