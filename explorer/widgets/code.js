// Pieces of text to copy, each under its title.

function render({ model, el }) {
  el.classList.add("ex-code");
  const draw = () => {
    el.replaceChildren(
      ...model.get("pieces").map(([title, text]) => {
        const piece = document.createElement("section");
        const head = document.createElement("h4");
        const copy = document.createElement("button");
        const code = document.createElement("pre");
        head.textContent = title;
        copy.type = "button";
        copy.textContent = "Copy";
        copy.setAttribute("aria-label", `Copy: ${title}`);
        copy.addEventListener("click", async () => {
          await navigator.clipboard.writeText(text);
          copy.textContent = "Copied";
        });
        code.textContent = text;
        code.tabIndex = 0; // a long one scrolls, also by keyboard
        head.append(copy);
        piece.append(head, code);
        return piece;
      }),
    );
  };
  model.on("change:pieces", draw);
  draw();
  return () => model.off("change:pieces", draw);
}

export default { render };
