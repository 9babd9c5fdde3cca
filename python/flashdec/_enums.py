"""The enums of the C headers; ``tests/abi`` compares them."""

from __future__ import annotations

import enum


class Backend(enum.IntEnum):
    """Where a kernel runs: ``flashdec_backend``."""

    ANY = 0
    CPU = 1
    CUDA = 2


class Category(enum.IntEnum):
    """What a kernel is for: ``flashdec_category``."""

    ATTENTION = 1


class Op(enum.IntEnum):
    """Which operation: ``flashdec_op``."""

    DECODE = 1


class Layout(enum.IntEnum):
    """Which cache layouts a kernel reads: ``flashdec_layout``."""

    STRIDED = 1
    PAGED = 2
    ANY = 3


class Epilogue(enum.IntEnum):
    """What a kernel may write beside o: ``flashdec_epilogue``."""

    NONE = 1
    LSE = 2


class Fault(enum.IntFlag):
    """Bits of the status word: ``flashdec_fault``.

    KV_LEN: a length outside its range, or a cache that is full.  PAGE: a page id that the cache
    does not have.  POSITION: a position beyond cos and sin.
    """

    KV_LEN = 1
    PAGE = 2
    POSITION = 4


class Axes(enum.IntEnum):
    """The order of the axes of k and v: ``flashdec_axes``."""

    BSHD = 1
    BHSD = 2


class ObjectKind(enum.IntEnum):
    """How the objects of one type are read: ``flashdec_object_kind``."""

    EXCHANGE = 1
    ARRAY_STRUCT = 2
    CAPSULE = 3
