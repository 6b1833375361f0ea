#include "extism.h"

#include <string.h>

#include "arena.h"
#include "board.h"
#include "events.h"
#include "exchange.h"
#include "log.h"
#include "module.h"
#include "port.h"

static span own_spec;
static uint64_t input_offset, input_size, output_offset, output_size, error_offset;

/* Variables one after the other: key size, value size (two bytes, low first), key, value. */
static uint8_t variables[VARIABLE_BYTES];
static uint32_t variables_used;

static const char OUT_OF_EXCHANGE[] = "[trap] the exchange memory is full";
static const char NO_BLOCK[] = "[trap] an offset is no block";

#define GUEST_FUNCTION(name) \
  static const void *name(IM3Runtime runtime, IM3ImportContext context, uint64_t *_sp, void *_mem)
#define UNUSED \
  (void)runtime; \
  (void)context; \
  (void)_sp; \
  (void)_mem

GUEST_FUNCTION(alloc) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, size);
  uint64_t offset = exchange_alloc(size);
  if (offset == 0u && size != 0u) {
    m3ApiTrap(OUT_OF_EXCHANGE);
  }
  m3ApiReturn(offset);
}

GUEST_FUNCTION(free_block) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset) exchange_free(offset);
  m3ApiSuccess();
}

GUEST_FUNCTION(block_length) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, offset) m3ApiReturn(exchange_length(offset));
}

/* Outside of the memory loads give 0 and stores do nothing, as in Extism's own kernel. */
GUEST_FUNCTION(load_u8) {
  UNUSED;
  m3ApiReturnType(uint32_t) m3ApiGetArg(uint64_t, offset)
      m3ApiReturn(exchange_range(offset, 1) ? *exchange_at(offset) : 0u);
}

GUEST_FUNCTION(load_u64) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, offset);
  uint64_t word = 0;
  if (exchange_range(offset, 8)) {
    (void)memcpy(&word, exchange_at(offset), 8);
  }
  m3ApiReturn(word);
}

GUEST_FUNCTION(store_u8) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset) m3ApiGetArg(uint32_t, byte);
  if (exchange_range(offset, 1)) {
    *exchange_at(offset) = (uint8_t)byte;
  }
  m3ApiSuccess();
}

GUEST_FUNCTION(store_u64) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset) m3ApiGetArg(uint64_t, word);
  if (exchange_range(offset, 8)) {
    (void)memcpy(exchange_at(offset), &word, 8);
  }
  m3ApiSuccess();
}

GUEST_FUNCTION(input_start) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiReturn(input_offset);
}

GUEST_FUNCTION(input_length) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiReturn(input_size);
}

GUEST_FUNCTION(input_load_u8) {
  UNUSED;
  m3ApiReturnType(uint32_t) m3ApiGetArg(uint64_t, offset)
      m3ApiReturn(offset < input_size ? *exchange_at(input_offset + offset) : 0u);
}

GUEST_FUNCTION(input_load_u64) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, offset);
  uint64_t word = 0;
  if (input_size >= 8u && offset <= input_size - 8u) {
    (void)memcpy(&word, exchange_at(input_offset + offset), 8);
  }
  m3ApiReturn(word);
}

GUEST_FUNCTION(output_set) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset) m3ApiGetArg(uint64_t, size);
  if (exchange_range(offset, size)) {
    output_offset = offset;
    output_size = size;
  }
  m3ApiSuccess();
}

GUEST_FUNCTION(error_set) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset);
  if (offset == 0u || exchange_length(offset) != 0u) {
    error_offset = offset;
  }
  m3ApiSuccess();
}

GUEST_FUNCTION(error_get) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiReturn(error_offset);
}

/* A value for the guest, in a block of its own; 0 for an empty one. */
static const void *answer(uint64_t *result, const uint8_t *bytes, uint32_t size) {
  *result = exchange_put(bytes, size);
  return (size != 0u && *result == 0u) ? OUT_OF_EXCHANGE : m3Err_none;
}

GUEST_FUNCTION(config_get) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, key_offset);
  span key = {0};
  if (!exchange_block(key_offset, &key)) {
    m3ApiTrap(NO_BLOCK);
  }
  span value = module_text(own_spec, "config", (const char *)key.at, key.size);
  exchange_free(key_offset);
  return answer(raw_return, value.at, value.size);
}

/* Where the variable with this key is, or where the next one would be written. */
static uint32_t find_variable(span key, span *value) {
  uint32_t at = 0;
  while (at < variables_used) {
    uint32_t key_size = variables[at];
    value->size = variables[at + 1u] | ((uint32_t)variables[at + 2u] << 8);
    value->at = variables + at + 3u + key_size;
    if (key_size == key.size && memcmp(variables + at + 3u, key.at, key_size) == 0) {
      return at;
    }
    at += 3u + key_size + value->size;
  }
  *value = (span){0};
  return at;
}

GUEST_FUNCTION(var_get) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, key_offset);
  span key = {0}, value = {0};
  if (!exchange_block(key_offset, &key)) {
    m3ApiTrap(NO_BLOCK);
  }
  (void)find_variable(key, &value);
  exchange_free(key_offset);
  return answer(raw_return, value.at, value.size);
}

