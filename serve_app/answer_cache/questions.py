"""Whether two questions ask for different things although they look alike: "5 miles" and "5 km",
"with" and "without".,

Embedders put such questions next to each other, nearer than many paraphrases, so no threshold tells them apart. What
does is in the words: numbers, negations, names, dates, units, opposites, what is asked for, and which way round; and
whether each has a word of content that stands in the other one's place, as "green" and "black". This knows English; of
other languages it sees numbers and names, and most paraphrases as different. It errs to "different": that costs a hit,
and a wrong answer costs more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from serve_app.grounding.terms import terms

_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|\d+(?:[.,:/-]\d+)*|[^\W_]+", re.UNICODE)
_SENTENCE_START = re.compile(r"(?:^|[.!?:]\s+|\n\s*)[\"'(¿¡]*$")
_NUMBER_WORDS = {
    word: str(number)
    for number, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
            "twenty",
        ]
    )
} | {"thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "hundred": "100", "thousand": "1000"}
_NUMBER_WORDS |= {
    "dozen": "12",
    "twice": "2",
    "double": "2",
    "triple": "3",
    "half": "0.5",
    "million": "1000000",
}
_NUMBER_WORDS |= {"second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th"}
_NEGATIONS = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "without",
        "cannot",
        "nothing",
        "nobody",
        "except",
        "excluding",
        "unless",
        "lacks",
        "lacking",
    ]
)
_UNITS = {
    word: words.split()[0]
    for words in (
        "km kilometer kilometers kilometre kilometres", "mile miles mi", "m meter meters metre metres",
        "cm centimeter centimeters centimetre centimetres", "mm millimeter millimeters", "foot feet ft",
        "inch inches", "yard yards", "kg kilogram kilograms kilo kilos", "g gram grams", "lb lbs pound pounds",
        "ounce ounces oz", "ton tons tonne tonnes", "liter liters litre litres", "ml milliliter milliliters",
        "gallon gallons", "cup cups", "tablespoon tablespoons tbsp", "teaspoon teaspoons tsp", "celsius centigrade",
        "fahrenheit", "kelvin", "sec secs seconds", "min mins minute minutes", "hour hours hr hrs", "day days daily",
        "week weeks weekly", "month months monthly", "year years yearly annual annually",
        "quarter quarters quarterly",
        "kb kilobyte kilobytes", "mb megabyte megabytes", "gb gigabyte gigabytes", "tb terabyte terabytes",
        "bit bits", "byte bytes", "usd dollar dollars", "eur euro euros", "gbp sterling", "yen jpy", "percent pct",
        "watt watts", "volt volts", "amp amps", "mph", "kph kmh", "acre acres", "hectare hectares",
        "calorie calories",
        "joule joules", "cent cents", "decade decades", "century centuries", "morning", "evening", "night", "noon",
        "midnight", "am", "pm",
    )
    for word in words.split()
}  # fmt: skip
_DATES = frozenset(
    [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "today",
        "tomorrow",
        "yesterday",
        "tonight",
        "spring",
        "summer",
        "autumn",
        "fall",
        "winter",
        "weekend",
        "weekdays",
        "weekends",
        "next",
        "previous",
        "last",
        "current",
        "now",
        "christmas",
        "easter",
    ]
) - {"may", "march", "fall", "now"}  # which are other words more often; with a capital they are names
_OPPOSITES = (
    "before|after|prior", "increase increases raise grow rising|decrease decreases reduce lower falling shrink",
    "enable enabled enabling activate|disable disabled disabling deactivate",
    "start begin starting|stop end stopping",
    "open opening opens|close closing closes", "minimum min least|maximum max most",
    "first earliest|last latest final",
    "more|less fewer", "up upper|down", "add adding insert|remove removing delete deleting|subtract",
    "install installing|uninstall uninstalling", "buy buying purchase|sell selling",
    "import importing|export exporting",
    "left|right", "north northern|south southern|east eastern|west western",
    "highest tallest top|lowest shortest bottom",
    "largest biggest|smallest", "hot hottest warm|cold coldest cool", "cheapest|priciest",
    "upload uploading|download downloading",
    "encrypt|decrypt", "win wins won|lose loses lost", "oldest|newest youngest", "longest|shortest",
    "fastest|slowest",
    "pros advantages benefits|cons disadvantages drawbacks risks", "cause causes|effect effects", "best|worst",
    "inside indoor|outside outdoor", "men man male|women woman female", "lend|borrow",
    "arrive arrives arrival|depart ",
    "departs departure leave", "push|pull", "create created creating|delete deleted deleting destroy",
    "public|private",
    "allow allows permit|deny forbid block prohibit", "accept|reject decline", "read reading|write writing",
    "encode|decode", "compress|decompress extract", "lock|unlock", "mount|unmount",
    "join joining|leave leaving|split",
    "send sending|receive receiving", "hire hiring|fire firing", "wet|dry", "raw|cooked",
    "adult adults|child children ",
    "kids", "cat cats|dog dogs", "divide|multiply", "convex|concave", "sunrise|sunset", "liquid|solid|gas", "deposit|"
    "withdraw", "ascending|descending", "horizontal|vertical", "input|output", "client|server", "row rows|column "
    "columns", "plus|minus", "freeze freezing|melt melting|boil boiling", "subscribe|unsubscribe cancel",
    "vegetarian ",
    "vegan|meat", "gain|loss lose", "import|export", "internal|external", "source|destination", "parent|child",
    "follow|unfollow", "employer|employee", "landlord|tenant", "legal|illegal", "safe|dangerous unsafe", "even|odd",
    "prime|composite", "positive|negative", "acid|base", "import|export", "mother|father", "king|queen",
    "son|daughter",
    "hardware|software", "lunch|dinner|breakfast", "single|married", "full|empty", "early|late", "near|far",
)  # fmt: skip
_KINDS = {
    "when": ["when", "date", "year", "day", "time", "month", "century"],
    "where": ["where", "place", "location", "located", "country", "city"],
    "who": ["who", "whom", "whose", "person", "inventor", "author", "founder", "creator"],
    "why": ["why", "reason", "reasons", "cause", "purpose"],
    "count": ["many", "count", "number"],
    "amount": ["much", "cost", "price", "costs", "amount"],
    "size": [
        "long",
        "tall",
        "high",
        "deep",
        "wide",
        "big",
        "large",
        "heavy",
        "far",
        "distance",
        "length",
        "height",
        "weight",
        "depth",
    ],
    "age": ["old", "age"],
}
_TO, _FROM = frozenset({"to", "into"}), frozenset({"from"})
# Words that one asks with, whatever is asked, and words of another kind whose difference the other checks see.
_ASKING = frozenset(
    one
    for words in (
        "what which who when where why how name list tell explain describe show guide give call calculate "
        "compute find",
        "need want wish like can possible able allowed way step steps process procedure method command make "
        "makes made do",
        "please help know think mean meaning say define get use used using work there one year date time "
        "number amount",
        "reason cause many much long big high tall far old much cost price city country person people state term",
        "contain require required require must may might should would located location place part kind type sort",
    )
    for word in words.split()
    for one in (word, *terms(word))
)
_SYNONYMS = {
    stem: stems[0]
    for stems in (
        [stem for word in words.split() for stem in terms(word)]
        for words in (
            "closest nearest", "write author writer written wrote", "enable activate", "disable deactivate",
            "large big huge", "small little tiny", "begin start", "end finish", "buy purchase", "fix repair",
            "quick fast",
            "benefit advantage", "drawback disadvantage", "error mistake", "delete remove erase",
            "modify change edit",
            "picture image photo", "movie film", "car automobile", "doctor physician", "job occupation",
            "kid child children",
            "km kilometer kilometre kilometers", "mile miles", "percent percentage", "maximum max most limit",
            "minimum min least", "salary earn pay wage", "ship shipping deliver delivery",
            "differ different difference",
            "convert turn converts", "vaccine vaccination", "inhabitant population", "join merge combine",
            "show display",
            "speed fast", "height tall", "distance far", "monthly month", "daily day", "yearly year annual",
        )
    )
    for stem in stems
}  # fmt: skip
_DIRECTED = frozenset(
    {"to", "into", "than", "over", "versus", "vs", "from", "beat", "minus", "divided", "by"}
)


@dataclass(frozen=True, slots=True)
class _Facts:
    words: frozenset[str]  # lower case, without possessives
    numbers: tuple[str, ...]  # sorted, each as often as it stands there
    units: frozenset[str]
    quantities: frozenset[tuple[str, str]]  # a number and the unit behind it
    dates: frozenset[str]
    names: frozenset[str]  # lower case; not those that only begin a sentence
    has_negation: bool
    kinds: frozenset[str]  # what is asked for
    sequence: tuple[str, ...]  # numbers, units and names in their order
    is_directed: bool  # their order matters
    content: frozenset[str]  # stems of what it is about, without the words that one asks with
    arrows: frozenset[tuple[str, str]]  # what stands on both sides of a "to"
    sources: frozenset[str]  # what stands behind a "from"


def ask_differently(one: str, other: str) -> bool:
    """Whether something in the words says that these are different questions."""
    a, b = _facts(one), _facts(other)
    return (
        a.numbers != b.numbers
        or a.units != b.units
        or a.quantities != b.quantities
        or a.dates != b.dates
        or a.has_negation != b.has_negation
        or not a.names <= b.words
        or not b.names <= a.words
        or _kinds_differ(a.kinds, b.kinds)
        or _is_turned_round(a, b)
        or _is_substituted(a, b)
        or _has_opposites(a.words, b.words)
    )


def _kinds_differ(a: frozenset[str], b: frozenset[str]) -> bool:
    return bool(a or b) and not a & b


def _is_turned_round(a: _Facts, b: _Facts) -> bool:
    """ "10 km to miles" and "miles to 10 km"."""
    if _points_back(a, b) or _points_back(b, a):
        return True
    if not (a.is_directed and b.is_directed):
        return False
    shared = set(a.sequence) & set(b.sequence)
    if len(shared) < 2:
        return False
    return [one for one in a.sequence if one in shared] != [one for one in b.sequence if one in shared]


def _points_back(a: _Facts, b: _Facts) -> bool:
    """Something leads from X to Y here, and there from Y to X; or from X here, and there to X."""
    turned = {(right, left) for left, right in a.arrows}
    targets_a, targets_b = ({right for _, right in one.arrows} for one in (a, b))
    return bool(turned & (b.arrows - a.arrows)) or bool((a.sources - targets_a) & targets_b)


def _is_substituted(a: _Facts, b: _Facts) -> bool:
    """Each is about something that the other one does not name: rather another thing than another word for it."""
    return bool(a.content - b.content) and bool(b.content - a.content)


def _has_opposites(a: frozenset[str], b: frozenset[str]) -> bool:
    only_a, only_b = a - b, b - a
    for poles in _POLES:
        in_a, in_b = _poles(only_a, poles), _poles(only_b, poles)
        if in_a and in_b and not in_a & in_b:
            return True
    return False


_POLES = tuple(tuple(frozenset(pole.split()) for pole in line.split("|")) for line in _OPPOSITES)


def _poles(words: frozenset[str], poles: tuple[frozenset[str], ...]) -> frozenset[int]:
    return frozenset(index for index, pole in enumerate(poles) if pole & words)


def _is_compared(word: str) -> bool:
    """Whether the word is looked at for itself: as a number, a unit, a date or a negation."""
    is_negation = word in _NEGATIONS or word.endswith("n't")
    return is_negation or word in _UNITS or word in _DATES or _number(word) is not None


def _quantities(words: list[str]) -> Iterator[tuple[str, str]]:
    for word, after in pairwise(words):
        number = _number(word)
        if number is not None and after in _UNITS:
            yield number, _UNITS[after]


def _synonym(term: str) -> str:
    return _SYNONYMS.get(term, term)


def _arrows(words: list[str], marks: frozenset[str]) -> frozenset[tuple[str, str]]:
    """(the last word of content before, the first one after) each of the marks."""
    found = set()
    for at, word in enumerate(words):
        if word in marks:
            left = next((stem for one in reversed(words[:at]) for stem in terms(one)), "")
            right = next((stem for one in words[at + 1 :] for stem in terms(one)), "")
            found.add((left, right))
    return frozenset(found)


@lru_cache(maxsize=4096)
def _facts(text: str) -> _Facts:
    text = text.replace("\u2019", "'")
    words: set[str] = set()
    numbers, sequence = [], []
    units, dates, names = set(), set(), set()
    has_negation = False
    for found in _WORD.finditer(text):
        raw = found.group()
        word = raw.lower().removesuffix("'s")
        words.add(word)
        words.add(_singular(word))
        has_negation |= word in _NEGATIONS or word.endswith("n't")
        number = _number(word)
        if number is not None:
            numbers.append(number)
            sequence.append(number)
        elif word in _UNITS:
            units.add(_UNITS[word])
            sequence.append(_UNITS[word])
        elif word in _DATES:
            dates.add(word)
        elif _is_name(raw) and not _SENTENCE_START.search(text[max(0, found.start() - 8) : found.start()]):
            names.add(word)
            sequence.append(word)
    lowered = [found.group().lower() for found in _WORD.finditer(text)]
    return _Facts(
        frozenset(words),
        tuple(sorted(numbers)),
        frozenset(units),
        frozenset(_quantities(lowered)),
        frozenset(dates),
        frozenset(names),
        has_negation,
        frozenset(kind for kind, marks in _KINDS.items() if words & set(marks)),
        tuple(sequence),
        bool(words & _DIRECTED),
        frozenset(_synonym(term) for word in lowered if not _is_compared(word) for term in terms(word))
        - _ASKING,
        _arrows(lowered, _TO),
        frozenset(right for _, right in _arrows(lowered, _FROM)),
    )


def _is_name(raw: str) -> bool:
    """A capital anywhere, or letters with digits: Berlin, iPhone, S3. "I" is nobody."""
    if raw in {"I", "I'm", "I'd", "I've", "I'll"}:
        return False
    return any(char.isupper() for char in raw) or (any(map(str.isdigit, raw)) and any(map(str.isalpha, raw)))


def _number(word: str) -> str | None:
    if word in _NUMBER_WORDS:
        return _NUMBER_WORDS[word]
    if not word[0].isdigit():
        return None
    plain = word.replace(",", "")
    try:
        return f"{float(plain):g}" if plain.count(".") <= 1 else word
    except ValueError:
        return word  # 10:30, 2024-05-01, 3rd, 4k


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
