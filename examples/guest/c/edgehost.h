/* edgehost for C: the Extism calls and the host functions that a component may use, and just enough JSON.
 *
 * One header, no libc. Define EH_IMPLEMENTATION in exactly one source file before including it. Build with
 *   clang --target=wasm32-unknown-unknown -mcpu=mvp -Os -ffreestanding -fno-builtin -nostdlib \
 *     -Wl,--no-entry -Wl,--stack-first -Wl,-z,stack-size=16384 -Wl,--strip-all
 * -mcpu=mvp keeps to the instructions that every host and board runs.
 *
 *   EH_EXPORT(hello) {
 *     eh_text name = eh_string(eh_member(eh_input(), "name"));
 *     if (!name.size) return eh_fail("name is missing");
 *     eh_writer out = eh_writer_of(256);
 *     eh_write(&out, "{\"hello\":");
 *     eh_write_string(&out, name);
 *     eh_write(&out, "}");
 *     return eh_output(eh_written(&out));
 *   }
 *
 * Memory: eh_input() empties an arena of EH_ARENA bytes; every text of this header lives there until the next
 * call. A call that needs more logs so and traps.
 */
#ifndef EDGEHOST_H
#define EDGEHOST_H

#include <stdint.h>

#ifndef EH_ARENA
#define EH_ARENA 65536
#endif

/* Some bytes, not ended by a zero. A text that is not there has size 0. */
typedef struct {
  const char *at;
  uint32_t size;
} eh_text;

/* Text under construction; writing beyond the room ends the call with a trap. */
typedef struct {
  char *at;
  uint32_t size, room;
} eh_writer;

#define EH_EXPORT(name) __attribute__((export_name(#name))) int32_t name(void)

/* The call */
eh_text eh_input(void);               /* the whole input; call it first, it empties the arena */
int32_t eh_output(eh_text text);      /* sets the output; returns 0, to be returned from the export */
int32_t eh_fail(const char *why);     /* sets the error text; returns 1, to be returned from the export */
eh_text eh_config(const char *key);   /* a value of [config] in component.toml */
eh_text eh_var(const char *key);      /* a variable that this instance has set before */
void eh_set_var(const char *key, eh_text value);
void eh_log_debug(const char *line);
void eh_log_info(const char *line);
void eh_log_warn(const char *line);
void eh_log_error(const char *line);

/* The host: JSON in, {"ok": ...} or {"error": {"code", "message"}} out. What a component does not use is not
 * imported, so it needs no grant. */
eh_text eh_readings(eh_text request);
eh_text eh_save(eh_text request);
eh_text eh_get(eh_text request);
eh_text eh_find(eh_text request);
eh_text eh_delete(eh_text request);
eh_text eh_call(eh_text request);
eh_text eh_notify(eh_text request);
eh_text eh_now(eh_text request);
eh_text eh_port(eh_text request);    /* of models: their own outbound ports */
eh_text eh_related(eh_text request); /* of models: their own relations */
eh_text eh_service(eh_text request); /* of adapters: the service that they are bound to */

/* Reading JSON, without a tree: a value is the text that it is written as. */
eh_text eh_member(eh_text object, const char *name);
int eh_next_member(eh_text object, uint32_t *cursor, eh_text *name, eh_text *value);
int eh_number(eh_text value, double *number); /* 1 when value is a number */
eh_text eh_string(eh_text value);             /* a string's characters, escapes resolved */
int eh_same(eh_text text, const char *word);

/* Writing JSON */
eh_text eh_text_of(const char *zero_ended);
eh_writer eh_writer_of(uint32_t room);
eh_text eh_written(const eh_writer *writer);
void eh_write(eh_writer *writer, const char *raw);
void eh_write_text(eh_writer *writer, eh_text raw);
void eh_write_string(eh_writer *writer, eh_text text);
void eh_write_number(eh_writer *writer, double number, int decimals);

#ifdef EH_IMPLEMENTATION

