// What a value rests on: point at it, focus it (arrow keys move through a table), tap it; a press keeps the panel open.
(() => {
  "use strict";
  const { data, state, trials, R, el, $, number, seedName, addView } = window.benchReport;
  const panel = $("trace"), TRACED = "[data-trace], [data-note], [data-term]";
  let kept = false, shown = null, last = null;
  addView((view) => { last = view; hide(); });

  /** Attributes of an element that shows a value of a method, with words of its own; an empty track or dataset means all. */
  const traced = (track, dataset, label, metric = "", note = "", unit = state.unit) => ({ "data-trace": JSON.stringify([track, dataset, label, metric, unit]), "data-note": note || null, tabindex: "-1" });
  /** Attributes of an element whose words stand in the panel. */
  const noted = (note) => (note ? { "data-note": note, tabindex: "-1" } : {});

  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

  /** The command that runs trials of one method, track and dataset again, in a folder of its own. */
  function commandOf(list) {
    const [t] = list, params = Object.entries(JSON.parse(t.params || "{}")), most = (axis) => Math.max(...list.map((x) => x[axis])) + 1;
    const all = (name) => [...new Set(list.map((x) => x[name]))];
    const flag = (name, axis) => (most(axis) > 1 ? [name, String(most(axis))] : []);
    return ["bench", "run", "--task", t.task, "--tracks", all("track").join(","), "--datasets", all("dataset").map((d) => (data.fromPaths.includes(d) ? `path/to/${d}` : d)).join(","), "--methods", t.role === "method" ? t.method : "controls",
      ...flag("--seeds", "method_seed"), ...flag("--split-seeds", "split_seed"), ...flag("--sim-seeds", "sim_seed"),
      ...(t.role === "method" ? params : []).flatMap(([k, v]) => ["--set", `${t.method}.${k}=${typeof v === "string" ? v : JSON.stringify(v)}`]), ...(t.device === "cuda" ? ["--device", "cuda"] : []), "--out", "recomputed"].map(quoted).join(" ");
  }

  /** `name value, name value` of a JSON text. */
  const pairsOf = (text, between) => Object.entries(JSON.parse(text || "{}")).map(([k, v]) => `${k}${between}${typeof v === "string" ? v : JSON.stringify(v)}`).join(", ");

  const MOST = 12, GREY = "#c3cad0";
  function evidence([track, dataset, label, metric, unit]) {
    const list = trials.filter((t) => t.task === state.task && (!track || t.track === track) && (!dataset || t.dataset === dataset) && t.label === label && (!state.seed || last.trials.includes(t)));
    if (!list.length) return [];
    const valueOf = new Map();
    if (metric) R.trial.forEach((t, i) => { if (R.metric[i] === metric && R.unit[i] === unit && list.includes(trials[t])) valueOf.set(trials[t], R.value[i]); });
    const rows = list.slice(0, MOST).map((t) => el("tr", {}, el("td", {}, seedName(t)), el("td", { class: "num" }, valueOf.has(t) ? number(valueOf.get(t)) : t.status.replace("_", " ")), el("td", { class: "hash" }, `trials/${t.trial}`), el("td", { class: "hash" }, t.problem || "–")));
    const head = ["Seeds", metric || "Status", "Trial", "Problem"].map((words) => el("th", { scope: "col" }, words)), t = list[0], command = commandOf(list);
    const copy = el("button", { type: "button" }, "Copy");
    copy.addEventListener("click", () => navigator.clipboard?.writeText(command).then(() => { copy.textContent = "Copied"; }));
    const line = (name, ...words) => [el("dt", {}, name), el("dd", {}, ...words)];
    return [el("table", { class: "plain" }, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...rows)), list.length > MOST ? el("p", {}, `and ${list.length - MOST} more in the table of trials`) : "",
      el("dl", {}, ...line("parameters", pairsOf(t.params, "=") || "none"), ...line("versions", pairsOf(t.versions, " ") || "not recorded"), ...line("recompute", el("code", {}, command), " ", copy))];
  }

  function term(name) {
    const m = data.tasks[state.task].metrics.find((x) => x.name === name);
    return m ? [el("p", {}, m.summary), el("p", {}, `${m.neutral ? "Neither high nor low is better" : m.higher_is_better ? "Higher is better" : "Lower is better"}; from ${m.low ?? "−∞"} to ${m.high ?? "∞"}. Undefined: ${m.undefined || "never"}.`)] : [];
  }

  function show(node) {
    const of = node.dataset.trace ? JSON.parse(node.dataset.trace) : null, [first, ...more] = (node.dataset.note || "").split("\n");
    const [track, dataset, label, metric, unit] = of || [], title = first || [label, metric].filter(Boolean).join(", ") || node.dataset.term || "";
    const close = el("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
    close.addEventListener("click", () => { hide(); node.focus?.(); });
    panel.replaceChildren(close, el("p", { class: "what" }, el("b", {}, title)), of ? el("p", {}, [track, dataset, metric && unit].filter(Boolean).join(" · ")) : "", ...more.map((words) => el("p", {}, words)), ...(node.dataset.term ? term(node.dataset.term) : []), ...(of ? evidence(of) : []));
    panel.hidden = false;
    shown = node;
  }
  function hide() {
    panel.hidden = true;
    kept = false;
    shown = null;
  }
  const at = (event) => event.target.closest?.(TRACED);

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse" || kept || panel.contains(event.target)) return;
    const node = at(event);
    if (node) show(node); else if (shown && document.activeElement !== shown) hide();
  });
  document.addEventListener("focusin", (event) => { const node = at(event); if (node && !kept) show(node); else if (!node && !kept && !panel.contains(event.target)) hide(); });
  document.addEventListener("click", (event) => {
    if (panel.contains(event.target)) return;
    const node = at(event);
    if (node) { show(node); kept = true; } else if (!event.target.closest?.(".js-plotly-plot")) hide();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return hide();
    const node = at(event);
    if (!node) return;
    const to = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (event.key === "Enter" && node === event.target && !node.matches("a, button")) { show(node); kept = true; panel.querySelector(".close").focus(); }
    else if (to && node.matches("td, th")) {
      const next = neighbour(node, to);
      event.preventDefault();
      if (!next) return;
      node.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    }
  });

  /** The next such cell of a table in a direction. */
  function neighbour(cell, [down, across]) {
    const rows = [...cell.closest("table").rows];
    for (let y = rows.indexOf(cell.parentElement) + down, x = cell.cellIndex + across; rows[y]?.cells[x]; y += down, x += across) if (rows[y].cells[x].matches(TRACED)) return rows[y].cells[x];
    return null;
  }

  /** Of a table's cells one is reached by Tab, the others from there by arrow keys; what scrolls can be scrolled by keys. */
  function arm() {
    for (const box of document.querySelectorAll("main .scroll, header .scroll")) {
      const wide = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
      if (!wide || box.tabIndex === 0) continue;
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      const section = box.closest("section");
      box.setAttribute("aria-label", `${section.querySelector("h2").textContent}, table ${[...section.querySelectorAll(".scroll")].indexOf(box) + 1}`);
    }
    // on a phone a row of these tables is a list, each value under the name of its column
    for (const table of document.querySelectorAll("main table.stack:not([data-armed])")) {
      const names = [...table.querySelectorAll("thead th")].map((th) => th.textContent);
      for (const row of table.tBodies[0].rows) [...row.cells].reduce((k, cell) => { cell.dataset.label = names[k]; return k + cell.colSpan; }, 0);
    }
    for (const table of document.querySelectorAll(":is(main, header) table:not([data-armed])")) {
      table.dataset.armed = "";
      const first = table.querySelector(TRACED);
      if (first && !table.querySelector('[tabindex="0"]')) first.tabIndex = 0;
    }
  }
  let waiting = false;
  const changes = new MutationObserver(() => { if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; arm(); }); } });
  for (const part of document.querySelectorAll("header.page, main")) changes.observe(part, { childList: true, subtree: true });
  window.addEventListener("resize", arm);

  /** Points of a plot: a press on one shows what it rests on, arrow keys go from one to the next. Traces say in `meta` what they are of. */
  function points(plot) {
    const words = (p) => [...plot.querySelectorAll(".hoverlayer .hovertext text")].map((t) => [...(t.querySelectorAll("tspan.line").length ? t.querySelectorAll("tspan.line") : [t])].map((s) => s.textContent).join("\n")).join("\n") || p.data.name || "";
    const told = (p, keep) => {
      if (kept && !keep) return;
      const { meta } = p.data, node = el("span", { ...(meta ? traced(...meta) : {}), "data-note": words(p) });
      node.focus = () => plot.focus();
      show(node);
      kept = keep;
    };
    plot.on("plotly_click", ({ points: [p] }) => told(p, true));
    // a grey line is black while one points at it
    const line = (p) => plot.querySelector(`.trace${p.fullData.uid} .js-line`), faint = (p) => p.data.line?.color === GREY && line(p);
    plot.on("plotly_hover", ({ points: [p] }) => { if (faint(p)) Object.assign(line(p).style, { stroke: "#1d2327", strokeWidth: "2.4px" }); });
    plot.on("plotly_unhover", ({ points: [p] }) => { if (faint(p)) Object.assign(line(p).style, { stroke: GREY, strokeWidth: "1px" }); });
    const places = plot.data.flatMap((trace, curveNumber) => (["scatter", "bar"].includes(trace.type) && trace.hoverinfo !== "skip" ? Array.from({ length: trace.x.length }, (_, pointNumber) => ({ curveNumber, pointNumber })) : []));
    if (!places.length) return;
    Object.assign(plot, { tabIndex: 0, role: "application" });
    let k = -1;
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!step && event.key !== "Enter") return;
      event.preventDefault();
      const curve = (i) => places[i]?.curveNumber, before = k;
      // up and down go from line to line
      do k = (k + (step || 0) + places.length) % places.length; while (/Up|Down/.test(event.key) && before >= 0 && curve(k) === curve(before) && k !== before);
      const place = places[Math.max(k, 0)];
      const on = plot.data[place.curveNumber];
      window.Plotly.Fx.hover(plot, [place], `${on.xaxis ?? "x"}${on.yaxis ?? "y"}`);
      told({ data: on }, event.key === "Enter");
    });
    plot.addEventListener("blur", () => window.Plotly.Fx.unhover(plot));
  }

  Object.assign(window.benchReport, { traced, noted, points, pairsOf, GREY });
})();
