/* Uses every function of edgehost.h once. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

EH_EXPORT(everything) {
  eh_text said = eh_string(eh_member(eh_input(), "text"));
  if (!said.size) return eh_fail("text is missing");
  eh_log_debug("debug");
  eh_log_info("info");
  eh_log_warn("warn");
  eh_log_error("error");
  eh_set_var("kept", said);
  eh_writer request = eh_writer_of(said.size * 6 + 64);
  eh_write(&request, "{\"from\":");
  eh_write_string(&request, said);
  eh_write(&request, "}");
  eh_text asked = eh_written(&request);
  eh_text replies[] = {eh_readings(asked), eh_save(asked), eh_get(asked),    eh_find(asked),
                       eh_delete(asked),   eh_call(asked), eh_notify(asked), eh_now(asked),
                       eh_port(asked),     eh_related(asked), eh_service(asked)};
  eh_writer out = eh_writer_of(8192);
  eh_write(&out, "{\"var\":");
  eh_write_string(&out, eh_var("kept"));
  eh_write(&out, ",\"config\":");
  eh_write_string(&out, eh_config("words"));
  eh_write(&out, ",\"missing\":");
  eh_write_string(&out, eh_config("nothing"));
  eh_write(&out, ",\"replies\":[");
  for (int i = 0; i < 11; i++) {
    if (i) eh_write(&out, ",");
    eh_write_text(&out, eh_member(replies[i], "ok"));
  }
  eh_write(&out, "]}");
  return eh_output(eh_written(&out));
}

EH_EXPORT(refused) {
  eh_input();
  eh_text why = eh_string(eh_member(eh_member(eh_now(eh_text_of("{}")), "error"), "message"));
  static char text[64];
  uint32_t i = 0;
  for (; i < why.size && i < 63; i++) text[i] = why.at[i];
  text[i] = 0;
  return eh_fail(text);
}
