// The timeline page's script. It reads the columns that the page carries, and draws what is visible of them.
//
// Invariants:
// - It asks the network for nothing and keeps nothing.
// - A frame costs as much as it has pixels, however long the recording: each lane is searched for its first visible span, and what is
//   narrower than a pixel is drawn as the share of the pixel that it takes.
// - What a name of the guest says is text, never markup.
"use strict";
(() => {
const RUN = 0, WOKEN = 1, PREEMPTED = 2, ASLEEP = 3, CAPPED = 5;
const LEFT = 170, TOP = 34, CPU_LANE = 40, THREAD_LANE = 26, ARROWS = 400;
const byId = (id) => document.getElementById(id);
const meta = JSON.parse(byId("meta").textContent);
const column = (name, Type) => {
  const text = byId("column-" + name).textContent;
  if (Uint8Array.fromBase64) return new Type(Uint8Array.fromBase64(text).buffer);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new Type(bytes.buffer);
};
const spans = {
  from: column("span-from", Float64Array), to: column("span-to", Float64Array), thread: column("span-thread", Uint32Array),
  state: column("span-state", Uint8Array), pri: column("span-pri", Int16Array), other: column("span-other", Uint32Array),
};
const bars = {
  from: column("bar-from", Float64Array), to: column("bar-to", Float64Array), cpu: column("bar-cpu", Uint16Array),
  kind: column("bar-kind", Uint8Array), level: column("bar-level", Uint8Array), by: column("bar-by", Uint32Array),
};
const marks = {
  at: column("mark-at", Float64Array), cpu: column("mark-cpu", Uint16Array), kind: column("mark-kind", Uint8Array),
  thread: column("mark-thread", Uint32Array), text: column("mark-text", Uint32Array),
};
const threads = meta.threads;
// Several threads may have one name.
const named = new Map();
threads.forEach((t) => named.set(t.name, (named.get(t.name) || 0) + 1));
const title = (t) => named.get(t.name) > 1 ? `${t.name} t${t.id}` : t.name;
const label = (t) => threads[t] ? `${threads[t].name} (${threads[t].class}${threads[t].bound === null ? "" : ", bound to cpu " + threads[t].bound})` : "?";

// ---- lanes ----

// For each key, the places of the rows that have it, in the order of the rows.
function grouped(count, length, keyOf) {
  const sizes = new Uint32Array(count);
  for (let i = 0; i < length; i++) { const key = keyOf(i); if (key >= 0 && key < count) sizes[key]++; }
  const groups = Array.from(sizes, (n) => new Uint32Array(n));
  sizes.fill(0);
  for (let i = 0; i < length; i++) { const key = keyOf(i); if (key >= 0 && key < count) groups[key][sizes[key]++] = i; }
  return groups;
}
const isIdle = (t) => threads[t] !== undefined && threads[t].idle;
function lane(kind, index, name, ids, markIds) {
  const n = ids.length, from = new Float64Array(n), to = new Float64Array(n);
  // Sums up to each span, so that the share of any interval is one subtraction.
  const ran = new Float64Array(n + 1), waited = new Float64Array(n + 1);
  for (let i = 0; i < n; i++) {
    const id = ids[i], state = spans.state[id] & 7, long = spans.to[id] - spans.from[id];
    from[i] = spans.from[id];
    to[i] = spans.to[id];
    ran[i + 1] = ran[i] + (state === RUN && !isIdle(spans.thread[id]) ? long : 0);
    waited[i + 1] = waited[i] + (state === WOKEN || state === PREEMPTED ? long : 0);
  }
  return { kind, index, name, ids, from, to, ran, waited, marks: markIds, height: kind === "cpu" ? CPU_LANE : THREAD_LANE };
}
const spansOfCpu = grouped(meta.cpus, spans.from.length, (i) => (spans.state[i] & 7) === RUN ? spans.other[i] : -1);
const marksOfCpu = grouped(meta.cpus, marks.at.length, (i) => marks.cpu[i]);
const spansOfThread = grouped(threads.length, spans.from.length, (i) => spans.thread[i]);
const marksOfThread = grouped(threads.length, marks.at.length, (i) => marks.thread[i]);
const barsOfCpu = grouped(meta.cpus * 3, bars.from.length, (i) => bars.cpu[i] * 3 + bars.kind[i]);
const cpuLanes = Array.from({ length: meta.cpus }, (_, n) => lane("cpu", n, "cpu " + n, spansOfCpu[n], marksOfCpu[n]));
const threadLanes = threads.map((t, n) => t.idle ? null : lane("thread", n, title(t), spansOfThread[n], marksOfThread[n]));
const shown = meta.chosen.slice();
const lanes = () => cpuLanes.concat(shown.map((n) => threadLanes[n]).filter((l) => l !== null));

// The first place whose value is greater than `value`; the values grow.
function after(values, value, low = 0) {
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
}
// The first place of `ids` whose row's value is not less than `value`.
function first(ids, values, value, low = 0) {
  let high = ids.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[ids[middle]] < value) low = middle + 1; else high = middle;
  }
  return low;
}
// The first bar that may reach a moment. Interrupts nest no deeper than they have levels.
const reaching = (ids, t) => Math.max(0, first(ids, bars.from, t) - 16);
const spanAt = (l, t) => { const i = after(l.to, t); return i < l.from.length && l.from[i] <= t ? i : -1; };

