"""The headers compile everywhere, and Python mirrors every declaration of theirs."""

from __future__ import annotations

import ctypes
import re
from pathlib import Path

import pytest

import flashdec
from flashdec import _abi, _abi_append, _abi_dlpack, _abi_merge, _enums, _library
from toolchain import HEADERS, STRICT, command, header_text, include_dir, without_comments

STRUCTS = {
    "flashdec_descriptor": _abi.CDescriptor,
    "flashdec_preference": _abi.CPreference,
    "flashdec_args": _abi.CArgs,
    "flashdec_append_args": _abi_append.CAppendArgs,
    "flashdec_merge_args": _abi_merge.CMergeArgs,
    "flashdec_threads": _abi.CThreads,
    "flashdec_plan": _abi.CPlan,
    "flashdec_precision_guarantee": _abi.CGuarantee,
    "flashdec_kernel_sku": _abi.CKernelSku,
    "flashdec_plan_facts": _abi.CPlanFacts,
    "flashdec_object_reader": _abi_dlpack.CObjectReader,
    "flashdec_object": _abi_dlpack.CObject,
    "flashdec_objects": _abi_dlpack.CObjects,
    "flashdec_append_call": _abi_dlpack.CAppendCall,
    "flashdec_merge_call": _abi_dlpack.CMergeCall,
    "flashdec_array": _abi_dlpack.CArray,
}

ENUMS = {
    "flashdec_dtype": (flashdec.DType, "FLASHDEC_"),
    "flashdec_backend": (flashdec.Backend, "FLASHDEC_BACKEND_"),
    "flashdec_category": (flashdec.Category, "FLASHDEC_CATEGORY_"),
    "flashdec_op": (flashdec.Op, "FLASHDEC_OP_"),
    "flashdec_layout": (flashdec.Layout, "FLASHDEC_LAYOUT_"),
    "flashdec_epilogue": (flashdec.Epilogue, "FLASHDEC_EPILOGUE_"),
    "flashdec_fault": (flashdec.Fault, "FLASHDEC_FAULT_"),
    "flashdec_axes": (_enums.Axes, "FLASHDEC_AXES_"),
    "flashdec_object_kind": (_enums.ObjectKind, "FLASHDEC_OBJECT_"),
}


FLAGS = ("PREFER_", "ARGS_", "APPEND_", "MERGE_")


def all_code() -> str:
    return without_comments("".join(header_text(name) for name in HEADERS))


def structs_declared() -> dict[str, list[str]]:
    """The fields of every struct, in order."""
    found = {}
    pattern = r"typedef struct (\w+) \{(.*?)\} \1;"
    for name, body in re.findall(pattern, all_code(), flags=re.S):
        declarations = [part for part in body.split(";") if part.strip()]
        found[name] = [
            re.findall(r"(\w+)(?:\[\w+\])?\s*$", word)[0]
            for declaration in declarations
            for word in declaration.split(",")
        ]
    return found


def enums_declared() -> dict[str, dict[str, int]]:
    return {
        name: {key: int(value) for key, value in re.findall(r"(\w+) = (\d+)", body)}
        for name, body in re.findall(r"enum (\w+) \{(.*?)\};", all_code(), flags=re.S)
    }


def macros() -> dict[str, int]:
    text = "".join(header_text(name) for name in HEADERS)
    return {k: int(v) for k, v in re.findall(r"^#define (FLASHDEC_\w+) (\d+)u?\b", text, re.M)}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("standard", ["c99", "c11", "c17", "c++17"])
def test_header_compiles(standard: str, header: str, tmp_path: Path) -> None:
    language = "c++" if "++" in standard else "c"
    source = tmp_path / f"twice.{language}"
    source.write_text(f'#include "{header}"\n#include "{header}"\nint main(void) {{ return 0; }}\n')
    compiler = "g++" if "++" in standard else "gcc"
    command(compiler, f"-std={standard}", *STRICT, "-fsyntax-only", "-x", language,
            "-I", include_dir(), source)  # fmt: skip


def test_header_is_the_manual() -> None:
    """More than half of its lines are comment and nothing else."""
    text = header_text("flashdec.h")
    marked = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", "\x01", m[0]), text, flags=re.S)
    lines = [line.strip() for line in marked.splitlines() if line.strip()]
    comment = sum(set(line) == {"\x01"} for line in lines)
    assert comment > len(lines) / 2


def test_every_struct_has_a_mirror() -> None:
    assert structs_declared().keys() == STRUCTS.keys()
    mirrors = {
        value
        for module in (_abi, _abi_append, _abi_merge, _abi_dlpack)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ctypes.Structure)
    }
    assert mirrors == {*STRUCTS.values(), _abi_dlpack.CMethodDef}  # which is Python's


