"""Random cases against float64, over every kernel of every backend.

FLASHDEC_TEST_CASES is how many (2,000), FLASHDEC_TEST_SEED where they begin (fresh each time; the
head of pytest's report says it).  A failure prints one line that recreates the case; again alone:

    pytest tests/numeric/test_random.py -k one_case --case "Case(...)"
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

import flashdec
from kit.arrays import build
from kit.case import Case, random_case
from kit.compare import check

CASES = int(os.environ.get("FLASHDEC_TEST_CASES", "2000"))
CHUNKS = 40  # tests, so that workers share them
FIRST = int(os.environ["FLASHDEC_TEST_SEED"]) * 1_000_000  # conftest.py draws it


def run_case(case: Case, backend: Any, name: str) -> None:
    arrays = build(case)
    try:
        result = backend.run(case, arrays, name)
    except flashdec.FlashdecError as error:
        pytest.fail(f"{error} on {backend.name} {name}\n{case!r}")
    check(case, arrays, result)


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_random_cases(backend: Any, chunk: int) -> None:
    names = [name for name in backend.kernels() if not backend.refusal(name)]
    for seed in range(FIRST + chunk, FIRST + CASES, CHUNKS):
        name = names[int(np.random.default_rng(seed).integers(len(names)))]
        print(f"seed {seed} on {backend.name} {name}")
        run_case(random_case(seed), backend, name)


def test_one_case(kernel: Any, pytestconfig: Any) -> None:
    line = pytestconfig.getoption("--case")
    run_case(eval(line, {"Case": Case}) if line else Case(), *kernel)
