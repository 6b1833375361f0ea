// edgehost for AssemblyScript: the Extism calls and the host functions that a component may use, and a small JSON
// value.
//
// One file. Build a component with the `assemblyscript` package:
//
//   asc hello.ts -o build/hello.wasm -O3z --noAssert --use abort= \
//     --disable bulk-memory,sign-extension,nontrapping-f2i
//
// The disabled features keep to the instructions that every host and board runs. `--use abort=` makes a failed
// check a trap; without it the module would import a function that no host has.
//
//   import { input, output, fail, jsonObject, Json } from "../guest/assemblyscript/edgehost";
//   export function hello(): i32 {
//     const name = input().get("name");
//     if (!name.isString) return fail("name is missing");
//     return output(jsonObject().set("hello", name));
//   }

@external("extism:host/env", "input_length") declare function input_length(): u64;
@external("extism:host/env", "input_load_u8") declare function input_load_u8(offset: u64): u8;
@external("extism:host/env", "input_load_u64") declare function input_load_u64(offset: u64): u64;
@external("extism:host/env", "output_set") declare function output_set(offset: u64, size: u64): void;
@external("extism:host/env", "error_set") declare function error_set(offset: u64): void;
@external("extism:host/env", "config_get") declare function config_get(key: u64): u64;
@external("extism:host/env", "var_get") declare function var_get(key: u64): u64;
@external("extism:host/env", "var_set") declare function var_set(key: u64, value: u64): void;
@external("extism:host/env", "alloc") declare function alloc(size: u64): u64;
@external("extism:host/env", "free") declare function free(offset: u64): void;
@external("extism:host/env", "length") declare function length(offset: u64): u64;
@external("extism:host/env", "load_u8") declare function load_u8(offset: u64): u8;
@external("extism:host/env", "load_u64") declare function load_u64(offset: u64): u64;
@external("extism:host/env", "store_u8") declare function store_u8(offset: u64, byte: u8): void;
@external("extism:host/env", "store_u64") declare function store_u64(offset: u64, word: u64): void;
@external("extism:host/env", "log_debug") declare function env_log_debug(line: u64): void;
@external("extism:host/env", "log_info") declare function env_log_info(line: u64): void;
@external("extism:host/env", "log_warn") declare function env_log_warn(line: u64): void;
@external("extism:host/env", "log_error") declare function env_log_error(line: u64): void;

@external("extism:host/user", "readings") declare function user_readings(request: u64): u64;
@external("extism:host/user", "save") declare function user_save(request: u64): u64;
@external("extism:host/user", "get") declare function user_get(request: u64): u64;
@external("extism:host/user", "find") declare function user_find(request: u64): u64;
@external("extism:host/user", "delete") declare function user_delete(request: u64): u64;
@external("extism:host/user", "call") declare function user_call(request: u64): u64;
@external("extism:host/user", "notify") declare function user_notify(request: u64): u64;
@external("extism:host/user", "now") declare function user_now(request: u64): u64;
@external("extism:host/user", "port") declare function user_port(request: u64): u64;
@external("extism:host/user", "related") declare function user_related(request: u64): u64;
@external("extism:host/user", "service") declare function user_service(request: u64): u64;

/** The whole input as JSON; null when it is empty or no JSON. */
export function input(): Json {
  const size = <i32>input_length();
  const bytes = new Uint8Array(size);
  const at = bytes.dataStart;
  let i = 0;
  for (; i + 8 <= size; i += 8) store<u64>(at + i, input_load_u64(i));
  for (; i < size; i++) store<u8>(at + i, input_load_u8(i));
  return parse(String.UTF8.decodeUnsafe(at, size));
}

/** Sets the output; returns 0, to be returned from the export. */
export function output(value: Json): i32 {
  const block = toHost(value.toString());
  output_set(block, block ? length(block) : 0);
  return 0;
}

/** Sets the error text; returns 1, to be returned from the export. */
export function fail(why: string): i32 {
  error_set(toHost(why));
  return 1;
}

// The host frees the blocks that configuration, variables and log lines are handed over in.

/** A value of [config] in component.toml; empty when there is none. */
export function config(key: string): string { return fromHost(config_get(toHost(key))); }

