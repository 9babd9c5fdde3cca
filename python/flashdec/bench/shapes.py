"""The problems that are measured: ``B,Hq,Hkv,D,K``, alone or in named presets."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass

from flashdec.errors import InvalidArgumentError

__all__ = ["DEFAULT_PRESET", "PRESETS", "Case", "Preset", "parse_case", "preset_named"]

_NAMES = ("B", "Hq", "Hkv", "D", "K")
_LIMIT = 2**31 - 1
_COUNT = re.compile(r"([0-9]+)([kK]?)")


@dataclass(frozen=True, slots=True)
class Case:
    """The shape of one measured problem.

    Attributes
    ----------
    batch : int
        B: sequences.
    q_heads : int
        Hq: query heads.
    kv_heads : int
        Hkv: key/value heads.
    head_dim : int
        D: elements in a row of q, k, v and o.
    kv_len : int
        K: tokens in the cache of each sequence.
    """

    batch: int
    q_heads: int
    kv_heads: int
    head_dim: int
    kv_len: int

    @property
    def group_size(self) -> int:
        """Query heads that share a key/value head."""
        return self.q_heads // self.kv_heads

    def kv_bytes(self, itemsize: int) -> int:
        """Bytes of K and V that one decode step reads."""
        return 2 * self.batch * self.kv_len * self.kv_heads * self.head_dim * itemsize

    def __str__(self) -> str:
        """Return the notation that `parse_case` reads."""
        return ",".join(str(value) for value in astuple(self))


@dataclass(frozen=True, slots=True)
class Preset:
    """A named list of cases.

    Attributes
    ----------
    about : str
        What it shows, for people.
    cases : tuple of Case
        In the order of measurement.
    """

    about: str
    cases: tuple[Case, ...]


def _count(text: str, name: str) -> int:
    match = _COUNT.fullmatch(text.strip())
    if match is None:
        raise InvalidArgumentError(
            f"{name} is {text.strip()!r}; it must be a whole number, for instance 4096 or 4k"
        )
    value = int(match[1]) * (1024 if match[2] else 1)
    if not 1 <= value <= _LIMIT:
        raise InvalidArgumentError(f"{name} is {value}; it must be 1 to {_LIMIT}")
    return value


def parse_case(text: str, largest_head_dim: int | None = 256) -> Case:
    """Read ``"B,Hq,Hkv,D,K"``, for instance ``"1,32,8,128,4k"``; k stands for 1024.

    Raises
    ------
    InvalidArgumentError
        If it is not five whole numbers, or the query heads are no multiple of the KV heads.
    """
    parts = text.split(",")
    if len(parts) != len(_NAMES):
        raise InvalidArgumentError(
            f"shape {text!r} has {len(parts)} numbers; it must have five: {','.join(_NAMES)}"
        )
    case = Case(*(_count(part, name) for part, name in zip(parts, _NAMES, strict=True)))
    if case.q_heads % case.kv_heads != 0:
        raise InvalidArgumentError(
            f"Hq is {case.q_heads}; it must be a multiple of Hkv, which is {case.kv_heads}"
        )
    if largest_head_dim is not None and case.head_dim > largest_head_dim:
        raise InvalidArgumentError(
            f"D is {case.head_dim}; there are kernels up to {largest_head_dim}"
        )
    return case


def _preset(about: str, *cases: str) -> Preset:
    return Preset(about, tuple(parse_case(case) for case in cases))


DEFAULT_PRESET = "short"

PRESETS: dict[str, Preset] = {
    "short": _preset(
        "one of each kind, under a minute",
        "1,32,8,128,512",
        "1,32,8,128,4k",
        "8,32,8,128,2k",
        "1,32,32,128,4k",
        "4,64,8,128,4k",
    ),
    "gqa": _preset(
        "grouped queries, Hq/Hkv = 4 and 8",
        "1,32,8,128,512",
        "1,32,8,128,1k",
        "1,32,8,128,4k",
        "1,32,8,128,32k",
        "8,32,8,128,2k",
        "32,32,8,128,1k",
        "4,64,8,128,4k",
        "16,64,8,128,2k",
    ),
    "mha": _preset(
        "a key/value head for every query head",
        "1,32,32,128,512",
        "1,32,32,128,4k",
        "8,32,32,128,2k",
        "8,16,16,64,4k",
    ),
    "mqa": _preset(
        "one key/value head for all query heads",
        "1,8,1,128,4k",
        "1,8,1,128,128k",
        "64,8,1,128,4k",
    ),
    "head-dim": _preset(
        "D = 64, 80, 96, 128, 192 and 256 with the same bytes per token or nearly",
        "8,64,16,64,2k",
        "8,64,16,80,2k",
        "8,48,12,96,2k",
        "8,32,8,128,2k",
        "8,24,6,192,2k",
        "8,16,4,256,2k",
    ),
    "small": _preset(
        "where starting costs as much as reading",
        "1,9,3,64,64",
        "1,9,3,64,512",
        "1,32,8,128,64",
        "1,32,8,128,256",
        "1,32,8,128,512",
    ),
}


def preset_named(name: str) -> Preset:
    """Return a preset.

    Raises
    ------
    InvalidArgumentError
        If there is none of that name; the message lists those there are.
    """
    if name not in PRESETS:
        raise InvalidArgumentError(f"preset is {name!r}; there are {', '.join(PRESETS)}")
    return PRESETS[name]
