"""The page in a real Chromium: by mouse, by keyboard, on a phone, in light and dark."""

import csv
import re

import numpy as np
import pytest
from PIL import Image

from hsi.datasets.scene import to_rgb
from hsi.io.text import plain
from hsi.report.pictures import classify

CONTRAST = """() => {
  const parse = (color) => [...color.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = (c) => {
    const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    const [r, g, b] = c.slice(0, 3).map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (e) => {
    if (!e) return [255, 255, 255, 1];
    const own = parse(getComputedStyle(e).backgroundColor);
    return own[3] === 1 ? own : over(own, behind(e.parentElement));
  };
  const found = [];
  for (const e of document.querySelectorAll("body *")) {
    const text = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!text || !e.checkVisibility() || ["SCRIPT", "NOSCRIPT"].includes(e.tagName)) continue;
    const style = getComputedStyle(e), back = behind(e);
    const color = parse(e.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const ink = light(over(color, back)), under = light(back);
    const ratio = (Math.max(ink, under) + .05) / (Math.min(ink, under) + .05);
    found.push([Math.round(100 * ratio) / 100, e.tagName, e.textContent.trim().slice(0, 30)]);
  }
  return found;
}"""


@pytest.fixture
def opened(chromium, written):
    """A page at a size and in a colour scheme; at the end there was no error and no request."""
    seen, pages = [], []

    def open_page(width=1200, height=900, scheme="light"):
        tab = chromium.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
        pages.append(tab)
        tab.on("console", lambda message: seen.append(message.text))
        tab.on("pageerror", lambda error: seen.append(str(error)))
        tab.on("request", lambda request: seen.append(request.url))
        tab.goto(written.page.as_uri())
        tab.wait_for_selector("section.map[data-ready=true]", timeout=20_000)
        return tab

    yield open_page
    for tab in pages:
        tab.close()
    assert {one for one in seen if not one.startswith("data:")} == {written.page.as_uri()}


def pixel_of(tab, row, col):
    """Where the middle of a pixel is in the map, from the corner of its frame."""
    frame, layer = tab.locator(".frame").bounding_box(), tab.locator(".layer").first.bounding_box()
    return {
        "x": layer["x"] - frame["x"] + (col + 0.5) * layer["width"] / 20,
        "y": layer["y"] - frame["y"] + (row + 0.5) * layer["height"] / 24,
    }


def said_of(runs, row, col):
    """What the page has to say of a pixel, without the confidence."""
    scene = runs[0].load_scene()
    label = scene.labels[row, col]
    lines = []
    for run in runs:
        found = run.predict(scene, device="cpu")[row, col]
        flat = row * 20 + col
        parts = {"train": run.split.train, "validation": run.split.val, "test": run.split.test}
        part = next((f" ({name} pixel)" for name, pixels in parts.items() if flat in pixels), "")
        right = (", right" if found == label else ", wrong") if label else ""
        lines.append(f"{run.path.name}: {plain(scene.class_names[found - 1])}{right}{part}, confidence ")
    where = f"labelled {plain(scene.class_names[label - 1])}" if label else "unlabelled"
    return f"Row {row}, column {col}: {where}.", lines


def check_readout(tab, runs, row, col):
    where, lines = said_of(runs, row, col)
    assert tab.locator(".readout p").inner_text() == where
    shown = tab.locator(".readout li").all_inner_texts()
    for line, text in zip(lines, shown, strict=True):
        assert text.startswith(line)
        assert re.fullmatch(r"\d+\.\d %", text[len(line) :])


def test_hovering_tells_class_confidence_and_spectrum(opened, runs):
    tab = opened()
    for row, col in ((3, 2), (8, 12), (23, 1), (12, 7)):
        tab.locator(".frame").hover(position=pixel_of(tab, row, col))
        check_readout(tab, runs, row, col)
    said = tab.locator(".spectrum").get_attribute("aria-label")
    assert "The pixel" in said
    assert "Mean of Soil" in said
    assert tab.locator(".spectrum path.pixel-line").count() == 1
    assert tab.locator(".spectrum .spread").count() == 1
    assert tab.locator(".lines li").count() == tab.locator(".spectrum path.line").count()
    texts = tab.locator(".spectrum text").all_text_contents()
    assert {"Band", "Value in the file"} <= set(texts)
    stroke = tab.locator(".spectrum path.mean").first.get_attribute("stroke")
    assert stroke in runs[0].load_scene().colors


