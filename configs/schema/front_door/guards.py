"""Guards: what may not go in to a model, or come out of it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from configs.schema.base import Fraction, Name, Strict

# `block` refuses, `redact` replaces what was found by its kind, `flag` only counts and tells.
Policy = Literal["off", "flag", "redact", "block"]
PersonalKind = Literal[
    "email", "phone", "card", "iban", "ip_address", "us_ssn", "uk_nino", "uk_nhs", "de_tax_id", "fr_nir", "es_dni",
    "it_fiscal_code", "nl_bsn", "pl_pesel", "br_cpf", "in_aadhaar",
]  # fmt: skip
Phrase = Annotated[str, StringConstraints(min_length=2, max_length=200, strip_whitespace=True)]


class GuardPolicies(Strict):
    """What becomes of what is found, by what it is."""

    pii: Policy = Field(
        default="off", description="Personal data: addresses, numbers of cards, accounts, people."
    )
    secrets: Policy = Field(default="off", description="Keys, tokens and passwords that have a known shape.")
    topics: Policy = Field(default="off", description="Phrases of `topics`.")

    @property
    def is_on(self) -> bool:
        return any(value != "off" for value in self.model_dump().values())


class InputPolicies(GuardPolicies):
    """Of what goes in."""

    injection: Literal["off", "flag", "block"] = Field(
        default="off", description="Texts that read like instructions to a model; there is nothing to redact."
    )


class TenantGuards(Strict):
    """Policies of one tenant, instead of everybody's."""

    name: Name = Field(description="The tenant.")
    input: InputPolicies = Field(default=InputPolicies(), description="Of what goes in.")
    output: GuardPolicies = Field(default=GuardPolicies(), description="Of what comes out.")


class GuardsConfig(Strict):
    """What is looked for, and what becomes of it."""

    input: InputPolicies = Field(default=InputPolicies(), description="Of what goes in.")
    output: GuardPolicies = Field(default=GuardPolicies(), description="Of what comes out.")
    tenants: tuple[TenantGuards, ...] = Field(default=(), description="Tenants with policies of their own.")
    personal: tuple[PersonalKind, ...] = Field(
        default=("email", "phone", "card", "iban", "us_ssn"),
        min_length=1,
        description="Kinds of personal data that are looked for. All that have check digits are checked.",
    )
    topics: dict[Name, tuple[Phrase, ...]] = Field(
        default={}, description="A topic's name -> its phrases: whole words, in any case."
    )
    injection_at: Fraction = Field(
        default=0.8, gt=0, description="From this suspicion on a text counts as an injection."
    )

    @model_validator(mode="after")
    def _tenants(self) -> GuardsConfig:
        names = [one.name for one in self.tenants]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"guards name the tenant {name!r} twice")
        policies = [self.input, self.output, *(p for one in self.tenants for p in (one.input, one.output))]
        if not self.topics and any(one.topics != "off" for one in policies):
            raise ValueError("a policy for topics is set, and there are no topics")
        return self
