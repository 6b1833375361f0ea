#include "arena.h"

#include <string.h>

#include "board.h"

/* First fit over blocks that lie one after the other; the lowest bit of `size` says that a block is taken. */
typedef struct {
  uint32_t size; /* of the whole block, this head included; a multiple of 8 */
  uint32_t unused;
} block;

#define TAKEN 1u

static uint64_t memory[ARENA_BYTES / 8u];
static uint32_t used, most_used, refused;

static block *first(void) { return (block *)(void *)memory; }

static block *end(void) { return (block *)(void *)(memory + (ARENA_BYTES / 8u)); }

static block *after(block *of) { return (block *)(void *)((uint8_t *)of + (of->size & ~TAKEN)); }

void arena_empty(void) {
  first()->size = (uint32_t)sizeof memory;
  used = 0;
  refused = 0;
}

static void join_free(block *at) {
  for (block *next = after(at); next < end() && (next->size & TAKEN) == 0u; next = after(at)) {
    at->size += next->size;
  }
}

/* Gives back what a block has beyond what is wanted. */
static void trim(block *at, uint32_t wanted) {
  if (at->size - wanted >= 2u * sizeof(block)) {
    uint32_t left = at->size - wanted;
    at->size = wanted;
    after(at)->size = left;
  }
}

static block *taken(block *at) {
  used += at->size;
  if (used > most_used) {
    most_used = used;
  }
  at->size |= TAKEN;
  return at;
}

static block *take(uint32_t wanted) {
  for (block *at = first(); at < end(); at = after(at)) {
    if ((at->size & TAKEN) != 0u) {
      continue;
    }
    join_free(at);
    if (at->size < wanted) {
      continue;
    }
    trim(at, wanted);
    return taken(at);
  }
  return NULL;
}

void *arena_calloc(size_t count, size_t size) {
  if (size != 0u && count > ARENA_BYTES / size) {
    refused = UINT32_MAX;
    return NULL;
  }
  uint32_t wanted = (uint32_t)(((count * size) + sizeof(block) + 7u) & ~(size_t)7u);
  block *at = take(wanted);
  if (at == NULL) {
    refused = wanted;
    return NULL;
  }
  (void)memset(at + 1, 0, (at->size & ~TAKEN) - sizeof(block));
  return at + 1;
}

void *arena_realloc(void *from, size_t size) {
  if (from == NULL) {
    return arena_calloc(size, 1);
  }
  block *at = (block *)from - 1;
  uint32_t had = (at->size & ~TAKEN) - (uint32_t)sizeof(block);
  uint32_t wanted = (uint32_t)((size + sizeof(block) + 7u) & ~(size_t)7u);
  if (size <= had) {
    return from;
  }
  if (size < ARENA_BYTES) { /* in place: the engine lets its tables grow one by one */
    at->size &= ~TAKEN;
    used -= at->size;
    join_free(at);
    if (at->size >= wanted) {
      trim(at, wanted);
      (void)memset((uint8_t *)from + had, 0, at->size - sizeof(block) - had);
      (void)taken(at);
      return from;
    }
    trim(at, had + (uint32_t)sizeof(block));
    (void)taken(at);
  }
  void *to = arena_calloc(size, 1);
  if (to != NULL) {
    (void)memcpy(to, from, had);
    arena_free(from);
  }
  return to;
}

void arena_free(void *from) {
  if (from != NULL) {
    block *at = (block *)from - 1;
    at->size &= ~TAKEN;
    used -= at->size;
    join_free(at);
  }
}

uint32_t arena_used(void) { return used; }

uint32_t arena_refused(void) { return refused; }

uint32_t arena_most_used(void) { return most_used; }
