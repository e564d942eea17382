"use strict";
const drawing = JSON.parse(document.getElementById("drawing").textContent);
const root = document.documentElement;

// Colours are tokens ("@series1") until they are drawn in the theme of the moment.
function resolved(value) {
  const colours = drawing.themes[root.dataset.theme];
  return JSON.parse(JSON.stringify(value).replace(/"@(\w+)"/g, (_, name) => JSON.stringify(colours[name])));
}

// Rows travel as columns, and columns of repeated words as codes: a fifth of the size.
function rows(columns) {
  const unpacked = Object.entries(columns).map(([key, column]) => [
    key,
    Array.isArray(column) ? column : column.codes.map((code) => column.names[code]),
  ]);
  if (!unpacked.length) return [];
  return unpacked[0][1].map((_, k) => Object.fromEntries(unpacked.map(([key, values]) => [key, values[k]])));
}

// A single chart takes the width it is given; a grid fits as many panels of a readable width as it can.
function fitted(spec, kind, columns, panel) {
  if (kind === "single") return { ...spec, width: "container" };
  return { ...spec, columns, spacing: 24, spec: { ...spec.spec, width: panel } };
}

// Four panels look better as two rows of two than as three and one.
function columnsFor(panels, width) {
  const room = Math.max(1, Math.min(3, Math.floor(width / 320)));
  return Math.ceil(panels / Math.ceil(panels / room));
}

function chosenView(figure, element) {
  const wanted = [...element.querySelectorAll("select")].map((select) => select.value);
  return figure.views.find((view) => wanted.every((label, k) => view.labels[k] === label)) ?? figure.views[0];
}

// What is not known about a mark is left out of its tooltip.
function tooltip(values, escaped) {
  const known = Object.entries(values).filter(([, value]) => value !== null && value !== undefined && value !== "null");
  const lines = known.map(([key, value]) => `<tr><td class="key">${escaped(key)}</td><td>${escaped(value)}</td></tr>`);
  return `<table>${lines.join("")}</table>`;
}

async function draw(element) {
  const figure = drawing.figures[element.dataset.figure];
  const chart = element.querySelector(".chart");
  const width = chart.clientWidth;
  const config = { ...drawing.config, legend: { ...drawing.config.legend, columns: Math.max(1, Math.floor(width / 150)) } };
  const view = chosenView(figure, element).spec;
  const datasets = Object.fromEntries(Object.entries(figure.columns).map(([name, columns]) => [name, rows(columns)]));
  const embed = async (panel) => {
    element.drawn?.finalize();
    element.drawn = await vegaEmbed(chart, resolved({ ...fitted(view, figure.kind, columns, panel), datasets, config }), {
      renderer: "svg",
      actions: { export: true, source: false, compiled: false, editor: false },
      downloadFileName: element.dataset.figure,
      tooltip: { theme: "custom", formatTooltip: tooltip },
      logLevel: 1,
    });
  };
  // How wide the axes of a grid are is known only once it is drawn: draw, measure, draw to fit.
  const columns = columnsFor(figure.panels, width), panel = Math.floor(width / columns) - 70;
  await embed(panel);
  if (figure.kind === "grid") {
    const over = Number(chart.querySelector("svg").getAttribute("width")) - width;
    await embed(panel - Math.ceil(over / columns));
  }
  chart.classList.toggle("tall", chart.scrollHeight > 1400);
}

// Figures of one section that know the same dimension show the same choice of it.
function choose(element, select) {
  for (const figure of element.closest("section").querySelectorAll("[data-figure]")) {
    const twins = [...figure.querySelectorAll("select")].filter((other) => other.dataset.dimension === select.dataset.dimension);
    const able = twins.filter((other) => [...other.options].some((option) => option.value === select.value));
    able.forEach((other) => (other.value = select.value));
    if (able.length) draw(figure);
  }
}

// One list per dimension, offering what some view has.
function addControls(element) {
  const figure = drawing.figures[element.dataset.figure];
  figure.dimensions.forEach((dimension, k) => {
    const labels = [...new Set(figure.views.map((view) => view.labels[k]))];
    if (labels.length < 2) return;
    const select = document.createElement("select");
    labels.forEach((label) => select.add(new Option(label, label)));
    select.dataset.dimension = dimension;
    select.addEventListener("change", () => choose(element, select));
    const label = document.createElement("label");
    label.append(dimension, select);
    element.querySelector(".controls").append(label);
  });
}

const figures = [...document.querySelectorAll("[data-figure]")];
async function drawAll() {
  for (const element of figures) {
    try {
      await draw(element);
    } catch (error) { // one picture that fails must not take the others with it
      element.querySelector(".chart").textContent = "This picture could not be drawn: " + error.message;
    }
  }
}

figures.forEach(addControls);
drawAll();

let width = innerWidth, waiting;
addEventListener("resize", () => {
  if (innerWidth === width) return; // a phone's address bar changes the height alone
  width = innerWidth;
  clearTimeout(waiting);
  waiting = setTimeout(drawAll, 150);
});

function useTheme(name) {
  root.dataset.theme = name;
  drawAll();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (e) => useTheme(e.matches ? "dark" : "light"));
document.getElementById("theme").addEventListener("click", () => useTheme(root.dataset.theme === "dark" ? "light" : "dark"));

document.getElementById("download").addEventListener("click", (event) => {
  const text = document.getElementById("result").textContent;
  event.target.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  event.target.download = "result.json";
});
