"""The campaign of streams against batches, in its short form; it must notice a stream that forgets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from tools.campaigns import streams_and_batches
from tools.campaigns.streams_and_batches import Recording, check, models

from ev_qa_runtime.physics.extractor import PhysicsExtractor

ROOT = Path(__file__).parents[2]


def test_streams_and_batches_agree_to_the_last_bit() -> None:
    command = [sys.executable, "-m", "tools.campaigns.streams_and_batches", "--slice"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no fault" in done.stdout


def test_a_state_that_is_not_restored_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(streams_and_batches, "CAR", tmp_path / "absent")
    saved = models(tmp_path, trees=5)["demo"]
    trip = pd.read_csv(streams_and_batches.TELEMETRY / "healthy_drive_01.csv")[:300].drop(columns="fault")
    recording = Recording("drive", "demo", trip)
    assert check(recording, *saved, 1, 2).differing == ()
    monkeypatch.setattr(PhysicsExtractor, "restore", lambda *_: None)
    assert check(recording, *saved, 1, 2).differing == ("stream",)
