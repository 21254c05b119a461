// A picture: one byte a pixel and a table of colours; or curves: numbers from 0 (bottom) to 1 (top).
// Python sends what to show; nothing is computed here but the drawing.

const dark = () => document.body.dataset.jpThemeLight === "false";

function paintImage(canvas, model) {
  const [rows, columns] = model.get("shape");
  const bytes = (name) => new Uint8Array(model.get(name).buffer, model.get(name).byteOffset, model.get(name).byteLength);
  const pixels = bytes("pixels");
  if (!rows || pixels.length !== rows * columns) return;
  const night = model.get("table_dark");
  const table = bytes(dark() && night.byteLength ? "table_dark" : "table");
  const image = new ImageData(columns, rows);
  for (let i = 0, j = 0; i < pixels.length; i++, j += 4) {
    const c = 3 * pixels[i];
    image.data[j] = table[c];
    image.data[j + 1] = table[c + 1];
    image.data[j + 2] = table[c + 2];
    image.data[j + 3] = 255;
  }
  canvas.width = columns;
  canvas.height = rows;
  canvas.getContext("2d").putImageData(image, 0, 0);
  // Each pixel a crisp square where they are enlarged, averaged where they are crowded.
  const enlarged = canvas.clientWidth * devicePixelRatio >= columns;
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
  caption.append(title, note, range);
  frame.append(canvas, empty);
  el.append(frame, caption);

  const draw = () => {
    const kind = model.get("kind");
    canvas.hidden = kind === "empty";
    empty.textContent = kind === "empty" ? model.get("note") : "";
    canvas.setAttribute("aria-label", model.get("description"));
    title.textContent = model.get("title");
    note.textContent = kind === "empty" ? "" : model.get("note");
    range.textContent = model.get("range_text");
    el.classList.toggle("ex-stale", model.get("stale"));
    if (kind === "image") paintImage(canvas, model);
    if (kind === "curves") paintCurves(canvas, model);
  };
  let waiting = 0;
  const soon = () => {
    waiting ||= requestAnimationFrame(() => {
      waiting = 0;
      draw();
    });
  };
  model.on("change", soon);
  const resized = new ResizeObserver(soon);
  resized.observe(frame);
  const themed = new MutationObserver(soon);
  themed.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  draw();
  return () => {
    model.off("change", soon);
    resized.disconnect();
    themed.disconnect();
  };
}

export default { render };
