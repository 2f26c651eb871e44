// The maps: layers, the pixel cursor that all maps of a scene share, and what is said of its pixel.

async function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const whole = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Kind(await new Response(whole).arrayBuffer());
}

const toRgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

async function openScene(section, scene, page) {
  const size = scene.rows * scene.cols;
  scene.truth = await unpack(scene.truth, Uint16Array);
  scene.image = await unpack(scene.image, Uint8Array);
  scene.spectra.codes = await unpack(scene.spectra.codes, Uint8Array);
  for (const run of scene.runs) {
    for (const layer of ["predicted", "confidence", "part", "errors"]) run[layer] = await unpack(run[layer], Uint16Array);
  }
  const colors = {
    classes: ["#000000", ...scene.colors].map(toRgb),
    errors: page.errorColors.map(toRgb),
    part: page.partColors.map(toRgb),
    confidence: await unpack(page.confidenceColors, Uint8Array),
  };
  const frames = [...section.querySelectorAll(".frame")];
  const buttons = [...section.querySelectorAll("[data-class]")];
  const labelled = section.querySelector(".labelled");
  const readout = section.querySelector(".readout");
  const spectrum = section.querySelector(".spectrum");
  const state = { layer: "predicted", alone: 0, pixel: -1 };

  function colorOf(run, pixel) {
    const { layer, alone } = state;
    if (layer === "image") return scene.image.subarray(3 * pixel, 3 * pixel + 3);
    if (layer === "confidence") {
      const at = 3 * Math.round((255 * run.confidence[pixel]) / 1000);
      return colors.confidence.subarray(at, at + 3);
    }
    if (layer === "errors" || layer === "part") return colors[layer][run[layer][pixel]];
    const label = (layer === "truth" ? scene.truth : run.predicted)[pixel];
    return alone && label !== alone ? colors.classes[0] : colors.classes[label];
  }

  function paint() {
    scene.runs.forEach((run, at) => {
      const canvas = frames[at].querySelector("canvas");
      const context = canvas.getContext("2d");
      const image = context.createImageData(scene.cols, scene.rows);
      for (let pixel = 0; pixel < size; pixel += 1) {
        const shown = !labelled.checked || scene.truth[pixel] > 0;
        image.data.set(shown ? colorOf(run, pixel) : colors.classes[0], 4 * pixel);
        image.data[4 * pixel + 3] = 255;
      }
      context.putImageData(image, 0, 0);
    });
    for (const key of section.querySelectorAll(".key")) key.hidden = !key.dataset.layer.split(" ").includes(state.layer);
  }

  function spectrumOf(pixel) {
    const { mean, basis, low, step, codes } = scene.spectra;
    const values = mean.slice();
    basis.forEach((row, at) => {
      const score = low[at] + step[at] * codes[at * size + pixel];
      row.forEach((part, band) => { values[band] += score * part; });
    });
    return values;
  }

  function describe() {
    const { pixel } = state;
    const row = Math.floor(pixel / scene.cols) * scene.step;
    const col = (pixel % scene.cols) * scene.step;
    const truth = scene.truth[pixel];
    const where = document.createElement("p");
    where.textContent = `Row ${row}, column ${col}: ${truth ? `labelled ${scene.names[truth - 1]}` : "unlabelled"}.`;
    const said = document.createElement("ul");
    for (const run of scene.runs) {
      const item = document.createElement("li");
      const found = run.predicted[pixel];
      const name = scene.runs.length > 1 ? `${run.name}: ` : "";
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
  }

  function plot() {
    const { pixel } = state;
    if (pixel < 0) return;
    const found = scene.runs[0].predicted[pixel];
    const truth = scene.truth[pixel];
    const lines = [], spreads = [], names = ["Thick: the pixel."];
    const add = (label, kind, name) => {
      const of = scene.classes[label - 1];
      if (!of) return;
      lines.push({ values: of.mean, kind });
      names.push(`${name}: mean of ${scene.names[label - 1]}`);
      if (spreads.length) return;
      spreads.push({
        low: of.mean.map((value, band) => value - of.std[band]),
        high: of.mean.map((value, band) => value + of.std[band]),
      });
      names[names.length - 1] += ", with its standard deviation";
    };
    if (found) add(found, "mean", "Thin");
    if (truth && truth !== found) add(truth, "mean truth", "Dashed");
    lines.push({ values: spectrumOf(pixel), kind: "pixel-line" });
    drawSpectrum(spectrum, scene.axis, scene.range, lines, spreads);
    const told = names.map((name) => (name.endsWith(".") ? name : `${name}.`)).join(" ");
    section.querySelector(".lines").textContent = told;
    spectrum.setAttribute("aria-label", `Spectrum. ${told}`);
  }

  function choose(row, col) {
    const within = (value, end) => Math.max(0, Math.min(end - 1, value));
    const pixel = within(row, scene.rows) * scene.cols + within(col, scene.cols);
    if (pixel === state.pixel) return;
    state.pixel = pixel;
    for (const frame of frames) {
      const cursor = frame.querySelector(".cursor");
      cursor.hidden = false;
      cursor.style.left = `${(100 * ((pixel % scene.cols) + 0.5)) / scene.cols}%`;
      cursor.style.top = `${(100 * (Math.floor(pixel / scene.cols) + 0.5)) / scene.rows}%`;
      cursor.style.width = `${100 / scene.cols}%`;
      cursor.style.height = `${100 / scene.rows}%`;
    }
    describe();
    plot();
  }

  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const middle = Math.floor(scene.rows / 2) * scene.cols + Math.floor(scene.cols / 2);
  for (const frame of frames) {
    const canvas = frame.querySelector("canvas");
    [canvas.width, canvas.height] = [scene.cols, scene.rows];
    frame.style.maxWidth = `calc(85vh * ${scene.cols / scene.rows})`;
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const row = Math.floor(((event.clientY - box.top) / box.height) * scene.rows);
      choose(row, Math.floor(((event.clientX - box.left) / box.width) * scene.cols));
    };
    frame.addEventListener("pointermove", point);
    frame.addEventListener("pointerdown", point);
    frame.addEventListener("keydown", (event) => {
      const move = MOVES[event.key];
      if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const far = event.shiftKey ? 10 : 1;
      const from = state.pixel < 0 ? middle : state.pixel;
      choose(Math.floor(from / scene.cols) + far * move[0], (from % scene.cols) + far * move[1]);
    });
  }
  for (const radio of section.querySelectorAll("[type=radio]")) {
    radio.addEventListener("change", () => { state.layer = radio.value; paint(); });
  }
  labelled.addEventListener("change", paint);
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const label = Number(button.dataset.class);
      state.alone = state.alone === label ? 0 : label;
      for (const each of buttons) each.setAttribute("aria-pressed", String(Number(each.dataset.class) === state.alone));
      paint();
    });
  }
  new ResizeObserver(plot).observe(spectrum);
  const scale = section.querySelector(".scale").getContext("2d");
  colors.confidence.forEach((_, at) => {
    if (at % 3) return;
    scale.fillStyle = `rgb(${colors.confidence.subarray(at, at + 3).join(" ")})`;
    scale.fillRect(at / 3, 0, 1, 1);
  });
  paint();
  section.dataset.ready = "true";
}

(async () => {
  const page = JSON.parse(document.getElementById("data").textContent);
  for (const section of document.querySelectorAll("section.map")) {
    try {
      await openScene(section, page.scenes[Number(section.dataset.scene)], page);
    } catch (error) {
      section.querySelector(".readout").textContent = `The map cannot be shown in this browser: ${error.message}`;
      throw error;
    }
  }
})();
