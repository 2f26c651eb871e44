"""The page in a real Chromium: by mouse, by keyboard, on a phone, in light and dark."""

import re

import pytest

from hsi.io.text import plain

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


def pixel_of(tab, row, col, frame=0):
    """Where the middle of a pixel is in a map, from the map's corner."""
    box = tab.locator(".frame canvas").nth(frame).bounding_box()
    return {"x": (col + 0.5) * box["width"] / 20, "y": (row + 0.5) * box["height"] / 24}


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
    for row, col in ((3, 2), (8, 10), (23, 19), (12, 9)):
        tab.locator(".frame").first.hover(position=pixel_of(tab, row, col))
        check_readout(tab, runs, row, col)
    said = tab.locator(".spectrum").get_attribute("aria-label")
    assert "Thick: the pixel." in said
    assert tab.locator(".spectrum path.pixel-line").count() == 1
    assert tab.locator(".spectrum .spread").count() == 1
    assert tab.locator(".cursor:visible").count() == 2  # in both maps


def test_arrow_keys_move_the_cursor(opened, runs):
    tab = opened()
    tab.locator(".frame").nth(1).focus()
    tab.keyboard.press("ArrowRight")
    check_readout(tab, runs, 12, 11)  # from the middle
    for key in ("ArrowUp", "ArrowUp", "ArrowLeft", "Shift+ArrowLeft"):
        tab.keyboard.press(key)
    check_readout(tab, runs, 10, 0)
    for _ in range(3):
        tab.keyboard.press("Shift+ArrowDown")
    tab.keyboard.press("ArrowLeft")
    check_readout(tab, runs, 23, 0)  # it stays inside


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
    wanted = {"button": 3, "radio": 6, "checkbox": 1, "application": 2, "DisclosureTriangle": 4, "table": 6}
    assert {role: roles.count(role) for role in wanted} == wanted
    assert all(tab.locator("img").nth(at).get_attribute("alt") for at in range(tab.locator("img").count()))
    reached = set()
    for _ in range(40):
        tab.keyboard.press("Tab")
        reached.add(tab.evaluate("document.activeElement.tagName + '.' + document.activeElement.className"))
    assert {"INPUT.", "INPUT.labelled", "BUTTON.", "DIV.frame", "DIV.scroll", "SUMMARY."} <= reached


def test_layers_and_classes_paint_what_they_say(opened, runs):
    tab = opened()
    scene = runs[0].load_scene()
    colors = ["#000000", *scene.colors]
    read = """([x, y]) => {
      const copy = new OffscreenCanvas(20, 24).getContext("2d");
      copy.drawImage(document.querySelector(".frame canvas"), 0, 0);
      const color = [...copy.getImageData(x, y, 1, 1).data].slice(0, 3);
      return color.map((v) => v.toString(16).padStart(2, "0")).join("");
    }"""
    predicted = runs[0].predict(scene, device="cpu")
    assert f"#{tab.evaluate(read, [10, 8])}" == colors[predicted[8, 10]]
    tab.get_by_label("Labels", exact=True).check()
    assert f"#{tab.evaluate(read, [2, 3])}" == colors[1]
    tab.get_by_role("button", name="Water").click()
    assert tab.get_by_role("button", name="Water").get_attribute("aria-pressed") == "true"
    assert tab.evaluate(read, [2, 3]) == "000000"
    assert f"#{tab.evaluate(read, [15, 3])}" == colors[3]
    tab.get_by_label("Errors", exact=True).check()
    test = runs[0].split.test
    wrong = test[scene.labels.ravel()[test] != predicted.ravel()[test]]
    row, col = divmod(int(wrong[0]), 20)
    assert tab.evaluate(read, [col, row]) == "d55e00"
    assert tab.get_by_text("Labelled, not tested").is_visible()
    assert not tab.get_by_role("button", name="Water").is_visible()
    tab.get_by_label("False colour").check()
    assert tab.evaluate(read, [10, 8]) != "000000"
    tab.get_by_label("Labelled pixels only").check()
    assert tab.evaluate(read, [10, 8]) == "000000"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read(opened, scheme):
    tab = opened(scheme=scheme)
    tab.locator(".frame").first.hover()
    tab.get_by_role("button", name="Water").click()
    for summary in tab.locator("summary").all():
        summary.click()
    ratios = tab.evaluate(CONTRAST)
    assert len(ratios) > 100
    assert min(ratios)[0] >= 4.5, min(ratios)
    light = tab.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(255, 255, 255)") == (scheme == "light")


def test_fits_a_phone(opened, runs):
    tab = opened(width=360, height=740)
    for summary in tab.locator("summary").all():
        summary.click()
    width, view = tab.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width == view == 360
    tab.locator(".frame").first.click(position=pixel_of(tab, 5, 4))
    check_readout(tab, runs, 5, 4)
    for control in (*tab.locator("button").all(), *tab.locator("label").all()):
        assert control.bounding_box()["height"] >= 24