// ---- view ----

const canvas = byId("canvas"), context = canvas.getContext("2d");
let [t0, t1] = meta.view, width = 0, height = 0, selected = null, pending = false, hatch = null, telling = 0;
const px = () => (width - LEFT) / (t1 - t0);
const X = (t) => LEFT + (t - t0) * px();
const T = (x) => t0 + (x - LEFT) / px();
function ns(n) {
  const abs = Math.abs(n);
  const [unit, by] = abs >= 1e9 ? ["s", 1e9] : abs >= 1e6 ? ["ms", 1e6] : abs >= 1e3 ? ["us", 1e3] : ["ns", 1];
  return Number((n / by).toPrecision(abs / by >= 100 ? 4 : 3)) + unit;
}
// A moment, told as exactly as the view can tell it.
function moment(t) {
  const digits = Math.max(0, Math.ceil(-Math.log10((t1 - t0) / 2000 / 1e6)));
  return (t / 1e6).toFixed(Math.min(6, digits)) + "ms";
}
function show(from, to) {
  const least = 200, most = meta.last - meta.first;
  let long = Math.min(Math.max(to - from, least), Math.max(most * 1.02, least)), middle = (from + to) / 2;
  middle = Math.min(Math.max(middle, meta.first), meta.last);
  t0 = middle - long / 2;
  t1 = middle + long / 2;
  redraw();
}
const zoom = (factor, at = (t0 + t1) / 2) => show(at - (at - t0) * factor, at + (t1 - at) * factor);
const pan = (share) => show(t0 + (t1 - t0) * share, t1 + (t1 - t0) * share);
function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; draw(); });
}

// ---- drawing ----

