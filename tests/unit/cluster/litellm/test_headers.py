from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.litellm.headers import OWN_HEADERS, carried, tenant_of, with_own_headers

KEY = SimpleNamespace(metadata={"tenant": "acme"}, team_alias=None, team_id=None)


def test_the_trace_travels_under_a_name_that_gets_through() -> None:
    assert (b"x-manta-traceparent", b"00-1-2-01") in carried([(b"traceparent", b"00-1-2-01")])


@given(st.sampled_from(sorted(OWN_HEADERS)), st.data())
def test_a_client_cannot_send_what_is_ours(name: str, data: st.DataObject) -> None:
    written = "".join(data.draw(st.sampled_from([letter, letter.upper()])) for letter in name)
    assert carried([(written.encode(), b"forged"), (b"x-other", b"kept")]) == [(b"x-other", b"kept")]
    for field in ("extra_headers", "headers"):
        sent = with_own_headers({field: {written: "forged"}}, "secret", KEY)
        values = [value for part in ("extra_headers", "headers") for value in sent.get(part, {}).values()]
        allowed = {"secret", "acme"} | (
            {"forged"} if (field, name) == ("headers", "x-manta-traceparent") else set()
        )
        assert set(values) <= allowed


def test_the_gateway_speaks_for_the_keys_tenant() -> None:
    data = with_own_headers({"extra_headers": {"x-mine": "1"}}, "secret", KEY)
    assert data["extra_headers"] == {"x-mine": "1", "x-manta-gateway": "secret", "x-manta-tenant": "acme"}


def test_what_is_reranked_has_its_headers_where_litellm_looks() -> None:
    data = with_own_headers({"headers": {"x-mine": "1", "X-Manta-Tenant": "forged"}}, "secret", KEY, "rerank")
    assert data == {"headers": {"x-mine": "1", "x-manta-gateway": "secret", "x-manta-tenant": "acme"}}


def test_without_a_secret_it_speaks_for_nobody() -> None:
    assert with_own_headers({}, None, KEY) == {}


@pytest.mark.parametrize(
    "field",
    ["fallbacks", "default_fallbacks", "context_window_fallbacks", "content_policy_fallbacks"],
)
def test_what_carries_the_secret_goes_nowhere_else(field: str) -> None:
    elsewhere = {"model": "small", field: [{"model": "claude"}], "router_settings_override": {field: []}}
    assert set(with_own_headers(dict(elsewhere), "secret", KEY)) == {"model", "extra_headers"}
    assert with_own_headers(dict(elsewhere), None, KEY) == elsewhere


@pytest.mark.parametrize(
    ("key", "tenant"),
    [
        ({"metadata": {"tenant": "a"}, "team_alias": "b", "team_id": "c"}, "a"),
        ({"metadata": {}, "team_alias": "Team B & Co", "team_id": "c"}, "Team-B-Co"),
        ({"metadata": None, "team_alias": None, "team_id": "c"}, "c"),
        ({"metadata": None, "team_alias": None, "team_id": None}, None),
        ({"metadata": {"tenant": "\u00e9"}, "team_alias": None, "team_id": None}, None),
    ],
)
def test_whose_key_it_is(key: dict[str, Any], tenant: str | None) -> None:
    assert tenant_of(SimpleNamespace(**key)) == tenant
