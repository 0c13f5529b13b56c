// The page around the diagram.
const by = (id) => document.getElementById(id);
const cell = (row, text, kind, tag = "td") => {
  const c = document.createElement(tag);
  c.textContent = text;
  if (kind) c.className = kind;
  if (tag === "th") c.scope = "col";
  row.append(c);
};
const fill = (table, head, rows) => {
  const top = document.createElement("thead"), body = document.createElement("tbody"), tr = document.createElement("tr");
  for (const h of head) cell(tr, h, "", "th");
  top.append(tr);
  for (const { kind, cells } of rows) {
    const r = document.createElement("tr");
    if (kind) r.className = kind;
    for (const c of cells) typeof c === "number" ? cell(r, c.toLocaleString("en"), "number") : cell(r, c);
    body.append(r);
  }
  table.replaceChildren(top, body);
};

const header = () => {
  by("verdict").textContent = run.Failed ? "Failed" : "Passed";
  by("verdict").className = run.Failed ? "failed" : "passed";
  by("sentence").textContent = run.Sentence;
  by("command").textContent = run.Command;
  by("second").textContent = run.Second;
  by("report").textContent = run.Report;
  by("story").textContent = run.Story;
  by("story-box").hidden = !run.Story;
  const facts = [["package", run.Package], ["seed", run.Seed], ["virtual time", brief(run.Elapsed)], ["events", run.Total.toLocaleString("en")], ["trace", run.Hash],
    ["hosts", String(run.Hosts.filter((h) => !h.Router).length)]];
  for (const [name, value] of facts) {
    const div = document.createElement("div"), dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    div.append(dt, dd);
    by("facts").append(div);
  }
  by("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(run.Command.split("\n")[0]);
      by("copy").textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(by("command"));
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
  });
  for (const [, name, text] of KINDS.concat([["", "--log", "logged"]])) legend(name, text, "");
  if (run.Faults.length) legend("--fault", "a fault is active", "span");
};
const legend = (name, text, kind) => {
  const li = document.createElement("li"), i = document.createElement("i");
  i.style.color = `var(${name})`;
  if (kind) i.className = kind;
  li.append(i, text);
  by("legend").append(li);
};

const showTable = () => {
  const t = diagram.instant;
  by("instant").textContent = seconds(t) + " s";
  const last = new Map();
  for (let i = 0; i < states.at.length && states.at[i] <= t; i++) last.set(states.conn[i], i);
  const rows = [];
  for (const [c, i] of last) {
    const name = word(states.state[i]);
    if (name === "CLOSED" && states.at[i] < t) continue;
    const conn = run.Conns[c];
    rows.push({
      order: conn.Host,
      cells: [hostName(conn.Host), conn.Local, (conn.Peer >= 0 ? hostName(conn.Peer) + " " : "") + conn.Remote, name, states.recvq[i], states.sendq[i], states.flight[i], states.cwnd[i],
        states.ssthresh[i] < 0 ? "\u221e" : states.ssthresh[i], states.window[i], brief(states.srtt[i] * 1e3), brief(states.rto[i] * 1e3), states.again[i]],
    });
  }
  rows.sort((a, b) => a.order - b.order);
  const most = 500;
  if (rows.length > most) rows.splice(most, rows.length, { cells: ["and " + (rows.length - most) + " more"] });
  if (rows.length === 0) rows.push({ cells: ["No TCP connection is open at this instant."] });
  fill(by("table"), ["host", "local", "peer", "state", "receive queue B", "send queue B", "in flight", "cwnd", "ssthresh", "peer's window B", "SRTT", "RTO", "sent again"], rows);
};

const showFaults = () => {
  const rows = run.Faults.map((f) => ({
    cells: [f.Never ? (f.Begun >= 0 ? "due at " + seconds(f.Begun) + " s, after the end" : "never began") : seconds(f.Begun) + " s",
      f.Never ? "" : f.Over < 0 ? "lasts" : seconds(f.Over) + " s", f.Name, f.Met, f.Code],
  }));
  if (rows.length === 0) rows.push({ cells: ["No faults."] });
  fill(by("faults"), ["begins", "ends", "fault", "fired", "Go"], rows);
};