def test_the_spectrum_is_drawn_with_the_gaps_of_missing_bands(opened):
    tab = opened()
    tab.evaluate("""() => drawChart(document.querySelector(".spectrum"), {
      places: [400, 500, 600, 900, 1000], breaks: [3], xTitle: "", yTitle: "", range: [0, 1], spreads: [],
      lines: [
        { values: [1, 2, 3, 4, 5], kind: "mean", color: "#ff0000" },
        { values: [1, null, 3, 2, null], kind: "pixel-line" },
      ],
    })""")
    assert tab.locator(".spectrum path.mean").count() == 2
    assert tab.locator(".spectrum .pixel-line").count() == 3  # single points are dots
    assert tab.locator(".spectrum circle").count() == 3


def test_the_first_pixel_is_the_wrong_one_that_the_run_is_surest_of(opened, runs):
    tab = opened()
    scene = runs[0].load_scene()
    kept = classify(runs[0], scene, device="cpu")
    test = runs[0].split.test
    wrong = test[kept.labels.ravel()[test] != scene.labels.ravel()[test]]
    sure = np.round(1000 * kept.confidence.ravel()[wrong])
    row, col = divmod(int(wrong[np.argmax(sure)]), 20)
    check_readout(tab, runs, row, col)
    assert "the wrong test pixel" in tab.locator(".pin").inner_text()
    assert tab.locator(".spectrum path").count() > 5


def test_a_click_holds_a_pixel_until_escape(opened, runs):
    tab = opened()
    tab.locator(".frame").click(position=pixel_of(tab, 3, 2))
    tab.locator(".frame").hover(position=pixel_of(tab, 20, 4))
    check_readout(tab, runs, 3, 2)
    tab.keyboard.press("Escape")
    tab.locator(".frame").hover(position=pixel_of(tab, 21, 4))
    check_readout(tab, runs, 21, 4)


def test_arrow_keys_move_the_cursor(opened, runs):
    tab = opened()
    tab.locator(".frame").click(position=pixel_of(tab, 12, 4))
    tab.keyboard.press("ArrowRight")
    check_readout(tab, runs, 12, 5)
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Shift+ArrowLeft"):
        tab.keyboard.press(key)
    check_readout(tab, runs, 10, 0)
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowDown")
    tab.keyboard.press("ArrowLeft")
    check_readout(tab, runs, 23, 0)  # it stays inside


def wide(tab):
    """How many screen pixels the map is wide."""
    return tab.locator(".layer").first.bounding_box()["width"]


def test_zooms_by_button_key_wheel_and_double_click_and_pans_by_drag(opened, runs):
    tab = opened()
    whole = wide(tab)
    tab.get_by_role("button", name="Zoom in").click()
    assert wide(tab) == pytest.approx(1.5 * whole, rel=0.01)
    tab.get_by_role("button", name="Zoom out").click()
    assert wide(tab) == pytest.approx(whole, rel=0.01)
    tab.locator(".frame").focus()
    tab.keyboard.press("+")
    tab.keyboard.press("+")
    assert wide(tab) == pytest.approx(2.25 * whole, rel=0.01)
    box = tab.locator(".frame").bounding_box()
    x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
    before = tab.locator(".layer").first.bounding_box()
    tab.mouse.move(x, y)
    tab.mouse.down()
    tab.mouse.move(x + 40, y + 30, steps=4)
    tab.mouse.up()
    after = tab.locator(".layer").first.bounding_box()
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((40, 30), abs=1)
    tab.locator(".frame").hover(position=pixel_of(tab, 12, 8))
    check_readout(tab, runs, 12, 8)  # pixels are found in the moved view too
    tab.mouse.wheel(0, -100)
    assert wide(tab) > 2.3 * whole
    tab.keyboard.press("0")
    assert wide(tab) == pytest.approx(whole, rel=0.01)
    tab.locator(".frame").dblclick(position=pixel_of(tab, 5, 5))
    assert wide(tab) == pytest.approx(2 * whole, rel=0.01)
    for _ in range(30):
        tab.keyboard.press("ArrowRight")  # the view follows the pixel
    cursor, frame = tab.locator(".cursor").bounding_box(), tab.locator(".frame").bounding_box()
    assert cursor["x"] + cursor["width"] <= frame["x"] + frame["width"] + 1


