"""``python -m flashdec``."""

from __future__ import annotations

from flashdec.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    raise SystemExit(main())
