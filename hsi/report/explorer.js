// The explorer of a scene: layers and their controls, the pixel in hand, spectrum, confusion, downloads.

const KINDS = { predicted: "classes", truth: "classes" }; // the key of a layer; others have their own
const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

async function openScene(section, scene, page) {
  scene.truth = await unpack(scene.truth, Uint16Array);
  scene.image = await unpack(scene.image, Uint8Array);
  scene.spectra.codes = await unpack(scene.spectra.codes, Uint8Array);
  for (const run of scene.runs) {
    for (const name of ["predicted", "confidence", "part", "regions"]) {
      run[name] = run[name] && (await unpack(run[name], Uint16Array));
    }
  }
  const find = (what) => section.querySelector(what), all = (what) => [...section.querySelectorAll(what)];
  const colorOf = makeColors(scene, page);
  const canvases = all(".stage canvas"), selects = all(".side"), names = all(".badge");
  const opacity = find(".opacity"), labelled = find(".labelled"), borders = find(".borders"), means = find(".means");
  const frame = find(".frame"), spectrum = find(".spectrum"), readout = find(".readout");
  const state = { chosen: new Set(), pixel: 0, pinned: false, first: "" };

  // A side's layer, from "errors-1" (of the second run) or "difference-0-1".
  function layerOf(select) {
    const [layer, run = 0, other = 0] = select.value.split("-");
    return { layer, run: scene.runs[run], other: scene.runs[other], name: select.selectedOptions[0].text };
  }

  function paint() {
    const shown = selects.map(layerOf);
    shown.forEach((one, at) => {
      paintLayer(canvases[at], scene, colorOf, one, {
        chosen: state.chosen, labelled: labelled.checked, opacity: Number(opacity.value) / 100,
      });
      names[at].textContent = one.name;
    });
    const kinds = shown.map(({ layer }) => KINDS[layer] ?? layer);
    for (const key of all(".key")) key.hidden = !kinds.includes(key.dataset.kind);
    for (const key of all("[data-only]")) key.hidden = !shown.some(({ layer }) => layer === key.dataset.only);
    find(".handle").setAttribute("aria-label", `Swipe between ${shown[0].name} on the left and ${shown[1].name} on the right`);
    if (!borders) return;
    const { regions } = [...shown].reverse().map(({ run }) => run).find((run) => run.regions) ?? { regions: null };
    state.borders = borders.checked && regions ? regionBorders(regions, scene.rows, scene.cols) : "";
    for (const path of all(".regions path")) path.setAttribute("d", state.borders);
  }

  function spectrumOf(pixel) {
    const { mean, basis, low, step, codes } = scene.spectra;
    const values = mean.slice();
    basis.forEach((row, at) => {
      const score = low[at] + step[at] * codes[at * scene.rows * scene.cols + pixel];
      row.forEach((part, band) => { values[band] += score * part; });
    });
    return values;
  }

  const several = scene.runs.length > 1;

  function describe() {
    const { pixel, pinned } = state;
    const row = Math.floor(pixel / scene.cols) * scene.step;
    const col = (pixel % scene.cols) * scene.step;
    const truth = scene.truth[pixel];
    const where = document.createElement("p");
    where.textContent = `Row ${row}, column ${col}: ${truth ? `labelled ${scene.names[truth - 1]}` : "unlabelled"}.`;
    const said = document.createElement("ul");
    for (const run of scene.runs) {
      const item = document.createElement("li");
      const found = run.predicted[pixel];
      const name = several ? `${run.name}: ` : "";
      said.append(item);
      if (!found) {
        item.textContent = `${name}no data`;
        continue;
      }
      const right = truth ? (truth === found ? ", right" : ", wrong") : "";
      const part = run.part[pixel] ? ` (${page.partNames[run.part[pixel]].toLowerCase()} pixel)` : "";
      item.textContent =
        `${name}${scene.names[found - 1]}${right}${part}, confidence ${(run.confidence[pixel] / 10).toFixed(1)} %`;
    }
    readout.replaceChildren(where, said);
    const pin = find(".pin");
    pin.textContent = pinned ? "Held: Esc lets go, a click holds another pixel." : `${state.first}A click holds a pixel.`;
  }

  function plot() {
    const { pixel } = state;
    const found = scene.runs.map((run) => run.predicted[pixel]);
    const truth = scene.truth[pixel];
    const wanted = means.checked ? scene.names.map((_, at) => at + 1) : [truth, ...found, ...state.chosen];
    const lines = [], spreads = [], legend = [];
    for (const label of new Set(wanted)) {
      const of = scene.classes[label - 1];
      if (!of) continue;
      const color = scene.colors[label - 1], dashed = truth > 0 && label === truth && found.some((one) => one !== truth);
      const by = scene.runs.filter((_, at) => found[at] === label).map((run) => (several ? run.name : "predicted"));
      const roles = [...(label === truth ? ["labelled"] : []), ...by].join(", ");
      lines.push({ values: of.mean, kind: "mean", color, dashed });
      legend.push({ kind: "mean", color, dashed, name: `Mean of ${scene.names[label - 1]}${roles && ` (${roles})`}` });
      if (label !== found[0]) continue;
      const edge = (sign) => of.mean.map((value, band) => value + sign * of.std[band]);
      spreads.push({ low: edge(-1), high: edge(1), color });
      legend[legend.length - 1].name += ", shaded: ± 1 SD";
    }
    lines.push({ values: spectrumOf(pixel), kind: "pixel-line" });
    legend.unshift({ kind: "pixel-line", name: "The pixel" });
    const { places, breaks, title } = scene.axis;
    drawChart(spectrum, { places, breaks, xTitle: title, yTitle: scene.unit, range: scene.range, lines, spreads });
    drawLegend(find(".lines"), legend);
    spectrum.setAttribute("aria-label", `Spectrum: ${legend.map(({ name }) => name).join("; ")}.`);
  }

  function choose(row, col, follow = false) {
    state.pixel = row * scene.cols + col;
    state.first = "";
    view.mark(row, col, follow);
    describe();
    plot();
  }

  function hold(pinned) {
    state.pinned = pinned;
    describe();
  }

  const view = openView(find(".stage"), scene.rows, scene.cols, {
    hover: (row, col) => { if (!state.pinned) choose(row, col); },
    pick: (row, col) => { choose(row, col); hold(true); },
  });
  for (const canvas of canvases) [canvas.width, canvas.height] = [scene.cols, scene.rows];

  const KEYS = { "+": () => view.zoom(1.5), "=": () => view.zoom(1.5), "-": () => view.zoom(1 / 1.5), 0: view.whole };
  frame.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const move = MOVES[event.key];
    if (event.key === "Escape") hold(false);
    else if (KEYS[event.key]) KEYS[event.key]();
    else if (move) {
      const far = event.shiftKey ? 10 : 1;
      const inside = (value, end) => Math.max(0, Math.min(end - 1, value));
      const row = inside(Math.floor(state.pixel / scene.cols) + far * move[0], scene.rows);
      choose(row, inside((state.pixel % scene.cols) + far * move[1], scene.cols), true);
    } else return;
    event.preventDefault();
  });
  find(".zoom-in").addEventListener("click", () => view.zoom(1.5));
  find(".zoom-out").addEventListener("click", () => view.zoom(1 / 1.5));
  find(".zoom-whole").addEventListener("click", view.whole);
  for (const control of [...selects, opacity, labelled, borders].filter(Boolean)) control.addEventListener("input", paint);
  means.addEventListener("input", plot);

  const buttons = all("[data-class]"), every = find(".all-classes");
  function filter() {
    for (const button of buttons) button.setAttribute("aria-pressed", String(state.chosen.has(Number(button.dataset.class))));
    every.disabled = state.chosen.size === 0;
    paint();
    plot();
  }
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const label = Number(button.dataset.class);
      if (!state.chosen.delete(label)) state.chosen.add(label);
      filter();
    });
  }
  every.addEventListener("click", () => { state.chosen.clear(); filter(); });

  const which = find(".which-run"), matrices = all("[data-matrix]");
  which?.addEventListener("input", () => matrices.forEach((one, at) => { one.hidden = at !== Number(which.value); }));
  find(".save-confusion").addEventListener("click", () => {
    const run = scene.runs[Number(which?.value ?? 0)];
    const rows = run.confusion.map((counts, at) => [scene.names[at], ...counts]);
    saveCsv(`${scene.name}-${run.name}-confusion.csv`, [["true class \\ predicted class", ...scene.names], ...rows]);
  });
  find(".save-map").addEventListener("click", () => {
    const keys = all(".key:not([hidden]) li:not([hidden])").map((item) => (
      { color: item.querySelector("rect").getAttribute("fill"), text: item.textContent.trim() }
    ));
    const [left, right] = names.map((name) => name.textContent), split = view.splitColumn() / scene.cols;
    const sides = split <= 0 ? right : split >= 1 ? left : `left ${left}, right ${right}`;
    saveMap(`${scene.name}-map.png`, canvases, split, state.borders, `${scene.name}: ${sides}`, keys);
  });

  filter();
  choose(...firstPixel(scene));
  state.first = `Shown first: ${find(".pin").dataset.first}. `;
  describe();
  new ResizeObserver(plot).observe(spectrum);
  section.dataset.ready = "true";
}

