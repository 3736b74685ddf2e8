"""The page in a real browser, before a real model."""

import shutil
import urllib.parse

import numpy as np
import processes
import pytest
import servers

from ssagan_tf.serving.command import page_of
from ssagan_tf.serving.models import Models

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page(chromium, url):
    """The page as it opens."""
    return chromium().open(url)


@pytest.fixture
def open_page(page, url):
    """`open_page(caption=..., seed=..., ...)`: the page with this state in its address."""
    return lambda **state: page.open(f"{url}#{urllib.parse.urlencode(state)}")


def assert_near(pixels, expected, levels=2):
    assert np.abs(pixels.astype(int) - expected).max() <= levels


def test_it_opens_with_pictures_and_nothing_moves_or_complains(chromium, url):
    page = chromium().open(url)
    assert len(page.captions()) == 6 and len(np.unique(page.pixels())) > 20
    assert page.layout_shift() < 0.01
    assert page.complaints() == []


def test_a_typed_caption_becomes_its_pictures(open_page, birds):
    page = open_page(caption="a bird")
    page.write("caption", "a red bird")
    page.wait_until_drawn("“a red bird”")
    page.write("seed", "9223372036854775807")
    page.wait_until_drawn("Seed 9223372036854775807")
    assert_near(page.pixels(0), birds.generate("a red bird", seed=2**63 - 1)[0])
    assert_near(page.pixels(1), birds.generate("a red bird", seed=-(2**63))[0])
    assert page.alternatives()[0] == "“a red bird”, drawn with seed 9223372036854775807"


def test_a_seed_that_is_none_is_told_and_the_pictures_stay(open_page):
    page = open_page(caption="a red bird", count=1)
    before = page.pixels()
    page.write("seed", "12monkeys")
    page.wait_for(lambda: "whole number" in page.status(), "The seed was not refused")
    assert page["seed"].get_attribute("aria-invalid") == "true"
    np.testing.assert_array_equal(page.pixels(), before)


def test_a_word_is_swapped(open_page, birds):
    page = open_page(caption="a red bird with yellow wings", seed=5)
    page.button("yellow").click()
    assert page.driver.switch_to.active_element.get_attribute("id") == "swap"
    page.choose("swap", "blue")
    page.wait_until_drawn("After: blue")
    before, after = birds.generate(["a red bird with yellow wings", "a red bird with blue wings"], seed=5)
    assert_near(page.pixels(0), before)
    assert_near(page.pixels(1), after)
    change = np.abs(page.pixels(0).astype(int) - page.pixels(1)).mean()
    assert change > 0 and page.captions()[2] == f"Difference, {change:.1f} of 255"
    assert page.captions()[3] == "Mask, 64 × 64"


def test_colours_are_offered_first(open_page):
    page = open_page(caption="a red bird", view="swap")
    offered = page.driver.execute_script("return [...document.getElementById('swap')].map((option) => option.value)")
    assert offered[:2] == ["yellow", "blue"] and offered[2:] == sorted(offered[2:])
    assert page.captions()[1] == "After: yellow"


