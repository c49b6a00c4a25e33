// Cells and genes as pre-trained models see them. These maps belong to the run, not to a task: no filter changes them.
(() => {
  "use strict";
  const { data, el, percent, figure, escape, column } = window.benchReport;
  const BARE = { showgrid: false, zeroline: false, showticklabels: false, ticks: "", linecolor: "#b9c1c7" };
  const layoutOf = (names) => ({
    height: 520 + 19 * Math.ceil(names / 3), margin: { l: 34, r: 10, t: 10, b: 40 + 19 * Math.ceil(names / 3) },
    xaxis: { ...BARE, title: { text: "UMAP 1", standoff: 6 } }, yaxis: { ...BARE, title: { text: "UMAP 2", standoff: 6 } },
    legend: { orientation: "h", y: -0.07, yanchor: "top", font: { size: 11 }, itemwidth: 30, itemsizing: "constant" },
  });

  function drawCells(embedding, by, host) {
    const { x, y } = embedding.cells, values = by ? column(embedding.cells[by]) : x.map(() => "cells");
    const colours = by ? embedding.colours[by] : { cells: "#56758A" };
    const labels = embedding.colourings.map(([name, words]) => [words, column(embedding.cells[name])]);
    const at = new Map(Object.keys(colours).map((name) => [name, []]));
    values.forEach((value, i) => at.get(value).push(i));
    const size = x.length > 4000 ? 3 : 4;
    const traces = [...at].map(([name, indices]) => ({
      type: "scatter", mode: "markers", name: escape(name), x: indices.map((i) => x[i]), y: indices.map((i) => y[i]), showlegend: Boolean(by),
      marker: { size, color: colours[name], opacity: 0.8 }, text: indices.map((i) => labels.map(([words, list]) => `${words} ${escape(list[i])}`).join("<br>")), hovertemplate: "%{text}<extra></extra>",
    }));
    const words = by ? embedding.colourings.find(([name]) => name === by)[1] : "";
    figure(host, { title: by ? `Cells by ${words}` : "Cells", alt: `UMAP of ${x.length} cells of ${embedding.dataset}${by ? `, coloured by ${words}` : ""}; the table below counts them.`, traces,
      layout: layoutOf(by ? at.size : 0), head: [words || "", "cells shown", "share"], rows: [...at].map(([name, indices]) => [name, String(indices.length), percent(indices.length / x.length)]) });
  }

  function drawGenes(embedding, host) {
    const { x, y, label } = embedding.genes, names = column(label);
    const all = { type: "scatter", mode: "markers", name: "other genes", x, y, text: names.map(escape), hovertemplate: "%{text}<extra></extra>", marker: { size: 3, color: "#d0d6da" } };
    const kinds = [...new Set(embedding.markers.map((m) => m.marker_of))];
    const traces = [all, ...kinds.map((kind) => {
      const of = embedding.markers.filter((m) => m.marker_of === kind);
      return { type: "scatter", mode: "markers", name: `${escape(kind)} markers`, x: of.map((m) => m.x), y: of.map((m) => m.y), text: of.map((m) => escape(m.label)), hovertemplate: `%{text}<br>${escape(kind)}<extra></extra>`, marker: { size: 7, color: of[0].colour, line: { color: "#fff", width: 0.5 } } };
    })];
    const annotations = embedding.markers.map((m) => ({ x: m.x, y: m.y, ax: m.ax, ay: m.ay, text: escape(m.label), font: { size: 10, color: m.colour }, showarrow: true, arrowhead: 0, arrowwidth: 0.7, arrowcolor: m.colour, standoff: 3, borderpad: 0 }));
    figure(host, { title: "Gene vectors", alt: `UMAP of ${x.length + embedding.markers.length} gene vectors of ${embedding.model} with ${embedding.markers.length} marker genes named; the table below lists the markers.`, traces,
      layout: { ...layoutOf(3), annotations }, head: ["marker of", "symbol", "gene", "UMAP 1", "UMAP 2"], rows: embedding.markers.map((m) => [m.marker_of, m.label, m.gene, m.x, m.y]) });
  }

  document.addEventListener("DOMContentLoaded", () => data.embeddings.forEach((embedding, i) => {
    const view = document.getElementById(`embedding-${i}`);
    const cells = el("div"), genes = el("div"), maps = el("div", { class: "maps" }, cells, genes);
    if (embedding.colourings.length > 1) {
      const choices = embedding.colourings.map(([name, words], k) => el("label", {}, el("input", { type: "radio", name: `colour-${i}`, value: name, checked: !k }), ` ${words}`));
      const field = el("fieldset", { class: "segmented" }, el("legend", {}, "Colour cells by"), ...choices);
      field.addEventListener("change", (event) => drawCells(embedding, event.target.value, cells));
      view.append(field);
    }
    view.append(maps);
    if (embedding.cells.x.length) drawCells(embedding, embedding.colourings.length ? embedding.colourings[0][0] : "", cells);
    else cells.append(el("p", { class: "empty" }, "No cell has an embedding."));
    drawGenes(embedding, genes);
  }));
})();
