/* The memory of the interpreter and its guest: one fixed piece, emptied as a whole when a component is unloaded. */
#ifndef ARENA_H
#define ARENA_H

#include <stddef.h>
#include <stdint.h>

/* Instead of calloc, realloc and free; wasm3 is compiled to call these. */
void *arena_calloc(size_t count, size_t size);
void *arena_realloc(void *at, size_t size);
void arena_free(void *at);

void arena_empty(void);
uint32_t arena_used(void);
uint32_t arena_refused(void); /* the size that found no room since it was emptied; 0: none */
uint32_t arena_most_used(void); /* since the start of the firmware */

#endif
