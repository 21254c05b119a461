// A drawing: a small picture, and lines and dots over it. Sizes are in pixels of the picture, whose first one has its
// middle at (0, 0). Where the cursor rests, and a click, tell their row and column.

//: milliseconds after which a cursor rests
const REST = 150;
const SVG = "http://www.w3.org/2000/svg";
const dark = () => document.body.dataset.jpThemeLight === "false";
const make = (name, attributes = {}) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  return node;
};

function imageUrl(model) {
  const bytes = (name) => new Uint8Array(model.get(name).buffer, model.get(name).byteOffset, model.get(name).byteLength);
  const [rows, columns] = model.get("shape");
  const pixels = bytes("pixels");
  if (!rows || pixels.length !== rows * columns) return "";
  const table = bytes(dark() && model.get("table_dark").byteLength ? "table_dark" : "table");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const image = new ImageData(columns, rows);
  for (let i = 0, j = 0; i < pixels.length; i++, j += 4) {
    image.data.set([table[3 * pixels[i]], table[3 * pixels[i] + 1], table[3 * pixels[i] + 2], 255], j);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas.toDataURL();
}

// Dots are lines of no length with round ends, so that their size is one of the page and not of the picture.
const path = ({ points, dots }) =>
  points.map(([row, column], i) => `${i && !dots ? "L" : "M"}${column} ${row}${dots ? "h0" : ""}`).join("");

function render({ model, el }) {
  el.classList.add("ex-picture");
  const frame = document.createElement("div");
  frame.className = "ex-frame";
  const caption = document.createElement("div");
  caption.className = "ex-caption";
  const [title, note] = ["b", "span"].map((tag) => document.createElement(tag));
  caption.append(title, note);
  el.append(frame, caption);
  let resting = 0;
  let kept = false; // by a click, until the cursor leaves
  const send = (event) => {
    const svg = frame.querySelector("svg");
    if (!model.get("click") || !svg) return;
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    model.send({ place: [at.y, at.x] });
  };
  frame.addEventListener("pointermove", (event) => {
    clearTimeout(resting);
    if (!kept && event.pointerType === "mouse" && !event.buttons) resting = setTimeout(send, REST, event);
  });
  frame.addEventListener("pointerleave", () => {
    clearTimeout(resting);
    kept = false;
  });
  frame.addEventListener("click", (event) => {
    clearTimeout(resting);
    kept = true;
    send(event);
  });
  const draw = () => {
    el.classList.toggle("ex-absent", !model.get("there"));
    const [top, left, bottom, right] = model.get("view");
    const svg = make("svg", {
      class: "ex-drawing", role: "img", "aria-label": model.get("description"),
      viewBox: `${left} ${top} ${right - left} ${bottom - top}`,
      preserveAspectRatio: model.get("stretch") ? "none" : "xMidYMid meet",
    });
    const url = imageUrl(model);
    const [rows, columns] = model.get("shape");
    if (url) {
      const place = { x: -0.5, y: -0.5, width: columns, height: rows, preserveAspectRatio: "none" };
      const image = make("image", { ...place, href: url, class: "ex-behind" });
      svg.append(image);
    }
    for (const stroke of model.get("strokes")) {
      const chosen = stroke.points.length === 1 || stroke.dots ? " ex-dots" : "";
      const d = path(stroke.points.length === 1 ? { ...stroke, dots: true } : stroke);
      svg.append(make("path", { d, class: `ex-casing ex-${stroke.kind}${chosen}` }));
      svg.append(make("path", { d, class: `ex-stroke ex-${stroke.kind}${chosen}` }));
    }
    svg.classList.toggle("ex-clickable", Boolean(model.get("click")));
    if (model.get("click")) {
      const hint = make("title");
      hint.textContent = `Point at a place for ${model.get("click")}; click to keep it`;
      svg.append(hint);
    }
    frame.replaceChildren(svg);
    title.textContent = model.get("title");
    note.textContent = model.get("note");
  };
  model.on("change", draw);
  const themed = new MutationObserver(draw);
  themed.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });
  draw();
  return () => {
    model.off("change", draw);
    themed.disconnect();
    clearTimeout(resting);
  };
}

export default { render };
