"""``python -m llama``: exit status 0, 1 where the check failed, 2 where the run was refused."""

from __future__ import annotations

import os
import sys

from .options import parse_options
from .refusal import Refusal


def main() -> int:
    """Run the demo and return the exit status."""
    try:
        options = parse_options()
        if options.threads:
            # numpy's BLAS reads these once, when it is loaded: hence the late import below.
            for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
                os.environ[name] = str(options.threads)
        from .run import run

        return 0 if run(options) else 1
    except Refusal as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
