"use strict";
// Histograms of activations and densities, and the curve of the dial, as SVG.

const draw = (() => {
  function svg(name, attributes, ...children) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  const label = (x, y, words, anchor = "middle") => svg("text", { x, y, "text-anchor": anchor }, words);

  // Firings by z, on a logarithmic scale; zero has no bar, and the dead zone is hatched.
  function histogram({ bin, positive, negative }, gate) {
    const WIDTH = Math.max(320, Math.min(720, innerWidth - 30)), HEIGHT = 190, LEFT = 8, RIGHT = 8, TOP = 20, BOTTOM = 26;
    const opens = gate ? [gate[2], gate[3]] : [null, null];
    let high = Math.max(positive.length * bin, bin), low = Math.max(negative.length * bin, 0);
    if (opens[0] !== null) high = Math.max(high, 1.5 * opens[0]);
    if (opens[1] !== null) low = Math.max(low, 1.5 * opens[1]);
    if (!low) low = high / 20;
    const x = (z) => LEFT + ((z + low) / (high + low)) * (WIDTH - LEFT - RIGHT);
    const most = Math.max(1, ...positive, ...negative);
    const tall = (n) => ((HEIGHT - TOP - BOTTOM) * Math.log10(1 + n)) / Math.log10(1 + most);
    const base = HEIGHT - BOTTOM;
    const total = [positive, negative].map((counts) => counts.reduce((a, b) => a + b, 0));
    const picture = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "histogram",
      "aria-label": `Histogram of activations: ${total[0]} positive, ${total[1]} negative`,
    });
    picture.append(
      svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
        svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, stroke: "#b5bcc6", "stroke-width": 2 }))),
    );
    if (gate && (opens[0] || opens[1])) {
      const from = x(-(opens[1] ?? low)), to = x(opens[0] ?? high);
      picture.append(svg("rect", { x: from, y: TOP, width: Math.max(0, to - from), height: base - TOP, fill: "url(#hatch)", class: "dead-zone" }));
      if (opens[1] !== null) picture.append(label((from + to) / 2, TOP - 6, "dead zone"));
    }
    for (const [sign, counts] of [[1, positive], [-1, negative]]) {
      counts.forEach((n, i) => {
        if (!n) return;
        const [a, b] = [x(sign * i * bin), x(sign * (i + 1) * bin)].sort((p, q) => p - q);
        const bar = svg("rect", { x: a + 0.3, y: base - tall(n), width: Math.max(0.6, b - a - 0.6), height: tall(n), class: sign > 0 ? "plus-bar" : "minus-bar" });
        bar.append(svg("title", {}, `z from ${text.signed(sign * i * bin)} to ${text.signed(sign * (i + 1) * bin)}: ${text.whole(n)} tokens`));
        picture.append(bar);
      });
    }
    for (const end of [opens[0], opens[1] === null ? null : -opens[1]]) {
      if (end !== null) picture.append(svg("line", { x1: x(end), x2: x(end), y1: TOP, y2: base, class: "gate-end" }));
    }
    picture.append(svg("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: base, y2: base, class: "axis" }));
    const sided = opens[1] !== null || total[1] > 0;
    const ticks = sided ? [-low, 0, high] : [0, high];
    if (opens[0] && x(opens[0]) - x(0) > 60) ticks.push(opens[0]);
    if (opens[1] && x(0) - x(-opens[1]) > 60) ticks.push(-opens[1]);
    for (const z of ticks) {
      const anchor = z === -low ? "start" : z === high ? "end" : "middle";
      picture.append(label(x(z), HEIGHT - 8, text.signed(z), anchor));
    }
    if (sided) picture.append(label(LEFT, 12, `− ${text.whole(total[1])} tokens`, "start"));
    picture.append(label(WIDTH - RIGHT, 12, `+ ${text.whole(total[0])} tokens`, "end"));
    return picture;
  }

  // How many latents have which density, both logarithmic; dead ones are counted apart, the chosen one is a line.
  function densities(shares, least, chosen) {
    const WIDTH = 480, HEIGHT = 84, TOP = 16, BOTTOM = 20, EDGE = 8, DEAD = 54, BINS = 40;
    const low = Math.log10(least), base = HEIGHT - BOTTOM;
    const x = (share) => EDGE + DEAD + (1 - Math.log10(share) / low) * (WIDTH - 2 * EDGE - DEAD);
    const counts = new Array(BINS).fill(0);
    let dead = 0;
    for (const share of shares) share ? counts[Math.min(BINS - 1, Math.floor((1 - Math.log10(share) / low) * BINS))]++ : dead++;
    const most = Math.max(1, dead, ...counts);
    const tall = (n) => ((base - TOP) * Math.log10(1 + n)) / Math.log10(1 + most);
    const bar = (from, wide, n, words) => svg("rect", { x: from, y: base - tall(n), width: wide, height: tall(n), class: "density-bar" }, svg("title", {}, `${words}: ${text.whole(n)} latents`));
    const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Densities of all latents; ${dead} of ${shares.length} are dead` });
    const wide = (WIDTH - 2 * EDGE - DEAD) / BINS;
    if (dead) picture.append(bar(EDGE, DEAD / 2, dead, "Dead"));
    counts.forEach((n, i) => {
      const [from, to] = [i, i + 1].map((at) => 10 ** (low * (1 - at / BINS)));
      if (n) picture.append(bar(EDGE + DEAD + i * wide, wide - 0.6, n, `Density ${text.percent(from)} to ${text.percent(to)}`));
    });
    picture.append(svg("line", { x1: EDGE, x2: WIDTH - EDGE, y1: base, y2: base, class: "axis" }));
    picture.append(label(EDGE, 11, `${text.whole(dead)} dead`, "start"), label(WIDTH - EDGE, 11, "latents by density", "end"));
    for (let power = Math.ceil(low); power <= 0; power++) picture.append(label(x(10 ** power), HEIGHT - 6, text.percent(10 ** power), power ? "middle" : "end"));
    const share = chosen >= 0 ? shares[chosen] : 0;
    if (chosen >= 0) {
      const at = share ? x(share) : EDGE + DEAD / 4;
      picture.append(svg("line", { x1: at, x2: at, y1: TOP, y2: base, class: "chosen" }, svg("title", {}, `Latent ${chosen}: ${share ? text.percent(share) : "dead"}`)));
    }
    return picture;
  }

  // Effect of steering against its size, with standard errors.
  function dial({ sizes, effect, effect_se }) {
    const WIDTH = 320, HEIGHT = 180, EDGE = 34;
    const far = Math.max(...sizes), most = Math.max(1e-9, ...effect.map((value, i) => Math.abs(value) + (effect_se[i] || 0)));
    const x = (size) => EDGE + ((size + far) / (2 * far)) * (WIDTH - 2 * EDGE);
    const y = (value) => HEIGHT / 2 - (value / most) * (HEIGHT / 2 - 22);
    const picture = svg("svg", {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", class: "dial",
      "aria-label": `Effect of steering from ${text.signed(effect[0])} to ${text.signed(effect[effect.length - 1])} nats`,
    });
    picture.append(svg("line", { x1: EDGE, x2: WIDTH - EDGE, y1: y(0), y2: y(0), class: "axis" }));
    picture.append(svg("line", { x1: x(0), x2: x(0), y1: 12, y2: HEIGHT - 18, class: "axis" }));
    picture.append(svg("polyline", { points: sizes.map((size, i) => `${x(size)},${y(effect[i])}`).join(" "), class: "curve" }));
    sizes.forEach((size, i) => {
      const error = effect_se[i] || 0;
      picture.append(svg("line", { x1: x(size), x2: x(size), y1: y(effect[i] - error), y2: y(effect[i] + error), class: "curve" }));
      const dot = svg("circle", { cx: x(size), cy: y(effect[i]), r: 3, class: size < 0 ? "minus-bar" : "plus-bar" });
      dot.append(svg("title", {}, `size ${text.signed(size)}: ${text.signed(effect[i])} ± ${text.number(error)} nats`));
      picture.append(dot);
    });
    picture.append(label(x(-far), HEIGHT - 4, text.signed(-far)), label(x(far), HEIGHT - 4, text.signed(far)));
    picture.append(label(x(0) + 4, 12, `${text.signed(most)} nats`, "start"));
    return picture;
  }

  return { histogram, densities, dial };
})();
