"""The end of a sidecar: the digest over its own bytes. Standard library only.

The last member is ``sidecar_sha256``: the SHA-256 of the file's own bytes with that value set to 64 zeros, so any
changed byte is noticed without any rule about white space or number formatting.
"""

from __future__ import annotations

import hashlib
import re

from ev_qa_runtime.errors import IntegrityError

DIGEST_KEY = "sidecar_sha256"
NO_DIGEST = "0" * 64

_DIGEST_AT_END = re.compile(rb'"sidecar_sha256": "([0-9a-f]{64})"\n\}\n\Z')


def digest_member(digest: str = NO_DIGEST) -> bytes:
    """The end of the file, from the digest's key on; with zeros where no digest is given."""
    return f'"{DIGEST_KEY}": "{digest}"\n}}\n'.encode()


def sealed(blank: bytes) -> bytes:
    """A sidecar that ends in zeros for its digest, with the digest filled in."""
    return blank[: -len(digest_member())] + digest_member(hashlib.sha256(blank).hexdigest())


def check_digest(data: bytes) -> None:
    """Raise ``IntegrityError`` where a sidecar's bytes are not the ones its digest was made of."""
    found = _DIGEST_AT_END.search(data)
    if found is None:
        raise IntegrityError(f"the sidecar does not end in its {DIGEST_KEY}: it was truncated or edited")
    blank = data[: found.start()] + digest_member()
    if hashlib.sha256(blank).hexdigest().encode() != found.group(1):
        raise IntegrityError("the sidecar's bytes do not match its own digest: it was edited or damaged")
