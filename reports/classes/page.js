// Scores by class and confusion matrices, for tasks that are scored by class; the whole section is absent otherwise.
(() => {
  "use strict";
  const { el, $, number, whole, percent, median, groupBy, colour, traced, noted, figure, escape, multiples, steps, pairName, BOX, addView } = window.benchReport;
  if (!$("classes")) return;
  const SHADES = [[0, "#f4f8fa"], [0.25, "#b9d6e3"], [0.6, "#4a90ae"], [1, "#0d3f57"]];
  const WITHIN = " › ";  // as in the lineages that the page carries
  const shade = (v) => (v === null ? "#f4f5f6" : colour(v).match(/rgb\([^)]*\)/)[0]);
  const ink = (v) => (v === null ? "#1d2327" : colour(v).match(/;color:(.*)/)[1]);
  /** A number of cells or donors; over several splits it may be a mean, which `some` tells. */
  const some = (v) => (v === null ? "–" : v % 1 ? v.toFixed(1) : whole(v));
  const many = (v, noun) => `${some(v)} ${v === 1 ? noun : `${noun}s`}`;
  const averaged = (p) => (p.n.some((v) => v % 1) ? " (mean over splits)" : "");
  const chosen = { pair: "", method: "" };
  const cellsOf = (p, i) => `${many(p.n[i], "tested cell")}, ${many(p.train[i], "training cell")}${p.donors[i] === null ? "" : ` of ${many(p.donors[i], "donor")}`}${averaged(p)}`;

  const MOST_NAMED = 10;

  /** Classes that share a dot's place, which point at it together: some of their names. */
  function sharing(p, f1, i, at) {
    const others = at.get(f1[i]).filter((j) => j !== i), more = others.length - MOST_NAMED;
    return others.length ? `<br>The same F1: ${others.slice(0, MOST_NAMED).map((j) => escape(p.names[j])).join("<br>  ")}${more > 0 ? `<br>  and ${more} more` : ""}` : "";
  }

  /** What the filter lets through: pairs with classes, each with the classes that tested cells have. */
  function visiblePairs(view) {
    const pairs = new Set(view.pairs.map((p) => p.join("/")));
    return view.task.classes.pairs.filter((p) => pairs.has(`${p.track}/${p.dataset}`)).map((p) => ({ ...p, present: p.names.map((_, i) => i).filter((i) => p.n[i] > 0), labels: view.labels.filter((l) => p.scores[l.label]) }));
  }

  function scores(view, pairs) {
    const host = $("class-scores");
    const labels = view.labels.filter((l) => pairs.some((p) => p.scores[l.label])).map((l) => l.label);
    const rows = [];
    const { axes, layout, plotHeight } = multiples(pairs.map((p) => pairName([p.track, p.dataset])), host, { height: 34 + 30 * labels.length, minWidth: 330, gapY: 64, shareTicks: true, xaxis: { range: [-0.03, 1.03], dtick: steps(1) },
      yaxis: { type: "category", categoryorder: "array", categoryarray: [...labels].reverse(), range: [-0.6, labels.length - 0.4], tickfont: { size: 11 }, showgrid: false } });
    const traces = pairs.flatMap((p, k) => p.labels.map(({ label }) => {
      const f1 = p.scores[label].f1, scored = p.present.filter((i) => f1[i] !== null), at = groupBy(scored, (i) => f1[i]);
      for (const i of scored) rows.push([p.track, p.dataset, label, p.names[i], f1[i], some(p.n[i]), some(p.train[i])]);
      return { ...BOX, meta: [p.track, p.dataset, label], x: scored.map((i) => f1[i]), y: scored.map(() => label), name: escape(label), ...axes[k], text: scored.map((i) => `<b>${escape(p.names[i])}</b><br>${p.lineage[i] ? `${escape(p.lineage[i])}<br>` : ""}${cellsOf(p, i)}${sharing(p, f1, i, at)}`),
        hoveron: "points", jitter: 1, marker: { color: view.style[label].colour, size: 4.5, opacity: 0.75 }, hovertemplate: `${escape(label)}: F1 %{x:.3f}<br>%{text}<extra></extra>` };
    }));
    figure(host, { title: "F1 of each class", alt: "Box and strip of F1 per class, a panel per level and dataset; the table below has the numbers.", traces,
      layout: { ...layout, height: plotHeight + 80, margin: { l: 110, r: 10, t: 30, b: 40 } }, head: ["track", "dataset", "method", "class", "F1", "tested cells", "training cells"], rows });
  }

  function lost(view, pairs) {
    const limit = view.task.classes.lost, host = $("class-lost");
    const th = (words) => el("th", { scope: "col" }, words);
    const part = (values) => (values.length ? some(median(values)) : "–");
    const blocks = pairs.map((p, index) => {
      const methods = p.labels.filter((l) => l.role === "method").map((l) => l.label);
      if (!methods.length) return null;
      const isLost = (label, i) => (p.scores[label].f1[i] ?? 0) < limit;
      const cells = (list) => list.reduce((sum, i) => sum + p.n[i], 0), all = cells(p.present);
      const body = methods.map((label) => {
        const f1 = p.scores[label].f1, gone = p.present.filter((i) => isLost(label, i)), kept = p.present.filter((i) => !isLost(label, i));
        const worst = [...gone].sort((a, b) => p.n[b] - p.n[a]).slice(0, 4);
        return el("tr", {}, el("th", { scope: "row" }, label), el("td", { class: "num" }, `${gone.length} of ${p.present.length}`), el("td", { class: "num" }, String(gone.filter((i) => f1[i] === 0).length)),
          el("td", { class: "num" }, `${some(cells(gone))} `, el("small", {}, `(${percent(cells(gone) / all)})`)), el("td", { class: "num" }, `${part(gone.map((i) => p.n[i]))} / ${part(kept.map((i) => p.n[i]))}`), el("td", { class: "num" }, `${part(gone.map((i) => p.train[i]))} / ${part(kept.map((i) => p.train[i]))}`),
          el("td", {}, ...worst.flatMap((i, k) => [k ? ", " : "", p.names[i], " ", el("small", {}, `${number(f1[i])}, n=${some(p.n[i])}`)]), worst.length < gone.length ? `, and ${gone.length - worst.length} more` : worst.length ? "" : "–"));
      });
      const common = p.present.filter((i) => methods.every((label) => isLost(label, i)));
      const names = common.slice(0, 12).map((i) => p.names[i]).join(", ") + (common.length > 12 ? ` and ${common.length - 12} more` : "");
      return el("details", { open: pairs.length <= 3 || !index }, el("summary", {}, el("b", {}, p.dataset), " ", el("small", {}, p.track), averaged(p) ? ", cells: mean over splits" : ""), el("div", { class: "scroll", tabindex: "0" }, el("table", { class: "plain" },
        el("thead", {}, el("tr", {}, ...["Method", "Lost", "of these F1 = 0", "Tested cells in them", "Tested cells, median lost / kept", "Training cells, median lost / kept", "The largest of them (F1, tested cells)"].map(th))), el("tbody", {}, ...body))),
        common.length && methods.length > 1 ? el("p", { class: "note" }, `Lost by every method: ${names}.`) : "");
    }).filter(Boolean);
    host.replaceChildren(...(blocks.length ? blocks : [el("p", { class: "empty" }, "No method has scores by class for this choice.")]));
  }

  function fill(select, names, wanted, otherwise = "") {
    const value = names.includes(wanted) ? wanted : otherwise;
    select.replaceChildren(...names.map((n) => el("option", { value: n, selected: n === value }, n)));
    select.value = value;
    select.disabled = names.length < 2;
    return value;
  }

  /** Row, column and cells of every entry, with its share of the row. */
  function entries(p, method) {
    const matrix = p.confusion[method], width = p.names.length + p.extra.length;
    if (!matrix) return [];
    return matrix.at.map((at, k) => ({ row: Math.floor(at / width), column: at % width, n: matrix.n[k], share: matrix.n[k] / matrix.of[Math.floor(at / width)] }));
  }

  /** Names that fit beside an axis: the end of a long one, which tells relatives apart; all different, as Plotly needs them. */
  function axisNames(list, most) {
    const taken = new Set();
    return list.map((name) => {
      let short = name.length > most ? `…${name.slice(1 - most)}` : name;
      while (taken.has(short)) short += "\u200b";
      taken.add(short);
      return short;
    });
  }

  function confusion(view, p, method, cells) {
    const host = $("class-confusion"), columns = [...p.names, ...p.extra];
    const across = [...new Set([...p.present, ...cells.map((e) => e.column)])].sort((a, b) => a - b);
    const down = new Map(p.present.map((i, k) => [i, k])), place = new Map(across.map((i, k) => [i, k]));
    const blank = () => p.present.map(() => across.map(() => null));
    const z = blank(), text = blank();
    for (const e of cells) {
      z[down.get(e.row)][place.get(e.column)] = e.share;
      text[down.get(e.row)][place.get(e.column)] = `true <b>${escape(p.names[e.row])}</b><br>answered <b>${escape(columns[e.column])}</b><br>${percent(e.share)}: ${many(e.n, "cell")}`;
    }
    const top = (i) => (p.lineage[i] || columns[i] || "").split(WITHIN)[0];
    const borders = (list) => list.map((i, k) => (k && top(i) !== top(list[k - 1]) ? k - 0.5 : null)).filter((v) => v !== null);
    const line = (over) => ({ type: "line", layer: "above", line: { color: "#c9d1d6", width: 0.8 }, ...over });
    const nested = p.present.some((i) => p.lineage[i]);
    const shapes = nested ? [...borders(across).map((x) => line({ x0: x, x1: x, yref: "paper", y0: 0, y1: 1 })), ...borders(p.present).map((y) => line({ y0: y, y1: y, xref: "paper", x0: 0, x1: 1 }))] : [];
    const widest = (host.parentElement.clientWidth || 1000), narrow = widest < 640, names = axisNames(columns, narrow ? 11 : 34);
    const longest = Math.max(...names.map((c) => c.length)), room = Math.min(5.6 * longest + 20, 190), beside = narrow ? 20 : 70;
    const side = Math.max(240, Math.min(widest - room - beside, Math.max(34 * across.length, 420), 900));
    host.style.maxWidth = `${side + room + beside + 20}px`;
    const axis = (n) => ({ type: "category", showgrid: false, zeroline: false, linecolor: "#b9c1c7", ticks: "", automargin: true, tickfont: { size: side / n >= 13 ? 11 : 9 }, ...(side / n >= 11 ? { dtick: 1, tickmode: "linear" } : {}) });
    const off = cells.filter((e) => e.row !== e.column).sort((a, b) => b.n - a.n);
    figure(host, { title: `Confusion matrix of ${method}: ${pairName([p.track, p.dataset])}`, alt: `Confusion matrix of ${method}, a row a true class, shares of its cells; the table below lists the mistakes.`,
      traces: cells.length ? [{ type: "heatmap", z, text, x: across.map((i) => escape(names[i])), y: p.present.map((i) => escape(names[i])), zmin: 0, zmax: 1, colorscale: SHADES, hoverongaps: false, hovertemplate: "%{text}<extra></extra>", xgap: side / across.length > 12 ? 1 : 0, ygap: side / p.present.length > 12 ? 1 : 0,
        colorbar: { title: { text: "share of the true class", side: narrow ? "top" : "right", font: { size: 11 } }, thickness: 10, outlinewidth: 0, tickformat: ".0%", tickfont: { size: 10 }, ...(narrow ? { orientation: "h", len: 1, y: 1, yanchor: "bottom" } : { len: Math.min(1, 240 / side), y: 1, yanchor: "top" }) } }] : [],
      layout: { height: side + room + (narrow ? 110 : 70), margin: { l: narrow ? 5 : 30, r: 10, t: narrow ? 60 : 30, b: 40 }, shapes, xaxis: { ...axis(across.length), tickangle: -90, title: { text: "answered", standoff: 6 } }, yaxis: { ...axis(p.present.length), autorange: "reversed", title: narrow ? undefined : { text: "true", standoff: 6 } } },
      head: ["true class", "answered", "cells", "share of the true class"], rows: off.map((e) => [p.names[e.row], columns[e.column], some(e.n), percent(e.share)]) });
    if (cells.length) host.append(el("p", { class: "note" }, `Rows sum to 100 %; cells are summed over splits and seeds. ${nested ? "Relatives stand together, lines part their common ancestors. " : ""}Drag to zoom, double-click to go back. ${view.task.classes.leftOut}`));
  }

  /** Where each box of a tree lies: depth, and from where to where, the largest of a parent first. */
  function placed(nodes) {
    const children = groupBy(nodes, (d) => d.parent), out = [];
    const place = (d, depth, from) => {
      out.push({ ...d, depth, from, to: from + d.n });
      for (const child of [...(children.get(d.id) || [])].sort((a, b) => b.n - a.n)) { place(child, depth + 1, from); from += child.n; }
    };
    for (const root of children.get(null)) place(root, 0, 0);
    return out;
  }

  /** The hierarchy of the labels: width by tested cells, a class's colour by the method's F1. */
  function tree(p, method) {
    const f1 = p.scores[method].f1, nodes = new Map([["", { id: "", name: p.dataset, parent: null, n: 0, classes: 0 }]]);
    const inside = (id, name, parent, n) => {
      if (!nodes.has(id)) nodes.set(id, { id, name, parent, n: 0, classes: 0 });
      nodes.get(id).n += n;
      nodes.get(id).classes += 1;
    };
    for (const i of p.present) {
      let parent = "";
      inside("", p.dataset, null, p.n[i]);
      for (const name of p.lineage[i] ? p.lineage[i].split(WITHIN) : []) {
        const id = `${parent}/${name}`;
        inside(id, name, parent, p.n[i]);
        parent = id;
      }
      nodes.set(`class ${i}`, { id: `class ${i}`, name: p.names[i], parent, n: p.n[i], f1: f1[i], words: cellsOf(p, i) });
    }
    const list = placed([...nodes.values()]), deep = Math.max(...list.map((d) => d.depth)), total = nodes.get("").n;
    // Boxes as bars that hang from the one above; of those that a closer look cuts, the part that is seen.
    const width = $("class-tree").clientWidth || 1000;
    const fitting = (name, room) => (name.length <= room ? name : room < 5 ? "" : `…${name.slice(1 - room)}`);
    const boxes = ([low, high]) => {
      const seen = list.map((d) => ({ ...d, left: Math.max(d.from, low), right: Math.min(d.to, high) })).filter((d) => d.right > d.left);
      const pick = (of) => seen.map(of);
      return { x: pick((d) => (d.left + d.right) / 2), width: pick((d) => d.right - d.left), y: pick(() => -1), base: pick((d) => -d.depth), text: pick((d) => escape(fitting(d.name, Math.floor(((d.right - d.left) / (high - low)) * width / 7.4)))), customdata: pick((d) => [d.from, d.to]),
        hovertext: pick((d) => `<b>${escape(d.name)}</b><br>${d.words ? `${d.words}<br>F1 of ${escape(method)} ${number(d.f1)}` : `${many(d.n, "tested cell")} in ${d.classes} class${d.classes === 1 ? "" : "es"}`}`), "marker.color": pick((d) => (d.words ? shade(d.f1) : "#e9edf0")), "textfont.color": pick((d) => (d.words ? ink(d.f1) : "#1d2327")) };
    };
    const all = boxes([0, total]), bare = { visible: false, fixedrange: true };
    const ready = (plot) => plot.on("plotly_click", ({ points: [point] }) => {
      const range = point.customdata, now = boxes(range);
      window.Plotly.update(plot, Object.fromEntries(Object.entries(now).map(([k, v]) => [k, [v]])), { "xaxis.range": range });
    });
    figure($("class-tree"), { title: `Labels of ${pairName([p.track, p.dataset])}: width by tested cells, colour by F1 of ${method}`, alt: "Hierarchy of the labels, width by tested cells, colour by F1; the table below lists it.", ready,
      traces: [{ type: "bar", ...Object.fromEntries(Object.entries(all).filter(([k]) => !k.includes("."))), marker: { color: all["marker.color"], line: { color: "#fff", width: 1 } }, textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none", textfont: { size: 11, color: all["textfont.color"] }, hovertemplate: "%{hovertext}<extra></extra>" }],
      layout: { height: 50 + 46 * (deep + 1), margin: { l: 4, r: 4, t: 30, b: 4 }, showlegend: false, dragmode: false, xaxis: { ...bare, range: [0, total] }, yaxis: { ...bare, range: [-deep - 1, 0] } }, head: ["class", "within", "tested cells", `F1 of ${method}`], rows: list.filter((d) => d.words).map((d) => [d.name, d.parent.slice(1) || "–", some(d.n), d.f1]) });
    const stops = [0, 0.25, 0.5, 0.75, 1].map(shade).join(",");
    $("class-tree").querySelector(".plot").before(el("div", { class: "legend" }, "F1 0", el("i", { style: `background:linear-gradient(90deg,${stops})` }), "1", el("span", {}, "Click a box to look into it, the top one to go back.")));
  }

  /** The tested cells in the plane three times: by truth, by the method's answer, and where it is wrong. */
  function cellMap(p, method) {
    const host = $("class-map"), m = p.map, answers = m?.answers[method], columns = [...p.names, ...p.extra];
    if (!answers) return host.replaceChildren(el("p", { class: "empty" }, "This run has no map of these cells for this method; bench rescore makes maps for older runs."));
    const SIZE = 440, at = (v) => 8 + (v / 999) * (SIZE - 16), radius = m.x.length > 1500 ? 2.2 : m.x.length > 500 ? 3 : 4;
    const tint = (i) => `hsl(${Math.round(i * 137.508) % 360} ${55 + (i % 3) * 12}% ${40 + (i % 4) * 8}%)`;
    const wrong = m.truth.map((t, i) => t !== answers[i]), readout = el("p", { class: "note", "aria-live": "off" }, "Point at a cell for its class.");
    let only = null;
    const paint = (canvas, colourOf) => {
      const pen = canvas.getContext("2d");
      pen.clearRect(0, 0, SIZE, SIZE);
      const faint = (i) => only !== null && m.truth[i] !== only && answers[i] !== only;
      for (const i of [...m.x.keys()].sort((a, b) => faint(b) - faint(a) || wrong[a] - wrong[b])) {
        pen.fillStyle = faint(i) ? "#e6e9eb" : colourOf(i);
        pen.beginPath();
        pen.arc(at(m.x[i]), SIZE - at(m.y[i]), radius, 0, 7);
        pen.fill();
      }
    };
    const share = wrong.filter(Boolean).length / wrong.length;
    const views = [["Truth", (i) => tint(m.truth[i])], [`Answers of ${method}`, (i) => (answers[i] < p.names.length ? tint(answers[i]) : "#777")], [`Wrong: ${percent(share)} of the cells shown`, (i) => (wrong[i] ? "#c1121f" : "#c9d3d9")]].map(([words, colourOf]) => {
      const canvas = el("canvas", { width: SIZE, height: SIZE, role: "img", "aria-label": `UMAP of ${m.x.length} tested cells of ${p.dataset}. ${words}` });
      canvas.addEventListener("pointermove", (event) => {
        const box = canvas.getBoundingClientRect(), x = ((event.clientX - box.left) * SIZE) / box.width, y = SIZE - ((event.clientY - box.top) * SIZE) / box.height;
        let best = -1, least = 100;
        m.x.forEach((v, i) => { const d = (at(v) - x) ** 2 + (at(m.y[i]) - y) ** 2; if (d < least) { least = d; best = i; } });
        if (best >= 0) readout.textContent = `True class ${p.lineage[m.truth[best]] ? `${p.lineage[m.truth[best]]}${WITHIN}` : ""}${columns[m.truth[best]]}; answered ${columns[answers[best]]}${wrong[best] ? ": wrong" : ""}.`;
      });
      paint(canvas, colourOf);
      return { canvas, colourOf, figure: el("figure", {}, el("figcaption", {}, el("b", {}, words)), canvas) };
    });
    const used = p.names.map((_, i) => i).filter((i) => m.truth.includes(i) || answers.includes(i));
    const keys = el("div", { class: "keys tall-keys" }, ...used.map((i) => {
      const key = el("button", { type: "button", "aria-pressed": "false" }, el("i", { style: `background:${tint(i)}` }), p.names[i]);
      key.addEventListener("click", () => {
        only = only === i ? null : i;
        for (const [k, other] of [...keys.children].entries()) other.setAttribute("aria-pressed", String(used[k] === only));
        for (const view of views) paint(view.canvas, view.colourOf);
      });
      return key;
    }));
    const of = m.x.length < m.cells ? `${m.x.length.toLocaleString("en")} of ${m.cells.toLocaleString("en")} tested cells are shown.` : `All ${m.cells.toLocaleString("en")} tested cells.`;
    host.replaceChildren(el("h3", {}, "Tested cells in the plane"), el("p", { class: "note" }, `UMAP of their counts (first split); no label and no method placed them. ${of} Press a class to see it alone, with the cells of other classes that were taken for it.`), el("div", { class: "umaps" }, ...views.map((v) => v.figure)), readout, keys);
  }

  /** Every class with its cells and the F1 of every method, the chosen method's worst first. */
  function classTable(p, method, cells) {
    const host = $("class-table"), methods = p.labels.filter((l) => l.role === "method").map((l) => l.label), columns = [...p.names, ...p.extra];
    const mistaken = new Map();
    for (const e of cells) if (e.row !== e.column && e.n > (mistaken.get(e.row)?.n || 0)) mistaken.set(e.row, e);
    const order = [...p.present].sort((a, b) => (p.scores[method].f1[a] ?? 0) - (p.scores[method].f1[b] ?? 0) || p.n[b] - p.n[a]);
    const cell = (label, i) => { const s = p.scores[label], v = s.f1[i]; return v === null ? el("td", {}, "–") : el("td", { class: "shade", style: colour(v), ...traced(p.track, p.dataset, label, "f1", `${label}, ${p.names[i]}: F1 ${number(v)}, precision ${number(s.precision[i])}, recall ${number(s.recall[i])}`, `class:${p.names[i]}`) }, number(v)); };
    const body = order.map((i) => { const e = mistaken.get(i); return el("tr", {}, el("th", { scope: "row", ...noted(p.lineage[i]) }, p.names[i]), el("td", { class: "num" }, some(p.n[i])), el("td", { class: "num" }, some(p.train[i])), el("td", { class: "num" }, some(p.donors[i])), ...methods.map((l) => cell(l, i)), el("td", {}, e ? `${columns[e.column]} ` : "–", e ? el("small", {}, percent(e.share)) : null)); });
    const head = ["Class", `Tested cells${averaged(p)}`, "Training cells", "Training donors", ...methods, `${method} mistakes it most for`].map((h) => el("th", { scope: "col" }, h));
    const absent = p.names.length - p.present.length;
    host.replaceChildren(el("details", { open: true }, el("summary", {}, `F1 of each class, worst of ${method} first (${order.length})`), el("div", { class: "scroll tall", tabindex: "0" }, el("table", { class: "plain by-class" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body)))),
      absent ? el("p", { class: "note" }, `${absent} of the ${p.names.length} classes have no tested cell and so no F1.`) : "");
  }

  const plain = (head, body) => el("div", { class: "scroll", tabindex: "0" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...head.map((h) => el("th", { scope: "col" }, h)))), el("tbody", {}, ...body)));

  function levels(view) {
    const datasets = new Set(view.pairs.map((p) => p[1])), methods = new Set(view.labels.map((l) => l.label));
    const rows = view.task.levels.filter((r) => datasets.has(r.dataset) && methods.has(r.label));
    const steps = [...new Set(rows.map((r) => `${r.fine} within ${r.coarse}`))], by = new Map(rows.map((r) => [`${r.dataset}\t${r.label}\t${r.fine} within ${r.coarse}`, r]));
    const body = [...new Set(rows.map((r) => `${r.dataset}\t${r.label}`))].map((key) => el("tr", {}, ...key.split("\t").map((v) => el("td", {}, v)), ...steps.map((s) => { const r = by.get(`${key}\t${s}`); return el("td", { class: "num" }, r && r.consistent !== null ? percent(r.consistent) : "–", r && r.ci_low !== null ? el("small", {}, ` [${percent(r.ci_low)}, ${percent(r.ci_high)}]`) : null, r ? el("small", {}, ` of ${many(r.cells, "cell")}${r.donors > 1 ? `, ${r.donors} donors` : ""}${r.splits > 1 ? `, ${r.splits} splits` : ""}`) : null); })));
    $("class-levels").replaceChildren(body.length ? plain(["Dataset", "Method", ...steps], body) : el("p", { class: "empty" }, "There are no two levels of one dataset here."));
  }

  /** Cells of other donors against other cells of the same donors: what other people cost. */
  function gaps(view) {
    const methods = new Set(view.labels.map((l) => l.label)), rows = view.task.gaps.filter((r) => methods.has(r.label));
    $("class-gaps-part").hidden = !rows.length;
    const value = (v, low, high) => el("td", { class: "num" }, number(v), low !== null ? el("small", {}, ` [${number(low)}, ${number(high)}]`) : null);
    $("class-gaps").replaceChildren(plain(["Dataset", "Level", "Method", "New donors", "New cells, same donors", "Gap"], rows.map((r) => el("tr", {}, el("td", {}, r.dataset), el("td", {}, r.track), el("td", {}, r.label), value(r.value, r.ci_low, r.ci_high), value(r.other_value, r.other_ci_low, r.other_ci_high), el("td", { class: "num" }, `${r.gap > 0 ? "+" : ""}${number(r.gap)}`)))));
  }

  /** Every two methods on the same cells: the row's macro F1 minus the column's. */
  function compared(view, p) {
    const rows = view.task.sameCells.filter((r) => r.track === p.track && r.dataset === p.dataset), host = $("class-compared");
    if (!rows.length) return host.replaceChildren();
    const { donors, cells, testable } = rows[0], by = new Map(rows.flatMap((r) => [[`${r.method_a}\t${r.method_b}`, [r, 1]], [`${r.method_b}\t${r.method_a}`, [r, -1]]]));
    const names = view.labels.map((l) => l.label).filter((n) => rows.some((r) => r.method_a === n || r.method_b === n));
    const body = names.map((a) => el("tr", {}, el("th", { scope: "row" }, a), ...names.map((b) => {
      if (a === b) return el("td", {}, "");
      const [r, sign] = by.get(`${a}\t${b}`), low = sign > 0 ? r.ci_low : -r.ci_high, high = sign > 0 ? r.ci_high : -r.ci_low;
      const words = `${a} − ${b}: ${number(sign * r.difference)} [${number(low)}, ${number(high)}], bootstrap p ${number(r.p_holm)} (Holm)\nOnly ${r.method_a} right: ${r.only_a} cells; only ${r.method_b}: ${r.only_b}; McNemar p ${number(r.p_mcnemar_holm)} (Holm)`;
      return el("td", { class: "num", ...noted(words) }, `${sign * r.difference > 0 ? "+" : ""}${number(sign * r.difference)}`, testable && r.p_holm < 0.05 ? " *" : "", r.p_mcnemar_holm < 0.05 ? " ◦" : "");
    })));
    const few = testable ? "" : ` With ${many(donors, "tested donor")} no exact test over donors can reach 0.05, so * is withheld: the data cannot tell whether a difference holds for other donors.`;
    host.replaceChildren(el("h3", {}, `Methods compared on the same ${many(cells, "cell")} of ${many(donors, "donor")}`), el("p", { class: "note" }, `Macro F1 of the row minus that of the column (first split). *: differs over donors (donors, then cells resampled; Holm). ◦: the shares of right answers differ on these cells (McNemar, Holm), which takes cells of one donor as independent and so is too easily reached. Point at a number for intervals and p.${few}`), plain(["row minus column", ...names], body));
  }

  let last = null;
  function one() {
    const { view, pairs } = last;
    const byName = new Map(pairs.map((p) => [pairName([p.track, p.dataset]), p]));
    chosen.pair = fill($("class-pair"), [...byName.keys()], chosen.pair, [...byName.keys()].at(-1));
    const p = byName.get(chosen.pair), methods = p ? p.labels.filter((l) => l.role === "method").map((l) => l.label) : [];
    chosen.method = fill($("class-method"), methods, chosen.method, methods[0]);
    if (!chosen.method) return [$("class-tree"), $("class-map"), $("class-confusion"), $("class-table"), $("class-compared")].forEach((host) => host.replaceChildren());
    const cells = entries(p, chosen.method);
    tree(p, chosen.method);
    cellMap(p, chosen.method);
    confusion(view, p, chosen.method, cells);
    classTable(p, chosen.method, cells);
    compared(view, p);
  }

  $("class-pair").addEventListener("change", (event) => { chosen.pair = event.target.value; one(); });
  $("class-method").addEventListener("change", (event) => { chosen.method = event.target.value; one(); });
  addView((view) => {
    $("classes").hidden = !view.task.classes.pairs.length;
    if ($("classes").hidden) return;
    last = { view, pairs: visiblePairs(view) };
    scores(view, last.pairs);
    lost(view, last.pairs);
    levels(view);
    gaps(view);
    one();
  });
})();
