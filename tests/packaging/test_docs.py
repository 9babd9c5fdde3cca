"""The pages of docs/: their links lead somewhere, and they leave nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from toolchain import ROOT, header_text, without_comments

PAGES = sorted(
    [*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md",
     ROOT / "native/README.md", *(ROOT / "examples").rglob("*.md")]
)  # fmt: skip


def anchors(page: Path) -> set[str]:
    """The fragments that headings of a page have."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target, fragment in re.findall(r"\]\(([^)#:\s]*)(?:#([^)]+))?\)", text):
        found = page.parent / target if target else page
        assert found.exists(), target
        if fragment and found.suffix == ".md":
            assert fragment in anchors(found), f"{target}#{fragment}"


def run_examples(name: str) -> None:
    """In their order, in one namespace."""
    text = (ROOT / "docs" / name).read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert blocks
    exec("\n".join(blocks), {})


@pytest.mark.parametrize(
    ("page", "needs"),
    [
        ("concepts.md", ()),
        ("start.md", ()),
        ("pytorch.md", ("torch",)),
        ("paged.md", ("torch",)),
        ("huggingface.md", ("torch", "transformers")),
    ],
)
def test_the_examples_run(page: str, needs: tuple[str, ...]) -> None:
    for each in needs:
        pytest.importorskip(each)
    run_examples(page)


@pytest.mark.cuda
def test_the_example_of_cuda_graphs_runs() -> None:
    pytest.importorskip("torch")
    text = (ROOT / "docs/cuda_graphs.md").read_text()
    (example,) = re.findall(r"```py\n(import torch\n.*?)```", text, re.S)
    exec(example, {})


def test_every_error_has_its_cause_and_remedy() -> None:
    declared = without_comments(header_text("flashdec.h"))
    (statuses,) = re.findall(r"enum flashdec_status \{(.*?)\};", declared, re.S)
    (faults,) = re.findall(r"enum flashdec_fault \{(.*?)\};", declared, re.S)
    names = [*re.findall(r"(\w+) =", statuses), *re.findall(r"(\w+) =", faults)]
    page = (ROOT / "docs/errors.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|$", page, re.M)
    assert sorted(name for name, *_ in rows) == sorted(set(names) - {"FLASHDEC_SUCCESS"})
    assert all(cause.strip() or remedy.strip() for _, cause, remedy in rows)
