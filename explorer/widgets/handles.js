// The parts of a picture that can be moved and resized. Joined with canvas.js, which draws the picture.

const SVG = "http://www.w3.org/2000/svg";
//: milliseconds: at most one move of a part so often, and how long an answer is waited for
const [OFTEN, ANSWER] = [100, 600];
//: pixels from the middle of a part to the square for its size, at least: one can be taken hold of beside the other
const APART = 22;
const HINT = "Drag a dot to move its part, its square to size it; or use the form below the pictures.";
const STEER = "Drag it; or arrow keys move it (with Shift by eight pixels), + and − scale it, [ and ] turn it, "
  + "Page Up and Page Down change its intensity";

// A handle in the middle of each part; the outline of the chosen one, with a square at its rim for its size; and an
// outline that shows what would become of it. What is asked for is sent now and then during a drag, and at its end.
function mover(frame, caption, model, look, show) {
  const svg = document.createElementNS(SVG, "svg");
  const said = document.createElement("span");
  const grip = document.createElement("div");
  svg.setAttribute("class", "ex-outline");
  svg.setAttribute("aria-hidden", "true");
  said.className = "ex-said";
  said.setAttribute("role", "status");
  grip.className = "ex-handle ex-grip";
  grip.title = "Drag to change the size";
  const handles = [];
  let focused = -1;
  // what is dragged: part `i`, where its middle is put (`to`) or the half sizes it gets (`half`), and what was before
  let held = null;
  let [sent, answered] = [0, true];
  const parts = () => (model.get("kind") === "image" ? model.get("parts") : []);
  const chosen = () => (focused in parts() ? focused : parts().findIndex((part) => part.chosen));
  const post = (content) => {
    [sent, answered] = [performance.now(), false];
    model.send(content);
  };
  const move = (now) => {
    const since = performance.now() - sent;
    if (!now && (since < OFTEN || !(answered || since > ANSWER))) return;
    post({ part: held.i, ...held.now, drag: held.drag });
  };
  const onPage = ([row, column]) => {
    const [rows, columns] = model.get("shape");
    const { scale, left, top } = look.place();
    const seen = look.shown();
    return [left + (column * columns - seen.left) * scale, top + (row * rows - seen.top) * scale];
  };
  const onPicture = (event) => {
    const [rows, columns] = model.get("shape");
    const { scale, left, top } = look.place();
    const [seen, corner] = [look.shown(), frame.getBoundingClientRect()];
    const row = (event.clientY - corner.top - top) / scale + seen.top;
    return [row / rows, ((event.clientX - corner.left - left) / scale + seen.left) / columns];
  };
  const keep = (v) => Math.max(0, Math.min(1, v));
  const drop = () => {
    held = null;
    show();
  };
  const steer = (event, i) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (2 / model.get("shape")[1]) * (event.shiftKey ? 8 : 1);
    const does = {
      ArrowUp: { up: step }, ArrowDown: { up: -step }, ArrowLeft: { right: -step }, ArrowRight: { right: step },
      "+": { scale: 1.1 }, "=": { scale: 1.1 }, "-": { scale: 1 / 1.1 }, "[": { turn: 5 }, "]": { turn: -5 },
      PageUp: { brighter: 0.05 }, PageDown: { brighter: -0.05 },
    };
    if (event.key === "Escape" && held && !held.done) {
      held.now = held.before;
      move(true);
      drop();
    } else if (event.key in does) post({ part: i, ...does[event.key] });
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const draggable = (node, begin, follow) => {
    node.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const taken = begin(onPicture(event));
      node.setPointerCapture(event.pointerId);
      held = { ...taken, now: taken.before, drag: Date.now(), done: false };
      event.preventDefault();
    });
    node.addEventListener("pointermove", (event) => {
      if (!held || held.done) return;
      held.now = follow(onPicture(event).map((v, k) => v + held.off[k]));
      move(false);
      show();
    });
    const end = () => {
      if (!held || held.done) return;
      move(true);
      held.done = true; // it stays where it was put until the answer comes
      setTimeout(() => held?.done && drop(), ANSWER);
    };
    node.addEventListener("pointerup", end);
    node.addEventListener("lostpointercapture", end);
  };
  const apart = (from, here) => from.map((v, k) => v - here[k]);
  const handle = (i) => {
    const node = document.createElement("button");
    node.type = "button";
    node.className = "ex-handle";
    node.title = STEER;
    node.addEventListener("focus", () => {
      focused = i;
      if (!parts()[i].chosen) post({ part: i });
      show();
    });
    node.addEventListener("blur", () => {
      if (focused === i) focused = -1;
      show();
    });
    node.addEventListener("keydown", (event) => steer(event, i));
    const take = (here) => {
      node.focus();
      const { at } = parts()[i];
      return { i, before: { to: at }, off: apart(at, here) };
    };
    draggable(node, take, (place) => ({ to: place.map(keep) }));
    frame.append(node);
    return node;
  };
  // The rim towards the upper right before the part is turned: that of a round part lies within its box.
  const rim = (part, half) => {
    const [rows, columns] = model.get("shape");
    const share = part.kind === "rectangle" ? 1 : Math.SQRT1_2;
    const [w, h, turn] = [share * half[1] * columns, -share * half[0] * rows, (part.turn * Math.PI) / 180];
    const [x, y] = [w * Math.cos(turn) - h * Math.sin(turn), w * Math.sin(turn) + h * Math.cos(turn)];
    return [part.at[0] + y / rows, part.at[1] + x / columns];
  };
  const halves = (part, place) => {
    const [rows, columns] = model.get("shape");
    const share = part.kind === "rectangle" ? 1 : Math.SQRT1_2;
    const turn = (part.turn * Math.PI) / 180;
    const [y, x] = [(place[0] - part.at[0]) * rows, (place[1] - part.at[1]) * columns];
    const [w, h] = [x * Math.cos(turn) + y * Math.sin(turn), y * Math.cos(turn) - x * Math.sin(turn)];
    return [Math.abs(h) / share / rows, Math.abs(w) / share / columns];
  };
  const size = (here) => {
    const part = parts()[chosen()];
    return { i: chosen(), before: { half: part.half }, off: apart(rim(part, part.half), here) };
  };
  draggable(grip, size, (place) => ({ half: halves(parts()[held.i], place) }));
  const outline = (part, cls) => {
    const [x, y] = onPage(part.at);
    const { scale } = look.place();
    const [rows, columns] = model.get("shape");
    const [h, w] = [part.half[0] * rows * scale, part.half[1] * columns * scale];
    const round = part.kind !== "rectangle";
    for (const layer of ["ex-under", cls]) {
      const node = document.createElementNS(SVG, round ? "ellipse" : "rect");
      const size = round ? { cx: 0, cy: 0, rx: w, ry: h } : { x: -w, y: -h, width: 2 * w, height: 2 * h };
      const all = { ...size, class: layer, transform: `translate(${x} ${y}) rotate(${part.turn})` };
      for (const [key, value] of Object.entries(all)) node.setAttribute(key, value);
      svg.append(node);
    }
  };
  const put = (node, [x, y]) => {
    node.style.left = `${x}px`;
    node.style.top = `${y}px`;
    node.hidden = x < 0 || y < 0 || x > frame.clientWidth || y > frame.clientHeight;
  };
  // A part as it would become: what is dragged is ahead of what Python has answered.
  const asHeld = (part, i) => {
    if (held?.i !== i) return part;
    return { ...part, at: held.now.to || part.at, half: held.now.half || part.half };
  };
  const draw = () => {
    const list = parts();
    while (handles.length > list.length) handles.pop().remove();
    if (!list.length) {
      for (const node of [svg, said, grip]) node.remove();
      return;
    }
    if (!svg.isConnected) frame.append(svg);
    if (!said.isConnected) caption.append(said);
    while (handles.length < list.length) handles.push(handle(handles.length));
    if (held && !list[held.i]) held = null;
    svg.replaceChildren();
    list.forEach((part, i) => {
      handles[i].setAttribute("aria-label", part.name);
      put(handles[i], onPage(asHeld(part, i).at));
    });
    const part = list[chosen()];
    if (part) {
      outline(part, "ex-over");
      const next = asHeld(part, chosen());
      const [middle, edge] = [onPage(next.at), onPage(rim(next, next.half))];
      const away = edge.map((v, k) => v - middle[k]);
      const far = Math.max(1, APART / (Math.hypot(...away) || 1));
      put(grip, middle.map((v, k) => v + far * away[k]));
      if (!grip.isConnected) frame.append(grip);
    } else grip.remove();
    if (held) outline(asHeld(list[held.i], held.i), "ex-ghost");
    const text = part?.text || HINT;
    if (said.textContent !== text) said.textContent = text;
  };
  const heard = () => {
    answered = true;
    if (held?.done) held = null;
    else if (held) move(false);
  };
  model.on("change:parts", heard);
  return { draw, end: () => model.off("change:parts", heard) };
}

