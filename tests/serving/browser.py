"""The page in a headless Chromium, as tests and screenshots use it."""

from __future__ import annotations

import os
import time

import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

_PATIENCE = 120.0  # seconds; a busy machine is slow

_PIXELS = """
const canvas = document.querySelectorAll("canvas")[arguments[0]];
return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
"""
_SHIFTS = """
const done = arguments[0];
new PerformanceObserver((list) => done(list.getEntries().map((entry) => (entry.hadRecentInput ? 0 : entry.value))))
  .observe({ type: "layout-shift", buffered: true });
setTimeout(() => done([]), 1000);
"""


class Page:
    """A window of its own.

    Args:
        width, height: of it, in pixels.
        dark: whether the reader likes it dark.
    """

    def __init__(self, width: int = 1000, height: int = 1100, dark: bool = False):
        options = webdriver.ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for argument in ("--headless=new", "--disable-dev-shm-usage", "--hide-scrollbars"):
            options.add_argument(argument)
        if os.geteuid() == 0:
            options.add_argument("--no-sandbox")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
        self.driver.set_script_timeout(_PATIENCE)
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, url: str) -> Page:
        """Loads an address anew, and waits for its pictures."""
        self.driver.get("about:blank")
        self.driver.get(url)
        self.wait_until_drawn()
        return self

    def __getitem__(self, name: str) -> WebElement:
        return self.driver.find_element(By.ID, name)

    def wait_for(self, what, message: str) -> None:
        """Until `what()` holds."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if what():
                return
            time.sleep(0.05)
        raise AssertionError(f"{message}. The page says: {self.status()!r}")

    def wait_until_drawn(self, words: str = "") -> None:
        """Until it says so, and all pictures are new."""

        def drawn() -> bool:
            old = self.driver.find_elements(By.CSS_SELECTOR, "canvas.old, progress:not(.idle)")
            status = self.status()
            return not old and status.endswith((" s.", "Ready.")) and words in self.driver.page_source

        self.wait_for(drawn, "No pictures appeared")

    def write(self, name: str, text: str) -> None:
        """Types into an empty field."""
        self[name].clear()
        self[name].send_keys(text)

    def choose(self, name: str, value: str) -> None:
        Select(self[name]).select_by_value(value)

    def status(self) -> str:
        return self["status"].text

    def captions(self) -> list[str]:
        """Under the pictures: "Before: red, mask 4 × 4"."""
        lines = [element.text.split("\n") for element in self.driver.find_elements(By.TAG_NAME, "figcaption")]
        return [", ".join(line for line in parts if line and line != "PNG") for parts in lines]

    def alternatives(self) -> list[str]:
        canvases = self.driver.find_elements(By.TAG_NAME, "canvas")
        return [canvas.get_attribute("aria-label") for canvas in canvases]

    def button(self, text: str) -> WebElement:
        return self.driver.find_element(By.XPATH, f"//button[normalize-space()='{text}']")

    def pixels(self, index: int = 0) -> np.ndarray:
        """A picture as shown: uint8 (S, S, 3)."""
        flat = np.array(self.driver.execute_script(_PIXELS, index), np.uint8).reshape(-1, 4)
        size = int(len(flat) ** 0.5)
        return flat[:, :3].reshape(size, size, 3)

    def layout_shift(self) -> float:
        """How much has moved by itself since the page was opened: the sum of Chromium's scores."""
        return sum(self.driver.execute_async_script(_SHIFTS))

    def complaints(self) -> list[str]:
        """Errors and warnings on the console since the last time."""
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
