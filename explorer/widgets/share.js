// Buttons that copy a link and download files; a page that was opened with a link hands it over.

const LINK = /[#?&](explorer=[^&#\s]+)/;

function render({ model, el }) {
  el.classList.add("ex-share");
  const button = (label, work) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = label;
    made.addEventListener("click", work);
    return made;
  };
  const said = document.createElement("span");
  said.setAttribute("role", "status");
  const copy = button("Copy link", async () => {
    // without the query: it can hold the server's token
    const address = location.origin + location.pathname + model.get("fragment");
    try {
      await navigator.clipboard.writeText(address);
      said.textContent = "The link is in the clipboard.";
    } catch {
      said.textContent = `This page may not use the clipboard; the link is ${address}`;
    }
  });
  const files = model.get("files").map(([ending, label]) => {
    const made = button(label, () => model.send({ download: ending }));
    made.setAttribute("aria-label", `Download: ${label}`);
    return made;
  });
  const save = (content, buffers) => {
    if (!content.file) return;
    const address = URL.createObjectURL(new Blob([buffers[0]], { type: content.type }));
    const link = document.createElement("a");
    link.href = address;
    link.download = content.file;
    link.click();
    setTimeout(() => URL.revokeObjectURL(address), 60000);
  };
  const draw = () => {
    copy.disabled = !model.get("fragment");
    files.forEach((file) => (file.disabled = !model.get("ready")));
    said.textContent = model.get("said");
  };
  el.append(copy, ...files, said);
  model.on("msg:custom", save);
  model.on("change", draw);
  draw();

  // One Explorer of a page takes the link, once. JupyterLab drops the fragment from the address that it shows.
  const opened = performance.getEntriesByType("navigation")[0]?.name || "";
  const linked = [location.hash, opened].map((address) => address.match(LINK)?.[1]).find(Boolean);
  if (linked && linked !== model.get("taken") && document.body.dataset.explorerLink !== linked) {
    document.body.dataset.explorerLink = linked;
    model.send({ link: linked });
  }
  return () => {
    model.off("msg:custom", save);
    model.off("change", draw);
  };
}

export default { render };
