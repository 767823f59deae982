"use strict";
// The list of latents: numbers of all of them, filtered, searched and sorted; rows exist while seen.

const list = (() => {
  const { element } = latents;
  const ROW = 30;
  const SPARE = 8;
  const grid = document.getElementById("grid");
  const head = document.getElementById("head");
  const rows = document.getElementById("rows");
  const field = (name) => document.getElementById(name);
  let cell = null; // the index of the cell that is shown, its columns decoded
  let columns = [];
  let order = new Uint32Array(0);
  let sorted = { key: "contribution", falling: true };
  let chosen = -1;
  let choose = () => {};

  // What is known of each latent, as columns that can be sorted.
  function derived(index) {
    const of = index.values, n = index.width;
    const make = (compute) => Float32Array.from({ length: n }, (_, i) => compute(i));
    const share = (a, b) => (a + b ? Math.min(a, b) / (a + b) : NaN);
    return {
      latent: make((i) => i),
      fires_positive: make((i) => of.positive[i] / index.tokens),
      fires_negative: make((i) => of.negative[i] / index.tokens),
      minor: make((i) => share(of.positive[i], of.negative[i])),
      slope_positive: of.slope_positive,
      slope_negative: of.slope_negative,
      contribution: of.contribution,
    };
  }

  // Densities, as shares of the held-out tokens, of a latent that is worth showing first.
  const WORTH = [0.001, 0.02];

  const COLUMNS = [
    ["latent", "#", (v) => String(v)],
    ["fires_positive", "dens. +", text.percent],
    ["fires_negative", "dens. −", text.percent, true],
    ["minor", "rarer", text.percent, true],
    ["slope_positive", "slope+", (v) => text.number(v)],
    ["slope_negative", "slope−", (v) => text.number(v), true],
    ["contribution", "share", text.percent],
    ["up", "+ promotes", null],
    ["down", "− promotes", null, true],
  ];
  const MEANINGS = {
    latent: "number of the latent",
    fires_positive: "density: share of the held-out tokens on which its activation is positive",
    fires_negative: "density: share of the held-out tokens on which its activation is negative",
    minor: "part of its firings that the rarer sign has",
    slope_positive: "calibration slope of +; above 1 its activations are too small",
    slope_negative: "calibration slope of −; above 1 its activations are too small",
    contribution: "its part of the sum of z² over all latents",
    up: "tokens that its direction promotes most",
    down: "tokens that the opposite direction promotes most",
  };

  function words(side, latent) {
    const { listed, vocabulary, values } = cell;
    return Array.from(values[side].subarray(latent * listed, (latent + 1) * listed), (token) => vocabulary[token]);
  }

  function searched(latent) {
    cell.found ??= new Array(cell.width);
    const sides = cell.two_sided ? ["up", "down"] : ["up"];
    return (cell.found[latent] ??= sides.flatMap((side) => words(side, latent)).join("\u0000").toLowerCase());
  }

  const asked = () => field("search").value.toLowerCase();

  // Of a latent: the share of the held-out tokens on which it is active.
  const density = (i) => (cell.values.positive[i] + cell.values.negative[i]) / cell.tokens;

  // The latent that is shown first: of those in the list whose density is worth it the first one,
  // else the nearest to such a density on a logarithmic scale; dead ones last.
  function opening() {
    let best = -1, least = Infinity;
    for (const i of order) {
      const share = density(i);
      const off = Math.max(0, Math.log(WORTH[0] / share), Math.log(share / WORTH[1]));
      if (best < 0 || off < least) [best, least] = [i, off];
      if (!least) break;
    }
    return best;
  }

  function wanted() {
    const query = asked();
    const exact = /^\s*#?\d+\s*$/.test(query) ? Number(query.replace("#", "")) : -1;
    const kind = field("kind").value;
    const least = Number(field("least").value) || 0;
    const minor = (Number(field("minor").value) || 0) / 100;
    const { positive, negative } = cell.values;
    const dials = new Set(cell.dials);
    const kinds = {
      all: () => true,
      both: (i) => positive[i] && negative[i],
      positive: (i) => positive[i] && !negative[i],
      negative: (i) => negative[i] && !positive[i],
      dead: (i) => !positive[i] && !negative[i],
      dial: (i) => dials.has(i),
    };
    const found = [];
    for (let i = 0; i < cell.width; i++) {
      if (!kinds[kind](i) || positive[i] + negative[i] < least) continue;
      if (minor > 0 && !(cell.derived.minor[i] >= minor)) continue;
      if (query.trim() && i !== exact && !searched(i).includes(query) && !labels.of(cell.name, i).toLowerCase().includes(query)) continue;
      found.push(i);
    }
    return found;
  }

  // Latents in order; those without a value come last. Of equal ones the lower number comes first.
  function arrange() {
    const values = cell.derived[sorted.key], sign = sorted.falling ? -1 : 1;
    order = Uint32Array.from(wanted());
    order.sort((a, b) => {
      const p = values[a], q = values[b];
      if (p === q) return a - b;
      if (p !== p) return q !== q ? a - b : 1;
      if (q !== q) return -1;
      return sign * (p - q);
    });
    field("count").textContent = `${text.whole(order.length)} of ${text.whole(cell.width)}`;
    grid.setAttribute("aria-rowcount", order.length + 1);
    rows.style.height = `${order.length * ROW}px`;
    grid.scrollTop = 0;
    field("nothing").textContent = order.length ? "" : asked().trim() ? `No latent of this SAE matches “${field("search").value}”. The search reads the numbers, your labels and the promoted tokens of all latents.` : "No latent of this SAE passes these filters.";
    header();
    paint();
    densities();
  }

  // The histogram of the densities of all latents, with the chosen one.
  function densities() {
    field("densities").replaceChildren(draw.densities(Array.from({ length: cell.width }, (_, i) => density(i)), 1 / cell.tokens, chosen));
  }

  function header() {
    head.replaceChildren(...columns.map(([key, name, shown]) => {
      const state = key !== sorted.key ? "none" : sorted.falling ? "descending" : "ascending";
      const button = shown === null ? name : element("button", { type: "button", "data-key": key, tabindex: "-1" }, name);
      return element("div", { role: "columnheader", "aria-sort": state, class: key, title: MEANINGS[key] }, button);
    }));
  }

  // The rows that are in sight.
  function paint() {
    const first = Math.max(0, Math.floor(grid.scrollTop / ROW) - SPARE);
    const last = Math.min(order.length, Math.ceil((grid.scrollTop + grid.clientHeight) / ROW) + SPARE);
    const seen = [], query = asked().trim() && asked();
    const matches = (token) => query !== "" && token.toLowerCase().includes(query);
    for (let at = first; at < last; at++) {
      const latent = order[at];
      const row = element("div", { role: "row", class: "row", id: `row-${latent}`, "data-latent": latent, "aria-rowindex": at + 2, "aria-selected": String(latent === chosen) });
      row.style.transform = `translateY(${at * ROW}px)`;
      for (const [key, , shown] of columns) {
        const ordered = shown ? [] : words(key, latent).sort((a, b) => matches(b) - matches(a));
        const content = shown ? shown(cell.derived[key][latent]) : ordered.slice(0, 3).map((token) => text.chip(token, query));
        row.append(element("div", { role: "gridcell", class: key }, content));
      }
      seen.push(row);
    }
    rows.replaceChildren(...seen);
    if (chosen >= 0) grid.setAttribute("aria-activedescendant", `row-${chosen}`);
  }

  function select(latent, { scroll = true } = {}) {
    chosen = latent;
    const at = order.indexOf(latent);
    if (scroll && at >= 0) {
      const top = at * ROW, seen = grid.clientHeight - head.offsetHeight;
      if (top < grid.scrollTop) grid.scrollTop = top;
      if (top + ROW > grid.scrollTop + seen) grid.scrollTop = top + ROW - seen;
    }
    paint();
    densities();
  }

  // Go some rows on; from a latent that is filtered out, to the first row.
  function step(by) {
    if (!order.length) return;
    const at = order.indexOf(chosen);
    choose(order[at < 0 ? 0 : Math.min(order.length - 1, Math.max(0, at + by))], { replace: true });
  }

  function sort(key) {
    sorted = { key, falling: sorted.key === key ? !sorted.falling : key !== "latent" };
    arrange();
  }

  function show(index) {
    cell = index;
    cell.derived = derived(index);
    columns = COLUMNS.filter(([, , , both]) => !both || index.two_sided);
    document.body.classList.toggle("one-sided", !index.two_sided);
    chosen = -1;
    arrange();
  }

  function start(whenChosen) {
    choose = whenChosen;
    let waiting = false;
    grid.addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => {
        waiting = false;
        if (cell) paint();
      });
    });
    new ResizeObserver(() => cell && paint()).observe(grid);
    head.addEventListener("click", (event) => {
      const key = event.target.dataset.key;
      if (key) sort(key);
    });
    rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) choose(Number(row.dataset.latent));
    });
    for (const name of ["search", "kind", "least", "minor"]) field(name).addEventListener("input", () => cell && arrange());
    field("filters").addEventListener("submit", (event) => event.preventDefault());
  }

  const page = () => Math.max(1, Math.floor(grid.clientHeight / ROW) - 2);
  return { start, show, select, step, sort, words, page, opening, first: () => (order.length ? order[0] : -1), order: () => order };
})();
