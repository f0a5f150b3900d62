// One row of a model's inputs as fields, their texts as JSON, and errors at the field that they name.

const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const NEARLY = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

export class Form {
  // `texts` are what an earlier form of the same model holds, by input: they are kept.
  constructor(id, inputs, texts) {
    this.fields = inputs.map((input, index) => new Field(input, `${id}-${index}`, texts.get(input.name)));
    this.element = document.createDocumentFragment();
    this.element.append(...this.fields.map((field) => field.element));
  }

  texts() {
    return new Map(this.fields.map((field) => [field.input.name, field.control.value]));
  }

  // Written by hand, so that a number reaches the server with every digit that was typed.
  json() {
    this.left = this.fields.filter((field) => field.isLeftOut());
    const members = this.fields.filter((field) => !this.left.includes(field))
      .map((field) => `${JSON.stringify(field.input.name)}:${field.json()}`);
    return `{${members.join(",")}}`;
  }

  clear() {
    this.fields.forEach((field) => field.complain(""));
  }

  // Answers a function that is true until the focus moves on or a value changes.
  attention() {
    const focused = document.activeElement;
    const values = this.fields.map((field) => field.control.value);
    return () => document.activeElement === focused && this.fields.every((field, index) => field.control.value === values[index]);
  }

  // Shows `error` at the fields it is about, and answers them.
  blame(error) {
    let blamed = this.fields.filter((field) => field.isNamedIn(error));
    blamed.forEach((field) => field.complain(error.slice(error.indexOf(": ", field.prefix.length) + 2)));
    if (!blamed.length && error.includes("missing fields: [")) {
      blamed = this.left.filter((field) => !field.input.optional);
      blamed.forEach((field) => field.complain("a value is missing"));
    }
    return blamed;
  }
}

class Field {
  constructor(input, id, text) {
    this.input = input;
    this.nested = input.shape?.length > 0 || input.type.startsWith("complex");
    this.prefix = `field ${quoted(input.name)}`;
    this.element = document.getElementById("field").content.firstElementChild.cloneNode(true);
    this.element.classList.toggle("wide", this.nested);
    this.control = this.makeControl();
    this.control.id = id;
    this.control.value = text ?? input.example;
    const label = this.element.querySelector("label");
    label.textContent = input.name;
    label.htmlFor = id;
    const hint = this.element.querySelector(".hint");
    hint.id = `${id}-hint`;
    hint.textContent = this.describe();
    this.error = this.element.querySelector(".error");
    this.error.id = `${id}-error`;
    this.control.setAttribute("aria-describedby", `${hint.id} ${this.error.id}`);
    if (!input.optional) this.control.setAttribute("aria-required", "true");
    hint.after(this.control);
  }

  makeControl() {
    const { type, shape, optional } = this.input;
    if (type === "bool" && shape?.length === 0) {
      const select = document.createElement("select");
      select.append(...[...(optional ? [["", "left out"]] : []), ["true", "true"], ["false", "false"]]
        .map(([value, text]) => new Option(text, value)));
      return select;
    }
    const control = document.createElement(this.nested ? "textarea" : "input");
    control.spellcheck = false;
    control.setAttribute("autocapitalize", "off");
    if (this.nested) control.rows = 3;
    else if (/float|int/.test(type)) control.inputMode = type.includes("float") ? "decimal" : "numeric";
    return control;
  }

  describe() {
    const { type, shape, optional, precision, auxiliary } = this.input;
    const size = shape === null ? " of any shape" : shape.length ? ` ${shape.map((dim) => dim ?? "any").join(" × ")}` : "";
    return [
      type + size,
      this.nested ? "as JSON" : "",
      precision ? `rounded to ${precision} decimal${precision > 1 ? "s" : ""}` : "",
      auxiliary ? "not fed to the model" : "",
      optional ? `optional, else ${this.input.default}` : "",
    ].filter(Boolean).join(" · ");
  }

  isLeftOut() {
    return this.control.value.trim() === "" && (this.input.optional || this.input.type !== "string" || this.nested);
  }

  // What is no JSON goes as a string: the server says what it expected instead.
  json() {
    const text = this.control.value;
    const trimmed = text.trim();
    if (this.nested || (this.input.shape === null && trimmed.startsWith("["))) return isJson(trimmed) ? trimmed : JSON.stringify(text);
    if (this.input.type === "bool" && /^(true|false)$/.test(trimmed)) return trimmed;
    if (/float|int/.test(this.input.type)) {
      if (NUMBER.test(trimmed)) return trimmed;
      if (NEARLY.test(trimmed) && Number.isFinite(Number(trimmed))) return String(Number(trimmed));
    }
    return JSON.stringify(text);
  }

  isNamedIn(error) {
    return error.startsWith(`${this.prefix}:`) || error.startsWith(`${this.prefix},`);
  }

  complain(text) {
    this.error.textContent = text;
    this.error.hidden = !text;
    if (text) this.control.setAttribute("aria-invalid", "true");
    else this.control.removeAttribute("aria-invalid");
  }
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

// As the server's errors quote names.
function quoted(name) {
  const escaped = name.replaceAll("\\", "\\\\");
  return !name.includes("'") ? `'${escaped}'` : !name.includes('"') ? `"${escaped}"` : `'${escaped.replaceAll("'", "\\'")}'`;
}
