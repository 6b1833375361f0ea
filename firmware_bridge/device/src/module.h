/* A look at a component's file before the engine sees it: sections, memory, and the specification that it carries. */
#ifndef MODULE_H
#define MODULE_H

#include "verdict.h"

typedef struct {
  span spec; /* the CBOR of the custom section edgehost.component; empty when there is none */
  uint32_t pages;
} module_outline;

/* Refuses what the engine does not check itself: a start function, a section beyond the file, names that could take
 * the place of exports, more than one memory. */
verdict module_require_sound(const uint8_t *wasm, uint32_t size, module_outline *outline);

/* The text under spec[table][key], or just spec[key] when `table` is NULL; empty when there is none. */
span module_text(span spec, const char *table, const char *key, uint32_t key_size);

#endif