#define EH_ENV(type, symbol, ...) \
  __attribute__((import_module("extism:host/env"), import_name(#symbol))) type eh_env_##symbol(__VA_ARGS__);
EH_ENV(uint64_t, input_length, void)
EH_ENV(uint32_t, input_load_u8, uint64_t offset)
EH_ENV(uint64_t, input_load_u64, uint64_t offset)
EH_ENV(void, output_set, uint64_t offset, uint64_t size)
EH_ENV(void, error_set, uint64_t offset)
EH_ENV(uint64_t, config_get, uint64_t key)
EH_ENV(uint64_t, var_get, uint64_t key)
EH_ENV(void, var_set, uint64_t key, uint64_t value)
EH_ENV(uint64_t, alloc, uint64_t size)
EH_ENV(void, free, uint64_t offset)
EH_ENV(uint64_t, length, uint64_t offset)
EH_ENV(uint32_t, load_u8, uint64_t offset)
EH_ENV(uint64_t, load_u64, uint64_t offset)
EH_ENV(void, store_u8, uint64_t offset, uint32_t byte)
EH_ENV(void, store_u64, uint64_t offset, uint64_t word)
EH_ENV(void, log_debug, uint64_t line)
EH_ENV(void, log_info, uint64_t line)
EH_ENV(void, log_warn, uint64_t line)
EH_ENV(void, log_error, uint64_t line)

static char eh_arena[EH_ARENA] __attribute__((aligned(8)));
static uint32_t eh_arena_used;

static char *eh_take(uint32_t size) {
  uint32_t rounded = (size + 7u) & ~7u;
  if (rounded < size || rounded > EH_ARENA - eh_arena_used) {
    eh_log_error("EH_ARENA is too small for this call");
    __builtin_trap();
  }
  char *at = eh_arena + eh_arena_used;
  eh_arena_used += rounded;
  return at;
}

/* The host's memory is reached by calls only; eight bytes at a time keeps them few. */
static uint64_t eh_to_host(eh_text text) {
  if (!text.size) return 0;
  uint64_t block = eh_env_alloc(text.size);
  uint32_t i = 0;
  for (; i + 8 <= text.size; i += 8) {
    uint64_t word;
    __builtin_memcpy(&word, text.at + i, 8);
    eh_env_store_u64(block + i, word);
  }
  for (; i < text.size; i++) eh_env_store_u8(block + i, (uint8_t)text.at[i]);
  return block;
}

static eh_text eh_from_host(uint64_t block) {
  uint32_t size = block ? (uint32_t)eh_env_length(block) : 0, i = 0;
  char *at = eh_take(size);
  for (; i + 8 <= size; i += 8) {
    uint64_t word = eh_env_load_u64(block + i);
    __builtin_memcpy(at + i, &word, 8);
  }
  for (; i < size; i++) at[i] = (char)eh_env_load_u8(block + i);
  if (block) eh_env_free(block);
  return (eh_text){at, size};
}

eh_text eh_input(void) {
  eh_arena_used = 0;
  uint64_t whole = eh_env_input_length();
  uint32_t size = whole > EH_ARENA ? EH_ARENA + 1u : (uint32_t)whole, i = 0;
  char *at = eh_take(size);
  for (; i + 8 <= size; i += 8) {
    uint64_t word = eh_env_input_load_u64(i);
    __builtin_memcpy(at + i, &word, 8);
  }
  for (; i < size; i++) at[i] = (char)eh_env_input_load_u8(i);
  return (eh_text){at, size};
}

int32_t eh_output(eh_text text) {
  eh_env_output_set(eh_to_host(text), text.size);
  return 0;
}

int32_t eh_fail(const char *why) {
  eh_env_error_set(eh_to_host(eh_text_of(why)));
  return 1;
}

/* The host frees the blocks that configuration, variables and log lines are handed over in. */
eh_text eh_config(const char *key) { return eh_from_host(eh_env_config_get(eh_to_host(eh_text_of(key)))); }
eh_text eh_var(const char *key) { return eh_from_host(eh_env_var_get(eh_to_host(eh_text_of(key)))); }
void eh_set_var(const char *key, eh_text value) { eh_env_var_set(eh_to_host(eh_text_of(key)), eh_to_host(value)); }

#define EH_LOG(level) \
  void eh_log_##level(const char *line) { eh_env_log_##level(eh_to_host(eh_text_of(line))); }
EH_LOG(debug)
EH_LOG(info)
EH_LOG(warn)
EH_LOG(error)

static eh_text eh_asked(uint64_t (*ask)(uint64_t), eh_text request) {
  uint64_t block = eh_to_host(request), reply = ask(block);
  if (block) eh_env_free(block);
  return eh_from_host(reply);
}

#define EH_HOST(function) \
  __attribute__((import_module("extism:host/user"), import_name(#function))) uint64_t eh_user_##function( \
      uint64_t request); \
  eh_text eh_##function(eh_text request) { return eh_asked(eh_user_##function, request); }
EH_HOST(readings)
EH_HOST(save)
EH_HOST(get)
EH_HOST(find)
EH_HOST(delete)
EH_HOST(call)
EH_HOST(notify)
EH_HOST(now)
EH_HOST(port)
EH_HOST(related)
EH_HOST(service)

static int eh_is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static uint32_t eh_skip_space(eh_text json, uint32_t i) {
  while (i < json.size && eh_is_space(json.at[i])) i++;
  return i;
}

/* The index after the string that starts at i, or the end of the text. */
static uint32_t eh_skip_string(eh_text json, uint32_t i) {
  for (i++; i < json.size; i++) {
    if (json.at[i] == '\\') i++;
    else if (json.at[i] == '"') return i + 1;
  }
  return json.size;
}

static uint32_t eh_skip_value(eh_text json, uint32_t i) {
  uint32_t depth = 0;
  while (i < json.size) {
    char c = json.at[i];
    if (c == '"') {
      i = eh_skip_string(json, i);
      if (!depth) return i;
      continue;
    }
    if (c == '{' || c == '[') depth++;
    else if (c == '}' || c == ']') {
      if (!depth) return i;
      if (!--depth) return i + 1;
    } else if (!depth && (c == ',' || eh_is_space(c))) return i;
    i++;
  }
  return i;
}

int eh_next_member(eh_text object, uint32_t *cursor, eh_text *name, eh_text *value) {
  uint32_t i = eh_skip_space(object, *cursor);
  if (i >= object.size || (object.at[i] != '{' && object.at[i] != ',')) return 0;
  i = eh_skip_space(object, i + 1);
  if (i >= object.size || object.at[i] != '"') return 0;
  uint32_t end = eh_skip_string(object, i);
  *name = eh_string((eh_text){object.at + i, end - i});
  i = eh_skip_space(object, end);
  if (i >= object.size || object.at[i] != ':') return 0;
  i = eh_skip_space(object, i + 1);
  end = eh_skip_value(object, i);
  *value = (eh_text){object.at + i, end - i};
  *cursor = end;
  return 1;
}

eh_text eh_member(eh_text object, const char *wanted) {
  uint32_t cursor = 0;
  eh_text name, value;
  while (eh_next_member(object, &cursor, &name, &value))
    if (eh_same(name, wanted)) return value;
  return (eh_text){0, 0};
}

int eh_number(eh_text value, double *number) {
  uint32_t i = 0;
  double result = 0, scale = 1;
  int negative = value.size && value.at[0] == '-', power = 0, power_sign = 1;
  if (negative) i++;
  if (i >= value.size || value.at[i] < '0' || value.at[i] > '9') return 0;
  for (; i < value.size && value.at[i] >= '0' && value.at[i] <= '9'; i++) result = result * 10 + (value.at[i] - '0');
  if (i < value.size && value.at[i] == '.')
    for (i++; i < value.size && value.at[i] >= '0' && value.at[i] <= '9'; i++) {
      result = result * 10 + (value.at[i] - '0');
      scale *= 10;
    }
  if (i < value.size && (value.at[i] | 32) == 'e') {
    i++;
    if (i < value.size && (value.at[i] == '-' || value.at[i] == '+')) power_sign = value.at[i++] == '-' ? -1 : 1;
    for (; i < value.size && value.at[i] >= '0' && value.at[i] <= '9'; i++)
      if (power < 400) power = power * 10 + (value.at[i] - '0');
  }
  if (i != value.size) return 0;
  result /= scale;
  for (; power > 0; power--) result = power_sign > 0 ? result * 10 : result / 10;
  *number = negative ? -result : result;
  return 1;
}

static uint32_t eh_hex4(const char *at) {
  uint32_t code = 0;
  for (int i = 0; i < 4; i++) {
    char c = at[i];
    code = code << 4 | (uint32_t)(c <= '9' ? c - '0' : (c | 32) - 'a' + 10);
  }
  return code & 0xffff;
}

eh_text eh_string(eh_text value) {
  if (value.size < 2 || value.at[0] != '"') return (eh_text){0, 0};
  uint32_t end = value.size - 1, i = 1;
  while (i < end && value.at[i] != '\\') i++;
  if (i == end) return (eh_text){value.at + 1, end - 1};
  eh_writer out = eh_writer_of(value.size);
  for (i = 1; i < end; i++) {
    char c = value.at[i];
    if (c == '\\' && i + 1 < end) {
      c = value.at[++i];
      if (c == 'u' && i + 4 < end) {
        uint32_t code = eh_hex4(value.at + i + 1);
        i += 4;
        if ((code & 0xfc00) == 0xd800 && i + 6 < end && value.at[i + 1] == '\\' && value.at[i + 2] == 'u') {
          code = 0x10000 + ((code & 0x3ff) << 10) + (eh_hex4(value.at + i + 3) & 0x3ff);
          i += 6;
        }
        if (code < 0x80) out.at[out.size++] = (char)code;
        else {
          int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
          out.at[out.size++] = (char)(0xf0 << (3 - more) | code >> 6 * more);
          while (more--) out.at[out.size++] = (char)(0x80 | (code >> 6 * more & 0x3f));
        }
        continue;
      }
      c = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : c;
    }
    out.at[out.size++] = c;
  }
  return eh_written(&out);
}

int eh_same(eh_text text, const char *word) {
  uint32_t i = 0;
  while (i < text.size && word[i] && text.at[i] == word[i]) i++;
  return i == text.size && !word[i];
}

eh_text eh_text_of(const char *zero_ended) {
  uint32_t size = 0;
  while (zero_ended[size]) size++;
  return (eh_text){zero_ended, size};
}

eh_writer eh_writer_of(uint32_t room) { return (eh_writer){eh_take(room), 0, room}; }

eh_text eh_written(const eh_writer *writer) { return (eh_text){writer->at, writer->size}; }

/* The place for so many more bytes. */
static char *eh_room(eh_writer *writer, uint32_t size) {
  if (size > writer->room - writer->size) {
    eh_log_error("the writer has no room left");
    __builtin_trap();
  }
  writer->size += size;
  return writer->at + writer->size - size;
}

static void eh_put(eh_writer *writer, char c) { *eh_room(writer, 1) = c; }

void eh_write_text(eh_writer *writer, eh_text raw) { __builtin_memcpy(eh_room(writer, raw.size), raw.at, raw.size); }

void eh_write(eh_writer *writer, const char *raw) { eh_write_text(writer, eh_text_of(raw)); }

void eh_write_string(eh_writer *writer, eh_text text) {
  uint32_t written = 0;
  eh_put(writer, '"');
  for (uint32_t i = 0; i < text.size; i++) {
    unsigned char c = (unsigned char)text.at[i];
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    eh_write_text(writer, (eh_text){text.at + written, i - written});
    written = i + 1;
    if (c < 0x20) {
      eh_write(writer, c < 0x10 ? "\\u000" : "\\u001");
      eh_put(writer, "0123456789abcdef"[c & 15]);
    } else {
      eh_put(writer, '\\');
      eh_put(writer, (char)c);
    }
  }
  eh_write_text(writer, (eh_text){text.at + written, text.size - written});
  eh_put(writer, '"');
}

void eh_write_number(eh_writer *writer, double number, int decimals) {
  char digits[24];
  int count = 0;
  if (number < 0) {
    eh_put(writer, '-');
    number = -number;
  }
  for (int i = 0; i < decimals; i++) number *= 10;
  uint64_t whole = number < 1e18 ? (uint64_t)(number + 0.5) : 1000000000000000000u;
  do digits[count++] = (char)('0' + whole % 10);
  while ((whole /= 10) || count <= decimals);
  while (count--) {
    eh_put(writer, digits[count]);
    if (count && count == decimals) eh_put(writer, '.');
  }
}

/* The compiler may ask for these by name whatever it was told. */
typedef uint64_t __attribute__((aligned(1), may_alias)) eh_word;
__attribute__((no_builtin)) void *memcpy(void *to, const void *from, __SIZE_TYPE__ size) {
  char *target = to;
  const char *source = from;
  for (; size >= 8; size -= 8, target += 8, source += 8) *(eh_word *)target = *(const eh_word *)source;
  while (size--) *target++ = *source++;
  return to;
}
__attribute__((no_builtin)) void *memset(void *to, int byte, __SIZE_TYPE__ size) {
  for (__SIZE_TYPE__ i = 0; i < size; i++) ((char *)to)[i] = (char)byte;
  return to;
}

#endif /* EH_IMPLEMENTATION */
#endif /* EDGEHOST_H */
