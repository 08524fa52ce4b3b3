"""How much a text reads like instructions to a model: trigger phrases of several languages, each with a weight.

A heuristic, and only one of the defences: whoever words an attack differently is not seen here. What
holds without it is that the prompt's blocks cannot be forged, that the step which reads the text has no
tools, and that no image and no foreign link leaves.

Works on text that `untrusted.clean` has been over. Compares without case, accents and what stands
between letters of a spaced-out word ("i g n o r e").
"""

# ruff: noqa: E501 (a phrase's pattern stands on one line)
from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from serve_app.grounding.needles import may_match, needles_of


class Attack(StrEnum):
    """What a text tries to make a model do."""

    OVERRIDE = "instruction_override"
    ROLE = "role_forgery"
    DELIMITER = "delimiter_forgery"
    TOOL = "tool_lure"
    EXFILTRATION = "exfiltration"
    SECRET = "prompt_leak"  # noqa: S105 (no password)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How sure, and of what."""

    score: float  # 0..1: 1 - product of (1 - weight) over the phrases that were found, each once
    kinds: frozenset[Attack]


_PREVIOUS = r"(?:previous|prior|above|earlier|preceding|former|foregoing|your|all|any|other|existing|original|system|the)"
_ORDERS = (
    r"(?:instructions?|prompts?|rules?|directions?|guidelines?|orders?|commands?|directives?|constraints?)"
)
# (kind, weight, pattern). Text is lower case without accents. A weight of 0.9 withholds by default.
_PHRASES: tuple[tuple[Attack, float, str], ...] = (
    (
        Attack.OVERRIDE,
        0.9,
        rf"\b(?:ignore|disregard|forget|override|bypass|discard|do not follow|stop following)\b[^.\n]{{0,20}}"
        rf"\b{_PREVIOUS}\b[^.\n]{{0,25}}\b{_ORDERS}\b",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:ignore|disregard|forget) (?:everything|all (?:of )?(?:this|that|the above)|what)\b",
    ),
    (
        Attack.OVERRIDE,
        0.85,
        rf"\b(?:new|updated|real|actual|secret|hidden) {_ORDERS} ?(?:follow|:|for the (?:ai|assistant|model))",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:ignorier|missacht|vergiss|vergesst|uberschreib)\w*\b[^.\n]{0,30}\b(?:anweisung|vorgabe|regel|instruktion|befehl|prompt)\w*",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:ignor|oubli|neglig|contourn)\w*\b[^.\n]{0,30}\b(?:instruction|consigne|regle|directive|ordre)s?\b",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:ignor|olvid|descart|omit)\w*\b[^.\n]{0,30}\b(?:instruccion|regla|indicacion|orden|directriz)\w*",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:ignor|dimentic|trascur)\w*\b[^.\n]{0,30}\b(?:istruzion|regol|direttiv|comand)\w*",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:ignor|esquec|desconsider)\w*\b[^.\n]{0,30}\b(?:instruc|regra|diretriz|ordens|comando)\w*",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:zignoruj|ignoruj|zapomnij|pomin)\w*\b[^.\n]{0,30}\b(?:instrukcj|polecen|zasad)\w*",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"(?:игнориру|забуд|не обращай)\w*[^.\n]{0,30}(?:инструкци|указани|правил|команд)\w*",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"(?:忽略|无视|忘记|忘掉|無視して|忘れて)[^。\n]{0,20}(?:指示|指令|规则|提示|命令|說明|说明)|(?:指示|命令|ルール)[^。\n]{0,10}(?:無視|忘れ)",
    ),
    (Attack.OVERRIDE, 0.9, r"(?:지시|명령|규칙|지침)[^.\n]{0,12}(?:무시|잊)"),
    (Attack.OVERRIDE, 0.9, r"(?:تجاهل|انس)[^.\n]{0,25}(?:التعليمات|الاوامر|القواعد)"),
    (
        Attack.OVERRIDE,
        0.9,
        r"(?:निर्देश|आदेश|नियम)[^।\n]{0,20}(?:अनदेखा|भूल)|(?:अनदेखा|भूल)[^।\n]{0,20}(?:निर्देश|आदेश|नियम)",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:onceki|tum|butun)\b[^.\n]{0,20}\b(?:talimat|kural|komut)\w*[^.\n]{0,20}\b(?:yok say|unut|goz ardi)",
    ),
    (
        Attack.OVERRIDE,
        0.9,
        r"\b(?:negeer|vergeet)\b[^.\n]{0,30}\b(?:instructies?|regels?|opdrachten|aanwijzingen)\b",
    ),
    (
        Attack.ROLE,
        0.6,
        r"(?:^|\n)\s{0,3}(?:#{1,6} ?)?\[?(?:system|developer|assistant)\]? ?(?:prompt|message|note)? ?:",
    ),
    (
        Attack.ROLE,
        0.9,
        r"<\|?(?:im_start|im_end|system|assistant|endoftext|eot_id|start_header_id|begin_of_text)\|?>|\[/?inst\]|<</?sys>>|</?(?:system|assistant)>",
    ),
    (
        Attack.ROLE,
        0.8,
        r"\byou are now (?:free|unrestricted|unfiltered|dan|jailbroken|acting as|an? (?:unrestricted|unfiltered|evil|different|rogue|\w+ (?:bot|assistant|ai|model|oracle|agent|hacker|pirate)))\b|\byou are no longer (?:an? (?:ai|assistant|model)|bound|restricted|limited)\b",
    ),
    (
        Attack.ROLE,
        0.8,
        r"\b(?:from now on|henceforth)\b[^.\n]{0,20}\byou\b|\bact as (?:an? )?(?:unrestricted|jailbroken|dan|root|admin\w*|developer mode)",
    ),
    (
        Attack.ROLE,
        0.8,
        r"\b(?:dan|developer|god|debug|maintenance|jailbreak) mode (?:is )?(?:on|enabled|activated|unlocked)",
    ),
    (
        Attack.ROLE,
        0.8,
        r"\b(?:du bist jetzt|ab jetzt bist du|tu es maintenant|desormais tu|ahora eres|a partir de ahora eres|ora sei|agora voce e)\b|ты теперь|你现在是|あなたは今から",
    ),
    (
        Attack.ROLE,
        0.9,
        r"\b(?:attention|note|message|notice|instructions?|important|reminder|hey|dear)[ :,!-]{1,3}(?:to |for )?(?:the |any |all |every )?(?:ai|llms?|language models?|chatbots?|assistants?|ai (?:models?|assistants?|agents?))\b",
    ),
    (
        Attack.ROLE,
        0.85,
        r"\b(?:if|when) you are an? (?:ai|llm|language model|chatbot|assistant)\b|\bai (?:models?|assistants?|agents?) (?:must|should|shall|reading this)\b",
    ),
    (Attack.DELIMITER, 0.9, r"(?:^|\n)\s{0,3}\[\d{1,3}\] (?:begin|end) [0-9a-f]{16,64}"),
    (
        Attack.DELIMITER,
        0.8,
        r"(?:^|\n)\s{0,3}(?:-{3,}|={3,}|#{3,}|<{2,}|`{3}) ?(?:end|begin|start) (?:of )?(?:the )?(?:context|documents?|passages?|sources?|user input|system|untrusted|quoted)[^\n]{0,30}",
    ),
    (
        Attack.DELIMITER,
        0.8,
        r"</?(?:context|document|documents|passage|source|user_input|untrusted|retrieved|instructions?)>\s*(?:\n|$|[a-z<])[^\n]{0,80}\b(?:user|question|instructions?|system|assistant|answer)\b",
    ),
    (
        Attack.DELIMITER,
        0.7,
        r"(?:^|\n)\s{0,3}(?:question|user|human) ?: [^\n]{0,200}\n\s{0,3}(?:answer|assistant|ai) ?:",
    ),
    (
        Attack.TOOL,
        0.9,
        r"\b(?:call|invoke|use|run|execute|trigger)\b[^.\n]{0,40}\b(?:tool|function|plugin|shell|terminal|bash|code interpreter|mcp)\b[^.\n]{0,60}\b(?:delete|rm|drop|exfiltrate|passwords?|secrets?|all (?:keys|data|files|documents|emails))\b",
    ),
    (
        Attack.TOOL,
        0.9,
        r"<(?:tool_call|function_call|function|invoke|tool_use|tool)\b|\"(?:tool_calls?|function_call)\" ?:|```(?:tool_code|tool_call)",
    ),
    (
        Attack.TOOL,
        0.85,
        r"\b(?:before|instead of|prior to) (?:answering|you answer|replying|responding)\b[^.\n]{0,80}\b(?:call|run|execute|send|open|visit|fetch|delete|read|invoke|use)\b",
    ),
    (
        Attack.EXFILTRATION,
        0.9,
        r"\b(?:append|add|include|embed|insert|put|encode|send|attach|copy)\b[^.\n]{0,60}\b(?:question|conversation|chat|history|prompt|secrets?|api keys?|passwords?|user'?s? (?:name|email|message|data)|what the user|context)\b[^\n]{0,60}(?:\b(?:to|in|into|as|at|after|onto|of)\b)[^\n]{0,40}(?:https?://|url|link|image|query|parameter|address|markdown)",
    ),
    (
        Attack.EXFILTRATION,
        0.9,
        r"\b(?:render|show|display|output|include|embed|insert|load|reply with|respond with|answer with|print)\b[^.\n]{0,40}(?:image|picture|pixel|img|link|markdown|badge)[^\n]{0,60}(?:!\[|https?://|<img)",
    ),
    (
        Attack.EXFILTRATION,
        0.85,
        r"!\[[^\]\n]{0,200}\]\(https?://[^)\s]{0,300}[?&=/](?:[^)\s]{0,300})(?:\{|\[|<|%7b|\$)[^)\n]{0,300}\)|<img[^>]{1,200}src=[\"']?https?://[^>]{0,300}(?:\{|\[|\$)",
    ),
    (
        Attack.EXFILTRATION,
        0.85,
        r"\b(?:click|visit|open|go to|log ?in|sign in|verify|re-?enter|confirm)\b[^.\n]{0,60}\b(?:password|credentials|account|session|identity|card)\b[^\n]{0,60}https?://|\b(?:tell|ask|urge|instruct|direct) the (?:user|reader|customer)\b[^\n]{0,80}(?:https?://|password|link|click|call|wire|pay)",
    ),
    (
        Attack.EXFILTRATION,
        0.85,
        r"\b(?:fuge|hange|sende|schicke|ajoute|envoie|envoyez|anade|envia|incluye|aggiungi|invia|adicione|envie)\b[^\n]{0,100}https?://",
    ),
    (
        Attack.SECRET,
        0.9,
        r"\b(?:reveal|print|repeat|show|output|leak|disclose|display|quote|recite|dump|tell me|give me)\b[^.\n]{0,30}\b(?:system prompt|hidden prompt|initial prompt|your (?:system |initial |original |hidden )?(?:instructions|prompt)|developer message|api keys?|environment variables|everything above|text above)\b",
    ),
    (
        Attack.SECRET,
        0.85,
        r"\b(?:zeige|verrate|gib|affiche|revele|muestra|revela|mostra|rivela|mostre)\b[^.\n]{0,30}\b(?:system-?prompt|systemprompt|prompt systeme|prompt del sistema|prompt di sistema|prompt do sistema|instrucciones|consignes|anweisungen)\b|系统提示|システムプロンプト|системн\w* (?:промпт|подсказк)",
    ),
    (
        Attack.OVERRIDE,
        0.85,
        r"\b(?:respond|reply|answer|say|output|write|print)\b (?:only |just |exactly |simply )(?:with )?[\"'«“]",
    ),
    (
        Attack.OVERRIDE,
        0.8,
        r"\b(?:do not|don't|never) (?:mention|cite|reveal|tell|disclose)\b[^.\n]{0,40}\b(?:this|these|the user|instruction|source|document|passage)",
    ),
    (
        Attack.OVERRIDE,
        0.8,
        r"\b(?:your (?:new|real|true|only|next) (?:task|goal|objective|job|mission|purpose|instructions?) (?:is|are))\b",
    ),
)
_PATTERNS = tuple(
    (kind, weight, needles_of(pattern), re.compile(pattern)) for kind, weight, pattern in _PHRASES
)
# Single letters in a row, with one and the same kind of separator: "i g n o r e", "i.g.n.o.r.e".
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){4,}\w(?!\w)[.]?")
_SEPARATORS = re.compile(r"[ .\-_*]")
# Letters of other scripts that look like Latin ones. Only inside words that have Latin letters, too.
_LOOKALIKES = str.maketrans("аеорсухіјѕԁɡһκνοτ", "aeopcyxijsdghkvot")
_MIXED_WORD = re.compile(r"\w*[a-z]\w*")
_BLANKS = re.compile(r"[ \t\u00a0]+")


@lru_cache(maxsize=2048)
def suspicion(text: str) -> Suspicion:
    """How suspicious a cleaned text is. Remembers the last texts: passages come again and again."""
    folded = _folded(text)
    rest, kinds = 1.0, set()
    for kind, weight, needles, pattern in _PATTERNS:
        if may_match(needles, folded) and pattern.search(folded):
            rest *= 1.0 - weight
            kinds.add(kind)
    return Suspicion(round(1.0 - rest, 4), frozenset(kinds))


def _folded(text: str) -> str:
    text = text.lower()
    if not text.isascii():
        decomposed = unicodedata.normalize("NFD", text)
        # Accents of Latin letters only: in other scripts a mark makes another letter.
        text = re.sub(r"(?<=[a-z])[\u0300-\u036f]+", "", decomposed)
        text = unicodedata.normalize("NFC", text)
        text = _MIXED_WORD.sub(lambda word: word.group().translate(_LOOKALIKES), text)
    text = _BLANKS.sub(" ", text)
    return _SPACED.sub(lambda found: _SEPARATORS.sub("", found.group()), text)
