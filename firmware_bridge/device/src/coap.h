/* CoAP messages (RFC 7252 section 3): reading and writing, without state. */
#ifndef COAP_H
#define COAP_H

#include <stdbool.h>
#include <stdint.h>

#include "cbor.h"

enum { COAP_CON = 0, COAP_NON = 1, COAP_ACK = 2, COAP_RST = 3 };
enum { COAP_EMPTY = 0, COAP_GET = 1, COAP_POST = 2, COAP_PUT = 3, COAP_DELETE = 4 };

#define COAP_CODE(class, detail) ((uint8_t)(((class) << 5) | (detail)))
enum {
  COAP_DELETED = COAP_CODE(2u, 2u),
  COAP_CHANGED = COAP_CODE(2u, 4u),
  COAP_CONTENT = COAP_CODE(2u, 5u),
  COAP_CONTINUE = COAP_CODE(2u, 31u),
  COAP_BAD_REQUEST = COAP_CODE(4u, 0u),
  COAP_BAD_OPTION = COAP_CODE(4u, 2u),
  COAP_FORBIDDEN = COAP_CODE(4u, 3u),
  COAP_NOT_FOUND = COAP_CODE(4u, 4u),
  COAP_NOT_ALLOWED = COAP_CODE(4u, 5u),
  COAP_INCOMPLETE = COAP_CODE(4u, 8u),
  COAP_CONFLICT = COAP_CODE(4u, 9u),
  COAP_PRECONDITION = COAP_CODE(4u, 12u),
  COAP_TOO_LARGE = COAP_CODE(4u, 13u),
  COAP_UNPROCESSABLE = COAP_CODE(4u, 22u),
  COAP_SERVER_ERROR = COAP_CODE(5u, 0u),
  COAP_UNAVAILABLE = COAP_CODE(5u, 3u),
  COAP_TIMEOUT = COAP_CODE(5u, 4u)
};

enum {
  COAP_OBSERVE = 6,
  COAP_URI_PATH = 11,
  COAP_CONTENT_FORMAT = 12,
  COAP_URI_QUERY = 15,
  COAP_ACCEPT = 17,
  COAP_BLOCK2 = 23,
  COAP_BLOCK1 = 27,
  COAP_SIZE2 = 28
};

enum { FORMAT_NONE = -1, FORMAT_TEXT = 0, FORMAT_LINKS = 40, FORMAT_OCTETS = 42, FORMAT_JSON = 50, FORMAT_CBOR = 60 };

#define COAP_TOKEN_BYTES 8u
#define COAP_OVERHEAD 48u /* header, token, the options that we write, payload marker */

typedef struct {
  uint8_t type, code, token_size;
  uint16_t id;
  uint8_t token[COAP_TOKEN_BYTES];
  span options, payload;
} coap_message;

/* False for what is no CoAP message; every option has then been seen to lie inside of it. */
bool coap_parse(const uint8_t *bytes, uint32_t size, coap_message *message);

typedef struct {
  const uint8_t *at, *end;
  uint32_t number;
} coap_options;

coap_options coap_options_of(const coap_message *message);

/* The next option; false at the end. */
bool coap_next(coap_options *options, span *value);

/* An option's value as a number; false when it is longer than four bytes. */
bool coap_number(span value, uint32_t *number);

typedef struct {
  uint8_t *start, *at, *end;
  uint32_t last_option;
  bool full;
} coap_writer;

coap_writer coap_begin(uint8_t *bytes, uint32_t room, uint8_t type, uint8_t code, uint16_t id, const uint8_t *token,
                       uint8_t token_size);
void coap_option(coap_writer *writer, uint32_t number, uint32_t value); /* in rising order of numbers */
void coap_payload(coap_writer *writer, const uint8_t *bytes, uint32_t size);
uint32_t coap_written(const coap_writer *writer); /* 0 when it did not fit */

#endif