/** A variable that this instance has set before; empty when there is none. */
export function variable(key: string): string { return fromHost(var_get(toHost(key))); }
export function setVariable(key: string, value: string): void { var_set(toHost(key), toHost(value)); }

export function logDebug(line: string): void { env_log_debug(toHost(line)); }
export function logInfo(line: string): void { env_log_info(toHost(line)); }
export function logWarn(line: string): void { env_log_warn(toHost(line)); }
export function logError(line: string): void { env_log_error(toHost(line)); }

// The host: the reply has the member "ok", or "error" with "code" and "message". What a component does not use is
// not imported, so it needs no grant.

export function readings(request: Json): Json { return replied(user_readings(toHost(request.toString()))); }
export function save(request: Json): Json { return replied(user_save(toHost(request.toString()))); }
export function get(request: Json): Json { return replied(user_get(toHost(request.toString()))); }
export function find(request: Json): Json { return replied(user_find(toHost(request.toString()))); }
export function remove(request: Json): Json { return replied(user_delete(toHost(request.toString()))); }
export function call(request: Json): Json { return replied(user_call(toHost(request.toString()))); }
export function notify(request: Json): Json { return replied(user_notify(toHost(request.toString()))); }
export function now(request: Json): Json { return replied(user_now(toHost(request.toString()))); }
export function port(request: Json): Json { return replied(user_port(toHost(request.toString()))); }
export function related(request: Json): Json { return replied(user_related(toHost(request.toString()))); }
export function service(request: Json): Json { return replied(user_service(toHost(request.toString()))); }

function replied(reply: u64): Json {
  return parse(fromHost(reply));
}

enum Kind { Null, Bool, Number, String, Array, Object }

/** A JSON value. Numbers keep the text they were written as, so that nothing is lost on the way through. */
export class Json {
  text: string = "";
  names: string[] = [];
  items: Json[] = [];

  constructor(public kind: i32 = 0) {}

  get isNull(): bool { return this.kind == Kind.Null; }
  get isNumber(): bool { return this.kind == Kind.Number; }
  get isString(): bool { return this.kind == Kind.String; }
  get isArray(): bool { return this.kind == Kind.Array; }
  get isObject(): bool { return this.kind == Kind.Object; }
  get isTrue(): bool { return this.kind == Kind.Bool && this.text == "true"; }

  /** The number, or NaN. */
  get number(): f64 { return this.isNumber ? F64.parseFloat(this.text) : NaN; }

  /** The member of an object; null when there is none. */
  get(name: string): Json {
    const i = this.names.lastIndexOf(name);
    return i < 0 ? new Json() : this.items[i];
  }

  /** Sets the member of an object. */
  set(name: string, value: Json): Json {
    const i = this.names.lastIndexOf(name);
    if (i < 0) {
      this.names.push(name);
      this.items.push(value);
    } else this.items[i] = value;
    return this;
  }

  toString(): string {
    if (this.kind == Kind.Null) return "null";
    if (this.kind == Kind.String) return quoted(this.text);
    if (this.kind < Kind.Array) return this.text;
    const parts: string[] = [];
    for (let i = 0; i < this.items.length; i++) {
      const item = this.items[i].toString();
      parts.push(this.isObject ? quoted(this.names[i]) + ":" + item : item);
    }
    return this.isObject ? "{" + parts.join(",") + "}" : "[" + parts.join(",") + "]";
  }
}

export function jsonObject(): Json { return new Json(Kind.Object); }
export function jsonArray(): Json { return new Json(Kind.Array); }
export function jsonText(value: string): Json { return valued(Kind.String, value); }
export function jsonBool(value: bool): Json { return valued(Kind.Bool, value ? "true" : "false"); }

/** A number with so many decimals at most; null when it is not finite, which JSON cannot express. */
export function jsonNumber(value: f64, decimals: i32 = 6): Json {
  if (!isFinite(value)) return new Json();
  const scale = Math.pow(10, decimals);
  const rounded = Math.round(value * scale) / scale;
  const whole = Math.abs(rounded) < 9e15 && rounded == Math.floor(rounded);
  return valued(Kind.Number, whole ? (<i64>rounded).toString() : rounded.toString());
}

/** The JSON value in a text; null when it is none. */
export function parse(json: string): Json {
  const parser = new Parser(json);
  const value = parser.value(0);
  parser.space();
  return parser.sound && parser.at == json.length ? value : new Json();
}

