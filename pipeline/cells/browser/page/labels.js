"use strict";
// One's own labels of latents. They come from my-labels.js, which a run writes only
// where there is none, and from what was typed in this browser since.

const labels = (() => {
  const KEY = `labels ${location.pathname}`;
  const saved = globalThis.savedLabels || {}; // cell -> latent -> label, as the file has them
  let typed = {};
  try {
    typed = JSON.parse(localStorage.getItem(KEY)) || {};
  } catch { /* no storage here: labels last until the page is closed */ }

  const of = (cell, latent) => typed[cell]?.[latent] ?? saved[cell]?.[latent] ?? "";

  function set(cell, latent, label) {
    (typed[cell] ??= {})[latent] = label;
    try {
      localStorage.setItem(KEY, JSON.stringify(typed));
    } catch { /* as above */ }
    offer();
  }

  // All labels as the text of the file; emptied ones are left out.
  function file() {
    const all = {};
    for (const cell of new Set([...Object.keys(saved), ...Object.keys(typed)])) {
      const merged = Object.entries({ ...saved[cell], ...typed[cell] }).filter(([, label]) => label);
      if (merged.length) all[cell] = Object.fromEntries(merged);
    }
    return `globalThis.savedLabels = ${JSON.stringify(all, null, 1)};\n`;
  }

  function offer() {
    document.getElementById("save").hidden = !Object.keys(typed).length;
  }

  function start() {
    document.getElementById("save").onclick = () => {
      const link = latents.element("a", { href: URL.createObjectURL(new Blob([file()], { type: "text/javascript" })), download: "my-labels.js" });
      link.click();
      URL.revokeObjectURL(link.href);
    };
    offer();
  }

  // The field of a latent's page.
  function input(cell, latent) {
    const made = latents.element("input", { id: "label", type: "text", maxlength: "200", placeholder: "what you think it stands for" });
    made.value = of(cell, latent);
    made.addEventListener("input", () => set(cell, latent, made.value));
    return latents.element("label", { class: "label" }, "Your label ", made);
  }

  return { of, set, file, start, input };
})();
