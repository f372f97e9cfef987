"""CheXbert and RadGraph: tiny folders of the real layout read as their authors' code reads them."""

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from judge_folders import (
    WORDS,
    chexbert_folder,
    radgraph_folder,
)
from prepared_folder import write_prepared

from model.errors import DataError
from training.report_scores.chexbert import HEADS, CheXbert
from training.report_scores.observations import NO_FINDING, OBSERVATIONS
from training.report_scores.radgraph import Entity, RadGraph, graph_f1


def _reports(number: int, longest: int) -> list[str]:
    rng = random.Random(number)
    known = [*WORDS.split(), "xylo", "Heart"]
    return [" ".join(rng.choices(known, k=rng.randint(1, longest))) for _ in range(number)]


@pytest.fixture(scope="module")
def chexbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return chexbert_folder(tmp_path_factory.mktemp("chexbert"))


@pytest.fixture(scope="module")
def radgraph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return radgraph_folder(tmp_path_factory.mktemp("radgraph"))


def test_present_and_uncertain_count_and_each_head_is_its_observations(tmp_path: Path) -> None:
    wanted = {"Edema": 1, "Pneumonia": 3, "Fracture": 2, NO_FINDING: 1}
    heads = {}
    for number, name in enumerate(HEADS):
        classes = 2 if name == NO_FINDING else 4
        heads[f"linear_heads.{number}.weight"] = torch.zeros(classes, 16)
        heads[f"linear_heads.{number}.bias"] = torch.eye(classes)[wanted.get(name, 0)]
    read = CheXbert.load(chexbert_folder(tmp_path / "c", heads)).positives(["the heart", "clear"])
    told = {name for name, there in zip(OBSERVATIONS, read[0], strict=True) if there}
    assert told == {"Edema", "Pneumonia", NO_FINDING}
    assert (read[0] == read[1]).all()


def test_chexbert_batched_is_single_and_long_reports_are_cut(chexbert: Path) -> None:
    reports = [*_reports(40, 60), "no effusion . " * 300]
    together = CheXbert.load(chexbert).positives(reports)
    alone = CheXbert.load(chexbert)
    assert (together == np.concatenate([alone.positives([text]) for text in reports])).all()
    assert 0 < together.mean() < 1
    assert (alone.positives([f"{reports[-1]} the heart"]) == together[-1]).all()


@pytest.mark.parametrize(
    ("dataset", "words"),
    [
        ("radgraph", "no effusion ( left ) , 5% well-defined ."),
        ("radgraph-xl", "no effusion ( left ), 5 % well - defined ."),
    ],
)
def test_words_are_those_that_the_network_was_taught(
    tmp_path: Path, dataset: str, words: str
) -> None:
    everything = radgraph_folder(tmp_path / "all", dataset, entities=torch.tensor([1e6, 0, 0]))
    told = [
        each.words
        for each in RadGraph.load(everything).entities("no effusion (left), 5% well-defined.")
    ]
    assert [each for each in told if " " not in each] == words.split()