@pytest.mark.parametrize("name", STRUCTS)
def test_fields_are_those_of_the_header(name: str) -> None:
    mirrored = [field[0] for field in STRUCTS[name]._fields_]
    assert mirrored == structs_declared()[name]


@pytest.fixture(scope="module")
def layout_in_c(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """Offset and size of every field, and size and alignment of every struct, by the compiler."""
    lines = []
    for name, fields in structs_declared().items():
        lines.append(f'P("{name}", _Alignof({name}), sizeof({name}));')
        lines += [
            f'P("{name}.{field}", offsetof({name}, {field}), sizeof((({name} *)0)->{field}));'
            for field in fields
        ]
    folder = tmp_path_factory.mktemp("layout")
    (folder / "layout.c").write_text(
        "".join(f'#include "{name}"\n' for name in HEADERS)
        + "#include <stddef.h>\n#include <stdio.h>\n"
        '#define P(name, a, b) printf("%s %zu %zu\\n", name, (size_t)(a), (size_t)(b))\n'
        "int main(void) {\n" + "\n".join(lines) + "\nreturn 0; }\n"
    )
    command("gcc", "-std=c11", "-I", include_dir(), folder / "layout.c", "-o", folder / "layout")
    rows = [line.split() for line in command(folder / "layout").splitlines()]
    return {name: (int(first), int(second)) for name, first, second in rows}


@pytest.mark.parametrize("name", STRUCTS)
def test_layout_equals_ctypes(name: str, layout_in_c: dict[str, tuple[int, int]]) -> None:
    mirror = STRUCTS[name]
    assert layout_in_c[name] == (ctypes.alignment(mirror), ctypes.sizeof(mirror))
    for field, *_ in mirror._fields_:
        member = getattr(mirror, field)
        assert layout_in_c[f"{name}.{field}"] == (member.offset, member.size), field


def test_a_plan_has_1024_bytes() -> None:
    assert ctypes.sizeof(_abi.CPlan) == 1024


@pytest.mark.parametrize("name", ENUMS)
def test_enum_equals_python(name: str) -> None:
    mirror, prefix = ENUMS[name]
    declared = {key.removeprefix(prefix): value for key, value in enums_declared()[name].items()}
    assert declared == {member.name: member.value for member in mirror}


def test_every_enum_is_compared() -> None:
    others = {
        "flashdec_status",
        "flashdec_operand",
        "flashdec_append_operand",
        "flashdec_merge_operand",
    }
    assert enums_declared().keys() == ENUMS.keys() | others


def test_operands_equal_python() -> None:
    for verb, operands in (
        ("", _abi_dlpack.OPERANDS),
        ("append_", _abi_dlpack.APPEND_OPERANDS),
        ("merge_", _abi_dlpack.MERGE_OPERANDS),
    ):
        declared = enums_declared()[f"flashdec_{verb}operand"]
        prefix = f"FLASHDEC_{verb.upper()}OPERAND_"
        assert declared.pop(f"{prefix}COUNT") == len(operands)
        names = {key.removeprefix(prefix).lower(): i for key, i in declared.items()}
        assert names == {name: index for index, name in enumerate(operands)}


def test_flags_equal_python() -> None:
    declared = {
        name.removeprefix("FLASHDEC_"): value
        for name, value in macros().items()
        if name.startswith(
            ("FLASHDEC_PREFER_", "FLASHDEC_ARGS_", "FLASHDEC_APPEND_", "FLASHDEC_MERGE_")
        )
    }
    assert declared
    mirrors = {
        name: value
        for module in (_abi, _abi_append, _abi_merge)
        for name, value in vars(module).items()
        if name.startswith(FLAGS)
    }
    assert declared == mirrors


def test_versions_agree() -> None:
    version = [macros()[f"FLASHDEC_VERSION_{part}"] for part in ("MAJOR", "MINOR", "PATCH")]
    text = ".".join(map(str, version))
    assert _abi.version().decode() == text
    assert flashdec.__version__ == text
    abi = macros()["FLASHDEC_ABI_VERSION"]
    assert abi == _library._ABI_VERSION
    assert _library.load_library()[0].flashdec_abi_version() == abi


@pytest.mark.parametrize(("name", "code"), enums_declared()["flashdec_status"].items())
def test_status_has_its_name_and_exception(name: str, code: int) -> None:
    families = {
        1: flashdec.InvalidArgumentError,
        2: flashdec.UnsupportedError,
        3: flashdec.DeviceError,
        4: flashdec.InternalError,
    }
    assert _abi.status_string(code).decode() == name
    if code:
        error = flashdec.errors.error_for(code, name, "why")
        assert type(error) is families[code // 10]
        assert (error.code, error.status, str(error)) == (code, name, "why")


@pytest.mark.parametrize("code", [-1, 1, 9, 41, 2**31 - 1])
def test_other_status_is_unknown(code: int) -> None:
    assert _abi.status_string(code) == b"unknown status"
