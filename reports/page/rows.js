// The full table and that of the trials: long tables, a page at a time, that sort and can be searched.
(() => {
  "use strict";
  const { data, state, R, trials, el, $, number, whole, seedName, groupBy, traced, pairsOf, onPaper, plainTable, addView } = window.benchReport;

  /** A table of `columns` ({name, words, value, show?, kind?, down?}); `show(items)` fills it. */
  function paged(host, label, columns) {
    const table = { all: [], items: [], sort: "", down: false, page: 0, size: 25, text: "" };

    function draw() {
      const wanted = table.text.toLowerCase().split(/\s+/).filter(Boolean), by = columns.find((c) => c.name === table.sort);
      const match = (item) => { const text = columns.map((c) => c.value(item)).join(" ").toLowerCase(); return wanted.every((w) => text.includes(w)); };
      table.items = wanted.length ? table.all.filter(match) : [...table.all];
      if (by) {
        const sign = table.down ? -1 : 1;
        table.items.sort((a, b) => {
          const x = by.value(a), y = by.value(b);
          if (x === null || y === null) return (x === null) - (y === null);
          return sign * (typeof x === "number" ? x - y : String(x).localeCompare(String(y)));
        });
      }
      // paper cannot be turned over by a button
      const size = onPaper() ? 100 : table.size, pages = Math.max(1, Math.ceil(table.items.length / size));
      table.page = Math.min(table.page, pages - 1);
      const start = table.page * size, slice = table.items.slice(start, start + size);
      const head = columns.map((c) => {
        const button = el("button", { type: "button" }, c.words);
        button.addEventListener("click", () => {
          table.down = table.sort === c.name ? !table.down : Boolean(c.down);
          table.sort = c.name;
          draw();
          host.querySelector("th[aria-sort] button").focus();
        });
        return el("th", { scope: "col", class: c.kind, "aria-sort": table.sort === c.name ? (table.down ? "descending" : "ascending") : null }, button);
      });
      const text = (c, item) => { if (c.show) return c.show(item); const v = c.value(item); return typeof v === "number" ? number(v) : v ?? "–"; };
      const body = slice.map((item) => el("tr", {}, ...columns.map((c) => el("td", { class: c.kind, ...(c.trace ? c.trace(item) : {}) }, String(text(c, item))))));
      const step = (words, delta, off) => { const b = el("button", { type: "button", disabled: off }, words); b.addEventListener("click", () => { table.page += delta; draw(); }); return b; };
      const sizes = el("select", { "aria-label": `Rows a page of the ${label.toLowerCase()}` }, ...[25, 100, 500].map((n) => el("option", { value: n, selected: n === table.size }, `${n} rows`)));
      sizes.addEventListener("change", () => { table.size = Number(sizes.value); table.page = 0; draw(); });
      const of = table.items.length ? `${(start + 1).toLocaleString("en")}–${(start + slice.length).toLocaleString("en")} of ${table.items.length.toLocaleString("en")}` : "no rows";
      host.replaceChildren(
        el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Rows: ${label}` }, el("table", { class: "data" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body))),
        pages > 1 || table.items.length > 25 ? el("div", { class: "pager" }, step("Previous", -1, table.page === 0), el("span", { "aria-live": "polite" }, of), step("Next", 1, table.page >= pages - 1), sizes) : el("p", { class: "pager" }, of));
    }

    return { table, show: (items) => { table.all = items; table.page = 0; draw(); }, search: (text) => { table.text = text; table.page = 0; draw(); } };
  }

  // ---- every value
  const OF_ROW = new Set(["unit", "metric", "value", "ci_low", "ci_high", "n", "detail"]);
  const CSV = Object.keys(data.trials).filter((k) => k !== "label" && k !== "detail").concat([...OF_ROW]);
  /** A row of the results; a trial without scores has one without metric. */
  const value = (item, name) => {
    if (name === "seed") return seedName(item.t);
    if (OF_ROW.has(name)) return item.i >= 0 ? R[name][item.i] ?? (name === "detail" ? "" : null) : name === "detail" ? item.t.detail : null;
    return item.t[name];
  };
  const column = (name, words, more = {}) => ({ name, words, value: (item) => value(item, name), ...more });
  const full = paged($("table-view"), "Full table", [
    column("track", "Track"), column("dataset", "Dataset"), column("label", "Method"), column("seed", "Seed"), column("unit", "Unit"), column("metric", "Metric"),
    column("value", "Value", { down: true, trace: ({ i, t }) => traced(t.track, t.dataset, t.label, i >= 0 ? R.metric[i] : "", "", i >= 0 ? R.unit[i] : "") }),
    column("ci_low", "CI low"), column("ci_high", "CI high"), column("n", "Cells", { show: (item) => whole(value(item, "n")) }), column("status", "Status"), column("wall_s", "Wall (s)", { down: true }), column("rss_peak_mb", "Memory (MB)", { down: true }), column("detail", "Detail", { kind: "detail" }),
  ]);
  const allItems = (list, rows) => {
    const scored = rows.map((i) => ({ i, t: trials[R.trial[i]] })), done = new Set(scored.map((s) => s.t));
    return [...scored, ...list.filter((t) => t.status !== "ok" && !done.has(t)).map((t) => ({ i: -1, t }))];
  };
  let last = null;
  function fullTable(view) {
    last = view;
    const extent = $("extent").value;
    full.show(allItems(view.trials, view.rows.filter((i) => extent === "all" || (R.unit[i] === state.unit && (extent === "unit" || R.metric[i] === state.metric)))));
  }

  function download(items, name) {
    // a text that a spreadsheet would run has an apostrophe before it, as in results.csv
    const quote = (v) => { const s = v === null || v === undefined ? "" : typeof v === "string" && /^[=+\-@\t\r]/.test(v) ? `'${v}` : String(v); return /[",\n\r]/.test(s) ? `"${s.replaceAll('"', '""')}"` : s; };
    const lines = [CSV.join(","), ...items.map((item) => CSV.map((c) => quote(value(item, c))).join(","))];
    const link = el("a", { href: URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" })), download: name });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  // ---- every trial
  const ofTrial = (name, words, more = {}) => ({ name, words, value: (t) => t[name], ...more });
  const list = paged($("trials-view"), "Trials", [
    { name: "label", words: "Method", value: (t) => t.label, trace: (t) => traced(t.track, t.dataset, t.label) }, ofTrial("track", "Track"), ofTrial("dataset", "Dataset"),
    { name: "seed", words: "Seeds (split.sim.method)", value: seedName }, { name: "params", words: "Parameters", kind: "detail", value: (t) => pairsOf(t.params, "=") || "–" }, { name: "status", words: "Status", value: (t) => t.status.replace("_", " ") },
    ofTrial("cpu_s", "CPU (s)", { down: true }), ofTrial("rss_peak_mb", "Memory (MB)", { down: true }), ofTrial("device", "Device", { kind: "screen" }), ofTrial("threads", "Threads", { kind: "screen", show: (t) => whole(t.threads) }), ofTrial("load", "Load", { kind: "screen" }),
    { name: "versions", words: "Versions", kind: "detail screen", value: (t) => pairsOf(t.versions, " ") || "–" }, { name: "trial", words: "Trial", kind: "hash", value: (t) => `trials/${t.trial}` }, ofTrial("problem", "Problem", { kind: "hash", show: (t) => t.problem || "–" }),
  ]);

  $("search").addEventListener("input", (event) => full.search(event.target.value));
  $("extent").addEventListener("change", () => fullTable(last));
  $("csv-shown").addEventListener("click", () => download(full.table.items, "results_shown.csv"));
  $("csv-all").addEventListener("click", () => download(allItems(trials, R.trial.map((_, i) => i)), "results.csv"));
  $("left-out").textContent = data.rowsLeftOut;

  addView(fullTable);
  /** On paper trials that differ only in their seeds, track or dataset are one row. */
  function summary(view) {
    const some = (g, of) => { const all = [...new Set(g.map(of))]; return all.length > 4 ? `${all.slice(0, 3).join(", ")} and ${all.length - 3} more` : all.join(", "); };
    const versions = view.trials.map((t) => JSON.parse(t.versions || "{}")), common = Object.entries(versions[0] || {}).filter(([k, v]) => versions.every((x) => x[k] === v));
    const others = (text) => Object.entries(JSON.parse(text || "{}")).filter(([k]) => !common.some(([name]) => name === k)).map((pair) => pair.join(" ")).join(", ") || "–";
    const rows = [...groupBy(view.trials, (t) => [t.label, t.params, t.versions].join("\t")).values()].map((g) => [g[0].label, pairsOf(g[0].params, "=") || "–", others(g[0].versions), some(g, seedName), some(g, (t) => t.track), some(g, (t) => t.dataset), String(g.length)]);
    const words = common.length ? `All with ${common.map((pair) => pair.join(" ")).join(", ")}.` : "";
    return [el("p", { class: "note" }, words), plainTable(["method", "parameters", "other versions", "seeds", "tracks", "datasets", "trials"], rows)];
  }
  addView((view) => {
    if (onPaper()) $("trials-view").replaceChildren(...summary(view));
    else list.show(view.trials);
  });
})();
