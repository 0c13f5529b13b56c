// One connection: a time-sequence diagram and the congestion window, over the lifetime of the connection.
const statesOf = (conn) => {
  const out = [];
  for (let i = 0; i < states.at.length; i++) if (states.conn[i] === conn) out.push(i);
  return out;
};
const connName = (c) => hostName(c.Host) + " " + c.Local + " \u2192 " + (c.Peer >= 0 ? hostName(c.Peer) + " " : "") + c.Remote;

const lifeOf = (list) => {
  if (list.length === 0) return [0, end];
  const first = states.at[list[0]], last = list[list.length - 1];
  return [first, word(states.state[last]) === "CLOSED" ? states.at[last] : end];
};

// axes draws the axes of a plot, and returns how its values map to places.
const axes = (canvas, from, until, most, unit) => {
  const { g, width, height } = prepare(canvas);
  const left = 96, right = 12, top = 12, bottom = 24;
  const w0 = diagram.warp.to(from), w1 = Math.max(diagram.warp.to(until), w0 + 1);
  const x = (t) => left + ((diagram.warp.to(t) - w0) / (w1 - w0)) * (width - left - right);
  const y = (v) => height - bottom - (v / most) * (height - top - bottom);
  g.strokeStyle = colour("--line");
  g.fillStyle = colour("--quiet");
  g.textAlign = "right";
  for (let k = 0; k <= 4; k++) {
    const v = (most * k) / 4;
    g.beginPath();
    g.moveTo(left, y(v));
    g.lineTo(width - right, y(v));
    g.stroke();
    g.fillText(Math.round(v).toLocaleString("en") + (k === 4 ? " " + unit : ""), left - 4, y(v) + 4);
  }
  const ticks = Math.max(2, Math.floor((width - left) / 140));
  for (let k = 0; k <= ticks; k++) {
    const t = diagram.warp.back(w0 + ((w1 - w0) * k) / ticks);
    g.textAlign = k === 0 ? "left" : k === ticks ? "right" : "center";
    g.fillText(brief(t), left + ((width - left - right) * k) / ticks, height - 6);
  }
  g.textAlign = "start";
  return { g, x, y, width, height };
};

const drawSequence = (conn) => {
  const c = run.Conns[conn], [from, until] = lifeOf(statesOf(conn));
  const sent = [], acks = [];
  let most = 1;
  for (let i = 0; i < count; i++) {
    if (word(packets.proto[i]) !== "tcp" || packets.at[i] > until || packets.at[i] + packets.end[i] < from) continue;
    if (c.Peer >= 0 && packets.from[i] + packets.to[i] !== c.Host + c.Peer) continue; // of another connection with the same ports
    if (packets.from[i] === c.Host && packets.sport[i] === c.LocalPort && packets.dport[i] === c.ToPort) {
      if (!packets.len[i]) continue;
      sent.push(i);
      most = Math.max(most, packets.seq[i] + packets.len[i]);
    } else if (packets.to[i] === c.Host && packets.dport[i] === c.LocalPort && packets.sport[i] === c.ToPort && packets.fate[i] === DELIVERED && word(packets.flags[i]).includes("A")) {
      acks.push(i);
    }
  }
  const { g, x, y } = axes(document.getElementById("sequence"), from, until, most, "B");
  for (const [want, name] of [[0, "--packet"], [3, "--again"], [4, "--dropped"]]) {
    g.strokeStyle = colour(name);
    g.lineWidth = 2;
    g.beginPath();
    for (const i of sent) {
      const kind = kindOf(i);
      if (kind !== want) continue;
      const at = x(packets.at[i]), y0 = y(packets.seq[i]), y1 = Math.min(y(packets.seq[i] + packets.len[i]), y0 - 1.5);
      g.moveTo(at, y0);
      g.lineTo(at, y1);
      if (kind === 4) {
        g.moveTo(at - 3, y1 - 3);
        g.lineTo(at + 3, y1 + 3);
        g.moveTo(at + 3, y1 - 3);
        g.lineTo(at - 3, y1 + 3);
      }
    }
    g.stroke();
  }
  acks.sort((a, b) => packets.at[a] + packets.end[a] - packets.at[b] - packets.end[b]);
  g.strokeStyle = colour("--ack");
  g.lineWidth = 1;
  g.beginPath();
  let level = 0;
  g.moveTo(x(from), y(0));
  for (const i of acks) {
    if (packets.ack[i] <= level) continue;
    const at = x(packets.at[i] + packets.end[i]);
    g.lineTo(at, y(level));
    level = packets.ack[i];
    g.lineTo(at, y(level));
  }
  g.lineTo(x(until), y(level));
  g.stroke();
  const again = sent.filter((i) => packets.bits[i] & AGAIN).length, lost = sent.filter((i) => packets.fate[i] === DROPPED).length;
  document.getElementById("plot-note").textContent =
    plural(sent.length, "segment", "segments") + " with data from this end, " + again + " of them sent again, " + lost + " dropped. A stroke is a segment; the line shows what the peer has acknowledged. " +
    "Lower plot: congestion window, slow-start threshold (dashed), in flight (thin), in segments.";
};

const drawWindow = (conn) => {
  const list = statesOf(conn), [from, until] = lifeOf(list);
  let most = 1;
  for (const i of list) most = Math.max(most, states.cwnd[i], states.flight[i]);
  const { g, x, y } = axes(document.getElementById("window"), from, until, most * 1.1, "seg");
  const line = (column, name, dash, wide) => {
    g.strokeStyle = colour(name);
    g.setLineDash(dash);
    g.lineWidth = wide;
    g.beginPath();
    let begun = false, level = 0;
    for (const i of list) {
      const v = column[i];
      if (v < 0) continue;
      const at = x(states.at[i]), h = Math.max(y(v), 2);
      if (begun) g.lineTo(at, level);
      else g.moveTo(at, h);
      g.lineTo(at, h);
      begun = true;
      level = h;
    }
    if (begun) g.lineTo(x(until), level);
    g.stroke();
    g.setLineDash([]);
  };
  line(states.ssthresh, "--dropped", [5, 4], 1);
  line(states.flight, "--ack", [], 1);
  line(states.cwnd, "--packet", [], 2);
};

const drawPlots = () => {
  const conn = Number(document.getElementById("conn").value);
  if (run.Conns.length === 0 || !(conn >= 0)) return;
  drawSequence(conn);
  drawWindow(conn);
};
