"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const font = { family: "system-ui, sans-serif", size: 13, color: "#1c1c1c" };
const config = { responsive: true, displaylogo: false };
const LOW_RATE = 0.6;

function option(select, value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  select.append(made);
}

/* Curves */

function visible(trace, published) {
  if (trace.legendgroup !== "published" || published === "landmarks") return trace.visible ?? true;
  return published === "all" ? true : "legendonly";
}

function reach(traces, published, zoom) {
  const own = traces.filter((trace) => trace.legendgroup === "measured");
  const widest = Math.max(...(own.length ? own : traces).flatMap((trace) => trace.x));
  const right = zoom === "low" ? LOW_RATE : 1.04 * widest;
  const shown = traces
    .filter((trace) => visible(trace, published) === true)
    .flatMap((trace) => trace.y.filter((y, index) => y !== null && trace.x[index] <= right));
  if (zoom === "all" || !shown.length) return {};
  return { x: [0, right], y: [Math.min(...shown) - 0.5, Math.max(...shown) + 0.5] };
}

function drawCurves() {
  const view = data.rd[at("rd-view").value];
  const published = at("rd-published").value;
  const range = reach(view.traces, published, at("rd-zoom").value);
  at("rd-remark").textContent = view.remark;
  at("rd").hidden = !view.traces.length;
  if (!view.traces.length) {
    at("rd-remark").textContent = (view.remark + " No codec has a point over all pictures.").trim();
    return;
  }
  const traces = view.traces.map((trace) => ({ ...trace, visible: visible(trace, published) }));
  Plotly.react("rd", traces, {
    font, height: 640, margin: { l: 60, r: 10, t: 36, b: 50 }, hovermode: "closest",
    xaxis: { title: { text: "bits per pixel (real files)" }, range: range.x, rangemode: "tozero" },
    yaxis: { title: { text: view.y }, range: range.y },
    legend: { groupclick: "toggleitem", font: { size: 12 }, tracegroupgap: 14 },
  }, config);
}

for (const [key, view] of Object.entries(data.rd)) option(at("rd-view"), key, view.name);
const anyPublished = Object.values(data.rd)
  .some((view) => view.traces.some((trace) => trace.legendgroup === "published"));
at("rd-published-label").hidden = !anyPublished;
for (const id of ["rd-view", "rd-zoom", "rd-published"]) at(id).addEventListener("change", drawCurves);
drawCurves();

/* BD-rates */

at("bd-rule").addEventListener("change", (event) => {
  for (const each of document.querySelectorAll(".matrix-of")) {
    each.hidden = each.id !== "matrix-" + event.target.value;
  }
});

/* Speed */

at("speed-remark").textContent = data.speed.remark;
at("speed-plot").hidden = !data.speed.traces.length;
if (data.speed.traces.length) {
  // Room at both ends of a log axis, so that a lone point has ticks to be read by.
  const axis = (text, name) => {
    const logs = data.speed.traces.filter((each) => each.xaxis === name).map((each) => Math.log10(each.x[0]))
      .filter(Number.isFinite);
    const range = [Math.floor(Math.min(...logs) - 0.1), Math.ceil(Math.max(...logs) + 0.1)];
    return { type: "log", title: { text }, range, tickformat: "~g", dtick: range[1] - range[0] > 2 ? 1 : "D2" };
  };
  Plotly.newPlot("speed-plot", data.speed.traces, {
    font, height: 480, margin: { l: 60, r: 10, t: 36, b: 50 }, hovermode: "closest",
    grid: { rows: 1, columns: 2, pattern: "independent", xgap: 0.12 },
    xaxis: axis("encode: seconds per megapixel", "x"),
    xaxis2: axis("decode: seconds per megapixel", "x2"),
    yaxis: { title: { text: `BD-rate against ${data.speed.anchor}, %` } },
    yaxis2: { matches: "y" },
    legend: { font: { size: 12 } },
  }, config);
}

/* Pictures */

const views = data.compare.views;
const state = { zoom: 1, x: 0, y: 0 };

function chosen() {
  const view = views[at("c-image").value];
  const point = view.points[at("c-point").value];
  const original = { codec: "original", src: view.original };
  const sides = [original, ...point.pictures];
  return { view, point, left: sides[at("c-left").value], right: sides[at("c-right").value] };
}

function fill(select, texts, wanted) {
  select.replaceChildren();
  texts.forEach((text, index) => option(select, index, text));
  select.value = Math.min(wanted, texts.length - 1);
}

function fillPoints() {
  fill(at("c-point"), views[at("c-image").value].points.map((point) => point.label), 0);
  fillSides();
}

function fillSides() {
  const { pictures } = views[at("c-image").value].points[at("c-point").value];
  const names = ["original", ...pictures.map((picture) => picture.codec)];
  // A rival may be missing at one rate, so that sides are kept by name.
  for (const [select, first] of [[at("c-left"), 1], [at("c-right"), 2]]) {
    const before = names.indexOf(select.selectedOptions[0]?.textContent);
    fill(select, names, before < 0 ? first : before);
  }
  show();
}

