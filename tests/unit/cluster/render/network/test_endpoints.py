from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.render.network.endpoints import Endpoint, endpoints
from configs.schema.base import Strict


class Tree(Strict):
    text: str = ""
    many: tuple[str, ...] = ()
    by_name: dict[str, Any] | None = None
    part: Tree | None = None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://example.com/v1", [Endpoint("example.com", 443)]),
        ("http://example.com:8080", [Endpoint("example.com", 8080)]),
        ("rediss://redis.example.com/0", [Endpoint("redis.example.com", 6379)]),
        ("s3://bucket/prefix", [Endpoint("bucket", 443)]),
        ("http://127.0.0.1:9200", []),
        ("http://localhost:4318/v1/traces", []),
        ("Answer with https://example.com in mind.", []),
        ("https://[", []),
        ("postgres://somewhere", []),
        ("no address", []),
    ],
)
def test_a_text_that_is_an_address_is_found(text: str, found: list[Endpoint]) -> None:
    assert list(endpoints(Tree(text=text))) == found


def test_every_depth_is_looked_at_and_each_server_said_once() -> None:
    tree = Tree(
        many=("https://a.example.com", "https://a.example.com/other"),
        by_name={"x": ["http://b.example.com:81"]},
        part=Tree(text="redis://c.example.com"),
    )
    assert endpoints(tree) == (
        Endpoint("a.example.com", 443),
        Endpoint("b.example.com", 81),
        Endpoint("c.example.com", 6379),
    )


def test_of_nothing_there_is_nothing() -> None:
    assert endpoints(None) == ()


@pytest.mark.parametrize(
    ("host", "namespace"),
    [
        ("redis.data.svc.cluster.local", "data"),
        ("redis.data.svc", "data"),
        ("collector.manta-observability", "manta-observability"),
        ("example.com", None),
        ("redis.data", None),
        ("a.b.c.svc", None),
    ],
)
def test_a_service_is_told_from_a_domain(host: str, namespace: str | None) -> None:
    assert Endpoint(host, 80).namespace({"manta-observability"}) == namespace


@given(st.text())
def test_no_text_of_a_profile_breaks_it(text: str) -> None:
    for found in endpoints(Tree(text=text)):
        assert found.host
        assert 0 < found.port < 65536
