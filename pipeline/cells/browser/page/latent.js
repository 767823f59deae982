"use strict";
// All that is shown of one latent.

const latent = (() => {
  const { element, load } = latents;
  const SIDES = [["positive", "+"], ["negative", "−"]];
  const NEAR = 3; // contexts of a neighbour

  async function read(cell, number) {
    const file = Math.floor(number / cell.latents_per_file);
    return (await load(`${cell.folder}/latents-${file}`))[number % cell.latents_per_file];
  }

  // The tokens of a context as texts.
  async function tokens(cell, context) {
    const part = await load(`${cell.folder}/contexts-${Math.floor(context / cell.contexts_per_file)}`);
    part.values ??= latents.numbers(part.tokens);
    const at = (context - part.first) * part.length;
    return Array.from(part.values.subarray(at, at + part.length), (token) => cell.vocabulary[token]);
  }

  async function contexts(cell, number, examples) {
    const largest = [cell.values.largest_positive[number], cell.values.largest_negative[number]];
    const lines = await Promise.all(examples.map(async (one) => text.context(one, await tokens(cell, one[0]), cell.window, largest)));
    return element("ol", { class: "contexts" }, lines);
  }

  const fact = (name, ...value) => [element("dt", {}, name), element("dd", {}, ...value)];

  function facts(cell, number, found) {
    const of = cell.values, n = [of.positive[number], of.negative[number]], total = n[0] + n[1];
    const both = (show) => (cell.two_sided ? `${show(0)} on +, ${show(1)} on −` : show(0));
    const list = element("dl", { class: "facts" },
      fact("Density", both((side) => `${text.percent(n[side] / cell.tokens)} (${text.whole(n[side])})`), ` of ${text.whole(cell.tokens)} held-out tokens`),
      cell.two_sided ? fact("Positive share", total ? text.percent(n[0] / total) : "–") : [],
      fact("Calibration slope", both((side) => text.number(side ? of.slope_negative[number] : of.slope_positive[number]))),
      fact("Contribution", text.percent(of.contribution[number])),
      fact("Largest z", both((side) => text.number(side ? -of.largest_negative[number] : of.largest_positive[number]))),
    );
    if (found.gate) {
      const [plus, minus, high, low] = found.gate;
      list.append(...fact("Gate opens", minus === null ? `at u > ${text.number(plus)}, z ${text.number(high)}`
        : `at u > ${text.number(plus)} and u < ${text.number(-minus)}; z from ${text.number(high)} and ${text.number(-low)}`));
    }
    return list;
  }

  function badge(cell, number) {
    const { positive, negative } = cell.values;
    const [p, q] = [positive[number], negative[number]];
    if (!p && !q) return element("span", { class: "badge" }, "dead");
    if (p && q) return element("span", { class: "badge" }, `active with both signs, rarer sign ${text.percent(Math.min(p, q) / (p + q))}`);
    return element("span", { class: "badge" }, p ? "positive only" : "negative only");
  }

  function promotes(cell, found) {
    const part = ([tokens, logits], sign = 1) => element("ol", { class: "promoted" },
      tokens.map((token, i) => element("li", {}, text.chip(cell.vocabulary[token]), " ", element("small", {}, text.signed(sign * logits[i])))));
    const [up, down] = found.promoted;
    const unit = cell.two_sided ? "Direct logit attribution, in logits per unit of |z|: positive activations raise the tokens under +, negative ones those under −, and each lowers those of the other."
      : "Direct logit attribution, in logits per unit of z.";
    return element("section", {},
      element("div", { class: "sides promotes" },
        element("div", { class: "positive" }, element("h3", {}, cell.two_sided ? "+ promotes, − suppresses" : "Promotes"), part(up)),
        element("div", { class: "negative" }, element("h3", {}, cell.two_sided ? "− promotes, + suppresses" : "Suppresses"), part(down, cell.two_sided ? -1 : 1))),
      element("p", { class: "unit" }, unit));
  }

  async function firings(cell, number, found) {
    const sides = SIDES.filter((_, side) => !side || cell.two_sided);
    const columns = await Promise.all(sides.map(async ([name, sign], side) => {
      const column = element("div", { class: name });
      const strongest = found.strongest[side];
      const title = cell.two_sided ? `Most ${name}` : "Strongest contexts";
      column.append(element("h3", {}, title));
      if (!strongest.length) {
        column.append(element("p", { class: "none" }, cell.two_sided ? `It is active with ${sign} on no held-out token.` : "It is active on no held-out token."));
        return column;
      }
      column.append(await contexts(cell, number, strongest));
      column.append(element("h3", {}, "Drawn from intervals"));
      const factor = side ? -1 : 1;
      for (const [low, high, count, drawn] of found.drawn[side]) {
        column.append(element("h4", {}, `z ${text.signed(factor * low)} to ${text.signed(factor * high)} `, element("small", {}, `${text.whole(count)} token${count === 1 ? "" : "s"}${drawn.length ? "" : ", shown above or not drawn"}`)));
        if (drawn.length) column.append(await contexts(cell, number, drawn));
      }
      return column;
    }));
    return element("section", { class: "sides firings" }, columns);
  }

  async function neighbours(cell, found, rival) {
    const box = element("section", { class: "near" }, element("h2", {}, `Nearest latents of ${cell.rival_label}`));
    const cards = element("div", { class: "cards" });
    for (const [which, [number, cosine]] of found.near.entries()) {
      const title = which ? "most against" : "most along";
      const card = element("div", {}, element("h3", {}, `${title}: `, rival ? element("a", { href: main.address(rival.name, number) }, `latent ${number}`) : `latent ${number}`, `, cosine ${text.signed(cosine)}`));
      if (rival) {
        const side = which && rival.two_sided ? 1 : 0;
        const other = await read(rival, number), n = [rival.values.positive[number], rival.values.negative[number]];
        const same = which && !rival.two_sided ? "It points as − points here." : which ? "Its − side points as + points here." : "";
        card.append(element("p", {}, same ? `${same} ` : "", `Density ${text.percent((n[0] + n[1]) / rival.tokens)}; ${side ? "−" : "+"} promotes `,
          list_of(rival, other.promoted[side][0].slice(0, 5))));
        card.append(await contexts(rival, number, other.strongest[side].slice(0, NEAR)));
      }
      cards.append(card);
    }
    if (!rival) box.append(element("p", {}, `${cell.rival} is not among the cells that are shown here.`));
    box.append(cards);
    return box;
  }

  const list_of = (cell, tokens) => tokens.map((token) => [text.chip(cell.vocabulary[token]), " "]);

  function dials(cell, found) {
    return (found.dial || []).map((one) => {
      const pair = one.latents.length > 1;
      const words = (tokens) => tokens.slice(0, 6).map((token) => [text.chip(token), " "]);
      const last = one.kl.length - 1;
      return element("section", { class: "steered" },
        element("h2", {}, pair ? `Dial of the opposite pair ${one.latents.join(" and ")}` : "Dial"),
        element("div", { class: "cards" },
          element("div", {}, draw.dial(one)),
          element("div", {},
            element("p", {}, one.dial ? "A dial: " : "No dial by the rule of the study: ",
              `the effect rises over ${text.percent(one.monotone)} of the steps, the weaker arm has ${text.number(one.symmetry, 2)} of the range of the stronger, and the gain is ${one.times_random === null ? "not comparable with" : `${text.number(one.times_random, 2)} times`} that of the median random direction.`),
            element("p", {}, "Positive size promotes ", words(one.promoted[0])),
            element("p", {}, "Negative size promotes ", words(one.promoted[1])),
            element("p", {}, `KL at the ends: ${text.number(one.kl[0])} and ${text.number(one.kl[last])} nats.`))));
    });
  }

  // The parts of the page of a latent. ``rival``: the other cell's index, or null.
  async function page(cell, number, rival) {
    const found = await read(cell, number);
    const name = `${cell.name}, latent ${number}`;
    const top = element("div", { class: "top" },
      element("button", { type: "button", id: "back" }, "‹ List"),
      element("h2", {}, `Latent ${number} `, badge(cell, number)),
      element("span", { class: "steps" },
        element("button", { type: "button", id: "previous", "aria-label": "Previous latent" }, "‹"),
        element("button", { type: "button", id: "next", "aria-label": "Next latent" }, "›"),
        cell.two_sided ? element("button", { type: "button", id: "sign", title: "Key s" }, "both signs") : ""));
    return [
      top,
      element("p", { class: "link" }, element("a", { href: main.address(cell.name, number), title: "Link to this latent" }, name)),
      labels.input(cell.name, number),
      facts(cell, number, found),
      element("figure", {}, draw.histogram(found.histogram, found.gate), element("figcaption", {}, "Number of held-out tokens by activation z; the height is logarithmic.")),
      promotes(cell, found),
      ...dials(cell, found),
      await firings(cell, number, found),
      found.near ? await neighbours(cell, found, rival) : "",
    ];
  }

  return { page };
})();
