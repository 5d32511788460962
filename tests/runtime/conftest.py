"""The shipped reference model and demo telemetry, and the tools to damage a copy of it."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest

from ev_qa_runtime import Detector, ModelContract, load_model, sidecar
from ev_qa_runtime.contract import FileDigest

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "artifacts" / "production" / "demo_pack_v1.0.0"
TELEMETRY = ROOT / "demo" / "telemetry"

# Deadlines measure the machine, not the code; function-scoped fixtures are used for paths only.
hypothesis.settings.register_profile(
    "runtime",
    deadline=None,
    max_examples=60,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("runtime")


@pytest.fixture(scope="session")
def reference() -> Path:
    """The shipped model's path without suffix; never write there."""
    return REFERENCE


@pytest.fixture(scope="session")
def detector() -> Detector:
    return load_model(REFERENCE)


@pytest.fixture(scope="session")
def contract(detector: Detector) -> ModelContract:
    return detector.contract


@pytest.fixture(scope="session")
def golden(contract: ModelContract) -> np.ndarray:
    """The golden rows, NaN where a reading is missing, [N, 3]."""
    return np.array(contract.golden.readings)


@pytest.fixture(scope="session")
def fault_csv() -> Path:
    return TELEMETRY / "fault_internal_short_01.csv"


@pytest.fixture(scope="session")
def demo_rows(fault_csv: Path) -> np.ndarray:
    """Voltage, current, temp of a faulty demo trip, [N, 3]."""
    with fault_csv.open(newline="", encoding="utf-8") as file:
        return np.array([[float(row[name]) for name in ("voltage", "current", "temp")] for row in csv.DictReader(file)])


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A private copy of the model; its path without suffix."""
    folder = tmp_path / "models"
    folder.mkdir()
    for suffix in (".json", ".onnx", ".joblib"):
        shutil.copyfile(f"{REFERENCE}{suffix}", f"{folder / REFERENCE.name}{suffix}")
    return folder / REFERENCE.name


@pytest.fixture(scope="session")
def rewrite_contract() -> Callable[..., ModelContract]:
    """``rewrite_contract(stem, **changes)``: write the sidecar of ``stem`` anew with fields changed."""

    def rewrite(stem: Path, **changes: Any) -> ModelContract:
        path = stem.with_name(stem.name + ".json")
        changed = dataclasses.replace(sidecar.decode(path.read_bytes()), **changes)
        path.write_bytes(sidecar.encode(changed))
        return changed

    return rewrite


@pytest.fixture(scope="session")
def digest_of() -> Callable[[bytes], FileDigest]:
    return lambda data: FileDigest(len(data), hashlib.sha256(data).hexdigest())


@pytest.fixture(scope="session")
def sealed() -> Callable[[str], bytes]:
    """Give JSON text of a sidecar, with any digest, the digest that it needs: an implementation of its own."""

    def seal(text: str) -> bytes:
        head, key, _ = text.rpartition('"sidecar_sha256": "')
        blank = f'{head}{key}{"0" * 64}"\n}}\n'.encode()
        digest = hashlib.sha256(blank).hexdigest()
        return f'{head}{key}{digest}"\n}}\n'.encode()

    return seal


@pytest.fixture(scope="session")
def new_key() -> Callable[[], Any]:
    """``new_key()``: a private key of ``cryptography``."""
    ed25519 = pytest.importorskip(
        "cryptography.hazmat.primitives.asymmetric.ed25519", reason="signatures need the extra `signing`"
    )
    return ed25519.Ed25519PrivateKey.generate


@pytest.fixture(scope="session")
def signed(sealed: Callable[[str], bytes]) -> Callable[..., bytes]:
    """``signed(sidecar, key, signed="2026-…Z", expires=None)``: one more signature, by an implementation of its own."""

    def sign(data: bytes, key: Any, signed: str | None = None, expires: str | None = None) -> bytes:
        signed = signed or datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = data.decode().rpartition(',\n "sidecar_sha256": "')[0]
        body, _, others = body.partition(',\n "signatures": [\n')
        blank = f'{body},\n "sidecar_sha256": "{"0" * 64}"\n}}\n'
        key_id = hashlib.sha256(key.public_key().public_bytes_raw()).hexdigest()[:16]
        statement = json.dumps({"key_id": key_id, "signed": signed, "expires": expires}, separators=(",", ":"))
        value = key.sign(f"ev-qa-model-signature-v1\n{statement}\n{blank}".encode())
        entry = (
            f'  {{\n   "key_id": "{key_id}",\n   "signed": "{signed}",\n   "expires": {json.dumps(expires)},\n'
            f'   "signature": "{base64.b64encode(value).decode()}"\n  }}'
        )
        entries = others.replace("\n ]", ",\n") + entry
        return sealed(f'{body},\n "signatures": [\n{entries}\n ],\n "sidecar_sha256": "')

    return sign


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """``run("score", …)``: the command in a process of its own, as a user's shell would start it."""

    def command(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "ev_qa_runtime", *map(str, arguments)],
            input=stdin,
            capture_output=True,
            check=False,
            env={**os.environ, "PYTHONWARNINGS": "error", "PYTHONUTF8": "1", "COLUMNS": "200"},
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return command
