"""CheXbert and RadGraph read and count what the authors' packages were recorded to."""

import json

import numpy as np
import pytest
import torch
from judge_folders import chexbert_folder, radgraph_folder
from paths import ROOT
from safetensors.torch import load_file

from training.report_scores.chexbert import HEADS, CheXbert
from training.report_scores.observations import COMPETITION, OBSERVATIONS
from training.report_scores.radgraph import LEVELS, RadGraph, graph_f1

MATERIAL = ROOT / "tests" / "data" / "official_metrics"
"""Written by record_official.py, which names the packages."""
RECORDED = json.loads((MATERIAL / "recorded.json").read_text(encoding="utf-8"))
PAIRS = list(zip(RECORDED["generated"], RECORDED["references"], strict=True))


@pytest.fixture(scope="module")
def chexbert(tmp_path_factory: pytest.TempPathFactory) -> CheXbert:
    folder = chexbert_folder(tmp_path_factory.mktemp("chexbert"))
    state = load_file(MATERIAL / "chexbert.safetensors")
    torch.save({"epoch": 1, "model_state_dict": state}, folder / "chexbert.pth")
    return CheXbert.load(folder)


@pytest.fixture(scope="module", params=["radgraph", "radgraph-xl"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def radgraph(kind: str, tmp_path_factory: pytest.TempPathFactory) -> RadGraph:
    folder = radgraph_folder(tmp_path_factory.mktemp("radgraph"), kind)
    torch.save(load_file(MATERIAL / f"{kind}.safetensors"), folder / "weights.th")
    return RadGraph.load(folder)


def test_the_recording_is_of_the_packages_and_of_something() -> None:
    packages = RECORDED["packages"]
    assert (packages["f1chexbert"], packages["radgraph"]) == ("0.0.2", "0.1.18")
    positive = np.array(list(RECORDED["chexbert"]["positive"].values()))
    assert positive.any(axis=0).sum() > 5 and not positive.all(axis=1).any()


def test_chexbert_calls_present_what_f1chexbert_does(chexbert: CheXbert) -> None:
    positive = RECORDED["chexbert"]["positive"]
    assert tuple(RECORDED["chexbert"]["order"]) == HEADS
    read = chexbert.positives(list(positive))
    columns = [OBSERVATIONS.index(name) for name in HEADS]
    assert (read[:, columns] == np.array(list(positive.values()), bool)).all()


def test_chexbert_averages_as_f1chexbert_does(chexbert: CheXbert) -> None:
    """Its macro average counts observations without a case as 0; ours leaves them out."""
    generated, references = RECORDED["generated"], RECORDED["references"]
    occurs = chexbert.positives(references).any(axis=0)
    averaged = {"14": range(len(OBSERVATIONS)), "5": map(OBSERVATIONS.index, COMPETITION)}
    share = {suffix: float(np.mean(occurs[list(columns)])) for suffix, columns in averaged.items()}
    ours = {
        each.name: float(each.scores(np.ones((1, len(references))))[0])
        for each in chexbert.measures(generated, references)
    }
    for name, theirs in RECORDED["chexbert"]["f1"].items():
        scale = share[name.rpartition("_")[2]] if name.startswith("macro") else 1
        assert scale * ours[f"chexbert_{name}"] == pytest.approx(theirs, abs=1e-12)


def test_radgraph_reads_the_graph_that_the_package_reads(kind: str, radgraph: RadGraph) -> None:
    related = 0
    for text, theirs in RECORDED[kind]["entities"].items():
        ours = radgraph.entities(text)
        assert [[e.words, e.label, sorted(map(list, e.relations))] for e in ours] == [
            [words, label, sorted(relations)] for words, label, relations in theirs
        ]
        related += sum(len(entity.relations) for entity in ours)
    assert related > 50


def test_radgraph_scores_as_the_package_does(kind: str, radgraph: RadGraph) -> None:
    ours = np.array([graph_f1(*map(radgraph.entities, pair)) for pair in PAIRS])
    theirs = np.stack([RECORDED[kind]["f1"][level] for level in LEVELS], axis=1)
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert (theirs > 0).any(axis=0).all() and (theirs < 1).any(axis=0).all()
