"""The challenger's side of a shadow: one thread that scores what the champion has answered.

Invariants:

* :meth:`ShadowWorker.offer` never waits for the challenger: it puts a job into a queue or drops it;
* the lock is held for counting only, never while a model or a callback runs;
* a thread that overran its budget is left behind: whatever it brings back later is not looked at;
* the worker does not know its ``ShadowDetector``, so that dropping that one ends the thread.

What no thread can be defended from: a challenger that crashes the process, or never lets go of Python's global lock.
"""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable

from ev_qa_runtime.detector import Detector
from ev_qa_runtime.shadow_statistics import Compared, Counts, Disagreement, ShadowStatistics, State

Job = Callable[[Detector], Compared]
"""Scores one answered call with the challenger. It owns its readings: nobody else changes them."""


class ShadowWorker:
    """Scores jobs with ``challenger``, or with what ``load`` returns, on a thread of its own. Thread-safe.

    After a fork the child goes on with the counts and a thread of its own; what waited is the parent's.
    """

    def __init__(
        self,
        challenger: Detector | None,
        load: Callable[[], Detector] | None,
        budget_seconds: float,
        *,
        queue_length: int,
        give_up_after: int,
        on_disagreement: Callable[[Disagreement], object] | None,
    ) -> None:
        self.challenger = challenger
        self._load = load
        self._budget = budget_seconds
        self._queue_length = queue_length
        self._give_up_after = give_up_after
        self._callback = on_disagreement
        self._counts = Counts()
        self._state: State = "running" if load is None else "loading"
        self._disabled_because: str | None = None
        self._overruns = 0
        self._thread_number = 0
        self.forget_threads()
        _WORKERS.add(self)
        with self._changed:
            self._start_thread()

    def forget_threads(self) -> None:
        """Begin with new locks and an empty queue: at first, and in a forked child, where no thread lives on."""
        self._changed = threading.Condition()  # re-entrant: garbage collection may close this worker anywhere
        self._jobs: deque[Job] = deque()
        self._busy = False
        self._started: float | None = None
        self._in_callback = False
        self._thread: threading.Thread | None = None

    def offer(self, job: Job | None, not_sampled: int = 0) -> None:
        """Have ``job`` scored when there is time, or drop it; None is dropped at once. Does not wait."""
        with self._changed:
            self._counts.answers += 1
            self._give_up_overrun()
            self._ensure_thread()
            if job is None or self._state != "running" or len(self._jobs) >= self._queue_length:
                self._counts.skipped += 1
                return
            self._counts.not_sampled += not_sampled
            self._jobs.append(job)
            self._changed.notify_all()

    def could_not_offer(self, error: Exception) -> None:
        """Count an answer whose readings could not be handed over."""
        with self._changed:
            self._counts.answers += 1
            self._fail(error)

    def statistics(self) -> ShadowStatistics:
        """A snapshot."""
        with self._changed:
            self._give_up_overrun()
            return self._counts.snapshot(self._state, self._disabled_because)

    def wait(self, timeout: float | None) -> bool:
        """Until loading has ended and every job was scored or given up; False where ``timeout`` seconds do not do."""
        ends = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._ensure_thread()
            while self._has_work():
                now = time.monotonic()
                if ends is not None and now >= ends:
                    return False
                moments = [each for each in (ends, self._overrun_at()) if each is not None]
                self._changed.wait(max(min(moments) - now, 0.0) if moments else None)
                self._give_up_overrun()
            return True

    def close(self) -> None:
        """Drop what waits and end the thread; one that is still at work after the budget is left behind."""
        with self._changed:
            self._end("closed")
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(self._budget)

    # From here on the lock is held.

    def _start_thread(self) -> None:
        self._thread_number += 1
        thread = threading.Thread(target=self._work, args=(self._thread_number,), name="ev-qa-shadow", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads to be had
            self._disable(f"no thread for the challenger: {error}")
        else:
            self._thread = thread

    def _ensure_thread(self) -> None:
        """A thread, where a fork left none."""
        if self._thread is None and self._state in ("loading", "running"):
            self._start_thread()

    def _has_work(self) -> bool:
        return self._state == "loading" or (self._state == "running" and (self._busy or bool(self._jobs)))

    def _overrun_at(self) -> float | None:
        return None if self._started is None else self._started + self._budget

    def _give_up_overrun(self) -> None:
        """Leave a thread behind that is over its budget, and go on with another, or without the challenger."""
        overrun_at = self._overrun_at()
        if overrun_at is None or time.monotonic() <= overrun_at:
            return
        self._started, self._busy = None, False
        if self._in_callback:
            self._in_callback, self._callback = False, None
            self._counts.callback_failures += 1
            self._counts.last_error = f"on_disagreement took longer than {self._budget:g} s and is not called any more"
        else:
            self._count_overrun()
        if self._state == "running":
            self._start_thread()
        self._changed.notify_all()

    def _count_overrun(self) -> None:
        self._counts.over_budget += 1
        self._overruns += 1
        if self._overruns >= self._give_up_after:
            self._disable(f"{self._overruns} scorings in a row took longer than {self._budget:g} s")

    def _disable(self, reason: str) -> None:
        self._disabled_because = reason
        self._end("disabled")

    def _end(self, state: State) -> None:
        self._state = "closed" if self._state == "closed" else state
        self._counts.skipped += len(self._jobs)
        self._jobs.clear()
        self._changed.notify_all()

    def _fail(self, error: BaseException) -> None:
        self._counts.failed += 1
        self._counts.last_error = one_line_of(error)

    def _is_current(self, number: int) -> bool:
        return number == self._thread_number and self._state == "running"

    # From here on on the worker's thread, without the lock.

    def _work(self, number: int) -> None:
        if self._load is not None and self.challenger is None:
            self._load_challenger(self._load)
        while (job := self._next_job(number)) is not None:
            self._score(job, number)
            with self._changed:
                if number == self._thread_number:
                    self._busy = False
                    self._changed.notify_all()

    def _next_job(self, number: int) -> Job | None:
        with self._changed:
            while not self._jobs and self._is_current(number):
                self._changed.wait()
            if not self._is_current(number):
                return None
            self._busy = True
            self._started = time.monotonic()
            self._changed.notify_all()  # who waits now knows when this one is overdue
            return self._jobs.popleft()

    def _load_challenger(self, load: Callable[[], Detector]) -> None:
        error: BaseException | None = None
        challenger = None
        try:
            challenger = load()
            if not callable(getattr(challenger, "verdicts", None)):
                error = TypeError(f"the loader returned a {type(challenger).__name__}, no Detector")
        except BaseException as raised:  # noqa: BLE001 - whatever a challenger does may end nothing but its own thread
            error = raised
        with self._changed:
            if error is None:
                self.challenger = challenger
                self._state = "running" if self._state == "loading" else self._state
            else:
                self._fail(error)
                self._disable(f"the challenger cannot be loaded: {one_line_of(error)}")
            self._changed.notify_all()

    def _score(self, job: Job, number: int) -> None:
        assert self.challenger is not None  # noqa: S101 - no job is taken before it is loaded
        error: BaseException | None = None
        compared: Compared | None = None
        disagreements: list[Disagreement] = []
        try:
            compared = job(self.challenger)
            if self._callback is not None:
                disagreements = compared.disagreements()
        except BaseException as raised:  # noqa: BLE001 - whatever a challenger does may end nothing but its own thread
            error = raised
        with self._changed:
            overrun_at = self._overrun_at()
            if number != self._thread_number or overrun_at is None:
                return  # given up meanwhile, and counted
            self._started = None
            if time.monotonic() > overrun_at:
                self._count_overrun()
                return
            self._overruns = 0
            if error is not None:
                self._fail(error)
            elif compared is not None:
                compared.count(self._counts)
        for disagreement in disagreements:
            self._report(disagreement, number)

    def _report(self, disagreement: Disagreement, number: int) -> None:
        with self._changed:
            callback = self._callback
            if callback is None or not self._is_current(number):
                return
            self._started, self._in_callback = time.monotonic(), True
            self._changed.notify_all()
        error: BaseException | None = None
        try:
            callback(disagreement)
        except BaseException as raised:  # noqa: BLE001 - the callback is not ours either
            error = raised
        with self._changed:
            if number != self._thread_number or self._started is None:
                return  # given up meanwhile
            self._started, self._in_callback = None, False
            if error is not None:
                self._counts.callback_failures += 1
                self._counts.last_error = one_line_of(error)


def one_line_of(error: BaseException) -> str:
    """``ValueError: the message``, on one line and not endless."""
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 - an error of the challenger's own making
        text = "its message cannot be shown"
    return f"{type(error).__name__}: {text}"[:500]


_WORKERS: weakref.WeakSet[ShadowWorker] = weakref.WeakSet()


def _forget_threads_after_fork() -> None:
    for worker in list(_WORKERS):
        worker.forget_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads_after_fork)
