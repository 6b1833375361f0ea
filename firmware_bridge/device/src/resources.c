#include "resources.h"

#include <string.h>

#include "arena.h"
#include "board.h"
#include "events.h"
#include "journal.h"
#include "lifecycle.h"
#include "link.h"
#include "log.h"
#include "port.h"
#include "provision.h"
#include "runner.h"
#include "server.h"
#include "slots.h"

#define LEAST_INTERVAL_MS 50u
#define MOST_INTERVAL_MS 3600000u
#define STANDARD_INTERVAL_MS 1000u

static uint8_t document[DOCUMENT_BYTES];
static uint32_t interval_ms, told_ms, told_lines, told_events;
static bool reset_due;

static void set_document(const cbor_writer *writer, reply *answered) {
  if (writer->full) {
    *answered = (reply){.code = COAP_SERVER_ERROR, .format = FORMAT_NONE};
    return;
  }
  *answered = (reply){.code = COAP_CONTENT, .format = FORMAT_CBOR};
  answered->body = (span){.at = document, .size = (uint32_t)(writer->at - document)};
}

static void set_verdict(verdict result, reply *answered) {
  if (result.code == 0u) {
    *answered = (reply){.code = COAP_CHANGED, .format = FORMAT_NONE};
    return;
  }
  *answered = (reply){.code = result.code, .format = FORMAT_NONE};
  answered->body = (span){.at = (const uint8_t *)result.why, .size = (uint32_t)strlen(result.why)};
}

static void get_links(const request *asked, reply *answered) {
  static const char LINKS[] =
      "</id>;ct=60,</twin>;ct=60,</tel>;ct=60;obs,</log>;ct=0;obs,</event>;ct=60;obs,</slot>;ct=60,</slot/manifest>;ct=60,"
      "</slot/image>;ct=42,</slot/commit>,</slot/rollback>,</line>;ct=60,</reset>,</call>";
  (void)asked;
  *answered = (reply){.code = COAP_CONTENT, .format = FORMAT_LINKS};
  answered->body = (span){.at = (const uint8_t *)LINKS, .size = (uint32_t)sizeof LINKS - 1u};
}

static void get_id(const request *asked, reply *answered) {
  uint8_t uid[UID_BYTES], digest[SHA256_BYTES];
  provision_record own;
  sha256_context context;
  (void)asked;
  port_unique_id(uid);
  provision_read(&own);
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, 11);
  cbor_put_word(&writer, "board");
  cbor_put_word(&writer, BOARD_NAME);
  cbor_put_word(&writer, "core");
  cbor_put_word(&writer, BOARD_CORE);
  cbor_put_word(&writer, "uid");
  cbor_put_bytes(&writer, uid, sizeof uid);
  cbor_put_word(&writer, "firmware");
  cbor_put_word(&writer, FIRMWARE_VERSION);
  cbor_put_word(&writer, "engine");
  cbor_put_word(&writer, "wasm3 0.5.0");
  cbor_put_word(&writer, "float");
  cbor_put_bool(&writer, WASM_FLOAT != 0);
  cbor_put_word(&writer, "slot");
  cbor_put_uint(&writer, SLOT_BYTES);
  cbor_put_word(&writer, "memory");
  cbor_put_uint(&writer, LINEAR_MEMORY_BYTES);
  cbor_put_word(&writer, "body");
  cbor_put_uint(&writer, BODY_BYTES);
  cbor_put_word(&writer, "block");
  cbor_put_uint(&writer, BLOCK_BYTES);
  cbor_put_word(&writer, "keys");
  cbor_put_array(&writer, own.key_count);
  for (uint32_t i = 0; i < own.key_count; i++) {
    sha256_begin(&context);
    sha256_add(&context, own.keys[i], sizeof own.keys[i]);
    sha256_end(&context, digest);
    cbor_put_bytes(&writer, digest, 8);
  }
  set_document(&writer, answered);
}

static void put_release(cbor_writer *writer, const manifest *of) {
  cbor_put_map(writer, 5);
  cbor_put_word(writer, "component");
  cbor_put_text(writer, (const char *)of->component.at, of->component.size);
  cbor_put_word(writer, "version");
  cbor_put_text(writer, (const char *)of->version.at, of->version.size);
  cbor_put_word(writer, "sequence");
  cbor_put_uint(writer, of->sequence);
  cbor_put_word(writer, "size");
  cbor_put_uint(writer, of->size);
  cbor_put_word(writer, "sha256");
  cbor_put_bytes(writer, of->sha256, SHA256_BYTES);
}

