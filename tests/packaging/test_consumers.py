"""What the wheel gives to C, C++ and CMake projects: headers, CMake package, pkg-config file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import flashdec

INCLUDE = Path(flashdec.get_include())

pytestmark = pytest.mark.skipif(
    not (INCLUDE / "flashdec.h").exists(), reason="runs on the installed package"
)

PROGRAM = """
#include <flashdec.h>
#include <flashdec_dlpack.h>
#include <stdio.h>
int main(void) {
  printf("%s %u\\n", flashdec_version(), flashdec_kernel_count());
  return 0;
}
"""
LISTS = """
cmake_minimum_required(VERSION 3.15)
project(consumer C)
find_package(flashdec 0.1 REQUIRED)
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE flashdec::flashdecoding)
"""


def says_the_version(program: Path, **variables: str) -> bool:
    done = subprocess.run(
        [program], capture_output=True, text=True, env={**os.environ, **variables}, check=True
    )
    return done.stdout.split() == [flashdec.__version__, str(len(flashdec.kernels()))]


@pytest.mark.skipif(
    not shutil.which("cmake") or not shutil.which("ninja"), reason="no CMake, ninja"
)
def test_find_package(tmp_path: Path) -> None:
    (tmp_path / "CMakeLists.txt").write_text(LISTS)
    (tmp_path / "main.c").write_text(PROGRAM)
    build = tmp_path / "build"
    configure = ["cmake", "-G", "Ninja", "-S", tmp_path, "-B", build]
    package = f"-Dflashdec_DIR={flashdec.get_cmake_dir()}"
    for command in ([*configure, package], ["cmake", "--build", build]):
        subprocess.run(command, check=True, capture_output=True)
    assert says_the_version(build / "consumer")


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="no pkg-config")
def test_pkg_config(tmp_path: Path) -> None:
    folder = INCLUDE.parent / "lib" / "pkgconfig"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "flashdec"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PKG_CONFIG_PATH": str(folder)},
    ).stdout.split()
    (tmp_path / "main.c").write_text(PROGRAM)
    program = tmp_path / "consumer"
    subprocess.run(["gcc", tmp_path / "main.c", "-o", program, *flags], check=True)
    assert says_the_version(program, LD_LIBRARY_PATH=str(INCLUDE.parent / "lib"))


def test_cmake_finds_it_by_its_entry_point() -> None:
    from importlib.metadata import entry_points

    assert "flashdec" in {entry.name for entry in entry_points(group="cmake.root")}
