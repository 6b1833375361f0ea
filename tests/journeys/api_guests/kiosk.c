/* A model with routes of its own, a command and an inbound port: a kiosk. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

static int32_t say(const char *before, eh_text value, const char *behind) {
  eh_writer out = eh_writer_of(value.size + 512);
  eh_write(&out, before);
  if (value.size) {
    eh_write_text(&out, value);
  } else {
    eh_write(&out, "null");
  }
  eh_write(&out, behind);
  return eh_output(eh_written(&out));
}

/* A command, and an inbound port: both repeat what they are asked. */
EH_EXPORT(echo) { return say("{\"result\":", eh_member(eh_input(), "args"), "}"); }

/* GET kiosk/menu/{kind} */
EH_EXPORT(menu) {
  eh_text params = eh_member(eh_input(), "params");
  return say("{\"body\":{\"menu\":", params, ",\"items\":[\"tea\",\"soup\"]},\"headers\":{\"cache-control\":\"max-age=60\"}}");
}

/* The whole request comes back. */
EH_EXPORT(mirror) { return say("{\"status\":201,\"body\":", eh_input(), "}"); }

/* A page. */
EH_EXPORT(page) {
  eh_input();
  return eh_output(eh_text_of(
      "{\"headers\":{\"Content-Type\":\"text/html\"},\"body\":\"<script>fetch('/api/models')</script>\"}"));
}

EH_EXPORT(nothing) {
  eh_input();
  return 0;
}

/* What no component may say. */
EH_EXPORT(rude) {
  eh_input();
  return eh_output(eh_text_of("{\"headers\":{\"set-cookie\":\"a=b\"},\"body\":1}"));
}

EH_EXPORT(confused) {
  eh_input();
  return eh_output(eh_text_of("{\"status\":99}"));
}

EH_EXPORT(grumpy) {
  eh_input();
  return eh_fail("closed on Mondays");
}
