/* What a machine reports of itself: refuses nonsense and completes what follows from the readings.
 *
 * One source for three releases: TELEMETRY_DISK_PERCENT adds disk_used_percent (1.1.0), TELEMETRY_FAULT makes a
 * release that passes its probe and fails in service (1.2.0).
 */
#define EH_IMPLEMENTATION
#include "edgehost.h"

enum { LOAD, MEMORY_USED, MEMORY_TOTAL, DISK_USED, DISK_TOTAL, TEMPERATURE, RECEIVED, SENT, FIGURES };

static const char *const NAMES[FIGURES] = {
    "load_1m",         "memory_used_bytes", "memory_total_bytes", "disk_used_bytes",
    "disk_total_bytes", "temperature_c",     "net_rx_bytes",       "net_tx_bytes",
};

/* What a record says in numbers; null and missing members are not known. */
typedef struct {
  double value[FIGURES];
  int known[FIGURES];
} figures;

static void note(figures *read, eh_text name, eh_text value) {
  for (int i = 0; i < FIGURES; i++)
    if (eh_same(name, NAMES[i])) {
      read->known[i] = eh_number(value, &read->value[i]);
      return;
    }
}

static double percent(double used, double total) { return total > 0 ? 100 * used / total : 0; }

static int derived(eh_text name) {
#ifdef TELEMETRY_DISK_PERCENT
  if (eh_same(name, "disk_used_percent")) return 1;
#endif
  return eh_same(name, "memory_used_percent");
}

/* Why these cannot be what a machine measured, or null. */
static const char *fault_in(const figures *read) {
  const double *value = read->value;
  const int *known = read->known;
  if (!known[MEMORY_USED] || !known[MEMORY_TOTAL]) return "memory_used_bytes and memory_total_bytes must be numbers";
  if (value[MEMORY_USED] < 0 || value[MEMORY_TOTAL] <= 0) return "memory figures are negative";
  if (value[MEMORY_USED] > value[MEMORY_TOTAL]) return "memory_used_bytes is above memory_total_bytes";
  if (known[LOAD] && value[LOAD] < 0) return "load_1m is negative";
  if (known[DISK_USED] && value[DISK_USED] < 0) return "disk_used_bytes is negative";
  if (known[DISK_USED] && known[DISK_TOTAL] && value[DISK_USED] > value[DISK_TOTAL])
    return "disk_used_bytes is above disk_total_bytes";
  if (known[TEMPERATURE] && (value[TEMPERATURE] < -90 || value[TEMPERATURE] > 200))
    return "temperature_c is outside -90 to 200";
  if ((known[RECEIVED] && value[RECEIVED] < 0) || (known[SENT] && value[SENT] < 0))
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
  eh_text input = eh_input(), data = eh_member(input, "data"), name, value;
  eh_writer out = eh_writer_of(data.size + 128);
  figures read = {0};
  uint32_t cursor = 0;
  eh_write(&out, "{\"data\":{");
  while (eh_next_member(data, &cursor, &name, &value)) {
    if (derived(name)) continue;
    note(&read, name, value);
    eh_write_string(&out, name);
    eh_write(&out, ":");
    eh_write_text(&out, value);
    eh_write(&out, ",");
  }
  const char *fault = fault_in(&read);
  if (fault) return eh_fail(fault);
#ifdef TELEMETRY_FAULT
  misbehave(eh_string(eh_member(input, "id")));
#endif
#ifdef TELEMETRY_DISK_PERCENT
  if (read.known[DISK_USED] && read.known[DISK_TOTAL]) {
    eh_write(&out, "\"disk_used_percent\":");
    eh_write_number(&out, percent(read.value[DISK_USED], read.value[DISK_TOTAL]), 1);
    eh_write(&out, ",");
  }
#endif
  double memory_percent = percent(read.value[MEMORY_USED], read.value[MEMORY_TOTAL]);
  eh_write(&out, "\"memory_used_percent\":");
  eh_write_number(&out, memory_percent, 1);
  eh_write(&out, "}}");
  warn_when_high(memory_percent);
  return eh_output(eh_written(&out));
}

/* A member of the record in words, when it is a number. */
static void say(eh_writer *out, eh_text data, const char *name, const char *before, const char *after) {
  double number;
  if (!eh_number(eh_member(data, name), &number)) return;
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
