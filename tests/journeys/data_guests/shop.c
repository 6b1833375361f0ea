/* Models whose commands follow their relations and ask for records; `big` answers a custom relation. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

static int32_t handed(eh_text (*ask)(eh_text)) {
  eh_text reply = ask(eh_member(eh_input(), "args"));
  eh_writer out = eh_writer_of(reply.size + 32);
  eh_write(&out, "{\"result\":");
  eh_write_text(&out, reply);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

EH_EXPORT(follow) { return handed(eh_related); }
EH_EXPORT(search) { return handed(eh_find); }

EH_EXPORT(big) {
  eh_text id = eh_member(eh_input(), "id");
  eh_writer out = eh_writer_of(256);
  eh_write(&out, "{\"filters\":{\"total__ge\":100,\"customer\":");
  eh_write_text(&out, id);
  eh_write(&out, "}}");
  return eh_output(eh_written(&out));
}
