"""Plain signs in place of ours, for a terminal whose encoding lacks them.

Each replaces a single character, so that columns stay aligned.
"""

import codecs
import unicodedata

_PLAIN = dict(
    zip(
        "█▉▊▋▌▍▎▏▇▆▅▄▃▂▁▀→✓✗×−…²σ",
        "########**oo=-_'>vxx-.2s",
        strict=True,
    )
)
ERRORS = "jaxnet.signs"


def register() -> str:
    """Makes the error handler known to Python's codecs, and returns its name."""
    codecs.register_error(ERRORS, _replace)
    return ERRORS


def _replace(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c) or _without_accents(c) for c in text), error.end


def _without_accents(sign: str) -> str:
    plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return plain[:1] or "?"
