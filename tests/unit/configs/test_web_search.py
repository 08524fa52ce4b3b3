from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from configs.schema import McpProvider, TavilyProvider, WebSearchConfig


def test_a_provider_is_enough() -> None:
    config = WebSearchConfig.model_validate({"provider": {"kind": "tavily"}})
    assert isinstance(config.provider, TavilyProvider)
    assert config.provider.api_key.env == "TAVILY_API_KEY"
    assert config.modes == ("first", "augment", "replace")
    assert isinstance(WebSearchConfig.model_validate({"provider": {"kind": "mcp"}}).provider, McpProvider)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"provider": None}, "provider"),
        ({"provider": {"kind": "bing"}}, "does not match any of the expected tags"),
        ({"provider": {"kind": "searxng"}}, "Field required"),
        ({"provider": {"kind": "tavily", "api_key": "secret"}}, "valid dictionary or instance of SecretRef"),
        ({"provider": {"kind": "tavily", "url": "file:///etc"}}, "should match pattern"),
        ({"provider": {"kind": "mcp", "pins": {"web_search": "abc"}}}, "should match pattern"),
        ({"max_queries": 3}, "less than or equal to 2"),
        ({"modes": []}, "at least 1 item"),
        ({"modes": ["always"]}, "'first', 'augment' or 'replace'"),
        ({"allowed_domains": ["https://a.example"]}, "should match pattern"),
        ({"allowed_domains": ["A.example"]}, "should match pattern"),
        ({"allowed_domains": ["localhost"]}, "should match pattern"),
        ({"allowed_domains": ["a.example"], "denied_domains": ["a.example"]}, "is allowed and denied"),
        ({"max_pages": 3}, "Extra inputs"),
    ],
)
def test_faults_are_named(changes: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        WebSearchConfig.model_validate({"provider": {"kind": "tavily"}} | changes)
