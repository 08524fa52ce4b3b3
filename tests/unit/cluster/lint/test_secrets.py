"""What looks like a secret's value, and what stands for one."""

from __future__ import annotations

import base64

import pytest

from cluster.lint.lint import lint


def found_in(data: dict[str, str], *, kind: str = "ConfigMap", part: str = "data") -> list[tuple[str, int]]:
    lines = [f"  {key}: |\n    {text.replace(chr(10), chr(10) + '    ')}\n" for key, text in data.items()]
    text = f"apiVersion: v1\nkind: {kind}\nmetadata:\n  name: x\n{part}:\n{''.join(lines)}"
    return [(each.rule, each.place.line) for each in lint(["-"], stdin=lambda: text)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("redis.conf", "port 6379\nrequirepass correct-horse"),
        ("config.yaml", "a: b\n- api_key: correct-horse"),
        ("app.env", "A=b\nexport DB_PASSWORD='correct horse'"),
        ("settings", '{\n"master_key": "correct-horse"'),
    ],
)
def test_a_value_in_a_file_of_settings(name: str, text: str) -> None:
    assert found_in({name: text}) == [("secrets/value", 8)]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("redis.conf", "requirepass ${REDIS_PASSWORD}\na b"),
        ("config.yaml", "api_key: os.environ/KEY\npassword: null\npassword_file: /run/secret"),
        ("config.json", '{\n"password": {\n"env": "X"}}'),
        ("app.py", "api_key = 'from-an-example'\npassword = 1"),
        ("start", "api_key = os.getenv('KEY')\nx"),
        ("README", "the password is what you were given\nx"),
    ],
)
def test_what_is_no_value(name: str, text: str) -> None:
    assert found_in({name: text}) == []


@pytest.mark.parametrize(
    ("data", "rules"),
    [
        ({"password": "correct-horse"}, ["secrets/secret"]),
        ({"token": "hf_" + "a1" * 20}, ["secrets/value"]),
        ({"token": "hf_" + "a1" * 20, "password": "correct-horse"}, ["secrets/value", "secrets/secret"]),
        ({"username": "chat", "host": "db.internal"}, []),
        ({"key": "<your-key>"}, []),
        ({"ca.crt": "-----BEGIN CERTIFICATE-----\nx"}, []),
        ({"password": ""}, []),
    ],
)
def test_values_of_a_secret_in_plain_and_in_base64(data: dict[str, str], rules: list[str]) -> None:
    hidden = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
    assert [rule for rule, _ in found_in(data, kind="Secret", part="stringData")] == rules
    assert [rule for rule, _ in found_in(hidden, kind="Secret")] == rules