def test_the_wheel_scrolls_the_page_until_the_map_is_pressed(opened):
    tab = opened()
    whole = wide(tab)
    tab.locator(".frame").hover(position=pixel_of(tab, 12, 4))
    tab.mouse.wheel(0, 200)
    tab.wait_for_timeout(500)
    assert tab.evaluate("window.scrollY") > 50
    assert wide(tab) == whole


def test_the_swipe_moves_by_drag_and_by_keys(opened):
    tab = opened()
    handle = tab.get_by_role("slider", name=re.compile("Swipe between net: prediction on the left"))
    assert handle.get_attribute("aria-valuenow") == "50"
    layer, grip = tab.locator(".layer").first.bounding_box(), handle.bounding_box()
    tab.mouse.move(grip["x"] + 14, grip["y"] + 40)
    tab.mouse.down()
    tab.mouse.move(layer["x"] + 0.25 * layer["width"], grip["y"] + 60, steps=5)
    tab.mouse.up()
    assert handle.get_attribute("aria-valuenow") == "25"
    # What is right of the bar is the right layer, what is left of it the left one.
    cut = tab.locator(".right-layer").evaluate("(e) => getComputedStyle(e).clipPath")
    assert float(re.findall(r"[\d.]+(?=px)", cut)[-1]) == pytest.approx(0.25 * layer["width"], abs=1.5)
    for key, value in (("ArrowRight", "27"), ("Shift+ArrowLeft", "17"), ("End", "100"), ("Home", "0")):
        tab.keyboard.press(key)
        assert handle.get_attribute("aria-valuenow") == value
    tab.keyboard.press("ArrowLeft")
    assert handle.get_attribute("aria-valuenow") == "0"


def test_every_control_can_be_reached_and_has_a_name(opened):
    tab = opened()
    told = tab.context.new_cdp_session(tab).send("Accessibility.getFullAXTree")["nodes"]
    seen = [node for node in told if not node["ignored"] and node["role"]["value"] != "RootWebArea"]
    for node in seen:
        role, name = node["role"]["value"], node.get("name", {}).get("value", "")
        focusable = any(fact["name"] == "focusable" for fact in node.get("properties", ()))
        if focusable or role in ("image", "region"):
            assert name.strip(), node
    roles = [node["role"]["value"] for node in seen]
    wanted = {"button": 11, "combobox": 3, "checkbox": 3, "application": 1, "slider": 2, "table": 7}
    assert {role: roles.count(role) for role in wanted} == wanted
    reached = set()
    for _ in range(45):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
        seen = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        if tab.evaluate("!document.activeElement.matches('body, .handle')"):
            assert seen != "none"
    wanted = (
        "SELECT.side INPUT.opacity DIV.frame DIV.handle BUTTON.zoom-in BUTTON. INPUT.labelled BUTTON.save-map"
    )
    wanted += " INPUT.borders INPUT.means SELECT.which-run DIV.scroll BUTTON.save-confusion SUMMARY."
    assert set(wanted.split()) <= reached


READ = """([side, x, y]) => {
  const copy = new OffscreenCanvas(20, 24).getContext("2d");
  copy.drawImage(document.querySelectorAll(".stage canvas")[side], 0, 0);
  const color = [...copy.getImageData(x, y, 1, 1).data].slice(0, 3);
  return "#" + color.map((v) => v.toString(16).padStart(2, "0")).join("");
}"""


