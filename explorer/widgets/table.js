// A table whose rows sort by a click on a header, with buttons in every row and lists above it.

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
};

function render({ model, el }) {
  el.classList.add("ex-table");
  let sorted = null; // [column, direction]
  const act = (action, id) => model.send({ action, id });

  const list = ({ id, label, choices, value }) => {
    const options = choices.map(([name, text]) => make("option", { value: name }, text));
    const select = make("select", { "aria-label": label }, ...options);
    select.value = value;
    select.addEventListener("change", () => act(id, select.value));
    return make("label", {}, label, " ", select);
  };
  const button = (text, name, pressed, action, id) => {
    const node = make("button", { type: "button", "aria-label": name, title: name, "data-key": `${action}-${id}` }, text);
    if (pressed !== null) node.setAttribute("aria-pressed", String(pressed));
    node.addEventListener("click", () => act(action, id));
    return node;
  };
  const header = (title, i) => {
    const direction = sorted && sorted[0] === i ? sorted[1] : 0;
    const sort = make("button", { type: "button", "data-key": `sort-${i}` }, title, direction ? (direction > 0 ? " ▴" : " ▾") : "");
    sort.addEventListener("click", () => {
      sorted = [i, direction === 1 ? -1 : 1];
      draw();
    });
    return make("th", { scope: "col", "aria-sort": direction ? (direction > 0 ? "ascending" : "descending") : "none" }, sort);
  };
  const ordered = (cells, does) => [cells[0], does, ...cells.slice(1)]; // the buttons stay in sight
  const order = (rows) => {
    if (!sorted) return rows;
    const [i, direction] = sorted;
    const before = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
    return [...rows].sort((a, b) => direction * before(a.keys[i], b.keys[i]));
  };

  const draw = () => {
    const focused = el.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const rows = model.get("rows");
    if (!rows.length) {
      el.replaceChildren(make("p", {}, model.get("empty")));
      return;
    }
    const head = make("tr", {}, ...ordered(model.get("columns").map(header), make("th", { scope: "col" }, "Do")));
    const body = order(rows).map((row) => {
      const cells = row.cells.map((cell, i) => (i ? make("td", {}, cell) : make("th", { scope: "row" }, cell)));
      const does = make(
        "td",
        {},
        button("Show", `Show run ${row.id} and its settings`, row.shown, "show", row.id),
        button("Pin", `Compare the others with run ${row.id}`, row.pinned, "pin", row.id),
        button("✕", `Forget run ${row.id}`, null, "remove", row.id),
      );
      return make("tr", row.shown ? { class: "ex-shown" } : {}, ...ordered(cells, does));
    });
    el.replaceChildren(
      make("div", { class: "ex-lists" }, ...model.get("lists").map(list)),
      make("div", { class: "ex-scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body))),
    );
    if (focused) el.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  };
  model.on("change", draw);
  draw();
  return () => model.off("change", draw);
}

export default { render };
