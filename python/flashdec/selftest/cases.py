"""Small random problems, each of which is one line of text."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product

from flashdec.dtypes import DType
from flashdec.errors import InvalidArgumentError

__all__ = ["Case", "generate", "parse_case"]

_HEAD_DIMS = (8, 16, 64, 64, 80, 96, 128, 128, 192, 256)
_ODD_HEAD_DIMS = (1, 3, 7, 33, 65, 129)
_GROUPS = (1, 1, 2, 3, 4, 5, 7, 8, 12, 16)
_PAGE_SIZES = (1, 3, 16, 16, 32, 64)
_TOKENS = (1, 2, 15, 31, 32, 33, 63, 65, 127, 128, 129, 255, 257, 300, 511, 513, 700)


@dataclass(frozen=True, slots=True)
class Case:
    """One problem; ``str`` gives the line that `parse_case` reads.

    Attributes
    ----------
    target : str
        The instruction set, or "cuda".
    dtype : str
        Of q, k, v and o.
    layout : {"bshd", "bhsd"}
        The order of the axes of k and v.
    page_size : int
        Tokens in a page; 0 without pages.
    batch, q_heads, kv_heads, head_dim, head_dim_v, max_kv_len : int
        As in `flashdec.Descriptor`.
    lengths : {"all", "one", "each"}
        Every length is max_kv_len, one length is in the arguments, or each is in kv_len.
    lse : bool
        Whether lse is wanted.
    padding : int
        Elements between the rows of q, k, v and o; an odd number also leaves them unaligned.
    split_len : int
        Tokens in a split; 0 leaves it to the schedule.
    batch_invariant : bool
        Of the preference; the bits are then compared over numbers of threads as well.
    threads : int
        CPU threads.
    seed : int
        Of the values, lengths and pages.
    """

    target: str
    dtype: str
    layout: str
    page_size: int
    batch: int
    q_heads: int
    kv_heads: int
    head_dim: int
    head_dim_v: int
    max_kv_len: int
    lengths: str
    lse: bool
    padding: int
    split_len: int
    batch_invariant: bool
    threads: int
    seed: int

    @property
    def element(self) -> DType:
        """The dtype as a `DType`."""
        return DType[self.dtype.upper()]

    def __str__(self) -> str:
        """Return ``target=avx2 dtype=float16 ...``."""
        values = ((each.name, getattr(self, each.name)) for each in fields(self))
        return " ".join(f"{name}={_as_text(value)}" for name, value in values)


def _as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


_CHOICES = {
    "dtype": ("bfloat16", "float16", "float32"),
    "layout": ("bshd", "bhsd"),
    "lengths": ("all", "one", "each"),
}


def parse_case(line: str) -> Case:
    """Read the line that a failure prints.

    Raises
    ------
    InvalidArgumentError
        If a field is missing, unknown or no number.
    """
    given = dict(part.partition("=")[::2] for part in line.split())
    values: dict[str, object] = {}
    for each in fields(Case):
        text = given.pop(each.name, None)
        if text is None:
            raise InvalidArgumentError(f"case lacks {each.name}=; pass the line as it was printed")
        values[each.name] = _parse_value(each.name, str(each.type), text)
    if given:
        raise InvalidArgumentError(f"case has {next(iter(given))}=, which is no field of a case")
    return Case(**values)  # type: ignore[arg-type]


def _parse_value(name: str, kind: str, text: str) -> object:
    if kind == "str":
        if text not in _CHOICES.get(name, (text,)):
            raise InvalidArgumentError(
                f"{name} is {text!r}; it must be {', '.join(_CHOICES[name])}"
            )
        return text
    if not text.isdecimal():
        raise InvalidArgumentError(f"{name} is {text!r}; it must be a whole number")
    return bool(int(text)) if kind == "bool" else int(text)


def generate(count: int, seed: int, targets: Sequence[str]) -> list[Case]:
    """Draw cases: every target, dtype, layout and paging in turn, the rest at random.

    Parameters
    ----------
    count : int
        Cases.
    seed : int
        The same seed and targets give the same cases.
    targets : sequence of str
        Instruction sets, and "cuda".
    """
    rng = random.Random(seed)
    combinations = list(
        product(targets, _CHOICES["dtype"], _CHOICES["layout"], (False, True), _CHOICES["lengths"])
    )
    rng.shuffle(combinations)
    return [_draw(rng, *combinations[i % len(combinations)]) for i in range(count)]


def _draw(
    rng: random.Random, target: str, dtype: str, layout: str, paged: bool, lengths: str
) -> Case:
    odd = rng.random() < 0.2
    head_dim = rng.choice(_ODD_HEAD_DIMS if odd else _HEAD_DIMS)
    kv_heads = rng.choice((1, 1, 2, 3))
    return Case(
        target=target,
        dtype=dtype,
        layout=layout,
        page_size=rng.choice(_PAGE_SIZES) if paged else 0,
        batch=rng.choice((1, 1, 2, 3)),
        q_heads=kv_heads * rng.choice(_GROUPS),
        kv_heads=kv_heads,
        head_dim=head_dim,
        head_dim_v=head_dim if rng.random() < 0.8 else rng.choice(_HEAD_DIMS),
        max_kv_len=rng.choice(_TOKENS),
        lengths=lengths,
        lse=rng.random() < 0.5,
        padding=rng.choice((0, 0, 16, 1)),
        split_len=rng.choice((0, 0, 32, 64, 100)),
        batch_invariant=rng.random() < 0.3,
        threads=rng.choice((1, 2, 3, 7)),
        seed=rng.randrange(2**31),
    )
