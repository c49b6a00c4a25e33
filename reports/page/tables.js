// The heat map, ranks and published numbers: HTML tables, so that they read, print and copy as text.
(() => {
  "use strict";
  const { state, el, linked, $, number, reported, count, groupBy, trapOf, redraw, traced, noted, addView } = window.benchReport;
  const VIRIDIS = [[68, 1, 84], [72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44], [253, 231, 37]];

  /** Black or white: what reads better on a colour. */
  function inkOn(rgb) {
    const linear = rgb.map((v) => (v / 255 <= 0.03928 ? v / 3294.6 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 ? "#000" : "#fff";
  }

  function colour(s) {
    const x = Math.min(Math.max(s, 0), 1) * (VIRIDIS.length - 1), i = Math.min(Math.floor(x), VIRIDIS.length - 2), f = x - i;
    const rgb = VIRIDIS[i].map((v, k) => Math.round(v + f * (VIRIDIS[i + 1][k] - v)));
    return `background:rgb(${rgb});color:${inkOn(rgb)}`;
  }

  /** Position between worst (0) and best (1): the metric's range, or that of the values where it has none. */
  function scaled(value, metric, values) {
    const low = metric.low ?? Math.min(...values), high = metric.high ?? Math.max(...values);
    const s = high > low ? (value - low) / (high - low) : 0.5;
    return metric.higher_is_better ? s : 1 - s;
  }

  const beaten = (value, trap, metric) => trap && (metric.higher_is_better ? value <= trap.value : value >= trap.value);
  const entries = (labels) => labels.map((l, i) => ({ ...l, first: l.role !== "method" && i > 0 && labels[i - 1].role === "method" }));
  const tr = (l, ...cells) => el("tr", { class: [l.role !== "method" ? "control" : "", l.first ? "first-control" : ""].join(" ").trim() || null },
    el("th", { scope: "row", ...noted(l.role === "method" ? l.label : `${l.label}: ${l.role} control`) }, l.label), ...cells);

  function heatmap(view) {
    const choice = document.querySelector("#heatmap-metrics input:checked").value;
    const names = choice === "one" ? [state.metric] : choice === "all" ? view.task.metrics.map((m) => m.name) : [...new Set([...view.task.main, state.metric])];
    const metrics = view.task.metrics.filter((m) => names.includes(m.name));
    const status = new Map(view.task.cells.map((c) => [[c.track, c.dataset, c.method].join("\t"), c]));
    const range = new Map(metrics.map((m) => [m.name, m.low === null || m.high === null ? view.pairs.flatMap(([t, d]) => view.labels.map((l) => view.cell(t, d, l.label, m.name)?.value ?? NaN)).filter(Number.isFinite) : []]));
    const host = $("heatmap-view");
    host.classList.toggle("wide", metrics.length > 9);
    const stops = VIRIDIS.map((c) => `rgb(${c})`).join(",");
    $("heatmap-legend").replaceChildren(el("div", { class: "legend" }, "worst", el("i", { style: `background:linear-gradient(90deg,${stops})` }), "best of the metric's range"));
    if (!view.pairs.length || !view.labels.length) return host.replaceChildren(el("p", { class: "empty" }, "Nothing to show for this choice."));
    $("heatmap-terms").replaceChildren(...metrics.flatMap((m) => [el("a", { href: "#glossary", "data-term": m.name }, m.name), `: ${m.summary} `]));
    host.replaceChildren(...view.pairs.map(([track, dataset]) => {
      const title = el("h3", {}, dataset, " ", el("small", {}, track));
      if (!view.labels.some((l) => metrics.some((m) => view.cell(track, dataset, l.label, m.name))))
        return el("div", { class: "panel" }, title, el("p", { class: "empty" }, "No result here for this choice; ", el("a", { href: "#coverage" }, "Coverage"), " says what was tried and why it gave none."));
      const traps = new Map(metrics.map((m) => [m.name, trapOf(view, track, dataset, m)]));
      const body = entries(view.labels).map((l) => tr(l, ...metrics.map((m) =>
        cell(view, { track, dataset, l, m, trap: traps.get(m.name), values: range.get(m.name), status: status.get([track, dataset, baseName(l.label)].join("\t")) }))));
      const head = el("tr", {}, el("td"), ...metrics.map((m) => el("th", { scope: "col", class: m.name === state.metric ? "chosen" : null, "data-term": m.name, tabindex: "-1" }, el("span", {}, m.name))));
      const cols = el("colgroup", {}, el("col", { class: "name" }), ...metrics.map(() => el("col")));
      return el("div", { class: "panel" }, title,
        el("div", { class: "scroll", tabindex: metrics.length > 9 ? "0" : null }, el("table", { class: "heat", "aria-label": `Metrics of each method on ${dataset}, track ${track}` }, cols, el("thead", {}, head), el("tbody", {}, ...body))));
    }));
  }

  const DECLARED = new Set(["not_applicable", "unavailable"]);
  const baseName = (label) => label.replace(/ \(.*=.*\)$/s, "");

  function cell(view, { track, dataset, l, m, trap, values, status }) {
    const c = view.cell(track, dataset, l.label, m.name);
    if (!c) {
      const why = status ? (status.status === "ok" ? `no value for unit ${state.unit}` : status.status.replace("_", " ")) : "not planned";
      const kind = !status || status.status === "ok" ? "undefined" : DECLARED.has(status.status) ? "declared" : "hatched";
      return el("td", { class: kind, ...traced(track, dataset, l.label, m.name, `${l.label}: ${why}`) }, el("span", { class: "unseen" }, why), !status || status.status === "ok" ? "–" : "");
    }
    if (c.value === null) return el("td", { class: "undefined", ...traced(track, dataset, l.label, m.name, `${l.label}, ${m.name}: undefined. ${c.detail || m.undefined}`) }, "n/a");
    const below = !m.neutral && l.role === "method" && beaten(c.value, trap, m);
    const partly = c.partial || (status && status.ok < status.planned && !state.seed);
    const note = [`${l.label}, ${m.name}: ${number(c.value)}`, c.ci ? `95 % interval [${number(c.ci[0])}, ${number(c.ci[1])}]: ${c.how}` : "", c.trials > 1 ? `mean of ${count(c.trials, "trial")} in ${count(c.splits, "split")}, ${number(c.range[0])} to ${number(c.range[1])}` : "", c.partial ? "lacks splits that others have: no fair comparison" : "",
      below ? `does not beat ${trap.label} (${number(trap.value)})` : "", partly ? `${status.ok} of ${status.planned} trials finished` : "", c.detail].filter(Boolean).join("\n");
    return el("td", { style: m.neutral ? null : colour(scaled(c.value, m, values)), class: [partly ? "partial" : "", m.neutral ? "neutral" : ""].join(" ").trim() || null, ...traced(track, dataset, l.label, m.name, note) }, number(c.value), below ? el("span", { class: "trap" }, "▾", el("span", { class: "unseen" }, " does not beat the trap control")) : null);
  }

  function ranks(view) {
    const ranking = view.task.ranks, host = $("ranks-view");
    const tracks = [...new Set(view.pairs.map((p) => p[0]))];
    const visible = new Set(view.labels.map((l) => l.label));
    const blocks = tracks.map((track) => {
      const ofTrack = ranking.policies.filter((r) => r.track === track && r.metric === state.metric && visible.has(r.method));
      if (!ofTrack.length) return null;
      const by = new Map(ofTrack.map((r) => [`${r.method}\t${r.policy}`, r]));
      const n = ofTrack.find((r) => r.policy === "worst").n_datasets;
      const policies = Object.keys(ranking.policyNames);
      const methods = [...new Set(ofTrack.map((r) => r.method))].sort((a, b) => (by.get(`${a}\tworst`).mean_rank - by.get(`${b}\tworst`).mean_rank) || a.localeCompare(b));
      const body = methods.map((m) => el("tr", {}, el("th", { scope: "row" }, m), ...policies.map((p) => {
        const r = by.get(`${m}\t${p}`);
        const tied = ofTrack.filter((o) => o.policy === p && o.tie_group === r.tie_group).length > 1;
        return el("td", { class: r.tie_group === 1 ? "best" : null }, r.mean_rank === null ? "–" : `${tied ? "=" : ""}${r.rank} `, el("small", {}, r.mean_rank === null ? "no result" : `(${r.mean_rank.toFixed(2)})`));
      }), el("td", {}, String(by.get(`${m}\tworst`).n_failed))));
      return el("div", {}, el("h3", {}, track, " ", el("small", {}, `${state.metric}, ${count(n, "dataset")}`)),
        el("div", { class: "scroll" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Method"), ...policies.map((p) => el("th", { scope: "col" }, el("small", {}, "failures as"), ranking.policyNames[p])), el("th", { scope: "col" }, "no value"))), el("tbody", {}, ...body))),
        el("p", { class: "note" }, ranking.notes[track]), tests(ranking, track), within(view, ranking, track));
    }).filter(Boolean);
    const apart = view.pairs.filter((p) => view.task.notCompared[p.join("/")]).map((p) => el("li", {}, `${p.join(" on ")}: ${view.task.notCompared[p.join("/")]}`));
    const unranked = ranking.unranked.length ? el("p", { class: "note" }, `Could not be run here and so not ranked: ${ranking.unranked.join(", ")}.`) : "";
    host.replaceChildren(blocks.length ? el("div", { class: "ranks" }, ...blocks) : el("p", { class: "empty" }, "Ranks are made for the main metrics with at least one result; choose one of them."), apart.length ? el("div", { class: "note" }, "Not ranked:", el("ul", {}, ...apart)) : "", unranked);
  }

  /** Ranks on each dataset by itself, where overlapping intervals make a tie. */
  function within(view, ranking, track) {
    const rows = ranking.within.filter((r) => r.track === track && r.metric === state.metric && r.rank !== null && view.pairs.some((p) => p[0] === track && p[1] === r.dataset) && !state.hidden.has(r.method));
    if (!rows.length) return "";
    const lines = [...groupBy(rows, (r) => r.dataset)].map(([dataset, list]) => {
      const order = [...list].sort((a, b) => a.tie_group - b.tie_group || a.place - b.place);
      const groups = [...groupBy(order, (r) => r.tie_group).values()].map((g) => g.map((r) => r.method));
      const words = list.length === 1 ? `${order[0].method}, the only one with a value` : list.every((r) => r.tie_group === null) ? `by value, without intervals to tell them apart: ${groups.flat().join(", ")}` : groups.map((g) => g.join(" = ")).join(" > ");
      return el("tr", {}, el("th", { scope: "row" }, dataset), el("td", { class: "order" }, words));
    });
    return el("details", { open: true }, el("summary", {}, "On each dataset: = where intervals overlap with the best of the group"), el("table", { class: "plain" }, el("tbody", {}, ...lines)));
  }

  function tests(ranking, track) {
    const rows = ranking.tests.filter((r) => r.track === track && r.metric === state.metric && r.n > 1 && !state.hidden.has(r.method_a) && !state.hidden.has(r.method_b));
    if (!rows.length) return "";
    const star = (r) => (r.testable ? (r.p_holm < 0.05 ? "*" : "not significant") : "withheld");
    const body = rows.map((r) => el("tr", {}, el("td", {}, r.method_a), el("td", {}, r.method_b), el("td", {}, String(r.n)), el("td", { class: "num" }, number(r.difference), " ", el("small", {}, `[${number(r.ci_low)}, ${number(r.ci_high)}]`)), el("td", {}, r.testable ? number(r.p_holm) : "–"), el("td", {}, star(r))));
    const head = ["A", "B", "datasets", "mean A − B [95 % CI]", "p (Holm)", "verdict"].map((h) => el("th", { scope: "col" }, h));
    return el("details", {}, el("summary", {}, `Paired comparisons (${rows.length})`), el("div", { class: "scroll" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body))));
  }

  function published(view) {
    const host = $("published-view");
    if (!view.task.published.length) return host.replaceChildren(el("p", { class: "empty" }, "No published numbers are shipped for this task."));
    host.replaceChildren(...view.task.published.flatMap(({ title, reference, remark, rows }) => {
      const tracks = [...new Set(rows.map((r) => r.track))].filter((t) => !state.track || t === state.track);
      const ofMetric = rows.filter((r) => [r.metric, r.reported_as].includes(state.metric) && tracks.includes(r.track));
      const intro = el("p", { class: "note" }, el("b", {}, "Reported, not run: "), `${title}; `, ...linked(reference), ". Other datasets, labels and settings than ours: the two halves of the table do not compare cell by cell.", remark ? ` ${remark}` : "");
      if (!ofMetric.length) return [intro, el("p", { class: "empty" }, `${title} reports no ${state.metric}${state.track ? ` in track ${state.track}` : ""}.`)];
      // what a paper calls by the chosen name may be another metric of ours: that one is shown then, on both sides
      return [intro, ...tracks.flatMap((track) => [...groupBy(ofMetric.filter((r) => r.track === track), (r) => r.metric)].map(([metric, list]) => side(view, track, metric, list)))];
    }));
  }

  function side(view, track, metric, rows) {
    const ourDatasets = view.pairs.filter((p) => p[0] === track).map((p) => p[1]), reportedDatasets = [...new Set(rows.map((r) => r.dataset))];
    const values = new Map(rows.map((r) => [`${r.method}\t${r.dataset}`, r]));
    const names = view.labels.filter((l) => l.role === "method" && ourDatasets.length).map((l) => l.label);
    names.push(...[...new Set(rows.map((r) => r.method))].filter((m) => !names.includes(m)));
    const notes = [];
    const body = names.map((name) => el("tr", {}, el("th", { scope: "row" }, name),
      ...ourDatasets.map((d) => { const c = view.cell(track, d, name, metric); return el("td", { class: "num", ...traced(track, d, name, metric) }, c ? number(c.value) : "–", c?.ci && view.task.classes.pairs.length ? el("small", {}, ` [${number(c.ci[0])}, ${number(c.ci[1])}]`) : null); }),
      ...reportedDatasets.map((d) => {
        const r = values.get(`${name}\t${d}`);
        if (r?.note) notes.push([`${name}, ${d}`, r.note]);
        return el("td", { class: "num reported", ...noted(r?.note) }, r ? (r.value === null ? "not run" : reported(r.value)) : "–", r?.note ? el("sup", {}, String(notes.length)) : null);
      })));
    const head = [el("th", { scope: "col" }, "Method"), ...ourDatasets.map((d) => el("th", { scope: "col" }, d, " ", el("small", {}, "ours"))), ...reportedDatasets.map((d) => el("th", { scope: "col", class: "reported" }, d, " ", el("small", {}, "reported")))];
    return el("div", {}, el("h3", {}, track, " ", el("small", {}, rows[0].reported_as === metric ? metric : `${metric}, which the paper calls ${rows[0].reported_as}`)), el("div", { class: "scroll", tabindex: "0" }, el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body))),
      ...notes.map(([where, text], i) => el("p", { class: "warning" }, el("sup", {}, String(i + 1)), ` ${where}: ${text}`)));
  }

  for (const radio of document.querySelectorAll("#heatmap-metrics input")) radio.addEventListener("change", redraw);
  addView(heatmap);
  addView(ranks);
  addView(published);
  Object.assign(window.benchReport, { colour, inkOn });
})();