// How much a picture's file differs from ours where that is too much to be called equal.
function unequal(picture, ours) {
  if (!picture.bytes || Math.abs(picture.bytes / ours - 1) <= data.compare.equal) return "";
  return `${(picture.bytes / ours).toFixed(2)} × the bytes`;
}

function describe(row, side, picture, ours) {
  const ratio = picture.bytes ? (picture.bytes / ours).toFixed(3) : "";
  const psnr = picture.psnr === null ? "no loss" : picture.psnr?.toFixed(2) ?? "";
  const setting = picture.setting === undefined ? "" : String(+picture.setting.toPrecision(5));
  const bytes = picture.bytes?.toLocaleString("en") ?? "";
  for (const text of [side, picture.codec, setting, bytes, ratio, psnr]) {
    row.insertCell().textContent = text;
  }
  row.className = unequal(picture, ours) ? "unequal" : "";
}

function show() {
  const { view, point, left, right } = chosen();
  for (const [id, side, name] of [["c-over", left, "left"], ["c-under", right, "right"]]) {
    const image = at(id).querySelector("img");
    image.src = side.src;
    image.alt = `${view.image}: ${side.codec}` + (side.bytes ? `, ${side.bytes} bytes` : "");
    const difference = unequal(side, point.bytes);
    const tag = at("c-tag-" + name);
    tag.textContent = side.codec + (difference && `: ${difference}`);
    tag.classList.toggle("unequal", Boolean(difference));
  }
  const body = at("c-table").tBodies[0];
  body.replaceChildren();
  describe(body.insertRow(), "left", left, point.bytes);
  describe(body.insertRow(), "right", right, point.bytes);
  const apart = [left, right].filter((side) => unequal(side, point.bytes));
  at("c-unequal").textContent = apart.length
    ? `Not equal bytes: ${apart.map((side) => side.codec).join(", ")} cannot come nearer with its settings.` : "";
  at("c-cut").textContent = view.cut;
  place();
}

function place() {
  const box = at("c-view");
  const image = at("c-under").querySelector("img");
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  if (width) box.style.height = Math.min(height * state.zoom, Math.max(512, height)) + "px";
  const clamp = (value, room, size) => Math.min(0, Math.max(room - size * state.zoom, value));
  state.x = clamp(state.x, box.clientWidth, width);
  state.y = clamp(state.y, box.clientHeight, height);
  for (const each of box.querySelectorAll("img")) {
    each.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
  }
  const percent = at("c-slider").value;
  at("c-over").style.clipPath = `inset(0 ${100 - percent}% 0 0)`;
  at("c-line").style.left = percent + "%";
}

function zoom(factor) {
  const box = at("c-view");
  for (const [key, room] of [["x", box.clientWidth], ["y", box.clientHeight]]) {
    state[key] = room / 2 - (room / 2 - state[key]) * (factor / state.zoom);
  }
  state.zoom = factor;
  place();
}

function pan(x, y) {
  state.x += x;
  state.y += y;
  place();
}

function startComparison() {
  const box = at("c-view");
  fill(at("c-image"), views.map((view) => view.image), 0);
  fillPoints();
  at("c-image").addEventListener("change", fillPoints);
  at("c-point").addEventListener("change", fillSides);
  for (const id of ["c-left", "c-right"]) at(id).addEventListener("change", show);
  at("c-slider").addEventListener("input", place);
  at("c-zoom").addEventListener("change", (event) => zoom(Number(event.target.value)));
  for (const image of box.querySelectorAll("img")) image.addEventListener("load", place);
  window.addEventListener("resize", place);
  box.addEventListener("pointerdown", (event) => box.setPointerCapture(event.pointerId));
  box.addEventListener("pointermove", (event) => {
    if (box.hasPointerCapture(event.pointerId)) pan(event.movementX, event.movementY);
  });
  const keys = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
  box.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    pan(...keys[event.key]);
  });
}

if (data.compare.base) at("c-base").textContent = data.compare.base;
at("compare").hidden = !views.length;
for (const note of data.compare.notes) {
  const line = document.createElement("p");
  line.className = "remark";
  line.textContent = note;
  at("c-notes").append(line);
}
if (views.length) startComparison();

/* report.html#selftest uses the controls as a reader would, and writes what came of it. */
async function selftest() {
  const images = [...at("c-view").querySelectorAll("img")];
  await Promise.all(images.map((image) => image.decode()));
  const seen = () => ({
    clip: getComputedStyle(at("c-over")).clipPath,
    transform: getComputedStyle(images[0]).transform,
    sources: images.map((image) => image.src.length),
    tags: [at("c-tag-left").textContent, at("c-tag-right").textContent],
    size: [images[0].naturalWidth, images[0].naturalHeight],
  });
  const act = (element, value, event) => {
    element.value = value;
    element.dispatchEvent(new Event(event, { bubbles: true }));
  };
  const before = seen();
  act(at("c-slider"), 25, "input");
  at("c-zoom").querySelector("[value='4']").click();
  act(at("c-left"), 0, "change");
  document.body.dataset.selftest = JSON.stringify({ before, after: seen() });
}
if (location.hash === "#selftest" && views.length) selftest();
