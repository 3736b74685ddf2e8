"""Takes the pictures of docs/demo.md, of a page that is running.

python scripts/demo.py &
python tests/serving/take_screenshots.py --url=http://127.0.0.1:8080/
"""

import base64
import io
import pathlib
import urllib.parse

from absl import flags
from browser import Page
from PIL import Image

from ssagan_tf.core import cli, files

_URL = flags.DEFINE_string("url", "http://127.0.0.1:8080/", "Of the page.")
_OUT = flags.DEFINE_string("out", "docs/images", "Folder to write to.")

_CAPTION = "a small bird with a red crown, blue wings and a yellow belly"
_HOLD = base64.urlsafe_b64encode(bytes(28) + b"\x55" * 36).decode().rstrip("=")  # the upper 7 of 16 rows are painted
_SHOTS = {
    "seeds": {"caption": _CAPTION},
    "masks": {"caption": _CAPTION, "mask": 3},
    "swap": {"caption": _CAPTION, "view": "swap", "word": 7, "swap": "green"},
    "paint": {"caption": _CAPTION, "view": "swap", "word": 5, "swap": "green", "hold": _HOLD},
    "between": {"caption": _CAPTION, "view": "between", "to": "a large black bird with a white belly", "to_seed": 1},
    "unknown": {"caption": "a small brid with turquoise wings and a yelow belly"},
}
_COLOURS = 256  # of the files, which are small for it


def main(_) -> None:
    page = Page(height=900)
    for name, state in _SHOTS.items():
        page.open(f"{_URL.value}#{urllib.parse.urlencode(state)}")
        if "hold" in state:
            page["paint"].find_element("tag name", "summary").click()
        _save(page, name)
    phone = Page(width=390, height=844, dark=True).open(f"{_URL.value}#{urllib.parse.urlencode(_SHOTS['swap'])}")
    _save(phone, "phone")
    phone.driver.quit()
    page.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page.write("caption", "a red bird")
    page.wait_for(lambda: "does not answer" in page.status(), "It did not say so")
    _save(page, "stopped")
    page.driver.quit()


def _save(page: Page, name: str) -> None:
    shot = (
        Image.open(io.BytesIO(page.driver.get_screenshot_as_png()))
        .convert("RGB")
        .quantize(_COLOURS, dither=Image.Dither.NONE)
    )
    content = io.BytesIO()
    shot.save(content, "PNG", optimize=True)
    path = pathlib.Path(_OUT.value) / f"demo_{name}.png"
    files.write_atomically(path, content.getvalue())
    cli.say(f"Wrote {path}")


if __name__ == "__main__":
    cli.run(main)
