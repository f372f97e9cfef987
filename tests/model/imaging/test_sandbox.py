"""Laws of reading in a limited child: the same result, and nothing that a file does gets out."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from dicom_files import (
    dataset,
    deflate_bomb,
    encoded,
    nested,
    slow,
    written,
)
from paths import ROOT
from pydicom import uid
from sandbox_processes import children, helper, radiograph_file

from model.errors import (
    ConfigError,
    ImageError,
    ImageTooLarge,
    NotARadiograph,
    UndecodableImage,
    UnsupportedImage,
)
from model.imaging import reading_process, sandbox
from model.imaging.radiograph import Radiograph
from model.imaging.read import read_image
from model.imaging.reading_process import ReadingProcess, prepare_isolation
from model.imaging.sandbox import IsolationLimits, read_image_isolated

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="isolation needs POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def endless() -> bytes:
    """A file that takes many seconds of processor time to walk through."""
    return slow(1_000_000)


@pytest.mark.parametrize(
    "syntax", [uid.ExplicitVRLittleEndian, uid.JPEGLosslessSV1, uid.RLELossless, uid.HTJ2KLossless]
)
def test_the_result_is_that_of_read_image(tmp_path, syntax):
    file = radiograph_file(syntax)
    path = tmp_path / "file"
    path.write_bytes(file)
    expected = read_image(file)
    for source in (file, path):
        result = read_image_isolated(source)
        assert np.array_equal(result.pixels, expected.pixels)
        assert result.pixels.dtype == np.float32
        assert result.view == "PA"


def test_a_helper_started_for_plain_files_reads_all_others(tmp_path, monkeypatch):
    files = {"one.png": cv2.imencode(".png", np.eye(40, dtype=np.uint8))[1].tobytes()}
    (tmp_path / "one.png").write_bytes(files["one.png"])
    own = ReadingProcess()
    monkeypatch.setattr(reading_process, "helper", own)
    monkeypatch.setattr(sandbox, "helper", own)
    prepare_isolation([tmp_path / "one.png"])
    try:
        for file in (files["one.png"], radiograph_file(uid.JPEG2000Lossless), radiograph_file()):
            expected = read_image(file)
            assert np.array_equal(read_image_isolated(file).pixels, expected.pixels)
        assert not own.loads_dicom
        own.stop()
        prepare_isolation([tmp_path / "one.png", tmp_path / "missing.dcm"])
        assert own.loads_dicom
    finally:
        own.stop()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"<html></html>", UnsupportedImage),
        (b"", UndecodableImage),
        (radiograph_file()[:700], ImageError),
        (encoded(dataset(np.zeros((4, 4), np.uint16), Modality="CT")), NotARadiograph),
        (encoded(dataset(np.zeros((4, 4), np.uint16), Rows=5)), UndecodableImage),
    ],
)
def test_errors_are_those_of_read_image(data, error):
    with pytest.raises(error) as inside:
        read_image(data)
    with pytest.raises(error) as isolated:
        read_image_isolated(data)
    assert str(isolated.value) == str(inside.value)
    assert type(isolated.value) is type(inside.value)


def test_paths_that_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe"):
        with pytest.raises(UndecodableImage):
            read_image_isolated(path)


def test_bombs_are_refused():
    with pytest.raises(ImageTooLarge, match="more than 256 MiB"):
        read_image_isolated(deflate_bomb(megabytes=300))
    with pytest.raises(ImageError):
        read_image_isolated(nested(5000))


def test_a_bomb_that_keeps_to_its_header_meets_the_memory_limit():
    stored = np.zeros((64, 64), np.uint16)
    ds = dataset(stored)
    encoded(ds, uid.JPEG2000Lossless)
    start = ds.PixelData.index(b"\xff\x4f\xff\x51")
    side = (5900).to_bytes(4, "big")
    ds.PixelData = ds.PixelData[: start + 8] + side * 2 + ds.PixelData[start + 16 :]
    ds.Rows = ds.Columns = 5900
    with pytest.raises(ImageError):
        read_image_isolated(written(ds, uid.JPEG2000Lossless), IsolationLimits(64 << 20))


def test_memory_is_limited():
    large = cv2.imencode(".png", np.zeros((5000, 5000), np.uint8))[1].tobytes()
    with pytest.raises(ImageTooLarge, match="memory"):
        read_image_isolated(large, IsolationLimits(memory_bytes=16 << 20))
    assert read_image_isolated(large).pixels.shape == (5000, 5000)


def test_the_wall_clock_is_limited():
    with pytest.raises(ImageTooLarge, match=r"more than 0\.2 seconds: "):
        read_image_isolated(endless(), IsolationLimits(wall_seconds=0.2))


def test_processor_time_is_limited():
    with pytest.raises(ImageTooLarge, match="1 seconds of processor time"):
        read_image_isolated(endless(), IsolationLimits(cpu_seconds=1))


@linux
def test_a_child_that_is_killed_is_an_undecodable_file():
    number = helper()
    settled(number)
    outcome = ThreadPoolExecutor(1).submit(read_image_isolated, endless())
    while not (running := children(number)):
        assert not outcome.done()
        time.sleep(0.001)
    os.kill(running[0], signal.SIGKILL)
    with pytest.raises(UndecodableImage, match=r"crashed its decoder \(SIGKILL\)"):
        outcome.result()
    assert helper() == number


@linux
def test_a_helper_that_is_killed_is_started_again():
    number = helper()
    os.kill(number, signal.SIGKILL)
    assert read_image_isolated(radiograph_file()).view == "PA"
    assert helper() != number


@linux
def test_nothing_is_left_behind():
    number = helper()
    before = settled(number)
    for data in [radiograph_file(), b"<html>", radiograph_file()[:600]] * 5:
        try:
            read_image_isolated(data)
        except ImageError:
            continue
    with pytest.raises(ImageTooLarge):
        read_image_isolated(endless(), IsolationLimits(wall_seconds=0.05))
    assert settled(number) == before


def settled(number: int) -> list[int]:
    """Open descriptors here and in the helper, once it has tidied up after its last child."""
    deadline = time.monotonic() + 60
    # A child counts as gone a moment before its socket is closed; asleep, the helper is done.
    while children(number) or not asleep(number):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), number)]


def asleep(pid: int) -> bool:
    """Whether the process waits for something (proc(5), the field after the name)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].startswith("S")