def test_the_mask_slider_goes_through_all_stages(open_page, birds):
    from selenium.webdriver import ActionChains, Keys

    page = open_page(caption="a red bird", seed=3, count=1)
    plain = page.pixels()
    page["mask"].send_keys(Keys.ARROW_RIGHT)
    page.wait_until_drawn("mask 4 × 4")
    _, masks = birds.generate_with_masks("a red bird", seed=3)
    rows = page.pixels().astype(int).sum(-1)
    assert not np.array_equal(page.pixels(), plain)
    # Brighter where the mask is larger, in squares of 16 pixels.
    squares = rows.reshape(4, 16, 4, 16).mean((1, 3)).ravel()
    assert np.corrcoef(squares, masks[0][0].ravel())[0, 1] > 0.3
    width = page["mask"].size["width"]
    ActionChains(page.driver).drag_and_drop_by_offset(page["mask"], width // 2, 0).perform()
    page.wait_until_drawn("mask 64 × 64")
    assert page["mask-text"].text == "64 × 64"
    page["mask"].send_keys(Keys.HOME)
    page.wait_until_drawn()
    np.testing.assert_array_equal(page.pixels(), plain)


def test_a_link_shows_the_same_pixels(open_page, chromium):
    page = open_page(caption="a blue bird", view="swap", seed=-17, mask=2)
    page.choose("swap", "wings")
    page.wait_until_drawn("After: wings")
    other = chromium().open(page.driver.current_url)
    for index in range(4):
        np.testing.assert_array_equal(other.pixels(index), page.pixels(index))
    assert other.captions() == page.captions()


def test_unknown_words_are_marked_and_corrected(open_page):
    page = open_page(caption="a red brid with wimgs", count=1)
    assert "brid is not known" in page["words"].text.replace("\n", " ")
    page.button("bird?").click()
    page.button("wings?").click()
    page.wait_until_drawn("“a red bird with wings”")
    assert "not known" not in page["words"].text
    page.write("caption", "xyzzy")
    page.wait_for(lambda: "knows no word" in page.status(), "It did not say so")


def test_between_two_the_slider_mixes(open_page, birds):
    page = open_page(caption="a red bird", to="a blue crown", view="between", seed=1, to_seed=2, along=0)
    assert_near(page.pixels(1), birds.generate("a red bird", seed=1)[0])
    page.driver.execute_script(
        "const slider = document.getElementById('along'); slider.value = 100;"
        "slider.dispatchEvent(new Event('input', { bubbles: true }))"
    )
    page.wait_until_drawn("100 % of the way")
    assert_near(page.pixels(1), birds.generate("a blue crown", seed=2)[0])
    page.write("to", "xyzzy")
    page.wait_for(lambda: "no word of the other caption" in page.status(), "It did not say so")


def held_cells(page):
    """{cell: "closed" or "open"} of the grid, row by row."""
    names = page.driver.execute_script(
        "return [...document.querySelectorAll('[role=gridcell]')].map((cell) => cell.dataset.held)"
    )
    return {at: name for at, name in enumerate(names) if name != "as predicted"}


def painted(grid, x, y, along):
    """Drags by mouse from a cell to one further along."""
    from selenium.webdriver import ActionChains

    cell = grid.size["width"] / 16
    place = ActionChains(grid.parent).move_to_element_with_offset(
        grid, round((x - 7.5) * cell), round((y - 7.5) * cell)
    )
    place.click_and_hold().move_by_offset(round(along * cell), 0).release().perform()


def brush(page, kind):
    page.driver.find_element("css selector", f"[name=brush][value='{kind}']").click()


def test_a_swapped_word_changes_what_is_painted_and_nothing_else(open_page, birds):
    page = open_page(caption="a red bird", view="swap", swap="blue", seed=3)
    page["paint"].find_element("tag name", "summary").click()
    painted(page["grid"], 0, 0, 7)
    page.wait_until_drawn("(248 of 256 cells)")
    free, fully = np.zeros((64, 64, 1), bool), np.zeros((64, 64, 1), bool)
    free[:4, :32] = True
    before, after = birds.generate(["a red bird", "a blue bird"], seed=3)
    assert_near(page.pixels(0), before)
    assert_near(page.pixels(1), np.where(free, after, before))
    assert "where the grid is closed, the picture before" in page.alternatives()[1]
    assert np.abs(before.astype(int) - after)[4:].max() > 2  # or nothing shows that it is kept
    brush(page, 2)
    painted(page["grid"], 8, 15, 7)
    page.wait_for(lambda: held_cells(page)[255] == "open", "No row was painted")
    page.wait_until_drawn("After: blue")
    fully[60:, 32:] = True
    overrides = np.where(fully[..., 0], 1, -1).astype(np.float32)
    after = birds.generate("a blue bird", seed=3, mask_overrides=overrides)[0]
    expected = np.where(free | fully, after, before)
    assert_near(page.pixels(1), expected)
    link = page.driver.current_url
    page.button("Clear").click()
    page.wait_until_drawn("After: blue")
    assert not held_cells(page) and "hold" not in page.driver.current_url
    page.open(link)
    assert_near(page.pixels(1), expected)


def test_masks_are_painted_by_keys(open_page, birds):
    from selenium.webdriver import Keys

    page = open_page(caption="a red bird", count=1, seed=3)
    page["paint"].find_element("tag name", "summary").send_keys(Keys.ENTER)
    brush(page, 1)
    for _ in range(3):
        page["grid"].send_keys(Keys.ARROW_DOWN, Keys.SPACE, Keys.ARROW_RIGHT, Keys.SPACE)
    assert held_cells(page) == dict.fromkeys([16, 17, 33, 34, 50, 51], "closed")
    active = page["grid"].get_attribute("aria-activedescendant")
    assert page[active].get_attribute("aria-label") == "Row 4, column 4: closed"
    page.wait_until_drawn("with masks held")
    overrides = np.full(256, -1, np.float32)
    overrides[[16, 17, 33, 34, 50, 51]] = 0
    overrides = overrides.reshape(16, 16).repeat(4, 0).repeat(4, 1)
    assert_near(page.pixels(), birds.generate("a red bird", seed=3, mask_overrides=overrides)[0])


def test_where_masks_cannot_be_held_it_says_so(open_page):
    page = open_page(caption="a red bird", to="a blue crown", view="between")
    page["paint"].find_element("tag name", "summary").click()
    assert "A server holds no masks in this view." in page["paint-reason"].text
    assert not page.button("Clear").is_enabled() and not page["grid"].is_displayed()


def test_the_legend_is_the_masks_alone(open_page):
    page = open_page(caption="a red bird", view="swap")
    figures = page.driver.find_elements("tag name", "figure")
    assert ["nowhere" in figure.text for figure in figures] == [False, False, False, True]
    assert page["mask-text"].text == "64 × 64" and page["mask"].get_attribute("value") == "5"


def test_keys_alone_do(open_page):
    from selenium.webdriver import ActionChains, Keys

    page = open_page(caption="a red bird", count=1)
    page["caption"].click()
    ActionChains(page.driver).send_keys(Keys.TAB, Keys.TAB, Keys.ENTER).perform()
    page.wait_until_drawn("Before: red")
    page.driver.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    page.wait_until_drawn("After: blue")


@pytest.fixture(scope="session")
def axe(tmp_path_factory):
    """axe-core's script, which looks for what people with disabilities would stumble over."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None or processes.run(npm, "install", "--no-audit", "--no-fund", "axe-core@4", cwd=folder).returncode:
        pytest.skip("npm could not install axe-core.")
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


VIEWS = {
    "seeds": {"caption": "a red brid with " + "w" * 200},
    "swap": {"caption": "a red bird", "view": "swap", "mask": 2},
    "between": {"caption": "a red bird", "view": "between", "to": "wings"},
}


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_everybody_can_use_it_and_nothing_sticks_out(chromium, url, axe, width, dark):
    page = chromium(width=width, height=844, dark=dark)
    for name, state in VIEWS.items():
        page.open(f"{url}#{urllib.parse.urlencode(state)}")
        assert page.driver.execute_script("return document.querySelector('canvas').getBoundingClientRect().top") < 320
        page["paint"].find_element("tag name", "summary").click()
        assert page.driver.execute_script("return document.documentElement.scrollWidth") <= width, name
        page.driver.execute_script(axe)
        found = page.driver.execute_async_script("axe.run().then(({violations}) => arguments[0](violations))")
        assert not found, (name, [(each["id"], each["nodes"][0]["html"]) for each in found])


def test_a_stopped_server_is_told_and_found_again(open_page, script, birds):
    page = open_page(caption="a red bird", count=1, seed=100)
    before = page.pixels()
    script.stop()
    try:
        page.write("seed", "101")
        page.wait_for(lambda: "does not answer" in page.status(), "It did not say so")
        np.testing.assert_array_equal(page.pixels(), before)
    finally:
        script.start()
    page.wait_until_drawn("Seed 101")
    assert_near(page.pixels(), birds.generate("a red bird", seed=101)[0])


def test_another_model_is_chosen_with_its_terms(chromium, exported, tmp_path):
    shutil.copytree(exported, tmp_path / "finches")
    (tmp_path / "finches/terms.txt").write_text("For reading alone.\n")
    folders = {"birds": exported, "finches": tmp_path / "finches"}
    with servers.running(Models(folders), page_of(folders)) as server:
        page = chromium().open(f"{server.url}#caption=a+red+bird&count=1")
        assert "its folder states none" in page["terms"].text
        page.choose("model", "finches")
        page.wait_until_drawn("For reading alone.")
        assert "model=finches" in page.driver.current_url
        asked = page.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert sum(name.endswith("/finches:predict") for name in asked) == 1
        page.driver.back()
        page.wait_until_drawn("its folder states none")
        assert page["model"].get_attribute("value") == "birds"
        again = chromium().open(f"{server.url}#model=finches&count=1")
        assert "For reading alone." in again["terms"].text
