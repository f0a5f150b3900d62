// One model: its line of numbers, and the panel in which it is tried.
import { Answer } from "./answer.js";
import { Form } from "./form.js";

const WORDS = { serving: "Serving", loading: "Loading", failed: "Not serving" };
const NOTHING = "–";

export class Card {
  constructor(id) {
    this.id = id;
    this.element = document.getElementById("card").content.firstElementChild.cloneNode(true);
    this.before = null;
    this.generation = null;
    this.form = null;
    this.opener = this.find(".opener");
    this.panel = this.find(".panel");
    this.opener.textContent = id;
    this.panel.id = `panel-${id}`;
    this.opener.setAttribute("aria-controls", this.panel.id);
    this.element.setAttribute("aria-label", id);
    this.find(".answer").setAttribute("aria-label", `Answer of ${id}`);
    this.answer = new Answer(this.find(".answer"));
    this.opener.addEventListener("click", () => this.open(this.panel.hidden));
    this.find("form").addEventListener("submit", (event) => this.predict(event));
    this.find("form").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.find("form").requestSubmit();
    });
  }

  find(selector) {
    return this.element.querySelector(selector);
  }

  write(selector, text) {
    const element = this.find(selector);
    if (element.textContent !== text) element.textContent = text;
  }

  // Shows the newest numbers; answers what a listener should hear, if the state changed.
  update(model, clock) {
    const { before } = this;
    this.element.dataset.state = model.error && model.state === "serving" ? "stale" : model.state;
    this.write(".state", WORDS[model.state]);
    this.write(".load", model.loadSeconds === undefined ? NOTHING : seconds(model.loadSeconds));
    this.write(".generation", model.generation?.slice(0, 12) ?? NOTHING);
    this.find(".generation").title = model.generation ?? "";
    this.rates(model, clock);
    const trouble = this.find(".trouble");
    trouble.hidden = !model.error;
    this.write(".trouble", model.error ? (model.state === "serving" ? "The last load failed, the version before serves: " : "") + model.error : "");
    this.before = { ...model, clock };
    if (!this.panel.hidden) this.describe();
    if (!before) return "";
    if (before.state !== model.state) return `${this.id}: ${WORDS[model.state]}`;
    return before.generation !== model.generation ? `${this.id}: a new version serves` : "";
  }

  rates(model, clock) {
    const past = this.before;
    if (past?.clock === clock) return;
    // Counters begin again at 0 with a server that was started again.
    const goesOn = past && clock > past.clock && model.rows >= past.rows;
    this.write(".rate", goesOn ? compact((model.rows - past.rows) / (clock - past.clock)) : NOTHING);
    const again = past && model.cacheLookups >= past.cacheLookups ? past : { cacheLookups: 0, cacheHits: 0 };
    const lookups = model.cacheLookups - again.cacheLookups;
    // Nobody asked since: what was true last still is.
    if (lookups > 0) this.write(".hits", percent(Math.min(1, (model.cacheHits - again.cacheHits) / lookups)));
  }

  open(wanted) {
    this.panel.hidden = !wanted;
    this.opener.setAttribute("aria-expanded", String(wanted));
    if (wanted) history.replaceState(null, "", `#${encodeURIComponent(this.id)}`);
    if (wanted) this.describe();
  }

  // Asks for the inputs of the version that serves, once for each version. What was typed stays.
  async describe() {
    const generation = this.before?.generation;
    if (!generation) {
      if (!this.form) this.note("The form comes with the first version that serves.");
      return;
    }
    if (generation === this.generation) return;
    this.generation = generation;
    try {
      const response = await fetch(`/v1/api/models?id=${encodeURIComponent(this.id)}`);
      const body = await response.json();
      if (!response.ok) throw new Error(body.error);
      const [model] = body.models;
      if (!model.inputs) throw new Error("it does not serve");
      this.generation = model.generation;
      this.form = new Form(this.id, model.inputs, this.form?.texts() ?? new Map());
      this.find(".fields").replaceChildren(this.form.element);
      this.note([model.runtime + ".", model.madeUp ? "Some values are made up; Test.Single in the configuration sets better ones." : "",
        ...model.warnings].join(" "));
      this.find(".run").hidden = false;
    } catch (error) {
      this.generation = null;
      this.note(`Its inputs are not known: ${error.message}`);
    }
  }

  note(text) {
    this.find(".note").hidden = !text.trim();
    this.write(".note", text);
    this.find(".run").hidden = !this.form;
  }

  async predict(event) {
    event.preventDefault();
    const { form } = this;
    if (!form || this.answer.waiting) return;
    form.clear();
    const url = `/v1/api/model/${encodeURIComponent(this.id)}/eval`;
    const body = form.json();
    const waits = form.attention();
    const { error } = await this.answer.ask(url, body);
    // A new version may have brought another form meanwhile, which this answer is not about.
    if (error === null || form !== this.form) return;
    const blamed = form.blame(error);
    if (!blamed.length) return;
    this.answer.point(blamed.length);
    // Whoever has moved on or types again is not pulled away; they hear of the error, and it stands at its field.
    if (waits()) blamed[0].control.focus();
  }
}

function seconds(value) {
  return value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toPrecision(3)} s`;
}

function percent(share) {
  if (share === 0 || share === 1) return `${share * 100} %`;
  return `${Math.min(99.9, share * 100).toFixed(share < 0.1 || share >= 0.99 ? 1 : 0)} %`;
}

function compact(rate) {
  if (rate === 0) return "0";
  if (rate < 10) return rate.toFixed(1);
  return Math.round(rate).toLocaleString("en", { notation: rate < 1e5 ? "standard" : "compact" });
}
