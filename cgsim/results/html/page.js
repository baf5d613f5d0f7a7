const report = JSON.parse(document.getElementById("report").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map(); // element -> [data, layout], to be drawn again in other colours

function escaped(text) {
  const entities = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (one) => entities[one]);
}

function number(value) {
  if (value === null) return "–";
  if (Number.isInteger(value) && Math.abs(value) < 1e15) return value.toLocaleString("en-US");
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e12)) return value.toExponential(3);
  return value.toLocaleString("en-US", { maximumSignificantDigits: size >= 1e4 ? Math.ceil(Math.log10(size)) : 4 });
}

function draw(element, data, layout) {
  drawn.set(element, [data, layout]);
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = [style.getPropertyValue("--ink").trim(), style.getPropertyValue("--line").trim()];
  const axis = { gridcolor: line, linecolor: line, zerolinecolor: line };
  const narrow = element.clientWidth < 500;
  const whole = {
    margin: { l: narrow ? 48 : 64, r: 12, t: 12, b: 48 },
    ...layout,
    font: { family: getComputedStyle(document.body).fontFamily, size: narrow ? 11 : 12.5, color: ink },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    hoverlabel: { align: "left", namelength: -1 },
    xaxis: { ...axis, automargin: true, ...(layout.xaxis ?? {}) },
    yaxis: { ...axis, automargin: true, ...(layout.yaxis ?? {}) },
  };
  const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  return Plotly.react(element, data, whole, options);
}

async function library() {
  const text = new TextDecoder().decode(
    Uint8Array.from(atob(document.getElementById("datatables").textContent), (one) => one.charCodeAt(0)),
  );
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const found = await import(url);
  URL.revokeObjectURL(url);
  return found.default;
}

function table(DataTable, name) {
  const columns = report.tables[name];
  const length = columns[0].values.length;
  const element = document.getElementById(name);
  const head = element.createTHead().insertRow();
  for (const column of columns) {
    const cell = document.createElement("th");
    const unit = column.unit ? `<span class="unit">${escaped(column.unit)}</span>` : "";
    cell.innerHTML = escaped(column.name).replace(/([_.])/g, "$1<wbr>") + unit;
    cell.title = column.description;
    head.append(cell);
  }
  const settings = columns.map((column) => ({
    visible: column.shown,
    className: column.numeric ? "dt-right" : "dt-left",
    type: column.numeric ? "num" : "string",
    render: (value, kind) => {
      if (column.numeric) return kind === "display" ? number(value) : (value ?? -Infinity);
      return kind === "display" ? escaped(value) : value;
    },
  }));
  const rows = Array.from({ length }, (_, row) => columns.map((column) => column.values[row]));
  return new DataTable(element, {
    data: rows,
    columns: settings,
    order: [],
    deferRender: true,
    paging: length > 25,
    pageLength: 25,
    lengthMenu: [10, 25, 100, { label: "all", value: -1 }],
    autoWidth: false,
    columnControl: { target: 0, content: ["order", ["search"]] },
    ordering: { indicators: false, handlers: false },
    layout: {
      topStart: { buttons: [{ extend: "colvis", text: "Columns" }, { extend: "csvHtml5", text: "CSV" }] },
      topEnd: "search",
      bottomStart: "info",
      bottomEnd: length > 25 ? "paging" : null,
    },
    language: { search: "Filter:" },
  });
}

function groups(values) {
  const found = new Map();
  values.forEach((value, row) => found.set(value, [...(found.get(value) ?? []), row]));
  return found;
}

