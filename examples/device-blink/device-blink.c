/* A lamp, small enough for a board with 16 KB of RAM: 4 KB of linear memory are enough. */
#define EH_ARENA 512
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

EH_EXPORT(probe) {
  (void)eh_input();
  start();
  return 0;
}

EH_EXPORT(set) {
  eh_text on = eh_member(eh_input(), "on");
  start();
  if (!eh_same(on, "true") && !eh_same(on, "false")) return eh_fail("say {\"on\": true} or {\"on\": false}");
  int wanted = eh_same(on, "true");
  if (wanted != lit) {
    lit = wanted;
    switched++;
    eh_log_info(lit ? "lamp on" : "lamp off");
  }
  return eh_output(eh_text_of(lit ? "{\"on\":true}" : "{\"on\":false}"));
}

EH_EXPORT(telemetry) {
  (void)eh_input();
  start();
  eh_writer out = eh_writer_of(64);
  eh_write(&out, lit ? "{\"on\":true,\"switched\":" : "{\"on\":false,\"switched\":");
  eh_write_number(&out, switched, 0);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}