def test_layers_paint_what_they_say(opened, runs):
    tab = opened()
    scene = runs[0].load_scene()
    colors = ["#000000", *scene.colors]
    left, right = tab.locator("select.side").all()
    maps = [run.predict(scene, device="cpu") for run in runs]
    for row, col in ((8, 10), (3, 2), (20, 17)):
        for side, found in enumerate(maps):
            assert tab.evaluate(READ, [side, col, row]) == colors[found[row, col]]
    assert not tab.get_by_text("Unlabelled", exact=True).first.is_visible()
    left.select_option("Labels")
    assert tab.evaluate(READ, [0, 2, 3]) == colors[1]
    assert tab.evaluate(READ, [0, 0, 3]) == "#000000"
    assert tab.locator("li[data-only=truth]").is_visible()
    left.select_option("net: errors")
    test = runs[0].split.test
    wrong = test[scene.labels.ravel()[test] != maps[0].ravel()[test]]
    row, col = divmod(int(wrong[0]), 20)
    assert tab.evaluate(READ, [0, col, row]) == "#d55e00"
    assert tab.get_by_text("Labelled, not tested").is_visible()
    right.select_option("Difference: net, knn")
    both = np.intersect1d(test, runs[1].split.test)
    truth = scene.labels.ravel()[both]
    kind = (maps[0].ravel()[both] != truth) + 2 * (maps[1].ravel()[both] != truth)
    for place, color in ((0, "#f0f0f0"), (2, "#e69f00"), (1, "#0072b2")):  # both, only net, only knn right
        for pixel in both[kind == place][:3]:
            assert tab.evaluate(READ, [1, int(pixel) % 20, int(pixel) // 20]) == color
    assert not tab.get_by_role("button", name="Water").is_visible()
    left.select_option("False colour")
    assert tab.evaluate(READ, [0, 10, 8]) != "#000000"
    tab.get_by_label("Labelled pixels only").check()
    assert tab.evaluate(READ, [0, 10, 8]) == "#000000"


def test_opacity_lets_the_image_through(opened):
    tab = opened()
    left, right = tab.locator("select.side").all()
    left.select_option("Labels")
    right.select_option("False colour")
    slider = tab.get_by_label("Opacity")
    slider.fill("0")
    assert tab.evaluate(READ, [0, 2, 3]) == tab.evaluate(READ, [1, 2, 3])
    slider.fill("100")
    assert tab.evaluate(READ, [0, 2, 3]) != tab.evaluate(READ, [1, 2, 3])


def test_several_chosen_classes_stay_and_the_rest_is_dimmed(opened, runs):
    tab = opened()
    colors = runs[0].load_scene().colors
    tab.locator("select.side").first.select_option("Labels")
    water, grass = (tab.get_by_role("button", name=name) for name in ("Water", "Grass"))
    water.click()
    assert water.get_attribute("aria-pressed") == "true"
    dimmed = tab.evaluate(READ, [0, 2, 3])
    assert dimmed not in ("#000000", colors[0])
    assert tab.evaluate(READ, [0, 15, 3]) == colors[2]
    assert "Mean of Water" in tab.locator(".lines").inner_text()
    grass.click()
    assert tab.evaluate(READ, [0, 2, 3]) == colors[0]
    assert tab.evaluate(READ, [0, 15, 3]) == colors[2]
    assert tab.evaluate(READ, [0, 9, 3]) != colors[1]
    tab.get_by_role("button", name="All classes").click()
    assert water.get_attribute("aria-pressed") == "false"
    assert tab.evaluate(READ, [0, 9, 3]) == colors[1]
    tab.get_by_label("Means of all classes").check()
    assert tab.locator(".spectrum path.mean").count() == 3


def test_the_borders_of_regions_are_drawn_where_they_are(opened, runs):
    tab = opened()
    drawn = tab.locator(".regions path").first.get_attribute("d")
    regions = runs[1].split.regions.astype(int)
    across, down = np.argwhere(np.diff(regions, axis=0)), np.argwhere(np.diff(regions, axis=1))
    wanted = {("H", int(row) + 1, int(col)) for row, col in across}
    wanted |= {("V", int(row), int(col) + 1) for row, col in down}
    found = set()
    for x, y, way, end in re.findall(r"M(\d+),(\d+)([HV])(\d+)", drawn):
        x, y, end = int(x), int(y), int(end)
        found |= (
            {(way, y, at) for at in range(x, end)} if way == "H" else {(way, at, x) for at in range(y, end)}
        )
    assert found == wanted
    tab.get_by_label("Borders of the regions").uncheck()
    assert tab.locator(".regions path").first.get_attribute("d") == ""


def test_tables_can_be_saved_as_csv(opened, runs, tmp_path):
    tab = opened()
    tab.locator(".which-run").select_option("knn")
    with tab.expect_download() as caught:
        tab.get_by_role("button", name="Confusion as CSV").click()
    assert caught.value.suggested_filename == "small-knn-confusion.csv"
    with open(caught.value.path(), newline="", encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    names = [plain(name) for name in runs[0].load_scene().class_names]
    assert head[1:] == [row[0] for row in rows] == names
    assert [[int(cell) for cell in row[1:]] for row in rows] == runs[1].metrics["test"]["confusion"]
    with tab.expect_download() as caught:
        tab.get_by_role("button", name="Classes as CSV").first.click()
    with open(caught.value.path(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    test = runs[0].metrics["test"]
    assert [float(row["recall"]) for row in rows] == pytest.approx(test["recall"], abs=1e-5)
    assert [int(row["test pixels"]) for row in rows] == test["support"]
    for row, right in zip(rows, np.diag(test["confusion"]), strict=True):  # Wilson's formula
        n, z = int(row["test pixels"]), 1.959964
        centre = (right + z * z / 2) / (n + z * z)
        half = z * (right * (n - right) / n + z * z / 4) ** 0.5 / (n + z * z)
        assert float(row["recall low"]) == pytest.approx(centre - half, abs=1e-4)
        assert float(row["recall high"]) == pytest.approx(centre + half, abs=1e-4)


def test_a_name_that_a_spreadsheet_would_compute_is_saved_as_text(opened):
    tab = opened()
    with tab.expect_download() as caught:
        tab.evaluate("""() => saveCsv("a/b<c>.csv", [["=1+1", 'say "x"', -0.5, null]])""")
    assert caught.value.suggested_filename == "a_b_c_.csv"
    assert caught.value.path().read_bytes() == b'"\'=1+1","say ""x""",-0.5,\r\n'


def test_the_map_is_saved_as_it_is_shown_with_its_key(opened, runs):
    tab = opened()
    scene = runs[0].load_scene()
    tab.get_by_label("Borders of the regions").uncheck()
    tab.locator("select.side").first.select_option("Labels")
    with tab.expect_download() as caught:
        tab.get_by_role("button", name="Map as PNG").click()
    assert caught.value.suggested_filename == "small-map.png"
    image = np.asarray(Image.open(caught.value.path()).convert("RGB"))
    assert image.shape[1] == 1000
    assert image.shape[0] > 1200 + 40  # 24 rows of 50, the caption, the key
    colors = to_rgb(("#000000", *scene.colors))
    found = runs[1].predict(scene, device="cpu")
    assert (image[3 * 50 + 25, 2 * 50 + 25] == colors[scene.labels[3, 2]]).all()  # left: labels
    assert (image[3 * 50 + 25, 17 * 50 + 25] == colors[found[3, 17]]).all()  # right: the second run
    key = image[1200:].reshape(-1, 3)
    for color in colors[1:]:
        assert (key == color).all(axis=1).sum() > 100


def test_the_reliability_diagram_has_a_name_and_a_table(opened, runs):
    tab = opened(390, 844)
    drawn = tab.get_by_role("img", name=re.compile("^Share of right test pixels against confidence"))
    assert drawn.count() == len(runs)
    box = drawn.first.bounding_box()
    assert box["width"] > 250
    assert box["x"] + box["width"] <= 390
    inside = drawn.first.locator("circle").evaluate_all(
        """dots => dots.every(dot => {
          const [a, b] = [dot.getBoundingClientRect(), dot.closest("svg").getBoundingClientRect()];
          return a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;
        })"""
    )
    assert inside
    table = tab.locator("details", has_text="The diagram as a table").first
    assert not table.locator("table").is_visible()
    table.locator("summary").focus()
    tab.keyboard.press("Enter")
    bins = runs[0].metrics["calibration"]["bins"]
    rows = sum(before["pixels"] + after["pixels"] > 0 for before, after in zip(*bins.values(), strict=True))
    assert table.locator("tbody tr").count() == rows
    assert table.locator("table").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(opened, scheme):
    tab = opened(scheme=scheme)
    tab.locator(".frame").hover(position=pixel_of(tab, 3, 2))
    tab.get_by_role("button", name="Water").click()
    for summary in tab.locator("summary").all():
        summary.click()
    ratios = tab.evaluate(CONTRAST)
    assert len(ratios) > 100
    assert min(ratios)[0] >= 4.5, min(ratios)
    light = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(255, 255, 255)") == (scheme == "light")
    assert tab.locator("img").count() == 0  # the curves are drawn in the colours of the page
    assert tab.locator(".curve path.line").count() == 4


def test_fits_a_phone_and_the_first_column_stays(opened, runs):
    tab = opened(width=360, height=740)
    for summary in tab.locator("summary").all():
        summary.click()
    width, view = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width == view == 360
    tab.locator(".frame").click(position=pixel_of(tab, 5, 4))
    check_readout(tab, runs, 5, 4)
    for control in tab.locator("button:visible, label:visible, select:visible, .handle").all():
        assert control.bounding_box()["height"] >= 24
    scores, first = tab.locator(".scroll").first, tab.locator(".scores tbody th").first
    before = first.bounding_box()["x"]
    assert scores.evaluate("(e) => { e.scrollLeft = 200; return e.scrollLeft; }") > 50
    assert first.bounding_box()["x"] == before
    map_box, pixel_box = tab.locator(".stage").bounding_box(), tab.locator(".pixel").bounding_box()
    assert pixel_box["y"] - (map_box["y"] + map_box["height"]) < 740


def test_two_fingers_zoom_and_one_taps_or_pans(chromium, written, runs):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    tab = context.new_page()
    tab.goto(written.page.as_uri())
    tab.wait_for_selector("section.map[data-ready=true]", timeout=20_000)
    tab.locator(".frame").scroll_into_view_if_needed()
    box, whole = tab.locator(".frame").bounding_box(), wide(tab)
    touch = context.new_cdp_session(tab)

    def send(kind, *places):
        points = [
            {"x": box["x"] + x, "y": box["y"] + y, "id": number} for number, (x, y) in enumerate(places)
        ]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def swipe(kind, *paths):
        for share in (0.25, 0.5, 0.75, 1):
            send(kind, *((a + share * (c - a), b + share * (d - b)) for a, b, c, d in paths))

    here = pixel_of(tab, 5, 4)
    send("touchStart", (here["x"], here["y"]))
    send("touchEnd")
    check_readout(tab, runs, 5, 4)
    send("touchStart", (80, 220), (120, 220))
    swipe("touchMove", (80, 220, 50, 220), (120, 220, 150, 220))
    send("touchEnd")
    tab.wait_for_timeout(100)
    assert wide(tab) == pytest.approx(2.5 * whole, rel=0.15)
    before = tab.locator(".layer").first.bounding_box()
    send("touchStart", (100, 100))
    swipe("touchMove", (100, 100, 130, 80))
    send("touchEnd")
    tab.wait_for_timeout(100)
    after = tab.locator(".layer").first.bounding_box()
    assert (after["x"] - before["x"], after["y"] - before["y"]) == pytest.approx((30, -20), abs=2)
    context.close()


def test_prints_without_its_controls(opened):
    tab = opened()
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    for gone in ("select", ".zoom", ".save-map", ".save-classes", "details"):
        assert tab.locator(f"{gone}:visible").count() == 0
    assert tab.locator(".stage").is_visible()
    assert tab.locator(".confusion:visible").count() == 1
    assert tab.get_by_role("button", name="Grass").is_visible()  # the key
