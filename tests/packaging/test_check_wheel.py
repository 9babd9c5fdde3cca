"""ci/check_wheel.py sees what must not be released."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest

from toolchain import ROOT, command

METADATA = """Metadata-Version: 2.4
Name: flashdec
Version: 9.9.9
Requires-Python: >=3.10
Requires-Dist: numpy>=1.24
Requires-Dist: cuda-python; extra == "cuda"
License-Expression: Apache-2.0
"""
INFO = "flashdec-9.9.9.dist-info"
TAG = "py3-none-manylinux_2_28_aarch64"


@pytest.fixture
def checker() -> Any:
    spec = importlib.util.spec_from_file_location("check_wheel", ROOT / "ci" / "check_wheel.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def complaints(checks: list[tuple[bool, str]]) -> list[str]:
    return [complaint for fine, complaint in checks if not fine]


def good_texts(checker: Any) -> dict[str, bytes]:
    return {
        **dict.fromkeys(checker.PARTS, b""),
        f"{INFO}/METADATA": METADATA.encode(),
        f"{INFO}/WHEEL": f"Root-Is-Purelib: false\nTag: {TAG}\n".encode(),
        f"{INFO}/licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }


def look(checker: Any, folder: Path, files: dict[str, bytes], tag: str = "") -> list[str]:
    path = folder / f"flashdec-9.9.9-{tag or TAG}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with zipfile.ZipFile(path) as archive:
        return complaints(checker.check_texts(archive, "9.9.9", TAG))


def test_good_texts_are_accepted(checker: Any, tmp_path: Path) -> None:
    assert look(checker, tmp_path, good_texts(checker)) == []


def test_another_tag_is_seen(checker: Any, tmp_path: Path) -> None:
    assert "is called" in look(checker, tmp_path, good_texts(checker), "py3-none-linux_x86_64")[0]
    files = good_texts(checker) | {f"{INFO}/WHEEL": b"Tag: py3-none-any\n"}
    assert "the wheel's tags are" in look(checker, tmp_path, files)[0]


@pytest.mark.parametrize(
    ("before", "after", "complaint"),
    [
        ("Version: 9.9.9", "Version: 9.9.8", "version"),
        ("License-Expression: Apache-2.0\n", "", "no licence"),
        (">=3.10", ">=3.9", "Python"),
        ('; extra == "cuda"', "", "requires"),
    ],
)
def test_wrong_metadata_is_seen(
    checker: Any, tmp_path: Path, before: str, after: str, complaint: str
) -> None:
    assert before in METADATA
    files = good_texts(checker) | {f"{INFO}/METADATA": METADATA.replace(before, after).encode()}
    found = look(checker, tmp_path, files)
    assert len(found) == 1
    assert complaint in found[0]


def test_wrong_files_are_seen(checker: Any, tmp_path: Path) -> None:
    files = good_texts(checker)
    files |= {"tests/x.py": b"", f"{INFO}/licenses/LICENSE": b"", "flashdec/a.pc": bytes(ROOT)}
    del files["flashdec/py.typed"]
    found = " ".join(look(checker, tmp_path, files))
    for part in ("licence", "lacks ['flashdec/py.typed']", "['tests/x.py']", "['flashdec/a.pc']"):
        assert part in found


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
def test_a_library_that_needs_and_gives_too_much_is_seen(checker: Any, tmp_path: Path) -> None:
    source = tmp_path / "leak.cpp"
    source.write_text(
        "#include <iostream>\n#include <stdlib.h>\nvoid leak() { std::cout << abs(rand()); }\n"
    )
    library = tmp_path / "leak.so"
    command("g++", "-shared", "-fPIC", "-Wl,-rpath,/somewhere", source, "-o", library)
    checker.NEWEST_GLIBC = (2, 1)
    found = " ".join(complaints(checker.check_needs(library)))
    for part in ("needs ['libstdc++.so.6'", "needs glibc (2,", "GLIBCXX", "leak", "search path"):
        assert part in found, part


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
def test_a_library_for_another_machine_is_seen(checker: Any, tmp_path: Path) -> None:
    """That of a cross-built wheel is not loaded: its header says what it is for."""
    library = tmp_path / "one.so"
    (tmp_path / "one.cpp").write_text("int one() { return 1; }\n")
    command("g++", "-shared", "-fPIC", tmp_path / "one.cpp", "-o", library)
    found = complaints(checker.check_foreign_code(library, "a-pdp-11"))
    assert len(found) == 1
    assert "the library is for" in found[0]
