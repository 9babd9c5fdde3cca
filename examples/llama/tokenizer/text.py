"""Text with special tokens, whatever kind of tokenizer lies below."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from ..gguf_file import GgufFile
from ..refusal import Refusal
from .byte_pairs import BytePairs
from .sentence_pieces import SentencePieces
from .vocabulary import Kind, Vocabulary


class Encoding(Protocol):
    """What the two kinds of tokenizer have in common."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text without special tokens in it."""

    def decode(self, token: int) -> bytes:
        """Return the bytes that ``token`` stands for."""


class Tokenizer:
    """Text to tokens and back.

    Attributes
    ----------
    vocabulary
        The tokens.
    start
        What a text begins with: the model's first token, or nothing where it wants none.
    """

    def __init__(self, vocabulary: Vocabulary, encoding: Encoding, add_bos: bool) -> None:
        self.vocabulary = vocabulary
        self._encoding = encoding
        self.start = [vocabulary.bos] if add_bos and vocabulary.bos is not None else []
        self._hidden = frozenset(vocabulary.of_kind(Kind.CONTROL, Kind.UNKNOWN, Kind.UNUSED))
        self._defined = _alternatives(vocabulary, Kind.USER_DEFINED)
        self._special = _alternatives(vocabulary, Kind.USER_DEFINED, Kind.CONTROL)

    def encode(self, text: str, *, special: bool = False) -> list[int]:
        """Return the tokens of ``text``.

        ``special`` lets the text name control tokens, such as ``<|im_end|>``. Without it they are
        plain text, so that what a user types cannot end his turn.
        """
        pattern = self._special if special else self._defined
        tokens: list[int] = []
        # Splitting by a group puts the special tokens at the odd places.
        for place, part in enumerate(pattern.split(text) if pattern else [text]):
            if place % 2:
                tokens.append(self.vocabulary.ids[part])
            elif part:
                tokens += self._encoding.encode(part)
        return tokens

    def stream(self, tokens: Iterable[int]) -> Iterator[str]:
        """Text as the tokens come; bytes wait until their character is complete."""
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for token in tokens:
            if token not in self._hidden:
                yield decoder.decode(self._encoding.decode(token))
        yield decoder.decode(b"", final=True)

    def decode(self, tokens: Iterable[int]) -> str:
        """Return the text of ``tokens``."""
        return "".join(self.stream(tokens))


def load_tokenizer(file: GgufFile) -> Tokenizer:
    """Return the tokenizer that the file describes."""
    kind = file.text("tokenizer.ggml.model")
    vocabulary = Vocabulary(file)
    if kind == "gpt2":
        # Llama 3's family wants its first token where the file does not say.
        add_bos = file.text("tokenizer.ggml.pre", "").startswith("llama")
        encoding: Encoding = BytePairs(file, vocabulary)
    elif kind == "llama":
        add_bos = True
        encoding = SentencePieces(file, vocabulary)
    else:
        raise Refusal(
            f'tokenizer.ggml.model is "{kind}"; this demo has "gpt2" (byte pairs) and "llama" '
            "(SentencePiece)"
        )
    return Tokenizer(vocabulary, encoding, file.flag("tokenizer.ggml.add_bos_token", add_bos))


def _alternatives(vocabulary: Vocabulary, *kinds: Kind) -> re.Pattern[str] | None:
    """Return a pattern for any token of these kinds, longer first; None where there is none."""
    texts = [vocabulary.tokens[number] for number in vocabulary.of_kind(*kinds)]
    texts = sorted(filter(None, texts), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, texts))})") if texts else None
