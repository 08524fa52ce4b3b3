"""Check digits of numbers that people have. Each takes the number as it was written, with its separators."""

from __future__ import annotations

import re

_OTHERS = re.compile(r"[^0-9A-Za-z]")


def plain(text: str) -> str:
    """Without separators, in upper case."""
    return _OTHERS.sub("", text).upper()


def _digits(text: str) -> list[int]:
    return [int(char) for char in plain(text) if char.isdigit()]


def _weighted(digits: list[int], weights: tuple[int, ...]) -> int:
    return sum(digit * weight for digit, weight in zip(digits, weights, strict=False))


def is_luhn(text: str) -> bool:
    """Cards and more: ISO/IEC 7812-1, annex B."""
    digits = _digits(text)
    doubled = [2 * digit - 9 * (digit > 4) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def is_card(text: str) -> bool:
    """Luhn's digit, and a first digit of a card network; a number of equal digits is nobody's."""
    number = plain(text)
    return 13 <= len(number) <= 19 and number[0] in "23456" and len(set(number)) > 1 and is_luhn(number)


_IBAN_LENGTHS = {  # https://www.swift.com/standards/data-standards/iban-international-bank-account-number (2026-11)
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24, "SI": 19,
    "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
}  # fmt: skip


def is_iban(text: str) -> bool:
    """ISO 13616: the country's length, and 1 modulo 97."""
    number = plain(text)
    if _IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    turned = number[4:] + number[:4]
    return int("".join(str(int(char, 36)) for char in turned)) % 97 == 1


def is_us_ssn(text: str) -> bool:
    """No check digit; areas and groups that are never given: https://www.ssa.gov/employer/randomization.html."""
    number = plain(text)
    area, group, serial = number[:3], number[3:5], number[5:]
    return area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"


def is_uk_nhs(text: str) -> bool:
    digits = _digits(text)
    check = 11 - _weighted(digits, (10, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
    return len(set(digits)) > 1 and check != 10 and digits[9] == check % 11


def is_de_tax_id(text: str) -> bool:
    """Steuer-Identifikationsnummer: ISO 7064, MOD 11,10; one of the first ten digits is there two or three times."""
    digits = _digits(text)
    if digits[0] == 0 or not 8 <= len(set(digits[:10])) <= 9:
        return False
    product = 10
    for digit in digits[:10]:
        product = ((digit + product) % 10 or 10) * 2 % 11
    return (11 - product) % 10 == digits[10]


def is_fr_nir(text: str) -> bool:
    number = plain(text).replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number[:13]) % 97 == int(number[13:])


def is_es_dni(text: str) -> bool:
    """DNI and NIE: a letter by the number modulo 23."""
    number = plain(text)
    if number[0] in "XYZ":
        number = str("XYZ".index(number[0])) + number[1:]
    return number[-1] == "TRWAGMYFPDXBNJZSQVHLCKE"[int(number[:-1]) % 23]


_ODD = dict(
    zip(
        "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        (
            1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16,
            10, 22, 25, 24, 23,
        ),
        strict=True,
    )
)  # fmt: skip


def is_it_fiscal_code(text: str) -> bool:
    """Codice fiscale: D.M. 12 March 1974."""
    code = plain(text)
    odd = sum(_ODD[char] for char in code[:15:2])
    even = sum(int(char) if char.isdigit() else ord(char) - 65 for char in code[1:15:2])
    return chr(65 + (odd + even) % 26) == code[15]


def is_nl_bsn(text: str) -> bool:
    digits = _digits(text)
    return any(digits) and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def is_pl_pesel(text: str) -> bool:
    digits = _digits(text)
    month = (10 * digits[2] + digits[3]) % 20
    day = 10 * digits[4] + digits[5]
    return (
        1 <= month <= 12 and 1 <= day <= 31 and _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0
    )


def is_br_cpf(text: str) -> bool:
    digits = _digits(text)
    first = _weighted(digits, tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = _weighted(digits, tuple(range(11, 1, -1))) * 10 % 11 % 10
    return len(set(digits)) > 1 and digits[9:] == [first, second]


_D5 = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 2, 3, 4, 0, 6, 7, 8, 9, 5), (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7), (4, 0, 1, 2, 3, 9, 5, 6, 7, 8), (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2), (7, 6, 5, 9, 8, 2, 1, 0, 4, 3), (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)  # fmt: skip
_TURNS = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7), (9, 4, 5, 3, 1, 2, 6, 8, 7, 0), (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5), (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)  # fmt: skip


def is_in_aadhaar(text: str) -> bool:
    """Verhoeff's check digit (J. Verhoeff, "Error Detecting Decimal Codes", 1969)."""
    check = 0
    for at, digit in enumerate(reversed(_digits(text))):
        check = _D5[check][_TURNS[at % 8][digit]]
    return check == 0


def is_ip_address(text: str) -> bool:
    """Four numbers up to 255, and none that everybody has: loopback and "any"."""
    parts = text.split(".")
    return all(int(part) <= 255 for part in parts) and text != "127.0.0.1" and parts[0] != "0"


def is_phone(text: str) -> bool:
    """International: 8 to 15 digits (E.164)."""
    return 8 <= len(_digits(text)) <= 15
