// The form: rows grouped under titles, drawn from plain data.
// Python owns every value. This file shows the state and reports what a person does; a value that was sent stays
// as it is on the screen until Python has answered that message (`seq`), so that a drag never jumps back.

const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
};
const put = (node, name, value) => {
  if (node[name] !== value) node[name] = value;
};
let forms = 0; // makes ids unique on a page
let seq = 0; // number of the newest message of any form

// What was typed is entered by Enter and by leaving the field, once.
function onEntered(field, shown, send) {
  const enter = () => field.value === shown() || send(field.value);
  field.addEventListener("change", enter);
  field.addEventListener("keydown", (event) => event.key === "Enter" && enter());
}

function numberRow(row, send) {
  const slider = make("input", { type: "range" });
  const exact = make("input", { type: "text", inputmode: "decimal", spellcheck: "false", autocomplete: "off" });
  const unit = make("span", { class: "ex-unit" });
  const nearest = (rests, value) => {
    let best = 0;
    rests.forEach((rest, i) => (best = Math.abs(rest - value) < Math.abs(rests[best] - value) ? i : best));
    return best;
  };
  const at = () => (row.rests ? row.rests[Number(slider.value)] : Number(Number(slider.value).toPrecision(6)));
  slider.addEventListener("input", () => {
    put(exact, "value", String(at()));
    slider.setAttribute("aria-valuetext", `${at()} ${row.unit}`);
    send(at());
  });
  onEntered(exact, () => row.text, send);
  const nodes = [slider, make("span", { class: "ex-exact" }, exact, unit)];
  if (row.play) nodes.unshift(player(slider, row.name));
  return {
    nodes,
    named: [slider, exact],
    update(next, held) {
      row = next;
      const ranged = row.rests || row.low !== undefined;
      put(slider, "hidden", !ranged);
      exact.parentElement.classList.toggle("ex-wide", !ranged);
      exact.placeholder = row.optional ? "auto" : "";
      put(unit, "textContent", row.unit);
      exact.setAttribute("aria-label", `${row.name}, exact value${row.unit ? ` in ${row.unit}` : ""}`);
      if (ranged) {
        const [low, high, step] = row.rests ? [0, row.rests.length - 1, 1] : [row.low, row.high, row.step];
        Object.assign(slider, { min: low, max: high, step });
        if (!held && row.value !== null) slider.value = row.rests ? nearest(row.rests, row.value) : row.value;
        slider.setAttribute("aria-valuetext", row.value === null ? "auto" : `${row.text} ${row.unit}`);
        slider.style.setProperty("--ex-part", `${(100 * (slider.value - low)) / (high - low || 1)}%`);
        slider.classList.toggle("ex-auto", row.value === null);
      }
      if (!held && document.activeElement !== exact) put(exact, "value", row.text);
    },
  };
}

// Moves a slider from where it is to its end, or from its beginning if it is there.
function player(slider, name) {
  const label = `Play: ${name}`;
  const button = make("button", { type: "button", class: "ex-play", "aria-label": label, "aria-pressed": "false" }, "▶");
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    button.textContent = "▶";
    button.setAttribute("aria-pressed", "false");
  };
  const go = (to) => {
    slider.value = to;
    slider.dispatchEvent(new Event("input"));
  };
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.value === slider.max) go(slider.min);
    button.textContent = "❚❚";
    button.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      if (slider.value === slider.max || !slider.isConnected) stop();
      else go(Number(slider.value) + 1);
    }, 150);
  });
  return button;
}

function switchRow(row, send) {
  const box = make("input", { type: "checkbox" });
  box.addEventListener("change", () => send(box.checked));
  return { nodes: [box], named: [box], update: (next, held) => held || put(box, "checked", next.value) };
}

function choiceRow(row, send) {
  const list = make("select");
  list.addEventListener("change", () => send(list.value));
  return {
    nodes: [list],
    named: [list],
    update(next, held) {
      const names = next.choices.join("\n");
      if (list.dataset.names !== names) {
        list.replaceChildren(...next.choices.map((name) => make("option", { value: name }, name || next.blank || "automatic")));
        list.dataset.names = names;
      }
      if (!held) put(list, "value", next.value);
    },
  };
}

