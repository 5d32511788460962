"""Registries in a folder, in memory and on a real S3 server, and small models to put into them."""

from __future__ import annotations

import dataclasses
import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from ev_qa_framework import EVBatteryAnalyzer
from ev_qa_framework.registry.model_files import ModelFiles, read_model
from ev_qa_framework.registry.registry import Registry
from ev_qa_framework.registry.store import LocalStore
from ev_qa_runtime import sidecar
from ev_qa_runtime.registry_event import ModelName

_numbers = itertools.count()
S3_SETTINGS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="session")
def tiny(telemetry: Any, tmp_path_factory: pytest.TempPathFactory) -> ModelFiles:
    """A model of two trees, as bytes."""
    folder = tmp_path_factory.mktemp("tiny")
    analyzer = EVBatteryAnalyzer(n_estimators=2, max_samples=16).fit(telemetry)
    analyzer.save_model(folder / "given" / "pack_v1.0.0")
    return read_model(LocalStore(str(folder)), "given", "pack_v1.0.0")


@pytest.fixture(scope="session")
def named(tiny: ModelFiles) -> Callable[..., ModelFiles]:
    """``named("pack_v1.0.1", **changes)``: the tiny model under that name, with changes of its contract."""

    def renamed(name: str, **changes: Any) -> ModelFiles:
        version = ModelName.parse(name).version
        contract = dataclasses.replace(tiny.contract, name=name, version=version, **changes)
        return ModelFiles(contract, sidecar.encode(contract), dict(tiny.payloads))

    return renamed


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The URL of a moto server on a free port of the loopback, with an empty bucket ``models``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the server's own
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - only where S3 is asked for

        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    files = fsspec.filesystem("s3", endpoint_url=url, key="test", secret="test", skip_instance_cache=True)  # noqa: S106 - any will do
    files.call_s3("create_bucket", Bucket="models")
    yield url
    server.stop()


@pytest.fixture
def s3(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new prefix in the bucket, reached by the environment's settings."""
    for name, value in (S3_SETTINGS | {"AWS_ENDPOINT_URL": s3_server}).items():
        monkeypatch.setenv(name, value)
    return f"s3://models/{next(_numbers)}/fleet"


@pytest.fixture(params=["local", "memory", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The root of a new registry in each kind of store."""
    if request.param == "s3":
        return str(request.getfixturevalue("s3"))
    return str(tmp_path / "models") if request.param == "local" else f"memory://{os.getpid()}-{next(_numbers)}/models"


@pytest.fixture
def registry(root: str) -> Registry:
    return Registry(root, who="tester@bench")


@pytest.fixture
def local(tmp_path: Path) -> Registry:
    """A registry in a folder, for what does not depend on the store."""
    return Registry(tmp_path / "models", who="tester@bench")


@pytest.fixture
def fill(named: Callable[..., ModelFiles]) -> Callable[..., list[str]]:
    """``fill(registry, 3)``: publish pack_v1.0.0, pack_v1.0.1 …; their names."""

    def publish(registry: Registry, count: int, family: str = "pack") -> list[str]:
        names = [f"{family}_v1.0.{number}" for number in range(count)]
        for name in names:
            registry.publish(name, named(name))
        return names

    return publish
