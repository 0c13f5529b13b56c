"use strict";
// What the run did, from the columns of the page's data. Instants are nanoseconds since the start.
const run = JSON.parse(document.getElementById("data").textContent);

const undelta = (list) => {
  const out = new Float64Array(list.length);
  let sum = 0;
  for (let i = 0; i < list.length; i++) out[i] = sum += list[i];
  return out;
};
const columnsOf = (table) => Object.fromEntries(Object.entries(table).map(([name, list]) => [name, undelta(list)]));
const packets = columnsOf(run.Packets);
const states = columnsOf(run.States);
const count = packets.at.length;
for (const list of ["Hosts", "Words", "Marks", "Conns", "Faults", "Lines"]) run[list] = run[list] || [];

const IN_FLIGHT = 0, DELIVERED = 1, DROPPED = 2, SENT_ON = 3;
const AGAIN = 1, COPY = 2, IPV6 = 4;

const hostName = (i) => (i < 0 ? "" : run.Hosts[i].Name);
const word = (i) => run.Words[i];

// seconds returns an instant or time in seconds, with all its digits.
const seconds = (ns) => {
  if (!isFinite(ns)) return "";
  const text = (ns / 1e9).toFixed(9).replace(/0+$/, "").replace(/\.$/, "");
  return text === "-0" ? "0" : text;
};
// brief returns a time rounded for reading.
const brief = (ns) => {
  const abs = Math.abs(ns);
  const digits = (v) => String(Number(v.toPrecision(4)));
  if (abs < 1e3) return ns + " ns";
  if (abs < 1e6) return digits(ns / 1e3) + " \u00b5s";
  if (abs < 1e9) return digits(ns / 1e6) + " ms";
  if (abs < 120e9) return digits(ns / 1e9) + " s";
  if (abs < 7200e9) return digits(ns / 60e9) + " min";
  if (abs < 48 * 3600e9) return digits(ns / 3600e9) + " h";
  return digits(ns / 86400e9) + " d";
};
const plural = (n, one, many) => n.toLocaleString("en") + " " + (n === 1 ? one : many);

// describe returns packet i as tcpdump would print it.
const describe = (i) => {
  const p = packets, proto = word(p.proto[i]);
  let text = (p.bits[i] & IPV6 ? "ip6 " : "") + proto;
  if (proto === "tcp") {
    text = (p.bits[i] & IPV6 ? "ip6 " : "") + "[" + word(p.flags[i]) + "] seq " + p.seq[i];
    if (p.len[i]) text += ":" + (p.seq[i] + p.len[i]);
    if (word(p.flags[i]).includes("A")) text += " ack " + p.ack[i];
  } else if (word(p.flags[i])) {
    text += " " + word(p.flags[i]);
  }
  if (p.len[i]) text += " len " + p.len[i];
  if (p.bits[i] & AGAIN) text += " again";
  if (p.bits[i] & COPY) text += " copy";
  return text;
};
const ends = (i) => {
  const port = (p) => (p ? ":" + p : "");
  return hostName(packets.from[i]) + port(packets.sport[i]) + " \u2192 " + hostName(packets.to[i]) + port(packets.dport[i]);
};
const fate = (i) => ["in flight at the end", "arrived", "dropped", "sent on by " + hostName(packets.via[i])][packets.fate[i]];
// reaches returns the host to which packet i goes, or the middlebox where it ends.
const reaches = (i) => (packets.fate[i] === SENT_ON ? packets.via[i] : packets.to[i]);

// haystack returns the text that the filter searches.
const haystack = (i) => {
  const p = packets;
  return (" " + hostName(p.from[i]) + " " + hostName(p.to[i]) + " " + p.sport[i] + " " + p.dport[i] + " " + word(p.proto[i]) + " [" + word(p.flags[i]) + "] " +
    word(p.note[i]) + " " + (p.fate[i] === DROPPED ? "dropped " : "") + (p.bits[i] & AGAIN ? "again " : "") + (p.bits[i] & COPY ? "copy " : "") +
    (p.bits[i] & IPV6 ? "ip6 " : "") + (p.len[i] ? "data " : "")).toLowerCase();
};

// matching returns the numbers of the packets that a filter lets pass.
const matching = (filter) => {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const out = [];
  for (let i = 0; i < count; i++) {
    if (words.length === 0) {
      out.push(i);
      continue;
    }
    const hay = haystack(i);
    let ok = true;
    for (const w of words) {
      const not = w.length > 1 && w[0] === "-";
      if (hay.includes(not ? w.slice(1) : w) === not) {
        ok = false;
        break;
      }
    }
    if (ok) out.push(i);
  }
  return out;
};

// firstAt returns the first index in an ascending list of packets whose time is at least t.
const firstAt = (list, t, time) => {
  let low = 0, high = list.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (time(list[mid]) < t) low = mid + 1;
    else high = mid;
  }
  return low;
};

// end is the last instant that is shown.
const end = Math.max(run.Elapsed, 1, count ? packets.at[count - 1] : 0);
