#include "log.h"

#include <string.h>

#include "board.h"
#include "lines.h"
#include "link.h"

#define LINE_BYTES 120u

static uint8_t kept[LOG_BYTES];
static line_ring ring = {.kept = kept, .room = LOG_BYTES};

void log_text(span line) {
  span cut = {.at = line.at, .size = line.size < LINE_BYTES ? line.size : LINE_BYTES};
  link_send_text(cut.at, cut.size);
  lines_add(&ring, cut);
}

void log_word(const char *line) { log_text((span){.at = (const uint8_t *)line, .size = (uint32_t)strlen(line)}); }

span log_kept(uint32_t *number) {
  *number = ring.count;
  return (span){.at = kept, .size = ring.size};
}

static uint32_t put_number(char *text, uint32_t room, uint32_t value) {
  char digits[10];
  uint32_t count = 0, at = 0, rest = value;
  do {
    digits[count] = "0123456789"[rest % 10u];
    rest /= 10u;
    count++;
  } while (rest != 0u);
  while (count > 0u && at < room) {
    count--;
    text[at] = digits[count];
    at++;
  }
  return at;
}

uint32_t log_format(char *text, uint32_t room, const char *format, uint32_t first, uint32_t second) {
  uint32_t at = 0, next = first;
  const char *c = format;
  while (*c != '\0' && at < room) {
    if (c[0] == '%' && c[1] == 'u') {
      at += put_number(text + at, room - at, next);
      next = second;
      c++;
    } else {
      text[at] = *c;
      at++;
    }
    c++;
  }
  return at;
}
