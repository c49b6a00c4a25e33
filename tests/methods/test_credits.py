"""Every card says whom to cite and under which licence, and what it says does not decide a trial."""

import re
from itertools import accumulate

import pytest

from bench.plan.cards import method_card
from bench.plan.registry import Registry

CARDS = {name: method_card(entry) for name, entry in Registry().methods.items()}
#: Whose authors state no licence, or have published no code.
WITHOUT_LICENCE = {"knn_smoothing", "schyena", "schyena_frozen", "schyena_scratch"}
SPDX = {"MIT", "BSD-3-Clause", "Apache-2.0", "CC0-1.0"} | {
    f"GPL-{n}-{which}" for n in ("2.0", "3.0") for which in ("only", "or-later")
}


def fields(entry):
    """Key and fields of a BibTeX entry: braces are counted, as BibTeX does."""
    key, body = re.fullmatch(r"@\w+\{([\w-]+),\n(.*)\n\}", entry, re.S).groups()
    found = {}
    while body.strip():
        name, rest = re.match(r"\s*(\w+) = \{(.*)", body, re.S).groups()
        depth = accumulate(({"{": 1, "}": -1}.get(letter, 0) for letter in rest), initial=1)
        end = next(i for i, open_braces in enumerate(depth) if not open_braces) - 1
        found[name], body = " ".join(rest[:end].split()), rest[end + 1 :].removeprefix(",")
    return key, found


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_card_names_what_to_cite(card):
    key, entry = fields(card.citation)
    assert {"author", "title", "year"} <= entry.keys()
    assert entry["year"] in key
    assert entry.get("doi", "") == card.reference
    assert re.fullmatch(r"(10\.\d{4,}/\S+)?", card.reference)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_a_card_names_a_licence(card):
    assert card.licence in SPDX or (card.name in WITHOUT_LICENCE and not card.licence)


def test_one_key_names_one_work():
    works = {}
    for card in CARDS.values():
        works.setdefault(fields(card.citation)[0], set()).add(card.citation)
    assert all(len(texts) == 1 for texts in works.values())
    assert len(works) > 10
