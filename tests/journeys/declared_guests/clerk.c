/* A model whose commands hand what they are given to the host, and its answer back. */
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

EH_EXPORT(get) { return handed(eh_get); }
EH_EXPORT(save) { return handed(eh_save); }
EH_EXPORT(call) { return handed(eh_call); }

/* Which component stands behind its name `books`. */
EH_EXPORT(books) {
  eh_input();
  eh_text name = eh_config("dependency.books");
  eh_writer out = eh_writer_of(256);
  eh_write(&out, "{\"result\":");
  eh_write_string(&out, name);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}
