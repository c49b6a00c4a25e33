// The summary figure: a row per method of one track and dataset. A table, so that it reads, prints and copies as text.
(() => {
  "use strict";
  const { data, column, el, $, number, setTask, state, traced, addView } = window.benchReport;
  /** Methods shown before the rest is asked for. */
  const MOST = 15;
  /** With more metrics than this their values are not written beside the circles: the page would be too wide. */
  const WRITTEN = 7;
  const SVG = "http://www.w3.org/2000/svg";
  const DECLARED = new Set(["not_applicable", "unavailable"]);
  const ROLES = { perfect: "perfect", trap: "baseline", random: "random" };

  function svg(tag, attributes, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    node.append(...children);
    return node;
  }

  const hidden = (text) => el("span", { class: "unseen" }, text);
  const isNumber = (v) => v !== null && v !== undefined;
  const percent = (x) => `${(100 * x).toFixed(3)}%`;

  /** Rows of a panel as objects, in the order they come in: best method first, then the controls. */
  function rowsOf(panel) {
    panel.list ??= (() => {
      const c = Object.fromEntries(Object.entries(panel.rows).map(([k, v]) => [k, column(v)]));
      return c.label.map((_, i) => Object.fromEntries(Object.keys(c).map((k) => [k, c[k][i]])));
    })();
    return panel.list;
  }

  /** Ticks at 1, 2 or 5 times a power of ten, a few of them. */
  function ticks([low, high]) {
    const raw = (high - low) / 6, power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= raw);
    const first = Math.ceil(low / step), last = Math.floor(high / step);
    return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
  }
  const tickText = (v) => String(Number(v.toPrecision(6)));

  /** Position between worst (0) and best (1) in the metric's range; an open end is that of the values. */
  function shade(value, metric, values) {
    const low = metric.low ?? Math.min(...values), high = metric.high ?? Math.max(...values);
    const s = high > low ? Math.min(1, Math.max(0, (value - low) / (high - low))) : 0.5;
    return metric.higher_is_better ? s : 1 - s;
  }

  /** A circle whose area and darkness grow with `s`, in a ring that is the best there can be. */
  function disc(s) {
    const mix = [[201, 223, 234], [18, 74, 104]], rgb = mix[0].map((v, k) => Math.round(v + s * (mix[1][k] - v)));
    return svg("svg", { class: "disc", viewBox: "-9 -9 18 18", width: 18, height: 18, "aria-hidden": "true" },
      svg("circle", { r: 8, fill: "#fff", stroke: "#c3cad0" }), svg("circle", { r: (8 * Math.sqrt(s)).toFixed(2), fill: `rgb(${rgb})` }));
  }

  /** Of one row: lines of the controls, band of the leader, and the value with its interval, all in percent of the axis. */
  function strip(row, panel, lines, band) {
    const [low, high] = panel.span, at = (v) => (v - low) / (high - low), parts = [];
    if (band) parts.push(svg("rect", { x: percent(at(band[0])), width: percent(at(band[1]) - at(band[0])), y: 0, height: "100%", class: "band" }));
    for (const [role, value] of lines) parts.push(svg("line", { x1: percent(at(value)), x2: percent(at(value)), y1: 0, y2: "100%", class: role }));
    const x = isNumber(row.value) ? at(row.value) : null;
    if (x !== null && (x < 0 || x > 1)) parts.push(svg("text", { x: x < 0 ? "1%" : "99%", y: "50%", "text-anchor": x < 0 ? "start" : "end", class: "beyond" }, x < 0 ? "◂" : "▸"));
    else if (x !== null) {
      const kind = row.role !== "method" ? "control" : row.tied === 0 ? "behind" : "front";
      if (isNumber(row.ci_low) && isNumber(row.ci_high)) parts.push(svg("line", { x1: percent(Math.max(0, at(row.ci_low))), x2: percent(Math.min(1, at(row.ci_high))), y1: "50%", y2: "50%", class: `interval ${kind}` }));
      parts.push(svg("circle", { cx: percent(x), cy: "50%", r: kind === "control" ? 4 : 5, class: `dot ${kind}` }));
    }
    return el("td", { class: "strip" }, svg("svg", { width: "100%", height: "100%", "aria-hidden": "true" }, ...parts));
  }

  /** What something cost, in three figures. */
  const cost = (v) => (v >= 100 ? Math.round(v).toLocaleString("en") : v.toPrecision(3));
  const bar = (value, most) => el("td", { class: "cost" }, isNumber(value) ? el("div", {}, el("span", {}, cost(value)), el("div", { "aria-hidden": "true" }, el("i", { style: `width:${percent(value / most)}` }))) : "");

  /** Everything of one track and dataset. */
  function figure(task, name, sort, redraw) {
    const panel = task.overview.panels[name], rows = rowsOf(panel), [track, dataset] = task.pairs.find((p) => p.join("/") === name);
    const metric = task.metrics.find((m) => m.name === task.headline);
    const metrics = task.overview.metrics.map((n) => task.metrics.find((m) => m.name === n)).filter((m) => rows.some((r) => isNumber(r[m.name])));
    const methods = rows.filter((r) => r.role === "method"), controls = rows.filter((r) => r.role !== "method");
    if (!rows.some((r) => isNumber(r.value) || metrics.some((m) => isNumber(r[m.name])))) return [el("p", { class: "empty" }, "No trial has a result here yet: ", el("a", { href: "#coverage" }, "what was tried, and why it gave none"), ".")];
    const values = Object.fromEntries(metrics.map((m) => [m.name, rows.map((r) => r[m.name]).filter(isNumber)]));
    const most = Object.fromEntries(["cpu_s", "rss_peak_mb"].map((k) => [k, Math.max(...rows.map((r) => r[k] ?? 0), 1e-9)]));
    const best = methods.find((r) => r.tied), lines = [];
    const band = best && isNumber(best.ci_low) && isNumber(best.ci_high) ? [best.ci_low, best.ci_high] : null;
    for (const role of ["trap", "perfect"]) { const c = controls.find((r) => r.role === role && isNumber(r.value)); if (c) lines.push([role, c.value]); }
    const direction = (key) => { const m = task.metrics.find((x) => x.name === (key === "value" ? task.headline : key)); return m ? (m.higher_is_better ? -1 : 1) : 1; };
    if (sort.key) methods.sort((a, b) => (isNumber(b[sort.key]) - isNumber(a[sort.key])) || direction(sort.key) * (a[sort.key] - b[sort.key]));
    const shown = sort.all ? methods : methods.slice(0, MOST);
    const written = metrics.length <= WRITTEN;
    const body = (r) => {
      const flags = r.flags ? el("small", { class: "flag" }, r.flags) : "";
      const interval = isNumber(r.ci_low) && isNumber(r.ci_high) ? el("small", {}, `[${number(r.ci_low)}, ${number(r.ci_high)}]`) : "";
      const kind = r.role !== "method" ? el("small", { class: "role" }, ROLES[r.role]) : "";
      const head = el("th", { scope: "row" }, el("span", { class: "name" }, r.label), kind, isNumber(r.value) ? flags : "");
      const cells = isNumber(r.value) ? [el("td", { class: "value", ...traced(track, dataset, r.label, metric.name, r.flags ? `${r.label}: ${r.flags}` : "", "pooled") }, el("b", {}, number(r.value)), r.below_trap ? el("span", { class: "trap" }, "▾", hidden("does not beat the trivial baseline")) : "", " ", interval), strip(r, panel, lines, band)]
        : [el("td", { class: DECLARED.has(r.status) || r.status === "ok" ? "none" : "none failed", colspan: 2, ...traced(track, dataset, r.label, "", r.flags) }, el("div", {}, r.flags))];
      const others = metrics.map((m) => el("td", { class: "metric", ...traced(track, dataset, r.label, m.name, isNumber(r[m.name]) ? `${r.label}, ${m.name}: ${number(r[m.name])}` : "", "pooled") },
        ...(isNumber(r[m.name]) ? [disc(shade(r[m.name], m, values[m.name])), written ? el("span", {}, number(r[m.name])) : hidden(number(r[m.name]))] : isNumber(r.value) ? ["–"] : [])));
      return el("tr", { class: [r.role === "method" ? "" : "control", r === best && !r.below_trap ? "best" : ""].join(" ").trim() || null }, head, ...cells, ...others, ...(r.role === "method" ? [bar(r.cpu_s, most.cpu_s), bar(r.rss_peak_mb, most.rss_peak_mb)] : [el("td"), el("td")]));
    };
    const header = (key, words, attributes = {}) => {
      const button = el("button", { type: "button" }, ...words);
      button.addEventListener("click", () => redraw({ ...sort, key }));
      return el("th", { scope: "col", "aria-sort": (sort.key || "value") === key ? (direction(key) < 0 ? "descending" : "ascending") : null, ...attributes }, button);
    };
    const better = metric.higher_is_better ? "higher is better →" : "← lower is better";
    const axis = el("th", { scope: "col", class: "axis" }, el("small", {}, better), el("div", { "aria-hidden": "true" }, ...ticks(panel.span).map((t) => el("i", { style: `left:${percent((t - panel.span[0]) / (panel.span[1] - panel.span[0]))}` }, tickText(t)))));
    const head = el("tr", {}, el("th", { scope: "col" }, "Method"), header("value", [metric.name, " ", el("small", {}, rows.some((r) => isNumber(r.ci_low)) ? "[95 % interval]" : "no interval")], { "data-term": metric.name }), axis,
      ...metrics.map((m) => header(m.name, [el("span", {}, m.name)], { class: "metric", "data-term": m.name })),
      header("cpu_s", ["CPU time ", el("small", {}, "seconds")], { class: "cost" }), header("rss_peak_mb", ["Peak memory ", el("small", {}, "MB")], { class: "cost" }));
    const table = el("table", { "aria-label": `Methods on ${name.replace("/", ", ")}` }, el("thead", {}, head), el("tbody", {}, ...shown.map(body)));
    if (methods.length > MOST) {
      const more = el("button", { type: "button", "aria-expanded": String(Boolean(sort.all)) }, sort.all ? `Only the first ${MOST}` : `All ${methods.length} methods`);
      more.addEventListener("click", () => redraw({ ...sort, all: !sort.all }));
      table.append(el("tbody", { class: "more" }, el("tr", {}, el("td", { colspan: 5 + metrics.length }, more))));
    }
    table.append(el("tbody", {}, ...controls.map(body)));
    const notes = [
      ...(best && band ? [["front", "cannot be told from the best"], ["behind", "clearly behind"], ["band", "interval of the best"]].map(([kind, words]) => [el("i", { class: `key ${kind}` }), words]) : []),
      ...lines.map(([role]) => [el("i", { class: `key ${role}` }), role === "trap" ? "best trivial baseline" : "perfect control"]),
      metrics.length ? [disc(0.5), "fuller and darker is better; a full ring is the best there can be"] : [],
      methods.some((r) => r.below_trap) ? [el("span", { class: "trap" }, "▾"), "does not beat the trivial baseline"] : [],
    ].filter((words) => words.length).map((words) => el("span", {}, ...words));
    return [el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Summary figure" }, table), el("p", { class: "keys" }, ...notes)];
  }

  /** Which choice was made last, by task: track, dataset, sorting. */
  const chosen = {};

  function choice(words, names, value, pick) {
    if (names.length < 2) return "";
    if (names.join("").length + 4 * names.length > 90) {
      const select = el("select", {}, ...names.map((n) => el("option", { value: n, selected: n === value }, n)));
      select.addEventListener("change", () => pick(select.value));
      return el("label", {}, words, " ", select);
    }
    return el("fieldset", { class: "segmented" }, el("legend", {}, words), ...names.map((n) => {
      const input = el("input", { type: "radio", name: `overview-${words}`, value: n, checked: n === value });
      input.addEventListener("change", () => pick(n));
      return el("label", {}, input, n);
    }));
  }

  function overview(view) {
    const host = $(`overview-${state.task}`), { task } = view;
    if (!host) return;
    const names = Object.keys(task.overview.panels);
    if (!names.length || !task.headline) return host.replaceChildren(el("p", { class: "empty" }, "Nothing was run yet."));
    const pairs = names.map((n) => [n, ...task.pairs.find((p) => p.join("/") === n)]);
    const mine = (chosen[state.task] ??= { name: names.find((n) => !task.notCompared[n] && rowsOf(task.overview.panels[n]).some((r) => r.role === "method" && isNumber(r.value))) ?? names[0], sort: {} });
    const draw = (change, focus) => { Object.assign(mine, change); overview(view); if (focus) host.querySelector(focus)?.focus(); };
    const [, track, dataset] = pairs.find((p) => p[0] === mine.name);
    const tracks = [...new Set(pairs.map((p) => p[1]))], datasets = [...new Set(pairs.filter((p) => p[1] === track).map((p) => p[2]))];
    const toTrack = (t) => { const of = pairs.filter((p) => p[1] === t); draw({ name: (of.find((p) => p[2] === dataset) ?? of[0])[0] }, "[name=overview-Track]:checked"); };
    const panel = task.overview.panels[mine.name];
    host.replaceChildren(
      el("div", { class: "choices" }, choice("Task", Object.keys(data.tasks), state.task, (t) => { setTask(t); $(`overview-${t}`).querySelector("[name=overview-Task]:checked")?.focus(); }), choice("Track", tracks, track, toTrack),
        choice("Dataset", datasets, dataset, (d) => draw({ name: `${track}/${d}` }, "[name=overview-Dataset]:checked"))),
      el("p", { class: "on" }, el("b", {}, `${track} on ${dataset}`), ...panel.flags.flatMap(([words], i) => [" ", el("span", { class: i || /^1 |not told apart/.test(words) ? "flag" : "rests" }, words)])),
      ...panel.flags.filter((f) => f[1]).map((f) => el("p", { class: "why" }, `${f[1][0].toUpperCase()}${f[1].slice(1)}`)),
      ...figure(task, mine.name, mine.sort, (sort) => draw({ sort }, sort.all === mine.sort.all ? "[aria-sort] button" : ".more button")));
  }

  addView(overview);
})();