def test_many_threads_read_at_once():
    files = [radiograph_file(), radiograph_file(uid.JPEGLSLossless), b"<html>", b""]
    expected = read_image(files[0]).pixels

    def read(number: int) -> bool:
        try:
            return np.array_equal(read_image_isolated(files[number % 4]).pixels, expected)
        except (UnsupportedImage, UndecodableImage):
            return number % 4 > 1

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(64)))


def test_flipped_bits_give_a_radiograph_or_a_typed_error():
    random = np.random.default_rng(11)
    for syntax in (uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGExtended12Bit, uid.RLELossless):
        file = radiograph_file(syntax)
        for _ in range(12):
            damaged = bytearray(file)
            for position in random.integers(128, len(file), 3):
                damaged[position] ^= 1 << random.integers(8)
            try:
                result = read_image_isolated(bytes(damaged))
            except ImageError as error:
                assert "SECRET" not in str(error)
            else:
                assert isinstance(result, Radiograph)


def test_nothing_is_written_to_the_terminal_and_no_process_stays():
    # A JPEG that libjpeg complains about, and a warning of pydicom that would quote the name.
    code = f"""
import os, sys
sys.path.insert(0, {str(ROOT / "tests" / "helpers")!r})
from sandbox_processes import radiograph_file, helper
from model.imaging.sandbox import read_image_isolated
from model.errors import ImageError
for cut in range(200, 1500, 200):
    try:
        read_image_isolated(radiograph_file()[:cut])
    except ImageError:
        continue
print(helper() if sys.platform == "linux" else 0)
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not Path(f"/proc/{int(done.stdout)}").exists()


@linux
def test_the_helper_is_small_and_alone():
    maps = Path(f"/proc/{helper()}/maps").read_text()
    assert "libtorch" not in maps
    status = Path(f"/proc/{helper()}/status").read_text()
    assert "Threads:\t1\n" in status


def test_limits_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="wall_seconds=0"):
        IsolationLimits(wall_seconds=0)
