"""Where the library, the headers and the compilers are, for tests that compile something."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

import flashdec

ROOT = Path(__file__).resolve().parents[1]
NATIVE = ROOT / "native"
PACKAGE = ROOT / "python" / "flashdec"

HEADERS = (
    "flashdec.h",
    "flashdec_append.h",
    "flashdec_merge.h",
    "flashdec_dlpack.h",
    "flashdec_probe.h",
    "flashdec_torch.h",
)
STRICT = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def include_dir() -> Path:
    """The installed headers, or those of the checkout where the package is not installed."""
    installed = Path(flashdec.get_include())
    return installed if (installed / HEADERS[0]).is_file() else NATIVE / "include"


def header_text(name: str) -> str:
    return (include_dir() / name).read_text()


def without_comments(text: str) -> str:
    """C source without its comments and preprocessor lines."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    return re.sub(r"^#(?:.*\\\n)*.*$", "", text, flags=re.M)


def command(*words: object) -> str:
    """Run a command and return what it prints; a failure shows everything it said."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    said = f"{' '.join(map(str, words))}\nexit status {done.returncode}\n{done.stdout}{done.stderr}"
    assert done.returncode == 0, said
    return done.stdout


def compile_program(
    sources: Sequence[Path], target: Path, standard: str, options: Sequence[object] = ()
) -> Path:
    """Compile a program against the headers and the library, strictly."""
    compiler = "g++" if "++" in standard else "gcc"
    library = flashdec.find_library().resolve()
    command(
        compiler, f"-std={standard}", *STRICT, "-O1", "-I", include_dir(), *sources, *options,
        "-o", target, library, f"-Wl,-rpath,{library.parent}", "-lm",
    )  # fmt: skip
    return target
