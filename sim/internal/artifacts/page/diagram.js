// The space-time diagram: hosts are columns, time goes down, a packet is a line from when it was sent to when it arrived.
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const KINDS = [
  ["data", "--packet", "with data"],
  ["ack", "--ack", "TCP without data"],
  ["other", "--udp", "UDP and others"],
  ["again", "--again", "sent again, or a copy"],
  ["dropped", "--dropped", "dropped"],
];
const kindOf = (i) => {
  if (packets.fate[i] === DROPPED) return 4;
  if (packets.bits[i] & (AGAIN | COPY)) return 3;
  if (word(packets.proto[i]) !== "tcp") return 2;
  return packets.len[i] ? 0 : 1;
};

// Of packets whose labels would lie on each other, the one that says most keeps its label: an acknowledgement alone says least.
const telling = (i) => {
  const kind = kindOf(i);
  return kind === 1 ? (/[SFR]/.test(word(packets.flags[i])) ? 1 : 0) : kind + 2;
};

// A warp maps instants to heights. One that folds draws long idle times as short ones.
const makeWarp = (fold) => {
  if (!fold) return { to: (t) => t, back: (w) => w, end };
  const times = [0, end];
  const flights = [];
  for (let i = 0; i < count; i++) {
    times.push(packets.at[i], packets.at[i] + packets.end[i]);
    if (packets.fate[i] === DELIVERED) flights.push(packets.end[i]);
  }
  for (const m of run.Marks) times.push(m.At);
  for (const l of run.Lines) times.push(l.At);
  const sorted = Float64Array.from(times).sort();
  flights.sort((a, b) => a - b);
  const usual = flights.length ? flights[Math.floor(flights.length * 0.95)] : 0;
  const most = Math.max(2 * usual, 1000, end / 1e6);
  const real = [sorted[0]], drawn = [0];
  for (let i = 1; i < sorted.length; i++) {
    const gap = sorted[i] - real[real.length - 1];
    if (gap <= 0) continue;
    real.push(sorted[i]);
    drawn.push(drawn[drawn.length - 1] + Math.min(gap, most));
  }
  const map = (x, from, to) => {
    let low = 0, high = from.length - 1;
    if (x <= from[0]) return to[0] + (x - from[0]);
    if (x >= from[high]) return to[high] + (x - from[high]);
    while (high - low > 1) {
      const mid = (low + high) >> 1;
      if (from[mid] <= x) low = mid;
      else high = mid;
    }
    return to[low] + ((x - from[low]) / (from[high] - from[low])) * (to[high] - to[low]);
  };
  return { to: (t) => map(t, real, drawn), back: (w) => map(w, drawn, real), end: drawn[drawn.length - 1] };
};

// prepare makes the canvas as sharp as the screen is and returns what draws on it.
const prepare = (canvas) => {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(box.width * ratio);
  canvas.height = Math.round(box.height * ratio);
  const g = canvas.getContext("2d");
  g.setTransform(ratio, 0, 0, ratio, 0, 0);
  g.clearRect(0, 0, box.width, box.height);
  g.font = "12px ui-monospace, 'DejaVu Sans Mono', monospace";
  g.lineWidth = 1;
  return { g, width: box.width, height: box.height };
};

const longest = packets.end.reduce((a, b) => Math.max(a, b), 0);
// A held packet is in flight for long; most are not. The few that are must not make the search for the rest slow.
const slow = [];
for (let i = 0; i < count; i++) if (packets.end[i] > longest / 4) slow.push(i);
const slowest = slow.length > 1000 ? longest : longest / 4;
const slowSet = slow.length > 1000 ? [] : slow;

// margin returns the room for the times on the left.
const margin = (width) => (width < 600 ? 64 : 104);

