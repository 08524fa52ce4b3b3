from __future__ import annotations

import pytest

from serve_app.websearch.domains import is_within, public_host


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Example.org/a?b=c#d", "example.org"),
        ("http://news.example.co.uk:8080/x", "news.example.co.uk"),
        ("https://93.184.215.14/page", "93.184.215.14"),
        ("https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"),
        ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
        ("https://example.org./", "example.org"),
    ],
)
def test_pages_of_the_public_web_may_be_results(url: str, host: str) -> None:
    assert public_host(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "ftp://example.org/",
        "//example.org/",
        "/search?q=x",
        "",
        "https://",
        "https://user:pass@example.org/",
        "https://example.org@evil.example/",
        "https://example.org\\@evil.example/",
        "http://localhost:8000/admin",
        "http://api.localhost/",
        "http://127.0.0.1/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.0.0.1/",
        "http://10.0.0.5/",
        "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://metadata.google.internal/",
        "http://printer.local/",
        "http://intranet/",
        "http://router.lan/",
        "http://example.org:port/",
        "http://[half/",
        "https://example.org/a b",
        "https://example.org/\u200bzero",
        "https://example.org/\nX: y",
        "https://example.org/" + "a" * 3000,
    ],
)
def test_nothing_else_may(url: str) -> None:
    assert public_host(url) is None


def test_a_domain_stands_for_what_is_below_it_and_for_nothing_that_looks_like_it() -> None:
    assert is_within("example.org", ["example.org"])
    assert is_within("en.example.org", ["other.net", "example.org"])
    assert not is_within("badexample.org", ["example.org"])
    assert not is_within("example.org.evil.net", ["example.org"])
    assert not is_within("org", ["example.org"])
