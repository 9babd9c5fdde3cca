"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import flashdec
from toolchain import HEADERS, NATIVE, PACKAGE, ROOT

LONG, TOO_LONG = 250, 400  # lines; a kernel may have as many as the second
SOURCES = sorted(
    path
    for folder, kinds in ((NATIVE, {".h", ".cpp", ".cu", ".cuh"}), (PACKAGE, {".py", ".cu"}))
    for path in folder.rglob("*")
    if path.suffix in kinds
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def label(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> set[str]:
    """The modules that a file imports anywhere, by their first name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add((node.module or "").split(".")[0])
    return found


def top_level_imports(path: Path) -> set[str]:
    """Those that happen whenever the module is imported."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_files_are_short(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    if path.name in HEADERS:  # the manual
        return
    if lines > LONG:
        warnings.warn(f"{label(path)} has {lines} lines", stacklevel=1)
    assert lines <= TOO_LONG


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_nothing_is_left_to_do(path: Path) -> None:
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", path.read_text())


@pytest.mark.parametrize("path", SOURCES, ids=label)
def test_lines_fit_the_page(path: Path) -> None:
    long = [n for n, line in enumerate(path.read_text().splitlines(), 1) if len(line) > 100]
    assert long == []


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if NATIVE / "cuda" in path.parents and "device" not in path.parts],
    ids=label,
)
def test_instructions_are_behind_functions(path: Path) -> None:
    """So that tests/unit/emulation can stand in for them."""
    assert not re.search(r"\basm\b", path.read_text())


@pytest.mark.parametrize("path", sorted((NATIVE / "core").iterdir()), ids=label)
def test_the_core_includes_no_cuda_header(path: Path) -> None:
    assert not re.search(r'#include [<"](cuda|cuda_runtime|cuda_\w+)\.h', path.read_text())


def test_ctypes_stays_behind_the_mirrors() -> None:
    users = {label(path) for path in MODULES if "ctypes" in imports(path)}
    names = ("_abi", "_abi_append", "_abi_dlpack", "_abi_merge", "_library")
    assert users == {f"python/flashdec/{name}.py" for name in names}


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_numpy_is_the_only_hard_dependency(path: Path) -> None:
    own = sys.stdlib_module_names | {"flashdec", "numpy"}
    own |= {"torch": {"torch"}, "hf": {"torch", "transformers"}}.get(path.parent.name, set())
    assert top_level_imports(path) - own == set()


def test_importing_flashdec_imports_no_framework() -> None:
    program = "import flashdec, sys; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert (
        loaded & {"torch", "transformers", "jax", "jaxlib", "cupy", "cuda", "numba", "ml_dtypes"}
        == set()
    )
    assert "numpy" in loaded


@pytest.mark.parametrize("name", sorted(flashdec.__all__))
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(flashdec, name)
    if name.startswith("__") or isinstance(value, flashdec.DType):
        return  # a version, or an element type, which its class documents
    assert inspect.getdoc(value), name
    own = vars(value) if inspect.isclass(value) else {}
    members = {
        member: each
        for member, each in own.items()
        if not member.startswith("_")
        and (inspect.isroutine(each) or isinstance(each, property | classmethod))
    }
    assert [member for member, each in members.items() if not inspect.getdoc(each)] == []


def test_public_names_are_all_there_is() -> None:
    public = {
        name
        for name, value in vars(flashdec).items()
        if not name.startswith("_") and not inspect.ismodule(value) and name != "annotations"
    }
    assert public == set(flashdec.__all__) - {"__version__"}


@pytest.mark.parametrize("path", MODULES, ids=label)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").is_file()
