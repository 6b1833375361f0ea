/* A model with ports of every kind: a weather station that asks the world, and that the world asks. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

/* A command that calls an outbound port of its own. */
EH_EXPORT(refresh) {
  eh_text input = eh_input();
  eh_writer request = eh_writer_of(4096);
  eh_write(&request, "{\"port\":\"forecast\",\"id\":");
  eh_write_text(&request, eh_member(input, "id"));
  eh_write(&request, ",\"args\":");
  eh_write_text(&request, eh_member(input, "args"));
  eh_write(&request, "}");
  eh_text reply = eh_port(eh_written(&request));
  eh_writer out = eh_writer_of(8192);
  eh_write(&out, "{\"result\":");
  eh_write_text(&out, reply);
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

/* Answers an inbound port: what came becomes the record's data. */
EH_EXPORT(report) {
  eh_text input = eh_input();
  eh_writer out = eh_writer_of(4096);
  eh_write(&out, "{\"result\":{\"heard\":");
  eh_write_text(&out, eh_member(input, "args"));
  eh_write(&out, "},\"data\":");
  eh_write_text(&out, eh_member(input, "args"));
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}

/* Takes an answer: the record notes that it came. */
EH_EXPORT(noted) {
  eh_text answer = eh_member(eh_input(), "answer");
  eh_writer out = eh_writer_of(4096);
  eh_write(&out, "{\"result\":\"noted\",\"data\":{\"noted\":");
  eh_write_text(&out, answer);
  eh_write(&out, "}}");
  return eh_output(eh_written(&out));
}

/* A callback that never returns. */
EH_EXPORT(forever) {
  for (volatile uint32_t i = 0;; i++) {
  }
  return 0;
}

/* Asked while a breaker is open. */
EH_EXPORT(guess) {
  eh_input();
  return eh_output(eh_text_of("{\"answer\":{\"temperature\":15,\"guessed\":true}}"));
}

/* Takes an effect back. */
EH_EXPORT(forget) {
  eh_input();
  return eh_output(eh_text_of("{\"result\":\"forgotten\",\"data\":{}}"));
}
