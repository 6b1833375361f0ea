/* The world behind the ports. A booking is stored under the token of the step that wants it, so the same step asked
 * twice, because its host was killed in between, books once; and taking back what was never booked is no error.
 *
 * `drill` in a delivery makes the depot misbehave at a step, for the demo and the tests: {"refuse": STEP} says no,
 * {"lose": STEP} books and then does not answer well, {"stall": STEP} takes its time after it has booked,
 * {"keep": STEP} does not take back.
 */
#define EH_IMPLEMENTATION
#include "edgehost.h"

static const double STALL_S = 0.4;

static double now(void) {
  double seconds = 0;
  eh_number(eh_member(eh_member(eh_now(eh_text_of("{}")), "ok"), "unix_s"), &seconds);
  return seconds;
}

static int drilled(eh_text order, const char *kind) {
  eh_text at = eh_string(eh_member(eh_member(order, "drill"), kind)), what = eh_string(eh_member(order, "what"));
  if (!at.size || at.size != what.size) return 0;
  for (uint32_t i = 0; i < at.size; i++)
    if (at.at[i] != what.at[i]) return 0;
  return 1;
}

/* The token as a record's id, which has no slashes. */
static void write_id(eh_writer *out, eh_text token) {
  char id[128];
  uint32_t size = token.size < sizeof id ? token.size : sizeof id;
  for (uint32_t i = 0; i < size; i++) id[i] = token.at[i] == '/' ? '.' : token.at[i];
  eh_write_string(out, (eh_text){id, size});
}

static eh_text saved(eh_text order, const char *state, eh_text revision) {
  eh_writer out = eh_writer_of(2048);
  eh_write(&out, "{\"model\":\"booking\",\"id\":");
  write_id(&out, eh_string(eh_member(order, "token")));
  eh_write(&out, ",\"revision\":");
  if (revision.size)
    eh_write_text(&out, revision);
  else
    eh_write(&out, "\"\"");
  eh_write(&out, ",\"data\":{\"delivery\":");
  eh_write_text(&out, eh_member(order, "delivery"));
  eh_write(&out, ",\"what\":");
  eh_write_text(&out, eh_member(order, "what"));
  eh_write(&out, ",\"state\":\"");
  eh_write(&out, state);
  eh_write(&out, "\"}}");
  return eh_save(eh_written(&out));
}

static int is_error(eh_text reply, const char *code) {
  return eh_same(eh_string(eh_member(eh_member(reply, "error"), "code")), code);
}

EH_EXPORT(book) {
  eh_text order = eh_input();
  if (!eh_member(order, "token").size || !eh_member(order, "delivery").size)
    return eh_fail("an order needs a token and a delivery");
  if (drilled(order, "refuse")) return eh_fail("the depot says no");
  eh_text reply = saved(order, "booked", eh_text_of(""));
  if (eh_member(reply, "error").size && !is_error(reply, "revision-conflict")) return eh_output(reply);
  if (drilled(order, "stall"))
    for (double until = now() + STALL_S; now() < until;) eh_input();
  order = eh_input();
  if (drilled(order, "lose"))
    return eh_output(eh_text_of("{\"error\":{\"code\":\"unavailable\",\"message\":\"the line broke\"}}"));
  eh_writer out = eh_writer_of(512);
  eh_write(&out, "{\"ok\":{\"reference\":");
  write_id(&out, eh_string(eh_member(order, "token")));
  eh_write(&out, "}}");
  return eh_output(eh_written(&out));
}

EH_EXPORT(unbook) {
  eh_text order = eh_input();
  if (drilled(order, "keep")) return eh_fail("the depot keeps it");
  eh_writer out = eh_writer_of(512);
  eh_write(&out, "{\"model\":\"booking\",\"id\":");
  write_id(&out, eh_string(eh_member(order, "token")));
  eh_write(&out, "}");
  eh_text found = eh_get(eh_written(&out));
  if (is_error(found, "not-found")) return eh_output(eh_text_of("{\"ok\":{\"returned\":false}}"));
  if (eh_member(found, "error").size) return eh_output(found);
  eh_text reply = saved(order, "returned", eh_member(eh_member(found, "ok"), "revision"));
  if (eh_member(reply, "error").size) return eh_output(reply);
  return eh_output(eh_text_of("{\"ok\":{\"returned\":true}}"));
}
