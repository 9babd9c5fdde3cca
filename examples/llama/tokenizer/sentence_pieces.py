"""SentencePiece's byte-pair kind, the tokenizer of Llama 1 and 2."""

from __future__ import annotations

import heapq

from ..gguf_file import GgufFile
from ..refusal import Refusal
from .vocabulary import Kind, Vocabulary

_SPACE = "\u2581"  # what the vocabulary has in place of a space


class SentencePieces:
    """Text to tokens by merging neighbouring pieces, the token with the highest score first."""

    def __init__(self, file: GgufFile, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._scores: list[float] = file.array("tokenizer.ggml.scores")
        if len(self._scores) != len(vocabulary.tokens):
            raise Refusal(
                f"tokenizer.ggml.scores has {len(self._scores)} entries; there are "
                f"{len(vocabulary.tokens)} tokens"
            )
        self._add_space = file.flag("tokenizer.ggml.add_space_prefix", True)
        self._byte_of = {
            number: int(vocabulary.tokens[number][1:-1], 16)
            for number in vocabulary.of_kind(Kind.BYTE)
        }
        self._token_of_byte = {byte: number for number, byte in self._byte_of.items()}
        self._unknown = next(iter(vocabulary.of_kind(Kind.UNKNOWN)), None)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of ``text``, before which most models want a space."""
        if self._add_space:
            text = " " + text
        pieces = self._merge(list(text.replace(" ", _SPACE)))
        return [token for piece in pieces for token in self._tokens_of(piece)]

    def decode(self, token: int) -> bytes:
        """Return the bytes that ``token`` stands for."""
        if token in self._byte_of:
            return bytes([self._byte_of[token]])
        return self._vocabulary.tokens[token].replace(_SPACE, " ").encode()

    def _merge(self, pieces: list[str]) -> list[str]:
        """Join neighbours until no two make a token; equal scores go from the left.

        ``pieces`` keeps its length: a joined piece stands at its first index, and the others it
        has swallowed are empty. The heap may name pairs that are gone; they are passed over.
        """
        after = [*range(1, len(pieces)), -1] if pieces else []
        before = list(range(-1, len(pieces) - 1))
        heap: list[tuple[float, int, int, str]] = []

        def offer(left: int, right: int) -> None:
            if left >= 0 and right >= 0:
                token = self._vocabulary.ids.get(pieces[left] + pieces[right])
                if token is not None:
                    joined = self._vocabulary.tokens[token]
                    heapq.heappush(heap, (-self._scores[token], left, right, joined))

        for index, following in enumerate(after):
            offer(index, following)
        while heap:
            _, left, right, joined = heapq.heappop(heap)
            if not pieces[left] or after[left] != right or pieces[left] + pieces[right] != joined:
                continue
            pieces[left], pieces[right] = joined, ""
            after[left] = after[right]
            if after[right] >= 0:
                before[after[right]] = left
            offer(before[left], left)
            offer(left, after[left])
        return [piece for piece in pieces if piece]

    def _tokens_of(self, piece: str) -> list[int]:
        token = self._vocabulary.ids.get(piece)
        if token is not None:
            return [token]
        data = piece.encode()
        if all(byte in self._token_of_byte for byte in data):
            return [self._token_of_byte[byte] for byte in data]
        if self._unknown is None:
            raise Refusal(f'"{piece}" is not among the model\'s tokens, and it has none for bytes')
        return [self._unknown]
