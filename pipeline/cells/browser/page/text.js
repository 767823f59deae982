"use strict";
// Numbers and tokens as text.

const text = (() => {
  const { element } = latents;
  const UNSEEN = { "\n": "↵", "\r": "␍", "\t": "→" };

  function number(value, digits = 3) {
    if (!Number.isFinite(value)) return "–";
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size >= 1e5 || size < 1e-4) return value.toExponential(1).replace("-", "−");
    return String(Number(value.toPrecision(digits))).replace("-", "−");
  }

  const signed = (value, digits = 3) => (value > 0 ? "+" : "") + number(value, digits);

  function percent(share) {
    if (!Number.isFinite(share)) return "–";
    if (share === 0) return "0";
    const value = 100 * share;
    return value < 0.01 ? "<0.01 %" : `${Number(value.toPrecision(value >= 10 ? 3 : 2))} %`;
  }

  const whole = (value) => value.toLocaleString("en");

  // A token so that it can be seen: line ends have a sign, and nothing is empty.
  function visible(token) {
    const shown = token.replace(/[\n\r\t]/g, (sign) => UNSEEN[sign]);
    return shown === "" ? "∅" : shown;
  }

  // A token in a box; where it has what was searched for, in lower case, that part is marked.
  function chip(token, query = "") {
    const shown = (part) => (part ? visible(part).replace(/ /g, "␣") : "");
    const at = query ? token.toLowerCase().indexOf(query) : -1;
    if (at < 0) return element("code", { class: "token" }, visible(token).replace(/ /g, "␣"));
    const end = at + query.length;
    return element("code", { class: "token" }, shown(token.slice(0, at)), element("mark", {}, shown(token.slice(at, end))), shown(token.slice(end)));
  }

  // The tokens around a firing, shaded around zero: [context, position, z, [offset, step, ...]].
  function context(example, tokens, reach, largest) {
    const [, position, z, around] = example;
    const steps = new Map();
    for (let i = 0; i < around.length; i += 2) steps.set(around[i], around[i + 1]);
    const line = element("p", { class: "context" });
    for (let offset = -reach; offset <= reach; offset++) {
      const at = position + offset;
      if (at < 0 || at >= tokens.length) continue;
      const step = steps.get(offset);
      const shown = visible(tokens[at]) + (tokens[at].endsWith("\n") ? "\n" : "");
      if (step === undefined && offset !== 0) {
        line.append(shown);
        continue;
      }
      const value = offset === 0 ? z : (step / 255) * largest[step > 0 ? 0 : 1];
      const share = Math.min(1, Math.abs(value) / (largest[value > 0 ? 0 : 1] || 1));
      const bare = shown.trimStart() || shown; // the space before a word stays outside the box
      line.append(shown.slice(0, shown.length - bare.length));
      const mark = element("span", { title: `z = ${signed(value)}` }, bare);
      mark.className = (value > 0 ? "plus" : "minus") + (offset === 0 ? " here" : "");
      mark.style.setProperty("--share", share.toFixed(3));
      line.append(mark);
    }
    return element("li", {}, element("span", { class: "value" }, signed(z)), line);
  }

  return { number, signed, percent, whole, visible, chip, context };
})();
