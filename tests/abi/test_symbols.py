"""What the shared library exports and what it needs."""

from __future__ import annotations

import re
import subprocess
import sys

import flashdec
from flashdec import _abi
from toolchain import HEADERS, command, header_text, without_comments

# libc and what has been part of it, or the loader, for ever.
SYSTEM = r"(libc|libm|libpthread|libdl|librt)\.so\.\d+|ld-linux[\w-]*\.so\.\d+"


def declared() -> set[str]:
    code = without_comments("".join(header_text(name) for name in HEADERS))
    return set(re.findall(r"FLASHDEC_API [^;(]*?(\w+)\(", code))


def exported() -> set[str]:
    rows = [line.split() for line in command(
        "nm", "-D", "--defined-only", flashdec.find_library()
    ).splitlines()]  # fmt: skip
    return {row[-1].split("@")[0] for row in rows if row[-2] != "A"}  # A: a version's name


def test_exports_are_the_headers() -> None:
    assert len(declared()) > 10
    assert exported() == declared()


def test_prototypes_are_the_headers() -> None:
    assert _abi.PROTOTYPES.keys() == declared()


def test_prototypes_have_the_arguments_of_the_headers() -> None:
    code = without_comments("".join(header_text(name) for name in HEADERS))
    found = re.findall(r"FLASHDEC_API [^;(]*?(\w+)\(([^)]*)\)", code)
    counts = {name: 0 if text == "void" else text.count(",") + 1 for name, text in found}
    assert counts == {name: len(arguments) for name, (_, arguments) in _abi.PROTOTYPES.items()}


def test_needs_nothing_but_libc() -> None:
    dynamic = command("readelf", "-d", flashdec.find_library())
    needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
    assert needed
    assert [name for name in needed if not re.fullmatch(SYSTEM, name)] == []


def test_a_cpu_plan_wakes_no_driver() -> None:
    program = (
        "import flashdec\n"
        "desc = flashdec.Descriptor(1, 1, 1, 1, 1)\n"
        "flashdec.Plan.select(desc, flashdec.PlanPreference(prefer_backend='cpu'))\n"
        "print('libcuda' in open('/proc/self/maps').read())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_prints_nothing_when_loaded_and_refusing() -> None:
    program = (
        "import flashdec\n"
        "try: flashdec.Plan.select(flashdec.Descriptor(0, 1, 1, 1, 1))\n"
        "except flashdec.InvalidArgumentError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
