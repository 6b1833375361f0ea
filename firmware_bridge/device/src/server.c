#include "server.h"

#include <string.h>

#include "board.h"
#include "link.h"
#include "port.h"

#define OBSERVERS 4u
#define RECENT 4u
#define BLOCKS_MS 3000u /* how long a peer may take between two blocks of a response */
#define NO_BLOCK 0xFFFFFFFFu

typedef struct {
  const resource *of; /* NULL: free */
  uint8_t token[COAP_TOKEN_BYTES], token_size;
  uint16_t last_id;
} observer;

/* One option field read out of a request. */
typedef struct {
  uint32_t observe, block1, block2;
  bool too_long, unknown;
} fields;

static const resource *own;
static uint32_t own_count;

static observer observers[OBSERVERS];
static uint32_t observations;
static uint16_t next_id;

/* The answer to the newest request, kept for when it has to be said again; notifications have a place of their own. */
static uint8_t sent[COAP_OVERHEAD + BLOCK_BYTES], notice[COAP_OVERHEAD + BLOCK_BYTES];
static uint32_t sent_size;

/* The newest requests: the first is the one that `sent` answers. */
static struct {
  bool any;
  uint16_t id;
  uint8_t token[COAP_TOKEN_BYTES], token_size;
} recent[RECENT];

static uint8_t gathered[BODY_BYTES];
static struct {
  const resource *of;
  uint32_t size;
} gathering;

/* A response whose blocks are being fetched. */
static struct {
  const resource *of;
  reply whole;
  uint32_t since_ms;
} fetched;

void server_start(const resource *resources, uint32_t count) {
  own = resources;
  own_count = count;
  (void)memset(observers, 0, sizeof observers);
  (void)memset(recent, 0, sizeof recent);
  (void)memset(&gathering, 0, sizeof gathering);
  (void)memset(&fetched, 0, sizeof fetched);
  observations = 1;
  next_id = (uint16_t)port_millis();
}

static void send_empty(uint8_t type, uint16_t id) {
  uint8_t empty[4];
  coap_writer writer = coap_begin(empty, sizeof empty, type, COAP_EMPTY, id, NULL, 0);
  link_send_message(empty, coap_written(&writer));
}

/* RFC 7959 section 2.2: three bytes at most, and 7 is no size. */
static uint32_t block_of(span value, uint32_t number) {
  return value.size <= 3u && (number & 7u) != 7u ? number : NO_BLOCK;
}

static void read_fields(const coap_message *message, request *asked, fields *found) {
  coap_options options = coap_options_of(message);
  span value = {0};
  *found = (fields){.observe = NO_BLOCK, .block1 = NO_BLOCK, .block2 = NO_BLOCK};
  while (coap_next(&options, &value)) {
    uint32_t number = 0;
    bool is_number = coap_number(value, &number);
    switch (options.number) {
      case COAP_URI_PATH:
        if (asked->path_count < PATH_SEGMENTS) {
          asked->path[asked->path_count] = value;
          asked->path_count++;
        } else {
          found->too_long = true;
        }
        break;
      case COAP_OBSERVE: found->observe = is_number ? number : NO_BLOCK; break;
      case COAP_BLOCK1: found->block1 = block_of(value, number); break;
      case COAP_BLOCK2: found->block2 = block_of(value, number); break;
      case COAP_ACCEPT: break; /* each resource has one format, and says which */
      case COAP_CONTENT_FORMAT: asked->format = is_number ? (int32_t)number : FORMAT_NONE; break;
      case 3u: /* Uri-Host */
      case 7u: /* Uri-Port */ break;
      default: found->unknown = found->unknown || (options.number & 1u) != 0u; break; /* odd numbers are critical */
    }
  }
}

static const resource *find(const request *asked) {
  for (uint32_t i = 0; i < own_count; i++) {
    const char *slash = strchr(own[i].name, '/');
    uint32_t segments = (slash == NULL ? 1u : 2u) + own[i].arguments;
    if (asked->path_count != segments) {
      continue;
    }
    uint32_t first = slash == NULL ? (uint32_t)strlen(own[i].name) : (uint32_t)(slash - own[i].name);
    if (asked->path[0].size == first && memcmp(asked->path[0].at, own[i].name, first) == 0 &&
        (slash == NULL || span_is(asked->path[1], slash + 1))) {
      return &own[i];
    }
  }
  return NULL;
}

static observer *observer_of(const uint8_t *token, uint8_t token_size, const resource *of) {
  for (uint32_t i = 0; i < OBSERVERS; i++) {
    if (observers[i].of == of && observers[i].token_size == token_size &&
        memcmp(observers[i].token, token, token_size) == 0) {
      return &observers[i];
    }
  }
  return NULL;
}