// The wrong test pixel that the first run is surest of; without any, the test pixel it is least sure of.
function firstPixel(scene) {
  const [run] = scene.runs;
  let best = 0, most = -Infinity;
  for (let pixel = 0; pixel < scene.truth.length; pixel += 1) {
    const error = errorOf(scene, run, pixel);
    const weight = error === 3 ? 1000 + run.confidence[pixel] : error === 2 ? -run.confidence[pixel] : -Infinity;
    if (weight > most) [best, most] = [pixel, weight];
  }
  return [Math.floor(best / scene.cols), best % scene.cols];
}

function openRun(section, run, scene) {
  const { history } = run;
  const charts = [...section.querySelectorAll(".curve")];
  const draw = () => charts.forEach((svg) => {
    const lines = ["train", "val"].map((part, at) => (
      { values: history[`${part}_${svg.dataset.score}`], kind: `series-${at}`, dashed: at === 1 }
    ));
    drawChart(svg, {
      places: history.epoch, lines, range: [Infinity, -Infinity], marks: [history.kept], whole: true, xTitle: "Epoch",
      yTitle: svg.dataset.title,
    });
  });
  if (charts.length) {
    drawLegend(section.querySelector(".series"), [
      { kind: "series-0", name: "Training pixels" },
      { kind: "series-1", name: "Validation pixels", dashed: true },
      { kind: "mark", name: `Kept: epoch ${history.kept}` },
    ]);
    charts.forEach((svg) => new ResizeObserver(draw).observe(svg));
  }
  section.querySelector(".save-classes").addEventListener("click", () => {
    const head = ["class", "train pixels", "test pixels", "recall", "recall low", "recall high", "precision", "f1"];
    saveCsv(`${scene.name}-${run.name}-classes.csv`, [head, ...run.table.map((row, at) => [scene.names[at], ...row])]);
  });
}

(async () => {
  const page = JSON.parse(document.getElementById("data").textContent);
  page.confidenceColors = await unpack(page.confidenceColors, Uint8Array);
  for (const section of document.querySelectorAll("section.map")) {
    const scene = page.scenes[Number(section.dataset.scene)];
    try {
      await openScene(section, scene, page);
    } catch (error) {
      section.querySelector(".readout").textContent = `The map cannot be shown in this browser: ${error.message}`;
      throw error;
    }
  }
  for (const section of document.querySelectorAll("section.run")) {
    const scene = page.scenes[Number(section.dataset.scene)];
    openRun(section, scene.runs[Number(section.dataset.run)], scene);
  }
})();