const diagram = {
  canvas: document.getElementById("diagram"),
  warp: null, top: 0, bottom: 1, shown: [], columns: [], labels: [], chosen: -1, instant: end,

  // visible returns the packets of the filter that are in flight in the times shown.
  visible() {
    const t0 = this.warp.back(this.top), t1 = this.warp.back(this.bottom);
    const out = [];
    const from = firstAt(this.shown, t0 - slowest, (i) => packets.at[i]);
    for (let k = from; k < this.shown.length; k++) {
      const i = this.shown[k];
      if (packets.at[i] > t1) break;
      if (packets.at[i] + packets.end[i] >= t0) out.push(i);
    }
    if (slowSet.length && from > 0) {
      const before = packets.at[this.shown[Math.min(from, this.shown.length - 1)]];
      const late = slowSet.filter((i) => packets.at[i] < before && packets.at[i] + packets.end[i] >= t0 && this.passes.has(i));
      return late.concat(out);
    }
    return out;
  },

  // setShown takes the packets that pass the filter. Their hosts become the columns.
  setShown(list, all) {
    this.shown = list;
    this.passes = new Set(slowSet.length ? list : []);
    const has = new Set();
    for (const i of list) {
      has.add(packets.from[i]);
      has.add(reaches(i));
    }
    if (all) {
      for (const f of run.Faults) has.add(f.A).add(f.B);
      for (const m of run.Marks) has.add(m.From).add(m.To);
    }
    has.delete(-1);
    this.columns = run.Columns.filter((h) => has.has(h));
    if (this.columns.length === 0) this.columns = run.Columns.slice(0, 20);
    this.place = new Map(this.columns.map((h, k) => [h, k]));
  },

  x(host, width) {
    const left = margin(width), right = 24, n = this.columns.length;
    const k = this.place.get(host);
    if (k === undefined) return NaN;
    return n === 1 ? left + (width - left - right) / 2 : left + 24 + (k / (n - 1)) * (width - left - right - 48);
  },
  y(t, height) {
    return ((this.warp.to(t) - this.top) / (this.bottom - this.top)) * height;
  },

  draw() {
    const { g, width, height } = prepare(this.canvas);
    this.width = width;
    this.height = height;
    this.drawAxis(g, width, height);
    this.drawFaults(g, width, height);
    this.drawHosts(g, width, height);
    const visible = this.visible();
    this.drawPackets(g, width, height, visible);
    this.drawMarks(g, width, height);
    g.strokeStyle = colour("--accent");
    const at = this.y(this.instant, height);
    g.beginPath();
    g.setLineDash([6, 4]);
    g.moveTo(0, at);
    g.lineTo(width, at);
    g.stroke();
    g.setLineDash([]);
    return visible;
  },

  drawAxis(g, width, height) {
    g.fillStyle = colour("--quiet");
    g.strokeStyle = colour("--line");
    const lines = Math.max(2, Math.floor(height / 60));
    const span = this.warp.back(this.bottom) - this.warp.back(this.top);
    for (let k = 0; k <= lines; k++) {
      const y = (k / lines) * height;
      const t = this.warp.back(this.top + (k / lines) * (this.bottom - this.top));
      g.beginPath();
      g.moveTo(0, y);
      g.lineTo(width, y);
      g.stroke();
      if (t < 0 || t > end) continue; // in the margin
      const digits = Math.min(9, Math.max(0, Math.ceil(-Math.log10(Math.max(span, 1) / 1e9)) + 3));
      g.fillText((t / 1e9).toFixed(digits) + " s", 3, Math.min(height - 3, Math.max(11, y - 3)));
    }
  },

  drawHosts(g, width, height) {
    g.strokeStyle = colour("--quiet");
    const names = document.getElementById("hosts");
    names.replaceChildren();
    let free = -Infinity;
    const room = this.columns.length > 1 ? this.x(this.columns[1], width) - this.x(this.columns[0], width) : width;
    for (const h of this.columns) {
      const x = this.x(h, width);
      g.beginPath();
      g.moveTo(x, 0);
      g.lineTo(x, height);
      g.stroke();
      if (x < free) continue;
      const label = document.createElement("span");
      label.textContent = hostName(h);
      label.style.left = x + "px";
      label.style.maxWidth = Math.max(room, 48) - 6 + "px";
      names.append(label);
      free = x + Math.min(room, 48);
    }
  },

  drawFaults(g, width, height) {
    const labels = [];
    for (const f of run.Faults) {
      if (f.Never) continue;
      const y0 = Math.max(-2, this.y(f.Begun, height)), y1 = Math.min(height + 2, this.y(f.Over < 0 ? end : f.Over, height));
      if (y1 < 0 || y0 > height) continue;
      const a = this.x(f.A, width), b = this.x(f.B, width);
      let x0 = 0, x1 = width;
      if (f.A >= 0 && f.B >= 0 && isFinite(a) && isFinite(b)) [x0, x1] = [Math.min(a, b), Math.max(a, b)];
      else if (f.A >= 0 && isFinite(a)) [x0, x1] = [a - 16, a + 16];
      else if (f.A >= 0) continue;
      g.fillStyle = colour("--fault");
      g.fillRect(x0, y0, x1 - x0, Math.max(y1 - y0, 2));
      const at = Math.max(y0, 0) + 13;
      if (!labels.some((l) => Math.abs(l - at) < 13) && labels.length < 40) {
        labels.push(at);
        g.fillStyle = colour("--dropped");
        const from = Math.max(x0 + 4, margin(width)); // next to the times, not over them
        g.fillText(f.Name, from, Math.min(at, height - 4), Math.max(width - from - 4, 24));
      }
    }
  },

  drawPackets(g, width, height, visible) {
    const room = visible.length <= 45 && width >= 600;
    const lanes = KINDS.map(() => new Map());
    const crosses = [];
    for (const i of visible) {
      const kind = kindOf(i);
      let x0 = this.x(packets.from[i], width), x1 = this.x(reaches(i), width);
      let y0 = this.y(packets.at[i], height), y1 = this.y(packets.at[i] + packets.end[i], height);
      if (!isFinite(x0) || !isFinite(x1)) continue;
      if (packets.fate[i] === DROPPED) {
        x1 = x0 + (x1 - x0) * 0.45;
        crosses.push(x1, y1);
      } else if (packets.fate[i] === IN_FLIGHT) {
        y1 = this.y(end, height);
        x1 = x0 + (x1 - x0) * 0.5;
      }
      // Lines on the same pixels are drawn once, so a hundred thousand take no longer than a screenful.
      const lane = lanes[kind], key = packets.from[i] * 65536 + reaches(i);
      let list = lane.get(key);
      if (!list) lane.set(key, (list = []));
      const n = list.length;
      if (n && Math.abs(list[n - 3] - y0) < 0.5 && Math.abs(list[n - 1] - y1) < 0.5) continue;
      list.push(x0, y0, x1, y1);
    }
    KINDS.forEach(([, name], kind) => {
      g.strokeStyle = colour(name);
      g.lineWidth = kind >= 3 ? 1.6 : 1;
      g.beginPath();
      for (const list of lanes[kind].values())
        for (let k = 0; k < list.length; k += 4) {
          g.moveTo(list[k], list[k + 1]);
          if (list[k] === list[k + 2]) g.arc(list[k] + 5, list[k + 1], 5, Math.PI, 3 * Math.PI);
          else g.lineTo(list[k + 2], list[k + 3]);
        }
      g.stroke();
    });
    g.lineWidth = 1.6;
    g.strokeStyle = colour("--dropped");
    g.beginPath();
    let last = -10;
    for (let k = 0; k < crosses.length; k += 2) {
      const x = crosses[k], y = crosses[k + 1];
      if (Math.abs(y - last) < 1 && crosses.length > 200) continue;
      last = y;
      g.moveTo(x - 4, y - 4);
      g.lineTo(x + 4, y + 4);
      g.moveTo(x + 4, y - 4);
      g.lineTo(x - 4, y + 4);
    }
    g.stroke();
    g.lineWidth = 1;
    if (room) this.drawLabels(g, width, height, visible);
    if (this.chosen >= 0 && visible.includes(this.chosen)) {
      g.fillStyle = colour("--accent");
      g.beginPath();
      g.arc(this.x(packets.from[this.chosen], width), this.y(packets.at[this.chosen], height), 5, 0, 2 * Math.PI);
      g.fill();
    }
  },

  drawLabels(g, width, height, visible) {
    const taken = [];
    this.labels = [];
    g.textAlign = "center";
    for (const i of [...visible].sort((a, b) => telling(b) - telling(a))) {
      const x = (this.x(packets.from[i], width) + this.x(reaches(i), width)) / 2;
      const y = (this.y(packets.at[i], height) + this.y(packets.at[i] + packets.end[i], height)) / 2 - 4;
      if (taken.some(([a, b]) => Math.abs(a - x) < 160 && Math.abs(b - y) < 13)) continue;
      taken.push([x, y]);
      g.fillStyle = colour(KINDS[kindOf(i)][1]);
      const label = describe(i) + (packets.fate[i] === DROPPED ? ": " + word(packets.note[i]) : "");
      this.labels.push(label);
      g.fillText(label, x, y);
    }
    g.textAlign = "start";
  },

  drawMarks(g, width, height) {
    const t0 = this.warp.back(this.top), t1 = this.warp.back(this.bottom);
    let free = -20, drawn = 0;
    const tell = (at, x, name, text) => {
      const y = this.y(at, height);
      g.fillStyle = colour(name);
      g.fillRect(x - 3, y - 3, 6, 6);
      if (y - free < 13 || width < 600) return;
      free = y;
      const short = text.length > 60 ? text.slice(0, 59) + "\u2026" : text, wide = g.measureText(short).width;
      const left = x + 7 + wide < width ? x + 7 : Math.max(x - 7 - wide, 0);
      g.fillStyle = colour("--paper");
      g.fillRect(left - 2, y - 7, wide + 4, 14);
      g.fillStyle = colour(name);
      g.fillText(short, left, y + 4);
    };
    const all = run.Marks.map((m) => [m.At, m.From >= 0 ? this.x(m.From, width) : 8, "--quiet", m.Note])
      .concat(run.Lines.map((l) => [l.At, width < 600 ? 60 : 98, "--log", l.Text.split("\n")[0]]))
      .filter(([at, x]) => at >= t0 && at <= t1 && isFinite(x))
      .sort((a, b) => a[0] - b[0]);
    for (const [at, x, name, text] of all) if (drawn++ < 2000) tell(at, x, name, text);
  },

  // nearest returns the packet nearest to a place on the canvas, or -1.
  nearest(px, py) {
    let best = -1, least = 12;
    for (const i of this.visible()) {
      const x0 = this.x(packets.from[i], this.width), x1 = this.x(reaches(i), this.width);
      const y0 = this.y(packets.at[i], this.height), y1 = this.y(packets.at[i] + packets.end[i], this.height);
      const along = x1 === x0 ? 0 : Math.min(1, Math.max(0, (px - x0) / (x1 - x0)));
      const d = Math.hypot(px - (x0 + along * (x1 - x0)), py - (y0 + along * (y1 - y0)));
      if (d < least) [best, least] = [i, d];
    }
    return best;
  },
};
