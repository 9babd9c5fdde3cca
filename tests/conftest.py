"""Fixtures of the numeric and invariance suites: each test runs on every backend there is."""

from __future__ import annotations

import os
import secrets
from typing import Any

import pytest

import flashdec
from kit import driver
from kit.backends import Backend, Cpu, Cuda, cuda_is_usable
from kit.processor import skip_without

BACKENDS = {"cpu": Cpu, "cuda": Cuda}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def backend(request: Any) -> Backend:
    return BACKENDS[request.param]()


def pytest_generate_tests(metafunc: Any) -> None:
    """A test that takes ``kernel`` runs on every kernel of the backends there are."""
    if "kernel" not in metafunc.fixturenames:
        return
    choices = [pytest.param((Cpu(), name), id=f"cpu-{name}") for name in Cpu().kernels()]
    choices += [
        pytest.param((Cuda(), name), id=f"cuda-{name}", marks=pytest.mark.cuda)
        for name in Cuda().kernels()
    ]
    metafunc.parametrize("kernel", choices, indirect=True)


@pytest.fixture
def kernel(request: Any) -> tuple[Backend, str]:
    backend, name = request.param
    if backend.name == "cpu":
        skip_without(name)
    return backend, name


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--case", default="", help="the line of a failed case, to run it again")


def pytest_configure(config: Any) -> None:
    """Draw the seed of the random cases once: workers inherit it, and collect the same tests."""
    os.environ.setdefault("FLASHDEC_TEST_SEED", str(secrets.randbelow(10**9)))


def can_run(item: Any) -> bool:
    """Whether what a test of the GPU takes is here: torch, or cuda.bindings where it says so."""
    marker = item.get_closest_marker("cuda")
    if marker is None:
        return True
    return driver.is_usable() if marker.kwargs.get("by") == "bindings" else cuda_is_usable()


def pytest_collection_modifyitems(config: Any, items: list[Any]) -> None:
    """Leave the GPU's tests out where there is none, in one line instead of hundreds."""
    left_out = [item for item in items if not can_run(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if can_run(item)]


def pytest_report_header(config: Any) -> list[str]:
    found = "its tests run" if cuda_is_usable() else "tests marked cuda are left out"
    bare = "run" if driver.is_usable() else "are left out"
    return [
        f"flashdec {flashdec.__version__}; GPU that library and torch can use: {found}; "
        f"those by cuda.bindings {bare}",
        f"random cases: FLASHDEC_TEST_SEED={os.environ['FLASHDEC_TEST_SEED']}",
    ]
