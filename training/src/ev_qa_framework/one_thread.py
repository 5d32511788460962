"""Keeping scikit-learn on one thread while it adds path lengths."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import joblib


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Inside, forests score on one thread, whatever joblib configuration the caller works under.

    With more, the trees' path lengths are added in the order in which the threads finish, and the last bits change
    from call to call.
    """
    with joblib.parallel_config(backend="sequential", n_jobs=1):
        yield
