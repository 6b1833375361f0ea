/* A lamp, small enough for a board with 16 KB of RAM: no floating point, no JSON beyond what it needs, and 2 KB of
 * linear memory. */
#define EH_ARENA 256
#define EH_IMPLEMENTATION
#include "edgehost.h"

static int started, lit;
static uint32_t switched;

static void start(void) {
  if (!started) {
    started = 1;
    lit = eh_same(eh_config("on_at_start"), "true");
  }
}

/* The only member there is, {"on": true} or {"on": false}: 1, 0, or -1 for anything else. */
static int wanted(eh_text json) {
  uint32_t size = 0;
  char packed[16];
  for (uint32_t i = 0; i < json.size; i++)
    if (!eh_is_space(json.at[i])) {
      if (size == sizeof packed) return -1;
      packed[size++] = json.at[i];
    }
  eh_text text = {packed, size};
  return eh_same(text, "{\"on\":true}") ? 1 : eh_same(text, "{\"on\":false}") ? 0 : -1;
}

EH_EXPORT(probe) {
  (void)eh_input();
  start();
  return 0;
}

EH_EXPORT(set) {
  int on = wanted(eh_input());
  start();
  if (on < 0) return eh_fail("say {\"on\": true} or {\"on\": false}");
  if (on != lit) {
    lit = on;
    switched++;
    eh_log_info(lit ? "lamp on" : "lamp off");
  }
  return eh_output(eh_text_of(lit ? "{\"on\":true}" : "{\"on\":false}"));
}

EH_EXPORT(telemetry) {
  char digits[11];
  uint32_t at = sizeof digits, rest = switched;
  (void)eh_input();
  start();
  eh_writer out = eh_writer_of(48);
  eh_write(&out, lit ? "{\"on\":true,\"switched\":" : "{\"on\":false,\"switched\":");
  do digits[--at] = (char)('0' + rest % 10);
  while ((rest /= 10) != 0);
  eh_write_text(&out, (eh_text){digits + at, (uint32_t)sizeof digits - at});
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}
