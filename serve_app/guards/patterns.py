"""What is looked for: personal data and secrets by their shape, and the phrases of topics.

Each pattern is bounded and looks at most two characters back and one ahead, so that a stream needs to hold back no more
than the longest, and a hostile text costs no more than its length. No library does this without a language model or
unbounded expressions (docs/decisions/0022).
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Collection, Mapping, Sequence

from serve_app.guards import checksums as check
from serve_app.guards.base import Category, Pattern

Gate = Callable[[str], bool]

_DIGITS, _LETTERS = string.digits, string.ascii_letters
_WORD = _DIGITS + _LETTERS
# What is told by its number has a run of digits that nothing but separators interrupts; prose seldom has.
_DIGIT_RUN = re.compile(r"[0-9](?:[ .()/-]{0,2}[0-9]){5}")


def _has_digits(text: str) -> bool:
    return _DIGIT_RUN.search(text) is not None


def _gate(regex: str) -> Gate:
    search = re.compile(regex).search
    return lambda text: search(text) is not None


def _holds(one: str) -> Gate:
    return lambda text: one in text


def _holds_any(*any_of: str) -> Gate:
    return lambda text: any(one in text for one in any_of)


_NOT_IN_NUMBER = r"(?<![0-9A-Za-z])(?<![0-9][.,-])"
_NUMBER_ENDS = r"(?![0-9A-Za-z])"


def _number(
    kind: str,
    body: str,
    max_chars: int,
    separators: str,
    is_real: object,
    letters: str = "",
    gate: Gate = _has_digits,
    marks: str = _DIGITS,
) -> Pattern:
    return Pattern(
        kind,
        Category.PII,
        _NOT_IN_NUMBER,
        f"{body}{_NUMBER_ENDS}",
        max_chars + 1,
        _DIGITS + separators + letters,
        is_real,  # type: ignore[arg-type]
        gate=gate,
        begins=_DIGITS + letters,
        marks=marks,
    )


PERSONAL: Mapping[str, Pattern] = {
    pattern.kind: pattern
    for pattern in (
        Pattern(
            "email",
            Category.PII,
            r"(?<![0-9A-Za-z._%+-])",
            r"[0-9A-Za-z_%+-][0-9A-Za-z._%+-]{0,63}@(?:[0-9A-Za-z-]{1,63}\.){1,4}[A-Za-z]{2,24}(?![0-9A-Za-z])",
            64 + 1 + 4 * 64 + 24 + 1,
            _WORD + "._%+-@",
            gate=_holds("@"),
            marks="@",
        ),
        _number(
            "card",
            r"(?:[0-9]{4} [0-9]{4} [0-9]{4} [0-9]{1,7}|[0-9]{4}-[0-9]{4}-[0-9]{4}-[0-9]{1,7}"
            r"|3[0-9]{3}[ -][0-9]{6}[ -][0-9]{5}|[0-9]{13,19})",
            23,
            " -",
            check.is_card,
        ),
        _number(
            "iban",
            r"[A-Z]{2}[0-9]{2}(?:[0-9A-Z]{11,30}|(?: [0-9A-Z]{4}){2,7}(?: [0-9A-Z]{1,3})?)",
            43,
            " ",
            check.is_iban,
            string.ascii_uppercase,
            _gate("[A-Z]{2}[0-9]{2}"),
        ),
        # The plus is what tells a phone's number from others; North American ones have their own shape.
        Pattern(
            "phone",
            Category.PII,
            r"(?<![0-9A-Za-z+])",
            r"(?:\+[1-9](?:[ .()/-]{0,2}[0-9]){7,14}|(?<![0-9][.-])"
            r"(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[.-])[2-9][0-9]{2}[ .-][0-9]{4})(?![0-9A-Za-z])",
            2 + 14 * 3 + 1,
            _DIGITS + "+ .()/-",
            check.is_phone,
            gate=_has_digits,
            begins=_DIGITS + "+(",
            marks=_DIGITS,
        ),
        _number("us_ssn", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", 11, "-", check.is_us_ssn),
        _number(
            "uk_nino",
            r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: ?[0-9]{2}){3} ?[A-D]",
            13,
            " ",
            None,
            string.ascii_uppercase,
        ),
        _number("uk_nhs", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", 12, " -", check.is_uk_nhs),
        _number("de_tax_id", r"[1-9][0-9] ?[0-9]{3} ?[0-9]{3} ?[0-9]{3}", 14, " ", check.is_de_tax_id),
        _number(
            "fr_nir",
            r"[12] ?[0-9]{2} ?[0-9]{2} ?[0-9][0-9AB] ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
            21,
            " ",
            check.is_fr_nir,
            "AB",
            _gate("[12](?: ?[0-9]){5}"),
        ),
        _number(
            "es_dni", r"(?:[0-9]{8}|[XYZ][0-9]{7})-?[A-Z]", 10, "-", check.is_es_dni, string.ascii_uppercase
        ),
        _number(
            "it_fiscal_code",
            r"[A-Z]{6}[0-9LMNP-V]{2}[A-EHLMPR-T][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]",
            16,
            "",
            check.is_it_fiscal_code,
            string.ascii_uppercase,
            _gate("[A-Z]{6}[0-9LMNP-V]{2}"),
            string.ascii_uppercase,
        ),
        _number("nl_bsn", r"[0-9]{9}", 9, "", check.is_nl_bsn),
        _number("pl_pesel", r"[0-9]{11}", 11, "", check.is_pl_pesel),
        _number("br_cpf", r"[0-9]{3}\.?[0-9]{3}\.?[0-9]{3}-?[0-9]{2}", 14, ".-", check.is_br_cpf),
        _number("in_aadhaar", r"[2-9][0-9]{3} ?[0-9]{4} ?[0-9]{4}", 14, " ", check.is_in_aadhaar),
        _number(
            "ip_address",
            r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}",
            15,
            ".",
            check.is_ip_address,
            gate=_gate(r"\.[0-9]{1,3}\."),
        ),
    )
}


def _secret(
    kind: str,
    gate: Gate,
    head: str,
    max_chars: int,
    tail: str = _WORD + "_-",
    alphabet: str = _WORD + "_-",
    openings: tuple[str, ...] = (),
    *,
    marks: str,
) -> Pattern:
    """A head with a known shape, and a tail that goes on while its characters do."""
    return Pattern(
        kind,
        Category.SECRETS,
        "(?<![0-9A-Za-z])",
        head,
        max_chars,
        alphabet,
        tail=frozenset(tail),
        openings=openings,
        gate=gate,
        marks=marks,
    )


def _is_assigned(text: str) -> bool:
    if ":" not in text and "=" not in text:
        return False
    lowered = text.lower()
    return any(name in lowered for name in _SECRET_NAMES)


_SECRET_NAMES = ("api", "secret", "access", "client", "passw", "passphrase")
_BASE64 = _WORD + "+/="
_IN_URL = "[!-.0-9;-?A-~]"  # printable ASCII but for / : @
SECRETS: Sequence[Pattern] = (
    _secret(
        "aws_key_id",
        _holds_any("AKIA", "ASIA", "ABIA", "ACCA"),
        r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}",
        20,
        _WORD,
        _DIGITS + string.ascii_uppercase,
        marks="A",
    ),
    _secret(
        "github_token",
        _holds_any("gh", "github_pat_"),
        r"(?:gh[opsur]_[0-9A-Za-z]{20}|github_pat_[0-9A-Za-z_]{20})",
        31,
        _WORD + "_",
        marks="_",
    ),
    _secret("gitlab_token", _holds("glpat-"), r"glpat-[0-9A-Za-z_-]{20}", 26, marks="-"),
    _secret("slack_token", _holds("xox"), r"xox[abeoprs]-[0-9A-Za-z-]{10}", 15, marks="-"),
    _secret("google_key", _holds("AIza"), r"AIza[0-9A-Za-z_-]{30}", 34, marks="A"),
    _secret("stripe_key", _holds("k_"), r"[rs]k_(?:live|test)_[0-9A-Za-z]{16}", 24, _WORD, marks="_"),
    _secret("model_api_key", _holds("sk-"), r"sk-(?:ant-|proj-|svcacct-)?[0-9A-Za-z_-]{20}", 31, marks="-"),
    _secret("huggingface_token", _holds("hf_"), r"hf_[0-9A-Za-z]{24}", 27, _WORD, marks="_"),
    _secret("manta_key", _holds("manta_"), r"manta_[0-9a-z]{10}_[0-9A-Za-z_-]{10}", 27, marks="_"),
    _secret("npm_token", _holds("npm_"), r"npm_[0-9A-Za-z]{30}", 34, _WORD, marks="_"),
    _secret("json_web_token", _holds("eyJ"), r"eyJ[0-9A-Za-z_-]{12}", 15, _WORD + "_-.=", marks="J"),
    _secret(
        "private_key",
        _holds("-----BEGIN "),
        r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----",
        68,
        _BASE64 + "\r\n",
        string.ascii_uppercase + "- ",
        ("-----BEGIN",),
        marks="-",
    ),
    # The whole address up to the password's end: looking back for its beginning would have no bound.
    _secret(
        "url_password",
        lambda text: "://" in text and "@" in text,
        rf"[A-Za-z]{{2,12}}://{_IN_URL}{{1,64}}:{_IN_URL}{{1,64}}@",
        160,
        "",
        string.printable.strip(),
        marks=":",
    ),
    _secret(
        "assigned_secret",
        _is_assigned,
        r"(?ai:api[_-]?key|secret[_-]?key|access[_-]?token|client[_-]?secret|passw(?:or)?d|passphrase)"
        r"[\"']?[ ]{0,3}[:=][ ]{0,3}[\"']?[0-9A-Za-z_+/.=!@#$%^&*-]{8}",
        40,
        _BASE64 + "_-.!@#$%^&*",
        _BASE64 + "_-.!@#$%^&*\"': ",
        _SECRET_NAMES,
        marks=":=",
    ),
)


def topic_patterns(topics: Mapping[str, Collection[str]]) -> list[Pattern]:
    """Phrases as whole words; blanks in them stand for any blanks, up to three."""
    patterns = []
    for topic, phrases in topics.items():
        # The longest first: the first that fits is taken.
        ordered = sorted(phrases, key=len, reverse=True)
        bodies = [r"\s{1,3}".join(map(re.escape, phrase.split())) for phrase in ordered]
        max_chars = max(len(phrase) + 2 * len(phrase.split()) for phrase in ordered) + 1
        patterns.append(
            Pattern(
                topic,
                Category.TOPICS,
                r"(?<!\w)",
                rf"(?i:{'|'.join(bodies)})(?!\w)",
                max_chars,
                alphabet="",
                gate=_topic_gate(ordered),
            )
        )
    return patterns


def _topic_gate(phrases: Collection[str]) -> Gate:
    """By first words, where all is ASCII: beyond it there are letters that are the same as others in another case."""
    first_words = {phrase.split()[0].lower() for phrase in phrases}
    is_ascii = all(map(str.isascii, first_words))

    def may_hold(text: str) -> bool:
        if not (is_ascii and text.isascii()):
            return True
        lowered = text.lower()
        return any(word in lowered for word in first_words)

    return may_hold
