"""The tokens of a model and what kind each is."""

from __future__ import annotations

from enum import IntEnum

from ..gguf_file import GgufFile
from ..refusal import Refusal

# Chat models end their turn with one of these, whatever the file names as end of sequence.
_TURN_ENDS = ("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "<|end_of_text|>", "<|end|>")


class Kind(IntEnum):
    """The values of ``tokenizer.ggml.token_type``."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


class Vocabulary:
    """Tokens by number and by text.

    Attributes
    ----------
    tokens, kinds
        Text and kind of each, by number.
    ids
        The number of each text.
    bos
        The token that starts a text, or None.
    stops
        The tokens that end one.
    """

    def __init__(self, file: GgufFile) -> None:
        self.tokens: list[str] = file.array("tokenizer.ggml.tokens")
        if not self.tokens:
            raise Refusal(f"{file.path.name} has 0 tokens; text needs at least 1")
        normal = [int(Kind.NORMAL)] * len(self.tokens)
        self.kinds: list[int] = file.array("tokenizer.ggml.token_type", normal)
        if len(self.kinds) != len(self.tokens):
            raise Refusal(
                f"tokenizer.ggml.token_type has {len(self.kinds)} entries; there are "
                f"{len(self.tokens)} tokens"
            )
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        self.bos = self._special(file, "bos")
        ends = [self._special(file, name) for name in ("eos", "eot", "eom")]
        ends += [self.ids.get(token) for token in _TURN_ENDS]
        self.stops = frozenset(end for end in ends if end is not None)

    def of_kind(self, *kinds: Kind) -> list[int]:
        """Return the numbers of the tokens of these kinds."""
        return [number for number, kind in enumerate(self.kinds) if kind in kinds]

    def _special(self, file: GgufFile, name: str) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        if not file.has(key):
            return None
        number = file.integer(key)
        if not 0 <= number < len(self.tokens):
            raise Refusal(f"{key} is {number}; there are {len(self.tokens)} tokens")
        return number
