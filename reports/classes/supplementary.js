// Supplementary Table 4: a table a level, its datasets one after the other, a row a method, and what the paper reports beside it.
(() => {
  "use strict";
  const { el, $, number, traced, noted, reported, count, groupBy, column, addView } = window.benchReport;
  if (!$("supplementary")) return;
  const OURS = "this run";
  const sorted = { by: "", down: true };
  let last = null;

  /** The rows of the task, made once: the page's tables are stored by column. */
  const made = new WeakMap();
  function rowsOf(table) {
    if (!made.has(table)) {
      const columns = Object.fromEntries(Object.entries(table.rows).map(([k, v]) => [k, column(v)]));
      made.set(table, columns.label.map((_, i) => Object.fromEntries(Object.keys(columns).map((k) => [k, columns[k][i]]))));
    }
    return made.get(table);
  }

  const baseName = (label) => label.replace(/ \(.*=.*\)$/s, "");
  const study = (dataset) => dataset.toLowerCase().replace(/\.(h5ad|h5|zarr)$/, "");
  const present = (list) => list.filter((v) => v !== null && v !== undefined);
  const span = (values) => (Math.min(...values) === Math.max(...values) ? reported(values[0]) : `${reported(Math.min(...values))} to ${reported(Math.max(...values))}`);

  /** What the paper reports for a method and metric: on the same study where it has that, else over all of its studies. */
  function paper(rows, row, metric) {
    const ofMethod = rows.filter((r) => r.source !== OURS && r.track === row.track && r.label === baseName(row.label));
    const same = ofMethod.filter((r) => study(r.dataset) === study(row.dataset));
    const used = (same.length ? same : ofMethod).filter((r) => r[metric] !== null && r[metric] !== undefined);
    if (!used.length) return null;
    return { low: Math.min(...used.map((r) => r[metric])), text: span(used.map((r) => r[metric])), title: used.map((r) => `${r.dataset} ${reported(r[metric])}`).join(", ") };
  }

  /** Over the rows of a dataset: what they rest on, and what a reader must mind (all of a note on hover). */
  function heading(dataset, rows, width) {
    const notes = [...new Set(rows.flatMap((r) => (r.note || "").split("; ")).filter(Boolean))], done = rows.filter((r) => r.status === "ok");
    const most = (name) => Math.max(0, ...present(done.map((r) => r[name])));
    const several = most("splits") > 1 ? ` in ${count(most("splits"), "split")}` : "";
    const rests = [`${several ? "about " : ""}${count(most("cells"), "tested cell")}${several ? " a split" : ""}`, most("donors") > 0 ? `${count(most("donors"), "tested donor")}${several}` : "", most("trials") > 1 ? `mean of ${count(most("trials"), "trial")}` : ""];
    return el("tr", { class: "on" }, el("th", { scope: "rowgroup", colspan: width }, el("div", {}, el("b", {}, dataset), " ", el("small", {}, rests.filter(Boolean).join(", ")), ...notes.map((note) => el("button", { type: "button", class: "flag", "data-note": note }, note.split(":")[0])))));
  }

  /** Columns of a level: what sorts them, what heads them and what a cell shows. */
  function columnsOf(table, rows, best) {
    const metrics = Object.entries(table.metrics).map(([name, words]) => ({ name, words, of: (r) => r[name], cell: (r) => score(r, name, best) }));
    const group = `${table.headline}_tie_group`, shared = (r) => rows.filter((o) => o.dataset === r.dataset && o[group] === r[group]).length > 1;
    metrics.splice(1, 0, { name: "tie", words: "Tie group", of: (r) => r[group] ?? null, cell: (r) => el("td", { class: "num" }, r[group] ? `${r[group]}${shared(r) ? " =" : ""}` : "–") });
    const papers = present(["f1_macro", "f1_macro_union", "f1_micro", "f1_weighted"].map((name) => (rows.some((r) => paper(last.rows, r, name)) ? name : null)));
    return [
      { name: "label", words: "Method", of: (r) => r.label, cell: (r) => el("th", { scope: "row" }, r.label, r.role === "method" ? "" : el("small", {}, ` ${r.role === "trap" ? "trivial baseline" : r.role}`)) },
      ...metrics,
      { name: "difference", words: "Against the highest, same cells", of: (r) => r.difference, cell: against },
      ...papers.map((name) => ({ name: `paper ${name}`, words: table.metrics[name], paper: true, of: (r) => paper(last.rows, r, name)?.low ?? null, cell: (r) => { const v = paper(last.rows, r, name); return el("td", { class: "num reported", ...noted(v?.title) }, v ? v.text : "–"); } })),
    ];
  }

  /** A value with its interval; bold where it is the highest of its dataset, = where it is not separated from that. */
  function score(r, name, best) {
    const v = r[name], low = r[`${name}_ci_low`], high = r[`${name}_ci_high`], group = r[`${name}_tie_group`];
    if (v === null || v === undefined) return el("td", { class: "num" }, r.status === "ok" ? "n/a" : "–");
    const top = r.role === "method" && v === best.get(`${r.dataset}\t${name}`), tied = group === 1 && best.get(`${r.dataset}\t${name}\tgroup`) > 1;
    return el("td", { class: top ? "num best" : "num", ...traced(r.track, r.dataset, r.label, name, "", "pooled") }, `${number(v)}${tied ? " =" : ""}`, low === null || low === undefined ? "" : el("small", {}, `[${number(low)}, ${number(high)}]`));
  }

  function against(r) {
    if (r.difference === null || r.difference === undefined) return el("td", { class: "num" }, r.best_here ? "highest" : "–");
    const words = `minus ${r.best}: bootstrap p ${number(r.p_holm)} (Holm), McNemar p ${number(r.p_mcnemar_holm)} (Holm)`;
    return el("td", { class: "num", ...noted(words) }, `${r.difference > 0 ? "+" : ""}${number(r.difference)}${r.testable && r.p_holm < 0.05 ? " *" : ""}${r.p_mcnemar_holm < 0.05 ? " ◦" : ""}`, el("small", {}, `[${number(r.difference_low)}, ${number(r.difference_high)}]`));
  }

  /** Highest value of each dataset and metric, and how many share its tie group. */
  function bestOf(table, rows) {
    const best = new Map();
    for (const [dataset, list] of groupBy(rows, (r) => r.dataset)) for (const name of Object.keys(table.metrics)) {
      const first = list.filter((r) => r[`${name}_tie_group`] === 1), most = Math.max(...list.map((r) => r.splits ?? 0));
      const values = present((first.length ? first : list.filter((r) => r.role === "method" && r.splits === most)).map((r) => r[name]));
      best.set(`${dataset}\t${name}`, Math.max(...values));
      best.set(`${dataset}\t${name}\tgroup`, first.length);
    }
    return best;
  }

  function inOrder(rows, by) {
    if (!by) return rows;
    const sign = sorted.down ? -1 : 1, empty = (v) => v === null || v === undefined || v === "";
    return [...rows].sort((a, b) => {
      const x = by.of(a), y = by.of(b);
      if (empty(x) || empty(y)) return empty(x) - empty(y);
      return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
    });
  }

  function level(table, track, rows, papers) {
    const columns = columnsOf(table, rows, bestOf(table, rows)), paper = columns.filter((c) => c.paper).length, before = columns.findIndex((c) => c.paper);
    const head = columns.map((c) => {
      const button = el("button", { type: "button" }, c.words);
      button.addEventListener("click", () => {
        sorted.down = sorted.by === c.name ? !sorted.down : !["label", "tie"].includes(c.name);
        sorted.by = c.name;
        draw();
        $(`supplementary-${track}`).querySelector("th[aria-sort] button")?.focus();
      });
      return el("th", { scope: "col", class: c.paper ? "reported" : null, "aria-sort": sorted.by === c.name ? (sorted.down ? "descending" : "ascending") : null }, button);
    });
    const over = paper ? el("tr", {}, el("td", { colspan: before }), el("th", { scope: "colgroup", colspan: paper, class: "reported" }, "Reported, not run ", el("small", {}, "other data and labels")), el("td", { colspan: columns.length - before - paper })) : "";
    const line = (r) => el("tr", { class: r.role === "method" ? null : "control" }, ...(r.status === "ok" ? columns.map((c) => c.cell(r)) : [columns[0].cell(r), el("td", { colspan: columns.length - 1, class: "why" }, r.status.replace("_", " "))]));
    const by = columns.find((c) => c.name === sorted.by);
    const bodies = [...groupBy(rows, (r) => r.dataset)].map(([dataset, list]) => el("tbody", {}, heading(dataset, list, columns.length), ...inOrder(list, by).map(line)));
    return el("div", { id: `supplementary-${track}` }, el("h3", {}, track),
      el("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": `Supplementary Table 4, ${track}` }, el("table", { class: "data s4" }, el("thead", {}, over, el("tr", {}, ...head)), ...bodies)),
      papers.length ? paperRows(table, track, papers) : "");
  }

  /** The paper's own rows of this level, all of its studies. */
  function paperRows(table, track, papers) {
    const names = Object.keys(table.metrics).filter((name) => papers.some((r) => r[name] !== null && r[name] !== undefined));
    const head = ["Study", "Method", ...names.map((name) => table.metrics[name])].map((words) => el("th", { scope: "col" }, words));
    const body = papers.map((r) => el("tr", { class: "reported" }, el("td", {}, r.dataset), el("th", { scope: "row" }, r.label), ...names.map((name) => el("td", { class: "num" }, r.status !== "ok" ? "not run" : present([r[name]]).length ? reported(r[name]) : "–"))));
    return el("details", {}, el("summary", {}, `The paper's rows of ${track} (${papers.length})`), el("p", { class: "note" }, `${papers[0].source}.`), el("div", { class: "scroll tall", tabindex: "0" }, el("table", { class: "data s4" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body))));
  }

  function draw() {
    const { view, table } = last, pairs = new Set(view.pairs.map((p) => p.join("/"))), labels = new Set(view.labels.map((l) => l.label));
    const ours = last.rows.filter((r) => r.source === OURS && pairs.has(`${r.track}/${r.dataset}`) && labels.has(r.label));
    for (const r of ours) r.best_here = ours.some((o) => o.best === r.label && o.dataset === r.dataset && o.track === r.track);
    const tracks = [...groupBy(ours, (r) => r.track)];
    const open = new Set([...$("supplementary-view").querySelectorAll("details[open]")].map((d) => d.parentElement.id));
    $("supplementary-view").replaceChildren(...(tracks.length ? tracks.map(([track, rows]) => level(table, track, rows, last.rows.filter((r) => r.source !== OURS && r.track === track))) : [el("p", { class: "empty" }, "Nothing to show for this choice.")]));
    for (const id of open) { const more = $(id)?.querySelector("details"); if (more) more.open = true; }
  }

  addView((view) => {
    const table = view.task.supplementary;
    $("supplementary").hidden = !table;
    if (!table) return;
    last = { view, table, rows: rowsOf(table) };
    draw();
  });
})();
