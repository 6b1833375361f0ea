#include "log.h"

#include <string.h>

#include "board.h"
#include "link.h"

#define LINE_BYTES 120u

static uint8_t kept[LOG_BYTES];
static uint32_t kept_size, lines;

void log_text(span line) {
  uint32_t size = line.size < LINE_BYTES ? line.size : LINE_BYTES;
  link_send_text(line.at, size);
  lines++;
  while (kept_size + size + 1u > LOG_BYTES) { /* whole lines go */
    const uint8_t *end = memchr(kept, '\n', kept_size);
    uint32_t gone = end == NULL ? kept_size : (uint32_t)(end - kept) + 1u;
    (void)memmove(kept, kept + gone, kept_size - gone);
    kept_size -= gone;
  }
  (void)memcpy(kept + kept_size, line.at, size);
  kept_size += size;
  kept[kept_size] = (uint8_t)'\n';
  kept_size++;
}

void log_word(const char *line) { log_text((span){.at = (const uint8_t *)line, .size = (uint32_t)strlen(line)}); }

span log_kept(uint32_t *number) {
  *number = lines;
  return (span){.at = kept, .size = kept_size};
}

static uint32_t put_number(char *text, uint32_t room, uint32_t value) {
  char digits[10];
  uint32_t count = 0, at = 0;
  do {
    digits[count] = (char)('0' + (char)(value % 10u));
    value /= 10u;
    count++;
  } while (value != 0u);
  while (count > 0u && at < room) {
    count--;
    text[at] = digits[count];
    at++;
  }
  return at;
}

uint32_t log_format(char *text, uint32_t room, const char *format, uint32_t first, uint32_t second) {
  uint32_t at = 0, next = first;
  for (const char *c = format; *c != '\0' && at < room; c++) {
    if (c[0] == '%' && c[1] == 'u') {
      at += put_number(text + at, room - at, next);
      next = second;
      c++;
    } else {
      text[at] = *c;
      at++;
    }
  }
  return at;
}
