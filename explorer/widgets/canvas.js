// A picture: one byte a pixel and a table of colours; or curves: numbers from 0 (bottom) to 1 (top).
// Python sends what to show; nothing is computed here but the drawing. Pictures of one Explorer on the same grid share
// the cursor and the part that is looked at.

const dark = () => document.body.dataset.jpThemeLight === "false";

const bytesOf = (model, name) =>
  new Uint8Array(model.get(name).buffer, model.get(name).byteOffset, model.get(name).byteLength);

// Where a pixel of the image is among those that were sent, of which one may stand for a square.
const placeIn = (model, name) => {
  const side = name === "pixels" ? model.get("coarse") : 1;
  const across = Math.ceil(model.get("shape")[1] / side);
  return (row, column) => Math.floor(row / side) * across + Math.floor(column / side);
};

function paintImage(canvas, model, part, name) {
  const [rows, columns] = model.get("shape");
  const bytes = (name) => bytesOf(model, name);
  const pixels = bytes(name);
  const place = placeIn(model, name);
  if (!rows || pixels.length !== place(rows - 1, columns - 1) + 1) return;
  const night = model.get("table_dark");
  const table = bytes(dark() && night.byteLength ? "table_dark" : "table");
  const image = new ImageData(columns, rows);
  const fine = pixels.length === rows * columns; // then every pixel has a place of its own
  for (let row = 0, j = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++, j += 4) {
      const c = 3 * pixels[fine ? j >> 2 : place(row, column)];
      image.data[j] = table[c];
      image.data[j + 1] = table[c + 1];
      image.data[j + 2] = table[c + 2];
      image.data[j + 3] = 255;
    }
  }
  canvas.width = part.columns;
  canvas.height = part.rows;
  canvas.getContext("2d").putImageData(image, -part.left, -part.top);
  // Each pixel a crisp square where they are enlarged, averaged where they are crowded.
  const enlarged = canvas.clientWidth * devicePixelRatio >= part.columns;
  canvas.style.imageRendering = enlarged ? "pixelated" : "auto";
}

function paintCurves(canvas, model) {
  const [count, samples] = model.get("shape");
  const view = model.get("curves");
  const values = new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
  canvas.width = canvas.height = side;
  canvas.style.imageRendering = "auto";
  const pen = canvas.getContext("2d");
  const style = getComputedStyle(canvas);
  const pad = 0.04 * side;
  const x = (i) => pad + (i * (side - 2 * pad)) / Math.max(1, samples - 1);
  const y = (v) => side - pad - v * (side - 2 * pad);
  const line = (width, colour, dash, draw) => {
    pen.lineWidth = width * devicePixelRatio;
    pen.strokeStyle = colour;
    pen.setLineDash(dash.map((d) => d * devicePixelRatio));
    pen.beginPath();
    draw();
    pen.stroke();
  };
  const zero = model.get("zero");
  if (zero >= 0 && zero <= 1) {
    line(1, style.getPropertyValue("--ex-grid"), [], () => {
      pen.moveTo(0, y(zero));
      pen.lineTo(side, y(zero));
    });
  }
  for (let k = count - 1; k >= 0; k--) {
    const [colour, dash] = k ? ["--ex-faint", [4, 3]] : ["--ex-line", []];
    line(k ? 1.2 : 1.8, style.getPropertyValue(colour), dash, () => {
      let down = false;
      for (let i = 0; i < samples; i++) {
        const v = values[k * samples + i];
        const known = Number.isFinite(v);
        if (known && down) pen.lineTo(x(i), y(v));
        else if (known) pen.moveTo(x(i), y(v));
        down = known;
      }
    });
  }
}

const number = (v) => Number(v.toPrecision(3)).toString().replace("-", "−");

