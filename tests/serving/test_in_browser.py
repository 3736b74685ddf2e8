"""The page that draws in the browser draws Python's pictures."""

import functools
import http.server
import shutil
import threading

import numpy as np
import processes
import pytest

pytestmark = pytest.mark.browser

PICTURES = 20
LEVELS = 4  # of 255; the weights have 16 bits

# The backend without the page around it.
DRAW = """
const [captions, seeds, done] = arguments;
(async () => {
  const text = async (file) => (await fetch(file)).text();
  const { open } = await import("./litert.js");
  const { Vocabulary } = await import("./vocabulary.js");
  const model = await open(JSON.parse(await text("settings.json")), new Vocabulary(await text("vocabulary.txt")));
  const pictures = [];
  for (const [index, caption] of captions.entries()) {
    pictures.push([...(await model.draw({ caption, seed: seeds[index] })).pixels]);
  }
  return { pictures, where: model.where };
})().then(done, (error) => done({ error: error.message }));
"""


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web(birds, tmp_path_factory):
    """The exported folder, with the runtime."""
    from ssagan_tf.export import export

    folder = export(birds, tmp_path_factory.mktemp("web") / "birds", ["web"]) / "web"
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed.")
    done = processes.run(npm, "ci", "--no-audit", "--no-fund", cwd=folder)
    if done.returncode:
        pytest.skip(f"npm could not install the runtime: {done.stderr[-300:]}")
    shutil.rmtree(folder / "node_modules")
    return folder


@pytest.fixture(scope="module")
def url(web):
    handler = functools.partial(_Handler, directory=web)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@pytest.fixture(scope="module")
def page(chromium, url):
    return chromium().open(url)


def test_its_pictures_are_pythons(page, birds):
    dice = np.random.default_rng(0)
    words = birds.vocabulary.words[1:]
    captions = [" ".join(dice.choice(words, dice.integers(1, 19))) for _ in range(PICTURES)]
    seeds = dice.integers(-(2**63), 2**63 - 1, PICTURES, np.int64).tolist()
    drawn = page.driver.execute_async_script(DRAW, captions, list(map(str, seeds)))
    assert drawn["where"] == "drawn in this browser, on the CPU"
    for caption, seed, pixels in zip(captions, seeds, drawn["pictures"], strict=True):
        expected = birds.generate(caption, seed=seed)[0]
        difference = np.abs(np.reshape(pixels, expected.shape) - expected.astype(int))
        assert difference.max() <= LEVELS
        assert len(np.unique(expected)) > 20


def test_the_page_is_the_servers(page, url, birds):
    page.open(f"{url}#caption=a+red+bird&seed=-5&view=swap&swap=blue&mask=3")
    before, after = birds.generate(["a red bird", "a blue bird"], seed=-5)
    assert page.captions()[:2] == ["Before: red", "After: blue"] and page.captions()[3] == "Mask, 16 × 16"
    for index, expected in enumerate((before, after)):
        assert np.abs(page.pixels(index) - expected.astype(int)).max() <= LEVELS
    page.open(f"{url}#caption=a+red+bird&to=a+blue+bird&seed=1&to_seed=2&view=between&along=100")
    expected = birds.generate("a blue bird", seed=2)[0]
    assert np.abs(page.pixels(1) - expected.astype(int)).max() <= LEVELS


def test_a_model_that_draws_something_else_is_refused(web, page, url):
    settings = web / "settings.json"
    right = settings.read_text()
    try:
        settings.write_text(right.replace('"seed": "7"', '"seed": "8"'))
        page.driver.get("about:blank")
        page.driver.get(url)
        page.wait_for(lambda: "draws other pictures" in page.status(), "It was not refused")
        assert page["status"].get_attribute("class") == "error"
    finally:
        settings.write_text(right)


def test_a_missing_model_is_told(web, page, url):
    model = web / "model.tflite"
    model.rename(web / "elsewhere")
    try:
        page.driver.get("about:blank")
        page.driver.get(url)
        page.wait_for(lambda: "model.tflite is missing: 404" in page.status(), "It did not say so")
    finally:
        (web / "elsewhere").rename(model)
