"""A batch as a program of its own, to be killed: ``runner.py ROOT OUT WORKERS [BYTES]``."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path


def main() -> int:
    from archives import go

    from hoimg.errors import HoimgError

    root, out, workers = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if len(sys.argv) > 4:  # a disk that is full once a file would be longer
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), resource.RLIM_INFINITY))
    try:
        return 4 if go(root, out, dask=len(sys.argv) < 5, workers=workers).failed else 0
    except HoimgError as error:
        print(error, file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
