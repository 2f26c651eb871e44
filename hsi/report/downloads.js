// Files that the page makes of itself: the map as PNG, tables as CSV.

function save(name, content) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name.replace(/[^\w.-]+/g, "_");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// A text that a spreadsheet would take for a formula gets an apostrophe.
function saveCsv(name, rows) {
  const cell = (value) => {
    if (value === null) return "";
    if (typeof value === "number") return String(value);
    return `"${(/^[=+\-@\t\r]/.test(value) ? `'${value}` : value).replaceAll('"', '""')}"`;
  };
  save(name, new Blob([rows.map((row) => `${row.map(cell).join(",")}\r\n`).join("")], { type: "text/csv" }));
}

// The whole map as it is shown, enlarged, with a caption and the keys (colour and name) below.
function saveMap(name, layers, split, borders, caption, keys) {
  const [left, right] = layers;
  const grow = Math.max(1, Math.round(1000 / left.width));
  const wide = Math.max(500, grow * left.width), high = grow * left.height;
  const line = 24, canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  const font = "16px system-ui, sans-serif";
  context.font = font;
  let [x, row] = [0, 0];
  const placed = keys.map(({ color, text }) => {
    const width = context.measureText(text).width + 46;
    if (x > 0 && x + width > wide) [x, row] = [0, row + 1];
    const at = { color, text, x, row };
    x += width;
    return at;
  });
  [canvas.width, canvas.height] = [wide, high + (keys.length ? row + 2.5 : 1.5) * line];
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  const inset = (wide - grow * left.width) / 2, cut = Math.round(split * left.width) / left.width;
  context.drawImage(left, inset, 0, grow * left.width, high);
  const [from, rest] = [cut * left.width, left.width - cut * left.width];
  if (rest > 0) context.drawImage(right, from, 0, rest, right.height, inset + grow * from, 0, grow * rest, high);
  if (borders) {
    context.save();
    context.translate(inset, 0);
    context.scale(grow, grow);
    for (const [color, width] of [["#000000", 4], ["#ffffff", 2]]) {
      [context.strokeStyle, context.lineWidth] = [color, width / grow];
      context.stroke(new Path2D(borders));
    }
    context.restore();
  }
  [context.font, context.textBaseline] = [font, "middle"];
  context.fillStyle = "#1a1a1a";
  context.fillText(caption, 6, high + 0.75 * line, wide - 12);
  for (const { color, text, x: at, row: down } of placed) {
    const y = high + (down + 1.75) * line;
    context.fillStyle = color;
    context.fillRect(at + 6, y - 7, 14, 14);
    context.strokeStyle = "#6b7278";
    context.strokeRect(at + 6, y - 7, 14, 14);
    context.fillStyle = "#1a1a1a";
    context.fillText(text, at + 26, y);
  }
  canvas.toBlob((content) => save(name, content), "image/png");
}
