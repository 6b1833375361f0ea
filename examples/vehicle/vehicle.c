/* A vehicle's record is what its last telemetry said; it is called as the service that the vehicle is behind.
 * When the vehicle is lost, the record says so: what was measured stays, with "present": false.
 */
#define EH_IMPLEMENTATION
#include "edgehost.h"

/* Through the port of this name, with the caller's arguments as they are; no arguments are an empty object. */
static int32_t through(const char *port) {
  eh_text call = eh_input(), args = eh_member(call, "args");
  if (!args.size || eh_same(args, "null")) args = eh_text_of("{}");
  eh_writer out = eh_writer_of(args.size + 128);
  eh_write(&out, "{\"port\":\"");
  eh_write(&out, port);
  eh_write(&out, "\",\"args\":");
  eh_write_text(&out, args);
  eh_write(&out, "}");
  eh_text reply = eh_port(eh_written(&out));
  eh_text answer = eh_member(eh_member(reply, "ok"), "answer");
  if (!answer.size) {
    eh_text why = eh_string(eh_member(eh_member(reply, "error"), "message"));
    eh_writer said = eh_writer_of(why.size + 1);
    eh_write_text(&said, why);
    eh_write_text(&said, (eh_text){"", 1}); /* a zero at the end, for eh_fail */
    return eh_fail(eh_written(&said).at);
  }
  eh_writer result = eh_writer_of(answer.size + 32);
  eh_write(&result, "{\"result\":");
  eh_write_text(&result, answer);
  eh_write(&result, "}");
  return eh_output(eh_written(&result));
}

EH_EXPORT(arm) { return through("arm"); }
EH_EXPORT(disarm) { return through("disarm"); }
EH_EXPORT(takeoff) { return through("takeoff"); }
EH_EXPORT(land) { return through("land"); }
EH_EXPORT(rtl) { return through("rtl"); }
EH_EXPORT(go_to) { return through("goto"); }
EH_EXPORT(mode) { return through("mode"); }
EH_EXPORT(read) { return through("parameter"); }
EH_EXPORT(set) { return through("set-parameter"); }

static int save(eh_text id, eh_text data) {
  eh_writer out = eh_writer_of(id.size + data.size + 256);
  eh_write(&out, "{\"model\":\"vehicle\",\"id\":");
  eh_write_text(&out, id);
  eh_write(&out, ",\"data\":");
  eh_write_text(&out, data);
  eh_write(&out, "}");
  return eh_member(eh_save(eh_written(&out)), "ok").size != 0;
}

static int has_member(eh_text object, eh_text wanted) {
  eh_text member, value;
  for (uint32_t cursor = 0; eh_next_member(object, &cursor, &member, &value);) {
    uint32_t at = 0;
    while (member.size == wanted.size && at < wanted.size && member.at[at] == wanted.at[at]) at++;
    if (member.size == wanted.size && at == wanted.size) return 1;
  }
  return 0;
}

/* The snapshot of a vehicle that is silent: what was measured last, of which its last place matters most. */
static eh_text last_snapshot(void) {
  eh_text reply = eh_port(eh_text_of("{\"port\":\"telemetry\",\"args\":{}}"));
  return eh_member(eh_member(reply, "ok"), "answer");
}

/* Telemetry is the record; of a lost vehicle it is what was measured last, with what the event tells: why, how long ago. */
EH_EXPORT(on_vehicle) {
  eh_text event = eh_member(eh_input(), "event");
  eh_text name = eh_string(eh_member(event, "name")), data = eh_member(event, "data");
  /* The data of a service's event is its fields: {"service", "name", "data"}. */
  eh_text told = eh_member(data, "data");
  if (!told.size) told = data;
  eh_text id = eh_member(told, "vehicle");
  if (!id.size) return eh_fail("the event names no vehicle");
  if (eh_same(name, "edgehost.vehicle.telemetry")) return save(id, told) ? 0 : eh_fail("the record is not stored");
  if (!eh_same(name, "edgehost.vehicle.lost")) return 0;
  eh_text last = last_snapshot(), member, value;
  eh_writer lost = eh_writer_of(told.size + last.size + 64);
  eh_write(&lost, "{\"present\":false");
  for (uint32_t cursor = 0; eh_next_member(told, &cursor, &member, &value);) {
    eh_write(&lost, ",");
    eh_write_string(&lost, member);
    eh_write(&lost, ":");
    eh_write_text(&lost, value);
  }
  for (uint32_t cursor = 0; eh_next_member(last, &cursor, &member, &value);) {
    if (eh_same(member, "present") || has_member(told, member)) continue;
    eh_write(&lost, ",");
    eh_write_string(&lost, member);
    eh_write(&lost, ":");
    eh_write_text(&lost, value);
  }
  eh_write(&lost, "}");
  return save(id, eh_written(&lost)) ? 0 : eh_fail("the record is not stored");
}
