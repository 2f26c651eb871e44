// The layers of a map: which colour each pixel has in each of them.

async function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const whole = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Kind(await new Response(whole).arrayBuffer());
}

const toRgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));

const TEST = 3; // the number of the test pixels among the parts of a split
const PALE = 0.3; // of the unlabelled pixels of a region

// 0 unlabelled, 1 labelled but not tested, 2 right, 3 wrong: as hsi.figures.error_codes.
function errorOf(scene, run, pixel) {
  const truth = scene.truth[pixel];
  if (run.part[pixel] !== TEST) return truth ? 1 : 0;
  return run.predicted[pixel] === truth ? 2 : 3;
}

// 0 and 1: not tested by both, called the same or not; 2 both right, 3 and 4 only one right, 5 both wrong.
function differenceOf(scene, first, second, pixel) {
  const [one, two] = [first.predicted[pixel], second.predicted[pixel]];
  if (first.part[pixel] !== TEST || second.part[pixel] !== TEST) return one === two ? 0 : 1;
  const truth = scene.truth[pixel];
  return one === truth ? (two === truth ? 2 : 3) : two === truth ? 4 : 5;
}

// A function (layer, run, other, pixel) -> [red, green, blue].
function makeColors(scene, page) {
  const classes = ["#000000", ...scene.colors].map(toRgb);
  const [errors, parts, differences] = [page.errorColors, page.partColors, page.differenceColors].map((of) => of.map(toRgb));
  const pale = parts.map((color) => color.map((value) => Math.round(PALE * value)));
  return (layer, run, other, pixel) => {
    switch (layer) {
      case "truth": return classes[scene.truth[pixel]];
      case "predicted": return classes[run.predicted[pixel]];
      case "errors": return errors[errorOf(scene, run, pixel)];
      case "difference": return differences[differenceOf(scene, run, other, pixel)];
      case "part": return run.part[pixel] || !run.regions ? parts[run.part[pixel]] : pale[run.regions[pixel]];
      case "confidence": {
        const at = 3 * Math.round((255 * run.confidence[pixel]) / 1000);
        return page.confidenceColors.subarray(at, at + 3);
      }
      default: return scene.image.subarray(3 * pixel, 3 * pixel + 3);
    }
  };
}

// Paint a layer. Pixels outside the chosen classes are dimmed, not blacked out; `opacity` is of the layer over the image.
function paintLayer(canvas, scene, colorOf, { layer, run, other }, { chosen, labelled, opacity }) {
  const context = canvas.getContext("2d");
  const painted = context.createImageData(scene.cols, scene.rows);
  const bytes = painted.data, image = scene.image;
  const classOf = layer === "predicted" || layer === "confidence" ? run.predicted : scene.truth;
  for (let pixel = 0; pixel < scene.rows * scene.cols; pixel += 1) {
    const at = 4 * pixel, below = 3 * pixel;
    const hidden = labelled && !scene.truth[pixel];
    const color = hidden ? [0, 0, 0] : colorOf(layer, run, other, pixel);
    const dim = chosen.size > 0 && layer !== "image" && !chosen.has(classOf[pixel]);
    const grey = dim && 50 + 0.4 * (0.3 * image[below] + 0.59 * image[below + 1] + 0.11 * image[below + 2]);
    for (let part = 0; part < 3; part += 1) {
      const own = dim ? 0.18 * color[part] + 0.82 * grey : color[part];
      bytes[at + part] = hidden ? 0 : Math.round(opacity * own + (1 - opacity) * image[below + part]);
    }
    bytes[at + 3] = 255;
  }
  context.putImageData(painted, 0, 0);
}

// The borders between regions as a path in pixels of the scene; runs of border are one line.
function regionBorders(regions, rows, cols) {
  const lines = [];
  for (let row = 1; row < rows; row += 1) {
    for (let col = 0; col < cols; col += 1) {
      const from = col;
      while (col < cols && regions[row * cols + col] !== regions[(row - 1) * cols + col]) col += 1;
      if (col > from) lines.push(`M${from},${row}H${col}`);
    }
  }
  for (let col = 1; col < cols; col += 1) {
    for (let row = 0; row < rows; row += 1) {
      const from = row;
      while (row < rows && regions[row * cols + col] !== regions[row * cols + col - 1]) row += 1;
      if (row > from) lines.push(`M${col},${from}V${row}`);
    }
  }
  return lines.join("");
}
