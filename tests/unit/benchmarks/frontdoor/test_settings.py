"""What is measured is what the application takes, and what a setting's name says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.application import write_profile
from benchmarks.frontdoor.replicas import SHARERS, Dials, platform
from benchmarks.frontdoor.settings import PACE, STEPS, STORES, Setting, behind_gateway, plain, with_hits
from benchmarks.overhead.pace import MODEL
from configs.load import read_profile
from configs.schema import PlatformConfig

REDIS = {"url": "redis://127.0.0.1:6379/0", "prefix": "test"}
ALL = [Setting(step, store) for step in STEPS for store in STORES]


def read(folder: Path, document: dict[str, Any]) -> PlatformConfig:
    path = folder / "profile.yaml"
    write_profile(path, document)
    return read_profile(path).platform


def test_the_plain_application_has_no_door(tmp_path: Path) -> None:
    config = read(tmp_path, plain())
    assert not config.door.is_closed
    assert not config.front.is_on


@pytest.mark.parametrize("setting", ALL, ids=lambda one: one.name)
def test_each_setting_is_the_plain_application_and_a_door(tmp_path: Path, setting: Setting) -> None:
    config, without = read(tmp_path, setting.platform(REDIS)), read(tmp_path, plain())
    assert config.models == without.models
    assert config.ingress == without.ingress
    assert config.door.authentication.keys is not None
    assert config.door.authentication.keys.store == setting.store
    assert (config.door.redis is not None) == (setting.store == "redis")
    assert (config.front.cache is not None) == setting.has("miss")
    if config.front.cache is not None:
        assert config.front.cache.store == setting.store
        assert (config.front.cache.semantic is not None) == setting.has("semantic")


def test_steps_only_add() -> None:
    for number, step in enumerate(STEPS):
        found = [other for other in STEPS if Setting(step, "embedded").has(other)]
        assert found == list(STEPS)[: number + 1]


def test_every_kind_of_limit_is_looked_at(tmp_path: Path) -> None:
    config = read(tmp_path, Setting("limits", "embedded").platform(REDIS))
    for limits in (config.door.key_limits, config.door.tenant_limits, config.door.model_limits[MODEL]):
        each = (limits.requests_per_min, limits.tokens_per_min, limits.max_concurrent, limits.usd_per_day)
        assert None not in (*each, limits.usd_per_month)
    assert config.door.prices[MODEL].usd_per_million_answer_tokens > 0


def test_hits_of_the_same_meaning_are_only_for_those_who_ask_for_them(tmp_path: Path) -> None:
    cache = read(tmp_path, with_hits("redis", REDIS)).front.cache
    assert cache is not None
    assert cache.semantic is not None
    assert not cache.semantic.by_default


def test_the_gateway_is_told_its_key_by_a_variables_name(tmp_path: Path) -> None:
    config = read(tmp_path, behind_gateway(PACE, "A_VARIABLE"))
    assert config.litellm is not None
    assert config.litellm.master_key.env == "A_VARIABLE"
    assert not config.door.is_closed


def test_replicas_share_limits_in_one_redis(tmp_path: Path) -> None:
    dials = Dials(num_ingress=3)
    config = read(tmp_path, platform(dials, REDIS, tmp_path))
    scaling = config.ingress.scaling
    assert scaling.min_replicas == scaling.max_replicas == 3
    tenants = {one.name: one for one in config.door.tenants}
    assert tenants["requests"].limits.requests_per_min == dials.requests.per_min
    assert tenants["tokens"].limits.tokens_per_min == dials.tokens.per_min
    assert config.door.fair_shares
    assert {one.name for one in SHARERS} < tenants.keys()


def test_everybody_asks_for_more_than_their_share() -> None:
    dials, total = Dials(), sum(one.weight for one in SHARERS)
    for one in SHARERS:
        assert one.greed > 2
        assert one.rate_rps(dials.num_slots, total) > 0
    rates = {one.name: one.rate_rps(dials.num_slots, total) for one in SHARERS}
    assert rates["heavy"] == pytest.approx(rates["greedy"])
