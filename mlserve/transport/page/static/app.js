// Asks for the models every two seconds while the page is seen, and keeps one card for each.
import { Card } from "./card.js";

const POLL_MS = 2000;
const PATIENCE_MS = 10000;

const list = document.getElementById("models");
const summary = document.getElementById("summary");
const news = document.getElementById("news");
const cards = new Map();
let timer = 0;
let polling = false;

async function poll() {
  clearTimeout(timer);
  if (polling || document.hidden) return;
  polling = true;
  try {
    const response = await fetch("/v1/api/models", { signal: AbortSignal.timeout(PATIENCE_MS) });
    const body = await response.json();
    if (response.ok) show(body);
    else complain(`The models are not shown: ${body.error}.`);
  } catch {
    complain("The server does not answer. Asking again …");
  } finally {
    polling = false;
    timer = setTimeout(poll, POLL_MS);
  }
}

function show({ version, clockSeconds, models }) {
  document.getElementById("version").textContent = version;
  document.body.classList.remove("lost");
  const heard = [];
  const ids = new Set(models.map((model) => model.id));
  for (const [id, card] of cards) {
    if (!ids.has(id)) {
      card.element.remove();
      cards.delete(id);
      heard.push(`${id} is gone`);
    }
  }
  models.forEach((model, index) => {
    const card = cards.get(model.id) ?? add(model.id);
    if (list.children[index] !== card.element) list.insertBefore(card.element, list.children[index] ?? null);
    const change = card.update(model, clockSeconds);
    if (change) heard.push(change);
  });
  if (heard.length) say(heard.join(". "));
  const serving = models.filter((model) => model.state === "serving").length;
  write(summary, models.length === 0 ? "No model is configured." : serving < models.length
    ? `${serving} of ${models.length} models serve.`
    : models.length === 1 ? "The model serves." : `All ${serving} models serve.`);
}

function add(id) {
  const card = new Card(id);
  cards.set(id, card);
  if (location.hash === `#${encodeURIComponent(id)}`) card.open(true);
  return card;
}

function complain(text) {
  document.body.classList.add("lost");
  if (summary.textContent !== text) say(text);
  write(summary, text);
}

// Only what changed is written: a reader of the page is not told the same twice.
function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function say(text) {
  news.textContent = text;
}

document.addEventListener("visibilitychange", poll);
poll();
