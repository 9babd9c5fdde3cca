"""The one way in which every refusal of args is checked, and every acceptance."""

from __future__ import annotations

from typing import Any

import pytest
from scene import FAMILIES, Scene, check_sentence, last_error

import flashdec


def check_refused(scene: Scene, fields: dict[str, Any], code: int, *words: object) -> None:
    """Set fields of the args: C and Python refuse alike, in one sentence, and touch nothing."""
    for name, value in fields.items():
        setattr(scene.args, name, value)
    before = scene.everything()
    found = scene.can_implement()
    sentence = last_error()
    assert found == code, sentence
    check_sentence(sentence, *words)
    assert (scene.run(), last_error()) == (code, sentence)
    assert scene.everything() == before
    _check_python(scene, code, sentence)
    assert scene.everything() == before


def _check_python(scene: Scene, code: int, sentence: str) -> None:
    plan, args = scene.python_plan(), scene.pointer_args()
    support = plan.can_implement(args)
    assert (bool(support), support.reason) == (False, sentence)
    with pytest.raises(FAMILIES[code // 10]) as caught:
        plan.run(args, flashdec.Workspace.allocate(plan))
    assert (caught.value.code, str(caught.value)) == (code, sentence)


def check_accepted(scene: Scene, fields: dict[str, Any]) -> None:
    """Set fields of the args: can_implement and run accept them, and o is written."""
    for name, value in fields.items():
        setattr(scene.args, name, value)
    before = bytes(scene.plan), bytes(scene.args), scene.arrays["o"].tobytes()
    assert scene.can_implement() == 0, last_error()
    assert scene.arrays["o"].tobytes() == before[2]
    assert scene.run() == 0, last_error()
    assert (bytes(scene.plan), bytes(scene.args)) == before[:2]
    assert scene.arrays["o"].tobytes() != before[2]
