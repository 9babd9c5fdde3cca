"""What a measurement ran on: the processor, its caches and memory, and versions of software."""

from __future__ import annotations

import importlib
import os
import platform
import re
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["Machine", "commit", "machine", "processors", "versions"]

_CACHES = Path("/sys/devices/system/cpu")
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}
_LEAST_L3 = 32 * 2**20  # assumed where the system does not say


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine.

    Attributes
    ----------
    cpu : str
        The processor's model.
    architecture : str
        For instance ``"x86_64"``.
    processors : int
        That this process may run on.
    l3_bytes : int
        Last-level cache of those processors together; 0 where the system does not say.
    memory_bytes : int
        Memory of the machine; 0 where the system does not say.
    system : str
        Kernel and release.
    """

    cpu: str
    architecture: str
    processors: int
    l3_bytes: int
    memory_bytes: int
    system: str

    @property
    def rotation_bytes(self) -> int:
        """Bytes to read before a byte is read again, so that it comes from memory."""
        return max(4 * (self.l3_bytes or _LEAST_L3), 512 * 2**20)

    def to_dict(self) -> dict[str, Any]:
        """Return the attributes by name."""
        return asdict(self)


def processors() -> list[int]:
    """Return the processors that this process may run on."""
    return sorted(os.sched_getaffinity(0))


def _read(path: Path | str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _cpu_model() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return found[1].strip() if found else platform.processor() or platform.machine()


def _l3_bytes() -> int:
    """Sum the distinct level-3 caches of the processors allowed."""
    caches: dict[str, int] = {}
    for index in processors():
        folder = _CACHES / f"cpu{index}" / "cache" / "index3"
        size = re.fullmatch(r"([0-9]+)([KMG])", _read(folder / "size"))
        if size is not None:
            caches[_read(folder / "shared_cpu_list")] = int(size[1]) * _UNITS[size[2]]
    return sum(caches.values())


def memory_bytes(field: str) -> int:
    """Return a field of ``/proc/meminfo`` in bytes, ``"MemAvailable"`` say; 0 if absent."""
    found = re.search(rf"^{field}:\s*([0-9]+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def machine() -> Machine:
    """Describe this machine."""
    return Machine(
        cpu=_cpu_model(),
        architecture=platform.machine(),
        processors=len(processors()),
        l3_bytes=_l3_bytes(),
        memory_bytes=memory_bytes("MemTotal"),
        system=f"{platform.system()} {platform.release()}",
    )


def versions(*more: str) -> dict[str, str]:
    """Return versions of flashdec, Python, NumPy and those of `more` that are installed."""
    flashdec = importlib.import_module("flashdec")
    found = {"flashdec": str(flashdec.__version__), "python": platform.python_version()}
    for name in ("numpy", *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit that this package's sources are of, with ``-dirty``; None outside git."""
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments],
            check=True,
            capture_output=True,
            text=True,
            timeout=10,
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)  # not merely inside someone's tree
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None
