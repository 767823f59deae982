"use strict";
// What is shown: the address says it, #cell=NAME&latent=NUMBER. Keys and buttons change the address.

const main = (() => {
  const { element, load, numbers } = latents;
  const byId = (id) => document.getElementById(id);
  const SIGNS = ["both", "positive", "negative"];
  const WORDS = { both: "both signs", positive: "+ alone", negative: "− alone" };
  const indices = new Map();
  let catalog = null, cell = null, current = -1, turn = 0, sign = "both";

  const address = (name, number) => `#${new URLSearchParams({ cell: name, ...(number === undefined ? {} : { latent: number }) })}`;

  // A cell with its columns and its words.
  function opened(entry) {
    if (!indices.has(entry.name)) {
      const reading = Promise.all([load(`${entry.folder}/index`), load(`${entry.folder}/vocabulary`)]).then(([index, vocabulary]) => {
        const values = Object.fromEntries(Object.entries(index.columns).map(([name, column]) => [name, numbers(column)]));
        return { ...index, ...entry, values, vocabulary, columns: null };
      });
      reading.catch(() => indices.delete(entry.name));
      indices.set(entry.name, reading);
    }
    return indices.get(entry.name);
  }

  function describe(entry) {
    const parts = [`L0 ${text.number(entry.l0)}`, `R² ${text.number(entry.r2)}`, `${text.whole(entry.width)} latents, ${text.whole(entry.dead)} dead`, entry.k ? `k ${text.whole(entry.k)}` : `λ ${text.number(entry.lambda)}`, `seed ${entry.seed}`];
    if (entry.recipe) parts.push(`recipe ${entry.recipe}`);
    if (entry.collapsed.length) parts.push(`collapsed: ${entry.collapsed.join("; ")}`);
    byId("facts").textContent = parts.join(" · ");
    document.title = `${entry.name}: latents of study ${catalog.study}`;
  }

  async function showCell(entry) {
    byId("cell").value = entry.name;
    describe(entry);
    const found = await opened(entry);
    if (cell !== found) {
      cell = found;
      current = -1;
      byId("kind").querySelector('[value="dial"]').disabled = !cell.dials.length;
      if (byId("kind").value === "dial" && !cell.dials.length) byId("kind").value = "all";
      list.show(cell);
    }
  }

  // Show what the address says. A later call overtakes an earlier one.
  async function follow() {
    const mine = ++turn;
    const asked = new URLSearchParams(location.hash.slice(1));
    const entry = catalog.cells.find((one) => one.name === asked.get("cell")) || catalog.cells[0];
    try {
      await showCell(entry);
      if (mine !== turn) return;
      const given = asked.get("latent");
      const number = given !== null && /^\d+$/.test(given) ? Number(given) : -1;
      document.body.classList.toggle("reading", number >= 0 && number < cell.width);
      if (number >= 0 && number < cell.width) await showLatent(number, mine);
      else if (given !== null) complain(`${entry.name} has latents 0 to ${cell.width - 1}; there is no latent ${given}.`);
      else if (matchMedia("(min-width: 60rem)").matches && list.opening() >= 0) await showLatent(list.opening(), mine);
    } catch (error) {
      if (mine === turn) complain(error.message);
    }
  }

  async function showLatent(number, mine) {
    list.select(number);
    const other = catalog.cells.find((one) => one.name === cell.rival);
    const parts = await latent.page(cell, number, other ? await opened(other) : null);
    if (mine !== turn) return;
    current = number;
    const place = byId("latent");
    place.replaceChildren(...parts);
    place.dataset.latent = number;
    place.scrollTop = 0;
    byId("back").onclick = back;
    byId("previous").onclick = () => list.step(-1);
    byId("next").onclick = () => list.step(1);
    if (byId("sign")) byId("sign").onclick = turnSign;
    showSign();
  }

  function complain(words) {
    document.body.classList.add("reading");
    byId("latent").replaceChildren(element("button", { type: "button", id: "back" }, "‹ List"), element("p", { role: "alert" }, words));
    byId("back").onclick = back;
  }

  // Steps by key leave no trail in the browser's history.
  function choose(number, { replace = false } = {}) {
    const target = address(cell.name, number);
    if (location.hash === target) document.body.classList.add("reading");
    else if (replace) location.replace(target);
    else location.hash = target;
  }

  function back() {
    document.body.classList.remove("reading");
    byId("grid").focus();
  }

  function turnSign() {
    sign = SIGNS[(SIGNS.indexOf(sign) + 1) % SIGNS.length];
    showSign();
  }

  function showSign() {
    byId("latent").dataset.sign = cell.two_sided ? sign : "both";
    if (byId("sign")) byId("sign").textContent = WORDS[sign];
  }

  const KEYS = {
    ArrowDown: () => list.step(1), j: () => list.step(1),
    ArrowUp: () => list.step(-1), k: () => list.step(-1),
    ArrowRight: () => list.step(1), ArrowLeft: () => list.step(-1),
    PageDown: () => list.step(list.page()), PageUp: () => list.step(-list.page()),
    Home: () => list.step(-Infinity), End: () => list.step(Infinity),
    Enter: () => { document.body.classList.add("reading"); byId("latent").focus(); },
    s: turnSign, Escape: back,
    "/": () => { document.body.classList.remove("reading"); byId("search").focus(); byId("search").select(); },
    "?": () => byId("words").showModal(),
  };
  const IN_ARTICLE = ["ArrowDown", "ArrowUp", "PageDown", "PageUp", "Home", "End", "Enter"];

  function pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !cell || byId("words").open) return;
    const target = event.target;
    if (target.matches("input, select, textarea")) {
      if (event.key === "Escape" || (event.key === "Enter" && target.id === "search")) {
        event.preventDefault();
        byId("grid").focus();
        if (event.key === "Enter" && list.first() >= 0) choose(list.first());
      }
      return;
    }
    if (!KEYS[event.key]) return;
    if (IN_ARTICLE.includes(event.key) && (target.closest("#latent") || target.matches("button, a"))) return; // scrolls, or presses
    event.preventDefault();
    KEYS[event.key]();
  }

  function fillCells() {
    const models = Map.groupBy ? Map.groupBy(catalog.cells, (one) => one.model) : new Map([["", catalog.cells]]);
    for (const [model, cells] of models) {
      const options = cells.map((one) => element("option", { value: one.name }, `${one.model} ${one.hookpoint}: ${one.variant}${one.recipe ? `, ${one.recipe}` : ""}, H = ${one.width}, L0 ${text.number(one.l0)}`));
      byId("cell").append(element("optgroup", { label: model || "SAEs" }, options));
    }
    byId("cell").addEventListener("change", () => { location.hash = address(byId("cell").value); });
  }

  async function start() {
    try {
      catalog = await load("catalog");
    } catch (error) {
      complain(error.message);
      return;
    }
    byId("study").textContent = `of study ${catalog.study}`;
    byId("note").textContent = catalog.note;
    fillCells();
    labels.start();
    list.start(choose);
    byId("help").onclick = KEYS["?"];
    addEventListener("hashchange", follow);
    document.addEventListener("keydown", pressed);
    await follow();
    document.body.dataset.ready = "yes";
  }

  return { start, address, latent: () => current };
})();

main.start();
