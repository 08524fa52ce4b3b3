from __future__ import annotations

import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema import LimitsConfig
from serve_app.errors import Unauthenticated
from serve_app.identity.base import Role
from serve_app.identity.key_codec import decode_record, encode_record
from serve_app.identity.keys import check_key, make_key, parse_key, shown

NOW_S = 1_700_000_000.0


def secret_of(key: str) -> str:
    parsed = parse_key(key)
    assert parsed is not None
    return parsed[1]


def test_a_key_says_whose_it_is() -> None:
    made = make_key("ci", "team-a", Role.OPERATOR, NOW_S, limits=LimitsConfig(requests_per_min=5))
    who = check_key(secret_of(made.key), made.record, NOW_S)
    assert (who.kind, who.id, who.tenant, who.role) == ("key", made.record.id, "team-a", Role.OPERATOR)
    assert who.limits == LimitsConfig(requests_per_min=5)
    assert made.key.startswith(shown(made.record.id).removesuffix("..."))


def test_no_two_keys_share_anything() -> None:
    made = [make_key("x", "t", Role.USER, NOW_S) for _ in range(50)]
    for part in ("id", "salt", "digest"):
        assert len({getattr(one.record, part) for one in made}) == 50


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"revoked_at_s": NOW_S - 1}, "was revoked"),
        ({"expires_at_s": NOW_S}, "has expired"),
        ({"digest": b"\x00" * 32}, "is not valid"),
        ({"salt": b"\x00" * 16}, "is not valid"),
    ],
)
def test_what_is_no_longer_good_is_refused(change: dict[str, object], reason: str) -> None:
    made = make_key("x", "t", Role.USER, NOW_S)
    with pytest.raises(Unauthenticated, match=reason):
        check_key(secret_of(made.key), replace(made.record, **change), NOW_S)  # type: ignore[arg-type]


def test_a_wrong_secret_does_not_learn_that_the_key_was_revoked() -> None:
    record = replace(make_key("x", "t", Role.USER, NOW_S).record, revoked_at_s=NOW_S)
    other = make_key("x", "t", Role.USER, NOW_S)
    with pytest.raises(Unauthenticated, match="this API key is not valid"):
        check_key(secret_of(other.key), record, NOW_S)


def test_an_unknown_id_takes_the_same_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    with pytest.raises(Unauthenticated):
        check_key("a" * 52, None, NOW_S)
    ((one, other),) = compared
    assert len(one) == len(other) == 32


def test_nothing_that_is_printed_has_the_secret() -> None:
    made = make_key("x", "t", Role.USER, NOW_S)
    secret = secret_of(made.key)
    printed = repr(made) + repr(made.record) + str(made.record)
    assert secret not in printed
    assert made.record.digest.hex() not in printed
    assert repr(made.record.digest) not in printed
    assert secret not in encode_record(made.record)


@given(st.text(max_size=120))
def test_only_keys_are_parsed(text: str) -> None:
    assert parse_key(text) is None


@given(
    st.text(max_size=40),
    st.sampled_from(list(Role)),
    st.none() | st.floats(0, 1e11),
    st.none() | st.builds(LimitsConfig, max_concurrent=st.none() | st.integers(1, 99)),
)
def test_records_survive_their_store(
    name: str, role: Role, at_s: float | None, limits: LimitsConfig | None
) -> None:
    record = replace(
        make_key(name, "t", role, NOW_S, expires_at_s=at_s, limits=limits).record, revoked_at_s=at_s
    )
    assert decode_record(encode_record(record)) == record
