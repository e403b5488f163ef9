"""What people call a device: `RTX 4090`, `rtx4090`, `NVIDIA GeForce RTX 4090`, `4090`; and how many, as in `8xH100`.

Two readings, the second only where the first finds nothing. Exact: the text is an id, an alias or a name, where the
maker's words in front and the size of the memory may be left out. Loose: every word of the text is a word of the name
or the vendor, and one of them has a digit. Several devices at once are the caller's to refuse.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from paramcalc.costs.device_rows import Device

MAX_TEXT = 200

_MAKERS = frozenset("nvidia geforce tesla rtx gtx amd radeon instinct rx intel arc data center apple google aws".split())
"""Words that may be left out in front. `quadro` is not among them: there are three kinds of RTX 6000."""
_NOISE = frozenset(("r", "tm", "gpu", "graphics", "generation", "edition", "blackwell", "workstation", "server"))
"""Words that drivers add to a name and nobody else says. (`laptop` is none of them: it is another card.)"""
_MEMORY = re.compile(r"\d+gb\Z")
_LEADING = re.compile(r"([+-]?[\d.]+)\s*[x×*]\s*(\S.*)\Z", re.IGNORECASE | re.DOTALL)
_TRAILING = re.compile(r"(.*\S)\s*[x×*]\s*([+-]?[\d.]+)\Z", re.IGNORECASE | re.DOTALL)


class Names:
    """The names of some devices, looked up in both readings."""

    def __init__(self, devices: Iterable[Device]) -> None:
        self._given: dict[str, list[Device]] = {}
        self._derived: dict[str, list[Device]] = {}
        self._words: list[tuple[frozenset[str], Device]] = []
        for device in devices:
            _add(self._given, {"".join(words(name)) for name in (device.id, *device.aliases)}, device)
            names, others = [words(name) for name in (device.name, device.id)], [words(name) for name in device.aliases]
            unsized = [[word for word in name if not _MEMORY.match(word)] for name in names]
            _add(self._derived, {form for name in names + others + unsized for form in _forms(name)}, device)
            self._words.append((frozenset({device.vendor, *(word for name in names + others for word in name)}), device))

    def exact(self, text: str) -> list[Device]:
        """Devices of which `text` is an id or alias, else a name."""
        if len(text) > MAX_TEXT:
            return []
        asked = words(text)
        if not any(map(str.isalnum, asked)):
            return []
        for table in (self._given, self._derived):
            for start in range(len(asked)):
                if start and asked[start - 1] not in _MAKERS:
                    break
                found = table.get("".join(asked[start:]))
                if found:
                    return found
        return []

    def loose(self, text: str) -> list[Device]:
        """Devices whose names have every word of `text`."""
        if len(text) > MAX_TEXT:
            return []
        asked = frozenset(words(text))
        if not any(re.search(r"\d", word) for word in asked):
            return []
        return [device for known, device in self._words if asked <= known]


def words(text: str) -> list[str]:
    """The words of a name in lower case, without those that drivers add.

    >>> words("NVIDIA RTX 6000 Ada Generation")
    ['nvidia', 'rtx', '6000', 'ada']
    """
    return [word for word in re.findall(r"[a-z0-9]+", text.casefold()) if word not in _NOISE]


def counted(text: str) -> Iterator[tuple[str, str]]:
    """Ways to read `text` as a device and its number: `8xH100`, `8 x H100`, `h100x8`."""
    clean = text.strip()
    if len(clean) > MAX_TEXT:
        return
    if match := _LEADING.match(clean):
        yield match[2], match[1]
    if match := _TRAILING.match(clean):
        yield match[1], match[2]


def _forms(name: list[str]) -> Iterator[str]:
    """The name as one word, with ever fewer of the maker's words in front."""
    for start, word in enumerate(name):
        yield "".join(name[start:])
        if word not in _MAKERS:
            return


def _add(table: dict[str, list[Device]], forms: set[str], device: Device) -> None:
    for form in forms:
        table.setdefault(form, []).append(device)
