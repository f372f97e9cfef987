"""Milliseconds from a file to its image on the screen, in Chromium beside the real service.

    python tests/benchmarks/bench_first_view.py FILE... [--rounds N]

Printed are the median and the largest of the rounds: until the first view is drawn (goal: 300 ms),
and until the image is whole. The service writes no report meanwhile.
"""

import argparse
import shutil
import sys
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "helpers")]

OPEN = """async () => {
  const { requestPixels } = await import("./viewer/pixels.js");
  const { Viewer } = await import("./viewer/viewer.js");
  window.chosen ??= document.getElementById("files").files[0];
  document.body.replaceChildren(document.createElement("canvas"));
  const canvas = document.body.firstChild;
  Object.assign(canvas.style, { position: "fixed", inset: 0, width: "900px", height: "700px" });
  const viewer = new Viewer(canvas, () => undefined);
  const start = performance.now();
  let first = null;
  await requestPixels(window.chosen, new AbortController().signal, (image) => {
    if (viewer.raster) viewer.growImage(image);
    else if (image.levels[0].ready === image.levels[0].rows) {
      viewer.setImage(image);
      viewer.resize();
      viewer.draw();
      canvas.getContext("2d").getImageData(0, 0, 1, 1); // waits until it is drawn
      first = performance.now() - start;
    }
  });
  return [first, performance.now() - start];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    from page_server import serving
    from playwright.sync_api import sync_playwright

    from model.generator import ReportGenerator

    generator = ReportGenerator.load(ROOT / "model" / "default")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with serving(generator) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for file in given.files:
            page = browser.new_page()
            page.route(
                "**/main.js", lambda route: route.fulfill(body="", content_type="text/javascript")
            )
            page.goto(address)
            page.locator("#files").set_input_files(file)
            rounds = [page.evaluate(OPEN) for _ in range(given.rounds + 1)][1:]
            (first, slowest), (whole, longest) = (
                (median(times), max(times)) for times in zip(*rounds, strict=True)
            )
            sys.stdout.write(
                f"{file.name:<32} first view {first:5.0f} ms (largest {slowest:.0f}), "
                f"whole {whole:5.0f} ms (largest {longest:.0f})\n"
            )
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
