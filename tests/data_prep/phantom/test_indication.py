"""Laws of the phantom's indications: they suggest and do not decide; the report ignores them."""

from collections import Counter

import numpy as np

from data_prep.manifest import FINDINGS
from data_prep.phantom.indication import INDICATIONS, draw_indication
from data_prep.phantom.study import Additions, make_phantom


def test_there_are_many_and_each_finding_is_suggested_by_one() -> None:
    assert len(INDICATIONS) >= 25
    assert {name for suggests in INDICATIONS.values() for name in suggests} == set(FINDINGS)


def test_each_is_drawn_without_its_finding_and_more_often_with_it() -> None:
    rng = np.random.default_rng(0)
    without = Counter(draw_indication(set(), rng) for _ in range(3000))
    assert set(without) == set(INDICATIONS)
    for name in FINDINGS:
        drawn = Counter(draw_indication({name}, rng) for _ in range(600))
        fitting = [text for text, suggests in INDICATIONS.items() if name in suggests]
        share = sum(drawn[text] for text in fitting) / 600
        assert 1.5 * sum(without[text] for text in fitting) / 3000 < share < 0.9


def test_the_report_does_not_depend_on_it() -> None:
    for index in range(6):
        plain, asked = (
            make_phantom(23, index, 64),
            make_phantom(23, index, 64, Additions(indication=1.0)),
        )
        assert plain.indication == "" and asked.indication in INDICATIONS
        assert (plain.report, plain.phrases) == (asked.report, asked.phrases)