function textRow(row, send) {
  const field = make("input", { type: "text", spellcheck: "false" });
  onEntered(field, () => row.text, send);
  return {
    nodes: [field],
    named: [field],
    update(next, held) {
      row = next;
      if (!held && document.activeElement !== field) put(field, "value", next.text);
    },
  };
}

function fileRow(row, send, tell) {
  const field = make("input", { type: "file", accept: ".png,.jpg,.jpeg,.tif,.tiff,.npy" });
  const state = make("span", { class: "ex-unit" });
  field.addEventListener("change", async () => {
    const file = field.files[0];
    if (!file) return;
    if (file.size > 2 ** 26) tell({ id: row.id, too_large: file.size });
    else tell({ id: row.id, file: file.name }, [await file.arrayBuffer()]);
    field.value = "";
  });
  return { nodes: [field, state], named: [field], update: (next) => put(state, "textContent", next.text) };
}

// A combobox without a text field: the list opens in place, and what cannot be chosen says why.
function componentRow(row, send, tell, model) {
  const id = `ex-list-${++forms}`;
  const button = make("button", {
    type: "button", role: "combobox", "aria-haspopup": "listbox", "aria-expanded": "false", "aria-controls": id,
  });
  const list = make("ul", { role: "listbox", id });
  list.hidden = true;
  let active = -1;
  let typed = "";
  let last = 0;
  const items = () => [...list.querySelectorAll("[role=option]")];
  const activate = (index) => {
    const all = items();
    if (!all.length) return;
    active = Math.max(0, Math.min(all.length - 1, index));
    all.forEach((item, i) => item.classList.toggle("ex-active", i === active));
    all[active].scrollIntoView({ block: "nearest" });
    button.setAttribute("aria-activedescendant", all[active].id);
  };
  const open = (wanted) => {
    list.hidden = !wanted;
    button.setAttribute("aria-expanded", String(wanted));
    if (!wanted) button.removeAttribute("aria-activedescendant");
    else fill(true);
  };
  const choose = (item) => {
    if (!item || item.getAttribute("aria-disabled") === "true") return;
    open(false);
    send(item.dataset.value, item.dataset.fit ? { fit: true } : {});
  };
  const fill = (ask) => {
    const options = model.get("options")[row.id];
    list.setAttribute("aria-busy", String(!options));
    if (!options) {
      list.replaceChildren(make("li", { class: "ex-wait", role: "presentation" }, "Looking at what fits …"));
      if (ask || !list.hidden) tell({ open: row.id, kind: row.kind });
      return;
    }
    const nodes = options.flatMap((option, i) => {
      const item = make("li", { role: "option", id: `${id}-${i}`, "aria-selected": String(option.value === row.value) });
      item.dataset.value = option.value;
      const picture = model.get("pictures")[option.value];
      if (picture) item.append(make("img", { src: picture, alt: "" }));
      item.append(make("span", {}, option.label));
      if (!option.why) return [item];
      item.setAttribute("aria-disabled", "true");
      item.append(make("small", {}, option.why));
      const fit = make("li", { role: "option", id: `${id}-${i}-fit`, class: "ex-fit", "aria-selected": "false" });
      fit.setAttribute("aria-label", `Choose ${option.label} and change the other parts to fit`);
      fit.dataset.value = option.value;
      fit.dataset.fit = "yes";
      fit.append("↳ choose it, change the rest to fit");
      return [item, fit];
    });
    list.replaceChildren(...nodes);
    activate(items().findIndex((item) => item.getAttribute("aria-selected") === "true"));
  };
  button.addEventListener("click", () => open(list.hidden));
  button.addEventListener("keydown", (event) => {
    const moves = { ArrowDown: active + 1, ArrowUp: active - 1, Home: 0, End: items().length - 1 };
    if (list.hidden) {
      if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
      open(true);
    } else if (event.key in moves) activate(moves[event.key]);
    else if (event.key === "Enter" || event.key === " ") choose(items()[active]);
    else if (event.key === "Escape") open(false);
    else if (event.key.length === 1 && !event.ctrlKey && !event.metaKey) {
      // Letters typed in quick succession are looked for in the names, at their beginning first.
      typed = event.timeStamp - last < 1000 ? typed + event.key.toLowerCase() : event.key.toLowerCase();
      last = event.timeStamp;
      const names = items().map((item) => (item.dataset.fit ? "" : item.querySelector("span").textContent.toLowerCase()));
      const from = typed.length > 1 ? active : active + 1;
      const find = (fits) => {
        const found = names.findIndex((name, i) => i >= from && name && fits(name));
        return found >= 0 ? found : names.findIndex((name) => name && fits(name));
      };
      const begins = find((name) => name.startsWith(typed));
      const found = begins >= 0 ? begins : find((name) => name.includes(typed));
      if (found >= 0) activate(found);
    } else return;
    event.preventDefault();
  });
  button.addEventListener("blur", () => open(false));
  list.addEventListener("mousedown", (event) => event.preventDefault()); // the button keeps the focus
  list.addEventListener("click", (event) => choose(event.target.closest("[role=option]")));
  return {
    nodes: [button],
    named: [button],
    below: list,
    update(next) {
      row = next;
      put(button, "textContent", next.text);
      list.classList.toggle("ex-cards", Boolean(next.cards));
      button.value = next.value;
      list.setAttribute("aria-label", `Choices for ${next.name}`);
    },
    refill: () => list.hidden || fill(false),
  };
}

