/* The last lines that fit a piece of memory. */
#ifndef LINES_H
#define LINES_H

#include "cbor.h"

typedef struct {
  uint8_t *kept; /* lines, each ended by a line feed, oldest first */
  uint32_t room, size;
  uint32_t count; /* of all lines ever added */
} line_ring;

/* A line that is longer than the room is cut; a line feed in it becomes a space. */
void lines_add(line_ring *ring, span line);

/* Takes the line at `*cursor` (0 at first); false after the last one. */
bool lines_next(const line_ring *ring, uint32_t *cursor, span *line);

#endif
