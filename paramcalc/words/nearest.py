"""The names that a mistyped one may have meant."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str], count: int = 3) -> list[str]:
    """Up to `count` candidates that resemble `word`, best first."""
    from difflib import get_close_matches

    known = {candidate.lower(): candidate for candidate in candidates}
    return [known[match] for match in get_close_matches(str(word)[:80].lower(), known, n=count, cutoff=0.55)]


def did_you_mean(word: str, candidates: Iterable[str]) -> str:
    """`did you mean a, b?`, or nothing where no candidate is near."""
    names = nearest(word, candidates)
    return f"did you mean {', '.join(names)}?" if names else ""
