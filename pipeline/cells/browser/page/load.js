"use strict";
// Data come as scripts, which a page that is opened from the disk may load. Each calls latents.give.

const latents = (() => {
  const KINDS = { uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, float32: Float32Array };
  const KEPT = 200; // files that stay in memory
  const loads = new Map();
  const given = new Map();

  function give(name, value) {
    given.set(document.currentScript.dataset.path, value);
  }

  // The value that a script gives, by its path without ".js".
  function load(path) {
    if (loads.has(path)) {
      const known = loads.get(path);
      loads.delete(path);
      loads.set(path, known); // the newest use is last
      return known;
    }
    const loading = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.dataset.path = path;
      script.src = path.split("/").map(encodeURIComponent).join("/") + ".js";
      script.onload = () => {
        const value = given.get(path);
        given.delete(path);
        script.remove();
        if (value === undefined) reject(new Error(`${path}.js holds no data: make the browser again`));
        else resolve(value);
      };
      script.onerror = () => {
        loads.delete(path);
        script.remove();
        reject(new Error(`${path}.js is missing or damaged: run snakemake browser again`));
      };
      document.head.append(script);
    });
    loads.set(path, loading);
    if (loads.size > KEPT) {
      for (const old of loads.keys()) {
        if (/\/latents-\d+$/.test(old)) {
          loads.delete(old);
          break;
        }
      }
    }
    return loading;
  }

  // A column of numbers as a typed array; bytes are little-endian, as on every present machine.
  function numbers({ kind, data }) {
    const text = atob(data);
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
    return new KINDS[kind](bytes.buffer);
  }

  // An element with attributes and children; texts become text, never HTML.
  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null) made.setAttribute(key, value);
    }
    made.append(...children.flat(Infinity));
    return made;
  }

  return { give, load, numbers, element };
})();
