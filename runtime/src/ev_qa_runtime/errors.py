"""The errors of both packages, one small tree.

Every error of ours is an :class:`EvQaError`. Those that report a bad value are ``ValueError`` too, and a missing
model is a ``FileNotFoundError``, so that callers who know neither package can still catch them.
"""

from __future__ import annotations


class EvQaError(Exception):
    """Base of everything this project raises on purpose; the message is one line that a user can act on."""


class ArtifactError(EvQaError, ValueError):
    """A model artifact cannot be used: malformed, foreign, incomplete or not what its sidecar says."""


class IntegrityError(ArtifactError):
    """A file's bytes are not the ones its sidecar vouches for, or the golden rows score differently here."""


class SignatureError(ArtifactError):
    """A signature is missing where one is demanded, does not verify, has expired, or cannot be checked here."""


class IncompatibleModelError(ArtifactError):
    """The artifact is sound but not for here: it needs a newer runtime or onnxruntime, or is older than demanded."""


class RegistryError(ArtifactError):
    """A registry refuses a change that would break its rules."""


class AlreadyPublishedError(RegistryError, FileExistsError):
    """A registry has published that version before; it never does so twice."""


class ModelNotFoundError(EvQaError, FileNotFoundError):
    """No model lies at the given path."""


class TelemetryError(EvQaError, ValueError):
    """The telemetry handed in cannot be matched to the model's features."""


class ConfigurationError(EvQaError, ValueError):
    """A configuration file or an option has an unknown key or a value out of range."""