let listed = 300;
const showEvents = () => {
  const t0 = Math.max(diagram.warp.back(diagram.top), diagram.listFrom || 0), t1 = diagram.warp.back(diagram.bottom);
  const rows = [];
  const add = (at, kind, cells) => rows.push({ at, kind, cells: [seconds(at), ...cells] });
  const from = firstAt(diagram.shown, t0, (i) => packets.at[i]);
  for (let k = from; k < diagram.shown.length && k < from + listed; k++) {
    const i = diagram.shown[k];
    if (packets.at[i] > t1) break;
    const kind = packets.fate[i] === DROPPED ? "dropped" : packets.bits[i] & AGAIN ? "again" : "";
    add(packets.at[i], kind + (i === diagram.chosen ? " chosen" : ""), [ends(i), describe(i), fate(i) + (packets.end[i] ? " after " + brief(packets.end[i]) : ""), word(packets.note[i])]);
  }
  const words = by("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  const passes = (text) => words.every((w) => text.toLowerCase().includes(w));
  for (const m of run.Marks) {
    const where = [hostName(m.From), hostName(m.To)].filter(Boolean).join(" - ");
    if (m.At >= t0 && m.At <= t1 && passes(where + " " + m.Note)) add(m.At, "", [where, m.Note, "", ""]);
  }
  for (const l of run.Lines) if (l.At >= t0 && l.At <= t1 && passes(l.Text)) add(l.At, "log", ["log", l.Text, "", ""]);
  rows.sort((a, b) => a.at - b.at);
  by("more").hidden = rows.length <= listed;
  fill(by("events"), ["s", "who", "what", "then", "note"], rows.slice(0, listed));
};

const chooseInstant = (t) => {
  diagram.instant = Math.min(Math.max(t, 0), end);
  by("slider").value = Math.round((diagram.warp.to(diagram.instant) / diagram.warp.end) * 1000);
  showTable();
};

const choose = (i) => {
  diagram.chosen = i;
  if (i < 0) return;
  diagram.listFrom = packets.at[i];
  chooseInstant(packets.at[i]);
  by("detail").textContent = `${seconds(packets.at[i])} s  ${ends(i)}  ${describe(i)}\n${fate(i)}` +
    (packets.end[i] ? ` after ${brief(packets.end[i])}` : "") + (word(packets.note[i]) ? `: ${word(packets.note[i])}` : "") + `; ${packets.size[i]} B on the wire, event ${packets.n[i]}`;
  const y = diagram.warp.to(packets.at[i]);
  if (y < diagram.top || y > diagram.bottom) look(y - (diagram.bottom - diagram.top) / 2, y + (diagram.bottom - diagram.top) / 2);
  else redraw();
};

let asked = false;
const redraw = () => {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    const visible = diagram.draw();
    by("count").textContent = `${plural(visible.length, "packet", "packets")} shown of ${plural(count, "packet", "packets")}` +
      (diagram.shown.length < count ? `, ${diagram.shown.length.toLocaleString("en")} of them match the filter` : "") +
      (run.LeftOut ? `; ${plural(run.LeftOut, "earlier event or packet is", "earlier events or packets are")} left out` : "") + ".";
    by("from").value = seconds(Math.max(diagram.warp.back(diagram.top), 0));
    by("until").value = seconds(Math.min(diagram.warp.back(diagram.bottom), end));
    showEvents();
    document.documentElement.dataset.drawn = String(visible.length);
  });
};

// look shows the part of the diagram between two heights of the warp.
const look = (top, bottom) => {
  const all = diagram.warp.end, least = Math.max(all / 1e8, 10);
  const span = Math.min(Math.max(bottom - top, least), all * 1.04);
  diagram.top = Math.min(Math.max(top, -all * 0.02), all * 1.02 - span);
  diagram.bottom = diagram.top + span;
  listed = 300;
  redraw();
};
const zoom = (factor, around = 0.5) => {
  const at = diagram.top + around * (diagram.bottom - diagram.top);
  look(at - (at - diagram.top) * factor, at + (diagram.bottom - at) * factor);
};
const all = () => look(-diagram.warp.end * 0.02, diagram.warp.end * 1.02);
const move = (part) => {
  const by = part * (diagram.bottom - diagram.top);
  look(diagram.top + by, diagram.bottom + by);
};

const applyFilter = () => {
  const filter = by("filter").value;
  diagram.setShown(matching(filter), filter.trim() === "");
  diagram.listFrom = 0;
  redraw();
};

// step goes to the next packet of the filter for which test holds.
const step = (way, test = () => true) => {
  const list = diagram.shown;
  let k = diagram.chosen < 0 ? (way > 0 ? -1 : list.length) : firstAt(list, diagram.chosen, (i) => i);
  if (diagram.chosen < 0) k = firstAt(list, diagram.warp.back(diagram.top), (i) => packets.at[i]) - (way > 0 ? 1 : 0);
  for (k += way; k >= 0 && k < list.length; k += way)
    if (test(list[k])) return choose(list[k]);
};

