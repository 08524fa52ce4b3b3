"""Scanners over everything that is known, and texts that hold it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from serve_app.guards.base import Action, Finding
from serve_app.guards.patterns import PERSONAL, SECRETS, topic_patterns
from serve_app.guards.scanner import Scanner

TOPICS = {"weapons": ("build a bomb", "nerve agent", "nerve"), "rivals": ("Acme Corp.", "ACME")}
# Public examples of each kind, none of anybody. Secrets are put together here so that no scanner takes them for real.
EXAMPLES = {
    "email": "jo.doe+x@mail.example.co.uk",
    "card": "4111 1111 1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "phone": "+44 20 7946 0958",
    "us_ssn": "123-45-6789",
    "uk_nino": "AB 12 34 56 C",
    "uk_nhs": "943 476 5919",
    "de_tax_id": "86 095 742 719",
    "fr_nir": "2 55 08 14 168 025 38",
    "es_dni": "12345678Z",
    "it_fiscal_code": "RSSMRA85T10A562S",
    "nl_bsn": "111222333",
    "pl_pesel": "44051401359",
    "br_cpf": "111.444.777-35",
    "in_aadhaar": "2341 2341 2346",
    "ip_address": "203.0.113.7",
    "aws_key_id": "AK" + "IA" + "Q" * 16,
    "github_token": "gh" + "p_" + "a1" * 18,
    "gitlab_token": "gl" + "pat-" + "x" * 20,
    "slack_token": "xo" + "xb-" + "1" * 24,
    "google_key": "AI" + "za" + "b" * 35,
    "stripe_key": "sk_" + "live_" + "c" * 24,
    "model_api_key": "sk" + "-proj-" + "d" * 40,
    "huggingface_token": "hf" + "_" + "e" * 34,
    "manta_key": "manta" + "_k3jx7qpa2m_" + "f" * 43,
    "npm_token": "npm" + "_" + "g" * 36,
    "json_web_token": "ey" + "J" + "h" * 30 + "." + "i" * 30 + "." + "j" * 20,
    "private_key": "-----BEGIN " + "RSA PRIVATE KEY-----\n" + "MIIk\n" * 40,
    "url_password": "postgres://user:" + "hunter2hunter2" + "@db",
    "assigned_secret": "pass" + 'word = "' + "correcthorsebattery" + '"',
}


@pytest.fixture
def examples() -> dict[str, str]:
    return EXAMPLES


@pytest.fixture(scope="session")
def scanner_of() -> Callable[..., Scanner]:
    def make(action: Action = Action.REDACT, *kinds: str, topics: bool = True) -> Scanner:
        patterns = [*SECRETS, *PERSONAL.values(), *(topic_patterns(TOPICS) if topics else ())]
        return Scanner([(one, action) for one in patterns if not kinds or one.kind in kinds])

    return make


class Found(list[Finding]):
    """What was reported."""

    def kinds(self) -> list[str]:
        return [one.kind for one in self]


@pytest.fixture
def found() -> Found:
    return Found()
