// Joint densities of true and imputed expression, errors by group and level, false-positive imputation.
(() => {
  "use strict";
  const { state, el, $, number, whole, percent, figure, escape, multiples, pairName, fillSelect, showSection, legendHeight, lineOf, addView } = window.benchReport;
  const BINS = 48, LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const SHADES = [[0, "#e3eff5"], [0.3, "#9fc6d8"], [0.65, "#3d86a6"], [1, "#0b2f43"]];
  const chosen = { pair: "", method: "" }, EVERY = "all methods, groups together";

  /** Counts of a panel, row by row from the lowest; null where there are none. */
  function decode({ z, most }) {
    const flat = [...z.replace(/\d+/g, (n) => " ".repeat(Number(n)))].map((c) => (c === " " ? null : Math.expm1(((LETTERS.indexOf(c) + 1) / LETTERS.length) * Math.log1p(most))));
    return Array.from({ length: BINS }, (_, i) => flat.slice(i * BINS, (i + 1) * BINS));
  }

  function joint(view) {
    const pairs = visiblePairs(view).filter((p) => Object.keys(p.panels).length), byName = new Map(pairs.map((p) => [pairName([p.track, p.dataset]), p]));
    chosen.pair = fillSelect($("joint-pair"), [...byName.keys()], chosen.pair);
    const p = byName.get(chosen.pair), labels = p ? view.labels.map((l) => l.label).filter((l) => p.panels[l]) : [];
    chosen.method = fillSelect($("joint-method"), [EVERY, ...(p?.groups.length ? labels : [])], chosen.method);
    const host = $("joint-view"), all = chosen.method === EVERY;
    if (!p || !labels.length) return host.replaceChildren(el("p", { class: "empty" }, "No joint densities for this choice."));
    const panels = all ? labels.map((l) => [l, p.panels[l][""]]) : ["", ...p.groups].map((g) => [g ? `group ${g}` : "all groups", p.panels[chosen.method][g]]);
    const range = [0, p.end], ticks = p.end > 6 ? 2 : 1, step = p.end / BINS;
    const { axes, layout, plotHeight } = multiples(panels.map(([name]) => name), host, { height: 190, minWidth: 210, gapY: 80, xaxis: { title: { text: "true", standoff: 4 }, range, dtick: ticks, showgrid: false }, yaxis: { title: { text: "imputed", standoff: 4 }, range, dtick: ticks, showgrid: false } });
    const centres = Array.from({ length: BINS }, (_, i) => (i + 0.5) * step);
    const traces = panels.map(([name, d], k) => {
      const z = decode(d);
      return { type: "heatmap", x: centres, y: centres, z: z.map((row) => row.map((v) => (v === null ? null : Math.log10(1 + v)))), customdata: z, colorscale: SHADES, showscale: false, hoverongaps: false, ...axes[k],
        hovertemplate: `${escape(name)}<br>true %{x:.2f}, imputed %{y:.2f}<br>about %{customdata:.3~s} entries<extra></extra>` };
    });
    layout.shapes = axes.map((a) => ({ type: "line", xref: a.xaxis, yref: a.yaxis, x0: 0, x1: p.end, y0: 0, y1: p.end, line: { color: "#D55E00", width: 1.2, dash: "dash" } }));
    for (const [k, [, d]] of panels.entries()) layout.annotations.push({ xref: `${axes[k].xaxis} domain`, yref: `${axes[k].yaxis} domain`, x: 0.03, y: 0.98, xanchor: "left", yanchor: "top", align: "left", showarrow: false, bgcolor: "rgba(255,255,255,0.8)", font: { size: 10.5 }, text: `MSE ${number(d.mse)}<br>r ${number(d.pearson)}` });
    const head = ["panel", "entries", "MSE", "Pearson r", "slope", "imputed above the axis (%)"];
    figure(host, { title: `True and imputed expression: ${chosen.pair}${all ? "" : `, ${chosen.method}`}`, alt: `Two-dimensional densities of true and imputed values in ${panels.length} panels; the table below has the errors.`, traces,
      layout: { ...layout, height: plotHeight + 85, margin: { l: 46, r: 8, t: 30, b: 48 } }, head, rows: panels.map(([name, d]) => [name, d.n === null ? null : whole(d.n), number(d.mse), d.pearson, d.slope, d.above === null ? null : 100 * d.above]) });
  }

  const visiblePairs = (view) => { const pairs = new Set(view.pairs.map((p) => p.join("/"))); return view.task.imputation.pairs.filter((p) => pairs.has(`${p.track}/${p.dataset}`)); };

  /** Bars with confidence intervals of MSE, Pearson and the chosen metric; figures/ has them of every group. */
  function bars(view) {
    const host = $("joint-bars"), pairs = visiblePairs(view).map((p) => [p.track, p.dataset]);
    const names = [...new Set(["mse", "pearson", state.metric])].filter((n) => view.task.metrics.some((m) => m.name === n));
    const parts = names.map(() => el("div"));
    host.replaceChildren(...parts);
    names.forEach((name, k) => bar(view, name, pairs, parts[k]));
  }

  function bar(view, metric, pairs, host) {
    const labels = view.labels.map((l) => l.label), rows = [], card = view.task.metrics.find((m) => m.name === metric);
    const { axes, layout, plotHeight } = multiples(pairs.map(pairName), host, { height: 30 + 21 * labels.length, minWidth: 330, gapY: 64, shareTicks: true, xaxis: { rangemode: "tozero" }, yaxis: { type: "category", categoryorder: "array", categoryarray: [...labels].reverse(), range: [-0.6, labels.length - 0.4], tickfont: { size: 11 }, showgrid: false } });
    const traces = pairs.flatMap(([t, d], k) => {
      const values = labels.map((label) => [label, view.cell(t, d, label, metric)]).filter(([, c]) => c && c.value !== null);
      for (const [label, c] of values) rows.push([t, d, label, number(c.value), number(c.ci?.[0]), number(c.ci?.[1])]);
      return values.length ? [{ type: "bar", orientation: "h", showlegend: false, ...axes[k], y: values.map(([l]) => l), x: values.map(([, c]) => c.value), marker: { color: values.map(([l]) => view.style[l].colour) },
        error_x: { type: "data", symmetric: false, array: values.map(([, c]) => (c.ci ? c.ci[1] - c.value : 0)), arrayminus: values.map(([, c]) => (c.ci ? c.value - c.ci[0] : 0)), color: "#222", thickness: 1, width: 3 }, text: values.map(([, c]) => number(c.value)), textposition: "none",
        hovertemplate: `%{y}<br>${escape(metric)} %{text}<extra></extra>` }] : [];
    });
    figure(host, { title: `${metric} with 95 % confidence intervals${card.neutral ? "" : card.higher_is_better ? " (higher is better)" : " (lower is better)"}`, alt: `Bars of ${metric}; the table below has the numbers.`, traces, layout: { ...layout, height: plotHeight + 80, margin: { l: 110, r: 10, t: 30, b: 40 } }, head: ["track", "dataset", "method", metric, "CI low", "CI high"], rows });
  }

  /** Lines over the level of true expression: the error, and the imputed mean against the line y = x. */
  function levels(view, id, column, title, words, diagonal) {
    const pairs = visiblePairs(view).filter((p) => Object.keys(p.bins).length), host = $(id), rows = [], inLegend = new Set();
    const { axes, layout, plotHeight } = multiples(pairs.map((p) => pairName([p.track, p.dataset])), host, { height: 230, xaxis: { title: { text: "mean true expression of the bin", standoff: 4 }, rangemode: "tozero" }, yaxis: { title: { text: words, standoff: 6 }, ...(diagonal ? { rangemode: "tozero" } : { type: "log", tickformat: ".3~g", dtick: 1 }) } });
    const traces = pairs.flatMap((p, k) => view.labels.map((l) => l.label).filter((l) => p.bins[l]).map((label) => {
      const b = p.bins[label], style = view.style[label], line = lineOf(view, label, 1.6), first = !inLegend.has(label) && !view.faint.has(label);
      if (first) inLegend.add(label);
      b.low.forEach((low, i) => rows.push([p.track, p.dataset, label, `${number(low)} to ${number(b.high[i])}`, whole(b.n[i]), number(b.mse[i]), b.mean_true[i], b.mean_imputed[i]]));
      return { type: "scatter", meta: [p.track, p.dataset, label], mode: "lines+markers", x: b.mean_true, y: diagonal ? b[column] : b[column].map((v) => v || null), name: escape(label), legendgroup: label, showlegend: first, ...axes[k], line, marker: { color: line.color, symbol: style.symbol, size: 5 }, hovertemplate: `${escape(label)}<br>true %{x:.2f}<br>${words} %{y:.3f}<extra></extra>` };
    }));
    if (diagonal) layout.shapes = pairs.map((p, k) => { const top = Math.max(...Object.values(p.bins).flatMap((b) => b.mean_true)); return { type: "line", xref: axes[k].xaxis, yref: axes[k].yaxis, x0: 0, y0: 0, x1: top, y1: top, layer: "below", line: { color: "#aab2b8", width: 1, dash: "dash" } }; });
    const below = legendHeight([...inLegend, ""], host.clientWidth || 1000);
    figure(host, { title, alt: `${title}, a line a method; the table below has the numbers.`, traces, layout: { ...layout, height: plotHeight + 95 + below, margin: { l: 56, r: 10, t: 30, b: 65 + below }, legend: { orientation: "h", y: -56 / plotHeight, yanchor: "top", font: { size: 11 }, itemwidth: 30 } },
      head: ["track", "dataset", "method", "true expression", "entries", "MSE", "mean true", "mean imputed"], rows });
  }

  function zeros(view) {
    const pairs = new Set(view.pairs.map((p) => p.join("/"))), all = view.task.imputation.zeros.filter(([t, d]) => pairs.has(`${t}/${d}`));
    const ofEachType = / than /, panels = [...new Map(all.filter((r) => !ofEachType.test(r[3])).map(([t, d, , what]) => [[t, d, what].join("\t"), [t, d, what]])).values()], labels = view.labels.map((l) => l.label).filter((l) => all.some((r) => r[2] === l)), host = $("zeros-view"), rows = [];
    const { axes, layout, plotHeight } = multiples(panels.map(([t, d, what]) => `${what}: ${pairName([t, d])}`), host, { height: 30 + 21 * labels.length, minWidth: 330, gapY: 64, shareTicks: true, xaxis: { range: [0, 1.02], tickformat: ".0%" }, yaxis: { type: "category", categoryorder: "array", categoryarray: [...labels].reverse(), range: [-0.6, labels.length - 0.4], tickfont: { size: 11 }, showgrid: false } });
    const traces = panels.map(([t, d, what], k) => {
      const bars = all.filter((r) => r[0] === t && r[1] === d && r[3] === what && labels.includes(r[2]));
      return { type: "bar", orientation: "h", showlegend: false, ...axes[k], y: bars.map((r) => r[2]), x: bars.map((r) => r[5]), marker: { color: bars.map((r) => view.style[r[2]].colour) }, hovertemplate: "%{y}: %{x:.2%}<extra></extra>" };
    });
    for (const [t, d, label, what, n, share] of all) rows.push([t, d, label, what, n === null ? null : whole(n), percent(share)]);
    figure(host, { title: "Share of zeros imputed as expressed", alt: "Bars of the share of zeros that each method imputed as expressed; the table below has the numbers.", traces, layout: { ...layout, height: plotHeight + 80, margin: { l: 110, r: 10, t: 30, b: 40 } }, head: ["track", "dataset", "method", "zeros", "how many", "turned on"], rows });
  }

  let last = null;
  for (const [id, key] of [["joint-pair", "pair"], ["joint-method", "method"]]) $(id)?.addEventListener("change", (event) => { chosen[key] = event.target.value; joint(last); });
  addView((view) => {
    last = view;
    if (showSection("imputation", view.task.imputation.pairs.length)) {
      $("joint-left-out").textContent = view.task.imputation.leftOut;
      joint(view);
      bars(view);
      levels(view, "imputation-bins", "mse", "Error by level of expression (log scale)", "MSE", false);
      levels(view, "imputation-slope", "mean_imputed", "Imputed against true mean by level (below the line: underestimated)", "mean imputed", true);
    }
    if (showSection("zeros", view.task.imputation.zeros.length)) zeros(view);
  });
})();
