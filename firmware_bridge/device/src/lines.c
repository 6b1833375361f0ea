#include "lines.h"

#include <string.h>

#define LINE_FEED ((uint8_t)'\n')

void lines_add(line_ring *ring, span line) {
  uint32_t size = line.size < ring->room - 1u ? line.size : ring->room - 1u;
  ring->count++;
  while (ring->size + size + 1u > ring->room) { /* whole lines go */
    const uint8_t *end = memchr(ring->kept, LINE_FEED, ring->size);
    uint32_t gone = end == NULL ? ring->size : (uint32_t)(end - ring->kept) + 1u;
    (void)memmove(ring->kept, ring->kept + gone, ring->size - gone);
    ring->size -= gone;
  }
  for (uint32_t i = 0; i < size; i++) {
    ring->kept[ring->size] = line.at[i] == LINE_FEED ? (uint8_t)' ' : line.at[i];
    ring->size++;
  }
  ring->kept[ring->size] = LINE_FEED;
  ring->size++;
}

bool lines_next(const line_ring *ring, uint32_t *cursor, span *line) {
  if (*cursor >= ring->size) {
    return false;
  }
  const uint8_t *start = ring->kept + *cursor;
  const uint8_t *end = memchr(start, LINE_FEED, ring->size - *cursor);
  uint32_t size = end == NULL ? ring->size - *cursor : (uint32_t)(end - start);
  *line = (span){.at = start, .size = size};
  *cursor += size + 1u;
  return true;
}