function valued(kind: Kind, content: string): Json {
  const value = new Json(kind);
  value.text = content;
  return value;
}

function quoted(content: string): string {
  let out = '"';
  for (let i = 0; i < content.length; i++) {
    const c = content.charCodeAt(i);
    if (c == 34 || c == 92) out += "\\" + String.fromCharCode(c);
    else if (c < 32) out += "\\u" + c.toString(16).padStart(4, "0");
    else out += String.fromCharCode(c);
  }
  return out + '"';
}

/** Deeper input would use up the stack. */
const DEEPEST = 64;

class Parser {
  at: i32 = 0;
  sound: bool = true;

  constructor(private json: string) {}

  private get next(): i32 { return this.at < this.json.length ? this.json.charCodeAt(this.at) : 0; }

  space(): void {
    while (this.next == 32 || this.next == 9 || this.next == 10 || this.next == 13) this.at++;
  }

  /** Skips this character when it comes next. */
  private taken(c: i32): bool {
    this.space();
    if (this.next != c) return false;
    this.at++;
    return true;
  }

  private fault(): Json {
    this.sound = false;
    this.at = this.json.length;
    return new Json();
  }

  value(depth: i32): Json {
    this.space();
    const c = this.next;
    if (depth > DEEPEST) return this.fault();
    if (c == 123 || c == 91) return this.container(c == 123, depth);
    if (c == 34) return valued(Kind.String, this.string());
    if (c == 45 || (c >= 48 && c <= 57)) {
      const start = this.at;
      while ("+-.eE0123456789".includes(String.fromCharCode(this.next)) && this.next) this.at++;
      return valued(Kind.Number, this.json.substring(start, this.at));
    }
    if (this.word("null")) return new Json();
    if (this.word("true")) return valued(Kind.Bool, "true");
    if (this.word("false")) return valued(Kind.Bool, "false");
    return this.fault();
  }

  private container(named: bool, depth: i32): Json {
    const value = named ? jsonObject() : jsonArray();
    const close = named ? 125 : 93;
    this.at++;
    while (!this.taken(close)) {
      if (value.items.length && !this.taken(44)) return this.fault();
      this.space();
      if (named) {
        if (this.next != 34) return this.fault();
        value.names.push(this.string());
        if (!this.taken(58)) return this.fault();
      }
      value.items.push(this.value(depth + 1));
      if (!this.sound) return value;
    }
    return value;
  }

  private word(expected: string): bool {
    if (!this.json.startsWith(expected, this.at)) return false;
    this.at += expected.length;
    return true;
  }

  private string(): string {
    let out = "";
    let start = ++this.at;
    while (this.next && this.next != 34) {
      if (this.next != 92) {
        this.at++;
        continue;
      }
      out += this.json.substring(start, this.at);
      const escape = this.json.charCodeAt(++this.at);
      if (escape == 117) {
        out += String.fromCharCode(<i32>parseInt(this.json.substr(this.at + 1, 4), 16));
        this.at += 5;
      } else {
        const i = "bfnrt".indexOf(String.fromCharCode(escape));
        out += i < 0 ? String.fromCharCode(escape) : "\b\f\n\r\t".charAt(i);
        this.at++;
      }
      start = this.at;
    }
    if (!this.next) this.fault();
    return out + this.json.substring(start, this.at++);
  }
}

// The host's memory is reached by calls only; eight bytes at a time keeps them few.

function toHost(content: string): u64 {
  const bytes = String.UTF8.encode(content);
  const size = bytes.byteLength;
  if (!size) return 0;
  const at = changetype<usize>(bytes);
  const block = alloc(size);
  let i = 0;
  for (; i + 8 <= size; i += 8) store_u64(block + i, load<u64>(at + i));
  for (; i < size; i++) store_u8(block + i, load<u8>(at + i));
  return block;
}

function fromHost(block: u64): string {
  if (!block) return "";
  const size = <i32>length(block);
  const bytes = new Uint8Array(size);
  const at = bytes.dataStart;
  let i = 0;
  for (; i + 8 <= size; i += 8) store<u64>(at + i, load_u64(block + i));
  for (; i < size; i++) store<u8>(at + i, load_u8(block + i));
  free(block);
  return String.UTF8.decodeUnsafe(at, size);
}
