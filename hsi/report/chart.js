"use strict";

// Draws lines over an axis, as SVG in the size it is shown at: spectra and training curves.

const SVG = "http://www.w3.org/2000/svg";

function element(name, attributes, text) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

// Round numbers from low to high, at most `most` of them.
function ticks(low, high, most) {
  const rough = (high - low) / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((of) => of * power).find((of) => of >= rough);
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at += 1) found.push(Number((at * step).toPrecision(12)));
  return found;
}

// The stretches [from, to) that can be drawn as one line: no missing band before, no null inside.
function stretches(values, breaks) {
  const found = [];
  let from = 0;
  for (let at = 0; at <= values.length; at += 1) {
    const gone = at === values.length || values[at] === null;
    if (!gone && !breaks.includes(at)) continue;
    if (at > from) found.push([from, at]);
    from = gone ? at + 1 : at;
  }
  return found;
}

// `chart` has places, breaks, xTitle, yTitle, range, whole (ticks are whole numbers), and lists of
// lines {values, kind, color, dashed}, spreads {low, high, color} and marks (places of vertical lines).
function drawChart(svg, chart) {
  const width = svg.clientWidth, height = svg.clientHeight;
  if (!width || !height) return;
  const { places, breaks = [], lines, spreads = [], marks = [] } = chart;
  const left = 66, right = 14, top = 8, bottom = 40;
  let [low, high] = chart.range;
  for (const { values } of lines) {
    for (const value of values) {
      if (value === null) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
  }
  if (!(high > low)) [low, high] = [low - 1, low + 1];
  const first = places.reduce((a, b) => Math.min(a, b));
  const last = places.reduce((a, b) => Math.max(a, b));
  const across = last > first ? last - first : 1;
  const x = (place) => left + ((place - first) / across) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  const path = (values, from, to) =>
    values.slice(from, to).map((value, at) => `${x(places[from + at]).toFixed(1)},${y(value).toFixed(1)}`);

  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  for (const value of ticks(low, high, Math.max(2, Math.floor(height / 45)))) {
    svg.append(element("path", { class: "grid", d: `M${left},${y(value)}H${width - right}` }));
    svg.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toLocaleString("en")));
  }
  const along = last > first ? ticks(first, last, Math.max(2, Math.floor(width / 80))) : [first];
  for (const place of along.filter((one) => !chart.whole || Number.isInteger(one))) {
    svg.append(element("text", { x: x(place), y: height - bottom + 16, "text-anchor": "middle" }, String(place)));
  }
  svg.append(element("path", { class: "axis", d: `M${left},${top}V${height - bottom}H${width - right}` }));
  svg.append(element("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, chart.xTitle));
  const middle = (top + height - bottom) / 2;
  svg.append(element("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, chart.yTitle));
  for (const place of marks) svg.append(element("path", { class: "mark", d: `M${x(place)},${top}V${height - bottom}` }));
  for (const spread of spreads) {
    for (const [from, to] of stretches(spread.low, breaks)) {
      const edge = [...path(spread.low, from, to), ...path(spread.high, from, to).reverse()];
      svg.append(element("path", { class: "spread", fill: spread.color, d: `M${edge.join("L")}Z` }));
    }
  }
  for (const line of lines) {
    const own = { ...(line.color && { stroke: line.color }), ...(line.dashed && { "stroke-dasharray": "6 4" }) };
    for (const [from, to] of stretches(line.values, breaks)) {
      const points = path(line.values, from, to);
      if (points.length === 1) {
        const [cx, cy] = points[0].split(",");
        svg.append(element("circle", { class: `line ${line.kind}`, ...own, cx, cy, r: 3 }));
        continue;
      }
      const d = `M${points.join("L")}`;
      if (line.color) svg.append(element("path", { class: "halo", d })); // light colours on white, dark ones on black
      svg.append(element("path", { class: `line ${line.kind}`, ...own, d }));
    }
  }
}

// The legend of a chart: a piece of each line, and what it is.
function drawLegend(list, entries) {
  list.replaceChildren(...entries.map(({ kind, color, dashed, name }) => {
    const item = document.createElement("li");
    const sample = element("svg", { class: "sample", viewBox: "0 0 28 10", "aria-hidden": "true" });
    const own = { ...(color && { stroke: color }), ...(dashed && { "stroke-dasharray": "6 4" }) };
    if (color) sample.append(element("path", { class: "halo", d: "M0,5H28" }));
    sample.append(element("path", { class: `line ${kind}`, ...own, d: "M0,5H28" }));
    item.append(sample, name);
    return item;
  }));
}
