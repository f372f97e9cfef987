"""Files of reports: every layout gives the same reports, and what is wrong is named."""

import csv
import json
from pathlib import Path

import pytest
from prepared_folder import write_prepared

from model.errors import ConfigError, DataError
from training.report_scores.normalization import clean_r2gen, protocol
from training.report_scores.report_files import References, match, read_predictions, read_references

REPORTS = {"a1": "The lungs are clear.", "b2": 'No "large" effusion, no nodule.'}


def _write(folder: Path, kind: str) -> Path:
    path = folder / f"reports{'' if kind[0] == '.' else '.'}{kind.split(' ')[0].lstrip('.')}"
    if kind == "csv":
        with path.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file)
            writer.writerow(["study", "more", "report"])
            writer.writerows((study, "x", text) for study, text in REPORTS.items())
    elif kind == "jsonl":
        lines = [json.dumps({"study_id": s, "prediction": t}) for s, t in REPORTS.items()]
        path.write_text("\n".join(lines) + "\n\n")
    elif kind == "json plain":
        path.write_text(json.dumps(REPORTS))
    elif kind == "json list":
        path.write_text(json.dumps([{"id": s, "report": t} for s, t in REPORTS.items()]))
    else:
        path.write_text(json.dumps({s: {"model_prediction": t} for s, t in REPORTS.items()}))
    return path


@pytest.mark.parametrize("kind", ["csv", "jsonl", "json plain", "json list", "json rexrank"])
def test_every_layout_gives_the_same_reports(tmp_path: Path, kind: str) -> None:
    assert read_predictions(_write(tmp_path, kind)) == REPORTS


def test_rexranks_sections_are_one_report(tmp_path: Path) -> None:
    path = tmp_path / "references.json"
    entry = {"section_findings": "Clear lungs.", "section_impression": "Normal.", "split": "test"}
    path.write_text(json.dumps({"a": entry, "b": {**entry, "section_impression": ""}}))
    assert read_references(path).reports == {
        "a": "Findings: Clear lungs. Impression: Normal.",
        "b": "Findings: Clear lungs.",
    }


def test_an_annotation_file_gives_its_split_and_what_floors_need(tmp_path: Path) -> None:
    path = tmp_path / "annotation.json"
    parts = {
        split: [{"id": f"{split}{k}", "report": f"{split} report {k}"} for k in range(2)]
        for split in ("train", "val", "test")
    }
    path.write_text(json.dumps(parts))
    there = read_references(path)
    assert list(there.reports) == ["test0", "test1"]
    assert there.train == ("train report 0", "train report 1")
    assert list(read_references(path, "validate").reports) == ["val0", "val1"]
    with pytest.raises(DataError, match="no studies of split 'dev'"):
        read_references(path, "dev")


