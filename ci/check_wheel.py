"""Look at a wheel on a machine without a GPU: tag, texts, symbols, machine code, kernels.

Arguments: the wheel, and of one that was cross-built the machine that it is for, as uname calls it;
such a wheel has the CPU's kernels alone, and its library is not loaded.
"""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
import sys
import sysconfig
import tempfile
import zipfile
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TAG = "py3-none-manylinux_2_28_{}"
LIBRARY = "flashdec/lib/libflashdecoding.so"
PARTS = {
    LIBRARY,
    "flashdec/__init__.py",
    "flashdec/py.typed",
    "flashdec/include/flashdec.h",
    "flashdec/include/flashdec_append.h",
    "flashdec/include/flashdec_merge.h",
    "flashdec/include/flashdec_dlpack.h",
    "flashdec/include/flashdec_probe.h",
    "flashdec/include/flashdec_torch.h",
    "flashdec/lib/cmake/flashdec/flashdecConfig.cmake",
    "flashdec/lib/pkgconfig/flashdec.pc",
}

MOST_MEGABYTES = 25
MOST_FOREIGN_MEGABYTES = 2
GENERATIONS = {"sm_80", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120"}
PTX = {"sm_120"}
CUOBJDUMP = Path(sysconfig.get_path("purelib"), "nvidia", "cu13", "bin", "cuobjdump")

NEWEST_GLIBC = (2, 28)
# Of what manylinux_2_28 allows, the parts of glibc.
SYSTEM = r"lib(c|m)\.so\.6|libpthread\.so\.0|libdl\.so\.2|librt\.so\.1|ld-linux-[\w-]+\.so\.[12]"

Checks = list[tuple[bool, str]]


def output(*command: object) -> str:
    """Return what a command prints."""
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def check_texts(archive: zipfile.ZipFile, version: str, tag: str) -> Checks:
    """Check the wheel's name, its metadata, its licence and that it has every part."""
    name = Path(str(archive.filename)).name
    files = set(archive.namelist())
    info = f"flashdec-{version}.dist-info"
    metadata = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
    tags = Parser().parsestr(archive.read(f"{info}/WHEEL").decode()).get_all("Tag")
    hard = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    licence = archive.read(f"{info}/licenses/LICENSE")
    elsewhere = {file for file in files if not file.startswith(("flashdec/", f"{info}/"))}
    builder = {file for file in files if str(ROOT).encode() in archive.read(file)}
    print(f"{name}: {len(files)} files, needs {', '.join(hard)}")
    return [
        (name == f"flashdec-{version}-{tag}.whl", f"the wheel is called {name}"),
        (tags == [tag], f"the wheel's tags are {tags}; it should have {tag} alone"),
        (metadata["Version"] == version, f"the metadata's version is {metadata['Version']}"),
        (metadata["License-Expression"] == "Apache-2.0", "the metadata has no licence"),
        (metadata["Requires-Python"] == ">=3.10", "the metadata does not ask for Python 3.10"),
        (len(hard) == 1 and hard[0].startswith("numpy"), f"the wheel requires {hard}"),
        (licence == (ROOT / "LICENSE").read_bytes(), "the licence is not the project's"),
        (files >= PARTS, f"the wheel lacks {sorted(PARTS - files)}"),
        (not elsewhere, f"the wheel has files of no package: {sorted(elsewhere)}"),
        (not builder, f"the builder's folder is named in {sorted(builder)}"),
    ]


def check_needs(path: Path) -> Checks:
    """Check what the library takes from the system, and what it gives."""
    dynamic = output("readelf", "--dynamic", "--wide", path)
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    versions = output("readelf", "--version-info", "--wide", path)
    asked = set(re.findall(r"Name: (\S+)  Flags", versions))
    glibc = {tuple(map(int, name[6:].split("."))) for name in asked if name[:6] == "GLIBC_"}
    rows = [line.split() for line in output("nm", "-D", "--defined-only", path).splitlines()]
    given = {row[-1] for row in rows if row[-2] != "A"}  # A: a version's name
    newest = max(glibc, default=())
    print(f"needs {' '.join(needed)}; GLIBC up to {'.'.join(map(str, newest))}")
    strange = [name for name in needed if not re.fullmatch(SYSTEM, name)]
    other = {name for name in asked if not name.startswith("GLIBC_")}
    leaked = {name for name in given if not name.startswith("flashdec_")}
    return [
        (not strange and bool(needed), f"the library needs {strange or 'nothing'}"),
        (bool(glibc) and newest <= NEWEST_GLIBC, f"the library needs glibc {newest}"),
        (not other, f"the library needs the versions {sorted(other)}"),
        (bool(given) and not leaked, f"the library exports {sorted(leaked) or 'nothing'}"),
        (not re.search(r"\((RPATH|RUNPATH)\)", dynamic), "the library has a search path"),
    ]


def kernel_names(library: ctypes.CDLL) -> list[str]:
    """List the kernels of a loaded library, which takes no driver."""
    name = library.flashdec_kernel_name
    name.restype = ctypes.c_char_p
    return [name(row).decode() for row in range(library.flashdec_kernel_count())]


def embedded(path: Path, kind: str) -> set[str]:
    """Return the generations that the library has code of a kind for: elf or ptx."""
    listed = subprocess.run([CUOBJDUMP, f"--list-{kind}", path], capture_output=True, text=True)
    return set(re.findall(r"sm_\w+", listed.stdout))


def check_code(path: Path, library: ctypes.CDLL) -> Checks:
    """Check the library's size, its kernels and the GPUs that it has code for."""
    megabytes = path.stat().st_size / 1e6
    names = kernel_names(library)
    code, ptx = embedded(path, "elf"), embedded(path, "ptx")
    print(f"the library has {megabytes:.1f} MB")
    print(f"code: {' '.join(sorted(code))}, PTX: {' '.join(sorted(ptx))}")
    print(f"{len(names)} kernels: {' '.join(names)}")
    return [
        (megabytes <= MOST_MEGABYTES, f"the library has more than {MOST_MEGABYTES} MB"),
        (code == GENERATIONS, f"the machine code is not for {sorted(GENERATIONS)}"),
        (ptx == PTX, f"the PTX is not for {sorted(PTX)}"),
        (any(name.startswith("cuda_") for name in names), "the library has no CUDA kernels"),
    ]


def check_foreign_code(path: Path, machine: str) -> Checks:
    """Check the size of a library for another machine, and that it is for that one."""
    header = output("readelf", "--file-header", "--wide", path)
    found = re.findall(r"Machine:\s+(.*)", header)
    megabytes = path.stat().st_size / 1e6
    print(f"the library has {megabytes:.1f} MB, for {found[0]}")
    return [
        (found[0].lower() == machine, f"the library is for {found[0]}"),
        (megabytes <= MOST_FOREIGN_MEGABYTES, f"it has more than {MOST_FOREIGN_MEGABYTES} MB"),
    ]


def version_of_header() -> str:
    """Read the version where it is kept."""
    header = (ROOT / "native/include/flashdec.h").read_text()
    return ".".join(re.findall(r"FLASHDEC_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header)[:3])


def complaints(wheel: Path, machine: str) -> list[str]:
    """Print what is in the wheel and return what is not as it should be."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract(LIBRARY, folder))
        if machine == platform.machine():
            library = ctypes.CDLL(str(path))
            library.flashdec_version.restype = ctypes.c_char_p
            version = library.flashdec_version().decode()
            code = check_code(path, library)
        else:
            version = version_of_header()
            code = check_foreign_code(path, machine)
        checks = check_texts(archive, version, TAG.format(machine)) + check_needs(path) + code
    return [complaint for fine, complaint in checks if not fine]


if __name__ == "__main__":
    machine = sys.argv[2] if len(sys.argv) > 2 else platform.machine()
    sys.exit("\n".join(complaints(Path(sys.argv[1]), machine)) or None)
