// A row of tabs. Python shows the panel of the one that is selected.

function render({ model, el }) {
  const bar = document.createElement("div");
  bar.className = "ex-tabs";
  bar.setAttribute("role", "tablist");
  bar.setAttribute("aria-label", "Explanations");
  const tabs = model.get("titles").map((title, i) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.textContent = title;
    tab.setAttribute("role", "tab");
    tab.addEventListener("click", () => select(i));
    return tab;
  });
  bar.append(...tabs);
  el.append(bar);
  const select = (i) => {
    model.set("selected", (i + tabs.length) % tabs.length);
    model.save_changes();
  };
  bar.addEventListener("keydown", (event) => {
    const now = model.get("selected");
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(to);
    tabs[model.get("selected")].focus();
  });
  // A note leads to the tab that shows what it says.
  const lead = (event) => {
    const link = event.target.closest?.("[data-ex-tab]");
    if (!link || link.closest(".explorer") !== el.closest(".explorer")) return;
    select(model.get("titles").indexOf(link.dataset.exTab));
    tabs[model.get("selected")].focus();
  };
  document.addEventListener("click", lead);
  const draw = () =>
    tabs.forEach((tab, i) => {
      const chosen = i === model.get("selected");
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
    });
  model.on("change:selected", draw);
  draw();
  return () => {
    document.removeEventListener("click", lead);
    model.off("change:selected", draw);
  };
}

export default { render };
