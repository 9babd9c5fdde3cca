r"""Cut text into the words within which byte pairs are merged.

Each model family has its own pattern, published with its tokenizer. They are written with the
Unicode classes ``\p{L}`` and ``\p{N}``, which ``re`` lacks: here the classes are spelled out from
``unicodedata``, so that nothing beyond the standard library is needed.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache
from itertools import groupby

from ..refusal import Refusal

# Unicode's White_Space. Python's \s also takes the separators U+001C to U+001F.
_SPACE = r"\t-\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

_GPT2 = (r"'(?:[stmd]|re|ve|ll)| ?[{L}]+| ?[{N}]+| ?[^{S}{L}{N}]+|[{S}]+(?![^{S}])|[{S}]+",)
_LLAMA3 = (
    r"'(?i:[stmd]|re|ve|ll)|[^\r\n{L}{N}]?[{L}]+|[{N}]{{1,3}}| ?[^{S}{L}{N}]+[\r\n]*"
    r"|[{S}]*[\r\n]+|[{S}]+(?![^{S}])|[{S}]+",
)
_QWEN2 = (_LLAMA3[0].replace("{{1,3}}", ""),)
_SINGLE_DIGITS = (r"[{N}]", *_GPT2)

# tokenizer.ggml.pre -> the patterns, applied one after the other to what the one before has cut.
_PATTERNS: dict[str, tuple[str, ...]] = {
    "gpt-2": _GPT2,
    "smollm": _SINGLE_DIGITS,
    "starcoder": _SINGLE_DIGITS,
    "refact": _SINGLE_DIGITS,
    "llama-bpe": _LLAMA3,
    "llama3": _LLAMA3,
    "llama-v3": _LLAMA3,
    "qwen2": _QWEN2,
}


class Splitter:
    """Cuts text as the tokenizer ``name`` does (``tokenizer.ggml.pre``)."""

    def __init__(self, name: str) -> None:
        if name not in _PATTERNS:
            raise Refusal(
                f'tokenizer.ggml.pre is "{name}"; this demo knows how '
                f"{', '.join(_PATTERNS)} cut text, and another cut would give other tokens"
            )
        self._patterns = [_compile(pattern) for pattern in _PATTERNS[name]]

    def __call__(self, text: str) -> list[str]:
        """Return the words of ``text``, which joined are ``text`` again."""
        words = [text]
        for pattern in self._patterns:
            words = [part for word in words for part in _cut(pattern, word)]
        return words


def _cut(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return the matches of ``pattern`` and what lies between them, in order."""
    parts, end = [], 0
    for match in pattern.finditer(text):
        parts += [text[end : match.start()], match.group()]
        end = match.end()
    return [part for part in (*parts, text[end:]) if part]


@lru_cache
def _compile(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.format(L=_category("L"), N=_category("N"), S=_SPACE))


@lru_cache
def _category(initial: str) -> str:
    r"""Return the inside of a ``re`` class for ``\p{initial}``, as ranges."""
    points = range(sys.maxunicode + 1)
    ranges = []
    for inside, run in groupby(points, lambda p: unicodedata.category(chr(p))[0] == initial):
        if inside:
            members = list(run)
            ranges.append(f"\\U{members[0]:08x}-\\U{members[-1]:08x}")
    return "".join(ranges)