const classColours = meta.colours;
let ink = {};
function theme() {
  const style = getComputedStyle(document.documentElement), value = (name) => style.getPropertyValue(name).trim();
  ink = { text: value("--text"), back: value("--back"), grid: value("--grid"), faint: value("--faint"), red: value("--red"), bar: value("--bar") };
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const c = tile.getContext("2d");
  c.strokeStyle = ink.text;
  c.lineWidth = 1.4;
  c.beginPath();
  c.moveTo(-1, 7); c.lineTo(7, -1); c.moveTo(-1, 1); c.lineTo(1, -1); c.moveTo(5, 7); c.lineTo(7, 5);
  c.stroke();
  hatch = context.createPattern(tile, "repeat");
}
const colourOf = (t) => isIdle(t) ? null : classColours[threads[t] ? threads[t].class : ""] || "#999999";
function clipped(text, room) {
  const most = Math.floor(room / 6.4);
  return text.length <= most ? text : most < 3 ? "" : text.slice(0, most - 1) + "…";
}
function write(text, x, y, colour = ink.text, align = "left") {
  context.fillStyle = colour;
  context.textAlign = align;
  context.fillText(text, x, y);
}
function box(l, i, a, b, y, h) {
  const id = l.ids[i], state = spans.state[id] & 7, t = spans.thread[id];
  if (state === RUN) {
    const colour = colourOf(t);
    if (colour === null) return;
    context.fillStyle = colour;
    context.fillRect(a, y, b - a, h);
    if (b - a > 3) { context.strokeStyle = ink.back; context.strokeRect(a + 0.5, y + 0.5, b - a - 1, h - 1); }
    if (b - a > 30) write(clipped(l.kind === "cpu" ? `${threads[t].name} ${spans.pri[id]}` : `cpu ${spans.other[id]}`, b - a - 6), a + 4, y + h - 5, "#111");
  } else if (state === WOKEN || state === PREEMPTED) {
    context.fillStyle = hatch;
    context.fillRect(a, y, b - a, h);
    context.strokeStyle = ink.text;
    context.strokeRect(a + 0.5, y + 0.5, Math.max(b - a - 1, 0.5), h - 1);
    if (b - a > 90) {
      const text = clipped(state === WOKEN ? "runnable, not running" : "preempted, runnable", b - a - 10);
      context.fillStyle = ink.back;
      context.fillRect(a + 4, y + 2, text.length * 6.2 + 4, h - 4);
      write(text, a + 6, y + h - 5);
    }
  } else {
    context.fillStyle = ink.faint;
    context.fillRect(a, y + h / 2 - 1, b - a, 1.5);
    if ((state === ASLEEP || state === CAPPED) && b - a > 60) {
      const what = meta.objects[spans.other[id] - 1], text = clipped(state === CAPPED ? "held by a CPU cap" : what ? "asleep: " + what : "asleep", b - a - 10);
      context.fillStyle = ink.back;
      context.fillRect(a + 4, y + 2, text.length * 6.2 + 4, h - 4);
      write(text, a + 6, y + h - 5, ink.faint);
    }
  }
}
// Everything of one pixel's time: how much of it ran, from below, and how much waited, above that.
function dense(l, i, j, x, y, h) {
  const long = 1 / px(), ran = Math.min(1, (l.ran[j] - l.ran[i]) / long), waited = Math.min(1, (l.waited[j] - l.waited[i]) / long);
  if (ran > 0) {
    let k = i;
    while (k < j - 1 && k < i + 16 && ((spans.state[l.ids[k]] & 7) !== RUN || isIdle(spans.thread[l.ids[k]]))) k++;
    context.fillStyle = colourOf(spans.thread[l.ids[k]]) || "#999999";
    const tall = Math.max(2, ran * h);
    context.fillRect(x, y + h - tall, 1, tall);
  }
  if (waited > 0) {
    context.fillStyle = ink.text;
    const tall = Math.max(2, waited * (h - ran * h));
    context.fillRect(x, y + h - ran * h - tall, 1, tall);
  }
}
function drawSpans(l, y, h) {
  const n = l.from.length;
  for (let i = after(l.to, t0); i < n && l.from[i] < t1;) {
    const a = Math.max(X(l.from[i]), LEFT), b = Math.min(X(l.to[i]), width);
    if (b - a >= 1.5) { box(l, i, a, b, y, h); i++; continue; }
    const x = Math.floor(a), j = Math.max(i + 1, after(l.to, T(x + 1), i));
    dense(l, i, j, x, y, h);
    i = j;
  }
}
// Interrupts on top of a CPU, and its two flags below.
function drawBars(cpu, kind, y, h, colour) {
  const ids = barsOfCpu[cpu * 3 + kind];
  let free = LEFT;
  context.fillStyle = colour;
  for (let k = reaching(ids, t0); k < ids.length && bars.from[ids[k]] < t1;) {
    const a = Math.max(X(bars.from[ids[k]]), free), b = Math.min(Math.max(X(bars.to[ids[k]]), a + 1), width);
    if (bars.to[ids[k]] >= t0 && X(bars.to[ids[k]]) > free) { context.fillRect(a, y, b - a, h); free = b; }
    // What begins inside of what is drawn already is covered by it, except the last, which may go on behind it.
    k = Math.max(k + 1, first(ids, bars.from, T(free), k) - 1);
  }
}
const LETTERS = { preempt: "P", surrender: "U", steal: "S", nosteal: "N", poke: "!", "change-pri": "c", "change-epri": "i", release: "r", "cpucaps-sleep": "Q", "cpucaps-wakeup": "q", "runrun-take": "t", "kprunrun-take": "T" };
function drawMarks(l, y) {
  for (let k = first(l.marks, marks.at, t0); k < l.marks.length && marks.at[l.marks[k]] < t1;) {
    const x = X(marks.at[l.marks[k]]), letter = LETTERS[meta.kinds[marks.kind[l.marks[k]]]];
    if (letter !== undefined) write(letter, x, y, ink.text, "center");
    k = Math.max(k + 1, first(l.marks, marks.at, T(x + 7), k));
  }
}
function step() {
  const rough = (t1 - t0) / Math.max(2, (width - LEFT) / 110), power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
}
function rule(t, colour, text, dashed, row) {
  if (t < t0 || t > t1) return;
  const x = X(t);
  context.strokeStyle = colour;
  context.lineWidth = dashed ? 1 : 2.5;
  context.setLineDash(dashed ? [5, 4] : []);
  context.beginPath();
  context.moveTo(x, TOP - 4);
  context.lineTo(x, height - 16 * (row + 1));
  context.stroke();
  context.setLineDash([]);
  context.lineWidth = 1;
  const near = x > (LEFT + width) / 2;
  write(text, x + (near ? -4 : 4), height - 16 * (row + 1) + 10, colour, near ? "right" : "left");
}
function arrows(tops) {
  let left = ARROWS;
  context.strokeStyle = context.fillStyle = ink.text;
  for (const l of lanes()) {
    if (l.kind !== "thread") continue;
    for (let i = after(l.from, t0); i < l.from.length && l.from[i] < t1; i++) {
      const id = l.ids[i], waker = spans.other[id] - 1;
      if ((spans.state[id] & 7) !== WOKEN || waker < 0) continue;
      if (--left < 0) return false;
      const other = threadLanes[waker], at = other === null || !other ? -1 : spanAt(other, spans.from[id] - 1);
      const cpu = at >= 0 && (spans.state[other.ids[at]] & 7) === RUN ? cpuLanes[spans.other[other.ids[at]]] : null;
      const source = tops.get(other) !== undefined ? other : cpu;
      if (!source || tops.get(source) === undefined) continue;
      const x = X(l.from[i]), down = tops.get(l) > tops.get(source);
      const y1 = tops.get(source) + (down ? source.height - 8 : 6), y2 = tops.get(l) + (down ? 4 : l.height - 4);
      context.beginPath();
      context.moveTo(x, y1);
      context.lineTo(x, y2);
      context.stroke();
      context.beginPath();
      context.moveTo(x, y2);
      context.lineTo(x - 3, y2 + (down ? -6 : 6));
      context.lineTo(x + 3, y2 + (down ? -6 : 6));
      context.fill();
    }
  }
  return true;
}
function draw() {
  const ratio = window.devicePixelRatio || 1, all = lanes();
  width = Math.max(480, canvas.parentElement.clientWidth);
  height = TOP + all.reduce((sum, l) => sum + l.height, 0) + 16 * (meta.breaches.length * 2 + 1);
  canvas.style.width = width + "px";
  canvas.style.height = height + "px";
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = ink.back;
  context.fillRect(0, 0, width, height);
  const every = step();
  for (let t = Math.ceil(t0 / every) * every; t < t1; t += every) {
    context.fillStyle = ink.grid;
    context.fillRect(X(t), TOP - 6, 1, height - TOP);
    write(ns(Math.round(t)), X(t), TOP - 10, ink.faint, "center");
  }
  const tops = new Map();
  let y = TOP;
  for (const l of all) {
    tops.set(l, y);
    const h = l.height - (l.kind === "cpu" ? 20 : 8), top = y + (l.kind === "cpu" ? 9 : 4);
    if (l === selected) { context.fillStyle = ink.grid; context.fillRect(0, y, LEFT - 4, l.height); }
    context.save();
    context.beginPath();
    context.rect(LEFT, y, width - LEFT, l.height);
    context.clip();
    for (const b of meta.breaches) {
      if (b.at === null || l.kind !== "thread" || threads[l.index].name !== b.thread) continue;
      context.fillStyle = ink.red;
      context.globalAlpha = 0.18;
      context.fillRect(X(b.began), y, X(b.at) - X(b.began), l.height);
      context.globalAlpha = 1;
    }
    drawSpans(l, top, h);
    if (l.kind === "cpu") {
      drawBars(l.index, 0, y + 2, 5, ink.bar);
      drawBars(l.index, 1, top + h + 2, 3, "#e69f00");
      drawBars(l.index, 2, top + h + 6, 3, "#d55e00");
    }
    drawMarks(l, l.kind === "cpu" ? top - 1 : y + l.height - 1);
    context.restore();
    write(clipped(l.name, LEFT - 12), LEFT - 8, y + (l.kind === "cpu" ? 24 : 17), ink.text, "right");
    y += l.height;
  }
  context.save();
  context.beginPath();
  context.rect(LEFT, 0, width - LEFT, height);
  context.clip();
  const drewAll = arrows(tops);
  meta.breaches.forEach((b, n) => {
    if (b.at === null) return;
    rule(b.began, ink.red, `${b.thread || b.monitor}: begins to wait, ${ns(b.began)}`, true, n * 2 + 1);
    rule(b.at, ink.red, b.text, false, n * 2);
  });
  context.restore();
  byId("range").textContent = `${moment(t0)} to ${moment(t1)} (${ns(t1 - t0)})${drewAll ? "" : "; too many wake-ups to draw their arrows"}`;
  clearTimeout(telling);
  telling = setTimeout(() => { byId("summary").textContent = summary(); }, 150);
}
// The view in words: for who cannot see it, and what a test reads.
function summary() {
  const said = [];
  for (const l of lanes()) {
    const sums = new Map();
    const n = l.from.length;
    for (let i = after(l.to, t0), left = 20000; i < n && l.from[i] < t1 && left > 0; i++, left--) {
      const id = l.ids[i], state = spans.state[id] & 7, t = spans.thread[id];
      const key = l.kind === "cpu" ? (isIdle(t) ? "idle" : threads[t].name) : state === RUN ? "ran" : state <= PREEMPTED ? "waited to run" : "was asleep or off";
      sums.set(key, (sums.get(key) || 0) + Math.min(l.to[i], t1) - Math.max(l.from[i], t0));
    }
    const parts = [...sums].sort((a, b) => b[1] - a[1]).slice(0, 4).map(([key, long]) => `${key} ${(100 * long / (t1 - t0)).toFixed(1)} %`);
    said.push(`${l.name}: ${parts.join(", ") || "nothing recorded"}`);
  }
  return said.join("; ");
}

