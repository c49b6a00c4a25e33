// Differential expression: overlap with and without imputation, calibration, truth, volcano plots.
(() => {
  "use strict";
  const { data, state, column, traced, noted, el, $, number, whole, percent, groupBy, figure, plainTable, escape, multiples, pairName, fillSelect, showSection, legendHeight, lineOf, inkOn, addView } = window.benchReport;
  const TESTS = new Map([["variance-corrected", "corrected"], ["the paper's", "paper"]]), CAP = 20, RAW = "#777777";
  const chosen = { test: "", direction: "", ratio: "", pair: "", boxPair: "", nullPair: "", truthPair: "", volcanoPair: "", type: "", alpha: "" };
  const tables = {};
  let last = null;

  /** A table of the task as rows. */
  function rowsOf(task, name) {
    const key = `${task}\t${name}`;
    if (!tables[key]) {
      const frame = data.tasks[task].deg[name] || {}, columns = Object.entries(frame).map(([k, v]) => [k, column(v)]);
      tables[key] = columns.length ? columns[0][1].map((_, i) => Object.fromEntries(columns.map(([k, v]) => [k, v[i]]))) : [];
    }
    return tables[key];
  }
  function visibleRows(view, name) {
    const pairs = new Set(view.pairs.map((p) => p.join("/"))), labels = new Set(["raw", ...view.labels.map((l) => l.label)]);
    return rowsOf(state.task, name).filter((r) => pairs.has(`${r.track}/${r.dataset}`) && labels.has(r.label));
  }
  const unique = (list) => [...new Set(list)];
  const share = percent, ratioName = (v) => `${whole(100 * v)} %`;
  /** Whether a row's track draws several shares of the cells. */
  function severalRatios(rows) {
    const severalOf = new Map([...groupBy(rows, (r) => `${r.track}/${r.dataset}`)].map(([k, g]) => [k, unique(g.map((r) => r.ratio)).length > 1]));
    return (r) => severalOf.get(`${r.track}/${r.dataset}`);
  }
  const colourOf = (view, label) => view.style[label]?.colour ?? RAW;
  const legendBelow = (names, host, plotHeight, ticks = 0) => { const below = legendHeight([...names, ""], host.clientWidth || 1000); return { height: plotHeight + 95 + below + ticks, margin: { l: 56, r: 10, t: 30, b: 65 + below + ticks }, legend: { orientation: "h", y: -(52 + ticks) / plotHeight, yanchor: "top", font: { size: 11 }, itemwidth: 30 } }; };
  const pairOf = (select, key, rows) => { const byName = new Map(rows.map((r) => [pairName([r.track, r.dataset]), r])); chosen[key] = fillSelect($(select), [...byName.keys()], chosen[key]); return rows.filter((r) => pairName([r.track, r.dataset]) === chosen[key]); };

  /** Blue above, orange below, white for no difference. */
  function diverging(v) {
    const s = Math.min(1, Math.abs(v) / CAP) ** 0.6, to = v > 0 ? [8, 81, 156] : [179, 78, 0];
    const rgb = to.map((c) => Math.round(255 + s * (c - 255)));
    return `background:rgb(${rgb});color:${inkOn(rgb)}`;
  }
  const stars = (p) => (p === null ? "" : p < 0.001 ? "***" : p < 0.01 ? "**" : p < 0.05 ? "*" : "");

  function heat(view) {
    const all = visibleRows(view, "overlap");
    chosen.test = fillSelect($("deg-test"), [...TESTS.keys()], chosen.test);
    chosen.direction = fillSelect($("deg-direction"), unique(all.map((r) => r.direction)), chosen.direction);
    const several = severalRatios(all), ratios = unique(all.filter(several).map((r) => r.ratio)).sort((a, b) => a - b);
    $("deg-ratio").parentElement.hidden = !ratios.length;
    chosen.ratio = fillSelect($("deg-ratio"), ratios.map(ratioName), chosen.ratio || ratioName(0.5));
    const test = TESTS.get(chosen.test), rows = all.filter((r) => r.direction === chosen.direction && (!several(r) || ratioName(r.ratio) === chosen.ratio));
    const types = unique(all.map((r) => r.cell_type)).sort(), pairs = view.pairs.filter(([t, d]) => rows.some((r) => r.track === t && r.dataset === d));
    const labels = view.labels.map((l) => l.label).filter((l) => rows.some((r) => r.label === l && r[test] !== null));
    if (!labels.length) return $("deg-heat").replaceChildren(el("p", { class: "empty" }, "No method can be compared with no imputation for this choice."));
    $("deg-heat").replaceChildren(...labels.map((label) => {
      const body = types.map((type) => el("tr", {}, el("th", { scope: "row", ...noted(type) }, type), ...pairs.map(([t, d]) => tile(view, rows.find((r) => r.track === t && r.dataset === d && r.label === label && r.cell_type === type), test))));
      const head = el("tr", {}, el("td"), ...pairs.map(([t, d]) => el("th", { scope: "col", ...noted(pairName([t, d])) }, el("span", {}, pairName([d, t])))));
      return el("div", { class: "panel" }, el("h3", {}, label), el("div", { class: "scroll" }, el("table", { class: pairs.length > 4 ? "heat" : "heat level", "aria-label": `Overlap with ${label} against no imputation` }, el("colgroup", {}, el("col", { class: "name" })), el("thead", {}, head), el("tbody", {}, ...body))));
    }));
  }

  function tile(view, r, test) {
    if (!r || r[test] === null) return el("td", { class: "undefined", ...noted(r ? `undefined: overlap ${share(r.mean)} with, ${share(r.mean_raw)} without imputation; ${whole(r.n_deg_full)} DEGs in all cells` : "no result") }, "–");
    const p = r[`p_${test}`], button = el("button", { type: "button", "aria-label": `${r.label}, ${r.cell_type}: ${r[test].toFixed(1)}` }, `${Math.abs(r[test]).toFixed(1)}${stars(p)}`);
    const enter = () => hover(view, r, button), leave = () => { $("volcano-hover").hidden = true; };
    for (const name of ["pointerenter", "focus"]) button.addEventListener(name, enter);
    for (const name of ["pointerleave", "blur"]) button.addEventListener(name, leave);
    button.addEventListener("click", () => { leave(); chosen.volcanoPair = pairName([r.track, r.dataset]); chosen.type = r.cell_type; volcano(view); $("volcano-view").scrollIntoView({ block: "center" }); });
    return el("td", { style: diverging(r[test]), "data-trace": traced(r.track, r.dataset, r.label)["data-trace"] }, button);
  }

  /** What a tile rests on, and its volcano plot in small. */
  function hover(view, r, near) {
    const box = $("volcano-hover"), plot = plotsOf(view).find((v) => v.track === r.track && v.dataset === r.dataset)?.plots[r.label]?.[r.cell_type];
    const canvas = plot ? el("canvas", { width: 480, height: 320 }) : null;
    box.replaceChildren(el("b", {}, `${r.label}, ${r.cell_type}`), el("div", {}, `Overlap ${share(r.mean)} ± ${share(r.sd)}; without imputation ${share(r.mean_raw)} ± ${share(r.sd_raw)}.`), el("div", {}, `P ${p3(r.p_paper)} (the paper's), ${p3(r.p_corrected)} (corrected)${r.diff_low === null ? "" : `; difference ${share(r.diff_low)} to ${share(r.diff_high)} over donors (95 %)`}; ${whole(r.n_deg_full)} DEGs in all ${whole(r.n_case)} + ${whole(r.n_control)} cells.`), canvas || "");
    if (canvas) small(canvas, plot);
    box.hidden = false;
    const at = near.getBoundingClientRect(), width = box.offsetWidth;
    box.style.left = `${Math.max(8, Math.min(at.left + window.scrollX, window.scrollX + document.documentElement.clientWidth - width - 8))}px`;
    box.style.top = `${at.bottom + window.scrollY + 6}px`;
  }
  const p3 = (p) => (p === null ? "–" : p < 1e-20 ? "below 1e-20" : p < 0.001 ? p.toExponential(1) : number(p));
  const pointColour = (v, i) => (v.called[i] ? (v.fc[i] > 0 ? "#D55E00" : "#0072B2") : "#b9c1c7");

  function small(canvas, v) {
    const pen = canvas.getContext("2d"), { width, height } = canvas, x = Math.max(1000, ...v.fc.map(Math.abs)), y = Math.max(300, ...v.p);
    pen.strokeStyle = "#dfe3e6";
    pen.strokeRect(0.5, 0.5, width - 1, height - 1);
    v.fc.forEach((fc, i) => { pen.fillStyle = pointColour(v, i); pen.beginPath(); pen.arc((0.5 + 0.46 * fc / x) * width, height * (0.97 - 0.93 * v.p[i] / y), 4, 0, 7); pen.fill(); });
  }

  function curves(view) {
    const host = $("deg-curves"), all = visibleRows(view, "overlap"), several = severalRatios(all), rows = pairOf("deg-pair", "pair", all.filter((r) => r.direction === chosen.direction && several(r))), types = unique(rows.map((r) => r.cell_type)).sort();
    $("deg-pair").closest(".bar").hidden = !rows.length;
    if (!rows.length) return host.replaceChildren();
    const { axes, layout, plotHeight } = multiples(types, host, { height: 190, minWidth: 260, gapY: 80, shareTicks: true, xaxis: { title: { text: "share of cells", standoff: 4 }, range: [0, 1], tickformat: ".0%" }, yaxis: { title: { text: "overlap", standoff: 6 }, range: [0, 1.03] } });
    const inLegend = new Set(), traces = [];
    types.forEach((type, k) => {
      const ofType = rows.filter((r) => r.cell_type === type), base = [...groupBy(ofType, (r) => r.ratio).values()].map((g) => ({ ...g[0], mean: g[0].mean_raw, sd: g[0].sd_raw, label: "raw", role: "raw" }));
      const lines = [["raw", base], ...view.labels.filter((l) => l.label !== "raw").map((l) => [l.label, ofType.filter((r) => r.label === l.label)])];
      for (const [label, list] of lines) {
        const points = list.filter((r) => r.mean !== null).sort((a, b) => a.ratio - b.ratio);
        if (!points.length) continue;
        const first = !inLegend.has(label), colour = label === "raw" ? RAW : colourOf(view, label), x = points.map((r) => r.ratio), low = points.map((r) => r.mean - (r.sd ?? 0)), high = points.map((r) => r.mean + (r.sd ?? 0));
        inLegend.add(label);
        const band = points.length > 1 ? [{ type: "scatter", mode: "lines", x: [...x, ...[...x].reverse()], y: [...high, ...low.reverse()], fill: "toself", fillcolor: `${colour}22`, line: { width: 0 }, hoverinfo: "skip", showlegend: false, legendgroup: label, ...axes[k] }] : [];
        traces.push(...band, { type: "scatter", mode: "lines+markers", x, y: points.map((r) => r.mean), text: points.map((r) => `± ${share(r.sd)}, ${whole(r.n)} subsamples`), name: label === "raw" ? "no imputation" : escape(label), legendgroup: label, showlegend: first, ...axes[k], line: { color: colour, width: 1.7, dash: label === "raw" ? "dash" : view.style[label].dash }, marker: { color: colour, size: 5 }, hovertemplate: `${escape(label)}<br>%{x:.0%} of cells<br>overlap %{y:.1%} %{text}<extra></extra>` });
      }
    });
    figure(host, { title: `Overlap over the share of cells, ${chosen.direction}: mean and SD over subsamples (${chosen.pair})`, alt: "Overlap over the share of cells, a panel a cell type; the table below has the numbers.", traces, layout: { ...layout, ...legendBelow(inLegend, host, plotHeight) },
      head: ["cell type", "method", "share of cells", "overlap", "SD", "subsamples", "overlap, no imputation", "SD", "P (paper)", "P (corrected)", "difference over donors, low", "high", "DEGs in all cells"], rows: rows.map((r) => [r.cell_type, r.label, ratioName(r.ratio), r.mean, r.sd, whole(r.n), r.mean_raw, r.sd_raw, p3(r.p_paper), p3(r.p_corrected), r.diff_low, r.diff_high, whole(r.n_deg_full)]) });
  }

  function boxes(view) {
    const host = $("deg-boxes"), rows = pairOf("deg-box-pair", "boxPair", visibleRows(view, "boxes")), directions = unique(rows.map((r) => r.direction)), types = unique(rows.map((r) => r.cell_type)).sort();
    const cells = new Map(rows.map((r) => [r.cell_type, r.cells])), name = (type) => `${escape(type).replaceAll(" ", "<br>")}<br>${whole(cells.get(type))} cells`, inLegend = new Set();
    const { axes, layout, plotHeight } = multiples(directions, host, { height: 290, minWidth: Math.max(320, 70 * types.length), gapY: 110, xaxis: { type: "category", tickfont: { size: 10 } }, yaxis: { title: { text: "overlap", standoff: 6 }, range: [-0.02, 1.03] } });
    const labels = ["raw", ...view.labels.map((l) => l.label).filter((l) => l !== "raw")];
    const traces = directions.flatMap((direction, k) => labels.map((label) => [label, rows.filter((r) => r.direction === direction && r.label === label && r.n > 0)]).filter(([, list]) => list.length).map(([label, list]) => {
      const first = !inLegend.has(label), pick = (c) => list.map((r) => r[c]);
      inLegend.add(label);
      return { type: "box", x: list.map((r) => name(r.cell_type)), lowerfence: pick("low"), q1: pick("q1"), median: pick("median"), q3: pick("q3"), upperfence: pick("high"), mean: pick("mean"), name: label === "raw" ? "no imputation" : escape(label), legendgroup: label, showlegend: first, offsetgroup: label, alignmentgroup: String(k), ...axes[k], line: { color: label === "raw" ? RAW : colourOf(view, label), width: 1.2 }, whiskerwidth: 0.5 };
    }));
    figure(host, { title: `Overlap over subsets of patients (${chosen.boxPair}); under each cell type the median cells of a subset`, alt: "Box plots of the overlap over subsets of patients; the table below has the quartiles.", traces, layout: { ...layout, boxmode: "group", boxgap: 0.15, ...legendBelow(inLegend, host, plotHeight, 40) },
      head: ["cell type", "direction", "method", "lower quartile", "median", "upper quartile", "mean", "subsets with an overlap", "subsets", "cells"], rows: rows.map((r) => [r.cell_type, r.direction, r.label, r.q1, r.median, r.q3, r.mean, whole(r.n), whole(r.subsets), whole(r.cells)]) });
  }

  function calibration(view) {
    const every = pairOf("deg-null-pair", "nullPair", visibleRows(view, "null")), alpha = (chosen.alpha = fillSelect($("deg-alpha"), unique(every.map((r) => String(r.alpha))), chosen.alpha)), rows = every.filter((r) => String(r.alpha) === alpha), panels = [...groupBy(rows, (r) => [r.track, r.dataset, r.kind, r.alpha].join("\t")).values()], labels = view.labels.map((l) => l.label).filter((l) => rows.some((r) => r.label === l)), host = $("deg-fpr");
    const marked = new Map(labels.map((l) => { const ofLabel = rows.filter((r) => r.label === l && r.fpr !== null); return [l, ofLabel.filter((r) => r.above).length * 2 > ofLabel.length]; })), name = (l) => `${marked.get(l) ? "▲ " : ""}${escape(l)}`;
    const top = Math.max(0, ...rows.map((r) => Math.max(r.fpr ?? 0, r.alpha)));
    const { axes, layout, plotHeight } = multiples(panels.map(([r]) => `condition permuted among ${r.kind}`), host, { height: 34 + 24 * labels.length, minWidth: 330, gapY: 64, shareTicks: true, xaxis: { range: [-0.02 * top, 1.05 * top], tickformat: ".1~%" }, yaxis: { type: "category", categoryorder: "array", categoryarray: labels.map(name).reverse(), range: [-0.6, labels.length - 0.4], tickfont: { size: 11 }, showgrid: false } });
    layout.shapes = panels.map(([r], k) => ({ type: "line", xref: axes[k].xaxis, yref: `${axes[k].yaxis} domain`, x0: r.alpha, x1: r.alpha, y0: 0, y1: 1, line: { color: "#444", width: 1, dash: "dash" } }));
    const traces = panels.flatMap((list, k) => labels.map((label) => list.filter((r) => r.label === label && r.fpr !== null)).filter((l) => l.length).map((ofLabel) => ({ type: "scatter", mode: "markers", showlegend: false, ...axes[k], x: ofLabel.map((r) => r.fpr), y: ofLabel.map((r) => name(r.label)), text: ofLabel.map((r) => escape(r.cell_type)), marker: { color: colourOf(view, ofLabel[0].label), size: 7, opacity: 0.75, symbol: ofLabel.map((r) => (r.above ? "triangle-up" : "circle")) }, hovertemplate: "%{y}<br>%{text}: %{x:.2%}<extra></extra>" })));
    figure(host, { title: `False-positive rate on null data (${chosen.nullPair}), alpha ${alpha}`, alt: "False-positive rate of each method, a dot a cell type; the table below has the numbers.", traces, layout: { ...layout, height: plotHeight + 80, margin: { l: 120, r: 10, t: 30, b: 40 } }, head: ["track", "dataset", "method", "cell type", "kind", "alpha", "false-positive rate", "above alpha"], rows: rows.map((r) => [r.track, r.dataset, r.label, r.cell_type, r.kind, r.alpha, r.fpr, r.above ? "yes" : "no"]) });
  }

  /** Lines of a table, a panel for each dataset and cell type. */
  function lines(view, table, id, { x, y, title, words, diagonal, pair, most = Infinity }) {
    const rows = visibleRows(view, table).filter((r) => pairName([r.track, r.dataset]) === pair), host = $(id), panels = [...groupBy(rows, (r) => [r.track, r.dataset, r.cell_type, r.kind].join("\t")).values()], inLegend = new Set();
    if (!rows.length) return host.replaceChildren();
    const { axes, layout, plotHeight } = multiples(panels.map(([r]) => (r.kind ? `${r.cell_type}, among ${r.kind}` : r.cell_type)), host, { height: 190, minWidth: 250, gapY: 80, xaxis: { title: { text: words[0], standoff: 4 }, rangemode: "tozero" }, yaxis: { title: { text: words[1], standoff: 6 }, rangemode: "tozero" } });
    // One method far off the scale would press all others to the ground.
    panels.forEach((list, k) => { const top = Math.max(...list.map((r) => r[y] ?? 0)); if (top > most) layout[axes[k].yaxis.replace("y", "yaxis")].range = [0, most]; });
    if (diagonal) layout.shapes = panels.map((list, k) => { const top = Math.max(...list.map((r) => r[x] ?? 0)); return { type: "line", xref: axes[k].xaxis, yref: axes[k].yaxis, x0: 0, y0: 0, x1: top, y1: top, line: { color: "#444", width: 1, dash: "dash" } }; });
    const traces = panels.flatMap((list, k) => view.labels.map((l) => list.filter((r) => r.label === l.label)).filter((l) => l.length).map((curve) => {
      const { label } = curve[0], first = !inLegend.has(label) && !view.faint.has(label);
      if (first) inLegend.add(label);
      return { type: "scatter", meta: [curve[0].track, curve[0].dataset, label], mode: "lines", x: curve.map((r) => r[x]), y: curve.map((r) => r[y]), name: escape(label), legendgroup: label, showlegend: first, ...axes[k], line: lineOf(view, label, 1.6), hovertemplate: `${escape(label)}<br>${words[0]} %{x:.3f}<br>${words[1]} %{y:.3f}<extra></extra>` };
    }));
    title = `${title} (${pair})`;
    figure(host, { title, alt: `${title}, a panel a cell type; the table below has points of each line.`, traces, layout: { ...layout, ...legendBelow(inLegend, host, plotHeight) }, head: ["dataset", "cell type", "method", ...words], rows: rows.filter((_, i) => i % 5 === 0).map((r) => [r.dataset, r.cell_type, r.label, r[x], r[y]]) });
  }

  function truth(view) {
    const order = new Map(view.labels.map((l, i) => [l.label, i])), sorted = (rows) => [...rows].sort((a, b) => a.dataset.localeCompare(b.dataset) || order.get(a.label) - order.get(b.label));
    const rows = sorted(visibleRows(view, "truth")), detail = el("details", {}, el("summary", {}, `By cell type and direction (${rows.length} rows)`), plainTable(["dataset", "method", "cell type", "direction", "true", "called", "precision", "recall", "FDR"], rows.map((r) => [r.dataset, r.label, r.cell_type, r.direction, whole(r.n_true), whole(r.n_called), r.precision, r.recall, r.fdr])));
    $("deg-truth").replaceChildren(plainTable(["dataset", "track", "method", "true DEGs", "called", "precision", "recall", "FDR"], sorted(visibleRows(view, "truthPooled")).map((r) => [r.dataset, r.track, r.label, whole(r.n_true), whole(r.n_called), r.precision, r.recall, r.fdr])), detail);
  }

  const plotsOf = (view) => { const pairs = new Set(view.pairs.map((p) => p.join("/"))); return view.task.volcanoes.filter((v) => pairs.has(`${v.track}/${v.dataset}`)); };

  function volcano(view) {
    const host = $("volcano-view"), all = plotsOf(view), pair = all.find((v) => pairName([v.track, v.dataset]) === fillSelect($("volcano-pair"), all.map((v) => pairName([v.track, v.dataset])), chosen.volcanoPair));
    if (!pair) return host.replaceChildren(el("p", { class: "empty" }, "No volcano plots for this choice."));
    chosen.volcanoPair = pairName([pair.track, pair.dataset]);
    chosen.type = fillSelect($("volcano-type"), unique(Object.values(pair.plots).flatMap(Object.keys)).sort(), chosen.type);
    const labels = view.labels.map((l) => l.label).filter((l) => pair.plots[l]?.[chosen.type]), plots = labels.map((l) => pair.plots[l][chosen.type]);
    const { axes, layout, plotHeight } = multiples(labels.map((l, i) => `${l}: ${plots[i].up} up, ${plots[i].down} down`), host, { height: 220, minWidth: 270, gapY: 80, xaxis: { title: { text: "log2 fold change", standoff: 4 } }, yaxis: { title: { text: "−log10 P", standoff: 6 }, rangemode: "tozero" } });
    const rows = [], traces = plots.map((v, k) => {
      const names = v.gene.map((g) => pair.genes[g]);
      names.forEach((gene, i) => { if (v.called[i]) rows.push([labels[k], gene, v.fc[i] / 1000, v.p[i] / 100, `${v.pct1[i]} %`, `${v.pct2[i]} %`, v.true[i] < 0 ? "unknown" : v.true[i] ? "yes" : "no"]); });
      return { type: "scatter", mode: "markers", showlegend: false, ...axes[k], x: v.fc.map((f) => f / 1000), y: v.p.map((p) => p / 100), text: names.map((n, i) => `<b>${escape(n)}</b><br>detected in ${v.pct1[i]} % and ${v.pct2[i]} %${v.true[i] > 0 ? "<br>known to differ" : ""}`), marker: { size: 5, opacity: 0.8, color: v.fc.map((_, i) => pointColour(v, i)), line: { color: "#111", width: v.true.map((t) => (t > 0 ? 1.2 : 0)) } }, hovertemplate: "%{text}<br>log2FC %{x:.2f}, −log10 P %{y:.1f}<extra></extra>" };
    });
    figure(host, { title: `${chosen.type} in ${pair.dataset}: up orange, down blue`, alt: `Volcano plots of ${chosen.type}; the table below lists the DEGs.`, traces, layout: { ...layout, height: plotHeight + 90, margin: { l: 56, r: 10, t: 30, b: 50 } }, head: ["method", "gene", "log2 fold change", "−log10 P", "detected, case", "detected, control", "known to differ"], rows });
    const thin = plots.some((v) => v.tested > v.gene.length);
    host.append(el("p", { class: "note" }, `Counts are of genes with adjusted P < 0.05 and |log2 fold change| > 0.25. ${plots.some((v) => v.true.some((t) => t > 0)) ? "Ringed genes are known to differ. " : ""}${thin ? "Genes with the smallest P and a sample of the others are shown; figures/ has all." : ""}`));
  }

  /** DEGs by cells and by donors: those of all cells, which all tracks share. */
  function donors(view) {
    const rows = unique(visibleRows(view, "pseudobulk").map((r) => JSON.stringify([r.dataset, r.label, r.cell_type, r.direction, r.n_mast, r.n_pseudobulk, r.n_both]))).map((r) => JSON.parse(r)), head = ["dataset", "method", "cell type", "direction", "by cells", "by donors", "both"];
    const counted = (list) => list.map((r) => [...r.slice(0, 4), ...r.slice(4).map(whole)]);
    const sums = [...groupBy(rows.filter((r) => r[3] === "both"), (r) => `${r[0]}\t${r[1]}`).values()].map((g) => [g[0][0], g[0][1], `${g.length} together`, "both", ...[4, 5, 6].map((k) => g.reduce((s, r) => s + r[k], 0))]);
    $("deg-pseudobulk").replaceChildren(plainTable(head, counted(sums)), el("details", {}, el("summary", {}, `By cell type and direction (${rows.length} rows)`), plainTable(head, counted(rows))));
  }

  const meanOf = (values) => { const defined = values.filter((v) => v !== null && Number.isFinite(v)); return defined.length ? defined.reduce((a, b) => a + b, 0) / defined.length : null; };
  const three = (v) => (v === null || v === undefined || !Number.isFinite(v) ? "–" : v.toFixed(3));

  /** Agreement of disjoint halves of the donors: a row a method, and a row a cell type behind a fold. */
  function halves(view) {
    const rows = visibleRows(view, "halves"), head = ["dataset", "method", "above chance", "ceiling", "found", "floor", "DEGs", "in both"];
    const shown = (r) => [three(r.found), three(r.floor), `${whole(r.n_deg_1)}, ${whole(r.n_deg_2)}`, whole(r.n_common)];
    const means = [...groupBy(rows, (r) => `${r.dataset}\t${r.label}`).values()].map((g) => {
      const mean = Object.fromEntries(["overlap", "overlap_raw", "found", "floor", "n_deg_1", "n_deg_2", "n_common"].map((name) => [name, meanOf(g.map((r) => r[name]))]));
      const counts = Math.max(0, mean.overlap_raw);
      return [g[0].dataset, g[0].label, three(mean.overlap), three((2 * counts) / (1 + counts)), ...shown(mean), whole(g.length)];
    });
    const every = rows.map((r) => [r.dataset, r.label, r.low == null ? three(r.overlap) : `${three(r.overlap)} [${three(r.low)}, ${three(r.high)}]`, three(r.ceiling), ...shown(r), r.cell_type]);
    $("deg-halves").replaceChildren(plainTable([...head, "cell types"], means), el("details", {}, el("summary", {}, `By cell type (${rows.length} rows)`), plainTable([...head, "cell type"], every)));
  }

  /** Tests of donors on the counts of each dataset: a row a test, cell types behind a fold. */
  function donorTests() {
    const rows = rowsOf(state.task, "donorTests"), head = (types) => ["dataset", "test", "of", types, "genes tested", "called", "precision", "recall", "FDR", "AUPRC", "not tested because", "packages (licence)"];
    const shown = (r, types) => [r.dataset, r.test, r.unit, types, whole(r.n_tested), whole(r.n_called), three(r.precision), three(r.recall), three(r.fdr), three(r.auprc), r.reason || "–", r.packages || "–"];
    const pooled = rows.filter((r) => r.cell_type === "all"), every = rows.filter((r) => r.cell_type !== "all");
    const together = pooled.map((r) => { const types = every.filter((e) => e.dataset === r.dataset && e.test === r.test); return shown(r, `${types.filter((e) => !e.reason).length} of ${types.length}`); });
    $("deg-donor-tests").replaceChildren(plainTable(head("cell types"), together), el("details", {}, el("summary", {}, `By cell type (${every.length} rows)`), plainTable(head("cell type"), every.map((r) => shown(r, r.cell_type)))));
  }

  /** Why there is no number: a row a cell type and reason, with the methods that it holds for. */
  function leftOut(view) {
    const rows = visibleRows(view, "leftOut").map((r) => { const match = /^overlap \((\w+)\) (.*)$/.exec(r.reason); return { ...r, reason: match ? `overlap ${match[2]}` : r.reason, direction: match ? match[1] : "" }; }), labels = unique(rows.map((r) => r.label)).length;
    const table = [...groupBy(rows, (r) => [r.dataset, r.track, r.cell_type, r.reason].join("\t")).values()].map((g) => { const who = unique(g.map((r) => r.label)); return [g[0].dataset, g[0].track, g[0].cell_type, g[0].reason, unique(g.map((r) => r.direction).filter(Boolean)).join(", ") || "–", who.length === labels && !g[0].direction ? "all" : who.join(", ")]; });
    $("deg-left-out").replaceChildren(plainTable(["dataset", "track", "cell type", "why", "direction", "method"], table));
  }

  function draw() {
    const view = last, has = (name) => visibleRows(view, name).length;
    for (const node of document.querySelectorAll("[data-deg]")) node.hidden = node.dataset.deg === "volcano" ? !plotsOf(view).length : node.dataset.deg === "donorTests" ? !view.task.deg.donorTests : !has(node.dataset.deg) && !(node.dataset.deg === "null" && has("qq"));
    if (has("overlap")) { heat(view); curves(view); }
    if (has("boxes")) boxes(view);
    if (has("null")) calibration(view);
    lines(view, "qq", "deg-qq", { x: "expected", y: "observed", title: "P values on null data", words: ["expected −log10 P", "observed −log10 P"], diagonal: true, pair: chosen.nullPair, most: CAP });
    if (has("truth")) truth(view);
    pairOf("deg-truth-pair", "truthPair", visibleRows(view, "pr"));
    lines(view, "pr", "deg-pr", { x: "recall", y: "precision", title: "Precision and recall of the ranked genes", words: ["recall", "precision"], pair: chosen.truthPair });
    if (plotsOf(view).length) volcano(view);
    donors(view);
    if (has("halves")) halves(view);
    if (view.task.deg.donorTests) donorTests();
    leftOut(view);
  }

  for (const [id, key] of [["deg-test", "test"], ["deg-direction", "direction"], ["deg-ratio", "ratio"], ["deg-pair", "pair"], ["deg-box-pair", "boxPair"], ["deg-null-pair", "nullPair"], ["deg-truth-pair", "truthPair"], ["volcano-pair", "volcanoPair"], ["volcano-type", "type"], ["deg-alpha", "alpha"]]) $(id)?.addEventListener("change", (event) => { chosen[key] = event.target.value; draw(); });
  addView((view) => {
    last = view;
    if (showSection("deg", Object.keys(view.task.deg).length + view.task.volcanoes.length)) draw();
  });
})();
