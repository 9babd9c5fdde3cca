"""Open a GGUF file and read its metadata with types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gguf import GGUFReader

from .refusal import Refusal


class GgufFile:
    """A GGUF model on disk: typed metadata, and tensors that stay unread until they are asked for.

    Parameters
    ----------
    path
        The file. One that is not there, not GGUF, or one part of several is refused.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise Refusal(f"{path} is not a file; --model takes the path of a GGUF model")
        self.path = path
        try:
            self._reader = GGUFReader(path)
        except (ValueError, IndexError) as error:
            raise Refusal(f"{path} cannot be read as GGUF: {error}") from error
        self.tensors = {tensor.name: tensor for tensor in self._reader.tensors}
        parts = self.integer("split.count", 1)
        if parts > 1:
            raise Refusal(f"{path.name} is one of {parts} parts; the demo reads whole files only")

    def has(self, key: str) -> bool:
        """Whether the metadata holds ``key``."""
        return key in self._reader.fields

    def text(self, key: str, default: str | None = None) -> str:
        """Return the string under ``key``."""
        return str(self._get(key, (str,), "a string", default))

    def integer(self, key: str, default: int | None = None) -> int:
        """Return the integer under ``key``."""
        return int(self._get(key, (int,), "an integer", default))

    def number(self, key: str, default: float | None = None) -> float:
        """Return the integer or real number under ``key``."""
        return float(self._get(key, (int, float), "a number", default))

    def flag(self, key: str, default: bool) -> bool:
        """Return the boolean under ``key``."""
        return bool(self._get(key, (bool, int), "a boolean", default))

    def array(self, key: str, default: list[Any] | None = None) -> list[Any]:
        """Return the list under ``key``."""
        return list(self._get(key, (list,), "an array", default))

    def _get(self, key: str, types: tuple[type, ...], wanted: str, default: Any) -> Any:
        field = self._reader.fields.get(key)
        if field is None:
            if default is None:
                raise Refusal(f"{self.path.name} has no {key}, which every Llama needs")
            return default
        value = field.contents()
        if not isinstance(value, types):
            raise Refusal(f"{key} is {type(value).__name__}; this demo reads {wanted} there")
        return value