const listen = () => {
  const canvas = diagram.canvas;
  let waiting = 0;
  by("filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(applyFilter, 120);
  });
  by("tools").addEventListener("submit", (e) => {
    e.preventDefault();
    applyFilter();
  });
  for (const id of ["from", "until"])
    by(id).addEventListener("change", () => {
      const t0 = Number(by("from").value) * 1e9, t1 = Number(by("until").value) * 1e9;
      if (isFinite(t0) && isFinite(t1) && t1 > t0) look(diagram.warp.to(t0), diagram.warp.to(t1));
      else redraw();
    });
  by("fold").addEventListener("change", () => {
    diagram.warp = makeWarp(by("fold").checked);
    all();
    chooseInstant(diagram.instant);
    drawPlots();
  });
  for (const b of document.querySelectorAll("[data-zoom]"))
    b.addEventListener("click", () => ({ in: () => zoom(0.5), out: () => zoom(2), all, up: () => move(-0.5), down: () => move(0.5) })[b.dataset.zoom]());
  by("slider").addEventListener("input", () => {
    diagram.instant = diagram.warp.back((Number(by("slider").value) / 1000) * diagram.warp.end);
    showTable();
    redraw();
  });
  by("conn").addEventListener("change", drawPlots);
  by("more").addEventListener("click", () => {
    listed += 1000;
    showEvents();
  });
  const keys = {
    ArrowUp: () => move(-0.1), ArrowDown: () => move(0.1), PageUp: () => move(-0.9), PageDown: () => move(0.9), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), Home: all,
    n: () => step(1), p: () => step(-1), d: () => step(1, (i) => packets.fate[i] === DROPPED),
  };
  canvas.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || !keys[e.key]) return;
    e.preventDefault();
    keys[e.key]();
  });
  canvas.addEventListener("wheel", (e) => {
    if (!e.ctrlKey) return; // the page's own scrolling
    e.preventDefault();
    zoom(e.deltaY > 0 ? 1.25 : 0.8, e.offsetY / canvas.clientHeight);
  }, { passive: false });
  drag(canvas);
  let width = innerWidth;
  addEventListener("resize", () => {
    redraw();
    if (innerWidth !== width) drawPlots(); // a phone's bars change only the height
    width = innerWidth;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    redraw();
    drawPlots();
  });
};

// Dragging moves the diagram; a click chooses a packet. On a touch screen, dragging scrolls the page.
const drag = (canvas) => {
  let from = null;
  canvas.addEventListener("pointerdown", (e) => {
    from = { y: e.offsetY, top: diagram.top, bottom: diagram.bottom, moved: false };
    if (e.pointerType === "mouse") canvas.setPointerCapture(e.pointerId);
  });
  canvas.addEventListener("pointermove", (e) => {
    if (!from || e.pointerType !== "mouse") return;
    const by = ((from.y - e.offsetY) / canvas.clientHeight) * (from.bottom - from.top);
    from.moved = from.moved || Math.abs(from.y - e.offsetY) > 3;
    if (from.moved) look(from.top + by, from.bottom + by);
  });
  canvas.addEventListener("pointerup", (e) => {
    if (from && !from.moved) {
      const i = diagram.nearest(e.offsetX, e.offsetY);
      if (i >= 0) choose(i);
      else {
        diagram.chosen = -1;
        chooseInstant(diagram.warp.back(diagram.top + (e.offsetY / canvas.clientHeight) * (diagram.bottom - diagram.top)));
        redraw();
      }
    }
    from = null;
  });
  canvas.addEventListener("pointercancel", () => (from = null));
};

// busiest returns the connection that sent most. It is drawn first.
const busiest = () => {
  const sent = new Map();
  const key = (host, peer, from, to) => host + " " + peer + " " + from + " " + to;
  for (let i = 0; i < count; i++) {
    const k = key(packets.from[i], packets.to[i], packets.sport[i], packets.dport[i]);
    if (word(packets.proto[i]) === "tcp") sent.set(k, (sent.get(k) || 0) + packets.len[i]);
  }
  const of = (c) => sent.get(key(c.Host, c.Peer, c.LocalPort, c.ToPort)) || 0;
  return run.Conns.reduce((best, c, i) => (of(c) > of(run.Conns[best]) ? i : best), 0);
};

const begin = () => {
  header();
  run.Conns.forEach((c, i) => {
    const o = document.createElement("option");
    o.value = i;
    o.textContent = connName(c);
    by("conn").append(o);
  });
  if (run.Conns.length) by("conn").value = busiest();
  // If nothing happens most of the time, a diagram to scale shows nothing.
  const folded = makeWarp(true);
  by("fold").checked = folded.end < end / 3;
  diagram.warp = by("fold").checked ? folded : makeWarp(false);
  diagram.setShown(matching(""), true);
  listen();
  showFaults();
  all();
  chooseInstant(end);
  drawPlots();
};
begin();
