"""Byte-level byte-pair encoding, as GPT-2 introduced it."""

from __future__ import annotations

from itertools import pairwise

from ..gguf_file import GgufFile
from ..refusal import Refusal
from .splitting import Splitter
from .vocabulary import Kind, Vocabulary

# These take a word that is a token as it stands, without asking how merges would build it.
_WHOLE_WORDS_FIRST = ("llama-bpe", "llama3", "llama-v3")


class BytePairs:
    """Words to tokens by merging neighbouring pieces, the pair listed first first."""

    def __init__(self, file: GgufFile, vocabulary: Vocabulary) -> None:
        cut = file.text("tokenizer.ggml.pre")
        self._split = Splitter(cut)
        self._whole_words_first = cut in _WHOLE_WORDS_FIRST
        self._vocabulary = vocabulary
        merges: list[str] = file.array("tokenizer.ggml.merges")
        self._ranks = {tuple(merge.split(" ", 1)): rank for rank, merge in enumerate(merges)}
        self._known: dict[str, list[int]] = {}
        # User-defined tokens are stored as text, all others in the byte alphabet.
        self._plain = frozenset(vocabulary.of_kind(Kind.USER_DEFINED))

    def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``."""
        return [token for word in self._split(text) for token in self._word(word)]

    def decode(self, token: int) -> bytes:
        """Return the bytes that ``token`` stands for."""
        text = self._vocabulary.tokens[token]
        if token in self._plain:
            return text.encode()
        return bytes(_BYTE_OF[letter] for letter in text if letter in _BYTE_OF)

    def _word(self, word: str) -> list[int]:
        tokens = self._known.get(word)
        if tokens is None:
            tokens = self._known[word] = self._merge(word)
        return tokens

    def _merge(self, word: str) -> list[int]:
        pieces = [_LETTER_OF[byte] for byte in word.encode()]
        ids = self._vocabulary.ids
        if self._whole_words_first and "".join(pieces) in ids:
            return [ids["".join(pieces)]]
        while len(pieces) > 1:
            best = min(pairwise(pieces), key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            pieces = _merged(pieces, best)
        for piece in pieces:
            if piece not in ids:
                data = bytes(_BYTE_OF[letter] for letter in piece)
                raise Refusal(f"{word!r} cannot be said in this model's tokens: none is {data!r}")
        return [ids[piece] for piece in pieces]


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """``pieces`` with every occurrence of ``pair`` joined, from the left."""
    joined: list[str] = []
    index = 0
    while index < len(pieces):
        if tuple(pieces[index : index + 2]) == pair:
            joined.append(pieces[index] + pieces[index + 1])
            index += 2
        else:
            joined.append(pieces[index])
            index += 1
    return joined


def _alphabet() -> list[str]:
    """Return a letter for each byte: its own where that prints, else the next from U+0100."""
    own = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    borrowed = iter(range(0x100, 0x200))
    return [chr(byte) if byte in own else chr(next(borrowed)) for byte in range(256)]


_LETTER_OF = _alphabet()
_BYTE_OF = {letter: byte for byte, letter in enumerate(_LETTER_OF)}
