// Interactive figures. A figure is one function of the view; each comes with the table of what it draws.
(() => {
  "use strict";
  const { data, state, R, trials, el, $, number, whole, mean, median, groupBy, seedName, trapOf, attempt, redraw, traced, points, GREY, addView } = window.benchReport;
  const FONT = { family: getComputedStyle(document.body).fontFamily, size: 12, color: "#1d2327" };
  const AXIS = { gridcolor: "#eceff1", zeroline: false, linecolor: "#b9c1c7", ticks: "outside", tickcolor: "#b9c1c7", ticklen: 4, automargin: true };
  const CONFIG = { displaylogo: false, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"], toImageButtonOptions: { format: "svg", scale: 2 } };

  /** Draw traces, with a caption, a text alternative and a table of the same numbers; an empty note without traces. `ready` is given the plot. */
  function figure(host, { title, alt, traces, layout, head, rows, ready = () => {} }) {
    if (!traces.length) {
      host.replaceChildren(el("p", { class: "empty" }, `${title}: nothing to show for this choice.`));
      return;
    }
    const plot = el("div", { class: "plot", role: "group", "aria-label": alt, style: `min-height:${layout.height}px` });
    const table = el("details", {}, el("summary", {}, `${title} as a table (${rows.length} rows)`));
    table.addEventListener("toggle", () => { if (table.open && !table.querySelector("table")) table.append(plainTable(head, rows)); }, { once: true });
    discard(host);
    host.replaceChildren(el("figure", { class: "figure" }, el("figcaption", {}, title), plot, table));
    later(plot, () => { plot.drawn = window.Plotly.newPlot(plot, traces, {
      font: FONT, paper_bgcolor: "#fff", plot_bgcolor: "#fff", modebar: { bgcolor: "rgba(0,0,0,0)", color: "#9aa4ab", activecolor: "#1f5f7a" }, hovermode: "closest", hoverlabel: { font: { size: 12 }, namelength: -1 },
      margin: { l: 60, r: 10, t: 30, b: 50 }, legend: { orientation: "h", y: -0.2, yanchor: "top", yref: "paper", font: { size: 11 } }, ...layout,
    }, { ...CONFIG, displayModeBar: host.clientWidth > 500 ? "hover" : false }).then((drawn) => { points(drawn); ready(drawn); }); });
  }

  /** Free the plots of a place, each when it is drawn: plotly lays out twice. */
  function discard(host) {
    for (const old of host.querySelectorAll(".js-plotly-plot")) old.drawn.then(() => window.Plotly.purge(old));
  }

  // Plots are drawn when they come near the window, so that the page opens at once; printing draws them all.
  const pending = new Map();
  const observer = new IntersectionObserver((seen) => { for (const { target, isIntersecting } of seen) if (isIntersecting) drawNow(target); }, { rootMargin: "600px" });
  function later(plot, draw) {
    for (const old of pending.keys()) if (!old.isConnected) { pending.delete(old); observer.unobserve(old); }
    pending.set(plot, draw);
    observer.observe(plot);
  }
  function drawNow(plot) {
    const draw = pending.get(plot);
    pending.delete(plot);
    observer.unobserve(plot);
    if (draw) attempt(draw, plot.getAttribute("aria-label"));
  }
  const onPaper = () => document.documentElement.classList.contains("paper");
  const drawAll = () => { for (const plot of pending.keys()) drawNow(plot); };
  /** Lay the page out as wide as paper (`.paper` in the style sheet), or as the window again: charts fit the place they are drawn in. */
  function layOut(paper) {
    document.documentElement.classList.toggle("paper", paper);
    redraw();
    for (const plot of document.querySelectorAll("#embeddings .js-plotly-plot")) window.Plotly.relayout(plot, { autosize: true });
  }
  const PAGE = 1270;  // pixels of a page's height that a figure may take, beside its caption
  window.addEventListener("beforeprint", () => {
    layOut(true);
    drawAll();
    for (const plot of document.querySelectorAll(".plot")) if (plot.offsetHeight > PAGE) plot.style.zoom = PAGE / plot.offsetHeight;
  });
  window.addEventListener("afterprint", () => layOut(false));

  /** Height that a horizontal legend of these names takes. */
  function legendHeight(names, width) {
    let rows = 1, used = 0;
    const item = Math.max(...names.map((n) => n.length)) * 6.2 + 50;
    for (const _ of names) { if (used + item > width - 70) { rows += 1; used = 0; } used += item; }
    return rows * 19;
  }

  function plainTable(head, rows) {
    const [track, dataset, label] = ["track", "dataset", "method"].map((name) => head.indexOf(name));
    // of a row of one method every number says what it rests on
    const of = (r, k) => (label >= 0 && k > label ? traced(r[track] ?? "", r[dataset] ?? "", r[label]) : {});
    const body = rows.map((r) => el("tr", {}, ...r.map((c, k) => el("td", of(r, k), typeof c === "number" ? number(c) : String(c ?? "–")))));
    return el("div", { class: "scroll", tabindex: "0" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...body)));
  }

  const short = (text, room) => (text.length > room ? `${text.slice(0, Math.max(8, room - 1))}…` : text);

  /** Axes of small multiples, `across` a row: [{x, y, layout}], with a title over each panel. */
  function multiples(names, host, { height, xaxis, yaxis, minWidth = 300, gapY = 86, shareTicks = false }) {
    const width = host.clientWidth || 1000;
    const most = Math.max(1, Math.min(names.length, Math.floor(width / (onPaper() ? 0.75 * minWidth : minWidth)), 4));
    const across = Math.ceil(names.length / Math.ceil(names.length / most));  // rows of the same length
    const down = Math.ceil(names.length / across);
    const plotHeight = down * height + (down - 1) * gapY;
    const gapX = across > 1 ? (shareTicks ? 24 : 54) / width : 0, gap = gapY / plotHeight;
    const w = (1 - gapX * (across - 1)) / across, h = (1 - gap * (down - 1)) / down;
    const layout = { annotations: [] };
    const axes = names.map((name, i) => {
      const row = Math.floor(i / across), col = i % across, n = i ? i + 1 : "";
      const x0 = col * (w + gapX), y1 = 1 - row * (h + gap);
      layout[`xaxis${n}`] = { ...AXIS, ...xaxis, domain: [x0, Math.min(1, x0 + w)], anchor: `y${n}` };
      layout[`yaxis${n}`] = { ...AXIS, ...yaxis, domain: [Math.max(0, y1 - h), y1], anchor: `x${n}` };
      if (shareTicks && col) layout[`yaxis${n}`].showticklabels = false;
      if (col && yaxis.title) layout[`yaxis${n}`].title = undefined;
      layout.annotations.push({ text: `<b>${escape(short(name, (w * (width - (shareTicks ? 120 : 70))) / 7.5))}</b>`, showarrow: false, x: x0, y: y1, xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", yshift: 6, font: { size: 12 } });
      return { xaxis: `x${n}`, yaxis: `y${n}` };
    });
    return { axes, layout, plotHeight, across };
  }

  /** The same axis for all panels: the range of the values with some room. */
  function spanOf(values) {
    const low = Math.min(...values), high = Math.max(...values), room = 0.05 * (high - low || 1);
    return [low - room, high + room];
  }

  /** Ticks 1, 2, 5 of each decade between the values, more where these are close, written out. */
  function logTicks(values) {
    const low = Math.min(...values) / 2, high = Math.max(...values) * 2, ticks = [];
    for (let e = Math.floor(Math.log10(low)); e <= Math.ceil(Math.log10(high)); e++) for (const k of high / low < 20 ? [1, 1.5, 2, 3, 5, 7] : [1, 2, 5]) ticks.push(k * 10 ** e);
    const inside = ticks.filter((t) => t >= low && t <= high);
    const labelled = inside.length > 8 ? inside.filter((t) => Math.abs(Math.log10(t) % 1) < 1e-9) : inside;
    return { tickmode: "array", tickvals: labelled, ticktext: labelled.map((t) => (t >= 1 ? t.toLocaleString("en") : String(Number(t.toPrecision(2))))) };
  }

  /** Plotly reads a little HTML in its texts. */
  const steps = (span) => (span <= 0.35 ? 0.1 : span <= 1.2 ? 0.25 : undefined);
  const escape = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  /** A box with all its points. */
  const BOX = { type: "box", orientation: "h", showlegend: false, boxpoints: "all", jitter: 0.5, pointpos: 0, whiskerwidth: 0.4, fillcolor: "rgba(0,0,0,0.04)", line: { color: "#9aa4ab", width: 1 } };
  const pairName = (p) => p.join(" · ");

  /** How a method's line is drawn: the best few in colour and in the legend, others grey until one points at them. */
  function lineOf(view, label, width) {
    return view.faint.has(label) ? { color: GREY, width: 1 } : { color: view.style[label].colour, dash: view.style[label].dash, width };
  }
  /** Grey lines below the others. */
  const behind = (view, label) => (view.faint.has(label) ? -1 : 0);

  function curves(view) {
    if (!showSection("curves", data.curves.trial.length)) return;
    const chosen = new Map(view.trials.map((t) => [t.trial, t]));
    const byCurve = new Map();
    data.curves.trial.forEach((t, i) => {
      if (!chosen.has(trials[t].trial)) return;
      const name = data.curves.curve[i];
      if (!byCurve.has(name)) byCurve.set(name, []);
      byCurve.get(name).push(i);
    });
    const order = Object.keys(data.curveNames);
    const names = [...byCurve.keys()].sort((a, b) => (order.indexOf(a) + 1 || 99) - (order.indexOf(b) + 1 || 99) || a.localeCompare(b));
    const host = $("curves-view");
    if (!names.length) return host.replaceChildren(el("p", { class: "empty" }, "No curves for this choice."));
    const parts = names.map(() => el("div"));
    discard(host);
    host.replaceChildren(...parts);
    names.forEach((name, k) => curve(view, name, byCurve.get(name), parts[k]));
  }

  function curve(view, name, indices, host) {
    const words = data.curveNames[name] || { title: name, x: "x", y: "y" };
    const pairs = view.pairs.filter(([t, d]) => indices.some((i) => trials[data.curves.trial[i]].track === t && trials[data.curves.trial[i]].dataset === d));
    const place = new Map(pairs.map((p, i) => [p.join("\t"), i]));
    const { axes, layout, plotHeight } = multiples(pairs.map(pairName), host, { height: 230, xaxis: { title: { text: words.x, standoff: 4 }, dtick: steps(Math.max(...indices.map((i) => Math.max(...data.curves.x[i])))) }, yaxis: { title: { text: words.y, standoff: 6 }, rangemode: "tozero" } });
    const order = new Map(view.labels.map((l, i) => [l.label, i]));
    const rank = (i) => behind(view, trials[data.curves.trial[i]].label);
    const sorted = [...indices].sort((a, b) => rank(a) - rank(b) || order.get(trials[data.curves.trial[a]].label) - order.get(trials[data.curves.trial[b]].label) || a - b);
    if (words.diagonal) {
      for (const k of Object.keys(layout).filter((k) => /^[xy]axis/.test(k))) Object.assign(layout[k], { range: [-0.02, 1.02], dtick: 0.25 });
      layout.shapes = axes.map((a) => ({ type: "line", xref: a.xaxis, yref: a.yaxis, x0: 0, x1: 1, y0: 0, y1: 1, layer: "below", line: { color: "#aab2b8", width: 1, dash: "dash" } }));
    }
    const inLegend = new Set(), rows = [];
    const many = groupBy(sorted, (i) => { const t = trials[data.curves.trial[i]]; return [t.track, t.dataset, t.label].join("\t"); });
    const traces = sorted.map((i) => {
      const t = trials[data.curves.trial[i]], line = lineOf(view, t.label, 1.7), first = !inLegend.has(t.label) && !view.faint.has(t.label);
      if (first) inLegend.add(t.label);
      const xs = data.curves.x[i], ys = data.curves.y[i];
      const step = Math.max(1, Math.floor(xs.length / 5));
      for (let j = 0; j < xs.length; j += step) rows.push([t.track, t.dataset, t.label, seedName(t), xs[j], ys[j]]);
      const several = many.get([t.track, t.dataset, t.label].join("\t")).length > 1;
      return { type: "scatter", meta: [t.track, t.dataset, t.label], mode: words.diagonal ? "lines+markers" : "lines", x: xs, y: ys, name: escape(t.label), legendgroup: t.label, showlegend: first, ...axes[place.get([t.track, t.dataset].join("\t"))],
        line: several && line.width > 1 ? { ...line, width: 0.9 } : line, ...(words.diagonal ? { marker: { size: 5, color: line.color } } : {}), opacity: several ? 0.55 : 1,
        hovertemplate: `${escape(t.label)} (seed ${seedName(t)})<br>${words.x} %{x:.3f}<br>${words.y} %{y:.3f}<extra></extra>` };
    });
    const below = legendHeight([...inLegend], host.clientWidth || 1000);
    figure(host, { title: words.title, alt: `${words.title} curves of ${view.labels.length} methods on ${pairs.map(pairName).join(", ")}; the table below lists points of each.`, traces,
      layout: { ...layout, height: plotHeight + 95 + below, margin: { l: 56, r: 10, t: 30, b: 65 + below }, legend: { orientation: "h", y: -52 / plotHeight, yanchor: "top", font: { size: 11 }, itemwidth: 30 } },
      head: ["track", "dataset", "method", "seed", words.x, words.y], rows });
  }

  /** Where each label goes so that it hides no other: greedy over the points, from the best downwards. */
  function labelPlaces(points, key, width) {
    const xs = points.map((p) => Math.log10(p[key])), ys = points.map((p) => p.value), height = 330;
    const at = (v, list, size) => ((v - Math.min(...list)) / (Math.max(...list) - Math.min(...list) || 1)) * size * 0.9;
    const centres = points.map((p, i) => [at(xs[i], xs, width), -at(ys[i], ys, height)]);
    const taken = centres.map(([x, y]) => [x - 9, y - 9, x + 9, y + 9]), places = new Map();
    const hits = (a) => taken.reduce((n, b) => n + (a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3] ? 1 : 0), 0);
    const order = points.map((_, i) => i).sort((a, b) => ys[b] - ys[a]);
    for (const i of order) {
      const w = points[i].text.length * 6.4, [x, y] = centres[i];
      const boxes = { "top center": [x - w / 2, y - 26, x + w / 2, y - 11], "bottom center": [x - w / 2, y + 11, x + w / 2, y + 26], "middle right": [x + 12, y - 7, x + 12 + w, y + 7], "middle left": [x - 12 - w, y - 7, x - 12, y + 7] };
      const best = Object.keys(boxes).sort((a, b) => hits(boxes[a]) - hits(boxes[b]))[0];
      places.set(points[i].label, best);
      taken.push(boxes[best]);
    }
    return places;
  }

  function resources(view) {
    const metric = view.metric, host = $("resources-view"), pairs = view.comparable;
    const points = view.labels.filter((l) => l.role === "method").map(({ label }) => {
      const values = pairs.map(([t, d]) => view.cell(t, d, label, metric.name)?.value).filter((v) => v !== null && v !== undefined);
      const done = view.trials.filter((t) => t.label === label && t.status === "ok" && !view.task.notCompared[`${t.track}/${t.dataset}`]);
      const used = (c) => { const v = done.map((t) => t[c]).filter((x) => x !== null && x > 0); return v.length ? median(v) : null; };
      const text = values.length < pairs.length ? `${label} (${values.length} of ${pairs.length})` : label;
      return { label, text, value: values.length ? mean(values) : null, pairs: values.length, wall: used("wall_s"), rss: used("rss_peak_mb"), gpu: used("gpu_peak_mb") };
    }).filter((p) => p.value !== null && (p.wall !== null || p.rss !== null));
    const traps = pairs.map(([t, d]) => trapOf(view, t, d, metric)?.value).filter((v) => v !== undefined);
    const wide = (host.clientWidth || 1000) > 760;
    const panels = [["wall", "wall time (s)", "x", "y", "rss"], ["rss", "peak memory (MB)", "x2", "y2", "wall"]];
    const places = Object.fromEntries(panels.map(([key]) => [key, labelPlaces(points.filter((p) => p[key] !== null), key, ((host.clientWidth || 1000) - 70) * (wide ? 0.47 : 1))]));
    const top = (k) => Math.max(...points.map((p) => p[k] || 0), 1e-9);
    const traces = panels.flatMap(([key, words, xaxis, yaxis, other]) => points.filter((p) => p[key] !== null).map((p) => ({
      type: "scatter", meta: ["", "", p.label], mode: "markers+text", x: [p[key]], y: [p.value], text: [escape(p.text)], textposition: places[key].get(p.label), textfont: { size: 11 }, xaxis, yaxis, showlegend: false, cliponaxis: false,
      marker: { color: view.style[p.label].colour, symbol: view.style[p.label].symbol, size: 8 + 20 * Math.sqrt((p[other] || 0) / top(other)), opacity: 0.85, line: { color: "#fff", width: 1 } },
      hovertemplate: `${escape(p.label)}<br>${words} %{x:.4~g}<br>${metric.name} %{y:.3f} (mean of ${p.pairs})<extra></extra>`,
    })));
    const heights = [...points.map((p) => p.value), ...(traps.length ? [mean(traps)] : [])];
    const room = 0.1 * (Math.max(...heights) - Math.min(...heights) || 0.2);
    const y = { ...AXIS, title: { text: metric.name, standoff: 8 }, range: [Math.min(...heights) - room, Math.max(...heights) + 1.5 * room] }, x = (key) => ({ ...AXIS, type: "log", ...logTicks(points.map((p) => p[key]).filter((v) => v > 0)) });
    const line = (n) => ({ type: "line", xref: `x${n} domain`, yref: `y${n}`, x0: 0, x1: 1, y0: mean(traps), y1: mean(traps), line: { color: "#777", width: 1, dash: "dash" } });
    figure(host, { title: `${metric.name} against time and memory${metric.neutral || metric.higher_is_better ? "" : " (lower is better)"}`, alt: `Scatter of ${metric.name} against wall time and peak memory of ${points.length} methods; the table below has the numbers.`, traces,
      layout: { height: wide ? 430 : 800, shapes: traps.length ? [line(""), line("2")] : [],
        xaxis: { ...x("wall"), title: { text: "wall time (s)" }, domain: wide ? [0, 0.47] : [0, 1], anchor: "y" }, yaxis: { ...y, domain: wide ? [0, 1] : [0.57, 1] },
        xaxis2: { ...x("rss"), title: { text: "peak memory (MB)" }, domain: wide ? [0.53, 1] : [0, 1], anchor: "y2" }, yaxis2: { ...y, anchor: "x2", domain: wide ? [0, 1] : [0, 0.43], matches: "y", title: wide ? undefined : y.title } },
      head: ["method", metric.name, "pairs", "wall time (s)", "peak memory (MB)", "peak GPU memory (MB)"], rows: points.map((p) => [p.label, p.value, whole(p.pairs), p.wall, p.rss, p.gpu]) });
  }

  function donors(view) {
    const groups = new Map();
    for (const i of view.rows) {
      if (R.metric[i] !== state.metric || R.value[i] === null || R.unit[i] === null || !R.unit[i].includes(":")) continue;
      const t = trials[R.trial[i]];
      const key = [t.track, t.dataset, t.label].join("\t");
      if (!groups.has(key)) groups.set(key, new Map());
      const units = groups.get(key);
      if (!units.has(R.unit[i])) units.set(R.unit[i], []);
      units.get(R.unit[i]).push(R.value[i]);
    }
    const pairs = view.pairs.filter(([t, d]) => view.labels.some((l) => groups.has([t, d, l.label].join("\t"))));
    const labels = view.labels.filter((l) => pairs.some(([t, d]) => groups.has([t, d, l.label].join("\t"))));
    const host = $("donors-view");
    const span = spanOf([...groups.values()].flatMap((units) => [...units.values()].map(mean)));
    const { axes, layout, plotHeight } = multiples(pairs.map(pairName), host, { height: 30 + 19 * labels.length, minWidth: 290, gapY: 64, shareTicks: true, xaxis: { range: span, dtick: steps(span[1] - span[0]) },
      yaxis: { type: "category", categoryorder: "array", categoryarray: labels.map((l) => l.label).reverse(), range: [-0.6, labels.length - 0.4], tickfont: { size: 11 }, showgrid: false } });
    const rows = [];
    const traces = pairs.flatMap(([t, d], k) => labels.filter((l) => groups.has([t, d, l.label].join("\t"))).map(({ label }) => {
      const units = [...groups.get([t, d, label].join("\t"))].map(([unit, values]) => [unit, mean(values)]);
      for (const [unit, value] of units) rows.push([t, d, label, unit, value]);
      return { ...BOX, meta: [t, d, label, state.metric], x: units.map((u) => u[1]), y: units.map(() => label), name: escape(label), ...axes[k], text: units.map((u) => escape(u[0])),
        marker: { color: view.style[label].colour, size: 4.5, opacity: 0.85 },
        hovertemplate: `${escape(label)}<br>%{text}: %{x:.3f}<extra></extra>` };
    }));
    figure(host, { title: `${state.metric} of each donor or other part`, alt: `Box and strip of ${state.metric} per donor; the table below has the numbers.`, traces,
      layout: { ...layout, height: plotHeight + 80, margin: { l: 110, r: 10, t: 30, b: 40 } }, head: ["track", "dataset", "method", "unit", state.metric], rows });
  }

  /** Offer names in a menu, keep the wanted one if it is among them; returns what is chosen. */
  function fillSelect(select, names, wanted) {
    const value = names.includes(wanted) ? wanted : names[0] ?? "";
    select.replaceChildren(...names.map((n) => el("option", { value: n, selected: n === value }, n)));
    select.value = value;
    select.disabled = names.length < 2;
    return value;
  }

  /** Show or hide a section, where the page has it, and its link; returns whether it is shown. */
  function showSection(id, wanted) {
    if (!$(id)) return false;
    $(id).hidden = !wanted;
    document.querySelector(`nav a[href="#${id}"]`).hidden = !wanted;
    return Boolean(wanted);
  }

  addView(curves);
  addView(resources);
  addView(donors);
  Object.assign(window.benchReport, { drawAll, onPaper, figure, plainTable, escape, multiples, steps, pairName, fillSelect, showSection, legendHeight, lineOf, BOX });
})();
