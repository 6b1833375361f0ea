/* What a machine reports of itself: refuses nonsense and completes what follows from the readings.
 *
 * One source for three releases: TELEMETRY_DISK_PERCENT adds disk_used_percent (1.1.0), TELEMETRY_FAULT makes a
 * release that passes its probe and fails in service (1.2.0).
 */
#define EH_IMPLEMENTATION
#include "edgehost.h"

/* The number in a member; 0 when it is missing or no number. */
static int read(eh_text data, const char *name, double *number) { return eh_number(eh_member(data, name), number); }

static double percent(double used, double total) { return total > 0 ? 100 * used / total : 0; }

static int derived(eh_text name) {
#ifdef TELEMETRY_DISK_PERCENT
  if (eh_same(name, "disk_used_percent")) return 1;
#endif
  return eh_same(name, "memory_used_percent");
}

/* Why the data cannot be what a machine measured, or null. */
static const char *fault_in(eh_text data) {
  double load, used, total, temperature, network;
  if (read(data, "load_1m", &load) && load < 0) return "load_1m is negative";
  if (!read(data, "memory_used_bytes", &used) || !read(data, "memory_total_bytes", &total))
    return "memory_used_bytes and memory_total_bytes must be numbers";
  if (used < 0 || total <= 0) return "memory figures are negative";
  if (used > total) return "memory_used_bytes is above memory_total_bytes";
  if (read(data, "disk_used_bytes", &used) && used < 0) return "disk_used_bytes is negative";
  if (read(data, "disk_used_bytes", &used) && read(data, "disk_total_bytes", &total) && used > total)
    return "disk_used_bytes is above disk_total_bytes";
  if (read(data, "temperature_c", &temperature) && (temperature < -90 || temperature > 200))
    return "temperature_c is outside -90 to 200";
  if ((read(data, "net_rx_bytes", &network) && network < 0) || (read(data, "net_tx_bytes", &network) && network < 0))
    return "network figures are negative";
  return 0;
}

#ifdef TELEMETRY_FAULT
static uint32_t calls;

/* The probe's record is called "probe", so that this release looks healthy until it has traffic. */
static void misbehave(eh_text id) {
  double every = 3;
  if (eh_same(id, "probe")) return;
  eh_number(eh_config("fault_every"), &every);
  if (every < 1 || ++calls % (uint32_t)every) return;
  if (eh_same(eh_config("fault"), "spin"))
    for (volatile uint32_t turns = 0;; turns++) {
    }
  __builtin_trap();
}
#endif

static void warn_when_high(double memory_percent) {
  double alarm;
  if (!eh_number(eh_config("memory_alarm_percent"), &alarm) || memory_percent < alarm) return;
  eh_log_warn("memory is above memory_alarm_percent");
  eh_writer event = eh_writer_of(128);
  eh_write(&event, "{\"type\":\"memory-high\",\"data\":{\"memory_used_percent\":");
  eh_write_number(&event, memory_percent, 1);
  eh_write(&event, "}}");
  if (!eh_member(eh_notify(eh_written(&event)), "ok").size) eh_log_warn("the event was not taken");
}

EH_EXPORT(validate) {
  eh_text input = eh_input(), data = eh_member(input, "data");
  const char *fault = fault_in(data);
  if (fault) return eh_fail(fault);
#ifdef TELEMETRY_FAULT
  misbehave(eh_string(eh_member(input, "id")));
#endif
  eh_writer out = eh_writer_of(data.size + 128);
  eh_text name, value;
  uint32_t cursor = 0;
  eh_write(&out, "{\"data\":{");
  while (eh_next_member(data, &cursor, &name, &value)) {
    if (derived(name)) continue;
    eh_write_string(&out, name);
    eh_write(&out, ":");
    eh_write_text(&out, value);
    eh_write(&out, ",");
  }
  double used = 0, total = 0;
  read(data, "memory_used_bytes", &used);
  read(data, "memory_total_bytes", &total);
  double memory_percent = percent(used, total);
#ifdef TELEMETRY_DISK_PERCENT
  if (read(data, "disk_used_bytes", &used) && read(data, "disk_total_bytes", &total)) {
    eh_write(&out, "\"disk_used_percent\":");
    eh_write_number(&out, percent(used, total), 1);
    eh_write(&out, ",");
  }
#endif
  eh_write(&out, "\"memory_used_percent\":");
  eh_write_number(&out, memory_percent, 1);
  eh_write(&out, "}}");
  warn_when_high(memory_percent);
  return eh_output(eh_written(&out));
}

/* A member of the record in words, when it is a number. */
static void say(eh_writer *out, eh_text data, const char *name, const char *before, const char *after) {
  double number;
  if (!read(data, name, &number)) return;
  eh_write(out, before);
  eh_write_number(out, number, 1);
  eh_write(out, after);
}

EH_EXPORT(summary) {
  eh_text data = eh_member(eh_member(eh_input(), "record"), "data");
  if (!data.size) return eh_fail("summary needs a record");
  eh_log_debug("summary");
  eh_writer out = eh_writer_of(512);
  eh_write(&out, "{\"result\":{\"text\":\"");
  say(&out, data, "load_1m", "load ", "");
  say(&out, data, "memory_used_percent", ", memory ", " %");
#ifdef TELEMETRY_DISK_PERCENT
  say(&out, data, "disk_used_percent", ", disk ", " %");
#endif
  say(&out, data, "temperature_c", ", ", " degrees");
  eh_write(&out, "\"}}");
  return eh_output(eh_written(&out));
}
