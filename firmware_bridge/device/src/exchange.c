#include "exchange.h"

#include <string.h>

#include "board.h"

/* First fit. The heads are kept apart from what a guest can write, so a guest can spoil only its own data. */
#define UNIT 16u
#define UNITS (EXCHANGE_BYTES / UNIT)

static uint8_t memory[EXCHANGE_BYTES];
static uint16_t length[UNITS]; /* at a block's first unit: bytes in use, plus 1; 0: no block begins here */

static uint32_t units_of(uint32_t first) { return ((uint32_t)length[first] - 1u + UNIT - 1u) / UNIT; }

void exchange_empty(void) { (void)memset(length, 0, sizeof length); }

uint64_t exchange_alloc(uint64_t size) {
  if (size == 0u || size > (uint64_t)(EXCHANGE_BYTES - UNIT)) {
    return 0;
  }
  uint32_t wanted = ((uint32_t)size + UNIT - 1u) / UNIT;
  uint32_t start = 1; /* unit 0 is never given away, so that no offset is 0 */
  uint32_t unit = 1;
  while (unit < UNITS) {
    if (length[unit] != 0u) {
      unit += units_of(unit);
      start = unit;
    } else {
      unit++;
      if (unit - start == wanted) {
        length[start] = (uint16_t)(size + 1u);
        return (uint64_t)start * UNIT;
      }
    }
  }
  return 0;
}

static bool is_block(uint64_t offset) {
  return offset < (uint64_t)EXCHANGE_BYTES && offset % UNIT == 0u && length[offset / UNIT] != 0u;
}

void exchange_free(uint64_t offset) {
  if (is_block(offset)) {
    length[offset / UNIT] = 0;
  }
}

uint64_t exchange_length(uint64_t offset) { return is_block(offset) ? (uint64_t)length[offset / UNIT] - 1u : 0u; }

uint64_t exchange_put(const uint8_t *bytes, uint32_t size) {
  uint64_t offset = exchange_alloc(size);
  if (offset != 0u) {
    (void)memcpy(memory + offset, bytes, size);
  }
  return offset;
}

bool exchange_block(uint64_t offset, span *content) {
  if (!is_block(offset)) {
    return false;
  }
  content->at = memory + offset;
  content->size = (uint32_t)exchange_length(offset);
  return true;
}

bool exchange_range(uint64_t offset, uint64_t size) {
  return offset <= (uint64_t)EXCHANGE_BYTES && size <= (uint64_t)EXCHANGE_BYTES - offset;
}

uint8_t *exchange_at(uint64_t offset) { return memory + offset; }
