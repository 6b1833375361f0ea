/* A look at a component's file before the engine sees it: sections, memory, and the specification that it carries. */
#ifndef MODULE_H
#define MODULE_H

#include "verdict.h"

#define NO_START 0xFFFFFFFFu

typedef struct {
  span spec; /* the CBOR of the custom section edgehost.component; empty when there is none */
  uint32_t pages;
  uint32_t start; /* index of the function that runs first; NO_START: none */
} module_outline;

/* Refuses what the engine does not check itself: a section beyond the file, imports of other things than functions, names that could take
 * the place of exports, more than one memory. */
verdict module_require_sound(const uint8_t *wasm, uint32_t size, module_outline *outline);

/* The text under spec[table][key], or just spec[key] when `table` is NULL; empty when there is none. */
span module_text(span spec, const char *table, const char *key, uint32_t key_size);

#endif
