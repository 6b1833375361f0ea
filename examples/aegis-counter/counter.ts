// Counters, for the convention of AEGIS: every export takes and returns pairs of strings, and the module says by
// its getters what model it is. component.toml says nothing of ports and commands.

@external("env", "console.log")
declare function log(line: string): void;

const KEY = 0;
const VALUE = 1;
const MOST_STEPS: f64 = 100000;

export function getModelName(): string {
  return "counter";
}

export function getEndpoint(): string {
  return "counters";
}

export function getDomain(): string {
  return "counting";
}

/** Rows of name and "service,type,consumesEvent,producesEvent,callback,undo,inbound". */
export function getPorts(): string[][] {
  return [
    ["push", "clicks,inbound,counterPushed,counterChanged,,,increment"],
    ["announce", "board,outbound,counterChanged,counterAnnounced,announced,unannounce"],
  ];
}

export function getCommands(): string[][] {
  return [
    ["increment", "count on by the step, or by 'by'"],
    ["runFibonacci", "the number of Fibonacci at 'fibonacci'"],
    ["describe", "the length of every member"],
  ];
}

/** A new record's data; only what is named here is stored. */
export function modelFactory(kv: string[][]): string[][] {
  return [
    ["name", find(kv, "name")],
    ["count", numberAt(kv, "count", 0).toString()],
    ["step", numberAt(kv, "step", 1).toString()],
    ["open", "true"],
    ["changes", "0"],
    ["fibonacci", numberAt(kv, "fibonacci", 10).toString()],
    ["result", "0"],
  ];
}

/** A status other than "ok" refuses, with the message. */
export function validate(kv: string[][]): string[][] {
  const name = find(kv, "name");
  if (name == "" || name == "_") return refused("a counter needs a name");
  if (Math.abs(numberAt(kv, "step", 1)) > MOST_STEPS) return refused("a step of more than " + MOST_STEPS.toString());
  return [["status", "ok"]];
}

/** Called after validate: what it returns is set on top of the update. */
export function onUpdate(kv: string[][]): string[][] {
  return [["changes", (numberAt(kv, "changes", 0) + 1).toString()]];
}

/** A counter that has counted is kept. */
export function onDelete(kv: string[][]): string[][] {
  return numberAt(kv, "count", 0) == 0 ? [["status", "ok"]] : refused("it has counted: set count to 0 first");
}

/** A command, and the inbound port "push". The host stores what it says of the record's own members. */
export function increment(kv: string[][]): string[][] {
  const by = numberAt(kv, "by", numberAt(kv, "step", 1));
  const count = numberAt(kv, "count", 0) + by;
  log(find(kv, "name") + " counts " + count.toString());
  return [
    ["count", count.toString()],
    ["by", by.toString()],
  ];
}

export function runFibonacci(kv: string[][]): string[][] {
  const n = numberAt(kv, "fibonacci", 20);
  if (n < 0 || n > 25) throw new RangeError("fibonacci must be 0 to 25");
  return [
    ["fibonacci", n.toString()],
    ["result", fibonacci(n).toString()],
  ];
}

/** Recursive on purpose: it is there to take time. */
export function fibonacci(n: number): number {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

export function describe(kv: string[][]): string[][] {
  const lengths = new Array<string[]>();
  for (let i = 0; i < kv.length; i++) {
    lengths.push([kv[i][KEY], kv[i][VALUE]]);
    lengths.push([kv[i][KEY] + ".length", kv[i][VALUE].length.toString()]);
  }
  return lengths;
}

/** Takes the answer of "announce". */
export function announced(kv: string[][]): string[][] {
  return [["open", find(kv, "seen") == "true" ? "false" : "true"]];
}

export function unannounce(kv: string[][]): string[][] {
  return [["open", "true"]];
}

function refused(message: string): string[][] {
  return [
    ["status", "refused"],
    ["message", message],
  ];
}

function find(kv: string[][], key: string): string {
  for (let i = 0; i < kv.length; i++) {
    if (kv[i][KEY] == key) return kv[i][VALUE];
  }
  return "";
}

function numberAt(kv: string[][], key: string, otherwise: f64): f64 {
  const text = find(kv, key);
  const found = text == "" ? otherwise : parseFloat(text);
  return isNaN(found) ? otherwise : found;
}
