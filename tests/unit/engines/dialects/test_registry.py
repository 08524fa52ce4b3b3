from __future__ import annotations

import pytest

from serve_app.engines.dialects.registry import can_think, choose_dialect

# What tells templates apart, in the words of those that models have.
QWEN = r"<tool_call>\n{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>"
LLAMA = """<|start_header_id|>{{ '{"name": "' + name + '", ' }}{{ '"parameters": ' }}"""
CODER = "<tool_call>\n<function=example>\n<parameter=one>"


@pytest.mark.parametrize(
    ("template", "name"),
    [(QWEN, "hermes"), (LLAMA, "llama3"), (CODER, None), ("{{ messages }}", None), (None, None)],
)
def test_a_template_names_its_dialect(template: str | None, name: str | None) -> None:
    dialect = choose_dialect("auto", template)
    assert (dialect.name if dialect else None) == name


def test_the_configuration_has_the_last_word() -> None:
    chosen = choose_dialect("llama3", QWEN)
    assert chosen is not None
    assert chosen.name == "llama3"
    assert choose_dialect("none", QWEN) is None
    assert can_think("think", None)
    assert not can_think("none", "<think></think>")
    assert can_think("auto", "{% if x %}</think>{% endif %}")
    assert not can_think("auto", QWEN)