// ---- what is under a point, in words ----

function laneAt(y) {
  let top = TOP;
  for (const l of lanes()) { if (y >= top && y < top + l.height) return l; top += l.height; }
  return null;
}
function told(l, t) {
  const lines = [`${l.name} at ${moment(t)}`], i = spanAt(l, t);
  if (i >= 0) {
    const id = l.ids[i], state = spans.state[id] & 7, other = spans.other[id], long = `${ns(l.to[i] - l.from[i])} from ${moment(l.from[i])}${spans.state[id] & 128 ? ", not over at the end" : ""}`;
    const what = state === RUN ? `runs on cpu ${other}` : state === WOKEN ? "runnable, woken" + (other ? " by " + label(other - 1) : "") : state === PREEMPTED ? "runnable, its CPU was taken or given up" : state === CAPPED ? "held by a CPU cap" : state === ASLEEP ? "asleep" + (other ? ": " + meta.objects[other - 1] : "") : "off its CPU";
    lines.push(`${label(spans.thread[id])}, priority ${spans.pri[id]}`, `${what}: ${long}`);
  }
  if (l.kind === "cpu") {
    for (const kind of [0, 1, 2]) {
      const ids = barsOfCpu[l.index * 3 + kind];
      for (let k = reaching(ids, t); k < ids.length && bars.from[ids[k]] <= t; k++) {
        const b = ids[k];
        if (bars.to[b] < t) continue;
        lines.push(kind === 0 ? `interrupt of level ${bars.level[b]}: ${ns(bars.to[b] - bars.from[b])}` : `${kind === 1 ? "cpu_runrun" : "cpu_kprunrun"} is set since ${moment(bars.from[b])}, by ${label(bars.by[b])}`);
      }
    }
  }
  const reach = 6 / px();
  for (let k = first(l.marks, marks.at, t - reach), left = 6; k < l.marks.length && marks.at[l.marks[k]] <= t + reach && left > 0; k++, left--) {
    const m = l.marks[k];
    lines.push(`${moment(marks.at[m])} ${meta.kinds[marks.kind[m]]} ${label(marks.thread[m])} ${meta.texts[marks.text[m]]}`);
  }
  return lines.join("\n");
}

