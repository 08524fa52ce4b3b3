"""Where Serve's own port of a replica listens, by the function that Serve binds it with."""

from __future__ import annotations

import logging

import pytest
from ray.serve._private import replica

from serve_app import inner_port


@pytest.fixture
def bound(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that were bound."""
    addresses: list[str] = []

    def bind(server: object, address: str) -> int:
        addresses.append(address)
        return 7

    monkeypatch.setattr(replica, "add_port_to_grpc_server", bind)
    return addresses


@pytest.mark.parametrize(("host", "address"), [("10.1.2.3", "10.1.2.3:0"), ("fd00::7", "[fd00::7]:0")])
def test_it_listens_on_the_nodes_address(bound: list[str], host: str, address: str) -> None:
    inner_port.narrow(host)
    assert replica.add_port_to_grpc_server(object(), "[::]:0") == 7
    assert bound == [address]


def test_an_address_of_serves_own_stays(bound: list[str]) -> None:
    inner_port.narrow("10.1.2.3")
    replica.add_port_to_grpc_server(object(), "192.0.2.1:0")
    assert bound == ["192.0.2.1:0"]


def test_a_ray_that_binds_by_another_name_is_told_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delattr(replica, "add_port_to_grpc_server")
    with caplog.at_level(logging.WARNING):
        inner_port.narrow("10.1.2.3")
    assert "every interface" in caplog.text