function explore(element, told, own) {
  const columns = report.tables[told.table];
  const byName = new Map(columns.map((column) => [column.name, column]));
  const numeric = columns.filter((column) => column.numeric);
  const few = columns.filter((column) => {
    const count = new Set(column.values).size;
    return count > 1 && count <= 12 && (!column.numeric || column.name.includes("."));
  });
  const chosen = { x: told.x, y: told.y, colour: told.colour };
  const plot = element.querySelector(".plot");
  const inOrder = (some) => [...some.filter((one) => one.shown), ...some.filter((one) => !one.shown)];
  for (const select of element.querySelectorAll("select")) {
    const axis = select.dataset.axis;
    const offered = axis === "colour" ? ["", ...few.map((one) => one.name)] : inOrder(numeric).map((one) => one.name);
    if (!offered.includes(chosen[axis])) chosen[axis] = offered[0];
    for (const name of offered) select.add(new Option(name || "one for all", name, false, name === chosen[axis]));
    select.addEventListener("change", () => {
      chosen[axis] = select.value;
      update();
    });
  }
  const label = (name) => name + (byName.get(name).unit ? ` (${byName.get(name).unit})` : "");
  const shown = columns.filter((column) => column.shown);
  function hover(row) {
    return shown
      .map((one) => `${escaped(one.name)}: ${one.numeric ? number(one.values[row]) : escaped(one.values[row])}`)
      .slice(0, 14)
      .join("<br>");
  }
  function update() {
    const rows = own.rows({ search: "applied", order: "index" }).indexes().toArray();
    const [x, y] = [byName.get(chosen.x).values, byName.get(chosen.y).values];
    const colours = chosen.colour ? byName.get(chosen.colour).values : null;
    const low = byName.get(`${chosen.y}_low`), high = byName.get(`${chosen.y}_high`);
    const visible = new Set(rows);
    const data = [];
    let place = 0;
    for (const [value, members] of groups(colours ?? x.map(() => ""))) {
      const kept = members.filter((row) => visible.has(row) && x[row] !== null && y[row] !== null);
      const colour = report.colours[place++ % report.colours.length];
      if (!kept.length) continue;
      const trace = {
        type: "scatter",
        mode: "markers",
        name: colours ? `${chosen.colour} ${value}` : "runs",
        x: kept.map((row) => x[row]),
        y: kept.map((row) => y[row]),
        text: kept.map(hover),
        marker: { size: 9, color: colour === "#000000" && dark.matches ? "#ffffff" : colour, opacity: 0.85 },
        hovertemplate: "%{text}<extra></extra>",
      };
      if (low && high) {
        trace.error_y = {
          symmetric: false,
          array: kept.map((row) => (high.values[row] ?? y[row]) - y[row]),
          arrayminus: kept.map((row) => y[row] - (low.values[row] ?? y[row])),
          thickness: 1,
        };
      }
      data.push(trace);
    }
    const count = data.reduce((sum, one) => sum + one.x.length, 0);
    element.querySelector(".count").textContent = `${count} of ${x.length} rows drawn`;
    if (chosen.x === "flop_reduction" && chosen.y === "speedup" && count) {
      const top = Math.max(1, ...data.flatMap((one) => one.x));
      data.push({
        type: "scatter", mode: "lines", name: "ideal", x: [1, top], y: [1, top], hoverinfo: "skip",
        line: { color: "#8c8c8c", dash: "dash", width: 1.5 },
      });
    }
    draw(plot, data, {
      xaxis: { title: { text: label(chosen.x) } },
      yaxis: { title: { text: label(chosen.y) } },
      showlegend: data.length > 1,
      legend: { orientation: "h", y: -0.18, yanchor: "top" },
    });
  }
  own.on("draw", update);
  update();
}

const inDark = () => document.documentElement.classList.toggle("dark", dark.matches); // for DataTables
inDark();
const DataTable = await library();
const tables = new Map(Object.keys(report.tables).map((name) => [name, table(DataTable, name)]));
for (const [name, own] of Object.entries(report.plots)) {
  await draw(document.getElementById(name), own.data, own.layout);
}
for (const [name, told] of Object.entries(report.explorers)) {
  explore(document.getElementById(name), told, tables.get(told.table));
}
dark.addEventListener("change", () => {
  inDark();
  drawn.forEach(([data, layout], element) => draw(element, data, layout));
});
document.documentElement.dataset.ready = "yes";