GUEST_FUNCTION(var_set) {
  UNUSED;
  m3ApiGetArg(uint64_t, key_offset) m3ApiGetArg(uint64_t, value_offset);
  span key = {0}, value = {0}, old = {0};
  if (!exchange_block(key_offset, &key) || (value_offset != 0u && !exchange_block(value_offset, &value))) {
    m3ApiTrap(NO_BLOCK);
  }
  uint32_t at = find_variable(key, &old);
  if (at < variables_used) {
    uint32_t whole = 3u + key.size + old.size;
    (void)memmove(variables + at, variables + at + whole, variables_used - at - whole);
    variables_used -= whole;
  }
  if (value_offset != 0u) {
    if (key.size > 255u || 3u + key.size + value.size > VARIABLE_BYTES - variables_used) {
      m3ApiTrap("[trap] the memory for variables is full");
    }
    uint8_t *to = variables + variables_used;
    to[0] = (uint8_t)key.size;
    to[1] = (uint8_t)(value.size & 0xFFu);
    to[2] = (uint8_t)(value.size >> 8);
    (void)memcpy(to + 3, key.at, key.size);
    (void)memcpy(to + 3u + key.size, value.at, value.size);
    variables_used += 3u + key.size + value.size;
    exchange_free(value_offset);
  }
  exchange_free(key_offset);
  m3ApiSuccess();
}

GUEST_FUNCTION(log_line) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset);
  span line = {0};
  if (exchange_block(offset, &line)) {
    log_text(line);
    exchange_free(offset);
  }
  m3ApiSuccess();
}

GUEST_FUNCTION(log_nothing) {
  UNUSED;
  m3ApiGetArg(uint64_t, offset) exchange_free(offset);
  m3ApiSuccess();
}

GUEST_FUNCTION(log_level) {
  UNUSED;
  m3ApiReturnType(uint32_t) m3ApiReturn(2u); /* info */
}

/* {"ok": {...}} of this board's figures, as the host answers it for its own. */
GUEST_FUNCTION(readings) {
  UNUSED;
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, request);
  (void)request;
  char text[80];
  uint32_t size = log_format(text, sizeof text, "{\"ok\":{\"uptime_ms\":%u,\"heap_bytes\":%u}}", port_millis(), arena_used());
  return answer(raw_return, (const uint8_t *)text, size);
}

/* {"type": ..., "data": ...}: the host judges it. */
GUEST_FUNCTION(notify) {
  UNUSED;
  static const char TOLD[] = "{\"ok\":{}}";
  static const char TOO_LARGE[] = "{\"error\":{\"code\":\"too_large\",\"message\":\"The event is too large for this device.\"}}";
  m3ApiReturnType(uint64_t) m3ApiGetArg(uint64_t, request);
  span text = {0};
  if (!exchange_block(request, &text)) {
    m3ApiTrap(NO_BLOCK);
  }
  return events_add(text) ? answer(raw_return, (const uint8_t *)TOLD, sizeof TOLD - 1u)
                          : answer(raw_return, (const uint8_t *)TOO_LARGE, sizeof TOO_LARGE - 1u);
}

typedef struct {
  const char *module, *name, *signature;
  M3RawCall call;
} guest_function;

static const char ENV[] = "extism:host/env", USER[] = "extism:host/user";

static const guest_function FUNCTIONS[] = {
    {ENV, "alloc", "I(I)", alloc},
    {ENV, "free", "v(I)", free_block},
    {ENV, "length", "I(I)", block_length},
    {ENV, "length_unsafe", "I(I)", block_length},
    {ENV, "load_u8", "i(I)", load_u8},
    {ENV, "load_u64", "I(I)", load_u64},
    {ENV, "store_u8", "v(Ii)", store_u8},
    {ENV, "store_u64", "v(II)", store_u64},
    {ENV, "input_offset", "I()", input_start},
    {ENV, "input_length", "I()", input_length},
    {ENV, "input_load_u8", "i(I)", input_load_u8},
    {ENV, "input_load_u64", "I(I)", input_load_u64},
    {ENV, "output_set", "v(II)", output_set},
    {ENV, "error_set", "v(I)", error_set},
    {ENV, "error_get", "I()", error_get},
    {ENV, "config_get", "I(I)", config_get},
    {ENV, "var_get", "I(I)", var_get},
    {ENV, "var_set", "v(II)", var_set},
    {ENV, "get_log_level", "i()", log_level},
    {ENV, "log_trace", "v(I)", log_nothing},
    {ENV, "log_debug", "v(I)", log_nothing},
    {ENV, "log_info", "v(I)", log_line},
    {ENV, "log_warn", "v(I)", log_line},
    {ENV, "log_error", "v(I)", log_line},
    {USER, "notify", "I(I)", notify},
    {USER, "readings", "I(I)", readings},
};

const char *extism_link(IM3Module module) {
  for (uint32_t i = 0; i < sizeof FUNCTIONS / sizeof FUNCTIONS[0]; i++) {
    const guest_function *offered = &FUNCTIONS[i];
    M3Result result = m3_LinkRawFunction(module, offered->module, offered->name, offered->signature, offered->call);
    if (result != m3Err_none && result != m3Err_functionLookupFailed) { /* not imported: fine */
      return result;
    }
  }
  return NULL;
}

void extism_loaded(span spec) {
  own_spec = spec;
  variables_used = 0;
}

bool extism_call_begins(const uint8_t *input, uint32_t size) {
  exchange_empty();
  output_offset = 0;
  output_size = 0;
  error_offset = 0;
  input_size = size;
  input_offset = exchange_put(input, size);
  return size == 0u || input_offset != 0u;
}

span extism_output(void) { return (span){.at = exchange_at(output_offset), .size = (uint32_t)output_size}; }

span extism_error(void) {
  span text = {0};
  if (error_offset != 0u) {
    (void)exchange_block(error_offset, &text);
  }
  return text;
}