// What is looked at: a part of the grid, and the pixel under the cursor. `show` is called when either changes, by this
// picture or by another one on the same grid.
function looker(el, canvas, frame, model, show, image) {
  const cross = document.createElement("div");
  const box = document.createElement("div");
  cross.className = "ex-cross";
  box.className = "ex-box";
  cross.hidden = box.hidden = true;
  frame.append(cross, box);
  let part = null;
  let at = null;
  const shape = () => model.get("shape");
  const whole = () => ({ top: 0, left: 0, rows: shape()[0], columns: shape()[1] });
  const shown = () => {
    const [rows, columns] = shape();
    if (part && (part.top + part.rows > rows || part.left + part.columns > columns)) part = null;
    return part || whole();
  };
  // Where the picture lies in the frame, which it need not fill.
  const place = () => {
    const { rows, columns } = shown();
    const scale = Math.min(frame.clientWidth / columns, frame.clientHeight / rows);
    const left = (frame.clientWidth - scale * columns) / 2;
    return { scale, left, top: (frame.clientHeight - scale * rows) / 2 };
  };
  const pixel = (event) => {
    const { scale, left, top } = place();
    const corner = frame.getBoundingClientRect();
    const seen = shown();
    const row = Math.floor((event.clientY - corner.top - top) / scale);
    const column = Math.floor((event.clientX - corner.left - left) / scale);
    if (row < 0 || column < 0 || row >= seen.rows || column >= seen.columns) return null;
    return { row: seen.top + row, column: seen.left + column };
  };
  const value = () => {
    const [rows, columns] = shape();
    if (!at || model.get("kind") !== "image" || at.row >= rows || at.column >= columns) return "";
    const byte = bytesOf(model, image())[placeIn(model, image())(at.row, at.column)];
    const [low, high] = [model.get("low"), model.get("high")];
    const bound = byte === 0 ? "≤ " : byte === 255 ? "≥ " : "≈ ";
    return `(${at.row}, ${at.column}) ${bound}${number(low + (byte / 255) * (high - low))}`;
  };
  const point = () => {
    const seen = shown();
    const inside = at && at.row >= seen.top && at.row < seen.top + seen.rows && at.column >= seen.left
      && at.column < seen.left + seen.columns && model.get("kind") === "image";
    cross.hidden = !inside;
    if (!inside) return;
    const { scale, left, top } = place();
    const side = Math.max(scale, 5);
    cross.style.width = cross.style.height = `${side}px`;
    cross.style.left = `${left + (at.column - seen.left + 0.5) * scale - side / 2}px`;
    cross.style.top = `${top + (at.row - seen.top + 0.5) * scale - side / 2}px`;
  };
  const tell = (next) => {
    const root = el.closest(".explorer") || el;
    document.dispatchEvent(new CustomEvent("ex-look", { detail: { root, shape: String(shape()), ...next } }));
  };
  const heard = ({ detail }) => {
    if (detail.root !== (el.closest(".explorer") || el) || detail.shape !== String(shape())) return;
    if ("part" in detail) part = detail.part;
    if ("at" in detail) at = detail.at;
    show();
  };
  document.addEventListener("ex-look", heard);
  const zoom = (factor, middle) => {
    const [rows, columns] = shape();
    const seen = shown();
    const size = (n, all) => Math.max(Math.min(8, all), Math.min(all, Math.round(n * factor)));
    const next = { rows: size(seen.rows, rows), columns: size(seen.columns, columns) };
    const start = (m, n, all) => Math.max(0, Math.min(all - n, Math.round(m - n / 2)));
    next.top = start(middle.row, next.rows, rows);
    next.left = start(middle.column, next.columns, columns);
    tell({ part: next.rows === rows && next.columns === columns ? null : next });
  };
  let from = null;
  let dragged = false;
  canvas.addEventListener("pointerdown", (event) => {
    from = model.get("kind") === "image" ? pixel(event) : null;
    dragged = false;
    if (from) canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (model.get("kind") !== "image") return;
    const here = pixel(event);
    tell({ at: here });
    if (!from || !here) return;
    dragged ||= Math.abs(here.row - from.row) > 1 || Math.abs(here.column - from.column) > 1;
    box.hidden = !dragged;
    const { scale, left, top } = place();
    const seen = shown();
    box.style.left = `${left + (Math.min(from.column, here.column) - seen.left) * scale}px`;
    box.style.top = `${top + (Math.min(from.row, here.row) - seen.top) * scale}px`;
    box.style.width = `${(Math.abs(here.column - from.column) + 1) * scale}px`;
    box.style.height = `${(Math.abs(here.row - from.row) + 1) * scale}px`;
  });
  const choose = (pixel) => model.send({ at: [(pixel.row + 0.5) / shape()[0], (pixel.column + 0.5) / shape()[1]] });
  canvas.addEventListener("pointerup", (event) => {
    const here = from && (pixel(event) || at);
    if (here && dragged) {
      const middle = { row: (from.row + here.row + 1) / 2, column: (from.column + here.column + 1) / 2 };
      const side = Math.max(Math.abs(here.row - from.row), Math.abs(here.column - from.column)) + 1;
      zoom(side / Math.max(shown().rows, shown().columns), middle);
    } else if (here) choose(here);
    from = null;
    box.hidden = true;
  });
  canvas.addEventListener("pointerleave", () => from || tell({ at: null }));
  canvas.addEventListener("dblclick", () => tell({ part: null }));
  canvas.addEventListener("keydown", (event) => {
    if (model.get("kind") !== "image") return;
    const seen = shown();
    const here = at || { row: seen.top + (seen.rows >> 1), column: seen.left + (seen.columns >> 1) };
    const moves = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
    if (event.key in moves) {
      const [rows, columns] = shape();
      const keep = (v, all) => Math.max(0, Math.min(all - 1, v));
      const [down, right] = moves[event.key];
      tell({ at: { row: keep(here.row + down, rows), column: keep(here.column + right, columns) } });
    } else if (event.key === "Enter") choose(here);
    else if (event.key === "+" || event.key === "=") zoom(0.5, here);
    else if (event.key === "-") zoom(2, here);
    else if (event.key === "Escape") tell({ part: null, at: null });
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return { shown, place, value, point, stop: () => document.removeEventListener("ex-look", heard) };
}

// Two images that take turns: by hand, or by themselves twice a second, unless the person asked for less motion.
function turner(el, model, show) {
  const bar = document.createElement("div");
  bar.className = "ex-turns";
  let second = false;
  let timer = 0;
  const button = (text, name, act) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.title = name;
    made.setAttribute("aria-label", name);
    made.addEventListener("click", act);
    bar.append(made);
    return made;
  };
  const turn = () => {
    second = !second;
    show();
  };
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    show();
  };
  button("⇄ Swap", "Show the other of the two pictures", () => {
    stop();
    turn();
  });
  const flicker = button("▶ Flicker", "Let the two pictures take turns, twice a second", () => {
    if (timer) return stop();
    timer = setInterval(() => (bar.isConnected ? turn() : stop()), 500);
    turn();
  });
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const draw = () => {
    const two = model.get("second").byteLength > 0;
    if (!two) second = false;
    if (timer && (!two || calm.matches)) stop();
    if (!two) bar.remove();
    else if (!bar.isConnected) el.append(bar);
    flicker.disabled = calm.matches;
    if (calm.matches) flicker.title = "You asked for less motion: swap by hand";
    flicker.setAttribute("aria-pressed", String(timer > 0));
  };
  calm.addEventListener("change", show);
  const end = () => {
    clearInterval(timer);
    calm.removeEventListener("change", show);
  };
  return { draw, second: () => second, end };
}