// ---- who may ask for what ----

const tip = byId("tip");
let drag = null;
canvas.addEventListener("mousemove", (e) => {
  const rect = canvas.getBoundingClientRect(), x = e.clientX - rect.left, y = e.clientY - rect.top;
  if (drag) { const moved = (drag.x - x) / px(); drag.x = x; drag.moved = true; show(t0 + moved, t1 + moved); return; }
  const l = laneAt(y);
  tip.hidden = l === null || x < LEFT;
  if (tip.hidden) return;
  tip.textContent = told(l, T(x));
  tip.style.left = Math.min(e.pageX + 14, window.innerWidth - 330) + "px";
  tip.style.top = e.pageY + 14 + "px";
});
canvas.addEventListener("mouseleave", () => { tip.hidden = true; });
canvas.addEventListener("mousedown", (e) => { drag = { x: e.clientX - canvas.getBoundingClientRect().left, moved: false }; canvas.focus(); });
window.addEventListener("mouseup", (e) => {
  const was = drag;
  drag = null;
  if (!was || was.moved) return;
  const rect = canvas.getBoundingClientRect();
  selected = laneAt(e.clientY - rect.top);
  if (selected) byId("picked").textContent = told(selected, T(e.clientX - rect.left));
  redraw();
});
canvas.addEventListener("wheel", (e) => {
  e.preventDefault();
  if (Math.abs(e.deltaX) > Math.abs(e.deltaY) || e.shiftKey) return pan((e.deltaX || e.deltaY) / 1000);
  zoom(Math.exp(e.deltaY / 400), T(e.clientX - canvas.getBoundingClientRect().left));
}, { passive: false });
function toViolation() {
  const b = meta.breaches.find((breach) => breach.at !== null);
  if (b) show(b.began - (b.at - b.began) * 0.25, b.at + (b.at - b.began) * 0.35);
}
// From one span of the chosen lane to the next that is no idling.
function next(direction) {
  const l = selected || cpuLanes[0], middle = (t0 + t1) / 2;
  let i = direction > 0 ? after(l.from, middle + 1) : after(l.from, middle - 1) - 1;
  while (i >= 0 && i < l.from.length && l.kind === "cpu" && isIdle(spans.thread[l.ids[i]])) i += direction;
  if (i < 0 || i >= l.from.length) return;
  show(l.from[i] - (t1 - t0) / 2, l.from[i] + (t1 - t0) / 2);
  byId("picked").textContent = told(l, l.from[i]);
}
const keys = {
  "+": () => zoom(0.6), "=": () => zoom(0.6), w: () => zoom(0.6), "-": () => zoom(1 / 0.6), s: () => zoom(1 / 0.6),
  ArrowLeft: () => pan(-0.2), a: () => pan(-0.2), ArrowRight: () => pan(0.2), d: () => pan(0.2),
  0: () => show(meta.first, meta.last), Home: () => show(meta.first, meta.last), v: toViolation, n: () => next(1), p: () => next(-1),
  "/": () => byId("search").focus(), "?": () => { byId("help").open = !byId("help").open; },
};
document.addEventListener("keydown", (e) => {
  if (e.target === byId("search")) { if (e.key === "Escape") canvas.focus(); return; }
  if (e.ctrlKey || e.metaKey || e.altKey || keys[e.key] === undefined) return;
  e.preventDefault();
  keys[e.key]();
});
const button = (text, act, pressed) => {
  const b = document.createElement("button");
  b.type = "button";
  b.textContent = text;
  if (pressed !== undefined) b.setAttribute("aria-pressed", String(pressed));
  b.addEventListener("click", act);
  return b;
};
// Threads whose names have the words that are searched for; each can be given a lane, or its lane taken away.
function list() {
  const wanted = byId("search").value.toLowerCase(), found = byId("threads");
  found.textContent = "";
  threads.forEach((t, n) => {
    if (t.idle || spansOfThread[n].length === 0 || !`${t.name} ${t.class} ${t.id}`.toLowerCase().includes(wanted)) return;
    found.append(button(`${t.name} ${t.class} t${t.id}`, () => toggle(n), shown.includes(n)));
  });
}
function toggle(n) {
  const at = shown.indexOf(n);
  if (at < 0) shown.push(n); else shown.splice(at, 1);
  list();
  redraw();
}
byId("search").addEventListener("input", list);
byId("search").addEventListener("keydown", (e) => {
  const first = byId("threads").firstElementChild;
  if (e.key !== "Enter" || first === null) return;
  if (first.getAttribute("aria-pressed") === "false") first.click();
  const n = threads.findIndex((t) => first.textContent.endsWith(` t${t.id}`));
  selected = threadLanes[n];
  canvas.focus();
  redraw();
});
byId("verdict").textContent = meta.verdict;
meta.why.forEach((line) => { const p = document.createElement("p"); p.textContent = line; byId("why").append(p); });
meta.waits.forEach((w) => byId("waits").append(button(w.text, () => {
  if (!shown.includes(w.thread)) toggle(w.thread);
  selected = threadLanes[w.thread];
  show(w.from - (w.to - w.from) * 0.3, w.to + (w.to - w.from) * 0.3);
})));
for (const [name, colour] of Object.entries(classColours)) {
  const item = document.createElement("span");
  item.className = "class";
  item.textContent = name;
  item.style.setProperty("--swatch", colour);
  byId("legend").append(item);
}
byId("controls").append(button("−", () => zoom(1 / 0.6)), button("+", () => zoom(0.6)), button("◀", () => pan(-0.3)), button("▶", () => pan(0.3)), button("all", () => show(meta.first, meta.last)));
if (meta.breaches.some((b) => b.at !== null)) byId("controls").append(button("violation", toViolation));
// `#from=50ms&to=100ms` in the address opens that interval.
function fromAddress() {
  const parse = (text) => { const m = /^([0-9.]+)(ns|us|ms|s)$/.exec(text || ""); return m ? m[1] * { ns: 1, us: 1e3, ms: 1e6, s: 1e9 }[m[2]] : NaN; };
  const asked = new URLSearchParams(location.hash.slice(1)), from = parse(asked.get("from")), to = parse(asked.get("to"));
  if (from < to) show(from, to);
}
window.addEventListener("hashchange", fromAddress);
window.addEventListener("resize", redraw);
const restyle = () => { theme(); draw(); };
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
window.addEventListener("beforeprint", () => { document.documentElement.classList.add("print"); restyle(); });
window.addEventListener("afterprint", () => { document.documentElement.classList.remove("print"); restyle(); });
list();
fromAddress();
theme();
draw();
byId("summary").textContent = summary();
document.documentElement.dataset.drawn = String(Math.round(performance.now()));
})();
