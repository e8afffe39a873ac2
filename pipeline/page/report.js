// Draws the figures with plotly.js in light or dark colours; hides members and sorts tables on request.
"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const darkColors = window.matchMedia("(prefers-color-scheme: dark)");
const touch = window.matchMedia("(pointer: coarse)").matches;
const hiddenMembers = new Set();

function variable(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Figures name the variables of the stylesheet; only keys that end in "color" are looked at, so data stay data.
function colored(value, key) {
  if (typeof value === "string") {
    return /color$/.test(key) && value.startsWith("--") ? variable(value) : value;
  }
  if (Array.isArray(value)) {
    return value.length && typeof value[0] === "object" ? value.map((item) => colored(item, key)) : value;
  }
  if (value !== null && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, colored(item, name)]));
  }
  return value;
}

function template() {
  const axis = {
    gridcolor: variable("--line"), linecolor: variable("--line"), zerolinecolor: variable("--line"),
    tickfont: { size: 11 }, title: { standoff: 8 },
  };
  const ramp = [0, 1, 2, 3, 4].map((step) => [step / 4, variable(`--ramp-${step}`)]);
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 48, r: 12, t: 40, b: 44 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: variable("--ink") },
      title: { font: { size: 14 }, x: 0, xref: "container", xanchor: "left" },
      hoverlabel: { bgcolor: variable("--raised"), bordercolor: variable("--line"), font: { color: variable("--ink") }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: variable("--muted"), activecolor: variable("--ink") },
      xaxis: axis, yaxis: axis,
      // On a touch screen a drag scrolls the page.
      dragmode: touch ? false : "zoom",
    },
    data: { heatmap: [{ colorscale: ramp, colorbar: { outlinewidth: 0 } }] },
  };
}

// Whether a heatmap's cells have room for its texts in the smallest letters, of 5 pixels, beside the names.
function numbersFit(trace, width) {
  const longest = Math.max(...trace.text.flat().map((text) => text.length));
  return (width - 110) / trace.x.length >= 5 * longest + 2;
}

function draw(id) {
  const place = document.getElementById(id);
  const figure = colored(figures[id], "");
  const data = figure.data.map((trace) => (
    trace.meta && hiddenMembers.has(trace.meta.member) ? { ...trace, visible: false } : trace
  ));
  const layout = { ...figure.layout, template: template() };
  if (data[0].text && data[0].type === "heatmap" && !numbersFit(data[0], place.clientWidth)) {
    delete data[0].texttemplate;
  }
  if (data[0].type === "heatmap" && place.clientWidth < 450) {
    Object.assign(data[0], { showscale: false, textfont: { size: 8 } });
    Object.assign(layout.xaxis, { tickfont: { size: 9 }, tickangle: -90 });
    Object.assign(layout.yaxis, { tickfont: { size: 9 } });
  }
  return Plotly.react(place, data, layout, {
    responsive: true, displaylogo: false, typesetMath: false, displayModeBar: touch ? false : "hover",
    modeBarButtons: [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]],
  });
}

function drawAll() { Object.keys(figures).forEach(draw); }

document.querySelectorAll(".legend button").forEach((button) => {
  button.addEventListener("click", () => {
    const member = Number(button.dataset.member);
    if (!hiddenMembers.delete(member)) { hiddenMembers.add(member); }
    button.setAttribute("aria-pressed", String(!hiddenMembers.has(member)));
    Object.keys(figures).filter((id) => id.startsWith("curve-")).forEach(draw);
  });
});

// What a cell sorts by: its text, or its (first) number, of which no number is the smallest.
function sortKey(row, column) {
  const cell = row.cells[column];
  const text = cell.textContent.trim();
  if (!cell.classList.contains("number")) { return text; }
  const number = parseFloat(text.replaceAll(",", "").replace("−", "-"));
  return Number.isNaN(number) ? -Infinity : number;
}

// A click on a column's title sorts by it, numbers from the largest and names from A; another turns it round.
function sortBy(table, title) {
  const column = title.cellIndex;
  const number = title.classList.contains("number");
  const turned = { ascending: "descending", descending: "ascending" }[title.getAttribute("aria-sort")];
  const order = turned || (number ? "descending" : "ascending");
  const sign = order === "ascending" ? 1 : -1;
  const compare = number ? (a, b) => a - b : (a, b) => a.localeCompare(b);
  const rows = [...table.tBodies[0].rows];
  rows.sort((a, b) => sign * compare(sortKey(a, column), sortKey(b, column)) || 0);
  table.tBodies[0].append(...rows);
  for (const other of title.parentElement.cells) { other.removeAttribute("aria-sort"); }
  title.setAttribute("aria-sort", order);
}

document.querySelectorAll("table.sortable").forEach((table) => {
  for (const title of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    button.addEventListener("click", () => sortBy(table, title));
    title.append(button);
  }
});
darkColors.addEventListener("change", drawAll);
drawAll();
