// One prediction: asks for it, and shows what came, how long it took and which cache had it.

const PATIENCE_MS = 60000;
const LONGEST = 2000;

export class Answer {
  constructor(element) {
    this.element = element;
    this.said = element.querySelector(".said");
    this.waiting = false;
  }

  // The error's text, or null. Never throws.
  async ask(url, body) {
    this.waiting = true;
    this.element.setAttribute("aria-busy", "true");
    const began = performance.now();
    let text = "", status = 0, tier = null, error = null;
    try {
      const response = await fetch(url, {
        method: "POST", body, headers: { "Content-Type": "application/json" }, signal: AbortSignal.timeout(PATIENCE_MS),
      });
      text = await response.text();
      status = response.status;
      tier = response.headers.get("Cache-Status");
    } catch (failure) {
      error = failure.name === "TimeoutError" ? "no answer within a minute" : "the server does not answer";
    }
    const roundTripMs = performance.now() - began;
    const said = parsed(text);
    if (status !== 200) error ??= said?.error ?? `the server answered ${status}`;
    this.show(error, said, text, tier, roundTripMs, `curl -d ${shell(body)} ${shell(location.origin + url)}`);
    this.element.setAttribute("aria-busy", "false");
    this.waiting = false;
    return { error };
  }

  show(error, said, text, tier, roundTripMs, command) {
    this.element.querySelector(".empty").hidden = true;
    this.said.replaceChildren(
      error === null ? values(said.data) : make("p", "trouble", error),
      list("facts", [
        ["Server", said ? duration(Number(JSON.stringify(said.serviceTimeMcs)) / 1000) : "–"],
        ["Round trip", duration(roundTripMs)],
        ["Cache", error === null ? tierWords(tier) : "–"],
      ]),
      folded("As a command", command),
      folded("As it came", text || "nothing"),
    );
    if (tier) this.said.querySelector(".facts > :last-child dd").title = tier;
  }

  // The error stands at that many fields: it need not stand here too.
  point(fields) {
    this.said.querySelector(".trouble").textContent =
      `Nothing was run: ${fields === 1 ? "one field needs" : `${fields} fields need`} another value.`;
  }
}

// Numbers stay as they were sent, where the browser can tell.
function parsed(text) {
  const asSent = (key, value, context) =>
    typeof value === "number" && context?.source && JSON.rawJSON ? JSON.rawJSON(context.source) : value;
  try {
    return JSON.parse(text, asSent);
  } catch {
    return null;
  }
}

function values(data) {
  if (Array.isArray(data) || data === null || typeof data !== "object") return value(data);
  return list("outputs", Object.entries(data).map(([name, item]) => [name, value(item)]));
}

function value(item) {
  const shares = sharesOf(item);
  if (shares) return chart(shares);
  const text = typeof item === "string" ? item : JSON.stringify(item);
  return make("code", "", text.length > LONGEST ? `${text.slice(0, LONGEST)} …` : text);
}

// An object whose members are all shares of one, such as a classifier's probabilities.
function sharesOf(item) {
  if (item === null || typeof item !== "object" || Array.isArray(item) || JSON.isRawJSON?.(item)) return null;
  const shares = Object.entries(item).map(([name, share]) => [name, JSON.stringify(share)]);
  const are = shares.length > 0 && shares.length <= 50 && shares.every(([, share]) => Number(share) >= 0 && Number(share) <= 1);
  return are ? shares : null;
}

function chart(shares) {
  return list("shares", shares.map(([name, share]) => {
    const cell = document.createElement("span");
    const bar = make("span", "bar", "");
    bar.append(document.createElement("i"));
    bar.firstChild.style.width = `${Number(share) * 100}%`;
    cell.append(bar, make("code", "", share));
    return [name, cell];
  }));
}

// RFC 9211, in words: `memory; hit; ttl=863`, `mlserve; fwd=miss; stored`, `mlserve; detail="memory=90 miss=5"`.
function tierWords(header) {
  if (!header) return "not cached";
  const [tier, ...rest] = header.split(";").map((part) => part.trim());
  const parameters = new Map(rest.map((part) => [part.split("=")[0], part.slice(part.indexOf("=") + 1)]));
  if (parameters.has("detail")) return parameters.get("detail").replaceAll('"', "");
  if (parameters.has("hit")) return `${tier}, hit`;
  if (parameters.get("fwd") === "miss") {
    if (parameters.has("collapsed")) return "miss, joined another run";
    return parameters.has("stored") ? "miss, stored" : "miss";
  }
  return { bypass: "not cached", request: "asked to compute" }[parameters.get("fwd")] ?? header;
}

function list(name, entries) {
  const element = make("dl", name, "");
  for (const [term, definition] of entries) {
    const pair = document.createElement("div");
    const cell = document.createElement("dd");
    cell.append(definition);
    pair.append(make("dt", "", term), cell);
    element.append(pair);
  }
  return element;
}

function folded(title, text) {
  const details = document.createElement("details");
  const block = make("pre", "", text);
  block.tabIndex = 0;
  details.append(make("summary", "", title), block);
  return details;
}

function make(tag, name, text) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  element.textContent = text;
  return element;
}

function duration(ms) {
  return ms < 1000 ? `${ms.toPrecision(ms < 1 ? 2 : 3)} ms` : `${(ms / 1000).toPrecision(3)} s`;
}

function shell(text) {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