static void use_twin(const request *asked, reply *answered) {
  if (asked->method == (uint8_t)COAP_PUT) {
    cbor_reader reader = cbor_read(asked->body.at, asked->body.size);
    uint64_t value = 0;
    if (!cbor_find(&reader, "interval_ms", 11) || !cbor_uint(&reader, &value) || value < LEAST_INTERVAL_MS ||
        value > MOST_INTERVAL_MS) {
      set_verdict(REFUSED(COAP_BAD_REQUEST, "twin: {\"interval_ms\": 50 to 3600000} is what can be set"), answered);
      return;
    }
    interval_ms = (uint32_t)value;
    set_verdict(ACCEPTED, answered);
    return;
  }
  const manifest *running = lifecycle_running();
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, running == NULL ? 2u : 3u);
  cbor_put_word(&writer, "interval_ms");
  cbor_put_uint(&writer, interval_ms);
  cbor_put_word(&writer, "firmware");
  cbor_put_word(&writer, FIRMWARE_VERSION);
  if (running != NULL) {
    cbor_put_word(&writer, "running");
    put_release(&writer, running);
  }
  set_document(&writer, answered);
}

static void use_line(const request *asked, reply *answered) {
  if (asked->method == (uint8_t)COAP_PUT) {
    cbor_reader reader = cbor_read(asked->body.at, asked->body.size);
    uint64_t value = 0;
    bool good = cbor_find(&reader, "baud", 4) && cbor_uint(&reader, &value) && value <= 10000000u;
    set_verdict(good && link_ask_baud((uint32_t)value)
                    ? ACCEPTED
                    : REFUSED(COAP_BAD_REQUEST, "baud: this board cannot have that rate"),
                answered);
    return;
  }
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, 1);
  cbor_put_word(&writer, "baud");
  cbor_put_uint(&writer, link_baud());
  set_document(&writer, answered);
}

static void get_telemetry(const request *asked, reply *answered) {
  span own = {0};
  (void)asked;
  bool told = runner_has("telemetry") &&
              runner_call((span){.at = (const uint8_t *)"telemetry", .size = 9}, NULL, 0, &own).code == 0u;
  const runner_figures *figures = runner_count();
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, told ? 9u : 8u);
  cbor_put_word(&writer, "up_ms");
  cbor_put_uint(&writer, port_millis());
  cbor_put_word(&writer, "heap");
  cbor_put_uint(&writer, arena_used());
  cbor_put_word(&writer, "heap_most");
  cbor_put_uint(&writer, arena_most_used());
  cbor_put_word(&writer, "calls");
  cbor_put_uint(&writer, figures->calls);
  cbor_put_word(&writer, "faults");
  cbor_put_uint(&writer, figures->faults);
  cbor_put_word(&writer, "steps");
  cbor_put_uint(&writer, figures->steps);
  cbor_put_word(&writer, "bad_frames");
  cbor_put_uint(&writer, link_bad_frames());
  cbor_put_word(&writer, "lines");
  cbor_put_uint(&writer, told_lines);
  if (told) {
    cbor_put_word(&writer, "component");
    cbor_put_text(&writer, (const char *)own.at, own.size);
  }
  set_document(&writer, answered);
}

static void get_log(const request *asked, reply *answered) {
  uint32_t number = 0;
  (void)asked;
  *answered = (reply){.code = COAP_CONTENT, .format = FORMAT_TEXT};
  answered->body = log_kept(&number);
}

static void get_events(const request *asked, reply *answered) {
  const line_ring *events = events_kept();
  uint32_t count = 0, cursor = 0;
  span text = {0};
  (void)asked;
  while (lines_next(events, &cursor, &text)) {
    count++;
  }
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, 2);
  cbor_put_word(&writer, "number");
  cbor_put_uint(&writer, events->count);
  cbor_put_word(&writer, "events");
  cbor_put_array(&writer, count);
  cursor = 0;
  while (lines_next(events, &cursor, &text)) {
    cbor_put_text(&writer, (const char *)text.at, text.size);
  }
  set_document(&writer, answered);
}

static void post_call(const request *asked, reply *answered) {
  span output = {0};
  const manifest *running = lifecycle_running();
  span component = asked->path[1];
  if (running == NULL || running->component.size != component.size ||
      memcmp(running->component.at, component.at, component.size) != 0) {
    set_verdict(REFUSED(COAP_NOT_FOUND, "component: it does not run here"), answered);
    return;
  }
  verdict result = runner_call(asked->path[2], asked->body.at, asked->body.size, &output);
  if (result.code == 0u) {
    *answered = (reply){.code = COAP_CHANGED, .format = asked->format == FORMAT_NONE ? FORMAT_JSON : asked->format};
    answered->body = output;
  } else {
    set_verdict(result, answered);
    if (output.size != 0u) {
      answered->body = output; /* the guest's own words */
    }
  }
}

