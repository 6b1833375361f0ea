#include "events.h"

#include "board.h"

static uint8_t kept[EVENT_BYTES];
static line_ring ring = {.kept = kept, .room = EVENT_BYTES};

bool events_add(span text) {
  if (text.size >= EVENT_BYTES) {
    return false;
  }
  lines_add(&ring, text);
  return true;
}

const line_ring *events_kept(void) { return &ring; }
