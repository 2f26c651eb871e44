"use strict";

// Draws the spectrum of a pixel with the means of classes behind it, as SVG in the size it is shown at.

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

// `lines` are {values, kind}, `spreads` are {low, high}; `axis` has places, title and the bands before which
// lines are broken.
function drawSpectrum(svg, axis, range, lines, spreads) {
  const width = svg.clientWidth, height = svg.clientHeight;
  const left = 58, right = 20, top = 8, bottom = 40;
  let [low, high] = range;
  for (const line of lines) {
    low = Math.min(low, ...line.values);
    high = Math.max(high, ...line.values);
  }
  if (!(high > low)) [low, high] = [low - 1, high + 1];
  const first = axis.places.reduce((a, b) => Math.min(a, b));
  const last = axis.places.reduce((a, b) => Math.max(a, b));
  const across = last > first ? last - first : 1;
  const x = (place) => left + ((place - first) / across) * (width - left - right);
  const y = (value) => height - bottom - ((value - low) / (high - low)) * (height - top - bottom);
  const starts = [0, ...axis.breaks, axis.places.length];
  const pieces = starts.slice(1).map((end, at) => [starts[at], end]);
  const path = (values, from, to) =>
    values.slice(from, to).map((value, at) => `${x(axis.places[from + at]).toFixed(1)},${y(value).toFixed(1)}`);

  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.replaceChildren();
  for (const value of ticks(low, high, 5)) {
    svg.append(element("path", { class: "grid", d: `M${left},${y(value)}H${width - right}` }));
    svg.append(element("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, value.toLocaleString("en")));
  }
  for (const place of ticks(first, last, Math.max(2, Math.floor(width / 80)))) {
    svg.append(element("text", { x: x(place), y: height - bottom + 16, "text-anchor": "middle" }, String(place)));
  }
  svg.append(element("path", { class: "axis", d: `M${left},${top}V${height - bottom}H${width - right}` }));
  const middle = (left + width - right) / 2;
  svg.append(element("text", { x: middle, y: height - 6, "text-anchor": "middle" }, axis.title));
  for (const [from, to] of pieces) {
    for (const spread of spreads) {
      const edge = [...path(spread.low, from, to), ...path(spread.high, from, to).reverse()];
      svg.append(element("path", { class: "spread", d: `M${edge.join("L")}Z` }));
    }
    for (const line of lines) {
      svg.append(element("path", { class: line.kind, d: `M${path(line.values, from, to).join("L")}` }));
    }
  }
}
