/* A component that answers events with events, and a step of a pipeline. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

/* A handler: says `says` as often as `times` wants. */
EH_EXPORT(ring) {
  double times = 1;
  eh_text name = eh_string(eh_member(eh_member(eh_input(), "event"), "name"));
  eh_number(eh_config("times"), &times);
  if (eh_same(name, "break")) __builtin_trap();
  for (int i = 0; i < (int)times; i++) {
    eh_writer out = eh_writer_of(256);
    eh_write(&out, "{\"type\":");
    eh_write_string(&out, eh_config("says"));
    eh_write(&out, ",\"data\":{\"heard\":");
    eh_write_string(&out, name);
    eh_write(&out, "}}");
    if (!eh_member(eh_notify(eh_written(&out)), "ok").size) return eh_fail("nobody takes it");
  }
  return eh_output(eh_text_of("{}"));
}

/* Notifies whatever it is asked to. */
EH_EXPORT(tell) { return eh_output(eh_notify(eh_input())); }

/* A step: {"n"} becomes {"n"} and `adds` more. */
EH_EXPORT(add) {
  double n = 0, more = 0;
  if (!eh_number(eh_member(eh_input(), "n"), &n)) return eh_fail("n is no number");
  eh_number(eh_config("adds"), &more);
  eh_writer out = eh_writer_of(64);
  eh_write(&out, "{\"n\":");
  eh_write_number(&out, n + more, 0);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}
