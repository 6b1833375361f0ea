/* A delivery's own rules. Its way through the ports stands in component.toml; the host walks it. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

/* The data with another status. */
static void write_with_status(eh_writer *out, eh_text data, const char *status) {
  eh_text name, value;
  eh_write(out, "{");
  for (uint32_t cursor = 0; eh_next_member(data, &cursor, &name, &value);) {
    if (eh_same(name, "status")) continue;
    eh_write_string(out, name);
    eh_write(out, ":");
    eh_write_text(out, value);
    eh_write(out, ",");
  }
  eh_write(out, "\"status\":\"");
  eh_write(out, status);
  eh_write(out, "\"}");
}

static int32_t answer_with_status(eh_text data, const char *status) {
  eh_writer out = eh_writer_of(32768);
  eh_write(&out, "{\"data\":");
  write_with_status(&out, data, status);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

EH_EXPORT(validate) {
  eh_text data = eh_member(eh_input(), "data");
  if (!eh_string(eh_member(data, "address")).size) return eh_fail("a delivery needs an address");
  if (eh_member(data, "status").size) return eh_output(eh_text_of("{}"));
  return answer_with_status(data, "under-way");
}

/* The inbound port complete-delivery. */
EH_EXPORT(complete) {
  eh_text record = eh_member(eh_input(), "record");
  if (eh_same(eh_string(eh_member(eh_member(eh_member(record, "data"), "drill"), "refuse")), "complete-delivery"))
    return eh_fail("the receiver does not accept the parcel");
  return answer_with_status(eh_member(record, "data"), "completed");
}

/* What takes complete-delivery back. */
EH_EXPORT(reopen) {
  eh_text record = eh_member(eh_input(), "record");
  if (!record.size) return eh_output(eh_text_of("{}")); /* the record is gone */
  return answer_with_status(eh_member(record, "data"), "under-way");
}

/* The handler of edgehost.workflow.moved. */
EH_EXPORT(note_taken_back) {
  eh_text id = eh_member(eh_member(eh_member(eh_input(), "event"), "data"), "id");
  eh_writer question = eh_writer_of(512);
  eh_write(&question, "{\"model\":\"delivery\",\"id\":");
  eh_write_text(&question, id);
  eh_write(&question, "}");
  eh_text record = eh_member(eh_get(eh_written(&question)), "ok");
  if (!record.size) return eh_output(eh_text_of("{}")); /* deleted meanwhile */
  eh_writer order = eh_writer_of(32768);
  eh_write(&order, "{\"model\":\"delivery\",\"id\":");
  eh_write_text(&order, id);
  eh_write(&order, ",\"revision\":");
  eh_write_text(&order, eh_member(record, "revision"));
  eh_write(&order, ",\"data\":");
  write_with_status(&order, eh_member(record, "data"), "taken-back");
  eh_write(&order, "}");
  eh_text reply = eh_save(eh_written(&order));
  return eh_member(reply, "error").size ? eh_fail("the record could not be marked") : eh_output(reply);
}
