"use strict";
// Plate map: arrow keys move between wells.
const plate = document.querySelector("svg.plate");
if (plate) {
  const wells = [...plate.querySelectorAll("a[data-well]")];
  const place = (a) => { const r = a.querySelector("rect"); return [Number(r.getAttribute("x")), Number(r.getAttribute("y"))]; };
  const at = new Map(wells.map((a) => [place(a).join(), a]));
  plate.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-26, 0], ArrowRight: [26, 0], ArrowUp: [0, -26], ArrowDown: [0, 26] }[event.key];
    const here = event.target.closest("a[data-well]");
    if (!step || !here) return;
    let [x, y] = place(here);
    for (let n = 0; n < 48; n += 1) {
      x += step[0]; y += step[1];
      const next = at.get([x, y].join());
      if (next) { next.focus(); event.preventDefault(); return; }
    }
  });
  document.getElementById("by").addEventListener("change", (event) => {
    document.getElementById("to").value = "";
    event.target.form.submit();
  });
}
// Map of wells: points on a canvas, a lasso, a table of what it holds.
const canvas = document.getElementById("map");
if (canvas) {
  const byId = (id) => document.getElementById(id);
  const context = canvas.getContext("2d");
  const columns = ["plate", "well", "name", "value"];
  let points = null, chosen = [], path = [];
  ["by", "axes"].forEach((id) => byId(id).addEventListener("change", (event) => event.target.form.submit()));
  const bounds = (values) => [Math.min(...values), Math.max(...values)];
  const position = (n) => points.at[n];
  const draw = () => {
    context.clearRect(0, 0, canvas.width, canvas.height);
    const held = new Set(chosen);
    for (let n = 0; n < points.x.length; n += 1) {
      const [x, y] = position(n);
      context.globalAlpha = chosen.length && !held.has(n) ? 0.15 : 0.75;
      context.fillStyle = points.colours[points.value[n]] || "#b4bcc6";
      context.beginPath(); context.arc(x, y, 3, 0, 7); context.fill();
    }
    context.globalAlpha = 1;
    if (path.length > 1) {
      context.strokeStyle = "#f0a30a"; context.lineWidth = 2; context.beginPath();
      path.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath(); context.stroke();
    }
  };
  const inside = ([x, y]) => {
    let within = false;
    for (let n = 0, before = path.length - 1; n < path.length; before = n, n += 1) {
      const [ax, ay] = path[n], [bx, by] = path[before];
      if ((ay > y) !== (by > y) && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) within = !within;
    }
    return within;
  };
  const list = () => {
    const table = byId("chosen");
    table.replaceChildren();
    byId("count").textContent = `${chosen.length} of ${points.x.length} wells`;
    byId("save").hidden = !chosen.length;
    if (!chosen.length) return;
    const line = (tag, texts, link) => {
      const row = document.createElement("tr");
      texts.forEach((text, n) => {
        const cell = document.createElement(tag);
        if (link && n === 1) {
          const a = document.createElement("a");
          a.href = link; a.textContent = text; cell.append(a);
        } else cell.textContent = text;
        row.append(cell);
      });
      table.append(row);
    };
    line("th", ["plate", "well", "treatment", points.by]);
    chosen.slice(0, 500).forEach((n) => line("td", columns.map((c) => points[c][n]),
      `/well/${encodeURIComponent(points.plate[n])}/${encodeURIComponent(points.well[n])}`));
    if (chosen.length > 500) byId("count").textContent += "; the first 500 are listed, the download has all";
  };
  const spot = (event) => {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * canvas.width) / box.width, ((event.clientY - box.top) * canvas.height) / box.height];
  };
  canvas.addEventListener("pointerdown", (event) => { path = [spot(event)]; chosen = []; canvas.setPointerCapture(event.pointerId); });
  canvas.addEventListener("pointermove", (event) => { if (event.buttons && path.length) { path.push(spot(event)); draw(); } });
  canvas.addEventListener("pointerup", () => {
    if (points && path.length > 2) chosen = [...points.x.keys()].filter((n) => inside(position(n)));
    path = []; draw(); list();
  });
  byId("all").addEventListener("click", () => { chosen = [...points.x.keys()]; draw(); list(); });
  byId("save").addEventListener("click", () => {
    const quote = (text) => `"${(/^[=+\-@\t\r]/.test(text) ? "'" : "") + String(text).replaceAll('"', '""')}"`;
    const rows = [["plate", "well", "treatment", points.by], ...chosen.map((n) => columns.map((c) => points[c][n]))];
    const link = document.createElement("a");
    link.href = `data:text/csv;charset=utf-8,${encodeURIComponent(rows.map((row) => row.map(quote).join(",")).join("\n"))}`;
    link.download = "wells.csv"; link.click();
  });
  fetch(`/map.json?by=${encodeURIComponent(canvas.dataset.by)}&axes=${encodeURIComponent(canvas.dataset.axes)}`).then((answer) => answer.json()).then((found) => {
    points = found;
    const [left, right] = bounds(points.x), [low, high] = bounds(points.y);
    points.at = points.x.map((x, n) => [
      20 + ((x - left) / (right - left || 1)) * (canvas.width - 40),
      canvas.height - 20 - ((points.y[n] - low) / (high - low || 1)) * (canvas.height - 40)]);
    byId("words").textContent = points.words;
    Object.entries(points.colours).forEach(([name, colour]) => {
      const item = document.createElement("span");
      item.className = "named";
      const mark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      mark.setAttribute("width", 14); mark.setAttribute("height", 14);
      const box = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      box.setAttribute("width", 14); box.setAttribute("height", 14); box.setAttribute("rx", 3); box.setAttribute("fill", colour);
      mark.append(box); item.append(mark, document.createTextNode(name));
      byId("legend").append(item);
    });
    draw(); list();
    canvas.dataset.ready = "yes";
  });
}