const KINDS = {
  float: numberRow, int: numberRow, bool: switchRow, choice: choiceRow, text: textRow, file: fileRow,
  component: componentRow,
};

function render({ model, el }) {
  el.classList.add("ex-controls");
  const rows = new Map(); // id → what draws the row
  const sections = new Map(); // title → its element
  const form = `ex-${++forms}`;
  seq = Math.max(seq, model.get("seq")); // a page opened again goes on counting

  const tell = (message, buffers) => model.send({ ...message, seq: ++seq }, undefined, buffers);

  const makeRow = (row) => {
    let sent = 0;
    let timer = 0;
    let pending = null;
    const flush = () => {
      timer = 0;
      if (pending === null) return;
      tell({ id: row.id, ...pending });
      sent = seq;
      pending = null;
      timer = setTimeout(flush, 70); // the newest of a drag, at most 14 times a second
    };
    const send = (value, more = {}) => {
      pending = { value, ...more };
      if (!timer) flush();
    };
    const id = `${form}-${row.id.replaceAll(".", "-")}`;
    const kind = KINDS[row.type](row, send, tell, model);
    const label = make("label", { for: id });
    const error = make("p", { class: "ex-error", id: `${id}-error` });
    kind.named[0].id = id;
    const body = make("div", { class: `ex-row ex-${row.type}` }, label, ...kind.nodes);
    if (kind.below) body.append(kind.below);
    body.append(error);
    return {
      body,
      flush,
      type: row.type,
      refill: kind.refill,
      update(next) {
        put(label, "textContent", next.label);
        body.title = next.help;
        body.style.setProperty("--ex-depth", next.depth);
        body.dataset.row = next.id;
        put(error, "textContent", next.error || "");
        put(error, "hidden", !next.error);
        if (kind.named[0].getAttribute("aria-label") !== next.name) kind.named[0].setAttribute("aria-label", next.name);
        for (const node of kind.named) {
          node.setAttribute("aria-invalid", String(Boolean(next.error)));
          if (next.error) node.setAttribute("aria-describedby", `${id}-error`);
          else node.removeAttribute("aria-describedby");
        }
        kind.update(next, pending !== null || sent > model.get("seq"));
      },
    };
  };

  const resetter = (title) => {
    const said = `Reset ${title}: go back to what it began with`;
    const button = make("button", { type: "button", class: "ex-reset", "aria-label": said, title: said }, "↺ reset");
    button.addEventListener("click", () => tell({ reset: title }));
    return button;
  };
  // The first stop of the keyboard: thirty controls come before the button that runs them.
  const skipper = () => {
    const button = make("button", { type: "button", class: "ex-skip" }, "Go to Run");
    button.addEventListener("click", () => el.closest(".explorer")?.querySelector(".ex-bar button")?.focus());
    return button;
  };
  const place = (parent, nodes) =>
    nodes.forEach((node, i) => parent.children[i] === node || parent.insertBefore(node, parent.children[i] || null));

  const draw = () => {
    const groups = model.get("groups");
    const present = new Set(groups.flatMap((group) => group.rows.map((row) => row.id)));
    for (const [id, row] of rows) {
      if (!present.has(id)) {
        row.body.remove();
        rows.delete(id);
      }
    }
    for (const group of groups) {
      if (!sections.has(group.title)) {
        const [box, head] = group.folded ? ["details", "summary"] : ["fieldset", "legend"];
        const skip = model.get("plain_keys") && !sections.size ? [skipper()] : [];
        const more = make("details", { class: "ex-rest" }, make("summary", {}, "More", make("span")));
        more.append(make("div", { class: "ex-rows" }));
        const parts = [make(head), ...skip, resetter(group.title), make("div", { class: "ex-rows" }), more];
        sections.set(group.title, make(box, {}, ...parts));
      }
      const section = sections.get(group.title);
      const [seen, rest] = [section.querySelector(".ex-rows"), section.querySelector(".ex-rest")];
      put(section.firstElementChild, "textContent", group.folded || group.title);
      put(section.querySelector(".ex-reset"), "hidden", !group.changed);
      put(rest, "hidden", !group.more);
      put(rest.querySelector("span"), "textContent", `: ${group.more}`);
      put(rest.firstElementChild, "title", group.more);
      const nodes = { seen: [], rest: [] };
      for (const row of group.rows) {
        if (rows.get(row.id)?.type !== row.type) {
          rows.get(row.id)?.body.remove();
          rows.set(row.id, makeRow(row));
        }
        rows.get(row.id).update(row);
        nodes[row.rare ? "rest" : "seen"].push(rows.get(row.id).body);
        if (row.rare && row.error) rest.open = true; // what is wrong is not hidden
      }
      place(seen, nodes.seen);
      place(rest.lastElementChild, nodes.rest);
    }
    place(el, groups.map((group) => sections.get(group.title)));
  };
  const refill = () => rows.forEach((row) => row.refill?.());

  const looksDark = () => document.body.dataset.jpThemeLight === "false";
  const themed = new MutationObserver(() => tell({ dark: looksDark() }));
  themed.observe(document.body, { attributeFilter: ["data-jp-theme-light"] });

  // A cell of the page remembers its settings, for the widget of the kernel that comes after this one.
  let cell = null;
  const keep = () => cell && (cell.explorerState = model.get("state"));
  const recall = (found) => {
    if (!found || !model.get("state").spec) return;
    cell = found;
    const was = cell.explorerState;
    if (was && was.spec !== model.get("state").spec) tell({ was });
    keep();
  };

  // The chart has to be told how wide its place is.
  let width = 0;
  let finding = 0;
  const measured = new ResizeObserver(([entry]) => {
    const now = Math.floor(entry.target.firstElementChild?.getBoundingClientRect().width || 0);
    if (now && now !== width) tell({ width: (width = now) });
  });
  const find = () => {
    const place = el.closest(".explorer")?.querySelector(".ex-explained");
    if (place) {
      measured.observe(place);
      recall(el.closest(".jp-Cell"));
    } else finding = setTimeout(find, 100); // the parts of a page arrive one by one
  };
  find();

  // Plain keys belong to the control that has the focus, not to the notebook's shortcuts; Ctrl and ⌘ stay the page's.
  const guard = (event) => {
    if (!(el.closest(".explorer") || el).contains(event.target)) return;
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !(event.ctrlKey || event.metaKey));
  };
  window.addEventListener("keydown", guard, true);
  const typing = "input:not([type=range], [type=checkbox]), select, textarea, [role=combobox][aria-expanded=true]";
  const pressed = (event) => {
    const inside = (el.closest(".explorer") || el).contains(event.target);
    if (!model.get("plain_keys") || !inside || event.ctrlKey || event.metaKey || event.altKey) return;
    if (!event.target.matches(typing) && "rcuykl?".includes(event.key)) {
      rows.forEach((row) => row.flush()); // a slider's last move comes first
      tell({ key: event.key });
    }
  };
  window.addEventListener("keydown", pressed);

  model.on("change:groups", draw);
  model.on("change:seq", draw);
  model.on("change:options", refill);
  model.on("change:pictures", refill);
  model.on("change:state", keep);
  draw();
  tell({ opened: true, dark: looksDark() });
  return () => {
    model.off("change:groups", draw);
    model.off("change:seq", draw);
    model.off("change:options", refill);
    model.off("change:pictures", refill);
    model.off("change:state", keep);
    themed.disconnect();
    measured.disconnect();
    clearTimeout(finding);
    window.removeEventListener("keydown", guard, true);
    window.removeEventListener("keydown", pressed);
  };
}

export default { render };
