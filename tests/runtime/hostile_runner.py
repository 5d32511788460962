"""Loads every model of a folder, as a gateway would, and says how that ends: one JSON line a model.

Usage: ``hostile_runner.py FOLDER SECONDS``. A model that takes longer than SECONDS is reported as one that hangs.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from ev_qa_runtime import load_model
from ev_qa_runtime.__main__ import main


class HangingError(BaseException):
    """Not an Exception: nothing on the way may catch it."""


def alarmed(*_: object) -> None:
    raise HangingError


def loaded(path: str) -> dict[str, Any]:
    try:
        load_model(path)
    except Exception as error:  # noqa: BLE001 - which one it is is the question
        kinds = [kind.__name__ for kind in type(error).__mro__]
        return {"error": type(error).__name__, "kinds": kinds, "message": str(error)}
    except HangingError:
        return {"error": "hangs", "kinds": [], "message": traceback.format_exc()}
    return {"error": None, "kinds": [], "message": ""}


def verified(path: str) -> dict[str, Any]:
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            code = main(["verify", path])
    except HangingError:
        return {"code": "hangs", "stderr": ""}
    except Exception:  # noqa: BLE001 - a traceback is what must not happen
        return {"code": "traceback", "stderr": traceback.format_exc()}
    return {"code": code, "stderr": errors.getvalue()}


def run(folder: Path, seconds: float) -> None:
    signal.signal(signal.SIGALRM, alarmed)
    for sidecar in sorted(folder.glob("*.json")):
        path = str(sidecar.with_suffix(""))
        signal.setitimer(signal.ITIMER_REAL, seconds)
        started = time.perf_counter()
        outcome = loaded(path) | verified(path)
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps({"name": sidecar.stem, "seconds": time.perf_counter() - started} | outcome), flush=True)


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]))
