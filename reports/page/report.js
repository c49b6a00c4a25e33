// Data, filter state and the loop that redraws: everything a view needs is in `view`, computed once per change.
(() => {
  "use strict";
  const packed = Uint8Array.from(atob(document.getElementById("report-data").textContent), (c) => c.charCodeAt(0));
  const data = JSON.parse(new TextDecoder().decode(window.pako.inflate(packed)));
  const form = document.getElementById("filters");
  const $ = (id) => document.getElementById(id);
  const views = [];

  /** A column as a plain array; repeated strings are stored as words and codes. */
  const column = (c) => (Array.isArray(c) ? c : c.codes.map((i) => (i < 0 ? null : c.words[i])));
  const columns = (frame) => Object.fromEntries(Object.entries(frame).map(([k, v]) => [k, column(v)]));
  const T = columns(data.trials);
  const R = columns(data.rows);
  const trials = T.trial.map((_, i) => Object.fromEntries(Object.keys(T).map((k) => [k, T[k][i]])));
  const state = { task: Object.keys(data.tasks)[0] || "", track: "", dataset: "", metric: "", unit: "", seed: "", hidden: new Set() };

  /** An element with text or children; text is never parsed as HTML. */
  function el(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) if (v !== null && v !== undefined && v !== false) node.setAttribute(k, v === true ? "" : v);
    node.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
    return node;
  }

  /** A text whose DOIs, arXiv numbers and addresses are links. */
  const ADDRESS = /(https?:\/\/[^\s<>"']*[\w/])|\b(10\.\d{4,9}\/[^\s,;<>"']*\w)|(?<=arXiv[ :])(\d{4}\.\d{4,5})/g;
  function linked(text) {
    const parts = [];
    let end = 0;
    for (const { 0: words, 1: url, 2: doi, 3: arxiv, index } of text.matchAll(ADDRESS)) {
      parts.push(text.slice(end, index), el("a", { href: url ?? (doi ? `https://doi.org/${doi}` : `https://arxiv.org/abs/${arxiv}`), rel: "noreferrer" }, words));
      end = index + words.length;
    }
    return [...parts, text.slice(end)];
  }
  /** Links in what stands in the page already. */
  function linkText() {
    const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT), found = [];
    while (walk.nextNode()) if (walk.currentNode.data.match(ADDRESS) && !walk.currentNode.parentElement.closest("a, pre, script")) found.push(walk.currentNode);
    for (const node of found) node.replaceWith(...linked(node.data));
  }

  /** A value, the same text wherever it stands on the page; `number` of _words.py gives the same. */
  function number(v) {
    if (v === null || v === undefined || Number.isNaN(v)) return "–";
    const size = Math.abs(v);
    if (size > 0 && size < 0.001) return v.toExponential(1);
    if (size < 10) return v.toFixed(3);
    return size < 1000 ? v.toFixed(1).replace(/\.0$/, "") : Number(v.toFixed(0)).toLocaleString("en");
  }
  /** A paper's value, as it prints them. */
  const reported = (v) => v.toFixed(4);
  /** How many: a mean of several counts is rounded. */
  const whole = (n) => (n === null || n === undefined ? "–" : Math.round(n).toLocaleString("en"));
  const count = (n, noun, plural = `${noun}s`) => `${whole(n)} ${Math.round(n) === 1 ? noun : plural}`;
  const percent = (v) => (v === null || v === undefined ? "–" : `${v > 0 && v < 0.001 ? (100 * v).toPrecision(1) : (100 * v).toFixed(1)} %`);

  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  function median(values) {
    const s = [...values].sort((a, b) => a - b), m = s.length >> 1;
    return s.length % 2 ? s[m] : (s[m - 1] + s[m]) / 2;
  }
  function groupBy(items, key) {
    const groups = new Map();
    for (const item of items) {
      const k = key(item);
      if (groups.has(k)) groups.get(k).push(item); else groups.set(k, [item]);
    }
    return groups;
  }

  /** So many methods, from the best, have lines in colour; those of others are grey. */
  const BEST = 5;
  const AXES = ["split_seed", "sim_seed", "method_seed"];
  const seedName = (t) => AXES.map((a) => t[a]).join(".");

  /** Trials of the chosen seed; an axis on which a method has a single value (deterministic) always matches. */
  function ofSeed(list, seed) {
    if (!seed) return list;
    const wanted = seed.split(".").map(Number);
    const single = new Map();
    for (const [k, g] of groupBy(list, (t) => [t.track, t.dataset, t.label].join("\t"))) {
      single.set(k, AXES.map((a) => new Set(g.map((t) => t[a])).size === 1));
    }
    return list.filter((t) => {
      const one = single.get([t.track, t.dataset, t.label].join("\t"));
      return AXES.every((a, i) => one[i] || t[a] === wanted[i]);
    });
  }

  /** What the filter lets through: pairs, labels, trials, rows, and means over seeds by pair, label, metric. */
  function compute() {
    const task = data.tasks[state.task];
    const pairs = task.pairs.filter(([t, d]) => (!state.track || t === state.track) && (!state.dataset || d === state.dataset));
    const labels = task.labels.filter((l) => !state.hidden.has(l.label));
    const shownLabels = new Set(labels.map((l) => l.label));
    const shownPairs = new Set(pairs.map((p) => p.join("/")));
    // controls that are not shown still serve as the line that a method must beat
    const compared = ofSeed(trials.filter((t) => t.task === state.task && shownPairs.has(`${t.track}/${t.dataset}`)), state.seed);
    const comparedSet = new Set(compared);
    const visibleTrials = compared.filter((t) => shownLabels.has(t.label));
    const rows = [], candidates = [];
    for (let i = 0; i < R.trial.length; i++) {
      const t = trials[R.trial[i]];
      if (!comparedSet.has(t)) continue;
      candidates.push(i);
      if (shownLabels.has(t.label)) rows.push(i);
    }
    const key = (track, dataset, label, metric) => [track, dataset, label, metric].join("\t");
    const cells = new Map();
    for (const i of candidates) {
      if (R.unit[i] !== state.unit) continue;
      const t = trials[R.trial[i]];
      const k = key(t.track, t.dataset, t.label, R.metric[i]);
      if (!cells.has(k)) cells.set(k, []);
      cells.get(k).push(i);
    }
    const means = meansOf(task);
    const cell = (...names) => { const k = key(...names); return summarise(cells.get(k), means.get(`${k}\t${state.unit}`)); };
    const comparable = pairs.filter((p) => !task.notCompared[p.join("/")]);
    const methods = labels.filter((l) => l.role === "method").map((l) => l.label), faint = new Set(methods.length > BEST + 1 ? methods.slice(BEST) : []);
    return { task, faint, pairs, comparable, labels, trials: visibleTrials, rows, cell, metric: task.metrics.find((m) => m.name === state.metric), style: task.styles };
  }

  /** Means over several trials, by track, dataset, label, metric and unit: made in Python, so that every table has the same. */
  const made = new WeakMap();
  function meansOf(task) {
    if (!made.has(task)) {
      const m = columns(task.means);
      made.set(task, new Map(m.label.map((_, i) => [["track", "dataset", "label", "metric", "unit"].map((c) => m[c][i]).join("\t"), Object.fromEntries(Object.keys(m).map((c) => [c, m[c][i]]))])));
    }
    return made.get(task);
  }

  /** One trial's value as it is; the mean of several with the interval of that mean. */
  function summarise(indices, several) {
    if (!indices) return null;
    const detail = indices.map((i) => R.detail[i]).find(Boolean) || "";
    if (indices.length > 1 && several) {
      return { value: several.value, trials: several.trials, splits: several.splits, ci: several.interval ? [several.ci_low, several.ci_high] : null, how: data.intervals[several.interval], range: [several.low, several.high], partial: !several.whole, detail };
    }
    const i = indices.find((k) => R.value[k] !== null) ?? indices[0];
    return { value: R.value[i], trials: 1, splits: 1, ci: R.ci_low[i] === null || R.ci_high[i] === null ? null : [R.ci_low[i], R.ci_high[i]], how: data.intervals.one, range: null, detail };
  }

  /** The best trap control of a pair, for a metric: {label, value} or null. */
  function trapOf(view, track, dataset, metric) {
    const traps = view.task.labels.filter((l) => l.role === "trap").map((l) => ({ label: l.label, ...view.cell(track, dataset, l.label, metric.name) }))
      .filter((c) => c.value !== null && c.value !== undefined);
    const sign = metric.higher_is_better ? 1 : -1;
    return traps.sort((a, b) => sign * (b.value - a.value))[0] || null;
  }

  function options(select, items, chosen) {
    select.replaceChildren(...items.map(([value, text]) => el("option", { value, selected: value === chosen }, text)));
    select.value = chosen;
    select.disabled = items.length < 2;
  }

  /** Fill the controls for the chosen task and go back to its defaults. */
  function setTask(name) {
    Object.assign(state, { task: name, track: "", dataset: "", seed: "" });
    state.hidden.clear();
    const task = data.tasks[name];
    const ofTask = trials.filter((t) => t.task === name);
    const tracks = [...new Set(task.pairs.map((p) => p[0]))], datasets = [...new Set(task.pairs.map((p) => p[1]))].sort();
    const units = [...new Set(R.unit.filter((u, i) => u !== null && trials[R.trial[i]].task === name && !u.includes(":")))].sort();
    const all = (words, list) => (list.length > 1 ? [["", words], ...list.map((x) => [x, x])] : list.map((x) => [x, x]));
    state.metric = task.headline;
    state.unit = units.includes("pooled") || !units.length ? "pooled" : units[0];
    options(form.elements.task, Object.keys(data.tasks).map((t) => [t, t]), name);
    options(form.elements.track, all("all tracks", tracks), tracks.length > 1 ? "" : tracks[0] || "");
    options(form.elements.dataset, all("all datasets", datasets), datasets.length > 1 ? "" : datasets[0] || "");
    options(form.elements.metric, task.metrics.map((m) => [m.name, m.name]), state.metric);
    options(form.elements.unit, (units.length ? units : ["pooled"]).map((u) => [u, u.replace("_", " ")]), state.unit);
    const seeds = [...new Set(ofTask.map(seedName))].sort();
    options(form.elements.seed, seeds.length > 1 ? [["", "mean over splits and seeds"], ...seeds.map((s) => [s, `split.sim.method ${s}`])] : [["", "only one"]], "");
    $("task-field").hidden = Object.keys(data.tasks).length < 2;
    const boxes = task.labels.map(({ label, role }) => el("label", { class: role === "method" ? null : "control" },
      el("input", { type: "checkbox", name: "label", value: label, checked: true }),
      el("span", { class: "swatch", style: `border-color:${task.styles[label].colour}` }), label));
    const every = (words, test) => {
      const button = el("button", { type: "button" }, words);
      button.addEventListener("click", () => {
        for (const l of task.labels) if (test(l)) state.hidden.delete(l.label); else state.hidden.add(l.label);
        for (const box of form.querySelectorAll("[name=label]")) box.checked = !state.hidden.has(box.value);
        redraw();
      });
      return button;
    };
    $("methods").replaceChildren(el("div", { class: "every" }, every("All", () => true), every("No controls", (l) => l.role === "method"), every("None", () => false)), ...boxes);
  }

  /** Hide the parts of the fixed text that the filter excludes. */
  function filterText(view) {
    const pairs = new Set(view.pairs.map((p) => p.join("/")));
    const hiddenMethods = new Set(view.task.labels.filter((l) => state.hidden.has(l.label)).map((l) => l.label));
    for (const node of document.querySelectorAll("[data-task]")) node.hidden = node.dataset.task !== state.task;
    for (const node of document.querySelectorAll("[data-pair], [data-method]")) {
      node.hidden = Boolean((node.dataset.pair && !pairs.has(node.dataset.pair)) || hiddenMethods.has(node.dataset.method));
    }
  }

  /** Draw something; where its data are damaged the page says so, and shows the rest. */
  function attempt(draw, what) {
    try {
      return draw();
    } catch (error) {
      $("broken").append(el("p", { class: "warning" }, `${what} could not be drawn from the data it carries (${error.message}). What else stands here is not touched by that; results.csv has every number.`));
      return null;
    }
  }

  function redraw() {
    if (!state.task) return;
    const view = compute();
    filterText(view);
    $("method-count").textContent = `${view.labels.length} of ${view.task.labels.length}`;
    $("shown").textContent = `${count(view.trials.length, "trial")}, ${count(view.rows.length, "value")}`;
    $("broken").replaceChildren();
    for (const draw of views) attempt(() => draw(view), "A part of this page");
  }

  form.addEventListener("change", (event) => {
    const { name, value, checked } = event.target;
    if (name === "task") setTask(value);
    else if (name === "label") { if (checked) state.hidden.delete(value); else state.hidden.add(value); }
    else state[name] = value;
    redraw();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", (event) => { event.preventDefault(); setTask(state.task); redraw(); });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") form.querySelector(".chooser").open = false; });
  // "toggle" does not bubble. A list that would end below the window comes up with its bar, at once: not a smooth scroll.
  form.addEventListener("toggle", ({ target }) => {
    if (target.open && target.lastElementChild.getBoundingClientRect().bottom > innerHeight) form.scrollIntoView({ behavior: "instant" });
  }, true);
  document.addEventListener("click", (event) => {
    const chooser = form.querySelector(".chooser");
    if (chooser.open && !chooser.contains(event.target)) chooser.open = false;
  });
  document.addEventListener("DOMContentLoaded", () => { linkText(); if (state.task) { setTask(state.task); redraw(); } });

  window.benchReport = { data, column, state, trials, R, T, el, linked, $, number, reported, whole, count, percent, mean, median, groupBy, seedName, trapOf, attempt, redraw, setTask: (name) => { setTask(name); redraw(); }, addView: (draw) => views.push(draw) };
})();
