// The frame of a map: zoom, pan, and the swipe between its two layers, by mouse, touch and keyboard.

const MOST_ZOOM = 48; // screen pixels of a pixel of the scene, or
const MOST_TIMES = 8; // this many times the whole scene
const DRAG = 5; // screen pixels that a pointer moves before a press becomes a drag

// `on` has hover(row, col) and pick(row, col).
function openView(stage, rows, cols, on) {
  const frame = stage.querySelector(".frame"), world = stage.querySelector(".world");
  const layers = [...world.querySelectorAll(".layer")], right = world.querySelector(".right-layer");
  const cursor = stage.querySelector(".cursor"), handle = stage.querySelector(".handle");
  const view = { scale: 1, x: 0, y: 0, swipe: 0.5 };
  let fit = 0, pixel = null;

  const within = (value, low, high) => Math.max(low, Math.min(high, value));
  const zoomed = () => view.scale > 1.001 * fit;
  // Where the scene begins and ends in the frame, from left to right.
  const shown = () => [Math.max(0, view.x), Math.min(frame.clientWidth, view.x + cols * view.scale)];

  function edge() {
    const [start, end] = shown();
    return start + view.swipe * (end - start);
  }

  function place() {
    const [wide, high] = [frame.clientWidth, frame.clientHeight];
    const [w, h] = [cols * view.scale, rows * view.scale];
    view.x = w <= wide ? (wide - w) / 2 : within(view.x, wide - w, 0);
    view.y = h <= high ? (high - h) / 2 : within(view.y, high - h, 0);
    world.style.transform = `translate(${view.x}px, ${view.y}px)`;
    for (const layer of layers) [layer.style.width, layer.style.height] = [`${w}px`, `${h}px`];
    right.style.clipPath = `inset(0 0 0 ${edge() - view.x}px)`;
    handle.style.left = `${edge()}px`;
    handle.setAttribute("aria-valuenow", String(Math.round(100 * view.swipe)));
    frame.style.touchAction = zoomed() ? "none" : "pan-x pan-y";
    frame.classList.toggle("zoomed", zoomed());
    cursor.hidden = !pixel;
    if (pixel) {
      const size = Math.max(view.scale, 5);
      cursor.style.left = `${view.x + (pixel[1] + 0.5) * view.scale}px`;
      cursor.style.top = `${view.y + (pixel[0] + 0.5) * view.scale}px`;
      [cursor.style.width, cursor.style.height] = [`${size}px`, `${size}px`];
    }
  }

  function resize() {
    const was = zoomed();
    fit = Math.min(frame.clientWidth / cols, frame.clientHeight / rows);
    if (!was || view.scale < fit) view.scale = fit;
    place();
  }

  function zoom(factor, x = frame.clientWidth / 2, y = frame.clientHeight / 2) {
    const scale = within(view.scale * factor, fit, Math.max(MOST_TIMES * fit, MOST_ZOOM));
    view.x = x - ((x - view.x) * scale) / view.scale;
    view.y = y - ((y - view.y) * scale) / view.scale;
    view.scale = scale;
    place();
  }

  function whole() {
    view.scale = fit;
    place();
  }

  function swipe(to) {
    view.swipe = within(to, 0, 1);
    place();
  }

  // Mark a pixel; `follow` moves the view so that it is seen.
  function mark(row, col, follow) {
    pixel = [row, col];
    if (follow) {
      const s = view.scale;
      view.x = within(view.x, -col * s, frame.clientWidth - (col + 1) * s);
      view.y = within(view.y, -row * s, frame.clientHeight - (row + 1) * s);
    }
    place();
  }

  const inFrame = (event) => {
    const box = frame.getBoundingClientRect();
    return [event.clientX - box.left - frame.clientLeft, event.clientY - box.top - frame.clientTop];
  };
  const pixelAt = ([x, y]) => {
    const row = Math.floor((y - view.y) / view.scale), col = Math.floor((x - view.x) / view.scale);
    return row >= 0 && row < rows && col >= 0 && col < cols ? [row, col] : null;
  };

  const down = new Map(); // pointers that are pressed, by id: where they are
  let start = null, dragged = false;
  frame.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    frame.setPointerCapture(event.pointerId);
    down.set(event.pointerId, inFrame(event));
    if (down.size === 1) [start, dragged] = [inFrame(event), false];
  });
  frame.addEventListener("pointermove", (event) => {
    const to = inFrame(event);
    const from = down.get(event.pointerId);
    if (!from) {
      const at = pixelAt(to);
      if (at && event.pointerType === "mouse") on.hover(...at);
      return;
    }
    if (Math.hypot(to[0] - start[0], to[1] - start[1]) > DRAG) dragged = true;
    if (down.size === 2) {
      dragged = true;
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const gap = (a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
      zoom(gap(to) / gap(from), (to[0] + other[0]) / 2, (to[1] + other[1]) / 2);
    } else if (dragged && zoomed()) {
      view.x += to[0] - from[0];
      view.y += to[1] - from[1];
      place();
    }
    down.set(event.pointerId, to);
  });
  frame.addEventListener("pointerup", (event) => {
    const at = pixelAt(inFrame(event));
    if (down.delete(event.pointerId) && down.size === 0 && !dragged && at) on.pick(...at);
  });
  frame.addEventListener("pointercancel", (event) => down.delete(event.pointerId));
  // Two fingers are ours, also where one scrolls the page.
  for (const kind of ["touchstart", "touchmove"]) {
    frame.addEventListener(kind, (event) => { if (event.touches.length > 1) event.preventDefault(); }, { passive: false });
  }
  frame.addEventListener("dblclick", (event) => zoom(2, ...inFrame(event)));
  // The wheel scrolls the page, until the map is pressed; pinching on a touchpad comes as a wheel with Ctrl.
  frame.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && document.activeElement !== frame) return;
    event.preventDefault();
    zoom(Math.exp(-within(event.deltaY, -100, 100) / (event.ctrlKey ? 60 : 250)), ...inFrame(event));
  }, { passive: false });

  handle.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    handle.setPointerCapture(event.pointerId);
    handle.focus({ preventScroll: true });
    event.preventDefault();
  });
  handle.addEventListener("pointermove", (event) => {
    if (!handle.hasPointerCapture(event.pointerId)) return;
    const [start, end] = shown();
    swipe((inFrame(event)[0] - start) / (end - start));
  });
  const STEPS = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.2, PageUp: 0.2 };
  handle.addEventListener("keydown", (event) => {
    const ends = { Home: 0, End: 1 };
    const to = event.key in ends ? ends[event.key] : view.swipe + STEPS[event.key] * (event.shiftKey ? 5 : 1);
    if (event.altKey || event.ctrlKey || event.metaKey || Number.isNaN(to)) return;
    event.preventDefault();
    swipe(to);
  });

  frame.style.aspectRatio = `${cols} / ${rows}`;
  new ResizeObserver(resize).observe(frame);
  matchMedia("print").addEventListener("change", resize);
  resize();
  return { frame, zoom, whole, swipe, mark, splitColumn: () => within((edge() - view.x) / view.scale, 0, cols) };
}
