// Maps of imputed cells on plain canvases (many thousand points), and agreement with the labels over resolutions.
(() => {
  "use strict";
  const { el, $, number, whole, figure, escape, multiples, pairName, fillSelect, showSection, legendHeight, lineOf, addView } = window.benchReport;
  const GRID = 999, SIZE = 440, chosen = { pair: "", colour: "", level: "", word: null };
  let last = null;
  const visiblePairs = (view) => { const pairs = new Set(view.pairs.map((p) => p.join("/"))); return view.task.integration.pairs.filter((p) => pairs.has(`${p.track}/${p.dataset}`)); };
  const title = (best) => (best ? `NMI ${number(best.nmi)}, ARI ${number(best.ari)}` : "");

  function maps(view) {
    const pairs = visiblePairs(view).filter((p) => p.shown), byName = new Map(pairs.map((p) => [pairName([p.track, p.dataset]), p])), host = $("map-view");
    chosen.pair = fillSelect($("map-pair"), [...byName.keys()], chosen.pair);
    const p = byName.get(chosen.pair), words = new Map((p?.colourings || []).map(([name, w]) => [w, name]));
    chosen.colour = fillSelect($("map-colour"), [...words.keys()], chosen.colour);
    if (!p) { $("map-legend").replaceChildren(); $("map-note").textContent = ""; return host.replaceChildren(el("p", { class: "empty" }, "No maps for this choice.")); }
    const by = words.get(chosen.colour), labels = view.labels.map((l) => l.label).filter((l) => p.maps[l]);
    $("map-note").textContent = p.shown < p.cells ? `${p.shown.toLocaleString("en")} of ${p.cells.toLocaleString("en")} cells, drawn at random, to keep this file small; figures/ has all.` : `All ${p.cells.toLocaleString("en")} cells.`;
    legend(p, by);
    host.replaceChildren(...labels.map((label) => {
      const canvas = el("canvas", { width: SIZE, height: SIZE, role: "img", "aria-label": `UMAP of ${p.shown} cells after ${label}${by ? `, coloured by ${chosen.colour}` : ""}. ${title(p.best[label]?.[by])}` });
      paint(canvas, p, label, by);
      return el("figure", {}, el("figcaption", {}, el("b", {}, label), el("small", {}, title(p.best[label]?.[by]) || "\u00a0")), canvas);
    }));
  }

  /** Names of what is coloured; pressing one keeps its colour and greys all else. */
  function legend(p, by) {
    const words = by ? p.labels[by].words : [];
    if (!words.includes(chosen.word)) chosen.word = null;
    $("map-legend").replaceChildren(...words.map((word) => {
      const key = el("button", { type: "button", "aria-pressed": String(chosen.word === word) }, el("i", { style: `background:${p.colours[by][word]}` }), word);
      key.addEventListener("click", () => { chosen.word = chosen.word === word ? null : word; maps(last); });
      return key;
    }));
  }

  function paint(canvas, p, label, by) {
    const pen = canvas.getContext("2d"), { x, y } = p.maps[label], codes = by ? p.labels[by].codes : null, words = by ? p.labels[by].words : [];
    const at = (v) => 8 + (v / GRID) * (SIZE - 16), radius = x.length > 1500 ? 2.2 : x.length > 500 ? 3 : 4;
    const order = chosen.word === null ? x.map((_, i) => i) : [...x.keys()].sort((a, b) => (words[codes[a]] === chosen.word) - (words[codes[b]] === chosen.word));
    pen.globalAlpha = 0.75;
    for (const i of order) {
      if (x[i] === null) continue;
      const word = codes ? words[codes[i]] : null;
      pen.fillStyle = !codes ? "#56758A" : chosen.word !== null && word !== chosen.word ? "#e3e6e8" : p.colours[by][word];
      pen.beginPath();
      pen.arc(at(x[i]), SIZE - at(y[i]), radius, 0, 7);
      pen.fill();
    }
  }

  function resolutions(view, column, words) {
    const host = $(`resolutions-${column}`), level = chosen.level, rows = [], inLegend = new Set();
    const pairs = visiblePairs(view).filter((p) => view.labels.some((l) => p.resolutions[l.label]?.[level]));
    const { axes, layout, plotHeight } = multiples(pairs.map((p) => pairName([p.track, p.dataset])), host, { height: 210, xaxis: { title: { text: "resolution", standoff: 4 }, rangemode: "tozero" }, yaxis: { title: { text: words, standoff: 6 }, rangemode: "tozero" } });
    const traces = pairs.flatMap((p, k) => view.labels.map((l) => l.label).filter((l) => p.resolutions[l]?.[level]).map((label) => {
      const r = p.resolutions[label][level], style = view.style[label], line = lineOf(view, label, 1.5), first = !inLegend.has(label) && !view.faint.has(label);
      if (first) inLegend.add(label);
      r.resolution.forEach((v, i) => rows.push([p.track, p.dataset, label, v, r.nmi[i], r.ari[i], r.n_clusters[i] === null ? null : whole(r.n_clusters[i])]));
      return { type: "scatter", meta: [p.track, p.dataset, label], mode: "lines+markers", x: r.resolution, y: r[column], name: escape(label), legendgroup: label, showlegend: first, ...axes[k], text: r.n_clusters.map((n) => `${whole(n)} clusters`), line, marker: { color: line.color, symbol: style.symbol, size: 5 }, hovertemplate: `${escape(label)}<br>resolution %{x}<br>${words} %{y:.3f}, %{text}<extra></extra>` };
    }));
    const below = legendHeight([...inLegend, ""], host.clientWidth || 1000);
    figure(host, { title: `${words} over resolutions (${level.replace("_", " ")})`, alt: `${words} over resolutions, a line a method; the table below has the numbers.`, traces, layout: { ...layout, height: plotHeight + 95 + below, margin: { l: 56, r: 10, t: 30, b: 65 + below }, legend: { orientation: "h", y: -52 / plotHeight, yanchor: "top", font: { size: 11 }, itemwidth: 30 } },
      head: ["track", "dataset", "method", "resolution", "NMI", "ARI", "clusters"], rows });
  }

  function draw() {
    maps(last);
    chosen.level = fillSelect($("resolution-level"), last.task.integration.levels, chosen.level);
    resolutions(last, "nmi", "NMI");
    resolutions(last, "ari", "ARI");
  }

  for (const [id, key] of [["map-pair", "pair"], ["map-colour", "colour"], ["resolution-level", "level"]]) $(id)?.addEventListener("change", (event) => { chosen[key] = event.target.value; draw(); });
  addView((view) => {
    last = view;
    if (showSection("integration", view.task.integration.pairs.length)) draw();
  });
})();
