"""The box files of public sets, in the layouts they are downloaded in."""

import json
from pathlib import Path

import pytest

from data_prep.datasets.boxes import Region, read_boxes
from model.errors import DataError

NIH = """Image Index,Finding Label,Bbox [x,y,w,h],,,
00013118_008.png,Atelectasis,225.084745762712,547.019216763771,86.7796610169492,79.1864406779661,,,
00014716_007.png,Effusion,686.1,131.5,185.2,313.6,,,
"""
PNEUMONIA = "left lower lobe pneumonia"
MS_CXR = """category_name,label_text,path,x,y,w,h,image_width,image_height,dicom_id
Pneumonia,left lower lobe pneumonia,files/p10/p1/s1/aa-1.jpg,100,200,300,400,2544,3056,aa-1
Pneumonia,left lower lobe pneumonia,files/p10/p1/s1/aa-1.jpg,500,200,30,40,2544,3056,aa-1
Edema,"mild, interstitial edema",files/p10/p1/s2/bb-2.jpg,1,2,3,4,2048,2500,bb-2
"""
VINDR = """image_id,rad_id,class_name,x_min,y_min,x_max,y_max
aaa,R10,No finding,,,,
bbb,R8,Pleural_thickening,691.0,1375.0,1653.0,1831.0
bbb,R9,Pleural_thickening,700.0,1380.0,1640.0,1800.0
bbb,R9,Cardiomegaly,264.0,400.0,1000.0,900.0
"""


def _written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_nih_boxes_are_of_images_of_1024_pixels(tmp_path: Path) -> None:
    first, second = read_boxes(_written(tmp_path, "BBox_List_2017.csv", NIH))
    assert (first.image, first.label, first.phrase) == (
        "00013118_008",
        "Atelectasis",
        "atelectasis",
    )
    [box] = first.boxes
    assert box == pytest.approx((225.0847, 547.0192, 311.8644, 626.2057), abs=1e-3)
    assert first.size == (1024, 1024)
    assert second.phrase == "pleural effusion"


def test_ms_cxr_gathers_the_boxes_of_one_phrase(tmp_path: Path) -> None:
    first, second = read_boxes(_written(tmp_path, "ms.csv", MS_CXR))
    boxes = ((100, 200, 400, 600), (500, 200, 530, 240))
    assert first == Region("aa-1", "Pneumonia", PNEUMONIA, boxes, (2544, 3056))
    assert second.phrase == "mild, interstitial edema"


def test_ms_cxr_as_json_says_the_same(tmp_path: Path) -> None:
    content = {
        "images": [
            {"id": 7, "file_name": "aa-1.jpg", "width": 2544, "height": 3056, "path": "files/x"},
            {"id": 8, "file_name": "bb-2.jpg", "width": 2048, "height": 2500, "path": "files/y"},
        ],
        "categories": [{"id": 1, "name": "Pneumonia"}, {"id": 2, "name": "Edema"}],
        "annotations": [
            {
                "image_id": 7,
                "category_id": 1,
                "bbox": box,
                "label_text": "left lower lobe pneumonia",
            }
            for box in ([100, 200, 300, 400], [500, 200, 30, 40])
        ]
        + [
            {
                "image_id": 8,
                "category_id": 2,
                "bbox": [1, 2, 3, 4],
                "label_text": "mild, interstitial edema",
            }
        ],
    }
    path = _written(tmp_path, "ms.json", json.dumps(content))
    assert read_boxes(path) == read_boxes(_written(tmp_path, "ms.csv", MS_CXR))


def test_vindr_takes_all_readers_and_leaves_out_what_is_normal(tmp_path: Path) -> None:
    first, second = read_boxes(_written(tmp_path, "annotations_train.csv", VINDR))
    assert (first.image, first.phrase, len(first.boxes)) == ("bbb", "pleural thickening", 2)
    assert first.size is None
    assert second.boxes == ((264, 400, 1000, 900),)


def test_a_test_file_without_readers_is_read_too(tmp_path: Path) -> None:
    lines = [line.split(",") for line in VINDR.splitlines()]
    text = "\n".join(",".join(line[:1] + line[2:]) for line in lines)
    assert len(read_boxes(_written(tmp_path, "annotations_test.csv", text))) == 2


def _padchest(**finding: object) -> str:
    first = {
        "sentence_en": "Left pleural effusion. ",
        "sentence_es": "Derrame pleural izquierdo.",
        "abnormal": True,
        "boxes": [[0.5, 0.25, 0.75, 1], [0.1, 0.2, 0.3, 0.4]],
        "extra_boxes": [[0.4, 0.25, 0.75, 1]],
        "labels": ["pleural effusion", "costophrenic angle blunting"],
        "locations": ["left"],
        "progression": None,
    }
    normal = {"sentence_en": "Heart of normal size.", "abnormal": False, "boxes": [], "labels": []}
    study = {"StudyID": "1", "ImageID": "a_1.png", "findings": [first | finding, normal]}
    return json.dumps([study])


def test_padchest_boxes_are_shares_of_the_image(tmp_path: Path) -> None:
    [region] = read_boxes(_written(tmp_path, "grounded_reports_20240819.json", _padchest()))
    boxes = ((0.5, 0.25, 0.75, 1), (0.1, 0.2, 0.3, 0.4))
    assert region == Region("a_1", "pleural effusion", "Left pleural effusion.", boxes, (1, 1))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "image,label,x,y\n1,2,3,4\n", "image, label, x, y"),
        ("a.csv", "", "has the columns ''"),
        ("a.csv", NIH.replace("547.019216763771", "many"), "row 2"),
        ("a.csv", MS_CXR.replace("1,2,3,4,2048", "1,2,-3,4,2048"), "row 4.*width -3"),
        ("a.csv", VINDR.replace("691.0", ""), "row 3"),
        ("a.csv", "\n".join(VINDR.splitlines()[:2]), "holds no box"),
        ("a.json", "{}", "images"),
        ("a.json", "[", "COCO"),
        ("a.json", "[1]", "study 0 is not of PadChest-GR"),
        ("a.json", _padchest(boxes=[[10, 20, 300, 400]]), r"\[10, 20, 300, 400\] is not in shares"),
        ("a.json", _padchest(sentence_en=None), "study 0 is not of PadChest-GR"),
        ("a.json", _padchest(boxes=[]), "holds no box"),
        (
            "a.json",
            '{"images": [], "categories": [], "annotations": [{"image_id": 1}]}',
            "annotation 0",
        ),
    ],
)
def test_what_is_no_box_file_is_told(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_boxes(_written(tmp_path, name, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no box file"):
        read_boxes(tmp_path / "absent.csv")
