#include "coap.h"

#include <string.h>

#define MARKER 0xFFu

/* The extended part of an option's delta or length; false for 15, which is reserved. */
static bool extended(uint32_t nibble, const uint8_t **at, const uint8_t *end, uint32_t *value) {
  *value = nibble;
  if (nibble < 13u) {
    return true;
  }
  if (nibble == 13u && end - *at >= 1) {
    *value = 13u + (*at)[0];
    *at += 1;
    return true;
  }
  if (nibble == 14u && end - *at >= 2) {
    *value = 269u + (((uint32_t)(*at)[0] << 8) | (*at)[1]);
    *at += 2;
    return true;
  }
  return false;
}

/* 1 for an option, 0 at the end or the payload marker, -1 for nonsense. */
static int32_t next_option(coap_options *options, span *value) {
  if (options->at >= options->end || *options->at == MARKER) {
    return 0;
  }
  uint32_t first = *options->at;
  uint32_t delta = 0, size = 0;
  options->at++;
  if (!extended(first >> 4, &options->at, options->end, &delta) ||
      !extended(first & 15u, &options->at, options->end, &size)) {
    return -1;
  }
  if (size > (uint32_t)(options->end - options->at) || options->number + delta > 0xFFFFu) {
    return -1;
  }
  options->number += delta;
  value->at = options->at;
  value->size = size;
  options->at += size;
  return 1;
}

bool coap_parse(const uint8_t *bytes, uint32_t size, coap_message *message) {
  if (size < 4u || (bytes[0] >> 6) != 1u || (bytes[0] & 15u) > COAP_TOKEN_BYTES) {
    return false;
  }
  message->type = (bytes[0] >> 4) & 3u;
  message->token_size = bytes[0] & 15u;
  message->code = bytes[1];
  message->id = (uint16_t)(((uint32_t)bytes[2] << 8) | bytes[3]);
  if (message->code == (uint8_t)COAP_EMPTY) {
    message->options = (span){0};
    message->payload = (span){0};
    return size == 4u && message->token_size == 0u; /* RFC 7252 section 4.1 */
  }
  if (size < 4u + message->token_size) {
    return false;
  }
  (void)memcpy(message->token, bytes + 4, message->token_size);
  const uint8_t *end = bytes + size;
  coap_options options = {.at = bytes + 4u + message->token_size, .end = end, .number = 0};
  const uint8_t *start = options.at;
  span value = {0};
  int32_t found = 0;
  do {
    found = next_option(&options, &value);
  } while (found > 0);
  if (found < 0) {
    return false;
  }
  message->options = (span){.at = start, .size = (uint32_t)(options.at - start)};
  message->payload = (span){0};
  if (options.at < end) {
    message->payload = (span){.at = options.at + 1, .size = (uint32_t)(end - options.at - 1)};
    return message->payload.size != 0u; /* a marker without a payload is a format error */
  }
  return true;
}

coap_options coap_options_of(const coap_message *message) {
  return (coap_options){.at = message->options.at, .end = message->options.at + message->options.size, .number = 0};
}

bool coap_next(coap_options *options, span *value) { return next_option(options, value) > 0; }

bool coap_number(span value, uint32_t *number) {
  if (value.size > 4u) {
    return false;
  }
  *number = 0;
  for (uint32_t i = 0; i < value.size; i++) {
    *number = (*number << 8) | value.at[i];
  }
  return true;
}

static void put(coap_writer *writer, const uint8_t *bytes, uint32_t size) {
  if (writer->full || (uint32_t)(writer->end - writer->at) < size) {
    writer->full = true;
    return;
  }
  if (size != 0u) {
    (void)memcpy(writer->at, bytes, size);
  }
  writer->at += size;
}

coap_writer coap_begin(uint8_t *bytes, uint32_t room, uint8_t type, uint8_t code, uint16_t id, const uint8_t *token,
                       uint8_t token_size) {
  coap_writer writer = {.start = bytes, .at = bytes, .end = bytes + room, .last_option = 0, .full = false};
  const uint8_t header[4] = {(uint8_t)(0x40u | ((uint32_t)type << 4) | token_size), code, (uint8_t)(id >> 8),
                             (uint8_t)(id & 0xFFu)};
  put(&writer, header, sizeof header);
  put(&writer, token, token_size);
  return writer;
}

void coap_option(coap_writer *writer, uint32_t number, uint32_t value) {
  uint8_t bytes[8];
  uint32_t delta = number - writer->last_option;
  uint32_t size = value == 0u ? 0u : value <= 0xFFu ? 1u : value <= 0xFFFFu ? 2u : value <= 0xFFFFFFu ? 3u : 4u;
  uint32_t at = 1;
  if (delta < 13u) {
    bytes[0] = (uint8_t)((delta << 4) | size);
  } else {
    bytes[0] = (uint8_t)((13u << 4) | size); /* no option that we write is 269 away from the one before */
    bytes[1] = (uint8_t)(delta - 13u);
    at = 2;
  }
  for (uint32_t i = 0; i < size; i++) {
    bytes[at + i] = (uint8_t)(value >> (8u * (size - 1u - i)));
  }
  put(writer, bytes, at + size);
  writer->last_option = number;
}

void coap_payload(coap_writer *writer, const uint8_t *bytes, uint32_t size) {
  const uint8_t marker = MARKER;
  if (size != 0u) {
    put(writer, &marker, 1);
    put(writer, bytes, size);
  }
}

uint32_t coap_written(const coap_writer *writer) { return writer->full ? 0u : (uint32_t)(writer->at - writer->start); }