def test_a_prepared_folder_is_a_file_of_references(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "prepared", 8)
    there = read_references(folder, "validate")
    assert (len(there.reports), len(there.train), len(there.validate)) == (2, 8, 0)
    with pytest.raises(DataError, match="no studies of split 'test'"):
        read_references(folder)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("x.csv", "name,report\na,b\n", "no column of studies: name, report are there"),
        ("x.csv", "id,words\na,b\n", "no column of reports: id, words are there"),
        ("x.csv", "id,report\na,b\na,c\n", "study 'a' is twice"),
        ("x.csv", "id,report\n", "no reports in 'x.csv'"),
        ("x.json", "{", "'x.json' is not JSON"),
        ("x.json", "3", "neither a list nor an object"),
        ("x.json", "[3]", "an entry that is no object: '3'"),
        ("x.json", '{"a": null}', "study 'a' of 'x.json' has 'None' for a report"),
        ("x.jsonl", '{"id": 1, "report": 5}', "study '1' of 'x.jsonl' has '5' for a report"),
        ("x.txt", "", r"read from \.csv, \.json and \.jsonl"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: str, says: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(DataError, match=says):
        read_predictions(path)


def test_a_file_that_is_not_there_or_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_predictions(tmp_path / "x.csv")
    (tmp_path / "x.csv").write_bytes(b"id,report\na,\x81\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read_predictions(tmp_path / "x.csv")


def test_both_files_must_be_of_the_same_studies() -> None:
    references = References(dict(REPORTS))
    with pytest.raises(DataError, match=r"1 of 3 studies the references lack, such as 'c'"):
        match({**REPORTS, "c": "x"}, references)
    with pytest.raises(DataError, match=r"1 of 2 studies have no generated report, such as 'b2'"):
        match({"a1": "x"}, references)
    for predictions, written in (
        ({**REPORTS, "b2": " "}, REPORTS),
        (REPORTS, {**REPORTS, "b2": ""}),
    ):
        with pytest.raises(DataError, match=r"1 (generated|reference) reports are empty, .* 'b2'"):
            match(predictions, References(dict(written)))
    assert match({"b2": "B", "a1": "A"}, references)[:2] == (["a1", "b2"], ["A", "B"])


def test_r2gen_normalizes_as_the_published_code() -> None:
    text = "1. The heart is NORMAL. 2. No effusion, or (small) nodule.. Size 1.5 cm."
    assert clean_r2gen(text) == "the heart is normal . no effusion or small nodule . size 15 cm ."


def test_r2gen_marks_rare_words_cuts_and_takes_the_findings_alone() -> None:
    way = protocol("r2gen", ["lungs clear."] * 3 + ["lungs odd."] * 2)
    assert way.apply("Findings: Lungs odd. Impression: clear.") == "lungs <unk> ."
    assert len(way.apply("lungs " * 80).split()) == 59
    assert protocol("r2gen").apply("Lungs odd.") == "lungs odd ."


@pytest.mark.parametrize(
    ("report", "findings"),
    [
        ("INDICATION: Cough. FINDINGS: Lungs clear. IMPRESSION: Normal.", "lungs clear ."),
        ("Impression: Large left pneumothorax.", "large left pneumothorax ."),
        ("Findings: Impression: Normal.", "normal ."),
        ("Lungs clear.", "lungs clear ."),
    ],
)
def test_r2gen_finds_the_findings_wherever_they_stand(report: str, findings: str) -> None:
    assert protocol("r2gen").apply(report) == findings


def test_mimics_annotation_file_has_an_entry_a_image(tmp_path: Path) -> None:
    path = tmp_path / "annotation.json"
    parts = {
        split: [{"id": f"{split}{k}", "study_id": 5, "report": "Clear."} for k in range(2)]
        for split in ("train", "val", "test")
    }
    path.write_text(json.dumps(parts))
    assert list(read_references(path).reports) == ["test0", "test1"]
    every = read_references(path, "all")
    assert len(every.reports) == 6 and every.train == ()


def test_no_report_that_is_scored_is_a_train_report(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path / "prepared", 8)
    for split in ("all", "train"):
        assert read_references(folder, split).train == ()
    assert len(read_references(folder, "validate").train) == 8


def test_a_line_end_inside_a_report_is_no_end_of_it(tmp_path: Path) -> None:
    text = "Clear.\u2028No effusion.\x0cNormal."
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "a", "report": text}, ensure_ascii=False))
    (tmp_path / "a.csv").write_text(f"id,report\na,{text}\n")
    for name in ("a.jsonl", "a.csv"):
        assert read_predictions(tmp_path / name) == {"a": text}


def test_other_protocols_keep_headings() -> None:
    assert protocol("rexrank").apply("Findings: Clear.") == "findings : clear ."
    assert protocol("raw").apply(" Findings:\n Clear. ") == "Findings: Clear."
    with pytest.raises(ConfigError, match="protocol 'bleu': it is one of r2gen, rexrank, raw"):
        protocol("bleu")
