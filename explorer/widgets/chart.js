// Plotly's figure, by plotly's own module, which is loaded once for all figures of a page.

const loaded = (globalThis.explorerLibraries ??= new Map());

async function library(model) {
  const id = model.get("library");
  const source = await model.widget_manager.get_model(id);
  if (!loaded.has(id)) {
    const address = URL.createObjectURL(new Blob([source.get("text")], { type: "text/javascript" }));
    loaded.set(id, import(address).finally(() => URL.revokeObjectURL(address)));
  }
  return loaded.get(id);
}

// A figure that Python has closed can still be drawn on a page: nobody wants to hear of it, and that is no error.
const unheard = (model) => ({
  ...model,
  save_changes() {
    try {
      model.save_changes();
    } catch (error) {
      if (!String(error).includes("no comm channel")) throw error;
    }
  },
});

export default () => {
  let figure;
  return {
    // not waited for: the page gives an `initialize` two seconds
    initialize({ model }) {
      figure = library(model).then(async (made) => {
        const one = made.default();
        await one.initialize({ model: unheard(model) });
        return one;
      });
    },
    async render({ model, el }) {
      return (await figure).render({ model: unheard(model), el });
    },
  };
};