/* The place for a new observer: its own from before, a free one, or else the oldest's. */
static observer *observe(const coap_message *message, const resource *of) {
  observer *place = observer_of(message->token, message->token_size, of);
  for (uint32_t i = 0; place == NULL && i < OBSERVERS; i++) {
    place = observers[i].of == NULL ? &observers[i] : NULL;
  }
  if (place == NULL) {
    (void)memmove(&observers[0], &observers[1], sizeof observers - sizeof observers[0]);
    place = &observers[OBSERVERS - 1u];
  }
  *place = (observer){.of = of, .token_size = message->token_size};
  (void)memcpy(place->token, message->token, message->token_size);
  return place;
}

static void set_text(reply *answered, uint8_t code, const char *why) {
  *answered = (reply){.code = code, .format = FORMAT_NONE};
  answered->body = (span){.at = (const uint8_t *)why, .size = (uint32_t)strlen(why)};
}

/* Puts the blocks of a body together. False when the answer is ready: go on, or refused. */
static bool gather(const resource *of, uint32_t block1, request *asked, reply *answered) {
  uint32_t offset = (block1 >> 4) << ((block1 & 7u) + 4u);
  if (offset == 0u) {
    gathering.of = of;
    gathering.size = 0;
  }
  if (gathering.of != of || gathering.size != offset) {
    set_text(answered, COAP_INCOMPLETE, "blocks: one is missing; begin anew");
    return false;
  }
  if (asked->body.size > BODY_BYTES - offset) {
    gathering.of = NULL;
    set_text(answered, COAP_TOO_LARGE, "blocks: the body is larger than this device takes");
    return false;
  }
  if (asked->body.size != 0u) {
    (void)memcpy(gathered + offset, asked->body.at, asked->body.size);
  }
  gathering.size += asked->body.size;
  if ((block1 & 8u) != 0u) {
    *answered = (reply){.code = COAP_CONTINUE, .format = FORMAT_NONE};
    return false;
  }
  gathering.of = NULL;
  asked->body = (span){.at = gathered, .size = gathering.size};
  return true;
}

/* Writes and sends a response into `buffer`; the block of its body that was asked for, when it does not fit one. */
static uint32_t respond(uint8_t *buffer, const resource *of, uint8_t type, uint16_t id, const uint8_t *token,
                        uint8_t token_size, const fields *found, uint32_t observation, reply *answered) {
  uint32_t szx = BLOCK_SZX, number = 0;
  if (found->block2 != NO_BLOCK) {
    szx = (found->block2 & 7u) < BLOCK_SZX ? (found->block2 & 7u) : BLOCK_SZX;
    number = (found->block2 >> 4) << ((found->block2 & 7u) - szx); /* our blocks may be smaller than those asked for */
  }
  uint32_t block = 16u << szx, offset = number << (szx + 4u);
  span part = answered->body;
  bool blocks = part.size > block || number != 0u;
  bool more = false;
  if (blocks) {
    if (offset >= part.size) {
      set_text(answered, COAP_BAD_OPTION, "blocks: there is no such block");
      part = answered->body;
      blocks = false;
    } else {
      part.at += offset;
      part.size = part.size - offset < block ? part.size - offset : block;
      more = offset + part.size < answered->body.size;
    }
  }
  coap_writer writer = coap_begin(buffer, sizeof sent, type, answered->code, id, token, token_size);
  if (observation != 0u) {
    coap_option(&writer, COAP_OBSERVE, observation);
  }
  if (answered->format != FORMAT_NONE) {
    coap_option(&writer, COAP_CONTENT_FORMAT, (uint32_t)answered->format);
  }
  if (blocks) {
    coap_option(&writer, COAP_BLOCK2, (number << 4) | (more ? 8u : 0u) | szx);
  }
  if (found->block1 != NO_BLOCK) {
    coap_option(&writer, COAP_BLOCK1, found->block1);
  }
  if (blocks && number == 0u) {
    coap_option(&writer, COAP_SIZE2, answered->body.size);
  }
  coap_payload(&writer, part.at, part.size);
  uint32_t size = coap_written(&writer);
  fetched.of = more ? of : NULL;
  fetched.whole = *answered;
  fetched.since_ms = port_millis();
  link_send_message(buffer, size);
  return size;
}

/* What the resource says to this request. */
static void answer(const resource *of, const fields *found, request *asked, reply *answered) {
  bool later_block = found->block2 != NO_BLOCK && (found->block2 >> 4) != 0u;
  if (later_block && fetched.of == of) {
    *answered = fetched.whole;
    return;
  }
  if (later_block && asked->method != (uint8_t)COAP_GET) {
    set_text(answered, COAP_INCOMPLETE, "blocks: the response is gone; ask anew");
    return;
  }
  if (found->block1 != NO_BLOCK && of->streamed) {
    asked->offset = (found->block1 >> 4) << ((found->block1 & 7u) + 4u);
    asked->more = (found->block1 & 8u) != 0u;
  } else if (found->block1 != NO_BLOCK && !gather(of, found->block1, asked, answered)) {
    return;
  } else {
    /* the body is whole */
  }
  of->answer(asked, answered);
}

