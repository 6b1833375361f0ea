/* Translates: a port's call becomes an order to the depot, and the depot's reference the member that the port keeps.
 * A port whose name begins with "undo-" takes back what the other one ordered; the token is the same.
 */
#define EH_IMPLEMENTATION
#include "edgehost.h"

static const char *const KEPT[][2] = {
    {"validate-address", "landing_spot"}, {"authorise-payment", "receipt"}, {"pick-items", "parcel"},
    {"fly-drone", "flight"},              {"track-flight", "track"},        {"verify-drop", "proof"},
};

static int begins(eh_text text, const char *with) {
  for (uint32_t i = 0; with[i]; i++)
    if (i >= text.size || text.at[i] != with[i]) return 0;
  return 1;
}

EH_EXPORT(carry) {
  eh_text call = eh_input(), record = eh_member(call, "record");
  eh_text port = eh_string(eh_member(call, "port"));
  int undo = begins(port, "undo-");
  eh_text what = undo ? (eh_text){port.at + 5, port.size - 5} : port;
  const char *kept = 0;
  for (uint32_t i = 0; i < sizeof KEPT / sizeof *KEPT; i++)
    if (eh_same(what, KEPT[i][0])) kept = KEPT[i][1];
  if (!kept) return eh_fail("the courier does not know this step");
  eh_writer order = eh_writer_of(8192);
  eh_write(&order, undo ? "{\"function\":\"unbook\"" : "{\"function\":\"book\"");
  eh_write(&order, ",\"input\":{\"what\":");
  eh_write_string(&order, what);
  eh_write(&order, ",\"token\":");
  eh_write_text(&order, eh_member(call, "token"));
  eh_write(&order, ",\"delivery\":");
  eh_write_text(&order, eh_member(record, "id"));
  eh_text drill = eh_member(eh_member(record, "data"), "drill");
  if (drill.size) {
    eh_write(&order, ",\"drill\":");
    eh_write_text(&order, drill);
  }
  eh_write(&order, "}}");
  eh_text reply = eh_service(eh_written(&order));
  eh_text reference = eh_member(eh_member(reply, "ok"), "reference");
  if (undo || !reference.size) return eh_output(reply);
  eh_writer answer = eh_writer_of(512);
  eh_write(&answer, "{\"ok\":{");
  eh_write_string(&answer, eh_text_of(kept));
  eh_write(&answer, ":");
  eh_write_text(&answer, reference);
  eh_write(&answer, "}}");
  return eh_output(eh_written(&answer));
}