def test_graph_f1_by_hand() -> None:
    lung = Entity("lung", "Anatomy", ())
    clear = Entity("clear", "Observation", (("located_at", "lung"),))
    elsewhere = Entity("clear", "Observation", (("located_at", "heart"),))
    alone = Entity("clear", "Observation", ())
    assert graph_f1([lung, clear], [lung, clear]) == (1, 1, 1)
    assert graph_f1([lung, clear], [lung, elsewhere]) == (1, 1, 0.5)
    assert graph_f1([lung, clear], [lung, alone]) == (1, 0.5, 0.5)
    assert graph_f1([lung], [lung, clear]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert graph_f1([], [lung]) == graph_f1([], []) == (0, 0, 0)


def test_both_judge_beside_the_rules_in_score_and_compare(
    chexbert: Path, radgraph: Path, tmp_path: Path, without_java: None, run: Callable
) -> None:
    truth, other = tmp_path / "truth.json", tmp_path / "other.json"
    reports = _reports(8, 20)
    truth.write_text(json.dumps(dict(enumerate(reports))))
    other.write_text(json.dumps(dict(enumerate(reversed(reports)))))
    learned_metrics = ("--chexbert", chexbert, "--radgraph", radgraph)
    out = tmp_path / "out.json"
    code, printed, _ = run("score", truth, truth, *learned_metrics, "--json", out)
    content = json.loads(out.read_text())
    told = content["scores"]
    assert code == 0 and "not computed: chexbert" not in printed
    # Figures of other weights are others': whose these are is told.
    assert [judge.split(",")[0] for judge in content["learned_metrics"]] == [
        "CheXbert",
        "radgraph-xl",
    ]
    assert "judge: radgraph-xl, weights " in printed
    for name in ("chexbert_micro_f1_14", "chexbert_macro_f1_14", "radgraph_entities",
                 "radgraph_partial", "radgraph_complete"):  # fmt: skip
        assert told[name]["value"] == 1
    run("compare", other, truth, truth, *learned_metrics, "--json", out)
    told = json.loads(out.read_text())["differences"]
    assert told["radgraph_partial"]["first"] < told["radgraph_partial"]["second"] == 1
    assert told["radgraph_partial"]["p"] < 0.05
    code, printed, _ = run("score", truth, truth)
    assert "not computed: chexbert (needs its weights: --chexbert FOLDER" in printed
    assert "not computed: radgraph (needs its weights: --radgraph FOLDER" in printed


class _Code:
    def __reduce__(self) -> tuple:
        return (print, ("run",))


@pytest.mark.parametrize("content", [b"<html>", b"", pickle.dumps(_Code(), protocol=2)])
def test_a_file_that_is_none_or_would_run_something_is_refused(
    tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture
) -> None:
    folder = chexbert_folder(tmp_path / "c")
    (folder / "chexbert.pth").write_bytes(content)
    with pytest.raises(DataError, match="no PyTorch file of plain tensors"):
        CheXbert.load(folder)
    assert "run" not in capfd.readouterr().out


def test_a_folder_that_is_not_what_it_should_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no file .*chexbert\.pth"):
        CheXbert.load(tmp_path)
    with pytest.raises(DataError, match=r"config\.json.* cannot be read"):
        RadGraph.load(tmp_path)
    short = chexbert_folder(tmp_path / "short", {"linear_heads.0.bias": torch.zeros(3)})
    with pytest.raises(DataError, match="of another network"):
        CheXbert.load(short)
    folder = radgraph_folder(tmp_path / "r")
    torch.save({"a.weight": torch.zeros(2)}, folder / "weights.th")
    with pytest.raises(DataError, match="are not RadGraph's"):
        RadGraph.load(folder)
    torch.save([torch.zeros(2)], folder / "weights.th")
    with pytest.raises(DataError, match="no tensors by name"):
        RadGraph.load(folder)
    other = radgraph_folder(tmp_path / "other")
    (other / "vocabulary" / "radgraph-xl__ner_labels.txt").write_text("\none\n")
    with pytest.raises(DataError, match=r"names \(2, 2\) .* have \(4, 2\): they do not belong"):
        RadGraph.load(other)
    (other / "config.json").write_text('{"model": []}')
    with pytest.raises(DataError, match="has no settings of RadGraph"):
        RadGraph.load(other)


def test_code_that_an_encoder_names_is_not_run(tmp_path: Path) -> None:
    folder = chexbert_folder(tmp_path / "c")
    config = json.loads((folder / "encoder" / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "own.Own", "AutoModel": "own.Own"}}
    (folder / "encoder" / "config.json").write_text(json.dumps(config))
    (folder / "encoder" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(DataError, match="cannot be read"):
        CheXbert.load(folder)
    assert not (tmp_path / "ran").exists()


def test_a_report_without_a_word_says_nothing(radgraph: Path, chexbert: Path) -> None:
    judge = RadGraph.load(radgraph)
    assert judge.entities("") == judge.entities(" \n") == judge.entities("\u200b") == []
    assert CheXbert.load(chexbert).positives(["", "\u200b"]).shape == (2, len(OBSERVATIONS))


def test_without_an_encoder_its_name_is_told_and_nothing_is_fetched(tmp_path: Path) -> None:
    folder = radgraph_folder(tmp_path / "r")
    (folder / "encoder").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="cache has nothing called 'x/y'"):
        RadGraph.load(folder)


def test_evaluate_asks_them_of_a_models_own_reports(
    chexbert: Path,
    radgraph: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    without_java: None,
    run: Callable,
) -> None:
    data = write_prepared(tmp_path / "prepared", 8)
    learned_metrics = ("--chexbert", chexbert, "--radgraph", radgraph)
    code, printed, _ = run("evaluate", tiny_checkpoint, data, "--limit", 2, *learned_metrics)
    assert code == 0
    for name in ("chexbert_micro_f1_14", "radgraph_partial", "judge: CheXbert, weights "):
        assert name in printed
