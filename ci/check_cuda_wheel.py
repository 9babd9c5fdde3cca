"""Look at a CUDA wheel on a machine without a GPU: tag, size, machine code, kernels."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from pathlib import Path

MOST_MEGABYTES = 25
GENERATIONS = {"sm_80", "sm_89", "sm_90a", "sm_100", "sm_120"}
PTX = {"sm_120"}
CUOBJDUMP = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin", "cuobjdump")


def kernel_names(path: Path) -> list[str]:
    """Load the library, which takes no driver, and list its kernels."""
    library = ctypes.CDLL(str(path))
    name = library.flashdec_kernel_name
    name.restype = ctypes.c_char_p
    return [name(row).decode() for row in range(library.flashdec_kernel_count())]


def embedded(path: Path, kind: str) -> set[str]:
    """Return the generations that the library has code of a kind for: elf or ptx."""
    listed = subprocess.run([CUOBJDUMP, f"--list-{kind}", path], capture_output=True, text=True)
    return set(re.findall(r"sm_\w+", listed.stdout))


def complaints(wheel: Path) -> list[str]:
    """Print what is in the wheel and return what is not as it should be."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract("flashdec/lib/libflashdecoding.so", folder))
        megabytes = path.stat().st_size / 1e6
        names = kernel_names(path)
        code, ptx = embedded(path, "elf"), embedded(path, "ptx")
    print(f"{wheel.name}: the library has {megabytes:.1f} MB")
    print(f"code: {' '.join(sorted(code))}, PTX: {' '.join(sorted(ptx))}")
    print(f"{len(names)} kernels: {' '.join(names)}")

    tag = f"py3-none-linux_{platform.machine()}"
    checks = [
        (f"-{tag}.whl" in wheel.name, f"{wheel.name} is not tagged {tag}"),
        (megabytes <= MOST_MEGABYTES, f"the library has more than {MOST_MEGABYTES} MB"),
        (code == GENERATIONS, f"the machine code is not for {sorted(GENERATIONS)}"),
        (ptx == PTX, f"the PTX is not for {sorted(PTX)}"),
        (any(name.startswith("cuda_") for name in names), "the library has no CUDA kernels"),
    ]
    return [complaint for fine, complaint in checks if not fine]


if __name__ == "__main__":
    sys.exit("\n".join(complaints(Path(sys.argv[1]))) or None)