static void get_slot(const request *asked, reply *answered) {
  uint32_t have = 0, whole = 0;
  uint8_t incoming = slots_incoming(&have, &whole);
  const manifest *running = lifecycle_running();
  const journal_state *state = journal_read();
  (void)asked;
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, 3u + (running != NULL ? 1u : 0u) + (incoming != NO_SLOT ? 2u : 0u));
  cbor_put_word(&writer, "sequence");
  cbor_put_uint(&writer, state->floor);
  cbor_put_word(&writer, "rollback");
  cbor_put_bool(&writer, lifecycle_can_roll_back());
  cbor_put_word(&writer, "quarantined");
  cbor_put_array(&writer, state->bad_count);
  for (uint32_t i = 0; i < state->bad_count; i++) {
    cbor_put_bytes(&writer, state->bad[i], DIGEST_KEPT);
  }
  if (running != NULL) {
    cbor_put_word(&writer, "running");
    put_release(&writer, running);
  }
  if (incoming != NO_SLOT) {
    cbor_put_word(&writer, "have");
    cbor_put_uint(&writer, have);
    cbor_put_word(&writer, "size");
    cbor_put_uint(&writer, whole);
  }
  set_document(&writer, answered);
}

/* Every answer about a transfer says how much is there, so that the host can go on from it. */
static void set_progress(verdict result, uint8_t code, reply *answered) {
  uint32_t have = 0, whole = 0;
  (void)slots_incoming(&have, &whole);
  if (result.code != 0u && result.code != (uint8_t)COAP_INCOMPLETE) {
    set_verdict(result, answered);
    return;
  }
  cbor_writer writer = cbor_write(document, sizeof document);
  cbor_put_map(&writer, 2);
  cbor_put_word(&writer, "have");
  cbor_put_uint(&writer, have);
  cbor_put_word(&writer, "size");
  cbor_put_uint(&writer, whole);
  set_document(&writer, answered);
  answered->code = result.code != 0u ? result.code : code;
}

static void put_manifest(const request *asked, reply *answered) {
  set_progress(slots_offer(asked->body.at, asked->body.size), COAP_CHANGED, answered);
}

static void put_image(const request *asked, reply *answered) {
  verdict result = slots_write(asked->offset, asked->body.at, asked->body.size);
  set_progress(result, asked->more ? COAP_CONTINUE : COAP_CHANGED, answered);
}

static void post_commit(const request *asked, reply *answered) {
  (void)asked;
  set_verdict(lifecycle_commit(), answered);
}

static void post_rollback(const request *asked, reply *answered) {
  (void)asked;
  set_verdict(lifecycle_roll_back(), answered);
}

static void post_reset(const request *asked, reply *answered) {
  (void)asked;
  reset_due = true;
  set_verdict(ACCEPTED, answered);
}

#define GET (1u << (uint32_t)COAP_GET)
#define PUT (1u << (uint32_t)COAP_PUT)
#define POST (1u << (uint32_t)COAP_POST)

static const resource RESOURCES[] = {
    {.name = ".well-known/core", .methods = GET, .answer = get_links},
    {.name = "id", .methods = GET, .answer = get_id},
    {.name = "twin", .methods = GET | PUT, .answer = use_twin},
    {.name = "tel", .methods = GET, .observable = true, .answer = get_telemetry},
    {.name = "log", .methods = GET, .observable = true, .answer = get_log},
    {.name = "event", .methods = GET, .observable = true, .answer = get_events},
    {.name = "call", .methods = POST, .arguments = 2, .answer = post_call},
    {.name = "slot", .methods = GET, .answer = get_slot},
    {.name = "slot/manifest", .methods = PUT, .answer = put_manifest},
    {.name = "slot/image", .methods = PUT, .streamed = true, .answer = put_image},
    {.name = "slot/commit", .methods = POST, .answer = post_commit},
    {.name = "slot/rollback", .methods = POST, .answer = post_rollback},
    {.name = "line", .methods = GET | PUT, .answer = use_line},
    {.name = "reset", .methods = POST, .answer = post_reset},
};

static const resource *const TELEMETRY = &RESOURCES[3];
static const resource *const LOG = &RESOURCES[4];
static const resource *const EVENTS = &RESOURCES[5];

void resources_start(void) {
  interval_ms = STANDARD_INTERVAL_MS;
  told_ms = port_millis();
  reset_due = false;
  server_start(RESOURCES, (uint32_t)(sizeof RESOURCES / sizeof RESOURCES[0]));
}

void resources_tick(void) {
  uint32_t lines = 0;
  uint32_t now = port_millis();
  if (now - told_ms >= interval_ms) {
    told_ms = server_observed(TELEMETRY) && !server_notify(TELEMETRY) ? told_ms : now;
  }
  (void)log_kept(&lines);
  if (lines != told_lines && (!server_observed(LOG) || server_notify(LOG))) {
    told_lines = lines;
  }
  uint32_t events = events_kept()->count;
  if (events != told_events && (!server_observed(EVENTS) || server_notify(EVENTS))) {
    told_events = events;
  }
}

bool resources_reset_due(void) { return reset_due; }
