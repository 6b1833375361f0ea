/* An adapter: the port's place becomes a URL, the service's document becomes the port's answer. */
#define EH_IMPLEMENTATION
#include "edgehost.h"

EH_EXPORT(invoke) {
  eh_text call = eh_input();
  eh_text place = eh_string(eh_member(eh_member(call, "args"), "place"));
  eh_writer request = eh_writer_of(4096);
  eh_write(&request, "{\"function\":\"get\",\"input\":{\"url\":\"weather\",\"query\":{\"place\":");
  eh_write_string(&request, place);
  eh_write(&request, "}}}");
  eh_text reply = eh_service(eh_written(&request));
  eh_text document = eh_member(eh_member(reply, "ok"), "json");
  if (!document.size) return eh_output(reply); /* {"error": ...} as it came */
  eh_writer out = eh_writer_of(4096);
  eh_write(&out, "{\"temperature\":");
  eh_write_text(&out, eh_member(document, "temperature"));
  eh_write(&out, ",\"by\":");
  eh_write_string(&out, eh_config("by"));
  eh_write(&out, "}");
  return eh_output(eh_written(&out));
}