static void serve(const coap_message *message) {
  request asked = {.method = message->code, .body = message->payload, .format = FORMAT_NONE};
  reply answered = {.code = COAP_SERVER_ERROR, .format = FORMAT_NONE};
  fields found;
  uint32_t observation = 0;
  read_fields(message, &asked, &found);
  const resource *of = found.too_long ? NULL : find(&asked);
  if (found.unknown) {
    set_text(&answered, COAP_BAD_OPTION, "option: a critical one that this device does not know");
  } else if (of == NULL) {
    set_text(&answered, COAP_NOT_FOUND, "path: there is no such resource");
  } else if (message->code > (uint8_t)COAP_DELETE || (of->methods & (1u << message->code)) == 0u) {
    set_text(&answered, COAP_NOT_ALLOWED, "method: this resource does not have it");
  } else {
    answer(of, &found, &asked, &answered);
    if (of->observable && message->code == (uint8_t)COAP_GET && answered.code == (uint8_t)COAP_CONTENT) {
      observer *before = observer_of(message->token, message->token_size, of);
      if (found.observe == 0u) {
        observe(message, of)->last_id = message->id;
        observations++;
        observation = observations & 0xFFFFFFu;
      } else if (found.observe == 1u && before != NULL) {
        before->of = NULL;
      } else {
        /* a plain GET */
      }
    }
  }
  uint8_t type = message->type == (uint8_t)COAP_CON ? COAP_ACK : COAP_NON;
  uint16_t id = message->id;
  if (type == (uint8_t)COAP_NON) {
    id = next_id;
    next_id++;
  }
  (void)memmove(&recent[1], &recent[0], sizeof recent - sizeof recent[0]);
  recent[0].any = true;
  recent[0].id = message->id;
  recent[0].token_size = message->token_size;
  (void)memcpy(recent[0].token, message->token, message->token_size);
  sent_size = respond(sent, of, type, id, message->token, message->token_size, &found, observation, &answered);
}

static void forget_observer(uint16_t id) {
  for (uint32_t i = 0; i < OBSERVERS; i++) {
    if (observers[i].of != NULL && observers[i].last_id == id) {
      observers[i].of = NULL;
    }
  }
}

void server_receive(const uint8_t *bytes, uint32_t size) {
  coap_message message = {0};
  if (!coap_parse(bytes, size, &message)) {
    return; /* a frame with a good FCS that is no CoAP: nobody to answer */
  }
  if (message.type == (uint8_t)COAP_RST) {
    forget_observer(message.id);
    return;
  }
  if (message.type == (uint8_t)COAP_ACK) {
    return;
  }
  bool is_request = message.code != 0u && (message.code >> 5) == 0u;
  if (!is_request) { /* a ping, or a response that nobody asked for */
    if (message.type == (uint8_t)COAP_CON) {
      send_empty(COAP_RST, message.id);
    }
    return;
  }
  for (uint32_t i = 0; i < RECENT; i++) {
    if (recent[i].any && recent[i].id == message.id && recent[i].token_size == message.token_size &&
        memcmp(recent[i].token, message.token, message.token_size) == 0) {
      if (i == 0u) { /* the answer was lost: the same again, and nothing done twice */
        link_send_message(sent, sent_size);
      }
      return;
    }
  }
  serve(&message);
}

bool server_observed(const resource *which) {
  for (uint32_t i = 0; i < OBSERVERS; i++) {
    if (observers[i].of == which) {
      return true;
    }
  }
  return false;
}

bool server_notify(const resource *changed) {
  if (fetched.of != NULL && port_millis() - fetched.since_ms < BLOCKS_MS) {
    return false;
  }
  const request asked = {.method = COAP_GET, .format = FORMAT_NONE};
  const fields none = {.observe = NO_BLOCK, .block1 = NO_BLOCK, .block2 = NO_BLOCK};
  reply answered = {.code = COAP_SERVER_ERROR, .format = FORMAT_NONE};
  changed->answer(&asked, &answered);
  observations++;
  for (uint32_t i = 0; i < OBSERVERS; i++) {
    if (observers[i].of == changed) {
      observers[i].last_id = next_id;
      (void)respond(notice, changed, COAP_NON, next_id, observers[i].token, observers[i].token_size, &none,
                    observations & 0xFFFFFFu, &answered);
      next_id++;
    }
  }
  return true;
}
