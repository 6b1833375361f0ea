#include "module.h"

#include <string.h>

enum { CUSTOM = 0, IMPORT = 2, MEMORY = 5, START = 8, LAST_SECTION = 12 };

static bool leb(const uint8_t **at, const uint8_t *end, uint32_t *value) {
  uint32_t shift = 0;
  *value = 0;
  while (*at < end && shift <= 28u) {
    uint8_t byte = **at;
    *at += 1;
    if (shift == 28u && (byte & 0xF0u) != 0u) {
      return false;
    }
    *value |= (uint32_t)(byte & 0x7Fu) << shift;
    if ((byte & 0x80u) == 0u) {
      return true;
    }
    shift += 7u;
  }
  return false;
}

static bool name_of(const uint8_t **at, const uint8_t *end, span *name) {
  if (!leb(at, end, &name->size) || name->size > (uint32_t)(end - *at)) {
    return false;
  }
  name->at = *at;
  *at += name->size;
  return true;
}

static bool read_memory(const uint8_t *at, const uint8_t *end, module_outline *outline) {
  uint32_t count = 0, flags = 0;
  if (!leb(&at, end, &count) || count > 1u) {
    return false;
  }
  return count == 0u || (leb(&at, end, &flags) && leb(&at, end, &outline->pages));
}

/* The engine would run a module whose imported memory is not there. */
static bool imports_functions_only(const uint8_t *begin, const uint8_t *end) {
  const uint8_t *at = begin;
  uint32_t count = 0, type = 0;
  span name = {0};
  if (!leb(&at, end, &count)) {
    return false;
  }
  for (uint32_t i = 0; i < count; i++) {
    if (!name_of(&at, end, &name) || !name_of(&at, end, &name) || at == end || *at != 0u) {
      return false;
    }
    at++;
    if (!leb(&at, end, &type)) {
      return false;
    }
  }
  return at == end;
}

verdict module_require_sound(const uint8_t *wasm, uint32_t size, module_outline *outline) {
  static const uint8_t MAGIC[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
  const uint8_t *at = wasm + sizeof MAGIC, *end = wasm + size;
  *outline = (module_outline){.start = NO_START};
  if (size < sizeof MAGIC || memcmp(wasm, MAGIC, sizeof MAGIC) != 0) {
    return REFUSED(COAP_UNPROCESSABLE, "module: this is no WebAssembly");
  }
  while (at < end) {
    uint8_t id = *at;
    uint32_t length = 0;
    at++;
    if (id > (uint8_t)LAST_SECTION || !leb(&at, end, &length) || length > (uint32_t)(end - at)) {
      return REFUSED(COAP_UNPROCESSABLE, "module: a section reaches beyond the file");
    }
    const uint8_t *next = at + length;
    const uint8_t *inside = at;
    if (id == (uint8_t)START && !leb(&inside, next, &outline->start)) {
      return REFUSED(COAP_UNPROCESSABLE, "module: the start section is none");
    }
    if (id == (uint8_t)IMPORT && !imports_functions_only(at, next)) {
      return REFUSED(COAP_UNPROCESSABLE, "module: it imports something else than functions");
    }
    if (id == (uint8_t)MEMORY && !read_memory(at, next, outline)) {
      return REFUSED(COAP_UNPROCESSABLE, "module: the memory section is no single memory");
    }
    if (id == (uint8_t)CUSTOM) {
      span name = {0};
      if (!name_of(&at, next, &name)) {
        return REFUSED(COAP_UNPROCESSABLE, "module: a section has no name");
      }
      if (span_is(name, "name")) {
        /* The engine would let debug names take the place of exports. */
        return REFUSED(COAP_UNPROCESSABLE, "module: it carries debug names; strip them");
      }
      if (span_is(name, "edgehost.component")) {
        outline->spec = (span){.at = at, .size = (uint32_t)(next - at)};
      }
    }
    at = next;
  }
  return ACCEPTED;
}

span module_text(span spec, const char *table, const char *key, uint32_t key_size) {
  cbor_reader reader = cbor_read(spec.at, spec.size);
  span text = {0};
  if (spec.size == 0u) {
    return text;
  }
  if (table != NULL && !cbor_find(&reader, table, (uint32_t)strlen(table))) {
    return text;
  }
  if (!cbor_find(&reader, key, key_size) || !cbor_text(&reader, &text)) {
    text = (span){0};
  }
  return text;
}
