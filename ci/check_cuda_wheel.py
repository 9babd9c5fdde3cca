"""Look at a CUDA wheel on a machine without a GPU: tag, size, kernels, and that it loads."""

from __future__ import annotations

import ctypes
import sys
import tempfile
import zipfile
from pathlib import Path

MOST_MEGABYTES = 25


def main(wheel: Path) -> int:
    """Print what is in the wheel; return 1 if it is not what it should be."""
    if not wheel.name.endswith("py3-none-linux_x86_64.whl"):
        print(f"the tag of {wheel.name} is not py3-none-linux_x86_64")
        return 1
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract("flashdec/lib/libflashdecoding.so", folder))
        megabytes = path.stat().st_size / 1e6
        library = ctypes.CDLL(str(path))
        library.flashdec_kernel_name.restype = ctypes.c_char_p
        names = [
            library.flashdec_kernel_name(i).decode() for i in range(library.flashdec_kernel_count())
        ]
    print(f"{wheel.name}: library {megabytes:.1f} MB, {len(names)} kernels: {', '.join(names)}")
    if megabytes > MOST_MEGABYTES:
        print(f"the library has {megabytes:.1f} MB; at most {MOST_MEGABYTES} are allowed")
        return 1
    if not any(name.startswith("cuda_") for name in names):
        print("the library has no CUDA kernels")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
