"""A specification as a link: what a person copies, and what a page or a notebook restores.

The fragment of a link stays in the browser; it holds the specification as compressed JSON, and nothing else.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib

from explorer.catalogue import SpecError
from explorer.engine.spec import MAX_CHARACTERS, RunSpec

#: characters of the longest link that is made or read; more do not survive mail and chat
MAX_LINK = 2**14
_TOKEN = re.compile(r"(?:^|[#?&])explorer=([^&#\s]*)")


def to_link(spec: RunSpec, page: str = "") -> str:
    """Return a link that restores a specification.

    Parameters
    ----------
    spec : RunSpec
    page : str
        Address of a page that shows an Explorer; without it the link is its fragment alone.

    Raises
    ------
    SpecError
        If the link would be too long.

    Examples
    --------
    >>> spec = RunSpec(problem="blocks", solver="lsqr")
    >>> from_link(to_link(spec, "https://example.org/explorer")) == spec
    True
    """
    packed = zlib.compress(spec.to_json(indent=None).encode(), 9)
    link = f"{page.partition('#')[0]}#explorer={base64.urlsafe_b64encode(packed).decode().rstrip('=')}"
    if len(link) > MAX_LINK:
        raise SpecError(f"the link would have {len(link):,} characters, at most {MAX_LINK:,} are made: share the JSON")
    return link


def is_link(text: str) -> bool:
    """Say whether a text looks like a link to a specification."""
    return len(text) <= MAX_LINK and not text.lstrip().startswith("{") and _TOKEN.search(text) is not None


def from_link(text: str) -> RunSpec:
    """Read the specification in a link; it is checked like any from a stranger.

    Raises
    ------
    SpecError
        If the text is no such link, too long, damaged, or holds what is no specification.
    """
    if not isinstance(text, str):
        raise SpecError(f"the link is a {type(text).__name__}, and must be text")
    if len(text) > MAX_LINK:
        raise SpecError(f"the link has {len(text):,} characters, and at most {MAX_LINK:,} are read")
    found = _TOKEN.search(text)
    if found is None:
        raise SpecError("the link holds no specification: it has no part '#explorer=…'")
    return RunSpec.from_json(_unpacked(found[1]))


def _unpacked(token: str) -> str:
    """Return the JSON text in a token; a small one that unpacks to a huge one is not unpacked."""
    damaged = SpecError("the link is damaged: copy all of it again")
    unzip = zlib.decompressobj()
    try:
        packed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        raw = unzip.decompress(packed, MAX_CHARACTERS + 1)
        text = raw.decode()
    except (binascii.Error, zlib.error, ValueError):
        raise damaged from None
    if len(raw) > MAX_CHARACTERS:
        raise SpecError(f"the link unpacks to more than {MAX_CHARACTERS:,} characters, and is not read")
    if not unzip.eof or unzip.unused_data:
        raise damaged
    return text