function render({ model, el }) {
  el.classList.add("ex-picture");
  const frame = document.createElement("div");
  const canvas = document.createElement("canvas");
  const empty = document.createElement("span");
  const caption = document.createElement("div");
  const [title, range, note] = ["b", "span", "span"].map((tag) => document.createElement(tag));
  frame.className = "ex-frame";
  caption.className = "ex-caption";
  range.className = "ex-range";
  canvas.setAttribute("role", "img");
  const click = model.get("click");
  canvas.title = `Drag to look at a part, double click for the whole${click && `; click for ${click}`}.\n`
    + `Keys: arrows move the cursor, + and − zoom, Esc shows the whole${click && `, Enter for ${click}`}.`;
  caption.append(title, note, range);
  frame.append(canvas, empty);
  const turns = turner(el, model, () => soon());
  el.append(frame, caption);

  let told = model.get("frame");
  let waiting = 0;
  const soon = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      draw();
    });
  };
  const image = () => (turns.second() ? "second" : "pixels");
  const look = looker(el, canvas, frame, model, soon, image);
  const parts = mover(frame, caption, model, look, soon);
  const draw = () => {
    const kind = model.get("kind");
    canvas.hidden = kind === "empty";
    empty.textContent = kind === "empty" ? model.get("note") : "";
    canvas.setAttribute("aria-label", model.get("description"));
    turns.draw();
    const shown = turns.second() ? "second_" : "";
    title.textContent = model.get(`${shown}title`);
    note.textContent = kind === "empty" ? "" : model.get(`${shown}note`);
    range.textContent = look.value() || model.get("range_text");
    canvas.tabIndex = kind === "image" ? 0 : -1;
    el.classList.toggle("ex-stale", model.get("stale"));
    if (kind === "image") paintImage(canvas, model, look.shown(), image());
    if (kind === "curves") paintCurves(canvas, model);
    look.point();
    parts.draw();
    if (model.get("frame") - told >= 2) model.send({ frame: (told = model.get("frame")) }); // each answer is work
  };
  model.on("change", soon);
  const resized = new ResizeObserver(soon);
  resized.observe(frame);
  const themed = new MutationObserver(soon);
  themed.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  draw();
  return () => {
    model.off("change", soon);
    look.stop();
    turns.end();
    parts.end();
    resized.disconnect();
    themed.disconnect();
  };
}

export default { render };
