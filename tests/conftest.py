"""Fixtures of the numeric and invariance suites: each test runs on every backend there is."""

from __future__ import annotations

from typing import Any

import pytest

from kit.backends import Backend, Cpu, Cuda, cuda_is_usable
from kit.processor import skip_without

BACKENDS = {"cpu": Cpu, "cuda": Cuda}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def backend(request: Any) -> Backend:
    if request.param == "cuda" and not cuda_is_usable():
        pytest.skip("no GPU that the library and torch can use")
    return BACKENDS[request.param]()


def pytest_generate_tests(metafunc: Any) -> None:
    """A test that takes ``kernel`` runs on every kernel of the backends there are."""
    if "kernel" not in metafunc.fixturenames:
        return
    choices = [pytest.param((Cpu(), name), id=f"cpu-{name}") for name in Cpu().kernels()]
    choices.append(pytest.param((Cuda(), "simple"), id="cuda-simple", marks=pytest.mark.cuda))
    metafunc.parametrize("kernel", choices, indirect=True)


@pytest.fixture
def kernel(request: Any) -> tuple[Backend, str]:
    backend, name = request.param
    if backend.name == "cuda" and not cuda_is_usable():
        pytest.skip("no GPU that the library and torch can use")
    if backend.name == "cpu":
        skip_without(name)
    return backend, name


def pytest_addoption(parser: Any) -> None:
    parser.addoption("--case", default="", help="the line of a failed case, to run it again")
